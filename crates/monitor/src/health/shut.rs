//! Hosts that stop answering together while others go on. A firewall in front of some of them that bans this sensor looks like
//! that, and so does a power cut in their rack. Which of the two it is only time shows: bans end. Until then the sensor holds
//! back there and says so, and none of them is called closed or lost.

use super::{Health, Now, addresses, strip::is_silent, trouble::Kind};
use crate::canary;
use inventory::{EndpointState, Inventory, Row};
use jiff::Timestamp;
use model::{AddressSet, HostSlice, Transport};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    time::Duration,
};
use tokio::time::Instant;

/// Hosts found silent so close together belong together: about two periods of the known lane.
const TOGETHER: Duration = Duration::from_mins(10);
/// Of one that was not seen for so long nobody can say when it stopped answering.
const SEEN_WITHIN: Duration = Duration::from_hours(1);
/// So many of one network, and one in so many of those known there.
const OF_A_NETWORK: usize = 3;
const PART: usize = 5;
/// Of a network with few hosts two will do, where they are half of it.
const OF_A_SMALL_NETWORK: usize = 2;
/// Or so many wherever they are.
const ANYWHERE: usize = 20;
/// So many are remembered. More at once is nobody's ban, and canaries judge that.
const REMEMBERED: usize = 4_096;
/// Two looks are so far apart.
const HELD: Duration = Duration::from_secs(10);
/// After this it is believed: from now on each is judged like any other that is silent.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);
/// Named in the sentence.
const NAMED: usize = 10;

/// Hosts of which nothing that was open answers, of late.
#[derive(Debug, Default)]
pub(super) struct Shut {
    dark: BTreeMap<IpAddr, Dark>,
    /// Those that were silent for too long, or stayed so when the others came back: they are judged alone.
    released: BTreeSet<IpAddr>,
    /// Some of them have answered again, at that time: each of the others is asked once more, and then it is over.
    thawed: Option<Instant>,
    thaws: bool,
    /// Those that have answered again, with when they did last.
    back: BTreeMap<IpAddr, Timestamp>,
    /// Those that were asked since and did not, with when that was found.
    stuck: BTreeMap<IpAddr, Timestamp>,
    /// A second look, later, found them dark again while others went on.
    pub(super) confirmed: bool,
    /// The last of it ended because it lasted.
    pub(super) believed: bool,
    /// Doubts about these are to be forgotten.
    pub(super) void: BTreeSet<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dark {
    /// When it answered last, and when it first did not.
    seen: Timestamp,
    since: Timestamp,
    /// The one port that refuses, where it has no other.
    only: Option<u16>,
}

impl Health {
    /// Takes note of who stopped answering and who is back, in a look that can be believed.
    pub(super) fn note_darkness(&mut self, slices: &[HostSlice], inventory: &Inventory, now: Now) {
        let mut news = false;
        for slice in slices {
            if let Some(answered) = light(slice) {
                self.note_light(slice.ip, answered, now.instant);
            } else if self.is_shut(slice.ip) {
                let held = |began| Duration::try_from(slice.at.duration_since(began)).is_ok_and(|held| held >= HELD);
                self.shut.confirmed |= self.troubles.get(&Kind::Shut).is_some_and(|shut| held(shut.began));
                self.note_stuck(slice, now.instant);
            } else if !self.shut.dark.contains_key(&slice.ip)
                && !self.shut.released.contains(&slice.ip)
                && self.shut.dark.len() < REMEMBERED
                && let Some(dark) = darkness(slice, inventory, now.wall)
            {
                self.shut.dark.insert(slice.ip, dark);
                news |= !self.rejoin(slice.ip);
            }
        }
        if news {
            self.look_for_a_ban(inventory, now);
        }
        self.end_ban(now.instant);
    }

    /// Whether it stopped answering together with others, and nothing negative about it counts.
    pub(super) fn is_shut(&self, ip: IpAddr) -> bool {
        self.troubles.get(&Kind::Shut).is_some_and(|trouble| trouble.doubted.contains(ip))
    }

    /// Hosts of which doubts are to be forgotten, since the last time.
    pub(crate) fn take_void(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.shut.void)
    }

