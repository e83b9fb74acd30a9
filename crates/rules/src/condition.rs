//! Whether a condition holds. Two-valued: an unknown attribute passes no positive test, and every negative test is the
//! negation of a positive one.

use crate::attribute::{Atom, Subject};
use config::rule::{Condition, Test, Value};
use std::collections::BTreeSet;

/// Brings the texts of a condition into the form they are compared in, once.
pub(crate) fn normalise(condition: &Condition) -> Condition {
    match condition {
        Condition::All(parts) => Condition::All(parts.iter().map(normalise).collect()),
        Condition::Any(parts) => Condition::Any(parts.iter().map(normalise).collect()),
        Condition::Not(part) => Condition::Not(Box::new(normalise(part))),
        Condition::Attribute(attribute, test) => Condition::Attribute(*attribute, normalise_test(test)),
    }
}

fn normalise_test(test: &Test) -> Test {
    let values = |values: &[Value]| {
        let fold = |value: &Value| match value {
            Value::Text(text) => Value::Text(fold(text)),
            other => other.clone(),
        };
        values.iter().map(fold).collect::<Vec<_>>()
    };
    let texts = |texts: &[String]| texts.iter().map(|text| fold(text)).collect::<Vec<_>>();
    match test {
        Test::In(list) => Test::In(values(list)),
        Test::NotIn(list) => Test::NotIn(values(list)),
        Test::SubsetOf(list) => Test::SubsetOf(values(list)),
        Test::SupersetOf(list) => Test::SupersetOf(values(list)),
        Test::AnyOf(list) => Test::AnyOf(values(list)),
        Test::NoneOf(list) => Test::NoneOf(values(list)),
        Test::Contains(list) => Test::Contains(texts(list)),
        Test::NotContains(list) => Test::NotContains(texts(list)),
        Test::StartsWith(text) => Test::StartsWith(fold(text)),
        Test::EndsWith(text) => Test::EndsWith(fold(text)),
        Test::Glob(text) => Test::Glob(fold(text)),
        Test::All(tests) => Test::All(tests.iter().map(normalise_test).collect()),
        Test::Less(_) | Test::LessOrEqual(_) | Test::Greater(_) | Test::GreaterOrEqual(_) | Test::Exists(_) => {
            test.clone()
        }
    }
}

/// Texts are compared trimmed and without regard to case.
fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Whether a normalised condition holds.
pub(crate) fn holds(condition: &Condition, subject: &Subject<'_>) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, subject)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, subject)),
        Condition::Not(part) => !holds(part, subject),
        Condition::Attribute(attribute, test) => passes(test, subject.look_up(*attribute).as_deref()),
    }
}

/// Whether the values of an attribute pass a normalised test; none: unknown. Where there are several, a positive test
/// passes where any of them does.
pub(crate) fn passes(test: &Test, values: Option<&[Atom]>) -> bool {
    let any = |ask: &dyn Fn(&Atom) -> bool| values.is_some_and(|values| values.iter().any(ask));
    let number = |ask: &dyn Fn(f64) -> bool| any(&|atom| matches!(atom, Atom::Number(number) if ask(*number)));
    let text = |ask: &dyn Fn(&str) -> bool| any(&|atom| matches!(atom, Atom::Text(text) if ask(&fold(text))));
    match test {
        Test::In(list) | Test::AnyOf(list) => any(&|atom| is_one_of(atom, list)),
        Test::NotIn(list) | Test::NoneOf(list) => !any(&|atom| is_one_of(atom, list)),
        Test::Less(limit) => number(&|value| value < *limit),
        Test::LessOrEqual(limit) => number(&|value| value <= *limit),
        Test::Greater(limit) => number(&|value| value > *limit),
        Test::GreaterOrEqual(limit) => number(&|value| value >= *limit),
        Test::Contains(parts) => text(&|value| parts.iter().any(|part| value.contains(part.as_str()))),
        Test::NotContains(parts) => !text(&|value| parts.iter().any(|part| value.contains(part.as_str()))),
        Test::StartsWith(start) => text(&|value| value.starts_with(start.as_str())),
        Test::EndsWith(end) => text(&|value| value.ends_with(end.as_str())),
        Test::Glob(pattern) => text(&|value| glob(pattern, value)),
        Test::SubsetOf(list) => values.is_some_and(|values| values.iter().all(|atom| is_one_of(atom, list))),
        Test::SupersetOf(list) => values.is_some_and(|values| list.iter().all(|wanted| is_covered(wanted, values))),
        Test::Exists(wanted) => values.is_some_and(|values| !values.is_empty()) == *wanted,
        Test::All(tests) => tests.iter().all(|test| passes(test, values)),
    }
}

/// Whether the value equals any of the list's.
pub(crate) fn is_one_of(atom: &Atom, list: &[Value]) -> bool {
    let folded = match atom {
        Atom::Text(text) => fold(text),
        _ => String::new(),
    };
    list.iter().any(|value| match (atom, value) {
        (Atom::Text(_), Value::Text(text)) => folded == *text,
        (Atom::Number(number), Value::Number(wanted)) => number.total_cmp(wanted).is_eq(),
        (Atom::Number(number), Value::Ports(first, last)) => (f64::from(*first)..=f64::from(*last)).contains(number),
        (Atom::Boolean(truth), Value::Boolean(wanted)) => truth == wanted,
        (Atom::Address(ip), Value::Addresses(range)) => range.contains(*ip),
        _ => false,
    })
}

/// Whether everything the value stands for is among the values: for a range of ports, each of them.
pub(crate) fn is_covered(wanted: &Value, values: &[Atom]) -> bool {
    let Value::Ports(first, last) = wanted else {
        return values.iter().any(|atom| is_one_of(atom, std::slice::from_ref(wanted)));
    };
    let range = f64::from(*first)..=f64::from(*last);
    let found: BTreeSet<u64> = values
        .iter()
        .filter_map(|atom| match atom {
            Atom::Number(number) if range.contains(number) => Some(number.to_bits()),
            _ => None,
        })
        .collect();
    found.len() == usize::from(last.saturating_sub(*first)) + 1
}

/// `*` is any run of characters, `?` any one. Takes at most pattern × text steps.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star, should what follows it not fit here.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&letter) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(&wanted) if wanted == '?' || wanted == letter => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&rest| rest == '*')
}
