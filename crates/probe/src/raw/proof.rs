//! What makes an answer by UDP prove itself: some protocols repeat a number of the question's, and in that stands a cookie.
//!
//! The source port alone is a weak proof: whoever guesses one of some thousand ports can send what looks like an answer. Where
//! the question has a number that every answer has to repeat, the cookie is written over it, and nothing is believed
//! that does not repeat it. In what is handed on, the number stands as it was in the question, so that readers who know the
//! question know the answer.

use crate::conversation;
use identify::Reader;
use std::{collections::BTreeMap, ops::Range};

/// Where the number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// At fixed places of the question and of its answer, of that many bytes.
    Fixed { question: usize, answer: usize, length: usize },
    /// The message id of `SNMPv3` (RFC 3412 §6.2).
    MessageId,
}

/// Protocols whose answers repeat something, by port.
const FIELDS: [(u16, Field); 11] = [
    // DNS and what looks like it (RFC 1035 §4.1.1; RFC 1002 §4.2.1; RFC 6762 §6.7): the id.
    (53, same(0, 2)),
    (137, same(0, 2)),
    (5353, same(0, 2)),
    // RPC (RFC 5531 §9): the transaction id.
    (111, same(0, 4)),
    // NTP (RFC 5905 §7.3): the transmit time, repeated as the time of origin.
    (123, Field::Fixed { question: 40, answer: 24, length: 8 }),
    (161, Field::MessageId),
    // IKE (RFC 7296 §3.1): the initiator's SPI.
    (500, same(0, 8)),
    // STUN (RFC 8489 §5): the transaction id.
    (3478, same(8, 12)),
    // QUIC (RFC 8999 §6): our connection id, repeated as the one it is to.
    (443, Field::Fixed { question: 15, answer: 6, length: 8 }),
    (8443, Field::Fixed { question: 15, answer: 6, length: 8 }),
    // memcached: the request id.
    (11_211, same(0, 2)),
];

const fn same(at: usize, length: usize) -> Field {
    Field::Fixed { question: at, answer: at, length }
}

/// TFTP (RFC 1350 §4) answers from a port of its own, with nothing of the question.
const TFTP: u16 = 69;

/// Which questions carry a cookie: those that a sensor asks by default.
#[derive(Debug)]
pub(super) struct Proofs(BTreeMap<u16, (Field, Vec<u8>)>);

impl Default for Proofs {
    fn default() -> Self {
        Self::of(conversation::udp_payload)
    }
}

impl Proofs {
    fn of(question: impl Fn(u16) -> Option<Vec<u8>>) -> Self {
        let carried = |(port, field): (u16, Field)| {
            let question = question(port)?;
            field.in_question(&question)?;
            Some((port, (field, question)))
        };
        Self(FIELDS.into_iter().filter_map(carried).collect())
    }

    /// Writes the cookie into a question, where it has room for one.
    pub(super) fn sign(&self, port: u16, question: &mut [u8], cookie: u32) {
        if let Some((field, _)) = self.0.get(&port)
            && let Some(place) = field.in_question(question).and_then(|place| question.get_mut(place))
        {
            field.write(place, cookie);
        }
    }

    /// Whether an answer repeats the cookie of the question to this port; also where the question had none, but not where the answer
    /// comes from elsewhere then: only TFTP's does.
    pub(super) fn is_repeated(&self, port: u16, is_elsewhere: bool, answer: &[u8], cookie: u32) -> bool {
        match self.0.get(&port) {
            Some((field, _)) => field.is_repeated(answer, cookie),
            None if !is_elsewhere => true,
            // Data, acknowledgement, error, option acknowledgement (RFC 2347).
            None => port == TFTP && matches!(answer, [0, 3..=6, _, _, ..]),
        }
    }

    /// Ports that may have been asked where the answer came from another.
    pub(super) fn others(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied().chain([TFTP])
    }

