//! Patterns as PCRE understands them, over bytes. Most run on an engine that is linear in what it reads; those that look around
//! or refer back run on one that gives up after so many steps.

use crate::fingerprint::prefilter;
use regex::bytes::RegexBuilder;

/// As PCRE's limit in nmap.
const MOST_STEPS: usize = 50_000;
const LARGEST: usize = 10 << 20;

#[derive(Debug)]
pub(super) enum Pattern {
    Linear(regex::bytes::Regex),
    Bounded(Box<fancy_regex::Regex>),
}

/// The groups of a match; the first is the whole.
pub(super) type Groups<'v> = Vec<Option<&'v [u8]>>;

impl Pattern {
    /// `pattern` holds one character for each byte of the file (Latin-1).
    pub(super) fn new(pattern: &str, ignore_case: bool, dot_all: bool) -> Result<Self, String> {
        let own = translated(pattern);
        if own.looks_around {
            return fancy_regex::RegexBuilder::new(&own.text)
                .bytes_mode(fancy_regex::BytesMode::Ascii)
                .case_insensitive(ignore_case)
                .dot_matches_new_line(dot_all)
                .backtrack_limit(MOST_STEPS)
                .delegate_size_limit(LARGEST)
                .build()
                .map(|regex| Self::Bounded(Box::new(regex)))
                .map_err(|error| error.to_string());
        }
        RegexBuilder::new(&own.text)
            .unicode(false)
            .case_insensitive(ignore_case)
            .dot_matches_new_line(dot_all)
            .size_limit(LARGEST)
            .build()
            .map(Self::Linear)
            .map_err(|error| error.to_string())
    }

    /// None where it does not match, or gave up.
    pub(super) fn groups<'v>(&self, value: &'v [u8]) -> Option<Groups<'v>> {
        match self {
            Self::Linear(regex) => {
                let captures = regex.captures(value)?;
                Some(captures.iter().map(|group| group.map(|group| group.as_bytes())).collect())
            }
            Self::Bounded(regex) => {
                let captures = regex.captures(value).ok().flatten()?;
                Some((0..captures.len()).map(|index| captures.get(index).map(|group| group.as_bytes())).collect())
            }
        }
    }
}

/// The literals that must stand in what it matches ([`prefilter::literals`]), and whether it can match nothing at all. None
/// where it cannot be read without looking around and referring back either.
pub(super) fn anatomy(pattern: &str, ignore_case: bool, dot_all: bool) -> Option<(Option<Vec<Vec<u8>>>, bool)> {
    let own = translated(pattern);
    let parse = |text: &str| {
        let mut parser = regex_syntax::ParserBuilder::new();
        parser
            .utf8(false)
            .unicode(false)
            .case_insensitive(ignore_case)
            .dot_matches_new_line(dot_all)
            .build()
            .parse(text)
            .ok()
    };
    let hir = parse(&if own.looks_around { widened(&own.text) } else { own.text })?;
    let is_empty = !own.looks_around && hir.properties().minimum_len() == Some(0);
    Some((prefilter::literals(&hir), is_empty))
}

/// A pattern in the grammar of the engines here.
#[derive(Debug, PartialEq, Eq)]
struct Translated {
    text: String,
    /// It needs the engine with a limit: looks around, refers back, or holds on to what it has matched.
    looks_around: bool,
}

