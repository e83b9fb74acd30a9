//! Questions to endpoints that answer, asked beside everything else: what becomes of them shows what is lost on the way now.

use super::rate::Verdicts;
use model::Endpoint;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Places for canaries. Each address has its place, so that one host that is slow to answer is one among many.
const PLACES: usize = 512;
/// One that was missed so often in a row is no canary any more.
const MOST_MISSED: u8 = 8;

/// Endpoints that answered just now, and what became of asking them again.
#[derive(Debug)]
pub(super) struct Canaries(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    places: Vec<Option<Canary>>,
    /// The place to look at next.
    turn: usize,
    /// Asked and not judged, in the order they were asked in.
    asked: VecDeque<(Instant, Endpoint)>,
    /// Whether it has answered.
    waiting: HashMap<Endpoint, bool>,
    longest_rtt: Duration,
    /// Round trips as RFC 6298 smooths them, and how much they vary, in seconds; None before the first.
    smoothed: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy)]
struct Canary {
    endpoint: Endpoint,
    /// In a row.
    missed: u8,
}

impl Default for Canaries {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            places: vec![None; PLACES],
            turn: 0,
            asked: VecDeque::new(),
            waiting: HashMap::new(),
            longest_rtt: Duration::ZERO,
            smoothed: None,
        }))
    }
}

impl Canaries {
    /// It answered: one to ask again.
    pub(super) fn met(&self, endpoint: Endpoint, rtt: Option<Duration>) {
        let mut inner = self.lock();
        if let Some(rtt) = rtt {
            inner.longest_rtt = inner.longest_rtt.max(rtt.min(LONGEST_WAIT));
            inner.smooth(rtt.min(LONGEST_WAIT).as_secs_f64());
        }
        let place = place(endpoint.ip);
        if inner.places[place].is_none_or(|canary| canary.missed > 0) {
            inner.places[place] = Some(Canary { endpoint, missed: 0 });
        }
    }

    /// One that is not being asked now; none where there are none.
    pub(super) fn next(&self) -> Option<Endpoint> {
        let mut inner = self.lock();
        for _ in 0..PLACES {
            inner.turn = (inner.turn + 1) % PLACES;
            let turn = inner.turn;
            if let Some(canary) = inner.places[turn]
                && !inner.waiting.contains_key(&canary.endpoint)
            {
                return Some(canary.endpoint);
            }
        }
        None
    }

    /// It has been asked.
    pub(super) fn asked(&self, endpoint: Endpoint, now: Instant) {
        let mut inner = self.lock();
        inner.waiting.insert(endpoint, false);
        inner.asked.push_back((now, endpoint));
    }

    /// It was not asked after all: the question did not leave.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        let mut inner = self.lock();
        if let Some(last) = inner.asked.iter().rposition(|(_, asked)| asked == endpoint) {
            inner.asked.remove(last);
            if !inner.asked.iter().any(|(_, asked)| asked == endpoint) {
                inner.waiting.remove(endpoint);
            }
        }
    }

    /// It answered to being asked.
    pub(super) fn answered(&self, endpoint: &Endpoint) {
        if let Some(has_answered) = self.lock().waiting.get_mut(endpoint) {
            *has_answered = true;
        }
    }

    /// What became of those that have had time to answer and were asked at this moment or later; those asked before are
    /// forgotten.
    pub(super) fn judge(&self, now: Instant, since: Instant) -> Verdicts {
        let mut inner = self.lock();
        let wait = inner.time_to_answer();
        let mut verdicts = Verdicts::default();
        while let Some(&(at, endpoint)) = inner.asked.front() {
            let has_answered = inner.waiting.get(&endpoint).copied().unwrap_or_default();
            if !has_answered && now.duration_since(at) < wait {
                break;
            }
            inner.asked.pop_front();
            inner.waiting.remove(&endpoint);
            let place = place(endpoint.ip);
            if let Some(canary) = inner.places[place].as_mut().filter(|canary| canary.endpoint == endpoint) {
                canary.missed = if has_answered { 0 } else { canary.missed + 1 };
                if canary.missed >= MOST_MISSED {
                    inner.places[place] = None;
                }
            }
            if at >= since {
                verdicts.asked += 1;
                verdicts.missed += u64::from(!has_answered);
            }
        }
        verdicts
    }

    /// How long one that was asked has to answer.
    pub(super) fn time_to_answer(&self) -> Duration {
        self.lock().time_to_answer()
    }

    /// How long answers are waited for, the slowest too.
    pub(super) fn wait(&self) -> Duration {
        self.lock().wait()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer takes as long as the slowest did, and then some; RFC 6298's first timeout at most.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Inner {
    /// By what is usual: an answer that came late (a target repeats it after a second where ours to it is lost) does not make
    /// every verdict late.
    fn time_to_answer(&self) -> Duration {
        let (usual, varies) = self.smoothed.unwrap_or_default();
        (Duration::from_secs_f64(2.0 * (usual + 4.0 * varies)) + SHORTEST_WAIT).min(LONGEST_WAIT)
    }

    /// RFC 6298 §2. What came much later than is usual is taken for little more than that: it may be an answer that was repeated after a
    /// second, and one of those must not make every verdict late. Should all come so late, they soon count for what they are.
    fn smooth(&mut self, rtt: f64) {
        let rtt = self.smoothed.map_or(rtt, |(usual, _)| rtt.min(2.0 * usual + SHORTEST_WAIT.as_secs_f64()));
        self.smoothed = Some(match self.smoothed {
            None => (rtt, rtt / 2.0),
            Some((usual, varies)) => (usual + (rtt - usual) / 8.0, varies + ((rtt - usual).abs() - varies) / 4.0),
        });
    }

    fn wait(&self) -> Duration {
        (self.longest_rtt * 3 + SHORTEST_WAIT).min(LONGEST_WAIT)
    }
}

