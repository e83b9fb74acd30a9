//! The second look at a port's TLS: one connection with a hello made by hand, which offers everything up to TLS 1.2 and asks for
//! everything a server tells in the clear. It is due on first sight, when the certificate is another one, and daily; and it is
//! what is left where a modern handshake comes to nothing, which then is how that server is verified from there on. Whoever
//! proves to be of a time after what it is looking for can wait for it until he is verified the first time.

use super::{
    Interview, TLS,
    dialogue::Heard,
    handshake::{self, Session},
    secure::{Progress, Reached, mark},
};
use crate::{starttls::Protocol, tls};
use identify::{
    Assessment, Next, Roots, Served,
    tls::{Alert, End, FlightReader, Hello, ServerFlight, Version},
};
use jiff::{SignedDuration, Timestamp};
use model::{ClientAuth, ServiceName, ServiceObservation, Sha256, Staple, TlsObservation, TlsPosture};
use tokio::io::{AsyncRead, AsyncWrite};

/// What is known of an endpoint's TLS from before. The default is what nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earlier {
    /// Those it has shown: several where it stands behind a balancer.
    pub certificates: Vec<Sha256>,
    /// When the second look was taken.
    pub looked: Option<Timestamp>,
    /// A modern handshake does not get as far as a certificate there.
    pub by_hand: bool,
    /// Its last session agreed on no protocol to speak inside: to offer one is of no use, and some refuse who does.
    pub agrees_on_nothing: bool,
}

impl Earlier {
    /// From what was observed. Where the version says that a name is missing, a modern handshake is not to blame.
    pub fn of(tls: &TlsObservation) -> Self {
        Self {
            certificates: tls.certificate.iter().map(|leaf| leaf.sha256).collect(),
            looked: tls.posture.as_ref().and_then(|posture| posture.at),
            by_hand: Self::takes_a_hand(&tls.version, &tls.cipher),
            agrees_on_nothing: tls.certificate.is_some() && tls.alpn.is_none(),
        }
    }

    /// For asking under another name, from what was observed under this one. Nobody has looked there yet; but where a modern handshake
    /// comes to nothing here, it does so there: be it that an older one got as far as to the wish for a name.
    pub fn elsewhere(tls: &TlsObservation) -> Self {
        let posture = tls.posture.as_deref();
        let only_lacks_name =
            posture.is_some_and(|posture| posture.at.is_some() && posture.name_required == Some(true));
        let profile = posture.and_then(|posture| posture.profile.as_deref());
        let took_a_hand = profile.is_some_and(identify::tls::is_by_hand_alone);
        let here = Self::of(tls);
        Self { looked: None, by_hand: here.by_hand || only_lacks_name || took_a_hand, ..here }
    }

    /// Whether what was agreed on is beyond a modern library.
    pub fn takes_a_hand(version: &str, cipher: &str) -> bool {
        version != UNKNOWN && cipher != UNKNOWN && !identify::tls::is_modern(version, cipher)
    }
}

/// Says of the service under no name that a name is required, where it shows nothing and one of the others does: servers refuse
/// whoever names nobody in many ways, and not all of them give the reason.
pub fn settle_names(services: &mut [ServiceObservation]) {
    let shows = |service: &ServiceObservation| service.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
    if !services.iter().any(|service| service.name.is_some() && shows(service)) {
        return;
    }
    for bare in services.iter_mut().filter(|service| service.name.is_none() && !shows(service)) {
        if let Some(tls) = bare.tls.as_mut().filter(|tls| tls.chain.is_empty()) {
            tls.posture.get_or_insert_default().name_required = Some(true);
        }
    }
}

/// A version or suite that nobody was shown.
pub(super) const UNKNOWN: &str = "unknown";
/// A day, less what a daily pass may be early.
const AGAIN: SignedDuration = SignedDuration::from_hours(23);

/// Certificates that come and go are no reason to look more often than this.
const SOON: SignedDuration = SignedDuration::from_mins(10);

/// A clock that was set back makes nobody wait.
fn has_passed(then: Timestamp, wait: SignedDuration, now: Timestamp) -> bool {
    then > now || now.duration_since(then) >= wait
}

/// What a modern handshake said beside its certificates.
#[derive(Debug, Default)]
pub(super) struct Modern {
    /// As far as it came in the clear.
    flight: Option<ServerFlight>,
    /// Whether a certificate of ours was asked for, and what became of having none; none where it did not get as far.
    pub(super) client_auth: Option<ClientAuth>,
    staple: Option<Staple>,
    /// It knows nobody by the name it was asked for, or answers to nobody who names nobody.
    pub(super) wants_name: bool,
}

