//! The links raw packets go by, each with what is known of how they fare there, and what is chosen by it.

use super::{Backend, Choice, Finding, SelfProbe};
use arc_swap::ArcSwap;
use config::Mode;
use model::{Endpoint, Transport};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Endpoints kept of each link that accepted a connection or answered a packet, one of each host.
const WITNESSES: usize = 8;

/// What is used on which link. Links are known by their index.
#[derive(Debug)]
pub(crate) struct Links {
    inner: Mutex<Inner>,
    /// By which raw packets ask. Read before every question.
    used: ArcSwap<BTreeSet<u32>>,
}

#[derive(Debug)]
struct Inner {
    wanted: Mode,
    links: BTreeMap<u32, OnLink>,
    /// Why there is no link, or fewer than there were.
    trouble: Option<String>,
}

#[derive(Debug)]
struct OnLink {
    probe: SelfProbe,
    /// Leads to targets now.
    is_there: bool,
    /// The latest first.
    witnesses: VecDeque<Endpoint>,
    is_tried: bool,
}

/// A trial that is due: of which link, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub link: u32,
    pub endpoints: Vec<Endpoint>,
}

impl Links {
    /// Used as wanted from the first packet on.
    pub(crate) fn new(wanted: Mode) -> Self {
        Self {
            inner: Mutex::new(Inner { wanted, links: BTreeMap::new(), trouble: None }),
            used: ArcSwap::from_pointee(BTreeSet::new()),
        }
    }

    pub(crate) fn uses(&self, link: u32) -> bool {
        self.used.load().contains(&link)
    }

    /// These lead to targets now, each with its name; `trouble`: why there are none, or why some are left out.
    pub(crate) fn set(&self, links: impl IntoIterator<Item = (u32, String)>, trouble: Option<String>, now: Instant) {
        self.change(|inner| {
            inner.trouble = trouble;
            inner.links.values_mut().for_each(|link| link.is_there = false);
            let wanted = inner.wanted;
            for (index, name) in links {
                let link = inner.links.entry(index).or_insert_with(|| OnLink {
                    probe: SelfProbe::new(&name, wanted, None, now),
                    is_there: true,
                    witnesses: VecDeque::new(),
                    is_tried: false,
                });
                link.is_there = true;
            }
        });
    }

    /// Why there is no link.
    pub(crate) fn set_trouble(&self, trouble: String) {
        self.lock().trouble = Some(trouble);
    }

    /// It accepted a connection, or answered a packet: one to ask in both ways.
    pub(crate) fn met(&self, link: u32, endpoint: Endpoint) {
        let mut inner = self.lock();
        let Some(link) = inner.links.get_mut(&link).filter(|_| endpoint.transport == Transport::Tcp) else { return };
        link.witnesses.retain(|known| known.ip != endpoint.ip);
        link.witnesses.push_front(endpoint);
        link.witnesses.truncate(WITNESSES);
    }

    /// It accepted a connection and had been silent to a packet.
    pub(crate) fn doubt(&self, link: u32, endpoint: Endpoint, now: Instant) {
        self.met(link, endpoint);
        if let Some(link) = self.lock().links.get_mut(&link) {
            link.probe.doubt(now);
        }
    }

