//! How fast: token buckets in the form of the Generic Cell Rate Algorithm (ITU-T I.371), which keep one time each.

use model::Rate;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// A pace of its own below the ceilings, shared by the groups of one pass: what the deadline asks for.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Mutex<Job>>);

#[derive(Debug)]
struct Job {
    epoch: Instant,
    bucket: Bucket,
    interval: u64,
}

impl Pace {
    /// At most `per_second` questions a second; at least one a day, whatever is said.
    pub fn new(per_second: f64) -> Self {
        Self(Arc::new(Mutex::new(Job {
            epoch: Instant::now(),
            bucket: Bucket::default(),
            interval: nanos(per_second),
        })))
    }

    /// From the next question on.
    pub fn set(&self, per_second: f64) {
        lock(&self.0).interval = nanos(per_second);
    }

    /// Questions a second now; infinite where nothing holds them back.
    pub fn per_second(&self) -> f64 {
        Duration::from_secs(1).div_duration_f64(Duration::from_nanos(lock(&self.0).interval))
    }

    /// Returns when it is the caller's turn.
    pub async fn turn(&self) {
        let at = {
            let mut job = lock(&self.0);
            let (now, interval) = (since(job.epoch), job.interval);
            job.epoch + Duration::from_nanos(job.bucket.reserve(now, interval))
        };
        if at > Instant::now() {
            sleep_until(at).await;
        }
    }
}

/// The ceilings: one bucket for everything, one for each host that was probed just now.
#[derive(Debug)]
pub(crate) struct Pacer {
    epoch: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    global: Bucket,
    interval: u64,
    hosts: HashMap<IpAddr, Bucket>,
    host_interval: u64,
    /// Hosts in the table at most.
    room: usize,
}

/// Buckets of hosts kept at a time. One that is not owed any wait is the same as none, so only hosts probed within the last
/// moments need theirs.
const ROOM: usize = 1 << 16;
/// When every bucket of a full table is owed a wait, newcomers ask again after this.
const FULL: u64 = 5_000_000;
/// Unused turns are kept this long: the grain of timers must not cost throughput.
const TOLERANCE: u64 = 10_000_000;

impl Pacer {
    pub(crate) fn new(rate: Rate, rate_per_host: Rate) -> Self {
        Self::with_room(rate, rate_per_host, ROOM)
    }

    fn with_room(rate: Rate, rate_per_host: Rate, room: usize) -> Self {
        let inner = Inner {
            global: Bucket::default(),
            interval: nanos(f64::from(rate.get())),
            hosts: HashMap::new(),
            host_interval: nanos(f64::from(rate_per_host.get())),
            room,
        };
        Self { epoch: Instant::now(), inner: Mutex::new(inner) }
    }

    pub(crate) fn set(&self, rate: Rate, rate_per_host: Rate) {
        let mut inner = lock(&self.inner);
        inner.interval = nanos(f64::from(rate.get()));
        inner.host_interval = nanos(f64::from(rate_per_host.get()));
    }

    /// Takes a turn in the bucket of everything: when it comes.
    pub(crate) fn reserve(&self) -> Instant {
        let now = since(self.epoch);
        let mut inner = lock(&self.inner);
        let interval = inner.interval;
        self.epoch + Duration::from_nanos(inner.global.reserve(now, interval))
    }

    /// Takes a turn in the bucket of a host. `Err`: no room for its bucket now, ask again then.
    pub(crate) fn reserve_host(&self, ip: IpAddr) -> Result<Instant, Instant> {
        let now = since(self.epoch);
        let mut inner = lock(&self.inner);
        let interval = inner.host_interval;
        if !inner.hosts.contains_key(&ip) && inner.hosts.len() >= inner.room {
            inner.hosts.retain(|_, bucket| bucket.0 > now);
            if inner.hosts.len() >= inner.room {
                return Err(self.epoch + Duration::from_nanos(now + FULL));
            }
        }
        Ok(self.epoch + Duration::from_nanos(inner.hosts.entry(ip).or_default().reserve(now, interval)))
    }

    /// Packets the kernel sent on its own behalf: repeated SYNs of a connection that nobody answered.
    pub(crate) fn debit(&self, ip: IpAddr, packets: u64) {
        let now = since(self.epoch);
        let mut inner = lock(&self.inner);
        let (interval, host_interval) = (inner.interval, inner.host_interval);
        inner.global.debit(now, interval, packets);
        if let Some(bucket) = inner.hosts.get_mut(&ip) {
            bucket.debit(now, host_interval, packets);
        }
    }
}

