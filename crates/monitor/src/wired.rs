//! The real network: every question goes through the dialer, and so through scope, ceilings and the halt switch.

use crate::network::{Answer, AuditRequest, Conversation, Introduction, Network, Surroundings};
use futures_util::{StreamExt, stream};
use identify::Roots;
use jiff::Timestamp;
use model::{
    AddressSet, AuditObservation, Endpoint, Heard, Mac, Outcome, Service, ServiceName, ServiceObservation, Sha256,
    Transport,
};
use probe::{
    Aside, AskOptions, Compared, Dialer, Due, Found, Pace, Place, Resolve, ResolveError, Resolved, SweepJob,
    SweepOutcome,
    audit::{self, Incomplete, Subject},
    conversation::{self, Ask, Before, Timeouts},
    starttls::Protocol,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// For one question to a known endpoint: the kernel's first two repetitions of a SYN fit in.
const ASK_TIMEOUT: Duration = Duration::from_millis(3_500);
const ASK_ATTEMPTS: u8 = 2;
/// Whoever is asked here is known: a single refusal may be somebody else's RST.
const ASK_REFUSED_AGAIN: u8 = 1;
/// Hosts asked from both sources at a time.
const COMPARED_AT_A_TIME: usize = 16;
const ASK_SPACING: Duration = Duration::from_secs(1);

/// The network through a dialer and a resolver.
#[derive(Debug, Clone)]
pub struct Wired {
    dialer: Dialer,
    resolver: Arc<dyn Resolve>,
    roots: Arc<Roots>,
    place: Arc<Place>,
}

impl Wired {
    pub fn new(dialer: Dialer, resolver: Arc<dyn Resolve>, roots: Arc<Roots>, place: Place) -> Self {
        Self { dialer, resolver, roots, place: Arc::new(place) }
    }

    async fn talk(&self, whom: Introduction) -> Conversation {
        let Introduction { endpoint, name, learnt, prior, prior_tls, earlier, sighting } = whom;
        let ask = Ask {
            name: name.as_ref(),
            prior: prior.as_deref(),
            prior_tls,
            roots: &self.roots,
            timeouts: Timeouts::default(),
        };
        let before = Before { earlier, sighting, is_learnt: learnt };
        conversation::identify_again(&self.dialer, endpoint, ask, before).await.into()
    }

    /// An audit that could not ask everything says what it could.
    async fn inspect(&self, whom: AuditRequest) -> Option<AuditObservation> {
        let AuditRequest { endpoint, name, starttls } = whom;
        let starttls = starttls.as_deref().and_then(Protocol::by_name);
        let report = audit::posture(&self.dialer, Subject { endpoint, name: name.as_ref(), starttls }).await;
        let not_asked = |outcome: Outcome| !outcome.is_evidence();
        match report.incomplete {
            Some(Incomplete::Halted | Incomplete::Fragile) => return None,
            Some(Incomplete::Failed(outcome)) if report.connections == 0 && not_asked(outcome) => return None,
            Some(why) => tracing::debug!(%endpoint, ?why, "an audit did not ask everything"),
            None => {}
        }
        let at = model::to_millisecond(self.dialer.clock().now());
        let (posture, weaknesses) = (Box::new(report.shown.posture()), report.shown.weaknesses());
        Some(AuditObservation { endpoint, name, at, posture, weaknesses })
    }
}

impl Network for Wired {
    fn sweep(&self, job: SweepJob, found: mpsc::Sender<Found>, cancel: CancellationToken) -> Answer<'_, SweepOutcome> {
        Box::pin(async move { probe::sweep(&self.dialer, job, found, cancel).await })
    }

    fn sweep_and_tell(
        &self,
        job: SweepJob,
        found: mpsc::Sender<Found>,
        cancel: CancellationToken,
        gone_through: oneshot::Sender<()>,
    ) -> Answer<'_, SweepOutcome> {
        Box::pin(async move { probe::sweep_and_tell(&self.dialer, job, found, cancel, gone_through).await })
    }

    fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Answer<'_, Vec<Found>> {
        Box::pin(async move {
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let pace = (!within.is_zero()).then(|| Pace::new(endpoints.len() as f64 / within.as_secs_f64()));
            let options = AskOptions {
                attempts: ASK_ATTEMPTS,
                timeout: ASK_TIMEOUT,
                retry_refused: ASK_REFUSED_AGAIN,
                spacing: ASK_SPACING,
                pace,
                udp: Arc::new(conversation::udp_payload),
            };
            probe::ask(&self.dialer, endpoints, &options).await
        })
    }

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation> {
        Box::pin(self.talk(whom))
    }

    fn audit(&self, whom: AuditRequest) -> Answer<'_, Option<AuditObservation>> {
        Box::pin(self.inspect(whom))
    }

    fn read_reply(&self, endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation {
        conversation::identify_reply(&self.dialer, endpoint, reply, at)
    }

    fn rules(&self) -> Option<Sha256> {
        Some(self.dialer.fingerprints().unwrap_or_default().digest())
    }

    fn roots(&self) -> Option<String> {
        Some(self.roots.digest())
    }

    fn relabel(&self, transport: Transport, heard: &Heard, certificate: Option<(&str, &str)>) -> Option<Service> {
        Some(self.dialer.fingerprints().unwrap_or_default().relabel(transport, heard, certificate))
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        self.resolver.resolve(name)
    }

    fn reverse(&self, ip: IpAddr) -> Answer<'_, Result<BTreeSet<String>, ResolveError>> {
        self.resolver.reverse(ip)
    }

    fn mac(&self, ip: IpAddr) -> Option<Mac> {
        self.place.mac(ip)
    }

    fn neighbours(&self, among: &AddressSet) -> AddressSet {
        self.place.neighbours(among)
    }

    fn surroundings(&self) -> Surroundings {
        let report = self.place.report(&self.dialer.scope().load(), self.dialer.clock().now());
        Surroundings {
            generation: report.generation,
            faults: report.faults,
            handicaps: self.dialer.handicaps(),
            // Single questions are not asked again for that, as those of a sweep are.
            dropped: report.dropped.saturating_add(self.dialer.raw().map_or(0, |raw| raw.counters().dropped)),
        }
    }

    fn sends_packets_to(&self, ip: IpAddr) -> bool {
        self.dialer.sends_packets_to(ip)
    }

    fn packets_due(&self) -> Option<Due> {
        self.dialer.packets_due()
    }

    fn try_packets(&self, due: Due) -> Answer<'_, ()> {
        Box::pin(probe::try_packets(&self.dialer, due))
    }

    fn sources(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (self.dialer.settings().source, self.dialer.second_source())
    }

    fn compare_sources(&self, endpoints: Vec<Endpoint>) -> Answer<'_, Vec<Compared>> {
        Box::pin(async move {
            stream::iter(endpoints)
                .map(|endpoint| self.dialer.compare_sources(endpoint))
                .buffered(COMPARED_AT_A_TIME)
                .collect()
                .await
        })
    }

    fn ask_from_second(&self, hosts: AddressSet) {
        self.dialer.ask_from_second(hosts);
    }

    fn asides(&self, spared: Arc<BTreeSet<IpAddr>>) -> Vec<Aside> {
        self.dialer.raw().map(|raw| raw.asides(spared)).unwrap_or_default()
    }

    fn halt(&self, halted: bool) {
        self.dialer.halt(halted);
    }
}

impl From<conversation::Conversation> for Conversation {
    fn from(talk: conversation::Conversation) -> Self {
        Self { ports: talk.ports, observation: talk.observation }
    }
}
