//! When a lane runs and how fast. Pure arithmetic.

use jiff::Timestamp;
use model::{HOSTS_AT_A_TIME, Lane, PortSet};
use std::{num::NonZeroU32, time::Duration};

/// Work is spread so that it ends a little before its deadline: remaining work ÷ time left × this.
const HEADROOM: f64 = 1.25;
/// A chunk's size in endpoints: what is asked and not yet in a row of the ledger, and so at most repeated after a crash.
const CHUNK: u64 = model::QUESTIONS_OF_A_CHUNK;
/// So many groups are under way at a time where they overlap.
pub(crate) const GROUPS_OF_A_CHUNK: u32 = 2;
/// An address group is never larger than this, however few the ports.
const MOST_ADDRESSES: u64 = 16_384;

/// A group meets so many networks where it has the addresses for it, so that the ceiling of none of them holds it up.
const NETWORKS_AT_A_TIME: u64 = 16;
/// What goes wrong goes wrong for neighbours together, and shows where several of them are asked.
const FEWEST_NEIGHBOURS: u64 = 8;

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

/// How a lane's work is cut into groups of about half a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cut {
    /// Addresses of a group.
    pub(crate) hosts: NonZeroU32,
    /// Of these so many are neighbours, and the next ones far away.
    pub(crate) run: NonZeroU32,
    /// A group is asked its ports in so many parts, one after the other: each is as large as a group.
    pub(crate) parts: u32,
}

/// For a lane that asks these ports of each address; `swept` is how many addresses it visits. Where it asks them `in_parts`, a
/// group has [`HOSTS_AT_A_TIME`] hosts at least: fewer would be asked no more than their own ceilings allow, whatever the deadline
/// asks for.
pub(crate) fn cut(tcp: &PortSet, udp: &PortSet, swept: u128, in_parts: bool) -> Cut {
    let ports = (u64::from(tcp.len()) + u64::from(udp.len())).max(1);
    let room = CHUNK / u64::from(GROUPS_OF_A_CHUNK);
    let fitting = (room / ports).clamp(1, MOST_ADDRESSES);
    let wanted = u64::from(HOSTS_AT_A_TIME).min(u64::try_from(swept).unwrap_or(u64::MAX));
    let hosts = if in_parts { fitting.max(wanted) } else { fitting };
    let parts = (hosts * ports).div_ceil(room).max(1);
    // A power of two: whole networks are cut where they are cut anyway.
    let run = 1_u64 << (hosts / NETWORKS_AT_A_TIME).max(1).ilog2();
    Cut {
        hosts: number(hosts),
        run: number(run.max(FEWEST_NEIGHBOURS)),
        parts: if in_parts { u32::try_from(parts).unwrap_or(u32::MAX) } else { 1 },
    }
}

fn number(number: u64) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
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
        let (all, two, thousand, none) = (
            PortSet::all(),
            [22, 80].into_iter().collect::<PortSet>(),
            (1..=1_000).collect::<PortSet>(),
            PortSet::empty(),
        );
        for (ports, swept, in_parts, expect) in [
            (&all, 65_536, true, (128, 8, 16)),
            (&all, 1 << 100, true, (128, 8, 16)),
            (&all, 100, true, (100, 8, 13)),
            (&all, 8, true, (8, 8, 1)),
            (&all, 1, true, (8, 8, 1)),
            (&all, 0, true, (8, 8, 1)),
            (&all, 65_536, false, (8, 8, 1)),
            (&thousand, 65_536, true, (524, 32, 1)),
            (&two, 65_536, true, (16_384, 1_024, 1)),
            (&none, 65_536, true, (16_384, 1_024, 1)),
        ] {
            let Cut { hosts, run, parts } = cut(ports, &none, swept, in_parts);
            assert_eq!((hosts.get(), run.get(), parts), expect, "{} {swept} {in_parts}", ports.len());
            let under_way = u64::from(hosts.get()) * u64::from(ports.len()).div_ceil(u64::from(parts)) * 2;
            assert!(under_way <= CHUNK + 2 * u64::from(hosts.get()), "{under_way}");
        }
    }

    #[test]
    fn a_lane_lags_only_after_two_periods() {
        let period = Duration::from_mins(1);
        assert_eq!(lag(Some(at(0)), at(-500), period, at(119)), Duration::ZERO);
        assert_eq!(lag(Some(at(0)), at(-500), period, at(150)), Duration::from_secs(30));
        assert_eq!(lag(None, at(0), period, at(100)), Duration::ZERO);
    }
}
