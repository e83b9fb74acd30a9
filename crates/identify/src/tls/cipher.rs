//! Cipher suites: their numbers, their names, and what they are weak for.

mod names;

use crate::Reader;
use names::NAMES;
use std::fmt;

/// A cipher suite by its number (RFC 5246 §A.5). Prints as its IANA name, or as its number where it has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cipher(pub u16);

/// A property that suites are chosen or judged by. A suite has one of a kind of encryption, and may have others beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Encrypts nothing.
    Null,
    /// Nobody proves who they are: neither certificate nor shared secret.
    Anonymous,
    /// Weakened for the export rules of the nineties: keys of 40 or 56 bits.
    Export,
    Rc4,
    Rc2,
    /// Single DES, 40 bits or 56.
    Des,
    TripleDes,
    Idea,
    Seed,
    /// A block cipher chained (CBC), authenticated before it is encrypted.
    Cbc,
    /// Authenticated encryption: GCM, CCM, ChaCha20-Poly1305.
    Aead,
    /// The national ciphers of Russia.
    Gost,
    /// The key exchange leaves nothing behind that would open a recorded session: (EC)DHE, and all of TLS 1.3.
    ForwardSecret,
    /// Proves itself by a secret shared beforehand (PSK, SRP, Kerberos, a password), at most beside a certificate.
    SharedSecret,
    /// The number names only the encryption: TLS 1.3.
    Tls13,
}

impl Cipher {
    /// What a client says who tries again with a lower version than it could (RFC 7507).
    pub const FALLBACK_SCSV: Self = Self(0x5600);
    /// What a client says in place of the `renegotiation_info` extension (RFC 5746 §3.3).
    pub const RENEGOTIATION_SCSV: Self = Self(0x00ff);

    /// The IANA name.
    pub fn name(self) -> Option<&'static str> {
        NAMES.binary_search_by_key(&self.0, |&(id, _)| id).ok().and_then(|at| NAMES.get(at)).map(|&(_, name)| name)
    }

    /// False also for a suite that is not in the table: nothing is known of it.
    pub fn is(self, class: Class) -> bool {
        let Some(name) = self.name() else { return false };
        let (exchange, encryption) = name.split_once("_WITH_").unwrap_or(("", name));
        let exchanges = |word: &str| exchange.split('_').any(|part| part == word);
        let encrypts = |word: &str| encryption.split('_').any(|part| part == word);
        match class {
            Class::Null => encrypts("NULL") || (exchange.is_empty() && encryption.starts_with("TLS_SHA")),
            Class::Anonymous => exchanges("anon") || exchanges("NULL"),
            Class::Export => exchanges("EXPORT") || exchanges("EXPORT1024"),
            Class::Rc4 => encrypts("RC4"),
            Class::Rc2 => encrypts("RC2"),
            Class::Des => encrypts("DES") || encrypts("DES40"),
            Class::TripleDes => encrypts("3DES"),
            Class::Idea => encrypts("IDEA"),
            Class::Seed => encrypts("SEED"),
            Class::Cbc => encrypts("CBC"),
            Class::Aead => encrypts("GCM") || encrypts("CCM") || encrypts("POLY1305"),
            Class::Gost => exchange.contains("GOST"),
            Class::ForwardSecret => exchange.is_empty() || exchanges("DHE") || exchanges("ECDHE") || exchanges("anon"),
            Class::SharedSecret => ["PSK", "SRP", "KRB5", "ECCPWD"].into_iter().any(exchanges),
            Class::Tls13 => exchange.is_empty(),
        }
    }

    /// The server shows a certificate before it uses this suite. Not so where nobody proves who they are, and where a
    /// shared secret is all the proof.
    pub fn shows_certificate(self) -> bool {
        let exchange = self.name().and_then(|name| name.split_once("_WITH_")).map_or("", |(exchange, _)| exchange);
        let with_both = ["RSA_PSK", "SRP_SHA_RSA", "SRP_SHA_DSS"].into_iter().any(|kind| exchange.ends_with(kind));
        self.name().is_some() && !self.is(Class::Anonymous) && (with_both || !self.is(Class::SharedSecret))
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.0),
        }
    }
}

