//! What a probe costs before it is a packet: nanoseconds for its place in the order, its endpoint, the way back, and the last
//! guard.
//!
//! `cargo run --release -p scope --example speed`. Each figure is the best of five rounds of a million steps, in time on a
//! processor: what else the machine does counts little. "Chained" takes each result as the next input: that is what one answer
//! waits for.

#![expect(clippy::print_stdout, reason = "the figures are its purpose")]

use jiff::Timestamp;
use model::{AddressSet, Endpoint, PortSet, Target, Transport};
use scope::{AssetScope, Permutation, Scope, ScopeHandle, Space};
use std::{
    fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
};

const STEPS: u64 = 1_000_000;
const ROUNDS: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for n in [256 * 65_535, 65_536 * 65_535, u64::MAX] {
        let order = Permutation::new(n, 42);
        tell(&format!("order of {n}"), |i| order.at(i).unwrap_or_default());
        tell(&format!("order of {n}, inverse"), |i| order.index_of(i).unwrap_or_default());
        let mut value = 1;
        tell(&format!("order of {n}, chained"), |_| {
            value = order.at(value).unwrap_or_default();
            value
        });
        let mut value = 1;
        tell(&format!("order of {n}, inverse, chained"), |_| {
            value = order.index_of(value).unwrap_or_default();
            value
        });
    }
    let now = Timestamp::UNIX_EPOCH;
    let few = ["192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/25", "10.0.0.0/12", "2001:db8::/112"];
    let many: Vec<String> = (0..20_000_u32).map(|n| Ipv4Addr::from(0x0a00_0000 + n * 64).to_string()).collect();
    for (name, targets, tcp) in [
        ("five ranges, 20 ports", few.map(String::from).to_vec(), "top:20"),
        ("five ranges, all ports", few.map(String::from).to_vec(), "all"),
        ("20,000 ranges, 1,000 ports", many, "top:1000"),
    ] {
        let scope = scope_of(&targets)?;
        let everything = scope.space(now);
        let space = scope.space_for(&everything, &PortSet::parse(tcp, Transport::Tcp)?, &PortSet::empty(), now)?;
        measure(name, &space, &ScopeHandle::new(scope), now);
    }
    let scope = scope_of(&few.map(String::from))?;
    let endpoints = (0..10_000).map(|n| Endpoint::tcp(Ipv4Addr::from(0xc612_0000 + n * 7).into(), 443));
    let (space, _) = scope.list_for(endpoints, now);
    measure("list of 10,000", &space, &ScopeHandle::new(scope), now);
    Ok(())
}

fn scope_of(targets: &[String]) -> Result<Scope, Box<dyn std::error::Error>> {
    let targets = targets.iter().map(|text| text.parse()).collect::<Result<Vec<Target>, _>>()?;
    let exclude: AddressSet =
        ["192.0.2.7", "198.51.100.64/27"].iter().filter_map(|text| text.parse::<Target>().ok()?.range()).collect();
    Ok(Scope::new(vec![AssetScope { name: "all".into(), targets, until: None }], exclude))
}

fn measure(name: &str, space: &Space, handle: &ScopeHandle, now: Timestamp) {
    let order = Permutation::new(space.len(), 7);
    let sample: Vec<u64> = (0..1 << 12).filter_map(|i| order.at(i % space.len())).collect();
    let endpoints: Vec<Endpoint> =
        sample.iter().filter_map(|number| space.at(*number)).map(|leave| leave.get()).collect();
    let number = |i: u64| sample[usize::try_from(i).unwrap_or_default() % sample.len()];
    let endpoint = |i: u64| endpoints[usize::try_from(i).unwrap_or_default() % endpoints.len()];
    tell(&format!("{name}: endpoint of a number"), |i| space.at(number(i)).map_or(0, |leave| leave.get().port.into()));
    tell(&format!("{name}: next of the order"), |i| {
        order.at(i % 4_096).and_then(|number| space.at(number)).map_or(0, |leave| leave.get().port.into())
    });
    tell(&format!("{name}: number of an endpoint"), |i| space.number_of(&endpoint(i)).unwrap_or_default());
    let guard = handle.last_guard(now);
    tell(&format!("{name}: guard by address"), |i| u64::from(guard.permits(endpoint(i).ip)));
    let packets: Vec<Vec<u8>> = endpoints.iter().map(packet).collect();
    let packet = |i: u64| &packets[usize::try_from(i).unwrap_or_default() % packets.len()];
    tell(&format!("{name}: guard by packet"), |i| u64::from(guard.permits_packet(packet(i))));
}

/// As much of a packet as the guard reads.
fn packet(to: &Endpoint) -> Vec<u8> {
    let mut packet = match to.ip {
        IpAddr::V4(ip) => [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1][..], &ip.octets()].concat(),
        IpAddr::V6(ip) => [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &[0; 16], &ip.octets()].concat(),
    };
    packet.extend([0xea, 0x60]);
    packet.extend(to.port.to_be_bytes());
    packet.extend([0; 16]);
    packet
}

fn tell(what: &str, mut step: impl FnMut(u64) -> u64) {
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let began = busy();
        let mut sum = 0_u64;
        for i in 0..STEPS {
            sum = sum.wrapping_add(step(i));
        }
        black_box(sum);
        best = best.min(busy() - began);
    }
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds for people")]
    let nanoseconds = best as f64 / STEPS as f64;
    println!("{nanoseconds:6.1} ns  {what}");
}

/// Nanoseconds this process has been on a processor; it has one thread.
fn busy() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
