//! The scan itself: sweep, confirm, ask who it is, print.

use super::{
    by_name::{self, about},
    job::Job,
    progress::Progress,
    report::{self, EndpointLine, FindingLine, HostLine, Line, PacketsLine, SummaryLine},
    slots::{Opening, Slots},
    systems::Systems,
    traps::{self, Traps},
};
use crate::{
    failure::{Failure, Outcome},
    output,
};
use model::{
    Clock, Endpoint, Loss, OpenReason, Os, PortObservation, Service, ServiceName, ServiceObservation, SystemClock,
    Transport,
};
use probe::{
    AskOptions, Backend, Found, HostResult, SweepCounts, SweepJob, SweepOutcome, UdpPayload, ask, audit,
    conversation::{self, Ask, Earlier},
    starttls::Protocol,
    sweep_and_tell,
};
use scope::{Groups, Permutation};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// For one question of the sweep.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// Questions to what stays silent on a host that answers otherwise.
const ATTEMPTS: u8 = 2;
/// Questions to hosts that never answer, where so few ports are asked that any of them may be all a host has open.
const DARK_ATTEMPTS: u8 = 3;
const FEW_PORTS: u32 = 64;
/// Where so many ports are asked, three questions more whether a host is there at all cost little.
const MANY_PORTS: u32 = 24;
/// Questions that confirm what was just found open.
const CONFIRMATIONS: u8 = 3;
/// Conversations under way at once, over everything.
const CONVERSATIONS: usize = 128;
/// Ports of one host that are asked who they are. Beyond it, something answers for all of them.
const MOST_IDENTIFIED: usize = 512;
/// Conversations at once with a host that answers everything: most of its ports say nothing, and that takes its time.
const PER_TRAP: usize = 8;

/// Groups under way at once, where packets of our own ask: while one waits for its last answers, others are asked. No more than the
/// engine hears for at a time, and no more endpoints, or of few ports addresses, than fit into some megabytes.
const MOST_GROUPS: u64 = 14;
const MOST_ENDPOINTS: u64 = 1 << 25;
const MOST_ADDRESSES: u64 = 1 << 20;

/// What is common to all groups of a scan.
#[derive(Debug, Clone)]
struct Common {
    job: Arc<Job>,
    tally: Arc<Mutex<Tally>>,
    /// Room for conversations.
    conversations: Arc<Semaphore>,
    cancel: CancellationToken,
    progress: Progress,
    json: bool,
}

impl Common {
    /// Nothing that holds it can panic half-way.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the whole scan has come to.
#[derive(Debug, Default)]
struct Tally {
    counts: SweepCounts,
    loss: Loss,
    hosts_up: u64,
    /// Hosts of which no port answered, by what they answered to.
    discovered: BTreeMap<&'static str, u64>,
    open: u64,
    incomplete: bool,
    /// Of hosts that answer everything: answers that were looked at before that was known.
    examined: u64,
    /// Of hosts that are shown in a table.
    systems: BTreeMap<IpAddr, Os>,
    endpoints: Vec<EndpointLine>,
    findings: Vec<FindingLine>,
}

/// A found endpoint, confirmed or not, with what it says it is.
#[derive(Debug)]
struct Confirmed {
    endpoint: Endpoint,
    /// None: it was open once and never again.
    port: Option<PortObservation>,
    services: Vec<ServiceObservation>,
    /// Where one was asked for, and it speaks TLS.
    audit: Option<Box<audit::Report>>,
    loss: Loss,
    /// Something answers there for everybody, and this one says nothing.
    is_nobody: bool,
}

impl Confirmed {
    fn of(endpoint: Endpoint) -> Self {
        Self { endpoint, port: None, services: Vec::new(), audit: None, loss: Loss::default(), is_nobody: false }
    }

