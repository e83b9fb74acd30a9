//! Whether hosts are there at all: what of knocking, where no port answers, is believed.
//!
//! A lane that goes to every address knocks once in each of its passes, and every look knocks at known hosts all of whose ports are
//! silent. Something that answers for others (a firewall, a router that answers ARP on behalf of whole networks) makes such signs
//! worthless, so where one matters others are knocked at too, of whom nothing was ever seen: where nearly all of them answer, none of
//! them is a host, and that is one finding.

use crate::{
    control,
    index::Standing,
    look::Look,
    mirage::{Mirage, Prefix, block},
    pass::{Plan, Tools, slice_of},
};
use model::{AddressRange, AddressSet, Coverage, HostSlice, PortSet, Presence, Sign};
use probe::{Knock, SweepJob, SweepOutcome};
use scope::ledger::Why;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Knocks in a pass at whom nobody was ever met, where packets of 50 are lost one each way: 3·10⁻⁶ of those who answer to echoes alone are
/// missed, and would be news later.
const LEARNING: u8 = 4;
/// At a host whose ports are silent.
const DOUBTED: u8 = 2;
/// Others that are knocked at, of one /24 (/120), of whom so many of so many have to answer: where every second address is somebody who
/// hides all his ports, that comes about once in 480 times.
const CONTROLS: usize = 16;
const NEARLY_ALL: (usize, usize) = (7, 8);
/// With fewer there is nothing to compare.
const FEWEST: usize = 4;
const TIMEOUT: Duration = Duration::from_millis(3_500);

/// What came of knocking.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knocked {
    signs: BTreeMap<IpAddr, Sign>,
    /// Nobody is there.
    pub(crate) silent: AddressSet,
}

impl Knocked {
    pub(crate) fn of(outcome: &SweepOutcome) -> Self {
        let sign = |knock: &Knock| match knock {
            Knock::Neighbour => Sign::Neighbour,
            Knock::Echo => Sign::Echo,
            Knock::Acknowledgement => Sign::Acknowledgement,
            Knock::Timestamp => Sign::Timestamp,
        };
        let signs = outcome.discovered.iter().filter_map(|found| Some((found.ip, found.by.iter().map(sign).max()?)));
        Self { signs: signs.collect(), silent: set(outcome.silent.iter().copied()) }
    }

    /// What is to be said of an address; none where nothing is known.
    fn presence(&self, ip: IpAddr, tools: &Tools) -> Option<Presence> {
        let at = model::to_millisecond(tools.clock.now());
        match self.signs.get(&ip) {
            // Behind something that answers for everybody neither says anything.
            _ if tools.mirages.knock_back(ip) => None,
            Some(sign) => Some(Presence { at, sign: Some(*sign) }),
            None => self.silent.contains(ip).then_some(Presence { at, sign: None }),
        }
    }

    fn tell(&self, slice: &mut HostSlice, tools: &Tools) {
        slice.presence = self.presence(slice.ip, tools);
        // No observation is later than its slice.
        if let Some(presence) = &slice.presence {
            slice.at = slice.at.max(presence.at);
        }
    }
}

fn set(addresses: impl IntoIterator<Item = IpAddr>) -> AddressSet {
    addresses.into_iter().map(AddressRange::single).collect()
}

/// How often these are knocked at in a pass.
pub(crate) fn times(tools: &Tools, addresses: &AddressSet) -> u8 {
    let met = tools.index.is_everybody_met(&addresses.difference(&tools.mirages.unseen()));
    if met { 1 } else { LEARNING }
}

/// Says of the hosts of a group what knocking came to, and adds those that have no port.
pub(crate) async fn settle(tools: &Tools, look: &Look, plan: &Plan, knocked: Knocked, slices: &mut Vec<HostSlice>) {
    let mut left: BTreeSet<IpAddr> = knocked.signs.keys().copied().collect();
    left.extend(tools.index.known_in(&knocked.silent));
    for slice in slices.iter_mut().filter(|slice| left.remove(&slice.ip) && is_without_answer(slice)) {
        knocked.tell(slice, tools);
    }
    for ip in left {
        let Some(presence) = knocked.presence(ip, tools) else { continue };
        // Of one whose ports were not asked now, silence says nothing.
        let says_something = match (tools.index.standing(ip), presence.sign) {
            (None, sign) => sign.is_some_and(Sign::finds),
            (Some(host), None) => !(host.is_up && host.has_ports),
            (Some(_), Some(_)) => true,
        };
        if !says_something {
            continue;
        }
        let mut slice = slice_of(tools, plan.reference(), ip, Coverage::default(), Vec::new(), Vec::new());
        slice.presence = Some(presence);
        slices.push(slice);
    }
    doubt(tools, look, slices).await;
}

/// Knocks at those hosts of these slices that are known, `wanted`, and of which no port answered.
pub(crate) async fn ask_the_silent(
    tools: &Tools,
    look: &Look,
    slices: &mut [HostSlice],
    wanted: impl Fn(&Standing) -> bool,
) {
    let is_asked = |slice: &HostSlice| {
        let is_evidence = slice.ports.is_empty() || slice.ports.iter().any(|port| port.outcome.is_evidence());
        is_evidence && is_without_answer(slice) && tools.index.standing(slice.ip).is_some_and(|host| wanted(&host))
    };
    let asked = set(slices.iter().filter(|slice| is_asked(slice)).map(|slice| slice.ip));
    let asked = asked.difference(&tools.mirages.unseen());
    if asked.is_empty() || tools.restraint.borrow().everything {
        return;
    }
    let knocked = knock(tools, asked.clone(), DOUBTED).await;
    for slice in slices.iter_mut().filter(|slice| asked.contains(slice.ip)) {
        knocked.tell(slice, tools);
    }
    doubt(tools, look, slices).await;
}

