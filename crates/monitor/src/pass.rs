//! One run of a lane: asks its part of the network group by group and reports to the loop, which decides and commits.

use crate::{
    PassRecord,
    account::Accounted,
    audits::{self, Audits},
    canary::{Canaries, Concern},
    control,
    conversation::{Answered, Conversations},
    ground::Ground,
    health::{Restraint, SLOWER},
    index::{Acquaintance, Index},
    known,
    look::{Look, Worth},
    mirage::Mirages,
    openings::Openings,
    presence::{self, Knocked},
    suspect::{MANY_PORTS, SOON, Suspects},
    sweep,
};
use jiff::Timestamp;
use model::{
    AddressSet, Clock, Coverage, Endpoint, HostSlice, Lane, Mac, PassId, PassKind, PassRef, PortObservation, PortSet,
    Transport, Vantage,
};
use probe::{Found, HostResult, Pace, SweepCounts, SweepJob};
use scope::{ScopeHandle, ledger::Why};
use std::{collections::BTreeSet, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// New openings of one host that are asked who they are within one group; a host that opens more is a middlebox or a trap,
/// and its ports are recorded without a conversation.
const MOST_INTRODUCTIONS: u32 = 256;
const SWEEP_TIMEOUT: Duration = Duration::from_millis(3_500);
const SWEEP_ATTEMPTS: u8 = 2;

/// What passes tell the loop.
#[derive(Debug)]
pub(crate) enum Report {
    /// Good news that need not wait for the rest of the group, or fresh identifications.
    Slice { slice: HostSlice },
    /// A group is done.
    Group(Box<Group>),
    /// The pass came to its end, or was cancelled (then `complete` is false and it may go on later).
    Ended { record: PassRecord },
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) record: PassRecord,
    pub(crate) slices: Vec<HostSlice>,
    /// Hosts behind a mirage that were heard on every port that was asked.
    pub(crate) heard: AddressSet,
    /// What was asked of every address in `addresses`.
    pub(crate) coverage: Coverage,
    /// The addresses asked without a local error. Empty in the known lane, which covers no address as a whole.
    pub(crate) addresses: AddressSet,
    /// How many of them were asked, and do not only count as such.
    pub(crate) asked: u128,
    /// The addresses of which some question could not be asked. Empty in the known lane.
    pub(crate) spoilt: AddressSet,
    pub(crate) local_errors: u64,
    pub(crate) probes: u64,
    /// Whether what it did not find counts.
    pub(crate) worth: Worth,
    /// Those of them at which nobody was, in whatever way they were asked.
    pub(crate) absent: AddressSet,
    /// Its addresses will be asked other ports in this pass, so that it is no baseline yet. Hears of whom its silence counted, once that
    /// is committed; where it counts for nothing, of nobody.
    pub(crate) counted: Option<oneshot::Sender<AddressSet>>,
    /// Which part of its ports it was asked, where it is asked them in parts.
    pub(crate) part: Option<Part>,
}

/// The place of a part among those of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// A group that is over, and what asking it took.
pub(crate) struct Gone {
    pub(crate) group: Box<Group>,
    pub(crate) counts: SweepCounts,
    /// All there is to ask of it in this pass was asked.
    pub(crate) is_last: bool,
}

/// What a pass works with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) network: Accounted,
    pub(crate) conversations: Conversations,
    pub(crate) audits: Audits,
    pub(crate) index: Index,
    pub(crate) scope: ScopeHandle,
    pub(crate) canaries: Canaries,
    pub(crate) mirages: Mirages,
    /// What is held back now.
    pub(crate) restraint: watch::Receiver<Restraint>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vantage: Vantage,
    pub(crate) reports: mpsc::Sender<Report>,
    /// Ends the conversations that outlive their passes.
    pub(crate) stop: CancellationToken,
}

/// What a pass is to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The ledger's row so far: new, or left unfinished by an earlier run.
    pub(crate) record: PassRecord,
    pub(crate) ground: Ground,
    pub(crate) tcp: Arc<PortSet>,
    pub(crate) udp: Arc<PortSet>,
    /// Until when it should be done.
    pub(crate) budget: Duration,
    /// How long its lane may ask in a period.
    pub(crate) open: Duration,
    /// How old an identification may get.
    pub(crate) identify: Duration,
    /// Questions to an endpoint of a host that never answers, as [`SweepJob::dark`].
    pub(crate) dark: u8,
    /// Its ports are asked in so many parts, as [`SweepJob::parts`].
    pub(crate) parts: u32,
    /// Where no port answers, it is asked whether anybody is there at all.
    pub(crate) discovers: bool,
}