/// Nanoseconds since the epoch at which the next turn would come if turns were evenly spaced.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    /// When the turn comes; not before `now`.
    fn reserve(&mut self, now: u64, interval: u64) -> u64 {
        let departure = now.max(self.0.saturating_sub(TOLERANCE.saturating_sub(interval)));
        self.0 = self.0.max(departure).saturating_add(interval);
        departure
    }

    fn debit(&mut self, now: u64, interval: u64, turns: u64) {
        self.0 = self.0.max(now).saturating_add(interval.saturating_mul(turns));
    }
}

fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The time between two turns; at most a day.
fn nanos(per_second: f64) -> u64 {
    const DAY: f64 = 86_400e9;
    let interval = 1e9 / per_second;
    let interval = if interval.is_finite() && interval > 0.0 { interval.min(DAY) } else { DAY };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a day")]
    let interval = interval as u64;
    interval
}

/// Nothing that holds one of these locks can panic half-way, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32) -> Rate {
        Rate::per_second(per_second).expect("in range")
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_rate_whatever_the_load() {
        for (per_second, takes_at_least, takes_at_most) in [(1, 9_000, 9_001), (100, 90, 91), (1_000, 0, 1)] {
            let pacer = Pacer::new(rate(per_second), rate(per_second));
            let start = Instant::now();
            let mut last = start;
            for _ in 0..10 {
                last = pacer.reserve();
            }
            let took = last.duration_since(start).as_millis();
            assert!((takes_at_least..=takes_at_most).contains(&took), "{per_second}/s: {took} ms");
        }
        let pacer = Pacer::new(rate(10_000), rate(10_000));
        let start = Instant::now();
        let last = (0..10_000).map(|_| pacer.reserve()).max().expect("some");
        let took = last.duration_since(start);
        assert!(took >= Duration::from_millis(980) && took <= Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let pacer = Pacer::new(rate(100), rate(100));
        pacer.reserve();
        tokio::time::advance(Duration::from_hours(1)).await;
        let start = Instant::now();
        let last = (0..101).map(|_| pacer.reserve()).max().expect("some");
        assert_eq!(last.duration_since(start).as_millis(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_wait_for_themselves_only() {
        let pacer = Pacer::new(rate(1_000_000), rate(1));
        let start = Instant::now();
        let turns: Vec<u128> = [1, 1, 2, 1]
            .map(|last| pacer.reserve_host(ip(last)).expect("room").duration_since(start).as_secs().into())
            .to_vec();
        assert_eq!(turns, [0, 1, 0, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_never_lets_a_host_be_overrun() {
        let pacer = Pacer::with_room(rate(1_000_000), rate(1), 2);
        assert!(pacer.reserve_host(ip(1)).is_ok() && pacer.reserve_host(ip(2)).is_ok());
        let again = pacer.reserve_host(ip(3)).expect_err("both buckets are owed a wait");
        assert!(again > Instant::now());
        assert!(pacer.reserve_host(ip(1)).expect("known") >= Instant::now() + Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pacer.reserve_host(ip(3)).is_ok(), "the second host's bucket is owed nothing any more");
        assert_eq!(lock(&pacer.inner).hosts.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn packets_of_the_kernel_count() {
        let pacer = Pacer::new(rate(10), rate(10));
        let start = Instant::now();
        assert_eq!(pacer.reserve_host(ip(1)), Ok(start));
        pacer.reserve();
        pacer.debit(ip(1), 2);
        assert_eq!(pacer.reserve_host(ip(1)).expect("known").duration_since(start).as_millis(), 300);
        assert_eq!(pacer.reserve().duration_since(start).as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_can_be_changed() {
        let pace = Pace::new(2.0);
        let start = Instant::now();
        for _ in 0..3 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis(), 1000);
        pace.set(f64::INFINITY);
        pace.set(0.0);
        pace.set(1000.0);
        pace.turn().await;
        let then = Instant::now();
        for _ in 0..1000 {
            pace.turn().await;
        }
        assert!((980..=1001).contains(&then.elapsed().as_millis()), "{:?}", then.elapsed());
    }
}
