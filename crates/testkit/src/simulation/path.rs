//! What happens to a question on its way: loss, outages, bans, full tables, and those who answer for others.

use super::{
    intervals::Intervals,
    random::Random,
    scenario::{Closed, Manner},
    truth::Truth,
};
use model::{AddressSet, ClosedReason, FilteredReason, LocalErrorKind, OpenReason, Outcome};
use std::{collections::VecDeque, net::IpAddr};

/// A way on which packets are lost for a while.
#[derive(Debug, Clone)]
pub(super) struct Disruption {
    pub(super) addresses: AddressSet,
    pub(super) times: Intervals,
    pub(super) loss: f64,
}

/// Something on the way that remembers connections.
#[derive(Debug)]
pub(super) struct Middlebox {
    pub(super) addresses: AddressSet,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Firewall { recent: Recent, threshold: u64, ban: u64, manner: Manner, banned_until: u64 },
    Nat { recent: Recent, entries: u64 },
    Injector { probability: f64 },
}

/// How many in the last while, second by second.
#[derive(Debug)]
pub(super) struct Recent {
    window: u64,
    seconds: VecDeque<(u64, u64)>,
    total: u64,
}

impl Recent {
    pub(super) fn new(window_ms: u64) -> Self {
        Self { window: window_ms.div_ceil(1_000).max(1), seconds: VecDeque::new(), total: 0 }
    }

    fn forget(&mut self, second: u64) {
        while let Some(&(old, count)) = self.seconds.front().filter(|(old, _)| old + self.window <= second) {
            let _ = old;
            self.total -= count;
            self.seconds.pop_front();
        }
    }

    fn add(&mut self, at: u64, count: u64) -> u64 {
        let second = at / 1_000;
        self.forget(second);
        match self.seconds.back_mut() {
            Some(last) if last.0 >= second => last.1 += count,
            _ => self.seconds.push_back((second, count)),
        }
        self.total += count;
        self.total
    }
}

impl Middlebox {
    /// Connections to addresses at which nobody answers, all at once.
    fn count(&mut self, at: u64, connections: u64) {
        match &mut self.kind {
            Kind::Firewall { recent, threshold, ban, banned_until, .. } => {
                if at >= *banned_until && recent.add(at, connections) >= *threshold {
                    *banned_until = at + *ban;
                }
            }
            Kind::Nat { recent, entries } => {
                recent.forget(at / 1_000);
                let room = entries.saturating_sub(recent.total);
                recent.add(at, connections.min(room));
            }
            Kind::Injector { .. } => {}
        }
    }

    /// What it does to one connection; none lets it pass.
    fn treat(&mut self, at: u64, random: &mut Random) -> Option<Outcome> {
        match &mut self.kind {
            Kind::Firewall { recent, threshold, ban, manner, banned_until } => {
                if at >= *banned_until {
                    if recent.add(at, 1) < *threshold {
                        return None;
                    }
                    *banned_until = at + *ban;
                }
                Some(match manner {
                    Manner::Drop => Outcome::Silent,
                    // A kernel says the same of both.
                    Manner::Rst | Manner::Icmp => Outcome::Closed(ClosedReason::Refused),
                    Manner::Prohibited => Outcome::Filtered(FilteredReason::Prohibited),
                })
            }
            Kind::Nat { recent, entries } => {
                recent.forget(at / 1_000);
                if recent.total >= *entries {
                    return Some(Outcome::Silent);
                }
                recent.add(at, 1);
                None
            }
            Kind::Injector { probability } => {
                random.chance(*probability).then_some(Outcome::Closed(ClosedReason::Refused))
            }
        }
    }
}

/// The way from the sensor to everywhere.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) random: Random,
    /// Probability that one of the two packets of a question and its answer is lost.
    pub(super) loss: f64,
    /// The sensor has no route of its own.
    pub(super) no_route: Intervals,
    /// Those that concern every address.
    pub(super) everywhere: Vec<Disruption>,
    /// Those that concern some, which know by number.
    pub(super) somewhere: Vec<Disruption>,
    pub(super) boxes: Vec<Middlebox>,
    pub(super) questions: u64,
}

pub(super) const NO_ROUTE: Outcome = Outcome::LocalError(LocalErrorKind::NoRoute);
const OPEN: Outcome = Outcome::Open(OpenReason::Connected);
const REFUSED: Outcome = Outcome::Closed(ClosedReason::Refused);

/// An attempt is a `connect` of 3.5 s, and a kernel sends its SYN again after one second and after three (RFC 6298). The
/// answer to a later one takes that much longer, which is how the monitor can tell.
const SYNS: [u64; 3] = [0, 1_000, 3_000];

/// Either of two packets.
pub(super) fn either(loss: f64) -> f64 {
    1.0 - (1.0 - loss) * (1.0 - loss)
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    pub(super) rtt_us: u32,
    /// The machine that answered, by number.
    pub(super) machine: Option<u32>,
}

impl Reply {
    fn nothing(outcome: Outcome) -> Self {
        Self { outcome, rtt_us: 0, machine: None }
    }
}

