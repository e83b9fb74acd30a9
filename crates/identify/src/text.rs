//! Text from the network, made fit to be kept and compared. Escaping for a place (HTML, CEF, terminal) happens at that place.

/// The most characters kept of anything a stranger said.
pub(crate) const MAX_CHARS: usize = 256;

/// Printable text of at most 256 characters: invalid UTF-8 becomes U+FFFD, control characters (so every ANSI sequence),
/// bidirectional overrides, zero-width and other invisible characters become spaces, runs of spaces become one.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut count = 0;
    // Bounded before decoding: no character takes more than four bytes, and escape sequences are short.
    let bounded = bytes.get(..MAX_CHARS * 8).unwrap_or(bytes);
    for char in String::from_utf8_lossy(bounded).chars() {
        let char = if is_hidden(char) { ' ' } else { char };
        if char == ' ' && (text.is_empty() || text.ends_with(' ')) {
            continue;
        }
        if count == MAX_CHARS {
            break;
        }
        text.push(char);
        count += 1;
    }
    text.truncate(text.trim_end().len());
    text
}

/// Characters that are not seen as themselves: they would reorder, hide or forge what is shown.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || char.is_whitespace()
        || matches!(char,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Removes from a greeting what differs each time although the server is the same: dates and times, APOP stamps
/// (RFC 1939 §7), session identifiers.
pub fn stable(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let at = |index: Option<usize>| index.and_then(|index| words.get(index)).copied().unwrap_or("");
    let mut gone: Vec<bool> = words
        .iter()
        .enumerate()
        .map(|(index, word)| {
            let (before, after) = (at(index.checked_sub(1)), at(index.checked_add(1)));
            is_clock(word)
                || is_zone_offset(word)
                || is_stamp(word)
                || is_session(word)
                || (is_weekday(word) && (word.ends_with(',') || is_month(after) || is_number(after)))
                || (is_month(word) && (is_number(before) || is_number(after)))
        })
        .collect();
    // Numbers and zone names count as part of a date only beside one.
    for _ in 0..4 {
        for index in 0..words.len() {
            let beside = |other: Option<usize>| {
                other.is_some_and(|other| gone.get(other) == Some(&true) && !is_stamp(at(Some(other))))
            };
            let near = beside(index.checked_sub(1)) || beside(index.checked_add(1));
            if near
                && is_date_part(at(Some(index)))
                && let Some(slot) = gone.get_mut(index)
            {
                *slot = true;
            }
        }
    }
    let kept: Vec<&str> = words.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(word, _)| *word).collect();
    kept.join(" ").trim_end_matches([';', ',', '-', ' ']).to_owned()
}

fn bare(word: &str) -> &str {
    word.trim_matches(|char: char| matches!(char, ',' | ';' | '.' | '(' | ')' | '[' | ']'))
}

fn is_number(word: &str) -> bool {
    let word = bare(word);
    !word.is_empty() && word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date_part(word: &str) -> bool {
    const ZONES: [&str; 14] =
        ["GMT", "UTC", "Z", "CET", "CEST", "WET", "EET", "EST", "EDT", "CST", "CDT", "PST", "PDT", "MSK"];
    is_number(word) || is_zone_offset(word) || ZONES.contains(&bare(word)) || is_weekday(word) || is_month(word)
}

/// `18:40`, `18:40:01`, `2026-11-21T18:40:01Z`, `2026-11-21`.
fn is_clock(word: &str) -> bool {
    let word = bare(word);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let shaped = |separator: u8| word.bytes().filter(|&byte| byte == separator).count();
    let allowed =
        word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'-' | b'T' | b'Z' | b'.' | b'+'));
    let starts = word.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    allowed && starts && ((shaped(b':') >= 1 && digits >= 3) || (shaped(b'-') == 2 && digits == 8))
}

fn is_zone_offset(word: &str) -> bool {
    let word = bare(word);
    word.len() == 5 && word.starts_with(['+', '-']) && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}

