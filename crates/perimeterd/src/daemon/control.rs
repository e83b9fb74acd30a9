//! The running daemon, as the console and the signals see it.

use super::{packets::Packets, retention::Roll, source::Source};
use crate::fingerprints;
use arc_swap::ArcSwap;
use config::{ChannelConfig, Config, Interval};
use console::{Control, ControlFuture, LaneView, ProfileView, RecipientView, Review};
use identify::Roots;
use model::{CheckState, Clock, Delivery, EngineStatus, Event, Lane, StatusReport, format_duration};
use monitor::{Handle, Snapshot};
use notifiers::{Failure, Identity, Pipeline};
use probe::{Backend, Dialer, DialerSettings};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};
use store::Store;
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

const STOPPING: &str = "the daemon is stopping";

#[derive(Debug)]
pub(crate) struct DaemonControl {
    source: Source,
    config: ArcSwap<Config>,
    store: Store,
    handle: Handle,
    pipeline: Pipeline,
    dialer: Dialer,
    packets: Packets,
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// By which roots certificates are judged, in words.
    roots: String,
    started: jiff::Timestamp,
    /// One reload at a time.
    reloading: Mutex<()>,
    roll: std::sync::Mutex<Roll>,
}

impl DaemonControl {
    #[expect(clippy::too_many_arguments, reason = "the rooms, each once")]
    pub(crate) fn new(
        source: Source,
        config: Arc<Config>,
        store: Store,
        handle: Handle,
        pipeline: Pipeline,
        dialer: Dialer,
        packets: Packets,
        identity: Identity,
        clock: Arc<dyn Clock>,
        roots: String,
    ) -> Self {
        let started = clock.now();
        let roll = Roll::of(recipients(&config)).into();
        Self {
            source,
            config: ArcSwap::new(config),
            store,
            handle,
            pipeline,
            dialer,
            packets,
            identity,
            clock,
            roots,
            started,
            reloading: Mutex::new(()),
            roll,
        }
    }

    /// Reads the configuration again and puts it in force whole; one that is wrong changes nothing.
    async fn reload_all(&self) -> Result<String, String> {
        let _one = self.reloading.lock().await;
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error:#}"))?;
        let running = self.config.load_full();
        let mut config = loaded;
        let mut later = Vec::new();
        // What the running process is built on stays as it is until a restart.
        if config.sensor.name != running.sensor.name {
            later.push("[sensor] name");
            config.sensor.name = running.sensor.name.clone();
        }
        if config.store.path != running.store.path {
            later.push("[store] path");
            config.store.path.clone_from(&running.store.path);
        }
        if config.console.listen != running.console.listen {
            later.push("[console] listen");
            config.console.listen = running.console.listen;
        }
        if config.sensor.resolvers != running.sensor.resolvers {
            later.push("[sensor] resolvers");
            config.sensor.resolvers.clone_from(&running.sensor.resolvers);
        }
        let sensor = &mut config.sensor;
        if sensor.mode != running.sensor.mode {
            later.push("[sensor] mode");
            sensor.mode = running.sensor.mode;
        }
        if sensor.interface != running.sensor.interface {
            later.push("[sensor] interface");
            sensor.interface.clone_from(&running.sensor.interface);
        }
        if config.tls != running.tls {
            later.push("[tls] roots");
            config.tls = running.tls.clone();
        }
        if config.identify != running.identify {
            later.push("[identify]");
            config.identify = running.identify.clone();
        }
        let config = Arc::new(config);
        self.roll.lock().unwrap_or_else(PoisonError::into_inner).add(recipients(&config));
        self.dialer.reconfigure(dialer_settings(&config));
        self.dialer.set_second_source(config.sensor.second_source);
        self.handle.reload(config.clone()).await.map_err(|_| STOPPING.to_owned())?;
        self.pipeline.reconfigure(notifiers::outlets(&config, &self.identity));
        self.config.store(config);
        let said = "the new configuration is in force";
        Ok(if later.is_empty() {
            said.to_owned()
        } else {
            format!("{said}; {} needs a restart and stays as it was", later.join(", "))
        })
    }

