//! When digests are cut.

use jiff::Timestamp;
use std::time::Duration;

const WEEK_MS: i64 = 7 * 86_400_000;
/// The epoch was a Thursday; weeks begin on the Monday after it.
const MONDAY_MS: i64 = 4 * 86_400_000;

/// The first tick after `now`: a whole multiple of `every` since the epoch, so intervals that divide the hour or the day fall
/// on it; whole weeks fall on Monday 00:00 UTC.
pub fn next_tick(every: Duration, now: Timestamp) -> Timestamp {
    let (every, offset) = grid(every);
    let now = now.as_millisecond();
    let tick = now.saturating_sub((now - offset).rem_euclid(every)).saturating_add(every);
    Timestamp::from_millisecond(tick).unwrap_or(Timestamp::MAX)
}

/// The last tick at or before `now`.
pub fn previous_tick(every: Duration, now: Timestamp) -> Timestamp {
    let (every, offset) = grid(every);
    let now = now.as_millisecond();
    Timestamp::from_millisecond(now.saturating_sub((now - offset).rem_euclid(every))).unwrap_or(Timestamp::MIN)
}

/// Interval and offset in milliseconds. An interval of less than a millisecond counts as one.
fn grid(every: Duration) -> (i64, i64) {
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).clamp(1, 100 * 53 * WEEK_MS);
    (every, if every % WEEK_MS == 0 { MONDAY_MS } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(every: &str, now: &str, expect: &str) {
        let every = model::parse_duration(every).expect("a duration");
        let now: Timestamp = now.parse().expect("a time");
        assert_eq!(next_tick(every, now).to_string(), expect);
    }

    #[test]
    fn ticks_fall_on_the_hour_the_day_and_monday() {
        check("5m", "2026-11-21T10:02:03.12Z", "2026-11-21T10:05:00Z");
        check("5m", "2026-11-21T10:05:00Z", "2026-11-21T10:10:00Z");
        check("20m", "2026-11-21T10:41:00Z", "2026-11-21T11:00:00Z");
        check("1h", "2026-11-21T23:59:59.999Z", "2026-11-22T00:00:00Z");
        check("12h", "2026-11-21T10:00:00Z", "2026-11-21T12:00:00Z");
        check("1d", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        // 2026-11-21 is a Saturday.
        check("1w", "2026-11-21T10:00:00Z", "2026-11-23T00:00:00Z");
        check("1w", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
    }

    proptest! {
        #[test]
        fn ticks_enclose_now(every_ms in 1_u64..5_000_000_000, now_ms in -1_000_000_000_000_i64..4_000_000_000_000) {
            let every = Duration::from_millis(every_ms);
            let now = Timestamp::from_millisecond(now_ms).expect("in range");
            let (before, after) = (previous_tick(every, now), next_tick(every, now));
            prop_assert!(before <= now && now < after);
            prop_assert_eq!(after.as_millisecond() - before.as_millisecond(), i64::try_from(every_ms).expect("small"));
        }
    }
}