/// Every suite that has a name, by number.
pub fn all() -> impl Iterator<Item = Cipher> {
    NAMES.iter().map(|&(id, _)| Cipher(id))
}

/// Every suite of a class.
pub fn of(class: Class) -> impl Iterator<Item = Cipher> {
    all().filter(move |cipher| cipher.is(class))
}

/// Every suite of SSL 3.0 to TLS 1.2, each once, in the order that gets the most out of servers that take the client's word
/// for it: what shows a certificate first, what is in wide use before what is rare, for there are servers that read only the
/// first sixty-four (and the old ones are content with AES, triple DES or RC4 by RSA); what proves nothing comes last.
pub fn broad() -> Vec<Cipher> {
    let mut order: Vec<Cipher> = COMMON.iter().copied().map(Cipher).collect();
    let rest = |order: &[Cipher], certificate: bool| -> Vec<Cipher> {
        all()
            .filter(|&cipher| cipher.0 != 0 && !cipher.is(Class::Tls13) && cipher.shows_certificate() == certificate)
            .filter(|cipher| !order.contains(cipher))
            .collect()
    };
    for certificate in [true, false] {
        let more = rest(&order, certificate);
        order.extend(more);
    }
    order
}

/// What nearly every server has one of.
const COMMON: &[u16] = &[
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027, 0xc024, 0xc028,
    0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x003d, 0x009e, 0x009f, 0xccaa, 0x0033, 0x0039, 0x0067, 0x006b, 0x00a2,
    0x00a3, 0x0032, 0x0038, 0x0040, 0x006a, 0xc008, 0xc012, 0x000a, 0x0016, 0x0013, 0xc007, 0xc011, 0x0005, 0x0004,
    0x0009, 0x0015, 0x0012, 0x0041, 0x0084, 0x0045, 0x0088, 0x0096, 0x0007, 0x0003, 0x0006, 0x0008, 0x0014, 0x0011,
    0x0062, 0x0064, 0xc0ac, 0xc09c,
];

/// A cipher of SSL 2.0 (its specification, §C.4), by its three bytes. Prints as its name, or as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssl2Cipher(pub [u8; 3]);

impl Ssl2Cipher {
    pub fn name(self) -> Option<&'static str> {
        SSL2.iter().find(|(id, _)| *id == self.0).map(|&(_, name)| name)
    }

    /// 40 bits of key: what DROWN's general form needs.
    pub fn is_export(self) -> bool {
        self.name().is_some_and(|name| name.contains("EXPORT"))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        SSL2.iter().map(|&(id, _)| Self(id))
    }

    /// Those of a list of three bytes each; a rest that is shorter is left out.
    pub(super) fn list(bytes: &[u8]) -> Vec<Self> {
        let mut reader = Reader::new(bytes);
        std::iter::from_fn(|| reader.array()).map(Self).collect()
    }
}

impl fmt::Display for Ssl2Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{a:02x}{b:02x}{c:02x}"),
        }
    }
}

