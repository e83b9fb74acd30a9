//! Stretches of time in which something is out of order.

use super::random::Random;

/// Half-open, ascending, apart from each other; in milliseconds since the beginning.
#[derive(Debug, Clone, Default)]
pub(super) struct Intervals {
    all: Vec<(u64, u64)>,
    /// Where the last question was answered: questions come nearly in the order of time.
    cursor: usize,
}

impl Intervals {
    pub(super) fn one(from: u64, until: u64) -> Self {
        Self { all: vec![(from, until)], cursor: 0 }
    }

    /// Beginning `gap` apart on average, each `lasting` long: as drawn, or exactly where `fixed` says so.
    #[expect(clippy::cast_precision_loss, reason = "means of durations")]
    pub(super) fn random(random: &mut Random, begin: u64, end: u64, gap: u64, lasting: u64, fixed: bool) -> Self {
        let mut all = Vec::new();
        let mut at = begin + random.exponential(gap as f64);
        while at < end {
            let long = if fixed { lasting } else { random.exponential(lasting as f64) };
            all.push((at, at + long));
            at += long + random.exponential(gap.saturating_sub(lasting).max(1) as f64);
        }
        Self { all, cursor: 0 }
    }

    pub(super) fn contains(&mut self, at: u64) -> bool {
        let begins_before = |&(from, _): &(u64, u64)| from <= at;
        let here = self.all.get(self.cursor).is_none_or(begins_before);
        let next = self.all.get(self.cursor + 1).is_some_and(begins_before);
        if !here || next {
            self.cursor = self.all.partition_point(begins_before).saturating_sub(1);
        }
        self.all.get(self.cursor).is_some_and(|&(from, until)| from <= at && at < until)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.all.iter().copied()
    }

    pub(super) fn add(&mut self, from: u64, until: u64) {
        let place = self.all.partition_point(|&(other, _)| other < from);
        self.all.insert(place, (from, until));
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.all.len());
        for &(from, until) in &self.all {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        self.all = joined;
        self.cursor = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_it_is_whatever_the_order_of_questions() {
        let mut some = Intervals::default();
        for (from, until) in [(50, 60), (10, 20), (15, 30), (90, 91)] {
            some.add(from, until);
        }
        assert_eq!(some.iter().collect::<Vec<_>>(), [(10, 30), (50, 60), (90, 91)]);
        let inside = |at: u64| (10..30).contains(&at) || (50..60).contains(&at) || at == 90;
        for at in (0..100).chain((0..100).rev()).chain([5, 95, 55, 12, 90]) {
            assert_eq!(some.contains(at), inside(at), "{at}");
        }
        assert!(!Intervals::default().contains(3));
    }

    #[test]
    fn chance_keeps_to_its_means() {
        let mut random = Random::new(7);
        let bursts = Intervals::random(&mut random, 0, 100_000_000, 10_000, 300, false);
        let count = bursts.iter().count();
        assert!((9_000..11_000).contains(&count), "{count}");
        let total: u64 = bursts.iter().map(|(from, until)| until - from).sum();
        assert!((2_500_000..3_500_000).contains(&total), "{total}");
    }
}
