//! One run: the world, the daemon in it, and what is done to both.

use super::{
    Scenario, SimulationError,
    build::World,
    journal::Memory,
    judge,
    network::Simulated,
    oracle::Oracle,
    report::Report,
    script::{Deed, Script, text_of},
};
use crate::TokioClock;
use config::{Config, Surroundings};
use monitor::{Handle, Monitor, MonitorError, Parts, scope_of};
use scope::ScopeHandle;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Reads a scenario.
pub fn load(path: &Path) -> Result<Scenario, SimulationError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SimulationError::Scenario(format!("{}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| SimulationError::Scenario(format!("{}: {error}", path.display())))
}

/// Runs a scenario, for as long as it says or for `lasting`. Blocks until it has ended. Not to be called inside a runtime.
pub fn run(scenario: &Scenario, lasting: Option<Duration>) -> Result<Report, SimulationError> {
    let lasting = lasting.unwrap_or(scenario.lasting.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(drive(scenario, lasting))
}

#[expect(clippy::disallowed_methods, reason = "how long it took on the wall is what is measured")]
async fn drive(scenario: &Scenario, lasting: Duration) -> Result<Report, SimulationError> {
    let wall = std::time::Instant::now();
    let end = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX);
    let (world, script, config, oracle) = parts(scenario, end)?;
    let epoch = Instant::now();
    let network = Simulated::new(world, epoch, scenario.start);
    let journal = Memory::default();
    let clock = TokioClock::starting_at(scenario.start);
    let mut sensor =
        Sensor { config, network: network.clone(), journal: journal.clone(), clock, starts: 0, daemon: None };
    sensor.start().await?;
    for (at, deed) in &script.deeds {
        sleep_until(epoch + Duration::from_millis(*at)).await;
        match deed {
            Deed::True(action) => network.apply(action),
            Deed::Kill => sensor.kill().await?,
            Deed::Start => sensor.start().await?,
            Deed::Reload(text) => sensor.reload(configured(text, scenario)?).await?,
        }
    }
    sleep_until(epoch + lasting).await;
    sensor.kill().await?;
    let questions = network.world().paths.questions;
    let mut report = judge::judge(oracle, &script, &network.world(), scenario, &journal.events(), &journal.hosts());
    report.days = lasting.as_secs_f64() / 86_400.0;
    report.questions = questions;
    report.commits = journal.commits();
    report.wall = wall.elapsed();
    Ok(report)
}

/// What a run is made of before it begins.
pub(super) fn parts(scenario: &Scenario, end: u64) -> Result<(World, Script, Arc<Config>, Oracle), SimulationError> {
    let mut world = World::new(scenario, end)?;
    let script = Script::new(scenario, &mut world, end)?;
    let config = configured(&text_of(&scenario.config)?, scenario)?;
    let oracle = Oracle::new(scenario, &script, &world, &config, end)?;
    Ok((world, script, config, oracle))
}

/// The meaning of a configuration's text.
fn configured(text: &str, scenario: &Scenario) -> Result<Arc<Config>, SimulationError> {
    let surroundings = Surroundings {
        today: scenario.start.to_zoned(jiff::tz::TimeZone::UTC).date(),
        host_name: "scan1".to_owned(),
        credentials: None,
        folder: None,
    };
    config::parse(text, "config", &surroundings)
        .map(|loaded| Arc::new(loaded.config))
        .map_err(|failure| SimulationError::Scenario(format!("{failure}\n{text}")))
}

/// The daemon, alive or dead, and what survives it.
#[derive(Debug)]
struct Sensor {
    config: Arc<Config>,
    network: Simulated,
    journal: Memory,
    clock: TokioClock,
    starts: u64,
    daemon: Option<(Handle, JoinHandle<Result<(), MonitorError>>)>,
}

impl Sensor {
    async fn start(&mut self) -> Result<(), SimulationError> {
        if self.daemon.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let parts = Parts {
            config: self.config.clone(),
            journal: Arc::new(self.journal.clone()),
            network: Arc::new(self.network.clone()),
            scope: ScopeHandle::new(scope_of(&self.config)),
            clock: Arc::new(self.clock),
            seed: self.starts,
            owed: Arc::new(Notify::new()),
        };
        let (monitor, handle) = Monitor::start(parts).await?;
        let task = tokio::spawn(monitor.run(CancellationToken::new()));
        self.daemon = Some((handle, task));
        Ok(())
    }

    /// Without warning, as `kill -9` does it.
    async fn kill(&mut self) -> Result<(), SimulationError> {
        let Some((_, task)) = self.daemon.take() else { return Ok(()) };
        task.abort();
        match task.await {
            Ok(ended) => ended.map_err(SimulationError::from),
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(SimulationError::Bug(error.to_string())),
        }
    }

    async fn reload(&mut self, config: Arc<Config>) -> Result<(), SimulationError> {
        self.config = config.clone();
        match &self.daemon {
            Some((handle, _)) => handle.reload(config).await.map_err(|gone| SimulationError::Bug(gone.to_string())),
            None => Ok(()),
        }
    }
}
