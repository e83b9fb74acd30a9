//! Waiting for things that happen in other processes: as short as they take, and never longer than a deadline.

use std::{fmt::Display, time::Duration};
use tokio::time::Instant;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is something to see, or panics after `within`. `what` completes the sentence "waited … for …".
pub fn eventually<T>(what: impl Display, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < within, "waited {} s in vain for {what}", within.as_secs());
        std::thread::sleep(PAUSE);
    }
}

/// [`eventually`] for what takes a moment: within 10 s.
pub fn soon<T>(what: impl Display, look: impl FnMut() -> Option<T>) -> T {
    eventually(what, Duration::from_secs(10), look)
}
