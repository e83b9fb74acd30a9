use crate::{AlertId, Certificate, EventType, Severity, Sha256, Software, Transport, Vantage, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::{fmt, hash::Hash, net::IpAddr};
use uuid::Uuid;

/// Identifies an event for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An id in the layout of UUID version 7 (RFC 9562): the time, then bits that follow from what is identified rather than
/// from chance. A pure function, so the same decision made twice carries the same id.
pub fn derive_id(time: Timestamp, kind: &str, subject: &impl Hash) -> Uuid {
    let mut hasher = SipHasher13::new();
    (time.as_millisecond(), kind).hash(&mut hasher);
    subject.hash(&mut hasher);
    let random = hasher.finish128().as_bytes();
    let millisecond = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millisecond.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random[..10]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

/// A confirmed change. Serialises to the event of the design's §5; only the parts that apply are present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The layout's version: 1.
    pub schema: u8,
    pub id: EventId,
    /// The place in the order of commits, from 1; given by the store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<u64>,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub severity: Severity,
    /// When the change was confirmed.
    pub time: Timestamp,
    pub sensor: Vantage,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub assets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<EventHost>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<EventEndpoint>,
    /// The name the service was asked under.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<EventService>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<EventCertificate>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub software: Option<Software>,
    /// Other endpoints it is about, as `192.0.2.7:443/tcp`: where a certificate is served, what a found host has open.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub endpoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<String>,
    /// Why we believe it, in a few words: `connected twice`, `refused in 3 passes over 10m`, `issuer not allowed`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// A number that goes with the type: days left of a certificate, seconds a host was away, endpoints learnt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metric: Option<i64>,
    /// The finding it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<EventFinding>,
    /// The event that tells of this one too: it is recorded, and nobody is told of it by itself unless a rule holds it to
    /// be more severe than the other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part_of: Option<PartOf>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<Evidence>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alerts: Vec<AlertRef>,
}

impl Event {
    /// An event with only its head filled in. `subject` is whatever identifies what it is about.
    pub fn new(kind: EventType, time: Timestamp, sensor: &Vantage, subject: &impl Hash) -> Self {
        Self {
            schema: 1,
            id: EventId(derive_id(time, kind.as_str(), &(sensor, subject))),
            seq: None,
            kind,
            severity: kind.default_severity(),
            time,
            sensor: sensor.clone(),
            profile: None,
            assets: Vec::new(),
            tags: Vec::new(),
            host: None,
            endpoint: None,
            name: None,
            service: None,
            certificate: None,
            software: None,
            endpoints: Vec::new(),
            old: None,
            new: None,
            reason: None,
            metric: None,
            finding: None,
            part_of: None,
            evidence: Vec::new(),
            first_seen: None,
            last_seen: None,
            alerts: Vec::new(),
        }
    }
}

/// The event another one is part of: the `HOST_FOUND` of the host whose ports these are, the `FLAP_START` of what keeps
/// changing, the `EVENT_STORM` of too many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOf {
    pub id: EventId,
    #[serde(rename = "type")]
    pub kind: EventType,
}

/// A weakness with a life of its own: it is there until it is found gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFinding {
    /// `shared-key`, `answers-every-port`, `answers-every-address`.
    pub id: String,
    /// `confirmed`, or `closed`.
    pub verdict: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<String>,
}

/// One observation an event rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub at: Timestamp,
    /// `connected`, `refused`, `silent`, `certificate 3f2a…`, `banner SSH-2.0-…`; printable, at most 256 characters.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHost {
    pub ip: IpAddr,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEndpoint {
    pub transport: Transport,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventService {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub banner: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCertificate {
    pub sha256: Sha256,
    pub spki_sha256: Sha256,
    pub subject: String,
    pub issuer: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sans: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub self_signed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<Verdict>,
}

impl EventCertificate {
    pub fn new(certificate: &Certificate, verdicts: &[Verdict]) -> Self {
        Self {
            sha256: certificate.sha256,
            spki_sha256: certificate.spki_sha256,
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            sans: certificate.sans.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            self_signed: certificate.self_signed,
            verdicts: verdicts.to_vec(),
        }
    }
}

/// An alert the event became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRef {
    pub id: AlertId,
    pub profile: String,
    pub rules: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_what_they_identify() {
        let time = Timestamp::from_millisecond(1_795_255_503_120).expect("in range");
        let later = Timestamp::from_millisecond(1_795_255_503_121).expect("in range");
        let id = derive_id(time, "PORT_OPEN", &("scan1", 22));
        assert_eq!(id, derive_id(time, "PORT_OPEN", &("scan1", 22)));
        assert_ne!(id, derive_id(time, "PORT_OPEN", &("scan1", 23)));
        assert_ne!(id, derive_id(time, "PORT_CLOSED", &("scan1", 22)));
        assert!(id < derive_id(later, "PORT_OPEN", &("scan1", 22)));
        assert_eq!(id.get_version_num(), 7);
    }

    #[test]
    fn only_the_parts_that_apply_are_present() {
        let time = Timestamp::from_millisecond(1_795_255_503_120).expect("in range");
        let event = Event::new(EventType::PortOpen, time, &"scan1".into(), &22);
        let json = serde_json::to_value(&event).expect("serialises");
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["id", "schema", "sensor", "severity", "time", "type"]);
        assert_eq!(json["time"], "2026-11-21T10:05:03.12Z");
        assert_eq!(serde_json::from_value::<Event>(json).expect("reads back"), event);
    }
}
