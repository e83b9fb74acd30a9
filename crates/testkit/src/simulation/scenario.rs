//! A scenario as it is written down. `tests/simulations/README.md` explains every key.

use jiff::Timestamp;
use model::EventType;
use serde::{Deserialize, Deserializer, de::Error};
use std::{collections::BTreeMap, time::Duration};

/// One scenario: a network, its weather, what truly changes in it, and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub title: String,
    #[serde(default = "first_seed")]
    pub seed: u64,
    /// How long it runs.
    pub lasting: Span,
    #[serde(default = "beginning")]
    pub start: Timestamp,
    /// The daemon's configuration, in the daemon's own words.
    pub config: toml::Table,
    #[serde(default)]
    pub hosts: Vec<Hosts>,
    /// Probability that a packet is lost, each way, whatever else happens.
    #[serde(default)]
    pub loss: f64,
    #[serde(default)]
    pub outages: Vec<Outage>,
    #[serde(default)]
    pub firewalls: Vec<Firewall>,
    #[serde(default)]
    pub nat: Vec<Nat>,
    #[serde(default)]
    pub injectors: Vec<Injector>,
    #[serde(default)]
    pub proxies: Vec<Proxy>,
    #[serde(default)]
    pub dhcp: Vec<Dhcp>,
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// What truly changes, drawn by chance.
    pub changes: Option<Changes>,
    /// What truly changes, one by one.
    #[serde(default)]
    pub script: Vec<Step>,
    /// Events that may come beside those that follow from the script.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// How many events of a type must come in all, notices only.
    #[serde(default)]
    pub expect: BTreeMap<EventType, Count>,
    /// The 99th percentile of the delay from a change to its telling.
    #[serde(default)]
    pub delays: BTreeMap<EventType, Span>,
    /// After the baseline, all types together.
    pub notices_at_most: Option<u64>,
}

/// One host, or many of a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    #[serde(default = "one")]
    pub count: u32,
    /// An address, a range or a prefix; of more addresses than hosts, some are chosen by chance.
    pub addresses: String,
    #[serde(default)]
    pub services: Vec<Service>,
    #[serde(default = "twenty_milliseconds")]
    pub latency: Span,
    #[serde(default)]
    pub jitter: Span,
    /// What its other ports do.
    #[serde(default)]
    pub closed: Closed,
    #[serde(default)]
    pub macs: bool,
    /// Every port is open.
    #[serde(default)]
    pub everything: bool,
    /// Machines behind the address that take turns, connection by connection.
    #[serde(default = "one")]
    pub members: u32,
    /// In what those machines differ.
    #[serde(default)]
    pub differ: Vec<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Closed {
    #[default]
    Refuse,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    Key,
    Certificate,
    Version,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub port: u16,
    /// The protocol; none says nothing when it is asked.
    pub name: Option<String>,
    pub product: Option<String>,
    pub version: Option<String>,
    #[serde(default)]
    pub tls: bool,
    /// The part of the hosts that have it.
    #[serde(default = "all")]
    pub share: f64,
}

/// Packets are lost for a while: once, or again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// `uplink`, `sensor` (no route of its own) or a range of addresses.
    #[serde(default = "uplink")]
    pub on: String,
    pub at: Option<Span>,
    /// On average from one beginning to the next.
    pub every: Option<Span>,
    pub lasting: Span,
    /// Each lasts exactly so long, not only on average.
    #[serde(default)]
    pub fixed: bool,
    /// Probability that a packet is lost meanwhile, each way.
    #[serde(default = "all")]
    pub loss: f64,
}

/// Bans the sensor for a while when it opens too many connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    pub on: String,
    pub threshold: u64,
    pub window: Span,
    pub ban: Span,
    pub manner: Manner,
    /// Every address counts for itself.
    #[serde(default)]
    pub each: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    Drop,
    Rst,
    /// Port unreachable: a kernel says `connection refused`.
    Icmp,
    /// Administratively prohibited.
    Prohibited,
}

/// A table of connections; what does not fit in is lost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    pub on: String,
    pub entries: u64,
    pub timeout: Span,
}

/// Somebody on the way resets connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injector {
    pub on: String,
    pub probability: f64,
}

/// Something on the way accepts connections for every address and port behind it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    pub on: String,
}

/// Machines that change their addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dhcp {
    pub on: String,
    /// On average between two moves.
    pub every: Span,
}

/// Machines that come and go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub on: String,
    pub least: u32,
    pub most: u32,
    /// On average between two comings or goings.
    pub every: Span,
    pub services: Vec<Service>,
}

/// Rates a day, over the whole network without its pools, DHCP ranges, balancers and middleboxes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// When they begin.
    pub from: Span,
    /// How long before the end they stop.
    pub until: Span,
    #[serde(default)]
    pub opened: f64,
    #[serde(default)]
    pub closed: f64,
    #[serde(default)]
    pub added: f64,
    #[serde(default)]
    pub removed: f64,
    #[serde(default)]
    pub upgraded: f64,
    #[serde(default)]
    pub renewed: f64,
    #[serde(default)]
    pub reboots: f64,
    /// From and to, how long a reboot takes.
    #[serde(default = "a_reboot")]
    pub reboot: (Span, Span),
    /// What opens.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Where hosts are added.
    pub addresses: Option<String>,
}

/// One change of the script: exactly one of the keys beside `at`, `every`, `times` and `lasting`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub at: Span,
    /// Again, so often, this far apart.
    pub every: Option<Span>,
    pub times: Option<u32>,
    pub lasting: Option<Span>,
    pub open: Option<String>,
    pub close: Option<String>,
    /// Open if it is closed, closed if it is open.
    pub toggle: Option<String>,
    /// A host with the services beside it.
    pub add: Option<String>,
    pub remove: Option<String>,
    /// Off, and on again after `lasting`.
    pub reboot: Option<String>,
    /// To the `version` beside it.
    pub upgrade: Option<String>,
    pub renew: Option<String>,
    /// Another SSH host key.
    pub rekey: Option<String>,
    /// `from` and `to` address.
    #[serde(rename = "move")]
    pub moved: Option<(String, String)>,
    /// Killed without warning, and started again after `lasting`.
    pub kill: Option<bool>,
    /// Merged over the configuration, which is then reloaded.
    pub reload: Option<toml::Table>,
    pub version: Option<String>,
    #[serde(default)]
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    pub kinds: Vec<EventType>,
    /// Everywhere where it says nothing.
    pub on: Option<String>,
    #[serde(default)]
    pub from: Span,
    pub until: Option<Span>,
    pub most: Option<u64>,
}

/// So many exactly, or at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Count {
    Exactly(u64),
    Between { at_least: u64, at_most: u64 },
}

/// A duration as the daemon's configuration writes it: `30s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    pub(super) fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        model::parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

fn first_seed() -> u64 {
    1
}

fn beginning() -> Timestamp {
    // 2026-11-21T00:00:00Z
    Timestamp::from_second(1_795_219_200).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn one() -> u32 {
    1
}

fn all() -> f64 {
    1.0
}

fn twenty_milliseconds() -> Span {
    Span(Duration::from_millis(20))
}

fn a_reboot() -> (Span, Span) {
    (Span(Duration::from_mins(2)), Span(Duration::from_mins(8)))
}

fn uplink() -> String {
    "uplink".to_owned()
}
