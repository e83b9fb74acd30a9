//! Servers of jobs that read lines: beanstalkd's, and Gearman's where it is spoken to as an administrator. Both complain of every line
//! that they do not know, each in words of its own, and go on listening.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution, product, text,
};

pub(super) static BEANSTALKD: Protocol = Protocol {
    name: "beanstalkd",
    speaker: Speaker::Client,
    ports: &[11300],
    request: Some(|_| b"stats\r\n".to_vec()),
    parse: beanstalkd,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"UNKNOWN_COMMAND\r\n",
        b"UNKNOWN_COMMAND\r\nUNKNOWN_COMMAND\r\n",
        b"OK 50\r\n---\ncurrent-jobs-urgent: 0\npid: 7\nversion: \"1.12\"\n\r\n",
    ],
};

pub(super) static GEARMAN: Protocol = Protocol {
    name: "gearman",
    speaker: Speaker::Client,
    ports: &[4730],
    request: Some(|_| b"version\r\n".to_vec()),
    parse: gearman,
    reply: Some(gearman_reply),
    #[cfg(test)]
    samples: &[
        b"ERR UNKNOWN_COMMAND Unknown+server+commandGET\r\nERR UNKNOWN_COMMAND Unknown+server+command\r\n",
        b"ERR UNKNOWN_COMMAND Unknown+server+command\r\nOK 1.1.20+ds\n",
    ],
};

/// What follows the complaints at the start, and whether there were any.
fn after_complaints<'a>(bytes: &'a [u8], complaint: &[u8]) -> (&'a [u8], bool) {
    let mut reader = Reader::new(bytes);
    while reader.rest().starts_with(complaint) {
        if reader.line().is_none() {
            break;
        }
    }
    (reader.rest(), reader.rest().len() < bytes.len())
}

/// Figures as a list of YAML, the version among them.
fn beanstalkd(received: Received<'_>) -> Parse {
    const COMPLAINT: &[u8] = b"UNKNOWN_COMMAND\r\n";
    const FIGURES: &[u8] = b"---\ncurrent-jobs-urgent: ";
    let (bytes, has_complained) = after_complaints(received.bytes, COMPLAINT);
    let rest = Received { bytes, ..received };
    if bytes.is_empty() || rest.may_become(COMPLAINT) {
        let complaint = Parse::yes(named("beanstalkd"), Strength::Weak, Next::Own);
        return if has_complained { complaint } else { Parse::need_more(received) };
    }
    if let Some(parse) = rest.lacks(b"OK ") {
        return parse;
    }
    let mut reader = Reader::new(bytes);
    let Some(head) = reader.line() else {
        return if bytes.len() < 16 { Parse::need_more(received) } else { Parse::No };
    };
    let length = head.get(3..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let is_figures = reader.rest().iter().zip(FIGURES).all(|(got, expect)| got == expect);
    let Some(length) = length.filter(|length| (FIGURES.len()..8192).contains(length) && is_figures) else {
        return Parse::No;
    };
    let Some(figures) = reader.take(length) else { return Parse::need_more(received) };
    let figures = String::from_utf8_lossy(figures);
    let version = figures.lines().find_map(|line| line.strip_prefix("version: "));
    let mut service = named("beanstalkd");
    let version = version.map(|version| version.trim_matches('"')).and_then(text::version);
    product::name(&mut service, "beanstalkd", version);
    Parse::yes(service, Strength::Structure, Next::Farewell(b"quit\r\n"))
}

const UNKNOWN: &[u8] = b"ERR UNKNOWN_COMMAND Unknown+server+command";

fn gearman(received: Received<'_>) -> Parse {
    let (bytes, has_complained) = after_complaints(received.bytes, UNKNOWN);
    let rest = Received { bytes, ..received };
    if !has_complained {
        return match received.lacks(UNKNOWN) {
            Some(parse) => parse,
            None if bytes.len() < 512 => Parse::need_more(received),
            None => Parse::No,
        };
    }
    if bytes.starts_with(b"OK ") {
        return gearman_reply(rest);
    }
    let mut service = named("gearman");
    product::name(&mut service, "gearmand", None);
    Parse::yes(service, Strength::Grammar, Next::Own)
}

/// To who asked for it, a version alone.
fn gearman_reply(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(b"OK ") {
        return parse;
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 64 { Parse::need_more(received) } else { Parse::No };
    };
    let said = text::printable(line.get(3..).unwrap_or_default());
    let Some(version) = text::version(&said).filter(|version| version.len() == said.len()) else { return Parse::No };
    let mut service = named("gearman");
    product::name(&mut service, "gearmand", Some(distribution::upstream(version)));
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_behind_complaints() {
        let late = [BEANSTALKD.samples[1], BEANSTALKD.samples[2]].concat();
        for (parse, said, product, version, next) in [
            (beanstalkd as fn(Received<'_>) -> Parse, BEANSTALKD.samples[1], None, None, Next::Own),
            (beanstalkd, &late, Some("beanstalkd"), Some("1.12"), Next::Farewell(b"quit\r\n")),
            (gearman, GEARMAN.samples[0], Some("gearmand"), None, Next::Own),
            (gearman, GEARMAN.samples[1], Some("gearmand"), Some("1.1.20"), Next::Nothing),
            (gearman_reply, b"OK 1.1.18\n", Some("gearmand"), Some("1.1.18"), Next::Nothing),
        ] {
            let Parse::Yes(answer) = parse(Received::open(said)) else { panic!("{}", said.escape_ascii()) };
            assert_eq!(answer.service.product.as_deref(), product);
            assert_eq!(answer.service.version.as_deref(), version);
            assert_eq!(answer.next, next);
        }
        assert_eq!(gearman_reply(Received::ended(b"OK MPD 0.23.5\n")), Parse::No);
        assert_eq!(gearman(Received::ended(b"OK 1.1.18\n")), Parse::No);
    }
}
