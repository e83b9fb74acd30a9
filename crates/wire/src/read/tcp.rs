use super::{
    bytes::{u16_at, u32_at},
    heard::{Flags, Segment, TcpOptions},
    ip::Packet,
};

const END: u8 = 0;
const PADDING: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

#[inline]
pub(super) fn read(packet: &Packet<'_>) -> Option<Segment> {
    let (header, rest) = packet.payload.split_first_chunk::<20>()?;
    let options = usize::from(header[12] >> 4) * 4;
    // Cut off, they are read as far as they go.
    let options = rest.get(..options.checked_sub(20)?).unwrap_or(rest);
    Some(Segment {
        from: packet.source,
        to: packet.destination,
        port: u16_at(header, 0),
        our_port: u16_at(header, 2),
        seq: u32_at(header, 4),
        ack: u32_at(header, 8),
        flags: Flags(header[13]),
        window: u16_at(header, 14),
        options: read_options(options),
        ttl: packet.ttl,
    })
}

/// Every turn takes at least one byte away, so that even a length of 0 ends it.
#[inline]
fn read_options(mut bytes: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    while let [kind, rest @ ..] = bytes {
        match *kind {
            END => break,
            PADDING => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        options.any = true;
        // The length counts the kind and itself.
        let Some((value, after)) =
            rest.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(length.checked_sub(2)?)))
        else {
            break;
        };
        match (*kind, value) {
            (MSS, [a, b]) => options.mss = Some(u16::from_be_bytes([*a, *b])),
            (WINDOW_SCALE, [shift]) => options.wscale = Some(*shift),
            (SACK_PERMITTED, []) => options.sack = true,
            (TIMESTAMPS, value) => {
                let value: Option<&[u8; 8]> = value.try_into().ok();
                options.ts = value.map(|value| (u32_at(value, 0), u32_at(value, 4))).or(options.ts);
            }
            _ => {}
        }
        bytes = after;
    }
    options
}
