//! The deep audit of a TLS service: which versions and which weak ciphers it takes, on at most sixteen connections, each with a
//! hello made for one question. Nothing of what the server says is ever answered, so no handshake is completed and nothing is
//! decrypted.
//!
//! Weak ciphers are peeled: all of them are offered at once, and what the server chooses is taken out before it is asked again,
//! until it has nothing left to choose. A server that takes none of them costs one connection.
//!
//! Where broken handshakes are held against us, what follows from other answers is not asked, and [`MOST_BROKEN`] are the end of it.

mod call;
mod shown;
#[cfg(test)]
mod tests;

pub(crate) use call::{Caller, Heard, Line, NoCall};
pub use shown::{Shown, Takes, Weak};

use crate::{
    Dialer,
    check::{self, Check, Checked},
    starttls::Protocol,
};
use identify::{
    Roots,
    tls::{Alert, Cipher, Class, End, Hello, Ssl2Cipher, Version, ssl2_hello},
};
use jiff::Timestamp;
use model::{Endpoint, Outcome, ServiceName, TlsObservation, TlsPosture, to_millisecond};
use shown::{TLS_VERSIONS, wants_name};
use std::time::Duration;

/// Whom to audit.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub endpoint: Endpoint,
    /// The name to ask under (SNI). It must have a living lease for this address.
    pub name: Option<&'a ServiceName>,
    /// The protocol by whose own words TLS begins; none: TLS comes first.
    pub starttls: Option<Protocol>,
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub shown: Shown,
    /// One for each check there is.
    pub checks: Vec<Checked>,
    /// Connections of the audit, and of the checks on top.
    pub connections: u8,
    pub check_connections: u8,
    /// Not everything was asked: time was up, or a connection did not come about.
    pub incomplete: Option<Incomplete>,
}

/// Why an audit ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incomplete {
    Failed(Outcome),
    Late,
    /// It would have taken more connections than may be made.
    Enough,
    /// It did not go over from its own protocol to TLS.
    NoTls,
    Halted,
    /// Nothing but listening is allowed on its port: those behind it may take harm.
    Fragile,
}

/// Of an audit without its checks, whatever happens.
pub const MOST_CONNECTIONS: u8 = 16;
/// Of an audit with its checks, where the server counts them ([`Protocol::counts_broken_handshakes`]): each is a broken handshake, and no
/// more than a tenth of what it takes to be shut out. A server of today costs half of them.
pub const MOST_BROKEN: u8 = 10;
/// Over everything, not counting the waits for its turn under the ceilings.
const WHOLE: Duration = Duration::from_mins(4);

/// Audits an endpoint, and runs every check on it. Ends within four minutes, at once when the dialer is halted.
pub async fn audit(dialer: &Dialer, subject: Subject<'_>) -> Report {
    Auditor::new(dialer, subject).report(Depth::All).await
}

/// The same without any check: what there is to know of how it does TLS, on at most [`MOST_CONNECTIONS`].
pub async fn posture(dialer: &Dialer, subject: Subject<'_>) -> Report {
    Auditor::new(dialer, subject).report(Depth::Posture).await
}

/// Runs those checks that need connections of their own, after one to see what they are about: to look again whether what they
/// found is still there. What only an audit tells, they do not say.
pub async fn check_again(dialer: &Dialer, subject: Subject<'_>) -> Report {
    Auditor::new(dialer, subject).report(Depth::ActiveChecks).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    All,
    Posture,
    ActiveChecks,
}

impl Report {
    /// What it showed of its TLS in the clear, as an observation: without an answer, none.
    pub fn observation(&self, roots: &Roots, name: Option<&str>, now: Timestamp) -> Option<TlsObservation> {
        let (version, cipher) = self.shown.first?;
        let chain = &self.shown.certificates;
        let mut seen = TlsObservation::new(version.to_string(), cipher.to_string());
        seen.certificate = chain.first().and_then(|leaf| identify::read_certificate(leaf).ok());
        if !chain.is_empty() {
            seen.verdicts = identify::judge(chain, roots, name, now);
        }
        seen.chain.clone_from(chain);
        seen.posture = Some(Box::new(TlsPosture { at: Some(to_millisecond(now)), ..self.shown.posture() }));
        Some(seen)
    }
}

impl From<NoCall> for Incomplete {
    fn from(no_call: NoCall) -> Self {
        match no_call {
            NoCall::Failed(outcome) => Self::Failed(outcome),
            NoCall::Late => Self::Late,
            NoCall::Enough => Self::Enough,
            NoCall::NoTls => Self::NoTls,
        }
    }
}

struct Auditor<'a> {
    dialer: &'a Dialer,
    endpoint: Endpoint,
    caller: Caller<'a>,
    shown: Shown,
    incomplete: Option<Incomplete>,
    /// Every connection is held against us.
    is_sparing: bool,
}

