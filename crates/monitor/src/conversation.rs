//! Asking open endpoints who they are, politely: few at a time, and at most two at once on one host.

use crate::{
    account::Accounted,
    fruitless::{Fruitless, Yield},
    index::Index,
    looks,
    network::{Conversation, Introduction},
};
use jiff::Timestamp;
use model::{AddressSet, Endpoint, PortObservation, ServiceName, ServiceObservation, Transport};
use probe::conversation::{Earlier, MOST_LEARNT, learn_names};
use scope::ScopeHandle;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::Semaphore;

/// Conversations under way at once, over everything.
const AT_ONCE: usize = 64;
/// And on one host.
const PER_HOST: usize = 2;
/// Under way or waiting on one host: a trap must not make the queue grow.
const MOST_OF_A_HOST: usize = 256;

/// What a conversation (or several, one a name) with an endpoint yielded.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Every connection that succeeded, and the failure of one that did not, as evidence.
    pub(crate) ports: Vec<PortObservation>,
    pub(crate) services: Vec<ServiceObservation>,
}

/// By host, with whom a conversation is under way or waits for its turn.
type Talks = HashMap<IpAddr, HashSet<(Transport, u16)>>;

/// Shared by all passes.
#[derive(Debug, Clone)]
pub(crate) struct Conversations {
    network: Accounted,
    scope: ScopeHandle,
    index: Index,
    slots: Arc<Semaphore>,
    hosts: PerHost,
    under_way: Arc<Mutex<Talks>>,
    pub(crate) fruitless: Fruitless,
}

/// The right to talk to an endpoint: nobody else does meanwhile.
#[derive(Debug)]
pub(crate) struct UnderWay {
    all: Arc<Mutex<Talks>>,
    endpoint: Endpoint,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = all.get_mut(&self.endpoint.ip) {
            host.remove(&(self.endpoint.transport, self.endpoint.port));
            if host.is_empty() {
                all.remove(&self.endpoint.ip);
            }
        }
    }
}

impl Conversations {
    pub(crate) fn new(network: Accounted, scope: ScopeHandle, index: Index) -> Self {
        Self {
            network,
            scope,
            index,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            hosts: PerHost::new(PER_HOST),
            under_way: Arc::default(),
            fruitless: Fruitless::default(),
        }
    }

    /// The same conversations, on another errand.
    pub(crate) fn over(&self, network: Accounted) -> Self {
        Self { network, ..self.clone() }
    }

    /// None while a conversation with that endpoint is under way (or waits for its turn), or too many with its host are.
    pub(crate) fn begin(&self, endpoint: Endpoint) -> Option<UnderWay> {
        let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let host = all.entry(endpoint.ip).or_default();
        let may = host.len() < MOST_OF_A_HOST && host.insert((endpoint.transport, endpoint.port));
        may.then(|| UnderWay { all: self.under_way.clone(), endpoint })
    }

    /// Whether a first conversation with somebody at these addresses is under way. Who `was_heard` has been met, though nothing is known
    /// of him: what answers for everybody and says nothing is asked again and again.
    pub(crate) fn is_meeting(&self, addresses: &AddressSet, was_heard: impl Fn(&Endpoint) -> bool) -> bool {
        let all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts = all.iter().filter(|(ip, _)| addresses.contains(**ip));
        hosts
            .flat_map(|(&ip, host)| host.iter().map(move |&(transport, port)| Endpoint { ip, transport, port }))
            .filter(|endpoint| !was_heard(endpoint))
            .any(|endpoint| self.index.get(&endpoint).is_none_or(|known| known.identified.is_none()))
    }

    /// Asks an endpoint who it is: a datagram that already came back says so without another packet, unless it leads to a certificate (DTLS,
    /// QUIC). It is asked under no name, and under each configured name where names matter (TLS, HTTP, QUIC).
    pub(crate) async fn introduce(&self, endpoint: Endpoint, reply: Option<&[u8]>, now: Timestamp) -> Answered {
        let mut answered = Answered::default();
        let mut just_heard = None;
        if let Some(reply) = reply {
            let heard = self.network.read_reply(endpoint, reply, now);
            if !probe::conversation::leads_further(&heard) {
                answered.services.push(heard);
                return answered;
            }
            just_heard = heard.service.map(Arc::new);
        }
        let known = self.index.get(&endpoint).unwrap_or_default();
        let earlier = looks::earlier(&self.index, &endpoint, None);
        let bare = Introduction {
            endpoint,
            name: None,
            learnt: false,
            prior: just_heard.or_else(|| known.prior.clone()),
            prior_tls: known.tls,
            earlier,
            sighting: looks::sighting(&self.index, &endpoint, None),
        };
        let named = self.ask(bare, &mut answered).await;
        let depends_on_name = match endpoint.transport {
            Transport::Tcp => named,
            Transport::Udp => answered.services.first().is_some_and(probe::conversation::depends_on_name),
        };
        if depends_on_name {
            let configured = self.scope.load().names_of(endpoint.ip, now);
            let learnt = self.learnt(endpoint, &configured, &answered).await;
            let configured = configured.into_iter().map(|name| (name, false));
            for (name, is_learnt) in configured.chain(learnt.into_iter().map(|name| (name, true))) {
                self.ask(self.under(endpoint, name, is_learnt, &answered), &mut answered).await;
            }
            probe::conversation::settle_names(&mut answered.services);
        }
        answered
    }

