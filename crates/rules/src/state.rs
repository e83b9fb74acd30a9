//! State rules: what a host breaks, and the events of the moments at which that changes.

use crate::Engine;
use jiff::Timestamp;
use model::{Event, EventHost, EventType, HostFacts, Severity, Vantage};

/// A state rule that a host breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub profile: String,
    pub ruleset: String,
    pub rule: String,
    pub severity: Severity,
    /// The offending facts, in words.
    pub why: String,
}

/// `dmz-critical/linux-with-three-ports`: how a state rule is named in the reason of its events, after `rule `.
pub fn rule_reference(ruleset: &str, rule: &str) -> String {
    format!("{ruleset}/{rule}")
}

/// A state rule that stands broken, as it is remembered: profile, rule set, rule and since when.
pub type Standing = (String, String, String, Timestamp);

/// The events between what a host broke before and what it breaks now, and what is to be remembered from now on.
///
/// `POLICY_VIOLATION` when a rule becomes broken, `POLICY_CLEARED` when it no longer is (or is no longer in force);
/// nothing while it stays as it was. A host that is not up is not judged: nothing is emitted and everything is kept.
///
/// `engine` says which rules are in force: where one is not any more the host satisfies nothing, and the event says so in `new`.
pub fn state_events(
    engine: &Engine,
    previous: &[Standing],
    now_broken: &[Broken],
    facts: &HostFacts,
    sensor: &Vantage,
    now: Timestamp,
) -> (Vec<Event>, Vec<Standing>) {
    if !facts.up {
        return (Vec::new(), previous.to_vec());
    }
    let mut events = Vec::new();
    let mut standing: Vec<Standing> = Vec::new();
    for Broken { profile, ruleset, rule, severity, why } in now_broken {
        let before = previous.iter().find(|(p, s, r, _)| (p, s, r) == (profile, ruleset, rule));
        if before.is_none() {
            let event = event(EventType::PolicyViolation, profile, &rule_reference(ruleset, rule), facts, sensor, now);
            events.push(Event { severity: *severity, new: Some(why.clone()), ..event });
        }
        let since = before.map_or(now, |(.., since)| *since);
        standing.push((profile.clone(), ruleset.clone(), rule.clone(), since));
    }
    for (profile, ruleset, rule, since) in previous {
        if !standing.iter().any(|(p, s, r, _)| (p, s, r) == (profile, ruleset, rule)) {
            let event = event(EventType::PolicyCleared, profile, &rule_reference(ruleset, rule), facts, sensor, now);
            let withdrawn = !engine.requires(profile, ruleset, rule, facts);
            let new = withdrawn.then(|| "no longer in force".to_owned());
            events.push(Event { severity: Severity::INFO, first_seen: Some(*since), new, ..event });
        }
    }
    (events, standing)
}

fn event(
    kind: EventType,
    profile: &str,
    reference: &str,
    facts: &HostFacts,
    sensor: &Vantage,
    now: Timestamp,
) -> Event {
    Event {
        profile: Some(profile.to_owned()),
        assets: facts.assets.clone(),
        tags: facts.tags.clone(),
        host: Some(EventHost {
            ip: facts.ip,
            names: facts.names.iter().cloned().collect(),
            os: facts.os.as_ref().map(ToString::to_string),
        }),
        reason: Some(format!("rule {reference}")),
        ..Event::new(kind, now, sensor, &(facts.ip, profile, reference))
    }
}