impl<'a> Auditor<'a> {
    fn new(dialer: &'a Dialer, subject: Subject<'a>) -> Self {
        let endpoint = subject.endpoint;
        let is_sparing = subject.starttls.is_some_and(Protocol::counts_broken_handshakes);
        let caller = Caller::new(dialer, subject, WHOLE, if is_sparing { MOST_BROKEN } else { u8::MAX });
        Self { dialer, endpoint, caller, shown: Shown::default(), incomplete: None, is_sparing }
    }

    async fn report(mut self, depth: Depth) -> Report {
        if !self.dialer.may_ask(self.endpoint.port) {
            let incomplete = Some(Incomplete::Fragile);
            return Report { shown: self.shown, checks: Vec::new(), connections: 0, check_connections: 0, incomplete };
        }
        let mut checks = Vec::new();
        let mut connections = None;
        let (dialer, ip) = (self.dialer, self.endpoint.ip);
        let asked = async {
            let run = match depth {
                Depth::All | Depth::Posture => self.run().await,
                Depth::ActiveChecks => self.ask(Version::TLS1_2, |hello| hello).await.map(|_| ()),
            };
            if let Err(no_call) = run {
                self.incomplete = Some(no_call.into());
            }
            connections = Some(self.caller.connections());
            let wanted = |check: &Check| match depth {
                Depth::All => true,
                Depth::Posture => false,
                Depth::ActiveChecks => check.is_active(),
            };
            check::run_all(&mut self.caller, &self.shown, wanted, &mut checks).await;
        };
        let halted = tokio::select! {
            biased;
            () = dialer.halted() => true,
            () = asked => false,
            // Comes last: where it was so from the start, the attempt says so.
            () = dialer.excluded(ip) => true,
        };
        let all = self.caller.connections();
        let connections = connections.unwrap_or(all);
        Report {
            shown: self.shown,
            checks,
            connections,
            check_connections: all.saturating_sub(connections),
            incomplete: if halted { Some(Incomplete::Halted) } else { self.incomplete },
        }
    }

    async fn run(&mut self) -> Result<(), NoCall> {
        let broad = self.ask(Version::TLS1_2, |hello| hello).await?;
        if broad.wants_name && self.caller.name().is_none() {
            // Whatever else is asked, this is the answer.
            self.shown.name_required = true;
            return Ok(());
        }
        if broad.is_foreign || !(broad.is_tls || self.is_old().await?) {
            return Ok(());
        }
        self.versions().await?;
        // Where no hello was taken up to TLS 1.2, no class of ciphers is either.
        if self.shown.tls_versions().iter().all(|version| *version == Version::TLS1_3) {
            return Ok(());
        }
        self.weak_ciphers().await?;
        self.groups().await?;
        self.authenticated_encryption().await?;
        self.fallback().await
    }

    /// Whether one who does not understand the newest hello, or would rather not, understands an older one.
    async fn is_old(&mut self) -> Result<bool, NoCall> {
        let old = self.ask(Version::TLS1_0, |hello| hello).await?;
        if old.is_tls {
            return Ok(true);
        }
        self.ask_ssl2().await?;
        Ok(self.shown.takes(Version::SSL2))
    }

    /// Those that no answer has told of yet, the newest first.
    async fn versions(&mut self) -> Result<(), NoCall> {
        for version in TLS_VERSIONS.into_iter().rev() {
            if self.shown.versions.contains_key(&version) {
                continue;
            }
            let answer = self.ask(version, |hello| hello).await?;
            self.shown.versions.entry(version).or_insert(answer.takes);
            if self.is_sparing && answer.takes == Takes::No {
                self.shown.refused(version);
            }
        }
        if self.is_sparing && self.shown.takes(Version::TLS1_3) {
            // Every library had done away with it before that came.
            self.shown.versions.entry(Version::SSL2).or_insert(Takes::No);
        }
        if self.shown.versions.contains_key(&Version::SSL2) { Ok(()) } else { self.ask_ssl2().await }
    }

    async fn ask_ssl2(&mut self) -> Result<(), NoCall> {
        let line = self.caller.call(&ssl2_hello(Ssl2Cipher::all(), fresh())).await?;
        let mut takes = self.shown.see(Version::SSL2, &line.flight, line.is_closed());
        // One that answers everything else in time and has nothing to say to this does not know it.
        if takes == Takes::Unknown && self.shown.is_tls() {
            takes = Takes::No;
        }
        self.shown.versions.entry(Version::SSL2).or_insert(takes);
        Ok(())
    }