    /// The names that the host is known by or the endpoint's own certificate tells, and that lead to it, beside those of the configuration. They
    /// are looked up when its
    /// TLS is looked at a second time; until then, those known are kept.
    async fn learnt(&self, endpoint: Endpoint, configured: &[ServiceName], answered: &Answered) -> Vec<ServiceName> {
        let mut learnt = looks::learnt(&self.index, &endpoint);
        learnt.retain(|name| !configured.contains(name));
        let Some(tls) = answered.services.first().and_then(|bare| bare.tls.as_ref()) else { return learnt };
        let is_second_look = tls.posture.as_ref().is_some_and(|posture| posture.at.is_some());
        if is_second_look && learnt.len() < MOST_LEARNT {
            let known: Vec<ServiceName> = configured.iter().chain(&learnt).cloned().collect();
            let hints = looks::names_of(&self.index, endpoint.ip);
            let now = self.network.now();
            let more = learn_names(tls, endpoint.ip, &known, &hints, now, &self.network).await;
            learnt.extend(more);
            learnt.truncate(MOST_LEARNT);
        }
        learnt
    }

    fn under(&self, endpoint: Endpoint, name: ServiceName, learnt: bool, answered: &Answered) -> Introduction {
        let first = answered.services.first();
        Introduction {
            endpoint,
            sighting: looks::sighting(&self.index, &endpoint, Some(&name)),
            name: Some(name),
            learnt,
            prior: first.and_then(|first| first.service.clone()).map(Arc::new),
            prior_tls: first.is_some_and(|first| first.tls.is_some()),
            earlier: first.and_then(|first| first.tls.as_ref()).map(Earlier::elsewhere),
        }
    }

    /// One conversation. True where the answer depends on the name it is asked under.
    async fn ask(&self, whom: Introduction, answered: &mut Answered) -> bool {
        let host = self.turn(whom.endpoint.ip);
        // Neither semaphore is ever closed; were it, asking without a slot harms nobody.
        let _host = host.acquire().await;
        let _slot = self.slots.acquire().await;
        let bare = whom.name.is_none();
        let is_stranger = whom.prior.is_none() && !whom.prior_tls;
        let conversation = self.network.identify(whom).await;
        if bare {
            self.fruitless.note(came_of(&conversation, is_stranger), conversation.ports.last());
        }
        answered.ports.extend(conversation.ports);
        let Some(observation) = conversation.observation else { return false };
        let named =
            observation.tls.is_some() || observation.service.as_ref().is_some_and(|service| service.name == "http");
        answered.services.push(observation);
        named
    }

    /// Whoever connects to a host for long has to have one of its turns meanwhile.
    pub(crate) fn turn(&self, ip: IpAddr) -> Arc<Semaphore> {
        self.hosts.of(ip)
    }
}

/// What came of a conversation with somebody, of whom nothing was known if he is a stranger.
pub(crate) fn came_of(conversation: &Conversation, is_stranger: bool) -> Yield {
    match &conversation.observation {
        None => Yield::Nothing,
        Some(seen) if is_stranger && seen.service.is_none() && seen.tls.is_none() => Yield::Silence,
        Some(_) => Yield::Something,
    }
}

/// Turns at hosts, so many at once at each. It remembers those at which somebody is.
#[derive(Debug, Clone)]
pub(crate) struct PerHost {
    at_once: usize,
    hosts: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
}

impl PerHost {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, hosts: Arc::default() }
    }

    pub(crate) fn of(&self, ip: IpAddr) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&ip).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Semaphore::new(self.at_once));
        hosts.insert(ip, Arc::downgrade(&host));
        host
    }
}
