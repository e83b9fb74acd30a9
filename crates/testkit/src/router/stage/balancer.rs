use super::{Fates, Stage, Way};
use crate::router::{flow::Flow, packet::Packet, write::End};
use serde::Deserialize;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// One address behind which several hosts stand, one after the other for each new flow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerSettings {
    /// What the watcher sees.
    pub address: IpAddr,
    /// Who answers.
    pub hosts: Vec<IpAddr>,
}

/// A flow is remembered for so long after its last packet.
const REMEMBERED: Duration = Duration::from_mins(2);
/// When the table has grown so far, what has run out is taken out of it.
const CLEAN_AT: usize = 4_096;

#[derive(Debug)]
pub struct Balancer {
    settings: BalancerSettings,
    next: usize,
    /// By the flow to the address, who serves it.
    chosen: HashMap<Flow, (IpAddr, Duration)>,
    clean_at: usize,
}

impl Balancer {
    pub fn new(settings: BalancerSettings) -> Self {
        Self { settings, next: 0, chosen: HashMap::new(), clean_at: CLEAN_AT }
    }

    fn choose(&mut self, flow: &Flow, is_new: bool, now: Duration) -> Option<IpAddr> {
        if !is_new && let Some((host, used)) = self.chosen.get_mut(flow) {
            *used = now;
            return Some(*host);
        }
        if self.chosen.len() >= self.clean_at {
            self.chosen.retain(|_, (_, used)| now.saturating_sub(*used) < REMEMBERED);
            self.clean_at = (self.chosen.len() * 2).max(CLEAN_AT);
        }
        let host = self.settings.hosts.get(self.next % self.settings.hosts.len().max(1)).copied()?;
        self.next += 1;
        self.chosen.insert(*flow, (host, now));
        Some(host)
    }
}

impl Stage for Balancer {
    fn take(&mut self, mut packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let Some(flow) = Flow::of(&packet, way) else { return fates.pass(packet, way) };
        match way {
            Way::Out if flow.server.ip() == self.settings.address => {
                // The same SYN again goes where the first went.
                let is_new = !self.chosen.contains_key(&flow);
                let Some(host) = self.choose(&flow, is_new, now) else { return fates.drop("dropped") };
                if is_new {
                    fates.count("flows");
                }
                packet.readdress(End::Target, SocketAddr::new(host, flow.server.port()));
            }
            Way::Back if self.settings.hosts.contains(&flow.server.ip()) => {
                let address = SocketAddr::new(self.settings.address, flow.server.port());
                let through = Flow { server: address, ..flow };
                // What did not come through the balancer does not go back through it.
                if let Some((host, used)) = self.chosen.get_mut(&through)
                    && *host == flow.server.ip()
                {
                    *used = now;
                    packet.readdress(End::Source, address);
                }
            }
            _ => {}
        }
        fates.pass(packet, way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{
        packet::RST,
        stage::trial::{Trial, answer, syn_to},
    };

    #[test]
    fn flows_alternate_and_come_back_from_the_one_address() {
        let host = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (address, hosts) in [("10.77.9.1", ["10.77.0.21", "10.77.0.22"]), ("fd77::9:1", ["fd77::21", "fd77::22"])] {
            let settings = BalancerSettings { address: host(address), hosts: hosts.map(host).to_vec() };
            let mut trial = Trial::of(Balancer::new(settings));
            let mut seen = Vec::new();
            for n in 0..10 {
                let sent = syn_to(host(address), 3_000 + n, 443);
                for _again in 0..2 {
                    let out = trial.take(sent.clone(), Way::Out, Duration::ZERO).remove(0).packet;
                    assert!(out.checksums_hold());
                    seen.push(out.target());
                    for reply in [answer(&out, RST), out.port_unreachable().expect("an error")] {
                        let back = trial.take(reply, Way::Back, Duration::ZERO).remove(0).packet;
                        assert_eq!(Flow::of(&back, Way::Back), Flow::of(&sent, Way::Out));
                        assert_eq!(back.source(), host(address));
                        assert!(back.checksums_hold());
                    }
                }
            }
            let [a, b] = hosts.map(host);
            assert_eq!(seen, [a, a, b, b].repeat(5));
            assert_eq!(trial.count("flows"), 10);
            // Who asks a host by its own address gets its own answer.
            let direct = answer(&syn_to(a, 4_000, 443), RST);
            assert_eq!(trial.take(direct, Way::Back, Duration::ZERO).remove(0).packet.source(), a);
        }
    }
}
