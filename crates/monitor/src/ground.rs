//! What the lanes of a profile visit: addresses one by one, and what is too large for that, of which only candidates are asked.

use crate::schedule::Cut;
use model::AddressSet;
use scope::{Groups, Permutation, Spread};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ground {
    /// Every address of it is asked.
    pub(crate) swept: AddressSet,
    /// Too large for that.
    pub(crate) open: AddressSet,
    /// The addresses of `open` that are asked.
    pub(crate) candidates: AddressSet,
    /// The part of `open` in which whoever is no candidate yet counts as not there: who appears in it is news.
    pub(crate) familiar: AddressSet,
}

impl Ground {
    /// Everything that belongs to it.
    pub(crate) fn extent(&self) -> AddressSet {
        if self.open.is_empty() { self.swept.clone() } else { self.swept.union(&self.open) }
    }

    /// How many addresses are asked, saturating.
    pub(crate) fn asked(&self) -> u64 {
        u64::try_from(self.swept.len().saturating_add(self.candidates.len())).unwrap_or(u64::MAX)
    }
}

/// The groups of a pass in the order they are visited: first what is swept, each group spread over it, in an order that the seed gives; then the candidates,
/// who may be others when a pass that was left goes on. So that part of it has the same places in both.
#[derive(Debug)]
pub(crate) struct Visits {
    swept: Spread,
    order: Permutation,
    candidates: Groups,
    /// What nobody has to be asked about.
    silent: AddressSet,
    is_open: bool,
}

impl Visits {
    pub(crate) fn new(ground: &Ground, cut: Cut, seed: u64) -> Self {
        let swept = Spread::new(ground.swept.clone(), cut.hosts, cut.run);
        Self {
            order: Permutation::new(swept.count(), seed),
            swept,
            candidates: Groups::new(ground.candidates.clone(), cut.hosts),
            silent: ground.familiar.difference(&ground.candidates),
            is_open: !ground.open.is_empty(),
        }
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> u64 {
        self.swept.count().saturating_add(self.last_groups())
    }

    /// Where nobody is to be asked there is still something to be said of the rest.
    fn last_groups(&self) -> u64 {
        if self.is_open { self.candidates.count().max(1) } else { 0 }
    }

    /// The addresses of the group at a place; empty beyond the end.
    pub(crate) fn nth(&self, place: u64) -> AddressSet {
        match place.checked_sub(self.swept.count()) {
            None => self.order.at(place).map(|number| self.swept.nth(number)).unwrap_or_default(),
            Some(place) => self.candidates.nth(place),
        }
    }

    /// What the group at a place stands for beside its own addresses: with the last one, everybody has been asked who could be.
    pub(crate) fn beside(&self, place: u64) -> AddressSet {
        if self.is_open && place + 1 == self.count() { self.silent.clone() } else { AddressSet::empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Target;
    use std::num::NonZeroU32;

    fn by_four() -> Cut {
        let four = NonZeroU32::new(4).expect("not zero");
        Cut { hosts: four, run: four, parts: 1 }
    }

    fn set(targets: &[&str]) -> AddressSet {
        targets.iter().filter_map(|text| text.parse::<Target>().expect("a target").range()).collect()
    }

    fn visits(ground: &Ground, seed: u64) -> Vec<AddressSet> {
        let visits = Visits::new(ground, by_four(), seed);
        assert!(visits.nth(visits.count()).is_empty());
        (0..visits.count()).map(|place| visits.nth(place)).collect()
    }

    #[test]
    fn what_is_swept_has_its_places_whoever_the_candidates_are() {
        let swept = set(&["192.0.2.0/28", "2001:db8:9::/126"]);
        let open = set(&["2001:db8:1::/64"]);
        let ground = |candidates: &[&str]| Ground {
            swept: swept.clone(),
            open: open.clone(),
            candidates: set(candidates),
            familiar: AddressSet::empty(),
        };
        let without = visits(&Ground { swept: swept.clone(), ..Ground::default() }, 7);
        assert_eq!(without.len(), 5);
        assert_eq!(without.iter().fold(AddressSet::empty(), |all, group| all.union(group)), swept);
        let few = visits(&ground(&["2001:db8:1::1"]), 7);
        assert_eq!((&few[..5], &few[5..]), (&without[..], &[set(&["2001:db8:1::1"])][..]));
        let five = ["2001:db8:1::1", "2001:db8:1::3", "2001:db8:1::5", "2001:db8:1::7", "2001:db8:1::9"];
        let many = visits(&ground(&five), 7);
        assert_eq!((&many[..5], many.len()), (&without[..], 7));
        assert_eq!(many[5].union(&many[6]), set(&five));
        // Nobody to ask, and something to say.
        let nobody = visits(&ground(&[]), 7);
        assert_eq!((&nobody[..5], &nobody[5..]), (&without[..], &[AddressSet::empty()][..]));
    }

    #[test]
    fn the_last_group_stands_for_the_silence_of_the_rest() {
        let mut ground = Ground {
            swept: set(&["192.0.2.0/30"]),
            open: set(&["2001:db8:1::/64", "2001:db8:2::/64"]),
            candidates: set(&["2001:db8:1::1", "2001:db8:2::1"]),
            familiar: set(&["2001:db8:1::/64"]),
        };
        let beside = |ground: &Ground| {
            let visits = Visits::new(ground, by_four(), 1);
            (0..=visits.count()).map(|place| visits.beside(place)).collect::<Vec<_>>()
        };
        let nothing = AddressSet::empty;
        let rest = set(&["2001:db8:1::/64"]).difference(&set(&["2001:db8:1::1"]));
        assert_eq!(beside(&ground), [nothing(), rest, nothing()]);
        ground.familiar = nothing();
        assert_eq!(beside(&ground), [nothing(), nothing(), nothing()]);
        ground.open = nothing();
        ground.candidates = nothing();
        assert_eq!(beside(&ground), [nothing(), nothing()]);
        assert_eq!((ground.asked(), ground.extent()), (4, ground.swept.clone()));
    }
}
