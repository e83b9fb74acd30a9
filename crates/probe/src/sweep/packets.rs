//! The part of a sweep that raw packets ask.

use super::{Asked, Found, Round, Sweep, SweepJob, bits::Bits, knocks::Knocks, run::Work};
use crate::{
    conversation::second_udp_payload,
    raw::{Answer, KNOCKS, Knock, Order, Raw, Report, Sink, Slot, Stretch, Target},
};
use jiff::Timestamp;
use model::{Endpoint, Outcome, PortObservation, Transport};
use scope::Space;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, sleep},
};

/// What this machine lost is asked again so often; after that, the chance of a miss is what it is.
const MOST_REPLAYS: u32 = 2;
/// A third question to those that nothing was heard of: if so many of a million open ports, or more, would be missed without it,
/// where so many open ports say how much is lost; and to all of them only where much is.
const MISSED_AT_MOST: f64 = 2e-5;
const FEW_OPEN: u64 = 50;
const MUCH_LOST: f64 = 0.025;
/// A sweep with third questions may cost a tenth of itself more than two questions to each, canaries (one for 64 questions) included.
const ALLOWED_BESIDES: u64 = 16;
/// Of the open ports, where every question costs time.
const MISSED_ON_A_NARROW_WAY: f64 = 7e-4;
/// How often it is looked whether everything has answered already, and how seldom while nobody answers at all.
const LOOK: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_millis(100);
/// Turns that are gone through before others have the thread.
const AT_A_TIME: u64 = 1 << 14;

/// Where a sweep's packets come from, and what they came to.
#[derive(Debug)]
pub(super) struct Packets {
    pub(super) slot: Slot,
    /// The sweep's own numbers, with leave to ask; none where not all of them are in scope any more.
    space: Option<Space>,
    /// Whether a host (by its place) is asked by packets; all are where it is empty.
    hosts: Vec<bool>,
    /// Hosts (by their place) that are not there: on a link of ours, where that can be asked.
    absent: Bits,
    /// What is said to each port by UDP.
    datagrams: BTreeMap<u16, Vec<u8>>,
    /// What is said to some of them as well.
    second_datagrams: BTreeMap<u16, Vec<u8>>,
    /// Questions that have left so far.
    asked: AtomicU64,
    /// The attempts that were made so far, by the number of the last.
    attempts: AtomicU8,
    pub(super) knocks: Knocks,
    /// Endpoints that did not leave for want of something of our own.
    unsent: Mutex<Vec<u64>>,
}

impl Packets {
    pub(super) fn new(slot: Slot, hosts: Vec<bool>, space: Option<Space>, job: &SweepJob) -> Self {
        let datagram = |port| Some((port, (job.udp_payload)(port)?));
        let datagrams: BTreeMap<_, _> = job.udp.iter().filter_map(datagram).collect();
        let second = |port: &u16| Some((*port, second_udp_payload(*port)?));
        let absent = Bits::new(hosts.len());
        Self {
            slot,
            space,
            hosts: if hosts.iter().all(|by| *by) { Vec::new() } else { hosts },
            absent,
            second_datagrams: datagrams.keys().filter_map(second).collect(),
            datagrams,
            asked: AtomicU64::new(0),
            attempts: AtomicU8::new(0),
            knocks: Knocks::default(),
            unsent: Mutex::default(),
        }
    }

    /// Whether no address is left to connections.
    pub(super) fn ask_everything(&self) -> bool {
        self.hosts.is_empty()
    }

    pub(super) fn is_absent(&self, host: usize) -> bool {
        self.absent.get(host as u64)
    }

    /// Whether they ask this host.
    pub(super) fn ask(&self, host: usize) -> bool {
        self.hosts.is_empty() || self.hosts.get(host) == Some(&true)
    }
}

/// Some of a round's work, in its order.
pub(super) struct Walk {
    sweep: Arc<Sweep>,
    work: Arc<Work>,
    ranges: VecDeque<Range<u64>>,
    position: u64,
    pick: Pick,
    manner: Manner,
    /// Questions at most.
    most: u64,
}

/// What questions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// To ask.
    Ask,
    /// To make up for what was lost here of the ones before: of silence, that is as good as asking again.
    MakeUp,
    /// To ask again, except who was asked again by that already.
    AskTheRest,
}

/// Which endpoints of a work are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    All,
    /// Without those that were heard of.
    Silent,
    /// Those of hosts that nothing was heard of.
    Dark,
}

