//! What is handed to a way out that fails, and whom the guard stops there, whatever was put into the batch.

use super::*;
use model::{AddressSet, Clock, SystemClock};
use proptest::prelude::*;
use scope::{AssetScope, Scope, ScopeHandle};
use std::sync::{Arc, Mutex};
use wire::{FaultyTransmit, Link, LinkKind, NextHop, TransmitCounters, TransmitFaults};

/// A way out that takes so many at a time, and remembers to whom they went and from which port they came.
#[derive(Debug, Clone)]
struct Taken {
    at_a_time: usize,
    packets: Arc<Mutex<Vec<(IpAddr, u16)>>>,
}

impl Transmit for Taken {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let count = batch.len().min(self.at_a_time);
        let read = |packet: &[u8]| {
            let to: [u8; 4] = packet[16..20].try_into().expect("IPv4");
            (IpAddr::from(to), u16::from_be_bytes([packet[20], packet[21]]))
        };
        self.packets.lock().expect("whole").extend(batch.packets().take(count).map(read));
        for _ in 0..count {
            assert!(batch.skip());
        }
        Ok(count)
    }

    fn counters(&self) -> TransmitCounters {
        TransmitCounters::default()
    }
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// All of 192.0.2.0/24 but its upper half.
fn scope() -> ScopeHandle {
    let targets = vec!["192.0.2.0/24".parse().expect("a target")];
    let exclude = "192.0.2.128/25".parse::<model::Target>().expect("a target").range();
    let asset = AssetScope { name: "lab".into(), targets, until: None };
    ScopeHandle::new(Scope::new(vec![asset], exclude.into_iter().collect::<AddressSet>()))
}

/// What became of packets to these hosts, numbered by their source ports: sent, not sent and why, and what came through.
struct Fate {
    sent: Vec<u64>,
    unsent: Vec<(u64, Outcome)>,
    through: Vec<(IpAddr, u16)>,
}

fn send(hosts: &[u8], faults: TransmitFaults, at_a_time: usize, has_second: bool) -> Fate {
    let taken = Taken { at_a_time, packets: Arc::default() };
    let way = || Box::new(FaultyTransmit::new(taken.clone(), faults, Batch::PACKETS, SynTemplate::LONGEST));
    let link = Link { index: 7, name: "eth0".to_owned(), kind: LinkKind::NoLinkLayer, mtu: 1500 };
    let path = Path { link, source: [198, 51, 100, 1].into(), hop: NextHop::Point };
    let mut exit = Exit::new(&path, way());
    if has_second {
        exit = exit.with_second(way());
    }
    let (scope, mut sent, mut unsent) = (scope(), Vec::new(), Vec::new());
    let number = |entry: &Entry| match entry.owner {
        Owner::Volley { number, .. } => number,
        other => panic!("nobody's: {other:?}"),
    };
    for (place, chunk) in hosts.chunks(Batch::PACKETS).enumerate() {
        for (offset, host) in chunk.iter().enumerate() {
            let number = place * Batch::PACKETS + offset;
            let entry = Entry {
                endpoint: Endpoint::tcp(address(*host), 443),
                owner: Owner::Volley { id: 1, number: number as u64 },
            };
            let source_port = u16::try_from(number + 1).expect("few");
            exit.add(entry, Mark { source_port, sequence: 1, ip_id: 1 }, 1);
        }
        let guard = scope.last_guard(SystemClock.now());
        exit.flush(&guard, |entry| sent.push(number(entry)), |entry, why| unsent.push((number(entry), why)));
    }
    exit.settle(|entry| sent.push(number(entry)), |entry, why| unsent.push((number(entry), why)));
    let through = taken.packets.lock().expect("whole").clone();
    Fate { sent, unsent, through }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn of_every_packet_one_thing_is_told_and_it_is_true(
        hosts in proptest::collection::vec(any::<u8>(), 0..3 * Batch::PACKETS),
        (short, full, down) in (0_u16..30_000, 0_u16..20_000, 0_u16..6_000),
        seed: u64,
        at_a_time in 1_usize..100,
        has_second: bool,
    ) {
        let faults = TransmitFaults { lost: 0, short, full, down, seed };
        let Fate { mut sent, unsent, mut through } = send(&hosts, faults, at_a_time, has_second);
        // Nobody is told of twice, and nobody is forgotten.
        let mut told: Vec<u64> = sent.iter().copied().chain(unsent.iter().map(|(number, _)| *number)).collect();
        told.sort_unstable();
        prop_assert_eq!(told, (0..hosts.len() as u64).collect::<Vec<_>>());
        // What is told to have left has left, and nothing else.
        sent.sort_unstable();
        let place = |number: u64| usize::try_from(number).expect("few");
        let mut expected: Vec<(IpAddr, u16)> = sent
            .iter()
            .map(|number| (address(hosts[place(*number)]), u16::try_from(number + 1).expect("few")))
            .collect();
        expected.sort_unstable();
        through.sort_unstable();
        prop_assert_eq!(&through, &expected);
        // Whoever is excluded gets no packet, although it lay in the batch.
        prop_assert!(through.iter().all(|(to, _)| *to < address(128)));
        for (number, why) in unsent {
            let is_excluded = hosts[place(number)] >= 128;
            let is_scope = why == Outcome::NotProbed(NotProbed::OutOfScope);
            prop_assert_eq!(is_excluded, is_scope, "{} {:?}", number, why);
            prop_assert!(is_scope || matches!(why, Outcome::LocalError(_)));
        }
    }
}

#[test]
fn a_queue_that_stays_full_is_trouble_of_our_own() {
    let faults = TransmitFaults { full: u16::MAX, ..TransmitFaults::default() };
    let Fate { sent, unsent, through } = send(&[1, 2, 200], faults, 64, false);
    assert!(sent.is_empty() && through.is_empty(), "{sent:?} {through:?}");
    let why: Vec<Outcome> = unsent.into_iter().map(|(_, why)| why).collect();
    let full = Outcome::LocalError(LocalErrorKind::Buffers);
    assert_eq!(why, [Outcome::NotProbed(NotProbed::OutOfScope), full, full]);
}
