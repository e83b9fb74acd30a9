use super::{Fates, Stage, Way};
use crate::router::{
    flow::Flow,
    packet::{FIN, Packet, RST, SYN, TCP, UDP},
    period,
    write::End,
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A NAT, or a connection-tracking firewall where no address is given: a table of flows that is finite. A new flow that finds
/// it full is dropped, and so is what belongs to no flow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatSettings {
    pub entries: usize,
    /// What the watcher's packets come from behind it; only packets of this family are translated.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// How long a flow is remembered after its last packet: one whose SYN was not answered, and datagrams …
    #[serde(default = "half_minute", deserialize_with = "period::read")]
    pub opening: Duration,
    /// … an open connection …
    #[serde(default = "five_minutes", deserialize_with = "period::read")]
    pub open: Duration,
    /// … and one that a FIN or RST has ended.
    #[serde(default = "ten_seconds", deserialize_with = "period::read")]
    pub closing: Duration,
    /// Others behind the same NAT, who hold entries for a while.
    #[serde(default)]
    pub crowd: Vec<Crowd>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// After the scenario was switched on.
    #[serde(deserialize_with = "period::read")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "period::read")]
    pub lasts: Duration,
    pub entries: usize,
}

fn half_minute() -> Duration {
    Duration::from_secs(30)
}

