use crate::lab::Host;
use std::net::IpAddr;

/// Counts the questions a host asks others, where they leave it: TCP connection attempts (SYN without ACK) and UDP
/// datagrams. What the kernel says of its own accord (neighbour discovery, acknowledgements, resets) is not counted.
#[derive(Debug)]
pub struct WireCount {
    host: Host,
}

impl WireCount {
    /// Counts what leaves `host` for these addresses from now on. One counter a host.
    pub fn new(host: &Host, addresses: &[IpAddr]) -> Self {
        let rules: Vec<String> = addresses
            .iter()
            .map(|ip| {
                let family = if ip.is_ipv4() { "ip" } else { "ip6" };
                format!(
                    "  {family} daddr {ip} tcp flags & (syn | ack) == syn counter name asked\n  \
                     {family} daddr {ip} meta l4proto udp counter name asked\n"
                )
            })
            .collect();
        let rules = format!(
            "table inet wire_count {{\n counter asked {{ }}\n \
             chain leaving {{ type filter hook postrouting priority 300;\n{} }}\n}}\n",
            rules.concat()
        );
        let path = host.write("wire_count.nft", &rules);
        host.run("nft", &["-f", &path.to_string_lossy()]);
        Self { host: host.clone() }
    }

    /// How many have left so far.
    pub fn count(&self) -> u64 {
        let listed = self.host.run("nft", &["list", "counter", "inet", "wire_count", "asked"]);
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("nft says no number: {listed}"))
    }
}
