//! What there is to be found: addresses that are there, and ports open on each of them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// A prefix and which of its addresses are there. The same every time it is made.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    pub(crate) prefix: String,
    /// Addresses of the prefix.
    pub(crate) size: u32,
    pub(crate) live: BTreeSet<IpAddr>,
    pub(crate) is_whole: bool,
}

impl Population {
    /// `10.0.0.0/LENGTH` with this share of it, chosen by chance.
    pub(crate) fn new(length: u32, share: f64) -> Self {
        let size = 1_u32 << (32 - length);
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 0));
        let address = |offset: u32| IpAddr::from(Ipv4Addr::from(first + offset));
        let is_whole = share >= 1.0;
        let live = if is_whole {
            (0..size).map(address).collect()
        } else {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number")]
            let wanted = (f64::from(size) * share).round() as usize;
            let mut chance = Chance(0x5eed_0001 + u64::from(length));
            let mut live = BTreeSet::new();
            while live.len() < wanted {
                live.insert(address(chance.below(size)));
            }
            live
        };
        Self { prefix: format!("10.0.0.0/{length}"), size, live, is_whole }
    }

    /// What a path has to know of it.
    pub(crate) fn for_path(&self) -> Option<Vec<IpAddr>> {
        (!self.is_whole).then(|| self.live.iter().copied().collect())
    }
}

/// Vigna's `SplitMix64`: any sequence will do that is the same every time.
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, each as likely as any other as far as anybody can see.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "it is less than `end`")]
        let below = ((u128::from(self.next()) * u128::from(end)) >> 64) as u32;
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_population_has_its_share_and_stays_in_its_prefix() {
        for (length, share, expected) in [(16, 0.01, 655), (20, 1.0, 4_096), (24, 0.5, 128)] {
            let population = Population::new(length, share);
            assert_eq!(population.live.len(), expected);
            let inside = |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if ip.to_bits() - 0x0a00_0000 < population.size);
            assert!(population.live.iter().all(inside));
            assert_eq!(population.live, Population::new(length, share).live);
            assert_eq!(population.for_path().is_none(), share >= 1.0);
        }
    }
}
