//! What a million hosts cost: bytes per endpoint, unchanged observations per second, nanoseconds per changed one.
//!
//! `cargo run --release -p inventory --example scale [HOSTS [keys]]`: three endpoints a host; with `keys` every third host
//! proves itself with an SSH key of its own, which stands in its service and among its identities.

#![expect(clippy::print_stdout, reason = "the figures are its purpose")]
#![expect(clippy::disallowed_methods, reason = "wall time is what is measured")]

use inventory::{Approval, EndpointState, HostState, Identity, IdentityKey, Inventory, PortStatus, ServiceState};
use jiff::{SignedDuration, Timestamp};
use model::{
    ClosedReason, Coverage, Endpoint, HostKey, HostPolicy, HostSlice, Lane, OpenReason, Outcome, PassId, PassKind,
    PassRef, PortObservation, Service, Sha256, SshKey, Transport, Vantage,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

const PORTS: [u16; 3] = [22, 80, 443];
const KINDS: u32 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let hosts: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let keys = arguments.next().as_deref() == Some("keys");
    let world = World::new(keys);

    let before = resident()?;
    let began = Instant::now();
    let mut restoration = inventory::Restoration::new(world.vantage.clone());
    restoration.extend((0..hosts).map(|number| world.host(number)));
    let mut inventory = restoration.finish(Vec::new(), Vec::new(), Vec::new());
    let endpoints = inventory.counts().endpoints;
    println!("{hosts} hosts with {endpoints} endpoints built in {:.1?}", began.elapsed());
    let used = resident()?.saturating_sub(before);
    println!("resident: {} MiB, {} bytes per endpoint", used >> 20, used / endpoints.max(1));

    // After a restart every host is met once the long way.
    let began = cpu()?;
    for number in 0..hosts {
        let slice = world.slice(number, 300);
        let change = inventory.apply(&slice, &world.policy, slice.at);
        inventory.install(&change);
    }
    per("host taken the long way (plan and install)", began, hosts)?;
    let used = resident()?.saturating_sub(before);
    println!("resident: {} MiB, {} bytes per endpoint", used >> 20, used / endpoints.max(1));

    let ordered: Vec<u32> = (0..hosts).collect();
    unchanged(&mut inventory, &world, "in address order", &ordered, 600)?;
    let mut random = ordered;
    shuffle(&mut random);
    unchanged(&mut inventory, &world, "in random order", &random, 900)?;
    println!("{} hosts wait to be written", inventory.touched());

    let changed: Vec<u32> = random.iter().copied().take(100_000).collect();
    let slices: Vec<HostSlice> = changed.iter().map(|&number| world.refusal(number)).collect();
    let began = cpu()?;
    for slice in &slices {
        let change = inventory.apply(slice, &world.policy, slice.at);
        inventory.install(&change);
    }
    per("changed slice (plan and install, in random order)", began, u32::try_from(slices.len())?)?;

    let began = cpu()?;
    let mut taken = 0;
    while taken < 100_000.min(hosts) {
        taken += u32::try_from(inventory.take_touched(256).len())?.max(1);
    }
    per("touched host handed out to be written", began, taken)?;
    let began = Instant::now();
    let counts = inventory.counts();
    println!("counts: {:?} in {:?}", counts, began.elapsed());
    let began = Instant::now();
    println!("pending: {} questions in {:.1?}", inventory.pending().len(), began.elapsed());
    let began = Instant::now();
    println!("walked: {} hosts, unpacked, in {:.1?}", inventory.hosts().count(), began.elapsed());
    Ok(())
}

/// Times slices that are made beforehand, a piece at a time so that they need not all be in memory.
fn unchanged(
    inventory: &mut Inventory,
    world: &World,
    how: &str,
    order: &[u32],
    second: i64,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut spent, mut busy, mut observations) = (Duration::ZERO, Duration::ZERO, 0_u32);
    for piece in order.chunks(10_000) {
        let slices: Vec<HostSlice> = piece.iter().map(|&number| world.slice(number, second)).collect();
        let (began, busy_before) = (Instant::now(), cpu()?);
        for slice in &slices {
            assert!(inventory.note_unchanged(slice, &world.policy, slice.at), "a known host shows what it showed");
        }
        spent += began.elapsed();
        busy += cpu()?.saturating_sub(busy_before);
        observations += u32::try_from(slices.iter().map(|slice| slice.ports.len()).sum::<usize>())?;
    }
    let rate = |time: Duration| f64::from(observations) / time.as_secs_f64();
    println!(
        "unchanged observations {how}: {:.0} per second of a core ({observations} in {busy:.2?}), {:.0}/s by the clock",
        rate(busy),
        rate(spent)
    );
    Ok(())
}

/// `began` on the processor, see [`cpu`].
fn per(what: &str, began: Duration, count: u32) -> Result<(), Box<dyn std::error::Error>> {
    let busy = cpu()?.saturating_sub(began);
    println!("{:.0} ns of a core per {what}", busy.as_secs_f64() * 1e9 / f64::from(count.max(1)));
    Ok(())
}

/// Time this thread has spent on a processor (`proc(5)`, `schedstat`, first field in nanoseconds): others are at work too.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

struct World {
    vantage: Vantage,
    policy: HostPolicy,
    pass: PassRef,
    keys: bool,
    start: Timestamp,
    kinds: Vec<Service>,
}

