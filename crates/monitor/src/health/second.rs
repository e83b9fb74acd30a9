//! A second source: where hosts have banned the first one, they are asked from it. That it is a ban shows when they answer the second
//! source and at the same moment not the first.

use super::{Health, Now, addresses, trouble::Kind};
use inventory::{Inventory, Question};
use model::{AddressRange, AddressSet, Endpoint, Transport};
use probe::Compared;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;

/// Hosts compared at a time.
const AT_ONCE: usize = 64;
/// Of those that are banned, so many are asked from the first source whether they still are.
const ASKED_AGAIN: usize = 4;
/// One that answers neither source is not compared again before this.
const AGAIN_AFTER: Duration = Duration::from_mins(5);
/// Between two questions from the first source, at first and later: it is to be seen as little as may be.
const EVERY: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_mins(5);
const LATER_FROM: Duration = Duration::from_mins(10);
/// Between the two answers that end it.
const TWICE_AFTER: Duration = Duration::from_secs(5);
/// Nothing is told of a block for so long, until it is known whether it is a ban.
const HELD: Duration = Duration::from_secs(15);
/// Between two looks for single hosts in doubt.
const LOOKED_EVERY: Duration = Duration::from_secs(3);
/// Named in the sentence.
const NAMED: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Second {
    source: Option<IpAddr>,
    first: Option<IpAddr>,
    under_way: bool,
    compared: BTreeMap<IpAddr, Instant>,
    last: Option<Instant>,
    /// When those that are banned are to be asked from the first source next, and who has answered it once.
    next: Option<Instant>,
    answered: BTreeSet<IpAddr>,
    /// When single hosts in doubt were looked for last.
    looked: Option<Instant>,
}

impl Health {
    /// Takes note of the addresses there are to ask from. Without a second one nobody is asked from it any more.
    pub(crate) fn note_sources(&mut self, first: Option<IpAddr>, second: Option<IpAddr>) {
        self.second.first = first;
        if self.second.source != second {
            let is_new = self.second.source.is_some() || second.is_none();
            self.second = Second { source: second, first, under_way: self.second.under_way, ..Second::default() };
            // At the start a ban that was known before goes on.
            if is_new {
                self.troubles.remove(&Kind::Banned);
            }
        }
    }

    /// Whom to ask from both sources now. The caller does so and brings what came of it; nothing where nobody is to be asked.
    pub(crate) fn begins_comparison(
        &mut self,
        canaries: &[Endpoint],
        inventory: &Inventory,
        now: Instant,
    ) -> Vec<Endpoint> {
        let Some(source) = self.second.source.filter(|_| !self.second.under_way) else { return Vec::new() };
        let suspects = self.suspects(inventory, now);
        let is_due = |ip: &IpAddr| {
            let compared = self.second.compared.get(ip);
            ip.is_ipv4() == source.is_ipv4()
                && compared.is_none_or(|last| now.saturating_duration_since(*last) >= AGAIN_AFTER)
        };
        let mut chosen: Vec<Endpoint> = if self.banned().is_empty() && self.is_shut_out() {
            canaries.iter().copied().filter(|canary| is_due(&canary.ip)).take(AT_ONCE).collect()
        } else {
            let due = suspects.iter().filter(|ip| !self.banned().contains(*ip) && is_due(ip));
            due.filter_map(|ip| open_of(inventory, ip)).take(AT_ONCE).collect()
        };
        if !self.banned().is_empty() && self.second.next.is_none_or(|next| next <= now) {
            let banned = self.banned();
            let known = banned.ranges().iter().flat_map(|range| {
                let rows = inventory.rows(std::ops::Bound::Included(range.first()));
                rows.take_while(|row| row.ip() <= range.last()).filter(|row| row.is_up() && row.open() > 0)
            });
            // Those that have answered once before all others.
            let once = self.second.answered.iter().copied().filter(|ip| banned.contains(*ip));
            let asked: BTreeSet<IpAddr> = once.chain(known.map(inventory::Row::ip)).take(ASKED_AGAIN).collect();
            chosen.extend(asked.into_iter().filter_map(|ip| open_of(inventory, ip)));
            self.second.next = Some(now + EVERY);
        }
        self.second.compared.retain(|_, last| now.saturating_duration_since(*last) < AGAIN_AFTER);
        self.second.under_way = !chosen.is_empty();
        chosen
    }