    fn is_mute(&self) -> bool {
        self.services.iter().all(|heard| heard.service.is_none() && heard.tls.is_none())
    }
}

pub(super) async fn run(job: Job, json: bool) -> Outcome {
    let job = Arc::new(job);
    let begun = Instant::now();
    let ports = u128::from(job.tcp.len()) + u128::from(job.udp.len());
    let endpoints = u64::try_from(job.space.len().saturating_mul(ports)).unwrap_or(u64::MAX);
    let progress = Progress::new(endpoints);
    let follower = tokio::spawn(progress.clone().follow(job.dialer.clone()));
    let cancel = CancellationToken::new();
    let interrupted = tokio::spawn(interruption(cancel.clone(), job.dialer.clone()));

    let common = Common {
        job: Arc::clone(&job),
        tally: Arc::default(),
        conversations: Arc::new(Semaphore::new(CONVERSATIONS)),
        cancel: cancel.clone(),
        progress: progress.clone(),
        json,
    };
    let swept = sweep_all(&common).await;
    follower.abort();
    interrupted.abort();
    progress.end();
    swept?;

    let mut tally = std::mem::take(&mut *common.tally());
    tally.incomplete |= cancel.is_cancelled();
    let summary = summary(&job, &tally, begun.elapsed());
    if json {
        output::json(&Line::Summary(summary))?;
    } else {
        tally.endpoints.sort_by(|a, b| (a.ip, a.transport, a.port, &a.name).cmp(&(b.ip, b.transport, b.port, &b.name)));
        report::print(&tally.endpoints, &tally.systems, &tally.findings, &summary)?;
    }
    job.written_down()?;
    if !tally.incomplete {
        return Ok(ExitCode::SUCCESS);
    }
    let why = if cancel.is_cancelled() { "stopped before the end".to_owned() } else { trouble(&tally.counts) };
    Err(Failure::world(format!("the scan is incomplete: {why}")))
}

/// Ctrl-C ends the scan at once: nothing more is sent, and what was found is printed.
async fn interruption(cancel: CancellationToken, dialer: probe::Dialer) {
    if tokio::signal::ctrl_c().await.is_ok() {
        cancel.cancel();
        dialer.halt(true);
    }
}

async fn sweep_all(common: &Common) -> Result<(), Failure> {
    let job = &common.job;
    let seed = RandomState::new().build_hasher().finish();
    let size = group_size(job);
    let most = groups_at_once(job, size);
    let groups = Groups::new(job.space.clone(), size);
    let order = Permutation::new(groups.count(), seed);
    let ports = u64::from(job.tcp.len()) + u64::from(job.udp.len());
    let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
    for index in 0..order.len() {
        if common.cancel.is_cancelled() {
            break;
        }
        let Some(number) = order.at(index) else { break };
        let sweep_job = SweepJob {
            addresses: groups.nth(number),
            tcp: Arc::clone(&job.tcp),
            udp: Arc::clone(&job.udp),
            seed: seed.wrapping_add(index),
            pace: None,
            known: Arc::new(|_| false),
            expected: Vec::new(),
            doubted: Arc::new(|_| false),
            attempts: ATTEMPTS,
            timeout: TIMEOUT,
            dark: if job.tcp.len() <= FEW_PORTS { DARK_ATTEMPTS } else { 1 },
            parts: 1,
            quick: true,
            udp_payload: payloads(),
            trap: Arc::new(|_| ()),
            knock: u8::from(ports >= u64::from(MANY_PORTS)),
        };
        let (tell, gone_through) = oneshot::channel();
        running.spawn(one_group(common.clone(), sweep_job, tell));
        // Connections are under way all the time: there is nothing to do beside them, and no more than one group is asked.
        let left = if gone_through.await.is_ok() { most - 1 } else { 0 };
        while running.len() > left
            && let Some(done) = running.join_next().await
        {
            done.map_err(|error| Failure::World(error.into()))??;
        }
    }
    while let Some(done) = running.join_next().await {
        done.map_err(|error| Failure::World(error.into()))??;
    }
    Ok(())
}

/// How many groups of this size may be under way at once.
fn groups_at_once(job: &Job, size: NonZeroU32) -> usize {
    let each = u64::from(size.get()) * u64::from(job.tcp.len() + job.udp.len()).max(1);
    let most = (MOST_ENDPOINTS / each).min(MOST_ADDRESSES / u64::from(size.get()));
    usize::try_from(most.clamp(1, MOST_GROUPS)).unwrap_or(1)
}

/// Many ports: the usual groups. Few: more addresses at a time, so that pacing has hosts to choose from.
fn group_size(job: &Job) -> NonZeroU32 {
    const ENDPOINTS: u32 = 1 << 22;
    let ports = (job.tcp.len() + job.udp.len()).max(1);
    NonZeroU32::new((ENDPOINTS / ports).clamp(Groups::MULTI_PORT.get(), 1 << 17)).unwrap_or(Groups::MULTI_PORT)
}

async fn one_group(common: Common, mut sweep_job: SweepJob, gone_through: oneshot::Sender<()>) -> Result<(), Failure> {
    let Common { job, cancel, progress, json, .. } = &common;
    let (sender, mut found) = mpsc::channel::<Found>(1024);
    let traps = Arc::new(Traps::default());
    let seen = Arc::clone(&traps);
    sweep_job.trap = Arc::new(move |ip| seen.see(ip));
    let mut sweeping = std::pin::pin!(sweep_and_tell(&job.dialer, sweep_job, sender, cancel.clone(), gone_through));
    let mut outcome: Option<SweepOutcome> = None;
    let mut running: JoinSet<Confirmed> = JoinSet::new();
    let mut slots = Slots { all: Arc::clone(&common.conversations), hosts: HashMap::new() };
    let mut systems = Systems::default();
    loop {
        if outcome.is_some() && job.identify {
            for ip in traps.unasked() {
                let host = Arc::new(Semaphore::new(PER_TRAP));
                for endpoint in traps.likely(ip, &job.tcp) {
                    running.spawn(look_behind(Arc::clone(job), endpoint, Arc::clone(&host), Arc::clone(&slots.all)));
                }
            }
        }
        tokio::select! {
            done = &mut sweeping, if outcome.is_none() => {
                outcome = Some(done);
                traps.all_are_swept();
            }
            Some(found) = found.recv(), if running.len() < 4 * CONVERSATIONS => {
                let endpoint = found.observation.endpoint;
                let number = slots.count(endpoint.ip);
                if speaks_for_itself(job, &found, number) && traps.may_examine(endpoint) {
                    let confirmed = Confirmed { port: Some(found.observation), ..Confirmed::of(endpoint) };
                    take(confirmed, &mut common.tally(), &mut systems, progress, *json)?;
                } else {
                    let opening = Opening { host: slots.of(endpoint.ip), number };
                    running.spawn(confirm(Arc::clone(job), Arc::clone(&traps), found, opening, Arc::clone(&slots.all)));
                }
            }
            Some(confirmed) = running.join_next() => {
                let confirmed = confirmed.map_err(|error| Failure::World(error.into()))?;
                take(confirmed, &mut common.tally(), &mut systems, progress, *json)?;
            }
            else => break,
        }
    }
    let outcome = outcome.unwrap_or_default();
    let mut tally = common.tally();
    tally.counts.add(&outcome.counts);
    let answering = |host: &&HostResult| host.ports.iter().any(|port| port.outcome.is_answer());
    let everything = traps.known();
    tally.examined += traps.examined();
    tally.incomplete |= outcome.aborted || outcome.incomplete.iter().any(|ip| !everything.contains(ip));
    for host in outcome.hosts.iter().filter(answering) {
        tally.hosts_up += 1;
        let now = SystemClock.now();
        let names = job.scope.load().names_of(host.ip, now).iter().map(ToString::to_string).collect();
        let os = systems.of(host.ip);
        if *json {
            let line = HostLine { ip: host.ip, state: "up", names, os, by: Vec::new() };
            progress.around(|| output::json(&Line::Host(line)))?;
        } else {
            tally.systems.extend(os.map(|os| (host.ip, os)));
        }
    }
    for found in &outcome.discovered {
        tally.hosts_up += 1;
        let by: Vec<&'static str> = found.by.iter().map(|knock| knock.as_str()).collect();
        for knock in &by {
            *tally.discovered.entry(knock).or_default() += 1;
        }
        let names = job.scope.load().names_of(found.ip, SystemClock.now()).iter().map(ToString::to_string).collect();
        if *json {
            let line = HostLine { ip: found.ip, state: "up", names, os: None, by };
            progress.around(|| output::json(&Line::Host(line)))?;
        }
    }
    for ip in everything {
        let accepting = outcome.hosts.iter().find(|host| host.ip == ip);
        let accepting = accepting.map_or(0, |host| host.ports.iter().filter(|port| port.outcome.is_open()).count());
        let evidence = traps.evidence(ip, accepting);
        let finding = FindingLine { ip, place: None, id: "answers-every-port", verdict: "confirmed", evidence };
        if *json {
            progress.around(|| output::json(&Line::Finding(finding)))?;
        } else {
            tally.findings.push(finding);
        }
    }
    Ok(())
}

/// Whether there is nothing to ask about what was found open, its host's `number`th: by far the most of a large scan that is not to say who
/// is there. A task for each of them would be most of its work, and would leave memory in pieces.
fn speaks_for_itself(job: &Job, found: &Found, number: usize) -> bool {
    found.observation.endpoint.transport == Transport::Tcp
        && !job.identify
        && job.tcp.len() < traps::MANY_PORTS
        && number < traps::MANY_OPEN
        && has_proved_itself(found)
}

/// A second look at what was found open: who it is where that is asked for, or else only whether it is still open; and whether
/// anybody is there at all.
async fn confirm(job: Arc<Job>, traps: Arc<Traps>, found: Found, opening: Opening, all: Arc<Semaphore>) -> Confirmed {
    let (endpoint, is_doubtful) = (found.observation.endpoint, found.observation.outcome.is_doubtful());
    let is_tcp = endpoint.transport == Transport::Tcp;
    if is_tcp && job.tcp.len() >= traps::MANY_PORTS {
        traps.wait(found.observation.rtt_us).await;
    }
    // Neither is ever closed; were it, going on without a slot harms nobody.
    let _host = opening.host.acquire().await;
    let _slot = all.acquire().await;
    if is_tcp && !traps.may_examine(endpoint) {
        return Confirmed { is_nobody: true, ..Confirmed::of(endpoint) };
    }
    let mut confirmed = look(&job, found, opening.number <= MOST_IDENTIFIED).await;
    if !is_tcp {
        return confirmed;
    }
    let is_suspect = is_doubtful || job.identify || opening.number >= traps::MANY_OPEN;
    if confirmed.port.is_some() && confirmed.is_mute() && is_suspect && traps.hold(&job, endpoint.ip).await {
        confirmed.port = None;
        confirmed.is_nobody = true;
    }
    confirmed
}

/// Whether somebody real is behind what answers for everybody: he says something.
async fn look_behind(job: Arc<Job>, endpoint: Endpoint, host: Arc<Semaphore>, all: Arc<Semaphore>) -> Confirmed {
    let _host = host.acquire().await;
    let _slot = all.acquire().await;
    let mut confirmed = Confirmed { is_nobody: true, ..Confirmed::of(endpoint) };
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &job.roots, timeouts: traps::brief() };
    let talk = conversation::identify(&job.dialer, endpoint, ask).await;
    let heard = talk.observation.filter(|heard| heard.service.is_some() || heard.tls.is_some());
    if let Some(heard) = heard {
        confirmed.is_nobody = false;
        confirmed.port = talk.ports.into_iter().find(|port| port.outcome.is_open());
        confirmed.services.push(heard);
    }
    confirmed
}

