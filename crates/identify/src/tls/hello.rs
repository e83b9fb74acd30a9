//! What a client says first, written by hand, so that it can be said to servers of any age (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2,
//! RFC 6101 §5.6.1.2, and RFC 5246 §E.2 for the hello of SSL 2.0).

use super::{
    cipher::{self, Cipher, Ssl2Cipher},
    extension,
    version::Version,
};

/// A client's hello. [`Hello::broad`] offers everything there is up to a version; take away from it what a question calls
/// for. Extensions are left out for SSL 3.0, which has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Of the record that carries it. Servers take any; old ones want TLS 1.0 or what they speak.
    pub record: Version,
    /// The highest version offered. TLS 1.3 is offered as it has to be: 1.2 here, and `supported_versions` of nothing else.
    pub version: Version,
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub ciphers: Vec<Cipher>,
    /// Adds [`Cipher::FALLBACK_SCSV`].
    pub fallback: bool,
    /// Offers DEFLATE before no compression.
    pub compression: bool,
    /// A host name. Never an address (RFC 6066 §3): [`Hello::server_name`] sees to that.
    server_name: Option<String>,
    pub groups: Vec<u16>,
    pub signature_algorithms: Vec<u16>,
    /// Protocols to speak inside, by preference; none: the extension is left out.
    pub alpn: Vec<Vec<u8>>,
    /// "Heartbeats may be sent to me" (RFC 6520 §2).
    pub heartbeat: bool,
    /// Asks for a stapled OCSP response (RFC 6066 §8).
    pub status_request: bool,
    /// Asks for signed certificate timestamps (RFC 6962 §3.3.1).
    pub timestamps: bool,
    pub extended_master_secret: bool,
    pub encrypt_then_mac: bool,
    pub session_ticket: bool,
    /// As an extension; in SSL 3.0, where there are none, as [`Cipher::RENEGOTIATION_SCSV`].
    pub renegotiation_info: bool,
}

impl Hello {
    /// Offers every suite, group and signature up to `version`, whatever it is worth, and asks for everything a server may tell
    /// before it encrypts. `random` must be fresh; nothing secret follows from it.
    pub fn broad(version: Version, random: [u8; 32]) -> Self {
        let ciphers =
            if version == Version::TLS1_3 { cipher::of(cipher::Class::Tls13).collect() } else { cipher::broad() };
        Self {
            record: if version.is_dtls() { Version::DTLS1_0 } else { version.min(Version::TLS1_0) },
            version,
            random,
            session_id: Vec::new(),
            ciphers,
            fallback: false,
            compression: version != Version::TLS1_3,
            server_name: None,
            groups: GROUPS.iter().copied().filter(|&group| version != Version::TLS1_3 || !is_obsolete(group)).collect(),
            signature_algorithms: SIGNATURE_ALGORITHMS.to_vec(),
            alpn: Vec::new(),
            heartbeat: version != Version::TLS1_3,
            status_request: true,
            timestamps: true,
            extended_master_secret: true,
            encrypt_then_mac: true,
            session_ticket: true,
            renegotiation_info: true,
        }
    }

    /// Asks for a host by its name. An address is not a name, and an empty or overlong one is none: they are left out.
    #[must_use]
    pub fn server_name(mut self, name: Option<&str>) -> Self {
        let is_name = |name: &&str| {
            (1..=253).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
                && name.parse::<std::net::IpAddr>().is_err()
        };
        self.server_name = name.map(|name| name.trim_end_matches('.')).filter(is_name).map(str::to_owned);
        self
    }

