//! What can be wrong with the sensor.

use super::Now;
use jiff::Timestamp;
use model::AddressSet;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// This machine's links or routes are broken.
    Link,
    /// Nothing answers, not even the canaries.
    Canaries,
    /// Questions cannot be asked for local reasons.
    Local,
    /// All of an asset's hosts fell silent.
    Silence,
    /// Hosts have banned the first source, and are asked from the second.
    Banned,
    /// Everything refuses.
    Blocked,
    /// Single hosts refuse the sensor.
    Bans,
    /// Several hosts stopped answering together while others go on.
    Shut,
    /// The line loses most of what is sent.
    Loss,
    /// It works, at less than it could do.
    Handicap,
}

/// One trouble that stands.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) sentence: String,
    pub(super) since: Instant,
    pub(super) began: Timestamp,
    /// Where it showed. Only these can show that it is over: what goes well elsewhere says nothing about it.
    pub(super) doubted: AddressSet,
    pub(super) clean: u32,
}

/// What has been told and not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub(super) degraded: bool,
    pub(super) blocked: bool,
    /// It was more than that single hosts refuse.
    pub(super) general: bool,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Link,
        Self::Canaries,
        Self::Local,
        Self::Silence,
        Self::Banned,
        Self::Blocked,
        Self::Bans,
        Self::Shut,
        Self::Loss,
        Self::Handicap,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Canaries => "canaries",
            Self::Local => "local-errors",
            Self::Silence => "silence",
            Self::Banned => "banned",
            Self::Blocked => "blocked",
            Self::Bans => "bans",
            Self::Shut => "shut",
            Self::Loss => "loss",
            Self::Handicap => "handicap",
        }
    }

    pub(super) fn is_blocked(self) -> bool {
        matches!(self, Self::Banned | Self::Blocked | Self::Bans | Self::Shut)
    }

    /// Whether it concerns some hosts, and only they can show that it is over.
    pub(super) fn is_confined(self) -> bool {
        matches!(self, Self::Local | Self::Silence)
    }

    pub(super) fn is_degraded(self) -> bool {
        !self.is_blocked()
    }
}

impl Trouble {
    pub(super) fn new(now: Now) -> Self {
        Self { sentence: String::new(), since: now.instant, began: now.wall, doubted: AddressSet::empty(), clean: 0 }
    }
}
