//! Whether the sensor itself can be trusted just now. While it cannot, nothing negative is believed.

mod bans;
mod loss;
mod notes;
mod recovery;
mod second;
mod shut;
mod strip;
#[cfg(test)]
mod tests;
mod trouble;

pub(crate) use bans::{Restraint, SLOWER};
pub(crate) use strip::{is_silent, strip, unproven};

use crate::look::{Doubt, Worth};
use bans::Bans;
use inventory::Inventory;
use jiff::Timestamp;
use model::{AddressRange, AddressSet, Endpoint, HostSlice, Outcome};
use recovery::Recovery;
use second::Second;
use shut::Shut;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use trouble::{Kind, Told, Trouble};

/// From so many hosts up, silence of all of an asset at once means us, not them.
const MANY: usize = 8;
/// A group with more local errors than this share is not trusted.
const MOST_LOCAL_ERRORS: f64 = 0.01;
/// Groups in which what was in doubt is well again that end a trouble.
const CLEAN_TO_RECOVER: u32 = 2;
/// For so long the silence of many casts doubt on the silence of others too. Beyond it, it may be theirs after all, and must
/// not hide what happens elsewhere.
const DOUBT_ABOUT_OTHERS: Duration = Duration::from_hours(1);
/// From so many hosts that refuse when nothing answers, it is us who are refused.
const REFUSING: usize = 2;

const BELIEVED: &str =
    "what stopped answering together has not answered for an hour: from now on each of them is judged for itself";

/// The sensor's troubles, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: BTreeMap<Kind, Trouble>,
    told: Told,
    bans: Bans,
    shut: Shut,
    recovery: Recovery,
    second: Second,
    /// Since when this machine's links or routes are broken.
    faults: Option<(Instant, String)>,
    /// Looks that began before this prove nothing by what they did not find: a trouble ended then, or the clock jumped.
    void_before: Option<Instant>,
    clocks: Option<(Timestamp, Instant)>,
    /// What answers while the canaries do not, and when it did last.
    answering: VecDeque<(Endpoint, Instant)>,
    written: BTreeMap<&'static str, String>,
}

/// What is to be told about the sensor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was well and is not any more.
    Degraded(String),
    /// It is shut out.
    Blocked(String),
    /// It is well again; with why that can be said.
    Recovered(&'static str),
    /// It was only that single hosts refused it, and they do no more. What was gathered against others meanwhile stands.
    Released(&'static str),
}

/// How the asking of a group went.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    /// Addresses asked without a local error. Empty in the known lane, whose slices list every question.
    pub(crate) covered: &'a AddressSet,
    /// Addresses of which some question could not be asked.
    pub(crate) spoilt: &'a AddressSet,
    /// Endpoints that could not be asked for local reasons, of how many.
    pub(crate) local_errors: u64,
    pub(crate) probes: u64,
}

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) instant: Instant,
}

impl Health {
    /// Looks at a group. Where the silence in it cannot be believed, it is taken out. Tells whether the group may count as
    /// covered: what it did not find was not there.
    pub(crate) fn examine(
        &mut self,
        slices: &mut Vec<HostSlice>,
        tally: &Tally<'_>,
        worth: &Worth,
        inventory: &Inventory,
        now: Now,
    ) -> bool {
        self.note_answers(slices, now.instant);
        // What went wrong in a look that began before a trouble ended was that trouble, and no new one.
        let mut is_doubtful = self.is_void(worth.begun) || self.weigh(worth, now);
        if let Some((sentence, doubted)) = local_trouble(slices, tally) {
            // Where a link or a route is broken, that is why, and it is told as what it is.
            if !self.is_void(worth.begun) && self.faults.is_none() {
                self.begin(Kind::Local, sentence, &doubted, now);
            }
            is_doubtful = true;
        } else if let Some((sentence, doubted)) = common_silence(slices, worth, inventory).filter(|_| !is_doubtful) {
            self.begin(Kind::Silence, sentence, &doubted, now);
            slices.retain(|slice| !(is_silent(slice) && doubted.contains(slice.ip)));
        } else {
            self.note_recovery(slices, tally);
        }
        if is_doubtful || self.doubts_everything() {
            strip(slices, inventory);
            return false;
        }
        self.note_darkness(slices, inventory, now);
        slices.retain(|slice| !self.is_shut(slice.ip));
        // While the trouble lasts, a group in which only some are silent is one on which the link came back half way.
        slices.retain(|slice| !(is_silent(slice) && self.doubts(slice.ip, now.instant)));
        !worth.incomplete
    }

    /// Looks at what came of single questions.
    pub(crate) fn examine_one(
        &mut self,
        slice: HostSlice,
        worth: &Worth,
        inventory: &Inventory,
        now: Now,
    ) -> Vec<HostSlice> {
        let mut slices = vec![slice];
        self.note_answers(&slices, now.instant);
        if self.is_void(worth.begun) || self.weigh(worth, now) || self.doubts_everything() {
            strip(&mut slices, inventory);
        } else {
            self.note_darkness(&slices, inventory, now);
            slices.retain(|slice| !self.is_shut(slice.ip));
        }
        slices.retain(|slice| !(is_silent(slice) && self.doubts(slice.ip, now.instant)));
        slices
    }

