//! What is watched: the scope and the configuration, and what their changes mean for what is remembered.

use super::Monitor;
use crate::{Batch, Journal, MonitorError, PassRecord, lanes};
use config::Config;
use jiff::Timestamp;
use model::{AddressSet, EventType, PassId};
use scope::{AssetScope, Scope};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

impl<J: Journal> Monitor<J> {
    /// Rebuilds the scope from the configuration and the living leases.
    pub(super) fn rescope(&mut self) {
        self.scope.replace(scope_of(&self.config).with_leases(self.leases.for_scope()));
    }

    pub(super) fn space(&self, profile: &Arc<str>, now: Timestamp) -> AddressSet {
        let assets = self.config.profiles.get(profile).map(|profile| profile.assets.clone()).unwrap_or_default();
        self.scope.load().sweep_space(&assets, now)
    }

    pub(super) fn profiles_of<'a>(&'a self, asset: &'a Arc<str>) -> impl Iterator<Item = Arc<str>> + 'a {
        self.config.profiles.iter().filter(|(_, profile)| profile.assets.contains(asset)).map(|(name, _)| name.clone())
    }

    pub(super) fn retire_out_of_scope(&mut self, batch: &mut Batch) {
        let now = self.clock.now();
        let scope = self.scope.load();
        // A name's address stays until its lease moves: a daemon that starts without DNS must not forget.
        let leased: Vec<IpAddr> = self.leases.for_scope().into_iter().flat_map(|lease| lease.addresses).collect();
        let gone: Vec<IpAddr> = self
            .decider
            .inventory
            .hosts()
            .map(|host| host.key.ip)
            .filter(|ip| !scope.contains(*ip, now) && !leased.contains(ip))
            .collect();
        if !gone.is_empty() {
            tracing::info!(hosts = gone.len(), "hosts left the scope; they are forgotten without an alert");
            self.decider.retire(&gone, now, batch);
        }
    }

    pub(super) async fn reconfigure(
        &mut self,
        config: Arc<Config>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        // The old passes hand in what they have before their lanes are replaced.
        self.drain_passes(shutdown).await?;
        let now = self.clock.now();
        self.remember_passes();
        self.config = config.clone();
        self.decider.reconfigure(config.clone());
        self.leases.retain(&scope_of(&config));
        self.rescope();
        self.lanes = lanes::lanes(&config, &self.ledger, now);
        let mut batch = Batch { leases: Some(self.leases.records()), ..Batch::default() };
        self.retire_out_of_scope(&mut batch);
        let fill = |event: &mut model::Event| event.reason = Some("the new configuration is in force".to_owned());
        self.decider.own_event(EventType::ConfigReloaded, "config", fill, now, &mut batch);
        self.commit(batch, shutdown).await
    }

    /// Keeps what the lanes know of their last passes, for the lanes of the next configuration.
    pub(super) fn remember_passes(&mut self) {
        let mut ledger: BTreeMap<PassId, PassRecord> = BTreeMap::new();
        for state in &self.lanes {
            let running = state.running.as_ref().map(|running| &running.record);
            for record in [running, state.last(), state.finished.as_ref()].into_iter().flatten() {
                ledger.insert(record.id, record.clone());
            }
        }
        self.ledger = ledger.into_values().collect();
    }
}

/// The scope a configuration gives, without leases.
pub fn scope_of(config: &Config) -> Scope {
    let assets = config
        .assets
        .iter()
        .map(|(name, asset)| AssetScope {
            name: name.clone(),
            targets: asset.targets.clone(),
            // "Until" is the last day: scanning ends when that day is over, in UTC.
            until: asset
                .authorization
                .as_ref()
                .and_then(|authorization| authorization.until)
                .and_then(|day| day.tomorrow().ok())
                .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
                .map(|end| end.timestamp()),
        })
        .collect();
    Scope::new(assets, config.sensor.exclude.clone())
}
