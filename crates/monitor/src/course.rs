//! The steps of a pass: every group of addresses once, or once for each turn where the lane asks its ports in turns. Pure.

use crate::{
    ground::{Ground, Visits},
    likely::{self, Turn},
    schedule,
};
use model::{AddressSet, Coverage, Lane};

#[derive(Debug)]
pub(crate) struct Course {
    visits: Visits,
    turns: &'static [Turn],
}

/// One group in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The group's.
    pub(crate) place: u64,
    pub(crate) turn: Turn,
}

impl Course {
    pub(crate) fn new(ground: &Ground, lane: Lane, ports: &Coverage, seed: u64) -> Self {
        let visits = Visits::new(ground, schedule::group_size(&ports.tcp, &ports.udp), seed);
        Self { visits, turns: turns(lane, ports) }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.visits.count().saturating_mul(self.turns.len() as u64)
    }

    /// None beyond the end.
    pub(crate) fn step(&self, number: u64) -> Option<Step> {
        let groups = self.visits.count().max(1);
        let turn = usize::try_from(number / groups).ok().and_then(|turn| self.turns.get(turn))?;
        (number < self.steps()).then_some(Step { place: number % groups, turn: *turn })
    }

    /// Where a pass goes on that had done so many of so many steps. Its last groups may be others by now and more or fewer: the first
    /// ones of each turn have kept their places.
    pub(crate) fn resume(&self, done: u64, of: u64) -> u64 {
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

/// How a lane's groups are made and gone through: what was begun in another way cannot go on.
pub(crate) fn manner(lane: Lane, ports: &Coverage) -> (u8, u32, usize) {
    let size = schedule::group_size(&ports.tcp, &ports.udp).get();
    (scope::Permutation::EDITION, size, turns(lane, ports).len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PortSet, Target, Transport};
    use std::sync::Arc;

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
            let course = Course::new(&ground, lane, &ports(list), 7);
            let groups = course.visits.count();
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
    fn a_pass_goes_on_where_it_was_whoever_the_candidates_are() {
        let ground = |candidates: &[&str]| Ground {
            swept: set(&["10.0.0.0/20"]),
            open: set(&["2001:db8::/64"]),
            candidates: set(candidates),
            familiar: AddressSet::empty(),
        };
        let ports = ports("top:1000");
        let (before, after) = (ground(&["2001:db8::1"]), ground(&["2001:db8::1:0/117"]));
        let course = |ground: &Ground| Course::new(ground, Lane::Likely, &ports, 7);
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