async fn look(job: &Job, found: Found, identify: bool) -> Confirmed {
    let endpoint = found.observation.endpoint;
    let mut confirmed = Confirmed::of(endpoint);
    if let Some(reply) = &found.reply {
        // The reply is there already; where it names its sender, another packet would only say the same.
        let mut heard = conversation::identify_reply(&job.dialer, endpoint, reply, found.observation.at);
        if job.identify && conversation::leads_further(&heard) {
            conversation::look_into(&job.dialer, &mut heard, about(job, None, None, false)).await;
        }
        if heard.service.is_some() {
            confirmed.port = Some(found.observation);
            if job.identify {
                confirmed.services = by_name::ask(job, heard).await;
            }
            return confirmed;
        }
    }
    if job.identify && identify && endpoint.transport == Transport::Tcp {
        converse(job, &found, &mut confirmed).await;
        // Where a middlebox may have answered, that somebody takes the connection says little.
        let is_sure = !found.observation.outcome.is_doubtful() || !confirmed.is_mute();
        if confirmed.port.is_some() && is_sure {
            return confirmed;
        }
    } else if has_proved_itself(&found) {
        confirmed.port = Some(found.observation);
        return confirmed;
    }
    let options = AskOptions {
        attempts: CONFIRMATIONS,
        timeout: TIMEOUT,
        retry_refused: 0,
        spacing: Duration::from_millis(200),
        pace: None,
        udp: payloads(),
    };
    for again in ask(&job.dialer, vec![endpoint], &options).await {
        let observation = again.observation;
        if observation.outcome.is_evidence() {
            confirmed.loss.asked += 1;
            confirmed.loss.missed += u64::from(observation.is_late() || !observation.outcome.is_answer());
        }
        confirmed.port = observation.outcome.is_open().then(|| found.observation.clone());
    }
    confirmed
}