impl Tools {
    /// The same tools for a pass.
    pub(crate) fn on(&self, profile: &Arc<str>, lane: Lane, pass: PassId, why: Why) -> Self {
        let network = self.network.on(profile, lane, pass, why);
        Self { conversations: self.conversations.over(network.clone()), network, ..self.clone() }
    }

    /// A check of canaries that is about nobody.
    pub(crate) fn nothing_in_particular(&self) -> Concern {
        Concern { others: self.others(), ..Concern::default() }
    }

    /// Endpoints that should be open and are no canaries, of hosts near those of the canaries and of the first there are.
    pub(crate) fn others(&self) -> Vec<Endpoint> {
        let canaries: BTreeSet<IpAddr> = self.canaries.places().iter().map(|place| place.endpoint.ip).collect();
        let held_back = self.restraint.borrow().hosts.clone();
        let mut others = self.index.open_behind(&canaries, |ip| !held_back.contains(&ip));
        let (scope, now) = (self.scope.load(), self.clock.now());
        others.retain(|endpoint| scope.authorize(*endpoint, now).is_ok());
        others
    }

    /// Waits while everything refuses the sensor: only canaries are asked then.
    pub(crate) async fn unrestrained(&self) {
        let mut restraint = self.restraint.clone();
        // The loop has gone: the pass is cancelled with it.
        if restraint.wait_for(|restraint| !restraint.everything).await.is_err() {
            self.stop.cancelled().await;
        }
    }
}

impl Plan {
    pub(crate) fn reference(&self) -> PassRef {
        PassRef {
            id: self.record.id,
            profile: self.record.profile.clone(),
            lane: self.record.lane,
            kind: PassKind::Sweep,
        }
    }
}

/// Runs a pass to its end or until it is cancelled.
pub(crate) async fn run(tools: Tools, plan: Plan, cancel: CancellationToken) {
    let record = if plan.record.lane == Lane::Known {
        known::known(&tools, plan, &cancel).await
    } else {
        sweep::sweep(&tools, plan, &cancel).await
    };
    // The loop has gone: the daemon is ending, and the ledger shows the pass as unfinished.
    let _ = tools.reports.send(Report::Ended { record }).await;
}

