//! Which addresses may be a target at all, which cannot be swept, and which are anybody's.

use model::{AddressRange, AddressSet, Target};
use std::net::{IpAddr, Ipv6Addr};

/// More addresses than this are not swept: an IPv4 /8, an IPv6 /104.
pub(crate) const MOST_SWEPT: u128 = 1 << 24;

/// What nothing can be asked of, or what would be asked of somebody else.
const FORBIDDEN: [(&str, &str); 8] = [
    ("0.0.0.0/8", "\"this network\" (0.0.0.0/8), which is no destination"),
    ("224.0.0.0/4", "multicast addresses"),
    ("255.255.255.255", "the broadcast address"),
    ("240.0.0.0/4", "reserved addresses (240.0.0.0/4)"),
    ("::", "the unspecified address"),
    ("ff00::/8", "multicast addresses"),
    ("fe80::/10", "link-local addresses, which mean nothing without an interface"),
    ("::ffff:0.0.0.0/96", "IPv4 addresses written as IPv6; write them as IPv4"),
];

/// Addresses that are not globally routable (RFC 6890 and its successors), so that nobody else can own them.
const SPECIAL: [&str; 18] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "2001:db8::/32",
    "3fff::/20",
    "::-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:2::/48",
];

/// Why these addresses cannot be a target.
pub(crate) fn fault(range: AddressRange) -> Option<String> {
    let set: AddressSet = [range].into_iter().collect();
    for (text, what) in FORBIDDEN {
        let forbidden = parse(text);
        // All of IPv6 contains the few odd addresses at its beginning; it is too large to be swept and harmless there.
        let inside = !set.intersection(&forbidden).is_empty();
        if inside && (range.len() <= MOST_SWEPT || range.first().is_ipv4() || set.difference(&forbidden).is_empty()) {
            return Some(format!("it holds {what}"));
        }
    }
    if range.first().is_ipv4() && range.len() > MOST_SWEPT {
        return Some(format!(
            "{} addresses are more than a /8; nobody owns that, write the networks you do own",
            range.len()
        ));
    }
    None
}

/// IPv6 ranges so large that their addresses cannot be tried one by one.
pub(crate) fn is_unsweepable(target: &Target) -> bool {
    target.range().is_some_and(|range| range.len() > MOST_SWEPT)
}

/// Whether any of these addresses is globally routable.
pub(crate) fn is_public(range: AddressRange) -> bool {
    let special = SPECIAL.iter().fold(AddressSet::empty(), |set, text| set.union(&parse(text)));
    let set: AddressSet = [range].into_iter().collect();
    !set.difference(&special).is_empty()
}

/// Whether the sensor could send from it.
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::from([255; 4]) && !is_mapped(ip)
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::to_ipv4_mapped(&ip).is_some())
}

/// The tables above; a test reads every line of them.
fn parse(text: &str) -> AddressSet {
    text.parse::<Target>().ok().and_then(|target| target.range()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse::<Target>().expect(text).range().expect("addresses")
    }

    #[test]
    fn every_table_line_reads() {
        for text in FORBIDDEN.iter().map(|(text, _)| *text).chain(SPECIAL) {
            assert!(!parse(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_target() {
        for (text, good) in [
            ("192.0.2.0/24", true),
            ("127.0.0.1", true),
            ("10.0.0.0/8", true),
            ("10.0.0.0-11.0.0.0", false),
            ("0.0.0.0/0", false),
            ("8.0.0.0/7", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("223.255.255.255-224.0.0.0", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", true),
            ("ff02::1", false),
            ("fe80::1", false),
            ("::ffff:192.0.2.1", false),
            ("2001:db8::/32", true),
        ] {
            assert_eq!(fault(range(text)).is_none(), good, "{text}: {:?}", fault(range(text)));
        }
    }

    #[test]
    fn what_is_public() {
        for (text, public) in [
            ("192.0.2.0/24", false),
            ("127.0.0.1", false),
            ("10.0.0.0/8", false),
            ("192.0.1.0-192.0.3.0", true),
            ("9.9.9.9", true),
            ("2001:db8::/32", false),
            ("2600::/64", true),
            ("fd00::/8", false),
        ] {
            assert_eq!(is_public(range(text)), public, "{text}");
        }
    }
}
