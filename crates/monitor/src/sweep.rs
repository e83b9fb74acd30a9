//! A pass over addresses: its groups one after the other, and where packets of our own ask, the next one while the last answers to
//! one are still waited for.
//!
//! The row of the ledger says how many steps are done. It is written step by step and in their order, so what is under way when the
//! daemon is killed is asked again: as groups that overlap are half a chunk each, that is a chunk at most.

use crate::{
    Credit, PassRecord,
    course::{Course, Step},
    likely::{Seen, Turn},
    pass::{Gone, Part, Plan, Report, Tools, sweep_group},
    schedule,
};
use model::{AddressSet, Coverage};
use probe::Pace;
use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

/// Questions to a host that never answers, where it is asked a few of its ports only: nobody knows yet that it lives.
const DARK_OF_A_TURN: u8 = 2;
/// Groups whose likely ports are asked first; of a lane with more, the others are asked all their ports at a time.
const MOST_ORDERED: usize = 4_096;

/// Goes through the steps that are left. The record is as far as groups were reported in their order.
pub(crate) async fn sweep(tools: &Tools, mut plan: Plan, cancel: &CancellationToken) -> PassRecord {
    let all = Coverage { tcp: plan.tcp.clone(), udp: plan.udp.clone() };
    let course = Course::new(&plan.ground, plan.record.lane, &all, plan.record.seed, plan.open);
    plan.record.groups_done = course.resume(plan.record.groups_done, plan.record.groups);
    plan.record.groups = course.steps();
    let mut record = plan.record.clone();
    let mut walk = Walk::new(tools, &plan, &course, all.clone());
    let (mut next, mut under_way) = (record.groups_done, UnderWay::default());
    loop {
        let is_left = next < course.steps() && !cancel.is_cancelled();
        if !is_left && under_way.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            news = under_way.next(), if !under_way.is_empty() => match news {
                News::GoneThrough => {}
                // Cancelled on the way. What came after it has been asked in vain.
                News::Over(None) => break,
                News::Over(Some(done)) => if !report(tools, &mut record, &all, done).await {
                    break;
                },
            },
            () = cancel.cancelled(), if under_way.is_empty() => break,
            () = tools.unrestrained(), if is_left && under_way.has_room() => {
                let Some(step) = course.step(next) else { break };
                next += 1;
                let (tell, gone_through) = oneshot::channel();
                match walk.step(step, tell, cancel) {
                    Some(group) => under_way.add(group, gone_through),
                    // Nobody has a port of that turn: nothing is asked.
                    None => under_way.add(Box::pin(async { Some(Done::Nothing) }), gone_through),
                }
            }
        }
    }
    record.complete = record.groups_done >= course.steps();
    record
}

/// A step that is over.
enum Done {
    Nothing,
    Group(Box<Gone>),
}

/// Reports a group, and where the pass is now. False where nobody listens any more.
async fn report(tools: &Tools, record: &mut PassRecord, all: &Coverage, done: Done) -> bool {
    record.groups_done += 1;
    let Done::Group(gone) = done else { return true };
    let Gone { mut group, counts, is_last } = *gone;
    record.probes += counts.probes;
    record.attempts += counts.attempts;
    record.local_errors += counts.local_errors;
    let mut covered = if group.worth.doubt.is_none() && !group.worth.incomplete { group.asked } else { 0 };
    if let Some(part) = group.part {
        // What counts in the end is decided by the loop; this is for the account.
        let before = record.credit.take().filter(|_| !part.is_first);
        let asked = if covered > 0 { group.addresses.clone() } else { AddressSet::empty() };
        record.credit = Credit::with(before, &group.coverage, &asked);
        let whole = record.credit.as_ref().filter(|credit| credit.tcp == *all.tcp && credit.udp == *all.udp);
        covered = whole.map_or(0, |credit| credit.addresses.len().min(covered));
    }
    if is_last {
        record.covered += u64::try_from(covered).unwrap_or(u64::MAX);
    }
    record.loss_asked += counts.known_asked;
    record.loss_missed += counts.known_missed_first;
    record.replayed += counts.replayed;
    for (questions, endpoints) in counts.asked_in_vain() {
        record.note_silent(questions, endpoints);
    }
    group.record = record.clone();
    tools.reports.send(Report::Group(group)).await.is_ok()
}

