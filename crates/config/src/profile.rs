//! WHERE meets WHAT: profiles.

use crate::{
    Asset, Diagnostic, Profile,
    asset::{bare, read_tags, read_targets, warn_public},
    builtin,
    names::show,
    raw::Raw,
    rule::RuleSet,
    scan::{self, Written},
    walk::Value,
};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const KEYS: &[&str] = &["assets", "tags", "targets", "rulesets", "scan", "confirm", "storm", "active"];
const DEFAULT_RULESETS: [&str; 2] = ["builtin:perimeter", "builtin:certificates"];

/// What profiles are read against, and what they add to: own targets, ready-made rule sets.
#[derive(Debug)]
pub(crate) struct Beside<'r, 'a> {
    pub(crate) raw: &'r Raw<'a>,
    pub(crate) assets: &'r mut BTreeMap<Arc<str>, Asset>,
    pub(crate) rulesets: &'r mut BTreeMap<Arc<str>, RuleSet>,
}

/// Reads `[profile.NAME]`.
pub(crate) fn read(name: &str, value: &Value<'_>, around: &mut Beside<'_, '_>) -> (Profile, Written) {
    let mut profile = Profile {
        assets: Vec::new(),
        rulesets: Vec::new(),
        scan: crate::Scan::default(),
        confirm: model::Confirm::default(),
        storm: crate::MOST_ALERTS,
        active: true,
    };
    let Some(table) = value.table(KEYS) else { return (profile, Written::new()) };
    let mut written = Written::new();
    for item in table.get("assets").map(|assets| assets.one_or_many()).unwrap_or_default() {
        profile.assets.extend(named_asset(&item, around.raw));
    }
    if let Some(tags) = table.get("tags") {
        profile.assets.extend(tagged_assets(&tags, around.assets));
    }
    if let Some(value) = table.get("targets") {
        let targets = read_targets(&value);
        warn_public(
            &value,
            &targets,
            "make it an asset, which can say `authorization = { by = \"CISO, ticket 4711\" }`",
        );
        let own: Arc<str> = format!("profile:{name}").into();
        around.assets.insert(own.clone(), bare(targets));
        profile.assets.push(own);
    }
    profile.assets.sort();
    profile.assets.dedup();
    let says_where =
        ["assets", "tags", "targets"].iter().any(|key| table.get(key).is_some_and(|value| !is_empty(&value)));
    if !says_where {
        let diagnostic = table.error(format!("`{}` selects no asset", value.path)).label("says nowhere to look");
        table.sink.push_if_whole(
            diagnostic.help("write `assets = [\"NAME\"]`, `tags = [\"TAG\"]` or `targets = [\"192.0.2.7\"]`"),
        );
    }

    match table.get("rulesets") {
        Some(list) => {
            let items = list.one_or_many();
            if items.is_empty() {
                list.sink.push(list.warning(format!("`{}` is empty: nothing is ever an alert", list.path)));
            }
            for item in items {
                profile.rulesets.extend(named_ruleset(&item, around));
            }
        }
        None => profile.rulesets = DEFAULT_RULESETS.map(Into::into).to_vec(),
    }
    for name in &profile.rulesets {
        if let Some(ruleset) = builtin::get(name) {
            around.rulesets.entry(name.clone()).or_insert(ruleset);
        }
    }

    if let Some(value) = table.get("scan") {
        (profile.scan, written) = scan::read(&value);
    }
    if let Some(value) = table.get("confirm") {
        profile.confirm = scan::read_confirm(&value);
    }
    if let Some(most) = table.get("storm").and_then(|value| value.integer_in(2..=1_000_000)) {
        profile.storm = u32::try_from(most).unwrap_or(profile.storm);
    }
    profile.active = table.get("active").and_then(|active| active.boolean()).unwrap_or(true);
    (profile, written)
}

fn is_empty(value: &Value<'_>) -> bool {
    value.is_list() && value.one_or_many().is_empty()
}

fn named_asset(value: &Value<'_>, raw: &Raw<'_>) -> Option<Arc<str>> {
    let name = value.text()?;
    if raw.assets.contains_key(name) {
        return Some(name.into());
    }
    undefined(value, name, "asset", raw.assets.keys().copied());
    None
}

fn tagged_assets(value: &Value<'_>, assets: &BTreeMap<Arc<str>, Asset>) -> Vec<Arc<str>> {
    let mut selected = Vec::new();
    for item in value.one_or_many() {
        // What is wrong with a tag's form is reported by reading it.
        for tag in read_tags(&item) {
            let with: Vec<Arc<str>> =
                assets.iter().filter(|(_, asset)| asset.tags.contains(&tag)).map(|(name, _)| name.clone()).collect();
            if with.is_empty() && item.sink.is_whole() {
                let known: Vec<&str> = assets.values().flat_map(|asset| asset.tags.iter().map(|tag| &**tag)).collect();
                let diagnostic = item.error(format!("no asset has the tag {}", show(&tag))).label("selects nothing");
                item.suggest(diagnostic, &tag, "tag", deduplicated(known));
            }
            selected.extend(with);
        }
    }
    selected
}

fn named_ruleset(value: &Value<'_>, around: &Beside<'_, '_>) -> Option<Arc<str>> {
    let name = value.text()?;
    if around.raw.rulesets.contains_key(name) || builtin::get(name).is_some() {
        return Some(name.into());
    }
    let mut known: Vec<&str> = around.raw.rulesets.keys().copied().collect();
    for name in builtin::names() {
        known.push(name);
    }
    undefined(value, name, "rule set", known.into_iter());
    None
}

/// Reports a name that is nowhere defined.
pub(crate) fn undefined<'c>(value: &Value<'_>, name: &str, kind: &str, known: impl Iterator<Item = &'c str>) {
    if value.sink.is_whole() {
        let diagnostic =
            Diagnostic::error(value.span, format!("there is no {kind} {}", show(name))).label("not defined");
        value.suggest(diagnostic, name, kind, deduplicated(known.collect()));
    }
}

fn deduplicated(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}
