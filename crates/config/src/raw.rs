//! What was typed, over all files, by section and name: nothing is read yet but what belongs where.

use crate::{
    Diagnostic,
    asset::check_name,
    names::show,
    sink::Sink,
    walk::{Table, Value},
};
use std::collections::BTreeMap;

pub(crate) const KEYS: &[&str] = &[
    "include",
    "sensor",
    "store",
    "console",
    "tls",
    "identify",
    "asset",
    "ruleset",
    "profile",
    "recipient",
    "channel",
];
pub(crate) const CHANNEL_KEYS: &[&str] = &["email"];

#[derive(Debug, Default)]
pub(crate) struct Raw<'a> {
    pub(crate) sensor: Option<Value<'a>>,
    pub(crate) store: Option<Value<'a>>,
    pub(crate) console: Option<Value<'a>>,
    pub(crate) tls: Option<Value<'a>>,
    pub(crate) identify: Option<Value<'a>>,
    pub(crate) email: Option<Value<'a>>,
    pub(crate) assets: BTreeMap<&'a str, Value<'a>>,
    pub(crate) rulesets: BTreeMap<&'a str, Value<'a>>,
    pub(crate) profiles: BTreeMap<&'a str, Value<'a>>,
    pub(crate) recipients: BTreeMap<&'a str, Value<'a>>,
}

impl<'a> Raw<'a> {
    /// Sorts one file's sections in. A section or a name that another file has already is reported.
    pub(crate) fn add(&mut self, document: &Table<'a>) {
        let sink = document.sink;
        for (slot, value) in [
            (&mut self.sensor, document.get("sensor")),
            (&mut self.store, document.get("store")),
            (&mut self.console, document.get("console")),
            (&mut self.tls, document.get("tls")),
            (&mut self.identify, document.get("identify")),
            (&mut self.email, document.get("channel").and_then(|value| value.table(CHANNEL_KEYS)?.get("email"))),
        ] {
            let Some(value) = value else { continue };
            match slot {
                Some(first) => defined_twice(&format!("`[{}]`", value.path), first, &value, sink),
                None => *slot = Some(value),
            }
        }
        for (names, kind, value) in [
            (&mut self.assets, "asset", document.get("asset")),
            (&mut self.rulesets, "rule set", document.get("ruleset")),
            (&mut self.profiles, "profile", document.get("profile")),
            (&mut self.recipients, "recipient", document.get("recipient")),
        ] {
            let Some(table) = value.and_then(|value| value.open_table()) else { continue };
            for (name, value) in table.entries() {
                let article = if kind == "asset" { "an" } else { "a" };
                check_name(&format!("{article} {kind}"), name, value.key, sink);
                if let Some(first) = names.get(name) {
                    defined_twice(&format!("the {kind} {}", show(name)), first, &value, sink);
                } else {
                    names.insert(name, value);
                }
            }
        }
    }
}

fn defined_twice(what: &str, first: &Value<'_>, second: &Value<'_>, sink: &Sink) {
    let diagnostic = Diagnostic::error(second.key, format!("{what} is defined twice"));
    sink.push(
        diagnostic.label("again here").related(first.key, "first here").help("write each once; files are not merged"),
    );
}
