use crate::PortSet;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use uuid::Uuid;

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// The critical ports on every address.
    Hot,
    /// Every endpoint ever seen open.
    Known,
    /// The tcp and udp lists on every address.
    Likely,
    /// TCP 1 to 65535 on every address.
    Full,
    /// Re-probes the detector asked for.
    Confirm,
}

impl Lane {
    /// The lanes that run by period.
    pub const PERIODIC: [Self; 4] = [Self::Hot, Self::Known, Self::Likely, Self::Full];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Known => "known",
            Self::Likely => "likely",
            Self::Full => "full",
            Self::Confirm => "confirm",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One run of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassId(pub Uuid);

impl fmt::Display for PassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a slice comes from a lane's own round or from a re-probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassKind {
    Sweep,
    Confirmation,
}

/// The pass a slice belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRef {
    pub id: PassId,
    pub profile: Arc<str>,
    pub lane: Lane,
    pub kind: PassKind,
}

/// What was really asked of one host: every port in it got its probes and no local error spoilt the answer.
///
/// A port in it that the slice does not list was found *not open*; nothing more is claimed of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
}

impl Coverage {
    pub fn contains(&self, transport: crate::Transport, port: u16) -> bool {
        match transport {
            crate::Transport::Tcp => self.tcp.contains(port),
            crate::Transport::Udp => self.udp.contains(port),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }
}
