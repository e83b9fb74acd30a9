//! Who has which address on our links: link-layer addresses that were asked for by ARP and neighbour discovery of our own.
//!
//! The kernel's table holds a thousand neighbours, and keeps a few packets for each it waits for: it is made for talking to some, not
//! for asking whether anybody is there. Here only those are entered who were asked for, so nobody else can make it grow.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Addresses known or asked for at a time.
const MOST: usize = 1 << 17;
/// So long after it answered, a neighbour is taken to be where it was: as long as Linux does.
pub(super) const FRESH: Duration = Duration::from_secs(30);
/// Between two questions to one that is still made use of.
const AGAIN: Duration = Duration::from_secs(1);
/// Questions to one that does not answer any more, before nothing is sent to where it was.
const MOST_UNANSWERED: u8 = 4;

#[derive(Debug, Default)]
pub(super) struct Neighbours(Mutex<HashMap<IpAddr, Entry>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    mac: Option<[u8; 6]>,
    /// It answered last.
    heard: Option<Instant>,
    asked: Instant,
    /// Since then.
    unanswered: u8,
}

/// What is known of where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    Here([u8; 6]),
    /// It was here; it is time to ask again.
    Unsure([u8; 6]),
    /// It was here, and does not answer any more: nobody is there.
    Gone,
    Unknown,
}

impl Neighbours {
    /// It is about to be asked for. False where there is no room for one more.
    pub(super) fn asked(&self, ip: IpAddr, now: Instant) -> bool {
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(&ip) {
            let is_of_use = |entry: &Entry| now.duration_since(entry.heard.unwrap_or(entry.asked)) < FRESH;
            all.retain(|_, entry| is_of_use(entry));
            if all.len() >= MOST {
                return false;
            }
        }
        let entry = all.entry(ip).or_insert(Entry { mac: None, heard: None, asked: now, unanswered: 0 });
        entry.asked = now;
        entry.unanswered = entry.unanswered.saturating_add(1);
        true
    }

    /// It says where it is. Gives the other place that it was at before.
    pub(super) fn heard(&self, ip: IpAddr, mac: [u8; 6], now: Instant) -> Option<[u8; 6]> {
        let mut all = self.lock();
        // Whoever was not asked for may say what he likes.
        let entry = all.get_mut(&ip)?;
        (entry.heard, entry.unanswered) = (Some(now), 0);
        entry.mac.replace(mac).filter(|before| *before != mac)
    }

    /// It has answered of late.
    pub(super) fn is_fresh(&self, ip: IpAddr, now: Instant) -> bool {
        self.lock().get(&ip).and_then(|entry| entry.heard).is_some_and(|heard| now.duration_since(heard) < FRESH)
    }

    pub(super) fn whereabouts(&self, ip: IpAddr, now: Instant) -> Whereabouts {
        let all = self.lock();
        let Some(Entry { mac: Some(mac), heard: Some(heard), asked, unanswered }) = all.get(&ip).copied() else {
            return Whereabouts::Unknown;
        };
        // One that was just asked has its time to answer.
        if now.duration_since(heard) < FRESH || now.duration_since(asked) < AGAIN {
            Whereabouts::Here(mac)
        } else if unanswered >= MOST_UNANSWERED {
            Whereabouts::Gone
        } else {
            Whereabouts::Unsure(mac)
        }
    }

    /// Nothing that holds the lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Whereabouts::*, *};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 8];

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn only_who_was_asked_for_is_known() {
        let (neighbours, now) = (Neighbours::default(), Instant::now());
        assert_eq!(neighbours.heard(ip(1), MAC, now), None);
        assert_eq!(neighbours.whereabouts(ip(1), now), Unknown);
        assert!(neighbours.asked(ip(1), now));
        assert_eq!(neighbours.whereabouts(ip(1), now), Unknown);
        assert_eq!(neighbours.heard(ip(1), MAC, now), None);
        assert_eq!(neighbours.whereabouts(ip(1), now), Here(MAC));
        assert_eq!(neighbours.heard(ip(1), MAC, now), None);
        // Another machine.
        assert_eq!(neighbours.heard(ip(1), OTHER, now), Some(MAC));
        assert_eq!(neighbours.whereabouts(ip(1), now), Here(OTHER));
    }

    #[test]
    fn who_is_made_use_of_is_asked_again_and_forgotten_in_the_end() {
        let (neighbours, begun) = (Neighbours::default(), Instant::now());
        neighbours.asked(ip(1), begun);
        neighbours.heard(ip(1), MAC, begun);
        let mut now = begun + FRESH;
        for _ in 0..MOST_UNANSWERED {
            assert_eq!(neighbours.whereabouts(ip(1), now), Unsure(MAC));
            neighbours.asked(ip(1), now);
            // The last one has its time, too.
            assert_eq!(neighbours.whereabouts(ip(1), now + AGAIN / 2), Here(MAC));
            now += AGAIN;
        }
        assert_eq!(neighbours.whereabouts(ip(1), now), Gone);
        // It is back.
        neighbours.heard(ip(1), MAC, now);
        assert_eq!(neighbours.whereabouts(ip(1), now), Here(MAC));
    }

    #[test]
    fn there_are_only_so_many() {
        let (neighbours, begun) = (Neighbours::default(), Instant::now());
        let most = u32::try_from(MOST).expect("small");
        assert!((0..most).all(|number| neighbours.asked(ip(number), begun)));
        assert!(!neighbours.asked(ip(most), begun));
        assert!(neighbours.asked(ip(0), begun));
        assert!(neighbours.asked(ip(most), begun + FRESH));
        assert_eq!(neighbours.lock().len(), 1);
    }
}
