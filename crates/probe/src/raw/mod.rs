//! Packets of our own making: SYNs and datagrams that nothing is remembered of, and answers that prove themselves.
//!
//! One thread sends ([`transmitter`]) and one a link hears ([`receiver`]). What is to be sent comes as volleys ([`volley`]),
//! from sweeps, or as single questions; an answer carries the slot of whoever asked and the number of the attempt it answers in its
//! port, and nobody is believed whose sequence number is not the one we sent (`wire`'s cookies), or who by UDP does not repeat
//! what the question asks to be repeated ([`proof`]).
//!
//! The pace is that of the dialer's ceilings, of which connections have their share, and below them what the way carries:
//! [`rate`] lowers it when [`canary`] questions go missing. What this machine itself lost is asked again ([`losses`]).

mod access;
mod allowance;
mod asides;
mod canary;
mod exit;
mod lasting;
mod losses;
mod near;
mod neighbours;
mod paths;
mod proof;
mod questions;
mod rate;
mod receiver;
mod shared;
mod side;
mod transmitter;
mod volley;
mod watched;

pub use access::{RawAccess, RawError};
pub use asides::Aside;
pub use rate::Limiting;
pub use volley::Knock;
pub(crate) use volley::{Answer, Order, Report, Sink, Stretch, Target};

use crate::{
    dialer::{Pace, Pacer},
    place,
    self_probe::Links,
};
use arc_swap::ArcSwap;
use config::Mode;
use exit::Exit;
use model::{Clock, Endpoint, LocalErrorKind, Outcome, Transport};
use near::Near;
use paths::{Path, Paths};
use questions::Question;
use rate::Verdicts;
use scope::{InScope, ScopeHandle};
use shared::{QUESTIONS, SLOTS, Shared};
use side::Side;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use transmitter::{Command, Transmitter, Volley};
use watched::Watched;
use wire::{Cookies, Filter, PortBlock, Recording, RingReceive, WireError};

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct RawSettings {
    /// Where questions leave from.
    pub ports: PortBlock,
    /// Memory of the ring that each link's answers are heard by, in bytes.
    pub ring: usize,
    /// `Raw`: used until they are seen to be dropped. `Auto`: once they are seen to be answered.
    pub wanted: Mode,
    /// Every packet is written down there.
    pub recording: Option<Recording>,
}

impl RawSettings {
    /// Enough for half a second of answers at a million packets a second.
    pub const RING: usize = 16 << 20;
}

/// Asks by raw packets. Cheap to clone; clones share everything, and the threads end with the last of them.
#[derive(Debug, Clone)]
pub struct Raw(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    settings: RawSettings,
    watched: Watched,
    commands: mpsc::Sender<Command>,
    paths: ArcSwap<Paths>,
    /// How packets fare on them, and which of them are used.
    links: Links,
    /// Of the paths to neighbours: who asks for them.
    near: Mutex<Vec<(Path, Arc<Near>)>>,
    /// Links that are heard, by their numbers, and what tells each one's thread that it is of no use any more.
    heard: Mutex<BTreeMap<u32, Arc<AtomicBool>>>,
    free: Mutex<Vec<u8>>,
    room: Arc<Semaphore>,
    volleys: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
    }
}

impl Inner {
    /// Links that nothing leaves by any more are not heard either: one that is made anew has another number each time.
    fn hear_only(&self, used: &Paths) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|index, gone| {
            let is_used = used.all().iter().any(|path| path.link.index == *index);
            gone.store(!is_used, Relaxed);
            is_used
        });
    }
}

/// What the engine has done and how it goes, for the metrics and the status.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawCounters {
    pub sent: u64,
    /// Kept back for want of something of our own.
    pub unsent: u64,
    /// Answers that proved themselves.
    pub heard: u64,
    /// What looked like answers and was not.
    pub forged: u64,
    /// Lost between the kernel and us; what was asked then is asked again.
    pub dropped: u64,
    /// Packets a second that the way allows now.
    pub rate: f64,
    pub limiting: Limiting,
    /// Canaries asked, and those of them that stayed silent.
    pub canaries: u64,
    pub canaries_missed: u64,
}

/// A place for a sweep's answers. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    engine: Raw,
    number: u8,
    _room: OwnedSemaphorePermit,
}

/// Cancels a volley that nobody waits for any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The attempt that knocks are; questions are counted from 1.
pub(crate) const KNOCKS: u8 = 0;
/// Linux repeats a SYN after one second, and again after two more; but an answer, too. Where that was lost it need not be asked for: it
/// comes by itself a second after the first, and so much sooner than the question is repeated that long ways are no matter.
const REPEATS: [Duration; 2] = [Duration::from_millis(1_400), Duration::from_secs(3)];

