//! The dialer asks in both ways, with all its ceilings, its halt switch and its scope.

use super::{BothWays, RawAnswer};
use crate::Dialer;
use model::{Endpoint, LocalErrorKind, Outcome};
use std::time::Duration;

/// For a connection: the kernel's first two repetitions of its SYN fit in.
const PATIENCE: Duration = Duration::from_millis(3_500);

impl BothWays for Dialer {
    async fn syn(&self, endpoint: Endpoint, within: Duration) -> RawAnswer {
        let raw = self.raw().filter(|raw| raw.reaches(endpoint.ip));
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
