//! What was told, held against what should have been.

use super::{
    build::World,
    oracle::Oracle,
    report::{Delay, Report},
    scenario::{Count, Scenario},
    script::Script,
    truth::Truth,
};
use inventory::{HostState, PortStatus};
use model::{Event, EventType};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

pub(super) fn judge(
    mut oracle: Oracle,
    script: &Script,
    world: &World,
    scenario: &Scenario,
    events: &[Event],
    hosts: &[HostState],
) -> Report {
    let mut report = Report { title: scenario.title.clone(), ..Report::default() };
    let start = scenario.start.as_millisecond();
    let mut learnt = false;
    let mut sides: HashMap<(IpAddr, Option<u16>), EventType> = HashMap::new();
    let mut seen = BTreeSet::new();
    for event in events {
        let at = u64::try_from(event.time.as_millisecond() - start).unwrap_or(0);
        if !seen.insert(event.id.0) {
            report.errors.push(format!("told twice under one id: {}", shown(event, at)));
        }
        let is_notice = event.part_of.is_none();
        if is_notice {
            *report.notices.entry(event.kind).or_default() += 1;
            report.notices_after_baseline += u64::from(learnt);
        } else {
            report.folded += 1;
        }
        learnt |= event.kind == EventType::BaselineDone;
        if is_notice && let Some(earlier) = alternates(event, &mut sides) {
            report.false_events.push(format!("{} although {earlier} was the last word of it", shown(event, at)));
        }
        if !oracle.take(event, at) {
            report.false_events.push(shown(event, at));
        }
    }
    let mut delays: BTreeMap<EventType, Vec<u64>> = BTreeMap::new();
    for one in &oracle.expected {
        let what = || {
            let port = one.port.map(|port| format!(":{port}")).unwrap_or_default();
            let kinds: Vec<_> = one.kinds.iter().map(|kind| kind.as_str()).collect();
            format!("{} {}{port}, true since {}", kinds.join("/"), one.ip, moment(one.since))
        };
        report.changes += u64::from(one.must);
        match one.told {
            None if one.must => report.missed.push(format!("{}, to be told by {}", what(), moment(one.deadline))),
            Some(told) if one.must && told > one.deadline => {
                report.late.push(format!("{}, to be told by {}, told {}", what(), moment(one.deadline), moment(told)));
            }
            _ => {}
        }
        if let Some(told) = one.told
            && one.must
            && !one.hidden
            && let Some(kind) = one.kinds.first()
        {
            let delay = told.saturating_sub(one.since);
            delays.entry(*kind).or_default().push(delay);
            if scenario.delays.get(kind).is_some_and(|limit| delay > limit.ms()) {
                report.slow.push(format!("{}, told {}: {}", what(), moment(told), one.said));
            }
        }
    }
    report.delays = delays.into_iter().map(|(kind, all)| (kind, Delay::of(all))).collect();
    for (kind, limit) in &scenario.delays {
        if let Some(delay) = report.delays.get(kind).filter(|delay| delay.p99_ms > limit.ms()) {
            report.errors.push(format!(
                "{kind}: the 99th percentile of the delay is {:.0} s, {:.0} s are the most",
                seconds(delay.p99_ms),
                seconds(limit.ms())
            ));
        }
    }
    for (kind, count) in &scenario.expect {
        let came = report.notices.get(kind).copied().unwrap_or(0);
        let (least, most) = match *count {
            Count::Exactly(n) => (n, n),
            Count::Between { at_least, at_most } => (at_least, at_most),
        };
        if came < least || came > most {
            report.errors.push(format!("{kind}: {came} came, {least} to {most} were to come"));
        }
    }
    if let Some(most) = scenario.notices_at_most.filter(|most| report.notices_after_baseline > *most) {
        report
            .errors
            .push(format!("{} notices after the baseline, {most} are the most", report.notices_after_baseline));
    }
    compare(&mut report, &oracle, script, world, hosts);
    report
}

