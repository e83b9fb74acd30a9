//! From host names to addresses, which leases are made of; and back.

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::{Query, ResponseCode},
        rr::{Name, RData, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use model::ServiceName;
use std::{
    collections::BTreeSet, fmt, future::Future, net::IpAddr, net::SocketAddr, path::PathBuf, pin::Pin, time::Duration,
};

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Ascending, without duplicates, IPv4 first; never empty.
    pub addresses: Vec<IpAddr>,
    /// The shortest of the records' times to live, held between half a minute and an hour.
    pub ttl: Duration,
}

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The DNS says so: the name does not exist, or has no address. Its lease ends.
    #[error("the host name `{0}` does not exist or has no address")]
    NoSuchName(ServiceName),
    /// Nobody could say just now (no answer, server failure): what was known still counts.
    #[error("the host name `{name}` could not be resolved just now: {reason}")]
    Temporary { name: ServiceName, reason: String },
    /// Nobody could say just now: the names that were known still count.
    #[error("the names of {ip} could not be looked up just now: {reason}")]
    Reverse { ip: IpAddr, reason: String },
    /// There is nobody to ask.
    #[error("no resolver can be used: {0}; name some in `[sensor] resolvers`")]
    Setup(String),
}

/// Asks for the addresses of host names, and for the names of addresses. Tests answer themselves.
pub trait Resolve: fmt::Debug + Send + Sync {
    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Resolving<'a>;

    /// The host names its PTR records give an address (RFC 1035 §3.5), in lower case and without the final dot; an empty set
    /// where there are none.
    fn reverse(&self, ip: IpAddr) -> Reversing<'_>;
}

/// Names to come.
pub type Reversing<'a> = Pin<Box<dyn Future<Output = Result<BTreeSet<String>, ResolveError>> + Send + 'a>>;

/// An answer to come.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Resolved, ResolveError>> + Send + 'a>>;

/// Asks the configured resolvers, or the system's (with the hosts file first).
pub struct HickoryResolver(Servers);

enum Servers {
    Configured(Box<TokioResolver>),
    /// Those this file (resolv.conf) names when they are asked: at a machine's start it may not be there yet, it changes with
    /// the network, and whoever watches addresses only needs none.
    System(PathBuf),
}

/// Of the names of one address.
const MOST_NAMES: usize = 16;
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(1);

impl HickoryResolver {
    /// `servers` are asked over UDP, and TCP where an answer is long; where there are none, `/etc/resolv.conf` counts, as it
    /// is at the time of each question. To be called inside the runtime.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, ResolveError> {
        if servers.is_empty() {
            return Ok(Self(Servers::System("/etc/resolv.conf".into())));
        }
        let config = ResolverConfig::from_name_servers(servers.iter().map(name_server).collect());
        build(config, None).map(|resolver| Self(Servers::Configured(Box::new(resolver))))
    }

    async fn ask(&self, name: &ServiceName) -> Result<Resolved, ResolveError> {
        let temporary = |reason: String| ResolveError::Temporary { name: name.clone(), reason };
        // With the final dot no search domain is tried: the operator's name is meant as it is written.
        let query = Name::from_ascii(format!("{name}.")).map_err(|error| temporary(error.to_string()))?;
        let system;
        let resolver = match &self.0 {
            Servers::Configured(resolver) => resolver,
            Servers::System(file) => {
                if let Some(addresses) = from_hosts_file(query.clone()).await {
                    return Ok(Resolved { addresses, ttl: SHORTEST });
                }
                system = of_system(file.clone()).await.map_err(|error| temporary(error.to_string()))?;
                &system
            }
        };
        let mut addresses = Vec::new();
        let mut ttl = LONGEST;
        let (v4, v6) =
            tokio::join!(resolver.lookup(query.clone(), RecordType::A), resolver.lookup(query, RecordType::AAAA));
        // Half an answer is none: an address left out would be taken for one that went away.
        for answer in [v4, v6] {
            match answer {
                Ok(lookup) => {
                    for record in lookup.answers() {
                        ttl = ttl.min(Duration::from_secs(record.ttl.into()));
                        addresses.extend(record.data.ip_addr());
                    }
                }
                Err(error) if says_there_is_none(&error) => {}
                Err(error) => return Err(temporary(error.to_string())),
            }
        }
        if addresses.is_empty() {
            return Err(ResolveError::NoSuchName(name.clone()));
        }
        Ok(Resolved { addresses: in_order(addresses), ttl: ttl.clamp(SHORTEST, LONGEST) })
    }

    async fn ask_back(&self, ip: IpAddr) -> Result<BTreeSet<String>, ResolveError> {
        let failed = |reason: String| ResolveError::Reverse { ip, reason };
        let system;
        let resolver = match &self.0 {
            Servers::Configured(resolver) => resolver,
            Servers::System(file) => {
                system = of_system(file.clone()).await.map_err(|error| failed(error.to_string()))?;
                &system
            }
        };
        match resolver.lookup(Name::from(ip), RecordType::PTR).await {
            Ok(lookup) => {
                let names = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::PTR(name) => host_name(&name.0),
                    _ => None,
                });
                // Those that sort first, as servers like to change the order.
                Ok(names.collect::<BTreeSet<_>>().into_iter().take(MOST_NAMES).collect())
            }
            Err(error) if says_there_is_none(&error) => Ok(BTreeSet::new()),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

