use crate::{Reader, text};
use std::fmt::Write as _;

const SEQUENCE: u8 = 0x30;

/// A distinguished name's attributes in its own order, each as `CN=www.example.org`.
pub(super) fn attributes(name: &[u8]) -> Vec<String> {
    of_contents(Reader::new(name).expect(SEQUENCE).unwrap_or_default())
}

/// The same of a name without its own tag and length.
pub(crate) fn of_contents(name: &[u8]) -> Vec<String> {
    const MAX_ATTRIBUTES: usize = 64;
    const SET: u8 = 0x31;
    const OBJECT: u8 = 0x06;
    let mut attributes = Vec::new();
    let mut sets = Reader::new(name);
    while let Some(set) = sets.expect(SET) {
        let mut set = Reader::new(set);
        while let Some(attribute) = set.expect(SEQUENCE) {
            let mut attribute = Reader::new(attribute);
            let (Some(kind), Some(value)) = (attribute.expect(OBJECT), attribute.element()) else { continue };
            attributes.push(format!("{}={}", short_name(kind), string(value.tag, value.contents)));
            if attributes.len() == MAX_ATTRIBUTES {
                return attributes;
            }
        }
    }
    attributes
}

/// The kinds of string X.520 knows, made printable.
fn string(tag: u8, bytes: &[u8]) -> String {
    const BMP: u8 = 0x1e;
    const T61: u8 = 0x14;
    match tag {
        BMP => {
            let units = bytes.chunks_exact(2).take(512).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            });
            let text: String = char::decode_utf16(units).map(|char| char.unwrap_or('\u{fffd}')).collect();
            text::printable(text.as_bytes())
        }
        // In practice Latin-1.
        T61 => text::printable(bytes.iter().take(512).copied().map(char::from).collect::<String>().as_bytes()),
        _ => text::printable(bytes),
    }
}

/// The usual short name of an attribute type, or its number in dots.
fn short_name(object: &[u8]) -> String {
    let short = match object {
        [0x55, 0x04, kind] => match kind {
            3 => "CN",
            4 => "SN",
            5 => "serialNumber",
            6 => "C",
            7 => "L",
            8 => "ST",
            9 => "STREET",
            10 => "O",
            11 => "OU",
            12 => "title",
            15 => "businessCategory",
            17 => "postalCode",
            42 => "GN",
            97 => "organizationIdentifier",
            _ => "",
        },
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        _ => "",
    };
    if short.is_empty() { dotted(object) } else { short.to_owned() }
}

/// An object identifier's numbers (X.690 §8.19).
pub(super) fn dotted(object: &[u8]) -> String {
    let mut text = String::new();
    let mut value: u64 = 0;
    for byte in object.iter().take(64) {
        value = value.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 != 0 {
            continue;
        }
        // Writing to a String cannot fail.
        _ = if text.is_empty() {
            let first = (value / 40).min(2);
            write!(text, "{first}.{}", value - first * 40)
        } else {
            write!(text, ".{value}")
        };
        value = 0;
    }
    text
}
