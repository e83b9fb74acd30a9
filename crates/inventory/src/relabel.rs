//! Other rules, other names for the same answers: taken over in silence, because nothing has changed where they were heard.

use crate::{Change, Inventory};
use model::{Service, ServiceName, Transport};
use std::{net::IpAddr, sync::Arc};

/// What a service's kept answer is taken for now.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub transport: Transport,
    pub port: u16,
    /// The name it was asked under; none for the address alone.
    pub name: Option<ServiceName>,
    pub service: Service,
}

impl Inventory {
    /// Takes these names over, with what follows from them for the operating system, and tells nobody. Doubts that rest on old names are
    /// dropped; what is truly changing is doubted anew by the next answer. Gives how many services are called otherwise than before.
    pub fn relabel(&self, ip: IpAddr, labels: &[Label]) -> (Change, usize) {
        let Some(mut host) = self.host(ip) else { return (Change::default(), 0) };
        let mut count = 0;
        for label in labels {
            let endpoint = host
                .endpoints
                .iter_mut()
                .find(|endpoint| (endpoint.transport, endpoint.port) == (label.transport, label.port));
            let state =
                endpoint.and_then(|endpoint| endpoint.services.iter_mut().find(|state| state.name == label.name));
            let Some(state) = state else { continue };
            let Some(known) = state.service.as_deref().filter(|known| known.name == label.service.name) else {
                continue;
            };
            let mut service = label.service.clone();
            service.ssh_key.clone_from(&known.ssh_key);
            if service != *known {
                state.service = Some(Arc::new(service));
                state.pending_service = None;
                count += 1;
            }
        }
        if count == 0 {
            return (Change::default(), 0);
        }
        if let Some(os) = host.fused_os() {
            host.os = Some(os);
        }
        host.pending_os = None;
        (Change { hosts: vec![host], ..Change::default() }, count)
    }
}
