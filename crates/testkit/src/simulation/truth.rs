//! What is really there: machines, what they offer, and at which addresses they answer.

use super::{random::mixed, scenario::Closed};
use jiff::{SignedDuration, Timestamp};
use model::{AddressSet, Certificate, Endpoint, KeyInfo, Mac, Sha256, SshKey};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// For keys that nobody chooses to do harm with.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        mixed(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte).wrapping_mul(0x2545_f491_4f6c_dd1d);
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.0 = self.0.rotate_left(17) ^ u64::from(n);
    }

    fn write_isize(&mut self, n: isize) {
        self.0 = self.0.rotate_left(7) ^ n.cast_unsigned() as u64;
    }
}

pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

/// What a machine offers on a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) port: u16,
    pub(super) name: Option<Arc<str>>,
    pub(super) product: Option<Arc<str>>,
    pub(super) version: Option<Arc<str>>,
    /// The number of its certificate, where it speaks TLS.
    pub(super) certificate: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) up: bool,
    /// Ascending by port.
    pub(super) offers: Vec<Offer>,
    pub(super) closed: Closed,
    pub(super) everything: bool,
    pub(super) latency_us: u32,
    pub(super) jitter_us: u32,
    /// The number of its SSH key.
    pub(super) key: u32,
    pub(super) mac: Option<Mac>,
}

impl Machine {
    pub(super) fn offer(&self, port: u16) -> Option<&Offer> {
        self.offers.binary_search_by_key(&port, |offer| offer.port).ok().and_then(|place| self.offers.get(place))
    }

    fn set(&mut self, offer: Offer) {
        match self.offers.binary_search_by_key(&offer.port, |offer| offer.port) {
            Ok(place) => self.offers[place] = offer,
            Err(place) => self.offers.insert(place, offer),
        }
    }
}

/// An address at which somebody answers, did, or will.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// By number; several take turns. None: nobody, or only what stands on the way.
    pub(super) machines: Vec<u32>,
    pub(super) turn: u32,
    /// What is between the sensor and it, by number.
    pub(super) outages: Vec<u16>,
    pub(super) boxes: Vec<u16>,
    /// Something on the way accepts every connection.
    pub(super) proxied: bool,
    /// Ports the sensor may have seen an answer from and ask about again.
    pub(super) met: Vec<u16>,
}

impl Place {
    pub(super) fn meet(&mut self, port: u16) {
        if !self.met.contains(&port) {
            self.met.push(port);
        }
    }
}

/// One true change.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Open(Endpoint, Offer),
    Close(Endpoint),
    /// A machine at an address that had none.
    Add(IpAddr, Box<Machine>),
    Power(IpAddr, bool),
    Upgrade(Endpoint, Arc<str>),
    Renew(Endpoint),
    Rekey(IpAddr),
    Move(IpAddr, IpAddr),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) machines: Vec<Machine>,
    pub(super) places: FastMap<IpAddr, Place>,
    /// The addresses of `places`, ascending.
    order: Vec<IpAddr>,
    certificates: u32,
    keys: u32,
    /// Whether any machine shows a link-layer address.
    pub(super) has_macs: bool,
}

