//! The simulated network as the monitor asks it. Questions take the time they would take, and what comes of them is what was
//! true then; those to addresses where nobody is are only counted.

use super::{
    build::World,
    path::{NO_ROUTE, Reply},
    random::mixed,
    truth::{Action, certificate, ssh_key},
};
use jiff::Timestamp;
use model::{
    Endpoint, Mac, NotProbed, Outcome, PortObservation, Service, ServiceName, ServiceObservation, TlsObservation,
    Transport,
};
use monitor::{Answer, Conversation, Introduction, Network, Surroundings};
use probe::{Found, HostResult, ResolveError, Resolved, SweepCounts, SweepJob, SweepOutcome};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// As the real one: two attempts, the second a second after the first was given up on. What a kernel does within one is in
/// [`super::path`].
const TIMEOUT_MS: u64 = 3_500;
const SPACING_MS: u64 = 1_000;
/// A sweep looks at its hosts in at most so many strokes, each not shorter than this: what opened is told at a stroke's end,
/// which in an hour's sweep is ten seconds late at most.
const STROKES: u64 = 360;
const STROKE_MS: u64 = 5_000;
/// Questions to an endpoint of which nothing was heard before, as the real sweep asks them.
const MOST_DOUBTED: u8 = 4;
/// Refusals looked for to see that a host lives.
const SIGNS: usize = 3;

/// Cheap to clone; clones are the same network.
#[derive(Debug, Clone)]
pub(super) struct Simulated {
    world: Arc<Mutex<World>>,
    epoch: Instant,
    start: Timestamp,
    start_ms: i64,
    halted: Arc<AtomicBool>,
}

impl Simulated {
    pub(super) fn new(world: World, epoch: Instant, start: Timestamp) -> Self {
        let start_ms = start.as_millisecond();
        Self { world: Arc::new(Mutex::new(world)), epoch, start, start_ms, halted: Arc::default() }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn apply(&self, action: &Action) {
        let mut world = self.world();
        world.truth.apply(action);
        if let Action::Add(ip, _) | Action::Move(_, ip) = action {
            world.equip(*ip);
        }
    }

    /// Milliseconds since the beginning.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn until(&self, ms: u64) {
        sleep_until(self.epoch + Duration::from_millis(ms)).await;
    }

    fn is_halted(&self) -> bool {
        self.halted.load(Ordering::SeqCst)
    }

