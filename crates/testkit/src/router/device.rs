use super::{packet::Packet, pipeline::Pipeline, scenario::Scenario, stage::Way};
use crate::namespace::Namespace;
use std::{
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_tun::Tun;

/// The device in the watcher's namespace, and the one in the servers'.
pub(crate) const NEAR: &str = "near0";
pub(crate) const FAR: &str = "far0";

/// The longest packet there is.
const LONGEST: usize = 65_535;

/// A running pipeline between two namespaces. Ends when dropped, and its devices with it.
pub struct Router {
    pipeline: Arc<Mutex<Pipeline>>,
    begun: Instant,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    /// Opens both devices, which are still down and have no addresses, and forwards between them from now on.
    pub(crate) fn start(scenario: &Scenario, near: &Namespace, far: &Namespace) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let near = open(near, NEAR, runtime.handle());
        let far = open(far, FAR, runtime.handle());
        let pipeline = Arc::new(Mutex::new(Pipeline::new(scenario)));
        let begun = Instant::now();
        let (stop, stopped) = oneshot::channel();
        let forwarder = Forwarder { near, far, pipeline: pipeline.clone(), begun };
        let thread = thread::spawn(move || forward(&runtime, &forwarder, stopped));
        Self { pipeline, begun, stop: Some(stop), thread: Some(thread) }
    }

    /// The scenario's impairments begin, and with them its schedules.
    pub fn switch_on(&self) {
        self.pipeline().switch_on(self.begun.elapsed());
    }

    /// Only what acts always still does.
    pub fn switch_off(&self) {
        self.pipeline().switch_off();
    }

    /// Nothing gets through any more.
    pub fn cut(&self) {
        self.pipeline().cut(true);
    }

    /// It does again.
    pub fn mend(&self) {
        self.pipeline().cut(false);
    }

    /// What was done so far, as `NAME.WHAT`: `loss.lost`, `firewall.bans`, `router.out`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.pipeline().counts()
    }

    /// One of them; 0 where it has not happened.
    pub fn count(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or_default()
    }

    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Dropped, it is heard as well as sent.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed; a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

/// The device stays in the namespace it was opened in, whichever thread reads it later. Without offloads, so that every
/// packet is whole and summed up.
fn open(namespace: &Namespace, name: &'static str, handle: &Handle) -> Tun {
    let handle = handle.clone();
    let opened = namespace.enter(move || {
        let _inside = handle.enter();
        Tun::builder().name(name).build()
    });
    let opened = opened.join().expect("the namespace can be entered");
    let mut tuns = opened.unwrap_or_else(|error| panic!("{name} cannot be made: {error}"));
    tuns.pop().expect("one queue was asked for")
}

struct Forwarder {
    near: Tun,
    far: Tun,
    pipeline: Arc<Mutex<Pipeline>>,
    begun: Instant,
}

fn forward(runtime: &Runtime, forwarder: &Forwarder, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::select! {
            // Sent or dropped: either way it is over.
            _ = stopped => {}
            // A device that cannot be read has gone with its namespace.
            _ = forwarder.run() => {}
        }
    });
}

impl Forwarder {
    async fn run(&self) -> io::Result<()> {
        let (mut out, mut back) = (vec![0; LONGEST], vec![0; LONGEST]);
        loop {
            let next = self.pipeline().next();
            tokio::select! {
                read = self.near.recv(&mut out) => self.enter(out.get(..read?), Way::Out),
                read = self.far.recv(&mut back) => self.enter(back.get(..read?), Way::Back),
                () = self.wait(next) => {}
            }
            let leaving = self.pipeline().leave(self.begun.elapsed());
            for (way, packet) in leaving {
                let device = if way == Way::Out { &self.far } else { &self.near };
                // A device that is down takes nothing, like a cable that is not plugged in.
                let _ = device.send(packet.bytes()).await;
            }
        }
    }

    async fn wait(&self, next: Option<Duration>) {
        match next {
            Some(due) => sleep_until(self.begun + due).await,
            None => std::future::pending().await,
        }
    }

    fn enter(&self, bytes: Option<&[u8]>, way: Way) {
        let packet = bytes.and_then(|bytes| Packet::read(bytes.to_vec()));
        if let Some(packet) = packet.filter(|packet| is_routed(packet.target()) && is_routed(packet.source())) {
            self.pipeline().enter(packet, way, self.begun.elapsed());
        }
    }

    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kernel says on its link is not for the other side.
fn is_routed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unicast_link_local() && !address.is_unspecified(),
    }
}
