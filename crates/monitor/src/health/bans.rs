//! Bans: hosts that refuse the sensor, and what it holds back meanwhile.

use super::{Health, Now, trouble::Kind};
use model::AddressSet;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

/// Sweeps under way go on at this part of their pace while everything refuses.
pub(crate) const SLOWER: f64 = 4.0;
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

/// Hosts that refuse everything.
#[derive(Debug, Default)]
pub(super) struct Bans {
    told: Arc<BTreeSet<IpAddr>>,
}

impl Bans {
    /// Those that refuse.
    pub(super) fn told(&self) -> &BTreeSet<IpAddr> {
        &self.told
    }
}

impl Health {
    /// Brings the trouble that bans are up to date: with the hosts that have refused everything for long enough.
    pub(crate) fn judge_bans(&mut self, refusing: BTreeSet<IpAddr>, now: Now) {
        if *self.bans.told != refusing {
            self.bans.told = Arc::new(refusing);
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
        // Those that only refuse the first source are asked from the second.
        let banned = self.banned();
        let hosts = match self.shut_out() {
            None if banned.is_empty() => self.bans.told.clone(),
            shut => {
                let shut = shut.into_iter().flat_map(AddressSet::iter);
                Arc::new(self.bans.told.iter().copied().chain(shut).filter(|ip| !banned.contains(*ip)).collect())
            }
        };
        Restraint { everything, hosts }
    }
}
