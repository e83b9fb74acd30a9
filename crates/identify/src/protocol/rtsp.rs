//! RTSP (RFC 2326 and 7826): OPTIONS. Such a server also says what it is to those who take it for a web server.

use super::{Protocol, Speaker, named, note};
use crate::{
    answer::{Parse, Received},
    head::{self, Reading},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "rtsp",
    speaker: Speaker::Client,
    ports: &[554, 8554, 322],
    request: Some(|asking| {
        let agent = text::printable(asking.agent.as_bytes());
        format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: {agent}\r\n\r\n").into()
    }),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: GStreamer RTSP server\r\nPublic: OPTIONS, DESCRIBE, PLAY\r\n\r\n",
        b"RTSP/1.0 400 Bad Request\r\n\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const VERSIONS: [&[u8]; 2] = [b"RTSP/1.0 ", b"RTSP/2.0 "];
    let mut hope = false;
    for version in VERSIONS {
        match head::read(received, version) {
            Reading::No => {}
            Reading::NeedMore => hope = true,
            Reading::Head(head) => {
                let mut service = named("rtsp");
                note(&mut service, "rtsp.status", head.status.to_string());
                note(&mut service, "rtsp.methods", head.field("public").unwrap_or_default());
                if let Some(server) = head.field("server") {
                    let (name, rest) = server.split_once('/').unwrap_or((server, ""));
                    product::name(&mut service, name.trim(), text::version(rest));
                    service.banner = Some(server.to_owned());
                }
                return Parse::certain(service);
            }
        }
    }
    if hope { Parse::need_more(received) } else { Parse::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers() {
        let said = b"RTSP/1.0 200 OK\r\nServer: Zorbcam/2.1 (Linux)\r\nPublic: PLAY\r\n\r\n";
        let Parse::Yes(answer) = parse(Received::open(said)) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("Zorbcam"));
        assert_eq!(answer.service.version.as_deref(), Some("2.1"));
        assert_eq!(answer.service.facts["rtsp.methods"], "PLAY");
    }
}
