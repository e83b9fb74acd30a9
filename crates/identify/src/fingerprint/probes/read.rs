//! The file's lines.

use super::{Key, LeftOut, Line, Probe, ServiceProbes, pattern, template::Template};
use crate::fingerprint::prefilter::Prefilter;
use model::Transport;
use std::sync::OnceLock;

/// Why a file is none of that format: who wrote it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ProbesError {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

/// Older readers of the format cut lines there.
const LONGEST_LINE: usize = 8191;

type Literals = Option<Vec<Vec<u8>>>;

/// A probe under way, with the literals of each of its lines.
struct Open {
    probe: Probe,
    literals: Vec<Literals>,
}

impl Open {
    fn close(mut self) -> Probe {
        self.probe.prefilter = Prefilter::new(self.literals.into_iter());
        self.probe
    }
}

impl ServiceProbes {
    /// Reads the bytes of a file, which are Latin-1.
    pub fn read(bytes: &[u8]) -> Result<Self, ProbesError> {
        let mut file = Self::default();
        let mut open: Option<Open> = None;
        let mut excluded = false;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let odd = |what: String| ProbesError { line: number, what };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if line.len() > LONGEST_LINE {
                return Err(odd(format!("it is longer than {LONGEST_LINE} bytes")));
            }
            let text: String = line.iter().copied().map(char::from).collect();
            let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
            match (word, &mut open) {
                ("Exclude", None) if !excluded => {
                    ports(rest.trim()).map_err(odd)?;
                    excluded = true;
                }
                ("Exclude", _) => return Err(odd("`Exclude` stands once, before all probes".to_owned())),
                ("Probe", _) => {
                    file.probes.extend(open.take().map(Open::close));
                    open = Some(Open { probe: probe(rest).map_err(odd)?, literals: Vec::new() });
                }
                (_, None) => return Err(odd(format!("`{}` before any `Probe`", head(word)))),
                ("match" | "softmatch", Some(open)) => {
                    let line = matching(number, rest, word == "softmatch").map_err(odd)?;
                    match usable(&line) {
                        Ok(literals) => {
                            open.literals.push(literals);
                            open.probe.lines.push(line);
                        }
                        Err(why) => file.left_out.push(LeftOut { line: number, why }),
                    }
                }
                ("ports" | "sslports", Some(_)) => ports(rest).map_err(odd)?,
                ("rarity", Some(_)) => within(rest, 1, 9).map_err(odd)?,
                ("totalwaitms" | "tcpwrappedms", Some(_)) => within(rest, 100, 300_000).map_err(odd)?,
                ("fallback", Some(open)) => {
                    open.probe.fallback = rest.split(',').map(|name| name.trim().to_owned()).take(20).collect();
                }
                _ => return Err(odd(format!("`{}` is no directive of this format", head(word)))),
            }
        }
        file.probes.extend(open.map(Open::close));
        Ok(file)
    }
}

fn head(text: &str) -> String {
    text.chars().take(24).collect()
}

/// `TCP NAME q|PAYLOAD| no-payload`.
fn probe(text: &str) -> Result<Probe, String> {
    let (protocol, rest) = text.split_once(' ').ok_or("a probe is `Probe TCP NAME q|…|`")?;
    let transport = match protocol {
        "TCP" => Transport::Tcp,
        "UDP" => Transport::Udp,
        _ => return Err(format!("`{}` is neither TCP nor UDP", head(protocol))),
    };
    let (name, rest) = rest.split_once(' ').ok_or("a probe without a payload")?;
    if !name.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        return Err(format!("`{}` is no name of a probe", head(name)));
    }
    let (payload, flags) = delimited(rest.trim_start().strip_prefix('q').ok_or("a payload begins with `q`")?)?;
    unescape(payload)?;
    if !matches!(flags.trim(), "" | "no-payload") {
        return Err(format!("`{}` is no flag of a probe", head(flags.trim())));
    }
    let prefilter = Prefilter::new(std::iter::empty());
    Ok(Probe { transport, name: name.to_owned(), fallback: Vec::new(), lines: Vec::new(), prefilter })
}

