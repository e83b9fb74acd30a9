use super::printable::is_hostile;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use std::io;

/// One line of JSON with its line feed. It means exactly what the value means, and what would do something to a terminal is
/// written as `\u` escapes.
pub(crate) fn to_line(value: &impl Serialize) -> io::Result<String> {
    let mut line = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Visible(CompactFormatter)))?;
    line.push(b'\n');
    String::from_utf8(line).map_err(io::Error::other)
}

struct Visible(CompactFormatter);

impl Formatter for Visible {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|&(_, character)| is_hostile(character)) {
            self.0.write_string_fragment(writer, &rest[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_serde_leaves() {
        for (text, expect) in [
            ("plain \"quoted\"", "\"plain \\\"quoted\\\"\"\n"),
            ("\u{1b}[2J", "\"\\u001b[2J\"\n"),
            ("a\u{202e}b\u{9b}c\u{7f}", "\"a\\u202eb\\u009bc\\u007f\"\n"),
            ("\u{e0041}", "\"\\udb40\\udc41\"\n"),
        ] {
            assert_eq!(to_line(&text).expect("serialises"), expect, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn means_what_the_value_means(text in any::<String>()) {
            let line = to_line(&text).expect("serialises");
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(!line.trim_end_matches('\n').chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&line).expect("reads back"), text);
        }
    }
}
