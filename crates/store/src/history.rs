//! What was: intervals that ended.

use crate::{column::address, steps::Steps};
use jiff::Timestamp;
use model::HostKey;
use rusqlite::params;
use serde::{Deserialize, Serialize};

/// Why an interval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The host was lost, and what it had open with it.
    Lost,
    /// The endpoint closed.
    Closed,
    /// Another service, product, version or certificate took its place.
    Changed,
    /// The endpoint stayed open, but is not asked under that name any more.
    Renamed,
    /// The host was lost for so long that it was forgotten.
    Purged,
    /// The address is not watched any more.
    Released,
}

impl Ending {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::Changed => "changed",
            Self::Renamed => "renamed",
            Self::Purged => "purged",
            Self::Released => "released",
        }
    }
}

/// What an interval of a service says of it, as it stands in columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub(crate) protocol: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    /// SHA-256 in hexadecimal.
    pub(crate) certificate: Option<String>,
}

impl Facts {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An interval of no length never was: a clock that was put back leaves none behind.
pub(crate) fn end_host(
    steps: Steps<'_>,
    host: &HostKey,
    since: i64,
    until: i64,
    ending: Ending,
) -> rusqlite::Result<()> {
    if until <= since {
        return Ok(());
    }
    steps
        .execute(
            "INSERT OR REPLACE INTO host_past (vantage, address, since, until, ending) VALUES (?, ?, ?, ?, ?)",
            params![&*host.vantage.0, address(host.ip), since, until, ending.as_str()],
        )
        .map(drop)
}

pub(crate) fn end_service(
    steps: Steps<'_>,
    host: &HostKey,
    (transport, port, name): &(String, u16, String),
    facts: &Facts,
    (since, until): (i64, i64),
    ending: Ending,
) -> rusqlite::Result<()> {
    if until <= since {
        return Ok(());
    }
    let Facts { protocol, product, version, certificate } = facts;
    steps
        .execute(
            "INSERT OR REPLACE INTO service_past (vantage, address, transport, port, name, since, until, ending,
                 protocol, product, version, certificate)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                &*host.vantage.0,
                address(host.ip),
                transport,
                port,
                name,
                since,
                until,
                ending.as_str(),
                protocol,
                product,
                version,
                certificate
            ],
        )
        .map(drop)
}

/// Everything that is still true of the host ends now.
pub(crate) fn end_all(steps: Steps<'_>, host: &HostKey, now: Timestamp, ending: Ending) -> rusqlite::Result<()> {
    let key = params![address(host.ip), &*host.vantage.0, now.as_millisecond(), ending.as_str()];
    steps.execute(
        "INSERT OR REPLACE INTO host_past (vantage, address, since, until, ending)
         SELECT vantage, address, up_since, ?3, ?4 FROM host WHERE address = ?1 AND vantage = ?2 AND up_since < ?3",
        key,
    )?;
    steps.execute(
        "INSERT OR REPLACE INTO service_past (vantage, address, transport, port, name, since, until, ending, protocol,
             product, version, certificate)
         SELECT vantage, address, transport, port, name, since, ?3, ?4, protocol, product, version, certificate
         FROM service WHERE address = ?1 AND vantage = ?2 AND since < ?3",
        key,
    )?;
    Ok(())
}
