use model::{AddressRange, AddressSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses in ascending order, IPv4 before IPv6, and the place of each among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spans {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
    /// Addresses in `v4`.
    v4_count: u64,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span<A> {
    first: A,
    last: A,
    /// Addresses in the spans before it, of both families.
    before: u64,
}

impl Spans {
    /// None where there are more addresses than 64 bits can count.
    pub(super) fn new(set: &AddressSet) -> Option<Self> {
        let mut spans = Self::default();
        for range in set.ranges() {
            let before = spans.count;
            match (range.first(), range.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    spans.v4.push(Span { first: first.into(), last: last.into(), before });
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    spans.v6.push(Span { first: first.into(), last: last.into(), before });
                }
                // A range is of one family.
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
            }
            spans.count = before.checked_add(u64::try_from(range.len()).ok()?)?;
            if range.first().is_ipv4() {
                spans.v4_count = spans.count;
            }
        }
        Some(spans)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The address at a place; none from [`Spans::count`] on.
    #[inline]
    pub(super) fn nth(&self, place: u64) -> Option<IpAddr> {
        if place < self.v4_count {
            let span = last_from(&self.v4, |span| span.before <= place)?;
            let offset = u32::try_from(place - span.before).ok()?;
            Some(Ipv4Addr::from(span.first + offset).into())
        } else if place < self.count {
            let span = last_from(&self.v6, |span| span.before <= place)?;
            Some(Ipv6Addr::from(span.first + u128::from(place - span.before)).into())
        } else {
            None
        }
    }

    /// The place of an address; none where it is not among them.
    #[inline]
    pub(super) fn place(&self, ip: IpAddr) -> Option<u64> {
        match ip {
            IpAddr::V4(ip) => {
                let ip = u32::from(ip);
                let span = last_from(&self.v4, |span| span.first <= ip)?;
                (ip <= span.last).then(|| span.before + u64::from(ip - span.first))
            }
            IpAddr::V6(ip) => {
                let ip = u128::from(ip);
                let span = last_from(&self.v6, |span| span.first <= ip).filter(|span| ip <= span.last)?;
                Some(span.before + u64::try_from(ip - span.first).ok()?)
            }
        }
    }

    pub(super) fn set(&self) -> AddressSet {
        let v4 = self.v4.iter().map(|s| (Ipv4Addr::from(s.first).into(), Ipv4Addr::from(s.last).into()));
        let v6 = self.v6.iter().map(|s| (Ipv6Addr::from(s.first).into(), Ipv6Addr::from(s.last).into()));
        v4.chain(v6).filter_map(|(first, last)| AddressRange::new(first, last)).collect()
    }
}

/// The last of those it holds for, which come first.
#[inline]
fn last_from<A>(spans: &[Span<A>], holds: impl Fn(&Span<A>) -> bool) -> Option<&Span<A>> {
    spans.get(spans.partition_point(holds).checked_sub(1)?)
}
