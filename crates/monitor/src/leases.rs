//! Host names as leases: when each is asked for again, and what its addresses are until then.

use crate::LeaseRecord;
use jiff::{SignedDuration, Timestamp};
use model::ServiceName;
use scope::{Lease, Scope};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// A name whose question failed is asked again after this.
const RETRY: Duration = Duration::from_secs(10);
/// A record is renewed so long before it ends.
const MARGIN: Duration = Duration::from_secs(5);

/// No record is believed for longer.
const LONGEST: Duration = Duration::from_hours(1);
/// An address that a name had so recently is still one of its own: many a name has some of its addresses now and others then.
const OF_LATE: SignedDuration = SignedDuration::from_hours(24);
/// So many of them are remembered.
const MOST_EARLIER: usize = 256;

type Key = (Arc<str>, ServiceName);

#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<Key, Held>,
    retry_at: HashMap<Key, Timestamp>,
    asking: HashSet<Key>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    addresses: Vec<IpAddr>,
    until: Timestamp,
    /// Those it had before, and when it last had them.
    earlier: BTreeMap<IpAddr, Timestamp>,
    /// Some of them came back. What is known of the others is kept then, and nobody asks them anything meanwhile.
    in_turns: bool,
}

/// A name has other addresses than before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Those it was known for, and those it is known for now.
    pub(crate) old: Vec<IpAddr>,
    pub(crate) new: Vec<IpAddr>,
    /// It is more than addresses it has in turns.
    pub(crate) is_news: bool,
}

