//! A small language for stories about one sensor's view. Every step is also checked to be idempotent, and to come out the
//! same after a restart.

#![allow(dead_code, reason = "each test file uses its own part of the language")]

use inventory::{Change, ConfirmRequest, Inventory, Question};
use jiff::Timestamp;
use model::{
    AddressSet, AuditObservation, Certificate, ClosedReason, Coverage, Endpoint, Event, EventType, HostPolicy,
    HostSlice, KeyInfo, Lane, NameObservation, NameSource, OpenReason, Outcome, PassId, PassKind, PassRef,
    PortObservation, PortSet, Presence, Service, ServiceObservation, Sha256, Sign, Target, TlsAudit, TlsObservation,
    TlsPosture, Transport, Vantage, Weakness,
};
use std::{net::IpAddr, sync::Arc};
use uuid::Uuid;

pub(crate) const START: i64 = 1_795_255_500;

pub(crate) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).expect("in range")
}

#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Port(Transport, u16, Outcome),
    Service(Box<ServiceObservation>),
    Audit(Box<AuditObservation>),
    Names(Vec<&'static str>),
    Mac(model::Mac),
    /// It was asked whether it is there, and showed itself by that or by nothing.
    Presence(Option<Sign>),
}

pub(crate) fn shows(sign: Sign) -> Seen {
    Seen::Presence(Some(sign))
}

pub(crate) const NO_SIGN: Seen = Seen::Presence(None);

pub(crate) fn open(port: u16) -> Seen {
    Seen::Port(Transport::Tcp, port, Outcome::Open(OpenReason::Connected))
}

pub(crate) fn reply(port: u16) -> Seen {
    Seen::Port(Transport::Udp, port, Outcome::Open(OpenReason::Reply))
}

pub(crate) fn refused(port: u16) -> Seen {
    Seen::Port(Transport::Tcp, port, Outcome::Closed(ClosedReason::Refused))
}

pub(crate) fn rst(port: u16) -> Seen {
    Seen::Port(Transport::Tcp, port, Outcome::Closed(ClosedReason::Rst))
}

pub(crate) fn unreachable(port: u16) -> Seen {
    Seen::Port(Transport::Udp, port, Outcome::Closed(ClosedReason::PortUnreachable))
}

pub(crate) fn silent(port: u16) -> Seen {
    Seen::Port(Transport::Tcp, port, Outcome::Silent)
}

pub(crate) fn outcome(port: u16, outcome: Outcome) -> Seen {
    Seen::Port(Transport::Tcp, port, outcome)
}

