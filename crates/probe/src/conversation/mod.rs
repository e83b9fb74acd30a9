//! Conversations: asking an open endpoint who it is, on as few connections as possible.
//!
//! Every answer goes through every parser (`identify`), whatever was asked, and a reader stops as soon as one has understood.
//! A server that speaks first is listened to; one that does not is asked on the same connection; TLS is spoken on a second one,
//! or on the first where it is likely, and what is inside it in the same session. Where the protocol itself can go over to TLS
//! (STARTTLS), it does so on the connection on which it was recognised. What was recognised last time is asked for
//! first, so that verifying takes one connection.

mod alert;
mod budget;
mod datagram;
pub(crate) mod dialogue;
mod further;
mod handshake;
mod names;
mod plan;
mod quic;
mod second;
mod secure;
mod sighting;
mod tee;
#[cfg(test)]
mod tests;

use crate::{Conn, Dialer};
use budget::Budget;
use dialogue::{Heard, Talked};
use identify::{Answer, Asking, Next, Roots, Strength};
use model::{
    Endpoint, Heard as Kept, NotProbed, OpenReason, Outcome, PortObservation, Service, ServiceName, ServiceObservation,
    TlsObservation, to_millisecond,
};
use plan::{Approach, Layer};
use second::Modern;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

pub(crate) use datagram::second_udp_payload;
pub use datagram::{
    depends_on_name, identify_datagram, identify_reply, identify_udp, leads_further, look_into, udp_payload,
};
pub use names::{MOST_LEARNT, learn_names};
pub use second::{Earlier, settle_names};
pub use sighting::{Before, Sighting, identify_again, identify_known, identify_learnt};

/// Whom to ask, and what is known.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The name to ask under (SNI, Host). It must have a living lease for this address.
    pub name: Option<&'a ServiceName>,
    /// What it said last time.
    pub prior: Option<&'a Service>,
    /// It spoke TLS last time.
    pub prior_tls: bool,
    /// What its certificates are judged by.
    pub roots: &'a Roots,
    pub timeouts: Timeouts,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// The least and the most to wait for a server to speak first, where nothing says that it will. In between: four times
    /// the round trip.
    pub greeting: (Duration, Duration),
    /// The same for an answer and for a handshake: eight times the round trip and a second.
    pub answer: (Duration, Duration),
    /// Over everything.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            greeting: (Duration::from_millis(150), Duration::from_secs(1)),
            answer: (Duration::from_secs(2), Duration::from_secs(5)),
            whole: Duration::from_secs(12),
        }
    }
}

/// What a conversation yielded.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// None where it came to nothing: no connection, one of ours failed before everything had been asked, or connections broke
    /// and what is left would only seem to speak against what was known.
    pub observation: Option<ServiceObservation>,
    /// Evidence about the port: each connection that succeeded, and last the one that did not.
    pub ports: Vec<PortObservation>,
}

impl Conversation {
    /// Why it ended early: the outcome of the connection that failed.
    pub fn failure(&self) -> Option<Outcome> {
        self.ports.last().map(|port| port.outcome).filter(|outcome| !outcome.is_open())
    }
}

/// Connections at most, whatever happens. A port that answers is done in one or two.
const MAX_CONNECTIONS: usize = 6;
/// Each wait keeps to the time that is left by itself; what goes on for this much longer is cut off.
const MARGIN: Duration = Duration::from_millis(500);

/// Asks a TCP endpoint who it is (a UDP endpoint goes to [`identify_udp`]). Ends within `timeouts.whole`, not counting the waits
/// for its turn under the ceilings; at once when the dialer is halted. Reads at most 64 KiB of each connection beside TLS' own.
///
/// One that speaks TLS is looked at a second time ([`Earlier`]) where it is met the first time, unless it proves to be of today: then
/// that waits until it is verified.
pub async fn identify(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>) -> Conversation {
    identify_again(dialer, endpoint, ask, Before::default()).await
}

