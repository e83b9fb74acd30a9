//! DNS over TCP (RFC 7766): the same message behind its length. With `n` its number begins as Erlang's port mapper's question for
//! names does, which has the same kind of length before it and nothing behind: one question for two.

use super::{Protocol, Speaker, dns, epmd};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "domain",
    speaker: Speaker::Client,
    ports: &[53, 853],
    request: Some(|_| {
        let question = dns::question(ID);
        let length = u16::try_from(question.len()).unwrap_or_default().to_be_bytes();
        [length.as_slice(), &question].concat()
    }),
    parse,
    reply: Some(reply),
    #[cfg(test)]
    samples: &[
        b"\x00\x1end\x80\x05\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03",
        b"\x00\x0cnd\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
};

const ID: [u8; 2] = *b"nd";

/// The other one that it is a question for may say no more than its own port.
fn reply(received: Received<'_>) -> Parse {
    epmd::reply(received)
}

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let Some(length) = reader.u16() else {
        // Our answer is shorter than 4 KiB.
        let short = received.bytes.first().is_none_or(|&high| high < 0x10);
        return if short { Parse::need_more(received) } else { Parse::No };
    };
    if !(12..4096).contains(&length) {
        return Parse::No;
    }
    let begun = reader.rest().iter().zip(&ID).all(|(got, ours)| got == ours);
    if !begun {
        return Parse::No;
    }
    let Some(message) = reader.take(usize::from(length)) else { return Parse::need_more(received) };
    dns::message(message, ID).map_or(Parse::No, |service| Parse::yes(service, Strength::Structure, Next::Nothing))
}
