use jiff::Timestamp;
use model::Endpoint;

/// Questions of a sweep that left one after the other: what a ledger keeps of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Counted from 1.
    pub attempt: u8,
    pub asked: Asked,
    /// By packets of our own, where an address has a way for them; else by connections and datagrams.
    pub raw: bool,
    pub began: Timestamp,
    pub ended: Timestamp,
}

/// Who was asked in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// So many from the beginning of the order: all, where nothing cut it short.
    First(u64),
    /// These.
    Those(Vec<Endpoint>),
    /// So many that they are not listed.
    Some(u64),
}

/// Endpoints listed of a round; more are counted.
const MOST_LISTED: usize = 4_096;

impl Round {
    /// Makes one of two rounds in a row, where they were of one attempt and either both went through the order or neither.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        if let (Asked::First(mine), Asked::First(other)) = (&mut self.asked, &next.asked)
            && self.attempt == next.attempt
        {
            // At the same time: packets to some addresses, connections to the others.
            *mine = (*mine).min(*other);
            self.raw |= next.raw;
            (self.began, self.ended) = (self.began.min(next.began), self.ended.max(next.ended));
            return true;
        }
        let (Some(mine), Some(more)) = (self.asked.again(), next.asked.again()) else { return false };
        if self.attempt != next.attempt {
            return false;
        }
        if let (Asked::Those(all), Asked::Those(those)) = (&mut self.asked, &next.asked)
            && all.len() + those.len() <= MOST_LISTED
        {
            all.extend(those);
        } else {
            self.asked = Asked::Some(mine + more);
        }
        self.raw |= next.raw;
        self.ended = next.ended;
        true
    }
}

impl Asked {
    pub(super) fn those(endpoints: Vec<Endpoint>) -> Self {
        if endpoints.len() > MOST_LISTED { Self::Some(endpoints.len() as u64) } else { Self::Those(endpoints) }
    }

    /// How many, where the order had been gone through before.
    fn again(&self) -> Option<u64> {
        match self {
            Self::First(_) => None,
            Self::Those(those) => Some(those.len() as u64),
            Self::Some(count) => Some(*count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn round(attempt: u8, asked: Asked, began: i64) -> Round {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        Round { attempt, asked, raw: false, began: at(began), ended: at(began + 1) }
    }

    fn those(count: u16) -> Asked {
        Asked::those((1..=count).map(|port| Endpoint::tcp(Ipv4Addr::LOCALHOST.into(), port)).collect())
    }

    #[test]
    fn packets_and_connections_go_through_the_order_together() {
        let mut both = round(1, Asked::First(9), 10);
        assert!(both.join(&Round { raw: true, ..round(1, Asked::First(7), 5) }));
        assert_eq!((both.asked.clone(), both.raw), (Asked::First(7), true));
        assert_eq!((both.began.as_second(), both.ended.as_second()), (5, 11));
        assert!(!both.join(&round(2, Asked::First(7), 20)));
    }

    #[test]
    fn rounds_of_one_attempt_become_one() {
        let mut rounds = round(2, those(3), 10);
        assert!(rounds.join(&round(2, those(2), 20)));
        assert_eq!((rounds.asked.again(), rounds.began.as_second(), rounds.ended.as_second()), (Some(5), 10, 21));
        assert!(matches!(rounds.asked, Asked::Those(_)));
        assert!(rounds.join(&round(2, those(4_096), 30)));
        assert_eq!(rounds.asked, Asked::Some(4_101));
        assert!(rounds.join(&round(2, those(1), 40)));
        assert_eq!(rounds.asked, Asked::Some(4_102));
        assert_eq!(those(5_000), Asked::Some(5_000));
        for other in [round(3, those(1), 50), round(2, Asked::First(9), 50)] {
            assert!(!rounds.join(&other) && !other.clone().join(&rounds));
        }
    }
}
