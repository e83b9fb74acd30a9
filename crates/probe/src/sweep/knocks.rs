//! Whether hosts are there at all that answer by none of their ports.

use super::{
    Discovered, Sweep,
    packets::{Ear, Packets},
};
use crate::raw::{Knock, Order, Report, Target};
use model::Endpoint;
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError},
};
use tokio::time::sleep;

/// One after the other, each to those that have not answered yet.
const KNOCKS: [Knock; 3] = [Knock::Echo, Knock::Acknowledgement, Knock::Timestamp];
/// Where acknowledgements go: hardly a firewall stands in the way of what comes back from there.
const PORT: u16 = 443;

/// Hosts to knock at.
struct Hosts {
    sweep: Arc<Sweep>,
    /// In the group.
    places: Vec<usize>,
    position: usize,
}

impl Order for Hosts {
    fn next(&mut self) -> Option<Target> {
        loop {
            let host = *self.places.get(self.position)?;
            self.position += 1;
            let ip = *self.sweep.addresses.get(host)?;
            // Known by its first endpoint: it is wanted for as long as that has not answered.
            let number = (host * self.sweep.ports.len()) as u64;
            if let Ok(endpoint) = self.sweep.dialer.authorize(Endpoint::tcp(ip, PORT)) {
                return Some(Target { number, endpoint });
            }
        }
    }

    fn position(&self) -> u64 {
        self.position as u64
    }

    fn datagram(&self, _port: u16) -> &[u8] {
        &[]
    }
}

impl Packets {
    pub(super) fn note_knock(&self, host: usize, knock: Knock) {
        let mut knocked = self.knocked.lock().unwrap_or_else(PoisonError::into_inner);
        knocked.entry(host).or_default().insert(knock);
    }

    fn has_knocked(&self, host: usize) -> bool {
        self.knocked.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&host)
    }
}

impl Sweep {
    /// Knocks where nothing else was heard.
    pub(super) async fn knock(self: &Arc<Self>) {
        let Some(packets) = self.packets.as_ref().filter(|_| self.job.knock) else { return };
        let is_dark = |host: &usize| packets.ask(*host) && !packets.is_absent(*host) && !self.progress.is_alive(*host);
        let dark: Vec<usize> = (0..self.addresses.len()).filter(is_dark).collect();
        for &host in &dark {
            let is_met = |ip: &IpAddr| self.dialer.raw().is_some_and(|raw| raw.is_met(*ip));
            if self.addresses.get(host).is_some_and(is_met) {
                packets.note_knock(host, Knock::Neighbour);
            }
        }
        for knock in KNOCKS {
            let can_be =
                |host: &usize| knock != Knock::Timestamp || self.addresses.get(*host).is_some_and(IpAddr::is_ipv4);
            let hosts: Vec<usize> =
                dark.iter().copied().filter(|host| can_be(host) && !packets.has_knocked(*host)).collect();
            if hosts.is_empty() || self.stop.is_cancelled() {
                continue;
            }
            let order = Hosts { sweep: Arc::clone(self), places: hosts, position: 0 };
            let sink = Arc::new(Ear::of_knocks(self));
            let volley = packets.slot.knock(Box::new(order), knock, self.job.pace.clone(), sink);
            let report = tokio::select! {
                biased;
                () = self.stop.cancelled() => Report::default(),
                report = volley => report,
            };
            self.progress.sent(report.sent, None);
            if !report.complete {
                self.stop.cancel();
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(self.patience()) => {}
            }
        }
    }

    pub(super) fn discovered(&self) -> Vec<Discovered> {
        let Some(packets) = &self.packets else { return Vec::new() };
        let knocked = std::mem::take(&mut *packets.knocked.lock().unwrap_or_else(PoisonError::into_inner));
        let there = knocked.into_iter().filter(|(host, _)| !self.progress.is_alive(*host));
        there.filter_map(|(host, by)| Some(Discovered { ip: *self.addresses.get(host)?, by })).collect()
    }
}
