//! The rate that the way is believed to carry, in turns: whose thread wakes up late makes up for it, as far as a small burst does.

/// Turns that may be taken ahead of time, in nanoseconds: what gathers in the shortest wait.
const AHEAD: u64 = 200_000;
/// And those that were not taken in time and still may be. A thread that sleeps for a tenth of a millisecond wakes up later than
/// that whenever the machine has something else to do; whoever limits packets lets a few milliseconds' worth through at once.
const BEHIND: u64 = 2_000_000;

/// When the next turn is due, in nanoseconds of the pacer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowance(u64);

impl Allowance {
    /// How many turns may be taken now, one every `interval`.
    pub(super) fn at_hand(self, now: u64, interval: u64) -> usize {
        let Some(ahead) = (now + AHEAD).checked_sub(self.next(now)) else { return 0 };
        usize::try_from(ahead / interval.max(1)).unwrap_or(usize::MAX).saturating_add(1)
    }

    pub(super) fn take(&mut self, now: u64, interval: u64) {
        self.0 = self.next(now) + interval;
    }

    /// From when on there is a turn again.
    pub(super) fn from(self) -> u64 {
        self.0.saturating_sub(AHEAD)
    }

    fn next(self, now: u64) -> u64 {
        self.0.max(now.saturating_sub(BEHIND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    /// 20,000 a second.
    const INTERVAL: u64 = 50_000;

    /// Takes all turns there are each time; gives how many those were.
    fn taken(allowance: &mut Allowance, times: impl IntoIterator<Item = u64>) -> Vec<usize> {
        let take = |now| {
            let turns = allowance.at_hand(now, INTERVAL);
            (0..turns).for_each(|_| allowance.take(now, INTERVAL));
            turns
        };
        times.into_iter().map(take).collect()
    }

    #[test]
    fn who_wakes_up_late_loses_nothing() {
        let mut allowance = Allowance::default();
        let start = 1_000 * MILLISECOND;
        // Every tenth of a millisecond, and now and then 1.7 ms later.
        let times = (0..10_000_u64).map(|n| start + n * 100_000 + n / 25 % 4 * 17 * 100_000 / 4);
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let last = times.last().copied().unwrap_or_default();
        let turns: usize = taken(&mut allowance, times).into_iter().sum();
        let due = usize::try_from((last - start) / INTERVAL).expect("few");
        assert!((due..due + 60).contains(&turns), "{turns} of {due}");
    }

    #[test]
    fn after_a_rest_a_small_burst_is_all() {
        let mut allowance = Allowance::default();
        for now in [MILLISECOND * 1_000, MILLISECOND * 9_000] {
            let turns = taken(&mut allowance, [now, now, now + INTERVAL, now + 20 * INTERVAL]);
            assert_eq!(turns, [45, 0, 1, 19], "2.2 ms' worth, then one after the other");
            assert!(allowance.from() > now && allowance.at_hand(allowance.from(), INTERVAL) == 1);
        }
    }
}
