//! The loop. Everything that can happen is one of the arms of one `select!`; whatever happens ends in a batch, and a batch
//! is committed before anybody hears of it.

mod commit;
mod gaps;
mod learning;
mod mirage;
mod relabel;
mod rescope;
mod reverse;
mod roots;
mod show;
mod stale;
mod start;
mod take;
mod touched;
mod well;

pub use gaps::GAP;
pub use relabel::Relabelled;
pub use rescope::scope_of;

use crate::{
    Batch, Journal, MonitorError, Note, PassRecord,
    account::{Accounted, Book},
    audits::Audits,
    canary::{Canaries, Verdict},
    candidates::Candidates,
    choose::Choice,
    confirm::Confirmations,
    conversation::Conversations,
    decide::Decider,
    handle::{Command, Handle},
    health::{Health, Now, Restraint},
    lanes::{self, LaneState},
    leases::Leases,
    live::Live,
    look::Worth,
    mirage::Mirages,
    network::Network,
    pass::{Report, Tools},
    reverse::Round,
    stale::{Stale, WANTED},
};
use config::Config;
use inventory::{ConfirmRequest, Restoration};
use jiff::Timestamp;
use learning::Learning;
use mirage::Looked;
use model::{Clock, EventType, HostSlice, NotEnumerable, ServiceName, Vantage};
use probe::{Compared, ResolveError, Resolved};
use reverse::Reversal;
use scope::ScopeHandle;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore, broadcast, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The loop looks at its timers at least this often: the wall clock may be set while it waits.
const MOST_WAIT: Duration = Duration::from_secs(1);
/// Certificates cross their thresholds by the clock.
const EXPIRY_EVERY: Duration = Duration::from_mins(1);
/// Hosts are kept for days, and looking at all of them takes its time.
const PURGE_EVERY: Duration = Duration::from_hours(1);
/// What `status` sees is at most so old.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// Re-probes under way at once.
const CONFIRMATIONS_AT_ONCE: usize = 128;
/// A question that nothing came of (a local error, a conversation cut off) is asked again after this.
const CONFIRM_AGAIN: Duration = Duration::from_secs(30);
/// Slices committed together when several are waiting.
const COALESCE: usize = 64;
/// Learning waits so long for those who take their time to say who they are, and no longer: nobody can keep it from ending.
const INTRODUCED_BY: Duration = Duration::from_mins(10);
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
    /// What was asked and is not committed yet.
    book: Book,
    /// They outlive their passes, but not the loop.
    _conversations: DropGuard,
    reports: mpsc::Receiver<Report>,
    commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<model::Event>,
    live: Arc<Live>,
    decider: Decider,
    health: Health,
    stale: Stale,
    /// For how long passes have been due, in seconds, as it was kept last.
    worked_noted: stale::Worked,
    /// What is committed before anything is asked.
    first: Batch,
    /// Lanes whose pass an operator asked for and that has begun.
    begun: Vec<String>,
    /// What passes are to hold back.
    restraint: watch::Sender<Restraint>,
    choice: Choice,
    /// Canaries being asked whether a trouble is over.
    checking: JoinSet<Verdict>,
    /// Hosts being asked from both sources.
    comparing: JoinSet<Vec<Compared>>,
    /// Packets of our own being tried against connections.
    trying: JoinSet<()>,
    lanes: Vec<LaneState>,
    /// Passes under way; a reload cancels them and the lanes begin again.
    passes: JoinSet<()>,
    ledger: Vec<PassRecord>,
    leases: Leases,
    candidates: Candidates,
    /// As `status` shows it.
    not_enumerable: Vec<NotEnumerable>,
    resolutions: JoinSet<Resolution>,
    /// Mirages being looked at.
    looking: JoinSet<Looked>,
    /// Whose names are asked for next, and who is being asked for.
    round: Round,
    reversals: JoinSet<Reversal>,
    confirmations: Confirmations,
    confirming: JoinSet<(ConfirmRequest, HostSlice, Worth)>,
    confirm_slots: Arc<Semaphore>,
    halted: bool,
    /// By which rules everything that is kept was named.
    named_by: Option<String>,
    /// Since when chains are judged by which roots.
    judged_by: Option<(Timestamp, String)>,
    learning: Learning,
    counter: u64,
    expiry_at: Timestamp,
    purge_at: Timestamp,
    show_at: Instant,
    /// How many addresses each lane has before it, and when that was counted.
    targets: (Instant, Vec<u64>),
    /// When the next piece of what was only seen again is written.
    touched_at: Instant,
}

