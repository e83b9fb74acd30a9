//! What a look is worth. Endpoints that were expected to answer and did not are asked again at once; what is still negative
//! then counts only where nothing happened to the sensor meanwhile and a canary answers.

use crate::{
    canary::{Concern, Dead, Verdict},
    pass::Tools,
};
use jiff::Timestamp;
use model::{Endpoint, NotProbed, OpenReason, Outcome, PortObservation, Transport};
use probe::Found;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Pauses before an endpoint that should have answered is asked again; the later ones where the line loses much: silence has
/// to outlast its bad moments then.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(8),
];
const AGAIN_USUALLY: usize = 2;
/// Endpoints of one look that are asked again.
const AGAIN_AT_MOST: usize = 256;
/// Assets of so many of the hosts concerned are looked up.
const ASSETS_OF: usize = 16;
/// SYNs of a connection before its attempt is given up.
const SYNS_OF_AN_ATTEMPT: u8 = 3;
/// Endpoints remembered of a look to be asked again as canaries.
const WITNESSES: usize = 3;

/// A look that has begun, with how the sensor's surroundings were then.
#[derive(Debug)]
pub(crate) struct Look {
    begun: Instant,
    generation: u64,
    dropped: u64,
}

/// What a look is worth, now that it is over.
#[derive(Debug, Clone)]
pub(crate) struct Worth {
    pub(crate) begun: Instant,
    /// Why nothing negative in it counts; none where it does.
    pub(crate) doubt: Option<Doubt>,
    /// Canaries that answered after it.
    pub(crate) alive: Vec<Endpoint>,
    /// Something was lost on this machine or the route changed: the look says nothing of what it did not find.
    pub(crate) incomplete: bool,
}

/// Why the negative part of a look proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// This machine's links or routes are broken.
    Fault(String),
    /// They changed meanwhile.
    Moved,
    /// This machine dropped packets.
    Dropped,
    /// A canary answered, but not at once; or the line loses so much that silence proves nothing.
    Unsteady,
    /// No canary answers.
    Dead(Dead),
}

impl Worth {
    /// Nothing negative was seen.
    pub(crate) fn fine(begun: Instant) -> Self {
        Self { begun, doubt: None, alive: Vec::new(), incomplete: false }
    }
}

impl Look {
    pub(crate) fn begin(tools: &Tools) -> Self {
        let around = tools.network.surroundings();
        Self { begun: Instant::now(), generation: around.generation, dropped: around.dropped }
    }

