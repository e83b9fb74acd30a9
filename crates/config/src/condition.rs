//! `when` and `require`: TOML tables to trees of conditions.

use crate::{
    names::show,
    rule::{Attribute, Condition, Test, Value as Operand, ValueKind},
    walk::Value,
};
use model::{AddressRange, Target, Verdict};

const OPERATORS: &[&str] = &[
    "in",
    "not_in",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "between",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "glob",
    "subset_of",
    "superset_of",
    "any_of",
    "none_of",
    "exists",
];

/// The keys of a condition beside the attributes.
const CONNECTIVES: &[&str] = &["any", "all", "not"];

/// What a condition is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `when`: one event.
    Event,
    /// `require`: a host as a whole.
    Host,
}

/// Every name a condition's table takes and every operator, for the reference.
pub(crate) fn vocabulary() -> impl Iterator<Item = &'static str> {
    Attribute::ALL
        .iter()
        .map(|attribute| attribute.as_str())
        .chain(CONNECTIVES.iter().copied())
        .chain(OPERATORS.iter().copied())
}

/// Reads a table of attributes; what cannot be read is reported and left out.
pub(crate) fn read(value: &Value<'_>, subject: Subject) -> Option<Condition> {
    let table = value.open_table()?;
    let mut parts = Vec::new();
    for (name, value) in table.entries() {
        let part = match name {
            "any" => read_all(&value, subject).map(Condition::Any),
            "all" => read_all(&value, subject).map(Condition::All),
            "not" => read(&value, subject).map(|inner| Condition::Not(Box::new(inner))),
            name => attribute(name, &value, subject),
        };
        parts.extend(part);
    }
    Some(match <[Condition; 1]>::try_from(parts) {
        Ok([only]) => only,
        Err(parts) => Condition::All(parts),
    })
}

fn read_all(value: &Value<'_>, subject: Subject) -> Option<Vec<Condition>> {
    let items = value.list()?;
    if items.is_empty() {
        value.refuse("an empty list says nothing; write at least one condition");
    }
    Some(items.iter().filter_map(|item| read(item, subject)).collect())
}

fn attribute(name: &str, value: &Value<'_>, subject: Subject) -> Option<Condition> {
    let Some(attribute) = Attribute::ALL.iter().copied().find(|attribute| attribute.as_str() == name) else {
        let known = || Attribute::ALL.iter().map(|attribute| attribute.as_str()).chain(CONNECTIVES.iter().copied());
        let diagnostic = crate::Diagnostic::error(value.key, format!("{} is not an attribute", show(name)));
        value.suggest(diagnostic.label("unknown attribute"), name, "attribute", known().collect::<Vec<_>>());
        return None;
    };
    if subject == Subject::Host && !attribute.is_of_host() && attribute.is_known() {
        let diagnostic = crate::Diagnostic::error(value.key, format!("`require` cannot ask `{attribute}`"));
        let help = "ask it of events, with `on` and `when`";
        value.sink.push(diagnostic.label("an attribute of events, not of hosts").help(help));
        return None;
    }
    if !attribute.is_known() {
        let title = format!("`{attribute}` is not known to this version; the condition never holds");
        value.sink.push(crate::Diagnostic::warning(value.key, title).label("accepted for later"));
    }
    test(attribute, value).map(|test| Condition::Attribute(attribute, test))
}

fn test(attribute: Attribute, value: &Value<'_>) -> Option<Test> {
    if !value.is_table() {
        return operands(attribute, value).map(Test::In);
    }
    let table = value.open_table()?;
    let mut tests = Vec::new();
    for (name, operand) in table.entries() {
        if !OPERATORS.contains(&name) {
            let diagnostic = crate::Diagnostic::error(operand.key, format!("{} is not an operator", show(name)));
            value.suggest(diagnostic.label("unknown operator"), name, "operator", OPERATORS.iter().copied());
        } else if !takes(attribute, name) {
            let kind = describe(attribute.kind());
            let title = format!("`{name}` does not fit `{attribute}`, which is {kind}");
            let fitting: Vec<String> =
                OPERATORS.iter().filter(|name| takes(attribute, name)).map(|name| format!("`{name}`")).collect();
            let help = format!("`{attribute}` takes {}", fitting.join(", "));
            value.sink.push(crate::Diagnostic::error(operand.key, title).help(help));
        } else {
            tests.extend(operator(attribute, name, &operand));
        }
    }
    if table.entries().next().is_none() {
        value.refuse("an empty table asks nothing; write a value or an operator, like `{ in = [22, 80] }`");
        return None;
    }
    let mut tests = tests.into_iter();
    Some(match (tests.next()?, tests.as_slice()) {
        (only, []) => only,
        (first, _) => Test::All(std::iter::once(first).chain(tests).collect()),
    })
}

/// Which operators make sense for which kind of value.
fn takes(attribute: Attribute, operator: &str) -> bool {
    let sets = ["subset_of", "superset_of", "any_of", "none_of"];
    let order = ["lt", "le", "gt", "ge", "between"];
    let text = ["contains", "not_contains", "starts_with", "ends_with", "glob"];
    let equal = ["in", "not_in", "eq", "ne"];
    operator == "exists"
        || match attribute.kind() {
            ValueKind::Text => equal.contains(&operator) || text.contains(&operator),
            ValueKind::Number => equal.contains(&operator) || order.contains(&operator),
            ValueKind::Boolean => ["eq", "ne"].contains(&operator),
            ValueKind::Address => equal.contains(&operator),
            ValueKind::Texts => equal.contains(&operator) || text.contains(&operator) || sets.contains(&operator),
            ValueKind::Ports => equal.contains(&operator) || sets.contains(&operator),
        }
}