    /// What is seen of an attempt made at a time.
    fn seen(&self, endpoint: Endpoint, at: u64, attempts: u8, reply: Reply) -> PortObservation {
        let took = if reply.outcome == Outcome::Silent { TIMEOUT_MS } else { u64::from(reply.rtt_us / 1_000) };
        let at = self.start_ms.saturating_add_unsigned(at + took);
        PortObservation {
            endpoint,
            outcome: reply.outcome,
            at: Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX),
            attempts,
            refused: 0,
            rtt_us: reply.outcome.is_answer().then_some(reply.rtt_us),
        }
    }

    fn refused_to_ask(&self, endpoint: Endpoint, why: NotProbed) -> Found {
        let reply = Reply { outcome: Outcome::NotProbed(why), rtt_us: 0, machine: None };
        Found { observation: self.seen(endpoint, self.now(), 0, reply), reply: None }
    }

    async fn ask_all(&self, endpoints: Vec<Endpoint>, within: Duration) -> Vec<Found> {
        if self.is_halted() {
            return endpoints.into_iter().map(|endpoint| self.refused_to_ask(endpoint, NotProbed::Halted)).collect();
        }
        let begun = self.now();
        let span = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let count = endpoints.len() as u64;
        // What is asked in a stroke is answered at its end.
        self.until(begun + span + 20).await;
        let mut found = Vec::with_capacity(endpoints.len());
        let mut again: Vec<(usize, u64)> = Vec::new();
        {
            let mut world = self.world();
            let World { truth, paths, .. } = &mut *world;
            for (index, endpoint) in endpoints.into_iter().enumerate() {
                let at = begun + span * index as u64 / count.max(1);
                let reply = attempt(paths, truth, endpoint, at);
                if reply.outcome == Outcome::Silent {
                    again.push((index, at + TIMEOUT_MS + SPACING_MS));
                }
                found.push(Found { observation: self.seen(endpoint, at, 1, reply), reply: None });
            }
        }
        let Some(&(_, last)) = again.last() else { return found };
        self.until(last + 20).await;
        let mut silent = false;
        {
            let mut world = self.world();
            let World { truth, paths, .. } = &mut *world;
            for (index, at) in again {
                let endpoint = found[index].observation.endpoint;
                let reply = attempt(paths, truth, endpoint, at);
                silent |= reply.outcome == Outcome::Silent;
                found[index].observation = self.seen(endpoint, at, 2, reply);
            }
        }
        if silent {
            self.until(last + TIMEOUT_MS).await;
        }
        found
    }

    async fn sweep_all(&self, job: SweepJob, sender: mpsc::Sender<Found>, cancel: CancellationToken) -> SweepOutcome {
        let begun = self.now();
        let mut outcome = SweepOutcome::default();
        let targets = u64::try_from(job.addresses.len()).unwrap_or(u64::MAX);
        let ports = u64::from(job.tcp.len()) + u64::from(job.udp.len());
        let total = targets * ports;
        let rate = job.pace.as_ref().map_or(f64::INFINITY, probe::Pace::per_second);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a duration"
        )]
        let span = (total as f64 / rate * 1_000.0) as u64;
        let strokes = (span / STROKE_MS).clamp(1, STROKES);
        let dark = self.world().paths.dark(&job.addresses, ports);
        // Each address has its place in the order, whoever is there when its turn comes.
        let (mut order, mut places): (Vec<(u64, IpAddr)>, usize) = (Vec::new(), usize::MAX);
        let mut hosts: Vec<Swept> = Vec::new();
        let mut no_route = false;
        for stroke in 0..strokes {
            let from = begun + span * stroke / strokes;
            let until = begun + span * (stroke + 1) / strokes;
            tokio::select! {
                () = self.until(until + 20) => {}
                () = cancel.cancelled() => {}
            }
            if cancel.is_cancelled() || self.is_halted() {
                outcome.aborted = true;
                return outcome;
            }
            let mut hits = Vec::new();
            {
                let mut world = self.world();
                world.paths.attempts_in_the_dark(&dark, (stroke, strokes), from);
                no_route |= world.paths.no_route.contains(from) || world.paths.no_route.contains(until);
                if world.truth.ips().len() != places {
                    places = world.truth.ips().len();
                    let within = world.truth.within(&job.addresses);
                    order = within.map(|ip| (mixed(job.seed ^ word(ip)) >> 1, ip)).collect();
                    order.sort_unstable();
                }
                let first = |stroke: u64| order.partition_point(|(place, _)| *place < share(1 << 63, stroke, strokes));
                for (place, ip) in &order[first(stroke)..first(stroke + 1)] {
                    let at = begun + share(span, *place, 1 << 63);
                    hosts.push(self.look(&mut world, &job, *ip, at, &mut hits));
                }
            }
            for hit in hits {
                if sender.send(hit).await.is_err() {
                    outcome.aborted = true;
                    return outcome;
                }
            }
        }
        outcome.aborted |= !self.ask_silent_again(&job, &mut hosts, &sender, &mut outcome.counts).await;
        outcome.aborted |= !self.ask_refusals_again(&job, &mut hosts, &sender).await;
        for host in hosts {
            let Swept { ip, mut ports, known_asked, known_missed, answered, answers_everything, .. } = host;
            outcome.counts.known_asked += known_asked;
            outcome.counts.known_missed_first += known_missed;
            outcome.counts.answered += answered;
            ports.retain(|port| port.outcome.is_open() || (job.known)(&port.endpoint) || port.outcome.is_answer());
            let any_open = ports.iter().any(|port| port.outcome.is_open());
            let mut sign = None;
            ports.retain(|port| {
                let listed = port.outcome.is_open() || (job.known)(&port.endpoint);
                if !listed && sign.is_none() {
                    sign = Some(port.clone());
                }
                listed
            });
            if !any_open {
                ports.extend(sign);
            }
            ports.sort_by_key(|port| port.at);
            let complete = !no_route && !answers_everything;
            if !complete && !no_route {
                outcome.incomplete.push(ip);
            }
            if !ports.is_empty() {
                outcome.hosts.push(HostResult { ip, ports, complete, answers_everything });
            }
        }
        outcome.hosts.sort_by_key(|host| host.ip);
        outcome.incomplete.sort_unstable();
        if no_route {
            outcome.incomplete = job.addresses.iter().collect();
            outcome.counts.local_errors = total;
        } else {
            outcome.counts.probes = total;
        }
        outcome.counts.attempts += total;
        outcome
    }

    /// Silence that pays being asked again, when everything has been asked once; and once more where it is doubted. False where
    /// nobody waits for the answers.
    async fn ask_silent_again(
        &self,
        job: &SweepJob,
        hosts: &mut [Swept],
        sender: &mpsc::Sender<Found>,
        counts: &mut SweepCounts,
    ) -> bool {
        let mut last = self.now() + TIMEOUT_MS;
        for attempt_number in 2..=job.attempts.max(MOST_DOUBTED) {
            let is_asked = |port: &PortObservation| {
                port.outcome == Outcome::Silent && (attempt_number <= job.attempts || (job.doubted)(&port.endpoint))
            };
            let worth = |host: &&mut Swept| host.is_worth_asking && host.ports.iter().any(is_asked);
            if !hosts.iter_mut().any(|host| worth(&host)) {
                return true;
            }
            self.until(last + 20).await;
            let mut hits = Vec::new();
            {
                let mut world = self.world();
                let World { truth, paths, .. } = &mut *world;
                for port in
                    hosts.iter_mut().filter(worth).flat_map(|host| &mut host.ports).filter(|port| is_asked(port))
                {
                    let reply = attempt(paths, truth, port.endpoint, last);
                    *port = self.seen(port.endpoint, last, attempt_number, reply);
                    counts.attempts += 1;
                    if port.outcome.is_open() {
                        hits.push(Found { observation: port.clone(), reply: None });
                    }
                }
            }
            for hit in hits {
                if sender.send(hit).await.is_err() {
                    return false;
                }
            }
            last += TIMEOUT_MS;
            self.until(last).await;
        }
        true
    }

    /// Refusals that are doubted are asked again, most often where one is taken back. False where nobody waits for the answers.
    async fn ask_refusals_again(&self, job: &SweepJob, hosts: &mut [Swept], sender: &mpsc::Sender<Found>) -> bool {
        let is_doubted =
            |port: &PortObservation| matches!(port.outcome, Outcome::Closed(_)) && (job.doubted)(&port.endpoint);
        let mut are_forged = false;
        for attempt_number in 2..=MOST_DOUBTED {
            let is_worth = |host: &&mut Swept| {
                let accepts = host.ports.iter().any(|port| port.outcome.is_open());
                are_forged || attempt_number == 2 || (attempt_number == 3 && accepts)
            };
            if !hosts.iter_mut().filter(is_worth).any(|host| host.ports.iter().any(is_doubted)) {
                return true;
            }
            let at = self.now() + SPACING_MS;
            self.until(at + 20).await;
            let mut hits = Vec::new();
            {
                let mut world = self.world();
                let World { truth, paths, .. } = &mut *world;
                let ports = hosts.iter_mut().filter(is_worth).flat_map(|host| &mut host.ports);
                for port in ports.filter(|port| is_doubted(port)) {
                    let reply = attempt(paths, truth, port.endpoint, at);
                    if reply.outcome.is_open() {
                        *port = self.seen(port.endpoint, at, attempt_number, reply);
                        port.refused = attempt_number - 1;
                        hits.push(Found { observation: port.clone(), reply: None });
                    }
                }
            }
            are_forged |= !hits.is_empty();
            for hit in hits {
                if sender.send(hit).await.is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// One host in a sweep: what it offers, what is known of it, and a sign of life.
    fn look(&self, world: &mut World, job: &SweepJob, ip: IpAddr, at: u64, hits: &mut Vec<Found>) -> Swept {
        let World { truth, paths, .. } = world;
        let mut swept = Swept {
            ip,
            ports: Vec::new(),
            known_asked: 0,
            known_missed: 0,
            answered: 0,
            is_worth_asking: false,
            answers_everything: false,
        };
        let Some(place) = truth.places.get(&ip) else { return swept };
        let everything = place.proxied
            || place
                .machines
                .iter()
                .any(|&number| truth.machines.get(number as usize).is_some_and(|one| one.everything));
        let mut interesting: Vec<u16> = if everything {
            job.tcp.iter().take(4_097).collect()
        } else {
            place.met.iter().copied().filter(|port| job.tcp.contains(*port)).collect()
        };
        let met = interesting.len();
        if !everything && !job.tcp.is_empty() {
            for sign in 0..SIGNS {
                let n = mixed(job.seed ^ word(ip) ^ (sign as u64) << 60) % u64::from(job.tcp.len());
                let port = job.tcp.nth(u32::try_from(n).unwrap_or(0)).filter(|port| !interesting.contains(port));
                interesting.extend(port);
            }
        }
        for (index, port) in interesting.iter().enumerate() {
            let endpoint = Endpoint::tcp(ip, *port);
            let reply = paths.attempt(truth, ip, *port, at + index as u64 % 500);
            let observation = self.seen(endpoint, at, 1, reply);
            let known = index < met && (job.known)(&endpoint);
            if known && reply.outcome.is_evidence() {
                swept.known_asked += 1;
                swept.known_missed += u64::from(reply.outcome == Outcome::Silent);
            }
            swept.answered += u64::from(reply.outcome.is_answer());
            swept.is_worth_asking |= reply.outcome.is_answer() || known;
            if reply.outcome.is_open() {
                hits.push(Found { observation: observation.clone(), reply: None });
            } else if index >= met
                && reply.outcome.is_answer()
                && let Some(place) = truth.places.get_mut(&ip)
            {
                place.meet(*port);
            }
            swept.ports.push(observation);
        }
        swept.answers_everything = swept.ports.iter().filter(|port| port.outcome.is_open()).count() > 4_096;
        swept
    }

    fn converse(&self, whom: Introduction, at: u64) -> Conversation {
        let mut world = self.world();
        let World { truth, paths, .. } = &mut *world;
        let reply = attempt(paths, truth, whom.endpoint, at);
        let port = self.seen(whom.endpoint, at, 1, reply);
        let when = port.at;
        let mut conversation = Conversation { ports: vec![port], observation: None };
        if !reply.outcome.is_open() {
            return conversation;
        }
        let machine = reply.machine.and_then(|number| truth.machines.get(number as usize));
        let offer = machine.and_then(|machine| machine.offer(whom.endpoint.port));
        let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
        let service = offer.and_then(|offer| {
            let name = text(&offer.name)?;
            let ssh_key = machine.filter(|_| name == "ssh").map(|machine| ssh_key(machine.key));
            let (product, version) = (text(&offer.product), text(&offer.version));
            let confidence = if product.is_some() { 0.95 } else { 0.6 };
            Some(Service { name, product, version, confidence, ssh_key, ..Service::default() })
        });
        let tls = offer.and_then(|offer| offer.certificate).map(|number| TlsObservation {
            certificate: Some(certificate(number, whom.endpoint.ip, self.start)),
            ..TlsObservation::new("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        });
        conversation.observation = Some(ServiceObservation {
            endpoint: whom.endpoint,
            name: whom.name,
            at: when,
            service,
            tls,
            connections: 1,
            learnt: false,
            heard: None,
        });
        conversation
    }
}

/// A host of a sweep under way.
#[derive(Debug)]
struct Swept {
    ip: IpAddr,
    ports: Vec<PortObservation>,
    known_asked: u64,
    known_missed: u64,
    answered: u64,
    is_worth_asking: bool,
    answers_everything: bool,
}

/// So many of so many parts of something.
fn share(whole: u64, part: u64, parts: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(part) / u128::from(parts)).unwrap_or(u64::MAX)
}

fn attempt(paths: &mut super::path::Paths, truth: &mut super::truth::Truth, endpoint: Endpoint, at: u64) -> Reply {
    if endpoint.transport == Transport::Tcp {
        return paths.attempt(truth, endpoint.ip, endpoint.port, at);
    }
    let outcome = if paths.no_route.contains(at) { NO_ROUTE } else { Outcome::Silent };
    Reply { outcome, rtt_us: 0, machine: None }
}

#[expect(clippy::cast_possible_truncation, reason = "its low half tells addresses apart")]
fn word(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() as u64,
    }
}

impl Network for Simulated {
    fn sweep(&self, job: SweepJob, found: mpsc::Sender<Found>, cancel: CancellationToken) -> Answer<'_, SweepOutcome> {
        Box::pin(self.sweep_all(job, found, cancel))
    }

    fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Answer<'_, Vec<Found>> {
        Box::pin(self.ask_all(endpoints, within))
    }

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation> {
        Box::pin(async move {
            let at = self.now();
            if self.is_halted() {
                return Conversation::default();
            }
            self.until(at + 150).await;
            let conversation = self.converse(whom, at);
            if conversation.observation.is_none() {
                self.until(at + TIMEOUT_MS).await;
            }
            conversation
        })
    }

    fn read_reply(&self, endpoint: Endpoint, _: &[u8], at: Timestamp) -> ServiceObservation {
        ServiceObservation {
            endpoint,
            name: None,
            at,
            service: None,
            tls: None,
            connections: 0,
            learnt: false,
            heard: None,
        }
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        Box::pin(async move { Err(ResolveError::NoSuchName(name.clone())) })
    }

    fn mac(&self, ip: IpAddr) -> Option<Mac> {
        let world = self.world();
        let truth = Some(&world.truth).filter(|truth| truth.has_macs)?;
        truth.machine(ip).filter(|machine| machine.up)?.mac
    }

    fn surroundings(&self) -> Surroundings {
        let now = self.now();
        let mut world = self.world();
        let changes = world.paths.no_route.iter().flat_map(|(from, until)| [from, until]).filter(|at| *at <= now);
        let generation = changes.count() as u64;
        let faults =
            if world.paths.no_route.contains(now) { vec!["no route to anywhere".to_owned()] } else { Vec::new() };
        Surroundings { generation, faults, ..Surroundings::default() }
    }

    fn halt(&self, halted: bool) {
        self.halted.store(halted, Ordering::SeqCst);
    }
}
