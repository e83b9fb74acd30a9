mod builtin;
mod golden;
mod operators;
mod profiles;
mod state;

use crate::Engine;
use config::{
    Asset, Config, Console, Mode, Profile, Scan, Sensor, Store, Tls,
    rule::{Attribute, Condition, Rule, RuleSet, Test, Trigger, Value},
};
use jiff::Timestamp;
use model::{
    AddressSet, Confirm, EndpointFact, Event, EventEndpoint, EventHost, EventType, HostFacts, Os, PortSet, Rate,
    Service, Severity, Transport,
};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

fn ip() -> IpAddr {
    [198, 51, 100, 7].into()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_255_503 + second).expect("in range")
}

fn severity(number: u8) -> Severity {
    Severity::try_from(number).expect("1 to 5")
}

fn test(attribute: Attribute, test: Test) -> Condition {
    Condition::Attribute(attribute, test)
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::Text((*text).to_owned())).collect()
}

fn numbers(numbers: &[u16]) -> Vec<Value> {
    numbers.iter().map(|&number| Value::Number(f64::from(number))).collect()
}

fn on(id: &str, kind: EventType, when: Condition) -> Rule {
    let trigger = Trigger::Event { on: vec![kind], when };
    Rule { id: id.to_owned(), title: None, trigger, severity: None, enabled: true, drop: false }
}

fn require(id: &str, require: Condition, number: u8) -> Rule {
    Rule {
        id: id.to_owned(),
        title: None,
        trigger: Trigger::State { require },
        severity: Some(severity(number)),
        enabled: true,
        drop: false,
    }
}

fn always() -> Condition {
    Condition::All(Vec::new())
}

/// One profile for each entry: its name, the assets it watches (each of value 3) and the rules of its one set.
fn configuration(profiles: &[(&str, &[&str], Vec<Rule>)]) -> Config {
    let assets = profiles.iter().flat_map(|(_, assets, _)| assets.iter()).map(|name| {
        let asset = Asset {
            targets: Vec::new(),
            tags: Vec::new(),
            value: 3,
            owner: None,
            kind: config::AssetKind::Hosts,
            authorization: None,
            certificates: None,
        };
        ((*name).into(), asset)
    });
    let set = |name: &str| -> std::sync::Arc<str> { format!("{name}-rules").into() };
    let profile = |name: &str, assets: &[&str]| Profile {
        assets: assets.iter().map(|&asset| asset.into()).collect(),
        rulesets: vec![set(name)],
        scan: Scan {
            hot: None,
            known: None,
            likely: None,
            full: None,
            identify: Duration::from_hours(1),
            hot_ports: PortSet::empty(),
            tcp: PortSet::empty(),
            windows: None,
            udp: PortSet::empty(),
        },
        confirm: Confirm::default(),
        storm: config::MOST_ALERTS,
        active: true,
    };
    Config {
        sources: Vec::new(),
        sensor: Sensor {
            name: "scan1".into(),
            contact: None,
            rate: Rate::per_second(1000).expect("a rate"),
            rate_per_host: Rate::per_second(100).expect("a rate"),
            exclude: AddressSet::empty(),
            interface: None,
            source: None,
            second_source: None,
            mode: Mode::Auto,
            canaries: Vec::new(),
            resolvers: Vec::new(),
        },
        store: Store { path: "perimeter.db".into(), retention: Duration::from_hours(24) },
        console: Console { listen: None },
        identify: config::Identify::default(),
        tls: Tls::default(),
        assets: assets.collect(),
        rulesets: profiles
            .iter()
            .map(|(name, _, rules)| (set(name), RuleSet { title: None, rules: rules.clone() }))
            .collect(),
        profiles: profiles.iter().map(|(name, assets, _)| ((*name).into(), profile(name, assets))).collect(),
        recipients: BTreeMap::new(),
        email: None,
    }
}

/// One profile `dmz` on the asset `dmz`, with these rules in `dmz-rules`.
fn engine(rules: Vec<Rule>) -> Engine {
    Engine::new(&configuration(&[("dmz", &["dmz"], rules)]))
}

/// Port 443 of a Debian host in the asset `dmz`.
fn event(kind: EventType) -> Event {
    Event {
        assets: vec!["dmz".to_owned()],
        tags: vec!["production".to_owned()],
        host: Some(EventHost { ip: ip(), names: vec!["www.example.org".to_owned()], os: Some("Debian 12".to_owned()) }),
        endpoint: Some(EventEndpoint { transport: Transport::Tcp, port: 443 }),
        ..Event::new(kind, at(0), &"scan1".into(), &443)
    }
}

/// The same host's facts, with these TCP ports open and SSH on the first.
fn facts(open_tcp: &[u16]) -> HostFacts {
    let endpoint = |(index, &port): (usize, &u16)| EndpointFact {
        transport: Transport::Tcp,
        port,
        service: (index == 0).then(|| Service {
            name: "ssh".to_owned(),
            product: Some("OpenSSH".to_owned()),
            version: Some("9.2p1".to_owned()),
            ..Service::default()
        }),
        tls: false,
    };
    HostFacts {
        ip: ip(),
        up: true,
        names: ["www.example.org".to_owned()].into(),
        os: Some(Os {
            family: "linux".to_owned(),
            product: Some("Debian".to_owned()),
            version: Some("12".to_owned()),
            confidence: 0.9,
        }),
        assets: vec!["dmz".to_owned()],
        tags: vec!["production".to_owned()],
        value: 5,
        approved: false,
        endpoints: open_tcp.iter().enumerate().map(endpoint).collect(),
    }
}

/// The ids of the rules that matched in the one profile.
fn matched(engine: &Engine, event: &Event, host: Option<&HostFacts>) -> Vec<String> {
    let alerts = engine.evaluate(event, host, at(5));
    assert!(alerts.len() <= 1, "one profile, one alert");
    alerts.into_iter().flat_map(|alert| alert.rules).collect()
}
