//! What probes look like, byte by byte.
//!
//! A template is a whole packet, built once for a source address with `pnet_packet`. For each target it is copied and a few fields
//! are written over; the checksums start from the template's own sums, with those fields taken as 0, and only the new values are
//! added (RFC 1624). Packets start with their IP header.

mod ack;
mod checksum;
mod echo;
mod header;
mod neighbour;
mod syn;
mod udp;

pub use ack::AckTemplate;
pub use echo::EchoTemplate;
pub(crate) use neighbour::question as neighbour_question;
pub use syn::SynTemplate;
pub use udp::UdpTemplate;

use std::time::Duration;

/// The timestamp a SYN carries (RFC 7323): the time since the process began in units of 64 µs. It goes round every three days.
pub fn ticks(since_start: Duration) -> u32 {
    u32::try_from((since_start.as_micros() >> 6) & u128::from(u32::MAX)).unwrap_or_default()
}

/// How long an answer took that repeats a SYN's timestamp, to 64 µs. None for what is no time of the last two minutes: a peer may
/// write whatever it likes there.
pub fn round_trip(now_since_start: Duration, repeated: u32) -> Option<Duration> {
    let took = Duration::from_micros(u64::from(ticks(now_since_start).wrapping_sub(repeated)) << 6);
    (took <= Duration::from_mins(2)).then_some(took)
}

#[cfg(test)]
mod tests;
