//! How fast: token buckets in the form of the Generic Cell Rate Algorithm (ITU-T I.371), which keep one time each.

use model::Rate;
use std::{
    hash::{BuildHasher, RandomState},
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

    /// Takes a turn if there is one now.
    pub(crate) fn take(&self) -> bool {
        let mut job = lock(&self.0);
        let (now, interval) = (since(job.epoch), job.interval);
        let is_due = job.bucket.due(now, interval, FINE) <= now;
        if is_due {
            job.bucket.reserve(now, interval, FINE);
        }
        is_due
    }

    /// Until there is a turn to take.
    pub(crate) fn until_turn(&self) -> Duration {
        let job = lock(&self.0);
        let now = since(job.epoch);
        Duration::from_nanos(job.bucket.due(now, job.interval, FINE) - now)
    }

    /// Returns when it is the caller's turn.
    pub async fn turn(&self) {
        let at = {
            let mut job = lock(&self.0);
            let (now, interval) = (since(job.epoch), job.interval);
            job.epoch + Duration::from_nanos(together(job.bucket.reserve(now, interval, TOLERANCE), interval))
        };
        if at > Instant::now() {
            sleep_until(at).await;
        }
    }
}

/// A few turns that come one after the other at leisure, taken at the end of the moment they fall into: waking up costs more than asking.
fn together(at: u64, interval: u64) -> u64 {
    let moment = interval.saturating_mul(TOGETHER).min(MOMENT);
    // The grain of timers has them leave together anyway.
    if interval < TOLERANCE / TOGETHER { at } else { at.div_ceil(moment) * moment }
}

/// The ceilings: one bucket for everything, one for each prefix and one for each host that was probed just now.
#[derive(Debug)]
pub(crate) struct Pacer {
    epoch: Instant,
    inner: Mutex<Turns>,
}

/// The ceilings, held for as long as several turns are taken at once.
#[derive(Debug)]
pub(crate) struct Turns {
    global: Bucket,
    interval: u64,
    hosts: Table,
    host_interval: u64,
    prefixes: Table,
    prefix_interval: u64,
    key: u64,
    /// Who had to wait for his host, and who for his prefix, since that was looked at.
    waits: [u64; 2],
}

/// Where the buckets of a host and its prefix are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buckets {
    host: u64,
    prefix: u64,
}

/// Whether a packet may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// Its host or prefix has its turn then (nanoseconds since the epoch), and it is taken: only [`Turns::take_reserved`] is left to
    /// ask. Others need not wait.
    Later(u64),
    /// Its host or prefix is asked as fast as it may be for some time to come: it is to try again then.
    NotBefore(u64),
    /// Everybody must wait.
    NobodyBefore(u64),
}

/// Buckets at a time. One that is not owed any wait is the same as none, so only those used within the last moments need
/// theirs, and two that share one only wait for each other.
const HOSTS: usize = 1 << 18;
const PREFIXES: usize = 1 << 16;
/// As many hosts of one /24 (IPv4) or /56 (IPv6) as may be asked at full pace at a time.
const HOSTS_OF_A_PREFIX: u64 = model::HOSTS_OF_A_PREFIX as u64;
/// Unused turns are kept this long: the grain of timers must not cost throughput.
const TOLERANCE: u64 = 10_000_000;
/// The same where a thread of its own keeps the time.
const FINE: u64 = 500_000;
/// No firewall counts a handful as a flood.
const TOGETHER: u64 = 4;
/// However rare they are, nobody waits longer for the others.
const MOMENT: u64 = 100_000_000;
/// Turns are taken this long ahead: whoever else has a question to the host must not wait long behind them.
const AHEAD: u64 = 100_000_000;

impl Pacer {
    pub(crate) fn new(rate: Rate, rate_per_host: Rate) -> Self {
        let mut turns = Turns {
            global: Bucket::default(),
            interval: 0,
            hosts: Table::new(HOSTS),
            host_interval: 0,
            prefixes: Table::new(PREFIXES),
            prefix_interval: 0,
            key: RandomState::new().hash_one(0),
            waits: [0; 2],
        };
        turns.set(rate, rate_per_host);
        Self { epoch: Instant::now(), inner: Mutex::new(turns) }
    }

    pub(crate) fn set(&self, rate: Rate, rate_per_host: Rate) {
        lock(&self.inner).set(rate, rate_per_host);
    }

    /// Takes a turn in the bucket of everything: when it comes.
    pub(crate) fn reserve(&self) -> Instant {
        let now = since(self.epoch);
        let mut turns = lock(&self.inner);
        let interval = turns.interval;
        self.epoch + Duration::from_nanos(turns.global.reserve(now, interval, TOLERANCE))
    }

