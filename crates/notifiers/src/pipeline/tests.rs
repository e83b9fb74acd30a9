mod clock;
mod given_up;

use super::*;
use crate::{Channel, Digest, Ending, OpenDigest, OutboxError, OutboxFuture, sample};
use model::{Delivery, Notice};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const FIVE: Interval = Interval::Every(Duration::from_mins(5));
const START: &str = "2026-11-21T10:02:00Z";

/// The store's side, in memory: what is in here survives the pipeline.
#[derive(Debug)]
struct Memory {
    clock: Arc<dyn Clock>,
    rows: Mutex<Rows>,
    calls: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rows {
    /// Recipient, alert, and whether it is in a digest.
    owed: Vec<(String, Notice, bool)>,
    open: Vec<OpenDigest>,
    ended: Vec<(Digest, Ending)>,
    postponed: Vec<(Timestamp, String)>,
    /// Fails so many calls.
    fail: usize,
    /// Fails every `end`: the process dies, so to speak, between delivery and the record of it.
    fail_ends: bool,
}

impl Memory {
    fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, rows: Mutex::default(), calls: AtomicUsize::new(0) })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("not poisoned")
    }

    /// Owes the recipient alerts with these sequence numbers.
    fn owe(&self, recipient: &str, numbers: impl IntoIterator<Item = u64>) {
        for seq in numbers {
            let mut notice = sample::port_open();
            (notice.seq, notice.alert.time) = (seq, self.clock.now());
            self.rows().owed.push((recipient.to_owned(), notice, false));
        }
    }

    /// Does the call to the rows, or fails as told.
    fn call<'a, T: Send + 'a>(&'a self, done: impl FnOnce(&mut Rows) -> T + Send + 'a) -> OutboxFuture<'a, T> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let mut rows = self.rows();
            if rows.fail > 0 {
                rows.fail -= 1;
                return Err(OutboxError("disk full".into()));
            }
            Ok(done(&mut rows))
        })
    }
}

impl Outbox for Memory {
    fn open_digests(&self) -> OutboxFuture<'_, Vec<OpenDigest>> {
        self.call(|rows| rows.open.clone())
    }

    fn begin<'a>(&'a self, recipient: &'a str, to: Timestamp, limit: usize) -> OutboxFuture<'a, Option<Digest>> {
        let now = self.clock.now();
        self.call(move |rows| {
            assert!(!rows.open.iter().any(|open| open.digest.recipient == recipient), "one digest at a time");
            let mut notices = Vec::new();
            for (of, notice, taken) in
                rows.owed.iter_mut().filter(|(of, _, taken)| of == recipient && !taken).take(limit)
            {
                debug_assert_eq!(of, recipient);
                *taken = true;
                notices.push(notice.clone());
            }
            let (first, last) = (notices.first()?.seq, notices.last()?.seq);
            let digest = Digest {
                id: format!("{recipient}.{first}-{last}"),
                recipient: recipient.into(),
                from: to,
                to,
                notices,
            };
            let open =
                OpenDigest { digest: digest.clone(), attempts: 0, first_try: now, next_try: now, last_error: None };
            rows.open.push(open);
            Some(digest)
        })
    }

    fn postpone<'a>(&'a self, digest: &'a str, next_try: Timestamp, error: &'a str) -> OutboxFuture<'a, ()> {
        Box::pin(async move {
            let postponed = self.call(move |rows| {
                rows.postponed.push((next_try, error.to_owned()));
                let open = rows.open.iter_mut().find(|open| open.digest.id == digest)?;
                (open.attempts, open.next_try) = (open.attempts + 1, next_try);
                Some(())
            });
            postponed.await?.ok_or_else(|| OutboxError("no such open digest".into()))
        })
    }

    fn end<'a>(&'a self, digest: &'a str, ending: Ending) -> OutboxFuture<'a, ()> {
        if self.rows().fail_ends {
            return Box::pin(async { Err(OutboxError("gone".into())) });
        }
        self.call(move |rows| {
            let place = rows.open.iter().position(|open| open.digest.id == digest).expect("an open digest");
            let open = rows.open.remove(place);
            rows.ended.push((open.digest, ending));
        })
    }

    fn backlog(&self) -> OutboxFuture<'_, Vec<(String, u64, Timestamp)>> {
        self.call(|rows| {
            let mut backlog: BTreeMap<String, (u64, Timestamp)> = BTreeMap::new();
            let waiting = rows.owed.iter().filter(|(.., taken)| !taken).map(|(of, notice, _)| (of, notice));
            let open =
                rows.open.iter().flat_map(|open| open.digest.notices.iter().map(|n| (&open.digest.recipient, n)));
            for (of, notice) in open.chain(waiting) {
                backlog.entry(of.clone()).or_insert((0, notice.alert.time)).0 += 1;
            }
            backlog.into_iter().map(|(of, (number, oldest))| (of, number, oldest)).collect()
        })
    }
}

