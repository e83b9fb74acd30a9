use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// The patterns of one field in their order: one pass over a value finds those that match, and only the first of them is run
/// for its groups. The engine's time is linear in the value, whatever the pattern.
#[derive(Debug)]
pub(crate) struct Patterns {
    set: RegexSet,
    each: Vec<Regex>,
}

impl Patterns {
    /// Patterns over bytes, without regard to case; classes are ASCII's.
    pub(crate) fn new<'p>(patterns: impl Iterator<Item = &'p str> + Clone) -> Result<Self, regex::Error> {
        let compile = |pattern| RegexBuilder::new(pattern).case_insensitive(true).unicode(false).build();
        let each = patterns.clone().map(compile).collect::<Result<_, _>>()?;
        let set = RegexSetBuilder::new(patterns).case_insensitive(true).unicode(false).build()?;
        Ok(Self { set, each })
    }

    /// The first that matches, and its groups.
    pub(crate) fn first<'v>(&self, value: &'v [u8]) -> Option<(usize, Captures<'v>)> {
        let index = self.set.matches(value).iter().next()?;
        Some((index, self.each.get(index)?.captures(value)?))
    }
}
