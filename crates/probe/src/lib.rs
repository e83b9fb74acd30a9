
mod counters;
mod dialer;

pub use counters::DialerCounters;
pub use dialer::{Conn, Dialer, DialerSettings, Identity, Pace, Probed};
