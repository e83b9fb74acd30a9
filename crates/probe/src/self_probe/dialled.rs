//! The dialer asks in both ways, with all its ceilings, its halt switch and its scope.

use super::{BothWays, Due, RawAnswer, trial};
use crate::{Dialer, raw::Raw};
use model::{Endpoint, LocalErrorKind, Outcome};
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;

/// For a connection: the kernel's first two repetitions of its SYN fit in.
const PATIENCE: Duration = Duration::from_millis(3_500);

/// Makes a trial that is due, and takes note of what it comes to. Dropped before its end, it is due again.
pub async fn try_packets(dialer: &Dialer, due: Due) {
    let Some(raw) = dialer.raw() else { return };
    let ending = Ending { raw, link: due.link };
    let finding = trial(dialer, &due.endpoints).await;
    raw.links().take(ending.link, finding, Instant::now());
}

struct Ending<'a> {
    raw: &'a Raw,
    link: u32,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.raw.links().give_up(self.link);
    }
}

impl Dialer {
    /// It accepted a connection or answered a packet: somebody to try packets on.
    pub(crate) fn met(&self, endpoint: Endpoint) {
        if let Some((raw, link)) = self.raw().and_then(|raw| Some((raw, raw.link_to(endpoint.ip)?))) {
            raw.links().met(link, endpoint);
        }
    }

    /// It accepted a connection right after it had been silent to packets.
    pub(crate) fn doubt_packets(&self, endpoint: Endpoint) {
        if let Some((raw, link)) = self.raw().and_then(|raw| Some((raw, raw.link_to(endpoint.ip)?))) {
            raw.links().doubt(link, endpoint, Instant::now());
        }
    }

    /// Whether TCP questions to an address are packets of our own just now.
    pub fn sends_packets_to(&self, ip: IpAddr) -> bool {
        self.raw_to(ip).is_some()
    }

    /// A trial of packets that is due. Whoever takes it makes it: [`try_packets`].
    pub fn packets_due(&self) -> Option<Due> {
        self.raw()?.links().due(Instant::now())
    }

    /// What is worse about packets than it was, or than is wanted, a sentence each.
    pub fn handicaps(&self) -> Vec<String> {
        self.raw().map(|raw| raw.links().handicaps()).unwrap_or_default()
    }
}

impl BothWays for Dialer {
    async fn syn(&self, endpoint: Endpoint, within: Duration) -> RawAnswer {
        // Also where packets are not used just now.
        let raw = self.raw().filter(|raw| raw.link_to(endpoint.ip).is_some());
        let (Some(raw), Ok(endpoint)) = (raw, self.authorize(endpoint)) else { return RawAnswer::NotAsked };
        match self.probe_raw(raw, endpoint, within).await.outcome {
            Outcome::Open(_) | Outcome::Closed(_) | Outcome::Filtered(_) => RawAnswer::Heard,
            Outcome::Silent => RawAnswer::Silent,
            // Our own firewall, or a right that was taken away.
            outcome @ Outcome::LocalError(LocalErrorKind::Denied) => RawAnswer::Refused(outcome.as_str().to_owned()),
            Outcome::LocalError(_) | Outcome::NotProbed(_) => RawAnswer::NotAsked,
        }
    }

    async fn connect(&self, endpoint: Endpoint) -> bool {
        let Ok(endpoint) = self.authorize(endpoint) else { return false };
        let begun = self.begin_probe(endpoint, PATIENCE).await;
        self.finish(begun).await.outcome.is_open()
    }
}
