//! Redis and Valkey: how they refuse a question that was meant for a web server.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "redis",
    speaker: Speaker::Client,
    ports: &[6379],
    request: None,
    parse,
    #[cfg(test)]
    samples: &[
        b"-ERR wrong number of arguments for 'get' command\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const REFUSALS: [(&str, &str); 3] = [
        ("-ERR wrong number of arguments for '", "no"),
        ("-NOAUTH ", "required"),
        ("-DENIED Redis ", "protected mode"),
    ];
    let begun = |prefix: &str| received.bytes.starts_with(prefix.as_bytes());
    let Some((_, authentication)) = REFUSALS.iter().find(|(prefix, _)| begun(prefix)) else {
        let may = REFUSALS.iter().any(|(prefix, _)| received.may_become(prefix.as_bytes()));
        return if may { Parse::NeedMore } else { Parse::No };
    };
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 1024 { Parse::need_more(received) } else { Parse::No };
    };
    let mut service = Service { name: "redis".into(), banner: Some(text::printable(line)), ..Service::default() };
    service.facts.insert("redis.authentication".into(), (*authentication).to_owned());
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}
