//! IPMI over LAN (version 2.0, §22.13): which authentication a board's controller offers, which it tells before any login.

use super::{Protocol, Speaker, named, note};
use crate::{Reader, answer::Parse};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "asf-rmcp",
    speaker: Speaker::Client,
    ports: &[623],
    // RMCP, no session; to 0x20: Get Channel Authentication Capabilities of this channel, for an administrator.
    request: Some(|_| b"\x06\0\xff\x07\0\0\0\0\0\0\0\0\0\x09\x20\x18\xc8\x81\0\x38\x8e\x04\xb5".to_vec()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[b"\x06\0\xff\x07\0\0\0\0\0\0\0\0\0\x10\x81\x1c\x63\x20\0\x38\0\x01\x97\x04\x03\0\0\0\0\x09"],
};

fn message(bytes: &[u8]) -> Option<Service> {
    let mut reader = Reader::new(bytes.strip_prefix(b"\x06\0\xff\x07")?);
    let session = reader.take(9)?;
    let length = reader.u8()?;
    let body = reader.take(usize::from(length))?;
    let (Some(0x38), Some(code)) = (body.get(5), body.get(6)) else { return None };
    // A response: to us, from the controller.
    (session.first() == Some(&0) && body.first() == Some(&0x81)).then_some(())?;
    let mut service = named("asf-rmcp");
    if *code == 0 {
        let (offers, extended) = (body.get(8)?, body.get(10)?);
        let version = if offers & 0x80 != 0 && extended & 2 != 0 { "2.0" } else { "1.5" };
        note(&mut service, "ipmi.version", version);
        // What lets in without a password, or with none that is secret.
        note(&mut service, "ipmi.no_authentication", if offers & 1 != 0 { "offered" } else { "no" });
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_offers() {
        let service = message(PROTOCOL.samples[0]).unwrap();
        assert_eq!(service.facts["ipmi.version"], "2.0");
        assert_eq!(service.facts["ipmi.no_authentication"], "offered");
        let question = (PROTOCOL.request.unwrap())(&super::super::Asking {
            endpoint: model::Endpoint::udp(std::net::Ipv4Addr::LOCALHOST.into(), 623),
            name: None,
            tls: false,
            agent: "",
        });
        assert_eq!(message(&question), None);
    }
}
