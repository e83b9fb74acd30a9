//! What is told as part of something else. A new host's `HOST_FOUND` lists its ports, so each of them is told by itself only
//! where a rule holds it to be worse than the host; and whoever is told of changes is told of flapping.

use jiff::Timestamp;
use model::{Alert, AlertId, Event, EventId, EventType, HostFacts, PartOf, Severity};
use rules::{Engine, Judgement};
use std::{collections::BTreeMap, time::Duration};

/// A host's own parts are met within this time.
const FAMILY: Duration = Duration::from_mins(15);

/// The alerts of hosts found of late, by profile.
#[derive(Debug, Default)]
pub(crate) struct Parents(BTreeMap<EventId, (Timestamp, BTreeMap<String, Severity>)>);

impl Parents {
    /// Remembers who is told of a found host.
    pub(crate) fn note(&mut self, event: &Event, alerts: &[Alert]) {
        if event.kind != EventType::HostFound {
            return;
        }
        let oldest = event.time.checked_sub(jiff::SignedDuration::try_from(FAMILY).unwrap_or_default());
        // Ids begin with the time, but a clock may be set: times are compared.
        self.0.retain(|_, (time, _)| oldest.as_ref().is_ok_and(|oldest| *time >= *oldest) && *time <= event.time);
        let severities = alerts.iter().map(|alert| (alert.profile.clone(), alert.severity)).collect();
        self.0.insert(event.id, (event.time, severities));
    }

    /// Keeps the alerts of a part that say more than those of the whole. A whole that is not remembered has said nothing.
    pub(crate) fn fold(&self, part_of: PartOf, alerts: &mut Vec<Alert>) {
        let Some((_, told)) = self.0.get(&part_of.id) else { return };
        alerts.retain(|alert| told.get(&alert.profile).is_none_or(|severity| alert.severity > *severity));
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
