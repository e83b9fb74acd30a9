//! The rig itself: Debian's servers come up in their namespaces, answer the watcher and nobody else, and leave nothing
//! behind.

use std::{path::Path, process::Command};
use testkit::{
    Authority, Host, Lab, WireCount, eventually, lacks_root, output_of,
    server::{Banner, Bind, Nginx, Postfix, Rsyslog, Sshd},
};

/// What bash, told to connect and read, gets within 5 s: the first line. None: it could not connect.
fn first_line(from: &Host, address: &str, port: u16) -> Option<String> {
    let script = format!("exec 3<>/dev/tcp/{address}/{port} && head -n1 <&3");
    let output = from.command("timeout").args(["5", "bash", "-c", &script]).output().expect("bash runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn issuer_at(from: &Host, address: &str) -> String {
    let script = format!(
        "openssl s_client -connect {address} -servername www.lab.example </dev/null | openssl x509 -noout -issuer"
    );
    from.run("bash", &["-o", "pipefail", "-c", &script])
}

#[test]
fn real_servers_answer_the_watcher_alone() {
    if lacks_root("real_servers_answer_the_watcher_alone") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let web = lab.host("web", &["10.77.0.2"]);
    let shell = lab.host("shell", &["10.77.0.3"]);
    let mail = lab.host("mail", &["10.77.0.4"]);
    let log = lab.host("log", &["10.77.0.5"]);
    let name = lab.host("name", &["10.77.0.6"]);
    let six = lab.host("six", &["fd77::7"]);

    let (ours, theirs) = (Authority::new("Lab Example CA"), Authority::new("Elsewhere Ltd"));
    let issue = |authority: &Authority, host: &Host| authority.issue(&["www.lab.example"], host.addresses());
    let mut nginx = Nginx::start(&web, "nginx", &[80], Some((&[443], &issue(&ours, &web))));
    let _six = Nginx::start(&six, "nginx", &[80], Some((&[443], &issue(&ours, &six))));
    let _sshd = Sshd::start(&shell, 22);
    let postfix = Postfix::start(&mail, &issue(&ours, &mail));
    let rsyslog = Rsyslog::start(&log, &ours, &issue(&ours, &log));
    let _bind = Bind::start(&name);
    let banner = Banner::start(&name, 22, "SSH-2.0-OpenSSH_9.2p1");
    let ca = watcher.write("ca.pem", ours.certificate());
    let ca = ca.to_string_lossy();

    // Web, over IPv4 and IPv6, plain and TLS; and another certificate without a restart.
    for url in ["http://10.77.0.2/", "https://10.77.0.2/", "http://[fd77::7]/", "https://[fd77::7]/"] {
        assert_eq!(watcher.run("curl", &["-sS", "-m", "10", "--cacert", &ca, url]), "hello\n", "{url}");
    }
    assert!(issuer_at(&watcher, "10.77.0.2:443").contains("Lab Example CA"));
    nginx.replace_certificate(&issue(&theirs, &web));
    eventually("nginx to serve the other certificate", std::time::Duration::from_secs(10), || {
        issuer_at(&watcher, "10.77.0.2:443").contains("Elsewhere Ltd").then_some(())
    });

    // SSH, the real one and the made-up one.
    assert!(first_line(&watcher, "10.77.0.3", 22).is_some_and(|line| line.starts_with("SSH-2.0-OpenSSH_")));
    assert_eq!(first_line(&watcher, "10.77.0.6", 22).as_deref(), Some("SSH-2.0-OpenSSH_9.2p1"));
    banner.say("SSH-2.0-OpenSSH_9.6p1");
    assert_eq!(first_line(&watcher, "10.77.0.6", 22).as_deref(), Some("SSH-2.0-OpenSSH_9.6p1"));

    // DNS, over UDP.
    let answer = watcher.run("dig", &["+short", "+time=2", "@10.77.0.6", "ns.lab.example", "A"]);
    assert_eq!(answer.trim(), "192.0.2.53");

    // Mail, with STARTTLS, into the mailbox.
    let letter = watcher.write("letter", "Subject: the rig\r\n\r\nIt arrives.\r\n");
    watcher.run(
        "curl",
        &["-sS", "-m", "10", "--ssl-reqd", "--cacert", &ca, "smtp://10.77.0.4", "--mail-from", "a@lab.example"]
            .into_iter()
            .chain(["--mail-rcpt", "soc@example.org", "-T", &letter.to_string_lossy()])
            .collect::<Vec<_>>(),
    );
    eventually("the letter in the mailbox", std::time::Duration::from_secs(20), || {
        postfix.mailbox().contains("It arrives.").then_some(())
    });

    // Syslog, over TCP, TLS and UDP.
    let plain = "printf '<133>1 - rig t - - - over-tcp\\n' > /dev/tcp/10.77.0.5/5140";
    watcher.run("bash", &["-c", plain]);
    let message = "<133>1 - rig t - - - over-tls";
    let tls = format!(
        "printf '{} {message}' | openssl s_client -quiet -no_ign_eof -connect 10.77.0.5:6514 -CAfile {ca} \
         -verify_return_error -verify_ip 10.77.0.5",
        message.len()
    );
    watcher.run("bash", &["-o", "pipefail", "-c", &tls]);
    watcher.run("bash", &["-c", "printf '<133>1 - rig t - - - over-udp' > /dev/udp/10.77.0.5/514"]);
    eventually("the three messages", std::time::Duration::from_secs(10), || {
        let came = |messages: Vec<String>, what: &str| messages.iter().any(|message| message.ends_with(what));
        (came(rsyslog.over_tcp(), "over-tcp") && came(rsyslog.over_tls(), "over-tls")).then_some(())?;
        came(rsyslog.over_udp(), "over-udp").then_some(())
    });

    // The hosts do not reach each other, and there is no way out.
    assert_eq!(first_line(&web, "10.77.0.3", 22), None);
    for host in [&watcher, &web, &six] {
        for family in ["-4", "-6"] {
            let routes = host.run("ip", &[family, "route", "show", "default"]);
            assert_eq!(routes.trim(), "", "{} has a way out", host.name());
        }
    }
    let outside = output_of(Command::new("ip").args(["-o", "addr", "show"]));
    assert!(!outside.contains("10.77.0.") && !outside.contains("fd77:"), "the lab shows outside:\n{outside}");

    // The wire is counted.
    let wire = WireCount::new(&watcher, &[web.address(), six.address()]);
    assert_eq!(wire.count(), 0);
    watcher.run("curl", &["-sS", "-m", "10", "-o", "/dev/null", "http://10.77.0.2/"]);
    watcher.run("curl", &["-sS", "-m", "10", "-o", "/dev/null", "http://[fd77::7]/"]);
    assert!(first_line(&watcher, "10.77.0.3", 22).is_some(), "not counted");
    assert_eq!(wire.count(), 2);

    // A pulled cable.
    web.unplug();
    let asked = watcher.command("curl").args(["-sS", "-m", "2", "http://10.77.0.2/"]).output().expect("curl runs");
    assert!(!asked.status.success());
    web.plug_in();
    watcher.run("curl", &["-sS", "-m", "10", "--retry", "3", "--retry-all-errors", "http://10.77.0.2/"]);
}

#[test]
fn a_lab_leaves_nothing_behind_even_after_a_panic() {
    if lacks_root("a_lab_leaves_nothing_behind_even_after_a_panic") {
        return;
    }
    let story = std::thread::spawn(|| {
        let mut lab = Lab::new();
        let web = lab.host("web", &["10.77.0.2"]);
        let nginx = Nginx::start(&web, "nginx", &[80], None);
        let traces = (web.namespace().name().to_owned(), lab.dir().to_owned());
        // The server is alive while the story ends badly.
        let _alive = nginx;
        std::panic::panic_any(traces);
    });
    let traces = story.join().expect_err("the story ends badly");
    let (namespace, dir) = *traces.downcast::<(String, std::path::PathBuf)>().expect("what it left");
    assert!(!Path::new("/run/netns").join(&namespace).exists(), "{namespace} is still there");
    assert!(!dir.exists(), "{} is still there", dir.display());
}
