//! Why a condition does not hold, in words a first responder can act on.

use crate::{
    attribute::{Atom, Subject},
    condition::{holds, is_covered, is_one_of, passes},
};
use config::rule::{Attribute, Condition, Test, Value};

/// Longer than this nobody reads; the facts are in the inventory.
const LONGEST: usize = 400;

/// The facts that keep a normalised condition from holding: `operating system family is unknown, must be linux; open
/// TCP ports: 3389 is not one of 22, 80, 443`. Printable, at most a few hundred characters.
pub(crate) fn explain(condition: &Condition, subject: &Subject<'_>) -> String {
    let mut parts = Vec::new();
    failures(condition, subject, &mut parts);
    let text: String = parts.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn failures(condition: &Condition, subject: &Subject<'_>, into: &mut Vec<String>) {
    match condition {
        _ if holds(condition, subject) => {}
        Condition::All(parts) => {
            for part in parts {
                failures(part, subject, into);
            }
        }
        Condition::Any(parts) => {
            let mut reasons = Vec::new();
            for part in parts {
                failures(part, subject, &mut reasons);
            }
            into.push(format!("neither holds: {}", reasons.join(", nor ")));
        }
        Condition::Not(part) => {
            let mut reasons = Vec::new();
            satisfied(part, subject, &mut reasons);
            into.push(format!("must not be: {}", reasons.join(" and ")));
        }
        Condition::Attribute(attribute, Test::All(tests)) => {
            let values = subject.look_up(*attribute);
            for test in tests.iter().filter(|test| !passes(test, values.as_deref())) {
                into.push(failure(*attribute, test, values.as_deref()));
            }
        }
        Condition::Attribute(attribute, test) => {
            into.push(failure(*attribute, test, subject.look_up(*attribute).as_deref()));
        }
    }
}

/// The facts that make a condition hold.
fn satisfied(condition: &Condition, subject: &Subject<'_>, into: &mut Vec<String>) {
    match condition {
        _ if !holds(condition, subject) => {}
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                satisfied(part, subject, into);
            }
        }
        Condition::Not(part) => failures(part, subject, into),
        Condition::Attribute(attribute, _) => {
            into.push(format!("{} is {}", word(*attribute), shown(subject.look_up(*attribute).as_deref())));
        }
    }
}

fn failure(attribute: Attribute, test: &Test, values: Option<&[Atom]>) -> String {
    let name = word(attribute);
    match (test, values) {
        (Test::SubsetOf(list), Some(values)) => {
            let beyond: Vec<Atom> = values.iter().filter(|atom| !is_one_of(atom, list)).cloned().collect();
            format!("{name}: {} not among {}", shown(Some(&beyond)), listed(list))
        }
        (Test::SupersetOf(list), Some(values)) => {
            let missing: Vec<Value> = list.iter().filter(|wanted| !is_covered(wanted, values)).cloned().collect();
            format!("{name}: {} missing", listed(&missing))
        }
        (Test::NoneOf(list) | Test::NotIn(list), Some(values)) if values.len() > 1 => {
            let found: Vec<Atom> = values.iter().filter(|atom| is_one_of(atom, list)).cloned().collect();
            format!("{name}: {} not allowed", shown(Some(&found)))
        }
        _ => format!("{name} is {}, must {}", shown(values), demand(test)),
    }
}

fn demand(test: &Test) -> String {
    let texts = |texts: &[String]| texts.join(" or ");
    match test {
        Test::In(list) | Test::AnyOf(list) if list.len() == 1 => format!("be {}", listed(list)),
        Test::In(list) | Test::AnyOf(list) => format!("be one of {}", listed(list)),
        Test::NotIn(list) | Test::NoneOf(list) => format!("not be {}", listed(list)),
        Test::Less(limit) => format!("be less than {limit}"),
        Test::LessOrEqual(limit) => format!("be at most {limit}"),
        Test::Greater(limit) => format!("be more than {limit}"),
        Test::GreaterOrEqual(limit) => format!("be at least {limit}"),
        Test::Contains(parts) => format!("contain {}", texts(parts)),
        Test::NotContains(parts) => format!("not contain {}", texts(parts)),
        Test::StartsWith(start) => format!("start with {start}"),
        Test::EndsWith(end) => format!("end with {end}"),
        Test::Glob(pattern) => format!("be like {pattern}"),
        Test::SubsetOf(list) => format!("be among {}", listed(list)),
        Test::SupersetOf(list) => format!("have {}", listed(list)),
        Test::Exists(true) => "be known".to_owned(),
        Test::Exists(false) => "be unknown".to_owned(),
        Test::All(tests) => tests.iter().map(demand).collect::<Vec<_>>().join(" and "),
    }
}

fn shown(values: Option<&[Atom]>) -> String {
    match values {
        None => "unknown".to_owned(),
        Some([]) => "none".to_owned(),
        Some(values) => values.iter().map(atom).collect::<Vec<_>>().join(", "),
    }
}

fn atom(atom: &Atom) -> String {
    match atom {
        Atom::Text(text) => text.clone(),
        Atom::Number(number) => number.to_string(),
        Atom::Boolean(true) => "yes".to_owned(),
        Atom::Boolean(false) => "no".to_owned(),
        Atom::Address(ip) => ip.to_string(),
    }
}

fn listed(values: &[Value]) -> String {
    let value = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Addresses(range) => range.to_string(),
        Value::Ports(first, last) => format!("{first}-{last}"),
    };
    if values.is_empty() { "nothing".to_owned() } else { values.iter().map(value).collect::<Vec<_>>().join(", ") }
}

fn word(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Ip => "address",
        Attribute::Name => "name",
        Attribute::Asset => "asset",
        Attribute::Tag => "tag",
        Attribute::Value => "business value",
        Attribute::Approved => "approved",
        Attribute::Os => "operating system",
        Attribute::OsFamily => "operating system family",
        Attribute::OpenTcp => "open TCP ports",
        Attribute::OpenUdp => "open UDP ports",
        Attribute::Transport => "transport",
        Attribute::Port => "port",
        Attribute::Service => "service",
        Attribute::Product => "product",
        Attribute::Version => "version",
        Attribute::Tls => "TLS",
        Attribute::Banner => "banner",
        Attribute::Issuer => "issuer",
        Attribute::Subject => "certificate subject",
        Attribute::San => "certificate name",
        Attribute::SelfSigned => "self-signed",
        Attribute::DaysLeft => "days left",
        Attribute::Verdict => "certificate verdict",
        Attribute::Severity => "severity",
        Attribute::Old => "old value",
        Attribute::New => "new value",
        Attribute::Reason => "reason",
        Attribute::Cve => "CVE",
        Attribute::Kev => "known exploited",
        Attribute::Cvss => "CVSS",
        Attribute::Epss => "EPSS",
    }
}
