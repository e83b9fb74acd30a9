//! The examples every perimeter monitor is asked for, and what each attribute is taken from.

use super::{at, engine, event, facts, matched, numbers, on, severity, test, texts};
use config::rule::{Attribute, Condition, Rule, Test, Value};
use model::{
    AddressRange, Event, EventCertificate, EventEndpoint, EventHost, EventService, EventType, Sha256, Software,
    Transport, Verdict,
};

const NOBODY: [&str; 0] = [];

fn certificate(issuer: &str) -> EventCertificate {
    EventCertificate {
        sha256: Sha256([7; 32]),
        spki_sha256: Sha256([8; 32]),
        subject: "CN=www.example.org".to_owned(),
        issuer: issuer.to_owned(),
        sans: vec!["www.example.org".to_owned(), "example.org".to_owned()],
        not_before: at(-86_400),
        not_after: at(7 * 86_400 + 60),
        self_signed: false,
        verdicts: vec![Verdict::NameMismatch],
    }
}

#[test]
fn not_windows_with_port_80() {
    let not_windows = test(Attribute::Os, Test::NotContains(vec!["Windows".to_owned()]));
    let port = test(Attribute::Port, Test::In(numbers(&[80])));
    let engine = engine(vec![on("non-windows-80", EventType::PortOpen, Condition::All(vec![port, not_windows]))]);
    let opened = |port: u16, os: Option<&str>| Event {
        endpoint: Some(EventEndpoint { transport: Transport::Tcp, port }),
        host: Some(EventHost { ip: super::ip(), names: Vec::new(), os: os.map(ToOwned::to_owned) }),
        ..event(EventType::PortOpen)
    };
    assert_eq!(matched(&engine, &opened(80, Some("Debian 12")), None), ["non-windows-80"]);
    assert_eq!(matched(&engine, &opened(80, Some("WINDOWS Server 2022")), None), NOBODY);
    assert_eq!(matched(&engine, &opened(81, Some("Debian 12")), None), NOBODY);
    // The one that a positive list misses: nobody knows what it is.
    assert_eq!(matched(&engine, &opened(80, None), None), ["non-windows-80"]);
}

#[test]
fn heartbleed_waits_for_findings_and_is_never_true_of_what_is_not_known() {
    let engine =
        engine(vec![on("heartbleed", EventType::VulnOpen, test(Attribute::Cve, Test::In(texts(&["CVE-2014-0160"]))))]);
    assert_eq!(matched(&engine, &event(EventType::VulnOpen), None), NOBODY);
}

#[test]
fn an_issuer_that_is_not_ours() {
    let not_ours = test(Attribute::Issuer, Test::NotContains(vec!["O=Example CA Inc".to_owned()]));
    let engine = engine(vec![on("only-our-ca", EventType::SslNew, not_ours)]);
    let served = |issuer| Event { certificate: Some(certificate(issuer)), ..event(EventType::SslNew) };
    assert_eq!(matched(&engine, &served("CN=Fast SSL, O=Elsewhere Ltd"), None), ["only-our-ca"]);
    assert_eq!(matched(&engine, &served("CN=Issuing 1, O=example ca inc, C=DE"), None), NOBODY);
    assert_eq!(matched(&engine, &event(EventType::SslNew), None), ["only-our-ca"], "unreadable is not ours");
}

#[test]
fn opened_and_not_web() {
    let when = Condition::All(vec![
        test(Attribute::Transport, Test::In(texts(&["tcp"]))),
        test(Attribute::Port, Test::NotIn(numbers(&[22, 80, 443]))),
    ]);
    let rule = Rule { severity: Some(severity(4)), ..on("open-not-web", EventType::PortOpen, when) };
    let engine = engine(vec![rule]);
    let opened =
        |transport, port| Event { endpoint: Some(EventEndpoint { transport, port }), ..event(EventType::PortOpen) };
    assert_eq!(matched(&engine, &opened(Transport::Tcp, 3389), None), ["open-not-web"]);
    assert_eq!(matched(&engine, &opened(Transport::Tcp, 443), None), NOBODY);
    assert_eq!(matched(&engine, &opened(Transport::Udp, 3389), None), NOBODY);
}