    /// Whether some have begun to answer again since the last time: then all are to be looked at.
    pub(crate) fn take_thaw(&mut self) -> bool {
        std::mem::take(&mut self.shut.thaws)
    }

    /// Those of which little is to be asked.
    pub(super) fn shut_out(&self) -> Option<&AddressSet> {
        // While some are coming back, all are asked everything.
        self.troubles.get(&Kind::Shut).filter(|_| self.shut.thawed.is_none()).map(|trouble| &trouble.doubted)
    }

    fn note_light(&mut self, ip: IpAddr, answered: Timestamp, now: Instant) {
        // What was asked before and comes to light only now says nothing.
        if self.shut.dark.get(&ip).is_some_and(|dark| answered <= dark.since) {
            return;
        }
        self.shut.dark.remove(&ip);
        if !self.shut.released.is_empty() {
            self.shut.released.remove(&ip);
        }
        let Some(trouble) = self.troubles.get_mut(&Kind::Shut) else { return };
        if trouble.doubted.contains(ip) {
            trouble.doubted = trouble.doubted.difference(&addresses([ip].into_iter()));
            self.shut.stuck.remove(&ip);
            self.shut.back.insert(ip, answered);
            self.shut.thaws |= self.shut.thawed.is_none();
            self.shut.thawed.get_or_insert(now);
        } else if let Some(before) = self.shut.back.get_mut(&ip) {
            let before = std::mem::replace(before, answered);
            self.release_between(before, answered);
        }
    }

    /// One that was dark with the others, came back and is dark again: the ban begins anew. Tells whether it is.
    fn rejoin(&mut self, ip: IpAddr) -> bool {
        let Some(trouble) = self.troubles.get_mut(&Kind::Shut) else { return false };
        if self.shut.back.remove(&ip).is_none() {
            return false;
        }
        trouble.doubted = trouble.doubted.union(&addresses([ip].into_iter()));
        self.shut.void.insert(ip);
        self.shut.thawed = None;
        self.shut.stuck.clear();
        true
    }

    /// One that is asked when others have come back, and still says nothing, is not kept from us by what kept the others: unless a
    /// new ban has begun, which the very asking may bring about. It has not where one of the others goes on to answer.
    fn note_stuck(&mut self, slice: &HostSlice, now: Instant) {
        // What was under way when the first answered may have been asked before it could.
        let asked_since = |thawed: Instant| now.saturating_duration_since(thawed) >= HELD;
        if self.shut.thawed.is_some_and(asked_since) {
            let asked = self.shut.stuck.entry(slice.ip).or_insert(slice.at);
            if !is_close(*asked, slice.at) {
                *asked = slice.at;
            }
        }
    }

    fn release_between(&mut self, before: Timestamp, after: Timestamp) {
        // Too far apart there is room for a ban between them.
        if !is_close(before, after) {
            return;
        }
        let Some(trouble) = self.troubles.get_mut(&Kind::Shut) else { return };
        let stuck: BTreeSet<IpAddr> =
            self.shut.stuck.extract_if(.., |_, asked| before < *asked && *asked < after).map(|(ip, _)| ip).collect();
        trouble.doubted = trouble.doubted.difference(&addresses(stuck.iter().copied()));
        self.shut.dark.retain(|ip, _| !stuck.contains(ip));
        self.shut.released.extend(stuck);
    }

