mod parsers;
mod sinks;

use super::{cef, deliver::SyslogChannel, rfc5424};
use crate::{Channel, sample};
use config::{Framing, Syslog, SyslogFormat, SyslogTransport};
use jiff::Timestamp;
use model::{EventType, Notice, Severity};
use parsers::{by_characters, by_splitting};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn config(transport: SyslogTransport, port: u16, framing: Framing) -> Syslog {
    Syslog {
        transport,
        host: "127.0.0.1".into(),
        port,
        format: SyslogFormat::Cef,
        framing,
        facility: 16,
        ca_file: None,
    }
}

pub(super) fn channel(config: &Syslog) -> Arc<dyn Channel> {
    super::build("siem", config, &sample::identity()).expect("a channel")
}

fn bare() -> SyslogChannel {
    SyslogChannel {
        config: config(SyslogTransport::Tcp, 514, Framing::Lf),
        server_name: "127.0.0.1".try_into().expect("an address"),
        identity: sample::identity(),
        stream: tokio::sync::Mutex::default(),
    }
}

#[test]
fn the_example_of_the_mapping() {
    let notice = sample::port_open();
    let id = notice.alert.id;
    assert_eq!(
        bare().message(&notice, 8192),
        format!(
            "<131>1 2026-11-21T10:05:03.120Z scan1.example.net perimeterd 811 PORT_OPEN - \
             CEF:0|perimeterd|perimeterd|0.3.0|PORT_OPEN|Port opened|8|rt=1795255503120 externalId={id} \
             deviceExternalId=scan1 dvchost=scan1.example.net dst=192.0.2.7 dhost=www.example.org dpt=3389 proto=TCP \
             app=ms-wbt-server act=opened outcome=success cat=/Port cs1Label=profile cs1=dmz cs2Label=rules cs2=open-not-web \
             cs3Label=newValue cs3=open cs4Label=oldValue cs4=closed cs5Label=operatingSystem cs5=Debian 12 \
             cn1Label=alertSeverity cn1=4 start=1795255503120 deviceCustomDate1Label=firstSeen \
             deviceCustomDate1=1795255503120 end=1795255503120 reason=connected twice \
             msg=192.0.2.7 opened 3389/tcp (ms-wbt-server)"
        )
    );
}

#[test]
fn ipv6_goes_where_version_0_allows_it() {
    let mut notice = sample::port_open();
    notice.event.host.as_mut().expect("a host").ip = "2001:db8::7".parse().expect("an address");
    let text = cef::message(&notice, &sample::identity(), 8192);
    let (_, fields) = by_characters(&text).expect("CEF");
    assert_eq!(fields.get("dst"), None);
    assert_eq!(fields["c6a3"], "2001:db8::7");
    assert_eq!(fields["c6a3Label"], "destinationIPv6Address");
}

#[test]
fn a_certificate_fills_its_slots_and_a_test_says_so() {
    let mut event = sample::on_port(EventType::SslChanged, 443);
    event.certificate = Some(sample::certificate());
    (event.old, event.metric) = (Some("3f2a".into()), Some(-2));
    let mut notice = sample::notice(event, 1, 3);
    notice.test = true;
    let (_, fields) = by_characters(&cef::message(&notice, &sample::identity(), 8192)).expect("CEF");
    for (key, expect) in [
        ("cs3", "CN=www.example.org;CN=Other CA".to_owned()),
        ("cs4", "3f2a".to_owned()),
        ("cs6", "ab".repeat(32)),
        ("cn2", "-2".to_owned()),
        ("deviceCustomDate2Label", "dueOrNotAfter".to_owned()),
        ("cat", "/Certificate".to_owned()),
    ] {
        assert_eq!(fields[key], expect, "{key}");
    }
    assert!(fields["msg"].starts_with("TEST ALERT, nothing happened: "));
}

#[test]
fn severities_are_those_of_both_standards() {
    for (severity, cef_severity, priority) in
        [(1, "1", 134), (2, "3", 133), (3, "5", 132), (4, "8", 131), (5, "10", 130)]
    {
        let notice = sample::notice(sample::on_port(EventType::PortOpen, 1), 1, severity);
        assert_eq!(notice.alert.severity, Severity::try_from(severity).expect("1 to 5"));
        let text = bare().message(&notice, 8192);
        assert!(text.starts_with(&format!("<{priority}>1 ")), "{text}");
        let (header, _) = by_characters(&text[text.find("CEF:0").expect("CEF")..]).expect("CEF");
        assert_eq!(header[6], cef_severity);
    }
}

