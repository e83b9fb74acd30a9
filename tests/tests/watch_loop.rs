//! The watch loop from end to end: the real daemon watches Debian's real servers in an isolated network, and whatever
//! changes there reaches a real syslog server, a real mailbox and a file.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};
use testkit::{
    Authority, Daemon, Host, Identity, Lab, WireCount, binary, eventually, lacks_root,
    server::{Banner, Bind, Nginx, Postfix, Rsyslog, Sshd},
};

const PATIENCE: Duration = Duration::from_mins(1);
/// Mail is sent in digests, the shortest interval being a minute.
const MAIL_PATIENCE: Duration = Duration::from_secs(100);

const WATCHED: [&str; 5] = ["10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.6", "fd77::7"];

/// The lab, the daemon in it, and everything it tells people with.
struct Story {
    daemon: Daemon,
    rsyslog: Rsyslog,
    postfix: Postfix,
    alerts_file: PathBuf,
    ours: Authority,
    theirs: Authority,
    watcher: Host,
    web: Host,
    shell: Host,
    name: Host,
    nginx: Nginx,
    banner: Banner,
    _others: (Nginx, Sshd),
    // Last: what runs in it ends before it does.
    _lab: Lab,
}

fn certificate(authority: &Authority, host: &Host) -> Identity {
    authority.issue(&["www.lab.example"], host.addresses())
}

fn configuration(dir: &std::path::Path, ca: &std::path::Path) -> String {
    let targets = WATCHED.map(|target| format!("\"{target}\"")).join(", ");
    format!(
        r#"
[sensor]
name = "lab-sensor"
contact = "https://example.org/security"

[store]
path = "{dir}/state/perimeter.db"

[tls]
roots = ["{ca}"]

[asset.lab]
targets = [{targets}]
tags = ["lab"]
certificates = {{ issuers = ["O=Lab Example CA"] }}

[profile.lab]
assets = ["lab"]
rulesets = ["builtin:perimeter", "builtin:certificates"]
scan = {{ hot = "2s", known = "2s", likely = "2s", full = "never", identify = "2s", hot_ports = "22,80,443", tcp = "21,22,25,53,80,443,8080-8082", udp = "53" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "3s" }}, host_lost = {{ passes = 3, at_least = "5s" }}, service_changed = {{ passes = 2, at_least = "5s" }}, certificate_changed = {{ passes = 3, at_least = "5s" }} }}

[recipient.mail]
email = "soc@example.org"
every = "1m"

[recipient.siem]
syslog = {{ address = "tls://10.77.0.5:6514", format = "cef", framing = "octet", ca_file = "{ca}" }}
every = "immediate"

[recipient.siem-tcp]
syslog = {{ address = "tcp://10.77.0.5:5140", format = "cef", framing = "lf" }}
every = "immediate"

[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"

[channel.email]
smtp = "smtp+starttls://10.77.0.4:25"
from = "perimeterd@example.org"
ca_file = "{ca}"
"#,
        dir = dir.display(),
        ca = ca.display(),
    )
}

impl Story {
    fn begin() -> Self {
        let mut lab = Lab::new();
        let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
        let web = lab.host("web", &["10.77.0.2"]);
        let shell = lab.host("shell", &["10.77.0.3"]);
        let mail = lab.host("mail", &["10.77.0.4"]);
        let log = lab.host("log", &["10.77.0.5"]);
        let name = lab.host("name", &["10.77.0.6"]);
        let six = lab.host("six", &["fd77::7"]);
        let (ours, theirs) = (Authority::new("Lab Example CA"), Authority::new("Elsewhere Ltd"));
        let nginx = Nginx::start(&web, "nginx", &[80], Some((&[443], &certificate(&ours, &web))));
        let others = (Nginx::start(&six, "nginx", &[80], None), Sshd::start(&shell, 22));
        let postfix = Postfix::start(&mail, &certificate(&ours, &mail));
        let rsyslog = Rsyslog::start(&log, &ours, &certificate(&ours, &log));
        let banner = Banner::start(&name, 22, "SSH-2.0-OpenSSH_9.2p1");

        let ca = watcher.write("ca.pem", ours.certificate());
        fs::create_dir(watcher.dir().join("state")).expect("a state directory");
        let config = watcher.write("perimeterd.toml", &configuration(watcher.dir(), &ca));
        let daemon = Daemon::start(&watcher, &config);
        let alerts_file = watcher.dir().join("alerts.jsonl");
        Self {
            daemon,
            rsyslog,
            postfix,
            alerts_file,
            ours,
            theirs,
            watcher,
            web,
            shell,
            name,
            nginx,
            banner,
            _others: others,
            _lab: lab,
        }
    }