fn place(ip: IpAddr) -> usize {
    let number = match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            u64::try_from((bits >> 64 ^ bits) & u128::from(u64::MAX)).unwrap_or_default()
        }
    };
    usize::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).unwrap_or_default() % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(last: u8) -> Endpoint {
        Endpoint::tcp(IpAddr::from([192, 0, 2, last]), 443)
    }

    #[test]
    fn what_is_missed_is_counted_once_it_had_its_time() {
        let canaries = Canaries::default();
        assert_eq!(canaries.next(), None);
        let start = Instant::now();
        for last in 1..=20 {
            canaries.met(endpoint(last), Some(Duration::from_millis(10)));
        }
        let mut asked = Vec::new();
        while let Some(next) = canaries.next() {
            canaries.asked(next, start);
            asked.push(next);
        }
        // Hardly two of them share a place.
        assert!(asked.len() >= 18, "{asked:?}");
        let count = u64::try_from(asked.len()).expect("small");
        for answered in &asked[4..] {
            canaries.answered(answered);
        }
        assert!(canaries.judge(start + Duration::from_millis(50), start).missed == 0);
        let late = canaries.judge(start + Duration::from_millis(140), start);
        assert_eq!(late.missed, 4);
        assert!(late.asked <= count);
        assert_eq!(canaries.judge(start + Duration::from_secs(2), start), Verdicts::default());
    }

    #[test]
    fn what_was_asked_before_says_nothing() {
        let canaries = Canaries::default();
        let start = Instant::now();
        canaries.met(endpoint(1), None);
        canaries.asked(endpoint(1), start);
        let later = start + Duration::from_secs(3);
        assert_eq!(canaries.judge(later, later), Verdicts::default());
    }

    #[test]
    fn what_did_not_leave_is_not_missed() {
        let (canaries, start) = (Canaries::default(), Instant::now());
        for last in 1..=2 {
            canaries.met(endpoint(last), None);
            canaries.asked(endpoint(last), start);
        }
        canaries.forget(&endpoint(1));
        canaries.forget(&endpoint(3));
        assert_eq!(canaries.next(), Some(endpoint(1)), "it may be asked again at once");
        assert_eq!(canaries.judge(start + LONGEST_WAIT, start), Verdicts { asked: 1, missed: 1 });
    }

    #[test]
    fn one_that_stays_silent_is_none_any_more() {
        let canaries = Canaries::default();
        let mut now = Instant::now();
        canaries.met(endpoint(1), None);
        for _ in 0..MOST_MISSED {
            let next = canaries.next().expect("still one");
            canaries.asked(next, now);
            now += LONGEST_WAIT;
            assert_eq!(canaries.judge(now, now - LONGEST_WAIT), Verdicts { asked: 1, missed: 1 });
        }
        assert_eq!(canaries.next(), None);
    }
}
