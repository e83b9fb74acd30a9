//! Who is told of an event: what the rules say of it, what tells of it already, and what is too much at once.

use crate::{Batch, Note, decide::Decider, folding, storm::Admission};
use jiff::Timestamp;
use model::{Alert, AlertId, AlertRef, Event, EventId, EventType, PartOf, Severity};
use rules::{Dropped, Judgement};
use std::collections::HashMap;

/// The kind of the notes about storms.
const STORM: &str = "storm";

impl Decider {
    /// Asks the rules about an event, and records it with the alerts it becomes.
    pub(crate) fn raise(&mut self, mut event: Event, now: Timestamp, batch: &mut Batch) {
        let facts = event.host.as_ref().and_then(|host| self.inventory().host(host.ip)).map(|host| host.facts());
        let Judgement { mut alerts, dropped } = folding::judge(&self.engine, &event, facts.as_ref(), now);
        for Dropped { profile, ruleset, rule } in &dropped {
            tracing::info!(event = %event.id, kind = %event.kind, profile, ruleset, rule, "no alert: an exception matches");
        }
        match event.part_of {
            Some(part) => self.parents.fold(part, &event, &mut alerts),
            None => self.parents.note(&event, &alerts),
        }
        self.shelter(&mut event, &mut alerts, now, batch);
        if let Some(severity) = alerts.iter().map(|alert| alert.severity).max() {
            event.severity = severity;
        }
        self.record(event, alerts, batch);
    }

    fn record(&self, mut event: Event, alerts: Vec<Alert>, batch: &mut Batch) {
        event.alerts = alerts
            .iter()
            .map(|alert| AlertRef { id: alert.id, profile: alert.profile.clone(), rules: alert.rules.clone() })
            .collect();
        batch.owed.extend(notifiers::route(&self.config, &alerts, std::slice::from_ref(&event)));
        batch.events.push(event);
        batch.alerts.extend(alerts);
    }

    /// Holds back the alerts that a storm tells of. What a rule calls critical is told whatever the weather.
    fn shelter(&mut self, event: &mut Event, alerts: &mut Vec<Alert>, now: Timestamp, batch: &mut Batch) {
        let mut told = Vec::new();
        for alert in std::mem::take(alerts) {
            let most = self.most_alerts(&alert.profile);
            match self.storms.admit(&alert.profile, event.kind, most, now) {
                Admission::Held(part) if alert.severity < Severity::CRITICAL => {
                    event.part_of = Some(part);
                    self.note_storm(&alert.profile, batch);
                }
                Admission::Breaks if alert.severity < Severity::CRITICAL => {
                    let id = self.break_storm(&alert, event, most, now, batch);
                    event.part_of = Some(PartOf { id, kind: EventType::EventStorm });
                }
                _ => told.push(alert),
            }
        }
        // Where another profile is told of it by itself, it is nobody's part.
        if !told.is_empty() && event.part_of.is_some_and(|part| part.kind == EventType::EventStorm) {
            event.part_of = None;
        }
        *alerts = told;
    }

    fn most_alerts(&self, profile: &str) -> usize {
        let most = self.config.profiles.get(profile).map_or(config::MOST_ALERTS, |profile| profile.storm);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn break_storm(&mut self, first: &Alert, event: &Event, most: usize, now: Timestamp, batch: &mut Batch) -> EventId {
        let profile = first.profile.clone();
        let mut storm = Event::new(EventType::EventStorm, now, &self.vantage, &(&profile, "begins"));
        storm.assets.clone_from(&event.assets);
        storm.metric = i64::try_from(most).ok();
        storm.new = Some("begins".to_owned());
        storm.reason = Some(format!(
            "more than {most} changes within 10 minutes, the last one {}; further ones are recorded and told as one",
            event.kind
        ));
        storm.first_seen = Some(now);
        storm.last_seen = Some(now);
        let id = storm.id;
        self.storms.begin(&profile, id, event.kind, now);
        self.tell_profile(storm, &profile, first.severity, now, batch);
        self.note_storm(&profile, batch);
        id
    }

    /// Tells a profile, whatever its rules name: it stands for alerts that its rules did ask for.
    fn tell_profile(&mut self, mut event: Event, profile: &str, least: Severity, now: Timestamp, batch: &mut Batch) {
        event.profile = Some(profile.to_owned());
        event.severity = event.severity.max(least);
        let Judgement { mut alerts, .. } = self.engine.judge(&event, None, now);
        if alerts.is_empty() {
            alerts.push(Alert {
                id: AlertId::of(event.id, event.time, profile),
                event: event.id,
                profile: profile.to_owned(),
                rules: vec!["storm".to_owned()],
                severity: event.severity,
                time: now,
            });
        }
        self.record(event, alerts, batch);
    }

    /// Storms that are over are told with what they held back.
    pub(crate) fn calm(&mut self, now: Timestamp, batch: &mut Batch) {
        let limits: HashMap<String, usize> =
            self.storms.under_way().map(|(profile, _)| (profile.to_owned(), self.most_alerts(profile))).collect();
        let usual = usize::try_from(config::MOST_ALERTS).unwrap_or(usize::MAX);
        for (profile, storm) in self.storms.abated(|profile| limits.get(profile).copied().unwrap_or(usual), now) {
            let mut event = Event::new(EventType::EventStorm, now, &self.vantage, &(&profile, "over"));
            event.metric = i64::try_from(storm.total()).ok();
            (event.old, event.new) = (Some("begins".to_owned()), Some("over".to_owned()));
            event.reason = Some(format!("held back {}: {}", storm.total(), storm.counts()));
            event.first_seen = Some(storm.since);
            event.last_seen = Some(storm.last);
            self.tell_profile(event, &profile, Severity::INFO, now, batch);
            self.note_storm(&profile, batch);
        }
    }

    /// Keeps the storm of a profile over a restart, or forgets it.
    fn note_storm(&self, profile: &str, batch: &mut Batch) {
        let storm = self.storms.under_way().find(|(name, _)| *name == profile);
        let value = storm.and_then(|(_, storm)| serde_json::to_string(storm).ok());
        batch.note(Note { kind: STORM.to_owned(), key: profile.to_owned(), value });
    }

    /// Takes up the storms that a restart interrupted.
    pub(crate) fn restore_storms(&mut self, notes: &[Note], now: Timestamp) {
        for note in notes.iter().filter(|note| note.kind == STORM) {
            if let Some(storm) = note.value.as_deref().and_then(|value| serde_json::from_str(value).ok()) {
                self.storms.restore(note.key.clone(), storm, now);
            }
        }
    }
}
