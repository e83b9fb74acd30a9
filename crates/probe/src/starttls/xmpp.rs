//! XMPP (RFC 6120 §5): a stream is opened under the domain's name, its features offer TLS.

use super::{Refusal, Stage, Taken, Turn, Words, reading, refuse, say};
use identify::printable;

const OPENED: Stage = Stage::SECOND;
const ASKED: Stage = Stage::THIRD;

pub(super) fn turn(stage: Stage, heard: &[u8], words: &Words<'_>, namespace: &str) -> Taken {
    match stage {
        Stage::FRESH => {
            let header = format!(
                "<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='http://etherx.jabber.org/streams' \
                 to='{}' version='1.0'>",
                attribute(words.domain)
            );
            say(heard.len(), header, OPENED)
        }
        OPENED | Stage::MET => features(heard),
        _ => answer(heard),
    }
}

/// Host names and addresses need no escapes; what would is left out.
fn attribute(name: &str) -> String {
    name.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ':')).collect()
}

fn features(heard: &[u8]) -> Taken {
    let begins = |start: &[u8]| start.starts_with(heard) || heard.starts_with(start);
    if !begins(b"<?xml") && !begins(b"<stream:") {
        return refuse(Refusal::foreign(heard));
    }
    if let Some(at) = reading::find(heard, b"<stream:error") {
        let error = heard.get(at..).unwrap_or_default();
        if reading::find(error, b"</stream:error>").is_none() {
            return Err(Turn::More);
        }
        let unknown = [b"host-unknown".as_slice(), b"host-gone", b"improper-addressing"]
            .iter()
            .any(|condition| reading::find(error, condition).is_some());
        return refuse(if unknown { Refusal::UnknownName(own_name(heard)) } else { Refusal::declined(error) });
    }
    let Some(at) = reading::find(heard, b"<stream:features") else {
        // A server of before version 1.0 shows none, and may close at once.
        let closed = reading::find(heard, b"</stream:stream>").is_some();
        return if closed { refuse(Refusal::NotOffered) } else { Err(Turn::More) };
    };
    let list = heard.get(at..).unwrap_or_default();
    let Some(end) = reading::find(list, b"</stream:features>") else {
        let empty = reading::find(list, b">").is_some_and(|end| list.get(..end).is_some_and(|tag| tag.ends_with(b"/")));
        return if empty { refuse(Refusal::NotOffered) } else { Err(Turn::More) };
    };
    if reading::find(list.get(..end).unwrap_or_default(), b"<starttls").is_none() {
        return refuse(Refusal::NotOffered);
    }
    say(heard.len(), "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", ASKED)
}

fn answer(heard: &[u8]) -> Taken {
    let start = heard.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let Some(end) = reading::find(heard, b">") else {
        let could = heard.get(start..).unwrap_or_default();
        return match could.first() {
            None | Some(b'<') => Err(Turn::More),
            Some(_) => refuse(Refusal::foreign(could)),
        };
    };
    let tag = heard.get(start..end).unwrap_or_default();
    let is = |name: &[u8]| {
        tag.strip_prefix(name)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'/' | b'\t' | b'\r' | b'\n')))
    };
    if !is(b"<proceed") {
        return refuse(if is(b"<failure") { Refusal::declined(heard) } else { Refusal::foreign(heard) });
    }
    if tag.ends_with(b"/") {
        return Ok(Turn::Begin { used: end + 1 });
    }
    let rest = heard.get(end + 1..).unwrap_or_default();
    match rest.strip_prefix(CLOSING) {
        Some(_) => Ok(Turn::Begin { used: end + 1 + CLOSING.len() }),
        None if CLOSING.starts_with(rest) => Err(Turn::More),
        None => refuse(Refusal::PlainText(reading::excerpt(rest))),
    }
}

const CLOSING: &[u8] = b"</proceed>";

/// What the server's own header says that it is.
fn own_name(heard: &[u8]) -> Option<String> {
    let at = reading::find(heard, b"<stream:stream")?;
    let header = heard.get(at..)?;
    let header = header.get(..reading::find(header, b">")?)?;
    let at = reading::find(header, b" from=")?;
    let value = header.get(at + b" from=".len()..)?;
    let (quote, value) = value.split_first()?;
    let value = value.get(..value.iter().position(|byte| byte == quote)?)?;
    let name = printable(value);
    (matches!(quote, b'"' | b'\'') && !name.is_empty() && attribute(&name) == name && name.len() < 254).then_some(name)
}