pub(crate) fn names(names: &[&'static str]) -> Seen {
    Seen::Names(names.to_vec())
}

/// `ssh OpenSSH 9.2p1`: protocol, product, version; the last two may be missing.
pub(crate) fn service(text: &str) -> Service {
    let mut words = text.split(' ').map(str::to_owned);
    Service {
        name: words.next().unwrap_or_default(),
        product: words.next(),
        version: words.next(),
        confidence: 0.9,
        banner: Some(format!("banner of {text}")),
        ..Service::default()
    }
}

fn conversation(port: u16, service: Option<Service>, tls: Option<TlsObservation>) -> Seen {
    Seen::Service(Box::new(ServiceObservation {
        endpoint: Endpoint::tcp(IpAddr::from([0, 0, 0, 0]), port),
        name: None,
        at: time(0),
        service,
        tls,
        connections: 1,
        learnt: false,
        heard: None,
    }))
}

/// What an audit of the TLS at a port asked for, and what of it is there.
pub(crate) fn audited(port: u16, asked: &[Weakness], found: &[Weakness]) -> Seen {
    Seen::Audit(Box::new(AuditObservation {
        endpoint: Endpoint::tcp(IpAddr::from([0, 0, 0, 0]), port),
        name: None,
        at: time(0),
        posture: Box::new(TlsPosture { heartbeat: Some(false), ..TlsPosture::default() }),
        weaknesses: TlsAudit { asked: asked.iter().copied().collect(), found: found.iter().copied().collect() },
    }))
}

/// Somebody speaks there.
pub(crate) fn speaks(port: u16, text: &str) -> Seen {
    conversation(port, Some(service(text)), None)
}

/// The same with everything it says.
pub(crate) fn says(port: u16, service: &Service) -> Seen {
    conversation(port, Some(service.clone()), None)
}

/// An SSH server that shows that key: one number, one key.
pub(crate) fn ssh(port: u16, text: &str, algorithm: &str, number: u8) -> Seen {
    conversation(port, Some(Service { ssh_key: Some(ssh_key(algorithm, number)), ..service(text) }), None)
}

pub(crate) fn ssh_key(algorithm: &str, number: u8) -> model::SshKey {
    model::SshKey { algorithm: algorithm.to_owned(), sha256: Sha256([number; 32]) }
}

/// Somebody speaks there, and lets its operating system be known: `linux Debian 12`.
pub(crate) fn runs(port: u16, text: &str, os: &str, confidence: f32) -> Seen {
    let mut words = os.split(' ').map(str::to_owned);
    let os = model::Os {
        family: words.next().unwrap_or_default(),
        product: words.next(),
        version: words.next(),
        confidence,
    };
    conversation(port, Some(Service { os: Some(os), ..service(text) }), None)
}

/// The link-layer address that answers.
pub(crate) fn mac(last: u8) -> Seen {
    Seen::Mac(model::Mac([0x02, 0, 0x5e, 0x10, 0, last]))
}

/// It accepts and says nothing recognised.
pub(crate) fn mute(port: u16) -> Seen {
    conversation(port, None, None)
}

/// Somebody speaks there inside TLS, with that certificate.
pub(crate) fn tls(port: u16, text: &str, certificate: &Certificate) -> Seen {
    let tls = TlsObservation {
        certificate: Some(certificate.clone()),
        ..TlsObservation::new("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    };
    conversation(port, Some(service(text)), Some(tls))
}

/// A certificate by its number and issuer, valid from 30 days ago for that many days.
pub(crate) fn certificate(number: u8, issuer: &str, days: i64) -> Certificate {
    let not_before = time(-30 * 86_400);
    Certificate {
        sha256: Sha256([number; 32]),
        spki_sha256: Sha256([number ^ 0x80; 32]),
        tbs_sha256: None,
        version: Some(3),
        subject: "CN=www.example.org".to_owned(),
        issuer: issuer.to_owned(),
        issuer_attributes: issuer.split(", ").map(str::to_owned).collect(),
        sans: vec!["www.example.org".to_owned()],
        serial: number.to_string(),
        not_before,
        not_after: Timestamp::from_second(not_before.as_second() + days * 86_400).expect("in range"),
        key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
        signature: "ecdsa-with-SHA256".to_owned(),
        self_signed: false,
        scts: 0,
        unreadable: Vec::new(),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) inventory: Inventory,
    pub(crate) policy: HostPolicy,
    pub(crate) events: Vec<Event>,
    pub(crate) requests: Vec<ConfirmRequest>,
    pub(crate) passes: u64,
    /// Slices that said nothing but what was known.
    pub(crate) unchanged: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            inventory: Inventory::new(Vantage::from("scan1")),
            policy: HostPolicy {
                assets: Arc::from([Arc::from("dmz")]),
                tags: Arc::from([Arc::from("production")]),
                value: 3,
                confirm: model::Confirm {
                    service_changed: model::ConfirmRule { passes: 2, at_least: std::time::Duration::ZERO },
                    certificate_changed: model::ConfirmRule { passes: 3, at_least: std::time::Duration::ZERO },
                    ..model::Confirm::default()
                },
                ..HostPolicy::default()
            },
            events: Vec::new(),
            requests: Vec::new(),
            passes: 0,
            unchanged: 0,
        }
    }

    /// The lane asked ports 1 to 1024 of 192.0.2.0/24 before, and they were as they are known now.
    pub(crate) fn covered() -> Self {
        let mut world = Self::new();
        world.cover("192.0.2.0/24", "1-1024");
        world
    }

    /// Nobody was at these addresses when they were asked.
    pub(crate) fn nobody_at(&mut self, addresses: &str) {
        let change = self.inventory.nobody_at(&"dmz".into(), Lane::Likely, &address_set(addresses));
        self.inventory.install(&change);
    }

    pub(crate) fn cover(&mut self, addresses: &str, ports: &str) {
        let change =
            self.inventory.group_done(&"dmz".into(), Lane::Likely, &coverage(ports), &address_set(addresses), time(0));
        self.inventory.install(&change);
    }

    /// One slice of a new pass; gives the types of the events it leads to.
    pub(crate) fn sees(&mut self, second: i64, ip: &str, seen: &[Seen]) -> Vec<&'static str> {
        self.passes += 1;
        let slice = slice(second, ip, self.passes, seen);
        self.apply(&slice)
    }

    pub(crate) fn apply(&mut self, slice: &HostSlice) -> Vec<&'static str> {
        let change = self.inventory.apply(slice, &self.policy, slice.at);
        assert_eq!(self.restarted().apply(slice, &self.policy, slice.at), change, "a restart changes the future");
        let mut shortcut = self.inventory.clone();
        let unchanged = shortcut.note_unchanged(slice, &self.policy, slice.at);
        if !unchanged {
            self.assert_same(&shortcut, "a slice that was not taken leaves traces");
        }
        self.take(&change);
        if unchanged {
            self.unchanged += 1;
            let told = (&change.events, &change.requests, &change.certificates, &change.removed_hosts);
            assert_eq!(told, (&Vec::new(), &Vec::new(), &Vec::new(), &Vec::new()), "a change was overlooked");
            self.assert_same(&shortcut, "the shortcut leads elsewhere");
            let touched = shortcut.take_touched(usize::MAX);
            assert_eq!(touched, self.inventory.host(slice.ip).into_iter().collect::<Vec<_>>());
        }
        let again = self.inventory.apply(slice, &self.policy, slice.at);
        assert_eq!(again, Change::default(), "the same slice twice is not once");
        assert_eq!(self.restarted().pending(), self.inventory.pending());
        kinds(&change.events)
    }

    /// The same is seen again whenever the detector asks, until it asks no more; gives what is told, and when the last look
    /// was.
    pub(crate) fn settles(&mut self, ip: &str, seen: &[Seen]) -> (Vec<&'static str>, i64) {
        let (mut told, mut last) = (Vec::new(), 0);
        for _ in 0..40 {
            let asked = self.inventory.pending_about(ip.parse().expect("an address"));
            let Some(request) = asked.first() else { break };
            // Served a moment after it is due.
            last = request.at.as_millisecond().div_euclid(1_000) - START + 1;
            told.extend(self.sees(last, ip, seen));
        }
        (told, last)
    }

    fn assert_same(&self, other: &Inventory, complaint: &str) {
        let all = |inventory: &Inventory| inventory.hosts().collect::<Vec<_>>();
        assert_eq!(all(other), all(&self.inventory), "{complaint}");
        assert_eq!(other.pending(), self.inventory.pending(), "{complaint}");
        assert_eq!(other.counts(), self.inventory.counts(), "{complaint}");
    }

    pub(crate) fn tick(&mut self, second: i64) -> Vec<&'static str> {
        let change = self.inventory.tick(time(second));
        assert_eq!(self.restarted().tick(time(second)), change, "a restart changes the future");
        self.take(&change);
        assert_eq!(self.inventory.tick(time(second)), Change::default());
        kinds(&change.events)
    }

    pub(crate) fn take(&mut self, change: &Change) {
        for event in &change.events {
            assert!(!event.evidence.is_empty(), "{} without evidence", event.kind);
            assert!(event.reason.is_some(), "{} without a reason", event.kind);
            assert!(event.first_seen.is_some() && event.last_seen.is_some(), "{} without times", event.kind);
            assert!(self.events.iter().all(|known| known.id != event.id), "{} twice under one id", event.kind);
            self.events.push(event.clone());
        }
        self.requests.clone_from(&change.requests);
        self.inventory.install(change);
    }

    pub(crate) fn last(&self) -> &Event {
        self.events.last().expect("an event")
    }

    pub(crate) fn event(&self, kind: EventType) -> &Event {
        self.events.iter().rfind(|event| event.kind == kind).expect("an event of that type")
    }

    /// What is asked next, with the seconds from the start.
    pub(crate) fn asked(&self) -> Vec<(i64, Question)> {
        self.requests.iter().map(|request| (request.at.as_second() - START, request.question.clone())).collect()
    }

    pub(crate) fn restarted(&self) -> Inventory {
        fn round<T: serde::Serialize + serde::de::DeserializeOwned>(items: impl Iterator<Item = T>) -> Vec<T> {
            let text = serde_json::to_string(&items.collect::<Vec<_>>()).expect("serialises");
            serde_json::from_str(&text).expect("reads back")
        }
        let mut restored = Inventory::restore(
            self.inventory.vantage().clone(),
            round(self.inventory.hosts()),
            round(self.inventory.certificates().cloned()),
            round(self.inventory.regions().cloned()),
            round(self.inventory.baselines().iter().cloned()),
        );
        restored.restore_pools(round(self.inventory.pools().cloned()));
        restored
    }
}