    /// Whether those that are dark went dark together, and are enough of them to be worth a suspicion.
    fn look_for_a_ban(&mut self, inventory: &Inventory, now: Now) {
        let is_late =
            |since: Timestamp| Duration::try_from(now.wall.duration_since(since)).is_ok_and(|age| age > TOGETHER);
        let is_shut: BTreeSet<IpAddr> = self.shut.dark.keys().copied().filter(|&ip| self.is_shut(ip)).collect();
        self.shut.dark.retain(|ip, dark| is_shut.contains(ip) || !is_late(dark.since));
        let mut networks: BTreeMap<IpAddr, Vec<(IpAddr, Dark)>> = BTreeMap::new();
        for (&ip, &dark) in &self.shut.dark {
            networks.entry(network(ip)).or_default().push((ip, dark));
        }
        let mut together = BTreeSet::new();
        for (&network, dark) in &networks {
            let dark = at_one_moment(dark);
            let enough = dark.len() >= OF_A_SMALL_NETWORK && {
                let known = living(inventory, network);
                let is_part = dark.len() >= OF_A_NETWORK && dark.len() * PART >= known;
                is_part || dark.len() * 2 >= known
            };
            if enough && !is_one_service(&dark) {
                together.extend(dark.iter().map(|(ip, _)| *ip));
            }
        }
        let anywhere: Vec<(IpAddr, Dark)> = self.shut.dark.iter().map(|(&ip, &dark)| (ip, dark)).collect();
        let anywhere = at_one_moment(&anywhere);
        if anywhere.len() >= ANYWHERE && !is_one_service(&anywhere) {
            together.extend(anywhere.iter().map(|(ip, _)| *ip));
        }
        let new: BTreeSet<IpAddr> = together.into_iter().filter(|&ip| !self.is_shut(ip)).collect();
        if new.is_empty() {
            return;
        }
        let joined = addresses(new.iter().copied());
        let standing = self.troubles.get(&Kind::Shut).map(|trouble| trouble.doubted.clone()).unwrap_or_default();
        let all = standing.union(&joined);
        let count = all.len();
        let mut names: Vec<String> = all.iter().take(NAMED).map(|ip| ip.to_string()).collect();
        if count > NAMED as u128 {
            names.push(format!("{} more", count - NAMED as u128));
        }
        let sentence = format!(
            "{count} hosts stopped answering together while others go on ({}): taken for a ban of this sensor, or an outage of theirs; it holds back there, and none of them is called closed or lost before this has lasted an hour",
            names.join(", ")
        );
        self.shut.void.extend(new);
        self.shut.freeze();
        self.begin(Kind::Shut, sentence, &joined, now);
    }

    fn end_ban(&mut self, now: Instant) {
        let Some(trouble) = self.troubles.get(&Kind::Shut) else { return };
        if trouble.doubted.is_empty() {
            self.troubles.remove(&Kind::Shut);
        } else if now.saturating_duration_since(trouble.since) >= BELIEVED_AFTER {
            let dark = std::mem::take(&mut self.shut.dark);
            self.shut.released.extend(dark.into_keys().filter(|ip| trouble.doubted.contains(*ip)));
            self.shut.released.extend(trouble.doubted.iter().take(REMEMBERED));
            self.shut.believed = true;
            self.troubles.remove(&Kind::Shut);
        } else {
            return;
        }
        self.shut.confirmed = false;
        self.shut.freeze();
    }

    /// It was the first sign of something that concerns everybody.
    pub(super) fn forget_suspicion(&mut self) {
        if !self.shut.confirmed {
            self.troubles.remove(&Kind::Shut);
            self.shut.dark.clear();
            self.shut.freeze();
        }
    }
}

impl Shut {
    /// Nobody is coming back, as far as is known.
    fn freeze(&mut self) {
        self.thawed = None;
        self.back.clear();
        self.stuck.clear();
    }
}

/// Whether no ban is as short as the time between.
fn is_close(before: Timestamp, after: Timestamp) -> bool {
    Duration::try_from(after.duration_since(before)).is_ok_and(|apart| apart <= TOGETHER)
}

/// When something open answered last in a slice.
fn light(slice: &HostSlice) -> Option<Timestamp> {
    let open = slice.ports.iter().filter(|port| port.outcome.is_open()).map(|port| port.at);
    open.chain(slice.services.iter().map(|service| service.at)).max()
}

