//! Handshake messages, one by one.

use super::{ClientAuth, End, KeyExchange, ServerFlight, ServerHello, Ssl2Hello};
use crate::{
    Reader,
    tls::{
        cipher::{Cipher, Class, Ssl2Cipher},
        extension,
        version::Version,
    },
};

/// A handshake message, whole.
pub(super) enum Message<'a> {
    Known {
        kind: u8,
        body: &'a [u8],
    },
    /// It announces more than any server has to say.
    TooLong,
}

/// The longest message that is read.
const MAX_MESSAGE: usize = 160 * 1024;
const MAX_CERTIFICATES: usize = 64;
const MAX_AUTHORITIES: usize = 512;
const MAX_EXTENSIONS: usize = 64;

impl<'a> Message<'a> {
    /// The first of `bytes`, and how many of them it takes. None: not whole yet.
    pub(super) fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let (kind, length) = (reader.u8()?, u24(&mut reader)?);
        if length > MAX_MESSAGE {
            return Some((Self::TooLong, bytes.len()));
        }
        let body = reader.take(length)?;
        Some((Self::Known { kind, body }, 4 + length))
    }

    pub(super) fn tell(&self, flight: &mut ServerFlight) {
        let Self::Known { kind, body } = *self else {
            flight.end = Some(End::Malformed);
            return;
        };
        let understood = match kind {
            // A request for a hello from somebody who has not waited for ours, a ticket, supplemental data (RFC 4680).
            0 | 4 | 23 => Some(()),
            2 => server_hello(body).map(|hello| {
                flight.end = (hello.version == Version::TLS1_3).then_some(End::Encrypted);
                flight.hello = Some(hello);
            }),
            11 => {
                flight.certificates = certificates(body);
                Some(())
            }
            22 => {
                flight.ocsp = stapled(body);
                Some(())
            }
            12 => {
                flight.key_exchange = flight.hello.as_ref().and_then(|hello| key_exchange(hello.cipher, body));
                Some(())
            }
            13 => {
                flight.client_auth = Some(client_auth(flight.version(), body));
                Some(())
            }
            14 => {
                flight.end = Some(End::HelloDone);
                Some(())
            }
            _ => None,
        };
        // Certificates without a hello before them are no flight.
        if understood.is_none() || (flight.hello.is_none() && kind != 0) {
            flight.end = Some(End::Malformed);
        }
    }
}

fn u24(reader: &mut Reader<'_>) -> Option<usize> {
    reader.array().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}

/// A vector with its length before it: one byte, two or three.
fn vector<'a>(reader: &mut Reader<'a>, width: u8) -> Option<&'a [u8]> {
    let length = match width {
        1 => usize::from(reader.u8()?),
        2 => usize::from(reader.u16()?),
        _ => u24(reader)?,
    };
    reader.take(length)
}

/// RFC 5246 §7.4.1.3, RFC 8446 §4.1.3.
fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut reader = Reader::new(body);
    let version = Version(reader.u16()?);
    let random = reader.take(32)?;
    let session = vector(&mut reader, 1)?;
    let (cipher, compression) = (Cipher(reader.u16()?), reader.u8()?);
    let mut hello = ServerHello {
        version,
        cipher,
        compression,
        extensions: Vec::new(),
        took_server_name: false,
        alpn: None,
        secure_renegotiation: false,
        heartbeat: None,
        extended_master_secret: false,
        encrypt_then_mac: false,
        timestamps: 0,
        resumes: !session.is_empty(),
        group: None,
        retry: random == RETRY,
    };
    let mut extensions = Reader::new(vector(&mut reader, 2).unwrap_or_default());
    while hello.extensions.len() < MAX_EXTENSIONS
        && let (Some(kind), Some(body)) = (extensions.u16(), vector(&mut extensions, 2))
    {
        hello.extensions.push(kind);
        hello.note(kind, body);
    }
    Some(hello)
}

/// What a server puts in place of random bytes where its hello asks for another of ours (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl ServerHello {
    fn note(&mut self, kind: u16, body: &[u8]) {
        let mut reader = Reader::new(body);
        match kind {
            extension::SERVER_NAME => self.took_server_name = true,
            extension::RENEGOTIATION_INFO => self.secure_renegotiation = true,
            extension::HEARTBEAT => self.heartbeat = reader.u8(),
            extension::EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            extension::ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            extension::SESSION_TICKET => self.resumes = true,
            extension::ALPN => {
                let mut list = Reader::new(vector(&mut reader, 2).unwrap_or_default());
                self.alpn = vector(&mut list, 1).map(<[u8]>::to_vec);
            }
            extension::TIMESTAMPS => {
                let mut list = Reader::new(vector(&mut reader, 2).unwrap_or_default());
                self.timestamps = std::iter::from_fn(|| vector(&mut list, 2)).count();
            }
            extension::SUPPORTED_VERSIONS => self.version = reader.u16().map_or(self.version, Version),
            extension::KEY_SHARE => self.group = reader.u16(),
            _ => {}
        }
    }
}

