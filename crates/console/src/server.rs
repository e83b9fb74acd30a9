//! The two listeners. Each serves HTTP/1 with limits on connections, heads, bodies and time, and ends with `shutdown`.

use crate::{Console, api, public};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a peer may take over the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long an answer may take that only reads.
pub(crate) const READ: Duration = Duration::from_secs(30);
/// How long one may take that waits for a mail server or a disk.
pub(crate) const ACT: Duration = Duration::from_mins(10);
/// Open connections at once; more wait.
const CONNECTIONS: usize = 64;
const LARGEST_BODY: usize = 64 * 1024;
const LARGEST_HEAD: usize = 16 * 1024;
/// How long answers under way may still take once the end has come.
const GRACE: Duration = Duration::from_secs(2);

/// Why a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("another daemon answers on {0}; stop it first, or give this one its own database")]
    InUse(PathBuf),
    #[error("{0} exists and is no socket; move it away")]
    NotASocket(PathBuf),
    #[error("the socket {path} could not be made: {cause}")]
    Socket { path: PathBuf, cause: io::Error },
    #[error("the console could not listen on {address}: {cause}; choose another `listen` under [console]")]
    Listen { address: SocketAddr, cause: io::Error },
}

/// Serves the API on a Unix socket until `shutdown`; then removes it. The file's mode is 0660: whoever may open it may
/// do everything.
///
/// A socket left by a daemon that is gone is replaced, one that somebody answers on never.
pub async fn serve_unix(path: &Path, console: Arc<Console>, shutdown: CancellationToken) -> Result<(), ConsoleError> {
    let bound = bind_unix(path).await?;
    bound.serve(console, shutdown).await;
    Ok(())
}

/// Serves health and metrics, and nothing else, on a TCP address until `shutdown`.
pub async fn serve_tcp(
    address: SocketAddr,
    console: Arc<Console>,
    shutdown: CancellationToken,
) -> Result<(), ConsoleError> {
    let bound = bind_tcp(address).await?;
    bound.serve(console, shutdown).await;
    Ok(())
}

/// A Unix socket that listens, not yet served: for those who must know that it stands before they go on.
#[derive(Debug)]
pub struct BoundUnix {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: tells our file from one that took its place.
    file: (u64, u64),
}

/// A TCP address that listens, not yet served.
#[derive(Debug)]
pub struct BoundTcp {
    listener: TcpListener,
}

/// The first half of [`serve_unix`].
pub async fn bind_unix(path: &Path) -> Result<BoundUnix, ConsoleError> {
    let failed = |cause| ConsoleError::Socket { path: path.to_owned(), cause };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ConsoleError::NotASocket(path.to_owned())),
        Ok(_) => match timeout(Duration::from_secs(2), UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Ok(Err(error)) => return Err(failed(error)),
            // It answers, or is too busy to.
            Ok(Ok(_)) | Err(_) => return Err(ConsoleError::InUse(path.to_owned())),
        },
    }
    // Made under another name and moved when its mode is right: at no instant can anybody else open it.
    let mut unborn = path.as_os_str().to_owned();
    unborn.push(format!(".{}", std::process::id()));
    let unborn = PathBuf::from(unborn);
    let _ = fs::remove_file(&unborn);
    let listener = UnixListener::bind(&unborn).map_err(failed)?;
    let placed = fs::set_permissions(&unborn, fs::Permissions::from_mode(0o660))
        .and_then(|()| fs::rename(&unborn, path))
        .and_then(|()| identity(path));
    match placed {
        Ok(file) => Ok(BoundUnix { listener, path: path.to_owned(), file }),
        Err(error) => {
            let _ = fs::remove_file(&unborn);
            Err(failed(error))
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The first half of [`serve_tcp`].
pub async fn bind_tcp(address: SocketAddr) -> Result<BoundTcp, ConsoleError> {
    let listener = TcpListener::bind(address).await.map_err(|cause| ConsoleError::Listen { address, cause })?;
    Ok(BoundTcp { listener })
}

impl BoundUnix {
    /// The second half of [`serve_unix`].
    pub async fn serve(self, console: Arc<Console>, shutdown: CancellationToken) {
        let router = limited(api::router(console, shutdown.clone()));
        let listener = &self.listener;
        serve(|| async { listener.accept().await.map(|(stream, _)| stream) }, router, shutdown).await;
    }
}

/// Also where it was never served: a start that fails further on leaves nothing behind.
impl Drop for BoundUnix {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl BoundTcp {
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The second half of [`serve_tcp`].
    pub async fn serve(self, console: Arc<Console>, shutdown: CancellationToken) {
        let router = limited(public::router(console));
        let listener = &self.listener;
        serve(|| async { listener.accept().await.map(|(stream, _)| stream) }, router, shutdown).await;
    }
}

fn limited(router: Router) -> Router {
    router.layer(middleware::from_fn(in_time)).layer(DefaultBodyLimit::max(LARGEST_BODY))
}

async fn in_time(request: Request, next: Next) -> Response {
    let patience = if request.method() == hyper::Method::GET { READ } else { ACT };
    match timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => crate::refusal::Refusal {
            status: axum::http::StatusCode::GATEWAY_TIMEOUT,
            message: format!("no answer within {} s", patience.as_secs()),
        }
        .into_response(),
    }
}

async fn serve<S, F>(accept: impl Fn() -> F, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>>,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let seat = Arc::clone(&room).acquire_owned().await.ok();
            (seat, accept().await)
        };
        let (seat, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("a console connection could not be accepted: {error}");
                // Out of descriptors, most likely: the next would fail at once too.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a console connection ended badly: {error}");
            }
            drop(seat);
        });
    }
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::debug!("console connections were cut at the end");
    }
}
