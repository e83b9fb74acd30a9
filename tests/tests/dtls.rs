//! The certificate behind DTLS, from OpenSSL and `GnuTLS`: a scan by UDP shows it, and so does the daemon.

use serde_json::Value;
use std::{net::IpAddr, time::Duration};
use testkit::{
    Daemon, Host, Lab, Process, binary, eventually, lacks_root, output_of,
    server::{
        Bind,
        tls::{Asks, Certificates, Key, Pair},
    },
};

const SERVERS: &str = "10.77.0.2";

/// OpenSSL's `s_server` for datagrams. It serves one after the other, and everybody only if it asks for a cookie first.
fn s_server(host: &Host, port: u16, pair: &Pair, options: &[&str]) -> Process {
    let mut command = host.command("openssl");
    command.args(["s_server", "-accept", &port.to_string(), "-quiet", "-cipher", "ALL:@SECLEVEL=0"]);
    command.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key).args(options);
    started(host, port, &mut command)
}

/// `GnuTLS` wants to be shown a cookie by everybody.
fn gnutls_serv(host: &Host, port: u16, pair: &Pair, asks: Asks) -> Process {
    let mut command = host.command("gnutls-serv");
    command.args(["--udp", "--quiet", "--echo", "--port", &port.to_string(), "--priority", "NORMAL"]);
    command.arg("--x509certfile").arg(&pair.certificate).arg("--x509keyfile").arg(&pair.key);
    if asks == Asks::Required {
        command.arg("--require-client-cert");
    } else {
        command.arg("--disable-client-cert");
    }
    started(host, port, &mut command)
}

fn started(host: &Host, port: u16, command: &mut std::process::Command) -> Process {
    let mut process = host.start(&format!("dtls-{port}"), command);
    eventually(format_args!("a server on {port}"), Duration::from_secs(20), || {
        process.must_run();
        (!host.run("ss", &["-Hnlu", &format!("sport = :{port}")]).trim().is_empty()).then_some(())
    });
    process
}

fn digest(pair: &Pair) -> String {
    let said = pair.ask(&["-fingerprint", "-sha256"]);
    said.trim().rsplit('=').next().unwrap_or_default().replace(':', "").to_lowercase()
}

#[test]
fn the_certificate_behind_dtls_is_seen_by_scan_and_daemon() {
    if lacks_root("the_certificate_behind_dtls_is_seen_by_scan_and_daemon") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("servers", &[SERVERS]);
    let certificates = Certificates::new(host.dir());
    let issue = |key, name: &str| certificates.issue(key, &[name], 90);
    let plain = issue(Key::Rsa(4096), "plain.lab.example");
    let old = issue(Key::P256, "old.lab.example");
    let careful = issue(Key::P384, "careful.lab.example");
    let closed = issue(Key::Rsa(2048), "closed.lab.example");
    let _servers = [
        s_server(&host, 4433, &plain, &["-dtls1_2", "-listen", "-mtu", "1400"]),
        s_server(&host, 5684, &old, &["-dtls1", "-listen", "-mtu", "300"]),
        gnutls_serv(&host, 853, &careful, Asks::No),
        gnutls_serv(&host, 5349, &closed, Asks::Required),
    ];
    let expected = [(853, &careful, "no"), (4433, &plain, "no"), (5349, &closed, "asked"), (5684, &old, "no")];

    let mut command = watcher.command(&binary().to_string_lossy());
    command.args(["scan", SERVERS, "--tcp", "none", "--udp", "853,4433,5349,5684", "--mode", "connect", "--json"]);
    let said = output_of(&mut command);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut found: Vec<Value> = lines.filter(|line| line["kind"] == "endpoint").collect();
    found.sort_by_key(|line| line["port"].as_u64());
    assert_eq!(found.len(), expected.len(), "{said}");
    for (line, (port, pair, asked)) in found.iter().zip(expected) {
        assert_eq!((&line["port"], &line["service"]["name"]), (&Value::from(port), &Value::from("dtls")));
        assert_eq!(line["tls"]["certificate"]["sha256"], digest(pair), "{line}");
        let version = if port == 5684 { "DTLSv1.0" } else { "DTLSv1.2" };
        assert_eq!((&line["tls"]["version"], &line["tls"]["posture"]["client_auth"]), (&version.into(), &asked.into()));
    }

    let configuration = format!(
        "[store]\npath = \"{}/perimeter.db\"\n[asset.lab]\ntargets = [\"{SERVERS}\"]\n[profile.lab]\nassets = [\"lab\"]\n\
         rulesets = [\"builtin:certificates\"]\nscan = {{ hot = \"2s\", known = \"2s\", likely = \"4s\", full = \"never\", \
         identify = \"2s\", hot_ports = \"443\", tcp = \"443\", udp = \"4433,853\" }}\n",
        watcher.dir().display()
    );
    let config = watcher.write("perimeterd.toml", &configuration);
    let daemon = Daemon::start(&watcher, &config);
    let patience = Duration::from_mins(1);
    let shown = eventually("the certificates behind DTLS", patience, || {
        let shown = daemon.list(&["certificates"]);
        (shown.len() == 2).then_some(shown)
    });
    let mut digests: Vec<&str> = shown.iter().filter_map(|row| row["certificate"]["sha256"].as_str()).collect();
    digests.sort_unstable();
    let mut expected = [digest(&careful), digest(&plain)];
    expected.sort_unstable();
    assert_eq!(digests, expected, "{shown:#?}");
}

