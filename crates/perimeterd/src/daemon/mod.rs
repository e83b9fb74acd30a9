//! The daemon: assembly of the rooms, signals, and the end.

mod announce;
mod control;
mod packets;
mod retention;
mod signals;
mod source;
mod watchdog;

use crate::{fingerprints, paths};
use announce::Announcer;
use anyhow::{Context, anyhow};
use console::Console;
use control::DaemonControl;
use model::{Clock, SystemClock, Vantage};
use monitor::{Monitor, Parts, Wired, scope_of};
use notifiers::Pipeline;
use packets::Packets;
use probe::{Dialer, HickoryResolver, Place};
use scope::ScopeHandle;
use signals::Signals;
use source::Source;
use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use store::Store;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Everything has ended by then after a request to end, or is ended by force.
const END_WITHIN: Duration = Duration::from_millis(4_500);

/// What the command line says about a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunOptions {
    /// None: the installed configuration, or else the embedded one.
    pub config: Option<PathBuf>,
    /// One more socket to listen on.
    pub socket: Option<PathBuf>,
}

pub(crate) async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    // Before anything can fail half way: a signal during the start must end it cleanly too.
    let mut signals = Signals::listen().context("the signals could not be listened to")?;
    let source = Source::find(options.config)?;
    let config = Arc::new(source.load()?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opening = {
        let (path, clock) = (config.store.path.clone(), clock.clone());
        let options = store::Options { vantage: Vantage(config.sensor.name.clone()), ..store::Options::default() };
        tokio::task::spawn_blocking(move || Store::open(&path, clock, &options))
    };
    let store = tokio::select! {
        opened = watchdog::patiently(opening) => opened??,
        // Checking a large database takes a while, and nothing is lost by leaving it at that.
        name = signals.end() => {
            tracing::info!(signal = name, "ending before the database was open");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let identity = control::identity(&config, &clock);
    let scope = ScopeHandle::new(scope_of(&config));
    let dialer = Dialer::new(scope.clone(), clock.clone(), control::dialer_settings(&config));
    dialer.set_second_source(config.sensor.second_source);
    if !dialer.tells_refusals_apart() {
        tracing::info!(
            "without CAP_NET_RAW a firewall's REJECT reads like a closed port, and such closures take longer to be confirmed"
        );
    }
    dialer.use_fingerprints(fingerprints::load(&config.identify)?);
    dialer.ask_fragile(config.identify.fragile_ports.clone());
    let packets = Packets::open(&config, &dialer).await?;
    let resolver = HickoryResolver::new(&config.sensor.resolvers).context("the resolver could not be set up")?;
    let roots = Arc::new(control::roots(&config)?);
    let judged_by = roots.edition();
    let network = Arc::new(Wired::new(dialer.clone(), Arc::new(resolver), roots, Place::watch()));
    let owed = Arc::new(Notify::new());
    let (pipeline, failures) =
        Pipeline::new(Arc::new(store.clone()), notifiers::outlets(&config, &identity), clock.clone());
    let parts = Parts {
        config: config.clone(),
        journal: Arc::new(store.clone()),
        network,
        scope,
        clock: clock.clone(),
        seed: RandomState::new().hash_one(std::process::id()),
        owed: owed.clone(),
    };
    let (monitor, handle) = watchdog::patiently(Monitor::start(parts)).await?;
    let control = Arc::new(DaemonControl::new(
        source.clone(),
        config.clone(),
        store.clone(),
        handle.clone(),
        pipeline.clone(),
        dialer,
        packets,
        identity,
        clock.clone(),
        judged_by,
    ));
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    serve(&mut tasks, &config, options.socket.as_deref(), &control, &store, &shutdown).await?;
    let announcer = Announcer::new(source.is_embedded(), store.reader());
    announcer.begin(&config).await?;
    tasks.spawn(announcer.run(handle.subscribe(), shutdown.clone()));
    tasks.spawn(nudge(pipeline.clone(), owed, shutdown.clone()));
    tasks.spawn(control::report_failures(failures, handle.clone(), shutdown.clone()));
    tasks.spawn(retention::keep(store.clone(), control.clone(), shutdown.clone()));
    tasks.spawn(watchdog::run(handle.clone(), shutdown.clone()));
    let delivery = {
        let (pipeline, shutdown) = (pipeline.clone(), shutdown.clone());
        tokio::spawn(async move { pipeline.run(shutdown.cancelled_owned()).await })
    };
    let mut watching = tokio::spawn(monitor.run(shutdown.clone()));
    watchdog::ready(&config);
    tracing::info!(
        sensor = %config.sensor.name,
        database = %config.store.path.display(),
        profiles = config.profiles.len(),
        "perimeterd {} watches",
        env!("CARGO_PKG_VERSION")
    );

    let mut damage = None;
    let ended = loop {
        tokio::select! {
            ended = &mut watching => break Some(ended),
            // Found by the check of a large file, or by whoever read in it. What is told from now on could not be kept.
            found = store.damage() => {
                damage = Some(found);
                break None;
            }
            signal = signals.next() => match signal {
                // Beside the loop: one that has to wait for a full disk must not keep the next signal waiting.
                signals::Signal::Reload => {
                    let control = control.clone();
                    tasks.spawn(async move { control.reload_and_log().await });
                }
                signals::Signal::End(name) => {
                    tracing::info!(signal = name, "ending");
                    break None;
                }
            },
        }
    };
    watchdog::stopping();
    shutdown.cancel();
    let end = async {
        let ended = match ended {
            Some(ended) => ended,
            None => watching.await,
        };
        if delivery.await.is_err() {
            tracing::error!("delivery ended in a bug; what was under way is repeated at the next start");
        }
        while tasks.join_next().await.is_some() {}
        let closed = store.close().await;
        (ended, closed)
    };
    let Ok((ended, closed)) = tokio::time::timeout(END_WITHIN, end).await else {
        tracing::warn!("something did not end in time and is ended by force; everything committed is safe");
        return damage.map_or(Ok(ExitCode::SUCCESS), |damage| Err(damage.into()));
    };
    if let Some(damage) = damage {
        return Err(damage.into());
    }
    ended.map_err(|error| anyhow!("the monitor ended in a bug: {error}"))??;
    closed.context("the database could not be closed properly")?;
    Ok(ExitCode::SUCCESS)
}

/// Opens every way in: the socket beside the database, the one of the unit, an extra one, and TCP for health and metrics.
async fn serve(
    tasks: &mut JoinSet<()>,
    config: &config::Config,
    extra: Option<&Path>,
    control: &Arc<DaemonControl>,
    store: &Store,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let console = Console::new(control.clone(), store.reader(), Arc::new(SystemClock), vec![node]);
    let mut sockets = vec![paths::socket_beside(&config.store.path)];
    sockets.extend(paths::runtime_socket());
    sockets.extend(extra.map(Path::to_owned));
    sockets.sort();
    sockets.dedup();
    for path in sockets {
        let bound = console::bind_unix(&path).await?;
        tasks.spawn(bound.serve(console.clone(), shutdown.clone()));
    }
    if let Some(address) = config.console.listen {
        match console::bind_tcp(address).await {
            Ok(bound) => {
                tasks.spawn(bound.serve(console.clone(), shutdown.clone()));
            }
            // Nobody asked for this port by name; another program on it must not spoil a first try.
            Err(error) if config.sources.is_empty() => tracing::warn!(%error, "no health checks and metrics this time"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Wakes the pipeline whenever something was committed that somebody is owed.
async fn nudge(pipeline: Pipeline, owed: Arc<Notify>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = owed.notified() => pipeline.nudge(),
            () = shutdown.cancelled() => return,
        }
    }
}
