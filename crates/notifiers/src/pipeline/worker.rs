//! One recipient's digests, one after the other.

use super::{Failure, GRACE, Health, Shared, backoff};
use crate::{Digest, Ending, OpenDigest, Outbox, OutboxError, OutboxFuture, Outlet, next_tick, previous_tick};
use config::Interval;
use jiff::Timestamp;
use model::{Delivery, EventType};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// Alerts in one digest of an interval.
const DIGEST: usize = 10_000;
/// Alerts in one batch of an immediate recipient.
const BATCH: usize = 500;
/// Waits are cut into pieces of this, so that a jump of the wall clock is noticed, and a nudge that never came costs a minute.
const PIECE: Duration = Duration::from_mins(1);
/// A channel promises to answer within a minute; one that does not is cut off.
const ANSWER: Duration = Duration::from_secs(90);
/// A digest that fails for this long is reported before it is given up.
const REPORT_AFTER: Duration = Duration::from_mins(15);
const REPORT_EVERY: Duration = Duration::from_hours(1);
const OUTBOX_FIRST: Duration = Duration::from_millis(250);
const OUTBOX_MOST: Duration = Duration::from_secs(30);

/// The daemon is ending.
struct Stopped;

enum Woken {
    /// The time is over, or something was committed, or the recipients changed: look again.
    Look,
    Stopped,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    name: Arc<str>,
    outlets: watch::Receiver<BTreeMap<Arc<str>, Outlet>>,
    committed: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    last_report: Option<Instant>,
    /// Alerts given up since the last report.
    unreported: u64,
}

/// A digest under way, and when it is to be tried next by the clock that never jumps.
struct UnderWay {
    open: OpenDigest,
    due: Instant,
    /// Since when this run of the daemon has had it.
    taken: Instant,
    reported: bool,
}

impl UnderWay {
    fn new(open: OpenDigest, wait: Duration) -> Self {
        let now = Instant::now();
        // Whether an earlier run reported it is not known: better said again.
        Self { open, due: now + wait, taken: now, reported: false }
    }

    /// For how long it has failed. A wall clock that was set back since must not make it young for ever.
    fn age(&self, now: Timestamp) -> Duration {
        since(self.open.first_try, now).max(self.taken.elapsed())
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, name: Arc<str>, stop: watch::Receiver<bool>) -> Self {
        let (outlets, committed) = (shared.outlets.subscribe(), shared.committed.subscribe());
        Self { shared, name, outlets, committed, stop, last_report: None, unreported: 0 }
    }

    /// Ends when the recipient leaves the configuration or the daemon ends.
    pub(super) async fn run(mut self, rest: Duration) {
        if let Woken::Look = self.wait(rest).await {
            // Either way out is an end: what is not done is in the outbox.
            let _: Result<(), Stopped> = self.work().await;
        }
    }

    async fn work(&mut self) -> Result<(), Stopped> {
        let outbox = self.outbox();
        let open = self.persist(|| outbox.open_digests()).await?;
        let mut under_way = open.into_iter().find(|open| open.digest.recipient == *self.name).map(|open| {
            let now = self.now();
            let wait = since(now, open.next_try).min(Duration::from_hours(1));
            UnderWay::new(open, wait)
        });
        if let Some(held) = &under_way {
            let (error, next_try) = (held.open.last_error.clone(), held.open.next_try);
            self.note(|health| (health.last_error, health.next_try) = (error, Some(next_try)));
        }
        let mut tick = self.first_tick().await?;
        let mut every = self.outlet().map(|outlet| outlet.every);
        loop {
            let Some(outlet) = self.outlet() else { return Ok(()) };
            let now = self.now();
            if every.replace(outlet.every) != Some(outlet.every) {
                tick = self.first_tick().await?;
            }
            let wait = match (outlet.every, under_way.take()) {
                (Interval::Never, held) => {
                    under_way = held;
                    PIECE
                }
                (_, Some(held)) if held.due > Instant::now() => {
                    let (wait, channel) = (held.due - Instant::now(), Arc::clone(&outlet.channel));
                    under_way = Some(held);
                    self.pause(wait).await?;
                    // The operator may just have mended it.
                    let changed = self.outlet().is_some_and(|outlet| !Arc::ptr_eq(&outlet.channel, &channel));
                    if let Some(held) = under_way.as_mut().filter(|_| changed) {
                        held.due = Instant::now();
                    }
                    continue;
                }
                (_, Some(held)) => {
                    under_way = self.attempt(&outlet, held).await?;
                    continue;
                }
                (Interval::Immediate, None) => {
                    self.committed.mark_unchanged();
                    under_way = self.begin(now, BATCH).await?;
                    if under_way.is_some() {
                        continue;
                    }
                    PIECE
                }
                (Interval::Every(every), None) => {
                    // A wall clock set back must not make us wait for a tick that is far away now.
                    tick = tick.min(next_tick(every, now));
                    if now >= tick {
                        under_way = self.begin(previous_tick(every, now), DIGEST).await?;
                        // A full digest may have left some behind: those follow at once.
                        if under_way.as_ref().is_none_or(|held| held.open.digest.notices.len() < DIGEST) {
                            tick = next_tick(every, now);
                        }
                        continue;
                    }
                    since(now, tick)
                }
            };
            self.pause(wait).await?;
        }
    }

