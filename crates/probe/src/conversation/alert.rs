use super::handshake::alert_of;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TLS stream that remembers whether an alert ended it, and whether anything was said in it: in TLS 1.3 whoever wants a certificate of ours complains only after
/// the handshake (RFC 8446 §4.4.2.4).
#[derive(Debug)]
pub(super) struct Listening<'a, S> {
    inner: &'a mut S,
    refused: bool,
    answered: bool,
}

impl<'a, S> Listening<'a, S> {
    pub(super) fn new(inner: &'a mut S) -> Self {
        Self { inner, refused: false, answered: false }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut *self.inner).poll_read(cx, buf);
        self.answered |= buf.filled().len() > before;
        if let Poll::Ready(Err(error)) = &poll {
            self.refused |= alert_of(error).is_some();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}