pub(crate) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

pub(crate) fn coverage(ports: &str) -> Coverage {
    Coverage {
        tcp: Arc::new(PortSet::parse(ports, Transport::Tcp).expect("ports")),
        udp: Arc::new(PortSet::parse("53,123,161", Transport::Udp).expect("ports")),
    }
}

pub(crate) fn address_set(text: &str) -> AddressSet {
    text.parse::<Target>().expect("a target").range().into_iter().collect()
}

pub(crate) fn pass(number: u64) -> PassRef {
    PassRef {
        id: PassId(Uuid::from_u128(u128::from(number))),
        profile: "dmz".into(),
        lane: Lane::Likely,
        kind: PassKind::Sweep,
    }
}

/// Ports are seen at that second, conversations 10 ms later.
pub(crate) fn slice(second: i64, ip: &str, number: u64, seen: &[Seen]) -> HostSlice {
    let ip: IpAddr = ip.parse().expect("an address");
    let at = time(second);
    let later = Timestamp::from_millisecond(at.as_millisecond() + 10).expect("in range");
    let mut slice = HostSlice {
        vantage: Vantage::from("scan1"),
        ip,
        pass: pass(number),
        at: later,
        covered: Coverage::default(),
        ports: Vec::new(),
        services: Vec::new(),
        audits: Vec::new(),
        names: Vec::new(),
        mac: None,
        presence: None,
    };
    for seen in seen {
        match seen.clone() {
            Seen::Port(transport, port, outcome) => slice.ports.push(PortObservation {
                endpoint: Endpoint { ip, transport, port },
                outcome,
                at,
                attempts: 1,
                refused: 0,
                rtt_us: Some(300),
            }),
            Seen::Service(mut seen) => {
                seen.endpoint.ip = ip;
                seen.at = later;
                slice.services.push(*seen);
            }
            Seen::Names(names) => slice.names.push(NameObservation {
                source: NameSource::Ptr,
                names: names.into_iter().map(str::to_owned).collect(),
                at,
            }),
            Seen::Mac(mac) => slice.mac = Some(mac),
            Seen::Presence(sign) => slice.presence = Some(Presence { at, sign }),
            Seen::Audit(mut seen) => {
                seen.endpoint.ip = ip;
                seen.at = later;
                slice.audits.push(*seen);
            }
        }
    }
    slice
}
