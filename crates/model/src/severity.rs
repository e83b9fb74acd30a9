use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad: 1 (information) to 5 (critical).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Severity(u8);

/// A number outside 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a severity is 1 to 5, not {0}")]
pub struct SeverityError(pub u8);

impl Severity {
    pub const INFO: Self = Self(1);
    pub const LOW: Self = Self(2);
    pub const MEDIUM: Self = Self(3);
    pub const HIGH: Self = Self(4);
    pub const CRITICAL: Self = Self(5);

    pub fn get(self) -> u8 {
        self.0
    }

    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self.0 {
            1 => "info",
            2 => "low",
            3 => "medium",
            4 => "high",
            _ => "critical",
        }
    }
}

impl TryFrom<u8> for Severity {
    type Error = SeverityError;

    fn try_from(value: u8) -> Result<Self, SeverityError> {
        if (1..=5).contains(&value) { Ok(Self(value)) } else { Err(SeverityError(value)) }
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> u8 {
        severity.0
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.word())
    }
}
