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
use tokio::{task::spawn_blocking, time::timeout};

/// A disk that hangs for longer is not waited for; what it still writes then is written twice.
const PATIENCE: Duration = Duration::from_secs(30);

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
            let mut lines = Vec::new();
            for notice in &digest.notices {
                lines.extend_from_slice(json_line(notice).as_bytes());
                lines.push(b'\n');
            }
            let sink = Arc::clone(&self.sink);
            let put = spawn_blocking(move || sink.lock().unwrap_or_else(PoisonError::into_inner).put(&lines));
            let again = |reason: String| Delivery::RetryAfter { after: None, reason };
            match timeout(PATIENCE, put).await {
                Ok(Ok(Ok(()))) => {
                    let lines = count(digest.notices.len(), "line", "lines");
                    Delivery::Delivered(format!("{lines} written to {}", self.place))
                }
                Ok(Ok(Err(error))) => again(format!("{} cannot be written: {}", self.place, advice(&error))),
                Ok(Err(error)) => again(format!("writing {} was broken off: {error}", self.place)),
                Err(_) => again(format!("{} has not taken the lines within {} s", self.place, PATIENCE.as_secs())),
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
