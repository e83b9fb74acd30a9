use super::MAX_SANS;
use crate::Reader;
use crate::reader::Element;
use jiff::{Timestamp, civil, tz::TimeZone};

/// The parts of a certificate as they lie in its DER (RFC 5280 §4.1), without a look at what they mean.
#[derive(Debug, Clone)]
pub(crate) struct Anatomy<'a> {
    /// What is signed, tag and length included.
    pub(crate) tbs: &'a [u8],
    pub(crate) serial: &'a [u8],
    /// Names with tag and length.
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Not before, not after.
    pub(crate) validity: Option<(Timestamp, Timestamp)>,
    /// `SubjectPublicKeyInfo` with tag and length.
    pub(crate) spki: &'a [u8],
    /// The contents of the outer `AlgorithmIdentifier`, and its object identifier alone.
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) signature_oid: &'a [u8],
    pub(crate) signature: &'a [u8],
    extensions: Option<&'a [u8]>,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const BITS: u8 = 0x03;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

impl<'a> Anatomy<'a> {
    pub(crate) fn of(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader::new(Reader::new(der).expect(SEQUENCE)?);
        let tbs = certificate.element().filter(|element| element.tag == SEQUENCE)?;
        let signature_algorithm = certificate.expect(SEQUENCE)?;
        // The first byte of a bit string counts unused bits.
        let signature = certificate.expect(BITS).and_then(|bits| bits.get(1..)).unwrap_or_default();
        let mut fields = Reader::new(tbs.contents);
        _ = fields.expect(VERSION);
        let serial = fields.expect(INTEGER)?;
        fields.expect(SEQUENCE)?;
        let issuer = sequence(&mut fields)?;
        let validity = fields.expect(SEQUENCE)?;
        let subject = sequence(&mut fields)?;
        let spki = sequence(&mut fields)?;
        let mut extensions = None;
        while let Some(element) = fields.element() {
            if element.tag == EXTENSIONS {
                extensions = Reader::new(element.contents).expect(SEQUENCE);
            }
        }
        Some(Self {
            tbs: tbs.whole,
            serial,
            issuer,
            subject,
            validity: period(validity),
            spki,
            signature_algorithm,
            signature_oid: Reader::new(signature_algorithm).expect(OBJECT).unwrap_or_default(),
            signature,
            extensions,
        })
    }

    /// DNS names and addresses of the subjectAltName extension.
    pub(super) fn alternative_names(&self) -> Vec<String> {
        const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
        const DNS: u8 = 0x82;
        const ADDRESS: u8 = 0x87;
        let mut names = Vec::new();
        let mut extensions = Reader::new(self.extensions.unwrap_or_default());
        while let Some(extension) = extensions.expect(SEQUENCE) {
            let mut extension = Reader::new(extension);
            if extension.expect(OBJECT) != Some(SUBJECT_ALT_NAME) {
                continue;
            }
            // Critical or not stands between the two.
            let value = std::iter::from_fn(|| extension.element()).find(|element| element.tag == OCTETS);
            let list = value.and_then(|value| Reader::new(value.contents).expect(SEQUENCE)).unwrap_or_default();
            let mut list = Reader::new(list);
            while let Some(Element { tag, contents, .. }) = list.element() {
                match tag {
                    DNS => names.push(super::dns_name(contents)),
                    ADDRESS => names.extend(super::address(contents)),
                    _ => {}
                }
                if names.len() == MAX_SANS {
                    break;
                }
            }
        }
        names
    }
}

fn sequence<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.element().filter(|element| element.tag == SEQUENCE).map(|element| element.whole)
}

fn period(validity: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let mut reader = Reader::new(validity);
    Some((time(reader.element()?)?, time(reader.element()?)?))
}

/// `UTCTime` or `GeneralizedTime` (RFC 5280 §4.1.2.5), with or without seconds and fractions. `Z` is read into a missing zone.
fn time(element: Element<'_>) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let mut digits = element.contents.iter().map_while(|byte| byte.is_ascii_digit().then(|| i16::from(byte - b'0')));
    let mut pair = || Some(digits.next()? * 10 + digits.next()?);
    let year = match element.tag {
        UTC_TIME => match pair()? {
            late @ 50.. => 1900 + late,
            early => 2000 + early,
        },
        GENERALIZED_TIME => pair()? * 100 + pair()?,
        _ => return None,
    };
    let mut field = || pair().and_then(|value| i8::try_from(value).ok());
    let (month, day, hour, minute) = (field()?, field()?, field()?, field()?);
    let second = field().unwrap_or(0).min(59);
    let time = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}