    /// Takes a turn in the buckets of a host and its prefix: when it comes.
    pub(crate) fn reserve_host(&self, ip: IpAddr) -> Instant {
        let now = since(self.epoch);
        let mut turns = lock(&self.inner);
        let (host, prefix) = turns.places(ip);
        let (interval, prefix_interval) = (turns.host_interval, turns.prefix_interval);
        let own = turns.hosts.bucket(host).reserve(now, interval, TOLERANCE);
        let shared = turns.prefixes.bucket(prefix).reserve(now, prefix_interval, TOLERANCE);
        self.epoch + Duration::from_nanos(own.max(shared))
    }

    /// Packets the kernel sent on its own behalf: repeated SYNs of a connection that nobody answered.
    pub(crate) fn debit(&self, ip: IpAddr, packets: u64) {
        let now = since(self.epoch);
        let mut turns = lock(&self.inner);
        let (host, prefix) = turns.places(ip);
        let (interval, host_interval, prefix_interval) = (turns.interval, turns.host_interval, turns.prefix_interval);
        turns.global.debit(now, interval, packets);
        turns.hosts.bucket(host).debit(now, host_interval, packets);
        turns.prefixes.bucket(prefix).debit(now, prefix_interval, packets);
    }

    /// To take several turns at once. Nobody else gets one meanwhile.
    pub(crate) fn turns(&self) -> MutexGuard<'_, Turns> {
        lock(&self.inner)
    }

    /// The ceiling: packets a second.
    pub(crate) fn per_second(&self) -> f64 {
        Duration::from_secs(1).div_duration_f64(Duration::from_nanos(lock(&self.inner).interval))
    }

    /// When the next turn of everything comes, in nanoseconds since the epoch.
    pub(crate) fn next_turn(&self) -> u64 {
        let now = since(self.epoch);
        let turns = lock(&self.inner);
        turns.global.due(now, turns.interval, FINE)
    }

    /// Nanoseconds since the epoch of [`Turn`].
    pub(crate) fn now(&self) -> u64 {
        since(self.epoch)
    }
}

impl Turns {
    fn set(&mut self, rate: Rate, rate_per_host: Rate) {
        self.interval = nanos(f64::from(rate.get()));
        self.host_interval = nanos(f64::from(rate_per_host.get()));
        self.prefix_interval = (self.host_interval / HOSTS_OF_A_PREFIX).max(1);
    }

    /// How many turns of everything there are to take now.
    pub(crate) fn at_hand(&self, now: u64) -> usize {
        let Some(ahead) = (now + FINE.saturating_sub(self.interval)).checked_sub(self.global.0.max(now)) else {
            return 0;
        };
        usize::try_from(ahead / self.interval.max(1)).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Where the buckets of an address are, for [`Turns::take_at`]. They are asked for from memory, which for one address after the
    /// other would be waited for again and again: whoever takes several turns looks all of them up first.
    pub(crate) fn look_up(&self, ip: IpAddr) -> Buckets {
        let (host, prefix) = self.places(ip);
        std::hint::black_box(self.hosts.at(host).0 ^ self.prefixes.at(prefix).0);
        Buckets { host, prefix }
    }

    /// Takes a turn for a packet to this address, or that of its host and prefix where they have to wait for it.
    #[cfg(test)]
    pub(crate) fn take(&mut self, ip: IpAddr, now: u64) -> Turn {
        self.take_at(self.look_up(ip), now)
    }

    /// The same for the address whose buckets were looked up.
    pub(crate) fn take_at(&mut self, Buckets { host, prefix }: Buckets, now: u64) -> Turn {
        let due = self.global.due(now, self.interval, FINE);
        if due > now {
            return Turn::NobodyBefore(due);
        }
        let (host, prefix) = (self.hosts.bucket(host), self.prefixes.bucket(prefix));
        let own = host.due(now, self.host_interval, TOLERANCE);
        let due = own.max(prefix.due(now, self.prefix_interval, TOLERANCE));
        if due > now {
            self.waits[usize::from(due > own)] += 1;
        }
        if due > now + AHEAD {
            return Turn::NotBefore(now + AHEAD / 2);
        }
        host.reserve(now, self.host_interval, TOLERANCE);
        prefix.reserve(now, self.prefix_interval, TOLERANCE);
        if due > now {
            return Turn::Later(due);
        }
        self.global.reserve(now, self.interval, FINE);
        Turn::Now
    }

    /// Whether more packets waited for prefixes than for hosts, since it was asked last.
    pub(crate) fn waits_by_prefix(&mut self) -> bool {
        let [by_host, by_prefix] = std::mem::take(&mut self.waits);
        by_prefix > by_host
    }

    /// Takes a turn for a packet whose host and prefix had theirs.
    pub(crate) fn take_reserved(&mut self, now: u64) -> Turn {
        let due = self.global.due(now, self.interval, FINE);
        if due > now {
            return Turn::NobodyBefore(due);
        }
        self.global.reserve(now, self.interval, FINE);
        Turn::Now
    }

    /// Where the buckets of an address and of its prefix are.
    fn places(&self, ip: IpAddr) -> (u64, u64) {
        let (host, prefix) = match ip {
            IpAddr::V4(ip) => (u64::from(u32::from(ip)), u64::from(u32::from(ip) >> 8)),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                let [high, low] =
                    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0));
                (spread(high) ^ low, high >> 8)
            }
        };
        (spread(host ^ self.key), spread(prefix ^ self.key))
    }
}

