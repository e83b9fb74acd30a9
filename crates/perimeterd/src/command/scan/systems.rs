//! Which operating system each host runs, by what its services say together.

use model::{Os, Service, ServiceObservation};
use std::{collections::BTreeMap, net::IpAddr};

/// Of each host only what those say that say something.
#[derive(Debug, Default)]
pub(super) struct Systems(BTreeMap<IpAddr, Vec<Service>>);

impl Systems {
    /// Takes note of who said what there.
    pub(super) fn hear(&mut self, ip: IpAddr, services: &[ServiceObservation]) {
        let services = services.iter().filter_map(|heard| heard.service.as_ref());
        let telling: Vec<Service> = services
            .filter(|service| service.os.is_some())
            .map(|service| Service { name: service.name.clone(), os: service.os.clone(), ..Service::default() })
            .collect();
        if !telling.is_empty() {
            self.0.entry(ip).or_default().extend(telling);
        }
    }

    /// What it comes to.
    pub(super) fn of(&self, ip: IpAddr) -> Option<Os> {
        inventory::system_of(self.0.get(&ip)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Endpoint, SystemClock};

    #[test]
    fn services_that_agree_make_it_surer() {
        let ip = IpAddr::from([192, 0, 2, 7]);
        let said = |port, name: &str, confidence| ServiceObservation {
            endpoint: Endpoint::tcp(ip, port),
            name: None,
            at: model::Clock::now(&SystemClock),
            service: Some(Service {
                name: name.into(),
                os: Some(Os { family: "linux".into(), product: Some("Debian".into()), version: None, confidence }),
                ..Service::default()
            }),
            tls: None,
            connections: 1,
            learnt: false,
            heard: None,
        };
        let mut systems = Systems::default();
        assert_eq!(systems.of(ip), None);
        systems.hear(ip, &[said(22, "ssh", 0.9)]);
        systems.hear(ip, &[said(80, "http", 0.8)]);
        let os = systems.of(ip).expect("known");
        assert!((os.confidence - 0.98).abs() < 0.001, "{os:?}");
    }
}