    /// The answer as it would be to the question without a cookie.
    pub(super) fn restored(&self, port: u16, answer: &[u8]) -> Vec<u8> {
        let mut answer = answer.to_vec();
        if let Some((Field::Fixed { question: from, answer: to, length }, question)) = self.0.get(&port)
            && let Some(number) = question.get(*from..from + length)
            && let Some(place) = answer.get_mut(*to..to + length)
        {
            place.copy_from_slice(number);
        }
        answer
    }
}

impl Field {
    /// Where it stands in a question; none where there is no room for it.
    fn in_question(self, bytes: &[u8]) -> Option<Range<usize>> {
        match self {
            Self::Fixed { question, length, .. } => {
                let place = question..question + length;
                (place.end <= bytes.len()).then_some(place)
            }
            Self::MessageId => {
                // All lengths of so short a message are single bytes: version, then the header that begins with the id.
                const BEFORE: [Option<u8>; 9] =
                    [Some(0x30), None, Some(2), Some(1), Some(3), Some(0x30), None, Some(2), Some(3)];
                let fits = bytes.len() >= BEFORE.len() + 3
                    && bytes.iter().zip(BEFORE).all(|(byte, expect)| expect.is_none_or(|expect| expect == *byte));
                fits.then_some(9..12)
            }
        }
    }

    fn write(self, place: &mut [u8], cookie: u32) {
        match self {
            Self::Fixed { .. } => {
                let cookie = cookie.to_be_bytes();
                let length = place.len().min(cookie.len());
                let (_, last) = place.split_at_mut(place.len() - length);
                last.copy_from_slice(&cookie[cookie.len() - length..]);
            }
            Self::MessageId => place.copy_from_slice(&message_id(cookie)),
        }
    }

    fn is_repeated(self, answer: &[u8], cookie: u32) -> bool {
        match self {
            Self::Fixed { answer: at, length, .. } => {
                let cookie = cookie.to_be_bytes();
                let kept = length.min(cookie.len());
                answer.get(at..at + length).is_some_and(|number| number.ends_with(&cookie[cookie.len() - kept..]))
            }
            Self::MessageId => snmp_id(answer).is_some_and(|id| id == message_id(cookie)),
        }
    }
}

/// Three bytes, as every encoder writes a number of 23 bits whose first two are 01.
fn message_id(cookie: u32) -> [u8; 3] {
    let [_, first, second, third] = cookie.to_be_bytes();
    [first & 0x3f | 0x40, second, third]
}

