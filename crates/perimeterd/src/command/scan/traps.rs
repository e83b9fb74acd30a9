//! Hosts for which something answers on every port: how they are told, and where somebody real may be behind them.

use super::job::Job;
use model::{Endpoint, PortSet, Transport};
use probe::{
    AskOptions, ask,
    conversation::{Timeouts, udp_payload},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::OnceCell, time::timeout};
use tokio_util::sync::CancellationToken;

/// Where so many ports are asked about, a sweep sees by itself that too many open.
pub(super) const MANY_PORTS: u32 = 512;
/// Where so many ports of a host have opened, it is looked at whether others would as well.
pub(super) const MANY_OPEN: usize = 8;
/// Ports that are drawn by lot, from where they are seldom anybody's. All must answer.
const CONTROLS: usize = 3;
const HIGH_PORTS: u16 = 20_000;
/// By then a sweep has seen enough of a host for whom something answers, beside the round trip.
const SOON: Duration = Duration::from_millis(60);
/// Somebody real is looked for on these ports, of those that were to be asked.
const LIKELY: &str = "top:100";

/// Those of one group of addresses.
#[derive(Debug, Default)]
pub(super) struct Traps {
    known: Mutex<BTreeMap<IpAddr, Trap>>,
    /// Of every host, ports that were looked at while it was not known.
    examined: Mutex<HashMap<IpAddr, BTreeSet<u16>>>,
    controlled: Mutex<HashMap<IpAddr, Arc<OnceCell<bool>>>>,
    swept: CancellationToken,
}

/// How one was told, and what has come of it.
#[derive(Debug, Clone, Copy)]
struct Trap {
    by_controls: bool,
    is_asked: bool,
}

/// For those who are most likely nobody.
pub(super) fn brief() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        greeting: (Duration::from_millis(500), Duration::from_secs(1)),
        answer: (Duration::from_secs(1), Duration::from_secs(2)),
        whole: Duration::from_secs(5),
    }
}

impl Traps {
    /// The sweep has seen through one.
    pub(super) fn see(&self, ip: IpAddr) {
        lock(&self.known).entry(ip).or_insert(Trap { by_controls: false, is_asked: false });
    }

    /// Nothing more will be seen by the sweep.
    pub(super) fn all_are_swept(&self) {
        self.swept.cancel();
    }

    /// Until the sweep would have seen through the host of an answer that has just come.
    pub(super) async fn wait(&self, rtt_us: Option<u32>) {
        let soon = SOON + Duration::from_micros(rtt_us.unwrap_or_default().into());
        // Whichever comes first.
        let _ = timeout(soon, self.swept.cancelled()).await;
    }

    /// Whether an opening is to be looked at by itself. Counts as looked at.
    pub(super) fn may_examine(&self, endpoint: Endpoint) -> bool {
        if lock(&self.known).contains_key(&endpoint.ip) {
            return false;
        }
        lock(&self.examined).entry(endpoint.ip).or_default().insert(endpoint.port);
        true
    }

    /// Whether a host answers on every port: known, or asked now, on ports that nobody should be behind. Each is asked once.
    pub(super) async fn hold(&self, job: &Job, ip: IpAddr) -> bool {
        if lock(&self.known).contains_key(&ip) {
            return true;
        }
        let cell = Arc::clone(lock(&self.controlled).entry(ip).or_default());
        let is_trap = *cell.get_or_init(|| control(job, ip)).await;
        if is_trap {
            lock(&self.known).entry(ip).or_insert(Trap { by_controls: true, is_asked: false });
        }
        is_trap
    }

    /// Those behind which nobody has been looked for yet. They count as asked.
    pub(super) fn unasked(&self) -> Vec<IpAddr> {
        let mut known = lock(&self.known);
        let unasked = known.iter_mut().filter(|(_, trap)| !trap.is_asked);
        unasked
            .map(|(ip, trap)| {
                trap.is_asked = true;
                *ip
            })
            .collect()
    }

