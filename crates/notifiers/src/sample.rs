//! Notices for the tests of every channel.

pub(crate) mod tls;

use crate::{Digest, Identity};
use jiff::Timestamp;
use model::{
    Alert, AlertId, AlertRef, Clock, Event, EventCertificate, EventEndpoint, EventHost, EventService, EventType,
    Evidence, Notice, Severity, Sha256, Software, Transport, to_millisecond,
};
use proptest::prelude::*;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// A wall clock that follows tokio's, so that paused time moves both.
#[derive(Debug)]
pub(crate) struct TokioClock {
    base: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    pub(crate) fn at(base: &str) -> Arc<Self> {
        Arc::new(Self { base: base.parse().expect("a time"), start: tokio::time::Instant::now() })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        to_millisecond(self.base + self.start.elapsed())
    }
}

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        time()
    }
}

pub(crate) fn time() -> Timestamp {
    Timestamp::from_millisecond(1_795_255_503_120).expect("in range")
}

pub(crate) fn identity() -> Identity {
    Identity::new("scan1", "scan1.example.net", "0.3.0", Some(811), Arc::new(Stopped))
}

pub(crate) fn event(kind: EventType) -> Event {
    let mut event = Event::new(kind, time(), &"scan1".into(), &1);
    event.host = Some(EventHost { ip: Ipv4Addr::new(192, 0, 2, 7).into(), names: Vec::new(), os: None });
    event.assets = vec!["dmz".into()];
    event
}

pub(crate) fn on_port(kind: EventType, port: u16) -> Event {
    let mut event = event(kind);
    event.endpoint = Some(EventEndpoint { transport: Transport::Tcp, port });
    event
}

pub(crate) fn certificate() -> EventCertificate {
    EventCertificate {
        sha256: Sha256([0xab; 32]),
        spki_sha256: Sha256([0xcd; 32]),
        subject: "CN=www.example.org".into(),
        issuer: "CN=Other CA".into(),
        sans: vec!["www.example.org".into()],
        not_before: time(),
        not_after: "2027-11-21T00:00:00Z".parse().expect("a time"),
        self_signed: false,
        verdicts: Vec::new(),
    }
}

pub(crate) fn notice(event: Event, seq: u64, severity: u8) -> Notice {
    let severity = Severity::try_from(severity).expect("1 to 5");
    let alert = Alert {
        id: AlertId::of(event.id, event.time, "dmz"),
        event: event.id,
        profile: "dmz".into(),
        rules: vec!["open-not-web".into()],
        severity,
        time: event.time,
    };
    let mut event = event;
    event.seq = Some(seq);
    event.alerts = vec![AlertRef { id: alert.id, profile: alert.profile.clone(), rules: alert.rules.clone() }];
    Notice { seq, alert, event, test: false }
}

/// The example of the CEF mapping: RDP opened on a host of the DMZ.
pub(crate) fn port_open() -> Notice {
    let mut event = on_port(EventType::PortOpen, 3389);
    event.host = Some(EventHost {
        ip: Ipv4Addr::new(192, 0, 2, 7).into(),
        names: vec!["www.example.org".into()],
        os: Some("Debian 12".into()),
    });
    event.service = Some(EventService { name: "ms-wbt-server".into(), ..EventService::default() });
    (event.old, event.new) = (Some("closed".into()), Some("open".into()));
    event.reason = Some("connected twice".into());
    event.evidence = vec![Evidence { at: time(), what: "connected".into() }];
    event.first_seen = Some(time());
    event.last_seen = Some(time());
    notice(event, 4711, 4)
}

pub(crate) fn digest(notices: Vec<Notice>) -> Digest {
    let (first, last) = (notices.first().map_or(0, |n| n.seq), notices.last().map_or(0, |n| n.seq));
    Digest {
        id: format!("soc.{first}-{last}"),
        recipient: "soc".into(),
        from: "2026-11-21T10:00:00Z".parse().expect("a time"),
        to: "2026-11-21T10:05:00Z".parse().expect("a time"),
        notices,
    }
}

/// Text an attacker might choose.
pub(crate) fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\\\|=\r\n\0\u{2028}\u{202e}\u{85} a-c]{0,40}",
        Just("CEF:0|Evil|Evil|1|X|Y|10|msg=gotcha".to_owned()),
        Just("cEf:0|LeEf:2.0|x".to_owned()),
        Just("C\0EF:0|".to_owned()),
        Just("\r\n.\r\nRCPT TO:<victim@example.org>\r\n".to_owned()),
        Just("x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>".to_owned()),
        Just("<a href=\"http://evil.example/\" onmouseover='x'>&amp;</a>".to_owned()),
        Just("evil cs1=forged dst=10.0.0.1 ".to_owned()),
        Just("trailing backslash \\".to_owned()),
        (0_usize..3).prop_map(|n| ["A", "\\", "=é"][n].repeat(10_000)),
    ]
}

/// A notice of any type in which every text an attacker might choose is hostile.
pub(crate) fn hostile() -> impl Strategy<Value = Notice> {
    let texts = proptest::collection::vec(hostile_text(), 12);
    (0..EventType::ALL.len(), any::<IpAddr>(), any::<bool>(), texts, 1_u8..=5, any::<bool>(), any::<u16>()).prop_map(
        |(kind, ip, present, texts, severity, test, port)| {
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap_or_default();
            let mut event = on_port(EventType::ALL.get(kind).copied().unwrap_or(EventType::PortOpen), port);
            event.host = Some(EventHost { ip, names: vec![text(), text()], os: Some(text()) });
            event.service = Some(EventService {
                name: text(),
                product: Some(text()),
                version: Some("1".into()),
                banner: Some(text()),
                tls: present,
            });
            (event.old, event.new, event.reason) = (Some(text()), Some(text()), Some(text()));
            event.name = present.then(&mut text);
            if present {
                let (subject, issuer) = (text(), text());
                event.certificate = Some(EventCertificate { subject, issuer, ..certificate() });
                let product = text();
                event.software = Some(Software { vendor: None, cpe: Some(product.clone()), version: None, product });
                event.evidence = vec![Evidence { at: time(), what: text() }];
            }
            let mut notice = notice(event, 9, severity);
            notice.test = test;
            notice
        },
    )
}
