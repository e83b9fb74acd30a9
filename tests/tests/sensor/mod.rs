//! A sensor that asks the same servers again and again, an hour apart by its own clock.

use inventory::Inventory;
use jiff::{SignedDuration, Timestamp};
use model::{
    AddressSet, Clock, Coverage, Endpoint, Event, HostPolicy, HostSlice, Lane, PassId, PassKind, PassRef, PortSet,
    Vantage,
};
use probe::{
    Dialer, DialerSettings, Identity,
    conversation::{Ask, Before, Conversation, Earlier, Sighting, Timeouts, identify_again},
};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// How often each is verified.
pub(crate) const TIMES: u32 = 150;

/// The sensor's clock: an hour further on at every round.
#[derive(Debug)]
pub(crate) struct Hours {
    begun: Timestamp,
    passed: AtomicI64,
}

impl Clock for Hours {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::from_hours(self.passed.load(Ordering::SeqCst));
        self.begun.checked_add(passed).expect("a few days")
    }
}

fn dialer(clock: Arc<Hours>) -> Dialer {
    let targets = vec!["10.77.0.0/24".parse().expect("a prefix")];
    let scope = Scope::new(vec![AssetScope { name: "own".into(), targets, until: None }], AddressSet::default());
    let rate: model::Rate = "1k/s".parse().expect("a rate");
    let identity = Identity { sensor: "test".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    Dialer::with_concurrency(ScopeHandle::new(scope), clock, settings, 64)
}

/// A sensor's memory of some endpoints, and what it told.
pub(crate) struct Sensor {
    dialer: Dialer,
    clock: Arc<Hours>,
    pub(crate) inventory: Inventory,
    policy: HostPolicy,
    rounds: u128,
    pub(crate) told: Vec<Event>,
}

impl Sensor {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Hours { begun: model::SystemClock.now(), passed: AtomicI64::new(0) });
        Self {
            dialer: dialer(clock.clone()),
            clock,
            inventory: Inventory::new(Vantage::from("test")),
            policy: HostPolicy { value: 3, identify: Duration::from_hours(1), ..HostPolicy::default() },
            rounds: 0,
            told: Vec::new(),
        }
    }

    /// Meets all of these, calls `met`, and verifies them [`TIMES`]. Gives how many connections each verification took, by endpoint. What the
    /// first sight tells is that they are there: it is left out.
    pub(crate) async fn watch(&mut self, endpoints: &[Endpoint], met: impl FnOnce()) -> BTreeMap<Endpoint, Vec<usize>> {
        self.round(endpoints).await;
        self.told.clear();
        met();
        let mut used: BTreeMap<Endpoint, Vec<usize>> = BTreeMap::new();
        for _ in 0..TIMES {
            self.clock.passed.fetch_add(1, Ordering::SeqCst);
            for (endpoint, said) in self.round(endpoints).await {
                used.entry(endpoint).or_default().push(said.ports.len());
            }
        }
        used
    }

    /// Asks all of them at once, takes what they say, and gives it.
    async fn round(&mut self, endpoints: &[Endpoint]) -> BTreeMap<Endpoint, Conversation> {
        let roots = identify::Roots::public();
        let asked = endpoints.iter().map(|&endpoint| {
            let (dialer, roots) = (&self.dialer, &roots);
            let known = self.inventory.remembered(&endpoint).unwrap_or_default();
            let state = self.inventory.row(endpoint.ip).and_then(|row| row.endpoint(endpoint.transport, endpoint.port));
            let state = state.and_then(|state| state.services.into_iter().find(|service| service.name.is_none()));
            async move {
                let tls = state.as_ref().and_then(|state| state.tls.as_ref());
                let before = Before {
                    earlier: tls.map(|tls| Earlier {
                        by_hand: Earlier::takes_a_hand(&tls.version, &tls.cipher),
                        looked: tls.posture.as_ref().and_then(|posture| posture.at),
                        certificates: tls.certificate.into_iter().collect(),
                        agrees_on_nothing: tls.certificate.is_some() && tls.alpn.is_none(),
                    }),
                    sighting: state.as_ref().and_then(|state| {
                        state.service.clone().map(|service| Sighting { at: state.last_observed, service })
                    }),
                    is_learnt: false,
                };
                let timeouts = Timeouts::default();
                let prior = known.prior.as_deref();
                let ask = Ask { name: None, prior, prior_tls: known.tls, roots, timeouts };
                (endpoint, identify_again(dialer, endpoint, ask, before).await)
            }
        });
        let said: BTreeMap<_, _> = futures_util::future::join_all(asked).await.into_iter().collect();
        self.rounds += 1;
        for ip in endpoints.iter().map(|endpoint| endpoint.ip).collect::<std::collections::BTreeSet<_>>() {
            self.take(ip, &said);
        }
        said
    }

    fn take(&mut self, ip: IpAddr, said: &BTreeMap<Endpoint, Conversation>) {
        let now = self.dialer.clock().now();
        let of_host = || said.iter().filter(|(endpoint, _)| endpoint.ip == ip).map(|(_, said)| said);
        let tcp: PortSet = said.keys().filter(|endpoint| endpoint.ip == ip).map(|endpoint| endpoint.port).collect();
        let mut ports: Vec<_> = of_host().flat_map(|said| said.ports.clone()).collect();
        ports.sort_by_key(|port| port.at);
        let slice = HostSlice {
            vantage: Vantage::from("test"),
            ip,
            pass: PassRef {
                id: PassId(uuid::Uuid::from_u128(self.rounds)),
                profile: "lab".into(),
                lane: Lane::Known,
                kind: PassKind::Sweep,
            },
            at: now,
            covered: Coverage { tcp: Arc::new(tcp), udp: Arc::default() },
            ports,
            services: of_host().filter_map(|said| said.observation.clone()).collect(),
            audits: Vec::new(),
            names: Vec::new(),
            mac: None,
            presence: None,
        };
        let change = self.inventory.apply(&slice, &self.policy, now);
        self.told.extend(change.events.iter().cloned());
        self.inventory.install(&change);
    }
}
