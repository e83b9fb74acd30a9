//! From a set of targets to an engine that reaches them, kept so while routes change.

use super::{Raw, RawSettings};
use crate::{
    Dialer,
    place::{Egress, NoWay, PortFacts, Routes, SourcePorts, Ways},
    self_probe::{Choice, Finding, Obstacle, first_look, may_send_raw},
};
use config::Mode;
use futures_util::future::join_all;
use model::{AddressSet, Endpoint};
use std::{collections::BTreeMap, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval},
};
use wire::{Recording, WireError};

/// Why raw packets are of no use here, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The operator's or the machine's.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The machine's.
    #[error("the kernel does not tell its routes ({0}); raw packets need to know them")]
    Routes(#[source] io::Error),
    /// The machine's.
    #[error("no block of 256 source ports is free for raw packets; end some of the programs that listen on ports")]
    Ports,
    /// The machine's or the operator's; the error says what to do.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The network's or the operator's: the first of the reasons.
    #[error("there is no way for raw packets to {target}: {why}")]
    NoWay { target: IpAddr, why: NoWay },
    /// There is nothing else than ourselves.
    #[error(
        "every target is this machine itself, or on a link that only the kernel can address, and such are asked by connections: raw \
         packets go by Ethernet and by tunnels"
    )]
    Near,
    #[error("raw packets cannot be sent: {0}")]
    Threads(#[source] io::Error),
}

/// Raw packets that follow the scope and the routes, until this is dropped.
#[derive(Debug)]
pub struct RawAccess {
    raw: Raw,
    /// Something the operator should know, a sentence each.
    advice: Vec<String>,
    /// Why nothing can be reached; none where something can.
    trouble: Option<RawError>,
    follower: JoinHandle<()>,
}

/// Routers answer to ARP and NDP within this time, or their packets go through the kernel.
const SETTLE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A port that is asked everywhere anyhow, and how long the kernel may take over its packet.
const NUDGED: u16 = 443;
const NUDGE_FOR: Duration = Duration::from_secs(1);

impl RawAccess {
    /// The dialer asks by raw packets from now on what can be reached by them, and by connections what cannot. What that is
    /// changes with routes and scope. Where `auto` is wanted, packets are used on a link as soon as a trial shows that they are
    /// answered there ([`crate::Due`], [`RawAccess::look_first`]), and not before. Fails where this process may not, or cannot, send raw packets
    /// at all. Every packet is written down in `recording`, where there is one.
    pub async fn open(
        dialer: &Dialer,
        egress: Egress,
        ring: usize,
        wanted: Mode,
        recording: Option<Recording>,
    ) -> Result<Self, RawError> {
        may_send_raw()?;
        let facts = PortFacts::read().map_err(RawError::Routes)?;
        let source = SourcePorts::choose(&facts).ok_or(RawError::Ports)?;
        let mut routes = Routes::follow(targets(dialer), egress.clone()).map_err(RawError::Routes)?;
        // Whether the kernel may be told to ask for routers is known after the first look.
        routes.refresh();
        let nudged: Vec<Endpoint> =
            routes.unconfirmed().into_iter().filter_map(|target| nudge(dialer, target)).collect();
        routes.settle(SETTLE).await;
        let raw =
            dialer.engage(RawSettings { ports: source.block, ring, wanted, recording }).map_err(RawError::Threads)?;
        for endpoint in nudged {
            raw.0.shared.asides.note(endpoint, false, dialer.clock().now());
        }
        let ways = routes.ways();
        let mut errors = raw.follow(&ways);
        if let Some(place) = errors.iter().position(|error| matches!(error, WireError::NoPermission { .. })) {
            return Err(errors.swap_remove(place).into());
        }
        let trouble = (!raw.reaches_anything()).then(|| errors.pop().map_or_else(|| no_way(&ways), RawError::Wire));
        if let Some(trouble) = &trouble {
            raw.links().set_trouble(trouble.to_string());
        }
        let advice = source.advice.into_iter().chain(ways.limit().map(str::to_owned)).collect();
        let follower = tokio::spawn(follow(raw.clone(), routes, dialer.clone(), egress));
        Ok(Self { raw, advice, trouble, follower })
    }

    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// What asks now, packets or connections, and why.
    pub fn choice(&self) -> Choice {
        self.raw.links().choice()
    }

    /// Finds out at once whether packets are answered, from endpoints of which any may be open, one of many hosts. Where that does not show,
    /// they are used in the hope that they are.
    pub async fn look_first(&self, dialer: &Dialer, endpoints: &[Endpoint]) {
        let mut links: BTreeMap<u32, Vec<Endpoint>> = BTreeMap::new();
        for endpoint in endpoints {
            if let Some(link) = self.raw.link_to(endpoint.ip) {
                links.entry(link).or_default().push(*endpoint);
            }
        }
        let looks = links.into_iter().map(async |(link, endpoints)| {
            let finding = first_look(dialer, &endpoints).await;
            if finding != Finding::Undecided {
                self.raw.links().take(link, finding, Instant::now());
            }
        });
        join_all(looks).await;
        self.raw.links().hope();
    }

    pub fn advice(&self) -> &[String] {
        &self.advice
    }

    /// Why nothing could be reached in the beginning.
    pub fn trouble(&self) -> Option<&RawError> {
        self.trouble.as_ref()
    }
}

impl Drop for RawAccess {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

fn targets(dialer: &Dialer) -> AddressSet {
    dialer.scope().load().space(dialer.clock().now())
}

async fn follow(raw: Raw, mut routes: Routes, dialer: Dialer, egress: Egress) {
    let mut ticks = interval(LOOK_EVERY);
    let (mut scope, mut generation) = (dialer.scope().load(), routes.generation());
    loop {
        ticks.tick().await;
        let now = dialer.scope().load();
        if !Arc::ptr_eq(&scope, &now) {
            scope = now;
            routes.retarget(targets(&dialer), egress.clone());
        }
        routes.refresh();
        let asides = &raw.0.shared.asides;
        for target in routes.unconfirmed().into_iter().filter(|target| !asides.spares(*target)) {
            if let Some(endpoint) = nudge(&dialer, target) {
                asides.note(endpoint, false, dialer.clock().now());
            }
        }
        if routes.generation() != generation {
            generation = routes.generation();
            let ways = routes.ways();
            let errors = raw.follow(&ways);
            for error in &errors {
                tracing::warn!(%error, "some targets are asked by connections for now");
            }
            if errors.is_empty() && !raw.reaches_anything() {
                raw.links().set_trouble(no_way(&ways).to_string());
            }
        }
    }
}

/// Has the kernel make sure of the router that a target is behind: raw packets do not, and would go nowhere once it is another machine.
/// A connection does, and whether it comes about does not matter. Gives where it goes.
fn nudge(dialer: &Dialer, target: IpAddr) -> Option<Endpoint> {
    let endpoint = dialer.authorize(Endpoint::tcp(target, NUDGED)).ok()?;
    let dialer = dialer.clone();
    tokio::spawn(async move { dialer.begin_probe(endpoint, NUDGE_FOR).await });
    Some(endpoint.get())
}

fn no_way(ways: &Ways) -> RawError {
    let first = ways.parts().iter().find_map(|(range, way)| Some((range.first(), way.as_ref().err()?.clone())));
    first.map_or(RawError::Near, |(target, why)| RawError::NoWay { target, why })
}
