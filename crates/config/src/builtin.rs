//! The ready-made rule sets, which are part of the program.

use crate::{Diagnostic, SourceMap, rule::RuleSet, ruleset, sink::Sink, walk::Table};
use toml::de::DeTable;

const SETS: [(&str, &str); 2] = [
    ("builtin:perimeter", include_str!("../../../config/rulesets/perimeter.toml")),
    ("builtin:certificates", include_str!("../../../config/rulesets/certificates.toml")),
];

/// The names profiles call them by.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, _)| *name)
}

/// The rule set of that name.
pub fn get(name: &str) -> Option<RuleSet> {
    let (name, text) = SETS.iter().find(|(known, _)| *known == name)?;
    Some(parse(text, name).0)
}

/// The text of the rule set of that name, to show or to start an own one from.
pub fn text(name: &str) -> Option<&'static str> {
    SETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Reads a file that is one rule set: `title` and `[[rule]]`.
pub fn parse(text: &str, name: &str) -> (RuleSet, Vec<Diagnostic>, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let sink = Sink::default();
    crate::load::report_syntax(&errors, file, &sink);
    let table = Table::document(file, document.get_ref(), ruleset::KEYS, &sink);
    let ruleset = ruleset::read_table(&table);
    (ruleset, crate::load::sorted(sink, &sources), sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ready_made_set_reads_without_a_word() {
        for (name, text) in SETS {
            let (ruleset, diagnostics, sources) = parse(text, name);
            let words: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(&sources, false)).collect();
            assert!(words.is_empty(), "{}", words.join("\n"));
            assert!(!ruleset.rules.is_empty() && ruleset.title.is_some(), "{name}");
        }
    }
}
