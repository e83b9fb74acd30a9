//! Where a page ended, as text: what `next` holds and `after` brings back. Opaque to clients.

use crate::refusal::Refusal;
use jiff::Timestamp;
use model::{Endpoint, HostKey, ServiceKey, Sha256, Transport};

/// Never in an address, a transport, a port, a host name or a digest; the sensor's name comes last.
const SEPARATOR: char = '|';

pub(super) fn of_host(key: &HostKey) -> String {
    format!("{}{SEPARATOR}{}", key.ip, key.vantage)
}

pub(super) fn host(text: &str) -> Result<HostKey, Refusal> {
    let (ip, vantage) = text.split_once(SEPARATOR).ok_or_else(|| foreign(text))?;
    Ok(HostKey { vantage: vantage.into(), ip: ip.parse().map_err(|_| foreign(text))? })
}

pub(super) fn of_service(key: &ServiceKey) -> String {
    let Endpoint { ip, transport, port } = key.endpoint;
    let name = key.name.as_ref().map_or("", |name| name.as_str());
    format!("{ip}{SEPARATOR}{transport}{SEPARATOR}{port}{SEPARATOR}{name}{SEPARATOR}{}", key.vantage)
}

pub(super) fn service(text: &str) -> Result<ServiceKey, Refusal> {
    let read = || {
        let mut parts = text.splitn(5, SEPARATOR);
        let ip = parts.next()?.parse().ok()?;
        let transport = match parts.next()? {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        };
        let port = parts.next()?.parse().ok()?;
        let name = match parts.next()? {
            "" => None,
            name => Some(name.parse().ok()?),
        };
        Some(ServiceKey { vantage: parts.next()?.into(), endpoint: Endpoint { ip, transport, port }, name })
    };
    read().ok_or_else(|| foreign(text))
}

pub(super) fn of_certificate(not_after: Timestamp, sha256: Sha256) -> String {
    format!("{}{SEPARATOR}{sha256}", not_after.as_millisecond())
}

pub(super) fn certificate(text: &str) -> Result<(Timestamp, Sha256), Refusal> {
    let read = || {
        let (time, sha256) = text.split_once(SEPARATOR)?;
        Some((Timestamp::from_millisecond(time.parse().ok()?).ok()?, sha256.parse().ok()?))
    };
    read().ok_or_else(|| foreign(text))
}

fn foreign(text: &str) -> Refusal {
    Refusal::question(format!("after: `{text}` is not what `next` of a page of this list said"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Vantage;

    #[test]
    fn read_back() {
        for ip in ["192.0.2.7", "2001:db8::7"] {
            let key = HostKey { vantage: Vantage::from("a|b"), ip: ip.parse().expect("an address") };
            assert_eq!(host(&of_host(&key)), Ok(key.clone()));
            for name in [None, Some("www.example.org".parse().expect("a name"))] {
                let key = ServiceKey { vantage: key.vantage.clone(), endpoint: Endpoint::udp(key.ip, 53), name };
                assert_eq!(service(&of_service(&key)), Ok(key));
            }
        }
        let place = (Timestamp::from_second(1_800_000_000).expect("in range"), Sha256([7; 32]));
        assert_eq!(certificate(&of_certificate(place.0, place.1)), Ok(place));
        for text in ["", "|", "x|y|z", "192.0.2.7|sctp|1||s", "99999999999999999999|ab"] {
            assert!(service(text).is_err() && certificate(text).is_err(), "{text}");
        }
        assert!(host("192.0.2.7").is_err());
    }
}