/// An answer to a packet of ours repeats what nobody else knows: asking once more would only say the same. A connection of the kernel's
/// that came about proves as much, but may have been to somebody in between.
fn has_proved_itself(found: &Found) -> bool {
    found.observation.outcome == model::Outcome::Open(OpenReason::SynAck)
}

/// Asks a TCP endpoint who it is, by its address and under every name it has here.
async fn converse(job: &Job, found: &Found, confirmed: &mut Confirmed) {
    let endpoint = found.observation.endpoint;
    let first = conversation::identify(&job.dialer, endpoint, about(job, None, None, false)).await;
    if let Some(port) = first.ports.first().filter(|port| port.outcome.is_evidence()) {
        confirmed.loss.asked += 1;
        confirmed.loss.missed += u64::from(!port.outcome.is_answer());
    }
    if first.ports.iter().any(|port| port.outcome.is_open()) {
        confirmed.port = Some(found.observation.clone());
    }
    let Some(heard) = first.observation else { return };
    let (prior, tls): (Option<Service>, bool) = (heard.service.clone(), heard.tls.is_some());
    let depends_on_name = may_speak_tls(&heard) || prior.as_ref().is_some_and(|service| service.name == "http");
    confirmed.services.push(heard);
    if !depends_on_name {
        return;
    }
    let names: Vec<ServiceName> = job.scope.load().names_of(endpoint.ip, SystemClock.now());
    let shown = confirmed.services.first().and_then(|heard| heard.tls.clone());
    let earlier = shown.as_ref().map(Earlier::elsewhere);
    for name in &names {
        let ask = about(job, Some(name), prior.as_ref(), tls);
        let named = conversation::identify_known(&job.dialer, endpoint, ask, earlier.clone()).await;
        confirmed.services.extend(named.observation);
    }
    if let Some((shown, resolver)) = shown.zip(job.resolver.as_ref()) {
        let now = SystemClock.now();
        // By what else the host is known only the daemon learns.
        let hints = std::collections::BTreeSet::new();
        for name in &conversation::learn_names(&shown, endpoint.ip, &names, &hints, now, resolver).await {
            let ask = about(job, Some(name), prior.as_ref(), tls);
            let named = conversation::identify_learnt(&job.dialer, endpoint, ask, earlier.clone()).await;
            confirmed.services.extend(named.observation);
        }
    }
    conversation::settle_names(&mut confirmed.services);
    if job.tls_audit && confirmed.services.iter().any(may_speak_tls) {
        audit_tls(job, endpoint, &names, confirmed).await;
    }
}

