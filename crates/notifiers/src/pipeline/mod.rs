//! From what is owed to what arrived.
//!
//! One worker a recipient, so that a dead channel delays nobody else. A worker has at most one digest under way; it is
//! begun in the outbox before the first attempt and ended there after the last, so wherever the process dies the same digest
//! is offered again under the same id.

mod backoff;
mod worker;

#[cfg(test)]
mod tests;

use crate::{Outbox, Outlet};
use config::Interval;
use jiff::Timestamp;
use model::{Clock, DeliveryStatus, Event, EventType, Vantage};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use worker::Worker;

/// How long a delivery under way may go on after the daemon was told to end.
const GRACE: Duration = Duration::from_secs(2);
/// A worker that panicked is started again after this.
const RESTART: Duration = Duration::from_secs(30);
const FAILURES: usize = 64;

/// Alerts that did not reach a recipient: raise `NOTIFY_FAILED`. Sent when a digest is given up and when one has been failing for a
/// quarter of an hour, at most once an hour for a recipient, and never for a digest that holds nothing but `NOTIFY_FAILED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub recipient: Arc<str>,
    /// Where it was to go, without secrets.
    pub channel: String,
    /// What the other end, or the way there, said.
    pub reason: String,
    /// How many alerts are concerned.
    pub alerts: u64,
    /// They will not be tried again.
    pub given_up: bool,
}

impl Failure {
    /// The `NOTIFY_FAILED` event: `name` is the recipient, `metric` the number of alerts.
    pub fn event(&self, time: Timestamp, sensor: &Vantage) -> Event {
        let mut event = Event::new(EventType::NotifyFailed, time, sensor, &self.recipient);
        let outcome = if self.given_up { "given up" } else { "waiting" };
        event.name = Some(self.recipient.to_string());
        event.reason = Some(format!("{}: {} (alerts {outcome}: {})", self.channel, self.reason, self.alerts));
        event.metric = i64::try_from(self.alerts).ok();
        event
    }
}

/// The running side of the notifiers. Cheap to clone; all clones are the same pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    outbox: Arc<dyn Outbox>,
    clock: Arc<dyn Clock>,
    outlets: watch::Sender<BTreeMap<Arc<str>, Outlet>>,
    /// Counts commits; its value means nothing.
    committed: watch::Sender<u64>,
    health: Mutex<BTreeMap<Arc<str>, Health>>,
    failures: mpsc::Sender<Failure>,
    outbox_in_trouble: AtomicBool,
}

/// What a worker knows of its recipient beyond the outbox.
#[derive(Debug, Clone, Default)]
struct Health {
    last_delivered: Option<Timestamp>,
    last_error: Option<String>,
    next_try: Option<Timestamp>,
}

impl Pipeline {
    /// A pipeline at rest, and where it reports failures. Nothing is read or sent before [`Pipeline::run`].
    pub fn new(
        outbox: Arc<dyn Outbox>,
        outlets: Vec<Outlet>,
        clock: Arc<dyn Clock>,
    ) -> (Self, mpsc::Receiver<Failure>) {
        let (failures, reports) = mpsc::channel(FAILURES);
        let shared = Shared {
            outbox,
            clock,
            outlets: watch::Sender::new(by_name(outlets)),
            committed: watch::Sender::new(0),
            health: Mutex::default(),
            failures,
            outbox_in_trouble: AtomicBool::new(false),
        };
        (Self(Arc::new(shared)), reports)
    }

    /// Something was committed that may be owed to someone. Never blocks, and is never lost.
    pub fn nudge(&self) {
        self.0.committed.send_modify(|commits| *commits = commits.wrapping_add(1));
    }

    /// Takes over other recipients and channels. A delivery under way ends as it began; what waits for a retry is tried at once.
    pub fn reconfigure(&self, outlets: Vec<Outlet>) {
        self.0.outlets.send_replace(by_name(outlets));
    }

    /// Works until `shutdown` resolves; then deliveries under way get at most two seconds. To be run once at a time.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let stop = watch::Sender::new(false);
        let mut outlets = self.0.outlets.subscribe();
        let mut workers = JoinSet::new();
        let mut names = HashMap::new();
        let mut panicked: HashSet<Arc<str>> = HashSet::new();
        loop {
            let wanted: Vec<Arc<str>> = outlets.borrow_and_update().keys().cloned().collect();
            for name in wanted {
                if !names.values().any(|running| *running == name) {
                    let rest = if panicked.remove(&name) { RESTART } else { Duration::ZERO };
                    let worker = Worker::new(Arc::clone(&self.0), Arc::clone(&name), stop.subscribe());
                    names.insert(workers.spawn(worker.run(rest)).id(), name);
                }
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Ok(()) = outlets.changed() => {}
                Some(ended) = workers.join_next_with_id() => {
                    let id = match &ended {
                        Ok((id, ())) => *id,
                        Err(error) => error.id(),
                    };
                    if let (Some(name), Err(error)) = (names.remove(&id), ended) {
                        tracing::error!(recipient = %name, %error, "delivery stopped unexpectedly; starting it again");
                        panicked.insert(name);
                    }
                }
            }
        }
        stop.send_replace(true);
        let drained = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE + Duration::from_millis(500), drained).await.is_err() {
            tracing::warn!("a delivery did not end in time; it will be repeated at the next start");
            workers.shutdown().await;
        }
    }

    /// What each recipient waits for: those of the configuration, and those that are owed something but are no longer in it.
    pub async fn status(&self) -> Vec<DeliveryStatus> {
        let (backlog, trouble) = match self.0.outbox.backlog().await {
            Ok(backlog) => (backlog, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let mut backlog: BTreeMap<String, (u64, Timestamp)> =
            backlog.into_iter().map(|(recipient, alerts, oldest)| (recipient, (alerts, oldest))).collect();
        let outlets = self.0.outlets.borrow().clone();
        let health = self.0.health().clone();
        let mut report: Vec<DeliveryStatus> = outlets
            .values()
            .map(|outlet| {
                let owed = backlog.remove(&*outlet.recipient);
                let health = health.get(&outlet.recipient).cloned().unwrap_or_default();
                let never = if outlet.every == Interval::Never { " (never sent)" } else { "" };
                DeliveryStatus {
                    recipient: outlet.recipient.to_string(),
                    channel: format!("{}{never}", outlet.channel.describe()),
                    backlog: owed.map_or(0, |(alerts, _)| alerts),
                    oldest: owed.map(|(_, oldest)| oldest),
                    last_delivered: health.last_delivered,
                    last_error: trouble.clone().or(health.last_error),
                    next_try: health.next_try,
                }
            })
            .collect();
        report.extend(backlog.into_iter().map(|(recipient, (alerts, oldest))| DeliveryStatus {
            recipient,
            channel: "none".to_owned(),
            backlog: alerts,
            oldest: Some(oldest),
            last_delivered: None,
            last_error: Some("is owed alerts but is not in the configuration any more".to_owned()),
            next_try: None,
        }));
        report
    }
}

impl Shared {
    fn health(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Health>> {
        // Nothing is left half done under this lock.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_name(outlets: Vec<Outlet>) -> BTreeMap<Arc<str>, Outlet> {
    outlets.into_iter().map(|outlet| (Arc::clone(&outlet.recipient), outlet)).collect()
}
