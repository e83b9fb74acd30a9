//! Certificates that vouch for what is served and end before it does: with them ends the way to a root, whatever the leaf's own date
//! says.

use crate::{CertificateState, Inventory, apply::Plan, certificate::Leaf};
use model::{Endpoint, ServiceName, Sha256};
use std::collections::BTreeSet;

/// Of one leaf; a way that verifies has fewer.
const MOST: usize = 16;

impl Plan<'_> {
    /// Notes a leaf, and those on its way to a root that it outlives. The others need no memory: who renews the leaf in time meets new
    /// ones.
    pub(crate) fn note_leaf(&mut self, leaf: Leaf<'_>) {
        let sooner = leaf.path.iter().flat_map(|path| &path.issuers);
        let sooner: Vec<_> = sooner.filter(|issuer| issuer.not_after < leaf.certificate.not_after).collect();
        let state = self.note(leaf.certificate, leaf.at);
        state.outlives.extend(sooner.iter().map(|issuer| issuer.sha256));
        // The same ones remain in whatever order they were met.
        while state.outlives.len() > MOST {
            state.outlives.pop_last();
        }
        for issuer in sooner {
            self.note(issuer, leaf.at).is_issuer = true;
        }
    }
}

impl Inventory {
    /// Where a certificate is served now, or where one is that rests on it and ends later.
    pub(crate) fn rests_on(&self, state: &CertificateState) -> BTreeSet<(Endpoint, Option<ServiceName>)> {
        let mut places = state.endpoints.clone();
        if state.is_issuer {
            let sha256 = &state.certificate.sha256;
            for leaf in self.certificates.values().filter(|leaf| leaf.outlives.contains(sha256)) {
                let resting = leaf.endpoints.iter().filter(|place| self.is_on_the_way(sha256, leaf, place));
                places.extend(resting.cloned());
            }
        }
        places
    }

    /// Whether that leaf is in force at the place, and the way from it to a root goes through that issuer.
    fn is_on_the_way(
        &self,
        issuer: &Sha256,
        leaf: &CertificateState,
        (endpoint, name): &(Endpoint, Option<ServiceName>),
    ) -> bool {
        let Some(host) = self.hosts.get(&endpoint.ip) else { return false };
        let services = host.endpoint(endpoint.transport, endpoint.port).map(|endpoint| &endpoint.services);
        let tls = services.into_iter().flatten().find(|service| service.name == *name).and_then(|one| one.tls.as_ref());
        tls.is_some_and(|tls| {
            let is_in_force = tls.certificate == Some(leaf.certificate.sha256);
            is_in_force && tls.path.as_ref().is_some_and(|path| path.issuers.contains(issuer))
        })
    }
}
