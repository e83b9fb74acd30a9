//! What a server's first flight says of how it does TLS.

use super::{
    flight::{End, KeyExchange, ServerFlight},
    version::Version,
};
use crate::certificate;
use jiff::Timestamp;
use model::{ClientAuth, TlsPosture};

/// Authorities kept of those a server wants client certificates from.
const MAX_AUTHORITIES: usize = 16;

/// What a flight says in answer to [`Hello::broad`](super::Hello::broad): silence about what that offers is an answer as well.
/// None where there is no hello, and of TLS 1.3, where most of it would come encrypted.
pub fn posture(flight: &ServerFlight, at: Timestamp) -> Option<TlsPosture> {
    let hello = flight.hello.as_ref().filter(|hello| hello.version != Version::TLS1_3)?;
    let is_whole = flight.end == Some(End::HelloDone);
    let dh_bits = match &flight.key_exchange {
        Some(KeyExchange::Dh { bits, .. }) => Some(*bits),
        _ => None,
    };
    // The extensions that tell these three are none of SSL 3.0's.
    let extended = |value: bool| (hello.version > Version::SSL3).then_some(value);
    let asked = flight.client_auth.as_ref();
    Some(TlsPosture {
        at: Some(at),
        client_auth: is_whole.then_some(if asked.is_some() { ClientAuth::Asked } else { ClientAuth::No }),
        client_authorities: asked.map(|asked| authorities(&asked.authorities)).unwrap_or_default(),
        secure_renegotiation: Some(hello.secure_renegotiation),
        compression: Some(hello.compression != 0),
        heartbeat: extended(hello.heartbeat.is_some()),
        extended_master_secret: extended(hello.extended_master_secret),
        dh_bits,
        stapled: extended(flight.ocsp.is_some()).filter(|_| is_whole),
        staple: flight.ocsp.as_deref().map(crate::read_staple),
        scts: extended(true).map(|_| u16::try_from(hello.timestamps).unwrap_or(u16::MAX)),
        ..TlsPosture::default()
    })
}

fn authorities(names: &[Vec<u8>]) -> Vec<String> {
    let names = names.iter().take(MAX_AUTHORITIES).map(|name| certificate::distinguished_name(name));
    names.filter(|name| !name.is_empty()).collect()
}

/// What stays the same as long as a server's software and settings do: `tsp1:`, and what it said to the modern hello and to the
/// broad one, each a line of [`ServerFlight::profile`] or `-`.
pub fn profile(modern: Option<&ServerFlight>, broad: Option<&ServerFlight>) -> String {
    let line = |flight: Option<&ServerFlight>| flight.and_then(ServerFlight::profile).unwrap_or_else(|| "-".to_owned());
    format!("tsp1:{}|{}", line(modern), line(broad))
}

/// Whether only the second of the two got a hello in answer, by what [`profile`] made of them.
pub fn is_by_hand_alone(profile: &str) -> bool {
    profile.starts_with("tsp1:-|") && !profile.starts_with("tsp1:-|alert") && profile != "tsp1:-|-"
}

/// Whether a modern library agrees on this, by the names of version and suite: TLS 1.3, or 1.2 with an ephemeral curve and
/// authenticated encryption. What is not modern takes a hello of our own to be seen.
pub fn is_modern(version: &str, cipher: &str) -> bool {
    let ephemeral = cipher.starts_with("TLS_ECDHE_") && !cipher.contains("_PSK_");
    let sealed = ["_GCM_", "_CCM", "_POLY1305"].into_iter().any(|mode| cipher.contains(mode));
    version == "TLSv1.3" || (version == "TLSv1.2" && ephemeral && sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Alert, Cipher, ClientAuth as Asked, ServerHello};

    fn hello(version: Version) -> ServerHello {
        ServerHello { version, cipher: Cipher(0x0033), ..ServerHello::default() }
    }

    #[test]
    fn postures() {
        let at = Timestamp::UNIX_EPOCH;
        let name = [&[0x30, 13, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 3, 0x0c, 2][..], b"CA"].concat();
        let flight = ServerFlight {
            hello: Some(ServerHello {
                compression: 1,
                secure_renegotiation: true,
                heartbeat: Some(1),
                timestamps: 2,
                ..hello(Version::TLS1_2)
            }),
            ocsp: Some(vec![1]),
            key_exchange: Some(KeyExchange::Dh { prime: vec![0xff; 128], bits: 1024 }),
            client_auth: Some(Asked { kinds: vec![1], authorities: vec![name, vec![1, 2, 3]] }),
            end: Some(End::HelloDone),
            ..ServerFlight::default()
        };
        let told = posture(&flight, at).expect("a posture");
        assert_eq!(told.client_auth, Some(ClientAuth::Asked));
        assert_eq!(told.client_authorities, ["CN=CA"]);
        assert_eq!((told.secure_renegotiation, told.compression, told.heartbeat), (Some(true), Some(true), Some(true)));
        assert_eq!((told.dh_bits, told.scts, told.stapled), (Some(1024), Some(2), Some(true)));
        assert_eq!(told.extended_master_secret, Some(false));

        let old =
            ServerFlight { hello: Some(hello(Version::SSL3)), end: Some(End::HelloDone), ..ServerFlight::default() };
        let told = posture(&old, at).expect("a posture");
        assert_eq!(
            (told.client_auth, told.heartbeat, told.stapled, told.scts),
            (Some(ClientAuth::No), None, None, None)
        );

        let cut = ServerFlight { end: None, ..flight };
        assert_eq!(posture(&cut, at).map(|told| (told.client_auth, told.stapled)), Some((None, None)));
        assert_eq!(posture(&ServerFlight { hello: Some(hello(Version::TLS1_3)), ..ServerFlight::default() }, at), None);
        assert_eq!(posture(&ServerFlight::default(), at), None);
    }

    #[test]
    fn profiles() {
        let modern = ServerFlight {
            hello: Some(ServerHello { extensions: vec![43, 51], group: Some(29), ..hello(Version::TLS1_3) }),
            ..ServerFlight::default()
        };
        let refused = ServerFlight {
            alerts: vec![Alert { fatal: true, description: Alert::PROTOCOL_VERSION }],
            ..ServerFlight::default()
        };
        assert_eq!(profile(Some(&modern), Some(&refused)), "tsp1:0304,0033,2b-33,1d,|alert-46");
        assert_eq!(profile(None, None), "tsp1:-|-");
    }

    #[test]
    fn what_is_modern() {
        for (version, cipher, expect) in [
            ("TLSv1.3", "TLS_AES_128_GCM_SHA256", true),
            ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true),
            ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true),
            ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", false),
            ("TLSv1.2", "TLS_RSA_WITH_AES_128_GCM_SHA256", false),
            ("TLSv1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", false),
            ("TLSv1.1", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false),
            ("unknown", "unknown", false),
        ] {
            assert_eq!(is_modern(version, cipher), expect, "{version} {cipher}");
        }
    }
}