/// The header by its grammar: PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP SD.
fn check_header(header: &str) {
    let rest = header.strip_prefix('<').expect("PRI");
    let (priority, rest) = rest.split_once('>').expect("PRI");
    assert!(priority.parse::<u8>().expect("a number") <= 191);
    let parts: Vec<&str> = rest.split(' ').collect();
    let [version, time, host, app, pid, msgid, data, ""] = parts.as_slice() else { panic!("{header:?}") };
    assert_eq!((*version, *app, *data), ("1", "perimeterd", "-"));
    assert!(time.parse::<Timestamp>().is_ok() && time.len() == "2026-11-21T10:05:03.120Z".len() && time.ends_with('Z'));
    for (part, max) in [(host, 255), (pid, 128), (msgid, 32)] {
        assert!(!part.is_empty() && part.len() <= max && part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
    }
}

/// What a value must read back as: what the receiver is to see of it.
fn visible(value: &str, max: usize) -> String {
    let shown: String = value
        .chars()
        .take(max)
        .map(|c| match c {
            '\n' | '\r' => c,
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
            c if crate::plain::is_unseen(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    shown.trim().to_owned()
}

/// `CEF:` and `LEEF:` with the colon changed, found by another way than the writer's.
fn without_format_names(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut bytes = text.as_bytes().to_vec();
    for (at, ()) in lower
        .match_indices("cef:")
        .map(|(at, _)| (at + 3, ()))
        .chain(lower.match_indices("leef:").map(|(at, _)| (at + 4, ())))
    {
        bytes[at] = b'_';
    }
    String::from_utf8(bytes).expect("only ASCII was changed")
}

fn check_notice(notice: &Notice, limit: usize) -> Result<BTreeMap<String, String>, TestCaseError> {
    let text = bare().message(notice, limit);
    prop_assert!(text.len() <= limit, "{} bytes", text.len());
    prop_assert!(!text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{text:?}");
    prop_assert_eq!(text.to_ascii_lowercase().matches("cef:").count(), 1);
    prop_assert_eq!(text.to_ascii_lowercase().matches("leef:").count(), 0);
    let at = text.find("CEF:0").expect("CEF");
    check_header(&text[..at]);
    let (header, fields) = by_characters(&text[at..]).map_err(TestCaseError::fail)?;
    let (header_too, fields_too) = by_splitting(&text[at..]).map_err(TestCaseError::fail)?;
    prop_assert_eq!(&header, &header_too);
    prop_assert_eq!(&fields, &fields_too);
    prop_assert_eq!(header.len(), 7);
    prop_assert_eq!(&header[4], notice.event.kind.as_str());
    prop_assert_eq!(&fields["externalId"], &notice.alert.id.to_string());
    prop_assert!(fields.values().all(|value| !value.is_empty()), "empty values break receivers");
    for key in fields.keys() {
        if let Some(of) = key.strip_suffix("Label") {
            prop_assert!(fields.contains_key(of), "{} without its value", key);
        }
    }
    Ok(fields)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn hostile_notices_read_back_whole(notice in sample::hostile()) {
        let fields = check_notice(&notice, 64 * 1024)?;
        let event = &notice.event;
        let expect = [
            ("reason", event.reason.as_deref(), 1023),
            ("cs4", event.old.as_deref(), 1023),
            ("app", event.service.as_ref().map(|service| service.name.as_str()), 31),
            ("cs5", event.host.as_ref().and_then(|host| host.os.as_deref()), 255),
        ];
        for (key, value, max) in expect {
            let expect = without_format_names(&visible(value.unwrap_or_default(), max));
            prop_assert_eq!(fields.get(key).map_or("", String::as_str), expect, "{}", key);
        }
        // Nothing a value says can become a key: every key is one of ours.
        for key in fields.keys() {
            prop_assert!(parsers::OUR_KEYS.contains(&key.as_str()), "{}", key);
        }
    }

    #[test]
    fn hostile_notices_fit_a_stream_and_a_datagram(notice in sample::hostile()) {
        check_notice(&notice, 8 * 1024)?;
        check_notice(&notice, 1400)?;
    }

    #[test]
    fn any_notices_are_a_message_each_in_both_framings(notices in proptest::collection::vec(sample::hostile(), 1..4)) {
        let messages: Vec<String> = notices.iter().map(|notice| bare().message(notice, 8192)).collect();
        for framing in [Framing::Lf, Framing::Octet] {
            let mut stream = Vec::new();
            for message in &messages {
                rfc5424::frame(message, framing, &mut stream);
            }
            prop_assert_eq!(parsers::deframe(&stream, framing), messages.clone());
        }
    }
}

#[test]
fn what_does_not_fit_goes_in_the_fixed_order() {
    let mut notice = sample::port_open();
    let host = notice.event.host.as_mut().expect("a host");
    host.os = Some("os ".repeat(60));
    notice.event.old = Some("old ".repeat(200));
    notice.event.service.as_mut().expect("a service").name = "n=".repeat(400);
    let identity = sample::identity();
    let keys = |room: usize| {
        let text = cef::message(&notice, &identity, room);
        assert!(text.len() <= room);
        by_characters(&text).expect("CEF").1
    };
    let all = cef::message(&notice, &identity, usize::MAX).len();
    let whole = keys(all);
    assert!(whole.contains_key("cs5") && whole.contains_key("cs4") && !whole["msg"].contains("[truncated]"));
    let one_less = keys(all - 1);
    assert!(!one_less.contains_key("cs5") && one_less.contains_key("cs4"));
    let without_cs5 = cef::message(&notice, &identity, all - 1).len();
    let two_less = keys(without_cs5 - 1);
    assert!(
        !two_less.contains_key("cs4") && !two_less.contains_key("cs4Label") && !two_less["msg"].contains("[truncated]")
    );
    let without_cs4 = cef::message(&notice, &identity, without_cs5 - 1).len();
    let cut = keys(without_cs4 - 1);
    assert!(
        cut["msg"].ends_with(" [truncated]") && cut["msg"].starts_with("192.0.2.7 opened 3389/tcp"),
        "{}",
        cut["msg"]
    );
    assert!(cut.contains_key("reason"));
    assert!(keys(500).contains_key("externalId"));
}