impl Raw {
    /// Starts the threads. Nothing is sent before there are ways: see [`Raw::follow`].
    pub(crate) fn start(
        scope: ScopeHandle,
        clock: Arc<dyn Clock>,
        pacer: Arc<Pacer>,
        settings: RawSettings,
    ) -> io::Result<Self> {
        let mut master = [0; 16];
        rustix::rand::getrandom(&mut master, rustix::rand::GetRandomFlags::empty())?;
        let shared = Arc::new(Shared::new(Cookies::new(master, settings.ports)));
        let (commands, orders) = mpsc::channel();
        let watched = Watched { recording: settings.recording.clone(), clock: Arc::clone(&clock) };
        let links = Links::new(settings.wanted);
        let transmitter = Transmitter { shared: Arc::clone(&shared), pacer, scope, clock, commands: orders };
        thread::Builder::new().name("transmit".to_owned()).spawn(move || transmitter::run(transmitter))?;
        let sweeps: Vec<u8> = (1..15).collect();
        Ok(Self(Arc::new(Inner {
            shared,
            settings,
            watched,
            commands,
            paths: ArcSwap::default(),
            links,
            near: Mutex::default(),
            heard: Mutex::default(),
            room: Arc::new(Semaphore::new(sweeps.len())),
            free: Mutex::new(sweeps),
            volleys: AtomicU64::new(0),
        })))
    }

    /// Packets leave by these ways from now on. Those whose link cannot be used are left out, and said why.
    pub(crate) fn follow(&self, ways: &place::Ways) -> Vec<WireError> {
        let mut errors = Vec::new();
        let mut exits = Vec::new();
        let mut sides = Vec::new();
        let usable = Paths::from(ways).filter(|path| match self.hear(path).and_then(|()| self.open(path)) {
            Ok((exit, side)) => {
                exits.push(exit);
                sides.push(side);
                true
            }
            Err(error) => {
                errors.push(error);
                false
            }
        });
        self.0.near.lock().unwrap_or_else(PoisonError::into_inner).retain(|(path, _)| usable.all().contains(path));
        self.0.hear_only(&usable);
        let usable = Arc::new(usable);
        self.0.paths.store(Arc::clone(&usable));
        let links = usable.all().iter().map(|path| (path.link.index, path.link.name.clone()));
        self.0.links.set(links, errors.first().map(ToString::to_string), Instant::now());
        self.tell(Command::Paths(usable, exits, sides));
        errors
    }

    /// A way out for SYNs, by two threads where there are processors for them, and one for everything else.
    fn open(&self, path: &Path) -> Result<(Exit, Side), WireError> {
        let transmit = || wire::open_transmit(&path.link, path.hop).map(|transmit| self.0.watched.outward(transmit));
        let is_alone = thread::available_parallelism().is_ok_and(|processors| processors.get() < 2);
        let exit = Exit::new(path, transmit()?);
        let exit = if is_alone { exit } else { exit.with_second(transmit()?) };
        Ok((exit, Side::new(path, transmit()?, self.near_by(path)?)))
    }

    /// Listens on the path's link, where that is not done yet.
    fn hear(&self, path: &Path) -> Result<(), WireError> {
        let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.contains_key(&path.link.index) {
            return Ok(());
        }
        let (ports, ring) = (self.0.settings.ports, self.0.settings.ring);
        let (watched, link) = (self.0.watched.clone(), path.link.clone());
        let open = move || {
            let receive = RingReceive::open(&link, &Filter { ports }, ring)?;
            Ok(watched.inward(Box::new(receive)))
        };
        let (receive, gone) = (open()?, Arc::new(AtomicBool::new(false)));
        let (shared, is_gone) = (Arc::clone(&self.0.shared), Arc::clone(&gone));
        let thread = thread::Builder::new().name(format!("hear-{}", path.link.name));
        thread.spawn(move || receiver::run(&shared, receive, open, &is_gone)).map_err(|source| WireError::Open {
            link: path.link.name.clone(),
            step: "start a thread",
            source,
        })?;
        heard.insert(path.link.index, gone);
        Ok(())
    }

    /// Whether there is a way to an address, by a link that packets are used on.
    pub fn reaches(&self, ip: IpAddr) -> bool {
        self.link_to(ip).is_some_and(|link| self.0.links.uses(link))
    }

    /// The link an address is reached by, whether packets are used on it or not.
    pub(crate) fn link_to(&self, ip: IpAddr) -> Option<u32> {
        let paths = self.0.paths.load();
        paths.all().get(paths.place(ip)?).map(|path| path.link.index)
    }

    pub(crate) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(crate) fn reaches_anything(&self) -> bool {
        !self.0.paths.load().all().is_empty()
    }

    pub fn counters(&self) -> RawCounters {
        let (counts, state) = (&self.0.shared.counts, self.0.shared.state());
        let Verdicts { asked, missed } = state.canaries;
        RawCounters {
            sent: counts.sent.load(Relaxed),
            unsent: counts.unsent.load(Relaxed),
            heard: counts.heard.load(Relaxed),
            forged: counts.forged.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            rate: state.rate,
            limiting: state.limiting,
            canaries: asked,
            canaries_missed: missed,
        }
    }

