//! When a lane runs and how fast. Pure arithmetic.

use jiff::Timestamp;
use model::{Lane, PortSet};
use std::{num::NonZeroU32, time::Duration};

/// Work is spread so that it ends a little before its deadline: remaining work ÷ time left × this.
const HEADROOM: f64 = 1.25;
/// A chunk's size in endpoints: what is asked and not yet in a row of the ledger, and so at most repeated after a crash.
const CHUNK: u64 = 1 << 20;
/// So many groups are under way at a time where they overlap.
pub(crate) const GROUPS_OF_A_CHUNK: u32 = 2;
/// An address group is never larger than this, however few the ports.
const MOST_ADDRESSES: u64 = 4_096;

/// When a lane's next pass begins. `last_started` is none where it never ran.
pub(crate) fn due(last_started: Option<Timestamp>, period: Duration, now: Timestamp) -> Timestamp {
    let Some(last) = last_started else { return now };
    // A clock set back must not keep a lane waiting for years.
    if last > now {
        return now;
    }
    last.checked_add(period).unwrap_or(now)
}

/// Probes per second that finish `remaining` probes by the deadline with some headroom. At least enough for one probe in
/// the time left; unbounded where the deadline has passed (the ceilings still hold).
pub(crate) fn pace(remaining: u64, left: Duration) -> f64 {
    let seconds = left.as_secs_f64();
    if seconds <= 0.0 {
        return f64::INFINITY;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let remaining = remaining.max(1) as f64;
    remaining / seconds * HEADROOM
}

/// How many addresses one group holds, for a lane that asks so many ports of each.
pub(crate) fn group_size(tcp: &PortSet, udp: &PortSet) -> NonZeroU32 {
    let ports = u64::from(tcp.len()) + u64::from(udp.len());
    let size = (CHUNK / u64::from(GROUPS_OF_A_CHUNK) / ports.max(1)).clamp(1, MOST_ADDRESSES);
    u32::try_from(size).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// Whether the lane visits every address (and so learns a baseline).
pub(crate) fn sweeps(lane: Lane) -> bool {
    matches!(lane, Lane::Hot | Lane::Likely | Lane::Full)
}

/// How far behind its period a lane is: nothing while a pass that began in time still has time.
pub(crate) fn lag(last_finished: Option<Timestamp>, since: Timestamp, period: Duration, now: Timestamp) -> Duration {
    let reference = last_finished.unwrap_or(since);
    let age = now.duration_since(reference);
    let age = Duration::try_from(age).unwrap_or_default();
    // A full pass may end one period after the last one ended and be in time; beyond two it is late.
    age.saturating_sub(period * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    #[test]
    fn a_lane_is_due_one_period_after_it_began() {
        let period = Duration::from_mins(5);
        assert_eq!(due(None, period, at(0)), at(0));
        assert_eq!(due(Some(at(0)), period, at(10)), at(300));
        assert_eq!(due(Some(at(0)), period, at(1_000)), at(300), "overdue");
        assert_eq!(due(Some(at(5_000)), period, at(10)), at(10), "the clock was set back");
    }

    #[test]
    fn the_pace_ends_before_the_deadline() {
        for (remaining, left) in [(65_535_u64, 86_400_u64), (20, 300), (1, 1), (4_000_000, 3_600)] {
            let rate = pace(remaining, Duration::from_secs(left));
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let needed = remaining as f64 / rate;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let left = left as f64;
            assert!(needed < left && needed > left * 0.7, "{remaining} in {left}");
        }
        assert!(pace(5, Duration::ZERO).is_infinite());
    }

    #[test]
    fn groups_under_way_hold_about_a_chunk() {
        assert_eq!(group_size(&PortSet::all(), &PortSet::empty()).get(), 8);
        assert_eq!(group_size(&[22, 80].into_iter().collect(), &PortSet::empty()).get(), 4_096);
        assert_eq!(group_size(&PortSet::empty(), &PortSet::empty()).get(), 4_096);
    }

    #[test]
    fn a_lane_lags_only_after_two_periods() {
        let period = Duration::from_mins(1);
        assert_eq!(lag(Some(at(0)), at(-500), period, at(119)), Duration::ZERO);
        assert_eq!(lag(Some(at(0)), at(-500), period, at(150)), Duration::from_secs(30));
        assert_eq!(lag(None, at(0), period, at(100)), Duration::ZERO);
    }
}
