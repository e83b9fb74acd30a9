//! LMTP (RFC 2033): it says so, or it answers EHLO as only a kin of SMTP would that does not know the word.

use super::{Protocol, Speaker};
use crate::{
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    product,
    reply::{self, Kind, Reply},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "lmtp",
    speaker: Speaker::Server,
    ports: &[24],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"220 mail.example.org LMTP Cyrus 3.6.1 ready\r\n",
        b"220 mail.example.org Dovecot ready.\r\n502 5.5.2 Unknown command\r\n",
    ],
};

/// Whether these replies are LMTP's. Enhanced status codes (RFC 2034) are used by mail servers alone.
pub(super) fn is_spoken(greeting: &Reply<'_>, rest: &[Reply<'_>]) -> bool {
    let first = |reply: &Reply<'_>| text::printable(reply.lines.first().copied().unwrap_or_default());
    let says_so = product::mentioned(&first(greeting), &["lmtp"]).is_some();
    let unknown_word =
        rest.first().is_some_and(|reply| matches!(reply.code, 500..=502) && first(reply).starts_with("5.5."));
    greeting.code == 220 && (says_so || (unknown_word && reply::kind(greeting) == Kind::Unclear))
}

fn parse(received: Received<'_>) -> Parse {
    let Some(replies) = reply::replies(received) else { return Parse::No };
    let Some((greeting, rest)) = replies.split_first() else {
        return if reply::may_begin(received) { Parse::NeedMore } else { Parse::No };
    };
    if greeting.code == 220 && !greeting.complete {
        return Parse::need_more(received);
    }
    if !is_spoken(greeting, rest) {
        return Parse::No;
    }
    let mut service = Service { name: "lmtp".into(), ..Service::default() };
    let line = text::printable(greeting.lines.first().copied().unwrap_or_default());
    fingerprint::name(&mut service, Field::LmtpGreeting, &line);
    distribution::read(&mut service, &line);
    service.banner = Some(text::stable(&format!("{} {line}", greeting.code)));
    Parse::yes(service, Strength::Grammar, Next::Farewell(b"QUIT\r\n"))
}
