use model::{LocalErrorKind, Outcome, Rate};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the dialer has done since it was made, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialerCounters {
    /// Connections begun and datagrams sent.
    pub attempts: u64,
    pub opens: u64,
    pub closed: u64,
    pub filtered: u64,
    pub silent: u64,
    /// Never sent: halted, out of scope, aborted.
    pub not_probed: u64,
    /// Our own trouble by kind, each time it was met, also where trying again helped.
    pub local_errors: [(LocalErrorKind, u64); 6],
    /// Connections to ourselves that were recognised and thrown away.
    pub self_connects: u64,
    /// Sockets at a time: allowed now, in use now, and at most.
    pub concurrency_limit: usize,
    pub concurrency: usize,
    pub concurrency_ceiling: usize,
    /// Ceiling of probes per second now.
    pub rate: Rate,
}

/// Order of [`DialerCounters::local_errors`].
pub(crate) const KINDS: [LocalErrorKind; 6] = [
    LocalErrorKind::Descriptors,
    LocalErrorKind::SourcePorts,
    LocalErrorKind::Buffers,
    LocalErrorKind::NoRoute,
    LocalErrorKind::Denied,
    LocalErrorKind::Other,
];

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) attempts: AtomicU64,
    opens: AtomicU64,
    closed: AtomicU64,
    filtered: AtomicU64,
    silent: AtomicU64,
    not_probed: AtomicU64,
    local_errors: [AtomicU64; 6],
    pub(crate) self_connects: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Open(_) => &self.opens,
            Outcome::Closed(_) => &self.closed,
            Outcome::Filtered(_) => &self.filtered,
            Outcome::Silent => &self.silent,
            Outcome::NotProbed(_) => &self.not_probed,
            // Counted where it is met.
            Outcome::LocalError(_) => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_local(&self, kind: LocalErrorKind) {
        if let Some(counter) = KINDS.iter().position(|&k| k == kind).and_then(|at| self.local_errors.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn snapshot(&self, limit: &crate::dialer::limit::Limit, rate: Rate) -> DialerCounters {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let mut local_errors = KINDS.map(|kind| (kind, 0));
        for ((_, count), counter) in local_errors.iter_mut().zip(&self.local_errors) {
            *count = read(counter);
        }
        DialerCounters {
            attempts: read(&self.attempts),
            opens: read(&self.opens),
            closed: read(&self.closed),
            filtered: read(&self.filtered),
            silent: read(&self.silent),
            not_probed: read(&self.not_probed),
            local_errors,
            self_connects: read(&self.self_connects),
            concurrency_limit: limit.current(),
            concurrency: limit.in_use(),
            concurrency_ceiling: limit.ceiling(),
            rate,
        }
    }
}
