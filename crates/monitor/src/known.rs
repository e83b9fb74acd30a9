//! The known lane: every endpoint that is known, host by host, spread over the period.

use crate::PassRecord;
use crate::{
    index::Acquaintance,
    look::{Look, Worth},
    openings::Openings,
    pass::{Group, Plan, Report, Tools, asked, introduce, slice_of},
    presence, schedule,
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use model::{AddressSet, Coverage, Endpoint, HostSlice, NotProbed, Outcome, PortObservation, Transport};
use probe::Found;
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Known endpoints asked together.
const BATCH: usize = 256;
/// Batches that wait for answers at a time: their second questions take some ten seconds on a line that loses some.
const UNDER_WAY: usize = 64;

/// Asks every known endpoint, host by host, spread over the period. A batch begins when its time has come, whether or not those before
/// it have got all their answers: what waits for a second question must not hold up the others. They are reported in their order.
pub(crate) async fn known(tools: &Tools, mut plan: Plan, cancel: &CancellationToken) -> PassRecord {
    let space = plan.ground.extent();
    let extent = tools.index.extent(|ip| space.contains(ip), BATCH);
    let deadline = Instant::now() + plan.budget;
    let mut remaining = extent.endpoints;
    plan.record.groups = extent.batches;
    plan.record.groups_done = 0;
    let (mut last, mut is_all_begun, mut next_at) = (None, false, Instant::now());
    let asking = plan.clone();
    let mut under_way = FuturesOrdered::new();
    while !is_all_begun || !under_way.is_empty() {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return plan.record,
            Some(answered) = under_way.next() => {
                // Halted on the way: what was not asked is no news of anybody, and the pass goes on later.
                let Some(answered) = answered else { return plan.record };
                let group = group_of(tools, &mut plan.record, answered);
                if tools.reports.send(Report::Group(Box::new(group))).await.is_err() {
                    return plan.record;
                }
            }
            () = may_begin(tools, next_at), if !is_all_begun && under_way.len() < UNDER_WAY => {
                let batch = tools.index.next_batch(last, |ip| space.contains(ip), BATCH);
                last = batch.last().copied();
                if last.is_none() {
                    is_all_begun = true;
                    continue;
                }
                // Hosts come while the pass is under way, and go.
                remaining = remaining.max(batch.len() as u64);
                let now = Instant::now();
                let within = time_for(&batch, remaining, deadline.saturating_duration_since(now));
                remaining -= batch.len() as u64;
                next_at = now + within;
                under_way.push_back(ask(tools, &asking, spared(batch, &tools.restraint.borrow().hosts), within));
            }
        }
    }
    plan.record.groups = plan.record.groups_done;
    plan.record.complete = true;
    plan.record
}

/// Waits until the time of a batch has come and nothing keeps the sensor from asking.
async fn may_begin(tools: &Tools, at: Instant) {
    sleep_until(at).await;
    tools.unrestrained().await;
}

/// How long asking a batch may take, so that all that remains is asked in the time left.
#[expect(clippy::cast_precision_loss, reason = "a batch is small")]
fn time_for(batch: &[Endpoint], remaining: u64, left: Duration) -> Duration {
    let pace = schedule::pace(remaining, left);
    if pace.is_finite() { Duration::from_secs_f64(batch.len() as f64 / pace) } else { Duration::ZERO }
}

/// What a batch answered.
struct Answered {
    asked: u64,
    slices: Vec<HostSlice>,
    worth: Worth,
}

/// Asks a batch, those again that should have answered and did not, and hosts all of whose ports are silent whether they are there. None where it was halted on the way.
async fn ask(tools: &Tools, plan: &Plan, batch: Vec<Endpoint>, within: Duration) -> Option<Answered> {
    let asked = batch.len() as u64;
    let look = Look::begin(tools);
    let mut found = tools.network.ask(batch, within).await;
    let halted =
        |found: &Found| matches!(found.observation.outcome, Outcome::NotProbed(NotProbed::Halted | NotProbed::Aborted));
    if found.iter().any(halted) {
        return None;
    }
    let (mut again, worth) = look.settle(tools, found.iter().map(|found| &found.observation)).await;
    for found in &mut found {
        if let Some(second) = again.remove(&found.observation.endpoint) {
            *found = second;
        }
    }
    let met = tools.index.acquaintances(found.iter().map(|found| &found.observation.endpoint));
    let mut slices = known_slices(tools, plan, found, &met);
    if worth.doubt.is_none() {
        presence::ask_the_silent(tools, &look, &mut slices, |host| host.is_up).await;
    }
    Some(Answered { asked, slices, worth })
}

