use super::{
    packet::Packet,
    scenario::Scenario,
    stage::{Fates, Stage, Way},
};
use model::AddressSet;
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

/// So many packets may be on their way at once; what comes above is dropped, and counted.
const MOST_ON_THE_WAY: usize = 100_000;

/// The stages of a scenario in their order, and the packets on their way between them. Pure: time is handed in, counted from
/// when the router began, and what is due is handed out.
#[derive(Debug)]
pub struct Pipeline {
    slots: Vec<Slot>,
    now: Duration,
    /// When the scenario was switched on.
    switched_on: Option<Duration>,
    is_cut: bool,
    waiting: BinaryHeap<Reverse<Waiting>>,
    sequence: u64,
    counted: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    always: bool,
    lasts: Option<Duration>,
    only: Option<AddressSet>,
    stage: Box<dyn Stage>,
    fates: Fates,
}

/// A packet between stages: `gap` is how many stages lie between it and the watcher.
#[derive(Debug)]
struct Waiting {
    due: Duration,
    sequence: u64,
    gap: usize,
    way: Way,
    packet: Packet,
}

impl Pipeline {
    pub fn new(scenario: &Scenario) -> Self {
        let slots = scenario.stage.iter().zip(1..).map(|(settings, number)| Slot {
            name: settings.name.clone(),
            always: settings.always,
            lasts: settings.lasts,
            only: settings.only.clone(),
            stage: settings.kind.clone().build(scenario.seed.wrapping_mul(1_000_003).wrapping_add(number)),
            fates: Fates::default(),
        });
        Self {
            slots: slots.collect(),
            now: Duration::ZERO,
            switched_on: None,
            is_cut: false,
            waiting: BinaryHeap::new(),
            sequence: 0,
            counted: BTreeMap::new(),
        }
    }

    /// From now on every stage acts, and the schedules begin.
    pub fn switch_on(&mut self, now: Duration) {
        self.switched_on = Some(now);
    }

    /// Only what acts always still does.
    pub fn switch_off(&mut self) {
        self.switched_on = None;
    }

    /// Nothing gets through any more, either way, or does again.
    pub fn cut(&mut self, is_cut: bool) {
        if is_cut && !self.is_cut {
            self.count("cuts");
        }
        self.is_cut = is_cut;
    }

    /// Takes in what came from the watcher (`Way::Out`) or from the servers (`Way::Back`).
    pub fn enter(&mut self, packet: Packet, way: Way, now: Duration) {
        self.now = self.now.max(now);
        if self.is_cut {
            return self.count("cut");
        }
        let gap = if way == Way::Out { 0 } else { self.slots.len() };
        self.wait(packet, way, gap, Duration::ZERO);
    }

    /// Everything that leaves the router by now, in order: to the servers (`Way::Out`) or to the watcher (`Way::Back`).
    pub fn leave(&mut self, now: Duration) -> Vec<(Way, Packet)> {
        self.now = self.now.max(now);
        let mut leaving = Vec::new();
        let mut at_once = VecDeque::new();
        while let Some(Reverse(waiting)) = self.waiting.peek() {
            if waiting.due > self.now {
                break;
            }
            at_once.extend(self.waiting.pop().map(|Reverse(waiting)| waiting));
            while let Some(waiting) = at_once.pop_front() {
                self.step(waiting, &mut leaving, &mut at_once);
            }
        }
        leaving
    }

    /// When the next packet goes on.
    pub fn next(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.due)
    }

    /// What was done so far, as `NAME.WHAT`: `loss.lost`, `firewall.bans`, `router.out`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let own = self.counted.iter().map(|(what, count)| (format!("router.{what}"), *count));
        let stages = self
            .slots
            .iter()
            .flat_map(|slot| slot.fates.counted.iter().map(|(what, count)| (format!("{}.{what}", slot.name), *count)));
        for (what, count) in own.chain(stages) {
            *counts.entry(what).or_default() += count;
        }
        counts
    }

    /// One packet through the next stage before it, or out.
    fn step(&mut self, waiting: Waiting, leaving: &mut Vec<(Way, Packet)>, at_once: &mut VecDeque<Waiting>) {
        let Waiting { gap, way, packet, .. } = waiting;
        let next = match way {
            Way::Out => Some(gap),
            Way::Back => gap.checked_sub(1),
        };
        let Some((index, slot)) = next.and_then(|index| Some((index, self.slots.get_mut(index)?))) else {
            self.count(if way == Way::Out { "out" } else { "back" });
            return leaving.push((way, packet));
        };
        let since = if slot.always { Some(Duration::ZERO) } else { self.switched_on };
        let since = since.filter(|&since| slot.lasts.is_none_or(|lasts| self.now.saturating_sub(since) < lasts));
        let is_meant = slot.only.as_ref().is_none_or(|only| only.contains(way.server(&packet)));
        match since {
            Some(since) if is_meant => slot.stage.take(packet, way, self.now.saturating_sub(since), &mut slot.fates),
            _ => slot.fates.pass(packet, way),
        }
        for fate in std::mem::take(&mut slot.fates.leaving) {
            let gap = if fate.way == Way::Out { index + 1 } else { index };
            if fate.after.is_zero() {
                let (due, sequence) = (self.now, 0);
                at_once.push_back(Waiting { due, sequence, gap, way: fate.way, packet: fate.packet });
            } else {
                self.wait(fate.packet, fate.way, gap, fate.after);
            }
        }
    }

    fn wait(&mut self, packet: Packet, way: Way, gap: usize, after: Duration) {
        if self.waiting.len() >= MOST_ON_THE_WAY {
            return self.count("congested");
        }
        self.sequence += 1;
        self.waiting.push(Reverse(Waiting { due: self.now + after, sequence: self.sequence, gap, way, packet }));
    }

    fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests;
