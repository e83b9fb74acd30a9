//! Control questions: an opening that says nothing may be a proxy's, a trap's or a firewall's. Where ports and addresses that
//! nothing should be behind answer as well, the answer proves nothing.

use crate::{
    conversation::Answered,
    mirage::{Mirage, block},
    network::Introduction,
    pass::Tools,
};
use model::{AddressRange, Endpoint, Transport};
use siphasher::sip::SipHasher13;
use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    net::IpAddr,
    time::Duration,
};

/// So many ports are asked, and all must answer.
const CONTROLS: usize = 3;
/// So many neighbours are asked. All must answer, and say nothing; where that many are there, a third may be real.
const NEIGHBOURS: usize = 6;
const FEWEST: usize = 2;
/// Endpoints looked through for a witness.
const MOST_WITNESSES: usize = 32;
/// Ports from here on are seldom anybody's.
const HIGH_PORTS: u16 = 20_000;

/// Whether somebody said something.
pub(crate) fn is_mute(answered: &[Answered]) -> bool {
    answered
        .iter()
        .flat_map(|answer| &answer.services)
        .all(|service| service.service.is_none() && service.tls.is_none())
}

/// Hears another endpoint of a host one of whose services behind a mirage has fallen mute: silence says something of a port
/// only while its host is heard elsewhere. First one where an answer proves something, else one that speaks.
pub(crate) async fn witness(tools: &Tools, endpoint: Endpoint) -> Answered {
    let others: Vec<Endpoint> = {
        let inventory = tools.index.read();
        let opened = inventory.row(endpoint.ip).into_iter().flat_map(inventory::Row::opened);
        opened.map(|(_, other)| other).filter(|other| *other != endpoint).take(MOST_WITNESSES).collect()
    };
    let (behind, before): (Vec<Endpoint>, Vec<Endpoint>) =
        others.into_iter().partition(|other| tools.mirages.hold(other));
    if let Some(&sound) = before.first() {
        let found = tools.network.ask(vec![sound], Duration::ZERO).await;
        return Answered { ports: found.into_iter().map(|found| found.observation).collect(), services: Vec::new() };
    }
    for other in behind {
        let known = tools.index.get(&other).unwrap_or_default();
        if known.prior.is_some() || known.tls {
            let whom = Introduction { endpoint: other, name: None, prior: known.prior, prior_tls: known.tls };
            let conversation = tools.network.identify(whom).await;
            return Answered { ports: conversation.ports, services: conversation.observation.into_iter().collect() };
        }
    }
    Answered::default()
}

/// Asks what should not answer beside an endpoint that opened and says nothing, and takes note of what it shows.
pub(crate) async fn examine(tools: &Tools, endpoint: Endpoint) {
    if endpoint.transport != Transport::Tcp || tools.mirages.hold(&endpoint) {
        return;
    }
    let ports = other_ports(tools, endpoint, 0);
    let neighbours = neighbours(tools, endpoint);
    let asked = ports.iter().chain(&neighbours).copied().collect();
    let open: HashSet<Endpoint> = tools
        .network
        .ask(asked, Duration::ZERO)
        .await
        .into_iter()
        .filter(|found| found.observation.outcome.is_open())
        .map(|found| found.observation.endpoint)
        .collect();
    let all = |endpoints: &[Endpoint], fewest: usize| {
        endpoints.len() >= fewest && endpoints.iter().all(|endpoint| open.contains(endpoint))
    };
    let now = tools.clock.now();
    let first = block(endpoint.ip).first();
    // Neighbours that open may simply not be known yet. Nobody behind a mirage says anything.
    let is_everywhere = all(&neighbours, FEWEST) && are_nobody(tools, &neighbours).await;
    match (all(&ports, CONTROLS), is_everywhere) {
        (true, true) => tools.mirages.see(Mirage::Prefix(first, None), now),
        (true, false) => tools.mirages.see(Mirage::Host(endpoint.ip), now),
        (false, true) => tools.mirages.see(Mirage::Prefix(first, Some(endpoint.port)), now),
        (false, false) => {}
    }
}

