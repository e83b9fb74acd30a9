//! The real network: every question goes through the dialer.

use crate::network::{Answer, Conversation, Introduction, Network};
use identify::Roots;
use jiff::Timestamp;
use model::{Endpoint, PortObservation, ServiceObservation, Transport};
use probe::{Dialer, Found, Resolve, ResolveError, Resolved, SweepJob, SweepOutcome, conversation};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The network through a dialer and a resolver.
#[derive(Debug, Clone)]
pub struct Wired {
    dialer: Dialer,
    resolver: Arc<dyn Resolve>,
    roots: Arc<Roots>,
}

impl Wired {
    pub fn new(dialer: Dialer, resolver: Arc<dyn Resolve>, roots: Arc<Roots>) -> Self {
        Self { dialer, resolver, roots }
    }
}
