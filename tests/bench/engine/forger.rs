//! Somebody at the far end who answers in everybody's name what nobody was asked: SYN-ACKs and RSTs with sources, ports and
//! numbers of every kind, among them the addresses that are really there and the ports that are really asked from.

use crate::population::Chance;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use testkit::Line;
use tokio::time::Instant;

/// Between two handfuls.
const EVERY: Duration = Duration::from_millis(1);
/// What forged packets carry and no others, so that they can be counted.
const TTL: u8 = 77;
/// One gets too little of a busy machine.
const THREADS: u32 = 2;
/// RFC 9293: the SYN and RST and ACK bits.
const SYN_ACK: u8 = 0x12;
const RST: u8 = 0x04;
const RST_ACK: u8 = 0x14;

/// Forges until it is dropped.
#[derive(Debug)]
pub(crate) struct Forger<'a> {
    line: &'a Line,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl<'a> Forger<'a> {
    /// In the name of the first `sources` addresses of 10.0.0.0/12 and this port, so many packets a second.
    pub(crate) fn start(line: &'a Line, sources: u32, port: u16, rate: u32) -> Self {
        count_what_is_received(line);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |number: u32| {
            let stop = stop.clone();
            line.far().namespace().enter(move || forge(Chance(number.into()), sources, port, rate / THREADS, &stop))
        };
        let threads = (0..THREADS).map(thread).collect();
        Self { line, stop, threads }
    }

    /// Forged packets that have arrived at the near end.
    pub(crate) fn received(&self) -> u64 {
        let listed = self.line.near().run("nft", &["-j", "list", "counter", "netdev", "forged", "received"]);
        let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
        let entries = listed["nftables"].as_array().into_iter().flatten();
        let packets = entries.filter_map(|entry| entry.get("counter")?["packets"].as_u64());
        packets.sum()
    }
}

impl Drop for Forger<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Its panic, if any, has been printed; a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

fn count_what_is_received(line: &Line) {
    let rules = format!(
        "add table netdev forged\ndelete table netdev forged\ntable netdev forged {{\n counter received {{ }}\n \
         chain arriving {{ type filter hook ingress device eth0 priority 0;\n  ip ttl {TTL} counter name received\n }}\n}}\n"
    );
    let file = line.near().write("forged.nft", &rules);
    line.near().run("nft", &["-f", &file.to_string_lossy()]);
}

fn forge(mut chance: Chance, sources: u32, port: u16, rate: u32, stop: &AtomicBool) {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("root may have a raw socket");
    let target: Ipv4Addr = Line::NEAR_ADDRESSES[0].parse().expect("an address");
    socket.connect(&SocketAddrV4::new(target, 0).into()).expect("the near end is routed");
    let begun = Instant::now();
    let mut sent: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds times a rate")]
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        // What a busy machine did not let it send is not made up for in one go.
        for _ in 0..due.saturating_sub(sent).min(u64::from(rate / 20)) {
            // A queue that is full is a packet lost, as elsewhere.
            let _ = socket.send(&packet(&mut chance, sources, port, target));
        }
        sent = due;
        thread::sleep(EVERY);
    }
}

/// An IPv4 header (RFC 791) and a TCP header without options (RFC 9293).
fn packet(chance: &mut Chance, sources: u32, port: u16, target: Ipv4Addr) -> [u8; 40] {
    let source = Ipv4Addr::from(0x0a00_0000 + chance.below(sources));
    let flags = [SYN_ACK, RST, SYN_ACK, RST_ACK][chance.below(4) as usize];
    // Where scanners usually ask from, all of them above 32,768.
    #[expect(clippy::cast_possible_truncation, reason = "a port")]
    let to_port = (32_768 + chance.below(32_768)) as u16;
    let numbers = chance.next().to_be_bytes();
    let mut packet = [0; 40];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 40]);
    packet[8..10].copy_from_slice(&[TTL, 6]);
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&target.octets());
    let header = checksum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[22..24].copy_from_slice(&to_port.to_be_bytes());
    // Sequence and acknowledgement.
    packet[24..32].copy_from_slice(&numbers);
    packet[32..36].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    // The pseudo header: both addresses, the protocol, the length.
    let sum = checksum(&packet[12..40], 6 + 20);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// RFC 1071, over an even number of bytes and what is added to them.
fn checksum(bytes: &[u8], and: u32) -> u16 {
    let mut sum = and;
    for pair in bytes.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it has been folded")]
    let folded = sum as u16;
    !folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forged_is_well_formed() {
        let mut chance = Chance(1);
        let target = Ipv4Addr::new(10, 200, 0, 1);
        for _ in 0..1_000 {
            let packet = packet(&mut chance, 256, 80, target);
            assert_eq!(checksum(&packet[..20], 0), 0);
            assert_eq!(checksum(&packet[12..40], 26), 0);
            assert_eq!((packet[12], packet[13], packet[14]), (10, 0, 0));
            assert!([SYN_ACK, RST, RST_ACK].contains(&packet[33]));
        }
    }
}
