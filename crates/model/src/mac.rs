use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A link-layer address (EUI-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Text that is no link-layer address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no link-layer address; write six pairs of hexadecimal digits like `02:00:5e:10:00:07`")]
pub struct MacError(pub String);

impl Mac {
    /// Whether it names one machine's interface. A virtual router's moves from one machine to another, and none of the
    /// others names any: VRRP and CARP (RFC 9568 §7.3), HSRP, GLBP, group addresses, all zeros.
    pub fn names_a_machine(self) -> bool {
        let virtual_router = matches!(
            self.0,
            [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
                | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
                | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
                | [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _]
                | [0x00, 0x07, 0xb4, 0x00, _, _]
        );
        !virtual_router && self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_knows_whose_is_nobodys() {
        for (text, names) in [
            ("02:00:5e:10:00:07", true),
            ("00:00:5e:00:01:0a", false),
            ("00:00:0c:07:ac:01", false),
            ("00:00:0c:9f:f0:01", false),
            ("01:00:5e:00:00:fb", false),
            ("ff:ff:ff:ff:ff:ff", false),
            ("00:00:00:00:00:00", false),
        ] {
            let mac: Mac = text.parse().expect(text);
            assert_eq!((mac.to_string().as_str(), mac.names_a_machine()), (text, names));
        }
        for text in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:07:08", "2:0:5e:10:0:7", "02:00:5e:10:00:zz", "+2:00:5e:10:00:07"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
