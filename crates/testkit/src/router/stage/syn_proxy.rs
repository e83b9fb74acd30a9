use super::{Fates, Stage, Way};
use crate::router::{
    chance::Chance,
    flow::Flow,
    packet::{ACK, Packet, RST, SYN, Segment, TCP},
    prefixes,
};
use model::AddressSet;
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};

/// A middlebox that answers every SYN to a prefix itself, whatever port and address, and asks the real host only once the
/// watcher has shown itself (RFC 4987 §3.7).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynProxySettings {
    #[serde(deserialize_with = "prefixes::read")]
    pub prefix: AddressSet,
    /// What becomes of a connection behind which there is nothing.
    pub nothing_behind: NothingBehind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NothingBehind {
    /// It stays open, and nobody ever speaks.
    Mute,
    /// It is reset.
    Reset,
}

/// A connection is remembered for so long after its last packet.
const REMEMBERED: Duration = Duration::from_mins(2);
/// When the table has grown so far, what has run out is taken out of it.
const CLEAN_AT: usize = 4_096;
/// So many packets of the watcher wait for the real connection; TCP sends the others again.
const MOST_HELD: usize = 8;
const MSS: u16 = 1_400;

#[derive(Debug)]
pub struct SynProxy {
    settings: SynProxySettings,
    chance: Chance,
    connections: HashMap<Flow, Connection>,
    clean_at: usize,
}

#[derive(Debug)]
struct Connection {
    /// First sequence numbers: the watcher's, and the one it was answered with.
    theirs: u32,
    ours: u32,
    used: Duration,
    stadium: Stadium,
}

#[derive(Debug)]
enum Stadium {
    Answered,
    /// The real host is asked; what the watcher said meanwhile waits.
    Connecting(Vec<Packet>),
    /// What is added to the server's sequence numbers.
    Through(u32),
    /// Nobody is there, and nobody says so.
    Mute,
}

impl SynProxy {
    pub fn new(settings: SynProxySettings, seed: u64) -> Self {
        Self { settings, chance: Chance::new(seed), connections: HashMap::new(), clean_at: CLEAN_AT }
    }

    fn clean(&mut self, now: Duration) {
        if self.connections.len() >= self.clean_at {
            self.connections.retain(|_, connection| now.saturating_sub(connection.used) < REMEMBERED);
            self.clean_at = (self.connections.len() * 2).max(CLEAN_AT);
        }
    }

    /// A SYN is answered in the name of its target; the same SYN again by the same answer.
    fn answer(&mut self, flow: Flow, segment: Segment, now: Duration, fates: &mut Fates) {
        self.clean(now);
        let again = self.connections.get(&flow).filter(|known| known.theirs == segment.sequence);
        #[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
        let ours = again.map_or_else(|| self.chance.number() as u32, |known| known.ours);
        if again.is_none_or(|known| matches!(known.stadium, Stadium::Answered)) {
            let connection = Connection { theirs: segment.sequence, ours, used: now, stadium: Stadium::Answered };
            self.connections.insert(flow, connection);
        }
        fates.count("answered");
        let acknowledged = segment.sequence.wrapping_add(1);
        say(flow, Way::Back, SYN | ACK, ours, acknowledged, fates);
    }

    fn go_out(&mut self, packet: Packet, flow: Flow, segment: Segment, now: Duration, fates: &mut Fates) {
        if segment.is_syn() {
            return self.answer(flow, segment, now, fates);
        }
        let Some(connection) = self.connections.get_mut(&flow) else { return fates.drop("strays") };
        connection.used = now;
        let theirs = connection.theirs;
        match &mut connection.stadium {
            Stadium::Through(shift) => {
                let mut packet = packet;
                packet.shift(0, 0_u32.wrapping_sub(*shift));
                fates.pass(packet, Way::Out);
                if segment.flags & RST != 0 {
                    self.connections.remove(&flow);
                }
            }
            _ if segment.flags & RST != 0 => {
                self.connections.remove(&flow);
            }
            Stadium::Mute => fates.drop("swallowed"),
            Stadium::Answered => {
                if segment.acknowledged != connection.ours.wrapping_add(1) {
                    return fates.drop("strays");
                }
                let held = if segment.length() > 0 { vec![packet] } else { Vec::new() };
                connection.stadium = Stadium::Connecting(held);
                fates.count("connections");
                say(flow, Way::Out, SYN, theirs, 0, fates);
            }
            Stadium::Connecting(held) => {
                if segment.length() > 0 && held.len() < MOST_HELD {
                    held.push(packet);
                }
                // The first may have been lost.
                say(flow, Way::Out, SYN, theirs, 0, fates);
            }
        }
    }

    fn come_back(&mut self, mut packet: Packet, flow: Flow, segment: Segment, now: Duration, fates: &mut Fates) {
        let Some(connection) = self.connections.get_mut(&flow) else { return fates.drop("strays") };
        connection.used = now;
        let (theirs, ours) = (connection.theirs.wrapping_add(1), connection.ours.wrapping_add(1));
        let is_answer = segment.flags & (SYN | ACK) == SYN | ACK;
        let server = segment.sequence.wrapping_add(1);
        match &mut connection.stadium {
            Stadium::Connecting(held) if is_answer => {
                let held = std::mem::take(held);
                let shift = ours.wrapping_sub(server);
                connection.stadium = Stadium::Through(shift);
                fates.count("through");
                say(flow, Way::Out, ACK, theirs, server, fates);
                for mut packet in held {
                    packet.shift(0, 0_u32.wrapping_sub(shift));
                    fates.pass(packet, Way::Out);
                }
            }
            Stadium::Connecting(_) if segment.flags & RST != 0 => {
                fates.count("nothing_behind");
                match self.settings.nothing_behind {
                    NothingBehind::Mute => connection.stadium = Stadium::Mute,
                    NothingBehind::Reset => {
                        self.connections.remove(&flow);
                        say(flow, Way::Back, RST | ACK, ours, theirs, fates);
                    }
                }
            }
            // Its answer again: the acknowledgement was lost.
            Stadium::Through(_) if is_answer => say(flow, Way::Out, ACK, theirs, server, fates),
            Stadium::Through(shift) => {
                packet.shift(*shift, 0);
                fates.pass(packet, Way::Back);
            }
            Stadium::Answered | Stadium::Connecting(_) | Stadium::Mute => fates.drop("swallowed"),
        }
    }
}