fn five_minutes() -> Duration {
    Duration::from_mins(5)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const FIRST_PORT: u16 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stadium {
    Opening,
    Open,
    Closing,
}

#[derive(Debug)]
struct Entry {
    stadium: Stadium,
    expires: Duration,
    /// As which the servers see the watcher.
    outside: SocketAddr,
}

#[derive(Debug)]
pub struct Nat {
    settings: NatSettings,
    table: HashMap<Flow, Entry>,
    /// From what the servers see to the flow.
    outside: HashMap<Flow, Flow>,
    next_port: u16,
    next_look: Duration,
}

/// The table is searched for what has run out at most so often.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

impl Nat {
    pub fn new(settings: NatSettings) -> Self {
        Self {
            settings,
            table: HashMap::new(),
            outside: HashMap::new(),
            next_port: FIRST_PORT,
            next_look: Duration::ZERO,
        }
    }

    fn forget_expired(&mut self, now: Duration) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + BETWEEN_LOOKS;
        let outside = &mut self.outside;
        self.table.retain(|flow, entry| {
            let stays = entry.expires > now;
            if !stays {
                outside.remove(&as_seen(flow, entry.outside));
            }
            stays
        });
    }

    /// Entries in use, others' too.
    fn used(&self, now: Duration) -> usize {
        let here = self.settings.crowd.iter().filter(|crowd| now >= crowd.at && now < crowd.at + crowd.lasts);
        here.fold(self.table.len(), |used, crowd| used.saturating_add(crowd.entries))
    }

    /// A port that no other flow to the same server has. None where all are taken.
    fn choose_outside(&mut self, flow: &Flow) -> Option<SocketAddr> {
        let address = match self.settings.address {
            Some(address) if address.is_ipv4() == flow.server.is_ipv4() => address,
            _ => return Some(flow.watcher),
        };
        for _ in FIRST_PORT..=u16::MAX {
            let candidate = SocketAddr::new(address, self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.outside.contains_key(&as_seen(flow, candidate)) {
                return Some(candidate);
            }
        }
        None
    }

    fn refresh(&mut self, flow: &Flow, packet: &Packet, way: Way, now: Duration) {
        let Some(entry) = self.table.get_mut(flow) else { return };
        if let Some(segment) = packet.tcp() {
            entry.stadium = match entry.stadium {
                // A closed flow whose ports are used again.
                Stadium::Closing if segment.is_syn() => Stadium::Opening,
                Stadium::Closing => Stadium::Closing,
                _ if segment.flags & (FIN | RST) != 0 => Stadium::Closing,
                Stadium::Opening if way == Way::Back && segment.flags & SYN != 0 => Stadium::Open,
                stadium => stadium,
            };
        }
        entry.expires = now
            + match entry.stadium {
                Stadium::Opening => self.settings.opening,
                Stadium::Open => self.settings.open,
                Stadium::Closing => self.settings.closing,
            };
    }

    fn go_out(&mut self, mut packet: Packet, now: Duration, fates: &mut Fates) {
        // What has no ports to tell flows by is none of its business.
        let Some(flow) = Flow::of(&packet, Way::Out) else { return fates.pass(packet, Way::Out) };
        if !self.table.contains_key(&flow) {
            if packet.is_icmp_error() || (flow.protocol == TCP && packet.tcp().is_none_or(|tcp| tcp.flags & SYN == 0)) {
                return fates.drop("strays");
            }
            if self.used(now) >= self.settings.entries {
                fates.peak("most", self.settings.entries);
                return fates.drop("overflowed");
            }
            let Some(outside) = self.choose_outside(&flow) else { return fates.drop("overflowed") };
            self.outside.insert(as_seen(&flow, outside), flow);
            self.table.insert(flow, Entry { stadium: Stadium::Opening, expires: now, outside });
            fates.count("flows");
            fates.peak("most", self.used(now));
        }
        self.refresh(&flow, &packet, Way::Out, now);
        if let Some(outside) =
            self.table.get(&flow).map(|entry| entry.outside).filter(|outside| *outside != flow.watcher)
        {
            packet.readdress(End::Source, outside);
        }
        fates.pass(packet, Way::Out);
    }

    fn come_back(&mut self, mut packet: Packet, now: Duration, fates: &mut Fates) {
        let Some(seen) = Flow::of(&packet, Way::Back) else { return fates.pass(packet, Way::Back) };
        let Some(flow) = self.outside.get(&seen).copied() else { return fates.drop("strays") };
        if !packet.is_icmp_error() {
            self.refresh(&flow, &packet, Way::Back, now);
        }
        if flow.watcher != seen.watcher {
            packet.readdress(End::Target, flow.watcher);
        }
        fates.pass(packet, Way::Back);
    }
}

/// The flow as the servers see it. The identifier of an echo is the port of both its ends.
fn as_seen(flow: &Flow, outside: SocketAddr) -> Flow {
    let mut seen = Flow { watcher: outside, ..*flow };
    if !matches!(flow.protocol, TCP | UDP) {
        seen.server.set_port(outside.port());
    }
    seen
}

impl Stage for Nat {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        self.forget_expired(now);
        match way {
            Way::Out => self.go_out(packet, now, fates),
            Way::Back => self.come_back(packet, now, fates),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, answer, ping, syn};

    fn settings(entries: usize, address: Option<&str>) -> NatSettings {
        let address = address.map(|text| text.parse().expect("an address"));
        NatSettings {
            entries,
            address,
            opening: Duration::from_secs(30),
            open: Duration::from_mins(5),
            closing: Duration::from_secs(10),
            crowd: Vec::new(),
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_full_table_drops_new_flows_until_old_ones_time_out() {
        let mut trial = Trial::of(Nat::new(settings(1_000, None)));
        for port in 0..1_000 {
            assert_eq!(trial.take(syn(1_024 + port, 80), Way::Out, s(0)).len(), 1);
        }
        assert!(trial.take(syn(5_000, 80), Way::Out, s(29)).is_empty(), "the table is full");
        assert_eq!(trial.take(syn(1_024, 80), Way::Out, s(29)).len(), 1, "a known flow goes on");
        assert_eq!(trial.take(syn(5_000, 80), Way::Out, s(31)).len(), 1, "the others have run out");
        assert_eq!((trial.count("overflowed"), trial.count("most")), (1, 1_000));
        assert!(trial.take(answer(&syn(6_000, 80), RST), Way::Back, s(31)).is_empty(), "belongs to no flow");
        assert_eq!(trial.count("strays"), 1);
    }

    #[test]
    fn a_crowd_leaves_less_room_for_a_while() {
        let crowd = vec![Crowd { at: s(5), lasts: s(10), entries: 9 }];
        let mut trial = Trial::of(Nat::new(NatSettings { crowd, ..settings(10, None) }));
        for (at, port, passes) in
            [(0, 1, true), (0, 2, true), (6, 2, true), (6, 3, false), (14, 3, false), (15, 3, true)]
        {
            assert_eq!(trial.take(syn(port, 80), Way::Out, s(at)).len() == 1, passes, "port {port} at {at} s");
        }
        assert_eq!(trial.count("overflowed"), 2);
    }

    #[test]
    fn an_ended_flow_is_forgotten_sooner_than_an_open_one() {
        for (name, flags, lasts) in [("refused", RST, 10), ("open", SYN, 300)] {
            let mut trial = Trial::of(Nat::new(settings(1, None)));
            let begun = syn(2_000, 80);
            trial.take(begun.clone(), Way::Out, s(0));
            assert_eq!(trial.take(answer(&begun, flags), Way::Back, s(0)).len(), 1, "{name}");
            assert!(trial.take(syn(2_001, 80), Way::Out, s(lasts - 1)).is_empty(), "{name} is still there");
            assert_eq!(trial.take(syn(2_001, 80), Way::Out, s(lasts + 1)).len(), 1, "{name} is gone");
        }
    }

    #[test]
    fn what_it_translates_comes_back_as_it_went() {
        let mut trial = Trial::of(Nat::new(settings(100, Some("10.77.0.254"))));
        for sent in [syn(2_000, 80), syn(2_001, 80), ping()] {
            let out = trial.take(sent.clone(), Way::Out, s(0)).remove(0).packet;
            assert_eq!(out.source().to_string(), "10.77.0.254");
            assert!(out.checksums_hold() && out.target() == sent.target());
            for reply in [answer(&out, RST), out.port_unreachable().expect("an error")] {
                let back = trial.take(reply, Way::Back, s(1)).remove(0).packet;
                assert_eq!(back.target(), sent.source());
                assert!(back.checksums_hold());
                assert_eq!(Flow::of(&back, Way::Back), Flow::of(&sent, Way::Out));
            }
        }
    }
}
