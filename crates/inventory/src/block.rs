//! A host that refuses the sensor. All that it has open stops answering at once, and something still says no: that is how a
//! ban looks (a reset, an ICMP prohibition), far more often than the end of every service of a host in one moment. Nothing
//! is called closed for it then, little is asked of it, and only a refusal that holds is believed in the end.

use crate::{
    ConfirmRequest, EndpointState, HostState, Inventory, PortStatus, Question,
    apply::{Key, Plan},
    confirm,
};
use jiff::Timestamp;
use model::{Outcome, Transport, format_duration};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Refusals so close together belong together: about one period of the known lane.
const TOGETHER: Duration = Duration::from_mins(10);
/// How long, and how often seen, until it is taken for the end of the services after all.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);
const BELIEVED_LOOKS: u16 = 6;
/// A restart of all its services looks the same for a moment, and so do resets that something injects into a look now and
/// then: what goes on for so long, in so many looks, is worth telling.
const TOLD_AFTER: Duration = Duration::from_mins(5);
const TOLD_LOOKS: u16 = 8;
/// How often it is asked until then, how often afterwards, and how much of it.
const ASK_FIRST: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_mins(5);
const ASK_AT_MOST: usize = 2;

impl Inventory {
    /// Hosts that refuse the sensor on everything they have open, with since when, ascending. Only those that went on doing
    /// so for five minutes and eight looks: before that it may be a restart. One that opens anything leaves the list, and so
    /// does one whose refusal was believed after an hour (its ports were called closed then) and one that was lost.
    pub fn blocked(&self) -> impl Iterator<Item = (IpAddr, Timestamp)> {
        self.watch.blocked.iter().filter_map(|&ip| {
            let host = self.host(ip)?;
            let since = host.blocked_since?;
            host.is_surely_blocked(since).then_some((ip, since))
        })
    }
}

impl HostState {
    fn open_tcp(&self) -> impl Iterator<Item = &EndpointState> {
        self.open().filter(|endpoint| endpoint.transport == Transport::Tcp)
    }

    fn is_surely_blocked(&self, since: Timestamp) -> bool {
        let refused = || self.open_tcp().filter_map(|endpoint| endpoint.pending.as_ref());
        refused().any(|pending| confirm::between(since, pending.last) >= TOLD_AFTER)
            && refused().any(|pending| pending.count >= TOLD_LOOKS)
    }

    /// The one question that is asked of it while it refuses everything.
    pub(crate) fn blocked_question(&self) -> Option<ConfirmRequest> {
        let since = self.blocked_since?;
        let every = if self.is_surely_blocked(since) { ASK_EVERY } else { ASK_FIRST };
        let last =
            self.open_tcp().filter_map(|endpoint| endpoint.pending.as_ref()).max_by_key(|pending| pending.last)?;
        let endpoints = self.open_tcp().take(ASK_AT_MOST).map(|endpoint| (endpoint.transport, endpoint.port)).collect();
        Some(ConfirmRequest {
            at: confirm::after(last.last, every),
            ip: self.key.ip,
            profile: last.profile.clone(),
            question: Question::Host { endpoints },
        })
    }
}

/// Somebody says no. That a host or a network cannot be reached is said of dead hosts too, so it does not count.
fn is_denial(reason: &str) -> bool {
    matches!(reason, "refused" | "rst" | "prohibited" | "icmp")
}