fn describe(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Text => "a text",
        ValueKind::Number => "a number",
        ValueKind::Boolean => "true or false",
        ValueKind::Address => "an address",
        ValueKind::Texts => "a set of texts",
        ValueKind::Ports => "a set of ports",
    }
}

fn operator(attribute: Attribute, name: &str, value: &Value<'_>) -> Option<Test> {
    Some(match name {
        "in" | "eq" => Test::In(operands(attribute, value)?),
        "not_in" | "ne" => Test::NotIn(operands(attribute, value)?),
        "lt" => Test::Less(number(value)?),
        "le" => Test::LessOrEqual(number(value)?),
        "gt" => Test::Greater(number(value)?),
        "ge" => Test::GreaterOrEqual(number(value)?),
        "between" => between(value)?,
        "contains" => Test::Contains(texts(value)?),
        "not_contains" => Test::NotContains(texts(value)?),
        "starts_with" => Test::StartsWith(value.text()?.to_owned()),
        "ends_with" => Test::EndsWith(value.text()?.to_owned()),
        "glob" => Test::Glob(value.text()?.to_owned()),
        "subset_of" if is_empty_list(value) => Test::SubsetOf(Vec::new()),
        "subset_of" => Test::SubsetOf(operands(attribute, value)?),
        "superset_of" => Test::SupersetOf(operands(attribute, value)?),
        "any_of" => Test::AnyOf(operands(attribute, value)?),
        "none_of" => Test::NoneOf(operands(attribute, value)?),
        _ => Test::Exists(value.boolean()?),
    })
}

fn number(value: &Value<'_>) -> Option<f64> {
    if value.as_number().is_none() {
        value.expected("a number");
    }
    value.as_number()
}

fn between(value: &Value<'_>) -> Option<Test> {
    let items = value.list()?;
    let numbers: Vec<f64> = items.iter().filter_map(number).collect();
    match numbers.as_slice() {
        [least, most] if least <= most => Some(Test::All(vec![Test::GreaterOrEqual(*least), Test::LessOrEqual(*most)])),
        [_, _] => {
            value.refuse("the lower number comes first");
            None
        }
        _ if numbers.len() == items.len() => {
            value.refuse("two numbers are needed; write the least and the most, like `[1, 1024]`");
            None
        }
        _ => None,
    }
}

fn texts(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.one_or_many();
    let texts: Vec<String> = items.iter().filter_map(|item| item.text().map(str::to_owned)).collect();
    if items.is_empty() {
        value.refuse("an empty list matches nothing");
    }
    (!items.is_empty() && texts.len() == items.len()).then_some(texts)
}

/// `open_tcp = { subset_of = [] }` is "nothing open": the one place where an empty list says something.
fn is_empty_list(value: &Value<'_>) -> bool {
    value.is_list() && value.one_or_many().is_empty()
}

/// The values something is compared with; none where one of them could not be read.
fn operands(attribute: Attribute, value: &Value<'_>) -> Option<Vec<Operand>> {
    let items = value.one_or_many();
    if items.is_empty() {
        value.refuse("an empty list matches nothing");
        return None;
    }
    let values: Vec<Operand> = items.iter().filter_map(|item| operand(attribute, item)).collect();
    (values.len() == items.len()).then_some(values)
}

fn operand(attribute: Attribute, value: &Value<'_>) -> Option<Operand> {
    match attribute {
        Attribute::Port | Attribute::OpenTcp | Attribute::OpenUdp => port(value),
        Attribute::Transport => one_of(value, &["tcp", "udp"]),
        Attribute::Verdict => one_of(value, &Verdict::ALL.map(Verdict::as_str)),
        Attribute::Severity | Attribute::Value =>
        {
            #[expect(clippy::cast_precision_loss, reason = "1 to 5")]
            value.integer_in(1..=5).map(|number| Operand::Number(number as f64))
        }
        _ => match attribute.kind() {
            ValueKind::Number | ValueKind::Ports => number(value).map(Operand::Number),
            ValueKind::Boolean => value.boolean().map(Operand::Boolean),
            ValueKind::Address => value.parse(crate::asset::TARGET_HELP, addresses).map(Operand::Addresses),
            ValueKind::Text | ValueKind::Texts => value.text().map(|text| Operand::Text(text.to_owned())),
        },
    }
}

/// `22`, `"22"` or `"1-1024"`.
fn port(value: &Value<'_>) -> Option<Operand> {
    let Some(text) = value.as_text() else {
        #[expect(clippy::cast_precision_loss, reason = "1 to 65535")]
        return value.integer_in(1..=65_535).map(|port| Operand::Number(port as f64));
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = |text: &str| text.trim().parse::<u16>().ok().filter(|&port| port > 0);
    match (read(first), read(last)) {
        (Some(first), Some(last)) if first == last => Some(Operand::Number(f64::from(first))),
        (Some(first), Some(last)) if first < last => Some(Operand::Ports(first, last)),
        _ => {
            value.refuse(format!("{} is neither a port (1 to 65535) nor a range like `1-1024`", show(text)));
            None
        }
    }
}

fn one_of(value: &Value<'_>, words: &[&str]) -> Option<Operand> {
    let text = value.text()?;
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    if found.is_none() {
        let title = format!("`{}` is never {}", value.path, show(text));
        value.suggest(value.error(title), text, "value", words.iter().copied());
    }
    found.map(|word| Operand::Text((*word).to_owned()))
}

fn addresses(text: &str) -> Result<AddressRange, String> {
    match text.parse::<Target>() {
        Ok(target) => target.range().ok_or_else(|| format!("{} is a name; conditions on names use `name`", show(text))),
        Err(error) => Err(error.to_string()),
    }
}