/// A host that lives, and of which everything open was asked and nothing answers: since when.
fn darkness(slice: &HostSlice, inventory: &Inventory, now: Timestamp) -> Option<Dark> {
    let host = inventory.row(slice.ip).filter(|host| host.is_up() && !host.is_provisional())?;
    if inventory.pool_of(slice.ip).is_some() {
        return None;
    }
    let open: BTreeSet<u16> = tcp(host).collect();
    let asked = |port: &u16| {
        slice.ports.iter().any(|seen| {
            (seen.endpoint.transport, seen.endpoint.port) == (Transport::Tcp, *port) && seen.outcome.is_evidence()
        })
    };
    if open.is_empty() || !open.iter().all(asked) {
        return None;
    }
    let refuses = slice.ports.iter().any(|seen| {
        open.contains(&seen.endpoint.port)
            && seen.endpoint.transport == Transport::Tcp
            && canary::is_refusal(seen.outcome)
    });
    if !refuses && !is_silent(slice) {
        return None;
    }
    let state = host.unpack();
    // A refusal keeps a host alive, but says nothing of what is open there: that alone tells when it answered last, and since
    // when it does not. One that has been silent for long is no news.
    let closed_to_us = || state.open().filter(|known| known.transport == Transport::Tcp);
    let seen = closed_to_us().map(|known| known.last_seen).max()?;
    let misses = state.misses.as_ref();
    let stopped = |known: &EndpointState| known.pending.as_ref().or(misses).map_or(slice.at, |doubt| doubt.since);
    let since = closed_to_us().map(stopped).max()?.min(slice.at);
    let is_within = |at: Timestamp, span| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age <= span);
    let is_news = is_within(since, TOGETHER) && is_within(seen, SEEN_WITHIN);
    let only = open.first().copied().filter(|_| refuses && open.len() == 1);
    is_news.then_some(Dark { seen, since, only })
}

fn tcp(host: Row<'_>) -> impl Iterator<Item = u16> {
    host.opened().map(|(_, endpoint)| endpoint).filter(|open| open.transport == Transport::Tcp).map(|open| open.port)
}

/// The most of them that may all have gone at one and the same moment: after each had answered last, and before each was
/// found dark.
fn at_one_moment(dark: &[(IpAddr, Dark)]) -> Vec<(IpAddr, Dark)> {
    let (mut starts, mut ends): (Vec<Timestamp>, Vec<Timestamp>) =
        dark.iter().map(|(_, dark)| (dark.seen, dark.since)).unzip();
    starts.sort_unstable();
    ends.sort_unstable();
    // The most spans that meet do so at the end of one of them.
    let meeting = |moment: &Timestamp| {
        starts.partition_point(|start| start <= moment).saturating_sub(ends.partition_point(|end| end < moment))
    };
    let Some(&moment) = ends.iter().max_by_key(|moment| meeting(moment)) else { return Vec::new() };
    dark.iter().filter(|(_, dark)| dark.seen <= moment && moment <= dark.since).copied().collect()
}

/// One service that ended on several hosts refuses like that, and is no ban.
fn is_one_service(dark: &[(IpAddr, Dark)]) -> bool {
    let first = dark.first().and_then(|(_, dark)| dark.only);
    first.is_some() && dark.iter().all(|(_, dark)| dark.only == first)
}

/// The first address of its /24 or /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & !0xff).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
    }
}

/// Hosts known to live in a network that have something open.
fn living(inventory: &Inventory, first: IpAddr) -> usize {
    let inside = inventory.rows(Bound::Included(first)).take_while(|row| network(row.ip()) == first);
    inside.filter(|row| row.is_up() && row.open() > 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    fn dark(last: u8, seen: i64, since: i64, only: Option<u16>) -> (IpAddr, Dark) {
        (IpAddr::from([192, 0, 2, last]), Dark { seen: at(seen), since: at(since), only })
    }

    #[test]
    fn those_belong_together_that_may_have_gone_in_one_moment() {
        let all = [dark(1, 0, 300, None), dark(2, 100, 400, None), dark(3, 290, 590, None), dark(4, 350, 650, None)];
        let of = |list: &[(IpAddr, Dark)]| at_one_moment(list).len();
        assert_eq!(
            of(&all),
            3,
            "the last two answered when the first was dark already, but only one of them when the second was"
        );
        assert_eq!(of(&all[..1]), 1);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[dark(1, 0, 10, None), dark(2, 11, 20, None)]), 1);
    }

    #[test]
    fn one_service_that_ends_everywhere_is_no_ban() {
        assert!(is_one_service(&[dark(1, 0, 1, Some(3389)), dark(2, 0, 1, Some(3389))]));
        assert!(!is_one_service(&[dark(1, 0, 1, Some(3389)), dark(2, 0, 1, Some(22))]));
        assert!(!is_one_service(&[dark(1, 0, 1, Some(3389)), dark(2, 0, 1, None)]));
        assert!(!is_one_service(&[dark(1, 0, 1, None), dark(2, 0, 1, None)]));
    }
}
