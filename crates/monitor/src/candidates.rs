//! Addresses worth asking in prefixes too large to ask every address of: whoever this machine has met on a link, and whoever is
//! known already. Host names' addresses are swept anyway. Nothing here widens the scope; it only says where in it to look.

use model::{AddressRange, AddressSet};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;

/// Between two looks at the neighbours.
const EVERY: Duration = Duration::from_secs(30);
/// One that was not met for so long is asked no more, unless it has answered and is known by that.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// Met neighbours remembered: whoever is on the link can make up as many as he likes.
const MOST: usize = 4_096;
/// After so long with a prefix everybody who lives in it has been met, and who is met later is new.
const ACQUAINTED: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(crate) struct Candidates {
    met: BTreeMap<IpAddr, Instant>,
    /// The prefixes, and since when they are watched.
    since: BTreeMap<AddressRange, Instant>,
    looked: Option<Instant>,
}

impl Candidates {
    /// Whether it is time to look whom this machine has met.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= EVERY)
    }

    /// Takes those that are on a link of ours now. `open` is what cannot be swept; what is no longer in it is forgotten.
    pub(crate) fn note(&mut self, neighbours: &AddressSet, open: &AddressSet, now: Instant) {
        self.looked = Some(now);
        let wanted: BTreeSet<AddressRange> = open.ranges().iter().copied().collect();
        self.since.retain(|range, _| wanted.contains(range));
        for range in wanted {
            self.since.entry(range).or_insert(now);
        }
        self.met.retain(|ip, last| open.contains(*ip) && now.saturating_duration_since(*last) < KEPT);
        for ip in neighbours.iter().take(MOST).filter(|ip| open.contains(*ip)) {
            self.met.insert(ip, now);
        }
        // Whoever was not met for longest goes first.
        let surplus = self.met.len().saturating_sub(MOST);
        if surplus > 0 {
            let mut all: Vec<(Instant, IpAddr)> = self.met.iter().map(|(ip, last)| (*last, *ip)).collect();
            all.sort_unstable();
            for (_, ip) in all.into_iter().take(surplus) {
                self.met.remove(&ip);
            }
        }
    }

    /// The remembered neighbours in these ranges, ascending.
    pub(crate) fn met_in(&self, open: &AddressSet) -> impl Iterator<Item = IpAddr> {
        open.ranges().iter().flat_map(|range| self.met.range(range.first()..=range.last())).map(|(ip, _)| *ip)
    }

    /// What of these ranges is watched for so long that who is met in it from now on is new there.
    pub(crate) fn familiar(&self, open: &AddressSet, now: Instant) -> AddressSet {
        let is_old = |range: &&AddressRange| {
            self.since.get(range).is_some_and(|since| now.saturating_duration_since(*since) >= ACQUAINTED)
        };
        let old: AddressSet = self.since.keys().filter(is_old).copied().collect();
        open.intersection(&old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Target;

    fn set(targets: &[&str]) -> AddressSet {
        targets.iter().filter_map(|text| text.parse::<Target>().expect("a target").range()).collect()
    }

    fn met(candidates: &Candidates, open: &AddressSet) -> Vec<String> {
        candidates.met_in(open).map(|ip| ip.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_met_lately_is_asked() {
        let open = set(&["2001:db8:1::/64", "2001:db8:2::/64"]);
        let begun = Instant::now();
        let mut candidates = Candidates::default();
        assert!(candidates.is_due(begun));
        // Others on the link are none of the targets.
        candidates.note(&set(&["192.0.2.7", "2001:db8:1::7", "2001:db8:2::9", "2001:db8:3::1"]), &open, begun);
        assert!(!candidates.is_due(begun) && candidates.is_due(begun + EVERY));
        assert_eq!(met(&candidates, &open), ["2001:db8:1::7", "2001:db8:2::9"]);
        assert_eq!(met(&candidates, &set(&["2001:db8:2::/64"])), ["2001:db8:2::9"]);
        let later = begun + KEPT;
        candidates.note(&set(&["2001:db8:1::8"]), &open, later - EVERY);
        assert_eq!(met(&candidates, &open), ["2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::9"]);
        candidates.note(&set(&["2001:db8:2::9"]), &open, later);
        assert_eq!(met(&candidates, &open), ["2001:db8:1::8", "2001:db8:2::9"]);
        // A reload takes a prefix out.
        candidates.note(&set(&[]), &set(&["2001:db8:1::/64"]), later);
        assert_eq!(met(&candidates, &open), ["2001:db8:1::8"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_becomes_familiar() {
        let (one, two) = (set(&["2001:db8:1::/64"]), set(&["2001:db8:2::/64"]));
        let both = one.union(&two);
        let begun = Instant::now();
        let mut candidates = Candidates::default();
        candidates.note(&AddressSet::empty(), &one, begun);
        candidates.note(&AddressSet::empty(), &both, begun + ACQUAINTED);
        assert_eq!(candidates.familiar(&both, begun + ACQUAINTED), one);
        assert_eq!(candidates.familiar(&both, begun + ACQUAINTED * 2), both);
        assert_eq!(candidates.familiar(&two, begun + ACQUAINTED), AddressSet::empty());
    }

    #[tokio::test(start_paused = true)]
    async fn neighbours_that_are_made_up_have_an_end() {
        let open = set(&["2001:db8:1::/64"]);
        let mut candidates = Candidates::default();
        for round in 0..4_u128 {
            let first = 0x2001_0db8_0001_0000_0000_0000_0000_0000 + round * 3_000;
            let range = AddressRange::new(
                std::net::Ipv6Addr::from(first).into(),
                std::net::Ipv6Addr::from(first + 2_999).into(),
            );
            let at = Instant::now() + EVERY * u32::try_from(round).expect("small");
            candidates.note(&range.into_iter().collect(), &open, at);
            assert!(candidates.met.len() <= MOST);
        }
        // The latest are among them.
        assert_eq!(candidates.met_in(&open).count(), MOST);
        assert!(candidates.met.contains_key(&"2001:db8:1::2edf".parse::<IpAddr>().expect("an address")));
    }
}
