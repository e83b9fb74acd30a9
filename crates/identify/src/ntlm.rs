//! NTLM's first two messages ([MS-NLMP] §2.2.1): a server that is asked to log somebody in shows its build and its names
//! before it knows whom. SMB, RPC, RDP, HTTP and others carry the same message.

use crate::{Reader, protocol::note};
use model::{Os, Service};

/// `NEGOTIATE_MESSAGE` without a domain or a workstation: Unicode, a target asked for, NTLM with extended session security,
/// signing, a version.
pub const NEGOTIATE: [u8; 40] = [
    b'N', b'T', b'L', b'M', b'S', b'S', b'P', 0, 1, 0, 0, 0, 0x05, 0x82, 0x08, 0xa2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 10, 0, 0x61, 0x4a, 0, 0, 0, 15,
];

/// What `CHALLENGE_MESSAGE` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// Major, minor, build of the system.
    pub version: Option<(u8, u8, u16)>,
    pub computer: Option<String>,
    pub domain: Option<String>,
    pub dns_computer: Option<String>,
    pub dns_domain: Option<String>,
    pub forest: Option<String>,
}

/// The first challenge anywhere in these bytes; whatever wraps it is passed over.
pub fn challenge(bytes: &[u8]) -> Option<Challenge> {
    const SIGNATURE: &[u8] = b"NTLMSSP\0\x02\0\0\0";
    const HAS_VERSION: u32 = 0x0200_0000;
    const HAS_TARGET: u32 = 0x0080_0000;
    let at = bytes.windows(SIGNATURE.len()).position(|window| window == SIGNATURE)?;
    let message = bytes.get(at..)?;
    let mut reader = Reader::new(message.get(SIGNATURE.len()..)?);
    // The target's name is also among the pairs.
    reader.take(8)?;
    let flags = reader.u32_le()?;
    // Challenge and reserved.
    reader.take(16)?;
    let (length, _space, offset) = (reader.u16_le()?, reader.u16_le()?, reader.u32_le()?);
    let mut challenge = Challenge::default();
    if flags & HAS_VERSION != 0
        && let (Some(major), Some(minor), Some(build)) = (reader.u8(), reader.u8(), reader.u16_le())
    {
        challenge.version = Some((major, minor, build));
    }
    let offset = usize::try_from(offset).ok()?;
    let pairs = message.get(offset..).and_then(|rest| rest.get(..usize::from(length)));
    if let Some(pairs) = pairs.filter(|_| flags & HAS_TARGET != 0) {
        read_pairs(pairs, &mut challenge);
    }
    Some(challenge)
}

