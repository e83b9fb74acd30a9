//! Looking for bytes, in whatever way they may have been written down.

use std::collections::HashSet;

/// Sixteen bytes in a row of any secret: as they are, in hexadecimal, in base64, or as a list of numbers.
pub(crate) struct Traces {
    raw: HashSet<Vec<u8>>,
    hexadecimal: HashSet<Vec<u8>>,
    base64: HashSet<Vec<u8>>,
    /// The first six numbers of a window are enough of a list.
    lists: HashSet<Vec<u8>>,
}

const LENGTH: usize = 16;
/// Of base64, fifteen bytes, wherever in a group of three they begin.
const GROUPS: usize = 15;

impl Traces {
    pub(crate) fn of(secrets: &[Vec<u8>]) -> Self {
        let windows = || secrets.iter().flat_map(|secret| secret.windows(LENGTH));
        let hexadecimal =
            |window: &[u8]| window.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect::<Vec<u8>>();
        let list = |window: &[u8]| numbers(&window[..6]).into_bytes();
        Self {
            raw: windows().map(<[u8]>::to_vec).collect(),
            hexadecimal: windows().map(hexadecimal).collect(),
            base64: windows().map(|window| base64(&window[..GROUPS]).into_bytes()).collect(),
            lists: windows().map(list).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// How what is there was written, if it is.
    pub(crate) fn find(&self, text: &[u8]) -> Option<&'static str> {
        let lower = text.to_ascii_lowercase();
        // One separator for all kinds of lists.
        let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let in_list = || {
            let starts = (0..bare.len()).filter(|&at| at == 0 || !bare[at - 1].is_ascii_digit());
            let six = |at: usize| {
                let mut commas = 0;
                let end = bare[at..].iter().take(24).position(|&byte| {
                    commas += usize::from(byte == b',');
                    commas == 6 || !(byte == b',' || byte.is_ascii_digit())
                });
                end.map(|end| &bare[at..at + end])
            };
            starts.filter_map(six).any(|six| self.lists.contains(six))
        };
        let has =
            |text: &[u8], length: usize, set: &HashSet<Vec<u8>>| text.windows(length).any(|part| set.contains(part));
        if has(text, LENGTH, &self.raw) {
            Some("as it is")
        } else if has(&lower, 2 * LENGTH, &self.hexadecimal) {
            Some("in hexadecimal")
        } else if has(text, GROUPS / 3 * 4, &self.base64) {
            Some("in base64")
        } else if in_list() {
            Some("as a list")
        } else {
            None
        }
    }
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63])).into_iter().collect::<String>()
    };
    bytes.chunks_exact(3).map(group).collect()
}

#[test]
fn what_is_looked_for_would_be_found() {
    let secret: Vec<u8> = (100..140).collect();
    let traces = Traces::of(std::slice::from_ref(&secret));
    let shown = |text: &str| traces.find(text.as_bytes());
    assert_eq!(shown(&format!("x {:?}", &secret[4..])), Some("as a list"));
    assert_eq!(shown("xx 6465666768696A6b6c6d6e6f70717273 xx"), Some("in hexadecimal"));
    assert_eq!(shown("dddd defghijklmnopqrst"), Some("as it is"));
    for skip in 0..3 {
        assert_eq!(shown(&format!("\"{}\"", base64(&secret[skip..33 + skip]))), Some("in base64"));
    }
    assert_eq!(shown("100, 101, 102, and 103,104,105"), None);
    assert_eq!(shown("defghijklmnopqr"), None);
}