    /// The next tick, or the last one where it was missed: something older than it is still owed.
    async fn first_tick(&mut self) -> Result<Timestamp, Stopped> {
        let Some(Interval::Every(every)) = self.outlet().map(|outlet| outlet.every) else { return Ok(Timestamp::MIN) };
        let outbox = self.outbox();
        let backlog = self.persist(|| outbox.backlog()).await?;
        let now = self.now();
        let last = previous_tick(every, now);
        let missed = backlog.iter().any(|(recipient, _, oldest)| *recipient == *self.name && *oldest < last);
        Ok(if missed { last } else { next_tick(every, now) })
    }

    async fn begin(&mut self, to: Timestamp, limit: usize) -> Result<Option<UnderWay>, Stopped> {
        let (outbox, name) = (self.outbox(), Arc::clone(&self.name));
        let digest = self.persist(|| outbox.begin(&name, to, limit)).await?;
        let now = self.now();
        Ok(digest.map(|digest| {
            let open = OpenDigest { digest, attempts: 0, first_try: now, next_try: now, last_error: None };
            UnderWay::new(open, Duration::ZERO)
        }))
    }

    /// Offers the digest once. Gives it back where it is to be tried again.
    async fn attempt(&mut self, outlet: &Outlet, mut held: UnderWay) -> Result<Option<UnderWay>, Stopped> {
        let delivery = self.offer(outlet, &held.open.digest).await?;
        let outbox = self.outbox();
        let now = self.now();
        let digest = held.open.digest.id.clone();
        let (after, reason) = match delivery {
            Delivery::Delivered(answer) => {
                tracing::info!(recipient = %self.name, digest, alerts = held.open.digest.notices.len(), answer, "delivered");
                let ending = Ending::Delivered { at: now, answer };
                self.persist(|| outbox.end(&digest, ending.clone())).await?;
                self.note(|health| *health = Health { last_delivered: Some(now), ..Health::default() });
                return Ok(None);
            }
            Delivery::Partly { answer, missed } => {
                tracing::warn!(recipient = %self.name, digest, answer, missed, "delivered to some of its addresses only");
                let ending = Ending::Delivered { at: now, answer: format!("{answer}; not to: {missed}") };
                self.persist(|| outbox.end(&digest, ending.clone())).await?;
                self.note(|health| *health = Health { last_delivered: Some(now), ..Health::default() });
                self.report(outlet, &held.open.digest, &missed, true);
                return Ok(None);
            }
            Delivery::Refused(reason) => {
                self.give_up(outlet, &held.open.digest, reason).await?;
                return Ok(None);
            }
            Delivery::RetryAfter { after, reason } => (after, reason),
        };
        let age = held.age(now);
        if backoff::is_over(age, held.open.attempts) {
            let hours = backoff::GIVE_UP.as_secs() / 3600;
            self.give_up(outlet, &held.open.digest, format!("not delivered within {hours} h: {reason}")).await?;
            return Ok(None);
        }
        let open = &mut held.open;
        open.attempts = open.attempts.saturating_add(1);
        let delay = backoff::delay(outlet.channel.kind(), open.attempts, &digest);
        let delay = delay.max(after.unwrap_or_default());
        // The last attempt is at the end of the time there is.
        let delay =
            backoff::GIVE_UP.checked_sub(age).filter(|left| !left.is_zero()).map_or(delay, |left| delay.min(left));
        if open.last_error.as_deref() == Some(&reason) {
            tracing::debug!(recipient = %self.name, digest, attempts = open.attempts, reason, "still not delivered");
        } else {
            tracing::warn!(recipient = %self.name, channel = outlet.channel.describe(), digest, reason, "not delivered; will be tried again");
        }
        let next_try = now.checked_add(delay).unwrap_or(Timestamp::MAX);
        (open.next_try, open.last_error) = (next_try, Some(reason.clone()));
        held.due = Instant::now() + delay;
        self.note(|health| (health.last_error, health.next_try) = (Some(reason.clone()), Some(next_try)));
        if age >= REPORT_AFTER && !held.reported {
            held.reported = self.report(outlet, &held.open.digest, &reason, false);
        }
        let is_open = self.persist(|| Box::pin(postpone(&*outbox, &digest, next_try, &reason))).await?;
        Ok(is_open.then_some(held))
    }