    /// Where somebody may be behind one, of the ports that are to be asked. Those that were looked at before are left out.
    pub(super) fn likely(&self, ip: IpAddr, tcp: &PortSet) -> Vec<Endpoint> {
        let examined = lock(&self.examined).get(&ip).cloned().unwrap_or_default();
        // It is written well; were it not, all would be asked.
        let likely = PortSet::parse(LIKELY, Transport::Tcp).unwrap_or_else(|_| tcp.clone());
        let is_likely = |port: &u16| likely.contains(*port) && !examined.contains(port);
        tcp.iter().filter(is_likely).map(|port| Endpoint::tcp(ip, port)).collect()
    }

    pub(super) fn known(&self) -> Vec<IpAddr> {
        lock(&self.known).keys().copied().collect()
    }

    /// Answers of theirs that cost a connection or a question before they were known.
    pub(super) fn examined(&self) -> u64 {
        let examined = lock(&self.examined);
        let of = |(ip, trap): (&IpAddr, &Trap)| {
            examined.get(ip).map_or(0, BTreeSet::len) + if trap.by_controls { CONTROLS } else { 0 }
        };
        lock(&self.known).iter().map(of).sum::<usize>() as u64
    }

    /// What the finding about one rests on; `accepting`: ports of its that answered.
    pub(super) fn evidence(&self, ip: IpAddr, accepting: usize) -> String {
        let by_controls = lock(&self.known).get(&ip).is_some_and(|trap| trap.by_controls);
        let seen = if by_controls {
            format!("accepts connections on {CONTROLS} ports drawn by lot as well, which nobody should be behind")
        } else {
            format!(
                "{accepting} of the ports that had been asked, in an order drawn by lot, accept connections; the others were not asked"
            )
        };
        format!("{seen}; only those that say something are listed")
    }
}

async fn control(job: &Job, ip: IpAddr) -> bool {
    let lot = RandomState::new();
    let mut ports = BTreeSet::new();
    let mut draw = 0_u64;
    while ports.len() < CONTROLS {
        let number = lot.hash_one((ip, draw)) % u64::from(u16::MAX - HIGH_PORTS);
        ports.insert(HIGH_PORTS + u16::try_from(number).unwrap_or_default());
        draw += 1;
    }
    let endpoints = ports.into_iter().map(|port| Endpoint::tcp(ip, port)).collect();
    let options = AskOptions {
        attempts: 2,
        timeout: Duration::from_millis(1_500),
        retry_refused: 0,
        spacing: Duration::from_millis(200),
        pace: None,
        udp: Arc::new(udp_payload),
    };
    ask(&job.dialer, endpoints, &options).await.iter().all(|found| found.observation.outcome.is_open())
}

/// Nothing that holds one of these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_be_nobody_is_not_looked_at_and_not_looked_for_twice() {
        let (traps, trap, host): (_, IpAddr, IpAddr) = (Traps::default(), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let (of_trap, of_host) = (|port| Endpoint::tcp(trap, port), |port| Endpoint::tcp(host, port));
        assert!(traps.may_examine(of_trap(22)) && traps.may_examine(of_trap(4_000)) && traps.may_examine(of_host(22)));
        assert_eq!((traps.examined(), traps.unasked()), (0, vec![]));
        traps.see(trap);
        assert!(!traps.may_examine(of_trap(80)) && traps.may_examine(of_host(80)));
        assert_eq!((traps.examined(), traps.known(), traps.unasked()), (2, vec![trap], vec![trap]));
        assert!(traps.unasked().is_empty());
        let tcp: PortSet = [22, 80, 4_001, 64_999].into_iter().collect();
        assert_eq!(traps.likely(trap, &tcp), [of_trap(80)], "the likely ones that were to be asked, once each");
        assert!(traps.evidence(trap, 17).starts_with("17 of the ports"));
    }
}