impl<J: Journal> Monitor<J> {
    /// Reads the journal and takes up where the last run ended. Nothing is probed before [`Self::run`].
    pub async fn start(parts: Parts<J>) -> Result<(Self, Handle), MonitorError> {
        let Parts { config, journal, network, scope, clock, seed, owed } = parts;
        let vantage = Vantage(config.sensor.name.clone());
        let (restoration, restored) = journal.load(Restoration::new(vantage.clone())).await?;
        let now = clock.now();
        let mut inventory = restoration.finish(restored.certificates, restored.regions, restored.baselines);
        inventory.restore_pools(restored.pools);
        let mut confirmations = Confirmations::default();
        confirmations.add(inventory.pending());
        let moment = Now { wall: now, instant: Instant::now() };
        let health = Health::restore(&restored.notes, inventory.blocked().map(|(ip, _)| ip).collect(), moment);
        let restraint = watch::Sender::new(health.restraint(moment));
        let decider = Decider::new(vantage.clone(), config.clone(), inventory, restored.violations);
        let mut leases = Leases::restore(restored.leases);
        leases.retain(&scope_of(&config));
        let (report_sender, reports) = mpsc::channel(256);
        let (command_sender, commands) = mpsc::channel(16);
        let (events, _) = broadcast::channel(1_024);
        let live = Arc::new(Live::default());
        network.halt(restored.halted);
        network.ask_from_second(health.banned());
        let book = Book::new(now, seed);
        let account = Accounted::new(network.clone(), book.clone(), scope.clone(), clock.clone());
        let handle = Handle { commands: command_sender, live: live.clone(), network, events: events.clone() };
        let stop = CancellationToken::new();
        let tools = Tools {
            stop: stop.clone(),
            conversations: Conversations::new(account.clone(), scope.clone(), decider.index.clone()),
            audits: Audits::default(),
            network: account,
            index: decider.index.clone(),
            scope: scope.clone(),
            canaries: Canaries::default(),
            mirages: Mirages::new(seed),
            restraint: restraint.subscribe(),
            clock: clock.clone(),
            vantage,
            reports: report_sender,
        };
        let mut monitor = Self {
            lanes: lanes::lanes(&config, &restored.passes),
            config,
            journal,
            clock,
            scope,
            seed,
            owed,
            tools,
            book,
            _conversations: stop.drop_guard(),
            reports,
            commands,
            events,
            live,
            decider,
            stale: Stale::default(),
            worked_noted: stale::Worked::new(),
            first: Batch::default(),
            begun: Vec::new(),
            health,
            restraint,
            choice: Choice::new(Instant::now()),
            checking: JoinSet::new(),
            comparing: JoinSet::new(),
            trying: JoinSet::new(),
            passes: JoinSet::new(),
            ledger: restored.passes,
            leases,
            candidates: Candidates::default(),
            not_enumerable: Vec::new(),
            resolutions: JoinSet::new(),
            looking: JoinSet::new(),
            round: Round::default(),
            reversals: JoinSet::new(),
            confirmations,
            confirming: JoinSet::new(),
            confirm_slots: Arc::new(Semaphore::new(CONFIRMATIONS_AT_ONCE)),
            halted: restored.halted,
            named_by: None,
            judged_by: None,
            learning: Learning::restore(&restored.notes),
            counter: 0,
            expiry_at: now,
            purge_at: now,
            show_at: Instant::now(),
            targets: (Instant::now(), Vec::new()),
            touched_at: Instant::now(),
        };
        monitor.take_up(&restored.notes);
        monitor.restore_rules(&restored.notes);
        monitor.restore_roots(&restored.notes);
        let mut first = Batch::default();
        monitor.note_gap(&restored.notes, &mut first);
        monitor.first = first;
        monitor.live.update(|live| live.events = restored.events);
        monitor.learning.configure(&monitor.config, &monitor.lanes);
        monitor.rescope();
        monitor.gather_candidates();
        monitor.show();
        Ok((monitor, handle))
    }

