//! The conversation with the mail server (RFC 5321).

use super::KIND;
use crate::{Channel, Digest, Identity, plain::line, tls};
use config::SmtpSecurity;
use lettre::{
    message::Mailbox,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
    },
};
use model::Delivery;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

const CONNECT: Duration = Duration::from_secs(10);
/// As long as the contract allows: a server that looks into a message before it takes it, and is cut off, gets it again.
const ALL: Duration = Duration::from_secs(55);
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a mailbox that is full or greylists holds up what its colleagues are to read.
const HOLDS_UP: Duration = Duration::from_hours(1);

pub(super) struct Server {
    pub(super) security: SmtpSecurity,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) credentials: Option<Credentials>,
}

pub(super) struct Email {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    pub(super) server: Server,
    /// The business values of the assets.
    pub(super) values: BTreeMap<Arc<str>, u8>,
    pub(super) identity: Identity,
    /// Who has which digest already, where some addresses took it and others are to be tried again.
    pub(super) progress: Mutex<Progress>,
}

#[derive(Default)]
pub(super) struct Progress {
    digest: String,
    settled: BTreeSet<String>,
    answers: Vec<String>,
    missed: Vec<String>,
    taken: bool,
    /// Since when an address puts us off, over all digests. One that has done so for long is asked each time and not waited for.
    putting_off: BTreeMap<String, Instant>,
}

impl Progress {
    /// Nothing of a digest; what is known of the addresses stays.
    fn begin(&mut self, digest: &str) {
        let putting_off = std::mem::take(&mut self.putting_off);
        *self = Self { digest: digest.to_owned(), putting_off, ..Self::default() };
    }

    fn puts_off(&mut self, to: &str) -> bool {
        let since = *self.putting_off.entry(to.to_owned()).or_insert_with(Instant::now);
        since.elapsed() >= HOLDS_UP
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email").field("to", &self.to).field("via", &self.via()).finish_non_exhaustive()
    }
}

impl Channel for Email {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn describe(&self) -> String {
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        format!("{} via {}", to.join(", "), self.via())
    }

    fn deliver<'a>(&'a self, digest: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        Box::pin(async move {
            let message = match self.message(digest) {
                Ok(message) => message.formatted(),
                Err(why) => return Delivery::Refused(why),
            };
            match timeout(ALL, self.send(&digest.id, &message)).await {
                Ok(Ok(delivery)) => delivery,
                Ok(Err(failed)) => self.judge(&failed),
                Err(_) => again(format!("{} did not finish within {} s", self.via(), ALL.as_secs())),
            }
        })
    }
}

/// Where the conversation broke off. A lasting refusal before addresses and message were spoken of is about us (a password, a block
/// list, what we call ourselves), not about this message: it may well be lifted, and every other message would fare the same.
enum Failed {
    Setup(String),
    Greeting(Error),
    Message(Error),
}

impl Email {
    fn via(&self) -> String {
        let scheme = match self.server.security {
            SmtpSecurity::Tls => "smtps",
            SmtpSecurity::StartTls => "smtp+starttls",
            SmtpSecurity::None => "smtp",
        };
        let Server { host, port, .. } = &self.server;
        if host.contains(':') { format!("{scheme}://[{host}]:{port}") } else { format!("{scheme}://{host}:{port}") }
    }

