//! Too many changes at once are one piece of news. While a storm lasts its changes are recorded one by one and told as one.

use jiff::Timestamp;
use model::{Category, EventId, EventType, PartOf};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// So many alerts of one profile within this time are a storm; half as many end it.
const WINDOW: Duration = Duration::from_mins(10);

/// The storms of all profiles.
#[derive(Debug, Default)]
pub(crate) struct Storms(BTreeMap<String, Weather>);

#[derive(Debug, Default)]
struct Weather {
    /// When the last alerts came, ascending; never more of them than make a storm.
    recent: VecDeque<Timestamp>,
    storm: Option<Storm>,
    /// When it was taken up after a restart: what came before is not among the last alerts.
    restored: Option<Timestamp>,
}

/// A storm under way: what is remembered of it over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Storm {
    /// The `EVENT_STORM` that told of it.
    pub(crate) id: EventId,
    pub(crate) since: Timestamp,
    pub(crate) last: Timestamp,
    /// What it held back, by event type.
    pub(crate) held: BTreeMap<String, u64>,
}

/// What is to be done with an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    Told,
    /// It is the one too many: an `EVENT_STORM` is due, under which it is recorded.
    Breaks,
    /// Recorded under that storm.
    Held(PartOf),
}

/// Whether changes of that type may be told as part of a storm. What is wrong by itself, whatever changed, is never held.
fn may_be_held(kind: EventType) -> bool {
    !matches!(
        kind,
        EventType::SslExpired
            | EventType::SslExpiry
            | EventType::SslRogue
            | EventType::SharedKey
            | EventType::AnswersEverything
    ) && matches!(kind.category(), Category::Host | Category::Port | Category::Certificate | Category::Software)
}

impl Storms {
    /// Takes note of an alert and says whether it is told by itself.
    pub(crate) fn admit(&mut self, profile: &str, kind: EventType, most: usize, now: Timestamp) -> Admission {
        if !may_be_held(kind) {
            return Admission::Told;
        }
        let weather = self.0.entry(profile.to_owned()).or_default();
        weather.mind(now);
        weather.recent.push_back(now);
        while weather.recent.len() > most.max(1) {
            weather.recent.pop_front();
        }
        if let Some(storm) = &mut weather.storm {
            storm.last = now;
            *storm.held.entry(kind.as_str().to_owned()).or_default() += 1;
            return Admission::Held(PartOf { id: storm.id, kind: EventType::EventStorm });
        }
        let full = weather.recent.len() >= most.max(1);
        let first = weather.recent.front().copied().unwrap_or(now);
        if full && since(first, now) <= WINDOW { Admission::Breaks } else { Admission::Told }
    }

    /// Records that a storm was told; the alert that broke it is its first.
    pub(crate) fn begin(&mut self, profile: &str, id: EventId, kind: EventType, now: Timestamp) {
        let held = [(kind.as_str().to_owned(), 1)].into();
        self.0.entry(profile.to_owned()).or_default().storm = Some(Storm { id, since: now, last: now, held });
    }

    /// The storms that are over: fewer than half as many alerts as make one have come in the last while.
    pub(crate) fn abated(&mut self, most: impl Fn(&str) -> usize, now: Timestamp) -> Vec<(String, Storm)> {
        let mut over = Vec::new();
        for (profile, weather) in &mut self.0 {
            weather.mind(now);
            let half = (most(profile) / 2).max(1);
            let place = weather.recent.len().checked_sub(half);
            let is_young = weather.restored.is_some_and(|at| since(at, now) <= WINDOW);
            let busy = is_young
                || place.and_then(|place| weather.recent.get(place)).is_some_and(|&at| since(at, now) <= WINDOW);
            let quiet = weather.storm.as_ref().is_some_and(|storm| since(storm.last, now) > WINDOW);
            if (!busy || quiet)
                && let Some(storm) = weather.storm.take()
            {
                over.push((profile.clone(), storm));
            }
        }
        self.0.retain(|_, weather| {
            weather.storm.is_some() || weather.recent.back().is_some_and(|&last| since(last, now) <= WINDOW)
        });
        over
    }

    /// Takes up a storm that a restart interrupted. How many alerts came last is forgotten: until that is known again, it ends only
    /// where none comes.
    pub(crate) fn restore(&mut self, profile: String, storm: Storm, now: Timestamp) {
        let weather = self.0.entry(profile).or_default();
        (weather.storm, weather.restored) = (Some(storm), Some(now));
    }

    pub(crate) fn under_way(&self) -> impl Iterator<Item = (&str, &Storm)> {
        self.0.iter().filter_map(|(profile, weather)| Some((profile.as_str(), weather.storm.as_ref()?)))
    }
}