/// Whatever became of the handshake. One that said nothing we understood may speak what is too old for a session.
fn may_speak_tls(heard: &ServiceObservation) -> bool {
    heard.tls.is_some() || heard.service.as_ref().is_none_or(|service| service.name == "tls")
}

/// Without a name, since that is the server's own setting; under the first name it has where it wants one.
async fn audit_tls(job: &Job, endpoint: Endpoint, names: &[ServiceName], confirmed: &mut Confirmed) {
    let words = confirmed.services.iter().find_map(|heard| heard.tls.as_ref()?.starttls.as_deref());
    let starttls = words.and_then(Protocol::by_name);
    let may_ask_twice = !starttls.is_some_and(Protocol::counts_broken_handshakes);
    let mut name = None;
    let mut report = audit::audit(&job.dialer, audit::Subject { endpoint, name, starttls }).await;
    if !report.shown.is_tls() && !names.is_empty() && may_ask_twice {
        name = names.first();
        report = audit::audit(&job.dialer, audit::Subject { endpoint, name, starttls }).await;
    }
    let seen = report.observation(&job.roots, name.map(ServiceName::as_str), SystemClock.now());
    let same = confirmed.services.iter_mut().find(|heard| heard.name.as_ref() == name);
    if let (Some(seen), Some(heard)) = (seen, same) {
        // What a session showed counts above what its beginning did.
        heard.tls.get_or_insert(seen);
        heard.service.get_or_insert_with(|| Service { name: "tls".to_owned(), confidence: 0.9, ..Service::default() });
    }
    confirmed.audit = (report.shown.is_tls() || report.shown.name_required).then(|| Box::new(report));
}

