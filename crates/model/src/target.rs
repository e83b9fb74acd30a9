use crate::AddressRange;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// What the operator wrote: one address, a prefix, a dashed range, or a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    Addresses(AddressRange),
    /// A CIDR prefix, kept apart so that it prints as it was written.
    Network {
        base: IpAddr,
        prefix: u8,
    },
    /// Lower case, without a trailing dot. Authorises addresses only as a lease, never by itself.
    Name(String),
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("`{0}` is not an address, a prefix (192.0.2.0/24), a range (192.0.2.1-192.0.2.20) or a host name")]
    Form(String),
    #[error("the prefix length of `{text}` is 0 to {most}")]
    Prefix { text: String, most: u8 },
    #[error("`{text}` has bits set behind its prefix length; write `{meant}`")]
    HostBits { text: String, meant: String },
    #[error("`{0}` runs backwards; write the lower address first")]
    Backwards(String),
    #[error("`{0}` mixes IPv4 and IPv6")]
    Families(String),
}

impl Target {
    /// The addresses it names itself; none for a host name.
    pub fn range(&self) -> Option<AddressRange> {
        match self {
            Self::Addresses(range) => Some(*range),
            Self::Network { base, prefix } => AddressRange::new(*base, last_of(*base, *prefix)),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Addresses(AddressRange::single(ip)));
        }
        if let Some((base, prefix)) = text.split_once('/') {
            return network(text, base, prefix);
        }
        if let Some((first, last)) = text.split_once('-')
            && let Ok(first) = first.trim().parse::<IpAddr>()
        {
            return range(text, first, last.trim());
        }
        normalise_host_name(text).map(Self::Name)
    }
}

fn network(text: &str, base: &str, prefix: &str) -> Result<Target, TargetError> {
    let base: IpAddr = base.parse().map_err(|_| TargetError::Form(text.to_owned()))?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    let wrong = || TargetError::Prefix { text: text.to_owned(), most };
    if !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    if prefix > most {
        return Err(wrong());
    }
    let first = first_of(base, prefix);
    if first != base {
        return Err(TargetError::HostBits { text: text.to_owned(), meant: format!("{first}/{prefix}") });
    }
    Ok(Target::Network { base, prefix })
}

fn range(text: &str, first: IpAddr, last: &str) -> Result<Target, TargetError> {
    let last: IpAddr = match (first, last.parse::<u8>()) {
        // `192.0.2.1-20` is short for the same /24.
        (IpAddr::V4(first), Ok(octet)) => {
            let [a, b, c, _] = first.octets();
            Ipv4Addr::new(a, b, c, octet).into()
        }
        _ => last.parse().map_err(|_| TargetError::Form(text.to_owned()))?,
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(TargetError::Families(text.to_owned()));
    }
    AddressRange::new(first, last).map(Target::Addresses).ok_or_else(|| TargetError::Backwards(text.to_owned()))
}

/// Lower case, no trailing dot, labels of letters, digits, `-` and `_` (RFC 1123, RFC 2181), at least two labels or
/// `localhost`-like single ones, never all digits at the end (that would be a mistyped address).
pub(crate) fn normalise_host_name(text: &str) -> Result<String, TargetError> {
    let form = || TargetError::Form(text.to_owned());
    let name = text.trim().strip_suffix('.').unwrap_or(text.trim()).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if name.is_empty() || name.len() > 253 || last_is_number || !name.split('.').all(label) {
        return Err(form());
    }
    Ok(name)
}

fn first_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

fn last_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) | hosts).into()
        }
        IpAddr::V6(ip) => {
            let hosts = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) | hosts).into()
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(range) => write!(f, "{range}"),
            Self::Network { base, prefix } => write!(f, "{base}/{prefix}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, shown, size) in [
            ("192.0.2.7", "192.0.2.7", Some(1)),
            ("192.0.2.0/24", "192.0.2.0/24", Some(256)),
            ("0.0.0.0/0", "0.0.0.0/0", Some(1 << 32)),
            ("192.0.2.1-192.0.2.20", "192.0.2.1-192.0.2.20", Some(20)),
            ("192.0.2.1-20", "192.0.2.1-192.0.2.20", Some(20)),
            ("2001:db8:1::/120", "2001:db8:1::/120", Some(256)),
            ("2001:db8::1-2001:db8::ff", "2001:db8::1-2001:db8::ff", Some(255)),
            ("WWW.Example.org.", "www.example.org", None),
            ("db-1.example.org", "db-1.example.org", None),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!((target.to_string().as_str(), target.range().map(AddressRange::len)), (shown, size), "{text}");
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        for text in [
            "",
            "192.0.2.256",
            "192.0.2.0/33",
            "192.0.2.7/24",
            "192.0.2.9-192.0.2.1",
            "192.0.2.1-2001:db8::1",
            "a..b",
            "-a.b",
            "1.2.3",
            "a b",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-f:./-]{0,24}|\\PC*") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