    async fn send(&self, digest: &str, message: &[u8]) -> Result<Delivery, Failed> {
        let mut progress = self.progress.lock().await;
        if progress.digest != digest {
            progress.begin(digest);
        }
        let mut connection = self.connect().await?;
        let utf8 = std::iter::once(&self.from).chain(&self.to).any(|of| !of.email.to_string().is_ascii());
        let parameters = if utf8 && connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            vec![MailParameter::SmtpUtfEight]
        } else {
            Vec::new()
        };
        connection.command(Mail::new(Some(self.from.email.clone()), parameters)).await.map_err(Failed::Greeting)?;
        let mut accepted = Vec::new();
        let mut deferred = Vec::new();
        let mut late = Vec::new();
        for to in self.to.iter().map(|to| &to.email) {
            if progress.settled.contains(&to.to_string()) {
                continue;
            }
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {
                    progress.putting_off.remove(&to.to_string());
                    accepted.push(to.to_string());
                }
                Err(error) if error.is_transient() || is_about_us(&error) || is_policy(&error) => {
                    let words = format!("{to}: {}", self.words(&error));
                    if progress.puts_off(to.as_ref()) { late.push(words) } else { deferred.push(words) }
                }
                Err(error) if error.is_permanent() => {
                    progress.settled.insert(to.to_string());
                    progress.missed.push(format!("{to} refused: {}", self.words(&error)));
                }
                Err(error) => return Err(Failed::Message(error)),
            }
        }
        if !accepted.is_empty() {
            connection.command(Data).await.map_err(Failed::Message)?;
            let answer = connection.message(message).await.map_err(Failed::Message)?;
            let words: Vec<&str> = answer.message().collect();
            progress.taken = true;
            progress.settled.extend(accepted);
            progress.answers.push(line(&format!("{} {}", answer.code(), words.join(" ")), 300));
        }
        // The message is with the server; how it takes leave changes nothing.
        let _ = timeout(FAREWELL, connection.quit()).await;
        if !deferred.is_empty() || (!late.is_empty() && !progress.taken) {
            deferred.append(&mut late);
            return Ok(again(format!("{}: {}", self.via(), deferred.join("; "))));
        }
        progress.missed.append(&mut late);
        let (answer, missed) = (progress.answers.join("; "), progress.missed.join("; "));
        let taken = progress.taken;
        // Forgotten, so that the same digest offered once more is really sent once more.
        progress.begin("");
        Ok(match (taken, missed.is_empty()) {
            (true, true) => Delivery::Delivered(answer),
            (true, false) => Delivery::Partly { answer, missed },
            (false, _) => Delivery::Refused(format!("{}: {missed}", self.via())),
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failed> {
        let Server { security, host, port, credentials, .. } = &self.server;
        let hello = ClientId::Domain(self.identity.host.to_string());
        let tls = match security {
            SmtpSecurity::None => None,
            SmtpSecurity::Tls | SmtpSecurity::StartTls => Some(self.tls().await.map_err(Failed::Setup)?),
        };
        let (implicit, upgrade) = if *security == SmtpSecurity::Tls { (tls, None) } else { (None, tls) };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((host.as_str(), *port), Some(CONNECT), &hello, implicit, None)
                .await
                .map_err(Failed::Greeting)?;
        if let Some(tls) = upgrade {
            connection.starttls(tls, &hello).await.map_err(Failed::Greeting)?;
        }
        if let Some(credentials) = credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(Failed::Greeting)?;
        }
        Ok(connection)
    }

    async fn tls(&self) -> Result<TlsParameters, String> {
        let (host, ca_file) = (self.server.host.clone(), self.server.ca_file.clone());
        let build = move || {
            let mut builder = TlsParameters::builder(host);
            if let Some(path) = &ca_file {
                builder = builder.certificate_store(CertificateStore::None);
                for certificate in tls::certificates_of(path)? {
                    let certificate = Certificate::from_der(certificate.to_vec()).map_err(|error| error.to_string())?;
                    builder = builder.add_root_certificate(certificate);
                }
            }
            builder.build_rustls().map_err(|error| format!("TLS cannot be set up: {error}"))
        };
        // It reads files.
        tokio::task::spawn_blocking(build).await.map_err(|error| error.to_string())?
    }

    fn judge(&self, failed: &Failed) -> Delivery {
        let via = self.via();
        match failed {
            Failed::Setup(why) => again(format!("{via}: {why}")),
            Failed::Message(error) if error.is_permanent() && !is_about_us(error) => {
                Delivery::Refused(format!("{via}: {}", self.words(error)))
            }
            Failed::Greeting(error) | Failed::Message(error) => again(format!("{via}: {}", self.words(error))),
        }
    }

    /// What the server or the way there said, made fit to be shown.
    fn words(&self, error: &Error) -> String {
        let why = tls::explain(error, &self.server.host);
        let code = error.status().map(|code| format!("{code} ")).unwrap_or_default();
        line(&format!("{code}{why}"), 300)
    }
}

/// 530, 534, 535 and 538: authentication is wanted or has failed (RFC 4954 §6).
fn is_about_us(error: &Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

/// X.7.Y, security or policy (RFC 3463 §3.8): in answer to an address it says that we may not send there (relaying, a block list),
/// not that nobody is there.
fn is_policy(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|words| words.to_string().trim_start().starts_with("5.7."))
}

fn again(reason: String) -> Delivery {
    Delivery::RetryAfter { after: None, reason }
}
