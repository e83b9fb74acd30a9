//! The steps of a pass: every group of addresses once, or once for each turn where the lane asks its ports in turns, or once for
//! each part of its ports, one after the other, where it asks very many. Pure.

use crate::{
    ground::{Ground, Visits},
    likely::{self, Turn},
    schedule::{self, Cut},
};
use model::{AddressSet, Coverage, Lane};
use std::{sync::Arc, time::Duration};

#[derive(Debug)]
pub(crate) struct Course {
    visits: Visits,
    turns: &'static [Turn],
    /// Only where there is one turn.
    parts: u32,
}

/// One group in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The group's.
    pub(crate) place: u64,
    pub(crate) turn: Turn,
    /// Counted from 0.
    pub(crate) part: u32,
}

impl Course {
    /// `open` is how long the lane may ask in a period.
    pub(crate) fn new(ground: &Ground, lane: Lane, ports: &Coverage, seed: u64, open: Duration) -> Self {
        let cut = cut(lane, ports, &ground.swept, open);
        Self { visits: Visits::new(ground, cut, seed), turns: turns(lane, ports), parts: cut.parts }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.visits.count().saturating_mul(self.turns.len() as u64).saturating_mul(self.parts.into())
    }

    /// Into how many parts the ports of a group are cut.
    pub(crate) fn parts(&self) -> u32 {
        self.parts
    }

    /// None beyond the end.
    pub(crate) fn step(&self, number: u64) -> Option<Step> {
        let groups = self.visits.count().max(1);
        let (parts, visit) = (u64::from(self.parts), number / u64::from(self.parts));
        let turn = usize::try_from(visit / groups).ok().and_then(|turn| self.turns.get(turn))?;
        let part = u32::try_from(number % parts).ok()?;
        (number < self.steps()).then_some(Step { place: visit % groups, turn: *turn, part })
    }

    /// Of the lane's ports those that the step's part has, TCP first.
    pub(crate) fn ports(&self, step: Step, all: &Coverage) -> Coverage {
        if self.parts == 1 {
            return all.clone();
        }
        let (by_tcp, by_udp) = (all.tcp.len(), all.udp.len());
        let size = (by_tcp + by_udp).div_ceil(self.parts);
        let from = size.saturating_mul(step.part);
        let tcp = all.tcp.part(from, size);
        let udp = all.udp.part(from.saturating_sub(by_tcp), size - tcp.len());
        Coverage { tcp: Arc::new(tcp), udp: Arc::new(udp) }
    }

    /// Whether all there is to ask of the group has been asked with this step.
    pub(crate) fn is_last(&self, step: Step) -> bool {
        step.turn == Turn::Rest && step.part + 1 == self.parts
    }

    /// Where a pass goes on that had done so many of so many steps. Its last groups may be others by now and more or fewer: the first
    /// ones of each turn have kept their places.
    pub(crate) fn resume(&self, done: u64, of: u64) -> u64 {
        if self.parts > 1 {
            // Place by place: the first ones have kept theirs.
            return done.min(self.steps());
        }
        let turns = self.turns.len() as u64;
        let before = of / turns;
        let now = self.visits.count();
        if before == 0 {
            return done.min(self.steps());
        }
        let (turn, place) = (done / before, done % before);
        if turn >= turns { self.steps() } else { turn * now + place.min(now) }
    }

    pub(crate) fn addresses(&self, step: Step) -> AddressSet {
        self.visits.nth(step.place)
    }

    /// As [`Visits::beside`], once it is asked the last of its ports.
    pub(crate) fn beside(&self, step: Step) -> AddressSet {
        if step.turn == Turn::Rest { self.visits.beside(step.place) } else { AddressSet::empty() }
    }
}

/// The last of them is always the rest.
fn turns(lane: Lane, ports: &Coverage) -> &'static [Turn] {
    if lane == Lane::Likely && likely::is_ordered(ports) { &Turn::ALL } else { &[Turn::Rest] }
}

fn cut(lane: Lane, ports: &Coverage, swept: &AddressSet, open: Duration) -> Cut {
    schedule::cut(&ports.tcp, &ports.udp, swept.len(), turns(lane, ports).len() == 1, open)
}

