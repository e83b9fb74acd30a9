//! Which of many patterns can match a value at all: those whose literals stand in it. One pass of an automaton over the value
//! leaves a handful of thousands to be tried.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Shorter literals stand in everything.
const SHORTEST: usize = 2;
/// A pattern that begins in more ways than this is always tried.
const MOST_WAYS: usize = 24;

#[derive(Debug)]
pub(crate) struct Prefilter {
    /// None where no pattern has a literal.
    literals: Option<AhoCorasick>,
    /// For each literal, the pattern it belongs to.
    owners: Vec<usize>,
    /// Those without a literal.
    always: Vec<usize>,
}

impl Prefilter {
    /// Of patterns by the literals of which at least one must stand in what they match; none is always tried.
    pub(crate) fn new(patterns: impl Iterator<Item = Option<Vec<Vec<u8>>>>) -> Self {
        let (mut literals, mut owners, mut always) = (Vec::new(), Vec::new(), Vec::new());
        for (index, needed) in patterns.enumerate() {
            match needed {
                Some(needed) => {
                    owners.extend(std::iter::repeat_n(index, needed.len()));
                    literals.extend(needed);
                }
                None => always.push(index),
            }
        }
        let automaton = AhoCorasickBuilder::new().ascii_case_insensitive(true).build(&literals);
        match automaton {
            Ok(automaton) if !literals.is_empty() => Self { literals: Some(automaton), owners, always },
            // Too many literals for one automaton: slower, not wrong.
            _ => {
                always.extend(owners);
                always.sort_unstable();
                always.dedup();
                Self { literals: None, owners: Vec::new(), always }
            }
        }
    }

    /// The patterns to try on a value, in their order.
    pub(crate) fn candidates(&self, value: &[u8]) -> Vec<usize> {
        let mut found = self.always.clone();
        if let Some(literals) = &self.literals {
            let hits = literals.find_overlapping_iter(value);
            found.extend(hits.filter_map(|hit| self.owners.get(hit.pattern().as_usize()).copied()));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The literals of which at least one stands in everything the pattern matches, without regard to ASCII case. None where
/// there are no such, or too many or too short ones.
pub(crate) fn literals(pattern: &Hir) -> Option<Vec<Vec<u8>>> {
    let found = needed(pattern)?;
    let long = found.iter().all(|literal| literal.len() >= SHORTEST);
    (long && !found.is_empty() && found.len() <= MOST_WAYS).then_some(found)
}

fn needed(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min >= 1 => needed(&repetition.sub),
        HirKind::Alternation(ways) => {
            let mut all = Vec::new();
            for way in ways {
                all.extend(needed(way)?);
                if all.len() > MOST_WAYS {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<Vec<u8>>> = None;
            let mut run = Vec::new();
            for part in parts {
                if let Some(literal) = exact(part) {
                    run.extend(literal);
                    continue;
                }
                keep_better(&mut best, (!run.is_empty()).then(|| vec![std::mem::take(&mut run)]));
                if !matches!(part.kind(), HirKind::Look(_)) {
                    keep_better(&mut best, needed(part));
                }
            }
            keep_better(&mut best, (!run.is_empty()).then(|| vec![run]));
            best
        }
        _ => exact(hir).map(|literal| vec![literal]),
    }
}

/// The better set of literals has the longer shortest one.
fn keep_better(best: &mut Option<Vec<Vec<u8>>>, found: Option<Vec<Vec<u8>>>) {
    let worth = |set: &[Vec<u8>]| set.iter().map(Vec::len).min().unwrap_or(0).min(8) * 64 / set.len().max(1);
    if let Some(found) = found.filter(|found| !found.is_empty())
        && best.as_ref().is_none_or(|best| worth(&found) > worth(best))
    {
        *best = Some(found);
    }
}

/// What a part matches, where that is one text but for the case of its letters.
fn exact(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_ascii_lowercase()),
        HirKind::Class(class) => either_case(class).map(|letter| vec![letter]),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            let mut text = Vec::new();
            for part in parts {
                text.extend(exact(part)?);
            }
            Some(text)
        }
        _ => None,
    }
}

/// The letter, where a class is that letter in both cases.
fn either_case(class: &Class) -> Option<u8> {
    let pair = |letters: &[(u32, u32)]| match letters {
        [(upper, upper_end), (lower, lower_end)] if upper == upper_end && lower == lower_end => {
            let (upper, lower) = (u8::try_from(*upper).ok()?, u8::try_from(*lower).ok()?);
            (upper.is_ascii_uppercase() && upper.to_ascii_lowercase() == lower).then_some(lower)
        }
        _ => None,
    };
    match class {
        Class::Unicode(class) => {
            let ranges: Vec<_> =
                class.ranges().iter().take(3).map(|range| (u32::from(range.start()), u32::from(range.end()))).collect();
            pair(&ranges)
        }
        Class::Bytes(class) => {
            let ranges: Vec<_> =
                class.ranges().iter().take(3).map(|range| (u32::from(range.start()), u32::from(range.end()))).collect();
            pair(&ranges)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pattern: &str) -> Option<Vec<String>> {
        let hir = regex_syntax::ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).unwrap();
        let found = literals(&hir)?;
        Some(found.into_iter().map(|literal| String::from_utf8(literal).unwrap()).collect())
    }

    #[test]
    fn what_must_stand_in_a_match() {
        for (pattern, expect) in [
            (r"^OpenSSH_([\d.]+)$", Some(vec!["openssh_"])),
            (r"(?i)^apache$", Some(vec!["apache"])),
            (r"(foo|barbar) (x)?", Some(vec!["foo", "barbar"])),
            (r"a.b", None),
            (r"(?:zorb)?", None),
            (r"(?:zorb)+ 1", Some(vec!["zorb"])),
            (r"x(?:|y)z", None),
            (r"[\d.]+", None),
        ] {
            let expect = expect.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(of(pattern), expect, "{pattern}");
        }
    }

    proptest! {
        /// Nothing that matches is ever left out.
        #[test]
        fn candidates_hold_every_match(value in "[a-cA-C0-2 ]{0,12}") {
            let patterns = [r"(?i)ab+c", "abc|bca|(?:c?)", "a[bB]c", "^(?:aa|bb) ?[12]", "(?i)cab", "b(?:c|a)(?:0 )+", "0", ""];
            let parse = |pattern: &str| regex_syntax::ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).unwrap();
            let filter = Prefilter::new(patterns.iter().map(|pattern| literals(&parse(pattern))));
            let candidates = filter.candidates(value.as_bytes());
            for (index, pattern) in patterns.iter().enumerate() {
                if regex::Regex::new(pattern).unwrap().is_match(&value) {
                    prop_assert!(candidates.contains(&index), "{pattern} on {value}");
                }
            }
        }
    }
}
