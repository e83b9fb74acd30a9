use super::{Answer, Question};
use crate::bench::Bench;
use serde_json::Value;
use std::process::Command;
use testkit::Host;

/// More than it can send: what it sends at is its own matter.
const FASTEST: u32 = 10_000_000;

pub(super) fn command(bench: &Bench, near: &Host, question: &Question) -> Command {
    let mut command = near.command(&bench.binary().to_string_lossy());
    command.args(["scan", &question.targets, "--tcp", &question.ports, "--mode", bench.mode()]);
    command.args(["--rate", &format!("{}/s", question.rate.unwrap_or(FASTEST))]);
    if !question.identify {
        command.arg("--no-identify");
    }
    command.arg("--json").args(question.besides);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG");
    command.envs(question.environment.iter().map(|(name, value)| (name, value)));
    command
}

pub(super) fn read(text: &str) -> Answer {
    let mut answer = Answer::default();
    for line in text.lines() {
        // Where it was stopped the last line may be half written.
        let Ok(object) = serde_json::from_str::<Value>(line) else { continue };
        match object["kind"].as_str() {
            Some("endpoint") if object["state"] == "open" => answer.open.extend(endpoint(&object)),
            Some("summary") => answer.summary = Some(object),
            _ => {}
        }
    }
    answer
}

fn endpoint(object: &Value) -> Option<super::Endpoint> {
    let port = object["port"].as_u64().and_then(|port| u16::try_from(port).ok())?;
    Some((object["ip"].as_str()?.parse().ok()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_the_summary_are_read() {
        let text = r#"{"kind":"host","ip":"10.0.0.1","state":"up"}
{"kind":"endpoint","ip":"10.0.0.1","transport":"tcp","port":22,"state":"open","reason":"syn-ack"}
{"kind":"endpoint","ip":"10.0.0.1","transport":"tcp","port":23,"state":"closed"}
{"kind":"summary","probes":2,"open":1}
{"kind":"endpo"#;
        let answer = read(text);
        assert_eq!(answer.open, [("10.0.0.1".parse().unwrap(), 22)].into());
        assert_eq!(answer.summary.expect("a summary")["probes"], 2);
    }
}
