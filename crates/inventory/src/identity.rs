//! What tells one machine from another, whatever its address: link-layer addresses and SSH host keys. Never TLS keys: those
//! are copied from machine to machine by design.

use crate::{HostState, Identity, IdentityKey, Inventory, apply::Plan, confirm, ssh_key};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap},
    mem::discriminant,
    net::IpAddr,
    time::Duration,
};

/// A key not met for so long while another of its kind was is forgotten.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);
/// A key not met for so long while another of its kind was is not held any more.
const LEFT: Duration = Duration::from_hours(24);
/// A host is known by no more keys than this: whoever makes up a new one for each handshake must not fill the memory.
const MOST_KEYS: usize = 16;

/// Who holds which key: derived from the hosts, so that a machine that moved and a key that is shared are found without
/// looking at everybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holders {
    by_key: HashMap<u128, Held>,
}

/// Nearly every key has one holder.
#[derive(Debug, Clone)]
enum Held {
    One(IpAddr),
    Several(BTreeSet<IpAddr>),
}

/// A key met in this slice.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) key: IdentityKey,
    /// When it was met here before.
    pub(crate) before: Option<Timestamp>,
    pub(crate) at: Timestamp,
}

impl Holders {
    /// The host at that address holds `new` now, and held `old`.
    pub(crate) fn replace(&mut self, ip: IpAddr, old: &[Identity], new: &[Identity]) {
        for held in old.iter().filter(|held| new.iter().all(|other| other.key != held.key)) {
            self.remove(&held.key, ip);
        }
        for held in new.iter().filter(|held| old.iter().all(|other| other.key != held.key)) {
            self.insert(&held.key, ip);
        }
    }

    fn insert(&mut self, key: &IdentityKey, ip: IpAddr) {
        let held = self.by_key.entry(digest(key)).or_insert(Held::One(ip));
        match held {
            Held::One(other) if *other == ip => {}
            Held::One(other) => *held = Held::Several([*other, ip].into()),
            Held::Several(all) => {
                all.insert(ip);
            }
        }
    }

    fn remove(&mut self, key: &IdentityKey, ip: IpAddr) {
        let digest = digest(key);
        let Some(held) = self.by_key.get_mut(&digest) else { return };
        let is_last = match held {
            Held::One(other) => *other == ip,
            Held::Several(all) => {
                all.remove(&ip);
                all.is_empty()
            }
        };
        if is_last {
            self.by_key.remove(&digest);
        }
    }

    /// Ascending.
    pub(crate) fn of(&self, key: &IdentityKey) -> impl Iterator<Item = IpAddr> {
        let (one, several) = match self.by_key.get(&digest(key)) {
            None => (None, None),
            Some(Held::One(ip)) => (Some(*ip), None),
            Some(Held::Several(all)) => (None, Some(all)),
        };
        one.into_iter().chain(several.into_iter().flatten().copied())
    }
}

/// Half of a SHA-256 is as good as the whole to tell keys apart.
fn digest(key: &IdentityKey) -> u128 {
    let mut bytes = [0; 16];
    match key {
        IdentityKey::Mac(mac) => bytes[..6].copy_from_slice(&mac.0),
        IdentityKey::Ssh(key) => bytes.copy_from_slice(&key.sha256.0[..16]),
    }
    u128::from_le_bytes(bytes)
}

impl IdentityKey {
    /// A machine has one MAC at an address, and one SSH host key of each algorithm.
    fn is_kin_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ssh(one), Self::Ssh(other)) => one.algorithm == other.algorithm,
            _ => discriminant(self) == discriminant(other),
        }
    }

    /// `02:00:5e:10:00:07`, `SHA256:… (ED25519)`.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Mac(mac) => mac.to_string(),
            Self::Ssh(key) => ssh_key::displayed(key),
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Mac(_) => "MAC address",
            Self::Ssh(_) => "SSH host key",
        }
    }
}

impl Inventory {
    /// The host at an address, as a copy.
    pub(crate) fn known(&self, ip: IpAddr) -> Option<HostState> {
        self.hosts.get(&ip)
    }
}

impl HostState {
    pub(crate) fn identity(&self, key: &IdentityKey) -> Option<&Identity> {
        self.identities.iter().find(|held| held.key == *key)
    }

    /// Whether the key is one of its own now: it was met, and not only others of its kind since.
    pub(crate) fn still_holds(&self, key: &IdentityKey) -> bool {
        let Some(held) = self.identity(key) else { return false };
        let newest = self.kin(key).map(|other| other.last).max();
        newest.is_none_or(|newest| confirm::between(held.last, newest) < LEFT)
    }

    /// Its other keys of the same kind.
    pub(crate) fn kin<'a>(&'a self, key: &'a IdentityKey) -> impl Iterator<Item = &'a Identity> {
        self.identities.iter().filter(move |other| other.key != *key && other.key.is_kin_of(key))
    }

