use super::{
    KIND, cef,
    link::{Link, Lost, Stream},
    rfc5424,
};
use crate::{Channel, Digest, Identity, plain::count, tls};
use config::{Framing, Syslog, SyslogTransport};
use model::{Delivery, Notice};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};
use tokio::{
    net::{TcpStream, UdpSocket, lookup_host},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Bytes of a message over a stream, and in a datagram that is to stay in one piece.
const STREAM_LIMIT: usize = 8 * 1024;
const DATAGRAM_LIMIT: usize = 1400;
const CONNECT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For everything, so that the contract's minute holds.
const ALL: Duration = Duration::from_secs(50);
/// What was written so short a time before the stream ended may not have been read: it is sent again.
const DOUBT: Duration = Duration::from_secs(5);
const DOUBT_BYTES: usize = 1 << 20;
/// Datagrams in a row before the receiver gets a moment to take them.
const BURST: usize = 32;

pub(super) struct SyslogChannel {
    pub(super) config: Syslog,
    pub(super) server_name: ServerName<'static>,
    pub(super) identity: Identity,
    pub(super) stream: Mutex<StreamState>,
}

/// The connection that outlives a digest, and what may have been lost with the last one.
#[derive(Default)]
pub(super) struct StreamState {
    link: Option<Link>,
    recent: VecDeque<(Instant, Vec<u8>)>,
    doubtful: Vec<u8>,
}

impl fmt::Debug for SyslogChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyslogChannel").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Channel for SyslogChannel {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn describe(&self) -> String {
        format!("syslog to {}", self.place())
    }

    fn deliver<'a>(&'a self, digest: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        Box::pin(async move {
            let send = async {
                match self.config.transport {
                    SyslogTransport::Udp => self.send_datagrams(digest).await,
                    SyslogTransport::Tcp | SyslogTransport::Tls => self.send_stream(digest).await,
                }
            };
            let place = self.place();
            match timeout(ALL, send).await {
                Ok(Ok(())) => {
                    let messages = count(digest.notices.len(), "message", "messages");
                    Delivery::Delivered(format!("{messages} written to {place}"))
                }
                Ok(Err(why)) => Delivery::RetryAfter { after: None, reason: format!("{place}: {why}") },
                Err(_) => {
                    let reason = format!("{place} has not taken the messages within {} s", ALL.as_secs());
                    Delivery::RetryAfter { after: None, reason }
                }
            }
        })
    }
}

impl SyslogChannel {
    fn place(&self) -> String {
        let scheme = match self.config.transport {
            SyslogTransport::Udp => "udp",
            SyslogTransport::Tcp => "tcp",
            SyslogTransport::Tls => "tls",
        };
        let Syslog { host, port, .. } = &self.config;
        if host.contains(':') { format!("{scheme}://[{host}]:{port}") } else { format!("{scheme}://{host}:{port}") }
    }

    pub(super) fn message(&self, notice: &Notice, limit: usize) -> String {
        let header = rfc5424::header(notice, self.config.facility, &self.identity);
        let cef = cef::message(notice, &self.identity, limit.saturating_sub(header.len()));
        header + &cef
    }

    async fn send_stream(&self, digest: &Digest) -> Result<(), String> {
        let mut frames = Vec::new();
        for notice in &digest.notices {
            rfc5424::frame(&self.message(notice, STREAM_LIMIT), self.config.framing, &mut frames);
        }
        let mut state = self.stream.lock().await;
        // Taken out while in use: should we be broken off, nobody writes behind half a frame.
        if let Some(link) = state.link.take() {
            match link.lost() {
                None => match link.write(frames.clone()).await {
                    Ok(()) => {
                        state.remember(link, &frames, self.config.framing);
                        return Ok(());
                    }
                    Err(lost) => state.doubt(&lost, self.config.framing),
                },
                Some(lost) => state.doubt(&lost, self.config.framing),
            }
        }
        // A collector that was restarted is mostly back already.
        let link = Link::new(self.connect().await?);
        let mut batch = state.doubtful.clone();
        batch.extend_from_slice(&frames);
        link.write(batch.clone()).await.map_err(|lost| lost.why)?;
        state.doubtful.clear();
        state.remember(link, &batch, self.config.framing);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let host = &self.config.host;
        let mut failure = None;
        for address in self.addresses().await? {
            #[expect(clippy::disallowed_methods, reason = "the operator's own channel, not a probe")]
            let connected = timeout(CONNECT, TcpStream::connect(address)).await;
            match connected {
                Ok(Ok(tcp)) => return self.dress(tcp).await,
                Ok(Err(error)) => failure = Some(tls::explain(&error, host)),
                Err(_) => failure = Some(format!("{address} did not answer within {} s", CONNECT.as_secs())),
            }
        }
        Err(failure.unwrap_or_else(|| format!("{host} has no address")))
    }

