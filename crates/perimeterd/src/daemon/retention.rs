//! Once a day: what is old goes, and what is owed to recipients that are gone.

use super::control::DaemonControl;
use std::{collections::BTreeSet, mem, sync::Arc, time::Duration};
use store::Store;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_hours(24);

/// The recipients that were configured at any time since the day began.
#[derive(Debug)]
pub(super) struct Roll(BTreeSet<String>);

impl Roll {
    pub(super) fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// A configuration came into force.
    pub(super) fn add(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names);
    }

    /// Ends the day: who was on the roll in it. The next begins with those who are configured now.
    pub(super) fn turn(&mut self, now: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let now: BTreeSet<_> = now.into_iter().collect();
        self.0.extend(now.iter().cloned());
        mem::replace(&mut self.0, now)
    }
}

/// Once a day: removes what is older than the retention, and gives up what is owed to recipients that have been out of the
/// configuration for at least a day of this run, so that one taken out by mistake can be put back.
pub(super) async fn keep(store: Store, control: Arc<DaemonControl>, shutdown: CancellationToken) {
    let mut day = tokio::time::interval(EVERY);
    let mut first = true;
    loop {
        tokio::select! {
            _ = day.tick() => {}
            () = shutdown.cancelled() => return,
        }
        if !mem::take(&mut first) {
            let configured = control.recipients_of_the_day();
            let configured: Vec<&str> = configured.iter().map(String::as_str).collect();
            match store.forget_recipients(&configured, "the recipient is no longer configured").await {
                Ok(0) => {}
                Ok(alerts) => {
                    tracing::warn!(alerts, "alerts owed to recipients that are no longer configured were given up");
                }
                Err(error) => {
                    tracing::warn!(%error, "what is owed to removed recipients could not be given up; it is tried again tomorrow");
                }
            }
        }
        match store.expire(store.time_for_expiry(control.now()), control.retention()).await {
            Ok(expired) => tracing::debug!(?expired, "retention"),
            Err(error) => tracing::warn!(%error, "old records could not be removed; it is tried again tomorrow"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_was_taken_out_a_moment_ago_is_still_on_the_roll() {
        let mut roll = Roll::of(names(&["soc", "siem"]));
        // In the last minute of the day, by mistake.
        roll.add(names(&["soc"]));
        assert_eq!(roll.turn(names(&["soc"])), BTreeSet::from_iter(names(&["siem", "soc"])));
        assert_eq!(roll.turn(names(&["soc"])), BTreeSet::from_iter(names(&["soc"])), "a whole day later it is gone");
        // Put back for a moment, and taken out again.
        roll.add(names(&["siem", "soc"]));
        roll.add(names(&["soc"]));
        assert_eq!(roll.turn(names(&["soc"])).len(), 2);
    }
}