    /// Reads the operator's rules again from where the running configuration says they are, and looks at what is kept with them.
    async fn relabel_all(&self) -> Result<String, String> {
        let _one = self.reloading.lock().await;
        let wanted = self.config.load().identify.clone();
        let rules = tokio::task::spawn_blocking(move || fingerprints::load(&wanted))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error:#}; the rules in force stay"))?;
        self.dialer.use_fingerprints(rules);
        self.handle.relabel().await.map(|done| done.to_string()).map_err(|_| STOPPING.to_owned())
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub(crate) fn retention(&self) -> Duration {
        self.config.load().store.retention
    }

    /// Who was configured at any time since this was asked last, or since the start.
    pub(super) fn recipients_of_the_day(&self) -> BTreeSet<String> {
        let mut roll = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
        roll.turn(recipients(&self.config.load()))
    }

    /// For SIGHUP, which nobody waits on.
    pub(crate) async fn reload_and_log(&self) {
        match self.reload_all().await {
            Ok(said) => tracing::info!("{said}"),
            Err(diagnostics) => tracing::error!("nothing was changed by the reload: {diagnostics}"),
        }
    }

    async fn report(&self) -> StatusReport {
        let Snapshot { lanes, not_enumerable, reasons, halted, hosts, endpoints, certificates, events, .. } =
            self.handle.snapshot();
        let config = self.config.load();
        let delivery = self.pipeline.status().await;
        let mut reasons: Vec<String> = reasons.into_values().collect();
        for stuck in delivery.iter().filter(|delivery| delivery.last_error.is_some() && delivery.backlog > 0) {
            let error = stuck.last_error.as_deref().unwrap_or_default();
            reasons.push(format!("{} alerts wait for {}: {error}", stuck.backlog, stuck.recipient));
        }
        if halted {
            reasons.push("probing is halted; `perimeterd resume` lets it go on".to_owned());
        }
        let choice = self.packets.choice();
        StatusReport {
            sensor: config.sensor.name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: self.mode(choice.backend).to_owned(),
            mode_why: choice.why,
            roots: self.roots.clone(),
            started: self.started,
            now: self.clock.now(),
            state: if reasons.is_empty() { CheckState::Ok } else { CheckState::Degraded },
            reasons,
            halted,
            hosts,
            endpoints,
            certificates,
            events,
            vantages: 1,
            not_enumerable,
            engine: self.engine(choice.backend),
            lanes,
            delivery,
        }
    }

    /// None where it has nothing to do: it is there in case that a way comes up.
    fn engine(&self, backend: Backend) -> Option<EngineStatus> {
        let counters = self.dialer.raw()?.counters();
        if backend == Backend::Connect && counters.sent == 0 {
            return None;
        }
        Some(EngineStatus {
            rate: counters.rate,
            limited_by: counters.limiting.as_str().to_owned(),
            sent: counters.sent,
            unsent: counters.unsent,
            answers: counters.heard,
            forged: counters.forged,
            ring_drops: counters.dropped,
            canaries: counters.canaries,
            canaries_missed: counters.canaries_missed,
        })
    }

    /// How TCP is asked.
    fn mode(&self, backend: Backend) -> &'static str {
        match backend {
            Backend::Raw => "raw",
            Backend::Connect if self.dialer.tells_refusals_apart() => "connect",
            Backend::Connect => "connect, without CAP_NET_RAW",
        }
    }

    async fn test(&self, recipient: &str) -> Result<Delivery, String> {
        let config = self.config.load_full();
        let Some((name, settings)) = config.recipients.get_key_value(recipient) else {
            let known: Vec<_> = config.recipients.keys().map(ToString::to_string).collect();
            return Err(match known.as_slice() {
                [] => "the configuration has no recipients".to_owned(),
                known => format!("no recipient is named `{recipient}`; there are: {}", known.join(", ")),
            });
        };
        let channel = notifiers::build(name, settings, &config, &self.identity).map_err(|error| error.to_string())?;
        let digest = notifiers::test_digest(name, &self.identity);
        Ok(channel.deliver(&digest).await)
    }
}

fn recipients(config: &Config) -> impl Iterator<Item = String> + '_ {
    config.recipients.keys().map(ToString::to_string)
}

