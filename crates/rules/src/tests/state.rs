//! State rules: broken or not, why, and what is said of it when that changes.

use super::{always, at, configuration, engine, facts, numbers, on, require, severity, test, texts};
use crate::{Broken, Engine, state_events};
use config::rule::{Attribute, Condition, Rule, Test};
use model::{EndpointFact, Event, EventType, HostFacts, Severity, Transport};

/// The DMZ's shape: Linux, with nothing but SSH and the web.
fn shape() -> Rule {
    let linux = test(Attribute::OsFamily, Test::In(texts(&["linux"])));
    let ports = test(Attribute::OpenTcp, Test::SubsetOf(numbers(&[22, 80, 443])));
    require("linux-with-three-ports", Condition::All(vec![linux, ports]), 5)
}

fn why(broken: &[Broken]) -> Vec<&str> {
    broken.iter().map(|broken| broken.why.as_str()).collect()
}

#[test]
fn the_dmz_is_linux_with_three_ports() {
    let engine = engine(vec![shape()]);
    assert_eq!(engine.violations(&facts(&[22, 80, 443])), []);
    assert_eq!(engine.violations(&facts(&[])), []);
    let broken = engine.violations(&facts(&[22, 80, 3389, 8080]));
    assert_eq!(why(&broken), ["open TCP ports: 3389, 8080 not among 22, 80, 443"]);
    assert_eq!((broken[0].profile.as_str(), broken[0].ruleset.as_str()), ("dmz", "dmz-rules"));
    assert_eq!((broken[0].rule.as_str(), broken[0].severity), ("linux-with-three-ports", severity(5)));
    // Nobody knows that it is Linux.
    let unknown = HostFacts { os: None, ..facts(&[22]) };
    assert_eq!(why(&engine.violations(&unknown)), ["operating system family is unknown, must be linux"]);
    // Not up: not judged. Not watched: not judged.
    assert_eq!(engine.violations(&HostFacts { up: false, ..facts(&[3389]) }), []);
    assert_eq!(engine.violations(&HostFacts { assets: vec!["lab".into()], ..facts(&[3389]) }), []);
}

#[test]
fn disabled_inactive_and_other_rules_are_not_judged() {
    let disabled = Rule { enabled: false, ..shape() };
    assert_eq!(engine(vec![disabled, on("x", EventType::PortOpen, always())]).violations(&facts(&[3389])), []);
    let mut config = configuration(&[("dmz", &["dmz"], vec![shape()])]);
    config.profiles.get_mut("dmz").expect("there").active = false;
    assert_eq!(Engine::new(&config).violations(&facts(&[3389])), []);
}

#[test]
fn why_says_what_offends() {
    let any = |parts| Condition::Any(parts);
    let not = |part| Condition::Not(Box::new(part));
    for (require, says) in [
        (test(Attribute::OpenTcp, Test::SupersetOf(numbers(&[22, 443]))), "open TCP ports: 443 missing"),
        (test(Attribute::OpenTcp, Test::NoneOf(numbers(&[23, 25]))), "open TCP ports: 23 not allowed"),
        (test(Attribute::Value, Test::LessOrEqual(3.0)), "business value is 5, must be at most 3"),
        (test(Attribute::Tag, Test::In(texts(&["lab", "test"]))), "tag is production, must be one of lab, test"),
        (test(Attribute::Service, Test::NotIn(texts(&["SSH"]))), "service is ssh, must not be ssh"),
        (not(test(Attribute::Os, Test::Contains(vec!["Debian".into()]))), "must not be: operating system is Debian 12"),
        (
            any(vec![
                test(Attribute::OsFamily, Test::In(texts(&["windows"]))),
                test(Attribute::OpenTcp, Test::SubsetOf(numbers(&[22]))),
            ]),
            "neither holds: operating system family is linux, must be windows, nor open TCP ports: 23 not among 22",
        ),
        (
            test(Attribute::Value, Test::All(vec![Test::GreaterOrEqual(1.0), Test::LessOrEqual(2.0)])),
            "business value is 5, must be at most 2",
        ),
        (any(Vec::new()), "neither holds: "),
    ] {
        let broken = engine(vec![super::require("rule", require, 4)]).violations(&facts(&[22, 23]));
        assert_eq!(why(&broken), [says]);
    }
}

