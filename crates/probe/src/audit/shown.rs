//! What a server has shown in all its answers to an audit, and what that says. Pure.

use identify::tls::{Alert, Cipher, Class, End, KeyExchange, ServerFlight, ServerHello, Ssl2Cipher, Version};
use model::{ClientAuth, TlsAudit, TlsPosture, TlsVersion, Weakness};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a server takes what it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Yes,
    No,
    /// Asked, and the answer did not come or made no sense.
    Unknown,
}

/// A kind of cipher that is asked for, because it is weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weak {
    Null,
    Anonymous,
    /// Keys of 512 bits of RSA for the export rules of the nineties: FREAK.
    ExportRsa,
    /// The same of Diffie-Hellman: Logjam.
    ExportDh,
    Rc4,
    Des,
    TripleDes,
}

impl Weak {
    pub const ALL: [Self; 7] =
        [Self::Null, Self::Anonymous, Self::ExportRsa, Self::ExportDh, Self::Rc4, Self::Des, Self::TripleDes];

    /// Whether a cipher is of this kind.
    pub fn holds(self, cipher: Cipher) -> bool {
        let export = cipher.is(Class::Export);
        match self {
            Self::Null => cipher.is(Class::Null),
            Self::Anonymous => cipher.is(Class::Anonymous),
            Self::ExportRsa => export && !cipher.is(Class::ForwardSecret),
            Self::ExportDh => export && cipher.is(Class::ForwardSecret),
            Self::Rc4 => cipher.is(Class::Rc4),
            Self::Des => cipher.is(Class::Des),
            // The other old ciphers with blocks of 64 bits suffer from the same.
            Self::TripleDes => cipher.is(Class::TripleDes) || cipher.is(Class::Idea) || cipher.is(Class::Rc2),
        }
    }

    /// The kinds a cipher is of.
    pub fn of(cipher: Cipher) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |weak| weak.holds(cipher))
    }

    pub fn weakness(self) -> Weakness {
        match self {
            Self::Null => Weakness::NullCipher,
            Self::Anonymous => Weakness::AnonymousCipher,
            Self::ExportRsa | Self::ExportDh => Weakness::ExportCipher,
            Self::Rc4 => Weakness::Rc4,
            Self::Des => Weakness::Des,
            Self::TripleDes => Weakness::TripleDes,
        }
    }
}

