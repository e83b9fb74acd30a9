//! Single questions under way: to known endpoints, confirmations, canaries of the daemon.

use super::volley::Answer;
use model::{Endpoint, Outcome, Transport};
use scope::InScope;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::oneshot;

/// Those that wait for an answer, and those that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Mutex<HashMap<Endpoint, Waiters>>,
    queue: Mutex<VecDeque<Question>>,
    ids: AtomicU64,
    attempts: AtomicU8,
}

/// What is to be asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) endpoint: InScope<Endpoint>,
    /// By UDP: what is said.
    pub(super) datagram: Arc<[u8]>,
}

/// Those that wait for one endpoint, and the numbers of the questions that left meanwhile, a bit each.
#[derive(Debug, Default)]
struct Waiters {
    askers: Vec<Asker>,
    numbers: u16,
}

/// Who waits, by number.
type Asker = (u64, oneshot::Sender<Answer>);

/// A question whose answer is waited for. Dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    questions: &'a Questions,
    endpoint: Endpoint,
    id: u64,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Questions {
    /// From now on an answer of this endpoint is waited for.
    pub(super) fn wait_for(&self, endpoint: Endpoint) -> Waiting<'_> {
        let (sender, answer) = oneshot::channel();
        let id = self.ids.fetch_add(1, Relaxed);
        lock(&self.waiting).entry(endpoint).or_default().askers.push((id, sender));
        Waiting { questions: self, endpoint, id, answer }
    }

    /// To be sent as soon as its turn comes.
    pub(super) fn push(&self, question: Question) {
        lock(&self.queue).push_back(question);
    }

    pub(super) fn pop(&self) -> Option<Question> {
        lock(&self.queue).pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// Every question leaves with the next number, and so from another source port than the one before.
    pub(super) fn attempt(&self, endpoint: Endpoint) -> u8 {
        let number = self.attempts.fetch_add(1, Relaxed) & 0xf;
        if endpoint.transport == Transport::Udp
            && let Some(waiters) = lock(&self.waiting).get_mut(&endpoint)
        {
            waiters.numbers |= 1 << number;
        }
        number
    }

    /// A question that did not leave.
    pub(super) fn failed(&self, endpoint: Endpoint, why: Outcome) {
        self.heard(&Answer { endpoint, attempt: 0, outcome: why, rtt: None, reply: None });
    }

    /// Whether a datagram with this number was sent to an endpoint that is waited for.
    pub(super) fn has_asked(&self, endpoint: &Endpoint, number: u8) -> bool {
        lock(&self.waiting).get(endpoint).is_some_and(|waiters| waiters.numbers >> number & 1 == 1)
    }

    /// The answer to all that wait for this endpoint.
    pub(super) fn heard(&self, answer: &Answer) {
        let waiting = lock(&self.waiting).remove(&answer.endpoint);
        for (_, waiting) in waiting.into_iter().flat_map(|waiters| waiters.askers) {
            // Whoever asked may have gone.
            let _ = waiting.send(answer.clone());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.questions.waiting);
        if let Some(others) = waiting.get_mut(&self.endpoint) {
            others.askers.retain(|(id, _)| *id != self.id);
            if others.askers.is_empty() {
                waiting.remove(&self.endpoint);
            }
        }
    }
}

/// Nothing that holds one of these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ClosedReason;
    use std::net::IpAddr;

    #[test]
    fn all_who_wait_hear_and_nobody_else_is_kept() {
        let questions = Questions::default();
        let endpoint = |last| Endpoint::tcp(IpAddr::from([192, 0, 2, last]), 22);
        let (mut first, mut second) = (questions.wait_for(endpoint(1)), questions.wait_for(endpoint(1)));
        let (mut other, gone) = (questions.wait_for(endpoint(2)), questions.wait_for(endpoint(1)));
        drop(gone);
        let outcome = Outcome::Closed(ClosedReason::Rst);
        questions.heard(&Answer { endpoint: endpoint(1), attempt: 3, outcome, rtt: None, reply: None });
        assert_eq!(first.answer.try_recv().map(|answer| answer.outcome), Ok(outcome));
        assert_eq!(second.answer.try_recv().map(|answer| answer.outcome), Ok(outcome));
        assert!(other.answer.try_recv().is_err());
        drop((first, second, other));
        assert!(lock(&questions.waiting).is_empty());
    }

    #[test]
    fn only_what_was_asked_was_asked() {
        let questions = Questions::default();
        let [endpoint, other] = [9, 10].map(|port| Endpoint::udp(IpAddr::from([192, 0, 2, 1]), port));
        let waiting = questions.wait_for(endpoint);
        let number = questions.attempt(endpoint);
        questions.attempt(other);
        for candidate in 0..16 {
            assert_eq!(questions.has_asked(&endpoint, candidate), candidate == number, "{candidate}");
            assert!(!questions.has_asked(&other, candidate));
        }
        drop(waiting);
        assert!(!questions.has_asked(&endpoint, number));
    }

    #[test]
    fn no_question_leaves_from_the_port_of_the_one_before() {
        let questions = Questions::default();
        let endpoint = Endpoint::tcp(IpAddr::from([192, 0, 2, 1]), 22);
        let numbers: Vec<u8> = (0..33).map(|_| questions.attempt(endpoint)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]) && numbers.iter().all(|number| *number < 16));
    }
}