fn is_without_answer(slice: &HostSlice) -> bool {
    slice.services.is_empty() && !slice.ports.iter().any(|port| port.outcome.is_answer())
}

/// Takes back signs of known hosts that somebody else gave, and silence that is the sensor's own. Who is new is knocked at once more, and
/// judged then.
async fn doubt(tools: &Tools, look: &Look, slices: &mut [HostSlice]) {
    let standing = |slice: &HostSlice| tools.index.standing(slice.ip);
    let shown = |slice: &&HostSlice| slice.presence.is_some_and(|presence| !presence.is_silent());
    let shown = slices.iter().filter(shown).filter(|slice| standing(slice).is_some());
    let shown: BTreeSet<IpAddr> = shown.map(|slice| slice.ip).collect();
    let is_known = compare(tools, &shown).await;
    let silent = |slice: &HostSlice| slice.presence.is_some_and(|presence| presence.is_silent());
    let is_in_question = slices.iter().any(|slice| silent(slice) && standing(slice).is_some_and(|host| host.is_up));
    let is_our_own = is_in_question && look.judge_dark(tools).await.incomplete;
    for slice in slices.iter_mut() {
        let proves_nothing = tools.mirages.knock_back(slice.ip)
            || (shown.contains(&slice.ip) && !is_known.contains(&block(slice.ip).first()))
            || (is_our_own && silent(slice));
        if proves_nothing {
            slice.presence = None;
        }
    }
}

/// Knocks at others around these addresses, and takes note of where those answer too. Gives the prefixes (their first addresses) of which
/// it is known whether they do.
async fn compare(tools: &Tools, shown: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let blocks: BTreeMap<IpAddr, AddressRange> = shown.iter().map(|ip| (block(*ip).first(), block(*ip))).collect();
    let others: BTreeMap<IpAddr, Vec<IpAddr>> =
        blocks.into_iter().map(|(first, range)| (first, others(tools, range, shown))).collect();
    let asked = set(others.values().filter(|others| others.len() >= FEWEST).flatten().copied());
    let knocked = if asked.is_empty() { Knocked::default() } else { knock(&tools.control(), asked, DOUBTED).await };
    let mut is_known = BTreeSet::new();
    for (first, others) in others {
        let (answered, was_asked) = knocked.of_these(&others);
        if others.len() >= FEWEST && was_asked < FEWEST {
            // Most could not be asked.
            continue;
        }
        if was_asked >= FEWEST && answered * NEARLY_ALL.1 >= was_asked * NEARLY_ALL.0 {
            tools.mirages.see(Mirage::Unseen(Prefix::of(first, 8)), tools.clock.now());
        }
        is_known.insert(first);
    }
    is_known
}

impl Knocked {
    /// How many of these answered, and how many were asked.
    fn of_these(&self, these: &[IpAddr]) -> (usize, usize) {
        let answered = these.iter().filter(|ip| self.signs.contains_key(ip)).count();
        (answered, answered + these.iter().filter(|ip| self.silent.contains(**ip)).count())
    }
}

/// Addresses of a block that are in scope and at which nobody is known to be, but for these: drawn by lot.
fn others(tools: &Tools, range: AddressRange, shown: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let (now, lot) = (tools.clock.now(), tools.mirages.draw());
    let scope = tools.scope.load();
    let is_nobody = |ip: IpAddr| tools.index.standing(ip).is_none_or(|host| !host.has_ports && !host.is_up);
    let mut others: Vec<IpAddr> = control::addresses(range)
        .filter(|ip| !shown.contains(ip) && scope.contains(*ip, now) && is_nobody(*ip))
        .collect();
    others.sort_by_cached_key(|ip| control::digest(&(lot, ip)));
    others.truncate(CONTROLS);
    others
}

/// Whether what answered to knocks for a whole prefix does so no more.
pub(crate) async fn is_gone(tools: &Tools, range: AddressRange) -> bool {
    let others = others(tools, range, &BTreeSet::new());
    if others.is_empty() {
        return false;
    }
    let look = Look::begin(tools);
    let (answered, was_asked) = knock(&tools.control(), set(others.iter().copied()), DOUBTED).await.of_these(&others);
    // Nobody answers a sensor without an uplink.
    was_asked == others.len() && answered * 2 < was_asked && !look.judge_dark(tools).await.incomplete
}

/// Asks these whether they are there, in every way there is. Nothing comes of those that packets of our own do not go to.
async fn knock(tools: &Tools, addresses: AddressSet, times: u8) -> Knocked {
    let addresses = set(addresses.iter().filter(|ip| tools.network.sends_packets_to(*ip)));
    if addresses.is_empty() {
        return Knocked::default();
    }
    let nothing = Arc::new(PortSet::empty());
    let job = SweepJob {
        addresses,
        tcp: nothing.clone(),
        udp: nothing,
        seed: tools.mirages.draw(),
        pace: None,
        known: Arc::new(|_| false),
        expected: Vec::new(),
        doubted: Arc::new(|_| false),
        attempts: 1,
        timeout: TIMEOUT,
        dark: 1,
        parts: 1,
        quick: true,
        udp_payload: Arc::new(|_| None),
        trap: Arc::new(|_| ()),
        knock: times,
    };
    // Nothing is found by it.
    let (found, _nobody) = mpsc::channel(1);
    let outcome = tools.network.sweep(job, found, tools.stop.child_token(), oneshot::channel().0).await;
    if outcome.aborted { Knocked::default() } else { Knocked::of(&outcome) }
}

impl Tools {
    /// The same, for control questions.
    fn control(&self) -> Self {
        Self { network: self.network.because(Why::Control), ..self.clone() }
    }
}