impl Held {
    /// All that are its own: those it has now, and those it has in turns with them.
    fn pool(&self) -> Vec<IpAddr> {
        let dormant = self.in_turns.then(|| self.earlier.keys().copied()).into_iter().flatten();
        self.addresses.iter().copied().chain(dormant).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Takes an answer.
    fn answered(&mut self, addresses: &[IpAddr], until: Timestamp, now: Timestamp) -> Option<Moved> {
        let (was_in_turns, old) = (self.in_turns, self.pool());
        let set = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
        let is_same = set(&self.addresses) == set(addresses);
        for gone in self.addresses.iter().filter(|had| !addresses.contains(had)) {
            self.earlier.insert(*gone, now);
        }
        self.in_turns |= addresses.iter().any(|now| self.earlier.contains_key(now));
        self.earlier.retain(|ip, at| !addresses.contains(ip) && now.duration_since(*at) < OF_LATE);
        while self.earlier.len() > MOST_EARLIER {
            let Some(oldest) = self.earlier.iter().min_by_key(|(_, at)| **at).map(|(ip, _)| *ip) else { break };
            self.earlier.remove(&oldest);
        }
        self.in_turns &= !self.earlier.is_empty();
        (self.addresses, self.until) = (addresses.to_vec(), until);
        let new = self.pool();
        if is_same && old == new {
            return None;
        }
        let is_news = !was_in_turns || old != new;
        Some(Moved { old, new, is_news })
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

impl Leases {
    pub(crate) fn restore(records: Vec<LeaseRecord>) -> Self {
        let mut leases = Self::default();
        for record in records {
            // A name this version would not accept any more is resolved anew, if it is still configured.
            if let Ok(name) = record.name.parse() {
                let LeaseRecord { asset, addresses, until, earlier, in_turns, .. } = record;
                leases.held.insert((asset, name), Held { addresses, until, earlier, in_turns });
            }
        }
        leases
    }

    /// The names to ask for now; they count as being asked until [`Self::answered`] or [`Self::failed`].
    pub(crate) fn due(&mut self, scope: &Scope, now: Timestamp) -> Vec<Key> {
        let mut due = Vec::new();
        for key in scope.names() {
            let held_until = self.held.get(&key).map(|held| held.until);
            // Further ahead than any record lives, or any retry waits: the clock was set back.
            let is_due = |at: Timestamp, most: Duration| at <= now || after(now, most) < at;
            let renew = held_until.is_none_or(|until| is_due(until.checked_sub(MARGIN).unwrap_or(until), LONGEST));
            let allowed = self.retry_at.get(&key).is_none_or(|at| is_due(*at, RETRY));
            if renew && allowed && self.asking.insert(key.clone()) {
                due.push(key);
            }
        }
        due
    }

    /// Takes an answer. Says how the name moved, where it had others.
    pub(crate) fn answered(
        &mut self,
        key: &Key,
        addresses: &[IpAddr],
        until: Timestamp,
        now: Timestamp,
    ) -> Option<Moved> {
        self.asking.remove(key);
        self.retry_at.remove(key);
        if let Some(held) = self.held.get_mut(key) {
            return held.answered(addresses, until, now);
        }
        self.held.insert(key.clone(), Held { addresses: addresses.to_vec(), until, ..Held::default() });
        None
    }

    pub(crate) fn failed(&mut self, key: &Key, now: Timestamp) {
        self.asking.remove(key);
        self.retry_at.insert(key.clone(), now.checked_add(RETRY).unwrap_or(now));
    }

    /// There is no such name any more: once its last record has run out, the addresses it had are given up and returned.
    pub(crate) fn ended(&mut self, key: &Key, now: Timestamp) -> Option<Vec<IpAddr>> {
        let held = self.held.get_mut(key)?;
        let old = (held.until <= now && !held.addresses.is_empty()).then(|| held.pool())?;
        *held = Held { until: held.until, ..Held::default() };
        Some(old)
    }

    /// The names that have no living record, for `status`.
    pub(crate) fn lapsed(&self, scope: &Scope, now: Timestamp) -> Vec<ServiceName> {
        let living = |key: &Key| self.held.get(key).is_some_and(|held| held.until > now);
        scope
            .names()
            .into_iter()
            .filter(|key| self.retry_at.contains_key(key) && !living(key))
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether some name of these assets has not been asked for even once: what they hold is not known yet.
    pub(crate) fn awaits_first_answer(&self, scope: &Scope, assets: &[Arc<str>]) -> bool {
        let unknown = |key: &Key| !self.held.contains_key(key) && !self.retry_at.contains_key(key);
        scope.names().iter().any(|key| assets.contains(&key.0) && unknown(key))
    }

    /// Drops names that are no longer configured.
    pub(crate) fn retain(&mut self, scope: &Scope) {
        let wanted: HashSet<Key> = scope.names().into_iter().collect();
        self.held.retain(|key, _| wanted.contains(key));
        self.retry_at.retain(|key, _| wanted.contains(key));
    }

    pub(crate) fn for_scope(&self) -> Vec<Lease> {
        let mut leases = Vec::with_capacity(self.held.len());
        for ((asset, name), held) in &self.held {
            let lease = |addresses, until| Lease { asset: asset.clone(), name: name.clone(), addresses, until };
            leases.push(lease(held.addresses.clone(), held.until));
            // Known, and not to be asked: whatever the clock says, this record is over.
            if held.in_turns {
                leases.push(lease(held.earlier.keys().copied().collect(), Timestamp::MIN));
            }
        }
        leases
    }

    pub(crate) fn records(&self) -> Vec<LeaseRecord> {
        let record = |((asset, name), held): (&Key, &Held)| LeaseRecord {
            asset: asset.clone(),
            name: name.to_string(),
            addresses: held.addresses.clone(),
            until: held.until,
            earlier: held.earlier.clone(),
            in_turns: held.in_turns,
        };
        self.held.iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(last: &[u8]) -> Vec<IpAddr> {
        last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect()
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    /// What is told of these answers, an hour after one another: pools before and after.
    fn told(answers: &[&[u8]]) -> Vec<Option<(Vec<IpAddr>, Vec<IpAddr>)>> {
        let (mut held, mut told) = (Held::default(), Vec::new());
        for (answer, hour) in answers.iter().zip(0..) {
            let moved = held.answered(&ips(answer), at(hour + 1), at(hour));
            told.push(moved.filter(|moved| moved.is_news).map(|moved| (moved.old, moved.new)));
        }
        told
    }

    #[test]
    fn a_name_that_moves_is_news_and_one_that_stays_is_not() {
        let seen = told(&[&[1], &[1], &[2], &[2]]);
        assert_eq!(seen[1..], [None, Some((ips(&[1]), ips(&[2]))), None]);
    }

    #[test]
    fn addresses_in_turns_are_news_until_they_are_seen_to_be_that() {
        let seen = told(&[&[1, 2], &[3, 4], &[1, 3], &[2, 4], &[4, 1], &[1, 2]]);
        assert!(seen[1].is_some() && seen[2].is_some());
        assert_eq!(seen[3..], [None, None, None]);
    }

    #[test]
    fn a_new_one_among_them_is_news_at_once_and_one_that_left_a_day_later() {
        let mut answers: Vec<&[u8]> = vec![&[1], &[2], &[1], &[2], &[1], &[9], &[2]];
        answers.extend([[1_u8].as_slice(), &[2]].into_iter().cycle().take(40));
        let seen = told(&answers);
        assert_eq!(seen[5], Some((ips(&[1, 2]), ips(&[1, 2, 9]))));
        let later: Vec<_> = seen[6..].iter().flatten().collect();
        assert_eq!(later, [&(ips(&[1, 2, 9]), ips(&[1, 2]))]);
    }

    #[test]
    fn those_it_does_not_have_now_are_known_and_not_to_be_asked() {
        let (mut leases, key) = (Leases::default(), (Arc::from("dmz"), "www.example.org".parse().expect("a name")));
        for (hour, last) in [1, 2, 1].into_iter().enumerate() {
            let hour = i64::try_from(hour).expect("few");
            leases.answered(&key, &ips(&[last]), at(hour + 1), at(hour));
        }
        for leases in [Leases::restore(leases.records()), leases] {
            let living = |until: Timestamp| leases.for_scope().into_iter().filter(move |lease| until < lease.until);
            let known: BTreeSet<IpAddr> = leases.for_scope().into_iter().flat_map(|lease| lease.addresses).collect();
            assert_eq!(known.into_iter().collect::<Vec<_>>(), ips(&[1, 2]));
            // However far back the clock is set.
            assert!(living(Timestamp::MIN).all(|lease| lease.addresses == ips(&[1])));
        }
    }
}