    /// Takes what came of a comparison. `everybody`: who would have to be asked from the second source if everything refuses the first.
    pub(crate) fn compared(&mut self, results: &[Compared], everybody: &AddressSet, now: Now) {
        self.second.under_way = false;
        let Some(source) = self.second.source else { return };
        let was_shut_out = self.banned().is_empty() && self.is_shut_out();
        let family = |range: &&AddressRange| range.first().is_ipv4() == source.is_ipv4();
        let everybody: AddressSet = everybody.ranges().iter().filter(family).copied().collect();
        let (mut banned, mut free) = (BTreeSet::new(), BTreeSet::new());
        for Compared { endpoint, first, second } in results {
            self.second.compared.insert(endpoint.ip, now.instant);
            if first.is_open() {
                free.insert(endpoint.ip);
            } else if second.is_open() && first.is_evidence() {
                banned.insert(endpoint.ip);
            }
        }
        self.second.last = Some(now.instant);
        let mut hosts = self.banned();
        if was_shut_out && !banned.is_empty() && free.is_empty() {
            hosts = everybody.clone();
            // From the second source the sensor sees everything.
            self.troubles.retain(|kind, _| !matches!(kind, Kind::Canaries | Kind::Blocked));
            self.recovery = super::Recovery::default();
            self.void_before = Some(now.instant);
        } else {
            hosts = hosts.union(&addresses(banned.iter().copied()));
        }
        if let Some(new) = Some(hosts.difference(&self.banned())).filter(|new| !new.is_empty()) {
            self.shut.void.extend(banned.iter().copied().filter(|ip| new.contains(*ip)));
        }
        self.second.answered.retain(|ip| !banned.contains(ip));
        let twice: BTreeSet<IpAddr> = free.iter().copied().filter(|ip| !self.second.answered.insert(*ip)).collect();
        self.second.answered.retain(|ip| hosts.contains(*ip) && !twice.contains(ip));
        // One ban for all of them ends for all of them.
        let is_one = !hosts.is_empty() && everybody.difference(&hosts).is_empty();
        hosts = if is_one && !twice.is_empty() {
            AddressSet::empty()
        } else {
            hosts.difference(&addresses(twice.into_iter()))
        };
        let lasted =
            self.troubles.get(&Kind::Banned).map(|trouble| now.instant.saturating_duration_since(trouble.since));
        let pause = match lasted {
            _ if !self.second.answered.is_empty() => TWICE_AFTER,
            Some(lasted) if lasted >= LATER_FROM => LATER,
            _ => EVERY,
        };
        self.second.next = Some(now.instant + pause);
        self.tell_ban(&hosts, source, now);
    }

    fn tell_ban(&mut self, hosts: &AddressSet, source: IpAddr, now: Now) {
        if hosts.is_empty() {
            self.troubles.remove(&Kind::Banned);
            return;
        }
        let first =
            self.second.first.map_or_else(|| "this sensor's usual address".to_owned(), |first| first.to_string());
        let whom = if hosts.len() > 10 * NAMED as u128 {
            format!("{} addresses", hosts.len())
        } else {
            let mut names: Vec<String> = hosts.iter().take(NAMED).map(|ip| ip.to_string()).collect();
            if hosts.len() > NAMED as u128 {
                names.push(format!("{} more", hosts.len() - NAMED as u128));
            }
            names.join(", ")
        };
        let sentence = format!(
            "{first} is banned by {whom}: they answer {source} and not {first} at the same moment; they are asked from {source} meanwhile, and from {first} only now and then, whether it still is"
        );
        self.begin(Kind::Banned, sentence, &AddressSet::empty(), now);
        if let Some(trouble) = self.troubles.get_mut(&Kind::Banned) {
            trouble.doubted = hosts.clone();
        }
    }

    /// Who is to be asked from the second source.
    pub(crate) fn banned(&self) -> AddressSet {
        self.troubles.get(&Kind::Banned).map(|trouble| trouble.doubted.clone()).unwrap_or_default()
    }

