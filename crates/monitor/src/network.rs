//! The network as the loop sees it: a handful of questions. The real one goes through the dialer; tests bring a
//! simulated one and pause time.

use jiff::Timestamp;
use model::{Endpoint, PortObservation, Service, ServiceName, ServiceObservation};
use probe::{Found, ResolveError, Resolved, SweepJob, SweepOutcome};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whom to ask who they are.
#[derive(Debug, Clone)]
pub struct Introduction {
    pub endpoint: Endpoint,
    /// The name to ask under (SNI, Host); none for the bare address.
    pub name: Option<ServiceName>,
    /// What it said last time: the question that worked then is asked first.
    pub prior: Option<Arc<Service>>,
    pub prior_tls: bool,
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

    /// Asks single endpoints with fresh source ports, spread over `within`; one answer for each.
    fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Answer<'_, Vec<Found>>;

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation>;

    /// What a datagram that came back says of its sender. No packet is sent.
    fn read_reply(&self, endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation;

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>>;

    /// Stops every probe within a second, or lets them go on.
    fn halt(&self, halted: bool);
}
