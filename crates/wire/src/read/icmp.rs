use super::{
    bytes::{u16_at, u32_at},
    heard::{EchoReply, Heard, Quoted, QuotedPart, TimestampReply, Unreachable, Why},
    ip::{self, Packet},
    neighbour::advertisement,
};

/// RFC 792; the codes of unreachable are those of RFC 1122, 3.2.2.1, and RFC 1812, 5.2.7.1.
pub(super) fn v4<'a>(packet: &Packet<'a>) -> Option<Heard<'a>> {
    let (header, rest) = packet.payload.split_first_chunk::<8>()?;
    let why = match (header[0], header[1]) {
        (0, _) => return Some(Heard::Echo(echo(packet, *header, rest))),
        (14, _) => {
            let times = rest.first_chunk::<12>()?;
            return Some(Heard::Timestamp(TimestampReply {
                from: packet.source,
                to: packet.destination,
                identifier: u16_at(header, 4),
                sequence: u16_at(header, 6),
                originate: u32_at(times, 0),
                receive: u32_at(times, 4),
                transmit: u32_at(times, 8),
                ttl: packet.ttl,
            }));
        }
        (3, 0 | 6 | 11) => Why::Net,
        (3, 1 | 7 | 8 | 12) => Why::Host,
        (3, 2) => Why::Protocol,
        (3, 3) => Why::Port,
        (3, 4) => Why::TooBig,
        (3, 9 | 10 | 13 | 14 | 15) => Why::Prohibited,
        (11, _) => Why::TimeExceeded,
        (3 | 12, _) => Why::Other,
        _ => return None,
    };
    unreachable(packet, *header, why, rest)
}

/// RFC 4443; the codes above 4 of unreachable are those of its section 3.1.
pub(super) fn v6<'a>(packet: &Packet<'a>) -> Option<Heard<'a>> {
    let (header, rest) = packet.payload.split_first_chunk::<8>()?;
    let why = match (header[0], header[1]) {
        (129, _) => return Some(Heard::Echo(echo(packet, *header, rest))),
        (136, _) => return advertisement(packet),
        (1, 0 | 2) => Why::Net,
        (1, 1 | 5 | 6) => Why::Prohibited,
        (1, 3) => Why::Host,
        (1, 4) => Why::Port,
        (2, _) => Why::TooBig,
        (3, _) => Why::TimeExceeded,
        (1 | 4, _) => Why::Other,
        _ => return None,
    };
    unreachable(packet, *header, why, rest)
}

fn echo<'a>(packet: &Packet<'a>, header: [u8; 8], payload: &'a [u8]) -> EchoReply<'a> {
    EchoReply {
        from: packet.source,
        to: packet.destination,
        identifier: u16_at(&header, 4),
        sequence: u16_at(&header, 6),
        payload,
        ttl: packet.ttl,
    }
}

fn unreachable<'a>(packet: &Packet<'a>, header: [u8; 8], why: Why, rest: &'a [u8]) -> Option<Heard<'a>> {
    let quoted = quoted(rest).filter(|quoted| quoted.dst.is_ipv4() == packet.source.is_ipv4())?;
    Some(Heard::Unreachable(Unreachable {
        by: packet.source,
        to: packet.destination,
        why,
        icmp_type: header[0],
        code: header[1],
        ttl: packet.ttl,
        quoted,
    }))
}

/// The IP header and the eight bytes behind it that every error has to quote.
fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let packet = ip::quoted(bytes)?;
    let begin = packet.payload.first_chunk::<8>();
    let part = match packet.protocol {
        ip::TCP => {
            let begin = begin?;
            QuotedPart::Tcp { sport: u16_at(begin, 0), dport: u16_at(begin, 2), seq: u32_at(begin, 4) }
        }
        ip::UDP => {
            let begin = begin?;
            QuotedPart::Udp { sport: u16_at(begin, 0), dport: u16_at(begin, 2) }
        }
        // Echo and timestamp requests look the same so far.
        ip::ICMP | ip::ICMP_V6 if matches!(begin?[0], 8 | 13 | 128) => {
            let begin = begin?;
            QuotedPart::Echo { identifier: u16_at(begin, 4), sequence: u16_at(begin, 6) }
        }
        other => QuotedPart::Other(other),
    };
    Some(Quoted { src: packet.source, dst: packet.destination, ip_id: packet.id, part })
}
