//! What changes again and again. The change that makes it so is told as `FLAP_START`; from then on its changes are recorded
//! as parts of that, until it has held one state for long enough: `FLAP_STOP` says which. So whoever is told hears each
//! state in turn, and the last state told is the true one.

use crate::{Change, Flap, FlapSubject, HostState, Inventory, PortStatus, apply::Plan, confirm, event};
use jiff::Timestamp;
use model::{Event, EventEndpoint, EventType, Lane, PartOf, Vantage, format_duration};
use std::time::Duration;

/// So many changes within so long are flapping.
const START: usize = 3;
const WINDOW: Duration = Duration::from_hours(6);
/// More of them than this need not be remembered.
const MOST_CHANGES: usize = 32;
/// It ends when one state was held for four times the longest gap between changes of late, within these bounds, and was
/// seen so often meanwhile; or for the longest of these whatever was seen.
const STEADY_GAPS: u32 = 4;
const STEADY_AT_LEAST: Duration = Duration::from_hours(1);
const STEADY_AT_MOST: Duration = WINDOW;
const STEADY_LOOKS: u16 = 8;

/// Takes note of the changes a slice confirmed, and folds those of what flaps into its `FLAP_START`. `before` is the host
/// as it was.
pub(crate) fn damp(
    before: Option<&HostState>,
    host: &mut HostState,
    events: &mut Vec<Event>,
    lane: Lane,
    vantage: &Vantage,
    now: Timestamp,
) {
    host.look_at_flaps(before, lane);
    host.forget_old_changes(now);
    let mut told = Vec::with_capacity(events.len());
    for mut event in std::mem::take(events) {
        if let Some(subject) = subject_of(&event) {
            if let Some(start) = host.record(subject, &event, vantage, now) {
                told.push(start);
            }
            let flapping = host.flaps.iter().find(|flap| flap.subject == subject).and_then(|flap| flap.flapping);
            event.part_of = event.part_of.or(flapping);
        }
        told.push(event);
    }
    fold_products(host, &mut told);
    *events = told;
}

impl Plan<'_> {
    /// Flapping is of one machine. Where another one came to the address after an absence (the next tenant of a lease), what
    /// its predecessor went through is no history of its own.
    pub(crate) fn forget_predecessor(&mut self) {
        let Some(former) = self.met.iter().filter_map(|met| self.succeeded(met)).max() else { return };
        let was_away = |flap: &Flap| flap.subject == FlapSubject::Host && flap.changes.iter().any(|&at| at > former);
        if self.host.flaps.iter().any(was_away) {
            self.host.flaps.retain(|flap| flap.flapping.is_some());
        }
    }
}

/// A product that comes or goes with its port is told with it.
fn fold_products(host: &HostState, events: &mut [Event]) {
    let ports: Vec<(EventEndpoint, PartOf)> = events
        .iter()
        .filter(|event| matches!(event.kind, EventType::PortOpen | EventType::PortClosed))
        .filter_map(|event| Some((event.endpoint?, event.part_of.unwrap_or(PartOf { id: event.id, kind: event.kind }))))
        .collect();
    for event in events {
        let Some(endpoint) = event.endpoint else { continue };
        if matches!(event.kind, EventType::SoftwareAdded | EventType::SoftwareRemoved) && event.part_of.is_none() {
            let subject = FlapSubject::Endpoint(endpoint.transport, endpoint.port);
            let flapping = host.flaps.iter().find(|flap| flap.subject == subject).and_then(|flap| flap.flapping);
            let port = || ports.iter().find(|(other, _)| *other == endpoint).map(|(_, part_of)| *part_of);
            event.part_of = flapping.or_else(port);
        }
    }
}

/// What an event is a change of.
fn subject_of(event: &Event) -> Option<FlapSubject> {
    match event.kind {
        EventType::HostUp | EventType::HostLost => Some(FlapSubject::Host),
        EventType::PortOpen | EventType::PortClosed | EventType::PortChanged | EventType::SoftwareUpdated => {
            event.endpoint.map(|endpoint| FlapSubject::Endpoint(endpoint.transport, endpoint.port))
        }
        _ => None,
    }
}

impl HostState {
    /// Adds a change; gives `FLAP_START` where it is one too many.
    fn record(&mut self, subject: FlapSubject, cause: &Event, vantage: &Vantage, now: Timestamp) -> Option<Event> {
        let index = self.flaps.partition_point(|flap| flap.subject < subject);
        if self.flaps.get(index).is_none_or(|flap| flap.subject != subject) {
            self.flaps.insert(index, Flap { subject, changes: Vec::new(), flapping: None, damped: 0, looks: 0 });
        }
        let flap = &mut self.flaps[index];
        if flap.changes.len() >= MOST_CHANGES {
            flap.changes.remove(0);
        }
        flap.changes.push(now);
        flap.looks = 0;
        flap.damped = flap.damped.saturating_add(1);
        if flap.flapping.is_some() || flap.changes.len() < START {
            return None;
        }
        let count = flap.changes.len();
        let over = flap.changes.first().map(|&first| confirm::between(first, now)).unwrap_or_default();
        let mut event = Event::new(EventType::FlapStart, now, vantage, &(self.key.ip, subject));
        flap.damped = u32::try_from(count).unwrap_or(u32::MAX);
        flap.flapping = Some(PartOf { id: event.id, kind: event.kind });
        event.endpoint = cause.endpoint;
        event.service.clone_from(&cause.service);
        let open = matches!(cause.kind, EventType::PortChanged | EventType::SoftwareUpdated);
        event.new = if open { Some("open".to_owned()) } else { cause.new.clone() };
        event.reason = Some(format!("changed {count} times in {}", whole_seconds(over)));
        event.metric = i64::try_from(count).ok();
        event.evidence.clone_from(&cause.evidence);
        event.first_seen = cause.first_seen;
        event.last_seen = cause.last_seen;
        Some(event)
    }

