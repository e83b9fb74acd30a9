//! Going over to TLS in the middle of a conversation, where the protocol has words for it.

use super::{
    Interview, STARTTLS, alert,
    dialogue::{self, Heard, Talked},
    handshake::{self, Shaken},
    sighting,
};
use crate::{
    Conn,
    starttls::{self, Protocol, Refusal, Refused, Upgraded, Words},
};
use identify::Answer;
use model::{Service, ServiceName};
use tokio::io::{AsyncRead, AsyncWrite};

/// How far an interview has come on the way to TLS by a protocol's own words.
#[derive(Debug, Default)]
pub(super) enum Progress {
    /// Nothing there that could.
    #[default]
    Untried,
    /// It takes a connection of its own, since this one was asked something else or was not understood.
    Owed { protocol: Protocol, name: Option<String> },
    /// It has, or it has said clearly that it will not.
    Settled,
    /// Connections broke or time ran out on the way.
    Doubtful,
}

impl Progress {
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Doubtful | Self::Owed { .. })
    }
}

/// What an attempt came to.
enum Attempt {
    /// TLS was spoken; what it showed is noted.
    Done,
    /// It would not, clearly.
    Declined,
    /// It calls itself so, and serves no other name.
    OtherName(String),
    /// Not now, it says.
    Later,
    /// Nobody knows: the connection broke.
    Broke,
    /// Nobody knows: time ran out.
    Silence,
}

