//! The loop. Everything that can happen is one of the arms of one `select!`; whatever happens ends in a batch, and a batch
//! is committed before anybody hears of it.

use crate::{
    Batch, Journal, JournalError, MonitorError, PassRecord,
    confirm::{self, Confirmations},
    conversation::Conversations,
    decide::Decider,
    handle::{Command, Handle},
    health::{Health, Turn},
    lanes::{self, LaneState, Running},
    leases::Leases,
    live::Live,
    network::Network,
    pass::{self, Group, Plan, Report, Tools},
};
use config::Config;
use inventory::Inventory;
use jiff::Timestamp;
use model::{AddressSet, Clock, EventType, HostSlice, PassId, ServiceName, Vantage};
use probe::{ResolveError, Resolved};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore, broadcast, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The loop looks at its timers at least this often: the wall clock may be set while it waits.
const MOST_WAIT: Duration = Duration::from_secs(1);
/// Certificates cross their thresholds by the clock.
const EXPIRY_EVERY: Duration = Duration::from_secs(60);
/// What `status` sees is at most so old.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// Re-probes under way at once.
const CONFIRMATIONS_AT_ONCE: usize = 128;
/// Slices committed together when several are waiting.
const COALESCE: usize = 64;
const COMMIT_RETRY_FIRST: Duration = Duration::from_secs(1);
const COMMIT_RETRY_MOST: Duration = Duration::from_secs(30);
/// A pass that is cancelled gets this long to hand in what it has.
const PASS_GRACE: Duration = Duration::from_secs(2);

/// What the loop is made of.
#[derive(Debug)]
pub struct Parts<J> {
    pub config: Arc<Config>,
    pub journal: Arc<J>,
    pub network: Arc<dyn Network>,
    /// The one the network asks: the loop replaces what is in it.
    pub scope: ScopeHandle,
    pub clock: Arc<dyn Clock>,
    /// Seeds the order of passes. Different at every start.
    pub seed: u64,
    /// Woken after every commit that owes somebody an alert.
    pub owed: Arc<Notify>,
}

type Resolution = ((Arc<str>, ServiceName), Result<Resolved, ResolveError>);

#[derive(Debug)]
pub struct Monitor<J> {
    config: Arc<Config>,
    journal: Arc<J>,
    clock: Arc<dyn Clock>,
    scope: ScopeHandle,
    seed: u64,
    owed: Arc<Notify>,
    tools: Tools,
    reports: mpsc::Receiver<Report>,
    commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<model::Event>,
    live: Arc<Live>,
    decider: Decider,
    health: Health,
    lanes: Vec<LaneState>,
    /// Passes under way; a reload cancels them and the lanes begin again.
    passes: JoinSet<()>,
    ledger: Vec<PassRecord>,
    leases: Leases,
    resolutions: JoinSet<Resolution>,
    confirmations: Confirmations,
    confirming: JoinSet<HostSlice>,
    confirm_slots: Arc<Semaphore>,
    halted: bool,
    counter: u64,
    expiry_at: Timestamp,
    show_at: Instant,
}

impl<J: Journal> Monitor<J> {
    /// Reads the journal and takes up where the last run ended. Nothing is probed before [`Self::run`].
    pub async fn start(parts: Parts<J>) -> Result<(Self, Handle), MonitorError> {
        let Parts { config, journal, network, scope, clock, seed, owed } = parts;
        let restored = journal.load().await?;
        let now = clock.now();
        let vantage = Vantage(config.sensor.name.clone());
        let inventory = Inventory::restore(
            vantage.clone(),
            restored.hosts,
            restored.certificates,
            restored.regions,
            restored.baselines,
        );
        let mut confirmations = Confirmations::default();
        confirmations.add(inventory.pending());
        let decider = Decider::new(vantage.clone(), config.clone(), inventory, restored.violations);
        let leases = Leases::restore(restored.leases);
        let (report_sender, reports) = mpsc::channel(256);
        let (command_sender, commands) = mpsc::channel(16);
        let (events, _) = broadcast::channel(1_024);
        let live = Arc::new(Live::default());
        network.halt(restored.halted);
        let handle =
            Handle { commands: command_sender, live: live.clone(), network: network.clone(), events: events.clone() };
        let tools = Tools {
            conversations: Conversations::new(network.clone(), scope.clone(), decider.index.clone()),
            network,
            index: decider.index.clone(),
            clock: clock.clone(),
            vantage,
            reports: report_sender,
        };
        let mut monitor = Self {
            lanes: lanes::lanes(&config, &restored.passes, now),
            config,
            journal,
            clock,
            scope,
            seed,
            owed,
            tools,
            reports,
            commands,
            events,
            live,
            decider,
            health: Health::default(),
            passes: JoinSet::new(),
            ledger: restored.passes,
            leases,
            resolutions: JoinSet::new(),
            confirmations,
            confirming: JoinSet::new(),
            confirm_slots: Arc::new(Semaphore::new(CONFIRMATIONS_AT_ONCE)),
            halted: restored.halted,
            counter: 0,
            expiry_at: now,
            show_at: Instant::now(),
        };
        monitor.live.update(|live| live.events = restored.events);
        monitor.rescope();
        monitor.show();
        Ok((monitor, handle))
    }

