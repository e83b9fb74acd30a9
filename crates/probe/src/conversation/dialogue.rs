//! What is said on one connection, in TLS or not.

use super::{budget::Budget, plan::Approach, sighting};
use crate::starttls;
use identify::{
    Answer, Asking, Next, POSTGRESQL_STARTUP, Parse, Protocol, Received, Speaker, Strength, classify,
    ssh_exchange::{self, Exchange},
};
use model::{Service, SshKey, Transport};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

/// Further words on one connection, each after an answer that calls for it.
const MOST_WORDS: usize = 3;
/// The most read of one connection.
const MAX_BYTES: usize = 64 * 1024;

/// What came of it.
#[derive(Debug)]
pub(super) enum Heard {
    Answer(Box<Answer>),
    /// Silence, or nothing that was understood.
    Nothing,
    /// The connection was cut off, with what its remains read like.
    Broken(Option<Box<Answer>>),
    /// The time was up in the middle of a word, and what there was of it is none.
    Unfinished,
}

/// What came of talking in the clear or within TLS.
#[derive(Debug)]
pub(super) struct Talked {
    pub(super) heard: Heard,
    /// Everything that was heard, where the connection still stands as the protocol itself left it: it could go over to TLS.
    pub(super) met: Option<Vec<u8>>,
    pub(super) ending: Ending,
}

/// How a connection stood when it was left: what a server does that understands nothing tells kinds of servers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ending {
    /// Still open.
    #[default]
    Open,
    /// Ended by the other side in order.
    Left,
    /// Cut off.
    Cut,
}

/// Whether the connection itself failed, in contrast to one that was ended in order or whose TLS was.
pub(super) fn is_break(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some()
}

