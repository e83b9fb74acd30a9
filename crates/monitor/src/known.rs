//! The known lane: every endpoint that is known, host by host, spread over the period.

use crate::PassRecord;
use crate::{
    index::Acquaintance,
    look::Look,
    openings::Openings,
    pass::{Group, Plan, Report, Tools, asked, introduce, slice_of},
    presence, schedule,
};
use model::{AddressSet, Coverage, Endpoint, HostSlice, NotProbed, Outcome, PortObservation, Transport};
use probe::Found;
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Known endpoints asked together.
const BATCH: usize = 256;

/// Asks every known endpoint, host by host, spread over the period.
pub(crate) async fn known(tools: &Tools, mut plan: Plan, cancel: &CancellationToken) -> PassRecord {
    let space = plan.ground.extent();
    let extent = tools.index.extent(|ip| space.contains(ip), BATCH);
    let deadline = Instant::now() + plan.budget;
    let mut remaining = extent.endpoints;
    plan.record.groups = extent.batches;
    plan.record.groups_done = 0;
    let mut last = None;
    loop {
        let batch = tools.index.next_batch(last, |ip| space.contains(ip), BATCH);
        last = batch.last().copied();
        if last.is_none() {
            break;
        }
        tokio::select! {
            () = tools.unrestrained() => {}
            () = cancel.cancelled() => return plan.record,
        }
        // Hosts come while the pass is under way, and go.
        remaining = remaining.max(batch.len() as u64);
        let pace = schedule::pace(remaining, deadline.saturating_duration_since(Instant::now()));
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let within = if pace.is_finite() { Duration::from_secs_f64(batch.len() as f64 / pace) } else { Duration::ZERO };
        remaining -= batch.len() as u64;
        let batch = spared(batch, &tools.restraint.borrow().hosts);
        let asked = batch.len() as u64;
        let look = Look::begin(tools);
        let mut observations = tokio::select! {
            observations = tools.network.ask(batch, within) => observations,
            () = cancel.cancelled() => return plan.record,
        };
        // Halted on the way: what was not asked is no news of anybody, and the pass goes on later.
        let halted = |found: &Found| {
            matches!(found.observation.outcome, Outcome::NotProbed(NotProbed::Halted | NotProbed::Aborted))
        };
        if observations.iter().any(halted) {
            return plan.record;
        }
        let (mut again, worth) = tokio::select! {
            settled = look.settle(tools, observations.iter().map(|found| &found.observation)) => settled,
            () = cancel.cancelled() => return plan.record,
        };
        for found in &mut observations {
            if let Some(second) = again.remove(&found.observation.endpoint) {
                *found = second;
            }
        }
        let met = tools.index.acquaintances(observations.iter().map(|found| &found.observation.endpoint));
        let mut slices = known_slices(tools, &plan, observations, &met);
        if worth.doubt.is_none() {
            tokio::select! {
                () = presence::ask_the_silent(tools, &look, &mut slices, |host| host.is_up) => {}
                () = cancel.cancelled() => return plan.record,
            }
        }
        plan.record.probes += asked;
        let mut local_errors = 0;
        for slice in &slices {
            let answers = slice.ports.iter().any(|port| port.outcome.is_answer());
            for port in &slice.ports {
                plan.record.attempts += u64::from(port.attempts);
                if port.outcome == Outcome::Silent {
                    plan.record.note_silent(i32::from(port.attempts.max(1)), 1);
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
                plan.record.loss_asked += 1;
                let late = !port.outcome.is_answer() || port.is_late();
                plan.record.loss_missed += u64::from(late);
            }
        }
        plan.record.local_errors += local_errors;
        plan.record.groups_done += 1;
        plan.record.groups = plan.record.groups.max(plan.record.groups_done);
        plan.record.covered += slices.len() as u64;
        let group = Group {
            record: plan.record.clone(),
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
        };
        if tools.reports.send(Report::Group(Box::new(group))).await.is_err() {
            return plan.record;
        }
    }
    plan.record.groups = plan.record.groups_done;
    plan.record.complete = true;
    plan.record
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