/// A segment without data of this flow.
fn say(flow: Flow, way: Way, flags: u8, sequence: u32, acknowledged: u32, fates: &mut Fates) {
    let (source, target) = match way {
        Way::Out => (flow.watcher, flow.server),
        Way::Back => (flow.server, flow.watcher),
    };
    let (source_port, target_port) = (source.port(), target.port());
    let says = Segment { source_port, target_port, sequence, acknowledged, flags, data: 0 };
    let mss = (flags & SYN != 0).then_some(MSS);
    if let Some(packet) = Packet::segment(source, target, says, mss) {
        fates.pass(packet, way);
    }
}

impl Stage for SynProxy {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let flow = Flow::of(&packet, way);
        let Some(flow) = flow.filter(|flow| flow.protocol == TCP && self.settings.prefix.contains(flow.server.ip()))
        else {
            return fates.pass(packet, way);
        };
        match packet.tcp() {
            Some(segment) if way == Way::Out => self.go_out(packet, flow, segment, now, fates),
            Some(segment) => self.come_back(packet, flow, segment, now, fates),
            // An ICMP error about a connection that the watcher believes to have.
            None => fates.drop("swallowed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, segment, server, syn, watcher};
    use std::net::SocketAddr;

    fn trial(nothing_behind: NothingBehind) -> Trial {
        let prefix = [model::AddressRange::single(server())].into_iter().collect();
        Trial::of(SynProxy::new(SynProxySettings { prefix, nothing_behind }, 1))
    }

    const NOW: Duration = Duration::ZERO;

    fn ends() -> (SocketAddr, SocketAddr) {
        (SocketAddr::new(watcher(true), 4_000), SocketAddr::new(server(), 80))
    }

    /// Shakes hands; gives the proxy's first sequence number and what it then asks the real host.
    fn shake_hands(trial: &mut Trial) -> (u32, Segment) {
        let (ours, theirs) = ends();
        let answered = trial.take(syn(4_000, 80), Way::Out, NOW).remove(0);
        let said = answered.packet.tcp().expect("a segment");
        assert_eq!((answered.way, said.flags, said.acknowledged), (Way::Back, SYN | ACK, 1_001));
        // The same question, the same answer.
        assert_eq!(trial.take(syn(4_000, 80), Way::Out, NOW).remove(0), answered);
        let acknowledge = segment(ours, theirs, ACK, 1_001, said.sequence.wrapping_add(1));
        let asked = trial.take(acknowledge, Way::Out, NOW).remove(0);
        assert_eq!(asked.way, Way::Out);
        (said.sequence, asked.packet.tcp().expect("a segment"))
    }

    #[test]
    fn it_connects_through_and_moves_the_numbers() {
        let mut trial = trial(NothingBehind::Mute);
        let (ours, theirs) = ends();
        let (first, asked) = shake_hands(&mut trial);
        assert_eq!((asked.flags, asked.sequence), (SYN, 1_000));
        let held = segment(ours, theirs, ACK, 1_001, first.wrapping_add(1)).with_data(b"hello").expect("short");
        assert_eq!(trial.take(held, Way::Out, NOW).len(), 1, "it only asks again");
        let fates = trial.take(segment(theirs, ours, SYN | ACK, 70_000, 1_001), Way::Back, NOW);
        let said: Vec<_> = fates.iter().map(|fate| (fate.way, fate.packet.tcp().expect("a segment"))).collect();
        assert_eq!(said.len(), 2, "the acknowledgement, and what was held");
        assert!(said.iter().all(|(way, segment)| *way == Way::Out && segment.acknowledged == 70_001));
        assert_eq!(said[1].1.data, 5);
        let reply = segment(theirs, ours, ACK, 70_001, 1_006).with_data(b"good day").expect("short");
        let back = trial.take(reply, Way::Back, NOW).remove(0).packet;
        assert!(back.checksums_hold());
        assert_eq!(back.tcp().expect("a segment").sequence, first.wrapping_add(1));
        assert_eq!(trial.count("through"), 1);
    }

    #[test]
    fn nothing_behind_is_mute_or_reset() {
        for (nothing_behind, expected) in [(NothingBehind::Mute, 0), (NothingBehind::Reset, 1)] {
            let mut trial = trial(nothing_behind);
            let (ours, theirs) = ends();
            let (first, _) = shake_hands(&mut trial);
            let fates = trial.take(segment(theirs, ours, RST | ACK, 0, 1_001), Way::Back, NOW);
            assert_eq!(fates.len(), expected);
            if let Some(fate) = fates.first() {
                let reset = fate.packet.tcp().expect("a segment");
                assert_eq!((reset.flags & RST, reset.sequence), (RST, first.wrapping_add(1)));
            }
            assert_eq!(trial.count("nothing_behind"), 1);
        }
    }
}
