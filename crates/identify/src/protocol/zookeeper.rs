//! `ZooKeeper`: one of its four-letter words. Its line end is for those who take it for one of theirs: memcached says that it
//! does not know it, and so do others that read lines.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "zookeeper",
    speaker: Speaker::Client,
    ports: &[2181],
    request: Some(|_| b"srvr\r\n".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2022-02-25 08:49 UTC\nLatency min/avg/max: 0/0.0/0\n",
        b"srvr is not executed because it is not in the whitelist.\n",
        b"This ZooKeeper instance is not currently serving requests\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const BEGINNINGS: [&[u8]; 3] =
        [b"Zookeeper version: ", b"srvr is not executed because", b"This ZooKeeper instance is not"];
    if !BEGINNINGS.iter().any(|beginning| received.bytes.starts_with(beginning)) {
        let may = BEGINNINGS.iter().any(|beginning| received.may_become(beginning));
        return if may { Parse::NeedMore } else { Parse::No };
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 512 { Parse::need_more(received) } else { Parse::No };
    };
    let line = text::printable(line);
    let mut service = named("zookeeper");
    // The number, without what it was built from.
    let version = line.strip_prefix("Zookeeper version: ").and_then(text::version);
    product::name(&mut service, "zookeeper", version.and_then(|version| version.split('-').next()));
    service.banner = Some(text::stable(&line));
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("Apache ZooKeeper"));
        assert_eq!(answer.service.version.as_deref(), Some("3.8.0"));
    }
}