impl Paths {
    /// One attempt to connect, at a time.
    pub(super) fn attempt(&mut self, truth: &mut Truth, ip: IpAddr, port: u16, at: u64) -> Reply {
        self.questions += 1;
        if self.no_route.contains(at) {
            return Reply::nothing(NO_ROUTE);
        }
        let Some(place) = truth.places.get_mut(&ip) else { return Reply::nothing(Outcome::Silent) };
        let Some(waited) = SYNS.into_iter().find(|later| self.arrives(&place.outages, at + later)) else {
            return Reply::nothing(Outcome::Silent);
        };
        let at = at + waited;
        for &number in &place.boxes {
            if let Some(outcome) = self.boxes[usize::from(number)].treat(at, &mut self.random) {
                return Reply::nothing(outcome);
            }
        }
        if place.proxied {
            let outcome = Reply { outcome: OPEN, rtt_us: 5_000, machine: None };
            return match place.machines.first() {
                Some(&number) => Reply { machine: Some(number), ..outcome },
                None => outcome,
            };
        }
        let chosen = match place.machines.len() {
            0 => return Reply::nothing(Outcome::Silent),
            1 => 0,
            several => {
                place.turn = place.turn.wrapping_add(1);
                // Mostly in turn, as balancers do; now and then one is busy.
                let skip = u32::from(self.random.chance(0.2));
                (place.turn.wrapping_add(skip)) as usize % several
            }
        };
        let number = place.machines[chosen];
        let machine = &truth.machines[number as usize];
        if !machine.up {
            return Reply::nothing(Outcome::Silent);
        }
        let outcome = if machine.everything || machine.offer(port).is_some() {
            OPEN
        } else if machine.closed == Closed::Drop {
            return Reply::nothing(Outcome::Silent);
        } else {
            REFUSED
        };
        let jitter = if machine.jitter_us == 0 { 0 } else { self.random.next() % u64::from(machine.jitter_us) };
        let rtt_us = machine.latency_us.saturating_add(u32::try_from(jitter).unwrap_or(0));
        let rtt_us = rtt_us.saturating_add(u32::try_from(waited * 1_000).unwrap_or(u32::MAX));
        if rtt_us >= 3_500_000 {
            return Reply::nothing(Outcome::Silent);
        }
        Reply { outcome, rtt_us, machine: Some(number) }
    }

    /// Whether a SYN and its answer both get through.
    fn arrives(&mut self, outages: &[u16], at: u64) -> bool {
        let mut arrives = 1.0 - self.loss;
        for disruption in &mut self.everywhere {
            if disruption.times.contains(at) {
                arrives *= 1.0 - disruption.loss;
            }
        }
        for &number in outages {
            let disruption = &mut self.somewhere[usize::from(number)];
            if disruption.times.contains(at) {
                arrives *= 1.0 - disruption.loss;
            }
        }
        arrives >= 1.0 || self.random.unit() < arrives
    }

    /// How many attempts a sweep of these addresses makes through each of the boxes.
    pub(super) fn dark(&self, addresses: &AddressSet, ports: u64) -> Vec<u64> {
        let behind = |middlebox: &Middlebox| middlebox.addresses.intersection(addresses).len();
        let behind = self.boxes.iter().map(|middlebox| u64::try_from(behind(middlebox)).unwrap_or(u64::MAX));
        behind.map(|addresses| addresses.saturating_mul(ports)).collect()
    }

    /// Attempts at addresses where nobody is, counted and not made: one stroke's part of what [`Self::dark`] gave.
    pub(super) fn attempts_in_the_dark(&mut self, dark: &[u64], (stroke, strokes): (u64, u64), at: u64) {
        for (middlebox, all) in self.boxes.iter_mut().zip(dark) {
            let until = |stroke: u64| u128::from(*all) * u128::from(stroke) / u128::from(strokes);
            middlebox.count(at, u64::try_from(until(stroke + 1) - until(stroke)).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_forgets_what_is_old() {
        let mut recent = Recent::new(10_000);
        for second in 0..30_u64 {
            let total = recent.add(second * 1_000, 2);
            assert_eq!(total, 2 * (second + 1).min(10));
        }
    }

    #[test]
    fn a_firewall_bans_and_lifts_the_ban() {
        let mut random = Random::new(1);
        let mut firewall = Middlebox {
            addresses: AddressSet::empty(),
            kind: Kind::Firewall {
                recent: Recent::new(1_000),
                threshold: 3,
                ban: 60_000,
                manner: Manner::Icmp,
                banned_until: 0,
            },
        };
        let mut at = |at| firewall.treat(at, &mut random);
        assert_eq!((at(0), at(1), at(2)), (None, None, Some(REFUSED)));
        assert_eq!((at(50_000), at(60_002), at(70_000)), (Some(REFUSED), None, None));
    }

    #[test]
    fn a_kernel_asks_again_within_an_attempt() {
        let ip: IpAddr = [10, 0, 0, 1].into();
        let service =
            super::super::truth::Offer { port: 80, name: None, product: None, version: None, certificate: None };
        let machine = super::super::truth::Machine {
            up: true,
            offers: vec![service],
            closed: Closed::Refuse,
            everything: false,
            latency_us: 20_000,
            jitter_us: 0,
            key: 1,
            mac: None,
        };
        let mut truth = Truth::default();
        truth.apply(&super::super::truth::Action::Add(ip, Box::new(machine)));
        let cut = Disruption { addresses: AddressSet::empty(), times: Intervals::one(10_000, 15_000), loss: 1.0 };
        let mut paths = Paths {
            random: Random::new(1),
            loss: 0.0,
            no_route: Intervals::default(),
            everywhere: vec![cut],
            somewhere: Vec::new(),
            boxes: Vec::new(),
            questions: 0,
        };
        let silent = Reply::nothing(Outcome::Silent);
        for (at, expect) in [(9_000, 20), (10_000, 0), (11_999, 0), (12_000, 3_020), (13_999, 3_020), (14_000, 1_020)] {
            let reply = paths.attempt(&mut truth, ip, 80, at);
            let expect = if expect == 0 { (silent.outcome, 0) } else { (OPEN, expect * 1_000) };
            assert_eq!((reply.outcome, reply.rtt_us), expect, "{at}");
        }
        assert_eq!(paths.attempt(&mut truth, ip, 81, 14_500).rtt_us, 1_020_000, "a refusal too");
    }
}