/// Buckets found by a hash; the table never grows.
#[derive(Debug)]
struct Table(Box<[Bucket]>);

impl Table {
    fn new(size: usize) -> Self {
        Self(vec![Bucket::default(); size.next_power_of_two()].into())
    }

    fn bucket(&mut self, place: u64) -> &mut Bucket {
        let index = self.index(place);
        &mut self.0[index]
    }

    fn at(&self, place: u64) -> Bucket {
        self.0[self.index(place)]
    }

    fn index(&self, place: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what counts")]
        let index = place as usize & (self.0.len() - 1);
        index
    }
}

/// The finalizer of `SplitMix64`.
pub(crate) fn spread(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Nanoseconds since the epoch at which the next turn would come if turns were evenly spaced.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    /// When the turn comes; not before `now`.
    fn reserve(&mut self, now: u64, interval: u64, tolerance: u64) -> u64 {
        let departure = self.due(now, interval, tolerance);
        self.0 = self.0.max(departure).saturating_add(interval);
        departure
    }

    /// When the turn would come.
    fn due(self, now: u64, interval: u64, tolerance: u64) -> u64 {
        now.max(self.0.saturating_sub(tolerance.saturating_sub(interval)))
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
        let turns = [1, 1, 2, 1].map(|last| pacer.reserve_host(ip(last)).duration_since(start).as_secs());
        assert_eq!(turns, [0, 1, 0, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_takes_what_ten_of_its_hosts_do() {
        let pacer = Pacer::new(rate(1_000_000), rate(100));
        let start = Instant::now();
        let near = (0..200).map(|last| pacer.reserve_host(ip(last))).max().expect("some");
        assert!((180..=200).contains(&near.duration_since(start).as_millis()), "{:?}", near - start);
        let far = pacer.reserve_host(IpAddr::from([198, 51, 100, 1]));
        assert_eq!(far, start);
        let sixth = |text: &str| pacer.reserve_host(text.parse().expect("an address"));
        let turns = (0..80).map(|last| sixth(&format!("2001:db8::{last}:1"))).max().expect("some");
        assert!((60..=80).contains(&turns.duration_since(start).as_millis()), "{:?}", turns - start);
        assert_eq!(sixth("2001:db8:0:100::1"), start);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_taken_at_once_are_the_same_turns() {
        let pacer = Pacer::new(rate(1_000), rate(100));
        assert_eq!(pacer.turns().take(ip(1), 0), Turn::Now);
        assert_eq!(pacer.turns().take(ip(1), 0), Turn::NobodyBefore(1_000_000));
        // What waits has its host's turns, one after the other.
        for n in 1..=3 {
            assert_eq!(pacer.turns().take(ip(1), n * 1_000_000), Turn::Later(n * 10_000_000), "{n}");
        }
        assert_eq!(pacer.turns().take_reserved(10_000_000), Turn::Now);
        assert_eq!(pacer.turns().take_reserved(10_000_000), Turn::NobodyBefore(11_000_000));
        assert_eq!(pacer.turns().take(ip(2), 11_000_000), Turn::Now);
        // Connections wait for them as well.
        let now = Instant::now();
        assert_eq!(pacer.reserve_host(ip(1)).duration_since(now).as_millis(), 40);
    }

    #[test]
    fn turns_are_not_taken_far_ahead() {
        let pacer = Pacer::new(rate(1_000_000), rate(100));
        assert_eq!(pacer.turns().take(ip(1), 0), Turn::Now);
        for n in 1..=10 {
            assert_eq!(pacer.turns().take(ip(1), 0), Turn::Later(n * 10_000_000));
        }
        assert_eq!(pacer.turns().take(ip(1), 0), Turn::NotBefore(50_000_000));
        assert_eq!(pacer.turns().take(ip(1), 20_000_000), Turn::Later(110_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn packets_of_the_kernel_count() {
        let pacer = Pacer::new(rate(10), rate(10));
        let start = Instant::now();
        assert_eq!(pacer.reserve_host(ip(1)), start);
        pacer.reserve();
        pacer.debit(ip(1), 2);
        assert_eq!(pacer.reserve_host(ip(1)).duration_since(start).as_millis(), 300);
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