    /// In the newest version first; what that has none of is asked for once more in the oldest, since several libraries have export
    /// ciphers up to TLS 1.0 alone (RFC 4346 §A.5) and DES up to TLS 1.1 (RFC 5246 §A.5).
    async fn weak_ciphers(&mut self) -> Result<(), NoCall> {
        let versions = self.shown.tls_versions().into_iter().filter(|version| *version < Version::TLS1_3);
        let versions: Vec<Version> = versions.collect();
        let mut version = versions.last().copied().unwrap_or(Version::TLS1_2);
        let oldest = versions.first().copied().filter(|oldest| *oldest < Version::TLS1_2 && !self.is_sparing);
        // Each answer takes one kind at least out of the game, but for the one that leads to the oldest version.
        for _ in 0..=Weak::ALL.len() + 1 {
            let open: Vec<Weak> = Weak::ALL.into_iter().filter(|weak| !self.shown.weak.contains_key(weak)).collect();
            if open.is_empty() {
                break;
            }
            let wanted = |cipher: Cipher| !cipher.is(Class::SharedSecret) && open.iter().any(|weak| weak.holds(cipher));
            let answer = self.ask(version, |hello| hello.only(wanted)).await?;
            let told = answer.takes == Takes::Yes && open.iter().any(|weak| self.shown.weak.contains_key(weak));
            if told {
                continue;
            }
            if answer.takes == Takes::No
                && let Some(oldest) = oldest.filter(|oldest| *oldest < version)
            {
                version = oldest;
                continue;
            }
            // It took something that was not offered, which says nothing of what was.
            let takes = if answer.takes == Takes::Yes { Takes::Unknown } else { answer.takes };
            for weak in open {
                self.shown.weak.insert(weak, takes);
            }
            break;
        }
        Ok(())
    }

    /// The group it has for key exchange over a finite field.
    async fn groups(&mut self) -> Result<(), NoCall> {
        let is_dhe =
            |cipher: Cipher| cipher.name().is_some_and(|name| name.contains("_DHE_RSA_") || name.contains("_DHE_DSS_"));
        let sound = |cipher: Cipher| is_dhe(cipher) && !cipher.is(Class::Export);
        let answer = self.ask_highest(|hello| hello.only(sound)).await?;
        self.shown.dh = Some(answer.takes);
        Ok(())
    }

    async fn authenticated_encryption(&mut self) -> Result<(), NoCall> {
        if self.shown.aead.is_some() || self.shown.takes(Version::TLS1_3) {
            return Ok(());
        }
        if !self.shown.takes(Version::TLS1_2) {
            // It came with TLS 1.2.
            self.shown.aead = Some(Takes::No);
            return Ok(());
        }
        let aead = |cipher: Cipher| cipher.is(Class::Aead) && !cipher.is(Class::SharedSecret);
        let answer = self.ask(Version::TLS1_2, |hello| hello.only(aead)).await?;
        self.shown.aead = self.shown.aead.or(Some(answer.takes));
        Ok(())
    }

    /// Pretends to have been turned away with a better version before (RFC 7507).
    async fn fallback(&mut self) -> Result<(), NoCall> {
        let versions = self.shown.tls_versions();
        let Some(lower) = versions.len().checked_sub(2).and_then(|at| versions.get(at)).copied() else { return Ok(()) };
        if self.is_sparing && versions.first().is_some_and(|oldest| *oldest >= Version::TLS1_2) {
            // A downgrade to what is still sound does no harm, whatever is said to it.
            return Ok(());
        }
        let answer = self.ask(lower, fallen_back).await?;
        self.shown.fallback_refused = match answer.takes {
            Takes::Yes => Some(false),
            Takes::No if answer.inappropriate_fallback => Some(true),
            _ => None,
        };
        Ok(())
    }

    /// In the highest version before TLS 1.3.
    async fn ask_highest(&mut self, make: impl FnOnce(Hello) -> Hello) -> Result<Answer, NoCall> {
        let versions = self.shown.tls_versions();
        let highest = versions.into_iter().rev().find(|version| *version < Version::TLS1_3);
        self.ask(highest.unwrap_or(Version::TLS1_2), make).await
    }

    async fn ask(&mut self, version: Version, make: impl FnOnce(Hello) -> Hello) -> Result<Answer, NoCall> {
        let hello = make(Hello::broad(version, fresh()).server_name(self.caller.name()));
        if self.caller.connections() >= MOST_CONNECTIONS {
            return Err(NoCall::Enough);
        }
        let line = self.caller.call(&hello.to_record()).await?;
        let takes = self.shown.see(version, &line.flight, line.is_closed());
        if let Some(chosen) = line.flight.version().filter(|chosen| chosen.is_tls()) {
            // Only who offers everything learns what was passed over.
            if hello.ciphers.len() == Hello::broad(version, [0; 32]).ciphers.len() && !hello.fallback {
                self.shown.passed_over(version, chosen);
            }
        }
        Ok(Answer {
            takes,
            wants_name: wants_name(&line.flight),
            is_tls: line.flight.speaks_tls(),
            is_foreign: line.flight.end == Some(End::NotTls),
            inappropriate_fallback: line.flight.alerted(Alert::INAPPROPRIATE_FALLBACK),
        })
    }
}

fn fallen_back(mut hello: Hello) -> Hello {
    hello.fallback = true;
    hello
}

/// What came of one question.
#[derive(Debug, Clone, Copy)]
struct Answer {
    takes: Takes,
    wants_name: bool,
    is_tls: bool,
    is_foreign: bool,
    inappropriate_fallback: bool,
}

/// Fresh bytes from the kernel. Nothing secret follows from them: they only have to be new each time.
pub(crate) fn fresh<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        tracing::warn!(%error, "the kernel has no random bytes; zeros are said instead");
    }
    bytes
}
