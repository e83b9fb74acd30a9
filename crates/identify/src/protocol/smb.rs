//! SMB 2 and 3 ([MS-SMB2] §2.2.3 to §2.2.6): dialect and signing by NEGOTIATE, then the challenge of a session that is never
//! set up, which shows the names and the build.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    ntlm, product,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "microsoft-ds",
    speaker: Speaker::Client,
    ports: &[445],
    request: Some(|_| NEGOTIATE.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\0\0\x49\xfeSMB\x40\0\0\0\0\0\0\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x41\0\x03\0\x11\x03\x01\0\0",
        b"\0\0\0\x23\xffSMB\x72\0\0\0\0\x98\x01\x28\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ],
};

/// One packet: session header, SMB2 header (NEGOTIATE, message 0), five dialects, and what 3.1.1 wants beside: SHA-512.
const NEGOTIATE: &[u8] = b"\0\0\0\xa0\
    \xfeSMB\x40\0\0\0\0\0\0\0\0\0\x1f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \x24\0\x05\0\x01\0\0\0\x40\0\0\0perimeterd-probe\x70\0\0\0\x01\0\0\0\
    \x02\x02\x10\x02\0\x03\x02\x03\x11\x03\0\0\
    \x01\0\x26\0\0\0\0\0\x01\0\x20\0\x01\0perimeterd perimeterd perimeterd\0\0";

/// `SESSION_SETUP`, message 1: SPNEGO (RFC 4178) around NTLM's first message.
const SESSION_SETUP: &[u8] = b"\0\0\0\xa2\
    \xfeSMB\x40\0\0\0\0\0\0\0\x01\0\x1f\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \x19\0\0\x01\0\0\0\0\0\0\0\0\x58\0\x4a\0\0\0\0\0\0\0\0\0\
    \x60\x48\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x3e\x30\x3c\xa0\x0e\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a\xa2\x2a\x04\x28\
    NTLMSSP\0\x01\0\0\0\x05\x82\x08\xa2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0\x61\x4a\0\0\0\x0f";

const HEADER: usize = 64;

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let mut service = named("microsoft-ds");
    let mut packets = 0;
    // The answer to one question, or to both.
    while packets < 2 && !reader.is_empty() {
        let Some(packet) = packet(&mut reader) else {
            if packets > 0 {
                return if received.ended { finish(service, packets) } else { Parse::NeedMore };
            }
            let begun = header_may_begin(received.bytes);
            return if begun { Parse::need_more(received) } else { Parse::No };
        };
        let is_one =
            if packet.starts_with(b"\xffSMB") { smb1(packet, &mut service) } else { smb2(packet, &mut service) };
        if is_one.is_none() {
            return if packets == 0 { Parse::No } else { finish(service, packets) };
        }
        packets += 1;
    }
    if packets == 0 { Parse::need_more(received) } else { finish(service, packets) }
}

fn finish(service: Service, packets: usize) -> Parse {
    let negotiated = service.facts.get("smb.dialect").is_some_and(|dialect| dialect != "1");
    let next = if packets == 1 && negotiated { Next::Say(SESSION_SETUP) } else { Next::Nothing };
    Parse::yes(service, Strength::Structure, next)
}

/// A whole packet of a session (RFC 1002 §4.3.1) of sensible size.
fn packet<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut ahead = *reader;
    let [0, high, middle, low] = ahead.array()? else { return None };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let packet = ahead.take(length).filter(|_| (32..16 * 1024).contains(&length))?;
    *reader = ahead;
    Some(packet)
}

fn header_may_begin(bytes: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"\xfeSMB", b"\xffSMB"];
    let mark = bytes.get(4..).unwrap_or_default();
    let short = bytes.iter().take(2).all(|byte| *byte == 0) && bytes.get(2).is_none_or(|byte| *byte < 64);
    short && MARKS.iter().any(|known| known.iter().zip(mark).all(|(known, byte)| known == byte))
}

