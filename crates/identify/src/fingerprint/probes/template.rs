use super::pattern::Groups;

/// A text with places for a pattern's groups: `$1`, `$P(1)`, `$SUBST(1,"_",".")`, `$I(1,">")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
    /// What of it can be printed: of UTF-16 the ASCII.
    Printable(usize),
    Replaced(usize, String, String),
    /// A number of up to eight bytes.
    Number {
        group: usize,
        is_big_endian: bool,
    },
}

/// nmap's own limit is 80 to 256, by the field.
const LONGEST: usize = 256;

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (piece, after) = piece(after).ok_or_else(|| format!("`${}` is no place for a group", head(after)))?;
            pieces.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// None where a group took no part or is no number: the whole field is left out then. In a CPE name what is put in is
    /// lower case, its spaces `_`, and what divides or joins there is quoted.
    pub(super) fn fill(&self, groups: &Groups<'_>, within_uri: bool) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            let group = |index: &usize| groups.get(*index).copied().flatten();
            let value = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Group(index) => String::from_utf8_lossy(group(index)?).into_owned(),
                Piece::Printable(index) => {
                    let bytes = group(index)?.iter().copied();
                    bytes.filter(|byte| byte.is_ascii_graphic() || *byte == b' ').map(char::from).collect()
                }
                Piece::Replaced(index, from, to) => String::from_utf8_lossy(group(index)?).replace(from.as_str(), to),
                Piece::Number { group: index, is_big_endian } => {
                    let bytes = group(index).filter(|bytes| bytes.len() <= 8)?;
                    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
                    let number =
                        if *is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
                    number.to_string()
                }
            };
            if within_uri {
                out.extend(value.chars().map(quoted));
            } else {
                out.push_str(&value);
            }
        }
        Some(out.chars().take(LONGEST).collect())
    }
}

fn head(text: &str) -> String {
    text.chars().take(12).collect()
}

fn piece(text: &str) -> Option<(Piece, &str)> {
    if let Some(inside) = text.strip_prefix("P(") {
        let (group, rest) = inside.split_once(')')?;
        return Some((Piece::Printable(number(group)?), rest));
    }
    if let Some(inside) = text.strip_prefix("I(") {
        let (group, rest) = inside.split_once(',')?;
        let (order, rest) = literal(rest)?;
        let is_big_endian = match order {
            ">" => true,
            "<" => false,
            _ => return None,
        };
        return Some((Piece::Number { group: number(group)?, is_big_endian }, rest.strip_prefix(')')?));
    }
    if let Some(inside) = text.strip_prefix("SUBST(") {
        let (group, rest) = inside.split_once(',')?;
        let (from, rest) = literal(rest)?;
        let (to, rest) = literal(rest.strip_prefix(',')?)?;
        let piece = Piece::Replaced(number(group)?, from.to_owned(), to.to_owned());
        return (!from.is_empty()).then_some((piece, rest.strip_prefix(')')?));
    }
    let digit = text.chars().next().filter(|char| ('1'..='9').contains(char))?;
    Some((Piece::Group(usize::try_from(digit.to_digit(10)?).ok()?), text.get(1..)?))
}

fn number(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|number| (1..=9).contains(number))
}

/// A text in quotation marks.
fn literal(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// A character as it stands in a CPE URI's component.
fn quoted(char: char) -> String {
    match char {
        char if char.is_whitespace() => "_".to_owned(),
        char if ":/?#[]@!$&'()*+,;=%<>\"~".contains(char) => format!("%{:02x}", u32::from(char)),
        char => char.to_lowercase().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled() {
        let groups: Groups<'_> =
            vec![Some(b"all"), Some(b"1_2"), None, Some(b"W\0i\0n\0"), Some(b"\x01\x02"), Some(b"A b/c")];
        for (template, expect) in [
            ("Zorb", Some("Zorb")),
            ("v$1!", Some("v1_2!")),
            ("$2", None),
            ("$P(3)", Some("Win")),
            ("$SUBST(1,\"_\",\".\")", Some("1.2")),
            ("$I(4,\">\")-$I(4,\"<\")", Some("258-513")),
            ("$9", None),
        ] {
            assert_eq!(Template::parse(template).unwrap().fill(&groups, false).as_deref(), expect, "{template}");
        }
        assert_eq!(Template::parse("a:zorb:$5").unwrap().fill(&groups, true).as_deref(), Some("a:zorb:a_b%2fc"));
        for odd in ["$", "$0", "$P(x)", "$P(1", "$I(1,\"=\")", "$SUBST(1,\"\",\"a\")", "$X(1)"] {
            assert!(Template::parse(odd).is_err(), "{odd}");
        }
    }
}
