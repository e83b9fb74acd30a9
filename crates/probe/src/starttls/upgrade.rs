//! The upgrade over a stream, and the stream on which TLS is then spoken.

use super::{Protocol, Refusal, Stage, Turn, Words, reading, sql_server, turn};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout_at},
};

/// The most that is heard before TLS begins.
pub(super) const MOST_HEARD: usize = 16 * 1024;
/// Words of ours. The longest way, VNC's, takes four.
const MOST_SAID: usize = 16;

/// TLS does not begin.
#[derive(Debug)]
pub(crate) struct Refused<S> {
    pub(crate) why: Refusal,
    /// The stream, to leave in order; none where it has failed, ended or fallen silent.
    pub(crate) stream: Option<S>,
}

/// Where TLS begins: read and write its records here.
#[derive(Debug)]
pub(crate) struct Upgraded<S> {
    inner: S,
    packets: Option<Packets>,
}

/// Goes to the point where TLS begins, on a connection on which nothing was said yet. Ends by `limit`.
pub(crate) async fn upgrade<S>(
    stream: S,
    protocol: Protocol,
    words: &Words<'_>,
    limit: Instant,
) -> Result<Upgraded<S>, Refused<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    drive(stream, protocol, Stage::FRESH, Vec::new(), words, limit).await
}

/// The same on a connection on which the protocol has just been recognised: `heard` is everything it said, and nothing was said to it
/// but the protocol's own question (EHLO where it is SMTP).
pub(crate) async fn resume<S>(
    stream: S,
    protocol: Protocol,
    heard: Vec<u8>,
    words: &Words<'_>,
    limit: Instant,
) -> Result<Upgraded<S>, Refused<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    drive(stream, protocol, Stage::MET, heard, words, limit).await
}

async fn drive<S>(
    mut stream: S,
    protocol: Protocol,
    mut stage: Stage,
    mut heard: Vec<u8>,
    words: &Words<'_>,
    limit: Instant,
) -> Result<Upgraded<S>, Refused<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut said = 0;
    let why = loop {
        match turn(protocol, stage, &heard, words) {
            Turn::More if heard.len() >= MOST_HEARD => break Refusal::TooMuch,
            Turn::More => match timeout_at(limit, hear(&mut stream, &mut heard)).await {
                Ok(Ok(0)) => break Refusal::Closed,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break broken(&error),
                Err(_elapsed) => break Refusal::Silent,
            },
            Turn::Say { .. } if said == MOST_SAID => break Refusal::TooMuch,
            Turn::Say { used, words, stage: next } => {
                said += 1;
                stage = next;
                heard.drain(..used.min(heard.len()));
                let send = async {
                    stream.write_all(&words).await?;
                    stream.flush().await
                };
                match timeout_at(limit, send).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => break broken(&error),
                    Err(_elapsed) => break Refusal::Silent,
                }
            }
            Turn::Begin { used } => {
                let more = heard.get(used..).unwrap_or_default();
                if more.is_empty() {
                    return Ok(Upgraded { inner: stream, packets: protocol.wraps().then(Packets::default) });
                }
                break Refusal::PlainText(reading::excerpt(more));
            }
            Turn::Refused(why) => break why,
        }
    };
    let ended = matches!(why, Refusal::Closed | Refusal::Broken(_) | Refusal::Silent);
    let stream = (!ended).then_some(stream);
    Err(Refused { why, stream })
}

fn broken(error: &io::Error) -> Refusal {
    Refusal::Broken(error.to_string())
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S, heard: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 2048];
    let room = MOST_HEARD.saturating_sub(heard.len()).min(buffer.len());
    let count = stream.read(buffer.get_mut(..room).unwrap_or_default()).await?;
    heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
    Ok(count)
}

/// TLS in packets of TDS, as long as the handshake lasts ([MS-TDS] §3.2.5.2). Which that is we need not know: the other end's bytes
/// say whether they are packed, and ours follow.
#[derive(Debug, Default)]
struct Packets {
    /// The other end has gone over to TLS without packets.
    bare: bool,
    header: Vec<u8>,
    /// Of the packet being read.
    left: usize,
    empty: u8,
    /// A packet of ours on its way out.
    out: Vec<u8>,
    sent: usize,
}

/// Packets without content, one after the other: more is no conversation.
const MOST_EMPTY: u8 = 32;
/// What fits into one of ours; the size every server takes before login.
const PACKET: usize = 4096;

impl Packets {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        inner: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left == 0 && !self.bare {
            let mut bytes = [0; sql_server::HEADER];
            // The first byte alone says whether there is a header at all.
            let wanted = if self.header.is_empty() { 1 } else { sql_server::HEADER - self.header.len() };
            let mut part = ReadBuf::new(bytes.get_mut(..wanted).unwrap_or_default());
            ready!(Pin::new(&mut *inner).poll_read(cx, &mut part))?;
            let part = part.filled();
            match part.first() {
                None => return Poll::Ready(Ok(())),
                Some(kind) if self.header.is_empty() && !is_packet(*kind) => {
                    self.bare = true;
                    buf.put_slice(part.get(..buf.remaining().min(1)).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
                Some(_) => self.header.extend_from_slice(part),
            }
            if let [_, _, high, low, _, _, _, _] = *self.header.as_slice() {
                self.header.clear();
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.left = length.checked_sub(sql_server::HEADER).ok_or(io::ErrorKind::InvalidData)?;
                self.empty = if self.left == 0 { self.empty + 1 } else { 0 };
                if self.empty >= MOST_EMPTY {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
        if self.bare {
            return Pin::new(inner).poll_read(cx, buf);
        }
        let mut bytes = [0; 2048];
        let wanted = self.left.min(buf.remaining()).min(bytes.len());
        let mut part = ReadBuf::new(bytes.get_mut(..wanted).unwrap_or_default());
        ready!(Pin::new(inner).poll_read(cx, &mut part))?;
        self.left -= part.filled().len();
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(inner, cx))?;
        if self.bare {
            return Pin::new(inner).poll_write(cx, bytes);
        }
        let taken = bytes.get(..bytes.len().min(PACKET - sql_server::HEADER)).unwrap_or_default();
        let [high, low] = u16::try_from(taken.len() + sql_server::HEADER).unwrap_or(u16::MAX).to_be_bytes();
        // A last packet; nobody counts them.
        self.out = [&[sql_server::PRE_LOGIN, 1, high, low, 0, 0, 0, 0], taken].concat();
        self.sent = 0;
        match self.poll_drain(inner, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What has not gone yet goes with the next write or flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken.len())),
        }
    }

    fn poll_drain<S: AsyncWrite + Unpin>(&mut self, inner: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.out.get(self.sent..) {
            match ready!(Pin::new(&mut *inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn is_packet(kind: u8) -> bool {
    matches!(kind, sql_server::PRE_LOGIN | sql_server::RESPONSE)
}

impl<S: AsyncRead + Unpin> AsyncRead for Upgraded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.packets {
            None => Pin::new(&mut this.inner).poll_read(cx, buf),
            Some(packets) => packets.poll_read(&mut this.inner, cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Upgraded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.packets {
            None => Pin::new(&mut this.inner).poll_write(cx, bytes),
            Some(packets) => packets.poll_write(&mut this.inner, cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(packets) = &mut this.packets {
            ready!(packets.poll_drain(&mut this.inner, cx))?;
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(packets) = &mut this.packets {
            ready!(packets.poll_drain(&mut this.inner, cx))?;
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
