use super::{Fates, Way};
use crate::router::packet::{Packet, TCP};
use serde::Deserialize;

/// How an unwanted packet is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Without a word.
    Silent,
    /// TCP by a RST; anything else without a word.
    Reset,
    /// By an ICMP port-unreachable, as fail2ban's REJECT does.
    PortUnreachable,
}

impl Manner {
    /// Turns away a packet that travels `way`, answering in the name of its target.
    pub(crate) fn turn_away(self, packet: &Packet, way: Way, fates: &mut Fates) {
        let answer = match self {
            Self::Reset if packet.protocol() == TCP => packet.reset(),
            Self::Silent | Self::Reset => None,
            Self::PortUnreachable => packet.port_unreachable(),
        };
        if let Some(answer) = answer {
            fates.count(if self == Self::Reset { "resets" } else { "unreachables" });
            fates.pass(answer, way.reverse());
        }
    }
}
