use jiff::Timestamp;
use model::ServiceName;
use std::{net::IpAddr, sync::Arc};

/// Why something may not be probed. Never the target's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is in no asset; add it to the targets of one")]
    OutOfScope(IpAddr),
    #[error("{0} is excluded by the configuration")]
    Excluded(IpAddr),
    #[error("{0} is not the address of one host")]
    NotAHost(IpAddr),
    #[error("the authorization of asset `{asset}`, which {ip} belongs to, ended at {until}")]
    Expired { ip: IpAddr, asset: Arc<str>, until: Timestamp },
    #[error("asset `{asset}`, which {ip} belongs to, is asked in its window only, which opens at {opens}")]
    Closed { ip: IpAddr, asset: Arc<str>, opens: Timestamp },
    #[error("no asset names `{name}` with {ip} as its present address")]
    Name { ip: IpAddr, name: ServiceName },
    #[error("port 0 cannot be probed")]
    Port,
    #[error(
        "{ports} ports at each of {addresses} addresses are more than can be counted; ask fewer addresses at a time"
    )]
    TooLarge { addresses: u128, ports: u32 },
}
