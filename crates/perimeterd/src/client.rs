//! The daemon's API over its Unix socket.

use crate::{command::Global, failure::Failure, paths};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, time::timeout};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// For what waits for somebody else: a mail server, a disk.
pub(crate) const PATIENT: Duration = Duration::from_mins(10);
/// Far more than a page of the API.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// A connection to the daemon.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    socket: PathBuf,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Where the next one begins; none at the end.
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalMessage,
}

#[derive(Deserialize)]
struct RefusalMessage {
    message: String,
}

impl Client {
    /// Connects to the first socket that somebody answers on.
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let sockets = paths::candidate_sockets(global.socket.as_deref(), global.config.as_deref());
        let mut tried = Vec::new();
        for socket in sockets {
            match Self::open(&socket).await {
                Ok(client) => return Ok(client),
                Err(error) => tried.push((socket, error)),
            }
        }
        Err(Failure::Absent(absence(&tried, global)))
    }

    async fn open(socket: &Path) -> io::Result<Self> {
        let stream = timeout(CONNECT, UnixStream::connect(socket)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let path = socket.to_owned();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to {} ended: {error}", path.display());
            }
        });
        Ok(Self { sender, socket: socket.to_owned() })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &mut self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let target = with_query(path, query);
        self.ask(Method::GET, &target, Bytes::new(), ANSWER).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &serde_json::Value,
        patience: Duration,
    ) -> Result<T, Failure> {
        self.ask(Method::POST, path, Bytes::from(body.to_string()), patience).await
    }

    /// All pages of a list, or as many as hold `limit` items.
    pub(crate) async fn list<T: DeserializeOwned>(
        &mut self,
        path: &str,
        query: &[(&str, String)],
        limit: Option<u64>,
    ) -> Result<Vec<T>, Failure> {
        self.list_after(path, query, limit, None).await
    }

    /// The same from a place on.
    pub(crate) async fn list_after<T: DeserializeOwned>(
        &mut self,
        path: &str,
        query: &[(&str, String)],
        limit: Option<u64>,
        mut after: Option<String>,
    ) -> Result<Vec<T>, Failure> {
        const PAGE: u64 = 500;
        let mut items = Vec::new();
        loop {
            let missing = limit.map_or(PAGE, |limit| limit.saturating_sub(items.len() as u64).min(PAGE));
            if missing == 0 {
                return Ok(items);
            }
            let mut query = query.to_vec();
            query.push(("limit", missing.to_string()));
            query.extend(after.take().map(|after| ("after", after)));
            let page: Page<T> = self.get(path, &query).await?;
            // A page without items has no successor whatever it says: the loop ends.
            let empty = page.items.is_empty();
            items.extend(page.items);
            match page.next {
                Some(next) if !empty => after = Some(next),
                _ => return Ok(items),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        target: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<T, Failure> {
        let lost = |error: &dyn std::fmt::Display| {
            Failure::world(format!("the daemon at {} did not answer: {error}", self.socket.display()))
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "perimeterd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::world(format!("`{target}` cannot be asked for: {error}")))?;
        let exchange = async {
            self.sender.ready().await.map_err(|error| lost(&error))?;
            let answer = self.sender.send_request(request).await.map_err(|error| lost(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            Ok::<_, Failure>((status, body.map_err(|error| lost(&error))?.to_bytes()))
        };
        let (status, body) = timeout(patience, exchange)
            .await
            .map_err(|_| lost(&format!("nothing came within {} s", patience.as_secs())))??;
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) if status.as_u16() == 400 => Failure::Usage(refusal.error.message),
                Ok(refusal) => Failure::world(refusal.error.message),
                Err(_) => Failure::world(format!("the daemon answered {status}")),
            });
        }
        serde_json::from_slice(&body).map_err(Self::not_understood)
    }

    #[expect(clippy::needless_pass_by_value, reason = "goes into map_err")]
    pub(crate) fn not_understood(error: serde_json::Error) -> Failure {
        Failure::world(format!("the daemon's answer was not understood ({error}); is it of another version?"))
    }
}

fn absence(tried: &[(PathBuf, io::Error)], global: &Global) -> String {
    let mut text = String::from("no daemon answers");
    for (index, (socket, error)) in tried.iter().enumerate() {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "is not there".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens on it".to_owned(),
            io::ErrorKind::PermissionDenied => "you may not use it; join its group or become root".to_owned(),
            io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            _ => error.to_string(),
        };
        let separator = if index == 0 { ": tried " } else { ", " };
        let _ = write!(text, "{separator}{} ({why})", socket.display());
    }
    if let (true, Some(config)) = (tried.is_empty(), &global.config) {
        let _ = write!(text, ": {} could not be read, so its socket is not known", config.display());
    }
    text.push_str(". Start it with `systemctl start perimeterd`, or `perimeterd run` in another terminal.");
    text
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        encode_into(&mut target, value);
    }
    target
}

/// One segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    encode_into(&mut encoded, text);
    encoded
}

/// Percent-encoding (RFC 3986): everything but the unreserved characters.
fn encode_into(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        for (query, expect) in [
            (vec![], "/hosts"),
            (vec![("ip", "192.0.2.0/24".to_owned())], "/hosts?ip=192.0.2.0%2F24"),
            (vec![("ip", "::1".to_owned()), ("q", "a b&c".to_owned())], "/hosts?ip=%3A%3A1&q=a%20b%26c"),
        ] {
            assert_eq!(with_query("/hosts", &query), expect);
        }
    }

    #[tokio::test]
    async fn says_where_it_looked_and_what_to_do() {
        let global = Global { socket: Some("/nonexistent/perimeterd.sock".into()), ..Global::default() };
        let failure = Client::connect(&global).await.expect_err("nobody is there");
        let message = failure.message().expect("a sentence");
        assert!(matches!(failure, Failure::Absent(_)));
        assert!(message.contains("/nonexistent/perimeterd.sock (is not there)"), "{message}");
        assert!(message.contains("perimeterd run"), "{message}");
    }
}