#[test]
fn why_is_printable_and_short() {
    let mut host = facts(&[22]);
    let endpoint = |port: u16| EndpointFact { transport: Transport::Tcp, port, service: None, tls: false };
    host.endpoints.extend((1000..3000).map(endpoint));
    host.names = ["a\u{1b}[31m\nb".to_owned()].into();
    let rules = vec![
        super::require("ports", test(Attribute::OpenTcp, Test::SubsetOf(numbers(&[22]))), 4),
        super::require("name", test(Attribute::Name, Test::In(texts(&["x"]))), 4),
    ];
    for broken in engine(rules).violations(&host) {
        assert!(broken.why.chars().count() <= 400 && !broken.why.chars().any(char::is_control), "{}", broken.why);
    }
}

#[test]
fn events_on_transitions_only_and_each_becomes_its_rules_alert() {
    let engine = engine(vec![shape()]);
    let sensor = "scan1".into();
    let step = |previous: &[_], facts: &HostFacts, second| {
        state_events(&engine, previous, &engine.violations(facts), facts, &sensor, at(second))
    };
    let kinds = |events: &[Event]| events.iter().map(|event| event.kind).collect::<Vec<_>>();

    let (events, standing) = step(&[], &facts(&[22]), 0);
    assert_eq!((kinds(&events), standing.as_slice()), (vec![], [].as_slice()));

    let (events, standing) = step(&standing, &facts(&[22, 3389]), 10);
    assert_eq!(kinds(&events), [EventType::PolicyViolation]);
    assert_eq!(standing, [("dmz".to_owned(), "dmz-rules".to_owned(), "linux-with-three-ports".to_owned(), at(10))]);
    let violation = &events[0];
    assert_eq!(violation.new.as_deref(), Some("open TCP ports: 3389 not among 22, 80, 443"));
    assert_eq!((violation.profile.as_deref(), violation.severity), (Some("dmz"), severity(5)));
    let alerts = engine.evaluate(violation, Some(&facts(&[22, 3389])), at(10));
    assert_eq!(
        (alerts[0].rules.as_slice(), alerts[0].severity),
        (["linux-with-three-ports".to_owned()].as_slice(), severity(5))
    );

    // It stays broken, another way even: nothing is said.
    let (events, standing) = step(&standing, &facts(&[22, 8080]), 20);
    assert_eq!((kinds(&events), standing[0].3), (vec![], at(10)));
    // The host goes away: nothing is said, nothing is forgotten.
    let (events, standing) = step(&standing, &HostFacts { up: false, ..facts(&[]) }, 30);
    assert_eq!((kinds(&events), standing[0].3), (vec![], at(10)));

    let (events, standing) = step(&standing, &facts(&[22]), 40);
    assert_eq!((kinds(&events), standing.len()), (vec![EventType::PolicyCleared], 0));
    assert_eq!((events[0].severity, events[0].first_seen), (Severity::INFO, Some(at(10))));
    assert_eq!(events[0].new, None, "it is in force");
    let alerts = engine.evaluate(&events[0], None, at(40));
    assert_eq!((alerts[0].rules[0].as_str(), alerts[0].severity), ("linux-with-three-ports", Severity::INFO));
}

#[test]
fn a_rule_that_is_gone_ends_with_policy_cleared() {
    let standing = [("dmz".to_owned(), "old-set".to_owned(), "no-telnet".to_owned(), at(0))];
    let engine = engine(Vec::new());
    let (events, left) = state_events(&engine, &standing, &[], &facts(&[22]), &"scan1".into(), at(9));
    assert_eq!(left, []);
    assert_eq!(events[0].new.as_deref(), Some("no longer in force"), "nobody says that the host satisfies it");
    let alerts = engine.evaluate(&events[0], None, at(9));
    assert_eq!((alerts[0].rules[0].as_str(), alerts[0].severity), ("no-telnet", Severity::INFO));
}

#[test]
fn an_exception_covers_policy_events_too() {
    let exception = Rule { drop: true, ..on("accepted", EventType::PolicyViolation, always()) };
    let engine = engine(vec![shape(), exception]);
    let host = facts(&[3389]);
    let (events, _) = state_events(&engine, &[], &engine.violations(&host), &host, &"scan1".into(), at(0));
    let judgement = engine.judge(&events[0], Some(&host), at(0));
    assert_eq!((judgement.alerts.len(), judgement.dropped.len()), (0, 1));
}