    /// Watches until `shutdown`. Then the passes are cancelled and what they had is committed, within a few seconds.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), MonitorError> {
        let mut batch = Batch::default();
        self.retire_out_of_scope(&mut batch);
        self.commit(batch, &shutdown).await?;
        loop {
            self.start_due();
            if Instant::now() >= self.show_at {
                self.show();
                self.show_at = Instant::now() + SHOW_EVERY;
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.end(&shutdown).await,
                Some(command) = self.commands.recv() => self.obey(command, &shutdown).await?,
                Some(slice) = self.confirming.join_next(), if !self.confirming.is_empty() => match slice {
                    Ok(slice) => self.take_slices(vec![slice], &shutdown).await?,
                    Err(error) => tracing::error!(%error, "a confirmation ended in a bug; the next pass asks again"),
                },
                Some(answer) = self.resolutions.join_next(), if !self.resolutions.is_empty() => match answer {
                    Ok((key, answer)) => self.take_resolution(key, answer, &shutdown).await?,
                    Err(error) => tracing::error!(%error, "a name resolution ended in a bug"),
                },
                Some(ended) = self.passes.join_next(), if !self.passes.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a pass ended in a bug");
                        return Err(MonitorError::Bug("pass"));
                    }
                }
                Some(report) = self.reports.recv() => self.take_report(report, &shutdown).await?,
                () = sleep_until(wake) => self.on_time(&shutdown).await?,
            }
        }
    }

    // ---- what may happen -------------------------------------------------------------------------------------------

    async fn take_report(&mut self, report: Report, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        match report {
            Report::Slice { slice } => {
                let mut slices = vec![slice];
                // Whatever else of the kind is waiting shares the transaction; another kind is taken right after.
                let mut other = None;
                while slices.len() < COALESCE && other.is_none() {
                    match self.reports.try_recv() {
                        Ok(Report::Slice { slice }) => slices.push(slice),
                        Ok(report) => other = Some(report),
                        Err(_) => break,
                    }
                }
                self.take_slices(slices, shutdown).await?;
                match other {
                    Some(report) => Box::pin(self.take_report(report, shutdown)).await,
                    None => Ok(()),
                }
            }
            Report::Group(group) => self.take_group(group, shutdown).await,
            Report::Ended { record } => self.take_end(record, shutdown).await,
        }
    }

    async fn take_slices(&mut self, slices: Vec<HostSlice>, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let mut batch = Batch::default();
        self.decide(&slices, &mut batch);
        self.commit(batch, shutdown).await
    }

    async fn take_group(&mut self, group: Group, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let Group { record, mut slices, coverage, addresses, local_errors, probes } = group;
        let (profile, lane) = (record.profile.clone(), record.lane);
        let turn = self.health.examine(&mut slices, local_errors, probes);
        // Host by host, in pieces: a group of thousands must not hold up a command.
        for piece in slices.chunks(COALESCE) {
            let mut batch = Batch::default();
            self.decide(piece, &mut batch);
            self.commit(batch, shutdown).await?;
        }
        let now = self.clock.now();
        let mut batch = Batch::default();
        if !addresses.is_empty() {
            self.decider.group_done(&profile, lane, &coverage, &addresses, now, &mut batch);
        }
        match turn {
            Turn::Same => {}
            Turn::Degraded(sentence) => {
                let fill = |event: &mut model::Event| event.reason = Some(sentence);
                self.decider.own_event(EventType::SensorDegraded, "sensor", fill, now, &mut batch);
            }
            Turn::Recovered => {
                let fill = |event: &mut model::Event| event.reason = Some("answers as before".to_owned());
                self.decider.own_event(EventType::SensorOk, "sensor", fill, now, &mut batch);
            }
        }
        if let Some(state) = self.lane(&profile, lane)
            && let Some(running) = &mut state.running
            && running.record.id == record.id
        {
            running.record = record.clone();
        }
        batch.passes.push(record);
        self.commit(batch, shutdown).await
    }

    async fn take_end(&mut self, mut record: PassRecord, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let (profile, lane) = (record.profile.clone(), record.lane);
        let ours = self
            .lane(&profile, lane)
            .is_some_and(|state| state.running.as_ref().is_some_and(|running| running.record.id == record.id));
        if record.complete {
            record.finished = Some(now);
        }
        let mut batch = Batch { passes: vec![record.clone()], ..Batch::default() };
        if ours {
            if let Some(state) = self.lane(&profile, lane) {
                state.end(record);
            }
            if !self.decider.inventory.has_baseline(&profile) && self.is_learnt(&profile, now) {
                self.decider.baseline_done(&profile, now, &mut batch);
            }
        }
        self.commit(batch, shutdown).await
    }

    async fn take_resolution(
        &mut self,
        key: (Arc<str>, ServiceName),
        answer: Result<Resolved, ResolveError>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        match answer {
            Ok(Resolved { addresses, ttl }) => {
                let until = now.checked_add(ttl).unwrap_or(now);
                let replaced = self.leases.answered(&key, addresses.clone(), until);
                self.rescope();
                if let Some(old) = replaced {
                    tracing::info!(name = %key.1, ?old, new = ?addresses, "a host name moved");
                    let scope = self.scope.load();
                    let at = addresses.first().or(old.first()).copied();
                    let profile = self.profiles_of(&key.0).next().unwrap_or_default();
                    if let Some(ip) = at {
                        let policy = self.decider.policy(&scope, ip, &profile, now);
                        self.decider.lease_moved(&key.1, &old, &addresses, &policy, now, &mut batch);
                    }
                    let gone: Vec<IpAddr> = old.into_iter().filter(|ip| !scope.contains(*ip, now)).collect();
                    self.decider.retire(&gone, now, &mut batch);
                }
                batch.leases = Some(self.leases.records());
            }
            Err(error) => {
                tracing::warn!(name = %key.1, %error, "a host name could not be resolved; it is asked again in a few seconds");
                self.leases.failed(&key, now);
            }
        }
        self.commit(batch, shutdown).await
    }

    async fn obey(&mut self, command: Command, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let now = self.clock.now();
        match command {
            Command::Halt { halted, done } => {
                self.tools.network.halt(halted);
                let mut batch = Batch { halted: Some(halted), ..Batch::default() };
                if halted != self.halted {
                    let said =
                        if halted { "probing halted by the operator" } else { "probing resumed by the operator" };
                    let fill = |event: &mut model::Event| event.reason = Some(said.to_owned());
                    self.decider.own_event(EventType::Audit, "halt", fill, now, &mut batch);
                }
                self.halted = halted;
                if halted {
                    self.cancel_passes();
                }
                self.commit(batch, shutdown).await?;
                // Nobody waiting any more is no harm: it is done and on disk.
                let _ = done.send(());
            }
            Command::ScanNow { profile, done } => {
                let mut lanes = 0;
                for state in self.lanes.iter_mut().filter(|state| *state.profile == *profile) {
                    state.wanted = true;
                    lanes += 1;
                }
                let answer = match (lanes, self.halted) {
                    (0, _) => Err(format!("no profile is named `{profile}`")),
                    (_, true) => Err("probing is halted; `perimeterd resume` first".to_owned()),
                    _ => Ok(format!("{lanes} lanes of `{profile}` begin now, or when their running pass ends")),
                };
                if answer.is_ok() {
                    let mut batch = Batch::default();
                    let fill = |event: &mut model::Event| {
                        event.reason = Some("scan-now by the operator".to_owned());
                        event.profile = Some(profile);
                    };
                    self.decider.own_event(EventType::Audit, "scan-now", fill, now, &mut batch);
                    self.commit(batch, shutdown).await?;
                }
                let _ = done.send(answer);
            }
            Command::Reload { config, done } => {
                self.reconfigure(config, shutdown).await?;
                let _ = done.send(());
            }
            Command::DeliveryFailed(failure) => {
                let mut batch = Batch::default();
                self.decider.raise(failure.event(now, &self.tools.vantage), now, &mut batch);
                self.commit(batch, shutdown).await?;
            }
        }
        Ok(())
    }

    async fn on_time(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        if now >= self.expiry_at {
            self.decider.tick(now, &mut batch);
            self.expiry_at = now.checked_add(EXPIRY_EVERY).unwrap_or(now);
        }
        self.commit(batch, shutdown).await
    }

    // ---- deciding --------------------------------------------------------------------------------------------------

    fn decide(&mut self, slices: &[HostSlice], batch: &mut Batch) {
        let now = self.clock.now();
        let scope = self.scope.load();
        for slice in slices {
            // Scope may have changed while the question was under way; what left it is not looked at any more.
            if !scope.contains(slice.ip, now) {
                continue;
            }
            let policy = self.decider.policy(&scope, slice.ip, &slice.pass.profile, now);
            let requests = self.decider.slice(slice, &policy, now, batch);
            self.confirmations.add(requests);
        }
    }

    fn is_learnt(&self, profile: &Arc<str>, now: Timestamp) -> bool {
        let space = self.space(profile, now);
        self.lanes.iter().filter(|state| state.profile == *profile).all(|state| state.is_learnt(&space))
    }

    // ---- committing ------------------------------------------------------------------------------------------------

    /// Commits, and only then tells. A full disk holds everything up here: nothing is dropped, nothing is told.
    async fn commit(&mut self, batch: Batch, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut wait = COMMIT_RETRY_FIRST;
        let committed = loop {
            match self.journal.commit(batch.clone()).await {
                Ok(committed) => break committed,
                Err(JournalError::Broken(reason)) => return Err(JournalError::Broken(reason).into()),
                Err(JournalError::Retry(reason)) => {
                    if wait == COMMIT_RETRY_FIRST {
                        tracing::error!("{reason}; probing waits, and nothing is told, until it can be written");
                    }
                    self.live.update(|live| {
                        live.reasons.insert("database", reason.clone());
                        live.turned = Some(Instant::now());
                    });
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // What is not on disk has been told to nobody; the next run sees it again.
                        () = shutdown.cancelled() => return Err(JournalError::Retry(reason).into()),
                    }
                    wait = (wait * 2).min(COMMIT_RETRY_MOST);
                }
            }
        };
        if wait != COMMIT_RETRY_FIRST {
            tracing::info!("the database can be written again");
        }
        let now = self.clock.now();
        self.live.update(|live| {
            live.reasons.remove("database");
            live.last_commit = Some(now);
            if let Some(last) = committed.events.last() {
                live.events = live.events.max(*last);
            }
        });
        if !batch.owed.is_empty() {
            self.owed.notify_one();
        }
        for (mut event, seq) in batch.events.into_iter().zip(committed.events) {
            event.seq = Some(seq);
            // Without a listener it goes nowhere, and need not.
            let _ = self.events.send(event);
        }
        Ok(())
    }

    // ---- passes ----------------------------------------------------------------------------------------------------

    fn start_due(&mut self) {
        let now = self.clock.now();
        if self.halted {
            return;
        }
        for index in 0..self.lanes.len() {
            if self.lanes[index].due(now).is_some_and(|due| due <= now) {
                self.start_pass(index, now);
            }
        }
        while self.confirming.len() < CONFIRMATIONS_AT_ONCE
            && let Some(request) = self.confirmations.take(now)
        {
            let id = self.pass_id("confirm", now);
            let (tools, slots) = (self.tools.clone(), self.confirm_slots.clone());
            self.confirming.spawn(async move {
                let _slot = slots.acquire().await;
                confirm::serve(&tools, request, id).await
            });
        }
        let scope = self.scope.load();
        for key in self.leases.due(&scope, now) {
            let network = self.tools.network.clone();
            self.resolutions.spawn(async move {
                let answer = network.resolve(&key.1).await;
                (key, answer)
            });
        }
    }

    fn start_pass(&mut self, index: usize, now: Timestamp) {
        let id = self.pass_id("pass", now);
        let seed = self.seed ^ self.counter.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let profile = self.lanes[index].profile.clone();
        let space = self.space(&profile, now);
        let state = &mut self.lanes[index];
        let record = state.begin(&space, seed, id, now);
        tracing::debug!(profile = %profile, lane = %state.lane, pass = %record.id, addresses = %space.len(), "a pass begins");
        let plan = Plan {
            budget: state.budget(&record, now),
            record: record.clone(),
            space,
            tcp: state.tcp.clone(),
            udp: state.udp.clone(),
            identify: state.identify,
        };
        let cancel = CancellationToken::new();
        state.running = Some(Running { record, cancel: cancel.clone() });
        self.passes.spawn(pass::run(self.tools.clone(), plan, cancel));
    }

    fn cancel_passes(&mut self) {
        for running in self.lanes.iter().filter_map(|state| state.running.as_ref()) {
            running.cancel.cancel();
        }
    }

    /// An id no other pass has: from the time, the run's seed and a counter.
    fn pass_id(&mut self, kind: &str, now: Timestamp) -> PassId {
        self.counter += 1;
        PassId(model::derive_id(now, kind, &(self.seed, self.counter)))
    }

    fn next_wake(&self) -> Instant {
        let now = self.clock.now();
        let lane = if self.halted { None } else { self.lanes.iter().filter_map(|state| state.due(now)).min() };
        let confirm = if self.halted || self.confirming.len() >= CONFIRMATIONS_AT_ONCE {
            None
        } else {
            self.confirmations.next_at()
        };
        let next = [lane, confirm, Some(self.expiry_at)].into_iter().flatten().min();
        let wait = next.map_or(MOST_WAIT, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        Instant::now() + wait.min(MOST_WAIT)
    }

    fn lane(&mut self, profile: &Arc<str>, lane: model::Lane) -> Option<&mut LaneState> {
        self.lanes.iter_mut().find(|state| state.profile == *profile && state.lane == lane)
    }

    // ---- scope and configuration -----------------------------------------------------------------------------------

    /// Rebuilds the scope from the configuration and the living leases.
    fn rescope(&mut self) {
        self.scope.replace(scope_of(&self.config).with_leases(self.leases.for_scope()));
    }

    fn space(&self, profile: &Arc<str>, now: Timestamp) -> AddressSet {
        let assets = self.config.profiles.get(profile).map(|profile| profile.assets.clone()).unwrap_or_default();
        self.scope.load().sweep_space(&assets, now)
    }

    fn profiles_of<'a>(&'a self, asset: &'a Arc<str>) -> impl Iterator<Item = Arc<str>> + 'a {
        self.config.profiles.iter().filter(|(_, profile)| profile.assets.contains(asset)).map(|(name, _)| name.clone())
    }

    fn retire_out_of_scope(&mut self, batch: &mut Batch) {
        let now = self.clock.now();
        let scope = self.scope.load();
        // A name's address stays until its lease moves: a daemon that starts without DNS must not forget.
        let leased: Vec<IpAddr> = self.leases.for_scope().into_iter().flat_map(|lease| lease.addresses).collect();
        let gone: Vec<IpAddr> = self
            .decider
            .inventory
            .hosts()
            .map(|host| host.key.ip)
            .filter(|ip| !scope.contains(*ip, now) && !leased.contains(ip))
            .collect();
        if !gone.is_empty() {
            tracing::info!(hosts = gone.len(), "hosts left the scope; they are forgotten without an alert");
            self.decider.retire(&gone, now, batch);
        }
    }

    async fn reconfigure(&mut self, config: Arc<Config>, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        // The old passes hand in what they have before their lanes are replaced.
        self.drain_passes(shutdown).await?;
        let now = self.clock.now();
        self.remember_passes();
        self.config = config.clone();
        self.decider.reconfigure(config.clone());
        self.leases.retain(&scope_of(&config));
        self.rescope();
        self.lanes = lanes::lanes(&config, &self.ledger, now);
        let mut batch = Batch { leases: Some(self.leases.records()), ..Batch::default() };
        self.retire_out_of_scope(&mut batch);
        let fill = |event: &mut model::Event| event.reason = Some("the new configuration is in force".to_owned());
        self.decider.own_event(EventType::ConfigReloaded, "config", fill, now, &mut batch);
        self.commit(batch, shutdown).await
    }

    /// Keeps what the lanes know of their last passes, for the lanes of the next configuration.
    fn remember_passes(&mut self) {
        let mut ledger: BTreeMap<PassId, PassRecord> = BTreeMap::new();
        for state in &self.lanes {
            let running = state.running.as_ref().map(|running| &running.record);
            for record in [running, state.last(), state.finished.as_ref()].into_iter().flatten() {
                ledger.insert(record.id, record.clone());
            }
        }
        self.ledger = ledger.into_values().collect();
    }

    // ---- showing and ending ----------------------------------------------------------------------------------------

    fn show(&self) {
        let now = self.clock.now();
        let scope = self.scope.load();
        let lanes: Vec<_> = self
            .lanes
            .iter()
            .map(|state| {
                let targets = u64::try_from(self.space(&state.profile, now).len()).unwrap_or(u64::MAX);
                state.status(self.decider.inventory.has_baseline(&state.profile), targets, now)
            })
            .collect();
        let mut reasons: BTreeMap<&'static str, String> =
            self.health.sentences().map(|(what, sentence)| (what, sentence.clone())).collect();
        let late: Vec<String> = lanes
            .iter()
            .filter(|lane| lane.lag_s > 0.0 && !self.halted)
            .map(|lane| format!("{}/{} by {:.0} s", lane.profile, lane.lane, lane.lag_s))
            .collect();
        if !late.is_empty() {
            reasons.insert("late", format!("lanes behind their period: {}", late.join(", ")));
        }
        let lapsed = self.leases.lapsed(&scope, now);
        if !lapsed.is_empty() {
            let names: Vec<_> = lapsed.iter().map(ServiceName::as_str).collect();
            reasons
                .insert("names", format!("host names that do not resolve, and are not watched: {}", names.join(", ")));
        }
        let counts = self.decider.inventory.counts();
        self.live.update(|live| {
            let database = live.reasons.remove("database");
            live.reasons = reasons;
            live.reasons.extend(database.map(|reason| ("database", reason)));
            live.lanes = lanes;
            live.halted = self.halted;
            live.hosts = counts.hosts as u64;
            live.endpoints = counts.endpoints as u64;
            live.certificates = counts.certificates as u64;
            live.confirmations_waiting = (self.confirmations.len() + self.confirming.len()) as u64;
            live.ready = true;
            live.turned = Some(Instant::now());
        });
    }

    async fn end(mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        self.confirming.abort_all();
        self.resolutions.abort_all();
        self.drain_passes(shutdown).await
    }

    /// Cancels the passes under way and takes what they still report.
    async fn drain_passes(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        self.cancel_passes();
        let deadline = Instant::now() + PASS_GRACE;
        while !self.passes.is_empty() {
            tokio::select! {
                Some(report) = self.reports.recv() => self.take_report(report, shutdown).await?,
                Some(_) = self.passes.join_next() => {}
                () = sleep_until(deadline) => self.passes.abort_all(),
            }
        }
        while let Ok(report) = self.reports.try_recv() {
            self.take_report(report, shutdown).await?;
        }
        for state in &mut self.lanes {
            state.abandon();
        }
        Ok(())
    }
}

/// The scope a configuration gives, without leases.
pub fn scope_of(config: &Config) -> Scope {
    let assets = config
        .assets
        .iter()
        .map(|(name, asset)| AssetScope {
            name: name.clone(),
            targets: asset.targets.clone(),
            // "Until" is the last day: scanning ends when that day is over, in UTC.
            until: asset
                .authorization
                .as_ref()
                .and_then(|authorization| authorization.until)
                .and_then(|day| day.tomorrow().ok())
                .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
                .map(|end| end.timestamp()),
        })
        .collect();
    Scope::new(assets, config.sensor.exclude.clone())
}
