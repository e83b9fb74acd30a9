//! Heartbleed (CVE-2014-0160) without bleeding: the server is sent 4096 bytes of ours and no padding.
//!
//! RFC 6520 §4 wants at least sixteen bytes of padding after the payload, so correct servers drop the message. The faulty ones never
//! look at the record's length and copy the payload: exactly what we sent, since it is all there. Nothing of their memory is read.
//!
//! It must be so long: during the handshake OpenSSL 1.0.1 writes into a buffer of 4 KiB, and shorter answers stay in it for ever.

use super::{Check, Finding, Method, Reason, Verdict};
use crate::audit::{Caller, Heard, Line, NoCall, Shown, fresh};
use identify::tls::{Alert, Hello, Record, Version};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const CHECK: Check = Check {
    id: "tls/heartbleed",
    title: "Heartbeats give memory away (Heartbleed)",
    references: &["CVE-2014-0160", "RFC 6520"],
    precondition: "the server takes heartbeats in TLS 1.0 to 1.2",
    sends: "one heartbeat of 4096 random bytes of ours without padding, within an unfinished handshake",
    connections: 3,
    implies: &[],
    method: Method::Heartbleed,
};

/// Of the payload, in bytes.
const LENGTH: usize = 4096;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
/// Of padding, at least (RFC 6520 §4).
const PADDING: usize = 16;

/// What one connection said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Our own bytes came back, in a heartbeat of so many.
    Ours(usize),
    /// A heartbeat came back that is not ours to look into.
    Other(usize),
    /// It let the heartbeat pass in silence.
    Nothing,
    /// It refused it.
    Alert(u8),
    Closed,
    /// It takes none: nothing was sent.
    NoHeartbeats,
    /// It shook no hands that far.
    NoHandshake,
}

pub(super) async fn run(caller: &mut Caller<'_>, shown: &Shown) -> Finding {
    if shown.heartbeat == Some(false) {
        return no_heartbeats();
    }
    if shown.is_only_tls13() {
        return Finding::new(Verdict::NotVulnerable, "it takes no version that has the weakness");
    }
    match confirmed(caller).await {
        Ok(finding) => finding,
        Err(no_call) => Finding::no_call(no_call),
    }
}

/// A yes has to be said twice, and so has the silence that means no.
async fn confirmed(caller: &mut Caller<'_>) -> Result<Finding, NoCall> {
    let first = ask(caller).await?;
    match first {
        Said::NoHeartbeats => return Ok(no_heartbeats()),
        Said::NoHandshake => {
            let evidence = "it shook no hands up to where heartbeats begin";
            return Ok(Finding::new(Verdict::NotTestable(Reason::NoHandshake), evidence));
        }
        Said::Alert(description) => {
            let evidence = format!("it takes heartbeats, and refused the unsound one with alert {description}");
            return Ok(Finding::new(Verdict::NotVulnerable, evidence));
        }
        _ => {}
    }
    let second = ask(caller).await?;
    Ok(match (first, second) {
        (Said::Ours(length), Said::Ours(_)) => Finding::new(
            Verdict::Vulnerable,
            format!(
                "it answered a heartbeat without padding, twice: {length} bytes, in them the {LENGTH} that were sent, and \
                 nothing of its own memory"
            ),
        ),
        (Said::Other(length), Said::Other(_)) => Finding::new(
            Verdict::NotTestable(Reason::Contradiction),
            format!("it answered with a heartbeat of {length} bytes that does not carry what was sent"),
        ),
        (Said::Nothing | Said::Closed, Said::Nothing | Said::Closed | Said::Alert(_)) => {
            Finding::new(Verdict::NotVulnerable, "it takes heartbeats, and dropped the unsound one on two connections")
        }
        _ => Finding::new(
            Verdict::NotTestable(Reason::Contradiction),
            "it answered on one connection and not on the other",
        ),
    })
}

async fn ask(caller: &mut Caller<'_>) -> Result<Said, NoCall> {
    let hello = Hello::broad(Version::TLS1_2, fresh()).server_name(caller.name());
    let mut line = caller.call(&hello.to_record()).await?;
    Ok(ask_on(&mut line, caller.silence()).await)
}

/// On a connection whose handshake stands at the server's last word.
async fn ask_on(line: &mut Line, silence: Duration) -> Said {
    let Some(shown) = line.flight.hello.as_ref() else { return Said::NoHandshake };
    if shown.heartbeat != Some(1) {
        return Said::NoHeartbeats;
    }
    if !line.is_our_turn() {
        return Said::NoHandshake;
    }
    let payload: [u8; LENGTH] = fresh();
    let record = request(shown.version, &payload);
    let until = Instant::now() + silence;
    line.tell(&record, until).await;
    loop {
        match line.hear(until).await {
            Heard::Record(Record { kind: Record::HEARTBEAT, payload: answer, .. }) => {
                return if is_ours(&answer, &payload) { Said::Ours(answer.len()) } else { Said::Other(answer.len()) };
            }
            Heard::Record(Record { kind: Record::ALERT, payload, .. }) => {
                return Said::Alert(payload.get(1).copied().unwrap_or(Alert::INTERNAL_ERROR));
            }
            // Nothing else has a place here, and it says nothing of heartbeats.
            Heard::Record(_) => {}
            Heard::Closed | Heard::NotTls => return Said::Closed,
            Heard::Silence => return Said::Nothing,
        }
    }
}

/// A heartbeat request whose record ends with its payload: the padding is missing.
fn request(version: Version, payload: &[u8; LENGTH]) -> Vec<u8> {
    let mut record = vec![Record::HEARTBEAT];
    record.extend_from_slice(&version.0.to_be_bytes());
    let [.., high, low] = (3 + LENGTH).to_be_bytes();
    record.extend_from_slice(&[high, low, REQUEST]);
    let [.., high, low] = LENGTH.to_be_bytes();
    record.extend_from_slice(&[high, low]);
    record.extend_from_slice(payload);
    record
}

/// Whether a heartbeat is the answer of the faulty: our payload whole, and the padding that RFC 6520 asks of the answer.
fn is_ours(answer: &[u8], payload: &[u8; LENGTH]) -> bool {
    let [.., high, low] = LENGTH.to_be_bytes();
    answer
        .strip_prefix(&[RESPONSE, high, low])
        .and_then(|rest| rest.strip_prefix(payload.as_slice()))
        .is_some_and(|padding| padding.len() >= PADDING)
}

fn no_heartbeats() -> Finding {
    Finding::new(Verdict::NotVulnerable, "it takes no heartbeats; none was sent")
}

#[cfg(test)]
mod tests;