    /// A trial that should be made now, by whoever takes it and gives its [finding](Links::take).
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        let mut inner = self.lock();
        let is_due =
            |link: &OnLink| link.is_there && !link.is_tried && !link.witnesses.is_empty() && link.probe.is_due(now);
        let (index, link) = inner.links.iter_mut().find(|(_, link)| is_due(link))?;
        link.is_tried = true;
        Some(Due { link: *index, endpoints: link.witnesses.iter().copied().collect() })
    }

    /// What a trial came to.
    pub(crate) fn take(&self, link: u32, finding: Finding, now: Instant) {
        self.change(|inner| {
            let Some(link) = inner.links.get_mut(&link) else { return };
            link.is_tried = false;
            let before = link.probe.choice();
            link.probe.take(finding, now);
            let choice = link.probe.choice();
            if (choice.backend, choice.is_proven) != (before.backend, before.is_proven) {
                match choice.backend {
                    Backend::Raw => tracing::info!("{}; they are used from now on", choice.why),
                    Backend::Connect => tracing::warn!("{}; it is asked by connections", choice.why),
                }
            }
        });
    }

    /// A trial that was given up comes to nothing.
    pub(crate) fn give_up(&self, link: u32) {
        if let Some(link) = self.lock().links.get_mut(&link) {
            link.is_tried = false;
        }
    }

    /// Uses raw packets although nothing shows yet that they are answered.
    pub(crate) fn hope(&self) {
        self.change(|inner| {
            inner.wanted = Mode::Raw;
            inner.links.values_mut().for_each(|link| link.probe.want(Mode::Raw));
        });
    }

    /// What is used and why, over all links.
    pub(crate) fn choice(&self) -> Choice {
        let inner = self.lock();
        let choices: Vec<(bool, Choice)> = inner
            .links
            .values()
            .filter(|link| link.is_there)
            .map(|link| (link.is_used(inner.wanted), link.probe.choice()))
            .collect();
        let backend = if choices.iter().any(|(is_used, _)| *is_used) { Backend::Raw } else { Backend::Connect };
        let mut why: Vec<String> = choices
            .iter()
            .map(|(is_used, choice)| match (is_used, choice.backend) {
                (false, Backend::Raw) => format!("{}, and until then connections ask", choice.why),
                _ => choice.why.clone(),
            })
            .collect();
        why.extend(inner.trouble.clone());
        let is_proven = choices.iter().all(|(is_used, choice)| !is_used || choice.is_proven);
        Choice { backend, why: why.join("; "), is_proven }
    }

    /// What is worse than it was, or than is wanted, a sentence each.
    pub(crate) fn handicaps(&self) -> Vec<String> {
        self.lock().links.values().filter(|link| link.is_there).filter_map(|link| link.probe.handicap()).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        let wanted = inner.wanted;
        let used = inner.links.iter().filter(|(_, link)| link.is_used(wanted)).map(|(index, _)| *index).collect();
        // Within the lock: of two changes the later one stays.
        self.used.store(Arc::new(used));
    }

    /// Nothing that holds it can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnLink {
    /// What nobody has seen work yet is used only where the operator wants it.
    fn is_used(&self, wanted: Mode) -> bool {
        let choice = self.probe.choice();
        choice.backend == Backend::Raw && (choice.is_proven || wanted == Mode::Raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, time::Duration};

    fn endpoint(last: u8) -> Endpoint {
        Endpoint::tcp(Ipv4Addr::new(192, 0, 2, last).into(), 22)
    }

    fn links(wanted: Mode) -> Links {
        let links = Links::new(wanted);
        links.set([(3, "eth0".to_owned()), (5, "wg0".to_owned())], None, Instant::now());
        links
    }

    #[tokio::test(start_paused = true)]
    async fn each_link_is_judged_by_its_own() {
        let links = links(Mode::Auto);
        let now = Instant::now();
        assert_eq!((links.uses(3), links.uses(5), links.due(now)), (false, false, None));
        let choice = links.choice();
        assert!(choice.backend == Backend::Connect && choice.why.contains("until then connections ask"), "{choice:?}");
        links.met(3, endpoint(1));
        links.met(5, endpoint(2));
        links.met(5, Endpoint { transport: Transport::Udp, ..endpoint(3) });
        links.met(9, endpoint(4));
        // Each trial is somebody's until it is taken or given up.
        assert_eq!(links.due(now), Some(Due { link: 3, endpoints: vec![endpoint(1)] }));
        assert_eq!(links.due(now), Some(Due { link: 5, endpoints: vec![endpoint(2)] }));
        assert_eq!(links.due(now), None);
        links.give_up(5);
        assert_eq!(links.due(now).map(|due| due.link), Some(5));
        links.take(3, Finding::Works, now);
        links.take(5, Finding::Dropped(vec![endpoint(2)]), now);
        assert_eq!((links.uses(3), links.uses(5)), (true, false));
        let choice = links.choice();
        assert!(choice.backend == Backend::Raw && choice.why.contains("eth0 are answered; raw packets by wg0 get no"));
        // It never worked there, so it is no worse than it was.
        assert_eq!(links.handicaps(), Vec::<String>::new());
        links.doubt(3, endpoint(7), now + Duration::from_mins(2));
        let later = now + Duration::from_mins(2);
        assert_eq!(links.due(later), Some(Due { link: 3, endpoints: vec![endpoint(7), endpoint(1)] }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_is_used_until_it_is_seen_to_be_dropped() {
        let links = links(Mode::Raw);
        let now = Instant::now();
        assert!(links.uses(3) && links.uses(5));
        links.take(3, Finding::Dropped(vec![endpoint(1)]), now);
        assert_eq!((links.uses(3), links.handicaps().len()), (false, 1));
        // A link that leads nowhere is no handicap of packets.
        links.set([(5, "wg0".to_owned())], Some("eth0 is gone".to_owned()), now);
        assert_eq!(links.handicaps(), Vec::<String>::new());
        assert!(links.choice().why.ends_with("eth0 is gone"));
        // What was learnt of it stands when it comes back.
        links.set([(3, "eth0".to_owned())], None, now);
        assert_eq!((links.uses(3), links.handicaps().len()), (false, 1));
        links.take(3, Finding::Works, now);
        assert_eq!((links.uses(3), links.handicaps().len()), (true, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn hope_is_enough_where_somebody_asks_for_it() {
        let links = links(Mode::Auto);
        assert!(!links.uses(3));
        links.hope();
        assert!(links.uses(3) && !links.choice().is_proven);
    }

    #[tokio::test(start_paused = true)]
    async fn witnesses_are_few_and_of_many_hosts() {
        let links = links(Mode::Auto);
        for last in 0..100 {
            links.met(3, endpoint(last));
            links.met(3, Endpoint { port: 80, ..endpoint(last) });
        }
        let due = links.due(Instant::now()).expect("a trial");
        let expect: Vec<Endpoint> = (92..100).rev().map(|last| Endpoint { port: 80, ..endpoint(last) }).collect();
        assert_eq!(due.endpoints, expect);
    }
}