impl Walk {
    pub(super) fn new(
        sweep: &Arc<Sweep>,
        work: Arc<Work>,
        (pick, manner): (Pick, Manner),
        most: u64,
        ranges: VecDeque<Range<u64>>,
    ) -> Self {
        Self { sweep: Arc::clone(sweep), work, ranges, position: 0, pick, manner, most }
    }
}

impl Order for Walk {
    fn next(&mut self) -> Option<Target> {
        let packets = self.sweep.packets.as_ref()?;
        loop {
            let range = self.ranges.front_mut()?;
            let Some(turn) = range.next() else {
                self.ranges.pop_front();
                continue;
            };
            self.position = turn + 1;
            let number = self.work.get(turn)?;
            let host = usize::try_from(number / self.sweep.ports.len() as u64).ok()?;
            if !self.sweep.is_picked(packets, self.pick, host, number) {
                continue;
            }
            if self.manner == Manner::AskTheRest && self.sweep.progress.spare(number) {
                continue;
            }
            if self.most == 0 {
                return None;
            }
            self.most -= 1;
            let allowed = match &packets.space {
                Some(space) => space.at(number),
                None => self.sweep.endpoint(number).and_then(|(_, it)| self.sweep.dialer.authorize(it).ok()),
            };
            let Some(endpoint) = allowed else {
                self.sweep.progress.pass_over(number);
                continue;
            };
            if self.manner == Manner::MakeUp {
                self.sweep.progress.ask_again(number);
            }
            return Some(Target { number, endpoint });
        }
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn datagram(&self, port: u16) -> &[u8] {
        self.sweep.packets.as_ref().and_then(|packets| packets.datagrams.get(&port)).map_or(&[], Vec::as_slice)
    }

    fn second_datagram(&self, port: u16) -> Option<&[u8]> {
        self.sweep.packets.as_ref()?.second_datagrams.get(&port).map(Vec::as_slice)
    }
}

/// Hears for a sweep. The sweep may end first: its engine must not keep it.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) sweep: Weak<Sweep>,
    pub(super) news: UnboundedSender<Found>,
    /// Questions of its volley that are counted.
    pub(super) counted: AtomicU64,
}

impl Ear {
    pub(super) fn of(sweep: &Arc<Sweep>) -> Self {
        Self { sweep: Arc::downgrade(sweep), news: sweep.news.clone(), counted: AtomicU64::new(0) }
    }
}

impl Sink for Ear {
    fn is_there(&self, ip: IpAddr, knock: Knock) {
        let Some(sweep) = self.sweep.upgrade() else { return };
        if let Some(packets) = &sweep.packets
            && let Ok(host) = sweep.addresses.binary_search(&ip)
        {
            packets.knocks.answered(host, knock);
        }
    }

    fn heard(&self, answer: &Answer) {
        // What becomes of a knock says nothing of a port.
        if answer.attempt == KNOCKS {
            return;
        }
        let Some(sweep) = self.sweep.upgrade() else { return };
        let Some((host, number)) = sweep.number_of(&answer.endpoint) else { return };
        let is_datagram = answer.endpoint.transport == Transport::Udp;
        if sweep.progress.is_heard(number) {
            sweep.progress.hear_again(number, answer.attempt, answer.outcome);
            if !answer.outcome.is_open() {
                return;
            }
        }
        let known = sweep.is_known(&answer.endpoint);
        let observation = PortObservation {
            endpoint: answer.endpoint,
            outcome: answer.outcome,
            at: sweep.dialer.clock().now(),
            attempts: answer.attempt.max(1),
            refused: 0,
            rtt_us: answer.rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)),
        };
        let is_news = sweep.progress.hear(host, number, known, &observation);
        if matches!(answer.outcome, Outcome::Closed(_)) && !is_datagram && (sweep.job.doubted)(&answer.endpoint) {
            sweep.progress.doubt(host, number);
        }
        if answer.outcome.is_open()
            && let Some(packets) = &sweep.packets
        {
            let hosts = sweep.addresses.len().max(1) as u64;
            sweep.suspect(host, packets.asked.load(Relaxed) / hosts);
        }
        if is_news {
            // As many as hosts may have open ports; the sweep passes them on.
            let reply = answer.reply.as_ref().map(|reply| reply.to_vec());
            let _ = self.news.send(Found { observation, reply });
        }
    }

    fn has_asked(&self, endpoint: &Endpoint, attempt: u8) -> bool {
        let Some(sweep) = self.sweep.upgrade() else { return false };
        let last = sweep.packets.as_ref().map_or(0, |packets| packets.attempts.load(Relaxed));
        (1..=last).contains(&attempt) && sweep.number_of(endpoint).is_some()
    }

    fn wants(&self, number: u64) -> bool {
        self.sweep.upgrade().is_some_and(|sweep| {
            let host = sweep.endpoint(number).map(|(host, _)| host);
            !sweep.progress.is_heard(number) && host.is_some_and(|host| !sweep.progress.is_trap(host))
        })
    }

    fn sent(&self, questions: u64) {
        let more = questions.saturating_sub(self.counted.fetch_max(questions, Relaxed));
        if let Some(sweep) = self.sweep.upgrade().filter(|_| more > 0)
            && let Some(packets) = &sweep.packets
        {
            packets.asked.fetch_add(more, Relaxed);
        }
    }

    fn unsent(&self, number: u64, why: Outcome) {
        let Some(sweep) = self.sweep.upgrade() else { return };
        let Some(packets) = &sweep.packets else { return };
        match why {
            Outcome::NotProbed(_) => sweep.progress.pass_over(number),
            Outcome::Silent => {
                if let Some((host, _)) = sweep.endpoint(number).filter(|(host, _)| !packets.is_absent(*host)) {
                    packets.absent.set(host as u64, true);
                    sweep.progress.absent(1);
                }
            }
            _ => packets.unsent.lock().unwrap_or_else(PoisonError::into_inner).push(number),
        }
    }
}

