//! The network as the loop sees it: a handful of questions. The real one goes through the dialer; tests bring a
//! simulated one and pause time.

use jiff::Timestamp;
use model::{
    AddressSet, AuditObservation, Endpoint, Heard, Mac, PortObservation, Service, ServiceName, ServiceObservation,
    Sha256, Transport,
};
use probe::{
    Aside, Compared, Due, Found, ResolveError, Resolved, SweepJob, SweepOutcome,
    conversation::{Earlier, Sighting},
};
use std::{collections::BTreeSet, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whom to ask who they are.
#[derive(Debug, Clone)]
pub struct Introduction {
    pub endpoint: Endpoint,
    /// The name to ask under (SNI, Host); none for the bare address.
    pub name: Option<ServiceName>,
    /// The name was told by the server's own certificate: it gives no leave to ask, its address has to be in scope by itself.
    pub learnt: bool,
    /// What it said last time: the question that worked then is asked first.
    pub prior: Option<Arc<Service>>,
    pub prior_tls: bool,
    /// What is known of its TLS beside: whether a second look is due.
    pub earlier: Option<Earlier>,
    /// What it said last time under this very name, where that spares it questions; none asks everything.
    pub sighting: Option<Sighting>,
}

impl Introduction {
    /// To a stranger, by its address alone.
    pub fn first(endpoint: Endpoint) -> Self {
        Self { endpoint, name: None, learnt: false, prior: None, prior_tls: false, earlier: None, sighting: None }
    }
}

/// Whose TLS to audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRequest {
    pub endpoint: Endpoint,
    /// The name to ask under; none for the bare address.
    pub name: Option<ServiceName>,
    /// The protocol by whose own words TLS begins; none where TLS comes first.
    pub starttls: Option<String>,
}

/// The sensor's own place in the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Another number whenever a link, an address of ours or a route changed.
    pub generation: u64,
    /// What is wrong there now, a sentence each: `eth0 is down`. Empty: nothing.
    pub faults: Vec<String>,
    /// What is worse than it was without being wrong, a sentence each: raw packets are dropped, and connections do instead.
    /// What is found is as good as ever.
    pub handicaps: Vec<String>,
    /// Packets the machine itself dropped since it started: full queues, no buffers, a ring that was not read in time.
    pub dropped: u64,
}

/// What a conversation gave.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Evidence about the port: every connection that succeeded, and the failure of one that did not.
    pub ports: Vec<PortObservation>,
    /// None where no connection came about.
    pub observation: Option<ServiceObservation>,
}

/// Questions to the network. Implementations ask only what is in scope and keep every ceiling.
pub trait Network: std::fmt::Debug + Send + Sync + 'static {
    /// Asks every address and port of the job once or more; open endpoints are sent as they are found.
    fn sweep(&self, job: SweepJob, found: mpsc::Sender<Found>, cancel: CancellationToken) -> Answer<'_, SweepOutcome>;

    /// The same, and tells when everything was asked once and only answers are waited for: time for another group. Where that is not
    /// worth telling the sender is dropped.
    fn sweep_and_tell(
        &self,
        job: SweepJob,
        found: mpsc::Sender<Found>,
        cancel: CancellationToken,
        _gone_through: oneshot::Sender<()>,
    ) -> Answer<'_, SweepOutcome> {
        self.sweep(job, found, cancel)
    }

    /// Asks single endpoints with fresh source ports, spread over `within`; one answer for each.
    fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Answer<'_, Vec<Found>>;

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation>;

    /// Asks which versions and weak ciphers a service's TLS takes, on at most sixteen connections. None where nothing came of it
    /// by no fault of the service's: the sensor was halted, or asks nobody that.
    fn audit(&self, _whom: AuditRequest) -> Answer<'_, Option<AuditObservation>> {
        Box::pin(async { None })
    }

    /// What a datagram that came back says of its sender. No packet is sent.
    fn read_reply(&self, endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation;

    /// Another one when an answer that was kept may be taken for something else: by other rules, or other parsers.
    fn rules(&self) -> Option<Sha256> {
        None
    }

    /// Another one when chains are judged by other roots; none where nobody judges any.
    fn roots(&self) -> Option<String> {
        None
    }

    /// What an answer that was kept is taken for today; `certificate` is subject and issuer of the one shown with it. No packet is
    /// sent. None where nobody can tell.
    fn relabel(&self, _transport: Transport, _heard: &Heard, _certificate: Option<(&str, &str)>) -> Option<Service> {
        None
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>>;

    /// The names its PTR records give an address; an empty set where there are none. Goes to the resolver, not to the address.
    fn reverse(&self, ip: IpAddr) -> Answer<'_, Result<BTreeSet<String>, ResolveError>> {
        Box::pin(async move { Err(ResolveError::Setup(format!("nobody to ask for the names of {ip}"))) })
    }

    /// The link-layer address that answers for an address on a link of ours, as the kernel last learnt it. No packet is sent.
    fn mac(&self, _ip: IpAddr) -> Option<Mac> {
        None
    }

    /// Those of these addresses that somebody on a link of ours was seen to have, as the kernel last learnt it. No packet is sent.
    fn neighbours(&self, _among: &AddressSet) -> AddressSet {
        AddressSet::empty()
    }

    /// What this machine says of its own links, addresses and routes. No packet is sent.
    fn surroundings(&self) -> Surroundings {
        Surroundings::default()
    }

    /// Whether TCP questions to an address are packets of our own, and not the kernel's connections.
    fn sends_packets_to(&self, _ip: IpAddr) -> bool {
        false
    }

    /// A trial of packets of our own that is due. Whoever takes it makes it, by [`Network::try_packets`].
    fn packets_due(&self) -> Option<Due> {
        None
    }

    /// Asks those of a trial both ways. What it comes to shows in [`Network::surroundings`] and [`Network::sends_packets_to`].
    fn try_packets(&self, _due: Due) -> Answer<'_, ()> {
        Box::pin(async {})
    }

    /// The addresses questions are sent from: the configured one, and another that can stand in for it where it is banned.
    fn sources(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (None, None)
    }

    /// Asks each endpoint from both at one time.
    fn compare_sources(&self, _endpoints: Vec<Endpoint>) -> Answer<'_, Vec<Compared>> {
        Box::pin(async { Vec::new() })
    }

    /// From now on these are asked from the second source.
    fn ask_from_second(&self, _hosts: AddressSet) {}

    /// Leaves these hosts alone in what it asks by itself, and gives what that was since the last time.
    fn asides(&self, _spared: Arc<BTreeSet<IpAddr>>) -> Vec<Aside> {
        Vec::new()
    }

    /// Stops every probe within a second, or lets them go on.
    fn halt(&self, halted: bool);
}
