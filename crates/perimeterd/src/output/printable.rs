use std::borrow::Cow;

/// Text from anywhere, harmless on a terminal and in a table's cell: control characters (the escape sequences' among
/// them), line breaks, bidirectional overrides and invisible characters become visible escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// The same for text that is meant to have several lines, such as a diagnostic.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character == '\n')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|character| is_hostile(character) && !keep(character)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hostile(character) && !keep(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Characters that do something to a terminal or to the eye rather than show something.
pub(super) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // zero width, direction marks
            | '\u{200b}'..='\u{200f}'
            // line and paragraph separators, embeddings and overrides
            | '\u{2028}'..='\u{202e}'
            // invisible operators, isolates, deprecated format characters
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            // tags, supplementary variation selectors
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn makes_hostile_text_visible() {
        for (text, expect) in [
            ("OpenSSH 9.2p1 Debian-2+deb12u3", "OpenSSH 9.2p1 Debian-2+deb12u3"),
            ("Grüße, 世界", "Grüße, 世界"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(printable(text), expect, "{text:?}");
        }
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    proptest! {
        #[test]
        fn nothing_hostile_remains(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_hostile));
        }
    }
}
