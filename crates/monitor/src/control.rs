//! Control questions: an opening that says nothing may be a proxy's, a trap's or a firewall's. Where ports and addresses that
//! nothing should be behind answer as well, the answer proves nothing.

use crate::{
    conversation::Answered,
    looks,
    mirage::{Mirage, Prefix, block, near},
    network::Introduction,
    pass::{Plan, Tools},
    presence,
};
use model::{AddressRange, AddressSet, Endpoint, PortObservation, Transport};
use scope::ledger::Why;
use siphasher::sip::SipHasher13;
use std::{
    collections::{BTreeMap, HashSet},
    hash::{Hash, Hasher},
    net::IpAddr,
    time::Duration,
};
use tokio::{sync::OnceCell, task::JoinSet};

/// So many ports are asked, and all must answer.
const CONTROLS: usize = 3;
/// So many neighbours at least must answer on the same port and say nothing: the machines of a small cluster open one together,
/// and nothing tells them from something that answers for all of them.
const NEIGHBOURS: usize = 6;
/// So many must answer on a port that was drawn by lot, which is hardly ever open.
const FEWEST: usize = 2;
/// So many are asked at each distance, and more where that does not come to enough.
const OF_A_RING: usize = 2;
/// So many hosts of a prefix are asked whether it still answers.
const WITNESSES: usize = 2;
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
        let found = tools.network.because(Why::Control).ask(vec![sound], Duration::ZERO).await;
        return Answered { ports: found.into_iter().map(|found| found.observation).collect(), services: Vec::new() };
    }
    for other in behind {
        let known = tools.index.get(&other).unwrap_or_default();
        if known.prior.is_some() || known.tls {
            let earlier = looks::earlier(&tools.index, &other, None);
            let whom = Introduction {
                endpoint: other,
                name: None,
                learnt: false,
                prior: known.prior,
                prior_tls: known.tls,
                earlier,
                sighting: None,
            };
            let conversation = tools.network.because(Why::Control).identify(whom).await;
            return Answered { ports: conversation.ports, services: conversation.observation.into_iter().collect() };
        }
    }
    Answered::default()
}

/// Prefixes in which nothing of what was found open answers any more, where they are being learnt: a firewall may have begun to
/// bar us while we asked, and what it hid would be news one day.
pub(crate) async fn shut_since(
    tools: &Tools,
    plan: &Plan,
    group: &AddressSet,
    seen: impl Iterator<Item = &PortObservation>,
) -> AddressSet {
    let Some(port) = plan.tcp.iter().next() else { return AddressSet::empty() };
    if group.iter().all(|ip| tools.index.is_covered(&Endpoint::tcp(ip, port))) {
        return AddressSet::empty();
    }
    let mut open: BTreeMap<IpAddr, Vec<Endpoint>> = BTreeMap::new();
    let found = seen.filter(|port| port.outcome.is_open() && port.endpoint.transport == Transport::Tcp);
    for endpoint in found.map(|port| port.endpoint) {
        let witnesses = open.entry(near(endpoint.ip).first()).or_default();
        if witnesses.len() < WITNESSES && witnesses.iter().all(|other| other.ip != endpoint.ip) {
            witnesses.push(endpoint);
        }
    }
    let still = open_among(tools, open.values().flatten().copied().collect()).await;
    let shut = open.into_values().filter(|witnesses| !witnesses.iter().any(|witness| still.contains(witness)));
    shut.filter_map(|witnesses| witnesses.first().map(|witness| near(witness.ip))).collect()
}