impl Truth {
    pub(super) fn add(&mut self, machine: Machine) -> u32 {
        self.has_macs |= machine.mac.is_some();
        self.machines.push(machine);
        u32::try_from(self.machines.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn place(&mut self, ip: IpAddr) -> &mut Place {
        if let Err(place) = self.order.binary_search(&ip) {
            self.order.insert(place, ip);
        }
        self.places.entry(ip).or_default()
    }

    pub(super) fn next_certificate(&mut self) -> u32 {
        self.certificates += 1;
        self.certificates
    }

    pub(super) fn next_key(&mut self) -> u32 {
        self.keys += 1;
        self.keys
    }

    /// The places inside a set of addresses, ascending.
    pub(super) fn within<'a>(&'a self, addresses: &'a AddressSet) -> impl Iterator<Item = IpAddr> + 'a {
        addresses.ranges().iter().flat_map(|range| {
            let from = self.order.partition_point(|ip| *ip < range.first());
            self.order.iter().skip(from).take_while(|ip| **ip <= range.last()).copied()
        })
    }

    pub(super) fn ips(&self) -> &[IpAddr] {
        &self.order
    }

    /// The machine at an address, where there is exactly one.
    pub(super) fn machine(&self, ip: IpAddr) -> Option<&Machine> {
        match self.places.get(&ip)?.machines.as_slice() {
            [only] => self.machines.get(*only as usize),
            _ => None,
        }
    }

    /// Every machine there: a change of a balancer's service is one of all its members.
    fn each(&mut self, ip: IpAddr, mut change: impl FnMut(&mut Machine)) {
        for number in self.places.get(&ip).map(|place| place.machines.clone()).unwrap_or_default() {
            change(&mut self.machines[number as usize]);
        }
    }

    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Open(endpoint, offer) => {
                self.each(endpoint.ip, |machine| machine.set(offer.clone()));
                self.place(endpoint.ip).meet(endpoint.port);
            }
            Action::Close(endpoint) => {
                self.each(endpoint.ip, |machine| machine.offers.retain(|offer| offer.port != endpoint.port));
            }
            Action::Add(ip, machine) => {
                let number = self.add(Machine::clone(machine));
                let met: Vec<u16> = machine.offers.iter().map(|offer| offer.port).collect();
                let place = self.place(*ip);
                place.machines.push(number);
                for port in met {
                    place.meet(port);
                }
            }
            Action::Power(ip, on) => self.each(*ip, |machine| machine.up = *on),
            Action::Upgrade(endpoint, version) => self.each(endpoint.ip, |machine| {
                for offer in machine.offers.iter_mut().filter(|offer| offer.port == endpoint.port) {
                    offer.version = Some(version.clone());
                }
            }),
            Action::Renew(endpoint) => {
                let number = self.next_certificate();
                self.each(endpoint.ip, |machine| {
                    for offer in machine.offers.iter_mut().filter(|offer| offer.port == endpoint.port) {
                        offer.certificate = Some(number);
                    }
                });
            }
            Action::Rekey(ip) => {
                let number = self.next_key();
                self.each(*ip, |machine| machine.key = number);
            }
            Action::Move(from, to) => {
                let machines = std::mem::take(&mut self.place(*from).machines);
                let met = self.place(*from).met.clone();
                let place = self.place(*to);
                place.machines.extend(machines);
                for port in met {
                    place.meet(port);
                }
            }
        }
    }
}

fn digest(what: u64, number: u32) -> Sha256 {
    let mut bytes = [0; 32];
    for (index, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mixed(what ^ u64::from(number) << 8 ^ index as u64).to_be_bytes());
    }
    Sha256(bytes)
}

pub(super) fn ssh_key(number: u32) -> SshKey {
    SshKey { algorithm: "ssh-ed25519".to_owned(), sha256: digest(0x5348, number) }
}

/// A certificate by its number, valid from before the beginning until long after any end.
pub(super) fn certificate(number: u32, ip: IpAddr, start: Timestamp) -> Certificate {
    let days = |days: i64| start.checked_add(SignedDuration::from_hours(days * 24)).unwrap_or(start);
    Certificate {
        sha256: digest(0x4345, number),
        spki_sha256: digest(0x5350, number),
        tbs_sha256: None,
        version: Some(3),
        subject: format!("CN={ip}"),
        issuer: "CN=Simulated CA,O=Example CA Inc".to_owned(),
        issuer_attributes: vec!["CN=Simulated CA".to_owned(), "O=Example CA Inc".to_owned()],
        sans: vec![ip.to_string()],
        serial: format!("{number:x}"),
        not_before: days(-100),
        not_after: days(1_000 + i64::from(number % 100)),
        key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
        signature: "ecdsa-with-SHA256".to_owned(),
        self_signed: false,
        scts: 0,
        unreadable: Vec::new(),
    }
}

/// A link-layer address of a machine's own.
pub(super) fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([0x02, 0x10, a, b, c, d])
}