impl Plan<'_> {
    /// Whether a ban begins or ends with this slice. Before its endpoints are judged.
    pub(crate) fn judge_blockade(&mut self) {
        let seen = self.seen_of_open_tcp();
        if seen.values().any(|(outcome, _)| outcome.is_open()) {
            if self.host.blocked_since.take().is_some() {
                self.host.misses = None;
                // It was the ban that spoke, not the ports.
                for endpoint in self.endpoints.values_mut().filter(|endpoint| endpoint.status == PortStatus::Open) {
                    endpoint.pending = None;
                }
            }
        } else if self.host.blocked_since.is_none() && self.host.up {
            self.host.blocked_since = self.denied_since(&seen);
        }
    }

    /// Also where all that is open falls silent at once, and the host shows itself otherwise: firewalls that ban a source by its ports
    /// let it ask for an echo.
    fn denies(&self, reason: &str) -> bool {
        is_denial(reason) || (self.sign().is_some() && reason == Outcome::Silent.as_str())
    }

    /// Whether somebody refused in this slice what the host has open.
    pub(crate) fn is_denied(&self) -> bool {
        self.ports().any(|seen| is_denial(seen.outcome.as_str()))
    }

    /// What this slice has that is new about the open TCP endpoints, the last of each; an answer outweighs the rest.
    fn seen_of_open_tcp(&self) -> BTreeMap<Key, (Outcome, Timestamp)> {
        let mut list: BTreeMap<Key, (Outcome, Timestamp)> = BTreeMap::new();
        let connected = Outcome::Open(model::OpenReason::Connected);
        let services = self.services().map(|seen| (seen.endpoint, connected, seen.at));
        for (endpoint, outcome, at) in self.ports().map(|seen| (seen.endpoint, seen.outcome, seen.at)).chain(services) {
            let key = (endpoint.transport, endpoint.port);
            let is_news = self.endpoints.get(&key).is_some_and(|known| {
                known.status == PortStatus::Open && known.transport == Transport::Tcp && at > known.last_observed
            });
            if is_news && outcome.is_evidence() {
                let known = list.entry(key).or_insert((outcome, at));
                if outcome.is_open() || (at > known.1 && !known.0.is_open()) {
                    *known = (outcome, at);
                }
            }
        }
        list
    }

    /// Since when everything refuses: two of them at least do, the rest says nothing (answers of that kind are limited in
    /// rate), and none is left that may be well.
    fn denied_since(&self, seen: &BTreeMap<Key, (Outcome, Timestamp)>) -> Option<Timestamp> {
        let mut since: Option<Timestamp> = None;
        let (mut denied, mut now_denied) = (0_usize, false);
        let open =
            self.endpoints.iter().filter(|(key, known)| known.status == PortStatus::Open && key.0 == Transport::Tcp);
        for (key, known) in open {
            let earlier = known.pending.as_ref().filter(|pending| {
                self.denies(&pending.reason) && confirm::between(pending.last, self.slice.at) <= TOGETHER
            });
            let at = match (seen.get(key), earlier) {
                (Some((outcome, at)), earlier) if self.denies(outcome.as_str()) => {
                    now_denied = true;
                    earlier.map_or(*at, |pending| pending.since)
                }
                (_, Some(pending)) => pending.since,
                (Some(_), None) => continue,
                (None, None) => return None,
            };
            denied += 1;
            since = Some(since.map_or(at, |known| known.min(at)));
        }
        since.filter(|_| now_denied && denied >= 2)
    }

    /// What becomes of a host that refuses everything: nothing, until it has done so for long.
    pub(crate) fn judge_block(&mut self, since: Timestamp) {
        self.doubted.clear();
        let doubted = |endpoint: &EndpointState| {
            endpoint.status == PortStatus::Open && endpoint.transport == Transport::Tcp && endpoint.pending.is_some()
        };
        let evidence = self.endpoints.values().filter(|endpoint| doubted(endpoint)).filter_map(|e| e.pending.as_ref());
        let (mut looks, mut last) = (0, since);
        for pending in evidence {
            looks = pending.count.max(looks);
            last = pending.last.max(last);
        }
        let held = confirm::between(since, last);
        if held < BELIEVED_AFTER || looks < BELIEVED_LOOKS {
            return;
        }
        self.host.blocked_since = None;
        let held = format_duration(Duration::from_secs(held.as_secs()));
        let keys: Vec<Key> =
            self.endpoints.iter().filter(|(_, endpoint)| doubted(endpoint)).map(|(&key, _)| key).collect();
        for key in keys {
            let Some(mut endpoint) = self.endpoints.remove(&key) else { continue };
            if let Some(pending) = endpoint.pending.take() {
                let mut event = self.close(&mut endpoint, &pending);
                event.reason = Some(format!(
                    "{} in {looks} passes over {held}; every port of the host, so it was first taken for a ban",
                    pending.reason
                ));
                self.events.push(event);
            }
            self.endpoints.insert(key, endpoint);
        }
    }
}
