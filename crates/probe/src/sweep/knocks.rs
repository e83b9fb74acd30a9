//! Whether hosts are there at all that answer by none of their ports.

use super::{Asked, Discovered, RTO, Round, Sweep, SweepOutcome};
use crate::raw::{Answer, Knock, Order, Report, Sink, Target};
use model::{Endpoint, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// One after the other, each to those that have not answered yet.
const KNOCKS: [Knock; 3] = [Knock::Echo, Knock::Acknowledgement, Knock::Timestamp];
/// Where acknowledgements go: hardly a firewall stands in the way of what comes back from there.
const PORT: u16 = 443;

/// What knocking came to; hosts by their place in the group.
#[derive(Debug, Default)]
pub(super) struct Knocks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What each answered to, or that it did for its address.
    answered: BTreeMap<usize, BTreeSet<Knock>>,
    /// Asked in every way.
    asked: BTreeSet<usize>,
    /// Of which some question did not leave.
    unsent: BTreeSet<usize>,
    rounds: Vec<Round>,
}

impl Knocks {
    pub(super) fn answered(&self, host: usize, knock: Knock) {
        self.with(|state| state.answered.entry(host).or_default().insert(knock));
    }

    fn has_answered(&self, host: usize) -> bool {
        self.with(|state| state.answered.contains_key(&host))
    }

    /// Nothing that holds the lock can panic half-way.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hosts to knock at.
struct Hosts {
    sweep: Arc<Sweep>,
    /// In the group.
    places: Vec<usize>,
    position: usize,
}

impl Order for Hosts {
    fn next(&mut self) -> Option<Target> {
        loop {
            let host = *self.places.get(self.position)?;
            self.position += 1;
            let ip = *self.sweep.addresses.get(host)?;
            if let Ok(endpoint) = self.sweep.dialer.authorize(Endpoint::tcp(ip, PORT)) {
                return Some(Target { number: host as u64, endpoint });
            }
            if let Some(packets) = &self.sweep.packets {
                packets.knocks.with(|state| state.unsent.insert(host));
            }
        }
    }

    fn position(&self) -> u64 {
        self.position as u64
    }

    fn datagram(&self, _port: u16) -> &[u8] {
        &[]
    }
}

/// Hears what becomes of a volley of knocks on their way out; hosts are its numbers. What comes back is the sweep's to hear.
#[derive(Debug)]
struct Door(Weak<Sweep>);

impl Door {
    fn with<T>(&self, host: u64, then: impl FnOnce(&Sweep, &Knocks, usize) -> T) -> Option<T> {
        let sweep = self.0.upgrade()?;
        let knocks = &sweep.packets.as_ref()?.knocks;
        Some(then(&sweep, knocks, usize::try_from(host).ok()?))
    }
}

impl Sink for Door {
    fn is_there(&self, _ip: IpAddr, _knock: Knock) {}

    fn heard(&self, _answer: &Answer) {}

    fn has_asked(&self, _endpoint: &Endpoint, _attempt: u8) -> bool {
        false
    }

    fn wants(&self, number: u64) -> bool {
        self.with(number, |sweep, knocks, host| !sweep.stop.is_cancelled() && !knocks.has_answered(host)) == Some(true)
    }

    fn sent(&self, _questions: u64) {}

    fn unsent(&self, number: u64, why: Outcome) {
        // Nobody on the link has the address any more: that is an answer.
        if why != Outcome::Silent {
            self.with(number, |_, knocks, host| knocks.with(|state| state.unsent.insert(host)));
        }
    }
}

impl Sweep {
    /// Knocks where nothing else was heard.
    pub(super) async fn knock(self: &Arc<Self>) {
        let Some(packets) = self.packets.as_ref().filter(|_| self.job.knock > 0) else { return };
        let is_dark = |host: &usize| packets.ask(*host) && !packets.is_absent(*host) && !self.progress.is_alive(*host);
        let dark: Vec<usize> = (0..self.addresses.len()).filter(is_dark).collect();
        for &host in &dark {
            let is_met = |ip: &IpAddr| self.dialer.raw().is_some_and(|raw| raw.is_met(*ip));
            if self.addresses.get(host).is_some_and(is_met) {
                packets.knocks.answered(host, Knock::Neighbour);
            }
        }
        for turn in 0..self.job.knock {
            let is_left = dark.iter().any(|host| !packets.knocks.has_answered(*host));
            if is_left && turn > 0 && !self.pause(RTO).await {
                return;
            }
            for knock in KNOCKS {
                if !self.knock_once(&dark, knock).await {
                    return;
                }
            }
        }
        if dark.iter().any(|host| !packets.knocks.has_answered(*host)) && !self.pause(self.patience().max(RTO)).await {
            return;
        }
        let absent = (0..self.addresses.len()).filter(|host| packets.ask(*host) && packets.is_absent(*host));
        packets.knocks.with(|state| state.asked = dark.iter().copied().chain(absent).collect());
    }

    /// One question to each that has not answered yet. False where it was cut short.
    async fn knock_once(self: &Arc<Self>, dark: &[usize], knock: Knock) -> bool {
        let Some(packets) = &self.packets else { return false };
        let can_be = |host: &usize| knock != Knock::Timestamp || self.addresses.get(*host).is_some_and(IpAddr::is_ipv4);
        let is_asked = |host: &usize| can_be(host) && !packets.knocks.has_answered(*host);
        let places: Vec<usize> = dark.iter().copied().filter(is_asked).collect();
        if self.stop.is_cancelled() {
            return false;
        }
        if places.is_empty() {
            return true;
        }
        let endpoint = |host: &usize| Some(Endpoint::tcp(*self.addresses.get(*host)?, PORT));
        let those: Vec<Endpoint> = places.iter().filter_map(endpoint).collect();
        let began = self.dialer.clock().now();
        let order = Hosts { sweep: Arc::clone(self), places, position: 0 };
        let sink = Arc::new(Door(Arc::downgrade(self)));
        let volley = packets.slot.knock(Box::new(order), knock, self.job.pace.clone(), sink);
        let report = tokio::select! {
            biased;
            () = self.stop.cancelled() => Report::default(),
            report = volley => report,
        };
        self.progress.sent(report.sent, None);
        // Where it was cut short, some have left.
        if report.sent > 0 || !report.complete {
            let ended = self.dialer.clock().now();
            let round = Round { attempt: 1, asked: Asked::Those(those), raw: true, began, ended };
            packets.knocks.with(|state| state.rounds.push(round));
        }
        if !report.complete {
            self.stop.cancel();
            return false;
        }
        // Who takes longer is asked in another way meanwhile.
        self.pause(self.patience().min(RTO)).await
    }

    pub(super) fn tell_of_knocks(&self, outcome: &mut SweepOutcome) {
        let Some(packets) = &self.packets else { return };
        let State { answered, asked, unsent, rounds } = packets.knocks.with(mem::take);
        outcome.knocks = rounds;
        let address = |host: usize| self.addresses.get(host).copied();
        // What was not to be sent packets any more before the end may have been asked in vain.
        let was_asked = |host: &usize| {
            let is_sure = !unsent.contains(host) && !answered.contains_key(host) && !self.progress.is_alive(*host);
            is_sure && address(*host).is_some_and(|ip| self.dialer.sends_packets_to(ip))
        };
        outcome.silent = asked.iter().copied().filter(was_asked).filter_map(address).collect();
        let there = answered.into_iter().filter(|(host, _)| !self.progress.is_alive(*host));
        outcome.discovered = there.filter_map(|(host, by)| Some(Discovered { ip: address(host)?, by })).collect();
    }
}