impl World {
    fn new(keys: bool) -> Self {
        let kinds = (0..KINDS).map(|kind| {
            let (name, product) = [("ssh", "OpenSSH"), ("http", "nginx"), ("http", "Apache httpd")][kind as usize % 3];
            let version = format!("{}.{}.{}", kind % 9 + 1, kind % 30, kind);
            Service {
                name: name.to_owned(),
                vendor: Some("example".to_owned()),
                product: Some(product.to_owned()),
                cpe: vec![format!("cpe:2.3:a:example:{}:{version}:*:*:*:*:*:*:*", product.to_lowercase())],
                banner: Some(format!("{product} {version} ready")),
                version: Some(version),
                confidence: 0.9,
                ..Service::default()
            }
        });
        Self {
            vantage: Vantage::from("scan1"),
            policy: HostPolicy {
                assets: Arc::from([Arc::from("dmz")]),
                tags: Arc::from([Arc::from("production"), Arc::from("internet-facing")]),
                value: 5,
                ..HostPolicy::default()
            },
            pass: PassRef {
                id: PassId(model::derive_id(Timestamp::UNIX_EPOCH, "pass", &1)),
                profile: "dmz".into(),
                lane: Lane::Known,
                kind: PassKind::Sweep,
            },
            keys,
            start: Timestamp::from_second(1_795_255_500).unwrap_or_default(),
            kinds: kinds.collect(),
        }
    }

    /// A few nanoseconds after a full second, as times are.
    fn time(&self, second: i64, number: u32) -> Timestamp {
        let offset = SignedDuration::new(second, i32::try_from(number % 1_000_000_000).unwrap_or_default());
        self.start.checked_add(offset).unwrap_or(self.start)
    }

    /// As a store would give it back: nothing in it is shared with another host.
    fn host(&self, number: u32) -> HostState {
        let at = self.time(0, number);
        let key = (self.keys && number.is_multiple_of(3)).then(|| {
            let mut digest = [0x5a; 32];
            digest[..4].copy_from_slice(&number.to_be_bytes());
            SshKey { algorithm: "ssh-ed25519".to_owned(), sha256: Sha256(digest) }
        });
        let endpoint = |(index, port): (usize, u16)| {
            let kind = (number.wrapping_mul(7) + u32::try_from(index).unwrap_or_default()) % KINDS;
            let mut service = self.kinds[kind as usize].clone();
            service.ssh_key = key.clone().filter(|_| port == 22);
            EndpointState {
                transport: Transport::Tcp,
                port,
                status: PortStatus::Open,
                reason: "connected".to_owned(),
                first_seen: at,
                last_seen: at,
                changed_at: at,
                last_observed: at,
                pending: None,
                recovered: 0,
                learnt: true,
                services: vec![ServiceState {
                    name: None,
                    learnt: false,
                    service: Some(Arc::new(service)),
                    tls: None,
                    first_seen: at,
                    last_seen: at,
                    changed_at: at,
                    last_observed: at,
                    pending_service: None,
                    pending_certificate: None,
                    pending_key: None,
                    pending_trust: None,
                }],
            }
        };
        let host_key = HostKey { vantage: self.vantage.clone(), ip: address(number) };
        HostState {
            up: true,
            last_seen: at,
            assets: self.policy.assets.iter().map(|word| Arc::from(&**word)).collect(),
            tags: self.policy.tags.iter().map(|word| Arc::from(&**word)).collect(),
            value: self.policy.value,
            endpoints: PORTS.into_iter().enumerate().map(endpoint).collect(),
            approved: number.is_multiple_of(2).then(|| Approval { at: self.start, by: "hosts.csv".to_owned() }),
            identities: key
                .map(|key| Identity { key: IdentityKey::Ssh(key), since: at, last: at })
                .into_iter()
                .collect(),
            ..HostState::new(host_key, at)
        }
    }

    fn slice(&self, number: u32, second: i64) -> HostSlice {
        self.slice_of(number, second, Outcome::Open(OpenReason::Connected))
    }

    /// The last of its endpoints refuses.
    fn refusal(&self, number: u32) -> HostSlice {
        self.slice_of(number, 1_200, Outcome::Closed(ClosedReason::Refused))
    }

    fn slice_of(&self, number: u32, second: i64, last: Outcome) -> HostSlice {
        let (ip, at) = (address(number), self.time(second, number));
        let seen = |port| PortObservation {
            endpoint: Endpoint::tcp(ip, port),
            outcome: if port == 443 { last } else { Outcome::Open(OpenReason::Connected) },
            at,
            attempts: 1,
            refused: 0,
            rtt_us: Some(300),
        };
        HostSlice {
            vantage: self.vantage.clone(),
            ip,
            pass: self.pass.clone(),
            at,
            covered: Coverage::default(),
            ports: PORTS.map(seen).to_vec(),
            services: Vec::new(),
            audits: Vec::new(),
            names: Vec::new(),
            mac: None,
            presence: None,
        }
    }
}

/// Of 10.0.0.0/8: nothing is sent.
fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

/// Resident bytes of this process (`proc(5)`, `statm`, second field in pages of 4 KiB).
fn resident() -> Result<usize, Box<dyn std::error::Error>> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split_whitespace().nth(1).ok_or("/proc/self/statm has no second field")?.parse()?;
    Ok(pages * 4_096)
}

fn shuffle(list: &mut [u32]) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..list.len()).rev() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let other = usize::try_from(seed % (last as u64 + 1)).unwrap_or_default();
        list.swap(last, other);
    }
}
