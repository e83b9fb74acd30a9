//! Active checks: each proves by behaviour whether a service has one weakness. One contract for all of them: what it is about, what
//! it needs, what it sends, on how many connections at most, and a verdict with evidence that holds no content of the other end's.
//!
//! A check takes nothing from the other end that is not ours, changes nothing there, and sends nothing that a client could not
//! send by mistake.

mod early_ccs;
mod heartbleed;
#[cfg(test)]
pub(crate) mod scripted;
mod visible;

use crate::audit::{Caller, NoCall, Shown};
use model::Weakness;
use std::fmt;

/// A check and what it promises.
#[derive(Debug)]
pub struct Check {
    /// Its own id: `tls/heartbleed`.
    pub id: &'static str,
    pub title: &'static str,
    /// CVE numbers first, then what else describes it.
    pub references: &'static [&'static str],
    /// What must be so for it to say anything.
    pub precondition: &'static str,
    /// What goes over the wire for it, beyond what the audit says anyway.
    pub sends: &'static str,
    /// Connections of its own at most.
    pub connections: u8,
    /// What the service has where it is vulnerable, as a weakness of its setting.
    pub implies: &'static [Weakness],
    method: Method,
}

#[derive(Debug)]
enum Method {
    Heartbleed,
    EarlyCcs,
    /// From what the audit was shown.
    Visible(fn(&Shown) -> Finding),
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub check: &'static Check,
    pub verdict: Verdict,
    /// In words and numbers; never with a byte of what the other end sent.
    pub evidence: String,
    pub connections: u8,
}

/// Only the first two say anything about the service, and only [`Verdict::NotVulnerable`] may close a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Vulnerable,
    NotVulnerable,
    NotTestable(Reason),
    /// The trouble is ours.
    Error,
}

/// Why a check has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It does not speak TLS in a version that the check is about, or not with us.
    NoHandshake,
    /// It gave no answer, or none in time.
    NoAnswer,
    /// One connection said this, another that.
    Contradiction,
    /// It chose something else of what was offered, which tells nothing of the rest.
    Preference,
    /// The connection did not come about, or our time was up.
    NoConnection,
}

/// What a method found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    evidence: String,
}

/// Every check there is, in the order in which they run.
pub static CHECKS: [Check; 11] = [
    heartbleed::CHECK,
    early_ccs::CHECK,
    visible::DROWN,
    visible::POODLE,
    visible::FREAK,
    visible::LOGJAM,
    visible::RC4,
    visible::SWEET32,
    visible::ANONYMOUS,
    visible::NULL,
    visible::CRIME,
];

/// Runs every check that is wanted, each on connections of its own where it needs any, and adds what it came to.
pub(crate) async fn run_all(
    caller: &mut Caller<'_>,
    shown: &Shown,
    wanted: impl Fn(&Check) -> bool,
    done: &mut Vec<Checked>,
) {
    for check in CHECKS.iter().filter(|check| wanted(check)) {
        let before = caller.connections();
        let Finding { verdict, evidence } = match check.method {
            // There is nothing to ask, or nobody.
            _ if !shown.is_tls() => {
                Finding::new(Verdict::NotTestable(Reason::NoHandshake), "no handshake came about in any version")
            }
            Method::Heartbleed => heartbleed::run(caller, shown).await,
            Method::EarlyCcs => early_ccs::run(caller, shown).await,
            Method::Visible(judge) => judge(shown),
        };
        let connections = caller.connections().saturating_sub(before);
        done.push(Checked { check, verdict, evidence, connections });
    }
}

impl Check {
    /// It needs connections of its own.
    pub fn is_active(&self) -> bool {
        self.connections > 0
    }

    /// What a finding of it is called: its CVE number, or its own id where it has none.
    pub fn finding_id(&self) -> &'static str {
        self.references.first().copied().filter(|reference| reference.starts_with("CVE-")).unwrap_or(self.id)
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Check {}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vulnerable => "vulnerable",
            Self::NotVulnerable => "not-vulnerable",
            Self::NotTestable(_) => "not-testable",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTestable(reason) => write!(f, "{} ({reason})", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHandshake => "no handshake that the check is about",
            Self::NoAnswer => "no answer",
            Self::Contradiction => "connections that contradict each other",
            Self::Preference => "another choice was made",
            Self::NoConnection => "no connection",
        })
    }
}

impl Finding {
    fn new(verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self { verdict, evidence: evidence.into() }
    }

    fn no_call(no_call: NoCall) -> Self {
        let evidence = match no_call {
            NoCall::Failed(outcome) => format!("the connection did not come about: {}", outcome.as_str()),
            NoCall::Late => "there was no time left for it".to_owned(),
            NoCall::Enough => "it would have taken more connections than may be made".to_owned(),
            NoCall::NoTls => "it did not go over to TLS".to_owned(),
        };
        Self::new(Verdict::NotTestable(Reason::NoConnection), evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_check_keeps_the_contract() {
        let ids: HashSet<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
        let findings: HashSet<_> = CHECKS.iter().map(Check::finding_id).collect();
        assert_eq!(findings.len(), CHECKS.len());
        for check in &CHECKS {
            assert!(check.id.starts_with("tls/") && check.id == check.id.to_lowercase(), "{check:?}");
            assert!(!check.references.is_empty() && !check.precondition.is_empty(), "{check:?}");
            assert!(!check.title.is_empty() && !check.sends.is_empty(), "{check:?}");
            assert!(check.connections <= 3, "{check:?}");
            assert_eq!(check.connections == 0, matches!(check.method, Method::Visible(_)), "{check:?}");
        }
    }
}
