//! What the service manager hears: ready, alive, reloading, stopping. Without one, nothing is said to nobody.

use config::Config;
use monitor::Handle;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The loop turns at least once a second, also while it waits for a full disk; silent for longer than this it hangs.
const LONGEST_TURN: Duration = Duration::from_mins(1);

/// Asked for again well before it has passed.
const MORE_TIME: Duration = Duration::from_mins(1);

/// Asks for more time for as long as the work goes on: a large database is not a start that hangs.
pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let mut tick = interval(MORE_TIME / 4);
    let more = u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => notify(&[NotifyState::ExtendTimeoutUsec(more)]),
        }
    }
}

pub(crate) fn ready(config: &Config) {
    let watched = format!("watching {} profiles as {}", config.profiles.len(), config.sensor.name);
    notify(&[NotifyState::Ready, NotifyState::Status(&watched)]);
}

pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells the service manager that the loop turns, twice in each of its intervals, for as long as it does.
pub(crate) async fn run(handle: Handle, shutdown: CancellationToken) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut tick = interval(period / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let turned = handle.snapshot().turned;
        if turned.is_none_or(|at| Instant::now().duration_since(at) < LONGEST_TURN) {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the loop has not turned for a minute; the service manager will restart the daemon");
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
