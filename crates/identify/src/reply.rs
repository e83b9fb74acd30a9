//! Replies of the three-digit kind that SMTP (RFC 5321 §4.2) and FTP (RFC 959 §4.2) share.

use crate::{Reader, answer::Received, text};

/// One reply, of one or several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) code: u16,
    /// Without codes and line ends.
    pub(crate) lines: Vec<&'a [u8]>,
    /// Its last line has come.
    pub(crate) complete: bool,
}

/// The replies so far; none when the bytes do not read as such. Anything after the first line that does not is left out.
pub(crate) fn replies<'a>(received: Received<'a>) -> Option<Vec<Reply<'a>>> {
    const MAX_LINES: usize = 256;
    let mut reader = Reader::new(received.bytes);
    let mut replies: Vec<Reply<'a>> = Vec::new();
    for _ in 0..MAX_LINES {
        let (line, ended) = match reader.line() {
            Some(line) => (line, true),
            // A last line without its end counts once no more will come.
            None if received.ended && !reader.is_empty() => {
                (reader.take(reader.rest().len()).unwrap_or_default(), true)
            }
            None => (reader.rest(), false),
        };
        if !ended {
            break;
        }
        let first = replies.is_empty();
        match (replies.last_mut().filter(|reply| !reply.complete), split(line)) {
            (Some(open), Some((code, last, rest))) if code == open.code => {
                open.lines.push(rest);
                open.complete = last;
            }
            // FTP lets the lines between the first and the last be anything.
            (Some(open), _) => open.lines.push(line),
            (None, Some((code, last, rest))) => replies.push(Reply { code, lines: vec![rest], complete: last }),
            (None, None) if first => return None,
            (None, None) => break,
        }
    }
    Some(replies)
}

/// Whether the start of a line could still become a reply: `2`, `22`, `220`, `220 `.
pub(crate) fn may_begin(received: Received<'_>) -> bool {
    let bytes = received.bytes;
    !received.ended
        && bytes.len() < 1024
        && bytes.iter().take(3).all(u8::is_ascii_digit)
        && bytes.first().is_none_or(|first| (b'1'..=b'5').contains(first))
        && bytes.get(3).is_none_or(|separator| matches!(separator, b' ' | b'-'))
}

fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let mut reader = Reader::new(line);
    let digits: [u8; 3] = reader.array()?;
    let code = digits
        .iter()
        .try_fold(0_u16, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))?;
    let last = match reader.u8() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    (100..600).contains(&code).then_some((code, last, reader.rest()))
}

/// Which of the two a greeting belongs to, where its words say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Smtp,
    Ftp,
    Unclear,
}

pub(crate) fn kind(greeting: &Reply<'_>) -> Kind {
    let words: Vec<String> = greeting.lines.iter().take(8).map(|line| text::printable(line)).collect();
    let any = |tokens: &[&str]| words.iter().any(|line| crate::product::mentioned(line, tokens).is_some());
    let smtp = any(&["esmtp", "smtp", "lmtp", "postfix", "exim", "sendmail", "opensmtpd", "esmtps", "smtpd"]);
    let ftp = any(&["ftp", "ftpd", "vsftpd", "proftpd", "pure-ftpd", "filezilla server", "sftp", "pyftpdlib"]);
    match (smtp, ftp) {
        (true, false) => Kind::Smtp,
        (false, true) => Kind::Ftp,
        _ => Kind::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_replies() {
        let check = |bytes: &[u8], expect: Option<Vec<(u16, usize, bool)>>| {
            let got = replies(Received::open(bytes))
                .map(|replies| replies.iter().map(|reply| (reply.code, reply.lines.len(), reply.complete)).collect());
            assert_eq!(got, expect, "{}", bytes.escape_ascii());
        };
        check(b"220 a\r\n", Some(vec![(220, 1, true)]));
        check(b"220-a\r\n free text\r\n220 b\r\n250-c\r\n", Some(vec![(220, 3, true), (250, 1, false)]));
        check(b"220", Some(vec![]));
        check(b"hello\r\n", None);
        check(b"2200 a\r\n", None);
        check(b"999 a\r\n", None);
    }
}