/// Talks until the other end is recognised, hangs up, or has had its time. What it said `lately` is not asked again where that would
/// leave a line in its log each time.
pub(super) async fn talk<S>(
    stream: &mut S,
    approach: Approach,
    asking: &Asking<'_>,
    helo: &str,
    lately: Option<&Service>,
    budget: &Budget,
) -> Talked
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line { stream, heard: Vec::new(), asked: None, open: true, broken: false, unfinished: false };
    if matches!(approach, Approach::Hush) {
        let heard = line.listen(0, budget.greeting(), budget).await.map_or(Heard::Nothing, Heard::Answer);
        return line.told(heard);
    }
    let question = match approach {
        Approach::Ask(protocol) | Approach::ListenThenAsk(protocol) | Approach::Briefly(protocol, _)
            if protocol.request.is_some() =>
        {
            Some(protocol)
        }
        _ => identify::by_name(Transport::Tcp, "http"),
    };
    let listen_until = match approach {
        Approach::Ask(_) | Approach::Briefly(..) => Instant::now(),
        Approach::Listen => budget.first_word(),
        Approach::Hush | Approach::ListenThenAsk(_) | Approach::Unknown => budget.greeting(),
    };
    let mut answer = if listen_until > Instant::now() { line.listen(0, listen_until, budget).await } else { None };
    if answer.is_none() && line.open {
        if line.heard.is_empty() {
            line.asked = question;
            let words = question.and_then(|protocol| protocol.request).map(|request| request(asking));
            line.say(&words.unwrap_or_default(), budget).await;
        }
        let patience = match approach {
            Approach::Briefly(..) | Approach::Unknown => budget.brief(),
            _ => budget.answer(),
        };
        answer = line.listen(0, patience, budget).await;
    }
    if answer.is_none()
        && line.open
        && line.heard.is_empty()
        && let Approach::Briefly(_, Some(lines)) = approach
    {
        line.asked = Some(lines);
        let words = lines.request.map(|request| request(asking)).unwrap_or_default();
        // What was asked before may stand there as a line that has not ended.
        line.say(&[b"\r\n".as_slice(), &words].concat(), budget).await;
        answer = line.listen(0, budget.brief(), budget).await;
    }
    if let Some(complaint) = answer.take_if(|answer| answer.next == Next::Own) {
        answer = Some(line.ask_own(complaint, asking, budget).await);
    }
    let mut answer = match answer {
        // Understood before it broke: what is missing would have said no more.
        Some(answer) if !(line.broken && line.unfinished) => answer,
        remains if line.broken => return line.told(Heard::Broken(remains)),
        _ if line.unfinished && line.open && line.heard.len() < MAX_BYTES => return line.told(Heard::Unfinished),
        _ => return line.told(Heard::Nothing),
    };
    for _ in 0..MOST_WORDS {
        let words = match answer.next {
            Next::Ehlo => format!("EHLO {helo}\r\n").into_bytes(),
            Next::Say(words) if words == POSTGRESQL_STARTUP && sighting::keeps_source(lately, &mut answer.service) => {
                break;
            }
            Next::Favicon if sighting::keeps_icon(lately, &mut answer.service) => break,
            Next::Say(words) => words.to_vec(),
            Next::Favicon => identify::favicon_request(asking),
            _ => break,
        };
        if !line.open {
            break;
        }
        let before = line.heard.len();
        line.say(&words, budget).await;
        let said = answer.next;
        match line.listen(before, budget.answer(), budget).await {
            Some(told) if told.strength >= answer.strength => answer = told,
            // What is known now would lack what is told on another day.
            _ if line.broken && matches!(said, Next::Say(_)) => return line.told(Heard::Broken(Some(answer))),
            _ => break,
        }
        if answer.next == said {
            break;
        }
    }
    if answer.next == Next::HostKey && line.open {
        answer.service.ssh_key = line.host_key(asking.agent, budget).await;
        let offered = ssh_exchange::algorithms(&line.heard).into_iter();
        answer.service.facts.extend(offered.map(|(name, list)| (name.to_owned(), list)));
    }
    // Where it could go over to TLS, nobody takes leave yet.
    if !asking.tls && line.open && !line.broken && starttls::Protocol::of(&answer.service).is_some() {
        let own_question = line.asked.is_none_or(|asked| asked.name == answer.service.name);
        if own_question {
            return Talked { heard: Heard::Answer(answer), met: Some(line.heard), ending: Ending::Open };
        }
    }
    let has_asked_another = line.asked.is_some_and(|asked| asked.name != answer.service.name);
    if answer.next == Next::Again && !has_asked_another {
        answer.next = Next::Nothing;
    }
    let farewell = match answer.next {
        Next::Farewell(words) => Some(words),
        Next::Ehlo => Some(b"QUIT\r\n".as_slice()),
        Next::Nothing | Next::Say(_) | Next::Favicon | Next::Again | Next::Own | Next::HostKey | Next::Tls => None,
    };
    if let Some(words) = farewell.filter(|_| line.open) {
        leave(line.stream, words, budget.quiet()).await;
    }
    line.told(Heard::Answer(answer))
}

/// One question more to one that is known, and what is made of the answer.
pub(super) async fn one_answer<S>(stream: &mut S, words: &[u8], budget: &Budget) -> Option<Box<Answer>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line { stream, heard: Vec::new(), asked: None, open: true, broken: false, unfinished: false };
    line.say(words, budget).await;
    line.listen(0, budget.brief(), budget).await
}

