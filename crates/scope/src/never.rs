use model::{AddressRange, AddressSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that name no single host, whatever the configuration says: "this host" (a connection to 0.0.0.0 reaches
/// loopback), multicast and broadcast, and IPv4 in IPv6 clothes, which would walk around an IPv4 exclusion.
pub(crate) fn no_host() -> AddressSet {
    [
        v4([0, 0, 0, 0], [0, 255, 255, 255]),
        v4([224, 0, 0, 0], [239, 255, 255, 255]),
        v4([255, 255, 255, 255], [255, 255, 255, 255]),
        v6([0; 8], [0; 8]),
        v6([0, 0, 0, 0, 0, 0xffff, 0, 0], [0, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff]),
        v6([0xff00, 0, 0, 0, 0, 0, 0, 0], [0xffff; 8]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Addresses a host name never brings into scope: whoever runs the DNS zone could otherwise point the sensor at itself, at
/// its neighbours, or at the cloud's metadata service.
pub(crate) fn no_lease() -> AddressSet {
    let special: AddressSet = [
        v4([127, 0, 0, 0], [127, 255, 255, 255]),
        // Link-local, and with it 169.254.169.254, the metadata address of most clouds.
        v4([169, 254, 0, 0], [169, 254, 255, 255]),
        // Further metadata services: Alibaba, Azure, Oracle.
        v4([100, 100, 100, 200], [100, 100, 100, 200]),
        v4([168, 63, 129, 16], [168, 63, 129, 16]),
        v4([192, 0, 0, 192], [192, 0, 0, 192]),
        v6([0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1]),
        v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], [0xfebf, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff]),
        // Metadata over IPv6: Amazon, Google.
        v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
        v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
        // Embedded IPv4 (IPv4-compatible, NAT64 of RFC 6052): another way to spell any of the above.
        v6([0, 0, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0xffff, 0xffff]),
        v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], [0x64, 0xff9b, 0, 0, 0, 0, 0xffff, 0xffff]),
        // The same for a translator of one's own (RFC 8215), and 6to4 (RFC 3056).
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], [0x64, 0xff9b, 1, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff]),
        v6([0x2002, 0, 0, 0, 0, 0, 0, 0], [0x2002, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff]),
    ]
    .into_iter()
    .flatten()
    .collect();
    special.union(&no_host())
}

fn v4(first: [u8; 4], last: [u8; 4]) -> Option<AddressRange> {
    AddressRange::new(IpAddr::V4(Ipv4Addr::from(first)), IpAddr::V4(Ipv4Addr::from(last)))
}

fn v6(first: [u16; 8], last: [u16; 8]) -> Option<AddressRange> {
    AddressRange::new(IpAddr::V6(Ipv6Addr::from(first)), IpAddr::V6(Ipv6Addr::from(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_no_host_and_what_no_name_brings() {
        // (address, no host at all, never by a name)
        for (text, no_host_at_all, never_by_name) in [
            ("0.0.0.0", true, true),
            ("0.255.255.255", true, true),
            ("1.0.0.0", false, false),
            ("127.0.0.1", false, true),
            ("127.255.255.255", false, true),
            ("128.0.0.0", false, false),
            ("169.253.255.255", false, false),
            ("169.254.169.254", false, true),
            ("100.100.100.200", false, true),
            ("168.63.129.16", false, true),
            ("10.0.0.1", false, false),
            ("192.0.2.7", false, false),
            ("223.255.255.255", false, false),
            ("224.0.0.251", true, true),
            ("239.255.255.255", true, true),
            ("255.255.255.255", true, true),
            ("::", true, true),
            ("::1", false, true),
            ("::127.0.0.1", false, true),
            ("::ffff:127.0.0.1", true, true),
            ("::ffff:192.0.2.7", true, true),
            ("64:ff9b::7f00:1", false, true),
            ("64:ff9b:1::a9fe:a9fe", false, true),
            ("2002:a9fe:a9fe::1", false, true),
            ("fe80::1", false, true),
            ("febf:ffff::1", false, true),
            ("fec0::1", false, false),
            ("fd00:ec2::254", false, true),
            ("fd00:ec2::253", false, false),
            ("fd20:ce::254", false, true),
            ("ff02::1", true, true),
            ("2001:db8::7", false, false),
        ] {
            let ip: IpAddr = text.parse().expect(text);
            assert_eq!((no_host().contains(ip), no_lease().contains(ip)), (no_host_at_all, never_by_name), "{text}");
        }
    }
}
