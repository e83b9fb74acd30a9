use super::Territory;
use jiff::Timestamp;
use model::{Lane, PassId};
use std::{fmt, net::IpAddr, ops::Range, sync::Arc};

/// Probes that left one after the other, for one reason: one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volley {
    pub id: VolleyId,
    pub errand: Errand,
    /// The first and the last attempt: whoever answered the first was not asked again. Counted from 1.
    pub attempts: (u8, u8),
    pub mode: Mode,
    /// The sensor's own address, where it is always the same one.
    pub source: Option<IpAddr>,
    pub order: Order,
    /// The part of the order that left; empty where nothing did.
    pub indices: Range<u64>,
    /// Only some of them were asked, and which is not known: those silent so far, or what had left when it was cut short.
    pub some: bool,
    pub began: Timestamp,
    /// None while it is under way, and for ever where the daemon was killed meanwhile.
    pub ended: Option<Timestamp>,
}

/// Tells volleys apart, and sorts them by when they began: milliseconds since 1970 times 2²⁰, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolleyId(u64);

/// For whom and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Errand {
    pub profile: Option<Arc<str>>,
    pub lane: Option<Lane>,
    pub pass: Option<PassId>,
    pub why: Why,
}

/// What a probe was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The lane's own turn.
    Lane,
    /// An operator wanted it now.
    ScanNow,
    /// The change detector wanted to hear it again.
    Confirmation,
    /// To see whether the sensor itself still hears anything.
    Canary,
    /// To see whether something answers for everything.
    Control,
    /// To hear who it is.
    Conversation,
}

/// How probes were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Packets of our own making.
    Raw,
    /// The kernel's connections and sockets.
    Connect,
    /// Packets of our own that ask whether anybody is there: an echo and a timestamp of ICMP, a TCP ACK. The endpoint stands for its host.
    Knock,
}

/// In which order the endpoints were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// That of [`crate::Permutation`] with this seed.
    Permuted(u64),
    /// That of their numbers.
    Ascending,
    /// Each at a time of its own: of endpoint `n` byte `n` tells how far into the volley, in 255ths of its length.
    Moments(Arc<[u8]>),
}

/// A row of the ledger, with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub volley: Volley,
    pub territory: Arc<Territory>,
}

impl VolleyId {
    const BITS: u32 = 20;

    /// For a volley that begins now, later than every other of this run.
    pub fn after(last: Self, now: Timestamp) -> Self {
        Self::at(now).max(Self(last.0.saturating_add(1)))
    }

    /// The first of those that begin at that time or later.
    pub fn at(time: Timestamp) -> Self {
        Self(u64::try_from(time.as_millisecond()).unwrap_or(0) << Self::BITS)
    }

    /// The same moment, another number: two runs that begin in one millisecond do not meet.
    #[must_use]
    pub fn salted(self, salt: u64) -> Self {
        Self(self.0 | salt & ((1 << (Self::BITS - 1)) - 1))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl Why {
    pub const ALL: [Self; 6] =
        [Self::Lane, Self::ScanNow, Self::Confirmation, Self::Canary, Self::Control, Self::Conversation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::ScanNow => "scan-now",
            Self::Confirmation => "confirmation",
            Self::Canary => "canary",
            Self::Control => "control",
            Self::Conversation => "conversation",
        }
    }

    /// The inverse of [`Why::as_str`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == name)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Connect => "connect",
            Self::Knock => "knock",
        }
    }

    /// For a store.
    pub fn number(self) -> u8 {
        match self {
            Self::Connect => 0,
            Self::Raw => 1,
            Self::Knock => 2,
        }
    }

    /// The inverse of [`Mode::number`].
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Connect, Self::Raw, Self::Knock].into_iter().find(|mode| mode.number() == number)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
