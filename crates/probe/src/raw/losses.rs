//! When packets were lost by our own doing, in this machine or because more was sent than the way carries: what was asked then has
//! to be asked again.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Moments between two looks at a counter that had risen meanwhile.
#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<VecDeque<(Instant, Instant)>>);

/// What is older than any volley waits is forgotten.
const KEPT: Duration = Duration::from_hours(2);
const MOST: usize = 4096;
/// Looks that follow each other make one.
const APART: Duration = Duration::from_millis(20);

impl Losses {
    /// Packets were lost between these two moments, the later one being now or a little before.
    pub(super) fn note(&self, from: Instant, now: Instant) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while spans.front().is_some_and(|(_, to)| now.duration_since(*to) > KEPT) {
            spans.pop_front();
        }
        if let Some((first, to)) = spans.back_mut()
            && from.saturating_duration_since(*to) <= APART
            && *first <= from
        {
            *to = now.max(*to);
            return;
        }
        if spans.len() >= MOST
            && let (Some((first, _)), Some((_, to))) = (spans.pop_front(), spans.front().copied())
            && let Some(front) = spans.front_mut()
        {
            *front = (first, to);
        }
        spans.push_back((from, now));
    }

    /// Whether some were lost at a moment in between.
    pub(super) fn any(&self, from: Instant, to: Instant) -> bool {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().any(|(first, last)| *first <= to && from <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts() {
        let (losses, start) = (Losses::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        losses.note(at(100), at(150));
        losses.note(at(160), at(200));
        losses.note(at(1_000), at(1_050));
        for (from, to, expect) in [
            (0, 99, false),
            (0, 100, true),
            (152, 158, true),
            (201, 999, false),
            (1_050, 2_000, true),
            (1_051, 2_000, false),
        ] {
            assert_eq!(losses.any(at(from), at(to)), expect, "{from} to {to}");
        }
    }

    #[test]
    fn it_stays_small_and_forgets_nothing_recent() {
        let (losses, start) = (Losses::default(), Instant::now());
        for n in 0..10_000 {
            let from = start + Duration::from_millis(100 * n);
            losses.note(from, from + Duration::from_millis(10));
            assert!(losses.any(from, from));
        }
        assert!(losses.0.lock().expect("whole").len() <= MOST);
        assert!(losses.any(start, start), "what was merged covers more, not less");
    }
}