/// Packets under way. Dropped, or cut short, it does not know how far they came.
struct Sending<'a> {
    sweep: &'a Sweep,
    work: &'a Work,
    attempt: u8,
    began: Timestamp,
    pick: Pick,
    /// How many left of how much that was to leave.
    report: Option<(u64, bool)>,
}

impl Sending<'_> {
    fn end(mut self, report: &Report) {
        self.report = Some((report.sent, report.complete));
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let all = self.work.len();
        let asked = match (self.report, self.pick) {
            (Some((0, true)), _) => return,
            (Some((_, true)), Pick::All) => self.work.asked(all, self.sweep),
            (Some((sent, true)), _) => Asked::Some(sent),
            (Some((_, false)) | None, _) => Asked::Some(all),
        };
        let ended = self.sweep.dialer.clock().now();
        self.sweep.note(Round { attempt: self.attempt, asked, raw: true, began: self.began, ended });
    }
}

impl Sweep {
    /// Asks first who is there at all, where hosts are on a link of ours.
    pub(super) async fn meet(&self) {
        let (Some(packets), Some(raw)) = (&self.packets, self.dialer.raw()) else { return };
        let asked = self.addresses.iter().enumerate().filter(|(host, _)| packets.ask(*host)).map(|(_, ip)| *ip);
        let meeting = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            meeting = self.dialer.meet(raw, asked) => meeting,
        };
        if meeting.absent.is_empty() {
            return;
        }
        self.progress.absent(meeting.absent.len() as u64);
        for host in meeting.absent.iter().filter_map(|ip| self.addresses.binary_search(ip).ok()) {
            packets.absent.set(host as u64, true);
        }
    }

    /// Asks what packets can of a round's work, once, and again what this machine lost of it.
    pub(super) async fn send(self: &Arc<Self>, packets: &Packets, work: Arc<Work>, attempt: u8) {
        self.send_some(packets, work, attempt, Pick::All, u64::MAX).await;
    }

    async fn send_some(self: &Arc<Self>, packets: &Packets, work: Arc<Work>, attempt: u8, mut pick: Pick, most: u64) {
        packets.attempts.fetch_max(attempt, Relaxed);
        let mut ranges: VecDeque<Range<u64>> = std::iter::once(0..work.len()).collect();
        // Where the way carries less than is wanted, what makes up for losses is lost as well.
        let is_wide = self.dialer.raw().is_some_and(|raw| raw.seen_on_a_narrow_way().is_none());
        let rest = if pick == Pick::Dark && is_wide { Manner::AskTheRest } else { Manner::Ask };
        let mut first_sent = 0;
        for replay in 0..=MOST_REPLAYS {
            let manner = if replay == 0 { rest } else { Manner::MakeUp };
            let walk = Walk::new(self, Arc::clone(&work), (pick, manner), most, std::mem::take(&mut ranges));
            let sink = Arc::new(Ear::of(self));
            let sending =
                Sending { sweep: self, work: &work, attempt, began: self.dialer.clock().now(), pick, report: None };
            let volley = packets.slot.volley(Box::new(walk), attempt, self.job.pace.clone(), sink);
            let report = tokio::select! {
                biased;
                () = self.stop.cancelled() => Report::default(),
                report = volley => report,
            };
            sending.end(&report);
            if replay == 0 {
                first_sent = report.sent;
            }
            let refusals = work.count(|number| self.progress.is_refused(number));
            self.progress.sent(report.sent, (replay == 0).then_some((attempt, refusals)));
            let unsent = std::mem::take(&mut *packets.unsent.lock().unwrap_or_else(PoisonError::into_inner));
            self.progress.spoil(&unsent);
            if !report.complete {
                self.stop.cancel();
                return;
            }
            if packets.ask_everything() {
                // Whoever waits for it may have gone.
                let waiting = self.gone_through.lock().unwrap_or_else(PoisonError::into_inner).take();
                let _ = waiting.map(|waiting| waiting.send(()));
            }
            if report.sent > 0 {
                self.wait_for_answers(&work).await;
            }
            ranges = self.lost(&report).into();
            if ranges.is_empty() || self.stop.is_cancelled() {
                break;
            }
            if replay == MOST_REPLAYS {
                self.give_up_on(&work, attempt, first_sent, ranges).await;
                break;
            }
            self.progress.replay(ranges.len() as u64);
            tracing::debug!(stretches = ranges.len(), "packets were lost here; what was asked then is asked again");
            if pick == Pick::All {
                pick = Pick::Silent;
            }
        }
    }

    /// Packets were lost here each time these were asked: their silence is less than silence.
    async fn give_up_on(&self, work: &Work, attempt: u8, sent: u64, ranges: VecDeque<Range<u64>>) {
        let stretches = ranges.len();
        let mut turns = 0_u64;
        for turn in ranges.into_iter().flatten() {
            turns += 1;
            if let Some(number) = work.get(turn) {
                self.progress.ask_not_again(number);
            }
            if turns.is_multiple_of(AT_A_TIME) {
                tokio::task::yield_now().await;
            }
        }
        // Of what was sent, as large a part as of all turns.
        let questions = u128::from(sent) * u128::from(turns) / u128::from(work.len().max(1));
        let questions = u64::try_from(questions).unwrap_or(u64::MAX);
        self.progress.lose(questions, attempt);
        tracing::debug!(
            stretches,
            questions,
            "packets were lost here again and again; what is silent there may be none"
        );
    }

    /// Whether packets ask an endpoint where those are picked.
    fn is_picked(&self, packets: &Packets, pick: Pick, host: usize, number: u64) -> bool {
        packets.ask(host)
            && !packets.is_absent(host)
            && !self.progress.is_trap(host)
            && match pick {
                Pick::All => true,
                Pick::Silent => !self.progress.is_heard(number),
                Pick::Dark => !self.progress.is_alive(host),
            }
    }

    /// Hosts that nothing was heard of are asked again, for as long as what is lost calls for it.
    pub(super) async fn ask_the_dark(self: &Arc<Self>) {
        let Some(packets) = &self.packets else { return };
        for attempt in 2..=self.job.dark {
            if self.stop.is_cancelled() {
                return;
            }
            let most =
                if attempt == 2 { self.worth_asking_the_dark_twice() } else { self.worth_asking_the_dark(attempt) };
            tracing::debug!(attempt, most, counts = ?self.progress.counts(), "who was not heard of may be asked again");
            if most == 0 {
                return;
            }
            let work = Arc::new(Work::All(self.order_of(attempt)));
            self.send_some(packets, work, attempt, Pick::Dark, most).await;
        }
    }

    /// How many of them are worth a second question: all, except where the way carries less than is wanted. There nothing is sent that
    /// what is lost of a canary does not call for.
    fn worth_asking_the_dark_twice(&self) -> u64 {
        let Some(lost) = self.lost_on_a_narrow_way() else { return u64::MAX };
        let dark = self.order.len().saturating_sub(self.progress.has_heard_of());
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share"
        )]
        let most = (dark as f64 * (1.0 - MISSED_ON_A_NARROW_WAY / lost).max(0.0)).ceil() as u64;
        most
    }

    /// What is lost of canaries, where the way carries less than is wanted.
    fn lost_on_a_narrow_way(&self) -> Option<f64> {
        let seen = self.dialer.raw().and_then(Raw::seen_on_a_narrow_way)?;
        // One that was not missed among so many is taken for one that was.
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let lost = (seen.missed as f64 + 1.0) / (seen.asked as f64 + 1.0);
        Some(lost)
    }

    /// How many of them are worth another question: none where so many before leave hardly a chance that all were lost, and no
    /// more than the cost of a sweep allows.
    fn worth_asking_the_dark(&self, attempt: u8) -> u64 {
        let counts = self.progress.counts();
        // A loss that was not seen among so many is taken for one of them.
        let [first, second, ..] = counts.open_at;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let lost = ((second as f64 + 1.0) / (first as f64 + 1.0)).min(1.0);
        let before = i32::from(attempt) - 1;
        if first < FEW_OPEN || lost.powi(before) <= MISSED_AT_MOST {
            return 0;
        }
        if self.lost_on_a_narrow_way().is_some_and(|lost| lost.powi(before) <= MISSED_ON_A_NARROW_WAY) {
            return 0;
        }
        let total = self.order.len();
        let sweeps = if lost < MUCH_LOST { 2 } else { u64::from(attempt) };
        (sweeps * total + total / ALLOWED_BESIDES).saturating_sub(counts.attempts)
    }

    /// A target repeats its answer after a second if ours to it did not come: it may be the only one that was heard of.
    pub(super) async fn wait_for_the_last(&self) {
        if self.packets.is_none() || !self.job.quick {
            return;
        }
        let end = Instant::now() + self.job.timeout.saturating_sub(self.patience());
        self.look_until(end, || self.progress.has_heard_everything()).await;
    }

    /// The endpoints of a later round that packets ask.
    pub(super) fn by_packets(&self, packets: &Packets, work: &Work) -> Vec<u64> {
        let Work::Some(numbers) = work else { return Vec::new() };
        let is_theirs = |number: &u64| self.endpoint(*number).is_some_and(|(host, _)| packets.ask(host));
        numbers.iter().copied().filter(is_theirs).collect()
    }

    /// After a later round: what our own trouble had spoilt, and left this time, has been asked.
    pub(super) fn settle_again(&self, packets: &Packets, asked: &[u64]) {
        self.progress.settle_some(asked, &self.expected(packets));
    }

    /// After the first round: whatever was asked by packets and not heard of is silent.
    pub(super) fn settle(&self, packets: &Packets) {
        let expected = self.expected(packets);
        self.progress.settle(0..self.ports.len() as u64, |host| packets.ask(host), &expected);
    }

    /// Those known to be open that packets ask, each as if it were silent.
    fn expected(&self, packets: &Packets) -> Vec<(usize, u64, PortObservation)> {
        let now = self.dialer.clock().now();
        let expected = self.job.expected.iter().filter_map(|endpoint| {
            let (host, number) = self.number_of(endpoint)?;
            let observation = PortObservation {
                endpoint: *endpoint,
                outcome: Outcome::Silent,
                at: now,
                attempts: 1,
                refused: 0,
                rtt_us: None,
            };
            packets.ask(host).then_some((host, number, observation))
        });
        expected.collect()
    }

    /// The stretches during which this machine itself lost packets.
    fn lost(&self, report: &Report) -> Vec<Range<u64>> {
        let Some(raw) = self.dialer.raw() else { return Vec::new() };
        let is_lost = |stretch: &&Stretch| raw.lost_some(stretch, self.patience());
        report.stretches.iter().filter(is_lost).map(|stretch| stretch.turns.clone()).collect()
    }

    /// Until every question has its answer, or answers have had their time.
    async fn wait_for_answers(&self, work: &Work) {
        self.look_until(Instant::now() + self.patience(), || self.progress.has_heard_all(work)).await;
    }

    /// Until it is so, time is over, or the sweep is stopped.
    async fn look_until(&self, end: Instant, is_so: impl Fn() -> bool) {
        let (mut heard, mut look) = (self.progress.has_heard_of(), LOOK);
        while Instant::now() < end && !self.stop.is_cancelled() && !is_so() {
            sleep(look.min(end.saturating_duration_since(Instant::now()))).await;
            let now = self.progress.has_heard_of();
            look = if now == heard { (look * 3 / 2).min(SELDOM) } else { LOOK };
            heard = now;
        }
    }

    /// How long answers are waited for after the last question.
    pub(super) fn patience(&self) -> Duration {
        let by_round_trip = self.dialer.raw().map(crate::Raw::patience).unwrap_or_default();
        if self.job.quick && (self.ports.is_empty() || self.progress.has_heard_any()) {
            by_round_trip
        } else {
            self.job.timeout
        }
    }

    pub(super) fn number_of(&self, endpoint: &Endpoint) -> Option<(usize, u64)> {
        let host = self.addresses.binary_search(&endpoint.ip).ok()?;
        let port = self.ports.binary_search(&(endpoint.transport, endpoint.port)).ok()?;
        Some((host, (host * self.ports.len() + port) as u64))
    }
}
