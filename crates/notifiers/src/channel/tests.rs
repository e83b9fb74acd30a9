use super::*;
use crate::{
    email::tests::sink::{Manner, Sink},
    sample,
};
use config::{
    Console, EmailChannel, Framing, JsonlPath, Mode, Profile, Scan, Sensor, SmtpSecurity, Store, Syslog, SyslogFormat,
    SyslogTransport, Tls,
};
use model::{AddressSet, Confirm, Notice, PortSet, Rate, Severity};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

pub(crate) fn empty_config() -> Config {
    let rate = Rate::per_second(100).expect("a rate");
    Config {
        sources: Vec::new(),
        sensor: Sensor {
            name: "scan1".into(),
            contact: None,
            rate,
            rate_per_host: rate,
            exclude: AddressSet::default(),
            interface: None,
            source: None,
            second_source: None,
            mode: Mode::Auto,
            canaries: Vec::new(),
            resolvers: Vec::new(),
        },
        store: Store { path: "perimeter.db".into(), retention: Duration::from_hours(24) },
        console: Console { listen: None },
        tls: Tls::default(),
        identify: config::Identify::default(),
        assets: BTreeMap::new(),
        rulesets: BTreeMap::new(),
        profiles: BTreeMap::new(),
        recipients: BTreeMap::new(),
        email: None,
    }
}

pub(crate) fn empty_profile() -> Profile {
    Profile {
        assets: Vec::new(),
        rulesets: Vec::new(),
        scan: Scan {
            windows: None,
            hot: None,
            known: None,
            likely: None,
            full: None,
            identify: Duration::from_hours(1),
            hot_ports: PortSet::default(),
            tcp: PortSet::default(),
            udp: PortSet::default(),
        },
        confirm: Confirm::default(),
        storm: config::MOST_ALERTS,
        active: true,
    }
}

/// The contract, over every channel: hostile notices are delivered whole, and the same digest may be delivered twice.
#[tokio::test]
async fn every_channel_takes_hostile_notices_and_takes_them_twice() {
    let mut runner = TestRunner::deterministic();
    let notices: Vec<Notice> = (0..12)
        .map(|_| sample::hostile().new_tree(&mut runner).expect("a notice").current())
        .chain([crate::test_notice("soc", &sample::identity())])
        .collect();
    let digest = sample::digest(notices);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("alerts.jsonl");
    let mail = Sink::start(Manner::default()).await;
    let collector = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let mut config = empty_config();
    config.email = Some(EmailChannel {
        security: SmtpSecurity::None,
        host: "127.0.0.1".into(),
        port: mail.port,
        from: "perimeterd@example.org".into(),
        username: None,
        password: None,
        ca_file: None,
    });
    let syslog = Syslog {
        transport: SyslogTransport::Tcp,
        host: "127.0.0.1".into(),
        port: collector.local_addr().expect("an address").port(),
        format: SyslogFormat::Cef,
        framing: Framing::Lf,
        facility: 16,
        ca_file: None,
    };
    let ways = [
        ("email", ChannelConfig::Email { to: vec!["soc@example.org".into()] }),
        ("jsonl", ChannelConfig::Jsonl(JsonlPath::File(file.clone()))),
        ("syslog", ChannelConfig::Syslog(syslog)),
    ];
    for (name, channel) in ways {
        let recipient =
            Recipient { channel, every: Interval::Immediate, profiles: Vec::new(), min_severity: Severity::INFO };
        config.recipients.insert(name.into(), recipient);
    }
    for outlet in outlets(&config, &sample::identity()) {
        assert_eq!(outlet.channel.kind(), &*outlet.recipient);
        assert!(!outlet.channel.describe().is_empty());
        for _ in 0..2 {
            let answer = timeout(Duration::from_secs(20), outlet.channel.deliver(&digest)).await.expect("in time");
            let Delivery::Delivered(answer) = answer else { panic!("{}: {answer:?}", outlet.recipient) };
            assert!(!answer.is_empty());
        }
    }
    assert_eq!(mail.seen().messages.len(), 2);
    let written = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(written.lines().filter(|line| serde_json::from_str::<model::Event>(line).is_ok()).count(), 26);
    // All channels are dropped by now, so the stream ends.
    let (mut stream, _) = collector.accept().await.expect("a connection");
    let mut received = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut received)).await.expect("in time").expect("UTF-8");
    assert_eq!(received.split_terminator('\n').filter(|line| line.contains("CEF:0|perimeterd|")).count(), 26);
    assert_eq!(received.split_terminator('\n').count(), 26);
    assert!(received.contains("TEST ALERT, nothing happened") && written.contains("\"test\":true"));
}

#[tokio::test]
async fn a_recipient_that_cannot_be_built_waits_and_says_why() {
    let mut config = empty_config();
    let channel = ChannelConfig::Email { to: vec!["nobody".into()] };
    let recipient =
        Recipient { channel, every: Interval::Immediate, profiles: Vec::new(), min_severity: Severity::INFO };
    config.recipients.insert("soc".into(), recipient);
    let outlets = outlets(&config, &sample::identity());
    let answer = outlets[0].channel.deliver(&sample::digest(vec![sample::port_open()])).await;
    let Delivery::RetryAfter { reason, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(reason, "recipient soc: `nobody` is not an e-mail address; write it like soc@example.org");
}
