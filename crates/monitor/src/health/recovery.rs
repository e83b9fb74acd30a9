//! How a trouble in which nothing answers ends: canaries are asked again and again, and must answer twice.

use super::{Health, Now, Turn, trouble::Kind};
use crate::canary::{Place, Verdict};
use jiff::SignedDuration;
use model::{AddressSet, Endpoint, HostSlice, Transport};
use std::time::Duration;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(15);
/// Between the two answers that end it.
const TWICE_AFTER: Duration = Duration::from_secs(5);
/// While blocked, questions are few: they may be what keeps a ban alive.
const BLOCKED_EVERY: Duration = Duration::from_mins(1);
const BLOCKED_LATER: Duration = Duration::from_mins(5);
const BLOCKED_LATER_FROM: Duration = Duration::from_mins(10);
/// Broken links are told after this; a cable plugged over is not worth it. What is found silent meanwhile does not count.
const FAULT_AFTER: Duration = Duration::from_secs(3);
/// Canaries that have been dead for so long, although something else answers, are replaced.
const REPLACED_AFTER: Duration = Duration::from_hours(24);
const STILL_ANSWERING: Duration = Duration::from_hours(1);
const ANSWERING: usize = 8;
/// Clocks that part by more than this between two looks at them: the machine slept, or somebody set one.
const JUMP: SignedDuration = SignedDuration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// When canaries are to be asked next; none while all is well.
    next: Option<Instant>,
    /// When they first answered again.
    answered: Option<Instant>,
    under_way: bool,
}

impl Recovery {
    pub(super) fn begin(&mut self, now: Instant) {
        if self.next.is_none() {
            self.next = Some(now + EVERY);
        }
        self.answered = None;
    }
}

impl Health {
    /// Whether canaries are to be asked now. The caller asks them and brings the verdict.
    pub(crate) fn begins_check(&mut self, now: Instant) -> bool {
        let is_due = !self.recovery.under_way && self.recovery.next.is_some_and(|next| next <= now);
        self.recovery.under_way |= is_due;
        is_due
    }

    /// Takes what canaries said while a trouble stands. Gives new ones where they have been dead for too long.
    pub(crate) fn checked(&mut self, verdict: &Verdict, now: Instant) -> Option<Vec<Place>> {
        self.recovery.under_way = false;
        let standing =
            [Kind::Link, Kind::Canaries, Kind::Blocked].into_iter().find_map(|kind| self.troubles.get(&kind));
        let Some(since) = standing.map(|trouble| trouble.since) else {
            self.recovery = super::Recovery::default();
            return None;
        };
        let lasted = now.saturating_duration_since(since);
        let every = match self.troubles.contains_key(&Kind::Blocked) {
            true if lasted >= BLOCKED_LATER_FROM => BLOCKED_LATER,
            true => BLOCKED_EVERY,
            false => EVERY,
        };
        // Where there is nobody to ask, this machine's own word that its links are well has to do.
        let answers = matches!(verdict, Verdict::Alive(_) | Verdict::Nobody) && self.faults.is_none();
        if !answers {
            self.recovery.answered = None;
            self.recovery.next = Some(now + every);
            return if lasted >= REPLACED_AFTER { self.replacements(now) } else { None };
        }
        match self.recovery.answered {
            Some(first) if now.saturating_duration_since(first) >= TWICE_AFTER => {
                self.recovery = super::Recovery::default();
                self.troubles.retain(|kind, _| !matches!(kind, Kind::Link | Kind::Canaries | Kind::Blocked));
            }
            first => {
                self.recovery.answered = first.or(Some(now));
                self.recovery.next = Some(now + TWICE_AFTER);
            }
        }
        None
    }

    /// What has answered of late, as canaries.
    fn replacements(&self, now: Instant) -> Option<Vec<Place>> {
        let fresh = self.answering.iter().filter(|(_, at)| now.saturating_duration_since(*at) < STILL_ANSWERING);
        let places: Vec<Place> = fresh.map(|&(endpoint, _)| Place { endpoint, asset: None }).collect();
        (!places.is_empty()).then_some(places)
    }

    /// Remembers what answers although canaries do not.
    pub(super) fn note_answers(&mut self, slices: &[HostSlice], now: Instant) {
        if !self.doubts_everything() {
            return;
        }
        let open = |slice: &HostSlice| -> Option<Endpoint> {
            let open = slice.ports.iter().find(|port| port.outcome.is_open());
            open.map(|port| port.endpoint).filter(|endpoint| endpoint.transport == Transport::Tcp)
        };
        for endpoint in slices.iter().filter_map(open) {
            self.answering.retain(|(known, _)| known.ip != endpoint.ip);
            self.answering.push_back((endpoint, now));
            if self.answering.len() > ANSWERING {
                self.answering.pop_front();
            }
        }
    }

    /// What this machine says of its links and routes now.
    pub(crate) fn links(&mut self, faults: &[String], now: Now) {
        if faults.is_empty() {
            self.faults = None;
            return;
        }
        let sentence = faults.join("; ");
        let since = self.faults.as_ref().map_or(now.instant, |(since, _)| *since);
        self.faults = Some((since, sentence.clone()));
        if now.instant.saturating_duration_since(since) >= FAULT_AFTER {
            self.begin_fault(&sentence, now);
        }
    }

    /// What this machine says it does worse than it could. What it finds is as good as ever.
    pub(crate) fn handicaps(&mut self, sentences: &[String], now: Now) {
        if sentences.is_empty() {
            self.troubles.remove(&Kind::Handicap);
        } else {
            self.begin(Kind::Handicap, sentences.join("; "), &AddressSet::empty(), now);
        }
    }

    /// Compares the clocks; tells whether they have parted since the last time.
    pub(crate) fn clock_jumped(&mut self, now: Now) -> bool {
        let Some((wall, instant)) = self.clocks.replace((now.wall, now.instant)) else { return false };
        let by_instant = SignedDuration::try_from(now.instant.saturating_duration_since(instant)).unwrap_or_default();
        let jumped = (now.wall.duration_since(wall) - by_instant).abs() > JUMP;
        if jumped {
            self.void_before = Some(now.instant);
        }
        jumped
    }

    /// Whether canaries are to be left as they are: none answers, so none is sounder than another.
    pub(crate) fn keeps_canaries(&self) -> bool {
        self.doubts_everything()
    }
}

impl Turn {
    /// Whether what was gathered against anybody around this moment proves nothing.
    pub(crate) fn voids_doubts(&self) -> bool {
        match self {
            Self::Degraded(_) | Self::Recovered(_) => true,
            Self::Blocked(_) | Self::Released(_) => false,
        }
    }
}