    /// Delivers, with an end to patience: the channel's own promise, and the grace when the daemon ends.
    async fn offer(&mut self, outlet: &Outlet, digest: &Digest) -> Result<Delivery, Stopped> {
        let mut delivery = std::pin::pin!(timeout(ANSWER, outlet.channel.deliver(digest)));
        let answer = tokio::select! {
            biased;
            answer = &mut delivery => Some(answer),
            () = stopped(&mut self.stop) => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => timeout(GRACE, delivery).await.map_err(|_| Stopped)?,
        };
        Ok(answer.unwrap_or_else(|_| Delivery::RetryAfter {
            after: None,
            reason: format!("no answer within {} s", ANSWER.as_secs()),
        }))
    }

    async fn give_up(&mut self, outlet: &Outlet, digest: &Digest, reason: String) -> Result<(), Stopped> {
        let alerts = digest.notices.len();
        tracing::error!(recipient = %self.name, digest = digest.id, alerts, reason, "alerts given up: they will not be sent again");
        let outbox = self.outbox();
        let ending = Ending::Dead { at: self.now(), reason: reason.clone() };
        self.persist(|| outbox.end(&digest.id, ending.clone())).await?;
        self.note(|health| (health.last_error, health.next_try) = (Some(reason.clone()), None));
        self.report(outlet, digest, &reason, true);
        Ok(())
    }

    /// Tells that alerts did not arrive, unless telling could only tell of itself, or was done within the hour: then it is for the
    /// next attempt to be told. Whether nothing is left to tell.
    fn report(&mut self, outlet: &Outlet, digest: &Digest, reason: &str, given_up: bool) -> bool {
        if digest.notices.iter().all(|notice| notice.event.kind == EventType::NotifyFailed) {
            return true;
        }
        let alerts = u64::try_from(digest.notices.len()).unwrap_or(u64::MAX);
        if self.last_report.is_some_and(|last| last.elapsed() < REPORT_EVERY) {
            self.unreported += if given_up { alerts } else { 0 };
            return false;
        }
        let failure = Failure {
            recipient: Arc::clone(&self.name),
            channel: outlet.channel.describe(),
            reason: reason.to_owned(),
            alerts: alerts.saturating_add(self.unreported),
            given_up: given_up || self.unreported > 0,
        };
        match self.shared.failures.try_send(failure) {
            Ok(()) => {
                (self.last_report, self.unreported) = (Some(Instant::now()), 0);
                true
            }
            Err(error) => {
                tracing::error!(recipient = %self.name, %error, "a failed notification could not be reported");
                false
            }
        }
    }

    /// Does a thing in the outbox, however long it takes, unless the daemon ends.
    async fn persist<'a, T>(&mut self, call: impl Fn() -> OutboxFuture<'a, T>) -> Result<T, Stopped> {
        let mut delay = OUTBOX_FIRST;
        loop {
            let error = match call().await {
                Ok(value) => {
                    if self.shared.outbox_in_trouble.swap(false, Ordering::Relaxed) {
                        tracing::info!("the outbox works again");
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            if !self.shared.outbox_in_trouble.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "notifications wait until the outbox works again");
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Stopped),
                () = sleep(delay) => {}
            }
            delay = (delay * 2).min(OUTBOX_MOST);
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), Stopped> {
        match self.wait(wait.min(PIECE)).await {
            Woken::Look => Ok(()),
            Woken::Stopped => Err(Stopped),
        }
    }

    async fn wait(&mut self, wait: Duration) -> Woken {
        let immediate = self.outlet().is_some_and(|outlet| outlet.every == Interval::Immediate);
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Woken::Stopped,
            _ = self.outlets.changed() => Woken::Look,
            _ = self.committed.changed(), if immediate => Woken::Look,
            () = sleep(wait) => Woken::Look,
        }
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.shared.outbox)
    }

    fn outlet(&self) -> Option<Outlet> {
        self.outlets.borrow().get(&self.name).cloned()
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        change(self.shared.health().entry(Arc::clone(&self.name)).or_default());
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

/// Whether there is still such a digest: it may have been given up with its recipient while it was on its way.
async fn postpone(outbox: &dyn Outbox, digest: &str, next_try: Timestamp, reason: &str) -> Result<bool, OutboxError> {
    let Err(error) = outbox.postpone(digest, next_try, reason).await else { return Ok(true) };
    let open = outbox.open_digests().await?;
    if open.iter().any(|open| open.digest.id == digest) { Err(error) } else { Ok(false) }
}

/// Resolves when the daemon ends (or the pipeline is gone, which is the same to a worker).
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How long from `from` to `to`; nothing where `to` is not later.
fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
