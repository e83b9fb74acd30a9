//! The syslog header (RFC 5424 §6) and the framings of RFC 6587.

use crate::Identity;
use config::Framing;
use model::{Notice, Severity};

/// A priority as syslog counts: emergencies and alerts are left to the machine itself, as collectors shout them at everyone.
fn syslog_severity(severity: Severity) -> u8 {
    match severity.get() {
        1 => 6,
        2 => 5,
        3 => 4,
        4 => 3,
        _ => 2,
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID - `, with the event's own time, which is what receivers file it under.
/// No BOM follows: it would hide the beginning of a CEF message (MSG-ANY is legal).
pub(super) fn header(notice: &Notice, facility: u8, identity: &Identity) -> String {
    let priority = u16::from(facility.min(23)) * 8 + u16::from(syslog_severity(notice.alert.severity));
    let time = notice.event.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let pid = identity.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!("<{priority}>1 {time} {} perimeterd {pid} {} - ", identity.host, notice.event.kind)
}

/// One message as it goes over a stream. Messages hold neither LF, CR nor NUL, so both framings are safe.
pub(super) fn frame(message: &str, framing: Framing, stream: &mut Vec<u8>) {
    match framing {
        Framing::Octet => {
            stream.extend_from_slice(format!("{} ", message.len()).as_bytes());
            stream.extend_from_slice(message.as_bytes());
        }
        Framing::Lf => {
            stream.extend_from_slice(message.as_bytes());
            stream.push(b'\n');
        }
    }
}

/// The last of these messages, whole, in at most so many bytes.
pub(super) fn last_frames(stream: &[u8], framing: Framing, most: usize) -> &[u8] {
    let mut rest = stream;
    while rest.len() > most {
        let first = match framing {
            Framing::Octet => counted(rest),
            Framing::Lf => rest.iter().position(|&byte| byte == b'\n').map(|end| end + 1),
        };
        // We wrote it: there is always another one.
        rest = first.and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    rest
}

/// The length of the first message, with that of its count.
fn counted(stream: &[u8]) -> Option<usize> {
    let space = stream.iter().position(|&byte| byte == b' ')?;
    let count: usize = std::str::from_utf8(stream.get(..space)?).ok()?.parse().ok()?;
    count.checked_add(space + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_whole() {
        let messages = ["<1>1 a", "<1>1 12 bb", "<1>1 c"];
        for framing in [Framing::Octet, Framing::Lf] {
            let framed = |messages: &[&str]| {
                let mut stream = Vec::new();
                for message in messages {
                    frame(message, framing, &mut stream);
                }
                stream
            };
            let whole = framed(&messages);
            for most in 0..=whole.len() {
                let left = last_frames(&whole, framing, most);
                let expect = (0..=messages.len()).map(|from| framed(&messages[from..])).find(|rest| rest.len() <= most);
                assert_eq!(left, expect.expect("nothing fits always"), "{framing:?} {most}");
            }
        }
    }
}
