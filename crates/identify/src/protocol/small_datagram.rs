//! What answers to a datagram of a few bytes: the browser of SQL Server, CoAP, NAT-PMP, GTP, XDMCP, L2TP, RADIUS, `OpenVPN`.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;

/// [MC-SQLR] §2.2: all instances.
pub(super) static SQL_BROWSER: Protocol = Protocol {
    name: "ms-sql-m",
    speaker: Speaker::Client,
    ports: &[1434],
    request: Some(|_| vec![2]),
    parse: |received| sql_browser(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[b"\x05\x4c\0ServerName;DB1;InstanceName;MSSQLSERVER;IsClustered;No;Version;15.0.2000.5;;"],
};

/// RFC 7252 and 6690: the list of resources.
pub(super) static COAP: Protocol = Protocol {
    name: "coap",
    speaker: Speaker::Client,
    ports: &[5683],
    request: Some(|_| b"\x42\x01pdpd\xbb.well-known\x04core".to_vec()),
    parse: |received| coap(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[b"\x62\x45pdpd\xc1\x28\xff</sensors>;rt=\"index\"", b"\x62\x84pdpd", b"\x70\0pd"],
};

/// RFC 6886 §3.2: which address is the outer one.
pub(super) static NAT_PMP: Protocol = Protocol {
    name: "nat-pmp",
    speaker: Speaker::Client,
    ports: &[5351],
    request: Some(|_| vec![0, 0]),
    parse: |received| match received.bytes {
        // As long as version 0 has it, or version 2's refusal (RFC 6887 §9).
        [0, 0x80, 0, 0..=5, _, _, _, _, _, _, _, _] => Parse::certain(named("nat-pmp")),
        [2, 0x80, 0, 1, rest @ ..] if rest.len() == 20 => Parse::certain(named("nat-pmp")),
        _ => Parse::No,
    },
    reply: None,
    #[cfg(test)]
    samples: &[b"\0\x80\0\0\0\0\x12\x34\xcb\0\x71\x07"],
};

/// 3GPP TS 29.060 §7.2: an echo.
pub(super) static GTP: Protocol = Protocol {
    name: "gtp-control",
    speaker: Speaker::Client,
    ports: &[2123],
    request: Some(|_| b"\x32\x01\0\x04\0\0\0\0pd\0\0".to_vec()),
    parse: |received| match received.bytes {
        [0x32, 2, 0, 4..=16, _, _, _, _, b'p', b'd', _, _, ..] | [0x40, 2, 0, 4..=64, ..] => {
            Parse::certain(named("gtp-control"))
        }
        _ => Parse::No,
    },
    reply: None,
    #[cfg(test)]
    samples: &[b"\x32\x02\0\x06\0\0\0\0pd\0\0\x0e\x07"],
};

/// X Display Manager Control Protocol, §5: a query; willing or not.
pub(super) static XDMCP: Protocol = Protocol {
    name: "xdmcp",
    speaker: Speaker::Client,
    ports: &[177],
    request: Some(|_| vec![0, 1, 0, 2, 0, 1, 0]),
    parse: |received| xdmcp(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[b"\0\x01\0\x05\0\x12\0\0\0\x04host\0\x08willing!"],
};

/// RFC 5997: is anybody there? A server that knows us would answer.
pub(super) static RADIUS: Protocol = Protocol {
    name: "radius",
    speaker: Speaker::Client,
    ports: &[1812],
    request: Some(|_| b"\x0c\x70\0\x26perimeterd-asks!\x50\x12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
    parse: |received| match received.bytes {
        // Accept, reject, challenge, to our number and as long as they say.
        [2 | 3 | 5 | 11, 0x70, high, low, ..]
            if received.bytes.len() >= 20 && usize::from(u16::from_be_bytes([*high, *low])) == received.bytes.len() =>
        {
            Parse::certain(named("radius"))
        }
        _ => Parse::No,
    },
    reply: None,
    #[cfg(test)]
    samples: &[b"\x02\x70\0\x14aaaaaaaaaaaaaaaa"],
};

/// RFC 2661 §6.1: a request to start a control connection.
pub(super) static L2TP: Protocol = Protocol {
    name: "l2tp",
    speaker: Speaker::Client,
    ports: &[1701],
    request: Some(|_| {
        b"\xc8\x02\0\x41\0\0\0\0\0\0\0\0\x80\x08\0\0\0\0\0\x01\x80\x08\0\0\0\x02\x01\0\x80\x10\0\0\0\x07perimeterd\
          \x80\x0a\0\0\0\x03\0\0\0\x03\x80\x08\0\0\0\x09\0\x01"
            .to_vec()
    }),
    parse: |received| l2tp(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\xc8\x02\0\x2c\0\x01\0\0\0\0\0\x01\x80\x08\0\0\0\0\0\x02\x80\x0a\0\0\0\x07lns1\x80\x0e\0\0\0\x08xelerate",
    ],
};

/// `OpenVPN`'s `P_CONTROL_HARD_RESET_CLIENT_V2` and the server's own.
pub(super) static OPENVPN: Protocol = Protocol {
    name: "openvpn",
    speaker: Speaker::Client,
    ports: &[1194],
    request: Some(|_| b"\x38perimetr\0\0\0\0\0".to_vec()),
    parse: |received| match received.bytes {
        [0x40, rest @ ..] if rest.len() >= 25 && rest.get(8) == Some(&1) && rest.get(13..21) == Some(b"perimetr") => {
            Parse::certain(named("openvpn"))
        }
        _ => Parse::No,
    },
    reply: None,
    #[cfg(test)]
    samples: &[b"\x40serverid\x01\0\0\0\0perimetr\0\0\0\0"],
};

/// WS-Discovery 1.1: a probe for anything.
pub(super) static WS_DISCOVERY: Protocol = Protocol {
    name: "ws-discovery",
    speaker: Speaker::Client,
    ports: &[3702],
    request: Some(|_| {
        b"<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
          xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
          xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><s:Header>\
          <a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
          <a:MessageID>urn:uuid:70657269-6d65-4465-8264-000000000001</a:MessageID>\
          <a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>\
          <s:Body><d:Probe/></s:Body></s:Envelope>"
            .to_vec()
    }),
    parse: ws_discovery,
    reply: None,
    #[cfg(test)]
    samples: &[b"<?xml version=\"1.0\"?><s:Envelope><s:Body><d:ProbeMatches><d:Types>wsdp:Device pub:Computer</d:Types></d:ProbeMatches></s:Body></s:Envelope>"],
};

fn sql_browser(bytes: &[u8]) -> Option<Service> {
    let mut reader = Reader::new(bytes.strip_prefix(&[5])?);
    let length = reader.u16_le()?;
    let said = reader.rest();
    (usize::from(length) == said.len() && said.starts_with(b"ServerName;")).then_some(())?;
    let mut service = named("ms-sql-m");
    let words: Vec<&[u8]> = said.split(|byte| *byte == b';').take(64).collect();
    let value = |key: &[u8]| words.iter().position(|word| *word == key).and_then(|at| words.get(at + 1)).copied();
    for (key, fact) in
        [(b"ServerName".as_slice(), "mssql.server"), (b"InstanceName", "mssql.instance"), (b"tcp", "mssql.tcp")]
    {
        note(&mut service, fact, value(key).unwrap_or_default());
    }
    let version = value(b"Version").map(text::printable);
    product::name(&mut service, "SQL Server", version.as_deref().and_then(text::version));
    service.vendor = Some("Microsoft".into());
    Some(service)
}

fn coap(bytes: &[u8]) -> Option<Service> {
    let mut reader = Reader::new(bytes);
    let [first, code] = reader.array()?;
    let id = reader.take(2)?;
    let (version, kind, token) = (first >> 6, first >> 4 & 3, usize::from(first & 15));
    // An acknowledgement with a response of class 2, 4 or 5 and our token; or a reset.
    let is_reset = kind == 3 && code == 0 && reader.is_empty();
    let responds = matches!(code >> 5, 2 | 4 | 5) && token == 2 && reader.take(2)? == b"pd";
    (version == 1 && id == b"pd" && (is_reset || (kind == 2 && responds))).then_some(())?;
    let mut service = named("coap");
    let payload = bytes.iter().position(|byte| *byte == 0xff).and_then(|at| bytes.get(at + 1..));
    note(&mut service, "coap.resources", payload.unwrap_or_default());
    Some(service)
}

fn xdmcp(bytes: &[u8]) -> Option<Service> {
    let mut reader = Reader::new(bytes);
    let (version, kind, length) = (reader.u16()?, reader.u16()?, reader.u16()?);
    (version == 1 && matches!(kind, 5 | 6) && usize::from(length) == reader.rest().len()).then_some(())?;
    let mut words = || {
        let length = reader.u16()?;
        reader.take(usize::from(length))
    };
    // A name of authentication comes first only where it is willing; what follows are host and status.
    let mut service = named("xdmcp");
    note(&mut service, "xdmcp.access", if kind == 5 { "willing" } else { "unwilling" });
    if kind == 5 {
        words();
    }
    note(&mut service, "xdmcp.host", words().unwrap_or_default());
    Some(service)
}

fn l2tp(bytes: &[u8]) -> Option<Service> {
    const REPLY: &[u8] = b"\0\x02";
    const STOP: &[u8] = b"\0\x04";
    let mut reader = Reader::new(bytes);
    // A control message of version 2 with length and numbers, about tunnel 1 as we have called it.
    let (flags, length, tunnel) = (reader.u16()?, reader.u16()?, reader.u16()?);
    (flags == 0xc802 && usize::from(length) == bytes.len() && tunnel <= 1).then_some(())?;
    reader.take(6)?;
    let mut service = named("l2tp");
    let mut answers = false;
    for _ in 0..32 {
        let (Some(head), Some(_vendor), Some(kind)) = (reader.u16(), reader.u16(), reader.u16()) else { break };
        let Some(value) = usize::from(head & 0x3ff).checked_sub(6).and_then(|length| reader.take(length)) else {
            break;
        };
        match kind {
            0 => answers = value == REPLY || value == STOP,
            7 => note(&mut service, "l2tp.host", value),
            8 => note(&mut service, "l2tp.vendor", value),
            _ => {}
        }
    }
    answers.then_some(service)
}

fn ws_discovery(received: Received<'_>) -> Parse {
    let said = String::from_utf8_lossy(received.bytes);
    if !said.trim_start().starts_with('<') || !said.contains("ProbeMatches") {
        return Parse::No;
    }
    let mut service = named("ws-discovery");
    if let Some(types) = said.split("Types>").nth(1).and_then(|rest| rest.split('<').next()) {
        note(&mut service, "wsd.types", types);
    }
    Parse::yes(service, Strength::Structure, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_they_tell() {
        let facts = |protocol: &Protocol| match (protocol.parse)(Received::ended(protocol.samples[0])) {
            Parse::Yes(answer) => answer.service.facts,
            other => panic!("{}: {other:?}", protocol.name),
        };
        for (protocol, fact, value) in [
            (&SQL_BROWSER, "mssql.instance", "MSSQLSERVER"),
            (&COAP, "coap.resources", "</sensors>;rt=\"index\""),
            (&XDMCP, "xdmcp.access", "willing"),
            (&L2TP, "l2tp.vendor", "xelerate"),
            (&WS_DISCOVERY, "wsd.types", "wsdp:Device pub:Computer"),
        ] {
            assert_eq!(facts(protocol)[fact], value);
        }
    }
}
