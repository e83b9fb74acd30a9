//! What the sender waits for, so that it can be said what holds the rate down: of what it waited for since the last look, that for
//! which it waited longest.

use crate::raw::rate::Limiting;
use std::time::Duration;

/// Why nothing leaves just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Deadlines ask for no more.
    Pace,
    /// Everything together has its ceiling.
    Everybody,
    /// Each of those who are left has its own.
    Host,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holds {
    pace: Duration,
    everybody: Duration,
    host: Duration,
}

impl Holds {
    pub(super) fn add(&mut self, hold: Option<Hold>, waited: Duration) {
        match hold {
            Some(Hold::Pace) => self.pace += waited,
            Some(Hold::Everybody) => self.everybody += waited,
            Some(Hold::Host) => self.host += waited,
            None => {}
        }
    }

    /// None where it waited for nothing of the kind. `by_prefix`: most hosts waited for their prefixes.
    pub(super) fn greatest(self, by_prefix: bool) -> Option<Limiting> {
        let host = if by_prefix { Limiting::Prefix } else { Limiting::Host };
        let all = [(self.pace, Limiting::Deadline), (self.everybody, Limiting::Ceiling), (self.host, host)];
        all.into_iter().filter(|(waited, _)| !waited.is_zero()).max_by_key(|(waited, _)| *waited).map(|(_, why)| why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts() {
        let ms = Duration::from_millis;
        let mut holds = Holds::default();
        assert_eq!(holds.greatest(true), None);
        holds.add(None, ms(900));
        assert_eq!(holds.greatest(false), None);
        holds.add(Some(Hold::Everybody), ms(2));
        assert_eq!(holds.greatest(false), Some(Limiting::Ceiling));
        holds.add(Some(Hold::Pace), ms(5));
        assert_eq!(holds.greatest(true), Some(Limiting::Deadline));
        holds.add(Some(Hold::Host), ms(3));
        holds.add(Some(Hold::Host), ms(3));
        assert_eq!(holds.greatest(false), Some(Limiting::Host));
        assert_eq!(holds.greatest(true), Some(Limiting::Prefix));
    }
}
