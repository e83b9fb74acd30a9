//! Hosts seen again as they were: memory knows at once, the journal a little later. What `kill -9` loses of it is when they
//! were last seen, and nothing the detector decides by.

use super::Monitor;
use crate::{Batch, Journal, JournalError, MonitorError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Everything that was seen again is written within this time, with a minute to spare to a quarter of an hour.
const WRITTEN_WITHIN: Duration = Duration::from_mins(14);
/// Hosts in one transaction: the loop has other things to do.
const PIECE: usize = 256;
/// At the end, and before a reload, the rest is written as far as this suffices.
pub(super) const END_WRITES_FOR: Duration = Duration::from_secs(20);
pub(super) const RELOAD_WRITES_FOR: Duration = Duration::from_secs(5);

impl<J: Journal> Monitor<J> {
    /// Writes the next piece, and waits with the one after it as long as going round all hosts in time allows.
    pub(super) async fn write_some_touched(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let hosts = self.decider.take_touched(PIECE);
        self.touched_at = Instant::now() + pause(self.decider.inventory().counts().hosts);
        self.commit(Batch { hosts, ..Batch::default() }, shutdown).await
    }

    /// Writes all of it, or what can be written in that time. A journal that cannot be written just now is no failure here.
    pub(super) async fn write_touched(
        &mut self,
        within: Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let until = Instant::now() + within;
        while self.decider.inventory().touched() > 0 {
            if Instant::now() >= until {
                tracing::info!(
                    hosts = self.decider.inventory().touched(),
                    "when some hosts were last seen is not written to the last minute: there are too many"
                );
                break;
            }
            let hosts = self.decider.take_touched(PIECE);
            match self.commit(Batch { hosts, ..Batch::default() }, shutdown).await {
                Err(MonitorError::Journal(JournalError::Retry(reason))) => {
                    tracing::warn!("{reason}; when hosts were last seen is not written");
                    break;
                }
                other => other?,
            }
        }
        Ok(())
    }
}

/// Between two pieces.
fn pause(hosts: usize) -> Duration {
    let pieces = u32::try_from(hosts.div_ceil(PIECE)).unwrap_or(u32::MAX);
    WRITTEN_WITHIN / pieces.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_round_all_hosts_takes_no_longer_than_promised() {
        for hosts in [0, 1, PIECE, PIECE + 1, 10_000, 1_000_000] {
            let pieces = u32::try_from(hosts.div_ceil(PIECE)).expect("few");
            let round = pause(hosts) * pieces;
            assert!(round <= WRITTEN_WITHIN, "{hosts} hosts in {round:?}");
            assert!(pause(hosts) <= WRITTEN_WITHIN && pause(hosts) > Duration::from_millis(100));
        }
    }
}
