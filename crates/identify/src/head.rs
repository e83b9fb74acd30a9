//! Status line and header fields as HTTP has them, for its kin: SIP (RFC 3261 §7), RTSP (RFC 7826 §5), SSDP.

use crate::{Reader, answer::Received, text};

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// The first line, as text.
    pub(crate) line: String,
    fields: Vec<(String, String)>,
}

/// What reading a head came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    No,
    NeedMore,
    Head(Head),
}

const MOST_FIELDS: usize = 64;
const MOST_BYTES: usize = 8 * 1024;

/// A head whose first line begins with this version and a space (`SIP/2.0 `).
pub(crate) fn read(received: Received<'_>, version: &[u8]) -> Reading {
    if !received.bytes.starts_with(version) {
        return if received.may_become(version) { Reading::NeedMore } else { Reading::No };
    }
    let mut reader = Reader::new(received.bytes.get(..MOST_BYTES).unwrap_or(received.bytes));
    let Some(first) = reader.line() else {
        return if received.ended || received.bytes.len() > 512 { Reading::No } else { Reading::NeedMore };
    };
    let line = text::printable(first);
    let code = first.get(version.len()..).and_then(|rest| rest.first_chunk::<3>());
    let status = code.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    let Some(status) = status.filter(|status| (100..700).contains(status)) else { return Reading::No };
    let mut fields = Vec::new();
    let mut whole = false;
    while let Some(line) = reader.line() {
        whole = line.is_empty() || fields.len() == MOST_FIELDS;
        if whole {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.push((text::printable(name).to_ascii_lowercase(), text::printable(value)));
        }
    }
    if whole || received.ended || received.bytes.len() >= MOST_BYTES {
        Reading::Head(Head { status, line, fields })
    } else {
        Reading::NeedMore
    }
}

impl Head {
    /// The value of a field, by its name in lower case; none where it is empty.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let whole = b"SIP/2.0 200 OK\r\nServer: Zorb/1.4\r\nALLOW:  INVITE\r\n\r\n";
        let Reading::Head(head) = read(Received::open(whole), b"SIP/2.0 ") else { panic!() };
        assert_eq!((head.status, head.field("server"), head.field("allow")), (200, Some("Zorb/1.4"), Some("INVITE")));
        for end in 1..whole.len() {
            assert_eq!(read(Received::open(&whole[..end]), b"SIP/2.0 "), Reading::NeedMore);
        }
        assert_eq!(read(Received::ended(b"SIP/2.0 2x0 OK\r\n\r\n"), b"SIP/2.0 "), Reading::No);
        assert_eq!(read(Received::ended(b"HTTP/1.1 200 OK\r\n\r\n"), b"SIP/2.0 "), Reading::No);
    }
}
