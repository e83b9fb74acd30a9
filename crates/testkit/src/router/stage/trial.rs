//! What the tests of stages need: packets, and a stage under trial.

use super::{Fate, Fates, Stage, Way};
use crate::router::packet::{ACK, Packet, SYN, Segment};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The watcher in tests of stages.
pub(crate) fn watcher(v4: bool) -> IpAddr {
    if v4 { [10, 78, 0, 1].into() } else { "fd78::1".parse().expect("an address") }
}

/// The server in tests of stages.
pub(crate) fn server() -> IpAddr {
    [10, 77, 0, 2].into()
}

pub(crate) fn syn(source_port: u16, target_port: u16) -> Packet {
    syn_to(server(), source_port, target_port)
}

pub(crate) fn syn_to(target: IpAddr, source_port: u16, target_port: u16) -> Packet {
    let source = SocketAddr::new(watcher(target.is_ipv4()), source_port);
    segment(source, SocketAddr::new(target, target_port), SYN, 1_000, 0)
}

pub(crate) fn segment(source: SocketAddr, target: SocketAddr, flags: u8, sequence: u32, acknowledged: u32) -> Packet {
    let says =
        Segment { source_port: source.port(), target_port: target.port(), sequence, acknowledged, flags, data: 0 };
    Packet::segment(source, target, says, (flags & SYN != 0).then_some(1_400)).expect("one family")
}

/// What the target of this packet says back, with these flags beside ACK; a ping is answered by a ping.
pub(crate) fn answer(to: &Packet, flags: u8) -> Packet {
    let (source, target) = to.sockets().expect("ports");
    match to.tcp() {
        Some(asked) => segment(target, source, flags | ACK, 5_000, asked.sequence.wrapping_add(asked.length())),
        None => echo(target.ip(), source.ip(), 0, source.port()),
    }
}

/// Data from the watcher in an open connection.
pub(crate) fn data(source_port: u16, target_port: u16, content: &[u8]) -> Packet {
    let target = SocketAddr::new(server(), target_port);
    let bare = segment(SocketAddr::new(watcher(true), source_port), target, ACK, 1_001, 5_001);
    bare.with_data(content).expect("short")
}

pub(crate) fn ping() -> Packet {
    echo(watcher(true), server(), 8, 77)
}

fn echo(source: IpAddr, target: IpAddr, kind: u8, id: u16) -> Packet {
    let [high, low] = id.to_be_bytes();
    Packet::make(source, target, 1, &[kind, 0, 0, 0, high, low, 0, 1]).expect("one family")
}

pub(crate) fn icmp_error() -> Packet {
    syn(1_000, 80).port_unreachable().expect("an error")
}

/// A stage, and what it has counted.
pub(crate) struct Trial {
    stage: Box<dyn Stage>,
    fates: Fates,
}

impl Trial {
    pub(crate) fn of(stage: impl Stage + 'static) -> Self {
        Self { stage: Box::new(stage), fates: Fates::default() }
    }

    pub(crate) fn take(&mut self, packet: Packet, way: Way, now: Duration) -> Vec<Fate> {
        self.stage.take(packet, way, now, &mut self.fates);
        std::mem::take(&mut self.fates.leaving)
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.fates.counted.get(what).copied().unwrap_or_default()
    }
}
