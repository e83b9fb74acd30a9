use jiff::Timestamp;
use std::fmt::Debug;

/// Where "now" comes from. Handed in at the rim, so that tests decide what time it is.
///
/// Implementations return times cut to the millisecond: that is what is stored and shown, and two times
/// that print alike must compare alike.
pub trait Clock: Debug + Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
        to_millisecond(Timestamp::now())
    }
}

/// Cuts a time to the millisecond.
pub fn to_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