    /// Whether it is not known yet if what blocks the sensor is a ban: it is soon.
    pub(super) fn awaits_comparison(&self, now: Instant) -> bool {
        let blocks = self.troubles.iter().filter(|(kind, _)| kind.is_blocked() || **kind == Kind::Canaries);
        let Some(began) = blocks.map(|(_, trouble)| trouble.since).max() else { return false };
        self.second.source.is_some()
            && !self.troubles.contains_key(&Kind::Banned)
            && self.second.last.is_none_or(|last| last < began)
            && now.saturating_duration_since(began) < HELD
    }

    fn is_shut_out(&self) -> bool {
        self.troubles.keys().any(|kind| matches!(kind, Kind::Canaries | Kind::Blocked))
    }

    /// Hosts that refuse, that stopped answering together, or of which nothing answers any more.
    fn suspects(&mut self, inventory: &Inventory, now: Instant) -> AddressSet {
        let shut = self.troubles.get(&Kind::Shut).map(|trouble| trouble.doubted.clone()).unwrap_or_default();
        let mut suspects = shut.union(&addresses(self.bans.told().iter().copied()));
        if self.second.looked.is_none_or(|last| now.saturating_duration_since(last) >= LOOKED_EVERY) {
            self.second.looked = Some(now);
            let silent = inventory.pending().into_iter().filter(|open| matches!(open.question, Question::Host { .. }));
            suspects = suspects.union(&addresses(silent.map(|open| open.ip).take(AT_ONCE)));
        }
        suspects
    }
}

