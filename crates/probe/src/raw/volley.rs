//! What is sent in one go, and what comes of it.

use model::{Endpoint, Outcome};
use scope::InScope;
use std::{fmt, net::IpAddr, ops::Range, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One question to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// What its sink calls it.
    pub(crate) number: u64,
    pub(crate) endpoint: InScope<Endpoint>,
}

/// Questions in the order in which they are sent.
pub(crate) trait Order: Send {
    /// None at the end.
    fn next(&mut self) -> Option<Target>;

    /// How many of its places were gone through, those that were passed over included.
    fn position(&self) -> u64;

    /// What is said to a port by UDP.
    fn datagram(&self, port: u16) -> &[u8];

    /// What is said to it as well, where two protocols share it.
    fn second_datagram(&self, _port: u16) -> Option<&[u8]> {
        None
    }
}

/// A question that asks whether a host is there, and nothing of its ports; or what shows it without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knock {
    /// It answers for its address on a link of ours: ARP, neighbour discovery.
    Neighbour,
    /// An echo of ICMP.
    Echo,
    /// An acknowledgement of what was never sent, to which a host says so by RST.
    Acknowledgement,
    /// A timestamp of ICMP, which only IPv4 has.
    Timestamp,
}

impl Knock {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neighbour => "neighbour",
            Self::Echo => "icmp-echo",
            Self::Acknowledgement => "tcp-ack",
            Self::Timestamp => "icmp-timestamp",
        }
    }
}

/// What came back to a question.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    /// Which attempt it answers, as its volley counts them.
    pub(crate) attempt: u8,
    pub(crate) outcome: Outcome,
    /// Where the peer repeats our timestamp.
    pub(crate) rtt: Option<Duration>,
    /// What was said by UDP, as much of it as one packet holds.
    pub(crate) reply: Option<Arc<[u8]>>,
}

/// Who hears of what came back. Called by the receiving thread: it must neither wait nor take long.
pub(crate) trait Sink: fmt::Debug + Send + Sync {
    fn heard(&self, answer: &Answer);

    /// A host answered to a knock.
    fn is_there(&self, ip: IpAddr, knock: Knock);

    /// Whether this endpoint may have been asked for that time: a datagram proves little more than that it was sent to the port
    /// of such a question.
    fn has_asked(&self, endpoint: &Endpoint, attempt: u8) -> bool;

    /// Whether a question of a volley that had to wait is still to be sent.
    fn wants(&self, number: u64) -> bool;

    /// How many of a volley's questions have left so far; told once for several.
    fn sent(&self, questions: u64);

    /// A question of a volley that did not leave. [`Outcome::Silent`]: nobody has the address on a link of ours any more.
    fn unsent(&self, number: u64, why: Outcome);
}

/// What became of a volley's questions on their way out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    /// All of them were taken from the order; else it was cancelled on the way.
    pub(crate) complete: bool,
    pub(crate) stretches: Vec<Stretch>,
}

/// Consecutive questions of an order, and when they left: the last of them perhaps long after it was taken from the order, where its
/// host had to be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Positions in the order.
    pub(crate) turns: Range<u64>,
    pub(crate) began: Instant,
    /// The last one was taken from the order by then.
    pub(crate) taken: Instant,
    pub(crate) ended: Instant,
}

/// Stretches kept of a volley; beyond it, two become one.
const MOST_STRETCHES: usize = 4096;

impl Report {
    pub(super) fn add(&mut self, stretch: Stretch) {
        if self.stretches.len() >= MOST_STRETCHES {
            self.stretches = self
                .stretches
                .chunks(2)
                .filter_map(|pair| {
                    let (first, last) = (pair.first()?, pair.last()?);
                    let turns = first.turns.start..last.turns.end;
                    let ended = first.ended.max(last.ended);
                    Some(Stretch { turns, began: first.began, taken: last.taken, ended })
                })
                .collect();
        }
        self.stretches.push(stretch);
    }

    /// One of the questions that were taken from the order at that moment leaves only now. Those of a stretch that is not here
    /// yet end later anyway.
    pub(super) fn extend(&mut self, taken: Instant, now: Instant) {
        let after = self.stretches.partition_point(|stretch| stretch.began <= taken);
        if let Some(stretch) = after.checked_sub(1).and_then(|place| self.stretches.get_mut(place))
            && stretch.taken >= taken
        {
            stretch.ended = stretch.ended.max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_stretches_nothing_is_left_out() {
        let (mut report, start) = (Report::default(), Instant::now());
        for turn in 0..20_000 {
            let at = start + Duration::from_millis(turn);
            report.add(Stretch { turns: turn..turn + 1, began: at, taken: at, ended: at });
            // The first one has to wait.
            report.extend(start, at);
        }
        assert!(report.stretches.len() <= MOST_STRETCHES);
        let mut next = 0;
        for stretch in &report.stretches {
            assert_eq!(stretch.turns.start, next);
            next = stretch.turns.end;
        }
        assert_eq!(next, 20_000);
        let ended: Vec<Instant> = report.stretches.iter().map(|stretch| stretch.ended).collect();
        assert_eq!(ended[0], start + Duration::from_millis(19_999), "whatever it was joined with");
        assert!(ended[1] < ended[0] && ended[1..].is_sorted());
    }
}