    /// Leaves these hosts alone in what it asks by itself, and gives what that was since the last time.
    pub fn asides(&self, spared: Arc<BTreeSet<IpAddr>>) -> Vec<Aside> {
        self.0.shared.asides.spare(spared);
        self.0.shared.asides.take()
    }

    /// Nothing leaves any more, or it may again.
    pub(crate) fn halt(&self, halted: bool) {
        self.0.shared.halted.store(halted, Relaxed);
        self.tell(Command::Wake);
    }

    /// Asks one endpoint, whose turn it is, and by TCP again as Linux repeats a SYN; `repeated` hears of each time. None: nobody
    /// answered in time. `datagram`: what to ask by UDP.
    pub(crate) async fn question(
        &self,
        endpoint: InScope<Endpoint>,
        datagram: Option<Vec<u8>>,
        timeout: Duration,
        mut repeated: impl FnMut(),
    ) -> Option<Answer> {
        let shared = &self.0.shared;
        let mut waiting = shared.questions.wait_for(endpoint.get());
        let begun = tokio::time::Instant::now();
        let end = begun + timeout;
        let repeats: &[Duration] = if endpoint.get().transport == Transport::Tcp { &REPEATS } else { &[] };
        let mut repeats = repeats.iter().map(|after| begun + *after).filter(|at| *at < end);
        let datagram: Arc<[u8]> = datagram.unwrap_or_default().into();
        loop {
            shared.questions.push(Question { endpoint, datagram: Arc::clone(&datagram) });
            if !self.tell(Command::Wake) {
                shared.questions.failed(endpoint.get(), Outcome::LocalError(LocalErrorKind::Other));
            }
            let until = repeats.next();
            match tokio::time::timeout_at(until.unwrap_or(end), &mut waiting.answer).await {
                Ok(answer) => return answer.ok(),
                Err(_) if until.is_none() => return None,
                Err(_) => repeated(),
            }
        }
    }

    /// Waits for a place for answers.
    pub(crate) async fn slot(&self) -> Option<Slot> {
        let room = Arc::clone(&self.0.room).acquire_owned().await.ok()?;
        let number = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        debug_assert!(number != QUESTIONS && usize::from(number) < SLOTS);
        Some(Slot { engine: self.clone(), number, _room: room })
    }

    /// How long answers are waited for, by what the slowest of them took.
    pub(crate) fn patience(&self) -> Duration {
        self.0.shared.canaries.wait()
    }

    /// What became of canaries at a speed that the way carries, where it carries less than is wanted; None where it carries all.
    pub(crate) fn seen_on_a_narrow_way(&self) -> Option<model::Loss> {
        let state = self.0.shared.state();
        let Verdicts { asked, missed } = state.settled;
        (state.limiting == Limiting::Path).then_some(model::Loss { asked, missed })
    }

    /// Whether packets were, or may have been, lost by our own doing while, or soon after, a stretch was sent.
    pub(crate) fn lost_some(&self, stretch: &Stretch, patience: Duration) -> bool {
        let end = (stretch.ended + patience).min(Instant::now());
        let doubted = self.0.shared.state().doubted;
        self.0.shared.losses.any(stretch.began, end)
            || doubted.is_some_and(|doubted| doubted.from <= end && stretch.began <= doubted.to)
    }

    /// False where nobody hears it: the thread has died of a bug.
    fn tell(&self, command: Command) -> bool {
        self.0.commands.send(command).is_ok()
    }
}

impl Slot {
    /// Answers are told to this sink from now on.
    pub(crate) fn listen(&self, sink: Box<dyn Sink>) {
        self.engine.0.shared.listen(self.number, Some(sink));
    }

    pub(crate) fn listen_no_more(&self) {
        self.engine.0.shared.listen(self.number, None);
    }

    /// Sends an order's questions. Dropping the future ends it.
    pub(crate) async fn volley(
        &self,
        order: Box<dyn Order>,
        attempt: u8,
        pace: Option<Pace>,
        sink: Arc<dyn Sink>,
    ) -> Report {
        self.send(order, None, attempt, pace, sink).await
    }

    /// Knocks at the hosts of an order's targets.
    pub(crate) async fn knock(
        &self,
        order: Box<dyn Order>,
        knock: Knock,
        pace: Option<Pace>,
        sink: Arc<dyn Sink>,
    ) -> Report {
        self.send(order, Some(knock), KNOCKS, pace, sink).await
    }

    async fn send(
        &self,
        order: Box<dyn Order>,
        knock: Option<Knock>,
        attempt: u8,
        pace: Option<Pace>,
        sink: Arc<dyn Sink>,
    ) -> Report {
        let (done, report) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = Cancel(Arc::clone(&cancelled));
        let id = self.engine.0.volleys.fetch_add(1, Relaxed);
        self.engine.tell(Command::Volley(Box::new(Volley {
            id,
            order,
            slot: self.number,
            knock,
            attempt,
            pace,
            sink,
            cancelled,
            done: Some(done),
        })));
        report.await.unwrap_or_default()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.listen_no_more();
        self.engine.0.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}