/// What a pass needs to begin its steps.
struct Walk<'a> {
    tools: &'a Tools,
    plan: &'a Plan,
    course: &'a Course,
    all: Coverage,
    seen: Option<(Turn, Seen)>,
    /// By the places of groups.
    asked: HashMap<u64, Asked>,
    pace: Pace,
    deadline: Instant,
    /// Endpoints that are left to ask.
    remaining: u64,
}

/// What a group was asked in earlier turns of this pass.
#[derive(Default)]
struct Asked {
    ports: Coverage,
    /// For each turn: of whom the loop let count what was not found.
    counted: Vec<oneshot::Receiver<AddressSet>>,
}

impl<'a> Walk<'a> {
    fn new(tools: &'a Tools, plan: &'a Plan, course: &'a Course, all: Coverage) -> Self {
        let remaining = remaining(&plan.record, course, &all);
        Self {
            tools,
            plan,
            course,
            all,
            seen: None,
            asked: HashMap::new(),
            pace: Pace::new(0.0),
            deadline: Instant::now() + plan.budget,
            remaining,
        }
    }

    /// Begins a step. None where there is nothing to ask in it.
    fn step(&mut self, step: Step, tell: oneshot::Sender<()>, cancel: &'a CancellationToken) -> Option<Underway<'a>> {
        let tools = self.tools;
        // Hosts that refuse the sensor are left alone; they count as not asked.
        let refusing = tools.restraint.borrow().hosts.iter().copied().map(model::AddressRange::single).collect();
        // Nor is what left the scope since the pass began.
        let in_scope = tools.scope.load().open_space(tools.clock.now());
        let everybody = self.course.addresses(step);
        let addresses = everybody.intersection(&in_scope).difference(&refusing);
        let new = self.new_ports(step, &everybody)?;
        let ports = self.with_known(&new, &everybody);
        let asked = if step.turn == Turn::Rest { self.asked.remove(&step.place) } else { None };
        // What is known and asked once more does not bring the end nearer.
        let again = f64::from(count(&ports)) / f64::from(count(&new).max(1));
        let rate = again * schedule::pace(self.remaining, self.deadline.saturating_duration_since(Instant::now()));
        self.remaining = self.remaining.saturating_sub(len(&everybody).saturating_mul(count(&new).into()));
        self.pace.set(rate);
        let paced = rate.is_finite().then(|| (self.pace.clone(), rate));
        let mut plan = Plan { tcp: ports.tcp.clone(), udp: ports.udp.clone(), ..self.plan.clone() };
        plan.record.seed ^= (step.place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (step.turn as u64 + (u64::from(step.part) << 8)).wrapping_mul(0xd1b5_4a32_d192_ed03);
        plan.parts = self.course.parts();
        let part =
            (plan.parts > 1).then(|| (new, Part { is_first: step.part == 0, is_last: self.course.is_last(step) }));
        let (counts, counted) = oneshot::channel();
        if step.turn != Turn::Rest {
            plan.dark = DARK_OF_A_TURN;
            let asked = self.asked.entry(step.place).or_default();
            asked.ports = join(&asked.ports, &ports);
            asked.counted.push(counted);
        }
        let (all, beside, cancel) = (self.all.clone(), self.course.beside(step), cancel.clone());
        let is_last = self.course.is_last(step);
        // Once for each address, when all there is to ask of its ports was asked.
        plan.discovers &= is_last;
        Some(Box::pin(async move {
            let mut credit = None;
            if let Some(asked) = asked {
                credit = asked.credit().await;
                if credit.is_none() {
                    (plan.tcp, plan.udp) = (all.tcp.clone(), all.udp.clone());
                }
            }
            let mut gone = sweep_group(tools, &plan, addresses, paced, &cancel, tell).await?;
            let group = &mut gone.group;
            gone.is_last = is_last;
            if let Some((ports, part)) = part {
                group.asked = group.addresses.len();
                group.addresses = group.addresses.union(&beside);
                (group.coverage, group.part) = (ports, Some(part));
            } else if is_last {
                if let Some(credit) = &credit {
                    group.addresses = group.addresses.intersection(credit);
                }
                group.asked = group.addresses.len();
                group.coverage = all;
                group.addresses = group.addresses.union(&beside);
            } else {
                group.counted = Some(counts);
            }
            Some(Done::Group(Box::new(gone)))
        }))
    }

    /// What is known of a group's hosts is asked every time: were a host asked only what never answered there, its silence would look the
    /// same whether those ports are closed, a firewall has begun to drop everything of ours, or the host is gone.
    fn with_known(&self, ports: &Coverage, group: &AddressSet) -> Coverage {
        join(ports, &self.tools.index.ports_known_among(group, &self.all))
    }

    /// What a group is asked in a turn or a part. None where that is nothing, and it is not the last.
    fn new_ports(&mut self, step: Step, group: &AddressSet) -> Option<Coverage> {
        let nothing = Coverage::default();
        let asked = self.asked.get(&step.place).map_or(&nothing, |asked| &asked.ports);
        if step.turn == Turn::Rest {
            return Some(Seen::default().ports(Turn::Rest, group, &self.course.ports(step, &self.all), asked));
        }
        if self.asked.len() >= MOST_ORDERED && !self.asked.contains_key(&step.place) {
            return None;
        }
        if self.seen.as_ref().is_none_or(|(turn, _)| *turn != step.turn) {
            self.seen = Some((step.turn, self.tools.index.seen()));
        }
        let seen = self.seen.as_ref().map(|(_, seen)| seen)?;
        Some(seen.ports(step.turn, group, &self.all, asked)).filter(|ports| !ports.is_empty())
    }
}

impl Asked {
    /// Those of whom every turn's silence counted. None where one of them counts for nobody: everything is asked again then.
    async fn credit(self) -> Option<AddressSet> {
        let mut credit: Option<AddressSet> = None;
        for counted in self.counted {
            // The loop is gone, or what it was told was cut short.
            let these = counted.await.ok().filter(|these| !these.is_empty())?;
            credit = Some(credit.map_or_else(|| these.clone(), |credit| credit.intersection(&these)));
        }
        credit.filter(|credit| !credit.is_empty())
    }
}

/// Endpoints that are left to ask. Of a pass that goes on it is not known any more who was asked what in earlier turns: each is asked
/// everything in the last one.
fn remaining(record: &PassRecord, course: &Course, all: &Coverage) -> u64 {
    let left = (record.groups_done..course.steps()).filter_map(|number| course.step(number));
    let mut addresses: Option<(u64, u64)> = None;
    let endpoints = left.filter(|step| step.turn == Turn::Rest).map(|step| {
        let known = addresses.filter(|(place, _)| *place == step.place);
        let (_, hosts) = *addresses.insert(known.unwrap_or_else(|| (step.place, len(&course.addresses(step)))));
        hosts.saturating_mul(count(&course.ports(step, all)).into())
    });
    endpoints.fold(0, u64::saturating_add)
}

fn count(ports: &Coverage) -> u32 {
    ports.tcp.len() + ports.udp.len()
}

fn len(addresses: &AddressSet) -> u64 {
    u64::try_from(addresses.len()).unwrap_or(u64::MAX)
}

fn join(one: &Coverage, other: &Coverage) -> Coverage {
    Coverage { tcp: Arc::new(one.tcp.union(&other.tcp)), udp: Arc::new(one.udp.union(&other.udp)) }
}

/// None where it was cancelled.
type Underway<'a> = Pin<Box<dyn Future<Output = Option<Done>> + Send + 'a>>;

enum Slot<'a> {
    Asking(Underway<'a>),
    Over(Option<Done>),
}

/// Groups that are asked, in the order in which they began.
#[derive(Default)]
struct UnderWay<'a> {
    groups: VecDeque<Slot<'a>>,
    /// Tells that every question of the latest was asked once.
    gone_through: Option<oneshot::Receiver<()>>,
    overlaps: bool,
}

impl<'a> UnderWay<'a> {
    fn add(&mut self, group: Underway<'a>, gone_through: oneshot::Receiver<()>) {
        self.groups.push_back(Slot::Asking(group));
        self.gone_through = Some(gone_through);
        self.overlaps = false;
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// For another group.
    fn has_room(&self) -> bool {
        self.is_empty() || (self.overlaps && self.groups.len() < schedule::GROUPS_OF_A_CHUNK as usize)
    }

    /// Waits for what comes next: the first one is over, while the others go on, or another may begin beside it.
    async fn next(&mut self) -> News {
        poll_fn(|context| {
            for slot in &mut self.groups {
                if let Slot::Asking(group) = slot
                    && let Poll::Ready(done) = group.as_mut().poll(context)
                {
                    *slot = Slot::Over(done);
                }
            }
            match self.groups.pop_front() {
                Some(Slot::Over(done)) => return Poll::Ready(News::Over(done)),
                Some(asking) => self.groups.push_front(asking),
                None => return Poll::Ready(News::Over(None)),
            }
            let Some(latest) = &mut self.gone_through else { return Poll::Pending };
            let Poll::Ready(told) = Pin::new(latest).poll(context) else { return Poll::Pending };
            self.gone_through = None;
            // Where connections ask it is not told: they are under way all the time, and there is nothing to do beside them.
            if told.is_err() {
                return Poll::Pending;
            }
            self.overlaps = true;
            Poll::Ready(News::GoneThrough)
        })
        .await
    }
}

enum News {
    /// Another may begin.
    GoneThrough,
    /// None where it was cancelled.
    Over(Option<Done>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Is over when told so.
    fn group(over: oneshot::Receiver<()>, begun: Arc<AtomicUsize>) -> Underway<'static> {
        Box::pin(async move {
            begun.fetch_add(1, Relaxed);
            over.await.ok().map(|()| Done::Nothing)
        })
    }

