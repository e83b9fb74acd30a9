//! A mail server of a few lines, which answers as told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Sink {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Every command line, in order, of all conversations.
    pub(crate) commands: Vec<String>,
    pub(crate) messages: Vec<String>,
    pub(crate) encrypted: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Manner {
    pub(crate) implicit_tls: Option<TlsAcceptor>,
    pub(crate) starttls: Option<TlsAcceptor>,
    /// Answers to command lines that begin so, instead of agreement; each list is used up from its front, the last for ever.
    pub(crate) answers: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (manner, ours) = (Arc::new(Mutex::new(manner)), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (implicit, starttls) = {
                    let manner = manner.lock().expect("not poisoned");
                    (manner.implicit_tls.clone(), manner.starttls.clone())
                };
                // How a conversation ends is judged by what was seen of it.
                if let Some(acceptor) = implicit {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        ours.lock().expect("not poisoned").encrypted = true;
                        talk(stream, &manner, &ours, true, false).await;
                    }
                } else if let Some(stream) = talk(stream, &manner, &ours, true, starttls.is_some()).await
                    && let Some(acceptor) = starttls
                    && let Ok(stream) = acceptor.accept(stream).await
                {
                    ours.lock().expect("not poisoned").encrypted = true;
                    talk(stream, &manner, &ours, false, false).await;
                }
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Gives the stream back where it is to be encrypted.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    manner: &Mutex<Manner>,
    seen: &Mutex<Seen>,
    greet: bool,
    offer_tls: bool,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(b"220 sink.example.org ESMTP\r\n").await.ok()?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let command = line.trim_end().to_owned();
        seen.lock().expect("not poisoned").commands.push(command.clone());
        let told = {
            let mut manner = manner.lock().expect("not poisoned");
            manner.answers.iter_mut().find(|(start, _)| command.starts_with(**start)).and_then(|(_, answers)| {
                if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().copied() }
            })
        };
        let answer = match (told, command.split(' ').next().unwrap_or_default()) {
            (Some(answer), _) => format!("{answer}\r\n"),
            (None, "EHLO") if offer_tls => "250-sink\r\n250-STARTTLS\r\n250 8BITMIME\r\n".to_owned(),
            (None, "EHLO") => "250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n".to_owned(),
            (None, "STARTTLS") => {
                stream.write_all(b"220 go ahead\r\n").await.ok()?;
                return Some(stream.into_inner());
            }
            (None, "DATA") => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut message = String::new();
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await.ok()? == 0 {
                        return None;
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    message.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                seen.lock().expect("not poisoned").messages.push(message);
                "250 2.0.0 Ok: queued as 4711\r\n".to_owned()
            }
            (None, "QUIT") => "221 bye\r\n".to_owned(),
            (None, _) => "250 ok\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