impl Control for DaemonControl {
    fn status(&self) -> ControlFuture<'_, StatusReport> {
        Box::pin(self.report())
    }

    fn is_ready(&self) -> bool {
        self.handle.snapshot().ready
    }

    fn halt(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async { self.handle.halt(true).await.map_err(|gone| gone.to_string()) })
    }

    fn resume(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async { self.handle.halt(false).await.map_err(|gone| gone.to_string()) })
    }

    fn review(&self, review: Review) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let Review { addresses, withdraw, by } = review;
            let done = self.handle.review(addresses, withdraw, by).await.map_err(|gone| gone.to_string())?;
            Ok(done.to_string())
        })
    }

    fn scan_now<'a>(&'a self, profile: &'a str) -> ControlFuture<'a, Result<String, String>> {
        Box::pin(async { self.handle.scan_now(profile).await.map_err(|gone| gone.to_string())? })
    }

    fn reload(&self) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(self.reload_all())
    }

    fn relabel(&self) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(self.relabel_all())
    }

    fn notify_test<'a>(&'a self, recipient: &'a str) -> ControlFuture<'a, Result<Delivery, String>> {
        Box::pin(self.test(recipient))
    }

    fn backup<'a>(&'a self, path: &'a Path) -> ControlFuture<'a, Result<(), String>> {
        Box::pin(async { self.store.reader().backup(path).await.map_err(|error| error.to_string()) })
    }

    fn profiles(&self) -> Vec<ProfileView> {
        let config = self.config.load();
        let words = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        let profiles = config.profiles.iter().map(|(name, profile)| {
            let scan = &profile.scan;
            let periods = [
                (Lane::Hot, scan.hot),
                (Lane::Known, scan.known),
                (Lane::Likely, scan.likely),
                (Lane::Full, scan.full),
            ];
            ProfileView {
                name: name.to_string(),
                active: profile.active,
                assets: words(&profile.assets),
                rulesets: words(&profile.rulesets),
                lanes: periods
                    .into_iter()
                    .filter_map(|(lane, period)| Some(LaneView { lane, every: format_duration(period?) }))
                    .collect(),
            }
        });
        profiles.collect()
    }

    fn recipients(&self) -> Vec<RecipientView> {
        let config = self.config.load();
        let recipients = config.recipients.iter().map(|(name, recipient)| {
            let to = notifiers::build(name, recipient, &config, &self.identity)
                .map_or_else(|error| error.to_string(), |channel| channel.describe());
            RecipientView {
                name: name.to_string(),
                channel: match &recipient.channel {
                    ChannelConfig::Email { .. } => "email",
                    ChannelConfig::Syslog(_) => "syslog",
                    ChannelConfig::Jsonl(_) => "jsonl",
                }
                .to_owned(),
                to,
                every: match recipient.every {
                    Interval::Immediate => "immediate".to_owned(),
                    Interval::Never => "never".to_owned(),
                    Interval::Every(period) => format_duration(period),
                },
                profiles: recipient.profiles.iter().map(ToString::to_string).collect(),
                min_severity: recipient.min_severity,
            }
        });
        recipients.collect()
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.handle.subscribe()
    }
}

/// Turns digests that were given up into `NOTIFY_FAILED`.
pub(crate) async fn report_failures(
    mut failures: mpsc::Receiver<Failure>,
    handle: Handle,
    shutdown: CancellationToken,
) {
    loop {
        let failure = tokio::select! {
            failure = failures.recv() => failure,
            () = shutdown.cancelled() => return,
        };
        let Some(failure) = failure else { return };
        tracing::error!(recipient = %failure.recipient, channel = %failure.channel, alerts = failure.alerts, given_up = failure.given_up, "delivery failed: {}", failure.reason);
        if handle.delivery_failed(failure).await.is_err() {
            return;
        }
    }
}

pub(crate) fn identity(config: &Config, clock: &Arc<dyn Clock>) -> Identity {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Identity::new(&config.sensor.name, &node, env!("CARGO_PKG_VERSION"), Some(std::process::id()), clock.clone())
}

pub(crate) fn dialer_settings(config: &Config) -> DialerSettings {
    DialerSettings {
        rate: config.sensor.rate,
        rate_per_host: config.sensor.rate_per_host,
        source: config.sensor.source,
        identity: probe::Identity {
            sensor: config.sensor.name.clone(),
            contact: config.sensor.contact.as_deref().map(Into::into),
            version: env!("CARGO_PKG_VERSION").into(),
        },
    }
}

/// The public roots, and the operator's own.
pub(crate) fn roots(config: &Config) -> anyhow::Result<Roots> {
    let mut roots = Roots::public();
    for path in &config.tls.roots {
        let pem = std::fs::read(path)
            .map_err(|error| anyhow::anyhow!("the roots in {} could not be read: {error}", path.display()))?;
        roots = roots
            .with_pem(&pem)
            .map_err(|error| anyhow::anyhow!("the roots in {} could not be used: {error}", path.display()))?;
    }
    Ok(roots)
}