/// An answer (not a question echoed) to NEGOTIATE or `SESSION_SETUP`.
fn smb2(packet: &[u8], service: &mut Service) -> Option<()> {
    const RESPONSE: u8 = 1;
    let header = packet.get(..HEADER).filter(|header| header.starts_with(b"\xfeSMB\x40\0"))?;
    (header.get(16)? & RESPONSE != 0).then_some(())?;
    let body = packet.get(HEADER..).unwrap_or_default();
    match header.get(12..14)? {
        [0, 0] => {
            let mut reader = Reader::new(body);
            let (size, mode, dialect) = (reader.u16_le()?, reader.u16_le()?, reader.u16_le()?);
            let dialect = match dialect {
                _ if size != 65 => return Some(()),
                0x0202 => "2.0.2",
                0x0210 => "2.1",
                0x0300 => "3.0",
                0x0302 => "3.0.2",
                0x0311 => "3.1.1",
                _ => "2",
            };
            let signing = match mode & 3 {
                0 => "no",
                1 => "offered",
                _ => "required",
            };
            note(service, "smb.dialect", dialect);
            note(service, "smb.signing", signing);
        }
        [1, 0] => {
            if let Some(challenge) = ntlm::challenge(body) {
                challenge.tell(service);
                if challenge.is_samba() {
                    product::name(service, "samba", None);
                } else if service.os.is_some() {
                    service.vendor = Some("Microsoft".into());
                    service.product = Some("Windows SMB".into());
                }
            }
        }
        _ => return None,
    }
    Some(())
}

/// The first version, which is worth knowing of: an answer to its own NEGOTIATE.
fn smb1(packet: &[u8], service: &mut Service) -> Option<()> {
    const NEGOTIATE: u8 = 0x72;
    const REPLY: u8 = 0x80;
    (packet.get(4) == Some(&NEGOTIATE) && packet.get(9)? & REPLY != 0).then_some(())?;
    note(service, "smb.dialect", "1");
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::tests::sample;

    fn setup_answer(token: &[u8]) -> Vec<u8> {
        let mut header = b"\xfeSMB\x40\0\0\0\x16\0\0\xc0\x01\0\x01\0\x01".to_vec();
        header.resize(HEADER, 0);
        let packet = [header.as_slice(), &[9, 0, 0, 0, 0x48, 0, 0, 0], token].concat();
        [[0, 0].as_slice(), &u16::try_from(packet.len()).unwrap().to_be_bytes(), &packet].concat()
    }

    #[test]
    fn questions_are_as_long_as_they_say() {
        for question in [NEGOTIATE, SESSION_SETUP] {
            let mut reader = Reader::new(question);
            let packet = packet(&mut reader).unwrap();
            assert!(reader.is_empty());
            assert!(smb2(packet, &mut Service::default()).is_none(), "a question is no answer");
        }
        assert!(SESSION_SETUP.ends_with(&ntlm::NEGOTIATE));
        // Where the contexts begin, counted from the header.
        assert_eq!(NEGOTIATE.get(4 + 0x70..4 + 0x74), Some(b"\x01\0\x26\0".as_slice()));
    }

    #[test]
    fn dialect_signing_names_and_build() {
        let first = PROTOCOL.samples[0];
        let Parse::Yes(answer) = parse(Received::open(first)) else { panic!() };
        assert_eq!(answer.next, Next::Say(SESSION_SETUP));
        assert_eq!(answer.service.facts["smb.dialect"], "3.1.1");
        assert_eq!(answer.service.facts["smb.signing"], "required");
        for (version, product, os) in
            [((10, 0, 17763), "Windows SMB", Some("Windows 10.0.17763")), ((6, 1, 0), "Samba", None)]
        {
            let both = [first, &setup_answer(&sample(version, &[(1, "FILES")]))].concat();
            assert_eq!(parse(Received::open(&both[..both.len() - 1])), Parse::NeedMore);
            let Parse::Yes(answer) = parse(Received::open(&both)) else { panic!() };
            assert_eq!(answer.next, Next::Nothing);
            assert_eq!(answer.service.product.as_deref(), Some(product));
            assert_eq!(answer.service.facts["ntlm.computer"], "FILES");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os);
        }
    }
}