const NAME: &str = "www.lab.example";

/// One certificate for whoever names nobody, another under its name; and one that knows nobody without a name.
#[test]
fn the_certificate_behind_dtls_is_another_under_another_name() {
    if lacks_root("the_certificate_behind_dtls_is_another_under_another_name") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, dns) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("dns", &["10.77.0.53"]));
    let host = lab.host("servers", &[SERVERS]);
    let _bind = Bind::start_with(&dns, &[("www", SERVERS.parse::<IpAddr>().expect("an address"))]);
    let certificates = Certificates::new(host.dir());
    let (bare, named) =
        (certificates.issue(Key::P256, &["other.lab.example"], 90), certificates.issue(Key::Rsa(2048), &[NAME], 90));
    let (certificate, key) = (named.certificate.to_string_lossy(), named.key.to_string_lossy());
    let two = ["-dtls1_2", "-listen", "-mtu", "1400", "-servername", NAME, "-cert2", &certificate, "-key2", &key];
    let _server = s_server(&host, 5684, &bare, &two);
    let configuration = format!(
        "[sensor]\nresolvers = [\"10.77.0.53\"]\n[store]\npath = \"{}/perimeter.db\"\n[asset.lab]\ntargets = [\"{NAME}\"]\n\
         [profile.lab]\nassets = [\"lab\"]\nrulesets = [\"builtin:certificates\"]\nscan = {{ hot = \"2s\", known = \"2s\", \
         likely = \"4s\", full = \"never\", identify = \"2s\", hot_ports = \"443\", tcp = \"443\", udp = \"5684\" }}\n",
        watcher.dir().display()
    );
    let config = watcher.write("perimeterd.toml", &configuration);
    let mut command = watcher.command(&binary().to_string_lossy());
    command
        .args(["scan", NAME, "--tcp", "none", "--udp", "5684", "--mode", "connect", "--json", "--config"])
        .arg(&config);
    let said = output_of(&mut command);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut found: Vec<_> = lines
        .filter(|line| line["kind"] == "endpoint")
        .map(|line| (line["name"].as_str().map(str::to_owned), line["tls"]["certificate"]["sha256"].clone()))
        .collect();
    found.sort_by_key(|(name, _)| name.clone());
    let expected = [(None, Value::from(digest(&bare))), (Some(NAME.to_owned()), Value::from(digest(&named)))];
    assert_eq!(found, expected, "{said}");

    let daemon = Daemon::start(&watcher, &config);
    let mut expected = [digest(&bare), digest(&named)];
    expected.sort_unstable();
    eventually("both certificates", Duration::from_mins(1), || {
        let shown = daemon.list(&["certificates"]);
        let digests = shown.iter().filter_map(|row| row["certificate"]["sha256"].as_str());
        let mut digests: Vec<String> = digests.map(str::to_owned).collect();
        digests.sort_unstable();
        (digests == expected).then_some(())
    });
}
