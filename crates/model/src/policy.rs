use crate::Sha256;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// How much evidence a negative or a changed fact needs before anybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmRule {
    /// Distinct passes (confirmation re-probes count) that must agree, from 1.
    pub passes: u16,
    /// Time that must lie between the first of them and the last.
    pub at_least: Duration,
}

/// A profile's `confirm` settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    pub port_closed: ConfirmRule,
    pub host_lost: ConfirmRule,
    /// Service, product or version.
    pub service_changed: ConfirmRule,
    /// The operating system.
    pub host_updated: ConfirmRule,
    /// The old certificate must be absent for so many handshakes. Of it and of `service_changed`, as many conversations as
    /// fit into `at_least` must agree, 14 at most: balancers give their members' answers by chance.
    pub certificate_changed: ConfirmRule,
}

impl Default for Confirm {
    fn default() -> Self {
        let rule = |passes: u16, minutes: u64| ConfirmRule { passes, at_least: Duration::from_secs(minutes * 60) };
        Self {
            port_closed: rule(2, 10),
            host_lost: rule(3, 15),
            service_changed: rule(2, 10),
            host_updated: rule(3, 0),
            certificate_changed: rule(3, 10),
        }
    }
}

/// Which certificates an asset may serve. Anything else is rogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AllowList {
    /// Each entry is one or more attributes joined by commas, `O=Example CA Inc` or `O=Example CA Inc, C=DE`; all of an
    /// entry's must be in the issuer.
    pub issuers: Vec<String>,
    /// Public keys allowed whoever signed them.
    pub spki: Vec<Sha256>,
}

/// What the configuration says about one host, in the eyes of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostPolicy {
    /// The assets that contain it, sorted.
    pub assets: Arc<[Arc<str>]>,
    /// Their tags, sorted.
    pub tags: Arc<[Arc<str>]>,
    /// The highest business value among them, 1 to 5.
    pub value: u8,
    pub confirm: Confirm,
    /// How often its services are asked who they are; nought where nobody says. Who takes turns behind an address is learnt
    /// in so many conversations, so over a longer time where they are rare.
    pub identify: Duration,
    /// The allow-lists of those assets that have one, merged; none where no asset has one.
    pub certificates: Option<Arc<AllowList>>,
    /// Since when chains are judged by the roots of today; none where they have always been.
    pub roots_since: Option<Timestamp>,
    /// The asset of kind `pool` that contains it, the first by name; none where it is a host of its own.
    pub pool: Option<Arc<str>>,
}
