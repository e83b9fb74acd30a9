use crate::Reader;
use crate::reader::Element;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use model::Certificate;

/// The parts of a certificate as they lie in its DER (RFC 5280 §4.1), without a look at what they mean. What is not there,
/// or not where it belongs, is empty or none.
#[derive(Debug, Clone)]
pub(crate) struct Anatomy<'a> {
    /// What is signed, tag and length included.
    pub(crate) tbs: &'a [u8],
    /// As people count.
    pub(crate) version: Option<u8>,
    pub(crate) serial: Option<&'a [u8]>,
    /// Names with tag and length.
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
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
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl<'a> Anatomy<'a> {
    /// None where there is nothing of a certificate in it: neither a period nor a key, nor a name.
    pub(crate) fn of(der: &'a [u8]) -> Option<Self> {
        // A length that lies costs what lies behind it, not what it encloses.
        let outer = Reader::new(der).element_or_rest().filter(|element| element.tag == SEQUENCE)?;
        let mut certificate = Reader::new(outer.contents);
        let tbs = certificate.element_or_rest().filter(|element| element.tag == SEQUENCE)?;
        let algorithm = certificate.expect(SEQUENCE);
        // Some leave the outer one out or spoil it; the inner one says the same.
        let mut found = Self::fields(tbs, algorithm);
        // The first byte of a bit string counts unused bits.
        found.signature = certificate.expect(BITS).and_then(|bits| bits.get(1..)).unwrap_or_default();
        if found.not_before.is_none() || found.not_after.is_none() {
            found.look_for_period(tbs.contents);
        }
        let is_one = found.not_before.is_some()
            || found.not_after.is_some()
            || !found.spki.is_empty()
            || !found.subject.is_empty();
        is_one.then_some(found)
    }

    /// Each in its place; a field of another kind is skipped.
    fn fields(tbs: Element<'a>, algorithm: Option<&'a [u8]>) -> Self {
        let mut fields = Reader::new(tbs.contents);
        let version = match fields.expect(VERSION) {
            Some(version) => match Reader::new(version).expect(INTEGER) {
                Some(&[version @ 0..=2]) => Some(version + 1),
                _ => None,
            },
            None => Some(1),
        };
        let mut field = |tag: u8| fields.element().filter(|element| element.tag == tag);
        let serial = field(INTEGER).map(|serial| serial.contents);
        let inner = field(SEQUENCE).map(|algorithm| algorithm.contents);
        let issuer = field(SEQUENCE);
        let (not_before, not_after) = field(SEQUENCE).map_or((None, None), |period| times(period.contents));
        let (subject, spki) = (field(SEQUENCE), field(SEQUENCE));
        let mut extensions = None;
        while let Some(element) = fields.element() {
            if element.tag == EXTENSIONS {
                extensions = Reader::new(element.contents).element_or_rest().map(|list| list.contents);
            }
        }
        let whole = |element: Option<Element<'a>>| element.map(|element| element.whole).unwrap_or_default();
        let signature_algorithm = algorithm.or(inner).unwrap_or_default();
        Self {
            tbs: tbs.whole,
            version,
            serial,
            issuer: whole(issuer),
            subject: whole(subject),
            not_before,
            not_after,
            spki: whole(spki),
            signature_algorithm,
            signature_oid: Reader::new(signature_algorithm).expect(OBJECT).unwrap_or_default(),
            signature: &[],
            extensions,
        }
    }

    /// Where something before the period is broken: two times in a sequence are it, and what follows is in its place again.
    fn look_for_period(&mut self, tbs: &'a [u8]) {
        for at in 0..tbs.len() {
            let Some(rest) = tbs.get(at..).filter(|rest| rest.first() == Some(&SEQUENCE)) else { continue };
            let mut fields = Reader::new(rest);
            let Some(period) = fields.expect(SEQUENCE).filter(|period| matches!(period.first(), Some(0x17 | 0x18)))
            else {
                continue;
            };
            let (Some(not_before), Some(not_after)) = times(period) else { continue };
            (self.not_before, self.not_after) = (Some(not_before), Some(not_after));
            let mut next = || fields.element().filter(|element| element.tag == SEQUENCE).map(|element| element.whole);
            self.subject = next().unwrap_or_default();
            self.spki = next().unwrap_or_default();
            while let Some(element) = fields.element() {
                if element.tag == EXTENSIONS {
                    self.extensions = Reader::new(element.contents).element_or_rest().map(|list| list.contents);
                }
            }
            return;
        }
    }

    /// The extensions in their order, each with its object identifier and its value.
    pub(super) fn extensions(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut extensions = Reader::new(self.extensions.unwrap_or_default());
        std::iter::from_fn(move || extensions.expect(SEQUENCE)).map(|extension| {
            let mut extension = Reader::new(extension);
            let object = extension.expect(OBJECT).unwrap_or_default();
            // Critical or not stands between the two.
            let value = std::iter::from_fn(|| extension.element()).find(|element| element.tag == OCTETS);
            (object, value.map(|value| value.contents).unwrap_or_default())
        })
    }
}

/// Each by itself: one may be readable where the other is not.
fn times(validity: &[u8]) -> (Option<Timestamp>, Option<Timestamp>) {
    let mut reader = Reader::new(validity);
    let mut next = || reader.element().and_then(time);
    (next(), next())
}

/// `UTCTime` or `GeneralizedTime` (RFC 5280 §4.1.2.5), with or without seconds and fractions. `Z` is read into a missing zone;
/// one in hours and minutes, which BER allows, is kept to.
pub(crate) fn time(element: Element<'_>) -> Option<Timestamp> {
    let digits = element.contents.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = element.contents.split_at_checked(digits)?;
    let mut numbers = Pairs(number);
    let year = match element.tag {
        UTC_TIME => match numbers.next()? {
            late @ 50.. => 1900 + i16::from(late),
            early => 2000 + i16::from(early),
        },
        GENERALIZED_TIME => i16::from(numbers.next()?) * 100 + i16::from(numbers.next()?),
        _ => return None,
    };
    let (month, day, hour, minute) = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    let second = numbers.next().unwrap_or(0).min(59);
    let time = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let Ok(time) = TimeZone::UTC.to_timestamp(time) else {
        // The last two days of the year 9999 are more than a timestamp holds.
        return (year == 9999).then_some(Certificate::NO_END);
    };
    let time = time.min(Certificate::NO_END);
    let Some((sign @ (b'+' | b'-'), zone)) = rest.split_first() else { return Some(time) };
    let mut zone = Pairs(zone);
    let (hours, minutes) = (zone.next()?, zone.next().unwrap_or(0));
    let ahead = SignedDuration::from_mins(i64::from(hours) * 60 + i64::from(minutes));
    if *sign == b'+' { time.checked_sub(ahead) } else { time.checked_add(ahead) }.ok()
}

/// Numbers of two digits each.
struct Pairs<'a>(&'a [u8]);

impl Iterator for Pairs<'_> {
    type Item = i8;

    fn next(&mut self) -> Option<i8> {
        let (pair, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        let [tens, ones] = pair.map(|byte| char::from(byte).to_digit(10).and_then(|digit| i8::try_from(digit).ok()));
        Some(tens? * 10 + ones?)
    }
}
