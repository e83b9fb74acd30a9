//! Early `ChangeCipherSpec` (CVE-2014-0224): a faulty server takes it before there are keys, and goes on with keys that everybody
//! can work out.
//!
//! The first one is taken in silence by the faulty and refused by the others at once. After it the faulty one expects encrypted
//! records, so it cannot make sense of the second, and gives up: with an alert about the record's protection, or by hanging up.
//! Silence alone is no proof, since a slow server is silent as well; so silence has to last, to end at the second, and all of it to
//! happen again on a new connection.

use super::{Check, Finding, Method, Reason, Verdict};
use crate::audit::{Caller, Heard, Line, NoCall, Shown, fresh};
use identify::tls::{Alert, Hello, Record, Version};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const CHECK: Check = Check {
    id: "tls/early-ccs",
    title: "ChangeCipherSpec is taken before there are keys",
    references: &["CVE-2014-0224", "RFC 5246 section 7.1"],
    precondition: "the server shakes hands up to its HelloDone in SSL 3.0 to TLS 1.2",
    sends: "two ChangeCipherSpec records, within an unfinished handshake",
    connections: 2,
    implies: &[],
    method: Method::EarlyCcs,
};

/// What one connection said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The first was refused, at once or belatedly.
    Refused(Option<u8>),
    /// The first was taken, and the second made no sense any more.
    Taken(Option<u8>),
    /// It was silent to both.
    Nothing,
    /// Something else came that has no place there.
    Nonsense,
    NoHandshake,
}

pub(super) async fn run(caller: &mut Caller<'_>, shown: &Shown) -> Finding {
    if shown.is_only_tls13() {
        return Finding::new(Verdict::NotVulnerable, "it takes no version that has the weakness");
    }
    match confirmed(caller).await {
        Ok(finding) => finding,
        Err(no_call) => Finding::no_call(no_call),
    }
}

async fn confirmed(caller: &mut Caller<'_>) -> Result<Finding, NoCall> {
    let first = ask(caller, 1).await?;
    match first {
        Said::NoHandshake => return Ok(no_handshake()),
        Said::Refused(description) => {
            let how = description.map_or("by hanging up".to_owned(), |number| format!("with alert {number}"));
            return Ok(Finding::new(Verdict::NotVulnerable, format!("it refused the early ChangeCipherSpec {how}")));
        }
        _ => {}
    }
    // One that is fast with its hello and slow to hang up gives itself away.
    let second = ask(caller, 2).await?;
    Ok(match (first, second) {
        (Said::Taken(description), Said::Taken(_)) => {
            let how = description.map_or("by hanging up".to_owned(), |number| format!("with alert {number}"));
            Finding::new(
                Verdict::Vulnerable,
                format!("it took an early ChangeCipherSpec, and answered the next {how}, on two connections"),
            )
        }
        (Said::Nothing, Said::Nothing) => {
            Finding::new(Verdict::NotTestable(Reason::NoAnswer), "it was silent to everything that was early")
        }
        (_, Said::Refused(_)) => Finding::new(
            Verdict::NotVulnerable,
            "it refused the early ChangeCipherSpec on the second of two connections, and was slow on the first",
        ),
        _ => Finding::new(
            Verdict::NotTestable(Reason::Contradiction),
            "its answers to an early ChangeCipherSpec fit no known behaviour",
        ),
    })
}

/// With so many times the usual patience.
async fn ask(caller: &mut Caller<'_>, patience: u32) -> Result<Said, NoCall> {
    let hello = Hello::broad(Version::TLS1_2, fresh()).server_name(caller.name());
    let mut line = caller.call(&hello.to_record()).await?;
    Ok(ask_on(&mut line, caller.silence() * patience).await)
}

/// On a connection whose handshake stands at the server's last word.
async fn ask_on(line: &mut Line, silence: Duration) -> Said {
    let Some(version) = line.flight.hello.as_ref().map(|hello| hello.version).filter(|_| line.is_our_turn()) else {
        return Said::NoHandshake;
    };
    let [high, low] = version.0.to_be_bytes();
    let change = [Record::CHANGE_CIPHER_SPEC, high, low, 0, 1, 1];
    for taken in [false, true] {
        let until = Instant::now() + silence;
        line.tell(&change, until).await;
        match line.hear(until).await {
            Heard::Record(Record { kind: Record::ALERT, payload, .. }) => {
                let description = payload.get(1).copied();
                // After the second one this is still the answer to the first, which was only late.
                let late =
                    description == Some(Alert::UNEXPECTED_MESSAGE) || description == Some(Alert::HANDSHAKE_FAILURE);
                return if taken && !late { Said::Taken(description) } else { Said::Refused(description) };
            }
            Heard::Closed => return if taken { Said::Taken(None) } else { Said::Refused(None) },
            Heard::Record(_) | Heard::NotTls => return Said::Nonsense,
            Heard::Silence => {}
        }
    }
    Said::Nothing
}

fn no_handshake() -> Finding {
    Finding::new(Verdict::NotTestable(Reason::NoHandshake), "it shook no hands up to its HelloDone")
}

#[cfg(test)]
mod tests;