/// `SERVICE m|PATTERN|is p/…/ v/…/ cpe:/…/`.
fn matching(number: usize, text: &str, is_soft: bool) -> Result<Line, String> {
    let (service, rest) = text.split_once(' ').ok_or("a match is `match SERVICE m|…|`")?;
    let service = service.strip_prefix("ssl/").unwrap_or(service).to_owned();
    let (pattern, rest) = delimited(rest.trim_start().strip_prefix('m').ok_or("a pattern begins with `m`")?)?;
    let (flags, mut rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    if let Some(flag) = flags.trim_end().chars().find(|flag| !matches!(flag, 'i' | 's')) {
        return Err(format!("`{flag}` is no flag of a pattern"));
    }
    let mut templates: Vec<(Key, Template)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let (key, text, after) = if let Some(after) = rest.strip_prefix("cpe:") {
            let (name, after) = delimited(after)?;
            let part = name.chars().next().filter(|part| matches!(part, 'a' | 'h' | 'o'));
            (Key::Cpe(part.ok_or("a CPE name begins with `a`, `h` or `o`")?), name, after)
        } else {
            let key = match rest.chars().next() {
                Some('p') => Key::Product,
                Some('v') => Key::Version,
                Some('i') => Key::Info,
                Some('h') => Key::Host,
                Some('o') => Key::System,
                Some('d') => Key::Device,
                _ => return Err(format!("`{}` is no template", head(rest))),
            };
            let (text, after) = delimited(rest.get(1..).unwrap_or_default())?;
            (key, text, after)
        };
        let template = Template::parse(text)?;
        // A later one takes an earlier one's place.
        templates.retain(|(other, _)| *other != key);
        templates.push((key, template));
        rest = after
            .trim_start_matches(|char: char| char.is_ascii_alphabetic() && !after.starts_with(char::is_whitespace));
    }
    Ok(Line {
        number,
        service,
        is_soft,
        pattern: pattern.to_owned(),
        ignore_case: flags.contains('i'),
        dot_all: flags.contains('s'),
        templates,
        compiled: OnceLock::new(),
    })
}

/// Whether an engine here can run it, and what must stand in what it matches.
fn usable(line: &Line) -> Result<Literals, String> {
    match pattern::anatomy(&line.pattern, line.ignore_case, line.dot_all) {
        Some((_, true)) => Err("the pattern matches nothing at all, so everything".to_owned()),
        Some((literals, false)) => Ok(literals),
        // Some of what the bounded engine understands has no plain form.
        None => {
            pattern::Pattern::new(&line.pattern, line.ignore_case, line.dot_all)
                .map_err(|error| format!("the pattern cannot be run: {}", error.lines().last().unwrap_or_default()))?;
            Ok(None)
        }
    }
}

/// What stands between the first character and its next appearance, and what follows.
fn delimited(text: &str) -> Result<(&str, &str), String> {
    let delimiter = text.chars().next().ok_or("a delimiter is missing")?;
    let inside = text.get(delimiter.len_utf8()..).unwrap_or_default();
    inside.split_once(delimiter).ok_or_else(|| format!("`{delimiter}` is not closed"))
}

/// The escapes of a payload; nothing is done with it, as nothing of it is sent.
fn unescape(payload: &str) -> Result<(), String> {
    let mut chars = payload.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            continue;
        }
        let is_known = match chars.next() {
            Some('\\' | '0' | 'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v') => true,
            Some('x') => chars.by_ref().take(2).filter(char::is_ascii_hexdigit).count() == 2,
            _ => false,
        };
        if !is_known {
            return Err("a payload's escapes are \\\\ \\0 \\n \\r \\t and \\xHH".to_owned());
        }
    }
    Ok(())
}

/// `80,8000-8010 T:9100`.
fn ports(text: &str) -> Result<(), String> {
    for item in text.split([',', ' ']).filter(|item| !item.is_empty()) {
        let range = item.strip_prefix("T:").or_else(|| item.strip_prefix("U:")).unwrap_or(item);
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        match (low.parse::<u16>(), high.parse::<u16>()) {
            (Ok(low), Ok(high)) if low <= high => {}
            _ => return Err(format!("`{}` is no port or range of ports", head(item))),
        }
    }
    Ok(())
}

fn within(text: &str, least: u32, most: u32) -> Result<(), String> {
    match text.trim().parse::<u32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(()),
        _ => Err(format!("`{}` is not within {least} and {most}", head(text.trim()))),
    }
}
