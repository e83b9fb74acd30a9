//! SIP (RFC 3261): OPTIONS, by TCP and by UDP; the answer says what answers and what it allows.

use super::{Asking, Protocol, Speaker, named, note};
use crate::{
    answer::{Parse, Received},
    distribution,
    head::{self, Head, Reading},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "sip",
    speaker: Speaker::Client,
    ports: &[5060, 5061],
    request: Some(|asking| question(asking, if asking.tls { "TLS" } else { "TCP" })),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.9\r\nServer: Asterisk PBX 20.6.0~dfsg\r\nAllow: INVITE, ACK\r\nContent-Length: 0\r\n\r\n",
        b"SIP/2.0 404 Not Found\r\nUser-Agent: FPBX-16\r\n\r\n",
    ],
};

pub(super) static BY_DATAGRAM: Protocol = Protocol {
    name: "sip",
    speaker: Speaker::Client,
    ports: &[5060],
    request: Some(|asking| question(asking, "UDP")),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"SIP/2.0 483 Too Many Hops\r\nServer: kamailio (5.6.3 (x86_64/linux))\r\nContent-Length: 0\r\n\r\n"],
};

/// OPTIONS to the address itself. Where the answer goes to is where the question came from (RFC 3581), so nothing here says
/// who asks.
fn question(asking: &Asking<'_>, transport: &str) -> Vec<u8> {
    let host = match (asking.name, asking.endpoint.ip) {
        (Some(name), _) => name.to_string(),
        (None, std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        (None, ip) => ip.to_string(),
    };
    let agent = text::printable(asking.agent.as_bytes());
    let agent = if agent.is_empty() { "perimeterd" } else { &agent };
    format!(
        "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/{transport} perimeterd.invalid;branch=z9hG4bK-perimeterd;rport\r\n\
         Max-Forwards: 0\r\nFrom: <sip:perimeterd@perimeterd.invalid>;tag=perimeterd\r\nTo: <sip:{host}>\r\n\
         Call-ID: perimeterd\r\nCSeq: 1 OPTIONS\r\nContact: <sip:perimeterd@perimeterd.invalid>\r\n\
         Accept: application/sdp\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn parse(received: Received<'_>) -> Parse {
    match head::read(received, b"SIP/2.0 ") {
        Reading::No => Parse::No,
        Reading::NeedMore => Parse::need_more(received),
        Reading::Head(head) => Parse::certain(service(&head)),
    }
}

fn service(head: &Head) -> Service {
    let mut service = named("sip");
    note(&mut service, "sip.status", head.status.to_string());
    note(&mut service, "sip.allow", head.field("allow").unwrap_or_default());
    let agent = head.field("server").or(head.field("user-agent"));
    if let Some(agent) = agent {
        // `Asterisk PBX 20.6.0~dfsg`, `kamailio (5.6.3 (x86_64/linux))`, `OpenSIPS (3.2.0 (x86_64/linux))`, `Zorb/1.4`.
        let name: &str = agent.split(['/', '(']).next().unwrap_or(agent).trim_end();
        let words: Vec<&str> = name.split(' ').filter(|word| text::version(word).is_none()).collect();
        let version = agent.split([' ', '/', '(']).find_map(text::version);
        product::name(&mut service, &words.join(" "), version);
        if agent.contains("linux") {
            distribution::read(&mut service, "Linux");
        }
        service.banner = Some(agent.to_owned());
    }
    service
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Endpoint;

    #[test]
    fn who_answers() {
        for (server, product, version) in [
            ("Asterisk PBX 20.6.0~dfsg", "Asterisk", Some("20.6.0~dfsg")),
            ("kamailio (5.6.3 (x86_64/linux))", "Kamailio", Some("5.6.3")),
            ("Zorb/1.4", "Zorb", Some("1.4")),
            ("FPBX-16", "FPBX-16", None),
        ] {
            let answer = format!("SIP/2.0 200 OK\r\nServer: {server}\r\n\r\n");
            let Parse::Yes(answer) = parse(Received::open(answer.as_bytes())) else { panic!("{server}") };
            assert_eq!(answer.service.product.as_deref(), Some(product));
            assert_eq!(answer.service.version.as_deref(), version);
        }
    }

    #[test]
    fn the_question() {
        let endpoint = Endpoint::tcp("2001:db8::7".parse().unwrap(), 5060);
        let asking = Asking { endpoint, name: None, tls: false, agent: "perimeterd/1\r\nEvil: 1" };
        let question = String::from_utf8(question(&asking, "UDP")).unwrap();
        assert!(question.starts_with("OPTIONS sip:[2001:db8::7] SIP/2.0\r\nVia: SIP/2.0/UDP "));
        assert!(question.contains("\r\nUser-Agent: perimeterd/1 Evil: 1\r\n") && question.ends_with("\r\n\r\n"));
    }
}
