//! XMPP (RFC 6120 §4): a stream, between client and server or between servers.

use super::{Asking, Protocol, Speaker};
use crate::{
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static CLIENT: Protocol = Protocol {
    name: "xmpp-client",
    speaker: Speaker::Client,
    ports: &[5222, 5223],
    request: Some(|asking| header(asking, "jabber:client")),
    parse: |received| parse(received, "xmpp-client", "jabber:client"),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'><stream:features/>",
        b"<stream:stream xmlns=\"jabber:client\" xmlns:stream=\"http://etherx.jabber.org/streams\"><stream:error><host-unknown/></stream:error>",
    ],
};

pub(super) static SERVER: Protocol = Protocol {
    name: "xmpp-server",
    speaker: Speaker::Client,
    ports: &[5269, 5270],
    request: Some(|asking| header(asking, "jabber:server")),
    parse: |received| parse(received, "xmpp-server", "jabber:server"),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'><stream:features></stream:features>",
    ],
};

fn header(asking: &Asking<'_>, namespace: &str) -> Vec<u8> {
    let to = asking.name.map_or_else(|| asking.endpoint.ip.to_string(), |name| name.as_str().to_owned());
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='http://etherx.jabber.org/streams' to='{to}' \
         version='1.0'>"
    )
    .into_bytes()
}

fn parse(received: Received<'_>, name: &str, namespace: &str) -> Parse {
    const BEGINNINGS: [&[u8]; 2] = [b"<?xml", b"<stream:stream"];
    let has = |part: &str| received.bytes.windows(part.len()).any(|window| window == part.as_bytes());
    if !BEGINNINGS.iter().any(|start| received.bytes.starts_with(start)) {
        let may = BEGINNINGS.iter().any(|start| received.may_become(start));
        return if may { Parse::NeedMore } else { Parse::No };
    }
    // The rest of it decides what comes next; a stream that offers nothing ends with its header.
    let whole = received.ended
        || ["</stream:features>", "<stream:features/>", "</stream:error>", "</stream:stream>"]
            .iter()
            .any(|end| has(end));
    if !whole && received.bytes.len() < 8192 {
        return Parse::NeedMore;
    }
    if !has("<stream:stream") || !has(namespace) {
        return Parse::No;
    }
    let mut service = Service { name: name.to_owned(), ..Service::default() };
    let starttls = if has("<starttls") { "yes" } else { "no" };
    if has("<stream:features") {
        service.facts.insert("xmpp.starttls".into(), text::printable(starttls.as_bytes()));
    }
    Parse::yes(service, Strength::Structure, Next::Nothing)
}
