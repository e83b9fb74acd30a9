//! Which profiles an event concerns, and what becomes of it there.

use super::{always, at, configuration, engine, event, matched, numbers, on, severity, test};
use crate::{Dropped, Engine};
use config::rule::{Attribute, Rule, Test, Trigger};
use model::{AlertId, Event, EventType};
use proptest::prelude::*;

/// The profiles with an alert.
fn profiles(engine: &Engine, event: &Event) -> Vec<String> {
    engine.evaluate(event, None, at(5)).into_iter().map(|alert| alert.profile).collect()
}

#[test]
fn an_event_concerns_the_profiles_that_watch_its_assets() {
    let rules = || {
        [EventType::PortOpen, EventType::SensorDegraded, EventType::BaselineDone]
            .map(|kind| on(&format!("any-{kind}"), kind, always()))
            .to_vec()
    };
    let mut config =
        configuration(&[("dmz", &["dmz", "web"], rules()), ("lab", &["lab"], rules()), ("off", &["dmz"], rules())]);
    config.profiles.get_mut("off").expect("there").active = false;
    let engine = Engine::new(&config);
    let open = |assets: &[&str]| Event {
        assets: assets.iter().map(|&asset| asset.to_owned()).collect(),
        ..event(EventType::PortOpen)
    };
    assert_eq!(profiles(&engine, &open(&["dmz"])), ["dmz"]);
    assert_eq!(profiles(&engine, &open(&["web", "lab"])), ["dmz", "lab"]);
    assert_eq!(profiles(&engine, &open(&["elsewhere"])), [""; 0]);
    // A host in no asset any more is nobody's.
    assert_eq!(profiles(&engine, &open(&[])), [""; 0]);
    // The monitor's own events: one profile's, or everybody's.
    let own = |kind, profile: Option<&str>| Event {
        profile: profile.map(ToOwned::to_owned),
        ..Event::new(kind, at(0), &"scan1".into(), &0)
    };
    assert_eq!(profiles(&engine, &own(EventType::SensorDegraded, None)), ["dmz", "lab"]);
    assert_eq!(profiles(&engine, &own(EventType::BaselineDone, Some("lab"))), ["lab"]);
    assert_eq!(profiles(&engine, &own(EventType::BaselineDone, Some("off"))), [""; 0]);
}

#[test]
fn one_alert_lists_every_rule_and_takes_the_highest_severity() {
    let rule = |id, number| Rule { severity: Some(severity(number)), ..on(id, EventType::PortOpen, always()) };
    let engine = engine(vec![
        rule("low", 2),
        rule("high", 4),
        Rule { enabled: false, ..rule("off", 5) },
        on("own", EventType::PortOpen, always()),
        rule("low", 1),
        on("other", EventType::PortClosed, always()),
    ]);
    let event = event(EventType::PortOpen);
    let alerts = engine.evaluate(&event, None, at(5));
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!(alert.rules, ["low", "high", "own"]);
    assert_eq!((alert.severity, alert.time, alert.event), (severity(4), at(5), event.id));
    assert_eq!(alert.id, AlertId::of(event.id, event.time, "dmz"));
    // Decided again later, it is the same alert; and never before its event.
    assert_eq!(engine.evaluate(&event, None, at(500))[0].id, alert.id);
    assert_eq!(engine.evaluate(&event, None, at(-9))[0].time, event.time);
    // A rule that says no severity takes the event's own.
    let raised = Event { severity: severity(5), ..event };
    assert_eq!(engine.evaluate(&raised, None, at(5))[0].severity, severity(5));
}

#[test]
fn an_exception_is_stronger_than_any_rule_and_is_recorded() {
    let exception = Rule {
        drop: true,
        ..on("known-web-server", EventType::PortOpen, test(Attribute::Port, Test::In(numbers(&[443]))))
    };
    let any = || on("any", EventType::PortOpen, always());
    let engine = Engine::new(&configuration(&[
        ("dmz", &["dmz"], vec![any(), exception.clone()]),
        ("lab", &["dmz"], vec![any()]),
        ("off", &["dmz"], vec![any(), Rule { enabled: false, ..exception }]),
    ]));
    let judgement = engine.judge(&event(EventType::PortOpen), None, at(5));
    let alerts: Vec<_> = judgement.alerts.iter().map(|alert| alert.profile.as_str()).collect();
    assert_eq!(alerts, ["lab", "off"]);
    let dropped = Dropped { profile: "dmz".into(), ruleset: "dmz-rules".into(), rule: "known-web-server".into() };
    assert_eq!(judgement.dropped, [dropped]);
    let elsewhere = Event {
        endpoint: Some(model::EventEndpoint { transport: model::Transport::Tcp, port: 8443 }),
        ..event(EventType::PortOpen)
    };
    assert_eq!(engine.judge(&elsewhere, None, at(5)).alerts.len(), 3);
}

#[test]
fn an_event_rule_is_no_state_rule() {
    let engine =
        engine(vec![Rule { trigger: Trigger::State { require: always() }, ..on("x", EventType::PortOpen, always()) }]);
    assert_eq!(matched(&engine, &event(EventType::PortOpen), None), [""; 0]);
}

proptest! {
    /// However many rules match in however many sets: one alert a profile, with the maximum of their severities.
    #[test]
    fn at_most_one_alert_a_profile(
        sets in prop::collection::vec(prop::collection::vec((1_u8..=5, any::<bool>()), 0..6), 1..5),
    ) {
        let names: Vec<String> = (0..sets.len()).map(|index| format!("profile-{index}")).collect();
        let profiles: Vec<(&str, &[&str], Vec<Rule>)> = names
            .iter()
            .zip(&sets)
            .map(|(name, rules)| {
                let rules = rules.iter().enumerate().map(|(index, (number, matches))| {
                    let kind = if *matches { EventType::PortOpen } else { EventType::PortClosed };
                    Rule { severity: Some(severity(*number)), ..on(&format!("rule-{index}"), kind, always()) }
                });
                (name.as_str(), ["dmz"].as_slice(), rules.collect())
            })
            .collect();
        let alerts = Engine::new(&configuration(&profiles)).evaluate(&event(EventType::PortOpen), None, at(5));
        for (name, rules) in names.iter().zip(&sets) {
            let of_profile: Vec<_> = alerts.iter().filter(|alert| alert.profile == *name).collect();
            let highest = rules.iter().filter(|(_, matches)| *matches).map(|(number, _)| *number).max();
            prop_assert_eq!(of_profile.len(), usize::from(highest.is_some()));
            prop_assert_eq!(of_profile.first().map(|alert| alert.severity.get()), highest);
            let count = rules.iter().filter(|(_, matches)| *matches).count();
            prop_assert_eq!(of_profile.first().map_or(0, |alert| alert.rules.len()), count);
        }
    }
}
