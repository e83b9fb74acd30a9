use crate::Owed;
use config::{Config, Interval, Recipient};
use model::{Alert, Event, EventId, EventType};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Who is owed which of these alerts. A recipient gets an event once however many profiles it is in: as the alert of the
/// highest severity, then of the first profile by name; the others are listed in [`Event::alerts`].
///
/// A recipient takes an alert of one of its profiles (or of none that is configured: those are about the sensor itself) from its
/// `min_severity` up, unless it is `never` to be sent anything. `NOTIFY_FAILED`, whose `name` is the recipient that could not be
/// reached, goes to the others where there are any. Sorted by recipient, then in the order of `alerts`.
pub fn route(config: &Config, alerts: &[Alert], events: &[Event]) -> Vec<Owed> {
    let unreachable: HashMap<EventId, &str> = events
        .iter()
        .filter(|event| event.kind == EventType::NotifyFailed)
        .filter_map(|event| Some((event.id, event.name.as_deref()?)))
        .collect();
    let takers: Vec<(&Arc<str>, &Recipient)> =
        config.recipients.iter().filter(|(_, recipient)| recipient.every != Interval::Never).collect();
    let mut owed = Vec::new();
    for &(name, recipient) in &takers {
        // The best alert of each event, by its place in `alerts`.
        let mut chosen: BTreeMap<EventId, usize> = BTreeMap::new();
        for (place, alert) in alerts.iter().enumerate() {
            if !takes(config, recipient, alert) {
                continue;
            }
            let failed = unreachable.get(&alert.event).is_some_and(|failed| **failed == **name);
            if failed && takers.iter().any(|(other, recipient)| *other != name && takes(config, recipient, alert)) {
                continue;
            }
            let rank = |place: usize| alerts.get(place).map(|a| (Reverse(a.severity), &a.profile, a.id));
            let best = chosen.entry(alert.event).or_insert(place);
            if rank(place) < rank(*best) {
                *best = place;
            }
        }
        let mut places: Vec<usize> = chosen.into_values().collect();
        places.sort_unstable();
        owed.extend(
            places
                .into_iter()
                .filter_map(|place| alerts.get(place))
                .map(|alert| Owed { recipient: name.to_string(), alert: alert.id }),
        );
    }
    owed
}

fn takes(config: &Config, recipient: &Recipient, alert: &Alert) -> bool {
    let wanted = recipient.profiles.is_empty()
        || recipient.profiles.iter().any(|profile| **profile == *alert.profile)
        || !config.profiles.contains_key(alert.profile.as_str());
    wanted && alert.severity >= recipient.min_severity
}

#[cfg(test)]
mod tests;
