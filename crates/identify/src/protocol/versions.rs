//! The servers of versioned files: git's daemon and Subversion's.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static GIT: Protocol = Protocol {
    name: "git",
    speaker: Speaker::Client,
    ports: &[9418],
    // A packet line of 0x20 bytes: a repository at the root, which there is not.
    request: Some(|_| b"001egit-upload-pack /\0host=git\0".to_vec()),
    parse: git,
    reply: None,
    #[cfg(test)]
    samples: &[b"0028ERR access denied or repository not exported: /", b"0008ERR "],
};

pub(super) static SUBVERSION: Protocol = Protocol {
    name: "svn",
    speaker: Speaker::Server,
    ports: &[3690],
    request: None,
    parse: subversion,
    reply: None,
    #[cfg(test)]
    samples: &[b"( success ( 2 2 ( ) ( edit-pipeline svndiff1 accepts-svndiff2 absent-entries depth mergeinfo ) ) ) "],
};

/// A packet line (gitprotocol-pack): an error, or the first reference.
fn git(received: Received<'_>) -> Parse {
    let hexadecimal = received.bytes.iter().take(4).all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let line = received.bytes.get(4..).unwrap_or_default();
    if !hexadecimal || received.bytes.first().is_some_and(|first| *first != b'0') {
        return Parse::No;
    }
    if line.len() < 4 {
        return if b"ERR ".starts_with(line) || line.iter().all(u8::is_ascii_hexdigit) {
            Parse::need_more(received)
        } else {
            Parse::No
        };
    }
    let mut service = named("git");
    if let Some(reason) = line.strip_prefix(b"ERR ") {
        service.banner = Some(format!("ERR {}", text::printable(reason.get(..64).unwrap_or(reason))).trim().to_owned());
        return Parse::certain(service);
    }
    // An object's name in hexadecimal, a space, a reference, and the abilities behind a zero.
    let (object, rest) = line.split_at_checked(40).unwrap_or((line, &[]));
    if !object.iter().all(u8::is_ascii_hexdigit) || rest.first().is_some_and(|byte| *byte != b' ') {
        return Parse::No;
    }
    let mut reader = Reader::new(rest);
    let Some(abilities) = reader.until(0).and_then(|_| reader.line()) else {
        return if received.bytes.len() < 2048 { Parse::need_more(received) } else { Parse::No };
    };
    let abilities = text::printable(abilities);
    if let Some(version) = text::after(&abilities, "agent=git/").and_then(text::version) {
        product::name(&mut service, "git", Some(version));
    }
    note(&mut service, "git.access", "open");
    Parse::certain(service)
}

/// The greeting: versions, mechanisms, capabilities.
fn subversion(received: Received<'_>) -> Parse {
    const END: &[u8] = b") ) ) ";
    if let Some(parse) = received.lacks(b"( success ( ") {
        return parse;
    }
    let bytes = received.bytes;
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        return if bytes.len() < 1024 { Parse::need_more(received) } else { Parse::No };
    };
    let mut service = named("svn");
    let said = text::printable(bytes.get(..end).unwrap_or(bytes));
    if let Some(capabilities) = said.rsplit("( ").next() {
        // svnserve's since 1.7 and 1.8; no other server of this protocol is known that offers them.
        if capabilities.split(' ').any(|capability| matches!(capability, "atomic-revprops" | "ephemeral-txnprops")) {
            product::name(&mut service, "subversion", None);
        }
        note(&mut service, "svn.capabilities", capabilities);
    }
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_repository_says_its_version() {
        let said = format!(
            "00e0{} HEAD\0multi_ack side-band-64k agent=git/2.39.2\n",
            "0123456789abcdef0123456789abcdef01234567"
        );
        for end in 1..said.len() {
            assert_eq!(git(Received::open(&said.as_bytes()[..end])), Parse::NeedMore, "{end}");
        }
        let Parse::Yes(answer) = git(Received::open(said.as_bytes())) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("2.39.2"));
    }

    #[test]
    fn what_subversion_can() {
        let Parse::Yes(answer) = subversion(Received::open(SUBVERSION.samples[0])) else { panic!() };
        assert!(answer.service.facts["svn.capabilities"].starts_with("edit-pipeline svndiff1"));
    }
}