/// Says goodbye and lets the other end do so for as long as that, so that it does not log a broken connection.
pub(super) async fn leave<S>(stream: &mut S, words: &[u8], patience: std::time::Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut buffer = [0; 512];
    let all = async {
        stream.write_all(words).await?;
        stream.flush().await?;
        let mut count = 0;
        while let Ok(more @ 1..) = stream.read(&mut buffer).await {
            count += more;
            if count > MAX_BYTES {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever has gone already needs no goodbye.
    _ = timeout(patience, all).await;
}

/// Whether it leaves by itself, before anything was said to it: in TLS 1.3 who wants a certificate learns that there is none a round
/// trip after we have done with the handshake.
pub(super) async fn hangs_up<S>(stream: &mut S, budget: &Budget) -> bool
where
    S: AsyncRead + Unpin + ?Sized,
{
    !matches!(timeout_at(budget.brief(), stream.read(&mut [0; 512])).await, Ok(Ok(1..)) | Err(_))
}

/// Ends the connection in order and takes what is still on its way: closing with that unread would reset it, and `PostgreSQL` logs a
/// line for that.
pub(super) async fn hang_up<S>(stream: &mut S, budget: &Budget)
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut buffer = [0; 512];
    let all = async {
        stream.shutdown().await?;
        let mut count = 0;
        while count <= MAX_BYTES
            && let more @ 1.. = stream.read(&mut buffer).await?
        {
            count += more;
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever has gone already needs no goodbye.
    _ = timeout(budget.quiet(), all).await;
}

/// What a server said that was spoken to in TLS and does not speak it. Taken only where asking in the clear would learn no
/// more: a greeting that needs no answer, so not what a web server makes of a question it did not understand.
pub(super) fn interjection(bytes: &[u8]) -> Heard {
    let Parse::Yes(mut answer) = classify(Transport::Tcp, Received::ended(bytes)) else { return Heard::Nothing };
    answer.heard = bytes.to_vec();
    let greets = identify::by_name(Transport::Tcp, &answer.service.name)
        .is_some_and(|protocol| protocol.speaker == Speaker::Server);
    let is_said_to_strangers = greets && answer.strength > Strength::Weak && answer.next == Next::Nothing;
    // This connection has a handshake on it.
    if answer.next == Next::Own {
        answer.next = Next::Again;
    }
    if is_said_to_strangers || answer.next == Next::Again { Heard::Answer(answer) } else { Heard::Nothing }
}

/// A name fit for EHLO (RFC 5321 §4.1.1.1) from the sensor's.
pub(crate) fn host_word(sensor: &str) -> String {
    let word: String = sensor
        .chars()
        .take(64)
        .map(|char| if char.is_ascii_alphanumeric() || matches!(char, '.' | '-') { char } else { '-' })
        .collect();
    let word = word.trim_matches(['-', '.']);
    if word.is_empty() { "localhost".to_owned() } else { word.to_owned() }
}

struct Line<'a, S> {
    stream: &'a mut S,
    heard: Vec<u8>,
    /// The protocol whose question was asked.
    asked: Option<&'static Protocol>,
    /// The other end may still say something.
    open: bool,
    /// The connection failed, and was not ended in order.
    broken: bool,
    /// What was heard last only begins something.
    unfinished: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<'_, S> {
    fn told(&self, heard: Heard) -> Talked {
        let ending = match (self.open, self.broken) {
            (_, true) => Ending::Cut,
            (true, false) => Ending::Open,
            (false, false) => Ending::Left,
        };
        Talked { heard, met: None, ending }
    }

    /// Reads until what was heard is understood, with more than `before` bytes of it, or the time is up. With bytes that
    /// might be all or that nobody understands it waits only until it is quiet.
    async fn listen(&mut self, before: usize, until: Instant, budget: &Budget) -> Option<Box<Answer>> {
        let mut deadline = until;
        loop {
            if self.heard.len() > before {
                let parsed = self.parse(Received::open(&self.heard));
                self.unfinished = parsed == Parse::NeedMore;
                match parsed {
                    Parse::Yes(answer) if answer.strength > Strength::Weak => return Some(answer),
                    Parse::Yes(answer)
                        if before == 0
                            && matches!(answer.next, Next::Ehlo | Next::Say(_) | Next::Again | Next::Own) =>
                    {
                        return Some(answer);
                    }
                    Parse::Yes(_) | Parse::No => deadline = until.min(Instant::now() + budget.quiet()),
                    // A greeting that has begun may finish in its own time.
                    Parse::NeedMore => deadline = until.max(budget.answer()).min(until + MAX_DRIP),
                }
            }
            if !self.more(deadline).await {
                break;
            }
        }
        if self.heard.len() <= before {
            return None;
        }
        match self.parse(Received::ended(&self.heard)) {
            Parse::Yes(answer) => Some(answer),
            Parse::No | Parse::NeedMore => None,
        }
    }

    fn parse(&self, received: Received<'_>) -> Parse {
        let reply = self.asked.map_or(Parse::No, |asked| identify::reply_to(asked, received));
        let mut parsed = if matches!(reply, Parse::Yes(_)) { reply } else { classify(Transport::Tcp, received) };
        if let Parse::Yes(answer) = &mut parsed {
            answer.heard = received.bytes.to_vec();
        }
        parsed
    }

    /// Asks one that has complained of another's question its own. Where that comes to nothing, it is to be asked on a connection
    /// of its own.
    async fn ask_own(&mut self, mut complaint: Box<Answer>, asking: &Asking<'_>, budget: &Budget) -> Box<Answer> {
        let own = identify::opening(&complaint.service.name);
        complaint.next = Next::Again;
        let Some((own, request)) = own.and_then(|own| Some((own, own.request?))) else { return complaint };
        if !self.open || self.asked.is_some_and(|asked| asked.name == own.name) {
            return complaint;
        }
        self.say(&request(asking), budget).await;
        let until = budget.answer();
        while self.open {
            // Complaints of the first question may still be on their way.
            match self.listen(self.heard.len(), until, budget).await {
                Some(told) if told.service.name != own.name => break,
                Some(told) if told.next != Next::Own => {
                    self.asked = Some(own);
                    return told;
                }
                Some(_) if Instant::now() < until => {}
                _ => break,
            }
        }
        // It was understood before whatever happened then.
        self.unfinished = false;
        complaint
    }

    /// Exchanges keys with an SSH server as far as it takes to see its own, and leaves. None where it has not shown it in time.
    async fn host_key(&mut self, agent: &str, budget: &Budget) -> Option<SshKey> {
        self.say(&ssh_exchange::greeting(agent), budget).await;
        let mut until = budget.answer();
        let mut answered = false;
        let key = loop {
            match ssh_exchange::read(&self.heard) {
                Exchange::Key(key) => break Some(key),
                Exchange::Over => break None,
                Exchange::Answer(answer) if !answered => {
                    answered = true;
                    self.say(&answer, budget).await;
                    until = budget.answer();
                }
                Exchange::Answer(_) | Exchange::Continue => {}
            }
            if !self.more(until).await {
                break None;
            }
        };
        if self.open {
            leave(self.stream, &ssh_exchange::farewell(agent), budget.quiet()).await;
        }
        key
    }

    /// Reads once; false where there is no more to be had.
    async fn more(&mut self, until: Instant) -> bool {
        let mut buffer = [0; 2048];
        let room = MAX_BYTES.saturating_sub(self.heard.len()).min(buffer.len());
        if room == 0 || !self.open {
            return false;
        }
        match timeout_at(until, self.stream.read(buffer.get_mut(..room).unwrap_or_default())).await {
            Ok(Ok(count @ 1..)) => self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Ok(Ok(0)) => self.open = false,
            Ok(Err(error)) => {
                self.open = false;
                self.broken |= is_break(&error);
            }
            Err(_elapsed) => return false,
        }
        self.open
    }

    /// What cannot be said is no reason to stop listening: an answer may already be there.
    async fn say(&mut self, words: &[u8], budget: &Budget) {
        let send = async {
            self.stream.write_all(words).await?;
            self.stream.flush().await
        };
        if let Ok(Err(error)) = timeout_at(budget.answer(), send).await {
            // Told once: the next read would only find an end.
            self.broken |= is_break(&error);
        }
    }
}

/// How far a greeting that drips may go beyond its time.
const MAX_DRIP: std::time::Duration = std::time::Duration::from_secs(2);
