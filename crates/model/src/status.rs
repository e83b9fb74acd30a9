//! What `status`, the metrics and the console say about the daemon itself.

use crate::Lane;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    Ok,
    Degraded,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub sensor: String,
    pub version: String,
    /// How TCP is asked: `raw`, by packets of our own, or `connect`.
    pub mode: String,
    /// Why it is asked so, without a full stop.
    #[serde(default)]
    pub mode_why: String,
    /// By which roots certificates are judged.
    #[serde(default)]
    pub roots: String,
    pub started: Timestamp,
    pub now: Timestamp,
    pub state: CheckState,
    /// Why it is degraded, each a sentence.
    pub reasons: Vec<String>,
    pub halted: bool,
    pub hosts: u64,
    pub endpoints: u64,
    pub certificates: u64,
    pub events: u64,
    /// How many sensors look at each target.
    pub vantages: u32,
    /// Targets too large to ask every address of.
    #[serde(default)]
    pub not_enumerable: Vec<NotEnumerable>,
    /// What sends packets of our own; none where every question is a connection of the kernel's.
    #[serde(default)]
    pub engine: Option<EngineStatus>,
    pub lanes: Vec<LaneStatus>,
    pub delivery: Vec<DeliveryStatus>,
}

/// A target too large to ask every address of, and how many of them are asked: those that host names, smaller targets, neighbours
/// and known hosts give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotEnumerable {
    pub target: String,
    pub candidates: u64,
}

/// What sends packets of our own has done since it started, and how it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Packets a second that may leave now.
    pub rate: f64,
    /// What keeps it from more: `ceiling` (what the configuration allows in all), `deadline` (the periods ask for less), `host` and
    /// `prefix` (what each host, or each network, may get), `path` (more would be lost on the way), `link` (this machine or its link takes
    /// no more).
    pub limited_by: String,
    pub sent: u64,
    /// Packets that could not be sent.
    pub unsent: u64,
    /// Answers that proved themselves.
    pub answers: u64,
    /// What looked like answers, and answered nothing that was asked.
    pub forged: u64,
    /// Packets that arrived and were lost before they could be read; what was asked then is asked again.
    pub ring_drops: u64,
    /// Questions to endpoints that always answer, and those of them without an answer.
    pub canaries: u64,
    pub canaries_missed: u64,
}

/// One lane of one profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    pub profile: String,
    pub lane: Lane,
    pub period_s: f64,
    pub baseline_done: bool,
    pub running: bool,
    /// Of the running pass, 0 to 1.
    pub progress: f64,
    pub last_started: Option<Timestamp>,
    pub last_finished: Option<Timestamp>,
    /// How far behind its period it is; 0 when in time.
    pub lag_s: f64,
    /// Its window is closed, and opens then; none while it may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Timestamp>,
    /// Of the last finished pass: the part of what should have been asked that was asked without a local error, 0 to 1.
    pub coverage: f64,
    /// Endpoints asked in the last finished pass.
    pub probes: u64,
    /// Packets or connections that took.
    pub attempts: u64,
    /// Measured share of questions to endpoints known to answer that got no answer at the first attempt; none without any.
    pub loss: Option<f64>,
    /// Between what the true loss lies with 95 % confidence.
    #[serde(default)]
    pub loss_interval: Option<(f64, f64)>,
    /// The chance that random loss hid a given open port in that pass.
    pub p_miss_random_loss: Option<f64>,
    /// Stretches of questions that were asked again because this machine itself lost packets.
    #[serde(default)]
    pub replayed: u64,
    pub local_errors: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliveryStatus {
    pub recipient: String,
    pub channel: String,
    /// Alerts committed and not yet delivered.
    pub backlog: u64,
    pub oldest: Option<Timestamp>,
    pub last_delivered: Option<Timestamp>,
    pub last_error: Option<String>,
    pub next_try: Option<Timestamp>,
}