/// Whether these, which all let themselves be connected to, are nobody: whether too many of them say nothing to be the hosts
/// of a dense network, of which now and then one says nothing because its words were lost.
async fn are_nobody(tools: &Tools, endpoints: &[Endpoint]) -> bool {
    let mut mute = 0;
    for &endpoint in endpoints {
        let conversation =
            tools.network.identify(Introduction { endpoint, name: None, prior: None, prior_tls: false }).await;
        let said = conversation.observation.is_some_and(|said| said.service.is_some() || said.tls.is_some());
        mute += usize::from(!said && conversation.ports.iter().any(|port| port.outcome.is_open()));
    }
    if endpoints.len() < NEIGHBOURS { mute == endpoints.len() } else { mute * 3 >= endpoints.len() * 2 }
}

/// Whether a mirage is still there: none of what it should not answer for does any more.
pub(crate) async fn is_gone(tools: &Tools, mirage: Mirage) -> bool {
    let turn = tools.clock.now().as_second().unsigned_abs();
    let asked: Vec<Endpoint> = match mirage {
        Mirage::Host(ip) => other_ports(tools, Endpoint::tcp(ip, 1), turn),
        Mirage::Prefix(first, port) => {
            let port = port.unwrap_or_else(|| HIGH_PORTS + u16::try_from(turn % 40_000).unwrap_or(0));
            neighbours(tools, Endpoint::tcp(first, port))
        }
    };
    if asked.is_empty() {
        return false;
    }
    let found = tools.network.ask(asked, Duration::ZERO).await;
    // What could not be asked shows nothing.
    !found.is_empty()
        && found.iter().all(|found| found.observation.outcome.is_evidence() && !found.observation.outcome.is_open())
}

/// High ports of the host that are not known, different ones for each endpoint and turn.
fn other_ports(tools: &Tools, endpoint: Endpoint, turn: u64) -> Vec<Endpoint> {
    let mut ports = Vec::new();
    for attempt in 0_u64..16 {
        let number = digest(&(endpoint, turn, attempt)) % u64::from(u16::MAX - HIGH_PORTS);
        let port = HIGH_PORTS + u16::try_from(number).unwrap_or(0);
        let other = Endpoint::tcp(endpoint.ip, port);
        if ports.len() < CONTROLS && !ports.contains(&other) && !tools.index.contains(&other) {
            ports.push(other);
        }
    }
    ports
}

/// Addresses beside it that are in scope and at which nothing is known, or nothing but what a mirage answered.
fn neighbours(tools: &Tools, endpoint: Endpoint) -> Vec<Endpoint> {
    let (range, now) = (block(endpoint.ip), tools.clock.now());
    let scope = tools.scope.load();
    let inventory = tools.index.read();
    let is_nobody = |ip: IpAddr| inventory.row(ip).is_none_or(|host| !host.speaks());
    let mut others: Vec<(u64, IpAddr)> = addresses(range)
        .filter(|ip| *ip != endpoint.ip && scope.contains(*ip, now) && is_nobody(*ip))
        .map(|ip| (digest(&(endpoint, ip)), ip))
        .collect();
    others.sort_unstable();
    others.into_iter().take(NEIGHBOURS).map(|(_, ip)| Endpoint::tcp(ip, endpoint.port)).collect()
}

/// Those of a block, which has at most 256.
fn addresses(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    let (first, last) = (range.first(), range.last());
    (0_u32..256).filter_map(move |offset| {
        let ip: IpAddr = match first {
            IpAddr::V4(ip) => std::net::Ipv4Addr::from(u32::from(ip).checked_add(offset)?).into(),
            IpAddr::V6(ip) => std::net::Ipv6Addr::from(u128::from(ip).checked_add(u128::from(offset))?).into(),
        };
        (ip <= last).then_some(ip)
    })
}

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = SipHasher13::new();
    of.hash(&mut hasher);
    hasher.finish()
}
