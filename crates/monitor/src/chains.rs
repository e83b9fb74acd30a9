//! Which certificates are kept as they were presented.

use crate::Batch;
use inventory::{Inventory, TlsState};
use model::{HostSlice, ServiceObservation, TlsObservation};

/// The certificates themselves, as they were presented, wherever that is not how they are known to be presented: retention lets go what
/// nobody presents any more, and a server may come by other issuers for the leaf it has.
pub(crate) fn keep(slice: &HostSlice, inventory: &Inventory, batch: &mut Batch) {
    let presented = |service: &&ServiceObservation| service.tls.as_ref().is_some_and(|tls| !tls.chain.is_empty());
    let mut presenting = slice.services.iter().filter(presented).peekable();
    let Some(host) = presenting.peek().map(|_| inventory.host(slice.ip)) else { return };
    for seen in presenting {
        let known = host.as_ref().and_then(|host| host.endpoint(seen.endpoint.transport, seen.endpoint.port));
        let known = known.and_then(|known| known.services.iter().find(|service| service.name == seen.name));
        let known = known.and_then(|known| known.tls.as_deref());
        if let Some(tls) = seen.tls.as_ref().filter(|tls| !is_known_chain(known, tls)) {
            batch.certificate_der.extend(tls.chain.iter().map(|der| (identify::sha256(der), der.clone())));
        }
    }
}

fn is_known_chain(known: Option<&TlsState>, seen: &TlsObservation) -> bool {
    let Some((leaf, issuers)) = seen.presented.split_first() else { return false };
    known.is_some_and(|known| known.certificate == Some(*leaf) && known.chain == issuers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Sha256;

    #[test]
    fn other_issuers_for_the_same_leaf_are_kept_too() {
        let check = |known: Option<(u8, &[u8])>, presented: &[u8], expect: bool| {
            let known = known.map(|(leaf, issuers)| {
                let issuers: Vec<String> = issuers.iter().map(|of| Sha256([*of; 32]).to_string()).collect();
                let state = serde_json::json!({
                    "version": "TLSv1.3", "cipher": "", "certificate": Sha256([leaf; 32]).to_string(), "chain": issuers
                });
                serde_json::from_value::<TlsState>(state).expect("a state")
            });
            let mut seen = TlsObservation::new("TLSv1.3", "");
            seen.presented = presented.iter().map(|of| Sha256([*of; 32])).collect();
            assert_eq!(is_known_chain(known.as_ref(), &seen), expect, "{known:?} {presented:?}");
        };
        check(None, &[1, 2], false);
        check(Some((1, &[2])), &[1, 2], true);
        check(Some((1, &[])), &[1], true);
        check(Some((1, &[])), &[1, 2], false);
        check(Some((1, &[2])), &[1, 3], false);
        check(Some((4, &[2])), &[1, 2], false);
        check(Some((1, &[2])), &[], false);
    }
}