    /// Takes note of why a look is in doubt; tells whether it is.
    fn weigh(&mut self, worth: &Worth, now: Now) -> bool {
        match &worth.doubt {
            None => return false,
            Some(Doubt::Moved | Doubt::Dropped | Doubt::Unsteady) => {}
            Some(Doubt::Fault(sentence)) => self.begin_fault(sentence, now),
            Some(Doubt::Dead(_)) if self.doubts_everything() => self.recovery.begin(now.instant),
            Some(Doubt::Dead(dead)) => {
                let asked: Vec<String> = dead.asked.iter().map(ToString::to_string).collect();
                let asked = asked.join(", ");
                let doubted = AddressSet::empty();
                if dead.refusing.len() >= REFUSING {
                    let hosts: Vec<String> = dead.refusing.iter().map(ToString::to_string).collect();
                    let sentence = format!(
                        "everything refuses at once ({}, from {}; asked as canaries: {asked}): this sensor is blocked; it holds back, and nothing is called closed or lost meanwhile",
                        dead.refusal.unwrap_or("refused"),
                        hosts.join(", "),
                    );
                    self.begin(Kind::Blocked, sentence, &doubted, now);
                } else {
                    let sentence = format!(
                        "nothing answers any more, not even the canaries {asked}: taken for a fault of the sensor or its uplink (or a silent ban); nothing is called closed or lost meanwhile"
                    );
                    self.begin(Kind::Canaries, sentence, &doubted, now);
                }
                self.recovery.begin(now.instant);
            }
        }
        true
    }

    fn begin_fault(&mut self, sentence: &str, now: Now) {
        let sentence = format!("{sentence}; nothing is called closed or lost meanwhile");
        self.begin(Kind::Link, sentence, &AddressSet::empty(), now);
        self.recovery.begin(now.instant);
    }

    fn begin(&mut self, kind: Kind, sentence: String, doubted: &AddressSet, now: Now) {
        if matches!(kind, Kind::Link | Kind::Canaries | Kind::Silence | Kind::Blocked) {
            self.forget_suspicion();
        }
        let trouble = self.troubles.entry(kind).or_insert_with(|| Trouble::new(now));
        trouble.sentence = sentence;
        trouble.doubted = trouble.doubted.union(doubted);
        trouble.clean = 0;
    }

    /// Whether a trouble stands that can only be seen to end where it showed.
    pub(crate) fn is_confined(&self) -> bool {
        self.troubles.iter().any(|(kind, trouble)| kind.is_confined() && !trouble.doubted.is_empty())
    }

    /// What is watched no more is not asked again, so it cannot show that a trouble is over: one that showed only there ends.
    pub(crate) fn keep_to(&mut self, watched: &AddressSet) {
        self.troubles.retain(|kind, trouble| {
            if !kind.is_confined() || trouble.doubted.is_empty() {
                return true;
            }
            trouble.doubted = trouble.doubted.intersection(watched);
            !trouble.doubted.is_empty()
        });
    }

    /// Whether nothing negative is believed of anybody.
    pub(crate) fn doubts_everything(&self) -> bool {
        self.troubles.keys().any(|kind| matches!(kind, Kind::Link | Kind::Canaries | Kind::Blocked))
    }

    /// Whether a trouble stands that can keep lanes from coming round. One that concerns single hosts, or makes the sensor do less than
    /// it could, does not: it may last for ever, and a lane that is late meanwhile is late.
    pub(crate) fn holds_up_lanes(&self) -> bool {
        let is_borne = |kind: &Kind| matches!(kind, Kind::Banned | Kind::Bans | Kind::Shut | Kind::Handicap);
        !self.troubles.keys().all(is_borne)
    }

    fn is_void(&self, begun: Instant) -> bool {
        self.void_before.is_some_and(|end| begun < end)
    }

    /// Whether the silence of a host proves nothing at present.
    fn doubts(&self, ip: IpAddr, now: Instant) -> bool {
        self.troubles.get(&Kind::Silence).is_some_and(|trouble| {
            trouble.doubted.contains(ip) || now.saturating_duration_since(trouble.since) < DOUBT_ABOUT_OTHERS
        })
    }

    fn note_recovery(&mut self, slices: &[HostSlice], tally: &Tally<'_>) {
        self.troubles.retain(|kind, trouble| {
            let is_doubted = |slice: &HostSlice| trouble.doubted.contains(slice.ip);
            let is_well = match kind {
                Kind::Silence => slices.iter().any(|slice| is_doubted(slice) && !is_silent(slice)),
                Kind::Local => {
                    trouble.doubted.difference(tally.covered) != trouble.doubted
                        || (tally.covered.is_empty()
                            && slices.iter().any(|slice| is_doubted(slice) && !has_local_error(slice)))
                }
                Kind::Link
                | Kind::Canaries
                | Kind::Banned
                | Kind::Blocked
                | Kind::Bans
                | Kind::Shut
                | Kind::Loss
                | Kind::Handicap => false,
            };
            trouble.clean += u32::from(is_well);
            trouble.clean < CLEAN_TO_RECOVER
        });
    }

