//! Two readers of CEF written apart from each other and from the writer, and a reader of both framings.

use config::Framing;
use std::collections::BTreeMap;

type Read = Result<(Vec<String>, BTreeMap<String, String>), String>;

pub(super) const OUR_KEYS: &[&str] = &[
    "rt",
    "externalId",
    "deviceExternalId",
    "dvchost",
    "dst",
    "c6a3",
    "c6a3Label",
    "dhost",
    "dpt",
    "proto",
    "app",
    "destinationServiceName",
    "act",
    "outcome",
    "cat",
    "cs1",
    "cs1Label",
    "cs2",
    "cs2Label",
    "cs3",
    "cs3Label",
    "cs4",
    "cs4Label",
    "cs5",
    "cs5Label",
    "cs6",
    "cs6Label",
    "cn1",
    "cn1Label",
    "cn2",
    "cn2Label",
    "start",
    "end",
    "deviceCustomDate1",
    "deviceCustomDate1Label",
    "deviceCustomDate2",
    "deviceCustomDate2Label",
    "reason",
    "msg",
];

/// One pass over the characters with a state, as a byte-oriented receiver would.
pub(super) fn by_characters(text: &str) -> Read {
    let mut characters = text.chars();
    let mut header = vec![String::new()];
    while header.len() < 8 {
        match characters.next().ok_or("the header ends early")? {
            '|' => header.push(String::new()),
            '\\' => match characters.next() {
                Some(c @ ('\\' | '|')) => header.last_mut().expect("one").push(c),
                other => return Err(format!("header escape {other:?}")),
            },
            c => header.last_mut().expect("one").push(c),
        }
    }
    header.pop();
    let mut fields = BTreeMap::new();
    let (mut key, mut value) = (None::<String>, String::new());
    // Where in `value` the word after the last space begins, as long as nothing in it was escaped.
    let mut word = Some(0);
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                value.push(match characters.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some(c @ ('\\' | '=')) => c,
                    other => return Err(format!("extension escape {other:?}")),
                });
                word = None;
            }
            '=' => {
                let next = value.split_off(word.ok_or("a bare = inside a value")?);
                if let Some(key) = key.replace(next) {
                    let value = value.strip_suffix(' ').ok_or("keys without a space between")?;
                    if fields.insert(key.clone(), value.to_owned()).is_some() {
                        return Err(format!("{key} twice"));
                    }
                } else if !value.is_empty() {
                    return Err("text before the first key".into());
                }
                value.clear();
                word = None;
            }
            ' ' => {
                value.push(c);
                word = Some(value.len());
            }
            c => value.push(c),
        }
    }
    fields.insert(key.ok_or("no key")?, value);
    Ok((header, fields))
}

/// By splitting at marks that are not escaped, as receivers built on regular expressions do.
pub(super) fn by_splitting(text: &str) -> Read {
    let escaped = |text: &str, at: usize| text[..at].bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1;
    let bars: Vec<usize> = text.match_indices('|').map(|(at, _)| at).filter(|&at| !escaped(text, at)).take(7).collect();
    let [.., last] = bars.as_slice() else { return Err("no header".into()) };
    let mut starts = vec![0];
    starts.extend(bars.iter().map(|at| at + 1));
    let header = starts.iter().zip(&bars).map(|(&from, &to)| unescape(&text[from..to])).collect();
    let extension = &text[last + 1..];
    // An unescaped = and the word before it is a key.
    let keys: Vec<(usize, usize)> = extension
        .match_indices('=')
        .map(|(at, _)| at)
        .filter(|&at| !escaped(extension, at))
        .map(|at| (extension[..at].rfind(' ').map_or(0, |space| space + 1), at))
        .collect();
    let mut fields = BTreeMap::new();
    for (place, &(start, equals)) in keys.iter().enumerate() {
        let end = keys.get(place + 1).map_or(extension.len(), |&(next, _)| next - 1);
        if end <= equals {
            return Err(format!("an empty value at {equals}"));
        }
        fields.insert(extension[start..equals].to_owned(), unescape(&extension[equals + 1..end]));
    }
    Ok((header, fields))
}

fn unescape(text: &str) -> String {
    // A stand-in for the escaped backslash that no tamed value holds.
    text.replace("\\\\", "\u{1}")
        .replace("\\|", "|")
        .replace("\\=", "=")
        .replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace('\u{1}', "\\")
}

/// The messages of a stream.
pub(super) fn deframe(stream: &[u8], framing: Framing) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    match framing {
        Framing::Lf => {
            stream.split_inclusive(|&byte| byte == b'\n').map(|line| text(&line[..line.len() - 1])).collect()
        }
        Framing::Octet => {
            let mut messages = Vec::new();
            let mut rest = stream;
            while !rest.is_empty() {
                let space = rest.iter().position(|&byte| byte == b' ').expect("a length");
                let length: usize = text(&rest[..space]).parse().expect("a length");
                messages.push(text(&rest[space + 1..space + 1 + length]));
                rest = &rest[space + 1 + length..];
            }
            messages
        }
    }
}