    /// Only these suites.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(Cipher) -> bool) -> Self {
        self.ciphers.retain(|&cipher| keep(cipher));
        self
    }

    /// The record to send over a stream.
    pub fn to_record(&self) -> Vec<u8> {
        let message = self.message();
        let mut record = vec![22];
        put(&mut record, self.record.0);
        sized::<2>(&mut record, |record| record.extend_from_slice(&message));
        record
    }

    /// The message for DTLS 1.0 or 1.2 without its header, which is the record layer's affair there (RFC 6347 §4.2.2); `cookie`
    /// is what the server asked to be shown.
    pub fn to_body(&self, cookie: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        self.body(&mut body, Some(cookie));
        body
    }

    /// The handshake message, with its header.
    fn message(&self) -> Vec<u8> {
        let mut message = vec![CLIENT_HELLO];
        sized::<3>(&mut message, |body| self.body(body, None));
        message
    }

    fn body(&self, body: &mut Vec<u8>, cookie: Option<&[u8]>) {
        let version = if self.version.is_tls() { self.version.min(Version::TLS1_2) } else { self.version };
        put(body, version.0);
        body.extend_from_slice(&self.random);
        sized::<1>(body, |body| body.extend_from_slice(self.session_id.get(..32).unwrap_or(&self.session_id)));
        if let Some(cookie) = cookie {
            sized::<1>(body, |body| body.extend_from_slice(cookie.get(..255).unwrap_or(cookie)));
        }
        let by_number = self.renegotiation_info && !self.has_extensions();
        let signals = [(by_number, Cipher::RENEGOTIATION_SCSV), (self.fallback, Cipher::FALLBACK_SCSV)];
        let signals = signals.into_iter().filter_map(|(wanted, signal)| wanted.then_some(signal));
        sized::<2>(body, |body| {
            self.ciphers.iter().take(MAX_CIPHERS).copied().chain(signals).for_each(|cipher| put(body, cipher.0));
        });
        let methods: &[u8] = if self.compression { &[1, 0] } else { &[0] };
        sized::<1>(body, |body| body.extend_from_slice(methods));
        if self.has_extensions() {
            let mut extensions = Vec::new();
            self.extensions(&mut extensions);
            // There are balancers that hang on a message of 256 to 511 bytes, header included (RFC 7685 §1).
            let length = 4 + body.len() + 2 + extensions.len();
            if (256..512).contains(&length) {
                let zeros = 512_usize.saturating_sub(length + 4).max(1);
                extend(&mut extensions, extension::PADDING, |body| body.resize(body.len() + zeros, 0));
            }
            sized::<2>(body, |body| body.extend_from_slice(&extensions));
        }
    }

    fn has_extensions(&self) -> bool {
        self.version > Version::SSL3
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        if let Some(name) = &self.server_name {
            extend(out, extension::SERVER_NAME, |body| {
                sized::<2>(body, |list| {
                    list.push(0);
                    sized::<2>(list, |host| host.extend_from_slice(name.as_bytes()));
                });
            });
        }
        if self.extended_master_secret {
            extend(out, extension::EXTENDED_MASTER_SECRET, |_| {});
        }
        if self.renegotiation_info {
            extend(out, extension::RENEGOTIATION_INFO, |body| body.push(0));
        }
        if !self.groups.is_empty() {
            extend(out, extension::SUPPORTED_GROUPS, |body| numbers(body, &self.groups));
            extend(out, extension::EC_POINT_FORMATS, |body| body.extend_from_slice(&[1, 0]));
        }
        if self.session_ticket {
            extend(out, extension::SESSION_TICKET, |_| {});
        }
        if !self.alpn.is_empty() {
            extend(out, extension::ALPN, |body| {
                sized::<2>(body, |list| {
                    for protocol in self.alpn.iter().filter(|protocol| (1..=255).contains(&protocol.len())).take(64) {
                        sized::<1>(list, |list| list.extend_from_slice(protocol));
                    }
                });
            });
        }
        if self.status_request {
            // OCSP, from any responder, with no extensions of its own.
            extend(out, extension::STATUS_REQUEST, |body| body.extend_from_slice(&[1, 0, 0, 0, 0]));
        }
        // Signatures are negotiated from TLS 1.2 on.
        if self.version >= Version::TLS1_2 && !self.signature_algorithms.is_empty() {
            extend(out, extension::SIGNATURE_ALGORITHMS, |body| numbers(body, &self.signature_algorithms));
        }
        if self.timestamps {
            extend(out, extension::TIMESTAMPS, |_| {});
        }
        if self.encrypt_then_mac {
            extend(out, extension::ENCRYPT_THEN_MAC, |_| {});
        }
        if self.heartbeat {
            extend(out, extension::HEARTBEAT, |body| body.push(1));
        }
        if self.version == Version::TLS1_3 {
            extend(out, extension::SUPPORTED_VERSIONS, |body| {
                sized::<1>(body, |list| put(list, self.version.0));
            });
            // Any 32 bytes are a point of X25519 (RFC 7748 §5). Nobody knows its secret, and nothing is to be read with it.
            extend(out, extension::KEY_SHARE, |body| {
                sized::<2>(body, |list| {
                    put(list, X25519);
                    sized::<2>(list, |share| share.extend_from_slice(&self.random));
                });
            });
        }
    }
}