    async fn dress(&self, tcp: TcpStream) -> Result<Box<dyn Stream>, String> {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        let socket = SockRef::from(&tcp);
        socket
            .set_tcp_keepalive(&keepalive)
            .and_then(|()| socket.set_tcp_user_timeout(Some(Duration::from_secs(20))))
            .and_then(|()| socket.set_tcp_nodelay(true))
            .map_err(|error| format!("the socket could not be set up: {error}"))?;
        if self.config.transport == SyslogTransport::Tcp {
            return Ok(Box::new(tcp));
        }
        let ca_file = self.config.ca_file.clone();
        let config = tokio::task::spawn_blocking(move || tls::client_config(ca_file.as_deref()))
            .await
            .map_err(|error| error.to_string())??;
        let connect = TlsConnector::from(config).connect(self.server_name.clone(), tcp);
        match timeout(HANDSHAKE, connect).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(tls::explain(&error, &self.config.host)),
            Err(_) => Err(format!("the TLS handshake took longer than {} s", HANDSHAKE.as_secs())),
        }
    }

    /// Datagrams get no answer; only a port where nobody listens may be reported back.
    async fn send_datagrams(&self, digest: &Digest) -> Result<(), String> {
        let address = self.addresses().await?.into_iter().next();
        let address = address.ok_or_else(|| format!("{} has no address", self.config.host))?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(|error| error.to_string())?;
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            _ => error.to_string(),
        };
        socket.connect(address).await.map_err(explain)?;
        for (sent, notice) in (1..).zip(&digest.notices) {
            let message = self.message(notice, DATAGRAM_LIMIT);
            socket.send(message.as_bytes()).await.map_err(explain)?;
            if sent % BURST == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
        match timeout(Duration::from_millis(100), socket.recv(&mut [0; 64])).await {
            Ok(Err(error)) => Err(explain(error)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let Syslog { host, port, .. } = &self.config;
        match timeout(CONNECT, lookup_host((host.as_str(), *port))).await {
            Ok(Ok(addresses)) => Ok(addresses.take(8).collect()),
            Ok(Err(error)) => Err(format!("the name {host} could not be resolved: {error}")),
            Err(_) => Err(format!("the name {host} could not be resolved within {} s", CONNECT.as_secs())),
        }
    }
}

impl StreamState {
    /// The link took these frames, as far as can be told.
    fn remember(&mut self, link: Link, frames: &[u8], framing: Framing) {
        let now = Instant::now();
        self.recent.push_back((now, rfc5424::last_frames(frames, framing, DOUBT_BYTES).to_vec()));
        self.recent.retain(|(at, _)| now.duration_since(*at) <= DOUBT);
        while self.recent.len() > 1 && self.recent.iter().map(|(_, frames)| frames.len()).sum::<usize>() > DOUBT_BYTES {
            self.recent.pop_front();
        }
        self.link = Some(link);
    }

    /// The link ended: what was written shortly before is sent again over the next. Of very much, what was written last.
    fn doubt(&mut self, lost: &Lost, framing: Framing) {
        tracing::info!(why = lost.why, "the connection to a syslog collector ended; connecting again");
        for (at, frames) in self.recent.drain(..) {
            if lost.at.saturating_duration_since(at) <= DOUBT {
                self.doubtful.extend_from_slice(&frames);
            }
        }
        self.doubtful = rfc5424::last_frames(&self.doubtful, framing, DOUBT_BYTES).to_vec();
    }
}
