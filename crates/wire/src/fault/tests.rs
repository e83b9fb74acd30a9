use super::*;
use std::time::Duration;

/// Takes at most so many packets a call, and keeps them.
#[derive(Debug, Default)]
struct Sink {
    most: usize,
    taken: Vec<u8>,
}

impl Transmit for Sink {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let firsts: Vec<u8> = batch.packets().take(self.most).map(|packet| packet[0]).collect();
        batch.advance(firsts.len());
        self.taken.extend_from_slice(&firsts);
        Ok(firsts.len())
    }

    fn counters(&self) -> TransmitCounters {
        TransmitCounters { sent: u64::try_from(self.taken.len()).expect("few"), ..TransmitCounters::default() }
    }
}

/// Sends 0 to 199 and gives what came through, with how many calls it took.
fn sent(most: usize, faults: TransmitFaults) -> (Vec<u8>, u32, FaultyTransmit<Sink>) {
    let mut way = FaultyTransmit::new(Sink { most, ..Sink::default() }, faults, 64, 8);
    let (mut batch, mut next, mut calls) = (Batch::new(64, 8), 0_u8, 0);
    while next < 200 || !batch.is_empty() {
        while next < 200 && batch.push(1, |place| place[0] = next) {
            next += 1;
        }
        let before = batch.len();
        match way.send(&mut batch) {
            Ok(taken) => assert_eq!(taken, before - batch.len()),
            Err(error) => assert!(matches!(error, WireError::LinkDown { .. }) && batch.len() == before, "{error}"),
        }
        calls += 1;
        assert!(calls < 10_000, "it does not end");
    }
    let taken = std::mem::take(&mut way.inner.taken);
    (taken, calls, way)
}

const HALF: u16 = 1 << 15;

#[test]
fn without_faults_everything_is_through_in_order() {
    let all: Vec<u8> = (0..200).collect();
    for most in [1, 7, 64] {
        let (taken, _, way) = sent(most, TransmitFaults::default());
        assert_eq!((taken, way.counters().sent), (all.clone(), 200));
    }
}

#[test]
fn what_is_not_lost_is_through_once_and_in_order() {
    for most in [3, 64] {
        let faults = TransmitFaults { lost: HALF, short: HALF, full: HALF, down: HALF / 2, seed: 5 };
        let (taken, calls, way) = sent(most, faults);
        assert!(taken.is_sorted() && taken.windows(2).all(|pair| pair[0] != pair[1]), "{taken:?}");
        assert!((60..140).contains(&taken.len()), "{}", taken.len());
        let counters = way.counters();
        // Lost is sent, as far as anybody can tell.
        assert_eq!(counters.sent, 200);
        assert!(counters.short > 0 && counters.refused > 0 && calls > 4);
        assert_eq!(sent(most, faults).0, taken, "the same seed, the same faults");
        assert_ne!(sent(most, TransmitFaults { seed: 6, ..faults }).0, taken);
    }
}

/// Hands over the same ten packets every time.
#[derive(Debug)]
struct Source;

impl Receive for Source {
    fn receive(&mut self, _: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        let arrival = Arrival { at: Duration::ZERO, waited: Duration::ZERO, length: 4, vlan: None, sender: None };
        (0..10).for_each(|number| each(&[number; 4], &arrival));
        Ok(())
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        Ok(ReceiveCounters { received: 1000, ..ReceiveCounters::default() })
    }
}

fn heard(way: &mut FaultyReceive<Source>) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    for _ in 0..100 {
        way.receive(Duration::ZERO, &mut |packet, _| heard.push(packet.to_vec())).expect("it works");
    }
    heard
}

#[test]
fn answers_are_lost_doubled_and_cut_in_their_share() {
    let none = ReceiveFaults::default();
    for (faults, count) in [
        (none, 1000..=1000),
        (ReceiveFaults { lost: HALF, ..none }, 400..=600),
        (ReceiveFaults { dropped: HALF, ..none }, 400..=600),
        (ReceiveFaults { twice: HALF, ..none }, 1400..=1600),
    ] {
        let mut way = FaultyReceive::new(Source, faults, Stall::default());
        let heard = heard(&mut way);
        assert!(count.contains(&heard.len()), "{faults:?}: {}", heard.len());
        let counters = way.counters().expect("it counts");
        let dropped = if faults.dropped > 0 { 1000 - u64::try_from(heard.len()).expect("few") } else { 0 };
        assert_eq!((counters.dropped, counters.received), (dropped, 1000 - dropped));
    }
    let mut way = FaultyReceive::new(Source, ReceiveFaults { cut: HALF, ..none }, Stall::default());
    let lengths: Vec<usize> = heard(&mut way).iter().map(Vec::len).collect();
    assert!(lengths.contains(&2) && lengths.contains(&4) && lengths.len() == 1000);
}

#[test]
fn a_stalled_way_hands_nothing_over_until_it_goes_on() {
    let stall = Stall::default();
    let mut way = FaultyReceive::new(Source, ReceiveFaults::default(), stall.clone());
    stall.set(true);
    assert_eq!(heard(&mut way).len(), 0);
    stall.set(false);
    assert_eq!(heard(&mut way).len(), 1000);
}
