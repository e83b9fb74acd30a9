//! What is told as part of something else. A new host's `HOST_FOUND` lists its ports, so each of them is told by itself only
//! where a rule holds it to be worse than the host; and whoever is told of changes is told of flapping.

use jiff::Timestamp;
use model::{Alert, AlertId, Event, EventId, EventType, HostFacts, PartOf, Severity};
use rules::{Engine, Judgement};
use std::{collections::BTreeMap, time::Duration};

/// A host's own parts, and those of a change, are met within this time.
const FAMILY: Duration = Duration::from_mins(15);

/// A certificate comes to its further endpoints, and what flaps goes on, for as long as this.
const LASTING: Duration = Duration::from_hours(30 * 24);

/// No more of them are remembered; the oldest go first.
const REMEMBERED: usize = 10_000;

/// The alerts of what other changes are told as part of, by profile.
#[derive(Debug, Default)]
pub(crate) struct Parents(BTreeMap<EventId, Whole>);

#[derive(Debug)]
struct Whole {
    kind: EventType,
    time: Timestamp,
    told: BTreeMap<String, Severity>,
}

impl Parents {
    /// Remembers who is told of a change that others may be part of.
    pub(crate) fn note(&mut self, event: &Event, alerts: &[Alert]) {
        if patience(event.kind).is_some() {
            self.insert(event.id, event.kind, event.time, alerts);
        }
    }

    /// Keeps the alerts of a part that say more than those of the whole: to profiles that did not hear of it, and where it is worse.
    ///
    /// Of a new host each such part is told. Of anything else only the first that is as bad: a certificate on many endpoints is one
    /// alert. A whole that is not remembered, for the daemon was started since, has of a new host said everything; of anything else
    /// its next part stands for it.
    pub(crate) fn fold(&mut self, part_of: PartOf, event: &Event, alerts: &mut Vec<Alert>) {
        let Some(whole) = self.0.get_mut(&part_of.id) else {
            if part_of.kind != EventType::HostFound {
                self.insert(part_of.id, part_of.kind, event.time, alerts);
            }
            return;
        };
        alerts.retain(|alert| whole.told.get(&alert.profile).is_none_or(|severity| alert.severity > *severity));
        if whole.kind != EventType::HostFound {
            whole.told.extend(alerts.iter().map(|alert| (alert.profile.clone(), alert.severity)));
        }
    }

    fn insert(&mut self, id: EventId, kind: EventType, time: Timestamp, alerts: &[Alert]) {
        // Ids begin with the time, but a clock may be set: times are compared.
        self.0.retain(|_, whole| {
            let age = Duration::try_from(time.duration_since(whole.time)).ok();
            age.zip(patience(whole.kind)).is_some_and(|(age, patience)| age <= patience)
        });
        while self.0.len() >= REMEMBERED {
            self.0.pop_first();
        }
        let told = alerts.iter().map(|alert| (alert.profile.clone(), alert.severity)).collect();
        self.0.insert(id, Whole { kind, time, told });
    }
}

/// For how long parts may follow; none where nothing is ever part of it.
fn patience(kind: EventType) -> Option<Duration> {
    match kind {
        EventType::HostFound | EventType::HostReplaced | EventType::PortClosed | EventType::PortChanged => Some(FAMILY),
        EventType::SslChanged | EventType::SslRogue | EventType::FlapStart => Some(LASTING),
        _ => None,
    }
}

/// The rules' word on an event. `FLAP_START` and `FLAP_STOP` stand for the changes they are about: a profile that wants to hear
/// of those hears of them, whether its rules name flapping or not.
pub(crate) fn judge(engine: &Engine, event: &Event, facts: Option<&HostFacts>, now: Timestamp) -> Judgement {
    let mut judgement = engine.judge(event, facts, now);
    if !matches!(event.kind, EventType::FlapStart | EventType::FlapStop) {
        return judgement;
    }
    let stands_for: &[EventType] = if event.endpoint.is_some() {
        &[EventType::PortClosed, EventType::PortOpen, EventType::PortChanged]
    } else {
        &[EventType::HostLost, EventType::HostUp]
    };
    for &kind in stands_for {
        let shadow = Event { kind, ..event.clone() };
        for alert in engine.judge(&shadow, facts, now).alerts {
            let severity = alert.severity;
            match judgement.alerts.iter_mut().find(|known| known.profile == alert.profile) {
                Some(known) => known.severity = known.severity.max(severity),
                None => judgement.alerts.push(Alert { id: AlertId::of(event.id, event.time, &alert.profile), ..alert }),
            }
        }
    }
    judgement
}
