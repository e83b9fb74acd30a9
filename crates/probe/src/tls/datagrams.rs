//! The same over datagrams (DTLS 1.0 and 1.2): the hello is said again with the cookie that the server wants to be shown, and once more
//! where nothing comes.

use crate::Dialer;
use identify::tls::{DtlsReader, Hello, ServerFlight, Version, dtls};
use model::{Endpoint, Outcome};
use scope::InScope;
use std::time::Duration;
use tokio::time::Instant;

/// Hellos at most: without the cookie, with it, and what is lost of either.
const MOST_HELLOS: u8 = 5;
/// The number of the first record: the hello by which it was found had none of these.
const FIRST: u8 = 8;
/// Until a hello is taken for lost. A server repeats its own flight after a second.
const LOST: Duration = Duration::from_millis(1500);
/// Datagrams at most: a flight of [`DtlsReader::MAX_HELD`] bytes in small pieces.
const MOST_DATAGRAMS: usize = 1024;

/// Says hello, under a name where there is one, and puts together the flight that answers it, until its end or `limit`. `Err`: nothing came back.
pub(crate) async fn exchange(
    dialer: &Dialer,
    endpoint: InScope<Endpoint>,
    random: [u8; 32],
    name: Option<&str>,
    limit: Instant,
) -> Result<ServerFlight, Outcome> {
    let line = dialer.datagrams(endpoint).await?;
    let hello = Hello::broad(Version::DTLS1_2, random).server_name(name);
    let mut reader = DtlsReader::default();
    let mut cookie = Vec::new();
    let (mut hellos, mut datagrams) = (0, 0);
    while hellos < MOST_HELLOS && reader.flight().end.is_none() && Instant::now() < limit {
        line.send(&dtls::datagram(&hello, &cookie, FIRST + hellos)).await?;
        hellos += 1;
        let lost = (Instant::now() + LOST).min(limit);
        while reader.flight().end.is_none() && datagrams < MOST_DATAGRAMS {
            let received = match line.receive(lost).await {
                Ok(received) => received,
                Err(Outcome::Silent) => break,
                // Whatever came before counts.
                Err(_) if reader.is_dtls() => return Ok(reader.finish()),
                Err(outcome) => return Err(outcome),
            };
            datagrams += 1;
            reader.feed(&received);
            if let Some(wanted) = reader.take_cookie() {
                cookie = wanted;
                break;
            }
        }
        if datagrams >= MOST_DATAGRAMS {
            break;
        }
    }
    if !reader.is_dtls() {
        return Err(Outcome::Silent);
    }
    if reader.flight().hello.is_some() {
        // Where it does not arrive, the server sends its flight some times more.
        _ = line.send(&dtls::farewell(FIRST + hellos)).await;
    }
    Ok(reader.finish())
}
