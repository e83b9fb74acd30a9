//! What the engine asks by itself, beside what it is told to: an account of it, and whom it leaves alone.

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use model::Endpoint;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// An endpoint that the engine asked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aside {
    pub endpoint: Endpoint,
    /// A packet that shows what is lost on the way; else a connection that makes the kernel ask for a router.
    pub is_canary: bool,
    /// When it was asked the first time and the last since the last account.
    pub first: Timestamp,
    pub last: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Asides {
    asked: Mutex<BTreeMap<(Endpoint, bool), (Timestamp, Timestamp)>>,
    spared: ArcSwapOption<BTreeSet<IpAddr>>,
}

/// Endpoints between two accounts. Who scans once wants none, and is not to run out of memory for it.
const MOST: usize = 1 << 14;

impl Asides {
    /// It was asked.
    pub(super) fn note(&self, endpoint: Endpoint, is_canary: bool, now: Timestamp) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MOST || asked.contains_key(&(endpoint, is_canary)) {
            asked.entry((endpoint, is_canary)).or_insert((now, now)).1 = now;
        }
    }

    /// Whether it is to be left alone.
    pub(super) fn spares(&self, ip: IpAddr) -> bool {
        self.spared.load().as_ref().is_some_and(|spared| spared.contains(&ip))
    }

    /// These are left alone from now on, and no others.
    pub(super) fn spare(&self, hosts: Arc<BTreeSet<IpAddr>>) {
        self.spared.store(Some(hosts));
    }

    /// What was asked since the last time.
    pub(super) fn take(&self) -> Vec<Aside> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let aside = |((endpoint, is_canary), (first, last))| Aside { endpoint, is_canary, first, last };
        asked.into_iter().map(aside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_with_when() {
        let asides = Asides::default();
        let endpoint = |number: u32| Endpoint::tcp(IpAddr::V4(number.into()), 443);
        let at = |second| Timestamp::from_second(second).expect("in range");
        for second in 1..=3 {
            asides.note(endpoint(1), true, at(second));
        }
        asides.note(endpoint(1), false, at(4));
        let told = [(true, 1, 3), (false, 4, 4)].map(|(is_canary, first, last)| Aside {
            endpoint: endpoint(1),
            is_canary,
            first: at(first),
            last: at(last),
        });
        let mut taken = asides.take();
        taken.sort_by_key(|aside| aside.first);
        assert_eq!(taken, told);
        assert!(asides.take().is_empty());
        for number in 0..100_000 {
            asides.note(endpoint(number), true, at(5));
        }
        assert_eq!(asides.take().len(), MOST);
    }
}
