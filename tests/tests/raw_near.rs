//! Targets on a link of this machine, by packets of our own with the real binary: who is there is asked first, by ARP and neighbour
//! discovery, and nobody else is sent anything.

use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr};
use testkit::{Host, Lab, Listeners, binary, lacks_root};

const PORTS: [u16; 2] = [22, 80];
/// What leaves the watcher, below IP: packet sockets pass by everything above it.
const COUNTERS: &str = "table netdev leaves {
  counter strangers { }
  counter neighbours { }
  counter who { }
  chain out { type filter hook egress device eth0 priority 0;
    arp operation request counter name who
    icmpv6 type nd-neighbor-solicit counter name who
    tcp flags & (syn | ack) == syn ip daddr { 10.77.0.10, 10.77.0.20, 10.77.0.30 } counter name neighbours accept
    tcp flags & (syn | ack) == syn ip6 daddr { fd77::10, fd77::20, fd77::30 } counter name neighbours accept
    tcp flags & (syn | ack) == syn counter name strangers
  }
}
";

fn count(watcher: &Host, name: &str) -> u64 {
    let listed = watcher.run("nft", &["-j", "list", "counter", "netdev", "leaves", name]);
    let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
    let entries = listed["nftables"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry.get("counter")?["packets"].as_u64()).sum()
}

#[test]
fn only_who_is_there_is_asked() {
    if lacks_root("only_who_is_there_is_asked") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let hosts = [10, 20, 30]
        .map(|number| lab.host(&format!("host{number}"), &[&format!("10.77.0.{number}"), &format!("fd77::{number}")]));
    let _open: Vec<Listeners> = hosts.iter().map(|host| Listeners::start(host, &PORTS, "")).collect();
    let rules = watcher.write("leaves.nft", COUNTERS);
    watcher.run("nft", &["-f", &rules.to_string_lossy()]);

    let mut command = watcher.command(binary().to_str().expect("a path of text"));
    command.args(["scan", "10.77.0.2-10.77.0.254", "fd77::/120", "--tcp", "1-200", "--exclude", "fd77::1"]);
    command.args(["--mode", "raw", "--rate", "20k/s", "--no-identify", "--json"]);
    let output = command.output().expect("runs");
    let (text, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}\n{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &'static str| lines.iter().filter(move |line| line["kind"] == kind);
    let open: BTreeSet<(IpAddr, u64)> = of("endpoint")
        .map(|line| {
            assert_eq!(line["reason"], "syn-ack", "{line}");
            (
                line["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address"),
                line["port"].as_u64().unwrap_or(0),
            )
        })
        .collect();
    let addresses = hosts.iter().flat_map(|host| host.addresses().iter().copied());
    assert_eq!(open, addresses.flat_map(|ip| PORTS.map(|port| (ip, port.into()))).collect());

    let summary = of("summary").next().expect("a summary");
    // 253 of one family and 255 of the other, and six of them are there.
    assert_eq!((&summary["absent"], &summary["hosts_up"]), (&502.into(), &6.into()), "{summary}");
    // Silence of those who are not there is an answer too.
    assert_eq!(summary["probes"], 508 * 200, "{summary}");
    let [strangers, neighbours, who] = ["strangers", "neighbours", "who"].map(|name| count(&watcher, name));
    assert_eq!(strangers, 0);
    assert!((6 * 200..6 * 200 + 300).contains(&neighbours), "{neighbours}");
    // Three times each who does not answer, and some of the kernel's own.
    assert!((502 * 3 + 6..502 * 3 + 100).contains(&who), "{who}");
}