/// The hello of SSL 2.0, which offers that and nothing newer: 27 bytes and three for each cipher. `challenge` must be fresh.
pub fn ssl2_hello(ciphers: impl IntoIterator<Item = Ssl2Cipher>, challenge: [u8; 16]) -> Vec<u8> {
    let specs: Vec<u8> = ciphers.into_iter().take(64).flat_map(|cipher| cipher.0).collect();
    let mut body = vec![SSL2_CLIENT_HELLO];
    put(&mut body, Version::SSL2.0);
    for length in [specs.len(), 0, challenge.len()] {
        put(&mut body, u16::try_from(length).unwrap_or_default());
    }
    body.extend_from_slice(&specs);
    body.extend_from_slice(&challenge);
    let mut record = Vec::new();
    // Two bytes of length with the highest bit set: no padding follows.
    put(&mut record, 0x8000 | u16::try_from(body.len()).unwrap_or_default());
    record.append(&mut body);
    record
}

const CLIENT_HELLO: u8 = 1;
const SSL2_CLIENT_HELLO: u8 = 1;
/// Beyond every list that makes sense, and below what one record holds.
const MAX_CIPHERS: usize = 4096;
const X25519: u16 = 29;

/// X25519, the NIST curves that are in use first, X448, the Brainpool curves, finite fields (RFC 7919), then what hardly anybody
/// has any more: the server takes the one it likes best, and a certificate on an odd curve wants it named.
const GROUPS: &[u16] = &[
    X25519, 23, 24, 25, 30, 26, 27, 28, 31, 32, 33, 256, 257, 258, 259, 260, 22, 21, 19, 20, 18, 17, 16, 15, 14, 13,
    12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 34, 35, 36, 37, 38, 39, 40, 41,
];

/// Whoever offers nothing older than TLS 1.3 must not offer these (RFC 8446 §B.3.1.4), and some servers refuse who does.
fn is_obsolete(group: u16) -> bool {
    matches!(group, 0x01..=0x16 | 0x1a..=0x1c)
}

/// Whatever a certificate may be signed with, or a handshake: Ed25519, Ed448, ECDSA, RSA-PSS with either kind of key, RSA, DSA, GOST,
/// SM2; SHA-1 and MD5 last (RFC 8446 §4.2.3, RFC 5246 §7.4.1.4.1).
const SIGNATURE_ALGORITHMS: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601,
    0x0303, 0x0301, 0x081a, 0x081b, 0x081c, 0x0402, 0x0502, 0x0602, 0x0302, 0x0203, 0x0201, 0x0202, 0x0101, 0x0708,
    0x0840, 0x0841, 0xeeee, 0xefef,
];

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn numbers(out: &mut Vec<u8>, list: &[u16]) {
    sized::<2>(out, |out| list.iter().take(256).for_each(|&number| put(out, number)));
}

fn extend(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put(out, kind);
    sized::<2>(out, body);
}

/// What `body` writes, with its length before it in `N` bytes. What is written here is always shorter than that can tell.
fn sized<const N: usize>(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    body(&mut inner);
    let length = inner.len().to_be_bytes();
    out.extend_from_slice(length.last_chunk::<N>().map_or(&[], |length| length.as_slice()));
    out.append(&mut inner);
}

#[cfg(test)]
mod tests;
