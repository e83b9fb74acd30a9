//! The hand-made layer of TLS: a hello is sent, what the server says in the clear is read, and nothing of it is ever answered. It
//! works with servers of SSL 3.0 to TLS 1.2 whatever they support beside, and whether they want a certificate of ours or not.

pub(crate) mod datagrams;

use identify::tls::{FlightReader, ServerFlight};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

/// Sends a hello's record and reads the flight that answers it, until its end ([`ServerFlight::end`] says which), the
/// connection's or `limit`.
pub(crate) async fn exchange<S>(stream: &mut S, hello: &[u8], limit: Instant) -> ServerFlight
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = FlightReader::default();
    let read = async {
        stream.write_all(hello).await?;
        stream.flush().await?;
        let mut buffer = vec![0; 16 * 1024];
        while reader.flight().end.is_none() {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            reader.feed(buffer.get(..count).unwrap_or_default());
        }
        std::io::Result::Ok(())
    };
    // However it ended, what was shown until then counts.
    _ = timeout_at(limit, read).await;
    reader.finish().0
}