fn snmp_id(answer: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let mut message = Reader::new(Reader::new(answer).expect(SEQUENCE)?);
    message.expect(INTEGER)?;
    Reader::new(message.expect(SEQUENCE)?).expect(INTEGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: u32 = 0xdead_beef;

    fn signed(port: u16) -> Vec<u8> {
        let mut question = conversation::udp_payload(port).unwrap_or_default();
        Proofs::default().sign(port, &mut question, COOKIE);
        question
    }

    #[test]
    fn questions_that_are_asked_carry_it() {
        let proofs = Proofs::default();
        assert_eq!(
            proofs.0.keys().copied().collect::<Vec<_>>(),
            [53, 111, 123, 137, 161, 443, 500, 3478, 5353, 8443, 11_211]
        );
        assert_eq!(&signed(53)[..3], b"\xbe\xef\x00");
        assert_eq!(&signed(123)[40..], b"peri\xde\xad\xbe\xef");
        assert_eq!(&signed(443)[..24], b"\xc0\x1a\x2a\x3a\x4a\x08perimetr\x08sens\xde\xad\xbe\xef\0");
        assert_eq!(&signed(161)[5..13], b"\x30\x10\x02\x03\x6d\xbe\xef\x02");
        // Nobody's question, and one without room.
        let mut short = vec![7; 3];
        proofs.sign(9, &mut short, COOKIE);
        proofs.sign(123, &mut short, COOKIE);
        assert_eq!(short, [7; 3]);
    }

    #[test]
    fn answers_repeat_it_or_are_none() {
        let proofs = Proofs::default();
        let dns = |id: &[u8]| [id, b"\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00"].concat();
        let ntp = |origin: &[u8]| [&[0x24; 24][..], origin, &[0; 16]].concat();
        let quic = |id: &[u8]| [b"\x80\0\0\0\0\x08", id, b"\x08perimetr\0\0\0\x01"].concat();
        let snmp = |id: &[u8]| [b"\x30\x81\x0c\x02\x01\x03\x30\x07\x02\x03", id, b"\x02\x00"].concat();
        for (port, good, bad) in [
            (53, dns(b"\xbe\xef"), dns(b"pd")),
            (123, ntp(b"peri\xde\xad\xbe\xef"), ntp(b"perimetr")),
            (161, snmp(b"\x6d\xbe\xef"), snmp(b"\x70\x64\x01")),
            (443, quic(b"sens\xde\xad\xbe\xef"), quic(b"sensor-1")),
        ] {
            for elsewhere in [false, true] {
                assert!(proofs.is_repeated(port, elsewhere, &good, COOKIE), "{port}");
                assert!(!proofs.is_repeated(port, elsewhere, &bad, COOKIE), "{port}");
                assert!(!proofs.is_repeated(port, elsewhere, &good, !COOKIE), "{port}");
                assert!(!proofs.is_repeated(port, elsewhere, b"", COOKIE), "{port}");
            }
        }
        // Without a number to repeat, its port has to do; but only from the port that was asked.
        assert!(proofs.is_repeated(9, false, b"anything", COOKIE) && !proofs.is_repeated(9, true, b"anything", COOKIE));
        assert!(proofs.is_repeated(69, true, b"\x00\x05\x00\x01no\x00", COOKIE));
        assert!(!proofs.is_repeated(69, true, b"\x00\x01file\x00", COOKIE));
    }

    #[test]
    fn the_answer_is_that_to_the_known_question() {
        let proofs = Proofs::default();
        assert_eq!(proofs.restored(53, b"\xbe\xef\x84\x00"), b"pd\x84\x00");
        assert_eq!(&proofs.restored(123, &[1; 48])[20..36], b"\x01\x01\x01\x01perimetr\x01\x01\x01\x01");
        let negotiation = |id: &[u8]| [b"\x80\0\0\0\0\x08", id, b"\x08perimetr\0\0\0\x01"].concat();
        assert_eq!(proofs.restored(443, &negotiation(b"sens\xde\xad\xbe\xef")), negotiation(b"sensor-1"));
        assert_eq!(proofs.restored(123, b"short"), b"short");
        assert_eq!(proofs.restored(7, b"as it is"), b"as it is");
    }

    proptest! {
        #[test]
        fn what_was_signed_is_recognised(cookie: u32, other: u32) {
            let proofs = Proofs::of(|_| Some(vec![0; 64]));
            for port in proofs.others().filter(|port| proofs.0.contains_key(port)) {
                let Field::Fixed { question: from, answer: to, length } = proofs.0[&port].0 else { continue };
                let mut question = vec![0; 64];
                proofs.sign(port, &mut question, cookie);
                let mut answer = vec![0; 64];
                answer[to..to + length].copy_from_slice(&question[from..from + length]);
                prop_assert!(proofs.is_repeated(port, false, &answer, cookie));
                let shown = if length < 4 { u32::from(u16::MAX) } else { u32::MAX };
                prop_assert_eq!(proofs.is_repeated(port, true, &answer, other), cookie & shown == other & shown);
            }
        }

        #[test]
        fn any_bytes_are_judged(port in prop::sample::select(vec![53_u16, 69, 123, 161]), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let proofs = Proofs::default();
            proofs.is_repeated(port, true, &bytes, COOKIE);
            prop_assert_eq!(proofs.restored(port, &bytes).len(), bytes.len());
            proofs.sign(port, &mut bytes.clone(), COOKIE);
        }
    }
}
