//! What extensions say (RFC 5280 §4.2), read leniently: each by itself, so that a broken one costs nothing else.

use super::Anatomy;
use crate::{Reader, reader::Element, text};
use std::net::IpAddr;

/// The most alternative names kept of one certificate; the largest public ones carry a hundred.
const MAX_SANS: usize = 512;

const SEQUENCE: u8 = 0x30;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;

#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) sans: Vec<String>,
    /// Basic constraints say it is an authority's.
    pub(super) authority: bool,
    /// It lists its uses and serving TLS is not among them.
    pub(super) not_for_servers: bool,
    /// It tells where its issuer's certificate can be fetched.
    pub(super) tells_issuer: bool,
    pub(super) scts: u16,
    /// One of those above cannot be read to its end.
    pub(super) broken: bool,
}

impl Extensions {
    pub(super) fn of(anatomy: &Anatomy<'_>) -> Self {
        let mut found = Self::default();
        for (object, value) in anatomy.extensions() {
            let readable = match object {
                [0x55, 0x1d, 0x11] => found.alternative_names(value),
                [0x55, 0x1d, 0x13] => found.basic_constraints(value),
                [0x55, 0x1d, 0x25] => found.extended_key_usage(value),
                [0x2b, 6, 1, 5, 5, 7, 1, 1] => found.authority_information(value),
                [0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2] => found.timestamps(value),
                _ => Some(()),
            };
            found.broken |= readable.is_none();
        }
        found
    }

    /// §4.2.1.6. Of the kinds of name only those of servers.
    fn alternative_names(&mut self, value: &[u8]) -> Option<()> {
        const DNS: u8 = 0x82;
        const ADDRESS: u8 = 0x87;
        let mut list = Reader::new(Reader::new(value).element_or_rest().filter(|list| list.tag == SEQUENCE)?.contents);
        while self.sans.len() < MAX_SANS {
            let Some(Element { tag, contents, .. }) = list.element() else {
                return list.is_empty().then_some(());
            };
            match tag {
                DNS => self.sans.push(text::printable(contents).to_lowercase()),
                ADDRESS => self.sans.extend(address(contents)),
                _ => {}
            }
        }
        Some(())
    }

    /// §4.2.1.9.
    fn basic_constraints(&mut self, value: &[u8]) -> Option<()> {
        let mut constraints = Reader::new(Reader::new(value).expect(SEQUENCE)?);
        self.authority = constraints.expect(BOOLEAN).is_some_and(|ca| ca.iter().any(|&byte| byte != 0));
        Some(())
    }

    /// §4.2.1.12.
    fn extended_key_usage(&mut self, value: &[u8]) -> Option<()> {
        const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
        const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0];
        let mut uses = Reader::new(Reader::new(value).expect(SEQUENCE)?);
        let serves = std::iter::from_fn(|| uses.expect(OBJECT)).any(|one| one == SERVER || one == ANY);
        self.not_for_servers = !serves;
        Some(())
    }

    /// §4.2.2.1.
    fn authority_information(&mut self, value: &[u8]) -> Option<()> {
        const ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 2];
        let mut list = Reader::new(Reader::new(value).expect(SEQUENCE)?);
        self.tells_issuer = std::iter::from_fn(|| list.expect(SEQUENCE))
            .any(|description| Reader::new(description).expect(OBJECT) == Some(ISSUERS));
        Some(())
    }

    /// RFC 6962 §3.3.
    fn timestamps(&mut self, value: &[u8]) -> Option<()> {
        self.scts = count_scts(Reader::new(value).expect(OCTETS)?)?;
        Some(())
    }
}

/// How many signed certificate timestamps a list holds (RFC 6962 §3.3), as it stands in a certificate's extension, in TLS's
/// `signed_certificate_timestamp` and in a stapled answer. None where it is no such list.
pub fn count_scts(list: &[u8]) -> Option<u16> {
    let mut outer = Reader::new(list);
    let length = outer.u16()?;
    let mut inner = Reader::new(outer.take(usize::from(length))?);
    let mut count = 0_u16;
    while !inner.is_empty() {
        let length = inner.u16()?;
        inner.take(usize::from(length))?;
        count = count.saturating_add(1);
    }
    outer.is_empty().then_some(count)
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok().map(|ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_timestamps() {
        for (list, expect) in [
            (&[0, 0][..], Some(0)),
            (&[0, 3, 0, 1, 7], Some(1)),
            (&[0, 7, 0, 1, 7, 0, 2, 8, 9], Some(2)),
            (&[0, 3, 0, 2, 7], None),
            (&[0, 3, 0, 1, 7, 1], None),
            (&[0], None),
            (&[], None),
        ] {
            assert_eq!(count_scts(list), expect, "{list:?}");
        }
    }
}
