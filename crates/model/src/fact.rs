use crate::{Os, Service, Transport};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};

/// What rules may ask about a host: a view, made from the inventory's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    pub ip: IpAddr,
    pub up: bool,
    pub names: BTreeSet<String>,
    pub os: Option<Os>,
    pub assets: Vec<String>,
    pub tags: Vec<String>,
    pub value: u8,
    /// An operator said that it is meant to be there.
    pub approved: bool,
    /// Open endpoints, ascending.
    pub endpoints: Vec<EndpointFact>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointFact {
    pub transport: Transport,
    pub port: u16,
    pub service: Option<Service>,
    pub tls: bool,
}

impl HostFacts {
    pub fn open(&self, transport: Transport) -> impl Iterator<Item = u16> + '_ {
        self.endpoints.iter().filter(move |endpoint| endpoint.transport == transport).map(|endpoint| endpoint.port)
    }
}