/// How a lane's groups are made and gone through: what was begun in another way cannot go on.
pub(crate) fn manner(lane: Lane, ports: &Coverage, swept: &AddressSet, open: Duration) -> (u8, Cut, usize) {
    (scope::Permutation::EDITION, cut(lane, ports, swept, open), turns(lane, ports).len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PortSet, Target, Transport};
    use std::sync::Arc;

    const DAY: Duration = Duration::from_hours(24);

    fn set(targets: &[&str]) -> AddressSet {
        targets.iter().filter_map(|text| text.parse::<Target>().expect("a target").range()).collect()
    }

    fn ports(text: &str) -> Coverage {
        let tcp = Arc::new(PortSet::parse(text, Transport::Tcp).expect("ports"));
        Coverage { tcp, ..Coverage::default() }
    }

    #[test]
    fn only_many_likely_ports_are_asked_in_turns() {
        let ground = Ground { swept: set(&["10.0.0.0/20"]), ..Ground::default() };
        for (lane, list, turns) in [
            (Lane::Likely, "top:1000", 3),
            (Lane::Likely, "1-127", 1),
            (Lane::Hot, "top:1000", 1),
            (Lane::Full, "all", 1),
        ] {
            let course = Course::new(&ground, lane, &ports(list), 7, DAY);
            let groups = course.visits.count();
            if lane == Lane::Full {
                assert_eq!((groups, course.parts()), (32, 16));
                continue;
            }
            assert!(groups > 0 && course.steps() == groups * turns, "{lane} {list}");
            let mut asked = vec![AddressSet::empty(); usize::try_from(turns).expect("few")];
            for number in 0..course.steps() {
                let step = course.step(number).expect("within");
                let turn = usize::try_from(number / groups).expect("few");
                assert!(turns == 1 || step.turn == Turn::ALL[turn]);
                asked[turn] = asked[turn].union(&course.addresses(step));
            }
            assert!(asked.iter().all(|asked| *asked == ground.swept), "{lane} {list}");
            assert_eq!(course.step(course.steps()), None);
        }
    }

    #[test]
    fn very_many_ports_are_asked_of_many_networks_part_by_part() {
        let ground = Ground { swept: set(&["10.0.0.0/20"]), ..Ground::default() };
        let all = Coverage {
            tcp: Arc::new(PortSet::all()),
            udp: Arc::new(PortSet::parse("53,123", Transport::Udp).expect("ports")),
        };
        let course = Course::new(&ground, Lane::Full, &all, 7, DAY);
        let steps: Vec<Step> = (0..course.steps()).filter_map(|number| course.step(number)).collect();
        let mut everybody = AddressSet::empty();
        for place in steps.chunk_by(|one, other| one.place == other.place) {
            let addresses = course.addresses(place[0]);
            let networks = addresses.ranges().iter().map(|range| likely::first_of_prefix(range.first()));
            assert_eq!(networks.collect::<std::collections::BTreeSet<_>>().len(), 16);
            let (mut tcp, mut udp) = (PortSet::empty(), PortSet::empty());
            for (part, step) in place.iter().enumerate() {
                let ports = course.ports(*step, &all);
                assert_eq!((course.addresses(*step), step.part as usize), (addresses.clone(), part));
                assert!(ports.tcp.difference(&tcp) == *ports.tcp && ports.udp.difference(&udp) == *ports.udp);
                assert!((1..=1 << 12).contains(&(ports.tcp.len() + ports.udp.len())));
                (tcp, udp) = (tcp.union(&ports.tcp), udp.union(&ports.udp));
                assert_eq!(course.is_last(*step), part + 1 == place.len());
            }
            assert_eq!((&tcp, &udp), (&*all.tcp, &*all.udp));
            everybody = everybody.union(&addresses);
        }
        assert_eq!((everybody, course.resume(37, course.steps())), (ground.swept, 37));
    }

    #[test]
    fn a_pass_goes_on_where_it_was_whoever_the_candidates_are() {
        let ground = |candidates: &[&str]| Ground {
            swept: set(&["10.0.0.0/20"]),
            open: set(&["2001:db8::/64"]),
            candidates: set(candidates),
            familiar: AddressSet::empty(),
        };
        let ports = ports("top:1000");
        let (before, after) = (ground(&["2001:db8::1"]), ground(&["2001:db8::1:0/117"]));
        let course = |ground: &Ground| Course::new(ground, Lane::Likely, &ports, 7, DAY);
        let (before, after) = (course(&before), course(&after));
        assert!(after.steps() > before.steps());
        let swept = before.visits.count() - 1;
        for (old, new) in [(&before, &after), (&after, &before)] {
            for done in 0..=old.steps() {
                let resumed = new.resume(done, old.steps());
                let Some(step) = old.step(done) else {
                    assert_eq!(resumed, new.steps());
                    continue;
                };
                if step.place < swept {
                    assert_eq!(new.step(resumed), Some(step), "{done}");
                }
            }
        }
        // Nothing is known of how far it was.
        assert_eq!(after.resume(3, 0), 3);
    }
}