/// RFC 5246 §7.4.2. What is not whole is left out.
fn certificates(body: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(vector(&mut reader, 3).unwrap_or_default());
    std::iter::from_fn(|| vector(&mut list, 3)).take(MAX_CERTIFICATES).map(<[u8]>::to_vec).collect()
}

/// RFC 6066 §8.
fn stapled(body: &[u8]) -> Option<Vec<u8>> {
    const OCSP: u8 = 1;
    let mut reader = Reader::new(body);
    let kind = reader.u8()?;
    vector(&mut reader, 3).filter(|response| kind == OCSP && !response.is_empty()).map(<[u8]>::to_vec)
}

/// RFC 5246 §7.4.3, RFC 8422 §5.4, RFC 4279 §3; how it reads depends on the suite.
fn key_exchange(cipher: Cipher, body: &[u8]) -> Option<KeyExchange> {
    let name = cipher.name()?;
    let (exchange, _) = name.split_once("_WITH_")?;
    let mut reader = Reader::new(body);
    let has = |word: &str| exchange.split('_').any(|part| part == word);
    if has("PSK") {
        // A hint comes first.
        vector(&mut reader, 2)?;
    }
    if has("ECDHE") || (has("ECDH") && has("anon")) {
        return curve(&mut reader);
    }
    if has("DHE") || (has("DH") && cipher.is(Class::Anonymous)) {
        let prime = without_zeros(vector(&mut reader, 2)?);
        return Some(KeyExchange::Dh { prime: prime.to_vec(), bits: bits(prime) });
    }
    let is_export = cipher.is(Class::Export) && has("RSA");
    let modulus = is_export.then(|| vector(&mut reader, 2))??;
    Some(KeyExchange::Rsa { bits: bits(without_zeros(modulus)) })
}

fn curve(reader: &mut Reader<'_>) -> Option<KeyExchange> {
    match reader.u8()? {
        3 => reader.u16().map(KeyExchange::Group),
        1 => Some(KeyExchange::ExplicitCurve { bits: bits(without_zeros(vector(reader, 1)?)) }),
        2 => Some(KeyExchange::ExplicitCurve { bits: u32::from(reader.u16()?) }),
        _ => None,
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Of a number without leading zeros.
fn bits(number: &[u8]) -> u32 {
    let first = number.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(number.len() * 8).unwrap_or(u32::MAX).saturating_sub(first)
}

/// RFC 5246 §7.4.4; before TLS 1.2 it lists no signatures.
fn client_auth(version: Option<Version>, body: &[u8]) -> ClientAuth {
    let mut reader = Reader::new(body);
    let kinds = vector(&mut reader, 1).unwrap_or_default().to_vec();
    if version.is_some_and(|version| version == Version::TLS1_2 || version == Version::DTLS1_2) {
        vector(&mut reader, 2);
    }
    let mut list = Reader::new(vector(&mut reader, 2).unwrap_or_default());
    let authorities = std::iter::from_fn(|| vector(&mut list, 2)).take(MAX_AUTHORITIES).map(<[u8]>::to_vec).collect();
    ClientAuth { kinds, authorities }
}

/// What the beginning of a stream says in SSL 2.0.
pub(super) enum Ssl2 {
    No,
    NeedMore,
    Hello(Ssl2Hello, Vec<u8>),
    Refused,
}

/// SSL 2.0 §1.5 (`SERVER-HELLO`), §2.1 (records without padding have the highest bit of their first byte set).
pub(super) fn ssl2(bytes: &[u8]) -> Ssl2 {
    const ERROR: u8 = 0;
    const SERVER_HELLO: u8 = 4;
    let mut reader = Reader::new(bytes);
    let Some(first) = reader.u8() else { return Ssl2::NeedMore };
    if first & 0x80 == 0 {
        return Ssl2::No;
    }
    let Some(second) = reader.u8() else { return Ssl2::NeedMore };
    let length = usize::from(first & 0x7f) << 8 | usize::from(second);
    match reader.u8() {
        None => return Ssl2::NeedMore,
        Some(ERROR) if length == 3 => return if bytes.len() < 5 { Ssl2::NeedMore } else { Ssl2::Refused },
        Some(SERVER_HELLO) => {}
        Some(_) => return Ssl2::No,
    }
    let Some(mut body) = length.checked_sub(1).and_then(|length| reader.take(length)).map(Reader::new) else {
        return if length == 0 { Ssl2::No } else { Ssl2::NeedMore };
    };
    let read = || {
        let (_hit, _kind, version) = (body.u8()?, body.u8()?, body.u16()?);
        let (certificate, ciphers, _connection) = (body.u16()?, body.u16()?, body.u16()?);
        let certificate = body.take(usize::from(certificate))?.to_vec();
        let ciphers = Ssl2Cipher::list(body.take(usize::from(ciphers))?);
        (Version(version) == Version::SSL2).then_some(Ssl2::Hello(Ssl2Hello { ciphers }, certificate))
    };
    let mut read = read;
    read().unwrap_or(Ssl2::No)
}
