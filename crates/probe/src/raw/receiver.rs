//! The thread that hears.

use super::shared::Shared;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use wire::{Receive, WireError};

/// How long a silent link is waited for at a time; the engine's end is noticed as late.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two looks at the counters of what was lost here.
const LOOK: Duration = Duration::from_millis(50);
/// What came longer ago by the wall clock came by another clock than that of now.
const MOST_WAITED: Duration = Duration::from_secs(1);
/// After an error (the link is down), before the next try.
const AFTER_ERROR: Duration = Duration::from_millis(250);

/// Hears what comes in by one link until the engine ends, or `gone` says that nothing is asked by it any more. `open` begins anew: the
/// link may have been removed and another have its number, of which what was open says nothing.
pub(super) fn run(
    shared: &Arc<Shared>,
    mut receive: Box<dyn Receive>,
    mut open: impl FnMut() -> Result<Box<dyn Receive>, WireError>,
    gone: &AtomicBool,
) {
    let mut looked = Instant::now();
    let (mut dropped, mut is_deaf) = (0, false);
    while !shared.stopped.load(Relaxed) && !gone.load(Relaxed) {
        let heard = if is_deaf { open().map(|anew| (receive, dropped) = (anew, 0)) } else { Ok(()) };
        let heard = heard.and_then(|()| {
            receive.receive(PATIENCE, &mut |packet, arrival| {
                shared.take(packet, arrived(shared.since_start(), arrival.waited));
            })
        });
        match heard {
            Ok(()) => is_deaf = false,
            Err(error) => {
                if !std::mem::replace(&mut is_deaf, true) {
                    tracing::warn!(%error, "nothing is heard on this link for now");
                }
                // Whatever was asked meanwhile was not heard.
                shared.losses.note(looked, Instant::now());
                std::thread::sleep(AFTER_ERROR);
            }
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        let now = Instant::now();
        match receive.counters() {
            Ok(counters) => {
                if counters.dropped > dropped {
                    shared.counts.dropped.fetch_add(counters.dropped - dropped, Relaxed);
                    shared.losses.note(looked, now);
                }
                dropped = counters.dropped;
            }
            Err(error) => tracing::debug!(%error, "what was lost on this link is not known"),
        }
        looked = now;
    }
    // What is on its way is not heard.
    shared.losses.note(looked, Instant::now());
}

/// When a packet came, by the engine's own clock, of which cookies take their epoch. That it waited is known by the wall clock, which may
/// have been set meanwhile; and answers are proved by the epoch before, too, so that one that did wait loses nothing by it.
fn arrived(now: Duration, waited: Duration) -> Duration {
    if waited > MOST_WAITED { now } else { now.saturating_sub(waited) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use wire::{Arrival, Cookies, PortBlock, ReceiveCounters};

    /// Says that it listens, and fails where it is to.
    #[derive(Debug)]
    struct Ear {
        number: u32,
        listens: mpsc::Sender<u32>,
        fails: bool,
    }

    impl Receive for Ear {
        fn receive(&mut self, _: Duration, _: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
            // Nobody listens to it any more at the end.
            let _ = self.listens.send(self.number);
            if !self.fails {
                std::thread::sleep(Duration::from_millis(1));
                return Ok(());
            }
            let source = std::io::Error::from(std::io::ErrorKind::NetworkDown);
            Err(WireError::LinkDown { link: "eth0".to_owned(), source })
        }

        fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
            Ok(ReceiveCounters::default())
        }
    }

    #[test]
    fn a_clock_that_is_set_makes_no_answer_old() {
        let hour = Duration::from_hours(1);
        for (waited, expect) in [
            (Duration::ZERO, hour),
            (Duration::from_millis(10), Duration::from_millis(3_599_990)),
            (MOST_WAITED, Duration::from_secs(3_599)),
            (MOST_WAITED * 2, hour),
            (hour * 1_000, hour),
        ] {
            assert_eq!(arrived(hour, waited), expect, "{waited:?}");
        }
        assert_eq!(arrived(Duration::ZERO, MOST_WAITED), Duration::ZERO);
    }

    #[test]
    fn a_link_that_failed_is_heard_anew_and_one_that_is_gone_no_more() {
        const IN_TIME: Duration = Duration::from_secs(30);
        let ports = PortBlock::new(61_000, 256).expect("a block");
        let shared = Arc::new(Shared::new(Cookies::new([7; 16], ports)));
        let (gone, (listens, heard)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let begun = Instant::now();
        let (engine, is_gone) = (Arc::clone(&shared), Arc::clone(&gone));
        let hearing = std::thread::spawn(move || {
            let mut number = 1;
            let first = Ear { number, listens: listens.clone(), fails: true };
            let anew = || -> Result<Box<dyn Receive>, WireError> {
                number += 1;
                Ok(Box::new(Ear { number, listens: listens.clone(), fails: false }))
            };
            run(&engine, Box::new(first), anew, &is_gone);
        });
        let mut told = std::iter::from_fn(|| heard.recv_timeout(IN_TIME).ok());
        assert_eq!(told.next(), Some(1));
        // Once open, it stays open.
        assert_eq!(told.by_ref().take(20).filter(|number| *number != 2).count(), 0);
        assert!(shared.losses.any(begun, begun + Duration::from_millis(100)), "it was deaf");
        gone.store(true, Relaxed);
        let end = Instant::now() + IN_TIME;
        while heard.recv_timeout(IN_TIME) != Err(mpsc::RecvTimeoutError::Disconnected) {
            assert!(Instant::now() < end, "it ends");
        }
        hearing.join().expect("no panic");
    }
}