    /// Watches until `shutdown`. Then the passes are cancelled and what they had is committed, within a few seconds.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), MonitorError> {
        let mut batch = std::mem::take(&mut self.first);
        self.decider.untell_expiries(self.clock.now(), &mut batch);
        self.retire_out_of_scope(&mut batch);
        self.dissolve_pools(&mut batch);
        self.look_after_itself(&mut batch);
        self.commit(batch, &shutdown).await?;
        self.relabel_if_due(&shutdown).await?;
        self.meet_roots(&shutdown).await?;
        self.say_what_is_closed();
        loop {
            self.start_due();
            if Instant::now() >= self.show_at {
                self.show();
                self.show_at = Instant::now() + SHOW_EVERY;
            }
            if Instant::now() >= self.touched_at {
                self.write_some_touched(&shutdown).await?;
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.end(&shutdown).await,
                Some(command) = self.commands.recv() => self.obey(command, &shutdown).await?,
                Some(first) = self.confirming.join_next(), if !self.confirming.is_empty() => {
                    self.take_confirmations(first, &shutdown).await?;
                }
                Some(check) = self.checking.join_next(), if !self.checking.is_empty() => match check {
                    Ok(verdict) => self.take_check(verdict, &shutdown).await?,
                    Err(error) => {
                        tracing::error!(%error, "a check of canaries ended in a bug");
                        return Err(MonitorError::Bug("canary check"));
                    }
                },
                Some(compared) = self.comparing.join_next(), if !self.comparing.is_empty() => match compared {
                    Ok(compared) => self.take_comparison(compared, &shutdown).await?,
                    Err(error) => {
                        tracing::error!(%error, "a comparison of sources ended in a bug");
                        return Err(MonitorError::Bug("comparison of sources"));
                    }
                },
                Some(tried) = self.trying.join_next(), if !self.trying.is_empty() => match tried {
                    Ok(()) => self.take_trial(&shutdown).await?,
                    Err(error) => tracing::error!(%error, "a trial of packets ended in a bug"),
                },
                Some(answer) = self.resolutions.join_next(), if !self.resolutions.is_empty() => match answer {
                    Ok(answer) => self.take_resolution(answer, &shutdown).await?,
                    Err(error) => tracing::error!(%error, "a name resolution ended in a bug"),
                },
                Some(looked) = self.looking.join_next(), if !self.looking.is_empty() => match looked {
                    Ok(looked) => self.take_look(looked, &shutdown).await?,
                    Err(error) => tracing::error!(%error, "a look at what answers for everything ended in a bug"),
                },
                Some(answer) = self.reversals.join_next(), if !self.reversals.is_empty() => match answer {
                    Ok(answer) => self.take_reversal(answer, &shutdown).await?,
                    Err(error) => tracing::error!(%error, "a question for names ended in a bug"),
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

    async fn obey(&mut self, command: Command, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let now = self.clock.now();
        // Whoever asked looks right after.
        self.show_at = Instant::now();
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
                self.count_work(now);
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
                let mut opens = now;
                for state in self.lanes.iter_mut().filter(|state| *state.profile == *profile) {
                    opens = state.opens(now);
                    if !self.halted {
                        state.want();
                    }
                    lanes += 1;
                }
                let answer = match (lanes, self.halted) {
                    (0, _) => Err(format!("no profile is named `{profile}`")),
                    (_, true) => Err("probing is halted; `perimeterd resume` first".to_owned()),
                    _ if opens > now => Ok(format!(
                        "{lanes} lanes of `{profile}` begin when its window opens, at {opens}: nothing is asked outside of it"
                    )),
                    _ => {
                        Ok(format!("{lanes} lanes of `{profile}` come round now; what is under way is finished first"))
                    }
                };
                if answer.is_ok() {
                    let mut batch = Batch::default();
                    for state in self.lanes.iter().filter(|state| *state.profile == *profile) {
                        let key = crate::stale::key(&state.profile, state.lane);
                        batch.note(Note { kind: WANTED.to_owned(), key, value: Some(now.to_string()) });
                    }
                    let fill = |event: &mut model::Event| {
                        event.reason = Some("scan-now by the operator".to_owned());
                        event.profile = Some(profile);
                    };
                    self.decider.own_event(EventType::Audit, "scan-now", fill, now, &mut batch);
                    self.commit(batch, shutdown).await?;
                }
                let _ = done.send(answer);
            }
            Command::Review { addresses, withdraw, by, done } => {
                let mut batch = Batch::default();
                let reviewed = self.decider.review(addresses.as_ref(), withdraw, &by, now, &mut batch);
                let fill = |event: &mut model::Event| event.reason = Some(format!("{reviewed} (by {by})"));
                self.decider.own_event(EventType::Audit, "review", fill, now, &mut batch);
                self.commit(batch, shutdown).await?;
                let _ = done.send(reviewed);
            }
            Command::Reload { config, done } => {
                self.reconfigure(config, shutdown).await?;
                let _ = done.send(());
            }
            Command::Relabel { done } => {
                let relabelled = self.relabel(shutdown).await?;
                let mut batch = Batch::default();
                let fill =
                    |event: &mut model::Event| event.reason = Some(format!("relabel by the operator: {relabelled}"));
                self.decider.own_event(EventType::Audit, "relabel", fill, now, &mut batch);
                self.commit(batch, shutdown).await?;
                let _ = done.send(relabelled);
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
        self.look_after_itself(&mut batch);
        self.start_trial();
        self.gather_candidates();
        // The clock may have been set back.
        let is_due = |at: Timestamp, every: Duration| {
            now >= at || at.duration_since(now) > jiff::SignedDuration::try_from(every).unwrap_or_default()
        };
        if is_due(self.expiry_at, EXPIRY_EVERY) {
            self.decider.tick(now, &mut batch);
            self.expiry_at = now.checked_add(EXPIRY_EVERY).unwrap_or(now);
            self.decider.calm(now, &mut batch);
            self.look_for_stale_lanes(now, &mut batch);
            self.note_alive(&mut batch);
            self.look_at_mirages(now);
        }
        if is_due(self.purge_at, PURGE_EVERY) {
            self.decider.purge(self.config.store.retention, now, &mut batch);
            self.purge_at = now.checked_add(PURGE_EVERY).unwrap_or(now);
        }
        self.note_begun(&mut batch);
        self.finish_learning(now, &mut batch);
        self.tools.network.enter_asides(self.restraint.borrow().hosts.clone());
        batch.probes = self.book.overdue(now);
        self.commit(batch, shutdown).await
    }

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

    async fn end(mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        self.tools.stop.cancel();
        self.confirming.abort_all();
        self.checking.abort_all();
        self.trying.abort_all();
        self.resolutions.abort_all();
        self.looking.abort_all();
        self.reversals.abort_all();
        self.drain_passes(shutdown).await?;
        self.tools.network.enter_asides(self.restraint.borrow().hosts.clone());
        let probes = self.book.close(self.clock.now());
        let mut batch = Batch { probes, ..Batch::default() };
        Self::note_end(&mut batch);
        self.commit(batch, shutdown).await?;
        self.write_touched(touched::END_WRITES_FOR, shutdown).await
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
