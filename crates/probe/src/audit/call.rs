//! One connection for one hello, and what the server says to it; further words for those checks that need them.

use super::Subject;
use crate::{
    Conn, Dialer,
    conversation::dialogue::host_word,
    starttls::{self, Protocol, Words},
};
use identify::tls::{End, FlightReader, Record, Records, ServerFlight};
use model::{Endpoint, NotProbed, Outcome, ServiceName};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

/// A stream on which TLS may begin.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Calls one endpoint again and again: counts the connections, and learns how slow the way there is.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    dialer: &'a Dialer,
    endpoint: Endpoint,
    name: Option<&'a ServiceName>,
    /// TLS begins by this protocol's own words.
    protocol: Option<Protocol>,
    end: Instant,
    connections: u8,
    /// No more than these.
    most: u8,
    /// The longest that an answer has taken, from the first word of ours to the last of its, connecting included.
    slowest: Duration,
    /// None: nothing was answered yet.
    answered: Option<Duration>,
}

/// Longest for a connection: three SYNs.
const CONNECT: Duration = Duration::from_secs(8);
/// For the first answer of all, when nothing is known of the way.
const STRANGER: Duration = Duration::from_secs(10);
/// For an answer from one who has answered: three times his slowest and a second more, within these.
const ANSWER: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15));
/// For silence to say something: twice the slowest answer and a second more, within these.
const SILENCE: (Duration, Duration) = (Duration::from_millis(2500), Duration::from_secs(12));

/// A call that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCall {
    /// No connection.
    Failed(Outcome),
    /// Time is up.
    Late,
    /// Another connection would be one too many.
    Enough,
    /// It did not go over from its own protocol to TLS.
    NoTls,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(dialer: &'a Dialer, subject: Subject<'a>, whole: Duration, most: u8) -> Self {
        Self {
            dialer,
            endpoint: subject.endpoint,
            name: subject.name,
            protocol: subject.starttls,
            end: Instant::now() + whole,
            connections: 0,
            most,
            slowest: Duration::ZERO,
            answered: None,
        }
    }

    /// Used so far.
    pub(crate) fn connections(&self) -> u8 {
        self.connections
    }

    pub(crate) fn name(&self) -> Option<&'a str> {
        self.name.map(ServiceName::as_str)
    }

    /// How long a server of this path may be silent before that says something.
    pub(crate) fn silence(&self) -> Duration {
        (self.slowest * 2 + Duration::from_secs(1)).clamp(SILENCE.0, SILENCE.1)
    }

    /// Connects, says a hello, and listens to the answer up to its end, or for as long as it may take.
    pub(crate) async fn call(&mut self, hello: &[u8]) -> Result<Line, NoCall> {
        let (mut line, begun) = self.connect().await?;
        let patience = self.answered.map_or(STRANGER, |slowest| (slowest * 3).clamp(ANSWER.0, ANSWER.1));
        line.answer(hello, (Instant::now() + patience).min(self.end)).await;
        if line.flight.speaks_tls() {
            self.slowest = self.slowest.max(begun.elapsed());
            self.answered = Some(self.slowest);
        }
        Ok(line)
    }

    async fn connect(&mut self) -> Result<(Line, Instant), NoCall> {
        if self.end <= Instant::now() {
            return Err(NoCall::Late);
        }
        if self.connections >= self.most {
            return Err(NoCall::Enough);
        }
        let authorized = match self.name {
            Some(name) => self.dialer.scope().load().authorize_name(self.endpoint, name, self.dialer.clock().now()),
            None => self.dialer.authorize(self.endpoint),
        };
        let Ok(target) = authorized else { return Err(NoCall::Failed(Outcome::NotProbed(NotProbed::OutOfScope))) };
        let asked = Instant::now();
        match self.dialer.connect(target, CONNECT).await {
            Ok(conn) => {
                self.connections = self.connections.saturating_add(1);
                // Our own ceilings held us back for the rest of the time, which is none of the other end's.
                let rtt = conn.rtt();
                self.end += asked.elapsed().saturating_sub(rtt);
                self.slowest = self.slowest.max(rtt);
                let begun = Instant::now().checked_sub(rtt).unwrap_or(asked);
                Ok((Line::new(self.go_over(conn).await?), begun))
            }
            Err(Outcome::Open(_)) => {
                self.connections = self.connections.saturating_add(1);
                Ok((Line::hung_up(), asked))
            }
            Err(outcome) => Err(NoCall::Failed(outcome)),
        }
    }
}

