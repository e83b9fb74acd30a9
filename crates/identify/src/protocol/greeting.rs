//! Servers that introduce themselves in one line, each of its own kind.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

pub(super) static ASTERISK: Protocol = Protocol {
    name: "asterisk-ami",
    speaker: Speaker::Server,
    ports: &[5038],
    request: None,
    parse: |received| one(received, b"Asterisk Call Manager/", "asterisk-ami", |_| (None, None)),
    reply: None,
    #[cfg(test)]
    samples: &[b"Asterisk Call Manager/7.0.3\r\n"],
};

pub(super) static MPD: Protocol = Protocol {
    name: "mpd",
    speaker: Speaker::Server,
    ports: &[6600],
    request: None,
    // The version is the protocol's.
    parse: |received| one(received, b"OK MPD ", "mpd", |_| (Some("Music Player Daemon"), None)),
    reply: None,
    #[cfg(test)]
    samples: &[b"OK MPD 0.23.5\n"],
};

pub(super) static MUNIN: Protocol = Protocol {
    name: "munin",
    speaker: Speaker::Server,
    ports: &[4949],
    request: None,
    parse: munin,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"# munin node at www.example.org\n",
        b"# munin node at www.example.org\nmunins node on www.example.org version: 2.0.73\n",
    ],
};

/// What a greeting's rest tells: a product's name and its version.
type Told = for<'a> fn(&'a str) -> (Option<&'static str>, Option<&'a str>);

/// One line that begins with these words.
fn one(received: Received<'_>, beginning: &[u8], name: &str, told: Told) -> Parse {
    if let Some(parse) = received.lacks(beginning) {
        return parse;
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 256 { Parse::need_more(received) } else { Parse::No };
    };
    let said = text::printable(line);
    let mut service = named(name);
    if let (Some(product), version) = told(said.get(beginning.len()..).unwrap_or_default()) {
        product::name(&mut service, product, version);
    }
    service.banner = Some(said);
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}

fn munin(received: Received<'_>) -> Parse {
    const BEGINNING: &[u8] = b"# munin node at ";
    if let Some(parse) = received.lacks(BEGINNING) {
        return parse;
    }
    let mut reader = Reader::new(received.bytes);
    let Some(line) = reader.line() else {
        return if received.bytes.len() < 512 { Parse::need_more(received) } else { Parse::No };
    };
    let mut service = named("munin");
    service.banner = Some(text::printable(line));
    let next = match reader.line() {
        None if reader.is_empty() => Next::Say(b"version\n"),
        None if !received.ended => return Parse::NeedMore,
        None => Next::Farewell(b"quit\n"),
        Some(line) => {
            let line = text::printable(line);
            let version = text::after(&line, "version: ").and_then(text::version);
            product::name(&mut service, "munin node", version);
            Next::Farewell(b"quit\n")
        }
    };
    Parse::yes(service, Strength::Grammar, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn munin_is_asked_for_its_version() {
        let [greeted, told] = [0, 1].map(|at| match munin(Received::open(MUNIN.samples[at])) {
            Parse::Yes(answer) => *answer,
            other => panic!("{other:?}"),
        });
        assert_eq!(greeted.next, Next::Say(b"version\n"));
        assert_eq!(told.service.version.as_deref(), Some("2.0.73"));
    }

    #[test]
    fn a_protocols_version_is_no_products() {
        let Parse::Yes(answer) = (MPD.parse)(Received::open(MPD.samples[0])) else { panic!() };
        assert_eq!((answer.service.product.as_deref(), answer.service.version), (Some("Music Player Daemon"), None));
    }
}