impl Resolve for HickoryResolver {
    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Resolving<'a> {
        Box::pin(self.ask(name))
    }

    fn reverse(&self, ip: IpAddr) -> Reversing<'_> {
        Box::pin(self.ask_back(ip))
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Servers::Configured(_) => f.debug_tuple("HickoryResolver").finish_non_exhaustive(),
            Servers::System(file) => f.debug_tuple("HickoryResolver").field(file).finish(),
        }
    }
}

/// The resolver of this moment's resolv.conf.
async fn of_system(file: PathBuf) -> Result<TokioResolver, ResolveError> {
    let shown = file.display().to_string();
    let setup = |reason: String| ResolveError::Setup(format!("{shown}: {reason}"));
    let read = tokio::task::spawn_blocking(move || parse_resolv_conf(std::fs::read(file)?));
    let (config, options) =
        read.await.map_err(|error| setup(error.to_string()))?.map_err(|error| setup(error.to_string()))?;
    build(config, Some(options))
}

fn build(config: ResolverConfig, options: Option<ResolverOpts>) -> Result<TokioResolver, ResolveError> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    if let Some(options) = options {
        *builder.options_mut() = options;
    }
    let options = builder.options_mut();
    // Leases know their own time; asking again must mean asking.
    options.cache_size = 0;
    // The hosts file is read by us, each time.
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(3);
    options.attempts = 2;
    builder.build().map_err(|error| ResolveError::Setup(error.to_string()))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

/// None where the file does not know the name (or cannot be read, which is the same to everybody else on the machine).
async fn from_hosts_file(name: Name) -> Option<Vec<IpAddr>> {
    let hosts = tokio::task::spawn_blocking(Hosts::from_system).await.ok()?.ok()?;
    let addresses: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
        .collect();
    (!addresses.is_empty()).then(|| in_order(addresses))
}

/// NXDOMAIN, or an answer without a record of that kind (RFC 2308).
fn says_there_is_none(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none))
        if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError))
}

/// A name as hosts have them (RFC 1123 §2.1; and underscores, which some use). Whoever owns an address may write anything
/// into its records.
fn host_name(name: &Name) -> Option<String> {
    let label = |label: &[u8]| {
        let label = std::str::from_utf8(label).ok()?.to_ascii_lowercase();
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (fits && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')).then_some(label)
    };
    let labels: Vec<String> = name.iter().map(label).collect::<Option<_>>()?;
    let name = labels.join(".");
    (!name.is_empty() && name.len() <= 253).then_some(name)
}

fn in_order(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests;