fn take(
    confirmed: Confirmed,
    tally: &mut Tally,
    systems: &mut Systems,
    progress: &Progress,
    json: bool,
) -> Result<(), Failure> {
    tally.loss.asked += confirmed.loss.asked;
    tally.loss.missed += confirmed.loss.missed;
    let Some(port) = confirmed.port else {
        if confirmed.is_nobody {
            return Ok(());
        }
        tracing::info!("{} was open once and could not be confirmed", confirmed.endpoint);
        return Ok(());
    };
    tally.open += 1;
    systems.hear(port.endpoint.ip, &confirmed.services);
    let mut lines: Vec<EndpointLine> =
        confirmed.services.iter().map(|heard| EndpointLine::new(&port, Some(heard))).collect();
    if lines.is_empty() {
        lines.push(EndpointLine::new(&port, None));
    }
    let mut findings = Vec::new();
    if let Some(report) = &confirmed.audit {
        findings = super::audit::findings(port.endpoint, report);
        for line in &mut lines {
            line.take_audit(report);
        }
    }
    if json {
        for line in lines {
            progress.around(|| output::json(&Line::Endpoint(Box::new(line))))?;
        }
        for finding in findings {
            progress.around(|| output::json(&Line::Finding(finding)))?;
        }
    } else {
        tally.endpoints.append(&mut lines);
        tally.findings.append(&mut findings);
    }
    Ok(())
}

fn payloads() -> UdpPayload {
    Arc::new(conversation::udp_payload)
}

fn summary(job: &Job, tally: &Tally, took: Duration) -> SummaryLine {
    let Tally { loss, counts, .. } = tally;
    // And what the sweep itself shows: open endpoints of which only the second question arrived.
    let shown = counts.loss();
    let loss = Loss { asked: loss.asked + shown.asked, missed: loss.missed + shown.missed };
    let (backend, mode_why) = job.asked_by();
    let raw = job.dialer.raw().filter(|_| backend == Backend::Raw);
    SummaryLine {
        targets: u64::try_from(job.space.len()).unwrap_or(u64::MAX),
        probes: tally.counts.probes,
        attempts: tally.counts.attempts,
        hosts_up: tally.hosts_up,
        discovered: tally.discovered.clone(),
        open: tally.open,
        loss: loss.ratio(),
        loss_interval: loss.bounds(),
        p_miss_random_loss: counts.p_miss(loss),
        answers_examined: tally.examined,
        vantages: 1,
        seconds: (took.as_secs_f64() * 100.0).round() / 100.0,
        not_enumerable: job.not_enumerable.clone(),
        mode: if backend == Backend::Raw { "raw" } else { "connect" },
        mode_why,
        packets: raw.map(|raw| {
            let counters = raw.counters();
            PacketsLine {
                ring_drops: counters.dropped,
                replayed: tally.counts.replayed,
                absent: tally.counts.absent,
                limited_by: counters.limiting.as_str(),
            }
        }),
        incomplete: tally.incomplete,
    }
}

fn trouble(counts: &SweepCounts) -> String {
    format!(
        "{} endpoints could not be asked for want of something of this machine's own (file descriptors, source ports, a \
         route), {} were not asked at all",
        counts.local_errors, counts.not_probed
    )
}