impl Modern {
    pub(super) fn of(session: &Session) -> Self {
        let mut reader = FlightReader::default();
        reader.feed(&session.first);
        let mut flight = reader.finish().0;
        if let Some(hello) = &mut flight.hello {
            // The library shuffles what it asks for, and some answer in that order.
            hello.extensions.sort_unstable();
        }
        // Of older versions the rest is cut off at some byte or other.
        flight.key_exchange = None;
        Self {
            flight: flight.hello.is_some().then_some(flight),
            client_auth: Some(match (session.asked, session.refused) {
                (false, _) => ClientAuth::No,
                (true, true) => ClientAuth::Required,
                (true, false) => ClientAuth::Asked,
            }),
            staple: session.staple.as_deref().map(identify::read_staple),
            wants_name: false,
        }
    }
}

impl Modern {
    /// The same where the conversation went over to TLS and ended there: who answers in it goes on without.
    pub(super) fn judge_leave(&mut self, is_refused: bool, has_answered: bool) {
        if self.client_auth == Some(ClientAuth::Asked) {
            self.client_auth = Some(match (is_refused, has_answered) {
                (true, _) => ClientAuth::Required,
                (false, true) => ClientAuth::Optional,
                (false, false) => ClientAuth::Asked,
            });
        }
    }

    /// What became of having no certificate where one was asked for: `is_refused` by an alert after the handshake, or by what was
    /// heard inside.
    pub(super) fn judge_client_auth(&mut self, is_refused: bool, heard: &Heard) {
        if self.client_auth != Some(ClientAuth::Asked) {
            return;
        }
        let inside = match heard {
            Heard::Answer(answer) if answer.service.name != TLS => Some(&answer.service),
            _ => None,
        };
        self.client_auth = Some(match inside {
            _ if is_refused => ClientAuth::Required,
            // What nginx has to say to whoever comes without.
            Some(page) if page.facts.get("http.title").is_some_and(|title| title.contains("SSL certificate")) => {
                ClientAuth::Required
            }
            Some(_) => ClientAuth::Optional,
            None => ClientAuth::Asked,
        });
    }
}

/// A flight that showed a hello, as an observation with all it tells. None where it told nothing of a certificate, not even that
/// there is none.
pub(super) fn observed(
    flight: &ServerFlight,
    roots: &Roots,
    name: Option<&str>,
    now: Timestamp,
) -> Option<TlsObservation> {
    let hello = flight.hello.as_ref()?;
    let chain = &flight.certificates;
    if chain.is_empty() && flight.end != Some(End::HelloDone) {
        return None;
    }
    let Assessment { certificate, verdicts, presented, path, .. } =
        identify::assess(Served { chain, name, staple: flight.ocsp.as_deref() }, roots, now);
    let at = model::to_millisecond(now);
    let posture = identify::tls::posture(flight, at).map(|posture| Box::new(TlsPosture { at: Some(at), ..posture }));
    Some(TlsObservation {
        certificate,
        verdicts,
        presented,
        path: path.map(Box::new),
        chain: chain.clone(),
        posture,
        ..TlsObservation::new(hello.version.to_string(), hello.cipher.to_string())
    })
}