/// Asks one group. None where it was cancelled on the way: its addresses count as not asked.
pub(crate) async fn sweep_group(
    tools: &Tools,
    plan: &Plan,
    addresses: AddressSet,
    paced: Option<(Pace, f64)>,
    cancel: &CancellationToken,
    gone_through: oneshot::Sender<()>,
) -> Option<Gone> {
    let look = Look::begin(tools);
    let mut restraint = tools.restraint.clone();
    let (index, learnt) = (tools.index.clone(), tools.index.clone());
    let (mut suspects, trap) = Suspects::new(tools, plan);
    // Where something is known to answer on every port, asking very many of them says nothing.
    let answer_anything =
        if plan.tcp.len() >= MANY_PORTS { tools.mirages.hosts_among(&addresses) } else { AddressSet::empty() };
    suspects.is_known_of(&answer_anything);
    let addresses = addresses.difference(&answer_anything);
    let job = SweepJob {
        addresses: addresses.clone(),
        tcp: plan.tcp.clone(),
        udp: plan.udp.clone(),
        seed: plan.record.seed,
        pace: paced.as_ref().map(|(pace, _)| pace.clone()),
        known: Arc::new(move |endpoint| index.contains(endpoint)),
        expected: tools.index.known_among(&addresses),
        // Of the first look at an endpoint depends whether its opening is news.
        doubted: Arc::new(move |endpoint| !learnt.is_covered(endpoint)),
        attempts: SWEEP_ATTEMPTS,
        timeout: SWEEP_TIMEOUT,
        dark: plan.dark,
        parts: plan.parts,
        quick: false,
        udp_payload: Arc::new(probe::conversation::udp_payload),
        trap,
        knock: if plan.discovers { presence::times(tools, &addresses) } else { 0 },
    };
    let (found_sender, mut found) = mpsc::channel::<Found>(1_024);
    let mut asking = pin!(tools.network.sweep(job, found_sender, cancel.clone(), gone_through));
    let mut openings = Openings::default();
    let (mut outcome, mut is_finding) = (None, true);
    while is_finding || outcome.is_none() {
        tokio::select! {
            hit = found.recv(), if is_finding => match hit {
                Some(hit) => {
                    let met = tools.index.acquaintance(&hit.observation.endpoint);
                    introduce(tools, plan, hit, met, &mut openings);
                }
                None => is_finding = false,
            },
            Ok(()) = restraint.changed() => if let Some((pace, rate)) = &paced {
                let slower = if restraint.borrow_and_update().everything { SLOWER } else { 1.0 };
                pace.set(rate / slower);
            },
            () = suspects.examine_all() => {}
            done = &mut asking, if outcome.is_none() => outcome = Some(done),
        }
    }
    suspects.settle().await;
    let mut outcome = outcome?;
    if outcome.aborted || cancel.is_cancelled() {
        return None;
    }
    let seen = || outcome.hosts.iter().flat_map(|host| &host.ports);
    let (mut again, mut worth) = tokio::select! {
        settled = look.settle(tools, seen()) => settled,
        () = cancel.cancelled() => return None,
    };
    if !seen().any(|port| port.outcome.is_answer()) && worth.doubt.is_none() && !worth.incomplete {
        worth.incomplete = look.judge_dark(tools).await.incomplete;
    }
    for port in outcome.hosts.iter_mut().flat_map(|host| &mut host.ports) {
        let Some(found) = again.remove(&port.endpoint) else { continue };
        *port = found.observation.clone();
        if port.outcome.is_open() {
            let met = tools.index.acquaintance(&port.endpoint);
            introduce(tools, plan, found, met, &mut openings);
        }
    }
    let shut = tokio::select! {
        shut = control::shut_since(tools, plan, &addresses, outcome.hosts.iter().flat_map(|host| &host.ports)) => shut,
        () = cancel.cancelled() => return None,
    };
    let now = tools.clock.now();
    let coverage = Coverage { tcp: plan.tcp.clone(), udp: plan.udp.clone() };
    let incomplete: AddressSet = outcome.incomplete.iter().copied().map(model::AddressRange::single).collect();
    let covered = addresses.difference(&incomplete).difference(&shut);
    // One that answers everything is never complete, and that is no trouble of ours.
    let traps = outcome.hosts.iter().filter(|host| host.answers_everything).map(|host| host.ip);
    let spoilt = incomplete.difference(&traps.map(model::AddressRange::single).collect());
    // Nor is what left the scope meanwhile, or is closed by now.
    let spoilt = spoilt.intersection(&tools.scope.load().open_space(now));
    let counts = outcome.counts;
    let knocked = Knocked::of(&outcome);
    let mut slices: Vec<HostSlice> = outcome
        .hosts
        .into_iter()
        .map(|HostResult { ip, ports, complete, answers_everything }| {
            if answers_everything {
                tracing::warn!(%ip, "more ports answer than any host has services: something answers for all of them");
            }
            HostSlice {
                vantage: tools.vantage.clone(),
                ip,
                pass: plan.reference(),
                at: now,
                covered: if complete { coverage.clone() } else { Coverage::default() },
                mac: neighbour(tools, ip, &ports),
                presence: None,
                ports,
                services: Vec::new(),
                audits: Vec::new(),
                names: Vec::new(),
            }
        })
        .collect();
    let absent = knocked.silent.clone();
    if worth.doubt.is_none() {
        let settle = async {
            if plan.discovers {
                presence::settle(tools, &look, plan, knocked, &mut slices).await;
            } else {
                presence::ask_the_silent(tools, &look, &mut slices, |host| host.is_up).await;
            }
        };
        tokio::select! {
            () = settle => {}
            () = cancel.cancelled() => return None,
        }
    }
    let group = Group {
        record: plan.record.clone(),
        slices,
        coverage,
        heard: tools.mirages.heard_out(&covered, &plan.tcp),
        asked: covered.len(),
        addresses: covered,
        absent,
        counted: None,
        part: None,
        spoilt,
        local_errors: counts.local_errors,
        probes: counts.probes + counts.local_errors,
        worth,
    };
    Some(Gone { group: Box::new(group), counts, is_last: true })
}

