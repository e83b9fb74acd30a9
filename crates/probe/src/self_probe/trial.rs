//! The same endpoints asked both ways.

use futures_util::{StreamExt, stream::FuturesUnordered};
use model::Endpoint;
use std::time::Duration;

/// What became of a raw SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawAnswer {
    /// Something came back that can only be an answer to it: SYN-ACK, RST, or an ICMP message that quotes it.
    Heard,
    Silent,
    /// The kernel did not take it, and said why.
    Refused(String),
    /// It was not sent, for reasons that say nothing of raw packets: halted, out of scope, no way, short of memory just now.
    NotAsked,
}

/// Somebody who can ask an endpoint in either way. Scope and ceilings are kept by it.
pub trait BothWays {
    /// One raw SYN, and what comes back within that time.
    fn syn(&self, endpoint: Endpoint, within: Duration) -> impl Future<Output = RawAnswer> + Send;

    /// Whether it accepts a connection.
    fn connect(&self, endpoint: Endpoint) -> impl Future<Output = bool> + Send;
}

/// What a trial shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Raw packets are answered.
    Works,
    /// These accepted a connection twice, and did not answer a single raw SYN before, between and after.
    Dropped(Vec<Endpoint>),
    /// The kernel does not send raw packets, and says why.
    Refused(String),
    /// Nobody answered in either way, or there was nobody to ask.
    Undecided,
}

/// Patience with the SYNs of one round: as many and as far apart as a connection's own, so that loss does to both the same.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(1)];
/// Hosts asked at most. One may have reasons of its own to be silent; that all are is the way's.
const MOST_HOSTS: usize = 4;

/// Asks endpoints that should be open in both ways, one of each host and all at once. It takes a moment where raw packets work, and a
/// quarter of a minute where they do not.
pub async fn trial(ways: &(impl BothWays + Sync), endpoints: &[Endpoint]) -> Finding {
    let mut asked: Vec<Endpoint> = Vec::new();
    for endpoint in endpoints {
        if asked.len() < MOST_HOSTS && asked.iter().all(|known| known.ip != endpoint.ip) {
            asked.push(*endpoint);
        }
    }
    let mut trials: FuturesUnordered<_> = asked.into_iter().map(|endpoint| try_one(ways, endpoint)).collect();
    let mut witnesses: Vec<Endpoint> = Vec::new();
    while let Some(finding) = trials.next().await {
        match finding {
            Finding::Dropped(more) => witnesses.extend(more),
            Finding::Undecided => {}
            decided @ (Finding::Works | Finding::Refused(_)) => return decided,
        }
    }
    witnesses.sort_unstable();
    if witnesses.is_empty() { Finding::Undecided } else { Finding::Dropped(witnesses) }
}

async fn try_one(ways: &(impl BothWays + Sync), endpoint: Endpoint) -> Finding {
    for is_last in [false, false, true] {
        for within in PATIENCE {
            match ways.syn(endpoint, within).await {
                RawAnswer::Heard => return Finding::Works,
                RawAnswer::Refused(why) => return Finding::Refused(why),
                RawAnswer::NotAsked => return Finding::Undecided,
                RawAnswer::Silent => {}
            }
        }
        // One that accepts nothing either says nothing.
        if !is_last && !ways.connect(endpoint).await {
            return Finding::Undecided;
        }
    }
    Finding::Dropped(vec![endpoint])
}
