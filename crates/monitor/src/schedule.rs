//! When a lane runs and how fast. Pure arithmetic.

use jiff::Timestamp;
use model::{HOSTS_AT_A_TIME, Lane, PortSet, Windows};
use std::{num::NonZeroU32, time::Duration};

const SHORTEST: Duration = Duration::from_secs(1);
/// A part of a group takes about so long at the pace of its lane: what is repeated after a crash, or when a window closes.
const STEP: Duration = Duration::from_mins(10);
/// A part of a group has so many ports at least: where fewer are asked, a sweep does not see that too many of them open.
const FEWEST_PORTS: u64 = 1_024;
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

/// So much of its period early may a pass begin where its window opens then: what was due at ten is due at nine by the clock of a
/// window once daylight saving has begun.
const EARLY: u32 = 16;

/// When a lane's next pass begins. `last_started` is none where it never ran.
pub(crate) fn due(
    last_started: Option<Timestamp>,
    period: Duration,
    windows: Option<&Windows>,
    now: Timestamp,
) -> Timestamp {
    let due = match last_started {
        // A clock set back must not keep a lane waiting for years.
        Some(last) if last <= now => last.checked_add(period).unwrap_or(now),
        _ => now,
    };
    let Some(windows) = windows else { return due };
    let early = due.checked_sub(period / EARLY).unwrap_or(due);
    let opens = windows.opens(early);
    if opens > early { opens } else { windows.opens(due) }
}