static SSL2: &[([u8; 3], &str)] = &[
    ([0x01, 0x00, 0x80], "SSL_CK_RC4_128_WITH_MD5"),
    ([0x02, 0x00, 0x80], "SSL_CK_RC4_128_EXPORT40_WITH_MD5"),
    ([0x03, 0x00, 0x80], "SSL_CK_RC2_128_CBC_WITH_MD5"),
    ([0x04, 0x00, 0x80], "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5"),
    ([0x05, 0x00, 0x80], "SSL_CK_IDEA_128_CBC_WITH_MD5"),
    ([0x06, 0x00, 0x40], "SSL_CK_DES_64_CBC_WITH_MD5"),
    ([0x07, 0x00, 0xc0], "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"),
    ([0x08, 0x00, 0x80], "SSL_CK_RC4_64_WITH_MD5"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_in_order_and_without_repetition() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(NAMES.iter().all(|(_, name)| name.starts_with("TLS_") || name.starts_with("SSL_")));
        assert!(COMMON.iter().all(|&id| Cipher(id).name().is_some() && Cipher(id).shows_certificate()));
        assert!(COMMON.len() <= 64);
    }

    #[test]
    fn classes() {
        use Class::*;
        const CLASSES: [Class; 15] = [
            Null,
            Anonymous,
            Export,
            Rc4,
            Rc2,
            Des,
            TripleDes,
            Idea,
            Seed,
            Cbc,
            Aead,
            Gost,
            ForwardSecret,
            SharedSecret,
            Tls13,
        ];
        for (id, name, certificate, expect) in [
            (0x0002, "TLS_RSA_WITH_NULL_SHA", true, vec![Null]),
            (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", true, vec![Export, Rc4]),
            (0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", true, vec![Export, Rc2, Cbc]),
            (0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", true, vec![Export, Des, Cbc]),
            (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", true, vec![TripleDes, Cbc]),
            (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5", false, vec![Anonymous, Rc4, ForwardSecret]),
            (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", true, vec![Cbc]),
            (0x0064, "TLS_RSA_EXPORT1024_WITH_RC4_56_SHA", true, vec![Export, Rc4]),
            (0x008a, "TLS_PSK_WITH_RC4_128_SHA", false, vec![Rc4, SharedSecret]),
            (0x0094, "TLS_RSA_PSK_WITH_AES_128_CBC_SHA", true, vec![Cbc, SharedSecret]),
            (0x0096, "TLS_RSA_WITH_SEED_CBC_SHA", true, vec![Seed, Cbc]),
            (0x0081, "TLS_GOSTR341001_WITH_28147_CNT_IMIT", true, vec![Gost]),
            (0x1302, "TLS_AES_256_GCM_SHA384", true, vec![Aead, ForwardSecret, Tls13]),
            (0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA", true, vec![Null, ForwardSecret]),
            (0xc015, "TLS_ECDH_anon_WITH_NULL_SHA", false, vec![Null, Anonymous, ForwardSecret]),
            (0xc01e, "TLS_SRP_SHA_RSA_WITH_AES_128_CBC_SHA", true, vec![Cbc, SharedSecret]),
            (0xc01d, "TLS_SRP_SHA_WITH_AES_128_CBC_SHA", false, vec![Cbc, SharedSecret]),
            (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true, vec![Aead, ForwardSecret]),
            (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", true, vec![Aead, ForwardSecret]),
            (0xc0b4, "TLS_SHA256_SHA256", true, vec![Null, ForwardSecret, Tls13]),
        ] {
            let cipher = Cipher(id);
            assert_eq!(cipher.to_string(), name);
            assert_eq!(cipher.shows_certificate(), certificate, "{name}");
            let classes: Vec<_> = CLASSES.into_iter().filter(|&class| cipher.is(class)).collect();
            assert_eq!(classes, expect, "{name}");
        }
        assert_eq!(Cipher(0xfafa).to_string(), "0xfafa");
        assert!(!Cipher(0xfafa).shows_certificate() && !Cipher(0xfafa).is(Aead));
    }

    #[test]
    fn broad_offers_everything_once_and_certificates_first() {
        let broad = broad();
        let known = all().filter(|cipher| cipher.0 != 0 && !cipher.is(Class::Tls13)).count();
        assert_eq!(broad.len(), known);
        assert_eq!(broad.iter().collect::<HashSet<_>>().len(), known);
        assert!(broad.is_sorted_by_key(|cipher| !cipher.shows_certificate()));
    }

    #[test]
    fn ciphers_of_ssl_2() {
        assert_eq!(Ssl2Cipher::all().count(), 8);
        let list = Ssl2Cipher::list(&[7, 0, 0xc0, 2, 0, 0x80, 9, 9, 9, 1]);
        let names: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["SSL_CK_DES_192_EDE3_CBC_WITH_MD5", "SSL_CK_RC4_128_EXPORT40_WITH_MD5", "0x090909"]);
        assert_eq!(list.iter().filter(|cipher| cipher.is_export()).count(), 1);
    }
}
