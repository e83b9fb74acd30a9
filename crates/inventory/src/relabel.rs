//! Other rules, other names for the same answers: taken over in silence, because nothing has changed where they were heard.

use crate::{
    Change, Inventory,
    service::{is_vague, keep_behind},
};
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
        let system_was_said = host.os.as_ref().is_some_and(|known| host.is_said(known));
        for label in labels {
            let endpoint = host
                .endpoints
                .iter_mut()
                .find(|endpoint| (endpoint.transport, endpoint.port) == (label.transport, label.port));
            let state =
                endpoint.and_then(|endpoint| endpoint.services.iter_mut().find(|state| state.name == label.name));
            let Some(state) = state else { continue };
            // Who could not be named yet may be now.
            let is_it = |known: &&Service| known.name == label.service.name || is_vague(Some(known));
            let Some(known) = state.service.as_deref().filter(is_it) else {
                continue;
            };
            let mut service = label.service.clone();
            service.ssh_key.clone_from(&known.ssh_key);
            // The answer that was kept may be that of an error's page.
            keep_behind(&mut service, known);
            if service != *known {
                state.service = Some(Arc::new(service));
                // Those that take turns are still there.
                state.pending_service = state.pending_service.take().and_then(|mut pending| {
                    pending.clear();
                    (!pending.turns.is_empty()).then_some(pending)
                });
                count += 1;
            }
        }
        if count == 0 {
            return (Change::default(), 0);
        }
        host.relabel_os(system_was_said);
        host.pending_os = None;
        (Change { hosts: vec![host], ..Change::default() }, count)
    }
}