/// How long the pass that begins now may take, of the time in which it may ask. It has to be over one period after it was begun first;
/// `left` is the share of it that is left to do. What is late is made up for at twice its pace at most: it must not become a burst.
pub(crate) fn budget(
    started: Timestamp,
    left: f64,
    period: Duration,
    windows: Option<&Windows>,
    now: Timestamp,
) -> Duration {
    let end = started.checked_add(period).unwrap_or(Timestamp::MAX);
    let (until_then, whole) = match windows {
        Some(windows) => (windows.open_between(now, end), windows.open_in(period)),
        None => (Duration::try_from(end.duration_since(now)).unwrap_or_default(), period),
    };
    // The clock may have been set back since.
    until_then.min(period).max(whole.mul_f64(left.clamp(0.0, 1.0) / 2.0)).max(SHORTEST)
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

/// For a lane that asks these ports of each address; `swept` is how many addresses it visits, and `open` how long it may ask in a
/// period. Where it asks them `in_parts`, those of few addresses are cut by how long they take, and a group has [`HOSTS_AT_A_TIME`] hosts at least: fewer would be asked no more than their own ceilings allow, whatever the deadline
/// asks for.
pub(crate) fn cut(tcp: &PortSet, udp: &PortSet, swept: u128, in_parts: bool, open: Duration) -> Cut {
    let ports = (u64::from(tcp.len()) + u64::from(udp.len())).max(1);
    let room = CHUNK / u64::from(GROUPS_OF_A_CHUNK);
    let fitting = (room / ports).clamp(1, MOST_ADDRESSES);
    let wanted = u64::from(HOSTS_AT_A_TIME).min(u64::try_from(swept).unwrap_or(u64::MAX));
    let hosts = if in_parts { fitting.max(wanted) } else { fitting };
    let swept = u64::try_from(swept).unwrap_or(u64::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float's cast saturates")]
    let of_a_step = (pace(swept.saturating_mul(ports), open) * STEP.as_secs_f64()) as u64;
    let group = hosts.min(swept.max(1)) * ports;
    let by_time = (group / of_a_step.max(1)).min(ports / FEWEST_PORTS);
    let parts = (hosts * ports).div_ceil(room).max(by_time).max(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    #[test]
    fn a_lane_is_due_one_period_after_it_began() {
        let period = Duration::from_mins(5);
        assert_eq!(due(None, period, None, at(0)), at(0));
        assert_eq!(due(Some(at(0)), period, None, at(10)), at(300));
        assert_eq!(due(Some(at(0)), period, None, at(1_000)), at(300), "overdue");
        assert_eq!(due(Some(at(5_000)), period, None, at(10)), at(10), "the clock was set back");
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
        let day = Duration::from_hours(24);
        for (ports, swept, in_parts, expect) in [
            (&all, 65_536, true, (128, 8, 16)),
            (&all, 1 << 100, true, (128, 8, 16)),
            (&all, 100, true, (100, 8, 63)),
            (&all, 8, true, (8, 8, 63)),
            (&all, 1, true, (8, 8, 63)),
            (&all, 0, true, (8, 8, 63)),
            (&all, 65_536, false, (8, 8, 1)),
            (&thousand, 65_536, true, (524, 32, 1)),
            (&two, 65_536, true, (16_384, 1_024, 1)),
            (&none, 65_536, true, (16_384, 1_024, 1)),
        ] {
            let Cut { hosts, run, parts } = cut(ports, &none, swept, in_parts, day);
            assert_eq!((hosts.get(), run.get(), parts), expect, "{} {swept} {in_parts}", ports.len());
            let under_way = u64::from(hosts.get()) * u64::from(ports.len()).div_ceil(u64::from(parts)) * 2;
            assert!(under_way <= CHUNK + 2 * u64::from(hosts.get()), "{under_way}");
        }
    }

    #[test]
    fn a_closed_window_is_waited_for() {
        let windows = |text: &str, zone: &str| {
            let zone = jiff::tz::TimeZone::get(zone).expect(zone);
            Windows::new(vec![text.parse().expect(text)], zone).expect("a window")
        };
        let nightly = windows("22:00-06:00", "UTC");
        let berlin = windows("22:00-22:30", "Europe/Berlin");
        let time = |text: &str| text.parse::<Timestamp>().expect(text);
        let (day, five_minutes) = (Duration::from_hours(24), Duration::from_mins(5));
        for (windows, last, period, now, expect) in [
            (&nightly, None, day, "2026-11-23T12:00:00Z", "2026-11-23T22:00:00Z"),
            (&nightly, None, day, "2026-11-24T01:00:00Z", "2026-11-24T01:00:00Z"),
            (&nightly, Some("2026-11-22T22:00:01Z"), day, "2026-11-23T05:00:00Z", "2026-11-23T22:00:00Z"),
            (&nightly, Some("2026-11-22T23:00:00Z"), day, "2026-11-23T05:00:00Z", "2026-11-23T22:00:00Z"),
            (&nightly, Some("2026-11-22T23:40:00Z"), day, "2026-11-23T05:00:00Z", "2026-11-23T23:40:00Z"),
            (&nightly, Some("2026-11-23T01:00:00Z"), day, "2026-11-23T05:00:00Z", "2026-11-24T01:00:00Z"),
            (&nightly, Some("2026-11-23T05:58:00Z"), five_minutes, "2026-11-23T05:59:00Z", "2026-11-23T22:00:00Z"),
            (&nightly, Some("2026-11-23T05:00:00Z"), five_minutes, "2026-11-23T05:01:00Z", "2026-11-23T05:05:00Z"),
            // Overdue since the last window.
            (&nightly, Some("2026-11-20T22:00:00Z"), day, "2026-11-23T12:00:00Z", "2026-11-21T22:00:00Z"),
            // Daylight saving ended, and begins.
            (&berlin, Some("2026-10-24T20:00:00Z"), day, "2026-10-25T05:00:00Z", "2026-10-25T21:00:00Z"),
            (&berlin, Some("2026-03-28T21:00:00Z"), day, "2026-03-29T05:00:00Z", "2026-03-29T20:00:00Z"),
        ] {
            let due = due(last.map(time), period, Some(windows), time(now));
            assert_eq!(due, time(expect), "{windows} {last:?} {now}");
        }
    }

    #[test]
    fn a_pass_has_its_period_and_its_rest_is_no_burst() {
        let period = Duration::from_hours(24);
        let hour = |hours: i64| at(hours * 3_600);
        for (started, left, now, expect) in [
            (0, 1.0, 0, 24.0),
            (0, 0.5, 12, 12.0),
            (0, 0.5, 23, 6.0),
            (0, 0.01, 100, 0.12),
            (0, 1.0, 100, 12.0),
            // The clock was set back.
            (1_000, 1.0, 0, 24.0),
        ] {
            let budget = budget(hour(started), left, period, None, hour(now)).as_secs_f64() / 3_600.0;
            assert!((budget - expect).abs() < 1e-6, "{started} {left} {now}: {budget}");
        }
        let windows = vec!["22:00-06:00".parse().expect("hours")];
        let nightly = Windows::new(windows, jiff::tz::TimeZone::UTC).expect("a window");
        let time = |text: &str| text.parse::<Timestamp>().expect(text);
        for (started, left, period, now, expect) in [
            ("2026-11-23T22:00:00Z", 1.0, 24, "2026-11-23T22:00:00Z", 8.0),
            ("2026-11-23T22:00:00Z", 1.0, 168, "2026-11-23T22:00:00Z", 56.0),
            ("2026-11-23T22:00:00Z", 0.7, 168, "2026-11-25T22:00:00Z", 40.0),
            ("2026-11-23T05:00:00Z", 1.0, 24, "2026-11-23T05:00:00Z", 8.0),
            ("2026-11-23T22:00:00Z", 0.5, 24, "2026-11-25T22:00:00Z", 2.0),
            ("2026-11-23T05:50:00Z", 1.0, 1, "2026-11-23T05:50:00Z", 0.5),
        ] {
            let period = Duration::from_hours(period);
            let budget = budget(time(started), left, period, Some(&nightly), time(now)).as_secs_f64() / 3_600.0;
            assert!((budget - expect).abs() < 1e-6, "{started} {left} {now}: {budget}");
        }
    }
}