impl Interview<'_> {
    /// Takes the second look where it is due, and notes what the first one said beside the certificate.
    pub(super) async fn look_again(&mut self) {
        let is_bare = self.ask.name.is_none();
        let shown = self.tls.as_ref().and_then(|tls| tls.certificate.as_ref()).map(|leaf| leaf.sha256);
        if !self.has_looked && self.speaks_tls() {
            let now = self.dialer.clock().now();
            let is_known = self.ask.prior_tls || self.upgraded_before;
            let is_due = is_bare
                && self.earlier.as_ref().map_or(!is_known && !self.is_of_today(), |earlier| {
                    let is_news = shown.is_some_and(|shown| !earlier.certificates.contains(&shown));
                    let wait = if is_news { SOON } else { AGAIN };
                    earlier.looked.is_none_or(|then| has_passed(then, wait, now))
                });
            // Who has refused everything a while ago will do so again.
            let is_lost = |earlier: &Earlier| {
                let lately = earlier.looked.is_some_and(|then| !has_passed(then, AGAIN, now));
                earlier.certificates.is_empty() && lately
            };
            let is_last_resort =
                shown.is_none() && !self.modern.wants_name && !self.earlier.as_ref().is_some_and(is_lost);
            // It shuts out whom it has seen break off a hundred handshakes, and a second look is one.
            let counts_handshakes = self.gone_over == Some(Protocol::MySql);
            if is_last_resort || (is_due && shown.is_some() && !counts_handshakes) {
                // Where even that connection fails, what was learnt before stands.
                _ = self.look().await;
            }
        }
        if is_bare && self.modern.wants_name && self.tls.is_none() {
            self.tls = Some(TlsObservation::new(UNKNOWN, UNKNOWN));
        }
        self.note_posture(None);
    }

    /// One connection, one hello, one flight. `Some(true)`: it showed a certificate. None: the connection failed.
    pub(super) async fn look(&mut self) -> Option<bool> {
        self.has_looked = true;
        // Whoever may not be asked may say by himself that he speaks TLS.
        if !self.may_connect() || !self.dialer.may_ask(self.endpoint.port) {
            return Some(false);
        }
        let Some(conn) = self.connect().await? else { return Some(false) };
        let flight = match self.reach(conn).await {
            Some(Reached::First(mut conn)) => self.exchange(&mut conn).await,
            Some(Reached::Upgraded(mut stream)) => self.exchange(stream.as_mut()).await,
            None => None,
        };
        let has_shown = flight.is_some_and(|flight| self.learn(&flight));
        if let (Some(protocol), Some(best), true) = (self.gone_over, &mut self.best, has_shown) {
            mark(best, protocol);
            self.upgrade = Progress::Settled;
        }
        Some(has_shown)
    }

    /// A stranger who hung up on a modern handshake without a word, and has answered nothing else: servers of the time before alerts
    /// were sent for it do so. `Some(true)`: it showed a certificate. None: the connection failed.
    pub(super) async fn ask_the_old_way(&mut self) -> Option<bool> {
        let is_mute = self.best.is_none() && self.tls.is_none();
        if !is_mute
            || !self.left_handshake
            || self.denied_tls
            || self.has_looked
            || self.has_prior()
            || !self.may_connect()
        {
            return Some(false);
        }
        self.look().await
    }

    /// The broad hello, and what is said to it. None where the system has no randomness to give.
    pub(super) async fn exchange<S>(&mut self, stream: &mut S) -> Option<ServerFlight>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.has_looked = true;
        let name = self.ask.name.map(ServiceName::as_str);
        let hello = Hello::broad(Version::TLS1_2, handshake::random()?).server_name(name);
        Some(tls::exchange(stream, &hello.to_record(), self.budget.answer()).await)
    }

    /// Takes what a flight showed. True: there is a certificate.
    pub(super) fn learn(&mut self, flight: &ServerFlight) -> bool {
        if let (Some(hello), None) = (&flight.hello, self.shown()) {
            let alpn = hello.alpn.as_deref().map(identify::printable);
            let session = Session {
                version: hello.version.to_string(),
                cipher: hello.cipher.to_string(),
                alpn,
                chain: flight.certificates.clone(),
                staple: flight.ocsp.clone(),
                ..Session::default()
            };
            // Some suites come without a certificate; a flight that was cut off before it does not say so.
            if !session.chain.is_empty() || flight.end == Some(End::HelloDone) {
                self.tls = Some(self.judged(session));
            }
        }
        self.modern.wants_name |= self.shown().is_none() && flight.alerted(Alert::UNRECOGNIZED_NAME);
        if self.tls.is_none() && flight.speaks_tls() {
            self.tls = Some(TlsObservation::new(UNKNOWN, UNKNOWN));
        }
        self.note_posture(Some(flight));
        self.shown().is_some()
    }

    fn shown(&self) -> Option<&Vec<u8>> {
        self.tls.as_ref().and_then(|tls| tls.chain.first())
    }

    /// Puts on record what is known by now; `broad` is what the second look was shown.
    fn note_posture(&mut self, broad: Option<&ServerFlight>) {
        let now = model::to_millisecond(self.dialer.clock().now());
        let is_bare = self.ask.name.is_none();
        let Some(tls) = &mut self.tls else { return };
        let mut posture = tls.posture.take().map(|posture| *posture).unwrap_or_default();
        if let Some(flight) = broad {
            posture.learn(&identify::tls::posture(flight, now).unwrap_or_default());
            posture.at = Some(now);
            posture.profile = Some(identify::tls::profile(self.modern.flight.as_ref(), Some(flight)));
        }
        let is_modern = self.modern.client_auth.is_some();
        let modern = TlsPosture {
            client_auth: self.modern.client_auth,
            client_authorities: posture.client_authorities.clone(),
            stapled: (self.modern.staple.is_some() || (is_modern && posture.stapled.is_none()))
                .then_some(self.modern.staple.is_some()),
            staple: self.modern.staple.clone(),
            ..TlsPosture::default()
        };
        posture.learn(&modern);
        if is_bare {
            posture.name_required =
                if tls.chain.is_empty() { self.modern.wants_name.then_some(true) } else { Some(false) };
        }
        tls.posture = (posture != TlsPosture::default()).then(|| Box::new(posture));
    }

    /// A modern handshake came to nothing the last time.
    pub(super) fn takes_a_hand(&self) -> bool {
        self.earlier.as_ref().is_some_and(|earlier| earlier.by_hand)
    }

    /// It agreed on TLS 1.3, or on a secret bound to the whole handshake (RFC 7627): its library is of 2015 or later, when what the
    /// second look is for had been mended.
    fn is_of_today(&self) -> bool {
        let hello = self.modern.flight.as_ref().and_then(|flight| flight.hello.as_ref());
        self.tls.is_some()
            && hello.is_some_and(|hello| hello.version == Version::TLS1_3 || hello.extended_master_secret)
    }

    /// Whatever came of a handshake.
    fn speaks_tls(&self) -> bool {
        let seems = |best: &identify::Answer| best.next == Next::Tls || best.service.name == TLS;
        self.tls.is_some() || self.gone_over.is_some() || self.best.as_deref().is_some_and(seems)
    }
}