/// The other word about the same thing that must lie between two of these; the earlier one where there is none.
fn alternates(event: &Event, sides: &mut HashMap<(IpAddr, Option<u16>), EventType>) -> Option<EventType> {
    let ip = event.host.as_ref()?.ip;
    let port = match event.kind {
        EventType::PortOpen | EventType::PortClosed => Some(event.endpoint?.port),
        EventType::HostLost | EventType::HostUp => None,
        _ => return None,
    };
    sides.insert((ip, port), event.kind).filter(|earlier| *earlier == event.kind)
}

impl Oracle {
    /// Whether an event is called for or allowed.
    fn take(&mut self, event: &Event, at: u64) -> bool {
        let ip = event.host.as_ref().map(|host| host.ip);
        let port = event.endpoint.map(|endpoint| endpoint.port);
        if let Some(ip) = ip
            && let Some(candidates) = self.by_subject.get(&(event.kind, ip))
        {
            // The last of several that fits: what is true now explains it better than what was.
            let expected = &self.expected;
            let fits = candidates.iter().rev().copied().find(|index| {
                let one = &expected[*index];
                let in_time = one.must || at <= one.deadline;
                one.told.is_none() && one.since <= at && in_time && (one.port.is_none() || one.port == port)
            });
            if let Some(index) = fits {
                let one = &mut self.expected[index];
                one.told = Some(at);
                one.said = event.reason.clone().unwrap_or_default();
                return true;
            }
        }
        let allowed = self.allowances.iter_mut().find(|one| {
            let here = one.on.as_ref().is_none_or(|on| ip.is_some_and(|ip| on.contains(ip)));
            here && one.left > 0 && one.from <= at && at <= one.until && one.kinds.contains(&event.kind)
        });
        allowed.map(|one| one.left -= 1).is_some()
    }
}

