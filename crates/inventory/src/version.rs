//! Which of two versions is the newer, as far as can be told without knowing the product.

use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Upgrade,
    Downgrade,
    Unknown,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Unknown => "change of version, direction unknown",
        }
    }
}

/// Compares dotted versions: `9.2p1` before `9.3`, `1.18.0` before `1.22.1`. A pre-release stands before its release
/// (`1.0-rc1`, Semantic Versioning §11; `1.0~rc1`, as dpkg and rpm have it), a letter after it (`1.0.2k`); an epoch (`1:`) counts
/// where both have one. Anything else that follows the dotted part (a distribution's revision) decides only where it is of the
/// same make on both sides.
pub(crate) fn direction(old: &str, new: &str) -> Direction {
    let (old, new) = match (epoch(old), epoch(new)) {
        ((Some(before), _), (Some(after), _)) if before < after => return Direction::Upgrade,
        ((Some(before), _), (Some(after), _)) if before > after => return Direction::Downgrade,
        ((_, old), (_, new)) => (old, new),
    };
    let (Some((old_numbers, old_rest)), Some((new_numbers, new_rest))) = (split(old), split(new)) else {
        return Direction::Unknown;
    };
    let length = old_numbers.len().max(new_numbers.len());
    let padded = |numbers: &[u64]| (0..length).map(|i| numbers.get(i).copied().unwrap_or(0)).collect::<Vec<_>>();
    match padded(&new_numbers).cmp(&padded(&old_numbers)) {
        Ordering::Greater => Direction::Upgrade,
        Ordering::Less => Direction::Downgrade,
        Ordering::Equal => match (stage(old_rest), stage(new_rest)) {
            (Some(before), Some(after)) if before < after => Direction::Upgrade,
            (Some(before), Some(after)) if before > after => Direction::Downgrade,
            _ => match (old_rest.starts_with('~'), new_rest.starts_with('~')) {
                (true, false) => Direction::Upgrade,
                (false, true) => Direction::Downgrade,
                _ => suffix_direction(old_rest, new_rest),
            },
        },
    }
}

/// `1:2.3` → 1, `2.3`: what packagers put before a version when upstream began to count anew.
fn epoch(version: &str) -> (Option<u32>, &str) {
    let split = version.trim().split_once(':').and_then(|(epoch, rest)| Some((epoch.parse().ok()?, rest)));
    split.map_or((None, version), |(epoch, rest)| (Some(epoch), rest))
}

/// How far a version of these numbers had come, where what follows them says only that.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// A pre-release: its kind, and its number among those.
    Before(u8, u64),
    Release,
    /// `k` in `1.0.2k`, and behind `z` `za` in `1.0.2za`: how many letters, then which.
    Letter(usize, String),
}

fn stage(rest: &str) -> Option<Stage> {
    const KINDS: [(&str, u8); 10] = [
        ("dev", 0),
        ("snapshot", 0),
        ("alpha", 1),
        ("beta", 2),
        ("preview", 3),
        ("pre", 3),
        ("rc", 4),
        ("cr", 4),
        ("a", 1),
        ("b", 2),
    ];
    if rest.is_empty() {
        return Some(Stage::Release);
    }
    let lower = rest.to_ascii_lowercase();
    let is_letters = lower.len() == 1 || (lower.len() == 2 && lower.starts_with('z'));
    if is_letters && lower.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Some(Stage::Letter(lower.len(), lower));
    }
    let word = lower.trim_start_matches(['-', '~', '.', '_']);
    let (after, kind) = KINDS.iter().find_map(|(name, kind)| Some((word.strip_prefix(name)?, *kind)))?;
    match after.trim_start_matches(['.', '-']) {
        "" => Some(Stage::Before(kind, 0)),
        digits => digits.parse().ok().map(|number| Stage::Before(kind, number)),
    }
}

/// The leading numbers and what follows them; none where it does not begin with a number. Numbers too long to hold are none.
fn split(version: &str) -> Option<(Vec<u64>, &str)> {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let mut numbers = Vec::new();
    let mut rest = version;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        numbers.push(number.parse().ok()?);
        rest = after;
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => return Some((numbers, rest)),
        }
    }
}

