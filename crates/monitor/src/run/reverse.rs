//! The names that PTR records give to hosts.

use super::Monitor;
use crate::{Batch, Journal, MonitorError, reverse::AT_A_TIME};
use model::{HostSlice, Lane, NameObservation, NameSource, PassKind, PassRef};
use probe::ResolveError;
use std::{collections::BTreeSet, net::IpAddr, ops::Bound, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What came of one question.
pub(super) type Reversal = (IpAddr, Result<BTreeSet<String>, ResolveError>);

impl<J: Journal> Monitor<J> {
    /// Asks for the names of hosts that are due. Only of resolvers that the operator named: the system's may be anybody's, and
    /// they would learn what is watched.
    pub(super) fn start_reversals(&mut self) {
        let mut room = self.round.room();
        if self.halted || room == 0 || self.config.sensor.resolvers.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut due: Vec<IpAddr> =
            self.round.recalled().filter(|ip| self.round.is_due(*ip, None, now)).take(room).collect();
        {
            let inventory = self.decider.inventory();
            let from = self.round.after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut last = None;
            let mut looked = 0;
            for host in inventory.rows(from).take(AT_A_TIME) {
                looked += 1;
                if due.len() >= room {
                    break;
                }
                last = Some(host.ip());
                let answered = host.named_at(NameSource::Ptr);
                if !host.is_provisional() && !due.contains(&host.ip()) && self.round.is_due(host.ip(), answered, now) {
                    due.push(host.ip());
                }
            }
            // At its end the round begins anew.
            self.round.after = last.filter(|_| looked == AT_A_TIME || due.len() >= room);
        }
        let scope = self.scope.load();
        due.retain(|ip| !ip.is_loopback() && scope.contains(*ip, now));
        for ip in due {
            if room == 0 {
                break;
            }
            room -= 1;
            self.round.begin(ip);
            let network = self.tools.network.clone();
            self.reversals.spawn(async move {
                let answer = network.reverse(ip).await;
                (ip, answer)
            });
        }
    }

    pub(super) async fn take_reversal(
        &mut self,
        (ip, answer): Reversal,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let names = match answer {
            Ok(names) => names,
            Err(error) => {
                tracing::debug!(%ip, %error, "its names could not be asked for; the next round asks again");
                self.round.failed(ip);
                return Ok(());
            }
        };
        let scope = self.scope.load();
        let assets = scope.assets_of(ip, now);
        let profile: Arc<str> = assets.first().and_then(|asset| self.profiles_of(asset).next()).unwrap_or_default();
        let slice = HostSlice {
            vantage: self.tools.vantage.clone(),
            ip,
            pass: PassRef {
                id: self.pass_id("names", now),
                profile,
                lane: Lane::Confirm,
                kind: PassKind::Confirmation,
            },
            at: now,
            covered: model::Coverage::default(),
            ports: Vec::new(),
            services: Vec::new(),
            audits: Vec::new(),
            names: vec![NameObservation { source: NameSource::Ptr, names, at: now }],
            mac: None,
            presence: None,
        };
        let mut batch = Batch::default();
        let known = self.decider.inventory().host(ip).is_some();
        if known {
            self.decide(std::slice::from_ref(&slice), &mut batch);
        }
        let pending = |host: inventory::HostState| {
            host.name_turns
                .is_some_and(|turns| turns.by_source.get(&NameSource::Ptr).is_some_and(|turn| turn.pending.is_some()))
        };
        let again = self.decider.inventory().host(ip).is_some_and(pending);
        self.round.answered(ip, again);
        self.commit(batch, shutdown).await
    }
}
