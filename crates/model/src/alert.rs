use crate::{Event, EventId, Severity, Vantage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// Identifies an alert for ever; every delivery of it carries this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub Uuid);

impl AlertId {
    /// The one alert that this event is in that profile.
    pub fn of(event: EventId, time: Timestamp, profile: &str) -> Self {
        Self(crate::derive_id(time, "alert", &(event, profile)))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event that a profile's rules care about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub event: EventId,
    pub profile: String,
    /// The rules that matched, in the order of the rule sets: `open-not-web`.
    pub rules: Vec<String>,
    /// The highest of theirs.
    pub severity: Severity,
    /// When it was decided: not before the event's own time.
    pub time: Timestamp,
}

/// What a recipient is told: an alert with its event, in the order they were committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The alert's place in the order of commits, from 1. Unique and ascending for ever.
    pub seq: u64,
    pub alert: Alert,
    pub event: Event,
    /// A `notify test`: marked as such wherever it is shown.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub test: bool,
}

impl Notice {
    pub fn sensor(&self) -> &Vantage {
        &self.event.sensor
    }
}

/// How a channel fared with a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The other end took responsibility for it. The text is what it said.
    Delivered(String),
    /// Some of its addresses have it, and others will not get it from us: `missed` says who, and why.
    Partly { answer: String, missed: String },
    /// Not now: try again, and not before this has passed where the other end named a time.
    RetryAfter { after: Option<Duration>, reason: String },
    /// Never in this form: trying again would be the same again.
    Refused(String),
}
