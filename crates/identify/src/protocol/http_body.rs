//! Where the body of an HTTP/1 response ends (RFC 9112 §6).

use crate::Reader;
use std::borrow::Cow;

/// What has come of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body<'a> {
    pub(super) content: Cow<'a, [u8]>,
    /// How many bytes it took with its framing, where all of it is here; none while it goes on, or until the connection ends.
    pub(super) used: Option<usize>,
}

/// How the head says that a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the fields say.
    Bodiless,
    Length(usize),
    Chunked,
    /// It ends with the connection.
    Connection,
}

impl Framing {
    pub(super) fn of(status: u16, length: Option<&str>, encoding: Option<&str>) -> Self {
        if status < 200 || status == 204 || status == 304 {
            return Self::Bodiless;
        }
        if encoding.is_some_and(|encoding| encoding.to_ascii_lowercase().ends_with("chunked")) {
            return Self::Chunked;
        }
        length.and_then(|length| length.trim().parse().ok()).map_or(Self::Connection, Self::Length)
    }

    pub(super) fn read(self, bytes: &[u8]) -> Body<'_> {
        match self {
            Self::Bodiless => Body { content: Cow::Borrowed(&[]), used: Some(0) },
            Self::Length(length) => match bytes.get(..length) {
                Some(content) => Body { content: Cow::Borrowed(content), used: Some(length) },
                None => Body { content: Cow::Borrowed(bytes), used: None },
            },
            Self::Connection => Body { content: Cow::Borrowed(bytes), used: None },
            Self::Chunked => chunks(bytes),
        }
    }
}

/// Chunks up to the empty one and the line that ends the trailers (RFC 9112 §7.1).
fn chunks(bytes: &[u8]) -> Body<'_> {
    const MOST_CHUNKS: usize = 4096;
    let mut reader = Reader::new(bytes);
    let mut content = Vec::new();
    for _ in 0..MOST_CHUNKS {
        let Some(line) = reader.line() else { break };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let length = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => {
                while let Some(trailer) = reader.line() {
                    if trailer.is_empty() {
                        let used = bytes.len() - reader.rest().len();
                        return Body { content: Cow::Owned(content), used: Some(used) };
                    }
                }
                break;
            }
            Some(length) => {
                let Some(chunk) = reader.take(length) else {
                    content.extend(reader.rest());
                    break;
                };
                content.extend(chunk);
                reader.line();
            }
            // Not chunks after all: what is there is kept as it is.
            None => {
                content.extend(reader.rest());
                break;
            }
        }
    }
    Body { content: Cow::Owned(content), used: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framings() {
        for (framing, bytes, content, used) in [
            (Framing::Bodiless, b"HTTP".as_slice(), b"".as_slice(), Some(0)),
            (Framing::Length(2), b"abc", b"ab", Some(2)),
            (Framing::Length(4), b"abc", b"abc", None),
            (Framing::Connection, b"abc", b"abc", None),
            (Framing::Chunked, b"2;x\r\nab\r\n1\r\nc\r\n0\r\n\r\nHTTP", b"abc", Some(20)),
            (Framing::Chunked, b"2\r\nab\r\n0\r\nT: 1\r\n", b"ab", None),
            (Framing::Chunked, b"ffffffffffffffff\r\nab", b"ab", None),
            (Framing::Chunked, b"what\r\nab", b"ab", None),
        ] {
            let body = framing.read(bytes);
            assert_eq!((&*body.content, body.used), (content, used), "{framing:?} {}", bytes.escape_ascii());
        }
        assert_eq!(Framing::of(200, Some("7"), Some("gzip, chunked")), Framing::Chunked);
        assert_eq!(Framing::of(304, Some("7"), None), Framing::Bodiless);
        assert_eq!(Framing::of(200, Some("-7"), None), Framing::Connection);
    }
}
