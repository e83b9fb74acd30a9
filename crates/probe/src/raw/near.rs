//! Targets on a link of ours: first it is asked whether anybody is there at all, by ARP or neighbour discovery of our own, and only
//! who answers is asked anything else.

use super::{Raw, neighbours::FRESH, paths::Path};
use crate::Dialer;
use model::{Endpoint, NotProbed, Outcome};
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::{NeighbourQuestions, NextHop, WireError};

/// Asks the neighbours on one link, from one address of ours.
#[derive(Debug)]
pub(super) struct Near {
    source: IpAddr,
    questions: NeighbourQuestions,
}

/// What came of asking who is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meeting {
    /// Nobody answered for these, ascending.
    pub(crate) absent: Vec<IpAddr>,
    /// Questions that were sent.
    pub(crate) asked: u64,
}

/// Questions to an address that nobody answers for, and how far apart they are: the line may lose one, and a machine that sleeps
/// needs a second to wake.
const ATTEMPTS: u8 = 3;
const SPACING: Duration = Duration::from_millis(600);
/// Between two looks at who has answered.
const LOOK: Duration = Duration::from_millis(10);

impl Near {
    /// False where the question could not be sent.
    pub(super) fn ask(&self, ip: IpAddr) -> bool {
        let asked = self.questions.ask(self.source, ip);
        if let Err(error) = &asked {
            tracing::debug!(%error, %ip, "a neighbour could not be asked for");
        }
        asked.is_ok()
    }
}

impl Raw {
    /// Who asks for the neighbours of a path, where it leads to such.
    pub(super) fn near_by(&self, path: &Path) -> Result<Option<Arc<Near>>, WireError> {
        if path.hop != NextHop::Neighbours {
            return Ok(None);
        }
        let mut all = self.0.near.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, near)) = all.iter().find(|(known, _)| known == path) {
            return Ok(Some(Arc::clone(near)));
        }
        let near = Arc::new(Near { source: path.source, questions: NeighbourQuestions::open(&path.link)? });
        all.push((path.clone(), Arc::clone(&near)));
        Ok(Some(near))
    }

    fn has_neighbours(&self) -> bool {
        !self.0.near.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn near(&self, ip: IpAddr) -> Option<Arc<Near>> {
        let paths = self.0.paths.load();
        let path = paths.all().get(paths.place(ip)?)?;
        let all = self.0.near.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(known, _)| known == path).map(|(_, near)| Arc::clone(near))
    }

    /// Whether a neighbour has answered of late.
    pub(crate) fn is_met(&self, ip: IpAddr) -> bool {
        self.0.shared.neighbours.is_fresh(ip, Instant::now())
    }
}

/// An address that is asked for.
struct Missing {
    ip: IpAddr,
    near: Arc<Near>,
    /// Every question left; else nothing is known.
    was_asked: bool,
}

impl Dialer {
    /// Asks who is there of those addresses that are on a link, and have not answered of late. At the dialer's pace; ends early when
    /// it is halted.
    pub(crate) async fn meet(&self, raw: &Raw, addresses: impl IntoIterator<Item = IpAddr>) -> Meeting {
        let mut meeting = Meeting::default();
        if !raw.has_neighbours() {
            return meeting;
        }
        let missing = |ip| raw.near(ip).filter(|_| !raw.is_met(ip)).map(|near| Missing { ip, near, was_asked: true });
        let mut missing: Vec<Missing> = addresses.into_iter().filter_map(missing).collect();
        for _ in 0..ATTEMPTS {
            if missing.is_empty() {
                break;
            }
            for one in &mut missing {
                match self.turn_of_packet(Endpoint::tcp(one.ip, 1)).await {
                    Ok(()) => {
                        let has_room = raw.0.shared.neighbours.asked(one.ip, Instant::now());
                        let asked = has_room && one.near.ask(one.ip);
                        one.was_asked &= asked;
                        meeting.asked += u64::from(asked);
                    }
                    Err(Outcome::NotProbed(NotProbed::Halted)) => return meeting,
                    Err(_) => one.was_asked = false,
                }
            }
            let end = Instant::now() + SPACING;
            while Instant::now() < end && !missing.is_empty() {
                sleep(LOOK).await;
                missing.retain(|one| !raw.is_met(one.ip));
            }
        }
        meeting.absent = missing.into_iter().filter(|one| one.was_asked).map(|one| one.ip).collect();
        meeting.absent.sort_unstable();
        meeting
    }
}

const _: () = assert!(SPACING.as_millis() * (ATTEMPTS as u128) < FRESH.as_millis());