/// Where the value of each attribute comes from: the event first, then the facts about its host.
#[test]
fn attributes_come_from_the_event_then_from_the_host() {
    let port = |port| Some(EventEndpoint { transport: Transport::Tcp, port });
    let ssl = Event { certificate: Some(certificate("CN=Issuing 1")), metric: None, ..event(EventType::SslChanged) };
    let updated = Event {
        software: Some(Software { vendor: None, product: "nginx".into(), version: Some("1.24".into()), cpe: None }),
        old: Some("1.22".into()),
        new: Some("1.24".into()),
        reason: Some("read twice".into()),
        ..event(EventType::SoftwareUpdated)
    };
    let http = Event {
        service: Some(EventService {
            name: "http".into(),
            product: Some("Apache".into()),
            version: None,
            banner: Some("Server: Apache".into()),
            tls: true,
        }),
        name: Some("shop.example.org".into()),
        ..event(EventType::PortOpen)
    };
    let ssh = Event { endpoint: port(22), ..event(EventType::PortClosed) };
    let found = Event {
        endpoint: None,
        endpoints: vec!["198.51.100.7:23/tcp".into(), "[2001:db8::7]:161/udp".into(), "garbage".into()],
        ..event(EventType::HostFound)
    };
    let network = AddressRange::new([198, 51, 100, 0].into(), [198, 51, 100, 255].into()).expect("a range");
    let text = |text: &str| Test::In(texts(&[text]));
    let number = |number: u16| Test::In(numbers(&[number]));
    let yes = |truth| Test::In(vec![Value::Boolean(truth)]);
    let host = facts(&[22, 443]);
    // Event, whether the host's facts are at hand, attribute, a test it passes.
    for (event, with_host, attribute, test) in [
        (&http, false, Attribute::Ip, Test::In(vec![Value::Addresses(network)])),
        (&http, false, Attribute::Name, text("www.example.org")),
        (&http, false, Attribute::Name, text("SHOP.example.org")),
        (&http, false, Attribute::Asset, text("dmz")),
        (&http, false, Attribute::Tag, text("production")),
        (&http, false, Attribute::Value, number(3)),
        (&http, true, Attribute::Value, number(5)),
        (&http, false, Attribute::Approved, Test::Exists(false)),
        (&http, true, Attribute::Approved, yes(false)),
        (&http, false, Attribute::Os, text("Debian 12")),
        (&http, false, Attribute::OsFamily, Test::Exists(false)),
        (&http, true, Attribute::OsFamily, text("linux")),
        (&http, false, Attribute::OpenTcp, Test::Exists(false)),
        (&http, true, Attribute::OpenTcp, Test::SubsetOf(numbers(&[22, 443]))),
        (&http, true, Attribute::OpenUdp, Test::SubsetOf(Vec::new())),
        (&http, false, Attribute::Service, text("http")),
        (&http, false, Attribute::Product, text("apache")),
        (&http, true, Attribute::Version, Test::Exists(false)),
        (&http, false, Attribute::Banner, Test::StartsWith("Server:".into())),
        (&http, false, Attribute::Tls, yes(true)),
        (&http, false, Attribute::Severity, number(3)),
        (&ssh, false, Attribute::Service, Test::Exists(false)),
        (&ssh, true, Attribute::Service, text("ssh")),
        (&ssh, true, Attribute::Product, text("OpenSSH")),
        (&ssh, true, Attribute::Version, text("9.2p1")),
        (&ssh, true, Attribute::Tls, yes(false)),
        (&ssh, false, Attribute::Tls, Test::Exists(false)),
        (&updated, true, Attribute::Product, text("nginx")),
        (&updated, true, Attribute::Version, text("1.24")),
        (&updated, false, Attribute::Old, text("1.22")),
        (&updated, false, Attribute::New, text("1.24")),
        (&updated, false, Attribute::Reason, Test::Contains(vec!["twice".into()])),
        (&ssl, false, Attribute::Issuer, text("CN=Issuing 1")),
        (&ssl, false, Attribute::Subject, Test::EndsWith("example.org".into())),
        (&ssl, false, Attribute::San, text("example.org")),
        (&ssl, false, Attribute::SelfSigned, yes(false)),
        (&ssl, false, Attribute::DaysLeft, number(7)),
        (&ssl, false, Attribute::Verdict, text("name-mismatch")),
        (&ssl, false, Attribute::Tls, yes(true)),
        (&http, false, Attribute::Verdict, Test::Exists(false)),
        (&found, false, Attribute::OpenTcp, Test::AnyOf(numbers(&[23]))),
        (&found, false, Attribute::OpenUdp, Test::SubsetOf(numbers(&[161]))),
        (&found, false, Attribute::Port, number(23)),
        (&found, false, Attribute::Service, Test::Exists(false)),
        (&http, true, Attribute::Cve, Test::Exists(false)),
        (&http, true, Attribute::Kev, Test::Exists(false)),
        (&http, true, Attribute::Cvss, Test::Exists(false)),
        (&http, true, Attribute::Epss, Test::Exists(false)),
    ] {
        let rule = on("rule", event.kind, super::test(attribute, test.clone()));
        let ids = matched(&engine(vec![rule]), event, with_host.then_some(&host));
        assert_eq!(ids, ["rule"], "{attribute:?} {test:?}");
    }
}

#[test]
fn days_left_is_what_the_event_says_where_it_says_it() {
    let week = on("week", EventType::SslExpiry, test(Attribute::DaysLeft, Test::LessOrEqual(7.0)));
    let gone = on("gone", EventType::SslExpired, test(Attribute::DaysLeft, Test::Less(0.0)));
    let engine = engine(vec![week, gone]);
    let expiry = |kind, metric| Event { metric, certificate: Some(certificate("CN=x")), ..event(kind) };
    assert_eq!(matched(&engine, &expiry(EventType::SslExpiry, Some(7)), None), ["week"]);
    assert_eq!(matched(&engine, &expiry(EventType::SslExpiry, Some(30)), None), NOBODY);
    assert_eq!(matched(&engine, &expiry(EventType::SslExpiry, None), None), ["week"]);
    let late = Event { time: at(8 * 86_400), ..expiry(EventType::SslExpired, None) };
    assert_eq!(matched(&engine, &late, None), ["gone"]);
}