/// Answers by a script, then delivers everything. Remembers what it was offered, and when.
#[derive(Debug)]
struct Scripted {
    kind: &'static str,
    script: Mutex<VecDeque<Answer>>,
    offered: Mutex<Vec<(Instant, String, Vec<u64>)>>,
}

#[derive(Debug)]
enum Answer {
    Now(Delivery),
    /// Never answers.
    Hang,
    Panic,
    /// Answers for ever.
    Always(Delivery),
}

impl Scripted {
    fn new(kind: &'static str, script: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { kind, script: Mutex::new(script.into_iter().collect()), offered: Mutex::default() })
    }

    fn offered(&self) -> Vec<(Instant, String, Vec<u64>)> {
        self.offered.lock().expect("not poisoned").clone()
    }

    fn ids(&self) -> Vec<String> {
        self.offered().into_iter().map(|(_, id, _)| id).collect()
    }
}

impl Channel for Scripted {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn describe(&self) -> String {
        "scripted".into()
    }

    fn deliver<'a>(&'a self, digest: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        let numbers = digest.notices.iter().map(|notice| notice.seq).collect();
        self.offered.lock().expect("not poisoned").push((Instant::now(), digest.id.clone(), numbers));
        let mut script = self.script.lock().expect("not poisoned");
        let answer = match script.pop_front() {
            Some(Answer::Always(answer)) => {
                script.push_front(Answer::Always(answer.clone()));
                Answer::Now(answer)
            }
            other => other.unwrap_or(Answer::Now(Delivery::Delivered("ok".into()))),
        };
        drop(script);
        Box::pin(async move {
            match answer {
                Answer::Now(answer) | Answer::Always(answer) => answer,
                Answer::Hang => std::future::pending().await,
                Answer::Panic => panic!("a channel that panics"),
            }
        })
    }
}

fn outlet(recipient: &str, every: Interval, channel: &Arc<Scripted>) -> Outlet {
    Outlet { recipient: recipient.into(), every, channel: Arc::clone(channel) as Arc<dyn Channel> }
}

fn later(reason: &str) -> Delivery {
    Delivery::RetryAfter { after: None, reason: reason.into() }
}

/// A pipeline at work; dropping it is `kill -9`.
struct Running {
    pipeline: Pipeline,
    failures: mpsc::Receiver<Failure>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(outbox: &Arc<Memory>, outlets: Vec<Outlet>) -> Self {
        let (pipeline, failures) =
            Pipeline::new(Arc::clone(outbox) as Arc<dyn Outbox>, outlets, Arc::clone(&outbox.clock));
        let (stop, stopped) = oneshot::channel::<()>();
        let ours = pipeline.clone();
        let task = tokio::spawn(async move {
            ours.run(async {
                let _ = stopped.await;
            })
            .await;
        });
        Self { pipeline, failures, stop: Some(stop), task }
    }

