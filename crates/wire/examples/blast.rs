//! How many SYNs a second of processor time the way out carries: into a network of darkness, between two network
//! namespaces of its own that nothing leads out of. Needs root and `nft`.
//!
//! ```text
//! cargo run --release -p wire --example blast -- [PACKETS]
//! ```
//!
//! Two rows: `same` sends the same 64 packets over and over, which is what a loop around the system call costs; `fresh` makes a cookie and
//! a packet for each target. Both with a ring that listens beside it. The packets are counted where they arrive.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::time::Instant;
use wire::{
    Batch, Cookies, Epoch, Filter, Heard, Link, LinkKind, NextHop, PacketTransmit, PortBlock, Receive, RingReceive,
    SynTemplate, Tag, Transmit, read, ticks,
};

const NEAR_MAC: &str = "02:77:00:00:01:01";
const FAR_MAC: &str = "02:77:00:00:01:02";
const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// A /12.
const DARK: u32 = 0x0a20_0000;
const TARGETS: u64 = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [inside, mode, packets] if inside == "inside" => {
            blast(mode == "fresh", packets.parse().expect("a number of packets"));
        }
        rest => {
            let packets = rest.first().map_or("4000000", String::as_str);
            for mode in ["same", "fresh", "same", "fresh"] {
                let pair = Pair::new();
                let program = std::env::current_exe().expect("the program knows itself");
                let said = ip(&["netns", "exec", &pair.near, &program.to_string_lossy(), "inside", mode, packets]);
                say(&format!("{mode:>5}  {}  {}\n", said.trim(), pair.arrived()));
            }
        }
    }
}

/// Two namespaces, joined by a veth pair.
struct Pair {
    near: String,
    far: String,
}

impl Pair {
    fn new() -> Self {
        let [near, far] = ["near", "far"].map(|side| format!("perilab-{}-0-{side}", std::process::id()));
        let pair = Self { near, far };
        ip(&["netns", "add", &pair.near]);
        ip(&["netns", "add", &pair.far]);
        let peer = ["peer", "name", "far0", "address", FAR_MAC, "netns", &pair.far];
        ip(&[&["-n", &pair.near, "link", "add", "near0", "address", NEAR_MAC, "type", "veth"][..], &peer].concat());
        ip(&["-n", &pair.near, "addr", "add", "10.77.0.1/24", "dev", "near0"]);
        ip(&["-n", &pair.near, "link", "set", "near0", "up"]);
        ip(&["-n", &pair.far, "link", "set", "far0", "up"]);
        let rules = "table netdev dark {\n counter arrived { }\n chain swallow {\n \
                     type filter hook ingress device far0 priority 0;\n counter name arrived drop\n }\n}";
        ip(&["netns", "exec", &pair.far, "nft", rules]);
        pair
    }

    fn arrived(&self) -> String {
        let listed = ip(&["netns", "exec", &self.far, "nft", "list", "counter", "netdev", "dark", "arrived"]);
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        format!("{} arrived", words.nth(1).unwrap_or("none"))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.near]);
        ip(&["netns", "del", &self.far]);
    }
}

fn ip(arguments: &[&str]) -> String {
    testkit::output_of(Command::new("ip").args(arguments))
}

fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("stdout takes it");
}

fn blast(fresh: bool, packets: u64) {
    let index = rustix::net::netdevice::name_to_index(
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None).expect("a socket"),
        "near0",
    )
    .expect("the link");
    let octets = |text: &str| text.parse::<model::Mac>().expect("an address").0;
    let kind = LinkKind::Ethernet { mac: octets(NEAR_MAC) };
    let link = Link { index, name: "near0".to_owned(), kind, mtu: 1500 };
    let filter = Filter { ports: PortBlock::default() };
    let mut ring = RingReceive::open(&link, &filter, RingReceive::BYTES).expect("a ring");
    let mut transmit = PacketTransmit::open(&link, NextHop::Gateway(octets(FAR_MAC))).expect("a way out");
    let (cookies, is_over) = (Cookies::new([7; 16], filter.ports), AtomicBool::new(false));
    let source = IpAddr::V4(OURS);
    let (template, tag) = (SynTemplate::new(source, link.mtu), Tag::new(0, 1));
    let length = template.len();
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let heard = thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let mut heard = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let each = &mut |packet: &[u8], _: &_| {
                    if let Some(Heard::Tcp(answer)) = read(packet) {
                        heard += u64::from(cookies.check_tcp(Epoch(0), &answer).is_some());
                    }
                };
                ring.receive(Duration::from_millis(100), each).expect("the ring works");
            }
            heard
        });
        let mut batch = Batch::new(Batch::PACKETS, 112);
        let (mut next, mut tsval) = (0_u64, 0);
        while next < packets || !batch.is_empty() {
            while next < packets && (fresh || next < 64) {
                // Any order will do that jumps about.
                let place = next.wrapping_mul(0x9e37_79b9) % TARGETS;
                let to = IpAddr::V4(Ipv4Addr::from(DARK + u32::try_from(place).expect("a /12 is small")));
                let mark = cookies.mark(Epoch(0), source, model::Endpoint::tcp(to, 443), tag);
                if !batch.push(length, |packet| template.stamp(packet, to, 443, &mark, tsval)) {
                    break;
                }
                next += 1;
            }
            while !fresh && next >= 64 && next < packets && batch.push(length, |_| ()) {
                next += 1;
            }
            if transmit.send(&mut batch).expect("they can be sent") == 0 {
                thread::sleep(Duration::from_micros(50));
            }
            tsval = ticks(begun.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        listening.join().expect("the listener")
    });
    let (took, used) = (begun.elapsed(), cpu().saturating_sub(cpu_begun));
    let per = |time: Duration| f64::from(u32::try_from(packets).unwrap_or(u32::MAX)) / time.as_secs_f64();
    let counters = transmit.counters();
    say(&format!(
        "{packets} SYNs in {:.2} s: {:.0}/s, {:.0} a CPU-second ({:.0} ns each), {} short, {heard} heard",
        took.as_secs_f64(),
        per(took),
        per(used),
        1e9 / per(used),
        counters.short,
    ));
}

/// Of all threads, in user and kernel.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("not negative")
}
