//! The network, with everything that is asked of it entered in the probe ledger. The loop has no other way to it, so nothing
//! can be asked without an account of it.

mod book;
mod slip;

pub(crate) use book::Book;

use crate::network::{Answer, AuditRequest, Conversation, Introduction, Network, Surroundings};
use book::Kind;
use jiff::Timestamp;
use model::{
    AddressSet, AuditObservation, Clock, Endpoint, Heard, Lane, LocalErrorKind, Mac, NotProbed, Outcome, PassId,
    Service, ServiceName, ServiceObservation, Sha256, Transport,
};
use probe::{
    Aside, Compared, Due, Found, Resolve, ResolveError, Resolved, Resolving, Reversing, SweepJob, SweepOutcome,
};
use scope::{
    ScopeHandle,
    ledger::{Errand, Mode, Why},
};
use slip::{Few, Many, Swept};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Endpoints asked at once and without spreading them over time that share a row with others of their errand.
const FEW: usize = 64;

/// The network for one errand.
#[derive(Debug, Clone)]
pub(crate) struct Accounted {
    network: Arc<dyn Network>,
    book: Book,
    scope: ScopeHandle,
    clock: Arc<dyn Clock>,
    errand: Errand,
    /// Which attempt its first questions are.
    attempt: u8,
}

impl Accounted {
    /// For the loop's own looks at its canaries.
    pub(crate) fn new(network: Arc<dyn Network>, book: Book, scope: ScopeHandle, clock: Arc<dyn Clock>) -> Self {
        let errand = Errand { profile: None, lane: None, pass: None, why: Why::Canary };
        Self { network, book, scope, clock, errand, attempt: 1 }
    }

    /// The same network for a pass.
    pub(crate) fn on(&self, profile: &Arc<str>, lane: Lane, pass: PassId, why: Why) -> Self {
        let errand = Errand { profile: Some(profile.clone()), lane: Some(lane), pass: Some(pass), why };
        Self { errand, attempt: 1, ..self.clone() }
    }

    /// For questions of the same pass that have another reason.
    pub(crate) fn because(&self, why: Why) -> Self {
        Self { errand: Errand { why, ..self.errand.clone() }, ..self.clone() }
    }

    /// For questions to those that have been asked.
    pub(crate) fn again(&self) -> Self {
        Self { attempt: 2, ..self.clone() }
    }

    pub(crate) async fn sweep(
        &self,
        job: SweepJob,
        found: mpsc::Sender<Found>,
        cancel: CancellationToken,
        gone_through: oneshot::Sender<()>,
    ) -> SweepOutcome {
        let slip = Swept::begin(self, &job);
        let outcome = self.network.sweep_and_tell(job, found, cancel, gone_through).await;
        slip.end(&outcome);
        outcome
    }

    pub(crate) async fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Vec<Found> {
        if within.is_zero() && endpoints.len() <= FEW {
            let slip = Few::begin(self, &endpoints);
            let found = self.network.ask(endpoints, within).await;
            slip.end(
                found
                    .iter()
                    .filter(|found| has_left(found.observation.outcome))
                    .map(|found| found.observation.endpoint),
            );
            return found;
        }
        let slip = Many::begin(self, &endpoints);
        let found = self.network.ask(endpoints, within).await;
        slip.end(found.iter().filter(|found| has_left(found.observation.outcome)).count());
        found
    }

    pub(crate) async fn identify(&self, whom: Introduction) -> Conversation {
        let endpoint = whom.endpoint;
        let why = if self.errand.why == Why::Control { Why::Control } else { Why::Conversation };
        let talk = Self { attempt: 1, ..self.because(why) };
        let slip = Few::talk(&talk, endpoint);
        let conversation = self.network.identify(whom).await;
        let seen = &conversation.ports;
        let left = seen.is_empty() || seen.iter().any(|port| has_left(port.outcome));
        slip.end(left.then_some(endpoint));
        conversation
    }

    pub(crate) async fn audit(&self, whom: AuditRequest) -> Option<AuditObservation> {
        let (endpoint, talk) = (whom.endpoint, Self { attempt: 1, ..self.because(Why::Conversation) });
        let slip = Few::talk(&talk, endpoint);
        let audit = self.network.audit(whom).await;
        // One that came to nothing may have begun.
        slip.end([endpoint]);
        audit
    }

    pub(crate) fn read_reply(&self, endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation {
        self.network.read_reply(endpoint, reply, at)
    }

    pub(crate) fn rules(&self) -> Option<Sha256> {
        self.network.rules()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn roots(&self) -> Option<String> {
        self.network.roots()
    }

    pub(crate) fn relabel(
        &self,
        transport: Transport,
        heard: &Heard,
        certificate: Option<(&str, &str)>,
    ) -> Option<Service> {
        self.network.relabel(transport, heard, certificate)
    }

    pub(crate) fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        self.network.resolve(name)
    }

    pub(crate) fn reverse(&self, ip: IpAddr) -> Answer<'_, Result<BTreeSet<String>, ResolveError>> {
        self.network.reverse(ip)
    }

    pub(crate) fn mac(&self, ip: IpAddr) -> Option<Mac> {
        self.network.mac(ip)
    }

    pub(crate) fn neighbours(&self, among: &AddressSet) -> AddressSet {
        self.network.neighbours(among)
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        self.network.surroundings()
    }

    pub(crate) fn sends_packets_to(&self, ip: IpAddr) -> bool {
        self.network.sends_packets_to(ip)
    }

    pub(crate) fn packets_due(&self) -> Option<Due> {
        self.network.packets_due()
    }

    pub(crate) async fn try_packets(&self, due: Due) {
        let network = self.because(Why::Canary);
        let asked = due.endpoints.clone();
        let slip = Few::begin(&network, &asked);
        self.network.try_packets(due).await;
        slip.end(asked);
    }

    pub(crate) fn sources(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        self.network.sources()
    }

    pub(crate) async fn compare_sources(&self, endpoints: Vec<Endpoint>) -> Vec<Compared> {
        let network = self.because(Why::Canary);
        let slip = Few::begin(&network, &endpoints);
        let compared = self.network.compare_sources(endpoints).await;
        let left = compared.iter().filter(|compared| has_left(compared.first) || has_left(compared.second));
        slip.end(left.map(|compared| compared.endpoint).collect::<Vec<_>>());
        compared
    }

    pub(crate) fn ask_from_second(&self, hosts: AddressSet) {
        self.network.ask_from_second(hosts);
    }

    /// Enters what the network asked by itself, which leaves these hosts alone from now on.
    pub(crate) fn enter_asides(&self, spared: Arc<BTreeSet<IpAddr>>) {
        for Aside { endpoint, is_canary, first, last } in self.network.asides(spared) {
            let (why, mode) = if is_canary { (Why::Canary, Mode::Raw) } else { (Why::Control, Mode::Connect) };
            let errand = Errand { profile: None, lane: None, pass: None, why };
            self.book.gather_once(&Kind { errand, attempts: (1, 1), mode, some: false }, endpoint, first, last);
        }
    }

    pub(crate) fn halt(&self, halted: bool) {
        self.network.halt(halted);
    }
}

impl Resolve for Accounted {
    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Resolving<'a> {
        self.network.resolve(name)
    }

    fn reverse(&self, ip: IpAddr) -> Reversing<'_> {
        self.network.reverse(ip)
    }
}

#[cfg(test)]
mod tests;

/// Whether a question with this outcome was sent, or may have been.
fn has_left(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NotProbed(why) => why == NotProbed::Aborted,
        Outcome::LocalError(kind) => kind == LocalErrorKind::Other,
        _ => true,
    }
}
