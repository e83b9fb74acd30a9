use crate::{Transport, top_ports};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of ports: sorted, disjoint, inclusive intervals. Port 0 is never in one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortSet(Vec<(u16, u16)>);

/// A text that is no port list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSetError {
    #[error("`{0}` is not a port; ports are 1 to 65535, lists read `22,80,1-1024`, `top:1000` or `all`")]
    Form(String),
    #[error("`{0}` runs backwards; write the lower port first")]
    Backwards(String),
    #[error("`top:{asked}` is more than the {known} {transport} ports that are ranked; write `all` or a range")]
    Top { asked: u32, known: usize, transport: Transport },
}

impl PortSet {
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// 1 to 65535.
    pub fn all() -> Self {
        Self(vec![(1, u16::MAX)])
    }

    /// Reads `22,80,1-1024`, `top:1000` (ranked for that transport) or `all`; parts may be mixed, an empty text
    /// or `none` is the empty set.
    pub fn parse(text: &str, transport: Transport) -> Result<Self, PortSetError> {
        let mut ports = Vec::new();
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(Self::empty());
        }
        for part in text.split(',').map(str::trim) {
            let form = || PortSetError::Form(part.to_owned());
            let port = |text: &str| match text.trim().parse::<u16>() {
                Ok(port) if port > 0 && text.trim().bytes().all(|b| b.is_ascii_digit()) => Ok(port),
                _ => Err(form()),
            };
            if part == "all" {
                ports.push((1, u16::MAX));
            } else if let Some(count) = part.strip_prefix("top:") {
                let asked: u32 = count.parse().map_err(|_| form())?;
                let ranked = top_ports::ranked(transport);
                let count = usize::try_from(asked).unwrap_or(usize::MAX);
                if count == 0 {
                    return Err(form());
                }
                if count > ranked.len() {
                    return Err(PortSetError::Top { asked, known: ranked.len(), transport });
                }
                ports.extend(ranked[..count].iter().map(|&port| (port, port)));
            } else if let Some((first, last)) = part.split_once('-') {
                let (first, last) = (port(first)?, port(last)?);
                if first > last {
                    return Err(PortSetError::Backwards(part.to_owned()));
                }
                ports.push((first, last));
            } else {
                let port = port(part)?;
                ports.push((port, port));
            }
        }
        Ok(Self::normalise(ports))
    }

    fn normalise(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if u32::from(first) <= u32::from(previous.1) + 1 => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    pub fn contains(&self, port: u16) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= port);
        after > 0 && port <= self.0[after - 1].1
    }

    /// How many ports are in the set, 0 to 65535.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|&(first, last)| u32::from(last) - u32::from(first) + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `n`th port in ascending order.
    pub fn nth(&self, mut n: u32) -> Option<u16> {
        for &(first, last) in &self.0 {
            let size = u32::from(last) - u32::from(first) + 1;
            if n < size {
                return u16::try_from(u32::from(first) + n).ok();
            }
            n -= size;
        }
        None
    }

    /// `count` ports at most, from the `from`th in ascending order on.
    #[must_use]
    pub fn part(&self, from: u32, count: u32) -> Self {
        let (mut skip, mut left) = (from, count);
        let mut part = Vec::new();
        for &(first, last) in &self.0 {
            let size = u32::from(last) - u32::from(first) + 1;
            let take = size.saturating_sub(skip).min(left);
            if take > 0 {
                let begin = u32::from(first) + skip;
                part.extend(u16::try_from(begin).ok().zip(u16::try_from(begin + take - 1).ok()));
            }
            skip = skip.saturating_sub(size);
            left -= take;
        }
        Self(part)
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::normalise(self.0.iter().chain(&other.0).copied().collect())
    }

    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let mut next = u32::from(first);
            for &(cut_first, cut_last) in &other.0 {
                if u32::from(cut_last) < next || cut_first > last {
                    continue;
                }
                if u32::from(cut_first) > next {
                    left.push((next, u32::from(cut_first) - 1));
                }
                next = u32::from(cut_last) + 1;
            }
            if next <= u32::from(last) {
                left.push((next, u32::from(last)));
            }
        }
        let narrow = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
        Self(left.into_iter().map(|(first, last)| (narrow(first), narrow(last))).collect())
    }

    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    pub fn insert(&mut self, port: u16) {
        if port > 0 && !self.contains(port) {
            let mut ranges = std::mem::take(&mut self.0);
            ranges.push((port, port));
            *self = Self::normalise(ranges);
        }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        Self::normalise(ports.into_iter().filter(|&port| port > 0).map(|port| (port, port)).collect())
    }
}

/// `22,80,1000-1024`; the empty set prints as `none`. [`PortSet::parse`] reads it back.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn parse(text: &str) -> Result<PortSet, PortSetError> {
        PortSet::parse(text, Transport::Tcp)
    }

    #[test]
    fn reads_what_people_write() {
        for (text, shown, len) in [
            ("22,80,443", "22,80,443", 3),
            ("1-1024,3389", "1-1024,3389", 1025),
            ("all", "1-65535", 65_535),
            ("80,81,82,81", "80-82", 3),
            ("none", "none", 0),
        ] {
            let set = parse(text).expect(text);
            assert_eq!((set.to_string().as_str(), set.len()), (shown, len));
        }
        assert_eq!(parse("top:100").expect("ranked").len(), 100);
        assert_eq!(parse("top:1000").expect("ranked").len(), 1000);
        assert_eq!(PortSet::parse("top:100", Transport::Udp).expect("ranked").len(), 100);
        for text in ["0", "65536", "1-", "-1", "a", "80;81", "top:", "top:0", "1 2", "+5", "22,,80", "9-1", "top:99999"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_follow_each_other() {
        for (text, from, count, expect) in [
            ("all", 0, 4_096, "1-4096"),
            ("all", 61_440, 4_096, "61441-65535"),
            ("22,80,443", 1, 2, "80,443"),
            ("1-10,20-30", 8, 4, "9-10,20-21"),
            ("22", 1, 5, "none"),
            ("22", 0, 0, "none"),
        ] {
            assert_eq!(
                parse(text).expect(text).part(from, count),
                parse(expect).expect(expect),
                "{text} {from} {count}"
            );
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(a in prop::collection::btree_set(1_u16.., 0..60), b in prop::collection::btree_set(1_u16..300, 0..200)) {
            let (set_a, set_b): (PortSet, PortSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(set_a.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(set_a.union(&set_b).iter().collect::<BTreeSet<_>>(), a.union(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(set_a.difference(&set_b).iter().collect::<BTreeSet<_>>(), a.difference(&b).copied().collect::<BTreeSet<_>>());
            for (n, port) in a.iter().enumerate() {
                prop_assert!(set_a.contains(*port));
                prop_assert_eq!(set_a.nth(u32::try_from(n).unwrap()), Some(*port));
            }
            prop_assert_eq!(parse(&set_a.to_string()), Ok(set_a));
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