/// Starts a conversation with an open endpoint where one is due. It reports when it has ended, and the pass does not wait
/// for it: a host that answers slowly on many ports must not hold up the watch over all others.
pub(crate) fn introduce(tools: &Tools, plan: &Plan, hit: Found, met: Acquaintance, openings: &mut Openings) {
    let endpoint = hit.observation.endpoint;
    let is_due = || {
        if tools.mirages.hold(&endpoint) {
            let known = tools.index.get(&endpoint);
            let speaks = known.is_some_and(|known| known.tls || known.prior.is_some());
            // A sweep of many ports meets some of them, others each time; the likely ones are asked by themselves.
            return (speaks || plan.tcp.len() < MANY_PORTS)
                && tools.mirages.may_talk(endpoint, speaks, plan.identify, hit.observation.at);
        }
        // And where conversations came to nothing, that it is time for another.
        is_due(met, plan.identify, hit.observation.at)
            && tools.conversations.fruitless.may_try(&endpoint, is_new(met), plan.identify, hit.observation.at)
    };
    if tools.restraint.borrow().silences(endpoint.ip) || !is_due() {
        return;
    }
    let opening = openings.next(endpoint.ip);
    if opening.number > MOST_INTRODUCTIONS {
        if opening.number == MOST_INTRODUCTIONS + 1 {
            tracing::warn!(ip = %endpoint.ip, "more than {MOST_INTRODUCTIONS} new open ports on one host: the rest are recorded without asking who they are");
        }
        return;
    }
    let Some(under_way) = tools.conversations.begin(endpoint) else { return };
    let (tools, pass, identify, is_wide) =
        (tools.clone(), plan.reference(), plan.identify, plan.tcp.len() >= MANY_PORTS);
    tokio::spawn(async move {
        let talk = async {
            if is_wide {
                // By then the sweep has seen whether everything opens there.
                sleep(SOON + Duration::from_micros(hit.observation.rtt_us.unwrap_or_default().into())).await;
                if tools.mirages.is_suspect(endpoint.ip) {
                    return None;
                }
            }
            let speaks = || tools.index.get(&endpoint).is_some_and(|known| known.tls || known.prior.is_some());
            if opening.is_one_of_many() && !speaks() && !tools.mirages.hold(&endpoint) {
                control::examine(&tools, endpoint, &opening.anything_answers).await;
                let is_nobody = tools.mirages.hold(&endpoint);
                if is_nobody && (is_wide || !tools.mirages.may_talk(endpoint, false, identify, hit.observation.at)) {
                    return None;
                }
            }
            let answered = tools.conversations.introduce(endpoint, hit.reply.as_deref(), hit.observation.at).await;
            let is_new = tools.index.get(&endpoint).is_none_or(|known| !known.open || known.identified.is_none());
            let mut answered = vec![answered];
            if control::is_mute(&answered) {
                if is_new {
                    control::examine(&tools, endpoint, &opening.anything_answers).await;
                } else if tools.mirages.hold(&endpoint) {
                    answered.push(control::witness(&tools, endpoint).await);
                }
            }
            let audit = if tools.mirages.hold(&endpoint) { None } else { audits::due(&tools, &answered) };
            let begun = hit.observation.at;
            let slice =
                slice_of(&tools, pass.clone(), endpoint.ip, Coverage::default(), vec![hit.observation], answered);
            let _ = tools.reports.send(Report::Slice { slice }).await;
            if tools.mirages.hold(&endpoint) {
                tools.mirages.heard(endpoint, begun);
            }
            audit
        };
        let audit = tokio::select! {
            () = tools.stop.cancelled() => return,
            audit = talk => audit,
        };
        drop(under_way);
        if let Some(audit) = audit {
            tokio::select! {
                () = tools.stop.cancelled() => {}
                () = audits::make(&tools, pass, audit) => {}
            }
        }
    });
}

/// Whether it was not there, or not open, when it was looked at last.
fn is_new(met: Acquaintance) -> bool {
    met.is_none_or(|(open, _)| !open)
}

/// Whether an endpoint found open should be asked who it is: it is new, it was closed, or the last answer is too old.
fn is_due(met: Acquaintance, every: Duration, now: Timestamp) -> bool {
    met.is_none_or(|(open, identified)| {
        let is_old = |last: Timestamp| Duration::try_from(now.duration_since(last)).is_ok_and(|age| age >= every);
        !open || identified.is_none_or(is_old)
    })
}

/// Joins what was seen of one host into a slice.
pub(crate) fn slice_of(
    tools: &Tools,
    pass: PassRef,
    ip: IpAddr,
    covered: Coverage,
    mut ports: Vec<PortObservation>,
    answered: Vec<Answered>,
) -> HostSlice {
    let mut services = Vec::new();
    for answer in answered {
        ports.extend(answer.ports);
        services.extend(answer.services);
    }
    ports.sort_by_key(|observation| observation.at);
    HostSlice {
        vantage: tools.vantage.clone(),
        ip,
        pass,
        at: tools.clock.now(),
        covered,
        mac: neighbour(tools, ip, &ports),
        presence: None,
        ports,
        services,
        audits: Vec::new(),
        names: Vec::new(),
    }
}

/// The link-layer address that answers for a host, where it just did: the kernel remembers those of the dead for a while.
fn neighbour(tools: &Tools, ip: IpAddr, ports: &[PortObservation]) -> Option<Mac> {
    if ports.iter().any(|port| port.outcome.is_answer()) { tools.network.mac(ip) } else { None }
}

/// The coverage of a slice whose every question is listed.
pub(crate) fn asked(ports: &[PortObservation]) -> Coverage {
    let of = |transport: Transport| {
        let asked = ports
            .iter()
            .filter(|observation| observation.endpoint.transport == transport && observation.outcome.is_evidence());
        Arc::new(asked.map(|observation| observation.endpoint.port).collect::<PortSet>())
    };
    Coverage { tcp: of(Transport::Tcp), udp: of(Transport::Udp) }
}