/// What PCRE reads differently: `$` also stands before a last line end, `\0` begins an octal number, brackets and signs within
/// a class stand for themselves, a brace that begins no number does so too, and bytes beyond ASCII are bytes.
fn translated(pattern: &str) -> Translated {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut looks_around = false;
    let mut chars = pattern.char_indices().peekable();
    // At which offset the class began that we are in.
    let mut class: Option<usize> = None;
    let mut after_quantifier = false;
    while let Some((at, char)) = chars.next() {
        let rest = pattern.get(at + char.len_utf8()..).unwrap_or_default();
        let mut is_quantifier = false;
        match char {
            '\\' => {
                let Some((_, escaped)) = chars.next() else {
                    out.push_str("\\\\");
                    break;
                };
                match escaped {
                    '0' => {
                        let mut value = 0;
                        for _ in 0..2 {
                            match chars.peek() {
                                Some((_, digit @ '0'..='7')) => {
                                    value = value * 8 + digit.to_digit(8).unwrap_or(0);
                                    chars.next();
                                }
                                _ => break,
                            }
                        }
                        out.push_str(&byte(value));
                    }
                    '1'..='9' if class.is_none() => {
                        looks_around = true;
                        out.extend(['\\', escaped]);
                    }
                    // An end of a word to the engines here.
                    '<' | '>' => out.push(escaped),
                    'e' => out.push_str("\\x1b"),
                    'Z' => out.push_str("(?:\\n?\\z)"),
                    _ if !escaped.is_ascii() => out.push_str(&byte(u32::from(escaped))),
                    _ => out.extend(['\\', escaped]),
                }
            }
            '[' if class.is_none() => {
                class = Some(out.len() + 1);
                out.push('[');
                if rest.starts_with('^') {
                    chars.next();
                    out.push('^');
                }
                // A bracket that stands first is one of the class.
                if chars.peek().is_some_and(|(_, next)| *next == ']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            '[' if rest.starts_with(':') && rest.contains(":]") => out.push('['),
            ']' if class.is_some() => {
                // The end of a `[:name:]` is none of the class.
                if !out.ends_with(':') || !out.rsplit('[').next().is_some_and(|name| name.starts_with(':')) {
                    class = None;
                }
                out.push(']');
            }
            '[' | '&' | '~' if class.is_some() => out.extend(['\\', char]),
            '-' if class.is_some() && out.ends_with('-') => out.push_str("\\-"),
            '$' if class.is_none() => out.push_str("(?:\\n?\\z)"),
            '{' if class.is_none() && !begins_repetition(rest) => out.push_str("\\{"),
            '(' if class.is_none() => {
                looks_around |= ["?=", "?!", "?<=", "?<!", "?>"].iter().any(|start| rest.starts_with(start));
                out.push('(');
            }
            '+' if class.is_none() && after_quantifier => {
                looks_around = true;
                out.push('+');
            }
            '*' | '+' | '?' if class.is_none() => {
                is_quantifier = char != '?' || !after_quantifier;
                out.push(char);
            }
            '}' if class.is_none() => {
                is_quantifier = true;
                out.push('}');
            }
            _ if !char.is_ascii() => out.push_str(&byte(u32::from(char))),
            _ => out.push(char),
        }
        after_quantifier = is_quantifier && !out.ends_with("(?");
    }
    Translated { text: out, looks_around }
}

fn byte(value: u32) -> String {
    format!("\\x{:02x}", value & 0xff)
}

/// `3}`, `3,}`, `3,5}`.
fn begins_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let mut numbers = inside.splitn(2, ',');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.next().is_some_and(is_number) && numbers.next().is_none_or(|most| most.is_empty() || is_number(most))
}

/// A pattern that matches all that the given one does and more, without looking around: what is looked at is left out, a
/// reference back is anything.
fn widened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_quantifier = false;
    let mut in_class = false;
    while let Some(char) = rest.chars().next() {
        let mut next = rest.get(char.len_utf8()..).unwrap_or_default();
        let mut is_quantifier = false;
        match char {
            '\\' => {
                let escaped = next.chars().next().unwrap_or('\\');
                next = next.get(escaped.len_utf8()..).unwrap_or_default();
                if !in_class && ('1'..='9').contains(&escaped) {
                    out.push_str("(?s:.)*");
                } else {
                    out.extend(['\\', escaped]);
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '(' if !in_class && next.starts_with("?>") => {
                out.push_str("(?:");
                next = next.get(2..).unwrap_or_default();
            }
            '(' if !in_class && ["?=", "?!", "?<=", "?<!"].iter().any(|start| next.starts_with(start)) => {
                next = after_group(next);
                out.push_str("(?:)");
            }
            '+' if !in_class && after_quantifier => {}
            '*' | '+' | '?' | '}' if !in_class => {
                is_quantifier = char != '?' || !after_quantifier;
                out.push(char);
            }
            _ => out.push(char),
        }
        after_quantifier = is_quantifier && !out.ends_with("(?");
        rest = next;
    }
    out
}

/// What follows the parenthesis that closes the group we are in.
fn after_group(text: &str) -> &str {
    let mut depth = 1_usize;
    let (mut escaped, mut in_class) = (false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => {
                depth -= 1;
                if depth == 0 {
                    return text.get(at + 1..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcre_as_the_engines_here_read_it() {
        for (pattern, value, expect) in [
            (r"^220 zorb$", b"220 zorb\n".as_slice(), Some("220 zorb\n")),
            (r"^220 zorb$", b"220 zorb\n\n", None),
            (r"^\0\x01\012", b"\0\x01\n", Some("\0\x01\n")),
            ("^\u{e9}\u{ff}", b"\xe9\xff", Some("\u{e9}\u{ff}")),
            (r"^[[\]a]+x", b"[]ax", Some("[]ax")),
            (r"^[]a]+x", b"]ax", Some("]ax")),
            (r"^[^]]x", b"ax", Some("ax")),
            (r"^[[:digit:]]+x", b"12x", Some("12x")),
            (r"^[a&&b]+", b"a&b", Some("a&b")),
            (r"^{foo} \d{2}", b"{foo} 12", Some("{foo} 12")),
            (r"^\<a\>", b"<a>", Some("<a>")),
            (r"^(?!no)\w+ (\w)\1", b"yes aa", Some("yes aa")),
            (r"^(?!no)\w+ (\w)\1", b"not aa", None),
            (r"^a++b", b"aab", Some("aab")),
            (r"^a++a", b"aaa", None),
            (r"^(?>a|ab)c", b"abc", None),
            (r"(?<=x)y", b"xy", Some("y")),
        ] {
            let compiled = Pattern::new(pattern, false, false).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            let found = compiled.groups(value).and_then(|groups| groups.first().copied().flatten());
            let found = found.map(|bytes| bytes.iter().copied().map(char::from).collect::<String>());
            assert_eq!(found.as_deref(), expect, "{pattern}");
            let (needed, is_empty) = anatomy(pattern, false, false).unwrap_or_else(|| panic!("{pattern}"));
            assert!(!is_empty, "{pattern}");
            if expect.is_some()
                && let Some(needed) = needed
            {
                let value = value.to_ascii_lowercase();
                assert!(needed.iter().any(|one| value.windows(one.len()).any(|part| part == one)), "{pattern}");
            }
        }
    }

    #[test]
    fn what_needs_the_bounded_engine() {
        for (pattern, expect) in [
            (r"^a+b", false),
            (r"a+?b", false),
            (r"(?i)a(?:b)?c{2,3}?", false),
            (r"[(?=]x", false),
            (r"(?=a)b", true),
            (r"a*+b", true),
            (r"(a)\1", true),
        ] {
            assert_eq!(translated(pattern).looks_around, expect, "{pattern}");
        }
    }

    #[test]
    fn catastrophes_end() {
        let pattern = Pattern::new(r"^(?!x)(\w+\s?)+\1$", false, false).unwrap();
        assert_eq!(pattern.groups(&b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!".repeat(20)), None);
    }

    #[test]
    fn emptiness_is_seen() {
        assert_eq!(anatomy("a*", false, false).map(|(_, empty)| empty), Some(true));
        assert_eq!(anatomy("(", false, false), None);
    }
}