    /// Records that it showed a key. None where this sight is not news.
    fn hold(&mut self, key: &IdentityKey, at: Timestamp) -> Option<Met> {
        let others = self.kin(key).map(|other| other.last).max();
        let before = match self.identities.iter_mut().find(|held| held.key == *key) {
            Some(held) if at <= held.last => return None,
            Some(held) => {
                let before = held.last;
                if others.is_some_and(|other| other >= before) {
                    held.since = at;
                }
                held.last = at;
                Some(before)
            }
            None => {
                self.identities.push(Identity { key: key.clone(), since: at, last: at });
                None
            }
        };
        self.identities.retain(|held| {
            held.key == *key || !held.key.is_kin_of(key) || confirm::between(held.last, at) < REMEMBERED
        });
        while self.identities.len() > MOST_KEYS {
            let strangers = self.identities.iter().enumerate().filter(|(_, held)| held.key != *key);
            let Some((oldest, _)) = strangers.min_by_key(|(_, held)| (held.last, &held.key)) else { break };
            self.identities.remove(oldest);
        }
        self.identities.sort_by(|one, other| one.key.cmp(&other.key));
        Some(Met { key: key.clone(), before, at })
    }
}

impl Plan<'_> {
    /// Takes note of a key the host showed.
    pub(crate) fn meet(&mut self, key: &IdentityKey, at: Timestamp) {
        self.met.extend(self.host.hold(key, at));
    }

    /// The link-layer address, where the host answered and it names a machine. One that changes alone is a failover or a
    /// new interface: recorded, and not told.
    pub(crate) fn judge_mac(&mut self) {
        let Some(mac) = self.slice.mac.filter(|mac| mac.names_a_machine() && self.anything_answered()) else { return };
        let key = IdentityKey::Mac(mac);
        let at = self.slice.at;
        self.meet(&key, at);
        if self.met.last().filter(|met| met.key == key).is_some_and(|met| self.succeeded(met).is_some()) {
            self.host.turnover.get_or_insert_default().mac = Some(at);
        }
    }

    /// Where a key was met for the second time since it took the place of another of its kind: when that one was last met.
    pub(crate) fn succeeded(&self, met: &Met) -> Option<Timestamp> {
        let held = self.host.identity(&met.key)?;
        let former = self.host.kin(&met.key).map(|other| other.last).filter(|last| *last < held.since).max()?;
        (met.before == Some(held.since)).then_some(former)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Mac;

    fn mac(last: u8) -> IdentityKey {
        IdentityKey::Mac(Mac([2, 0, 0, 0, 0, last]))
    }

    #[test]
    fn the_index_follows_what_hosts_hold() {
        let held = |key: &IdentityKey| Identity { key: key.clone(), since: Timestamp::MIN, last: Timestamp::MIN };
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let (one, two) = (mac(1), mac(2));
        let mut holders = Holders::default();
        holders.replace(ip(1), &[], &[held(&one)]);
        holders.replace(ip(2), &[], &[held(&one), held(&two)]);
        holders.replace(ip(2), &[held(&one), held(&two)], &[held(&one)]);
        assert_eq!(holders.of(&one).collect::<Vec<_>>(), [ip(1), ip(2)]);
        assert_eq!(holders.of(&two).count(), 0);
        holders.replace(ip(1), &[held(&one)], &[]);
        assert_eq!(holders.of(&one).collect::<Vec<_>>(), [ip(2)]);
        holders.replace(ip(2), &[held(&one)], &[]);
        assert!(holders.by_key.is_empty());
    }

    #[test]
    fn a_key_counts_from_when_it_is_alone_and_others_fade() {
        let time = |hour: i64| Timestamp::from_second(1_795_255_500 + hour * 3600).expect("in range");
        let key = model::HostKey { vantage: "scan1".into(), ip: IpAddr::from([192, 0, 2, 7]) };
        let mut host = HostState::new(key, time(0));
        let since = |host: &HostState, n| host.identity(&mac(n)).map(|held| held.since);
        host.hold(&mac(1), time(0));
        host.hold(&mac(1), time(5));
        assert_eq!(since(&host, 1), Some(time(0)));
        host.hold(&mac(2), time(6));
        host.hold(&mac(2), time(7));
        assert_eq!((since(&host, 2), host.still_holds(&mac(1))), (Some(time(6)), true));
        assert!(host.hold(&mac(2), time(7)).is_none(), "the same again");
        host.hold(&mac(1), time(8));
        assert_eq!(since(&host, 1), Some(time(8)), "they took turns");
        host.hold(&mac(2), time(40));
        assert!(!host.still_holds(&mac(1)) && host.still_holds(&mac(2)));
        host.hold(&mac(2), time(8 + 7 * 24));
        assert_eq!(host.identities.len(), 1);
        for n in 3..100 {
            host.hold(&mac(n), time(200));
        }
        assert_eq!(host.identities.len(), MOST_KEYS);
    }
}