    #[tokio::test]
    async fn the_next_begins_when_the_last_has_gone_through_and_is_over_after_it() {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut under_way = UnderWay::default();
        assert!(under_way.has_room());
        let (first_over, over) = oneshot::channel();
        let (first_through, through) = oneshot::channel();
        under_way.add(group(over, Arc::clone(&begun)), through);
        assert!(!under_way.has_room());
        first_through.send(()).expect("heard");
        assert!(matches!(under_way.next().await, News::GoneThrough) && under_way.has_room());
        let (second_over, over) = oneshot::channel();
        let (second_through, through) = oneshot::channel();
        under_way.add(group(over, Arc::clone(&begun)), through);
        // A chunk is under way.
        second_through.send(()).expect("heard");
        second_over.send(()).expect("heard");
        assert!(matches!(under_way.next().await, News::GoneThrough) && !under_way.has_room());
        assert_eq!(begun.load(Relaxed), 2);
        // The second one is over; it is told of after the first.
        let early = tokio::time::timeout(std::time::Duration::ZERO, under_way.next()).await;
        assert!(early.is_err() && under_way.groups.len() == 2);
        first_over.send(()).expect("heard");
        assert!(matches!(under_way.next().await, News::Over(Some(_))) && under_way.has_room());
        assert!(matches!(under_way.next().await, News::Over(Some(_))) && under_way.is_empty());
    }