impl Caller<'_> {
    /// To where TLS begins.
    async fn go_over(&self, conn: Conn) -> Result<Box<dyn Stream>, NoCall> {
        let Some(protocol) = self.protocol else { return Ok(Box::new(conn)) };
        let helo = host_word(&self.dialer.identity().sensor);
        let domain = self.name().map_or_else(|| self.endpoint.ip.to_string(), str::to_owned);
        let words = Words { helo: &helo, domain: &domain };
        let until = (Instant::now() + STRANGER).min(self.end);
        match starttls::upgrade(conn, protocol, &words, until).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refused) => {
                tracing::debug!(endpoint = %self.endpoint, why = ?refused.why, "it did not go over to TLS");
                Err(NoCall::NoTls)
            }
        }
    }
}

/// A connection on which a hello was said.
pub(crate) struct Line {
    /// None: the other end has hung up.
    stream: Option<Box<dyn Stream>>,
    pub(crate) flight: ServerFlight,
    records: Records,
}

/// What came next on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Record(Record),
    /// It hung up, in whatever manner.
    Closed,
    Silence,
    /// What it says is no TLS.
    NotTls,
}

/// At most this much is read of one connection after its flight.
const MOST_AFTER: usize = 64 * 1024;

impl Line {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream: Some(stream), flight: ServerFlight::default(), records: Records::default() }
    }

    /// Accepted, and left before a word could be said.
    fn hung_up() -> Self {
        Self { stream: None, flight: ServerFlight::default(), records: Records::default() }
    }

    /// It has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.stream.is_none()
    }

    /// It is our turn: the handshake stands where the client's part begins.
    pub(crate) fn is_our_turn(&self) -> bool {
        self.stream.is_some() && self.flight.ssl2.is_none() && self.flight.end == Some(End::HelloDone)
    }

    /// Says a hello, and reads what comes up to its end.
    pub(crate) async fn answer(&mut self, hello: &[u8], until: Instant) {
        self.tell(hello, until).await;
        let mut reader = FlightReader::default();
        let mut buffer = [0; 4096];
        while reader.flight().end.is_none() {
            let Some(stream) = &mut self.stream else { break };
            match timeout_at(until, stream.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) => {
                    reader.feed(buffer.get(..count).unwrap_or_default());
                }
                Ok(Ok(0) | Err(_)) => self.stream = None,
                Err(_) => break,
            }
        }
        (self.flight, self.records) = reader.finish();
    }

    /// Says something. Where nobody is there to hear it, what is heard next says so.
    pub(crate) async fn tell(&mut self, bytes: &[u8], until: Instant) {
        let Some(stream) = &mut self.stream else { return };
        let said = timeout_at(until, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        if let Ok(Err(error)) = said.await {
            tracing::debug!(%error, "what was to be said did not arrive");
        }
    }

    /// The next record, for as long as `until`.
    pub(crate) async fn hear(&mut self, until: Instant) -> Heard {
        let (mut buffer, mut read) = ([0; 4096], 0);
        loop {
            match self.records.take() {
                Ok(Some(record)) => return Heard::Record(record),
                Err(_) => return Heard::NotTls,
                Ok(None) => {}
            }
            let Some(stream) = &mut self.stream else { return Heard::Closed };
            match timeout_at(until, stream.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) if read < MOST_AFTER => {
                    read += count;
                    self.records.feed(buffer.get(..count).unwrap_or_default());
                }
                Ok(_) => self.stream = None,
                Err(_) => return Heard::Silence,
            }
        }
    }
}
