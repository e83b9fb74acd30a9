//! A stream to a collector that notices when the other end is gone.
//!
//! Syslog has no acknowledgement: a write succeeds as long as the system has room, also when nobody will ever read it. So the
//! read side is watched all the time (a collector never speaks, but its end and its reset arrive there), and a batch only counts
//! as taken when the stream still stands a moment after it was written.

use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf},
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

/// How long after a batch the stream must still stand.
const SETTLE: Duration = Duration::from_millis(200);
/// How long a collector may take no byte of a batch.
const STALL: Duration = Duration::from_secs(20);
const FAREWELL: Duration = Duration::from_secs(1);
/// A collector that talks back more than this is none.
const CHATTER: usize = 64 * 1024;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// When and why a stream ended.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) at: Instant,
    pub(super) why: String,
}

struct Batch {
    bytes: Vec<u8>,
    answer: oneshot::Sender<Result<(), Lost>>,
}

/// The near end. Dropping it closes the stream properly (with `close_notify` in TLS).
#[derive(Debug)]
pub(super) struct Link {
    batches: mpsc::Sender<Batch>,
    lost: watch::Receiver<Option<Lost>>,
}

impl Link {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let (batches, work) = mpsc::channel(1);
        let (end, lost) = watch::channel(None);
        tokio::spawn(async move {
            if let Some(lost) = serve(stream, work).await {
                end.send_replace(Some(lost));
            }
        });
        Self { batches, lost }
    }

    /// The end of the stream, where it has ended.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost.borrow().clone()
    }

    /// Writes a batch and waits until it counts as taken.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), Lost> {
        let (answer, taken) = oneshot::channel();
        let gone =
            || self.lost().unwrap_or_else(|| Lost { at: Instant::now(), why: "the connection is closed".to_owned() });
        if self.batches.send(Batch { bytes, answer }).await.is_err() {
            return Err(gone());
        }
        taken.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn serve(stream: Box<dyn Stream>, mut work: mpsc::Receiver<Batch>) -> Option<Lost> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let lost = |why: String| Lost { at: Instant::now(), why };
    loop {
        let batch = tokio::select! {
            biased;
            why = end_of(&mut reader) => return Some(lost(why)),
            batch = work.recv() => batch,
        };
        let Some(batch) = batch else {
            // Nobody is left to tell how the farewell went.
            let _ = timeout(FAREWELL, writer.shutdown()).await;
            return None;
        };
        let write = async {
            for part in batch.bytes.chunks(16 * 1024) {
                match timeout(STALL, writer.write_all(part)).await {
                    Ok(written) => written.map_err(|error| error.to_string())?,
                    Err(_) => return Err(format!("it took no data for {} s", STALL.as_secs())),
                }
            }
            match timeout(STALL, writer.flush()).await {
                Ok(flushed) => flushed.map_err(|error| error.to_string()),
                Err(_) => Err(format!("it took no data for {} s", STALL.as_secs())),
            }
        };
        let written = tokio::select! {
            why = end_of(&mut reader) => Err(why),
            written = write => written,
        };
        let settled = match written {
            Ok(()) => timeout(SETTLE, end_of(&mut reader)).await.map_or(Ok(()), Err),
            Err(why) => Err(why),
        };
        let failed = settled.err().map(lost);
        // Whoever asked may have given up waiting.
        let _ = batch.answer.send(failed.clone().map_or(Ok(()), Err));
        if failed.is_some() {
            return failed;
        }
    }
}

/// Resolves when the other end has ended the stream, with the reason. What it says is read and forgotten.
async fn end_of(reader: &mut ReadHalf<Box<dyn Stream>>) -> String {
    let mut heard = 0;
    let mut buffer = [0; 1024];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return "the other end closed the connection".to_owned(),
            Ok(read) => heard += read,
            Err(error) => return format!("the connection broke: {error}"),
        }
        if heard > CHATTER {
            return "the other end talks; it is no syslog collector".to_owned();
        }
    }
}
