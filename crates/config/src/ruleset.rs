//! WHAT: rule sets.

use crate::{
    condition::{self, Subject},
    diagnostic::Diagnostic,
    names::{fault, show},
    rule::{Condition, Rule, RuleSet, Trigger},
    source::Span,
    walk::{Table, Value},
};
use model::{EventType, Severity};
use std::collections::BTreeMap;

pub(crate) const KEYS: &[&str] = &["title", "rule"];
pub(crate) const RULE_KEYS: &[&str] = &["id", "title", "on", "when", "require", "severity", "enabled", "drop"];

/// Reads `[ruleset.NAME]`, or a whole file of a ready-made set.
pub(crate) fn read(value: &Value<'_>) -> RuleSet {
    value.table(KEYS).map(|table| read_table(&table)).unwrap_or_default()
}

pub(crate) fn read_table(table: &Table<'_>) -> RuleSet {
    let title = table.get("title").and_then(|title| title.line(200));
    let mut rules = Vec::new();
    let mut ids: BTreeMap<String, Span> = BTreeMap::new();
    let items = table.get("rule").and_then(|list| list.list()).unwrap_or_default();
    if items.is_empty() {
        let title = if table.path.is_empty() {
            "the rule set has no rules".to_owned()
        } else {
            format!("`{}` has no rules", table.path)
        };
        table.sink.push_if_whole(table.warning(title).help("write at least one `[[ruleset.NAME.rule]]`"));
    }
    for item in &items {
        rules.extend(read_rule(item, &mut ids));
    }
    RuleSet { title, rules }
}

fn read_rule(value: &Value<'_>, ids: &mut BTreeMap<String, Span>) -> Option<Rule> {
    let table = value.table(RULE_KEYS)?;
    let id = table
        .require("id", "it names the rule in every alert, so it should never change")
        .and_then(|id| read_id(&id, ids));
    let title = table.get("title").and_then(|title| title.line(200));
    let severity = table.get("severity").and_then(|severity| read_severity(&severity));
    let enabled = table.get("enabled").and_then(|enabled| enabled.boolean()).unwrap_or(true);
    let drop = table.get("drop").and_then(|drop| drop.boolean()).unwrap_or(false);
    let trigger = read_trigger(&table);
    if drop && let Some(require) = table.get("require") {
        let title = "a state rule cannot be an exception";
        table.sink.push(Diagnostic::error(require.key, title).help("`drop` goes with `on` and `when`"));
    }
    Some(Rule { id: id?, title, trigger: trigger?, severity, enabled, drop })
}

fn read_id(value: &Value<'_>, ids: &mut BTreeMap<String, Span>) -> Option<String> {
    let id = value.text()?.to_owned();
    if let Some(fault) = fault(&id) {
        value.refuse(format!("{} cannot be a rule's id: {fault}", show(&id)));
        return None;
    }
    if let Some(first) = ids.get(&id) {
        let title = format!("two rules of one set have the id {}", show(&id));
        value.sink.push(value.error(title).label("again here").related(*first, "first here"));
        return None;
    }
    ids.insert(id.clone(), value.span);
    Some(id)
}

pub(crate) fn read_severity(value: &Value<'_>) -> Option<Severity> {
    value.integer_in(1..=5).and_then(|number| Severity::try_from(u8::try_from(number).ok()?).ok())
}

fn read_trigger(table: &Table<'_>) -> Option<Trigger> {
    let (on, when, require) = (table.get("on"), table.get("when"), table.get("require"));
    match (on, require) {
        (Some(on), None) => {
            let on = read_events(&on);
            let when = match when {
                Some(when) => condition::read(&when, Subject::Event),
                None => Some(Condition::All(Vec::new())),
            };
            Some(Trigger::Event { on: on?, when: when? })
        }
        (None, Some(require)) => {
            if let Some(when) = when {
                let title = "`when` goes with `on`; a state rule says all in `require`";
                table.sink.push(Diagnostic::error(when.key, title).related(require.key, "the state rule"));
            }
            condition::read(&require, Subject::Host).map(|require| Trigger::State { require })
        }
        (Some(on), Some(require)) => {
            let title = "a rule is about events (`on`) or about the state of hosts (`require`), not both";
            table.sink.push(
                Diagnostic::error(require.key, title).related(on.key, "already about events").help("make it two rules"),
            );
            None
        }
        (None, None) => {
            let diagnostic = table.error("a rule needs `on` or `require`").label("says neither");
            table.sink.push_if_whole(
                diagnostic
                    .help("`on = [\"PORT_OPEN\"]` waits for events; `require = { … }` says what hosts must satisfy"),
            );
            None
        }
    }
}

fn read_events(value: &Value<'_>) -> Option<Vec<EventType>> {
    let items = value.one_or_many();
    if items.is_empty() {
        value.refuse("the list is empty, so the rule waits for nothing");
        return None;
    }
    let events: Vec<EventType> = items.iter().filter_map(read_event).collect();
    (events.len() == items.len()).then_some(events)
}

fn read_event(value: &Value<'_>) -> Option<EventType> {
    let text = value.text()?;
    let Ok(event) = text.parse::<EventType>() else {
        let names: Vec<&str> = EventType::ALL.iter().map(|event| event.as_str()).collect();
        let diagnostic = value.error(format!("{} is not an event type", show(text))).label("unknown event type");
        value.suggest(diagnostic, text, "event type", names);
        return None;
    };
    if !event.is_emitted() {
        let title = format!("this version never raises {event}; the rule waits in vain for it");
        value.sink.push(value.warning(title).label("accepted for later"));
    }
    Some(event)
}
