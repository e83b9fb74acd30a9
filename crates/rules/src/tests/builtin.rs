//! The ready-made rule sets, as they are shipped: what becomes of the changes a first responder knows.

use super::{at, configuration, event, facts, matched};
use crate::Engine;
use config::{Config, builtin};
use model::{
    Event, EventCertificate, EventEndpoint, EventService, EventType, HostFacts, Severity, Sha256, Transport, Verdict,
};

fn shipped() -> Engine {
    let mut config: Config = configuration(&[("dmz", &["dmz"], Vec::new())]);
    let names: Vec<_> = builtin::names().collect();
    config.rulesets = names.iter().map(|&name| (name.into(), builtin::get(name).expect("shipped"))).collect();
    config.profiles.get_mut("dmz").expect("there").rulesets = names.into_iter().map(Into::into).collect();
    Engine::new(&config)
}

fn check(event: &Event, host: Option<&HostFacts>, severity: u8, rules: &[&str]) {
    let engine = shipped();
    assert_eq!(matched(&engine, event, host), rules, "{} {:?} {:?}", event.kind, event.endpoint, event.metric);
    assert_eq!(engine.evaluate(event, host, at(0))[0].severity.get(), severity, "{rules:?}");
}

fn opened(transport: Transport, port: u16, service: Option<&str>) -> Event {
    Event {
        endpoint: Some(EventEndpoint { transport, port }),
        service: service.map(|name| EventService { name: name.to_owned(), ..EventService::default() }),
        ..event(EventType::PortOpen)
    }
}

fn certificate(verdicts: &[Verdict]) -> EventCertificate {
    EventCertificate {
        sha256: Sha256([1; 32]),
        spki_sha256: Sha256([2; 32]),
        subject: "CN=www.example.org".to_owned(),
        issuer: "CN=Example CA".to_owned(),
        sans: Vec::new(),
        not_before: at(-1),
        not_after: at(90 * 86_400),
        self_signed: verdicts.contains(&Verdict::SelfSigned),
        verdicts: verdicts.to_vec(),
    }
}

#[test]
fn openings_weigh_by_what_opens() {
    use Transport::{Tcp, Udp};
    for (transport, port, service, severity, rules) in [
        (Tcp, 443, Some("http"), 3, &["port-open"][..]),
        (Tcp, 25, None, 3, &["port-open"]),
        (Tcp, 22, Some("ssh"), 4, &["port-open", "port-open-administration"]),
        (Udp, 53, Some("domain"), 4, &["port-open", "port-open-administration"]),
        (Tcp, 3389, None, 5, &["port-open", "port-open-remote-control", "port-open-unrecognised"]),
        (Tcp, 445, None, 5, &["port-open", "port-open-remote-control"]),
        (Tcp, 23, Some("telnet"), 5, &["port-open", "port-open-remote-control"]),
        (Tcp, 5901, Some("vnc"), 5, &["port-open", "port-open-remote-control"]),
        (Tcp, 3306, Some("mysql"), 5, &["port-open", "port-open-database"]),
        // Hidden on another port it is still a database.
        (Tcp, 12_345, Some("MySQL"), 5, &["port-open", "port-open-database"]),
        (Tcp, 2375, Some("http"), 5, &["port-open", "port-open-control-plane"]),
        (Tcp, 31_337, None, 4, &["port-open", "port-open-unrecognised"]),
        (Udp, 31_337, None, 3, &["port-open"]),
    ] {
        check(&opened(transport, port, service), None, severity, rules);
    }
}

#[test]
fn hosts_weigh_by_what_they_offer_and_are_worth() {
    let about = |kind| Event { endpoint: None, ..event(kind) };
    let modest = |ports: &[u16]| HostFacts { value: 3, ..facts(ports) };
    check(&about(EventType::HostFound), Some(&modest(&[443])), 3, &["host-found"]);
    check(&about(EventType::HostFound), Some(&modest(&[443, 3389])), 5, &["host-found", "host-found-exposed"]);
    check(&about(EventType::HostLost), Some(&modest(&[443])), 3, &["host-lost"]);
    check(&about(EventType::HostLost), Some(&facts(&[443])), 4, &["host-lost", "host-lost-valuable"]);
    check(&about(EventType::HostUp), None, 2, &["host-up"]);
    check(&about(EventType::HostNameChanged), None, 2, &["host-name-changed"]);
    check(&event(EventType::PortClosed), None, 2, &["port-closed"]);
    check(&event(EventType::PortClosed), Some(&facts(&[])), 3, &["port-closed", "port-closed-valuable"]);
    check(&event(EventType::PortChanged), None, 2, &["port-changed"]);
    check(&event(EventType::SoftwareUpdated), None, 2, &["software-changed"]);
}

#[test]
fn certificates_weigh_more_as_the_days_run_out() {
    for (days, severity, count) in
        [(60, 2, 1), (30, 2, 1), (14, 3, 2), (8, 3, 2), (7, 4, 3), (3, 4, 3), (1, 5, 4), (0, 5, 4)]
    {
        let expiry = Event { metric: Some(days), certificate: Some(certificate(&[])), ..event(EventType::SslExpiry) };
        let alerts = shipped().evaluate(&expiry, None, at(0));
        assert_eq!((alerts[0].severity.get(), alerts[0].rules.len()), (severity, count), "{days} days");
    }
    let served = |kind, verdicts: &[Verdict]| Event { certificate: Some(certificate(verdicts)), ..event(kind) };
    check(&served(EventType::SslExpired, &[]), None, 5, &["certificate-expired"]);
    check(&served(EventType::SslRogue, &[]), None, 4, &["certificate-rogue"]);
    check(&served(EventType::SslNew, &[]), None, 2, &["certificate-new"]);
    check(
        &served(EventType::SslNew, &[Verdict::SelfSigned]),
        None,
        3,
        &["certificate-new", "certificate-new-self-signed"],
    );
    let replaced = ["certificate-replaced", "certificate-replaced-unexpectedly"];
    check(&served(EventType::SslChanged, &[]), None, 3, &replaced);
    let renewed = Event { severity: Severity::INFO, ..served(EventType::SslChanged, &[]) };
    check(&renewed, None, 1, &replaced[..1]);
    check(
        &served(EventType::SslChanged, &[Verdict::NameMismatch]),
        None,
        4,
        &["certificate-replaced", "certificate-replaced-unexpectedly", "certificate-replaced-broken"],
    );
}

#[test]
fn the_monitor_speaks_of_itself() {
    let own = |kind| Event::new(kind, at(0), &"scan1".into(), &0);
    check(&own(EventType::BaselineDone), None, 1, &["baseline-done"]);
    check(&own(EventType::SensorDegraded), None, 4, &["sensor-degraded"]);
    check(&own(EventType::SensorOk), None, 1, &["sensor-ok"]);
    check(&own(EventType::NotifyFailed), None, 4, &["notify-failed"]);
}

/// Of all that this version raises, only the operator's own actions reach nobody.
#[test]
fn nothing_that_happens_is_left_out() {
    let left_out: Vec<_> = EventType::ALL
        .iter()
        .filter(|kind| kind.is_emitted() && matched(&shipped(), &event(**kind), None).is_empty())
        .collect();
    assert_eq!(left_out, [&EventType::ConfigReloaded, &EventType::Audit]);
}
