//! What rules can ask about: the names in TOML, the kind of value behind each, and which of them a state rule may ask.

use crate::rule::{Attribute, ValueKind};

macro_rules! attributes {
    ($($variant:ident $name:literal $kind:ident $host:literal $known:literal),+ $(,)?) => {
        impl Attribute {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in TOML: `os_family`.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $name),+ } }

            pub fn kind(self) -> ValueKind { match self { $(Self::$variant => ValueKind::$kind),+ } }

            /// Whether `require` may ask it: it is about a host, or about each of its open endpoints.
            pub fn is_of_host(self) -> bool { match self { $(Self::$variant => $host),+ } }

            /// Whether this version can know it; a condition on one it cannot is accepted with a warning and never holds.
            pub fn is_known(self) -> bool { match self { $(Self::$variant => $known),+ } }
        }
    };
}

attributes! {
    Ip "ip" Address true true,
    Name "name" Texts true true,
    Asset "asset" Texts true true,
    Tag "tag" Texts true true,
    Value "value" Number true true,
    Approved "approved" Boolean true true,
    Os "os" Text true true,
    OsFamily "os_family" Text true true,
    OpenTcp "open_tcp" Ports true true,
    OpenUdp "open_udp" Ports true true,
    Transport "transport" Text true true,
    Port "port" Number true true,
    Service "service" Text true true,
    Product "product" Text true true,
    Version "version" Text true true,
    Tls "tls" Boolean true true,
    Banner "banner" Text true true,
    Issuer "issuer" Text false true,
    Subject "subject" Text false true,
    San "san" Texts false true,
    SelfSigned "self_signed" Boolean false true,
    DaysLeft "days_left" Number false true,
    Verdict "verdict" Texts false true,
    Severity "severity" Number false true,
    Old "old" Text false true,
    New "new" Text false true,
    Reason "reason" Text false true,
    Cve "cve" Texts false false,
    Kev "kev" Boolean false false,
    Cvss "cvss" Number false false,
    Epss "epss" Number false false,
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