    /// Judges what came back. `seen` is all of it; gives new answers of endpoints that were asked again, and what the look is
    /// worth. What could not be asked again is among them, as not asked.
    pub(crate) async fn settle<'a>(
        &self,
        tools: &Tools,
        seen: impl Iterator<Item = &'a PortObservation>,
    ) -> (BTreeMap<Endpoint, Found>, Worth) {
        let (mut refuted, mut answered, mut answers) = (BTreeMap::new(), Answered::default(), 0_usize);
        // Only what opened, and not for a refusal before it: that says nothing about the line.
        let (mut opened, mut late) = (0_usize, 0_usize);
        for observation in seen {
            if tools.index.is_refuted_by(observation) {
                refuted.insert(observation.endpoint, observation.clone());
            } else if observation.outcome.is_answer() {
                answers += 1;
                opened += usize::from(observation.outcome.is_open());
                late += usize::from(is_very_late(observation));
                answered.note(observation);
            }
        }
        tools.canaries.note_line(opened, late, self.begun, Instant::now());
        let mut again = BTreeMap::new();
        if refuted.is_empty() {
            let mut worth = Worth::fine(self.begun);
            worth.incomplete = self.disturbance(tools, self.dropped).is_some();
            return (again, worth);
        }
        // More than half of it: that is an outage, and canaries tell at once. Else each gets another chance.
        if refuted.len() > answers
            && let Some(doubt) = self.ask_canaries(tools, &refuted, &answered).await.1
        {
            return (again, Worth { doubt: Some(doubt), incomplete: true, ..Worth::fine(self.begun) });
        }
        // What refuses the sensor anyway is left alone.
        let restrained = tools.restraint.borrow().hosts.clone();
        let spared = refuted.extract_if(.., |endpoint, _| restrained.contains(&endpoint.ip)).collect::<Vec<_>>();
        let pauses = if tools.canaries.is_lossy(Instant::now()) { AGAIN_AFTER.len() } else { AGAIN_USUALLY };
        let dropped = self.ask_again(tools, pauses, &mut refuted, &mut answered, &mut again).await;
        // One nobody had the time to ask again is left for the next look.
        let unasked: Vec<Endpoint> = refuted.keys().filter(|endpoint| !again.contains_key(endpoint)).copied().collect();
        for endpoint in unasked {
            if let Some(mut observation) = refuted.remove(&endpoint) {
                observation.outcome = Outcome::NotProbed(NotProbed::Aborted);
                again.insert(endpoint, Found { observation, reply: None });
            }
        }
        refuted.extend(spared);
        let incomplete = self.disturbance(tools, self.dropped).is_some();
        let mut worth = self.weigh(tools, &refuted, &answered, dropped).await;
        worth.incomplete |= incomplete;
        (again, worth)
    }

    /// What single questions are worth. Those about a host as a whole, which a few looks decide, are asked again where the line
    /// loses much; the new answers come first.
    pub(crate) async fn judge<'a>(
        &self,
        tools: &Tools,
        is_of_a_host: bool,
        seen: impl Iterator<Item = &'a PortObservation>,
    ) -> (BTreeMap<Endpoint, Found>, Worth) {
        let (mut refuted, mut answered, mut again) = (BTreeMap::new(), Answered::default(), BTreeMap::new());
        for observation in seen {
            if tools.index.is_refuted_by(observation) {
                refuted.insert(observation.endpoint, observation.clone());
            } else {
                answered.note(observation);
            }
        }
        let mut dropped = self.dropped;
        if is_of_a_host && !refuted.is_empty() && tools.canaries.is_lossy(Instant::now()) {
            dropped = self.ask_again(tools, AGAIN_AFTER.len(), &mut refuted, &mut answered, &mut again).await;
        }
        let worth = self.weigh(tools, &refuted, &answered, dropped).await;
        (again, worth)
    }

    /// Asks what is refuted so many times more, until it answers. Of those that never do, some of whose questions were refused
    /// and more were not, silence is what is noted: somebody on the way refuses now and then. Gives how many packets had been
    /// dropped before the last.
    async fn ask_again(
        &self,
        tools: &Tools,
        times: usize,
        refuted: &mut BTreeMap<Endpoint, PortObservation>,
        answered: &mut Answered,
        again: &mut BTreeMap<Endpoint, Found>,
    ) -> u64 {
        let mut dropped = self.dropped;
        let mut balance: BTreeMap<Endpoint, i32> = BTreeMap::new();
        let mut weigh = |endpoint: Endpoint, outcome: Outcome| {
            let balance = balance.entry(endpoint).or_default();
            *balance += i32::from(matches!(outcome, Outcome::Closed(_))) - i32::from(outcome == Outcome::Silent);
            *balance
        };
        for (endpoint, first) in refuted.iter() {
            weigh(*endpoint, first.outcome);
        }
        for (nth, pause) in AGAIN_AFTER.into_iter().take(times).enumerate() {
            let still: Vec<Endpoint> = refuted.keys().take(AGAIN_AT_MOST).copied().collect();
            // Other looks may have shown meanwhile that the line is better again.
            let is_enough = nth >= AGAIN_USUALLY && !tools.canaries.is_lossy(Instant::now());
            if still.is_empty() || is_enough {
                break;
            }
            sleep(pause).await;
            dropped = tools.network.surroundings().dropped;
            for mut found in tools.network.again().ask(still, Duration::ZERO).await {
                let endpoint = found.observation.endpoint;
                let Some(before) = refuted.get_mut(&endpoint) else { continue };
                let attempts = before.attempts.saturating_add(found.observation.attempts);
                found.observation.attempts = attempts;
                if weigh(endpoint, found.observation.outcome) < 0
                    && matches!(found.observation.outcome, Outcome::Closed(_))
                {
                    found.observation.outcome = Outcome::Silent;
                }
                *before = found.observation.clone();
                if !tools.index.is_refuted_by(&found.observation) {
                    refuted.remove(&endpoint);
                    answered.note(&found.observation);
                }
                again.insert(endpoint, found);
            }
        }
        dropped
    }

    async fn weigh(
        &self,
        tools: &Tools,
        refuted: &BTreeMap<Endpoint, PortObservation>,
        answered: &Answered,
        dropped: u64,
    ) -> Worth {
        let mut worth = Worth::fine(self.begun);
        if refuted.is_empty() {
            return worth;
        }
        let bad = tools.canaries.bad_since(Instant::now()).is_some();
        worth.doubt = self.disturbance(tools, dropped).or(bad.then_some(Doubt::Unsteady));
        if worth.doubt.is_none() {
            (worth.alive, worth.doubt) = self.ask_canaries(tools, refuted, answered).await;
            // The line may have gone down while they were asked.
            worth.doubt = self.disturbance(tools, dropped).or(worth.doubt);
        }
        worth
    }

    /// Whether something happened to this machine since the look began, or since it had dropped that many packets.
    fn disturbance(&self, tools: &Tools, dropped: u64) -> Option<Doubt> {
        let around = tools.network.surroundings();
        if !around.faults.is_empty() {
            Some(Doubt::Fault(around.faults.join("; ")))
        } else if around.generation != self.generation {
            Some(Doubt::Moved)
        } else if around.dropped > dropped {
            Some(Doubt::Dropped)
        } else {
            None
        }
    }

    async fn ask_canaries(
        &self,
        tools: &Tools,
        refuted: &BTreeMap<Endpoint, PortObservation>,
        answered: &Answered,
    ) -> (Vec<Endpoint>, Option<Doubt>) {
        let endpoints: BTreeSet<Endpoint> = refuted.keys().copied().collect();
        // Of a host that was asked one thing, the rest may well answer.
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for endpoint in &endpoints {
            *counts.entry(endpoint.ip).or_default() += 1;
        }
        let is_silent = |(ip, count): &(&IpAddr, &usize)| **count > 1 && !answered.hosts.contains(ip);
        let mut hosts: BTreeSet<IpAddr> = counts.iter().filter(is_silent).map(|(ip, _)| *ip).collect();
        // Those that refuse the sensor say nothing about it.
        hosts.extend(tools.restraint.borrow().hosts.iter());
        let mut suspects = Vec::new();
        for endpoint in refuted.keys().filter(|endpoint| endpoint.transport == Transport::Tcp) {
            remember(&mut suspects, *endpoint);
        }
        let (scope, now) = (tools.scope.load(), tools.clock.now());
        let assets = counts.keys().take(ASSETS_OF).flat_map(|&ip| scope.assets_of(ip, now)).collect();
        let others = tools.others();
        let concern = Concern { hosts, endpoints, assets, answered: answered.witnesses(), suspects, others };
        match tools.canaries.check(&tools.network, Instant::now(), &concern).await {
            Verdict::Alive(alive) => (alive, None),
            Verdict::Nobody => (Vec::new(), None),
            Verdict::Unsteady => (Vec::new(), Some(Doubt::Unsteady)),
            Verdict::Dead(mut dead) => {
                let refusals = refuted.values().filter(|seen| crate::canary::is_refusal(seen.outcome));
                dead.refusing.extend(refusals.map(|seen| seen.endpoint.ip).take(WITNESSES));
                (Vec::new(), Some(Doubt::Dead(dead)))
            }
        }
    }

    /// What a group is worth in which nothing answered at all and nothing was expected to.
    pub(crate) async fn judge_dark(&self, tools: &Tools) -> Worth {
        let verdict = tools.canaries.check(&tools.network, self.begun, &tools.nothing_in_particular()).await;
        let incomplete = matches!(verdict, Verdict::Dead(_) | Verdict::Unsteady);
        Worth { incomplete: incomplete || self.disturbance(tools, self.dropped).is_some(), ..Worth::fine(self.begun) }
    }
}

