use super::{Fates, Stage, Way};
use crate::router::{
    chance::Chance,
    packet::{ACK, Packet, RST, SYN},
    share,
};
use serde::Deserialize;
use std::time::Duration;

/// Somebody on the way who ends connections by forged RSTs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetsSettings {
    /// Probability for each SYN to be refused, in the name of its target, which never sees it.
    #[serde(default, deserialize_with = "share::read")]
    pub syn: f64,
    /// Probability for each segment with data, either way, to end the connection on both sides.
    #[serde(default, deserialize_with = "share::read")]
    pub stream: f64,
}

#[derive(Debug)]
pub struct Resets {
    settings: ResetsSettings,
    chance: Chance,
}

impl Resets {
    pub fn new(settings: ResetsSettings, seed: u64) -> Self {
        Self { settings, chance: Chance::new(seed) }
    }
}

impl Stage for Resets {
    fn take(&mut self, packet: Packet, way: Way, _now: Duration, fates: &mut Fates) {
        let Some(segment) = packet.tcp() else { return fates.pass(packet, way) };
        if segment.is_syn() && way == Way::Out && self.chance.falls(self.settings.syn) {
            fates.count("refused");
            if let Some(reset) = packet.reset() {
                fates.pass(reset, way.reverse());
            }
            return;
        }
        let carries_data = segment.data > 0 && segment.flags & (SYN | RST | ACK) == ACK;
        if carries_data && self.chance.falls(self.settings.stream) {
            fates.count("broken");
            let onward = packet.sockets().and_then(|(source, target)| {
                let says = super::super::packet::Segment { flags: RST, acknowledged: 0, data: 0, ..segment };
                Packet::segment(source, target, says, None)
            });
            if let Some(reset) = packet.reset() {
                fates.pass(reset, way.reverse());
            }
            if let Some(onward) = onward {
                fates.pass(onward, way);
            }
            return;
        }
        fates.pass(packet, way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, data, syn};

    #[test]
    fn syns_are_refused_in_their_share() {
        let mut trial = Trial::of(Resets::new(ResetsSettings { syn: 0.25, stream: 0.0 }, 9));
        let refused = (0..10_000).filter(|_| {
            let fates = trial.take(syn(1000, 80), Way::Out, Duration::ZERO);
            assert_eq!(fates.len(), 1);
            fates[0].way == Way::Back && fates[0].packet.tcp().is_some_and(|tcp| tcp.flags == RST | ACK)
        });
        let refused = refused.count();
        assert!((2_300..2_700).contains(&refused), "{refused}");
        assert_eq!(trial.count("refused"), u64::try_from(refused).expect("few"));
    }

    #[test]
    fn a_stream_ends_on_both_sides() {
        let mut trial = Trial::of(Resets::new(ResetsSettings { syn: 0.0, stream: 1.0 }, 9));
        assert_eq!(trial.take(syn(1000, 80), Way::Out, Duration::ZERO)[0].way, Way::Out);
        let sent = data(1000, 80, b"GET / HTTP/1.0\r\n\r\n");
        let segment = sent.tcp().expect("a segment");
        let fates = trial.take(sent.clone(), Way::Out, Duration::ZERO);
        assert_eq!(fates.len(), 2);
        for fate in &fates {
            let reset = fate.packet.tcp().expect("a segment");
            assert_eq!(reset.flags, RST);
            // Each side takes only what is exactly next (RFC 5961 §3.2).
            let next = if fate.way == Way::Out { segment.sequence } else { segment.acknowledged };
            assert_eq!(reset.sequence, next);
            assert!(fate.packet.checksums_hold());
        }
        assert_eq!(trial.count("broken"), 1);
    }
}
