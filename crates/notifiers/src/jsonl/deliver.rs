use super::KIND;
use crate::{Channel, Digest, json_line, plain::count};
use model::Delivery;
use std::{
    fmt,
    future::Future,
    io::{self, Write as _},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// A disk or a pipe that hangs for longer is left to itself until the next attempt.
const PATIENCE: Duration = Duration::from_secs(25);

/// Where whole lines go.
pub(super) trait Sink: Send {
    /// Writes the lines (each with its end) so that they survive a crash, or leaves a place where later lines are not harmed.
    fn put(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Sink for io::Stdout {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(lines)?;
        out.flush()
    }
}

pub(super) struct Jsonl {
    pub(super) place: String,
    pub(super) sink: Arc<Mutex<Box<dyn Sink>>>,
    pub(super) patience: Duration,
    /// The digest being written. A second thread for it would only wait behind the first, and then write it twice.
    under_way: tokio::sync::Mutex<Option<(String, Writing)>>,
}

type Writing = JoinHandle<io::Result<()>>;

impl Jsonl {
    pub(super) fn new(place: String, sink: Arc<Mutex<Box<dyn Sink>>>) -> Self {
        Self { place, sink, patience: PATIENCE, under_way: tokio::sync::Mutex::default() }
    }

    fn begin(&self, digest: &Digest) -> Writing {
        let mut lines = Vec::new();
        for notice in &digest.notices {
            lines.extend_from_slice(json_line(notice).as_bytes());
            lines.push(b'\n');
        }
        let sink = Arc::clone(&self.sink);
        spawn_blocking(move || sink.lock().unwrap_or_else(PoisonError::into_inner).put(&lines))
    }

    /// The error is a sentence.
    async fn write(&self, digest: &Digest) -> Result<(), String> {
        let hangs = |_| format!("{} has not taken the lines within {} s", self.place, self.patience.as_secs());
        let mut under_way = self.under_way.lock().await;
        // One that was given up meanwhile: what became of it is for nobody any more.
        if let Some((_, other)) = under_way.as_mut().filter(|(of, _)| *of != digest.id) {
            let _ = timeout(self.patience, other).await.map_err(hangs)?;
            *under_way = None;
        }
        let (_, writing) = under_way.get_or_insert_with(|| (digest.id.clone(), self.begin(digest)));
        let written = timeout(self.patience, writing).await.map_err(hangs)?;
        *under_way = None;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{} cannot be written: {}", self.place, advice(&error))),
            Err(error) => Err(format!("writing {} was broken off: {error}", self.place)),
        }
    }
}

impl fmt::Debug for Jsonl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jsonl").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Channel for Jsonl {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn describe(&self) -> String {
        format!("JSON Lines to {}", self.place)
    }

    fn deliver<'a>(&'a self, digest: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        Box::pin(async move {
            match self.write(digest).await {
                Ok(()) => {
                    let lines = count(digest.notices.len(), "line", "lines");
                    Delivery::Delivered(format!("{lines} written to {}", self.place))
                }
                Err(reason) => Delivery::RetryAfter { after: None, reason },
            }
        })
    }
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist; create it".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; let the daemon's user write there".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full; free some space".to_owned(),
        io::ErrorKind::BrokenPipe => "nobody reads it any more".to_owned(),
        _ => error.to_string(),
    }
}