/// Whether it took more than a connection's first attempt would: that repeats its SYN twice, and what sweeps by packets repeats each once.
fn is_very_late(seen: &PortObservation) -> bool {
    let packets = if seen.outcome == Outcome::Open(OpenReason::SynAck) { SYNS_OF_AN_ATTEMPT } else { 1 };
    seen.outcome.is_open() && seen.attempts.saturating_sub(seen.refused) > packets
}

/// What was open in a look.
#[derive(Debug, Default)]
struct Answered {
    hosts: BTreeSet<IpAddr>,
    /// The endpoint of each host that answered last.
    last: BTreeMap<IpAddr, (Timestamp, Endpoint)>,
}

impl Answered {
    fn note(&mut self, seen: &PortObservation) {
        if seen.outcome.is_open() {
            self.hosts.insert(seen.endpoint.ip);
            if seen.endpoint.transport == Transport::Tcp {
                let last = self.last.entry(seen.endpoint.ip).or_insert((seen.at, seen.endpoint));
                *last = (seen.at, seen.endpoint).max(*last);
            }
        }
    }

    /// Those that answered last: the others may have done so before it all began.
    fn witnesses(&self) -> Vec<Endpoint> {
        let mut last: Vec<_> = self.last.values().copied().collect();
        last.sort_unstable();
        last.into_iter().rev().take(WITNESSES).map(|(_, endpoint)| endpoint).collect()
    }
}

/// Keeps an endpoint of each of the first few hosts.
fn remember(list: &mut Vec<Endpoint>, endpoint: Endpoint) {
    if list.len() < WITNESSES && list.iter().all(|known| known.ip != endpoint.ip) {
        list.push(endpoint);
    }
}