fn is_weekday(word: &str) -> bool {
    is_named(word, &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
}

fn is_month(word: &str) -> bool {
    is_named(
        word,
        &[
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ],
    )
}

/// One of the names in full or as its first three letters.
fn is_named(word: &str, names: &[&str]) -> bool {
    let word = bare(word);
    names.iter().any(|name| {
        word.eq_ignore_ascii_case(name) || name.get(..3).is_some_and(|short| word.eq_ignore_ascii_case(short))
    })
}

fn is_stamp(word: &str) -> bool {
    let word = bare(word);
    word.starts_with('<') && word.ends_with('>') && word.contains('@')
}

fn is_session(word: &str) -> bool {
    let word = bare(word);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (hexadecimal && digits >= 4 && word.len() >= 10) || (plain && digits >= 5 && word.len() >= 16)
}

/// The version at the start of a text: it begins with a digit (a `v` before it is passed over).
pub(crate) fn version(text: &str) -> Option<&str> {
    let text = match text.strip_prefix(['v', 'V']) {
        Some(rest) if rest.starts_with(|char: char| char.is_ascii_digit()) => rest,
        _ => text,
    };
    let end =
        text.find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '+' | '~' | '-' | ':')));
    let found = text.get(..end.unwrap_or(text.len()))?.trim_end_matches(['.', '-', '_', '+', '~', ':']);
    (found.starts_with(|char: char| char.is_ascii_digit()) && found.len() <= 64).then_some(found)
}

/// The text after the first `needle`, compared without regard to ASCII case.
pub(crate) fn after<'a>(text: &'a str, needle: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let at = lower.find(&needle.to_ascii_lowercase())?;
    text.get(at + needle.len()..)
}

/// Whether `word` stands in the text on its own (no letter or digit beside it), without regard to ASCII case.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.split(|char: char| !char.is_ascii_alphanumeric()).any(|candidate| candidate.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn printable_text() {
        for (input, expect) in [
            (b"plain".as_slice(), "plain"),
            (b"  a \t b\r\n", "a b"),
            (b"\x1b[31mred\x1b[0m", "[31mred [0m"),
            ("evil\u{202e}gpj.exe".as_bytes(), "evil gpj.exe"),
            ("zero\u{200b}width".as_bytes(), "zero width"),
            (b"bad \xff utf", "bad \u{fffd} utf"),
        ] {
            assert_eq!(printable(input), expect);
        }
        assert_eq!(printable(&[b'x'; 5000]).chars().count(), 256);
    }

    #[test]
    fn stable_text() {
        for (input, expect) in [
            ("220 mx ESMTP Exim 4.96 Sat, 21 Nov 2026 18:40:00 +0000", "220 mx ESMTP Exim 4.96"),
            (
                "220 mx ESMTP Sendmail 8.17.1/8.17.1; Sat, 21 Nov 2026 18:40:00 GMT",
                "220 mx ESMTP Sendmail 8.17.1/8.17.1",
            ),
            ("+OK Dovecot ready. <1a2.1.5b@mx>", "+OK Dovecot ready."),
            ("220 mx.example.org ESMTP d2e1a72fcca58-7b6a6f12345 - gsmtp", "220 mx.example.org ESMTP - gsmtp"),
            ("220 ZORB/1.4 ready at 18:40", "220 ZORB/1.4 ready at"),
            ("May the server 2 be with you", "May the server 2 be with you"),
            ("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"),
            ("* OK 2026-11-21T18:40:01Z ready", "* OK ready"),
        ] {
            assert_eq!(stable(input), expect);
        }
    }

    #[test]
    fn versions() {
        for (input, expect) in [
            ("1.22.1", Some("1.22.1")),
            ("9.2p1 Debian", Some("9.2p1")),
            ("v2.7.6)", Some("2.7.6")),
            ("4.7.", Some("4.7")),
            ("beta", None),
            ("", None),
        ] {
            assert_eq!(version(input), expect);
        }
    }

    proptest! {
        #[test]
        fn printable_is_printable(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = printable(&bytes);
            prop_assert!(text.chars().count() <= MAX_CHARS);
            prop_assert!(!text.chars().any(|char| char != ' ' && is_hidden(char)));
            prop_assert!(stable(&text).len() <= text.len());
        }
    }
}
