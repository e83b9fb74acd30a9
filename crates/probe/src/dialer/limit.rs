//! How many at a time: bounded by file descriptors, lowered when the machine runs short, raised again slowly.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// Sockets at a time whatever the limit of descriptors: beyond that the kernel's tables and source ports suffer.
const MOST: usize = 8192;
/// Descriptors left to the rest of the process: database, console, channels, resolver.
const RESERVE: u64 = 256;
/// One shortage is felt by many probes at once and must not lower the limit many times.
const BETWEEN_CUTS: Duration = Duration::from_millis(100);
/// Longer than any conversation holds its socket: whoever waits longer waits for itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// Raises the soft limit of file descriptors towards the hard one (as far as this engine can use) and says how many sockets
/// at a time that leaves for probing: at least 1, even where there is almost none.
pub(crate) fn ceiling_from_descriptors() -> usize {
    const USEFUL: u64 = MOST as u64 + RESERVE;
    let limit = getrlimit(Resource::Nofile);
    let mut soft = limit.current.unwrap_or(u64::MAX);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(USEFUL);
    if soft < wanted {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
            Ok(()) => soft = wanted,
            Err(error) => tracing::debug!(%error, soft, wanted, "the limit of file descriptors stays as it is"),
        }
    }
    let left = soft - RESERVE.min(soft / 2);
    usize::try_from(left).unwrap_or(MOST).clamp(1, MOST)
}

/// Additive increase, multiplicative decrease over the number of sockets at a time.
#[derive(Debug)]
pub(crate) struct Limit {
    ceiling: usize,
    semaphore: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    target: usize,
    in_use: usize,
    /// Permits to be withheld when they come back.
    debt: usize,
    /// Successes since the target last changed.
    successes: usize,
    last_cut: Option<Instant>,
}

/// One socket's place. Dropped with the socket.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Limit>);

impl Limit {
    pub(crate) fn new(ceiling: usize) -> Self {
        let ceiling = ceiling.clamp(1, MOST);
        let state = State { target: ceiling, in_use: 0, debt: 0, successes: 0, last_cut: None };
        Self { ceiling, semaphore: Semaphore::new(ceiling), state: Mutex::new(state) }
    }

    /// None where no place came free within a minute.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Option<Permit> {
        let permit = match self.semaphore.try_acquire() {
            Ok(permit) => permit,
            // The semaphore is never closed, so the inner error does not happen.
            Err(_) => timeout(PATIENCE, self.semaphore.acquire()).await.ok()?.ok()?,
        };
        permit.forget();
        self.state().in_use += 1;
        Some(Permit(Arc::clone(self)))
    }

    /// The machine ran short: three quarters of what is in use, but not below `floor` by this cause.
    pub(crate) fn lower(&self, floor: usize) {
        let mut state = self.state();
        let now = Instant::now();
        if state.last_cut.is_some_and(|cut| now.duration_since(cut) < BETWEEN_CUTS) {
            return;
        }
        let target = (state.in_use.min(state.target) * 3 / 4).max(floor).max(1);
        if target < state.target {
            let cut = state.target - target;
            let withheld = self.semaphore.forget_permits(cut);
            state.debt += cut - withheld;
            state.target = target;
            state.successes = 0;
            state.last_cut = Some(now);
            tracing::debug!(target, "fewer sockets at a time");
        }
    }

    /// A socket was had: after a full round of successes, a sixteenth more.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        if state.target >= self.ceiling {
            return;
        }
        state.successes += 1;
        if state.successes >= state.target {
            let more = (state.target / 16).max(1).min(self.ceiling - state.target);
            state.target += more;
            state.successes = 0;
            let from_debt = more.min(state.debt);
            state.debt -= from_debt;
            self.semaphore.add_permits(more - from_debt);
        }
    }

    pub(crate) fn current(&self) -> usize {
        self.state().target
    }

    pub(crate) fn in_use(&self) -> usize {
        self.state().in_use
    }

    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// Nothing that holds this lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_use -= 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            self.0.semaphore.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(limit: &Arc<Limit>, count: usize) -> Vec<Permit> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(limit.acquire().await.expect("a place"));
        }
        permits
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_lowers_once_and_success_raises() {
        let limit = Arc::new(Limit::new(100));
        let mut held = take(&limit, 40).await;
        for _ in 0..40 {
            limit.lower(1);
        }
        assert_eq!((limit.current(), limit.in_use()), (30, 40));
        // Ten come back and are withheld: nothing is free before the eleventh.
        held.truncate(30);
        assert!(limit.semaphore.try_acquire().is_err());
        held.truncate(29);
        held.extend(take(&limit, 1).await);
        for _ in 0..10_000 {
            limit.succeeded();
        }
        assert_eq!(limit.current(), 100);
        let more = take(&limit, 70).await;
        assert!(limit.semaphore.try_acquire().is_err());
        drop((held, more));
        assert_eq!((limit.in_use(), limit.semaphore.available_permits()), (0, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn never_below_one_nor_below_its_floor() {
        let limit = Arc::new(Limit::new(300));
        for _ in 0..50 {
            tokio::time::advance(BETWEEN_CUTS).await;
            limit.lower(256);
        }
        assert_eq!(limit.current(), 256);
        for _ in 0..50 {
            tokio::time::advance(BETWEEN_CUTS).await;
            limit.lower(1);
        }
        assert_eq!(limit.current(), 1);
        let one = limit.acquire().await.expect("one");
        // Whoever holds the only place and asks for another is told so instead of waiting for ever.
        assert!(limit.acquire().await.is_none());
        drop(one);
        assert!(limit.acquire().await.is_some());
    }

    #[test]
    fn descriptors_give_a_ceiling() {
        assert!((1..=MOST).contains(&ceiling_from_descriptors()));
    }
}