/// One conversation under way.
struct Interview<'a> {
    dialer: &'a Dialer,
    endpoint: Endpoint,
    ask: Ask<'a>,
    budget: Budget,
    agent: String,
    helo: String,
    ports: Vec<PortObservation>,
    connections: usize,
    best: Option<Box<Answer>>,
    tls: Option<TlsObservation>,
    /// Offer HTTP in the handshake; not to a server that has refused it.
    offer_http: bool,
    /// How the last question was taken, in the clear or within TLS.
    ending: dialogue::Ending,
    /// How the last question in the clear was taken.
    ending_in_clear: dialogue::Ending,
    /// How a handshake was taken, where there was one and it was not understood.
    shaken: Option<dialogue::Ending>,
    /// The general question was left without a word on a connection that stayed open.
    ignored: bool,
    /// It answered a handshake with something else than TLS.
    denied_tls: bool,
    /// It hung up on a handshake without a word, as those do that are too old for it.
    left_handshake: bool,
    /// The name gives no leave by itself.
    is_learnt: bool,
    /// What is known of its TLS from before.
    earlier: Option<Earlier>,
    /// What it said the last time.
    sighting: Option<Sighting>,
    /// What a modern handshake said beside its certificates.
    modern: Modern,
    /// The second look has been taken.
    has_looked: bool,
    /// It went over to TLS, by these words.
    gone_over: Option<crate::starttls::Protocol>,
    /// What the same protocol said in TLS then.
    told_within: Option<Box<Answer>>,
    /// It went over to TLS the last time, by the protocol's own words.
    upgraded_before: bool,
    /// How it goes with that now.
    upgrade: secure::Progress,
    /// Something was asked in vain, because connections broke or for want of time: silence there is none.
    doubtful: bool,
}

impl<'a> Interview<'a> {
    fn new(dialer: &'a Dialer, endpoint: Endpoint, ask: Ask<'a>) -> Self {
        let identity = dialer.identity();
        let contact = identity.contact.as_deref().map(|contact| format!(" ({contact})")).unwrap_or_default();
        let upgraded_before = ask.prior_tls && ask.prior.is_some_and(|prior| prior.facts.contains_key(STARTTLS));
        // TLS then is not what it begins with.
        let ask = Ask { prior_tls: ask.prior_tls && !upgraded_before, ..ask };
        Self {
            dialer,
            endpoint,
            ask,
            budget: Budget::new(ask.timeouts),
            agent: format!("perimeterd/{}{contact}", identity.version),
            helo: dialogue::host_word(&identity.sensor),
            ports: Vec::new(),
            connections: 0,
            best: None,
            tls: None,
            offer_http: true,
            ending: dialogue::Ending::default(),
            ending_in_clear: dialogue::Ending::default(),
            shaken: None,
            ignored: false,
            denied_tls: false,
            left_handshake: false,
            is_learnt: false,
            earlier: None,
            sighting: None,
            modern: Modern::default(),
            has_looked: false,
            gone_over: None,
            told_within: None,
            upgraded_before,
            upgrade: secure::Progress::default(),
            doubtful: false,
        }
    }

    async fn hold(mut self) -> Conversation {
        let (dialer, ip) = (self.dialer, self.endpoint.ip);
        let complete = tokio::select! {
            biased;
            () = dialer.halted() => false,
            complete = async {
                let complete = self.run().await;
                if complete {
                    self.look_again().await;
                }
                complete
            } => complete,
            // Comes last: where it was so from the start, the attempt says so.
            () = dialer.excluded(ip) => false,
        };
        self.conclude(complete)
    }