impl Interview<'_> {
    /// On the connection on which a protocol has just been recognised.
    pub(super) async fn go_over(&mut self, conn: Conn, talked: Talked) -> Heard {
        let Talked { heard: Heard::Answer(mut answer), met, ending: _ } = talked else { return talked.heard };
        let Some(protocol) = Protocol::of(&answer.service) else { return Heard::Answer(answer) };
        if !is_welcome(&answer) {
            self.upgrade = Progress::Doubtful;
            return Heard::Answer(answer);
        }
        // It was asked, and has said no.
        if answer.service.facts.get("postgresql.tls").is_some_and(|tls| tls == "no") {
            self.upgrade = Progress::Settled;
            return Heard::Answer(answer);
        }
        let owed = |name| Progress::Owed { protocol, name };
        let Some(met) = met else {
            self.upgrade = owed(None);
            return Heard::Answer(answer);
        };
        let limit = self.budget.answer();
        let domain = self.domain();
        let words = Words { helo: &self.helo, domain: &domain };
        let upgraded = starttls::resume(conn, protocol, met, &words, limit).await;
        self.upgrade = match self.secure(protocol, upgraded, &answer.service).await {
            Attempt::Done => {
                mark(&mut answer, protocol);
                self.tell(&mut answer);
                Progress::Settled
            }
            Attempt::Declined => Progress::Settled,
            Attempt::OtherName(name) => owed(Some(name)),
            Attempt::Broke | Attempt::Silence if self.upgraded_before => owed(None),
            // One that has never done it is asked twice only when it is met first: it may be its way.
            Attempt::Broke if !self.has_prior() => owed(None),
            Attempt::Later | Attempt::Broke | Attempt::Silence => Progress::Doubtful,
        };
        Heard::Answer(answer)
    }

    /// What could not be done on the first connection is done on one of its own, once.
    pub(super) async fn finish_upgrade(&mut self, answer: &mut Answer) {
        let (protocol, name) = match std::mem::replace(&mut self.upgrade, Progress::Doubtful) {
            Progress::Owed { protocol, name } => (protocol, name),
            other => {
                self.upgrade = other;
                return;
            }
        };
        if !self.may_connect() {
            return;
        }
        let Some(Some(conn)) = self.connect().await else { return };
        let domain = name.unwrap_or_else(|| self.domain());
        let words = Words { helo: &self.helo, domain: &domain };
        let upgraded = starttls::upgrade(conn, protocol, &words, self.budget.patience()).await;
        self.upgrade = match self.secure(protocol, upgraded, &answer.service).await {
            Attempt::Done => {
                mark(answer, protocol);
                self.tell(answer);
                Progress::Settled
            }
            Attempt::Declined | Attempt::OtherName(_) => Progress::Settled,
            Attempt::Later | Attempt::Broke | Attempt::Silence => Progress::Doubtful,
        };
    }

    /// The handshake, and leaving in order, however it ends. `said` is what it said in the clear.
    async fn secure(
        &mut self,
        protocol: Protocol,
        upgraded: Result<Upgraded<Conn>, Refused<Conn>>,
        said: &Service,
    ) -> Attempt {
        let stream = match upgraded {
            Ok(stream) => stream,
            Err(Refused { why, stream }) => {
                if let Some(mut stream) = stream {
                    self.leave(protocol, &mut stream, None).await;
                }
                return match why {
                    Refusal::UnknownName(Some(name)) if name != self.domain() => Attempt::OtherName(name),
                    Refusal::Later(_) => Attempt::Later,
                    Refusal::Silent => Attempt::Silence,
                    why if why.is_its_word() => Attempt::Declined,
                    _ => Attempt::Broke,
                };
            }
        };
        self.gone_over = Some(protocol);
        if self.takes_a_hand() {
            return self.secure_by_hand(stream).await;
        }
        let limit = self.budget.answer();
        let (mut refused, mut answered) = (false, false);
        let session = match handshake::shake(stream, self.endpoint.ip, self.ask.name, false, limit).await {
            Shaken::Session(session, mut stream) => {
                let mut stream = alert::Listening::new(stream.as_mut());
                // Some complain by hanging up: that is to be told from what a farewell brings about.
                refused = session.asked && dialogue::hangs_up(&mut stream, &self.budget).await;
                self.leave(protocol, &mut stream, Some(session.asked)).await;
                // Who has chosen that waits for it, and shows who he is before he knows whom he talks to.
                if said.facts.get("rdp.security").is_some_and(|chosen| chosen == "CredSSP") {
                    let words = &identify::CREDSSP_NEGOTIATE;
                    self.told_within = dialogue::one_answer(&mut stream, words, &self.budget).await;
                }
                if protocol == Protocol::PostgreSql {
                    if !self.knows_source() {
                        let words = identify::POSTGRESQL_STARTUP;
                        self.told_within = dialogue::one_answer(&mut stream, words, &self.budget).await;
                    }
                    dialogue::hang_up(&mut stream, &self.budget).await;
                }
                (refused, answered) = (refused || stream.is_refused(), stream.has_answered());
                Some(session)
            }
            Shaken::Partly(session) | Shaken::Cut(session @ Some(_)) => session,
            // It agreed, and went on in plain text: that is no TLS, whatever it said before.
            Shaken::Plain(bytes) if !bytes.is_empty() => {
                self.gone_over = None;
                return Attempt::Declined;
            }
            // A stranger's alert, or a library's refusal of its own.
            Shaken::OtherProtocols | Shaken::Midway | Shaken::Nameless => None,
            Shaken::Silent => {
                self.gone_over = None;
                return Attempt::Silence;
            }
            Shaken::Plain(_) | Shaken::Cut(None) | Shaken::Broken => {
                self.gone_over = None;
                return Attempt::Broke;
            }
        };
        let Some(session) = session else { return Attempt::Declined };
        self.take_session(session);
        self.modern.judge_leave(refused, answered);
        Attempt::Done
    }

    /// Leaves in order, where a protocol has a way to, in the clear or `within` TLS: there it may have asked for a certificate of ours.
    async fn leave<S>(&self, protocol: Protocol, stream: &mut S, within: Option<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + ?Sized,
    {
        if let Some(words) = protocol.farewell() {
            let patience = if within == Some(true) { self.budget.last_word() } else { self.budget.quiet() };
            dialogue::leave(stream, words, patience).await;
        }
        if protocol == Protocol::MySql {
            let mut stream = &mut *stream;
            let refused = starttls::mysql::be_refused(&mut stream, within.is_some());
            // Who does not say so in time has gone, or is to be left.
            _ = tokio::time::timeout_at(self.budget.brief(), refused).await;
        }
    }

    /// It told the place in its source lately, and writes a line for every answer to that.
    fn knows_source(&self) -> bool {
        let mut said = Service { name: Protocol::PostgreSql.as_str().to_owned(), ..Service::default() };
        sighting::keeps_source(self.lately(), &mut said)
    }

    /// Adds what the same protocol has said within TLS, now or lately.
    fn tell(&mut self, answer: &mut Answer) {
        sighting::keeps_source(self.lately(), &mut answer.service);
        let Some(told) = self.told_within.take().filter(|told| told.service.name == answer.service.name) else {
            return;
        };
        let (service, told) = (&mut answer.service, told.service);
        if service.product.is_none() {
            (service.vendor, service.product, service.version) = (told.vendor, told.product, told.version);
            service.cpe = told.cpe;
        }
        if service.os.is_none() {
            service.os = told.os;
        }
        service.facts.extend(told.facts);
    }

    /// Where it is known that a modern handshake would come to nothing.
    async fn secure_by_hand(&mut self, mut stream: Upgraded<Conn>) -> Attempt {
        let Some(flight) = self.exchange(&mut stream).await else { return Attempt::Broke };
        if self.learn(&flight) {
            return Attempt::Done;
        }
        self.gone_over = None;
        if flight.end.is_some() { Attempt::Declined } else { Attempt::Broke }
    }

    /// A connection on which TLS comes next, for the second look.
    pub(super) async fn reach(&mut self, conn: Conn) -> Option<Reached> {
        let Some(protocol) = self.gone_over else { return Some(Reached::First(conn)) };
        let domain = self.domain();
        let words = Words { helo: &self.helo, domain: &domain };
        let upgraded = starttls::upgrade(conn, protocol, &words, self.budget.patience()).await;
        upgraded.ok().map(|stream| Reached::Upgraded(Box::new(stream)))
    }

    /// Whom to ask for where a protocol wants to know.
    fn domain(&self) -> String {
        self.ask.name.map_or_else(|| self.endpoint.ip.to_string(), |name| ServiceName::as_str(name).to_owned())
    }
}

/// Where TLS comes first, or by a protocol's own words.
pub(super) enum Reached {
    First(Conn),
    Upgraded(Box<Upgraded<Conn>>),
}

/// What greets with a refusal is not asked for more.
fn is_welcome(answer: &Answer) -> bool {
    let banner = answer.service.banner.as_deref().unwrap_or_default();
    !["421", "554", "530", "400", "502", "-ERR", "* BYE", "BYE"].iter().any(|refusal| banner.starts_with(refusal))
}

pub(super) fn mark(answer: &mut Answer, protocol: Protocol) {
    answer.service.facts.insert(STARTTLS.to_owned(), protocol.as_str().to_owned());
}
