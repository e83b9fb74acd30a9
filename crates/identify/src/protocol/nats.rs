//! NATS: INFO and an object of JSON, from the server, at once.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "nats",
    speaker: Speaker::Server,
    ports: &[4222],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"INFO {\"server_id\":\"NA\",\"server_name\":\"a\",\"version\":\"2.9.10\",\"proto\":1,\"auth_required\":true,\"max_payload\":1048576} \r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(b"INFO {\"") {
        return parse;
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 8192 { Parse::need_more(received) } else { Parse::No };
    };
    let said = String::from_utf8_lossy(line);
    let field = |name: &str| {
        let rest = text::after(&said, &format!("\"{name}\":"))?.trim_start();
        let value = rest.strip_prefix('"').map_or_else(|| rest.split([',', '}']).next(), |rest| rest.split('"').next());
        value.map(|value| text::printable(value.as_bytes()))
    };
    if field("max_payload").is_none() && field("server_id").is_none() {
        return Parse::No;
    }
    let mut service = named("nats");
    product::name(&mut service, "nats", field("version").as_deref().and_then(text::version));
    note(&mut service, "nats.authentication", field("auth_required").unwrap_or_default());
    note(&mut service, "nats.tls_required", field("tls_required").unwrap_or_default());
    note(&mut service, "nats.cluster", field("cluster").unwrap_or_default());
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("2.9.10"));
        assert_eq!(answer.service.facts["nats.authentication"], "true");
    }
}