/// `AV_PAIR`s ([MS-NLMP] §2.2.2.1). The time among them is of no interest here: it changes.
fn read_pairs(pairs: &[u8], challenge: &mut Challenge) {
    let mut reader = Reader::new(pairs);
    for _ in 0..16 {
        let (Some(id), Some(length)) = (reader.u16_le(), reader.u16_le()) else { return };
        let Some(value) = reader.take(usize::from(length)) else { return };
        let slot = match id {
            1 => &mut challenge.computer,
            2 => &mut challenge.domain,
            3 => &mut challenge.dns_computer,
            4 => &mut challenge.dns_domain,
            5 => &mut challenge.forest,
            0 => return,
            _ => continue,
        };
        *slot = Some(utf16(value)).filter(|text| !text.is_empty());
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units =
        bytes.chunks_exact(2).take(256).map(|pair| pair.iter().rev().fold(0, |sum, &byte| sum << 8 | u16::from(byte)));
    char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

impl Challenge {
    /// Samba says version 6.1 and no build; every Windows has one.
    pub fn is_samba(&self) -> bool {
        matches!(self.version, Some((6, 1, 0)))
    }

    /// Writes it down: names as facts, the build as evidence of the system.
    pub(crate) fn tell(&self, service: &mut Service) {
        for (fact, name) in [
            ("ntlm.computer", &self.computer),
            ("ntlm.domain", &self.domain),
            ("ntlm.dns_computer", &self.dns_computer),
            ("ntlm.dns_domain", &self.dns_domain),
            ("ntlm.forest", &self.forest),
        ] {
            note(service, fact, name.as_deref().unwrap_or_default());
        }
        if self.is_samba() {
            return;
        }
        let Some((major, minor, build)) = self.version.filter(|(.., build)| *build != 0) else { return };
        let version = format!("{major}.{minor}.{build}");
        note(service, "windows.release", release(build).unwrap_or_default());
        service.os = Some(Os {
            family: "windows".into(),
            product: Some("Windows".into()),
            version: Some(version),
            confidence: 0.95,
        });
    }
}

/// The releases that carry a build: seldom only one, since a server and several clients may share it.
fn release(build: u16) -> Option<&'static str> {
    Some(match build {
        2600 => "XP",
        3790 => "Server 2003, XP x64",
        6001..=6003 => "Vista, Server 2008",
        7600 | 7601 => "7, Server 2008 R2",
        9200 => "8, Server 2012",
        9600 => "8.1, Server 2012 R2",
        10240 => "10 1507",
        10586 => "10 1511",
        14393 => "10 1607, Server 2016",
        15063 => "10 1703",
        16299 => "10 1709",
        17134 => "10 1803",
        17763 => "10 1809, Server 2019",
        18362 => "10 1903, 10 1909",
        19041 => "10 2004, 10 20H2, 10 21H1, 10 21H2",
        20348 => "Server 2022",
        22000 => "11 21H2",
        22621 => "11 22H2, 11 23H2",
        25398 => "Server 23H2",
        26100 => "11 24H2, Server 2025",
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn pair(id: u16, text: &str) -> Vec<u8> {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [id.to_le_bytes().as_slice(), &u16::try_from(units.len()).unwrap().to_le_bytes(), &units].concat()
    }

    /// A challenge of that version and those names.
    pub(crate) fn sample(version: (u8, u8, u16), names: &[(u16, &str)]) -> Vec<u8> {
        let pairs: Vec<u8> = names.iter().flat_map(|(id, text)| pair(*id, text)).chain([0; 4]).collect();
        let length = u16::try_from(pairs.len()).unwrap().to_le_bytes();
        let [low, high] = version.2.to_le_bytes();
        [
            b"NTLMSSP\0\x02\0\0\0".as_slice(),
            &[0, 0, 0, 0, 56, 0, 0, 0],
            &0xa289_8205_u32.to_le_bytes(),
            &[7; 8],
            &[0; 8],
            &length,
            &length,
            &56_u32.to_le_bytes(),
            &[version.0, version.1, low, high, 0, 0, 0, 15],
            &pairs,
        ]
        .concat()
    }

    #[test]
    fn a_challenge_is_read() {
        let message = sample((10, 0, 20348), &[(2, "EXAMPLE"), (1, "DC1"), (3, "dc1.example.org"), (7, "time")]);
        let wrapped = [b"\xa1\x81\x99".as_slice(), &message].concat();
        let challenge = challenge(&wrapped).unwrap();
        assert_eq!(challenge.version, Some((10, 0, 20348)));
        assert_eq!(challenge.computer.as_deref(), Some("DC1"));
        let mut service = Service::default();
        challenge.tell(&mut service);
        assert_eq!(service.os.map(|os| os.to_string()).as_deref(), Some("Windows 10.0.20348"));
        assert_eq!(service.facts["ntlm.dns_computer"], "dc1.example.org");
        assert_eq!(service.facts["windows.release"], "Server 2022");
    }

    #[test]
    fn samba_is_no_windows() {
        let challenge = challenge(&sample((6, 1, 0), &[(1, "FILES")])).unwrap();
        assert!(challenge.is_samba());
        let mut service = Service::default();
        challenge.tell(&mut service);
        assert_eq!(service.os, None);
    }

    #[test]
    fn every_beginning_is_borne() {
        let message = sample((10, 0, 20348), &[(2, "EXAMPLE"), (1, "DC1")]);
        for end in 0..message.len() {
            _ = challenge(&message[..end]);
        }
        assert_eq!(challenge(&NEGOTIATE), None, "a question is no answer");
    }
}