    /// Every event the daemon has recorded, in the order of commits.
    fn events(&self) -> Vec<Value> {
        let mut events = self.daemon.list(&["events", "--limit", "100000"]);
        events.sort_by_key(|event| event["seq"].as_u64());
        events
    }

    /// Those of a type, about a host, and about a port where one is given.
    fn events_of(&self, kind: &str, host: &Host, port: Option<u16>) -> Vec<Value> {
        let ip = host.address().to_string();
        let fits = |event: &Value| {
            event["type"] == kind
                && event["host"]["ip"] == ip.as_str()
                && port.is_none_or(|port| event["endpoint"]["port"] == port)
        };
        self.events().into_iter().filter(fits).collect()
    }

    /// The types of everything that was said about a host, in order.
    fn types_about(&self, host: &Host) -> Vec<String> {
        let ip = host.address().to_string();
        let about = self.events().into_iter().filter(|event| event["host"]["ip"] == ip.as_str());
        about.map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits for an event, then until it has come out of every immediate channel under its alert's id.
    fn told(&self, kind: &str, host: &Host, port: Option<u16>) -> Value {
        let what = format!("{kind} of {} {}", host.name(), port.map(|port| port.to_string()).unwrap_or_default());
        let event = eventually(&what, PATIENCE, || self.events_of(kind, host, port).pop());
        let id = event["alerts"][0]["id"].as_str().unwrap_or_else(|| panic!("no alert: {event}")).to_owned();
        eventually(format_args!("{what} in the file"), PATIENCE, || self.in_file().contains(&id).then_some(()));
        for (way, messages) in [("TLS", Rsyslog::over_tls as fn(&Rsyslog) -> Vec<String>), ("TCP", Rsyslog::over_tcp)] {
            let line = eventually(format_args!("{what} at rsyslog over {way}"), PATIENCE, || {
                messages(&self.rsyslog).into_iter().find(|line| external_id(line) == Some(&id))
            });
            assert!(line.contains(&format!("|{kind}|")), "{line}");
            let key = if host.address().is_ipv4() { "dst" } else { "c6a3" };
            assert!(line.contains(&format!(" {key}={} ", host.address())), "{line}");
            assert!(port.is_none_or(|port| line.contains(&format!(" dpt={port} "))), "{line}");
            assert!(line.starts_with('<') && line.contains(" CEF:0|perimeterd|perimeterd|"), "{line}");
        }
        event
    }

    /// The ids of all alerts in the file; tests of recipients are not among them.
    fn in_file(&self) -> BTreeSet<String> {
        let lines = self.file_lines().into_iter().filter(|line| line["test"] != true);
        lines.flat_map(|line| alert_ids(&line)).collect()
    }

    fn file_lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.alerts_file).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Waits until every lane has finished a pass that began after now.
    fn let_every_lane_pass(&self) {
        let finished = || -> Vec<Value> {
            let lanes = self.daemon.status()["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().map(|lane| lane["last_finished"].clone()).collect()
        };
        // The first to finish may have begun before.
        for _ in 0..2 {
            let before = finished();
            assert!(!before.is_empty(), "no lanes in {}", self.daemon.status());
            eventually("every lane to finish a pass", PATIENCE, || {
                let now = finished();
                before.iter().zip(&now).all(|(before, now)| before != now).then_some(())
            });
        }
    }

    /// What has arrived by mail, readable.
    fn letters(&self) -> String {
        unquoted(&self.postfix.mailbox())
    }
}

fn alert_ids(event: &Value) -> Vec<String> {
    let alerts = event["alerts"].as_array().cloned().unwrap_or_default();
    alerts.iter().filter_map(|alert| alert["id"].as_str().map(ToOwned::to_owned)).collect()
}

/// The alert's id in a CEF line.
fn external_id(line: &str) -> Option<&str> {
    line.split(' ').find_map(|field| field.strip_prefix("externalId="))
}

/// The ids of all alerts among messages; tests of recipients are not among them.
fn external_ids(lines: &[String]) -> BTreeSet<String> {
    let real = lines.iter().filter(|line| !line.contains("notify-test"));
    real.filter_map(|line| external_id(line).map(ToOwned::to_owned)).collect()
}

/// Undoes quoted-printable (RFC 2045 §6.7) in a whole mailbox: nothing else in it looks like it.
fn unquoted(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.filter(|_| *first == b'=').and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The digests in a mailbox by Message-ID, with how many alerts each says it has. One that came twice counts once; tests
/// of recipients do not count.
fn digests(letters: &str) -> BTreeMap<String, usize> {
    let mut digests = BTreeMap::new();
    let mut id = None;
    for line in letters.lines() {
        if let Some(value) = line.strip_prefix("Message-ID: <") {
            id = Some(value.trim_end_matches('>')).filter(|id| !id.starts_with("test."));
        } else if let Some(count) = line.strip_prefix("X-perimeterd-Alerts: ")
            && let Some(id) = id.take()
        {
            digests.insert(id.to_owned(), count.trim().parse().expect("a number of alerts"));
        }
    }
    digests
}

#[test]
fn mailboxes_are_read() {
    assert_eq!(unquoted("Port 8080 =E2=80=94 op=\nened =3D 1+1=2"), "Port 8080 — opened = 1+1=2");
    let digest = |id: &str, count| format!("Message-ID: <{id}@vm>\nTo: x\nX-perimeterd-Alerts: {count}\n\nwords\n");
    let mailbox = [digest("a.1-7", 7), digest("test.x", 1), digest("a.1-7", 7), digest("b.8-9", 2)].concat();
    assert_eq!(digests(&mailbox), [("a.1-7@vm".to_owned(), 7), ("b.8-9@vm".to_owned(), 2)].into());
}

#[test]
fn what_changes_reaches_people_once() {
    if lacks_root("what_changes_reaches_people_once") {
        return;
    }
    // Built before anything waits for it.
    binary();
    let mut story = Story::begin();

    the_baseline_is_silent(&story);
    ports_open(&mut story);
    certificates_and_software_change(&mut story);
    a_host_goes_and_returns(&story);
    mail_arrives(&story, &["10.77.0.2", "8080", "10.77.0.6"]);
    every_recipient_can_be_tested(&story);
    halting_is_at_once_and_lasts(&mut story);
    killed_at_any_moment_it_loses_and_repeats_nothing(&mut story);

    let status = story.daemon.stop(Duration::from_secs(5));
    assert!(status.success(), "SIGTERM ends it cleanly: {status}\n{}", story.daemon.log());
}

fn the_baseline_is_silent(story: &Story) {
    eventually("the baseline", PATIENCE, || {
        story.events().iter().any(|event| event["type"] == "BASELINE_DONE").then_some(())
    });
    story.let_every_lane_pass();
    story.let_every_lane_pass();
    let types: BTreeSet<_> = story.events().iter().map(|event| event["type"].to_string()).collect();
    assert_eq!(types, ["\"BASELINE_DONE\"".to_owned()].into(), "{:#?}", story.events());
    // It has seen what is there, over both families.
    let services = story.daemon.say(&["services", "--json"]);
    for (ip, port, product) in [
        ("10.77.0.2", 80, "nginx"),
        ("10.77.0.2", 443, "nginx"),
        ("10.77.0.3", 22, "OpenSSH"),
        ("10.77.0.4", 25, "Postfix"),
        ("fd77::7", 80, "nginx"),
    ] {
        let is = |line: &str| line.contains(ip) && line.contains(&port.to_string()) && line.contains(product);
        assert!(services.lines().any(is), "{product} on {ip} port {port} is not among\n{services}");
    }
    assert!(external_ids(&story.rsyslog.over_tls()).len() <= 1, "{:#?}", story.rsyslog.over_tls());
    for path in ["healthz", "readyz", "metrics"] {
        story.watcher.run("curl", &["-sSf", "-m", "5", &format!("http://127.0.0.1:8321/{path}")]);
    }
}

fn ports_open(story: &mut Story) {
    let another = Nginx::start(&story.web, "another", &[8080], None);
    let event = story.told("PORT_OPEN", &story.web, Some(8080));
    assert_eq!(event["endpoint"]["transport"], "tcp");
    assert!(event["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty()), "{event}");

    let bind = Bind::start(&story.name);
    let udp = eventually("PORT_OPEN of 53/udp", PATIENCE, || {
        let events = story.events_of("PORT_OPEN", &story.name, Some(53));
        events.into_iter().find(|event| event["endpoint"]["transport"] == "udp")
    });
    eventually("53/udp in the file", PATIENCE, || {
        alert_ids(&udp).iter().all(|id| story.in_file().contains(id)).then_some(())
    });
    story.told("PORT_OPEN", &story.name, Some(53));

    drop(another);
    story.told("PORT_CLOSED", &story.web, Some(8080));
    drop(bind);
    eventually("PORT_CLOSED of 53/udp", PATIENCE, || {
        let events = story.events_of("PORT_CLOSED", &story.name, Some(53));
        events.into_iter().find(|event| event["endpoint"]["transport"] == "udp")
    });
}

fn certificates_and_software_change(story: &mut Story) {
    let foreign = certificate(&story.theirs, &story.web);
    story.nginx.replace_certificate(&foreign);
    let changed = story.told("SSL_CHANGED", &story.web, Some(443));
    assert!(
        changed["certificate"]["issuer"].as_str().is_some_and(|issuer| issuer.contains("Elsewhere Ltd")),
        "{changed}"
    );
    story.told("SSL_ROGUE", &story.web, Some(443));
    assert_eq!(story.events_of("SSL_CHANGED", &story.web, None).len(), 1);
    assert_eq!(story.events_of("SSL_ROGUE", &story.web, None).len(), 1);

    // Back to one of ours: changed again, not rogue again.
    let own = certificate(&story.ours, &story.web);
    story.nginx.replace_certificate(&own);
    eventually("the second SSL_CHANGED", PATIENCE, || {
        (story.events_of("SSL_CHANGED", &story.web, Some(443)).len() == 2).then_some(())
    });
    assert_eq!(story.events_of("SSL_ROGUE", &story.web, None).len(), 1);

    story.banner.say("SSH-2.0-OpenSSH_9.6p1");
    let updated = story.told("SOFTWARE_UPDATED", &story.name, Some(22));
    let said = updated.to_string();
    assert!(said.contains("9.2p1") && said.contains("9.6p1"), "{updated}");
    // A version change alone is that and nothing else.
    assert_eq!(story.events_of("PORT_CHANGED", &story.name, None).len(), 0);
}

fn a_host_goes_and_returns(story: &Story) {
    story.shell.unplug();
    story.told("HOST_LOST", &story.shell, None);
    story.shell.plug_in();
    story.told("HOST_UP", &story.shell, None);
    story.let_every_lane_pass();
    // Once each, and neither its ports nor its software are news.
    assert_eq!(story.types_about(&story.shell), ["HOST_LOST", "HOST_UP"]);
}

fn mail_arrives(story: &Story, words: &[&str]) {
    eventually(format_args!("mail about {words:?}"), MAIL_PATIENCE, || {
        let letters = story.letters();
        words.iter().all(|word| letters.contains(word)).then_some(())
    });
    let letters = story.letters();
    for header in ["To: soc@example.org", "From: ", "Message-ID: ", "Auto-Submitted: auto-generated"] {
        assert!(letters.lines().any(|line| line.starts_with(header)), "no {header} in\n{letters}");
    }
}

fn every_recipient_can_be_tested(story: &Story) {
    let tests = |lines: Vec<String>| lines.iter().filter(|line| line.contains("notify-test")).count();
    for recipient in ["mail", "siem", "siem-tcp", "file"] {
        story.daemon.say(&["notify", "test", recipient]);
    }
    eventually("the tests to arrive", PATIENCE, || {
        let syslog = tests(story.rsyslog.over_tls()) == 1 && tests(story.rsyslog.over_tcp()) == 1;
        let file = story.file_lines().iter().filter(|line| line["test"] == true).count() == 1;
        let mail = story.letters().to_lowercase().contains("test alert");
        (syslog && file && mail).then_some(())
    });
    // Nobody of that name.
    assert_eq!(story.daemon.ask(&["notify", "test", "nobody"]).status.code(), Some(1));
}

fn halting_is_at_once_and_lasts(story: &mut Story) {
    // The mail host is asked by the mail channel too, so it is left out.
    let addresses: Vec<_> = WATCHED.iter().filter_map(|ip| ip.parse().ok()).filter(|&ip| ip != mail_host()).collect();
    let wire = WireCount::new(&story.watcher, &addresses);
    eventually("probes on the wire", PATIENCE, || (wire.count() > 0).then_some(()));

    story.daemon.say(&["halt"]);
    // This second is what it has; the next three periods must be silent.
    std::thread::sleep(Duration::from_secs(1));
    let at_the_end = wire.count();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(wire.count(), at_the_end, "probes left after `halt`");

    // It holds over a crash.
    story.daemon.kill();
    story.daemon.restart();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(wire.count(), at_the_end, "probes left after a restart while halted");
    assert_eq!(story.daemon.status()["halted"], true, "{}", story.daemon.status());

    story.daemon.say(&["resume"]);
    eventually("probes after `resume`", PATIENCE, || (wire.count() > at_the_end).then_some(()));
    story.let_every_lane_pass();
}

fn mail_host() -> std::net::IpAddr {
    std::net::Ipv4Addr::new(10, 77, 0, 4).into()
}

fn killed_at_any_moment_it_loses_and_repeats_nothing(story: &mut Story) {
    // The moments: at once, in the middle of confirming, when it has just been committed, and while it is being told.
    for (round, (port, wait)) in
        [(8081, Some(0)), (8082, Some(700)), (8081, Some(1900)), (8082, None), (8081, Some(2600))]
            .into_iter()
            .enumerate()
    {
        let opened = story.events_of("PORT_OPEN", &story.web, Some(port)).len();
        let closed = story.events_of("PORT_CLOSED", &story.web, Some(port)).len();
        let server = Nginx::start(&story.web, &format!("round{round}"), &[port], None);
        match wait {
            Some(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
            None => eventually("the event to be committed", PATIENCE, || {
                (story.events_of("PORT_OPEN", &story.web, Some(port)).len() > opened).then_some(())
            }),
        }
        story.daemon.kill();
        story.daemon.restart();
        eventually(format_args!("round {round}: PORT_OPEN"), PATIENCE, || {
            (story.events_of("PORT_OPEN", &story.web, Some(port)).len() > opened).then_some(())
        });
        drop(server);
        eventually(format_args!("round {round}: PORT_CLOSED"), PATIENCE, || {
            (story.events_of("PORT_CLOSED", &story.web, Some(port)).len() > closed).then_some(())
        });
        story.let_every_lane_pass();
        // One opening and one closing, each under one id.
        assert_eq!(story.events_of("PORT_OPEN", &story.web, Some(port)).len(), opened + 1, "round {round}");
        assert_eq!(story.events_of("PORT_CLOSED", &story.web, Some(port)).len(), closed + 1, "round {round}");
    }

    // Every alert of every event came out of every channel, and nothing came out that is not recorded.
    let events = story.events();
    let ids: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "an event is recorded twice");
    let sequence: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(sequence.windows(2).all(|pair| pair[0] < pair[1]), "{sequence:?}");
    let alerts: BTreeSet<_> = events.iter().flat_map(alert_ids).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    eventually("everything to be told", PATIENCE, || {
        let over_tls = external_ids(&story.rsyslog.over_tls());
        let over_tcp = external_ids(&story.rsyslog.over_tcp());
        (story.in_file() == alerts && over_tls == alerts && over_tcp == alerts).then_some(())
    });
    eventually("every alert in exactly one digest", MAIL_PATIENCE, || {
        (digests(&story.letters()).values().sum::<usize>() == alerts.len()).then_some(())
    });
}
