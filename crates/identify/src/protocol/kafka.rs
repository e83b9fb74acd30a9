//! Kafka: asked which requests it knows in which versions, the one question that every broker since 0.10 answers.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "kafka",
    speaker: Speaker::Client,
    ports: &[9092, 9093, 9094],
    request: Some(|_| QUESTION.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"\0\0\0\x16pd\0\x12\0\0\0\0\0\x02\0\0\0\0\0\x09\0\x12\0\0\0\x03", b"\0\0\0\x0apd\0\x12\0\x23\0\0\0\0"],
};

/// Length, `ApiVersions` (18) version 0, correlation `pd\0\x12`, and who we are.
const QUESTION: &[u8] = b"\0\0\0\x14\0\x12\0\0pd\0\x12\0\x0aperimeterd";
const ID: &[u8] = b"pd\0\x12";

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let Some(length) = reader.u32() else {
        let small = received.bytes.iter().take(2).all(|byte| *byte == 0);
        return if small { Parse::need_more(received) } else { Parse::No };
    };
    let ours = reader.rest().iter().zip(ID).all(|(got, sent)| got == sent);
    if !(10..4096).contains(&length) || !ours {
        return Parse::No;
    }
    let Some(answer) = usize::try_from(length).ok().and_then(|length| reader.take(length)) else {
        return Parse::need_more(received);
    };
    let mut reader = Reader::new(answer);
    reader.take(ID.len());
    let (Some(error), Some(count)) = (reader.u16(), reader.u32()) else { return Parse::No };
    let rest = u32::try_from(reader.rest().len()).unwrap_or(u32::MAX);
    if count > 512 || count.checked_mul(6).is_none_or(|needed| needed > rest) {
        return Parse::No;
    }
    let mut service = named("kafka");
    note(&mut service, "kafka.error", if error == 0 { String::new() } else { error.to_string() });
    for _ in 0..count {
        let (Some(key), Some(_least), Some(most)) = (reader.u16(), reader.u16(), reader.u16()) else { break };
        // How far it has come: the newest forms of producing, fetching and of this question.
        let fact = match key {
            0 => "kafka.produce",
            1 => "kafka.fetch",
            18 => "kafka.api_versions",
            _ => continue,
        };
        note(&mut service, fact, most.to_string());
    }
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_knows() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.facts["kafka.produce"], "9");
        assert_eq!(answer.service.facts["kafka.api_versions"], "3");
        assert_eq!(usize::from(QUESTION[3]), QUESTION.len() - 4);
        assert_eq!(parse(Received::ended(b"\0\0\0\x10pd\0\x12\0\0\xff\xff\xff\xff\0\0\0\0\0\0")), Parse::No);
    }
}
