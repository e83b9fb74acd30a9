//! One copy of what is the same. A perimeter has few kinds of servers on many addresses, and what a server says of itself is
//! most of what is remembered of an endpoint.

use crate::HostState;
use model::Service;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak},
};

/// The services in use, by a hash of what tells most of them apart. Those nobody uses any more are dropped now and then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    services: HashMap<u64, Vec<Weak<Service>>>,
    hasher: RandomState,
    /// Additions until the next cleaning.
    until_cleaning: usize,
}

const CLEAN_AT_LEAST_EVERY: usize = 1_024;

impl Shared {
    /// Replaces the host's services by the copies in use where they are equal.
    pub(crate) fn share(&mut self, host: &mut HostState) {
        for state in host.endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.services) {
            if let Some(service) = &mut state.service {
                self.one(service);
            }
        }
    }

    fn one(&mut self, service: &mut Arc<Service>) {
        let key = (&service.name, &service.product, &service.version, &service.banner);
        let known = self.services.entry(self.hasher.hash_one(key)).or_default();
        if let Some(equal) = known.iter().filter_map(Weak::upgrade).find(|known| known == service) {
            *service = equal;
            return;
        }
        known.retain(|other| other.strong_count() > 0);
        known.push(Arc::downgrade(service));
        self.until_cleaning = self.until_cleaning.saturating_sub(1);
        if self.until_cleaning == 0 {
            self.services.retain(|_, known| {
                known.retain(|other| other.strong_count() > 0);
                !known.is_empty()
            });
            self.until_cleaning = self.services.len().max(CLEAN_AT_LEAST_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(product: &str) -> Arc<Service> {
        Arc::new(Service { name: "ssh".into(), product: Some(product.into()), ..Service::default() })
    }

    #[test]
    fn equal_services_become_one_and_unused_ones_go() {
        let mut shared = Shared::default();
        let (mut first, mut second, mut other) = (service("OpenSSH"), service("OpenSSH"), service("dropbear"));
        for service in [&mut first, &mut second, &mut other] {
            shared.one(service);
        }
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
        drop((first, second, other));
        for n in 0..10 * CLEAN_AT_LEAST_EVERY {
            shared.one(&mut service(&n.to_string()));
        }
        assert!(shared.services.len() <= CLEAN_AT_LEAST_EVERY + 1, "{}", shared.services.len());
    }
}