/// Asks what should not answer beside an endpoint that opened and says nothing, and takes note of what it shows. What was asked of
/// its host before, for another of its endpoints, is not asked again.
pub(crate) async fn examine(tools: &Tools, endpoint: Endpoint, anything_answers: &OnceCell<bool>) {
    if endpoint.transport != Transport::Tcp || tools.mirages.hold(&endpoint) {
        return;
    }
    let Some(_turn) = tools.mirages.look(endpoint.ip).await else { return };
    if tools.mirages.hold(&endpoint) {
        // Somebody else has just seen through it.
        return;
    }
    let found = if *anything_answers.get_or_init(|| answers_anything(tools, endpoint.ip)).await {
        // Where a port that was drawn by lot answers at the neighbours too, nobody has to be asked who he is.
        let rings = rings(tools, endpoint.ip, high_port(tools));
        let open = open_among(tools, rings.iter().flat_map(|ring| ring.members.clone()).collect()).await;
        let prefix = widest(&rings, FEWEST, |member| open.contains(member));
        say(endpoint, &rings, &open);
        Some(prefix.map_or(Mirage::Host(endpoint.ip), |prefix| Mirage::Prefix(prefix, None)))
    } else {
        // Neighbours that open may simply not be known yet. Nobody behind a mirage says anything.
        let rings = rings(tools, endpoint.ip, endpoint.port);
        let members = || rings.iter().flat_map(|ring| ring.members.iter().copied());
        let open = open_among(tools, members().collect()).await;
        match widest(&rings, NEIGHBOURS, |member| open.contains(member)) {
            Some(prefix) => {
                let inside = members().filter(|member| prefix.range().contains(member.ip)).collect();
                let mute = mute_among(tools, inside).await;
                let prefix = widest_of_nobodies(&rings, &mute);
                prefix.map(|prefix| {
                    say(endpoint, &rings, &mute);
                    Mirage::Prefix(prefix, Some(endpoint.port))
                })
            }
            None => None,
        }
    };
    if let Some(mirage) = found {
        tools.mirages.see(mirage, tools.clock.now());
    }
}

/// Whether ports of a host open that nobody should be behind.
async fn answers_anything(tools: &Tools, ip: IpAddr) -> bool {
    let ports = other_ports(tools, ip);
    let open = open_among(tools, ports.clone()).await;
    ports.len() >= CONTROLS && ports.iter().all(|port| open.contains(port))
}

/// What a finding rests on, for whoever doubts it.
fn say(endpoint: Endpoint, rings: &[Ring], answered: &HashSet<Endpoint>) {
    let asked: Vec<IpAddr> = rings.iter().flat_map(|ring| &ring.members).map(|member| member.ip).collect();
    let answered: Vec<&Endpoint> = answered.iter().collect();
    tracing::info!(%endpoint, ?asked, ?answered, "answers like one that answers for everybody");
}

/// Which of these open.
async fn open_among(tools: &Tools, endpoints: Vec<Endpoint>) -> HashSet<Endpoint> {
    let found = tools
        .network
        .because(Why::Control)
        .ask(endpoints, Duration::ZERO)
        .await
        .into_iter()
        .map(|found| found.observation);
    found.filter(|seen| seen.outcome.is_open()).map(|seen| seen.endpoint).collect()
}

/// Which of these let themselves be connected to and say nothing. They are at different addresses, and asked at once.
async fn mute_among(tools: &Tools, endpoints: Vec<Endpoint>) -> HashSet<Endpoint> {
    let mut talks = JoinSet::new();
    for endpoint in endpoints {
        let network = tools.network.because(Why::Control);
        talks.spawn(async move {
            let conversation = network.identify(Introduction::first(endpoint)).await;
            let said = conversation.observation.is_some_and(|said| said.service.is_some() || said.tls.is_some());
            (!said && conversation.ports.iter().any(|port| port.outcome.is_open())).then_some(endpoint)
        });
    }
    let mut mute = HashSet::new();
    while let Some(ended) = talks.join_next().await {
        // One that ended in a bug shows nothing.
        mute.extend(ended.ok().flatten());
    }
    mute
}

/// The neighbours of an address at one distance.
#[derive(Debug)]
struct Ring {
    /// The narrowest prefix that holds them and the address.
    prefix: Prefix,
    members: Vec<Endpoint>,
}

/// The widest prefix around the address in which all do, where so many were asked.
fn widest(rings: &[Ring], fewest: usize, does: impl Fn(&Endpoint) -> bool) -> Option<Prefix> {
    let mut asked = 0;
    let inside = rings.iter().take_while(|ring| ring.members.iter().all(&does));
    inside.fold(None, |widest, ring| {
        asked += ring.members.len();
        if asked >= fewest { Some(ring.prefix) } else { widest }
    })
}

/// The widest prefix in which too many say nothing to be the hosts of a dense network, of which now and then one says nothing
/// because its words were lost: a third may be real.
fn widest_of_nobodies(rings: &[Ring], mute: &HashSet<Endpoint>) -> Option<Prefix> {
    let (mut asked, mut nobodies, mut widest) = (0, 0, None);
    for ring in rings {
        let silent = ring.members.iter().filter(|member| mute.contains(member)).count();
        if silent == 0 {
            break;
        }
        asked += ring.members.len();
        nobodies += silent;
        if asked >= NEIGHBOURS && nobodies * 3 >= asked * 2 {
            widest = Some(ring.prefix);
        }
    }
    widest
}