    async fn shut_down(mut self) -> Duration {
        let start = Instant::now();
        self.stop.take().expect("once").send(()).expect("runs");
        (&mut self.task).await.expect("ends well");
        start.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn memory() -> Arc<Memory> {
    Memory::new(sample::TokioClock::at(START))
}

async fn minutes(minutes: u64) {
    sleep(Duration::from_secs(minutes * 60)).await;
}

#[tokio::test(start_paused = true)]
async fn immediate_recipients_are_told_at_once_and_in_batches() {
    let outbox = memory();
    let channel = Scripted::new("syslog", []);
    let running = Running::start(&outbox, vec![outlet("siem", Interval::Immediate, &channel)]);
    sleep(Duration::from_millis(10)).await;
    assert!(channel.offered().is_empty());
    outbox.owe("siem", 1..=1200);
    let start = Instant::now();
    running.pipeline.nudge();
    sleep(Duration::from_millis(10)).await;
    let offered = channel.offered();
    let sizes: Vec<usize> = offered.iter().map(|(_, _, numbers)| numbers.len()).collect();
    assert_eq!(sizes, [500, 500, 200]);
    assert!(offered.iter().all(|(at, ..)| *at - start < Duration::from_millis(5)));
    let order: Vec<u64> = offered.into_iter().flat_map(|(_, _, numbers)| numbers).collect();
    assert_eq!(order, (1..=1200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn digests_are_cut_at_the_tick_and_an_empty_one_is_not_sent() {
    let outbox = memory();
    let channel = Scripted::new("email", []);
    let running = Running::start(&outbox, vec![outlet("soc", FIVE, &channel)]);
    outbox.owe("soc", 1..=2);
    running.pipeline.nudge();
    sleep(Duration::from_secs(179)).await;
    assert!(channel.offered().is_empty(), "not before 10:05");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(channel.ids(), ["soc.1-2"]);
    assert_eq!(outbox.rows().ended[0].0.to.to_string(), "2026-11-21T10:05:00Z");
    minutes(15).await;
    assert_eq!(channel.ids().len(), 1, "nothing owed, nothing sent");
    outbox.owe("soc", 3..=3);
    minutes(5).await;
    assert_eq!(channel.ids(), ["soc.1-2", "soc.3-3"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_digest_is_followed_by_the_rest() {
    let outbox = memory();
    let channel = Scripted::new("email", []);
    outbox.owe("soc", 1..=10_001);
    let _running = Running::start(&outbox, vec![outlet("soc", FIVE, &channel)]);
    minutes(4).await;
    assert_eq!(channel.ids(), ["soc.1-10000", "soc.10001-10001"]);
}

#[tokio::test(start_paused = true)]
async fn a_missed_tick_is_made_up_for_at_the_start() {
    let outbox = memory();
    let weekly = Interval::Every(Duration::from_hours(168));
    outbox.owe("manager", 1..=1);
    // Owed since before the last Monday, when we were not there.
    outbox.rows().owed[0].1.alert.time = "2026-11-14T00:00:00Z".parse().expect("a time");
    outbox.owe("soc", 2..=2);
    let channel = Scripted::new("email", []);
    let _running = Running::start(&outbox, vec![outlet("manager", weekly, &channel), outlet("soc", weekly, &channel)]);
    minutes(1).await;
    assert_eq!(channel.ids(), ["manager.1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_channel_delays_nobody() {
    let outbox = memory();
    let (dead, hung, alive) = (
        Scripted::new("email", [Answer::Always(later("down"))]),
        Scripted::new("email", [Answer::Hang]),
        Scripted::new("syslog", []),
    );
    outbox.owe("dead", 1..=1);
    outbox.owe("hung", 2..=2);
    let running = Running::start(
        &outbox,
        vec![
            outlet("dead", Interval::Immediate, &dead),
            outlet("hung", Interval::Immediate, &hung),
            outlet("alive", Interval::Immediate, &alive),
        ],
    );
    for seq in 10..20 {
        let start = Instant::now();
        outbox.owe("alive", [seq]);
        running.pipeline.nudge();
        sleep(Duration::from_millis(5)).await;
        let (at, _, numbers) = alive.offered().pop().expect("told");
        assert_eq!(numbers, [seq]);
        assert!(at - start < Duration::from_millis(5));
        minutes(3).await;
    }
    // The hung one was cut off after 90 s and then delivered.
    assert_eq!(hung.ids(), ["hung.2-2", "hung.2-2"]);
    let status = running.pipeline.status().await;
    let of = |name: &str| status.iter().find(|status| status.recipient == name).expect("its status").clone();
    assert_eq!((of("dead").backlog, of("dead").last_error.as_deref()), (1, Some("down")));
    assert!(of("dead").next_try.is_some() && of("dead").last_delivered.is_none());
    assert_eq!((of("alive").backlog, of("alive").last_error), (0, None));
    assert!(of("alive").last_delivered.is_some());
}

#[tokio::test(start_paused = true)]
async fn backs_off_then_gives_up_after_three_days_and_says_so() {
    for (kind, first) in [("email", vec![30, 60, 120, 240]), ("syslog", vec![1, 2, 5, 15, 30, 60])] {
        let outbox = memory();
        let channel = Scripted::new(kind, [Answer::Always(later("connection refused"))]);
        outbox.owe("soc", 1..=3);
        let mut running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
        minutes(75 * 60).await;
        let offered = channel.offered();
        assert!(offered.iter().all(|(_, id, _)| id == "soc.1-3"), "always the same digest");
        let gaps: Vec<Duration> = offered.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        for (gap, expect) in gaps.iter().zip(first) {
            let expect = Duration::from_secs(expect);
            assert!(*gap >= expect && *gap < expect.mul_f64(1.11), "{kind}: {gap:?} for {expect:?}");
        }
        assert!(gaps.len() > 70 && gaps.len() < 90, "{kind}: hourly in the end, not {}", gaps.len());
        let all: Duration = gaps.iter().sum();
        assert!(all >= Duration::from_hours(72) && all < Duration::from_hours(73), "{kind}: {all:?}");
        {
            let rows = outbox.rows();
            let Ending::Dead { reason, .. } = &rows.ended[0].1 else { panic!("not dead") };
            assert_eq!(reason, "not delivered within 72 h: connection refused");
            assert_eq!(rows.postponed.len(), gaps.len());
        }
        let early = running.failures.recv().await.expect("reported early");
        assert_eq!((early.given_up, early.alerts, &*early.recipient), (false, 3, "soc"));
        let last = running.failures.recv().await.expect("reported at the end");
        assert!(last.given_up);
        assert!(running.failures.try_recv().is_err(), "twice, not at every attempt");
        let event = last.event(sample::time(), &"scan1".into());
        assert_eq!((event.kind, event.name.as_deref(), event.metric), (EventType::NotifyFailed, Some("soc"), Some(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_end_may_name_a_time() {
    let outbox = memory();
    let busy = Delivery::RetryAfter { after: Some(Duration::from_secs(100)), reason: "busy".into() };
    let channel = Scripted::new("syslog", [Answer::Now(busy)]);
    outbox.owe("siem", 1..=1);
    let _running = Running::start(&outbox, vec![outlet("siem", Interval::Immediate, &channel)]);
    minutes(5).await;
    let offered = channel.offered();
    assert_eq!(offered.len(), 2);
    assert!(offered[1].0 - offered[0].0 >= Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_refused_digest_is_not_repeated_and_a_report_never_feeds_itself() {
    let outbox = memory();
    let channel = Scripted::new("email", [Answer::Always(Delivery::Refused("550 no such user".into()))]);
    outbox.owe("soc", 1..=1);
    let mut running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
    sleep(Duration::from_millis(10)).await;
    assert!(running.failures.try_recv().expect("reported").given_up);
    // The report comes back as an alert for the same recipient, for ever.
    for seq in 2..50 {
        outbox.owe("soc", [seq]);
        outbox.rows().owed.last_mut().expect("just added").1.event.kind = EventType::NotifyFailed;
        running.pipeline.nudge();
        minutes(90).await;
    }
    assert!(running.failures.try_recv().is_err());
    assert_eq!(channel.ids().len(), 49, "each refused once");
}

/// Killed at every point: each alert is delivered at least once, and a repeat carries the same id.
#[tokio::test(start_paused = true)]
async fn killed_anywhere_nothing_is_lost_and_nothing_changes_its_id() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Killed {
        BeforeBegin,
        WhileDelivering,
        BetweenDeliveryAndRecord,
        WhileWaitingForARetry,
        AfterTheEnd,
    }
    for killed in [
        Killed::BeforeBegin,
        Killed::WhileDelivering,
        Killed::BetweenDeliveryAndRecord,
        Killed::WhileWaitingForARetry,
        Killed::AfterTheEnd,
    ] {
        let outbox = memory();
        outbox.owe("soc", 1..=3);
        let script = match killed {
            Killed::WhileDelivering => vec![Answer::Hang],
            Killed::WhileWaitingForARetry => vec![Answer::Now(later("down"))],
            _ => vec![],
        };
        let channel = Scripted::new("email", script);
        outbox.rows().fail_ends = killed == Killed::BetweenDeliveryAndRecord;
        let running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
        if killed != Killed::BeforeBegin {
            sleep(Duration::from_secs(10)).await;
        }
        drop(running);
        tokio::task::yield_now().await;
        outbox.rows().fail_ends = false;
        // More is owed by the time of the restart: it must not slip into the digest that was begun.
        outbox.owe("soc", 4..=5);
        let _again = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
        minutes(10).await;
        let ids = channel.ids();
        let expect: &[&str] = match killed {
            Killed::BeforeBegin => &["soc.1-5"],
            Killed::AfterTheEnd => &["soc.1-3", "soc.4-5"],
            _ => &["soc.1-3", "soc.1-3", "soc.4-5"],
        };
        assert_eq!(ids, expect, "{killed:?}");
        let rows = outbox.rows();
        let mut delivered: Vec<u64> =
            rows.ended.iter().flat_map(|(digest, _)| digest.notices.iter().map(|n| n.seq)).collect();
        delivered.sort_unstable();
        assert_eq!(delivered, [1, 2, 3, 4, 5], "{killed:?}: each in exactly one digest");
        assert!(rows.open.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_outbox_is_waited_for_without_repeating_the_delivery() {
    let outbox = memory();
    outbox.owe("soc", 1..=1);
    outbox.rows().fail = 3;
    let channel = Scripted::new("syslog", []);
    let running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
    minutes(1).await;
    assert_eq!(channel.ids(), ["soc.1-1"]);
    outbox.owe("soc", 2..=2);
    outbox.rows().fail_ends = true;
    running.pipeline.nudge();
    minutes(10).await;
    outbox.rows().fail_ends = false;
    minutes(2).await;
    assert_eq!(channel.ids(), ["soc.1-1", "soc.2-2"], "delivered once; only the record of it was retried");
    assert_eq!(outbox.rows().ended.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_pipeline_rests() {
    let outbox = memory();
    let channel = Scripted::new("syslog", []);
    let _running = Running::start(
        &outbox,
        vec![
            outlet("a", Interval::Immediate, &channel),
            outlet("b", FIVE, &channel),
            outlet("c", Interval::Never, &channel),
        ],
    );
    minutes(60).await;
    // Once a minute for the immediate one, once a tick for the other, and what a start takes.
    let calls = outbox.calls.load(Ordering::Relaxed);
    assert!((60..=80).contains(&calls), "{calls} calls in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_reload_swaps_recipients_and_tries_what_waits_at_once() {
    let outbox = memory();
    let (broken, mended, never) = (
        Scripted::new("email", [Answer::Always(later("wrong server"))]),
        Scripted::new("email", []),
        Scripted::new("email", []),
    );
    outbox.owe("soc", 1..=1);
    outbox.owe("gone", 2..=2);
    outbox.owe("never", 3..=3);
    let running = Running::start(
        &outbox,
        vec![outlet("soc", Interval::Immediate, &broken), outlet("never", Interval::Never, &never)],
    );
    minutes(20).await;
    let tried = broken.ids().len();
    let start = Instant::now();
    running.pipeline.reconfigure(vec![
        outlet("soc", Interval::Immediate, &mended),
        outlet("new", Interval::Immediate, &mended),
        outlet("never", Interval::Never, &never),
    ]);
    outbox.owe("new", 4..=4);
    running.pipeline.nudge();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(mended.ids().len(), 2);
    assert!(mended.offered().iter().all(|(at, ..)| *at - start < Duration::from_millis(10)));
    assert_eq!(broken.ids().len(), tried);
    assert!(never.ids().is_empty());
    let status = running.pipeline.status().await;
    let gone = status.iter().find(|status| status.recipient == "gone").expect("still owed");
    assert_eq!((gone.channel.as_str(), gone.backlog), ("none", 1));
}

#[tokio::test(start_paused = true)]
async fn ends_at_once_when_idle_and_within_the_grace_when_not() {
    let outbox = memory();
    let idle = Running::start(&outbox, vec![outlet("soc", FIVE, &Scripted::new("email", []))]);
    minutes(1).await;
    assert!(idle.shut_down().await < Duration::from_millis(10));
    outbox.owe("siem", 1..=1);
    let hung =
        Running::start(&outbox, vec![outlet("siem", Interval::Immediate, &Scripted::new("syslog", [Answer::Hang]))]);
    sleep(Duration::from_secs(1)).await;
    let took = hung.shut_down().await;
    assert!(took >= GRACE && took <= GRACE + Duration::from_millis(600), "{took:?}");
    assert_eq!(outbox.rows().open.len(), 1, "to be repeated");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_panics_stops_nobody_for_long() {
    let outbox = memory();
    let channel = Scripted::new("syslog", [Answer::Panic]);
    outbox.owe("siem", 1..=1);
    let _running = Running::start(&outbox, vec![outlet("siem", Interval::Immediate, &channel)]);
    let delivered = async {
        while outbox.rows().ended.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(RESTART * 2, delivered).await.expect("started again");
    assert_eq!(channel.ids(), ["siem.1-1", "siem.1-1"]);
}