    #[tokio::test]
    async fn where_connections_ask_one_follows_the_other() {
        let mut under_way = UnderWay::default();
        let (over, is_over) = oneshot::channel();
        under_way.add(group(is_over, Arc::default()), oneshot::channel().1);
        let early = tokio::time::timeout(std::time::Duration::ZERO, under_way.next()).await;
        assert!(early.is_err() && !under_way.has_room());
        drop(over);
        assert!(matches!(under_way.next().await, News::Over(None)) && under_way.is_empty());
    }

    #[tokio::test]
    async fn only_what_counted_in_every_turn_is_credited() {
        let set =
            |text: &str| text.parse::<model::Target>().expect("a target").range().into_iter().collect::<AddressSet>();
        for (told, expect) in [
            (vec![Some("192.0.2.0/24"), Some("192.0.2.0/25")], Some("192.0.2.0/25")),
            (vec![Some("192.0.2.0/24"), None], None),
            (vec![Some("192.0.2.0/25"), Some("192.0.2.128/25")], None),
            (vec![], None),
        ] {
            let mut asked = Asked::default();
            for told in told {
                let (tell, counted) = oneshot::channel();
                asked.counted.push(counted);
                // Else the loop has gone.
                if let Some(told) = told {
                    tell.send(set(told)).expect("heard");
                }
            }
            assert_eq!(asked.credit().await, expect.map(set));
        }
    }
}
