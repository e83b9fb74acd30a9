//! When an asset may be asked. Whether it is open is asked for every packet, and changes a few times a day: the answer is kept for as long
//! as it holds.

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use model::Windows;
use std::sync::Arc;

/// What never closes is looked at again after this.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Open while any of its windows is.
#[derive(Debug)]
pub(crate) struct Hours {
    windows: Vec<Windows>,
    now: ArcSwap<Stretch>,
}

/// From this time on and before that one, it is open or not.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Timestamp,
    to: Timestamp,
    is_open: bool,
}

impl Hours {
    pub(crate) fn new(windows: Vec<Windows>) -> Self {
        let never = Stretch { from: Timestamp::MAX, to: Timestamp::MAX, is_open: false };
        Self { windows, now: ArcSwap::from_pointee(never) }
    }

    #[inline]
    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        let stretch = self.now.load();
        if stretch.from <= at && at < stretch.to {
            return stretch.is_open;
        }
        drop(stretch);
        let stretch = self.stretch(at);
        self.now.store(Arc::new(stretch));
        stretch.is_open
    }

    /// When it is open next: `at` where it is.
    pub(crate) fn opens(&self, at: Timestamp) -> Timestamp {
        self.windows.iter().map(|windows| windows.opens(at)).min().unwrap_or(Timestamp::MAX)
    }

    fn stretch(&self, at: Timestamp) -> Stretch {
        let open = self.windows.iter().find(|windows| windows.is_open(at));
        let most = at.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        let to = match open {
            Some(open) => open.closes(at).unwrap_or(most),
            None => self.opens(at),
        };
        Stretch { from: at, to, is_open: open.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn is_open_while_any_window_is_whatever_was_asked_before() {
        let windows = |text: &str, zone| {
            Windows::new(vec![text.parse().expect(text)], TimeZone::get(zone).expect(zone)).expect("a window")
        };
        let hours = Hours::new(vec![windows("22:00-02:00", "UTC"), windows("02:00-05:00", "Europe/Berlin")]);
        let at = |hour: i64| Timestamp::from_second(1_767_571_200 + hour * 3_600).expect("in range");
        // Twice, and backwards as well: what is kept must not stick.
        for hour in (0..48).chain(0..48).chain((0..48).rev()) {
            let expect = matches!(hour % 24, 22 | 23 | 0 | 1 | 2 | 3);
            assert_eq!(hours.is_open(at(hour)), expect, "{hour}");
        }
        assert_eq!(hours.opens(at(4)), at(22));
        assert_eq!(hours.opens(at(1)), at(1));
    }
}