/// Everything a server has shown in an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// What it chose of the first hello it took, which offered everything up to TLS 1.2.
    pub first: Option<(Version, Cipher)>,
    /// By version, the ones that were asked for or turned up.
    pub versions: BTreeMap<Version, Takes>,
    pub weak: BTreeMap<Weak, Takes>,
    /// Every suite it has chosen, with the version it chose it in.
    pub chosen: BTreeSet<(Version, Cipher)>,
    /// What it has of the ciphers of SSL 2.0.
    pub ssl2: Vec<Ssl2Cipher>,
    /// The smallest finite-field group it has offered, in bits.
    pub dh_bits: Option<u32>,
    /// Whether it would exchange keys by Diffie-Hellman over a finite field at all.
    pub dh: Option<Takes>,
    /// Whether it has a suite with authenticated encryption.
    pub aead: Option<Takes>,
    /// RFC 7507; none where there is nothing to fall back to.
    pub fallback_refused: Option<bool>,
    pub compression: Option<bool>,
    pub secure_renegotiation: Option<bool>,
    pub heartbeat: Option<bool>,
    pub extended_master_secret: Option<bool>,
    pub client_auth: Option<bool>,
    /// It answers nobody who does not say which name is meant.
    pub name_required: bool,
    /// As presented to the broadest hello, leaf first, DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Shown {
    /// Takes in an answer to a hello that offered up to `offered`, whatever it was about. `closed`: the other end hung up.
    pub(crate) fn see(&mut self, offered: Version, flight: &ServerFlight, closed: bool) -> Takes {
        if let Some(ssl2) = &flight.ssl2 {
            self.versions.insert(Version::SSL2, Takes::Yes);
            self.ssl2.clone_from(&ssl2.ciphers);
        }
        let Some(hello) = &flight.hello else {
            return if flight.ssl2.is_some() { Takes::Yes } else { refusal(flight, closed) };
        };
        if !TLS_VERSIONS.contains(&hello.version) || hello.version > offered {
            return Takes::Unknown;
        }
        self.see_hello(offered, hello);
        if let Some(KeyExchange::Dh { bits, .. }) = &flight.key_exchange {
            self.dh_bits = Some(self.dh_bits.map_or(*bits, |least| least.min(*bits)));
        }
        if flight.end == Some(End::HelloDone) {
            // A suite without a certificate may not be asked for one.
            let asked = flight.client_auth.is_some();
            if asked || hello.cipher.shows_certificate() {
                self.client_auth = Some(self.client_auth == Some(true) || asked);
            }
        }
        if self.certificates.is_empty() {
            self.certificates.clone_from(&flight.certificates);
        }
        Takes::Yes
    }

    fn see_hello(&mut self, offered: Version, hello: &ServerHello) {
        self.first.get_or_insert((hello.version, hello.cipher));
        self.versions.insert(hello.version, Takes::Yes);
        self.chosen.insert((hello.version, hello.cipher));
        if !hello.retry {
            for weak in Weak::of(hello.cipher) {
                self.weak.insert(weak, Takes::Yes);
            }
        }
        if hello.cipher.is(Class::Aead) {
            self.aead = Some(Takes::Yes);
        }
        if hello.version < Version::TLS1_3 {
            self.compression = Some(self.compression == Some(true) || hello.compression != 0);
            // Only what has room for extensions can say yes to one; SSL 3.0 answers the signal with the extension all the same.
            if offered > Version::SSL3 {
                self.secure_renegotiation =
                    Some(self.secure_renegotiation != Some(false) && hello.secure_renegotiation);
            }
        }
        if hello.version > Version::SSL3 && hello.version < Version::TLS1_3 && offered > Version::SSL3 {
            self.heartbeat = Some(self.heartbeat == Some(true) || hello.heartbeat == Some(1));
            self.extended_master_secret = Some(hello.extended_master_secret);
        }
    }

    /// What is known of a version: it chooses the highest of those it has, so what it passed over it has not.
    pub(crate) fn passed_over(&mut self, offered: Version, chosen: Version) {
        for version in TLS_VERSIONS.into_iter().filter(|version| *version > chosen && *version <= offered) {
            self.versions.entry(version).or_insert(Takes::No);
        }
    }

    /// What is known below a version that was offered with everything older, and refused: it has none of those either, or it would have
    /// chosen one. One that cannot bear the hello itself would seem the same.
    pub(crate) fn refused(&mut self, offered: Version) {
        // TLS 1.3 is offered alone.
        for version in TLS_VERSIONS.into_iter().filter(|version| *version < offered && offered < Version::TLS1_3) {
            self.versions.entry(version).or_insert(Takes::No);
        }
    }

    pub fn takes(&self, version: Version) -> bool {
        self.versions.get(&version) == Some(&Takes::Yes)
    }

    /// The versions it takes, SSL 2.0 aside, the oldest first.
    pub(crate) fn tls_versions(&self) -> Vec<Version> {
        TLS_VERSIONS.into_iter().filter(|&version| self.takes(version)).collect()
    }

    /// Ciphers of a kind it has chosen, by name.
    pub(crate) fn named(&self, holds: impl Fn(Cipher) -> bool) -> Vec<String> {
        let mut names: Vec<String> =
            self.chosen.iter().filter(|(_, cipher)| holds(*cipher)).map(|(_, cipher)| cipher.to_string()).collect();
        names.dedup();
        names
    }

    /// Whether it spoke TLS, or SSL, at all.
    pub fn is_tls(&self) -> bool {
        self.versions.values().any(|takes| *takes == Takes::Yes)
    }

    /// It takes TLS 1.3, and has refused everything older.
    pub(crate) fn is_only_tls13(&self) -> bool {
        let known = TLS_VERSIONS.iter().all(|version| self.versions.get(version).is_some_and(|t| *t != Takes::Unknown));
        known && self.tls_versions() == [Version::TLS1_3]
    }

    /// How it does TLS, as inventory.
    pub fn posture(&self) -> TlsPosture {
        let every = self.versions.len() > TLS_VERSIONS.len() && self.versions.values().all(|t| *t != Takes::Unknown);
        let accepted = || self.versions.iter().filter(|(_, takes)| **takes == Takes::Yes);
        TlsPosture {
            versions: every.then(|| accepted().filter_map(|(version, _)| word(*version)).collect()),
            client_auth: self.client_auth.map(|asked| if asked { ClientAuth::Asked } else { ClientAuth::No }),
            name_required: self.name_required.then_some(true),
            secure_renegotiation: self.secure_renegotiation,
            compression: self.compression,
            fallback_scsv: self.fallback_refused,
            heartbeat: self.heartbeat,
            extended_master_secret: self.extended_master_secret,
            dh_bits: self.dh_bits,
            ..TlsPosture::default()
        }
    }

    /// Which weaknesses were looked for, and which it has.
    pub fn weaknesses(&self) -> TlsAudit {
        let mut audit = TlsAudit::default();
        for (version, takes) in &self.versions {
            if let Some(weakness) = word(*version).and_then(TlsVersion::weakness)
                && *takes != Takes::Unknown
            {
                audit.note(weakness, *takes == Takes::Yes);
            }
        }
        for (weak, takes) in &self.weak {
            // Of the two kinds of export one says nothing against the other.
            let twin = weak.weakness() == Weakness::ExportCipher && *takes == Takes::No && {
                [Weak::ExportRsa, Weak::ExportDh].iter().any(|twin| self.weak.get(twin) != Some(&Takes::No))
            };
            if *takes != Takes::Unknown && !twin {
                audit.note(weak.weakness(), *takes == Takes::Yes);
            }
        }
        // Of a group that is only used where the client has nothing better, too: the client says what it has.
        if let Some(bits) = self.dh_bits {
            audit.note(Weakness::WeakDh, bits < SOUND_GROUP);
        } else if self.dh == Some(Takes::No) {
            audit.note(Weakness::WeakDh, false);
        }
        if let Some(compression) = self.compression {
            audit.note(Weakness::Compression, compression);
        }
        if let Some(secure) = self.secure_renegotiation {
            audit.note(Weakness::InsecureRenegotiation, !secure);
        }
        if let Some(refused) = self.fallback_refused {
            // A downgrade to what is still sound does no harm.
            let harmful = self.tls_versions().first().is_some_and(|oldest| *oldest < Version::TLS1_2);
            audit.note(Weakness::NoFallbackScsv, !refused && harmful);
        }
        match self.aead {
            Some(Takes::Yes) => audit.note(Weakness::CbcOnly, false),
            Some(Takes::No) => audit.note(Weakness::CbcOnly, true),
            Some(Takes::Unknown) | None => {}
        }
        audit
    }
}

/// Below this a group is weak.
const SOUND_GROUP: u32 = 2048;

pub(crate) const TLS_VERSIONS: [Version; 5] =
    [Version::SSL3, Version::TLS1_0, Version::TLS1_1, Version::TLS1_2, Version::TLS1_3];

/// Without a hello of the server's.
fn refusal(flight: &ServerFlight, closed: bool) -> Takes {
    match flight.end {
        Some(End::Refused) => Takes::No,
        // Old servers hang up without a word.
        None if closed => Takes::No,
        _ => Takes::Unknown,
    }
}

fn word(version: Version) -> Option<TlsVersion> {
    Some(match version {
        Version::SSL2 => TlsVersion::Ssl2,
        Version::SSL3 => TlsVersion::Ssl3,
        Version::TLS1_0 => TlsVersion::Tls10,
        Version::TLS1_1 => TlsVersion::Tls11,
        Version::TLS1_2 => TlsVersion::Tls12,
        Version::TLS1_3 => TlsVersion::Tls13,
        _ => return None,
    })
}

/// It says that it knows no such name, or wants one.
pub(crate) fn wants_name(flight: &ServerFlight) -> bool {
    flight.hello.is_none() && flight.alerted(Alert::UNRECOGNIZED_NAME)
}
