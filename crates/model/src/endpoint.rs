use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

/// The transport protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The sensor a thing was seen from: reachability is a fact about a pair, never about the target alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vantage(pub Arc<str>);

impl From<&str> for Vantage {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address, a transport and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
}

impl Endpoint {
    pub fn tcp(ip: IpAddr, port: u16) -> Self {
        Self { ip, transport: Transport::Tcp, port }
    }

    pub fn udp(ip: IpAddr, port: u16) -> Self {
        Self { ip, transport: Transport::Udp, port }
    }

    pub fn socket_addr(self) -> std::net::SocketAddr {
        (self.ip, self.port).into()
    }
}

/// `192.0.2.7:443/tcp`, `[2001:db8::7]:443/tcp`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.socket_addr(), self.transport)
    }
}

/// The name a service was asked under (TLS SNI, HTTP Host): lower case, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = crate::TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::target::normalise_host_name(text).map(|name| Self(name.into()))
    }
}

impl TryFrom<String> for ServiceName {
    type Error = crate::TargetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0.to_string()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host as one sensor sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostKey {
    pub vantage: Vantage,
    pub ip: IpAddr,
}

/// A service as one sensor sees it: the endpoint plus the name it was asked under, or none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    pub vantage: Vantage,
    pub endpoint: Endpoint,
    pub name: Option<ServiceName>,
}
