//! What the daemon said, held against what truly happened.

use crate::scenario::{Expect, What};
use serde_json::Value;
use std::collections::BTreeMap;

/// What any daemon may say of itself.
const ALWAYS_ALLOWED: [&str; 4] = ["BASELINE_DONE", "AUDIT", "CONFIG_RELOADED", "HEARTBEAT"];

/// Something that truly happened to an address that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) kind: &'static str,
    pub(crate) ip: String,
    pub(crate) port: Option<u16>,
}

impl Truth {
    /// None for what the daemon cannot be asked to report by itself: the uplink.
    pub(crate) fn of(what: &What, address: impl Fn(&str) -> String) -> Option<Self> {
        let (kind, host, port) = match what {
            What::Open { host, port } => ("PORT_OPEN", host, Some(*port)),
            What::Close { host, port } => ("PORT_CLOSED", host, Some(*port)),
            What::Stop(host) => ("HOST_LOST", host, None),
            What::Return(host) => ("HOST_UP", host, None),
            What::Uplink(_) => return None,
        };
        Some(Self { kind, ip: address(host), port })
    }

    pub(crate) fn is_told_by(&self, event: &Value) -> bool {
        event["type"] == self.kind && self.is_about(event)
    }

    fn is_about(&self, event: &Value) -> bool {
        event["host"]["ip"] == self.ip.as_str() && self.port.is_none_or(|port| event["endpoint"]["port"] == port)
    }

    /// What is true because this is: a new port brings its software and certificate, a closed one takes them along.
    fn explains(&self, event: &Value) -> bool {
        let kind = event["type"].as_str().unwrap_or_default();
        let follows = match self.kind {
            "PORT_OPEN" | "HOST_UP" => matches!(kind, "SOFTWARE_ADDED" | "SSL_NEW"),
            "PORT_CLOSED" | "HOST_LOST" => matches!(kind, "SOFTWARE_REMOVED" | "SSL_REMOVED"),
            _ => false,
        };
        follows && self.is_about(event)
    }
}

/// One row of the table.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) changes: usize,
    pub(crate) told: usize,
    pub(crate) untold: Vec<String>,
    pub(crate) wrong: Vec<String>,
    /// What the daemon said of itself, and how often.
    pub(crate) sensor: BTreeMap<String, usize>,
    pub(crate) complaints: Vec<String>,
}

/// `events`: everything recorded since the daemon began. `told`: the lines that came out of a channel.
pub(crate) fn judge(truths: &[Truth], events: &[Value], told: &[Value], expect: &Expect) -> Verdict {
    let mut verdict = Verdict { changes: truths.len(), ..Verdict::default() };
    for truth in truths {
        if told.iter().any(|event| truth.is_told_by(event)) {
            verdict.told += 1;
        } else {
            verdict.untold.push(format!("{truth:?}"));
        }
    }
    // Each truth is told once; the same again is a falsehood.
    let mut open: Vec<&Truth> = truths.iter().collect();
    for event in events {
        let kind = event["type"].as_str().unwrap_or_default();
        if let Some(index) = open.iter().position(|truth| truth.is_told_by(event)) {
            open.remove(index);
        } else if expect.sensor.contains_key(kind) || kind.starts_with("SENSOR_") {
            *verdict.sensor.entry(kind.to_owned()).or_default() += 1;
        } else if !ALWAYS_ALLOWED.contains(&kind) && !truths.iter().any(|truth| truth.explains(event)) {
            verdict.wrong.push(line(event));
        }
    }
    for kind in expect.sensor.keys().chain(verdict.sensor.keys()) {
        let (least, most) = expect.sensor.get(kind).copied().unwrap_or_default();
        let count = verdict.sensor.get(kind).copied().unwrap_or_default();
        let complaint = format!("{kind} was said {count} times, not {least} to {most}");
        if !(least..=most).contains(&count) && !verdict.complaints.contains(&complaint) {
            verdict.complaints.push(complaint);
        }
    }
    verdict
}

fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    format!(
        "{} {} {} {}: {} -> {} ({})",
        text(&event["time"]),
        text(&event["type"]),
        text(&event["host"]["ip"]),
        event["endpoint"]["port"],
        event["old"],
        event["new"],
        text(&event["reason"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, ip: &str, port: u16) -> Value {
        json!({ "type": kind, "host": { "ip": ip }, "endpoint": { "port": port } })
    }

    #[test]
    fn truth_and_falsehood_are_told_apart() {
        let truth = |kind, port| Truth { kind, ip: "10.77.0.7".into(), port };
        let truths = [truth("PORT_OPEN", Some(8080)), truth("HOST_LOST", None)];
        let expect = Expect { sensor: [("SENSOR_OK".to_owned(), (1, 1))].into(), ..Expect::default() };
        let opened = event("PORT_OPEN", "10.77.0.7", 8080);
        let all = [
            event("BASELINE_DONE", "", 0),
            opened.clone(),
            event("SOFTWARE_ADDED", "10.77.0.7", 8080),
            opened.clone(),
            event("SOFTWARE_ADDED", "10.77.0.7", 80),
            event("PORT_CLOSED", "10.77.0.2", 80),
            event("SENSOR_OK", "", 0),
            event("SENSOR_BLOCKED", "", 0),
        ];
        let verdict = judge(&truths, &all, &[opened], &expect);
        assert_eq!((verdict.changes, verdict.told, verdict.untold.len()), (2, 1, 1));
        assert_eq!(verdict.wrong.len(), 3, "{:?}", verdict.wrong);
        assert_eq!(verdict.complaints, ["SENSOR_BLOCKED was said 1 times, not 0 to 0"]);
        assert_eq!(judge(&[], &[], &[], &expect).complaints, ["SENSOR_OK was said 0 times, not 1 to 1"]);
    }
}
