use super::name::dotted;
use crate::Reader;
use model::KeyInfo;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OBJECT: u8 = 0x06;

/// The algorithm of a key that is not to be read.
pub(super) const UNKNOWN: &str = "unknown";

/// A key's kind and size from its `SubjectPublicKeyInfo`.
pub(super) fn read(spki: &[u8]) -> KeyInfo {
    parts(spki).map_or_else(
        || KeyInfo { algorithm: UNKNOWN.into(), bits: None },
        |(object, parameters, key)| {
            let (algorithm, bits) = match dotted(object).as_str() {
                "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => ("RSA".into(), modulus(key)),
                "1.2.840.10045.2.1" => ("EC".into(), curve(parameters).or_else(|| point(key))),
                "1.2.840.10040.4.1" => ("DSA".into(), Reader::new(parameters).expect(SEQUENCE).and_then(first_integer)),
                "1.3.101.112" => ("Ed25519".into(), Some(256)),
                "1.3.101.113" => ("Ed448".into(), Some(456)),
                "2.16.840.1.101.3.4.3.17" => ("ML-DSA-44".into(), None),
                "2.16.840.1.101.3.4.3.18" => ("ML-DSA-65".into(), None),
                "2.16.840.1.101.3.4.3.19" => ("ML-DSA-87".into(), None),
                other => (other.to_owned(), None),
            };
            KeyInfo { algorithm, bits }
        },
    )
}

/// The algorithm's object, its parameters, and the key's bytes.
fn parts(spki: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut info = Reader::new(Reader::new(spki).expect(SEQUENCE)?);
    let mut algorithm = Reader::new(info.expect(SEQUENCE)?);
    let object = algorithm.expect(OBJECT)?;
    let key = info.expect(BITS)?.get(1..)?;
    Some((object, algorithm.rest(), key))
}

fn modulus(key: &[u8]) -> Option<u32> {
    first_integer(Reader::new(key).expect(SEQUENCE)?)
}

/// The bit length of the first integer in there.
fn first_integer(bytes: &[u8]) -> Option<u32> {
    let integer = Reader::new(bytes).expect(INTEGER)?;
    let start = integer.iter().position(|&byte| byte != 0)?;
    let significant = integer.get(start..)?;
    let whole = u32::try_from(significant.len()).ok()?.checked_mul(8)?;
    whole.checked_sub(significant.first()?.leading_zeros())
}

fn curve(parameters: &[u8]) -> Option<u32> {
    match dotted(Reader::new(parameters).expect(OBJECT)?).as_str() {
        "1.2.840.10045.3.1.1" => Some(192),
        "1.3.132.0.33" => Some(224),
        "1.2.840.10045.3.1.7" | "1.3.132.0.10" | "1.3.36.3.3.2.8.1.1.7" => Some(256),
        "1.3.132.0.34" | "1.3.36.3.3.2.8.1.1.11" => Some(384),
        "1.3.36.3.3.2.8.1.1.13" => Some(512),
        "1.3.132.0.35" => Some(521),
        _ => None,
    }
}

/// An uncompressed point is two coordinates after a 4, a compressed one is one after a 2 or 3.
fn point(key: &[u8]) -> Option<u32> {
    let bytes = match key.split_first()? {
        (4, coordinates) => coordinates.len() / 2,
        (2 | 3, coordinate) => coordinate.len(),
        _ => return None,
    };
    u32::try_from(bytes).ok()?.checked_mul(8)
}

/// A signature algorithm's usual name, or its number in dots.
pub(super) fn signature_name(object: &[u8]) -> String {
    let number = dotted(object);
    let name = match number.as_str() {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14" => "sha224WithRSAEncryption",
        "1.2.840.10040.4.3" => "dsaWithSHA1",
        "2.16.840.1.101.3.4.3.2" => "dsaWithSHA256",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        _ => return number,
    };
    name.to_owned()
}