    /// Counts the looks that found what flaps as it was. A question asked again in doubt is none: looks are a period of a
    /// lane apart.
    fn look_at_flaps(&mut self, before: Option<&Self>, lane: Lane) {
        let Some(before) = before.filter(|_| lane != Lane::Confirm) else { return };
        let mut flaps = std::mem::take(&mut self.flaps);
        for flap in flaps.iter_mut().filter(|flap| flap.flapping.is_some()) {
            let later = match (before.held(flap.subject), self.held(flap.subject)) {
                (Some((was, seen)), Some((is, again))) => was == is && again > seen,
                _ => false,
            };
            if later {
                flap.looks = flap.looks.saturating_add(1);
            }
        }
        self.flaps = flaps;
    }

    fn forget_old_changes(&mut self, now: Timestamp) {
        for flap in &mut self.flaps {
            let last = flap.changes.last().copied().filter(|_| flap.flapping.is_some());
            flap.changes.retain(|&at| confirm::between(at, now) < WINDOW || Some(at) == last);
        }
        self.flaps.retain(|flap| flap.flapping.is_some() || !flap.changes.is_empty());
    }

    /// The state a subject is in beyond doubt, and when it was last seen in it.
    fn held(&self, subject: FlapSubject) -> Option<(&'static str, Timestamp)> {
        match subject {
            FlapSubject::Host if self.up && self.misses.is_none() => Some(("up", self.last_seen)),
            // Nobody answers to say so.
            FlapSubject::Host if !self.up => Some(("lost", Timestamp::MAX)),
            FlapSubject::Host => None,
            FlapSubject::Endpoint(transport, port) => {
                let endpoint = self.endpoint(transport, port)?;
                let is_settled =
                    endpoint.pending.is_none() && endpoint.services.iter().all(|service| service.doubt().is_none());
                match endpoint.status {
                    PortStatus::Open if is_settled && self.up => Some(("open", endpoint.last_seen)),
                    PortStatus::Closed if is_settled => Some(("closed", endpoint.last_observed)),
                    _ => None,
                }
            }
        }
    }

    /// The state it has settled in and for how long it was held, where that is long enough.
    fn settled(&self, flap: &Flap, now: Timestamp) -> Option<(&'static str, Duration)> {
        let (state, seen) = self.held(flap.subject)?;
        let last = *flap.changes.last()?;
        let held = confirm::between(last, seen.min(now));
        let longest = flap.changes.windows(2).map(|pair| confirm::between(pair[0], pair[1])).max().unwrap_or_default();
        let wanted = longest.saturating_mul(STEADY_GAPS).clamp(STEADY_AT_LEAST, STEADY_AT_MOST);
        let is_seen = flap.looks >= STEADY_LOOKS || state == "lost";
        ((held >= wanted && is_seen) || held >= STEADY_AT_MOST).then_some((state, held))
    }
}

impl Inventory {
    /// `FLAP_STOP` of what has settled. Looks at the hosts on which something flaps and at no others.
    pub(crate) fn end_flapping(&self, now: Timestamp, change: &mut Change) {
        for host in self.watch.flapping.iter().filter_map(|&ip| self.host(ip)) {
            if change.removed_hosts.contains(&host.key) {
                continue;
            }
            let settled: Vec<_> = host
                .flaps
                .iter()
                .filter(|flap| flap.flapping.is_some())
                .filter_map(|flap| Some((flap, host.settled(flap, now)?)))
                .collect();
            if settled.is_empty() {
                continue;
            }
            for (flap, (state, held)) in &settled {
                change.events.push(self.flap_stop(&host, flap, state, *held, now));
            }
            let is_over = |flap: &Flap| settled.iter().any(|(over, _)| over.subject == flap.subject);
            if let Some(newer) = change.hosts.iter_mut().find(|newer| newer.key == host.key) {
                newer.flaps.retain(|flap| !is_over(flap));
            } else {
                let mut after = host.clone();
                after.flaps.retain(|flap| !is_over(flap));
                change.hosts.push(after);
            }
        }
    }

    fn flap_stop(&self, host: &HostState, flap: &Flap, state: &str, held: Duration, now: Timestamp) -> Event {
        let mut event = Event::new(EventType::FlapStop, now, &self.vantage, &(host.key.ip, flap.subject));
        event.host = Some(event::host(host));
        event.assets = host.assets.iter().map(ToString::to_string).collect();
        event.tags = host.tags.iter().map(ToString::to_string).collect();
        event.first_seen = Some(host.first_seen);
        event.last_seen = Some(host.last_seen);
        if let FlapSubject::Endpoint(transport, port) = flap.subject
            && let Some(endpoint) = host.endpoint(transport, port)
        {
            event::on_endpoint(&mut event, endpoint);
            event.service = event::shown_service(endpoint);
        }
        event.old = Some(flap.damped.to_string());
        event.new = Some(state.to_owned());
        event.metric = Some(i64::from(flap.damped));
        event.reason = Some(format!("{state} for {} after {} changes", whole_seconds(held), flap.damped));
        event.evidence = vec![event::evidence(event.last_seen.unwrap_or(now), state)];
        event
    }
}

fn whole_seconds(duration: Duration) -> String {
    format_duration(Duration::from_secs(duration.as_secs()))
}
