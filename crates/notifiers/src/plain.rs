//! Text from the network made fit to be shown: one line, no character that moves, hides or reorders others.

/// Characters that act on a terminal, a mail reader or the order of text instead of being seen: C0 and C1 controls, line and
/// paragraph separators, bidirectional controls, zero-width and tag characters.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// One line of at most `max` characters; an ellipsis stands for what was cut. White space becomes a space, other unseen
/// characters U+FFFD.
pub(crate) fn line(text: &str, max: usize) -> String {
    let seen = |c: char| match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_unseen(c) => '\u{fffd}',
        c => c,
    };
    let mut shown: String = text.chars().take(max).map(seen).collect();
    if text.chars().nth(max).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// `1 host`, `2 hosts`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `2026-11-21 10:05:03 UTC`.
pub(crate) fn moment(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unseen_characters_are_made_visible() {
        for (text, expect) in [
            ("plain", "plain"),
            ("a\r\nb\tc", "a  b c"),
            ("\u{1b}[31mred", "\u{fffd}[31mred"),
            ("evil\u{202e}txt.exe", "evil\u{fffd}txt.exe"),
            ("a\u{2028}b\u{85}c\0", "a\u{fffd}b\u{fffd}c\u{fffd}"),
        ] {
            assert_eq!(line(text, 100), expect, "{text:?}");
        }
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("abcd", 4), "abcd");
    }

    proptest! {
        #[test]
        fn nothing_unseen_is_left(text in any::<String>(), max in 1_usize..50) {
            let shown = line(&text, max);
            prop_assert!(shown.chars().count() <= max && !shown.chars().any(is_unseen));
        }
    }
}
