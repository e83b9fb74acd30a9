//! Kerberos 5 (RFC 4120): a ticket asked for that nobody gives, and the error with realm. By TCP behind a length.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "kerberos",
    speaker: Speaker::Client,
    ports: &[88],
    request: Some(|_| {
        let length = u32::try_from(AS_REQUEST.len()).unwrap_or_default();
        [length.to_be_bytes().as_slice(), AS_REQUEST].concat()
    }),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\0\0\x35\x7e\x33\x30\x31\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\xa4\x11\x18\x0f20261121184000Z\xa6\x03\x02\x01\x44\xa9\x0d\x1b\x0bEXAMPLE.ORG",
    ],
};

pub(super) static BY_DATAGRAM: Protocol = Protocol {
    name: "kerberos",
    speaker: Speaker::Client,
    ports: &[88],
    request: Some(|_| AS_REQUEST.to_vec()),
    parse: |received| error(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x7e\x33\x30\x31\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\xa4\x11\x18\x0f20261121184000Z\xa6\x03\x02\x01\x06\xa9\x0d\x1b\x0bEXAMPLE.ORG",
    ],
};

/// AS-REQ: for nobody (`perimeterd`) of realm `INVALID` a ticket of `krbtgt/INVALID` until 1970, AES.
const AS_REQUEST: &[u8] =
    b"j\x7b0y\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a\xa4m0k\xa0\x07\x03\x05\0\0\0\0\0\xa1\x170\x15\xa0\x03\x02\
    \x01\x01\xa1\x0e0\x0c\x1b\x0aperimeterd\xa2\x09\x1b\x07INVALID\xa3\x1c0\x1a\xa0\x03\x02\x01\x02\xa1\x130\
    \x11\x1b\x06krbtgt\x1b\x07INVALID\xa5\x11\x18\x0f19700101000000Z\xa7\x04\x02\x02pd\xa8\x050\x03\x02\x01\
    \x12";

fn parse(received: Received<'_>) -> Parse {
    const ERROR: u8 = 0x7e;
    let bytes = received.bytes;
    let sound = bytes.iter().take(2).all(|byte| *byte == 0)
        && bytes.get(4).is_none_or(|tag| *tag == ERROR)
        && bytes.get(2).is_none_or(|high| *high < 8);
    if !sound {
        return Parse::No;
    }
    let mut reader = Reader::new(bytes);
    let Some(length) = reader.u32() else { return Parse::need_more(received) };
    if !(20..2048).contains(&length) {
        return Parse::No;
    }
    match usize::try_from(length).ok().and_then(|length| reader.take(length)) {
        None => Parse::need_more(received),
        Some(message) => error(message).map_or(Parse::No, Parse::certain),
    }
}

/// `KRB_ERR_FIELD_TOOLONG` (RFC 4120 §7.5.9).
const FIELD_TOO_LONG: u8 = 61;

/// What MIT's server is about when it fails to give a first ticket.
const STATUSES: [&[u8]; 5] =
    [b"CLIENT_NOT_FOUND", b"SERVER_NOT_FOUND", b"LOOKING_UP_CLIENT", b"LOOKING_UP_SERVER", b"NEEDED_PREAUTH"];

/// KRB-ERROR: version 5, type 30.
fn error(bytes: &[u8]) -> Option<Service> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let mut reader = Reader::new(Reader::new(Reader::new(bytes).expect(0x7e)?).expect(SEQUENCE)?);
    let integer = |field: Option<&[u8]>| Reader::new(field?).expect(INTEGER).map(<[u8]>::to_vec);
    let is_error =
        integer(reader.expect(0xa0)).as_deref() == Some(&[5]) && integer(reader.expect(0xa1)).as_deref() == Some(&[30]);
    is_error.then_some(())?;
    let mut service = named("kerberos");
    for _ in 0..16 {
        let Some(field) = reader.element() else { break };
        match field.tag {
            0xa6 => {
                let code = Reader::new(field.contents).expect(INTEGER).and_then(|code| code.last().copied());
                // What MIT's server says to a length that is none, such as the beginning of another protocol's question: Heimdal's and
                // Windows' leave.
                if code == Some(FIELD_TOO_LONG) {
                    product::name(&mut service, "mit kerberos", None);
                }
                note(&mut service, "kerberos.error", code.map(|code| code.to_string()).unwrap_or_default());
            }
            // The realm of the service; ours comes back where it has none.
            0xa9 => {
                let realm = Reader::new(field.contents).element().map(|realm| text::printable(realm.contents));
                note(&mut service, "kerberos.realm", realm.filter(|realm| realm != "INVALID").unwrap_or_default());
            }
            // What MIT's server was about when it failed, in its own words; Windows says nothing there, and Heimdal a sentence.
            0xab => {
                let said = Reader::new(field.contents).element().map(|text| text.contents).unwrap_or_default();
                if STATUSES.contains(&said.trim_ascii()) {
                    product::name(&mut service, "mit kerberos", None);
                }
            }
            _ => {}
        }
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm() {
        let service = error(BY_DATAGRAM.samples[0]).unwrap();
        assert_eq!(service.facts["kerberos.realm"], "EXAMPLE.ORG");
        assert_eq!(service.facts["kerberos.error"], "6");
    }

    #[test]
    fn the_question_is_sound_and_no_answer() {
        let mut reader = Reader::new(AS_REQUEST);
        let inner = reader.expect(0x6a).and_then(|inner| Reader::new(inner).expect(0x30)).unwrap();
        assert!(reader.is_empty());
        let mut fields = Reader::new(inner);
        let body = [0xa1, 0xa2, 0xa4].map(|tag| fields.expect(tag).unwrap())[2];
        assert!(fields.is_empty());
        let mut body = Reader::new(Reader::new(body).expect(0x30).unwrap());
        let tags: Vec<u8> = std::iter::from_fn(|| body.element()).map(|field| field.tag).collect();
        assert_eq!(tags, [0xa0, 0xa1, 0xa2, 0xa3, 0xa5, 0xa7, 0xa8]);
        assert_eq!(error(AS_REQUEST), None);
    }
}
