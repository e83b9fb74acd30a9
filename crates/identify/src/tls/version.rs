use std::fmt;

/// A protocol version by its number on the wire. Versions sort by age within TLS; prints as `TLSv1.2`, `SSLv3`, `DTLSv1.2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    pub const SSL2: Self = Self(0x0002);
    pub const SSL3: Self = Self(0x0300);
    pub const TLS1_0: Self = Self(0x0301);
    pub const TLS1_1: Self = Self(0x0302);
    pub const TLS1_2: Self = Self(0x0303);
    pub const TLS1_3: Self = Self(0x0304);
    pub const DTLS1_0: Self = Self(0xfeff);
    pub const DTLS1_2: Self = Self(0xfefd);

    /// The versions of the record layer that began with SSL 3.0.
    pub fn is_tls(self) -> bool {
        (Self::SSL3..=Self::TLS1_3).contains(&self)
    }

    pub fn is_dtls(self) -> bool {
        matches!(self, Self::DTLS1_0 | Self::DTLS1_2)
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SSL2 => "SSLv2",
            Self::SSL3 => "SSLv3",
            Self::TLS1_0 => "TLSv1.0",
            Self::TLS1_1 => "TLSv1.1",
            Self::TLS1_2 => "TLSv1.2",
            Self::TLS1_3 => "TLSv1.3",
            Self::DTLS1_0 => "DTLSv1.0",
            Self::DTLS1_2 => "DTLSv1.2",
            _ => return None,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.0),
        }
    }
}
