//! The host keys of real SSH servers, in an isolated network.

use identify::Roots;
use model::{AddressSet, Endpoint, Rate, ServiceObservation, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    conversation::{self, Ask, Timeouts},
};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{path::Path, process::Command, sync::Arc};
use testkit::{Host, Lab, lacks_root, output_of, server::Sshd, soon};

/// Asks from the watcher's network.
fn identified(watcher: &Host, endpoint: Endpoint) -> ServiceObservation {
    let inside = watcher.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let targets = ["10.77.0.0/24", "fd77::/64"].iter().map(|text| text.parse().expect("a target")).collect();
            let asset = AssetScope { name: "lab".into(), targets, until: None };
            let rate = Rate::per_second(10_000).expect("in range");
            let contact = Some("https://example.org/security".into());
            let identity = Identity { sensor: "test".into(), contact, version: "1.2.3".into() };
            let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
            let scope = ScopeHandle::new(Scope::new(vec![asset], AddressSet::empty()));
            let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, 16);
            let roots = Roots::public();
            let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: Timeouts::default() };
            conversation::identify(&dialer, endpoint, ask).await.observation.expect("a conversation")
        })
    });
    inside.join().expect("no panic in the namespace")
}

/// The SHA-256 of a public key's blob, as `ssh-keygen -lf` writes it.
fn fingerprint(public: &Path) -> String {
    let shown = output_of(Command::new("ssh-keygen").arg("-lf").arg(public));
    let base64 = shown.split(' ').nth(1).and_then(|word| word.strip_prefix("SHA256:")).expect("a fingerprint");
    let decode = format!("printf %s= '{base64}' | base64 -d | od -An -tx1 | tr -d ' \\n'");
    output_of(Command::new("sh").args(["-c", &decode]))
}

#[test]
fn openssh_shows_its_key() {
    if lacks_root("openssh_shows_its_key") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let _sshd = Sshd::start(&host, 22);
    let expect = fingerprint(&host.dir().join("ssh_host_key.pub"));
    for (number, ip) in host.addresses().iter().enumerate() {
        let observation = identified(&watcher, Endpoint::tcp(*ip, 22));
        let service = observation.service.expect("recognised");
        let key = service.ssh_key.expect("a key");
        assert_eq!((key.algorithm.as_str(), key.sha256.to_string()), ("ssh-ed25519", expect.clone()));
        assert_eq!((service.product.as_deref(), observation.connections), (Some("OpenSSH"), 1));
        // A proper goodbye, from somebody with a name.
        let log = host.dir().join("sshd.log");
        soon("sshd's log", || {
            let log = std::fs::read_to_string(&log).expect("a log");
            let goodbyes =
                log.lines().filter(|line| line.contains("11: perimeterd/1.2.3 (https://example.org/security)"));
            (goodbyes.count() > number).then_some(())
        });
    }
    // Its other words are no complaints.
    let log = std::fs::read_to_string(host.dir().join("sshd.log")).expect("a log");
    for word in ["error", "fatal", "Bad protocol", "mismatch", "Unable to negotiate"] {
        assert!(!log.contains(word), "{word}:\n{log}");
    }
}

#[test]
fn every_kind_of_key_and_of_exchange() {
    if lacks_root("every_kind_of_key_and_of_exchange") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("host", &["10.77.0.2"]);
    for (port, (kind, algorithm, exchange)) in (2201..).zip([
        ("ed25519", "ssh-ed25519", "ecdh-sha2-nistp256"),
        ("ecdsa", "ecdsa-sha2-nistp256", "curve25519-sha256"),
        ("rsa", "ssh-rsa", "diffie-hellman-group14-sha256"),
        ("rsa", "ssh-rsa", "diffie-hellman-group16-sha512"),
        ("rsa", "ssh-rsa", "diffie-hellman-group14-sha1"),
    ]) {
        let key = host.dir().join(format!("key-{port}"));
        host.run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", &key.to_string_lossy()]);
        let configuration = format!(
            "Port {port}\nListenAddress {}\nHostKey {}\nKexAlgorithms {exchange}\nUsePAM no\nPidFile none\nUseDNS no\n",
            host.address(),
            key.display()
        );
        let configuration = host.write(&format!("config-{port}"), &configuration);
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f \"$0\"";
        let mut command = host.command("sh");
        let mut sshd = host.start(&format!("sshd-{port}"), command.args(["-c", script]).arg(configuration));
        soon(format_args!("sshd with {exchange}"), || {
            sshd.must_run();
            let listening = host.run("ss", &["-Hnlt", &format!("sport = :{port}")]);
            (!listening.trim().is_empty()).then_some(())
        });
        let observation = identified(&watcher, Endpoint::tcp(host.address(), port));
        let shown = observation.service.and_then(|service| service.ssh_key).unwrap_or_else(|| panic!("{exchange}"));
        assert_eq!(shown.algorithm, algorithm, "{exchange}");
        assert_eq!(shown.sha256.to_string(), fingerprint(&key.with_extension("pub")), "{exchange}");
    }
}

#[test]
fn dropbear_shows_its_key() {
    if lacks_root("dropbear_shows_its_key") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("host", &["10.77.0.2"]);
    let key = host.dir().join("key");
    let key = key.to_string_lossy();
    host.run("dropbearkey", &["-t", "ed25519", "-f", &key]);
    let public = host.run("dropbearkey", &["-y", "-f", &key]);
    let public = public.lines().find(|line| line.starts_with("ssh-ed25519 ")).expect("a public key");
    let public = host.write("key.pub", public);
    let mut command = host.command("dropbear");
    let _dropbear = host.start("dropbear", command.args(["-F", "-E", "-s", "-p", "10.77.0.2:22", "-r", &key]));
    soon("dropbear", || {
        let listening = host.run("ss", &["-Hnlt", "sport = :22"]);
        (!listening.trim().is_empty()).then_some(())
    });
    let observation = identified(&watcher, Endpoint::tcp(host.address(), 22));
    let service = observation.service.expect("recognised");
    let shown = service.ssh_key.expect("a key");
    assert_eq!((shown.algorithm.as_str(), shown.sha256.to_string()), ("ssh-ed25519", fingerprint(&public)));
    assert_eq!((service.product.as_deref(), observation.connections), (Some("Dropbear"), 1));
}