/// Whether a mirage has gone: of what it should not answer for, nothing does any more, or hardly anything.
pub(crate) async fn is_gone(tools: &Tools, mirage: Mirage) -> bool {
    let asked: Vec<Endpoint> = match mirage {
        Mirage::Unseen(prefix) => return presence::is_gone(tools, prefix.range()).await,
        Mirage::Host(ip) => other_ports(tools, ip),
        Mirage::Prefix(prefix, port) => {
            let port = port.unwrap_or_else(|| high_port(tools));
            nobodies(tools, prefix.range()).into_iter().take(NEIGHBOURS).map(|ip| Endpoint::tcp(ip, port)).collect()
        }
    };
    if asked.is_empty() {
        return false;
    }
    let found = tools.network.because(Why::Control).ask(asked, Duration::ZERO).await;
    // What could not be asked shows nothing.
    let is_asked = found.iter().all(|found| found.observation.outcome.is_evidence());
    let open = found.iter().filter(|found| found.observation.outcome.is_open()).count();
    is_asked
        && !found.is_empty()
        && match mirage {
            Mirage::Host(_) => open == 0,
            // Some of them may have opened the port themselves.
            Mirage::Prefix(..) | Mirage::Unseen(_) => open * 2 < found.len(),
        }
}

/// A port that is seldom anybody's, drawn by lot.
fn high_port(tools: &Tools) -> u16 {
    let number = digest(&tools.mirages.draw()) % u64::from(u16::MAX - HIGH_PORTS);
    HIGH_PORTS + u16::try_from(number).unwrap_or(0)
}

/// High ports of the host that are not known, other ones each time.
fn other_ports(tools: &Tools, ip: IpAddr) -> Vec<Endpoint> {
    let mut ports = Vec::new();
    for _ in 0..16 {
        let other = Endpoint::tcp(ip, high_port(tools));
        if ports.len() < CONTROLS && !ports.contains(&other) && !tools.index.contains(&other) {
            ports.push(other);
        }
    }
    ports
}

/// Some of the neighbours, nearest ones first.
fn rings(tools: &Tools, ip: IpAddr, port: u16) -> Vec<Ring> {
    let mut others = nobodies(tools, block(ip));
    others.retain(|other| *other != ip);
    let mut rings: Vec<Ring> = Vec::new();
    let mut spare = Vec::new();
    for prefix in Prefix::around(ip) {
        let (mut inside, outside): (Vec<IpAddr>, _) =
            others.into_iter().partition(|other| prefix.range().contains(*other));
        others = outside;
        let place = rings.len();
        spare.extend(inside.drain(OF_A_RING.min(inside.len())..).map(|ip| (place, Endpoint::tcp(ip, port))));
        if !inside.is_empty() {
            rings.push(Ring { prefix, members: inside.into_iter().map(|ip| Endpoint::tcp(ip, port)).collect() });
        }
    }
    let asked: usize = rings.iter().map(|ring| ring.members.len()).sum();
    for (place, member) in spare.into_iter().take(NEIGHBOURS.saturating_sub(asked)) {
        rings[place].members.push(member);
    }
    rings
}

/// Addresses of a block that are in scope and at which nothing is known, or nothing but what a mirage answered: in an order
/// drawn by lot.
fn nobodies(tools: &Tools, range: AddressRange) -> Vec<IpAddr> {
    let (now, lot) = (tools.clock.now(), tools.mirages.draw());
    let scope = tools.scope.load();
    let inventory = tools.index.read();
    let is_nobody = |ip: IpAddr| inventory.row(ip).is_none_or(|host| !host.speaks());
    let mut others: Vec<IpAddr> = addresses(range).filter(|ip| scope.contains(*ip, now) && is_nobody(*ip)).collect();
    others.sort_by_cached_key(|ip| digest(&(lot, ip)));
    others
}

/// Those of a block, which has at most 256.
pub(crate) fn addresses(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    let (first, last) = (range.first(), range.last());
    (0_u32..256).filter_map(move |offset| {
        let ip: IpAddr = match first {
            IpAddr::V4(ip) => std::net::Ipv4Addr::from(u32::from(ip).checked_add(offset)?).into(),
            IpAddr::V6(ip) => std::net::Ipv6Addr::from(u128::from(ip).checked_add(u128::from(offset))?).into(),
        };
        (ip <= last).then_some(ip)
    })
}

pub(crate) fn digest(of: &impl Hash) -> u64 {
    let mut hasher = SipHasher13::new();
    of.hash(&mut hasher);
    hasher.finish()
}
