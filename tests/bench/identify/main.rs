//! Puts identification beside nmap's, on the same of Debian's servers, each on a host and a random port of its own, in network
//! namespaces that nothing leads out of. The servers are those of the test `identify`; connections are counted where they arrive.
//!
//! `tests/bench/identify/run` installs what it needs and starts it. The table goes to stdout as Markdown, progress to stderr.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints figures")]

#[path = "../../tests/identify/asking.rs"]
#[expect(dead_code, reason = "its rows are the test's")]
mod asking;
mod peer;
#[path = "../../tests/identify/running.rs"]
mod running;
#[path = "../../tests/identify/servers/mod.rs"]
#[expect(dead_code, reason = "only those that are asked by TCP")]
mod servers;
#[path = "../../tests/identify/truth.rs"]
mod truth;

use peer::Seen;
use running::{Ports, SEED};
use std::{process::ExitCode, thread};
use testkit::{Authority, Lab, is_root};

/// How many instances of nmap at once: it mostly waits, up to nine minutes for one server.
const AT_ONCE: usize = 14;

fn main() -> ExitCode {
    if !is_root() {
        eprintln!("network namespaces need root");
        return ExitCode::from(2);
    }
    // Words choose servers by their label, such as `ftp`.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |label: &str| words.is_empty() || words.iter().any(|word| label.contains(word.as_str()));
    let mut lab = Lab::new();
    let watcher = &lab.watcher("watcher", &["10.77.0.1"]);
    let mut ports = Ports::new();
    println!("`{SEED}={}`, {} build\n", ports.seed(), if cfg!(debug_assertions) { "debug" } else { "release" });
    let servers = servers::all().filter(|server| wanted(&server.label()));
    let running = running::start(&mut lab, &Authority::new("Lab Example CA"), &mut ports, servers);
    eprintln!("{} servers listen", running.len());
    let ours: Vec<Seen> = running.iter().map(|one| Seen::by_us(watcher, one)).collect();
    eprintln!("asked by us");
    let mut peers: Vec<Vec<Seen>> = Vec::new();
    for options in [["-sV"].as_slice(), &["-sV", "--version-all"]] {
        let mut seen = Vec::new();
        for some in running.chunks(AT_ONCE) {
            seen.extend(thread::scope(|scope| {
                let asking: Vec<_> =
                    some.iter().map(|one| scope.spawn(move || Seen::by_nmap(watcher, one, options))).collect();
                asking.into_iter().map(|one| one.join().expect("nmap is read")).collect::<Vec<_>>()
            }));
            eprintln!("nmap {}: {} of {}", options.join(" "), seen.len(), running.len());
        }
        peers.push(seen);
    }
    println!("| server | truth | ours | nmap -sV | nmap --version-all |\n|---|---|---|---|---|");
    for (at, one) in running.iter().enumerate() {
        let cells: Vec<String> =
            [&ours].into_iter().chain(&peers).filter_map(|seen| seen.get(at)).map(Seen::cell).collect();
        println!("| {} | {} | {} |", one.server.label(), truth::version(one.server.package), cells.join(" | "));
    }
    println!();
    for (name, seen) in [("ours", &ours)].into_iter().chain(["nmap -sV", "nmap --version-all"].into_iter().zip(&peers))
    {
        println!("- {name}: {}", peer::summary(seen));
    }
    let worse: Vec<String> = running
        .iter()
        .enumerate()
        .filter(|(at, _)| peers.iter().any(|peer| peer.get(*at).map(Seen::rank) > ours.get(*at).map(Seen::rank)))
        .map(|(_, one)| one.server.label())
        .collect();
    println!("- ours is worse than nmap on: {}", if worse.is_empty() { "none".to_owned() } else { worse.join(", ") });
    ExitCode::SUCCESS
}