    /// False where a connection of ours failed before everything had been asked.
    async fn run(&mut self) -> bool {
        let may_ask = self.dialer.may_ask(self.endpoint.port);
        if self.ask.prior_tls && may_ask && self.takes_a_hand() {
            match self.look().await {
                Some(true) => return true,
                // It may have become modern.
                Some(false) => self.tls = None,
                None => return false,
            }
        }
        if !may_ask {
            return self.only_listen().await;
        }
        let plan = plan::make(self.endpoint.port, self.ask.prior, self.ask.prior_tls);
        if plan.approach.waits_for_server() && self.sighting.is_some() {
            self.budget.await_greeting();
        }
        let mut asked_http = false;
        for layer in plan.layers {
            // Whoever speaks TLS and nothing else does not leave a question in the clear open.
            if self.tls.is_some() || (layer == Layer::Tls && self.ignored) {
                continue;
            }
            let Some(done) = self.ask_in(layer, plan.approach).await else { return false };
            asked_http |= layer == Layer::Plain && plan.approach.falls_back_to_http();
            if done {
                return true;
            }
            if layer == Layer::Tls && identify::tls_is_likely(self.endpoint.port) {
                match self.ask_the_old_way().await {
                    Some(true) => return true,
                    Some(false) => {}
                    None => return false,
                }
            }
        }
        // A server that answers plain text with TLS is asked in TLS, whatever the plan and what came of it: a handshake fails
        // for many reasons. One that spoke TLS the last time is not taken for mute at the first silence either.
        let expected = self.ask.prior_tls && !self.denied_tls;
        let seems_tls = self.best.as_ref().map_or(expected, |best| best.next == Next::Tls);
        if self.tls.is_none() && seems_tls {
            match self.ask_in(Layer::Tls, plan.approach).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        // Where the question was a special one, the general one is still open.
        if !asked_http && self.best.is_none() && self.tls.is_none() {
            match self.ask_in(Layer::Plain, Approach::Unknown).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        self.ask_further(plan.approach).await && self.ask_the_old_way().await.is_some()
    }

    /// Asks once, and again where the connection broke. `Some(true)`: recognised, all is said. None: no connection.
    async fn ask_in(&mut self, layer: Layer, approach: Approach) -> Option<bool> {
        let offered = self.offer_http;
        let mut heard = self.visit(layer, approach).await?;
        if offered && !self.offer_http {
            heard = self.visit(layer, approach).await?;
        }
        // A session, and no word inside it of what spoke there the last time.
        if matches!(heard, Heard::Nothing)
            && self.tls.is_some()
            && self.ask.prior.is_some_and(|prior| prior.name != TLS)
        {
            heard = self.visit(layer, approach).await?;
        }
        heard = self.ask_properly(layer, heard).await;
        // Who was never understood and leaves abruptly without a word has not understood: other questions are worth more.
        let is_stranger = match layer {
            Layer::Plain => !self.has_prior(),
            Layer::Tls => self.tls.is_some() && !self.has_prior() || !self.expects_tls(),
        };
        if matches!(heard, Heard::Broken(None)) && is_stranger {
            return Some(false);
        }
        if let Heard::Broken(first) = heard {
            let again = self.visit(layer, approach).await?;
            heard = self.settle(layer, first, again);
        }
        if let Heard::Answer(answer) = &mut heard {
            self.finish_upgrade(answer).await;
        }
        Some(self.take(layer, heard))
    }

    /// What to make of a second connection after one that broke.
    fn settle(&mut self, layer: Layer, first: Option<Box<Answer>>, again: Heard) -> Heard {
        let remains = match again {
            Heard::Answer(_) => return again,
            Heard::Broken(remains) => remains,
            Heard::Nothing | Heard::Unfinished => None,
        };
        // Cut off twice at the same word: that is how it ends a conversation.
        let is_its_way = remains.as_ref().zip(first.as_ref()).is_some_and(|(now, then)| now.service == then.service);
        let says_something = remains.as_ref().is_some_and(|answer| answer.service.name != TLS);
        if is_its_way && says_something {
            return remains.map_or(Heard::Nothing, Heard::Answer);
        }
        self.doubt(layer);
        let remains = remains.or(first).filter(|_| !self.has_prior());
        remains.map_or(Heard::Nothing, Heard::Answer)
    }

    /// What was asked in this layer came to nothing by failure. For one that never spoke TLS, a handshake that fails is no news:
    /// many who do not know it leave abruptly.
    fn doubt(&mut self, layer: Layer) {
        self.doubtful |= layer == Layer::Plain || self.ask.prior_tls;
    }

    fn has_prior(&self) -> bool {
        self.ask.prior.is_some() || self.ask.prior_tls
    }

    fn may_connect(&self) -> bool {
        self.connections < MAX_CONNECTIONS && !self.budget.is_spent()
    }

    /// One connection. None: it failed.
    async fn visit(&mut self, layer: Layer, approach: Approach) -> Option<Heard> {
        if !self.may_connect() {
            self.doubt(layer);
            return Some(Heard::Nothing);
        }
        match self.connect().await? {
            Some(conn) => {
                let limit = self.budget.end() + MARGIN;
                let talk = async {
                    match layer {
                        Layer::Plain => {
                            let mut conn = conn;
                            let talked = self.talk(&mut conn, approach, false).await;
                            (self.ending, self.ending_in_clear) = (talked.ending, talked.ending);
                            let is_ignored =
                                matches!((&talked.heard, talked.ending), (Heard::Nothing, dialogue::Ending::Open));
                            self.ignored |= is_ignored && matches!(approach, Approach::Unknown) && !self.has_prior();
                            self.go_over(conn, talked).await
                        }
                        Layer::Tls => self.shake(conn, approach).await,
                    }
                };
                Some(match timeout_at(limit, talk).await.unwrap_or(Heard::Unfinished) {
                    // Who was understood before would have come to the end of his word; a stranger may not have one.
                    Heard::Unfinished if self.has_prior() => Heard::Broken(None),
                    Heard::Unfinished => Heard::Nothing,
                    heard => heard,
                })
            }
            None => Some(Heard::Broken(None)),
        }
    }

    /// A new connection. `Some(None)`: accepted, and hung up before anything could be said. None: it failed.
    async fn connect(&mut self) -> Option<Option<Conn>> {
        let authorized = match self.ask.name {
            Some(name) if !self.is_learnt => {
                self.dialer.scope().load().authorize_name(self.endpoint, name, self.dialer.clock().now())
            }
            _ => self.dialer.authorize(self.endpoint),
        };
        let Ok(target) = authorized else {
            self.record(Outcome::NotProbed(NotProbed::OutOfScope), None);
            return None;
        };
        let asked = Instant::now();
        match self.dialer.connect(target, self.budget.capped(self.ask.timeouts.connect)).await {
            Ok(conn) => {
                self.connections += 1;
                let rtt = conn.rtt();
                self.budget.waited(asked.elapsed().saturating_sub(rtt));
                self.record(Outcome::Open(OpenReason::Connected), Some(rtt));
                self.budget.met(rtt);
                Some(Some(conn))
            }
            Err(Outcome::Open(reason)) => {
                self.connections += 1;
                self.record(Outcome::Open(reason), None);
                Some(None)
            }
            Err(outcome) => {
                self.record(outcome, None);
                None
            }
        }
    }

    async fn talk<S>(&self, stream: &mut S, approach: Approach, tls: bool) -> Talked
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let asking = Asking { endpoint: self.endpoint, name: self.ask.name, tls, agent: &self.agent };
        dialogue::talk(stream, approach, &asking, &self.helo, self.lately(), &self.budget).await
    }

    /// What it said the last time, where not everything is to be asked again.
    fn lately(&self) -> Option<&Service> {
        self.sighting.as_ref()?.lately(self.endpoint, self.dialer.clock().now())
    }

    /// A handshake, and what is inside it.
    async fn shake(&mut self, conn: Conn, approach: Approach) -> Heard {
        let limit = if self.expects_tls() { self.budget.answer() } else { self.budget.handshake() };
        let is_of_use = !self.ask.prior_tls || !self.earlier.as_ref().is_some_and(|earlier| earlier.agrees_on_nothing);
        let alpn = self.offer_http && approach.falls_back_to_http() && !approach.waits_for_server() && is_of_use;
        match handshake::shake(conn, self.endpoint.ip, self.ask.name, alpn, limit).await {
            handshake::Shaken::Session(session, mut stream) => {
                self.take_session(session);
                let mut stream = alert::Listening::new(stream.as_mut());
                let Talked { heard, ending, .. } = self.talk(&mut stream, approach, true).await;
                self.ending = ending;
                self.modern.judge_client_auth(stream.is_refused(), &heard);
                heard
            }
            handshake::Shaken::Partly(session) => {
                if let Some(session) = session {
                    self.take_session(session);
                }
                Heard::Answer(bare_tls())
            }
            handshake::Shaken::Nameless => {
                self.modern.wants_name = true;
                Heard::Answer(bare_tls())
            }
            handshake::Shaken::Cut(session) => {
                // Who asks for a certificate of ours and hangs up on having none has refused: its alert is lost to the reset that
                // follows it, at times. Where more than that was heard before, it may be an accident.
                let is_refusal = session.as_ref().is_some_and(|session| session.asked)
                    && self.ask.prior.is_none_or(|prior| prior.name == TLS);
                if let Some(session) = session {
                    self.take_session(session);
                }
                if is_refusal { Heard::Answer(bare_tls()) } else { Heard::Broken(Some(bare_tls())) }
            }
            // Of one that has taken the offer before it is an accident.
            handshake::Shaken::Midway if self.ask.prior_tls => Heard::Broken(Some(bare_tls())),
            handshake::Shaken::OtherProtocols | handshake::Shaken::Midway => {
                self.offer_http = false;
                Heard::Nothing
            }
            handshake::Shaken::Plain(bytes) => {
                self.denied_tls |= !bytes.is_empty();
                self.left_handshake |= bytes.is_empty();
                self.shaken = Some(dialogue::Ending::Left);
                dialogue::interjection(&bytes)
            }
            handshake::Shaken::Broken => {
                self.left_handshake = true;
                self.shaken = Some(dialogue::Ending::Cut);
                Heard::Broken(None)
            }
            handshake::Shaken::Silent => {
                self.shaken = Some(dialogue::Ending::Open);
                Heard::Nothing
            }
        }
    }

    fn take_session(&mut self, session: handshake::Session) {
        self.modern = Modern::of(&session);
        self.tls = Some(self.judged(session));
    }

    fn judged(&self, session: handshake::Session) -> TlsObservation {
        let now = self.dialer.clock().now();
        let starttls = self.gone_over.map(|protocol| protocol.as_str().to_owned());
        TlsObservation { starttls, ..session.judged(self.ask.name, self.ask.roots, now) }
    }

    /// Whether that settles it.
    fn take(&mut self, layer: Layer, heard: Heard) -> bool {
        // A stranger may be asked more within TLS.
        let Heard::Answer(mut answer) = heard else { return self.tls.is_some() && self.has_prior() };
        if layer == Layer::Plain && self.seems_to_want_tls(&answer.service) {
            answer.next = Next::Tls;
        }
        let hint = layer == Layer::Plain && answer.next == Next::Tls;
        // What is heard inside TLS counts above what the same port says to those who do not speak it.
        let better = self.best.as_ref().is_none_or(|best| best.next == Next::Tls || answer.strength > best.strength);
        if better {
            self.best = Some(answer);
        }
        !hint
    }

    /// There is a reason to wait for TLS longer than an answer takes.
    fn expects_tls(&self) -> bool {
        let says_so = self.best.as_ref().is_some_and(|best| best.next == Next::Tls);
        self.has_prior() || self.tls.is_some() || says_so || identify::tls_is_likely(self.endpoint.port)
    }

    /// A server of HTTP in TLS that is spoken to in the clear complains or sends elsewhere, and not always says why.
    fn seems_to_want_tls(&self, said: &Service) -> bool {
        let status = said.facts.get("http.status").map(String::as_str);
        self.ask.prior_tls
            && !self.denied_tls
            && status.is_some_and(|status| status == "400" || status.starts_with('3'))
    }

    fn record(&mut self, outcome: Outcome, rtt: Option<Duration>) {
        let rtt_us = rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        let at = self.dialer.clock().now();
        self.ports.push(PortObservation { endpoint: self.endpoint, outcome, at, attempts: 1, refused: 0, rtt_us });
    }

    fn conclude(self, complete: bool) -> Conversation {
        let observation = self.is_conclusive(complete).then(|| {
            let within = self.tls.is_some();
            let certificate = self.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
            let best = self.best.filter(|best| !(within && best.next == Next::Tls));
            let kept = best.as_ref().map(|best| Box::new(Kept::new(best.service.clone(), &best.heard)));
            let heard = best.map(|mut best| {
                if let Some(rules) = self.dialer.fingerprints() {
                    rules.label(self.endpoint.transport, &mut best.service, &best.heard);
                    if let Some(certificate) = certificate {
                        rules.label_by_certificate(&mut best.service, &certificate.subject, &certificate.issuer);
                    }
                }
                best.service
            });
            ServiceObservation {
                endpoint: self.endpoint,
                name: self.ask.name.cloned(),
                at: self.dialer.clock().now(),
                service: heard.or_else(|| within.then(|| bare_tls().service)),
                tls: self.tls,
                connections: u8::try_from(self.connections).unwrap_or(u8::MAX),
                learnt: self.is_learnt,
                heard: kept,
            }
        });
        Conversation { observation, ports: self.ports }
    }

    /// Whether it says who answers there. Where connections failed on the way, what was not heard is no sign that it is not
    /// said any more.
    fn is_conclusive(&self, complete: bool) -> bool {
        let within = self.tls.is_some();
        match &self.best {
            _ if self.connections == 0 => false,
            // Its certificate is in doubt, and would seem to be gone.
            _ if self.upgraded_before && self.upgrade.is_doubtful() => false,
            // It says that it speaks TLS, and has shown none.
            Some(best) if best.next == Next::Tls && !within => false,
            Some(best) if best.next != Next::Tls && best.service.name != TLS => true,
            _ if complete && !self.doubtful => true,
            _ if !self.has_prior() => complete || within || self.best.is_some(),
            _ => within && self.ask.prior_tls && self.ask.prior.is_none_or(|prior| prior.name == TLS),
        }
    }
}

/// The fact of a service that went over to TLS: by the words of which protocol.
const STARTTLS: &str = "starttls";
/// TLS with nothing recognised inside.
const TLS: &str = "tls";

fn bare_tls() -> Box<Answer> {
    let strength = Strength::Structure;
    let service = Service { name: TLS.into(), confidence: strength.confidence(), ..Service::default() };
    Box::new(Answer { service, strength, next: Next::Nothing, heard: Vec::new() })
}