impl Weather {
    /// Where the clock was set back, what lies ahead of it now is taken to have come before now, in the distances in which it came:
    /// otherwise a storm lasts until the clock has caught up, and a trickle looks like one.
    fn mind(&mut self, now: Timestamp) {
        let storm = self.storm.as_ref().map(|storm| storm.last);
        let Some(latest) = [self.recent.back().copied(), storm, self.restored].into_iter().flatten().max() else {
            return;
        };
        if latest <= now {
            return;
        }
        let mut last = self.recent.iter().rev();
        let distance = last.next().zip(last.next()).map_or(Duration::ZERO, |(last, before)| since(*before, *last));
        let back = latest.duration_since(now).saturating_add(distance.try_into().unwrap_or_default());
        let back = |at: &mut Timestamp| *at = at.checked_sub(back).unwrap_or(Timestamp::MIN);
        self.recent.iter_mut().chain(&mut self.restored).for_each(back);
        if let Some(storm) = &mut self.storm {
            [&mut storm.since, &mut storm.last].into_iter().for_each(back);
        }
    }
}

impl Storm {
    pub(crate) fn total(&self) -> u64 {
        self.held.values().sum()
    }

    /// `412 HOST_LOST, 30 PORT_CLOSED`, the most frequent first.
    pub(crate) fn counts(&self) -> String {
        let mut counts: Vec<_> = self.held.iter().map(|(kind, count)| (*count, kind.as_str())).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts.into_iter().map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// How long ago; nothing where the clock was set back.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    fn id() -> EventId {
        EventId(model::derive_id(at(0), "storm", &1))
    }

    #[test]
    fn the_one_too_many_breaks_a_storm_that_ends_when_it_is_quiet() {
        let mut storms = Storms::default();
        for second in 0..9 {
            assert_eq!(storms.admit("dmz", EventType::HostLost, 10, at(second)), Admission::Told, "{second}");
        }
        assert_eq!(
            storms.admit("dmz", EventType::SslExpired, 10, at(9)),
            Admission::Told,
            "a finding counts for nothing"
        );
        assert_eq!(storms.admit("lan", EventType::HostLost, 10, at(9)), Admission::Told, "another profile");
        assert_eq!(storms.admit("dmz", EventType::HostLost, 10, at(9)), Admission::Breaks);
        storms.begin("dmz", id(), EventType::HostLost, at(9));
        let held = Admission::Held(PartOf { id: id(), kind: EventType::EventStorm });
        for second in 10..500 {
            assert_eq!(storms.admit("dmz", EventType::PortClosed, 10, at(second)), held);
        }
        assert_eq!(storms.abated(|_| 10, at(600)), []);
        let over = storms.abated(|_| 10, at(1_200));
        let [(profile, storm)] = &over[..] else { panic!("{over:?}") };
        assert_eq!(
            (profile.as_str(), storm.total(), storm.counts().as_str()),
            ("dmz", 491, "490 PORT_CLOSED, 1 HOST_LOST")
        );
        assert_eq!(storms.admit("dmz", EventType::HostLost, 10, at(1_201)), Admission::Told);
    }

    #[test]
    fn a_steady_trickle_is_no_storm() {
        let mut storms = Storms::default();
        for minute in 0..1_000 {
            assert_eq!(storms.admit("dmz", EventType::PortOpen, 10, at(minute * 70)), Admission::Told);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_storm_and_keeps_none() {
        let mut storms = Storms::default();
        for minute in 0..20 {
            assert_eq!(storms.admit("dmz", EventType::PortOpen, 10, at(minute * 70)), Admission::Told);
        }
        // By a day.
        for minute in 0..20 {
            let told = storms.admit("dmz", EventType::PortOpen, 10, at(minute * 70 - 86_400));
            assert_eq!(told, Admission::Told, "{minute}");
        }
        let mut storms = Storms::default();
        for second in 0..10 {
            storms.admit("dmz", EventType::HostLost, 10, at(second));
        }
        storms.begin("dmz", id(), EventType::HostLost, at(9));
        assert_eq!(storms.abated(|_| 10, at(-86_400)), []);
        assert!(matches!(storms.admit("dmz", EventType::HostLost, 10, at(-86_390)), Admission::Held(_)));
        assert_eq!(storms.abated(|_| 10, at(-85_700)).len(), 1, "ten quiet minutes later");
    }

    #[test]
    fn a_restart_in_the_middle_of_a_storm_ends_nothing() {
        let storm = Storm { id: id(), since: at(0), last: at(95), held: BTreeMap::new() };
        let mut storms = Storms::default();
        storms.restore("dmz".to_owned(), storm.clone(), at(100));
        assert_eq!(storms.abated(|_| 10, at(101)), []);
        assert!(matches!(storms.admit("dmz", EventType::HostLost, 10, at(110)), Admission::Held(_)));
        assert_eq!(storms.abated(|_| 10, at(690)), []);
        assert_eq!(storms.abated(|_| 10, at(701)).len(), 1, "one alert in ten minutes");
        let mut storms = Storms::default();
        storms.restore("dmz".to_owned(), storm, at(100));
        assert_eq!(storms.abated(|_| 10, at(696)).len(), 1, "nothing came for ten minutes");
    }
}
