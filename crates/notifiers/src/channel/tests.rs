use super::*;
use config::{Console, EmailChannel, JsonlPath, Mode, Profile, Scan, Sensor, SmtpSecurity, Store, Tls};
use model::{AddressSet, Confirm, PortSet, Rate, Severity};
use std::{collections::BTreeMap, time::Duration};

pub(crate) fn empty_config() -> Config {
    let rate = Rate::per_second(100).expect("a rate");
    Config {
        sources: Vec::new(),
        sensor: Sensor {
            name: "scan1".into(),
            contact: None,
            rate,
            rate_per_host: rate,
            exclude: AddressSet::default(),
            interface: None,
            source: None,
            mode: Mode::Auto,
            resolvers: Vec::new(),
        },
        store: Store { path: "perimeter.db".into(), retention: Duration::from_secs(86_400) },
        console: Console { listen: None },
        tls: Tls::default(),
        assets: BTreeMap::new(),
        rulesets: BTreeMap::new(),
        profiles: BTreeMap::new(),
        recipients: BTreeMap::new(),
        email: None,
    }
}

pub(crate) fn empty_profile() -> Profile {
    Profile {
        assets: Vec::new(),
        rulesets: Vec::new(),
        scan: Scan {
            hot: None,
            known: None,
            likely: None,
            full: None,
            identify: Duration::from_secs(3600),
            hot_ports: PortSet::default(),
            tcp: PortSet::default(),
            udp: PortSet::default(),
        },
        confirm: Confirm::default(),
        active: true,
    }
}
