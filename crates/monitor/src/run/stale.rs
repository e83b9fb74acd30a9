//! Lanes that do not come round, and what the loop remembers of itself over a restart.

use super::Monitor;
use crate::{
    Batch, Journal, Note,
    stale::{self, STALE, Turn},
};
use jiff::Timestamp;
use model::{Event, EventType, Lane, format_duration};
use std::time::Duration;

impl<J: Journal> Monitor<J> {
    /// Takes up what the last run left in notes.
    pub(super) fn take_up(&mut self, notes: &[Note]) {
        self.decider.restore_storms(notes, self.tools.clock.now());
        self.decider.restore_approvals(notes);
        self.restore_mirages(notes);
        for note in notes.iter().filter(|note| note.kind == STALE) {
            if let Some(Ok(since)) = note.value.as_deref().map(str::parse) {
                self.stale.restore(&note.key, since);
            } else {
                tracing::warn!(key = note.key, "the note about a stale lane cannot be read; it is judged anew");
            }
        }
    }

    /// `SCAN_STALE` and `SCAN_RECOVERED`, once each for every lane. A halted sensor is not late, nor is one whose trouble
    /// holds it up.
    pub(super) fn look_for_stale_lanes(&mut self, now: Timestamp, batch: &mut Batch) {
        if self.halted {
            return;
        }
        // What a trouble of the sensor holds up is told with the trouble.
        if self.health.holds_up_lanes() {
            self.lanes.iter_mut().for_each(|state| state.rested(now));
            return;
        }
        for state in &self.lanes {
            let age = state.age();
            let turn = self.stale.look(&state.profile, state.lane, state.period, (age, state.completed()), now);
            let key = stale::key(&state.profile, state.lane);
            let (kind, value) = match turn {
                Turn::Same => continue,
                Turn::Stale => (EventType::ScanStale, Some(now.to_string())),
                Turn::Recovered(_) => (EventType::ScanRecovered, None),
            };
            let (profile, lane, period) = (state.profile.clone(), state.lane, state.period);
            let fill = |event: &mut Event| describe(event, &profile, lane, period, age, turn, now);
            self.decider.own_event(kind, &key, fill, now, batch);
            batch.note(Note { kind: STALE.to_owned(), key, value });
        }
        let lanes = &self.lanes;
        let wanted =
            |profile: &str, lane: Lane| lanes.iter().any(|state| &*state.profile == profile && state.lane == lane);
        for key in self.stale.retain(wanted) {
            batch.note(Note { kind: STALE.to_owned(), key, value: None });
        }
    }
}

fn describe(event: &mut Event, profile: &str, lane: Lane, period: Duration, age: Duration, turn: Turn, now: Timestamp) {
    let shown = |duration: Duration| format_duration(Duration::from_secs(duration.as_secs()));
    event.profile = Some(profile.to_owned());
    event.last_seen = now.checked_sub(jiff::SignedDuration::try_from(age).unwrap_or_default()).ok();
    let (length, said) = if let Turn::Recovered(since) = turn {
        event.first_seen = Some(since);
        let away = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        (away, format!("the {lane} lane has come round again; it was stale for {}", shown(away)))
    } else {
        let should = format!("it should have one every {}", shown(period));
        (age, format!("the {lane} lane has had no complete pass for {}; {should}", shown(age)))
    };
    event.metric = i64::try_from(length.as_secs()).ok();
    event.reason = Some(said);
}
