//! The words of the field: Host, Endpoint, Service, Software, Certificate, Observation, Event, Alert,
//! Severity and the rest. Every other room talks in these; this one knows no socket or disk, and reads no
//! clock: [`SystemClock`] is only here to be handed in where the program begins.
//!
//! Times are [`jiff::Timestamp`]s in UTC with millisecond resolution (see [`Clock`]).

mod alert;
mod base64;
mod certificate;
mod clock;
mod duration;
mod endpoint;
mod event;
mod event_type;
mod fact;
mod loss;
mod mac;
mod observation;
mod pass;
mod policy;
mod port;
mod posture;
mod range;
mod rate;
mod service;
mod severity;
mod status;
mod target;
mod top_ports;
mod window;

pub use alert::{Alert, AlertId, Delivery, Notice};
pub use certificate::{
    Certificate, CertificateField, KeyInfo, Sha256, Staple, StapleStatus, TrustPath, Verdict, certificate_pem,
};
pub use clock::{Clock, SystemClock, to_millisecond};
pub use duration::{DurationError, format_duration, parse_duration};
pub use endpoint::{Endpoint, HostKey, ServiceKey, ServiceName, Transport, Vantage};
pub use event::{
    AlertRef, Event, EventCertificate, EventEndpoint, EventFinding, EventHost, EventId, EventService, Evidence, PartOf,
    derive_id,
};
pub use event_type::{Category, EventType, UnknownEventType};
pub use fact::{EndpointFact, HostFacts};
pub use loss::Loss;
pub use mac::{Mac, MacError};
pub use observation::{
    AuditObservation, ClosedReason, FilteredReason, Heard, HostSlice, LocalErrorKind, NameObservation, NameSource,
    NotProbed, OpenReason, Outcome, PortObservation, Presence, ServiceObservation, Sign, TlsObservation,
};
pub use pass::{Coverage, Lane, PassId, PassKind, PassRef};
pub use policy::{AllowList, Confirm, ConfirmRule, HostPolicy};
pub use port::{PortSet, PortSetError};
pub use posture::{ClientAuth, TlsAudit, TlsPosture, TlsVersion, UnknownWeakness, Weakness};
pub use range::{AddressRange, AddressSet, Addresses};
pub use rate::{HOSTS_AT_A_TIME, HOSTS_OF_A_PREFIX, QUESTIONS_OF_A_CHUNK, Rate, RateError};
pub use service::{Os, Service, Software, SshKey};
pub use severity::{Severity, SeverityError};
pub use status::{CheckState, DeliveryStatus, EngineStatus, LaneStatus, NotEnumerable, StatusReport};
pub use target::{Target, TargetError};
pub use top_ports::ranked as ranked_ports;
pub use window::{Window, WindowError, Windows};