/// What is remembered at the end against what is there.
fn compare(report: &mut Report, oracle: &Oracle, script: &Script, world: &World, hosts: &[HostState]) {
    let truth: &Truth = &world.truth;
    let known: HashMap<IpAddr, &HostState> = hosts.iter().map(|host| (host.key.ip, host)).collect();
    for ip in truth.ips() {
        let Some(place) = truth.places.get(ip) else { continue };
        let steady = place.machines.len() <= 1 && place.boxes.is_empty() && !place.proxied;
        if !steady || oracle.unsettled.contains(ip) || script.pools.contains(*ip) {
            continue;
        }
        let machine = truth.machine(*ip).filter(|machine| machine.up);
        if machine.is_some_and(|machine| machine.everything) {
            continue;
        }
        let state = known.get(ip).filter(|state| state.up);
        match (machine, state) {
            (None, None) => {}
            (None, Some(_)) => report.wrong.push(format!("{ip} is remembered as up, and is not there")),
            (Some(machine), None) => {
                let answers = machine.closed == super::scenario::Closed::Refuse;
                let asked = machine.offers.iter().any(|offer| oracle.budgets.sweep(Some(offer.port)).is_some());
                if asked || answers {
                    report.wrong.push(format!("{ip} is there, and not remembered as up"));
                }
            }
            (Some(machine), Some(state)) => {
                let open: BTreeSet<u16> =
                    state.endpoints.iter().filter(|one| one.status == PortStatus::Open).map(|one| one.port).collect();
                for port in &open {
                    if machine.offer(*port).is_none() {
                        report.wrong.push(format!("{ip}:{port} is remembered as open, and is closed"));
                    }
                }
                for offer in &machine.offers {
                    if !open.contains(&offer.port) && oracle.budgets.sweep(Some(offer.port)).is_some() {
                        report.wrong.push(format!("{ip}:{} is open, and not remembered", offer.port));
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// `2d 03:04:05` after the beginning.
fn moment(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("{}d {:02}:{:02}:{:02}", seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

fn shown(event: &Event, at: u64) -> String {
    let subject = event.host.as_ref().map(|host| host.ip.to_string()).or_else(|| event.profile.clone());
    let port = event.endpoint.map(|endpoint| format!(":{}/{}", endpoint.port, endpoint.transport));
    format!(
        "{} {}{} at {}{}{}",
        event.kind,
        subject.unwrap_or_default(),
        port.unwrap_or_default(),
        moment(at),
        event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default(),
        event.part_of.map(|parent| format!(" (part of {})", parent.kind)).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::run::parts;
    use jiff::SignedDuration;
    use model::{EventEndpoint, EventHost};

    const SMALL: &str = r#"
        title   = "small"
        lasting = "5h"
        config  = { asset = { a = { targets = ["10.0.0.0/28"] } }, profile = { p = { assets = ["a"], scan = { hot = "5m", known = "5m", likely = "never", full = "never", hot_ports = "22,80" } } } }
        hosts   = [{ addresses = "10.0.0.1", services = [{ port = 22, name = "ssh" }] }]
        script  = [{ at = "2h", open = "10.0.0.1:80" }]
    "#;

    /// What is said of events of these types, about that port of the host, so many minutes after the beginning.
    fn verdict(scenario: &str, events: &[(EventType, u16, i64)]) -> Report {
        let scenario: Scenario = toml::from_str(scenario).expect("a scenario");
        let end = scenario.lasting.ms();
        let (world, script, _, oracle) = parts(&scenario, end).expect("it fits together");
        let told = events.iter().map(|(kind, port, minutes)| {
            let at = scenario.start + SignedDuration::from_mins(*minutes);
            let mut event = Event::new(*kind, at, &"scan1".into(), &(port, minutes));
            event.host = Some(EventHost { ip: [10, 0, 0, 1].into(), names: Vec::new(), os: None });
            event.endpoint = Some(EventEndpoint { transport: model::Transport::Tcp, port: *port });
            event
        });
        judge(oracle, &script, &world, &scenario, &told.collect::<Vec<_>>(), &[])
    }

    #[test]
    fn sees_what_is_missing_false_late_or_told_twice() {
        use EventType::{PortClosed, PortOpen};
        for (events, missed, late, wrong) in [
            (&[(PortOpen, 80, 121)][..], 0, 0, 0),
            (&[], 1, 0, 0),
            (&[(PortOpen, 80, 119)], 1, 0, 1),
            (&[(PortOpen, 80, 180)], 0, 1, 0),
            (&[(PortOpen, 81, 121)], 1, 0, 1),
            (&[(PortOpen, 80, 121), (PortClosed, 80, 150)], 0, 0, 1),
            // Twice is one too many for the change, and not in turn.
            (&[(PortOpen, 80, 121), (PortOpen, 80, 122)], 0, 0, 2),
        ] {
            let report = verdict(SMALL, events);
            let counts = (report.missed.len(), report.late.len(), report.false_events.len());
            assert_eq!(counts, (missed, late, wrong), "{events:?}: {report}");
            assert_eq!(report.wrong, ["10.0.0.1 is there, and not remembered as up"]);
        }
        assert_eq!(verdict(SMALL, &[(PortOpen, 80, 121)]).delays[&PortOpen].p99_ms, 60_000);
    }

    #[test]
    fn tells_the_ports_a_host_came_with_from_those_that_opened_later() {
        use EventType::{HostFound, PortClosed, PortOpen};
        let script = r#"script = [
            { at = "2h", add = "10.0.0.1", services = [{ port = 22, name = "ssh" }] },
            { at = "6h", open = "10.0.0.1:80" },
            { at = "100h", close = "10.0.0.1:80" },
            { at = "110h", open = "10.0.0.1:80" },
            { at = "120h", close = "10.0.0.1:22" },
        ]"#;
        let kept = |line: &&str| !line.trim_start().starts_with("hosts") && !line.trim_start().starts_with("script");
        let scenario = SMALL.lines().filter(kept).collect::<Vec<_>>().join("\n").replace("5h", "150h") + script;
        let hours = |hours: i64| hours * 60 + 1;
        let events = [
            (HostFound, 0, hours(2)),
            (PortOpen, 22, hours(2)),
            (PortOpen, 80, hours(6)),
            (PortClosed, 80, hours(100)),
            (PortOpen, 80, hours(110)),
            (PortClosed, 22, hours(120)),
        ];
        let report = verdict(&scenario, &events);
        assert!(report.false_events.is_empty() && report.missed.is_empty() && report.late.is_empty(), "{report}");
    }
}
