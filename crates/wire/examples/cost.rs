//! What the parts cost that every packet goes through, in nanoseconds of processor time:
//!
//! ```text
//! cargo run --release -p wire --example cost
//! ```

use model::Endpoint;
use std::{
    hint::black_box,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use wire::{Batch, Cookies, Epoch, Filter, Heard, PortBlock, SynTemplate, Tag, read};

const TURNS: u32 = 4_000_000;

fn main() {
    let cookies = Cookies::new([7; 16], PortBlock::default());
    let tag = Tag::new(0, 1);
    let v4 = |n: u32| IpAddr::V4(Ipv4Addr::from(0x0a20_0000 + n % (1 << 20)));
    let v6 = |n: u32| IpAddr::V6(Ipv6Addr::from(0xfd77 << 112 | u128::from(n)));
    for (family, ours, target) in
        [("IPv4", v4(0), &v4 as &dyn Fn(u32) -> IpAddr), ("IPv6", v6(0), &v6 as &dyn Fn(u32) -> IpAddr)]
    {
        let template = SynTemplate::new(ours, 1500);
        let mut batch = Batch::new(Batch::PACKETS, SynTemplate::LONGEST);
        say(&format!("{family}: cookie"), |n| {
            black_box(cookies.mark(Epoch(1), ours, Endpoint::tcp(target(n), 443), tag));
        });
        say(&format!("{family}: cookie and packet"), |n| {
            let to = target(n);
            let mark = cookies.mark(Epoch(1), ours, Endpoint::tcp(to, 443), tag);
            if !batch.push(template.len(), |place| template.stamp(place, to, 443, &mark, n)) {
                black_box(&batch);
                batch.clear();
            }
        });
        // An answer: the SYN turned round.
        let mark = cookies.mark(Epoch(1), ours, Endpoint::tcp(target(9), 443), tag);
        let mut answer = vec![0; template.len()];
        SynTemplate::new(target(9), 1500).stamp(&mut answer, ours, mark.source_port, &mark, 1);
        let tcp = answer.len() - 40;
        answer[tcp..tcp + 2].copy_from_slice(&443_u16.to_be_bytes());
        answer[tcp + 8..tcp + 12].copy_from_slice(&mark.sequence.wrapping_add(1).to_be_bytes());
        answer[tcp + 13] = 0x12;
        let mut forged = answer.clone();
        forged[tcp + 8] ^= 1;
        for (what, packet, now, is_ours) in [
            ("an answer", &answer, Epoch(1), true),
            ("an answer to the epoch before", &answer, Epoch(2), true),
            ("a forgery", &forged, Epoch(2), false),
        ] {
            say(&format!("{family}: {what} read and checked"), |_| {
                let Some(Heard::Tcp(segment)) = read(black_box(packet)) else { panic!("it is a segment") };
                assert_eq!(cookies.check_tcp(now, &segment).is_some(), is_ours);
            });
        }
    }
    say("a filter's program", |_| {
        black_box(Filter { ports: PortBlock::default() }.program());
    });
}

fn say(what: &str, mut turn: impl FnMut(u32)) {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let turns = if what.ends_with("program") { 10_000 } else { TURNS };
        let begun = cpu();
        (0..turns).for_each(&mut turn);
        best = best.min((cpu() - begun) * 1e9 / f64::from(turns));
    }
    let line = format!("{best:8.1} ns  {what}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("stdout takes it");
}

/// Of this thread, in seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).expect("not negative").as_secs_f64()
}
