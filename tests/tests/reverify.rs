//! A known service is verified again and again without harm: real servers, each asked who it is 150 times an hour apart. Nothing seems
//! to change, nobody bans or blocks the sensor, each takes one connection, and what it leaves in the logs is counted.

mod sensor;

use model::Endpoint;
use sensor::{Sensor, TIMES};
use std::{collections::BTreeMap, io::Read, net::TcpStream, path::Path, time::Duration};
use testkit::{
    Authority, Host, Lab, eventually, lacks_root,
    server::{
        Bind, Dovecot, GuardedSshd, Inspircd, Mariadb, Nginx, Postfix, Postgresql, Prosody, Redis, Slapd, Vnc, Vsftpd,
        Xrdp,
    },
};

const SERVERS: &str = "10.77.0.2";
const GUARDED: &str = "10.77.0.3";
/// Port, protocol, and the file in the host's folder where it logs.
const ASKED: [(u16, &str, &str); 19] = [
    (21, "ftp", "vsftpd/vsftpd.log"),
    (24, "lmtp", "dovecot.log"),
    (25, "smtp", "postfix.log"),
    (53, "domain", "named.log"),
    (80, "http", "web/access.log"),
    (110, "pop3", "dovecot.log"),
    (143, "imap", "dovecot.log"),
    (389, "ldap", "slapd.log"),
    (443, "http", "web/access.log"),
    (3306, "mysql", "mariadbd.log"),
    (3389, "ms-wbt-server", "xrdp.log"),
    (4190, "sieve", "dovecot.log"),
    (5222, "xmpp-client", "prosody.log"),
    (5269, "xmpp-server", "prosody.log"),
    (5432, "postgresql", "postgres.log"),
    (5900, "rfb", "vnc.log"),
    (6379, "redis", "redis.log"),
    (6667, "irc", "inspircd.log"),
    (22, "ssh", "auth.log"),
];
/// Lines in each log, by its name.
fn lines(hosts: &[&Host]) -> BTreeMap<&'static str, usize> {
    let count = |path: &Path| std::fs::read(path).unwrap_or_default().split(|byte| *byte == b'\n').count();
    let of = |file: &str| hosts.iter().map(|host| count(&host.dir().join(file))).sum();
    ASKED.iter().map(|(_, _, file)| (*file, of(file))).collect()
}

/// Whether `MariaDB` still greets: a source that it has blocked is told error 1129 instead.
fn greets(from: &Host) -> bool {
    let read = from.namespace().enter(|| {
        #[expect(clippy::disallowed_methods, reason = "the test looks whether the server still greets")]
        let mut stream = TcpStream::connect((SERVERS, 3306)).expect("MariaDB listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("a packet");
        head[4]
    });
    read.join().expect("a thread") == 10
}

#[test]
#[expect(clippy::print_stdout, reason = "the lines a day stand in the record of the decision")]
fn a_hundred_and_fifty_verifications_change_nothing_and_ban_nobody() {
    const TEST: &str = "a_hundred_and_fifty_verifications_change_nothing_and_ban_nobody";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "10.77.0.9"]);
    let (host, guarded) = (lab.host("servers", &[SERVERS]), lab.host("guarded", &[GUARDED]));
    let authority = Authority::new("Lab Example CA");
    let issue = |name: &str| authority.issue(&[&format!("{name}.lab.example")], host.addresses());

    let _ftp = Vsftpd::start(&host, &issue("ftp"));
    let _mail = Dovecot::start(&host, &issue("mail"));
    let _mx = Postfix::start(&host, &issue("mx"));
    let _names = Bind::start(&host);
    let _web = Nginx::start(&host, "web", &[80], Some((&[443], &issue("www"))));
    let _directory = Slapd::start(&host, &issue("directory"));
    let _mariadb = Mariadb::start(&host, &issue("mariadb"));
    let _postgresql = Postgresql::start(&host, &issue("postgresql"));
    let _chat = Prosody::start(&host, &issue("chat"), SERVERS);
    let _irc = Inspircd::start(&host, &issue("irc"));
    let _desktop = Xrdp::start(&host, &issue("desktop"));
    let _screen = Vnc::start(&host, &issue("screen"));
    let _redis = Redis::start(&host);
    let sshd = GuardedSshd::start(&guarded, 22);

    let address = |port| if port == 22 { GUARDED } else { SERVERS };
    let endpoint = |port| Endpoint::tcp(address(port).parse().expect("an address"), port);
    let endpoints: Vec<Endpoint> = ASKED.iter().map(|(port, ..)| endpoint(*port)).collect();
    let (before, after, sensor, used) = {
        let hosts = [host.clone(), guarded.clone()];
        let asked = endpoints.clone();
        let run = watcher.namespace().enter(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (mut sensor, mut before) = (Sensor::new(), BTreeMap::new());
                let used = sensor.watch(&asked, || before = lines(&hosts.each_ref())).await;
                (before, lines(&hosts.each_ref()), sensor, used)
            })
        });
        run.join().expect("the rounds went through")
    };

    // All of them are known for what they are, and nothing was told.
    let services: BTreeMap<u16, Option<String>> = endpoints
        .iter()
        .map(|endpoint| {
            let known = sensor.inventory.remembered(endpoint).unwrap_or_default();
            (endpoint.port, known.prior.map(|service| service.name.clone()))
        })
        .collect();
    for (port, protocol, _) in ASKED {
        assert_eq!(services[&port].as_deref(), Some(protocol), "{port}");
    }
    let told: Vec<_> = sensor.told.iter().map(|event| (event.kind, event.endpoint, &event.old, &event.new)).collect();
    assert!(told.is_empty(), "{told:#?}");

    println!("port  protocol       connections a verification   log                   lines in {TIMES} hours   a day");
    for (port, protocol, file) in ASKED {
        let connections = &used[&endpoint(port)];
        let sum: usize = connections.iter().sum();
        let lines = after[file].saturating_sub(before[file]);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand lines")]
        let (mean, day) = (sum as f64 / connections.len() as f64, lines as f64 * 24.0 / f64::from(TIMES));
        println!("{port:<5} {protocol:<14} {mean:>25.2}   {file:<20} {lines:>18}   {day:.0}");
    }

    for file in ASKED.map(|(_, _, file)| file).into_iter().collect::<std::collections::BTreeSet<_>>() {
        let text = [&host, &guarded].map(|host| std::fs::read(host.dir().join(file)).unwrap_or_default()).concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in text.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev() {
            println!("{file}: {}", line.chars().take(200).collect::<String>());
        }
    }

    assert!(greets(&watcher), "MariaDB blocks the sensor");
    // The guard is awake: failures of another address are seen, and ours were none.
    let failures = sshd.count("Total failed");
    assert_eq!(failures, Some(0), "{}\n{}", sshd.status(), sshd.log());
    assert_eq!(sshd.count("Total banned"), Some(0), "{}", sshd.status());
    assert!(!sshd.ruleset().contains(&watcher.address().to_string()), "{}", sshd.ruleset());
    sshd.fail_to_log_in(&watcher, 22);
    eventually("the guard to see a failure", Duration::from_secs(20), || {
        sshd.count("Total failed").filter(|failed| *failed > 0)
    });
    for (endpoint, connections) in used {
        let usual = connections.iter().filter(|count| **count == 1).count();
        assert!(usual * 10 >= connections.len() * 9, "{endpoint}: {connections:?}");
    }
}