fn open_of(inventory: &Inventory, ip: IpAddr) -> Option<Endpoint> {
    let opened = inventory.row(ip)?.opened().map(|(_, endpoint)| endpoint);
    opened.into_iter().find(|endpoint| endpoint.transport == Transport::Tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::{EndpointState, HostState, PortStatus};
    use jiff::Timestamp;
    use model::{ClosedReason, HostKey, OpenReason, Outcome};

    const OPEN: Outcome = Outcome::Open(OpenReason::Connected);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn set(last: &[u8]) -> AddressSet {
        addresses(last.iter().map(|last| address(*last)))
    }

    /// Four hosts, each with one port open.
    fn known() -> Inventory {
        let at = Timestamp::UNIX_EPOCH;
        let host = |last: u8| {
            let endpoint = EndpointState {
                transport: Transport::Tcp,
                port: 22,
                status: PortStatus::Open,
                reason: "connected".to_owned(),
                first_seen: at,
                last_seen: at,
                changed_at: at,
                last_observed: at,
                pending: None,
                recovered: 0,
                learnt: true,
                services: Vec::new(),
            };
            let key = HostKey { vantage: "scan1".into(), ip: address(last) };
            HostState { up: true, endpoints: vec![endpoint], ..HostState::new(key, at) }
        };
        Inventory::restore("scan1".into(), (1..5).map(host).collect(), Vec::new(), Vec::new(), Vec::new())
    }

    fn at(begin: Instant, second: u64) -> Now {
        Now { wall: Timestamp::UNIX_EPOCH, instant: begin + Duration::from_secs(second) }
    }

    fn health() -> Health {
        let mut health = Health::default();
        health.note_sources(Some(address(100)), Some(address(101)));
        health
    }

    fn compared(last: u8, first: Outcome, second: Outcome) -> Compared {
        Compared { endpoint: Endpoint::tcp(address(last), 22), first, second }
    }

    fn asked(health: &mut Health, canaries: &[Endpoint], now: Now) -> Vec<u8> {
        let chosen = health.begins_comparison(canaries, &known(), now.instant);
        chosen.iter().filter_map(|endpoint| (1..5).find(|last| address(*last) == endpoint.ip)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_is_told_as_one_and_ends_when_the_first_source_was_answered_twice() {
        let (mut health, begin, everybody) = (health(), Instant::now(), set(&[1, 2, 3, 4]));
        assert!(asked(&mut health, &[], at(begin, 0)).is_empty(), "nobody refuses");
        health.judge_bans([address(1), address(2)].into(), at(begin, 0));
        assert!(health.turn(begin).is_none(), "not before it is known what it is");
        assert_eq!(asked(&mut health, &[], at(begin, 1)), [1, 2]);
        assert!(asked(&mut health, &[], at(begin, 1)).is_empty(), "under way");
        // The second host refuses both.
        let refused = Outcome::Closed(ClosedReason::Refused);
        health.compared(&[compared(1, refused, OPEN), compared(2, refused, refused)], &everybody, at(begin, 2));
        assert_eq!(health.banned(), set(&[1]));
        let restraint = health.restraint(at(begin, 2));
        assert!(!restraint.silences(address(1)) && restraint.silences(address(2)));
        let Some(super::super::Turn::Blocked(sentence)) = health.turn(begin) else { panic!("blocked") };
        assert!(sentence.contains("192.0.2.100 is banned by 192.0.2.1: they answer 192.0.2.101"), "{sentence}");
        // It answers now; the other one has gone on.
        health.judge_bans([].into(), at(begin, 3));
        assert!(health.turn(at(begin, 3).instant).is_none(), "the ban lasts");
        assert!(asked(&mut health, &[], at(begin, 20)).is_empty(), "the first source is hardly seen");
        assert_eq!(asked(&mut health, &[], at(begin, 63)), [1]);
        health.compared(&[compared(1, Outcome::Silent, OPEN)], &everybody, at(begin, 66));
        assert_eq!((health.banned(), asked(&mut health, &[], at(begin, 130))), (set(&[1]), vec![1]));
        health.compared(&[compared(1, OPEN, OPEN)], &everybody, at(begin, 130));
        assert_eq!(health.banned(), set(&[1]), "once may be chance");
        assert_eq!(asked(&mut health, &[], at(begin, 136)), [1]);
        health.compared(&[compared(1, OPEN, OPEN)], &everybody, at(begin, 137));
        assert!(health.banned().is_empty());
        assert!(health.turn(at(begin, 137).instant).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_bans_for_everybody_is_seen_at_the_canaries() {
        let (mut health, begin, everybody) = (health(), Instant::now(), set(&[1, 2, 3, 4]));
        let canaries = [Endpoint::tcp(address(3), 22), Endpoint::tcp(address(4), 22)];
        for (first, second, banned) in [
            // Nobody answers anybody: that is no ban.
            (Outcome::Silent, Outcome::Silent, AddressSet::empty()),
            // What this machine could not ask says nothing.
            (Outcome::LocalError(model::LocalErrorKind::Other), OPEN, AddressSet::empty()),
            (Outcome::Silent, OPEN, everybody.clone()),
        ] {
            health.second.compared.clear();
            health.begin(Kind::Canaries, "nothing answers".to_owned(), &AddressSet::empty(), at(begin, 0));
            assert_eq!(asked(&mut health, &canaries, at(begin, 1)), [3, 4]);
            let results = [compared(3, first, second), compared(4, first, second)];
            health.compared(&results, &everybody, at(begin, 2));
            assert_eq!(health.banned(), banned);
            assert_eq!(health.doubts_everything(), banned.is_empty());
        }
        // It ends for all when it ends for one.
        for second in [70, 80] {
            assert!(!asked(&mut health, &[], at(begin, second)).is_empty());
            health.compared(&[compared(1, OPEN, OPEN)], &everybody, at(begin, second));
        }
        assert!(health.banned().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_second_source_nothing_changes() {
        let (mut health, begin) = (Health::default(), Instant::now());
        health.judge_bans([address(1)].into(), at(begin, 0));
        assert!(health.turn(begin).is_some() && asked(&mut health, &[], at(begin, 1)).is_empty());
        // One that is taken away is asked from no more.
        let mut health = self::health();
        health.begin(Kind::Canaries, String::new(), &AddressSet::empty(), at(begin, 0));
        health.compared(&[compared(1, Outcome::Silent, OPEN)], &set(&[1, 2]), at(begin, 1));
        assert!(!health.banned().is_empty());
        health.note_sources(Some(address(100)), None);
        assert!(health.banned().is_empty());
    }
}
