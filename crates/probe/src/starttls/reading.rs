//! Reading what servers say before TLS. Whatever is missing asks for more, whatever does not fit refuses.

use super::{Refusal, Turn};
use identify::{Reader, printable};

/// A line longer than this is none.
const MAX_LINE: usize = 4096;
/// More lines in one reply than any server has to say.
const MAX_LINES: usize = 256;

/// For people, and not much of it.
pub(super) fn excerpt(words: &[u8]) -> String {
    printable(words.get(..words.len().min(120)).unwrap_or_default()).trim().to_owned()
}

/// The first line without its end, and how many bytes it takes with it.
pub(super) fn line(heard: &[u8]) -> Result<(&[u8], usize), Turn> {
    let mut reader = Reader::new(heard);
    match reader.line() {
        Some(line) if line.len() <= MAX_LINE => Ok((line, heard.len() - reader.rest().len())),
        None if heard.len() <= MAX_LINE => Err(Turn::More),
        _ => Err(Turn::Refused(Refusal::foreign(heard))),
    }
}

/// A reply of three-digit codes (RFC 5321 §4.2, RFC 959 §4.2, RFC 3977 §3.2).
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) code: u16,
    /// Without codes.
    pub(super) lines: Vec<&'a [u8]>,
    /// Of what was heard.
    pub(super) used: usize,
}

impl Reply<'_> {
    /// Whether a line after the first begins with that word.
    pub(super) fn offers(&self, keyword: &[u8]) -> bool {
        let first_word = |line: &&[u8]| line.split(|byte| *byte == b' ').next().unwrap_or_default().to_vec();
        self.lines.iter().skip(1).any(|line| first_word(line).eq_ignore_ascii_case(keyword))
    }

    pub(super) fn declined(&self) -> Refusal {
        let first = self.lines.first().copied().unwrap_or_default();
        let words = format!("{} {}", self.code, printable(first));
        // Codes of four hundred are for the moment.
        if self.code / 100 == 4 { Refusal::later(words.as_bytes()) } else { Refusal::declined(words.as_bytes()) }
    }
}

/// The first reply.
pub(super) fn reply(heard: &[u8]) -> Result<Reply<'_>, Turn> {
    let mut used = 0;
    let mut lines = Vec::new();
    let mut expect = None;
    while lines.len() < MAX_LINES {
        let (text, length) = line(heard.get(used..).unwrap_or_default())?;
        used += length;
        match (expect, coded(text)) {
            (None, None) => break,
            (None, Some((code, last, rest))) => {
                lines.push(rest);
                if last {
                    return Ok(Reply { code, lines, used });
                }
                expect = Some(code);
            }
            (Some(open), Some((code, last, rest))) if code == open => {
                lines.push(rest);
                if last {
                    return Ok(Reply { code, lines, used });
                }
            }
            // FTP lets the lines between the first and the last be anything.
            (Some(_), _) => lines.push(text),
        }
    }
    Err(Turn::Refused(Refusal::foreign(heard)))
}

fn coded(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let mut reader = Reader::new(line);
    let digits: [u8; 3] = reader.array()?;
    let digit = |sum: u16, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'));
    let code = digits.iter().try_fold(0, digit)?;
    match reader.u8() {
        None | Some(b' ') => Some((code, true, reader.rest())),
        Some(b'-') => Some((code, false, reader.rest())),
        Some(_) => None,
    }
}

/// So much from the start, or more has to be heard.
pub(super) fn take<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [u8], Turn> {
    reader.take(count).ok_or(Turn::More)
}

/// The next byte, or more has to be heard.
pub(super) fn byte(reader: &mut Reader<'_>) -> Result<u8, Turn> {
    reader.u8().ok_or(Turn::More)
}

/// Where `part` stands in `whole`.
pub(super) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len().max(1)).position(|window| window == part)
}