    /// The next thing to tell, if any. What was told is remembered, so each is told once.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Turn> {
        if !self.told.degraded && !self.told.blocked && self.awaits_comparison(now) {
            return None;
        }
        let is_sure = |kind: Kind| kind != Kind::Shut || self.shut.confirmed;
        let standing = |wanted: fn(Kind) -> bool| {
            let mut sure = self.troubles.iter().filter(|(kind, _)| is_sure(**kind));
            sure.find(|(kind, _)| wanted(**kind)).map(|(_, trouble)| trouble.sentence.clone())
        };
        let (degraded, blocked) = (standing(Kind::is_degraded), standing(Kind::is_blocked));
        let is_general = self.troubles.keys().any(|kind| *kind != Kind::Bans && is_sure(*kind));
        self.told.general |= is_general && (self.told.degraded || self.told.blocked);
        let turn = match (degraded, blocked) {
            (Some(sentence), _) if !self.told.degraded => {
                self.told.degraded = true;
                self.told.general = true;
                Turn::Degraded(sentence)
            }
            (None, None) if self.told.degraded || self.told.blocked => {
                if !std::mem::take(&mut self.told).general {
                    return Some(Turn::Released("the hosts that refused do so no more"));
                }
                let believed = std::mem::take(&mut self.shut.believed);
                Turn::Recovered(if believed { BELIEVED } else { "answers as before" })
            }
            (None, Some(_)) if self.told.degraded => {
                self.told.degraded = false;
                self.told.general = is_general;
                Turn::Recovered("answers as before where it is not blocked")
            }
            (None, Some(sentence)) if !self.told.blocked => {
                self.told.blocked = true;
                self.told.general = is_general;
                return Some(Turn::Blocked(sentence));
            }
            (Some(_) | None, _) => return None,
        };
        if matches!(turn, Turn::Recovered(_)) {
            self.void_before = Some(now);
            self.answering.clear();
        }
        Some(turn)
    }

    pub(crate) fn sentences(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.troubles.iter().map(|(kind, trouble)| (kind.as_str(), &trouble.sentence))
    }
}

fn local_trouble(slices: &[HostSlice], tally: &Tally<'_>) -> Option<(String, AddressSet)> {
    let &Tally { local_errors, probes, .. } = tally;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    if local_errors == 0 || local_errors as f64 <= MOST_LOCAL_ERRORS * probes as f64 {
        return None;
    }
    let kind = slices
        .iter()
        .flat_map(|slice| &slice.ports)
        .find(|port| matches!(port.outcome, Outcome::LocalError(_)))
        .map_or("local errors", |port| port.outcome.as_str());
    let sentence = format!(
        "{local_errors} of {probes} probes could not be sent or answered for local reasons ({kind}); nothing is called closed or lost meanwhile"
    );
    let hosts = addresses(slices.iter().filter(|slice| has_local_error(slice)).map(|slice| slice.ip));
    Some((sentence, tally.spoilt.union(&hosts)))
}

/// Assets of which many hosts were asked, none answered, and no canary did. Hosts that are lost already are not counted.
fn common_silence(slices: &[HostSlice], worth: &Worth, inventory: &Inventory) -> Option<(String, AddressSet)> {
    if slices.iter().filter(|slice| is_silent(slice)).count() < MANY {
        return None;
    }
    let mut assets: BTreeMap<Option<Arc<str>>, (Vec<IpAddr>, bool)> = BTreeMap::new();
    for slice in slices {
        let Some(host) = inventory.row(slice.ip).filter(|host| host.is_up()) else { continue };
        let (silent, answers) = assets.entry(host.assets().first().cloned()).or_default();
        if is_silent(slice) {
            silent.push(slice.ip);
        } else {
            *answers = true;
        }
    }
    for endpoint in &worth.alive {
        let asset = inventory.row(endpoint.ip).and_then(|host| host.assets().first().cloned());
        if let Some((_, answers)) = assets.get_mut(&asset) {
            *answers = true;
        }
    }
    assets.retain(|_, (silent, answers)| silent.len() >= MANY && !*answers);
    let count: usize = assets.values().map(|(silent, _)| silent.len()).sum();
    let names: Vec<String> = assets.keys().flatten().map(|name| format!("`{name}`")).collect();
    let of = if names.is_empty() { "a group".to_owned() } else { names.join(", ") };
    (count > 0).then(|| {
        let sentence = format!(
            "all {count} known hosts of {of} fell silent at once; that is taken for a fault of the sensor or its uplink, and none of them is called lost"
        );
        (sentence, addresses(assets.into_values().flat_map(|(silent, _)| silent)))
    })
}

fn has_local_error(slice: &HostSlice) -> bool {
    slice.ports.iter().any(|port| matches!(port.outcome, Outcome::LocalError(_)))
}

fn addresses(ips: impl Iterator<Item = IpAddr>) -> AddressSet {
    ips.map(AddressRange::single).collect()
}
