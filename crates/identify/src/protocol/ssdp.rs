//! SSDP (`UPnP` Device Architecture 1.1, §1.3): a search sent to one device alone.

use super::{Protocol, Speaker, named, note};
use crate::{
    answer::{Parse, Received},
    head::{self, Reading},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ssdp",
    speaker: Speaker::Client,
    ports: &[1900],
    request: Some(|_| {
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n"
            .to_vec()
    }),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\nSERVER: Linux/5.10 UPnP/1.1 MiniUPnPd/2.2.1\r\nLOCATION: http://192.0.2.1:5000/rootDesc.xml\r\n\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let Reading::Head(head) = head::read(received, b"HTTP/1.1 ") else { return Parse::No };
    if head.field("st").is_none() && head.field("usn").is_none() {
        return Parse::No;
    }
    let mut service = named("ssdp");
    note(&mut service, "ssdp.location", head.field("location").unwrap_or_default());
    if let Some(server) = head.field("server") {
        // The system, UPnP's version, and at last the product.
        if let Some((name, version)) = server.rsplit([' ', ',']).next().and_then(|last| last.split_once('/'))
            && !name.eq_ignore_ascii_case("upnp")
        {
            product::name(&mut service, name, text::version(version));
        }
        note(&mut service, "ssdp.server", server);
        service.banner = Some(server.to_owned());
    }
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_comes_last() {
        let Parse::Yes(answer) = parse(Received::ended(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("MiniUPnPd"));
        assert_eq!(answer.service.version.as_deref(), Some("2.2.1"));
    }
}
