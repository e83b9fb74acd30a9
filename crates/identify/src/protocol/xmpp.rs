//! XMPP (RFC 6120 §4): a stream, between client and server or between servers.

use super::{Asking, Protocol, Speaker};
use crate::{
    answer::{Next, Parse, Received, Strength},
    product, text,
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
    // The words that Prosody alone says to clients, and to servers, which ask for a host that it is not.
    if has(">This server does not serve ") || has(">This host does not serve ") {
        product::name(&mut service, "prosody", None);
    }
    // To somebody who spoke something else: it says more to those who open a stream.
    let next = if has("<not-well-formed") { Next::Again } else { Next::Nothing };
    Parse::yes(service, Strength::Structure, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_that_it_was_no_stream_opens_one() {
        let stream = |error: &str| {
            format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id=''>\
                 <stream:error>{error}</stream:error></stream:stream>"
            )
        };
        for (error, next, product) in [
            ("<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", Next::Again, None),
            ("<host-unknown/><text>This server does not serve 192.0.2.7</text>", Next::Nothing, Some("Prosody")),
            ("<host-unknown/>", Next::Nothing, None),
        ] {
            let said = stream(error);
            let Parse::Yes(answer) = (CLIENT.parse)(Received::ended(said.as_bytes())) else { panic!("{said}") };
            assert_eq!((answer.next, answer.service.product.as_deref()), (next, product), "{said}");
        }
    }
}