/// `p1` against `p2`, `-2+deb12u1` against `-2+deb12u3`: the same words in the same order, told apart by their numbers.
fn suffix_direction(old: &str, new: &str) -> Direction {
    let (old, new) = (pieces(old), pieces(new));
    let same_make = old.len() == new.len()
        && old.iter().zip(&new).all(|pair| match pair {
            (Piece::Word(old), Piece::Word(new)) => old.eq_ignore_ascii_case(new),
            (Piece::Number(_), Piece::Number(_)) => true,
            _ => false,
        });
    if !same_make {
        return Direction::Unknown;
    }
    let differing = old.iter().zip(&new).find_map(|pair| match pair {
        (Piece::Number(old), Piece::Number(new)) if old != new => Some(new.cmp(old)),
        _ => None,
    });
    match differing {
        Some(Ordering::Greater) => Direction::Upgrade,
        Some(Ordering::Less) => Direction::Downgrade,
        _ => Direction::Unknown,
    }
}

#[derive(Debug)]
enum Piece<'a> {
    Word(&'a str),
    Number(u64),
}

fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let end = if digits > 0 { digits } else { text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()) };
        let (piece, rest) = text.split_at(end);
        pieces.push(match piece.parse() {
            Ok(number) if digits > 0 => Piece::Number(number),
            _ => Piece::Word(piece),
        });
        text = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_newer_from_older() {
        for (old, new, expect) in [
            ("1.18.0", "1.22.1", Direction::Upgrade),
            ("1.22.1", "1.18.0", Direction::Downgrade),
            ("1.9", "1.10", Direction::Upgrade),
            ("9.2p1", "9.3", Direction::Upgrade),
            ("9.2p1", "9.2p2", Direction::Upgrade),
            ("v2.0", "2.1", Direction::Upgrade),
            ("1.22.1-2+deb12u1", "1.22.1-2+deb12u3", Direction::Upgrade),
            ("1.22.1-9ubuntu1", "1.22.1-2+deb12u3", Direction::Unknown),
            ("1.0-rc1", "1.0", Direction::Upgrade),
            ("1.0", "1.0-beta.2", Direction::Downgrade),
            ("1.0-beta.2", "1.0-beta.11", Direction::Upgrade),
            ("1.0~rc2", "1.0", Direction::Upgrade),
            ("1.3.8~rc2-1", "1.3.8-1", Direction::Upgrade),
            ("1.0b9", "1.0rc1", Direction::Upgrade),
            ("1.0.2k", "1.0.2u", Direction::Upgrade),
            ("1.0.2", "1.0.2a", Direction::Upgrade),
            ("1.0.2z", "1.0.2za", Direction::Upgrade),
            ("1.0.2zc", "1.0.2zb", Direction::Downgrade),
            ("1:2.4", "2:1.0", Direction::Upgrade),
            ("1:2.4", "1:2.5", Direction::Upgrade),
            ("1:2.4", "2.5", Direction::Upgrade),
            ("9.2", "9.2p1", Direction::Unknown),
            ("1.0-debian", "1.0", Direction::Unknown),
            ("1.0", "1.0.0", Direction::Unknown),
            ("bookworm", "trixie", Direction::Unknown),
            ("1.0", "", Direction::Unknown),
            ("99999999999999999999999", "1", Direction::Unknown),
        ] {
            assert_eq!(direction(old, new), expect, "{old} to {new}");
        }
    }

    proptest! {
        #[test]
        fn is_total_and_turns_round(a in "[0-9a-z.+-]{0,12}|\\PC*", b in "[0-9a-z.+-]{0,12}|\\PC*") {
            let expect = match direction(&a, &b) {
                Direction::Upgrade => Direction::Downgrade,
                Direction::Downgrade => Direction::Upgrade,
                Direction::Unknown => Direction::Unknown,
            };
            prop_assert_eq!(direction(&b, &a), expect);
        }
    }
}
