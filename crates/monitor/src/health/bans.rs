//! Bans: hosts that refuse the sensor, and what it holds back meanwhile.

use super::{Health, Now, trouble::Kind};
use inventory::HostState;
use jiff::{SignedDuration, Timestamp};
use model::{AddressSet, HostKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// Sweeps under way go on at this part of their pace while everything refuses.
pub(crate) const SLOWER: f64 = 4.0;
/// A restart of all that a host offers looks like a ban for a moment: one that goes on for so long is told.
const TOLD_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Named in the sentence.
const NAMED: usize = 10;
/// Looks go on after a block of this length, at their usual pace: something may have changed that canaries do not show.
const HELD_BACK: Duration = Duration::from_hours(24);

/// What passes hold back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Restraint {
    /// Everything refuses: only canaries are asked.
    pub(crate) everything: bool,
    /// Hosts that refuse: of each, one endpoint is asked whether it still does.
    pub(crate) hosts: Arc<BTreeSet<IpAddr>>,
}

impl Restraint {
    /// Whether no conversation is to be begun with that address.
    pub(crate) fn silences(&self, ip: IpAddr) -> bool {
        self.everything || self.hosts.contains(&ip)
    }
}

/// Hosts that refuse everything, with since when.
#[derive(Debug, Default)]
pub(super) struct Bans {
    hosts: BTreeMap<IpAddr, Timestamp>,
    /// Those that have for long enough.
    told: Arc<BTreeSet<IpAddr>>,
}

impl Health {
    /// Takes note of what a host's new state says of a ban.
    pub(crate) fn note_hosts(&mut self, changed: &[HostState], removed: &[HostKey]) {
        for host in changed {
            match host.blocked_since {
                Some(since) => self.bans.hosts.insert(host.key.ip, since),
                None => self.bans.hosts.remove(&host.key.ip),
            };
        }
        for key in removed {
            self.bans.hosts.remove(&key.ip);
        }
    }

    /// Brings the trouble that bans are up to date.
    pub(crate) fn judge_bans(&mut self, now: Now) {
        let long = |since: &Timestamp| now.wall.duration_since(*since) >= TOLD_AFTER;
        // The clock may have been set back; who was told stays told.
        let told: BTreeSet<IpAddr> = self
            .bans
            .hosts
            .iter()
            .filter(|(ip, since)| long(since) || self.bans.told.contains(ip))
            .map(|(ip, _)| *ip)
            .collect();
        if *self.bans.told != told {
            self.bans.told = Arc::new(told);
        } else if self.bans.told.is_empty() != self.troubles.contains_key(&Kind::Bans) {
            return;
        }
        if self.bans.told.is_empty() {
            self.troubles.remove(&Kind::Bans);
            return;
        }
        let count = self.bans.told.len();
        let mut names: Vec<String> = self.bans.told.iter().take(NAMED).map(ToString::to_string).collect();
        if count > NAMED {
            names.push(format!("{} more", count - NAMED));
        }
        let sentence = format!(
            "refused on everything that was open, while others answer, by {}: taken for a ban of this sensor; it holds back there, and nothing is called closed meanwhile",
            names.join(", ")
        );
        self.begin(Kind::Bans, sentence, &AddressSet::empty(), now);
    }

    /// What passes are to hold back now.
    pub(crate) fn restraint(&self, now: Now) -> Restraint {
        let blocked = self.troubles.get(&Kind::Blocked);
        let everything =
            blocked.is_some_and(|trouble| now.instant.saturating_duration_since(trouble.since) < HELD_BACK);
        Restraint { everything, hosts: self.bans.told.clone() }
    }
}
