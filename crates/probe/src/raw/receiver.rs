//! The thread that hears.

use super::shared::Shared;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;
use wire::Receive;

/// How long a silent link is waited for at a time; the engine's end is noticed as late.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two looks at the counters of what was lost here.
const LOOK: Duration = Duration::from_millis(50);
/// After an error (the link is down), before the next try.
const AFTER_ERROR: Duration = Duration::from_millis(250);

/// Hears what comes in by one link until the engine ends.
pub(super) fn run(shared: &Arc<Shared>, mut receive: Box<dyn Receive>) {
    let mut looked = Instant::now();
    let (mut dropped, mut is_deaf) = (0, false);
    while !shared.stopped.load(Relaxed) {
        let heard = receive.receive(PATIENCE, &mut |packet, arrival| {
            shared.take(packet, shared.since_start().saturating_sub(arrival.waited));
        });
        match heard {
            Ok(()) => is_deaf = false,
            Err(error) => {
                if !std::mem::replace(&mut is_deaf, true) {
                    tracing::warn!(%error, "nothing is heard on this link for now");
                }
                // Whatever was asked meanwhile was not heard.
                shared.losses.note(looked, Instant::now());
                std::thread::sleep(AFTER_ERROR);
            }
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        let now = Instant::now();
        match receive.counters() {
            Ok(counters) => {
                if counters.dropped > dropped {
                    shared.counts.dropped.fetch_add(counters.dropped - dropped, Relaxed);
                    shared.losses.note(looked, now);
                }
                dropped = counters.dropped;
            }
            Err(error) => tracing::debug!(%error, "what was lost on this link is not known"),
        }
        looked = now;
    }
}
