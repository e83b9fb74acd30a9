use super::limit::Permit;
use model::Endpoint;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// An open TCP connection to an endpoint in scope. It takes one of the dialer's places until it is dropped.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    endpoint: Endpoint,
    rtt: Duration,
    _permit: Permit,
}

impl Conn {
    pub(super) fn new(stream: TcpStream, endpoint: Endpoint, rtt: Duration, permit: Permit) -> Self {
        Self { stream, endpoint, rtt, _permit: permit }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// From the SYN to the SYN-ACK (or to when it was noticed).
    pub fn rtt(&self) -> Duration {
        self.rtt
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
