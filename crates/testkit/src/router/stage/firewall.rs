use super::{Fates, Manner, Stage, Way};
use crate::router::{flow::Flow, packet::Packet, period};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A firewall that takes who asks too much for an attacker: past a threshold within a window nothing of that source gets
/// through for the ban's time, and nothing back to it. What comes while banned does not count. At least one threshold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSettings {
    /// More new connections than this …
    #[serde(default)]
    pub connections: Option<usize>,
    /// … or more distinct ports than this …
    #[serde(default)]
    pub ports: Option<usize>,
    /// … within this time.
    #[serde(deserialize_with = "period::read")]
    pub window: Duration,
    #[serde(deserialize_with = "period::read")]
    pub ban: Duration,
    pub manner: Manner,
    /// After so many bans a source is left alone: whoever runs the firewall has been told who it is.
    #[serde(default)]
    pub bans_at_most: Option<u32>,
}

#[derive(Debug)]
pub struct Firewall {
    settings: FirewallSettings,
    sources: HashMap<IpAddr, Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// New connections in the window: when, and to where.
    recent: VecDeque<(Duration, SocketAddr)>,
    banned_until: Option<Duration>,
    bans: u32,
}

impl Firewall {
    pub fn new(settings: FirewallSettings) -> Self {
        Self { settings, sources: HashMap::new() }
    }
}

impl Record {
    fn is_banned(&mut self, now: Duration) -> bool {
        if self.banned_until.is_some_and(|until| now >= until) {
            self.banned_until = None;
            self.recent.clear();
        }
        self.banned_until.is_some()
    }

    /// Notes a new connection; true where it was one too many.
    fn exceeds(&mut self, to: SocketAddr, now: Duration, settings: &FirewallSettings) -> bool {
        self.recent.push_back((now, to));
        while self.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > settings.window) {
            self.recent.pop_front();
        }
        let distinct = || self.recent.iter().map(|(_, to)| to.port()).collect::<BTreeSet<_>>().len();
        settings.connections.is_some_and(|most| self.recent.len() > most)
            || settings.ports.is_some_and(|most| distinct() > most)
    }
}

impl Stage for Firewall {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let source = if way == Way::Out { packet.source() } else { packet.target() };
        let record = self.sources.entry(source).or_default();
        if record.is_banned(now) {
            fates.drop("blocked");
            // What was on its way back is not worth an answer.
            if way == Way::Out {
                self.settings.manner.turn_away(&packet, way, fates);
            }
            return;
        }
        let is_left_alone = self.settings.bans_at_most.is_some_and(|most| record.bans >= most);
        if way == Way::Out
            && !is_left_alone
            && let Some(flow) = Flow::of(&packet, way).filter(|flow| flow.is_begun_by(&packet))
            && record.exceeds(flow.server, now, &self.settings)
        {
            record.banned_until = Some(now + self.settings.ban);
            record.bans += 1;
            fates.count("bans");
            fates.drop("blocked");
            return self.settings.manner.turn_away(&packet, way, fates);
        }
        fates.pass(packet, way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, syn};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn settings(manner: Manner) -> FirewallSettings {
        FirewallSettings {
            connections: Some(20),
            ports: Some(5),
            window: s(10),
            ban: s(60),
            manner,
            bans_at_most: Some(2),
        }
    }

    #[test]
    fn too_many_ports_or_connections_ban_for_a_while() {
        for (name, port_of) in [("ports", (|n| 80 + n) as fn(u16) -> u16), ("connections", |_| 80)] {
            let mut trial = Trial::of(Firewall::new(settings(Manner::Silent)));
            let allowed = if name == "ports" { 5 } else { 20 };
            for n in 0..allowed {
                assert_eq!(trial.take(syn(2_000 + n, port_of(n)), Way::Out, s(1)).len(), 1, "{name} {n}");
            }
            let one_more = syn(3_000, port_of(allowed));
            assert!(trial.take(one_more.clone(), Way::Out, s(2)).is_empty(), "{name}");
            assert!(trial.take(one_more.clone(), Way::Out, s(61)).is_empty(), "{name}: still banned");
            assert_eq!(trial.take(one_more, Way::Out, s(62)).len(), 1, "{name}: over");
            assert_eq!(trial.count("bans"), 1, "{name}");
        }
    }

    #[test]
    fn the_slow_are_never_banned_and_the_known_no_more() {
        let mut trial = Trial::of(Firewall::new(settings(Manner::Silent)));
        for n in 0..500_u16 {
            assert_eq!(trial.take(syn(2_000, 80 + n), Way::Out, s(u64::from(n) * 3)).len(), 1, "{n}");
        }
        let mut blocked = 0;
        for n in 0..1_000_u16 {
            blocked += u32::from(trial.take(syn(2_000, n), Way::Out, s(2_000 + u64::from(n))).is_empty());
        }
        assert_eq!((trial.count("bans"), blocked), (2, 120));
    }

    #[test]
    fn each_manner_answers_in_its_own_way() {
        for manner in [Manner::Silent, Manner::Reset, Manner::PortUnreachable] {
            let mut trial = Trial::of(Firewall::new(settings(manner)));
            for n in 0..6 {
                trial.take(syn(2_000, 80 + n), Way::Out, s(0));
            }
            let asked = syn(2_001, 90);
            let fates = trial.take(asked.clone(), Way::Out, s(1));
            match manner {
                Manner::Silent => assert!(fates.is_empty()),
                Manner::Reset => {
                    let segment = fates[0].packet.tcp().expect("a segment");
                    assert_eq!(segment.acknowledged, asked.tcp().expect("a SYN").sequence.wrapping_add(1));
                    assert_eq!(fates[0].packet.source(), asked.target());
                }
                Manner::PortUnreachable => assert_eq!(fates[0].packet.icmp(), Some((3, 3))),
            }
            assert!(fates.iter().all(|fate| fate.way == Way::Back && fate.packet.checksums_hold()));
        }
    }
}
