//! What packets ask, and what becomes of what they do not; none leaves here.

use super::*;
use crate::sweep::packets::{Manner, Pick, Walk};
use crate::{
    RawSettings,
    raw::{Order as _, Sink as _},
};
use config::Mode;
use wire::PortBlock;

/// A sweep by packets of an engine that has no way out, begun while this much was in scope.
async fn sweep_of(dialer: &Dialer, job: SweepJob) -> Arc<Sweep> {
    let ports = PortBlock::new(61_000, 256).expect("a block");
    let raw = dialer.engage(RawSettings { ports, ring: 0, wanted: Mode::Raw, recording: None }).expect("a thread");
    let (scope, now) = (dialer.scope().load(), dialer.clock().now());
    let space = scope.space_for(&job.addresses, &job.tcp, &job.udp, now).ok();
    let space = space.filter(|space| space.len() == job.addresses.iter().count() as u64 * u64::from(job.tcp.len()));
    let hosts = vec![true; job.addresses.iter().count()];
    let packets = Packets::new(raw.slot().await.expect("room"), hosts, space, &job);
    let (found, told) = (mpsc::channel(16).0, oneshot::channel().0);
    Sweep::new(dialer, job, found, CancellationToken::new(), Some(packets), told).0
}

fn walk(sweep: &Arc<Sweep>) -> Vec<u64> {
    let work = Arc::new(Work::All(sweep.order));
    let mut walk =
        Walk::new(sweep, work, (Pick::All, Manner::Ask), u64::MAX, std::iter::once(0..sweep.order.len()).collect());
    let mut asked: Vec<u64> = std::iter::from_fn(|| walk.next()).map(|target| target.number).collect();
    asked.sort_unstable();
    asked
}

#[tokio::test]
async fn a_neighbour_that_is_switched_off_is_absent_from_then_on() {
    let dialer = dialer(&["192.0.2.0/24"]);
    let sweep = sweep_of(&dialer, job(&["192.0.2.1-192.0.2.2"], 1..=4, [])).await;
    assert_eq!(walk(&sweep).len(), 8);
    let (ear, packets) = (Ear::of(&sweep), sweep.packets.as_ref().expect("by packets"));
    for number in [5, 6] {
        ear.unsent(number, Outcome::Silent);
    }
    assert_eq!(walk(&sweep), [0, 1, 2, 3], "nobody is left to ask");
    sweep.settle(packets);
    let outcome = sweep.progress.outcome(&sweep.addresses);
    assert_eq!((outcome.counts.local_errors, outcome.counts.absent, outcome.counts.probes), (0, 1, 8));
    assert!(outcome.incomplete.is_empty(), "that nobody is there is an answer");
}

#[tokio::test]
async fn what_leaves_the_scope_before_it_is_asked_is_never_silent() {
    let dialer = dialer(&["192.0.2.0/25"]);
    // Of two that were to be asked one is no target any more, and then neither is.
    let sweep = sweep_of(&dialer, job(&["192.0.2.127-192.0.2.128"], 1..=4, [])).await;
    assert_eq!(walk(&sweep), [0, 1, 2, 3]);
    sweep.settle(sweep.packets.as_ref().expect("by packets"));
    let outcome = sweep.progress.outcome(&sweep.addresses);
    assert_eq!(outcome.incomplete, [ip("192.0.2.128")]);
    assert_eq!((outcome.counts.probes, outcome.counts.not_probed, outcome.counts.local_errors), (4, 4, 0));
    let nothing = self::dialer(&["198.51.100.0/24"]);
    let sweep = sweep_of(&nothing, job(&["192.0.2.127-192.0.2.128"], 1..=4, [])).await;
    assert!(walk(&sweep).is_empty());
    sweep.settle(sweep.packets.as_ref().expect("by packets"));
    assert_eq!(sweep.progress.outcome(&sweep.addresses).counts.not_probed, 8);
}
