//! When a profile has learnt what is there, and when what was added to it later has been learnt too.

use super::{INTRODUCED_BY, Monitor};
use crate::{Batch, Journal, Note, lanes::LaneState, schedule};
use config::Config;
use jiff::Timestamp;
use model::{AddressSet, PortSet, Target};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::time::Instant;

/// The kind of the notes that say what each profile's baseline stands for.
const NOTE: &str = "learnt";

/// What a profile asks of whom. The addresses of its host names are not in it: they come and go by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Extent {
    addresses: AddressSet,
    names: BTreeSet<String>,
    tcp: PortSet,
    udp: PortSet,
}

/// What the baselines stand for, and what they should.
#[derive(Debug, Default)]
pub(super) struct Learning {
    wanted: HashMap<Arc<str>, Extent>,
    learnt: HashMap<Arc<str>, Extent>,
    /// Since when every lane of a profile that still learns has been round.
    been_round: HashMap<Arc<str>, Instant>,
}

impl Learning {
    pub(super) fn restore(notes: &[Note]) -> Self {
        let mut learning = Self::default();
        for note in notes.iter().filter(|note| note.kind == NOTE) {
            match note.value.as_deref().map(serde_json::from_str) {
                Some(Ok(extent)) => drop(learning.learnt.insert(note.key.as_str().into(), extent)),
                Some(Err(error)) => {
                    tracing::warn!(profile = note.key, %error, "what the baseline stands for cannot be read; it is taken to stand for all there is");
                }
                None => {}
            }
        }
        learning
    }

    /// Takes note of what the profiles ask now.
    pub(super) fn configure(&mut self, config: &Config, lanes: &[LaneState]) {
        self.wanted.clear();
        for state in lanes {
            let extent = self.wanted.entry(state.profile.clone()).or_insert_with(|| {
                let profile = config.profiles.get(&state.profile);
                let assets = profile.into_iter().flat_map(|profile| &profile.assets);
                let targets: Vec<&Target> =
                    assets.filter_map(|name| config.assets.get(name)).flat_map(|asset| &asset.targets).collect();
                let addresses: AddressSet = targets.iter().filter_map(|target| target.range()).collect();
                let names = targets.iter().filter(|target| target.range().is_none()).map(ToString::to_string);
                Extent {
                    addresses: addresses.difference(&config.sensor.exclude),
                    names: names.collect(),
                    ..Extent::default()
                }
            });
            extent.tcp = extent.tcp.union(&state.tcp);
            extent.udp = extent.udp.union(&state.udp);
        }
        self.been_round.retain(|profile, _| self.wanted.contains_key(profile));
    }
}

impl Extent {
    fn is_within(&self, other: &Self) -> bool {
        self.addresses.difference(&other.addresses).is_empty()
            && self.names.is_subset(&other.names)
            && self.tcp.is_subset_of(&other.tcp)
            && self.udp.is_subset_of(&other.udp)
    }
}

impl<J: Journal> Monitor<J> {
    /// Calls the baseline of a profile done: every lane has been round, and who was met on the way has been asked who it is.
    /// Once for each profile, and once more for whatever is added to it later.
    pub(super) fn finish_learning(&mut self, now: Timestamp, batch: &mut Batch) {
        let profiles: BTreeSet<Arc<str>> = self.lanes.iter().map(|state| state.profile.clone()).collect();
        for profile in profiles {
            let Some(wanted) = self.learning.wanted.get(&profile) else { continue };
            let is_extension = self.decider.inventory().has_baseline(&profile);
            if is_extension {
                let known = self.learning.learnt.get(&profile);
                if known == Some(wanted) {
                    continue;
                }
                // What is taken away leaves nothing to learn, and is new should it come back. A baseline older than its
                // record stands for what there is.
                if known.is_none_or(|known| wanted.is_within(known)) {
                    self.remember_learnt(&profile, batch);
                    continue;
                }
            }
            let ground = self.ground(&profile, now);
            let mut lanes = self.lanes.iter().filter(|state| state.profile == profile);
            if !lanes.all(|state| state.is_learnt(&ground)) {
                self.learning.been_round.remove(&profile);
                continue;
            }
            let since = *self.learning.been_round.entry(profile.clone()).or_insert_with(Instant::now);
            let (extent, mirages) = (ground.extent(), &self.tools.mirages);
            let is_meeting = || self.tools.conversations.is_meeting(&extent, |endpoint| mirages.was_heard(endpoint));
            if since.elapsed() >= INTRODUCED_BY || !(is_meeting() || self.looks_behind_hosts(&profile, &extent, now)) {
                self.learning.been_round.remove(&profile);
                self.decider.baseline_done(&profile, is_extension, now, batch);
                self.remember_learnt(&profile, batch);
            }
        }
    }

    /// Whether who is behind a host that answers on every port is still being found out. What is met there until then is learnt, and
    /// whoever was told that all is learnt takes it for known.
    fn looks_behind_hosts(&self, profile: &Arc<str>, extent: &AddressSet, now: Timestamp) -> bool {
        let lanes = self.lanes.iter().filter(|state| state.profile == *profile && schedule::sweeps(state.lane));
        let mut unheard = lanes
            .map(|state| (state.lane, self.tools.mirages.to_be_heard_out(extent, &state.tcp, now)))
            .filter(|(_, hosts)| !hosts.is_empty())
            .peekable();
        if unheard.peek().is_none() {
            return false;
        }
        let inventory = self.decider.inventory();
        unheard.any(|(lane, hosts)| {
            let region = inventory.regions().find(|region| region.profile == *profile && region.lane == lane);
            !hosts.ranges().iter().all(|host| region.is_some_and(|region| region.covers_address(host.first())))
        })
    }

    fn remember_learnt(&mut self, profile: &Arc<str>, batch: &mut Batch) {
        let Some(extent) = self.learning.wanted.get(profile).cloned() else { return };
        match serde_json::to_string(&extent) {
            Ok(value) => {
                batch.notes.push(Note { kind: NOTE.to_owned(), key: profile.to_string(), value: Some(value) });
            }
            Err(error) => tracing::error!(%profile, %error, "what the baseline stands for cannot be written"),
        }
        self.learning.learnt.insert(profile.clone(), extent);
    }
}