/// Counts a batch's answers into the record, and makes a group of them.
fn group_of(tools: &Tools, record: &mut PassRecord, answered: Answered) -> Group {
    let Answered { asked, slices, worth } = answered;
    record.probes += asked;
    let mut local_errors = 0;
    for slice in &slices {
        let answers = slice.ports.iter().any(|port| port.outcome.is_answer());
        for port in &slice.ports {
            record.attempts += u64::from(port.attempts);
            if port.outcome == Outcome::Silent {
                record.note_silent(i32::from(port.attempts.max(1)), 1);
            }
            local_errors += u64::from(matches!(port.outcome, Outcome::LocalError(_)));
        }
        // A host that is down loses no packets: only what a living one left without an answer is loss.
        if !answers {
            continue;
        }
        let met = tools.index.acquaintances(slice.ports.iter().map(|port| &port.endpoint));
        let open = slice.ports.iter().zip(met).filter(|(_, met)| met.is_some_and(|(open, _)| open));
        for (port, _) in open.filter(|(port, _)| port.outcome.is_evidence()) {
            record.loss_asked += 1;
            let late = !port.outcome.is_answer() || port.is_late();
            record.loss_missed += u64::from(late);
        }
    }
    record.local_errors += local_errors;
    record.groups_done += 1;
    record.groups = record.groups.max(record.groups_done);
    record.covered += slices.len() as u64;
    Group {
        record: record.clone(),
        slices,
        heard: AddressSet::empty(),
        coverage: Coverage::default(),
        addresses: AddressSet::empty(),
        asked: 0,
        absent: AddressSet::empty(),
        counted: None,
        part: None,
        spoilt: AddressSet::empty(),
        local_errors,
        probes: asked,
        worth,
    }
}

/// Leaves one endpoint of each host that refuses the sensor: enough to see whether it still does.
fn spared(mut batch: Vec<Endpoint>, refusing: &BTreeSet<IpAddr>) -> Vec<Endpoint> {
    let mut last = None;
    batch.retain(|endpoint| !refusing.contains(&endpoint.ip) || last.replace(endpoint.ip) != Some(endpoint.ip));
    batch
}

/// Makes slices of what the known endpoints answered, and starts conversations where those are due.
fn known_slices(tools: &Tools, plan: &Plan, answers: Vec<Found>, met: &[Acquaintance]) -> Vec<HostSlice> {
    let mut ports = Vec::with_capacity(answers.len());
    let mut openings = Openings::default();
    for (answer, &met) in answers.into_iter().zip(met) {
        let observation = answer.observation.clone();
        if observation.outcome.is_open() {
            introduce(tools, plan, answer, met, &mut openings);
        }
        ports.push(observation);
    }
    ports.sort_by_key(|observation| observation.endpoint.ip);
    let mut alike = Alike::default();
    let hosts = ports.chunk_by(|one, other| one.endpoint.ip == other.endpoint.ip);
    hosts
        .filter_map(|ports| Some((ports.first()?.endpoint.ip, ports)))
        .map(|(ip, ports)| slice_of(tools, plan.reference(), ip, alike.asked(ports), ports.to_vec(), Vec::new()))
        .collect()
}

/// Coverages of the slices of a batch: most hosts are asked what others are asked.
#[derive(Debug, Default)]
struct Alike {
    known: HashMap<Vec<(Transport, u16)>, Coverage>,
    ports: Vec<(Transport, u16)>,
}

impl Alike {
    /// As [`asked`].
    fn asked(&mut self, ports: &[PortObservation]) -> Coverage {
        let evidence = ports.iter().filter(|observation| observation.outcome.is_evidence());
        self.ports.clear();
        self.ports.extend(evidence.map(|observation| (observation.endpoint.transport, observation.endpoint.port)));
        if let Some(coverage) = self.known.get(&self.ports) {
            return coverage.clone();
        }
        let coverage = asked(ports);
        self.known.insert(self.ports.clone(), coverage.clone());
        coverage
    }
}
