//! Every operator against values it passes, values it does not, the unknown and the empty set.

use super::{numbers, test, texts};
use crate::{
    attribute::{Atom, Subject},
    condition::{holds, normalise, passes},
};
use config::rule::{Attribute, Condition, Test, Value};
use model::{AddressRange, Event, EventType};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Values = Vec<Atom>;

/// A test as a rule would have it.
fn normal(of: Test) -> Test {
    match normalise(&test(Attribute::Name, of)) {
        Condition::Attribute(_, test) => test,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Vec<Atom> {
    vec![Atom::Text(text.to_owned())]
}

fn ports(ports: &[u16]) -> Vec<Atom> {
    ports.iter().map(|&port| Atom::Number(f64::from(port))).collect()
}

#[test]
fn every_operator_against_known_and_unknown() {
    let address = |first: [u8; 4], last: [u8; 4]| {
        Value::Addresses(AddressRange::new(first.into(), last.into()).expect("a range"))
    };
    let strings = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
    // The test, values that pass it, values that do not, and what it says of the unknown.
    let table: Vec<(Test, Vec<Values>, Vec<Values>, bool)> = vec![
        (Test::In(texts(&["Linux"])), vec![text(" linux "), text("LINUX")], vec![text("linux-gnu"), text("")], false),
        (Test::In(texts(&["ÄRGER"])), vec![text("ärger")], vec![text("arger")], false),
        (Test::In(numbers(&[80, 443])), vec![ports(&[80]), ports(&[1, 443])], vec![ports(&[81]), vec![]], false),
        (Test::In(vec![Value::Ports(1, 1024)]), vec![ports(&[1]), ports(&[1024])], vec![ports(&[1025])], false),
        (
            Test::In(vec![Value::Boolean(true)]),
            vec![vec![Atom::Boolean(true)]],
            vec![vec![Atom::Boolean(false)]],
            false,
        ),
        (
            Test::In(vec![address([198, 51, 100, 0], [198, 51, 100, 255])]),
            vec![vec![Atom::Address([198, 51, 100, 7].into())]],
            vec![vec![Atom::Address([203, 0, 113, 7].into())]],
            false,
        ),
        (Test::In(numbers(&[80])), vec![], vec![text("80"), vec![Atom::Boolean(true)]], false),
        (Test::NotIn(texts(&["windows"])), vec![text("linux"), vec![]], vec![text("Windows")], true),
        (Test::NotIn(numbers(&[22, 80, 443])), vec![ports(&[3389])], vec![ports(&[22]), ports(&[3389, 22])], true),
        (Test::Less(7.0), vec![ports(&[6])], vec![ports(&[7]), ports(&[8]), text("6")], false),
        (Test::LessOrEqual(7.0), vec![ports(&[7])], vec![ports(&[8])], false),
        (Test::Greater(7.0), vec![ports(&[8])], vec![ports(&[7])], false),
        (Test::GreaterOrEqual(7.0), vec![ports(&[7])], vec![ports(&[6])], false),
        (Test::Contains(strings(&["win", "mac"])), vec![text("Windows 10"), text("macOS")], vec![text("Linux")], false),
        (Test::NotContains(strings(&["Windows"])), vec![text("Linux"), vec![]], vec![text("MS windows 10")], true),
        (Test::StartsWith("Open".to_owned()), vec![text("openssh")], vec![text("reopen")], false),
        (Test::EndsWith(".Example.org".to_owned()), vec![text("www.EXAMPLE.org")], vec![text("example.org")], false),
        (
            Test::Glob("*.example.???".to_owned()),
            vec![text("a.b.example.org"), text("x.EXAMPLE.net")],
            vec![text("example.org"), text("a.example.info")],
            false,
        ),
        (Test::Glob("a*b*c".to_owned()), vec![text("abc"), text("axxbxbxxc")], vec![text("acb"), text("abcd")], false),
        (Test::Glob("*".to_owned()), vec![text(""), text("anything")], vec![vec![]], false),
        (
            Test::SubsetOf(numbers(&[22, 80, 443])),
            vec![ports(&[22]), ports(&[80, 443]), vec![]],
            vec![ports(&[22, 3389])],
            false,
        ),
        (
            Test::SupersetOf(vec![Value::Number(22.0), Value::Ports(80, 81)]),
            vec![ports(&[22, 80, 81]), ports(&[1, 22, 80, 80, 81])],
            vec![ports(&[22, 80]), ports(&[80, 81]), ports(&[22, 80, 80]), vec![]],
            false,
        ),
        (Test::AnyOf(numbers(&[23, 3389])), vec![ports(&[22, 23])], vec![ports(&[22]), vec![]], false),
        (Test::NoneOf(numbers(&[23, 3389])), vec![ports(&[22]), vec![]], vec![ports(&[22, 23])], true),
        (Test::Exists(true), vec![text("x"), ports(&[1])], vec![vec![]], false),
        (Test::Exists(false), vec![vec![]], vec![text("x")], true),
        (
            Test::All(vec![Test::GreaterOrEqual(3.0), Test::LessOrEqual(7.0)]),
            vec![ports(&[3]), ports(&[7])],
            vec![ports(&[2]), ports(&[8])],
            false,
        ),
        // "Not Windows, and known": what `exists` is for.
        (
            Test::All(vec![Test::NotContains(strings(&["windows"])), Test::Exists(true)]),
            vec![text("Linux")],
            vec![text("Windows"), vec![]],
            false,
        ),
    ];
    for (test, passing, failing, unknown) in table {
        let test = normal(test);
        for values in passing {
            assert!(passes(&test, Some(&values)), "{values:?} passes {test:?}");
        }
        for values in failing {
            assert!(!passes(&test, Some(&values)), "{values:?} does not pass {test:?}");
        }
        assert_eq!(passes(&test, None), unknown, "the unknown and {test:?}");
    }
}

/// Each negative test with the positive one it negates.
fn twins() -> Vec<(Test, Test)> {
    let list = || numbers(&[22, 80]);
    let parts = || vec!["80".to_owned()];
    vec![
        (Test::NotIn(list()), Test::In(list())),
        (Test::NoneOf(list()), Test::AnyOf(list())),
        (Test::NotContains(parts()), Test::Contains(parts())),
        (Test::Exists(false), Test::Exists(true)),
    ]
}

fn any_values() -> impl Strategy<Value = Option<Vec<Atom>>> {
    let atom = prop_oneof![
        (0_u16..100).prop_map(|port| Atom::Number(f64::from(port))),
        "[0-9]{0,3}".prop_map(Atom::Text),
        any::<bool>().prop_map(Atom::Boolean),
    ];
    prop::option::of(prop::collection::vec(atom, 0..4))
}

/// Conditions over the event's ports and texts, two deep.
fn any_condition() -> impl Strategy<Value = Condition> {
    let ports = prop::collection::vec(0_u16..6, 0..3).prop_map(|ports| numbers(&ports)).boxed();
    let leaf = prop_oneof![
        ports.clone().prop_map(|list| test(Attribute::Port, Test::In(list))),
        ports.clone().prop_map(|list| test(Attribute::Port, Test::NotIn(list))),
        ports.prop_map(|list| test(Attribute::OpenTcp, Test::SubsetOf(list))),
        "[a-c]{0,2}".prop_map(|text| test(Attribute::Reason, Test::Contains(vec![text]))),
        "[a-c]{0,2}".prop_map(|text| test(Attribute::Old, Test::NotContains(vec![text]))),
        any::<bool>().prop_map(|wanted| test(Attribute::New, Test::Exists(wanted))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = || prop::option::of("[a-c]{0,3}");
    (prop::option::of(0_u16..6), text(), text(), text()).prop_map(|(port, old, new, reason)| Event {
        endpoint: port.map(|port| model::EventEndpoint { transport: model::Transport::Tcp, port }),
        old,
        new,
        reason,
        ..super::event(EventType::PortOpen)
    })
}

proptest! {
    #[test]
    fn a_negative_test_is_the_negation_of_its_twin(values in any_values()) {
        for (negative, positive) in twins() {
            prop_assert_eq!(passes(&negative, values.as_deref()), !passes(&positive, values.as_deref()));
        }
    }

    /// De Morgan, on known attributes and on unknown ones.
    #[test]
    fn not_distributes(parts in prop::collection::vec(any_condition(), 0..4), event in any_event()) {
        let values = BTreeMap::new();
        let subject = Subject { event: Some(&event), host: None, values: &values };
        let not = |condition: Condition| Condition::Not(Box::new(condition));
        let negated = || parts.iter().cloned().map(not).collect::<Vec<_>>();
        let says = |condition: &Condition| holds(&normalise(condition), &subject);
        prop_assert_eq!(says(&not(Condition::All(parts.clone()))), says(&Condition::Any(negated())));
        prop_assert_eq!(says(&not(Condition::Any(parts.clone()))), says(&Condition::All(negated())));
        let all = Condition::All(parts.clone());
        prop_assert_eq!(says(&not(not(all.clone()))), says(&all));
    }

    #[test]
    fn a_pattern_without_wildcards_is_equality(pattern in "[a-c]{0,4}", value in "[a-c]{0,4}") {
        let is = passes(&Test::Glob(pattern.clone()), Some(&[Atom::Text(value.clone())]));
        prop_assert_eq!(is, pattern == value);
    }

    #[test]
    fn a_pattern_finds_what_it_was_made_from(parts in prop::collection::vec("[a-c]{0,3}", 1..4), fill in "[a-c]{0,3}") {
        let value = parts.join(&fill);
        prop_assert!(passes(&Test::Glob(parts.join("*")), Some(&[Atom::Text(value)])));
    }
}
