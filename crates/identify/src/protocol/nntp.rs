//! NNTP (RFC 3977 §5.1): a greeting of three digits that speaks of news.

use super::{Protocol, Speaker};
use crate::{
    answer::{Next, Parse, Received, Strength},
    product, reply, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "nntp",
    speaker: Speaker::Server,
    ports: &[119, 433, 563],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"200 news.example.org InterNetNews NNRP server INN 2.7.1 ready (posting ok)\r\n",
        b"503 Leafnode must have a unique fully-qualified domain name.\r\n",
        b"201 Leafnode NNTP Daemon, version 1.12.0 running at news.example.org\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const WORDS: &[&str] = &["nntp", "nnrp", "internetnews", "inn", "innd", "news", "usenet", "leafnode"];
    let Some(replies) = reply::replies(received) else { return Parse::No };
    let Some(greeting) = replies.first() else {
        return if reply::may_begin(received) { Parse::NeedMore } else { Parse::No };
    };
    let line = text::printable(greeting.lines.first().copied().unwrap_or_default());
    if !matches!(greeting.code, 200 | 201 | 400 | 502 | 503) || product::mentioned(&line, WORDS).is_none() {
        return Parse::No;
    }
    let mut service = Service { name: "nntp".into(), ..Service::default() };
    if let Some(rest) = text::after(&line, "INN ") {
        product::name(&mut service, "INN", text::version(rest));
    } else if let Some(rest) = text::after(&line, "Leafnode") {
        let version = text::after(rest, "version").map_or("", str::trim_start);
        product::name(&mut service, "Leafnode", text::version(version));
    }
    service.banner = Some(text::stable(&format!("{} {line}", greeting.code)));
    let next = if greeting.code < 300 { Next::Farewell(b"QUIT\r\n") } else { Next::Nothing };
    Parse::yes(service, Strength::Grammar, next)
}
