//! Lanes that do not come round, and what the loop remembers of itself over a restart.

use super::Monitor;
use crate::{
    Batch, Journal, Note,
    stale::{self, STALE, Turn, WANTED, WORKED},
};
use jiff::Timestamp;
use model::{Event, EventType, Lane, format_duration};
use std::{collections::BTreeMap, time::Duration};

/// For how many seconds the pass of each lane has been due, and when the last one came to its end.
pub(super) type Worked = BTreeMap<String, (u64, Option<Timestamp>)>;

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
        self.restore_wanted(notes);
        for note in notes.iter().filter(|note| note.kind == WORKED) {
            if let Some(Ok(worked)) = note.value.as_deref().map(serde_json::from_str) {
                self.restore_work(&worked);
            } else {
                tracing::warn!("the note about how long passes have been due cannot be read; it is counted anew");
            }
        }
    }

    /// What an operator asked for is not forgotten with the daemon.
    fn restore_wanted(&mut self, notes: &[Note]) {
        for note in notes.iter().filter(|note| note.kind == WANTED && note.value.is_some()) {
            match self.lanes.iter_mut().find(|state| stale::key(&state.profile, state.lane) == note.key) {
                Some(state) => state.wanted = true,
                None => self.begun.push(note.key.clone()),
            }
        }
    }

    /// Takes back the notes about passes that an operator asked for and that have begun.
    pub(super) fn note_begun(&mut self, batch: &mut Batch) {
        for key in std::mem::take(&mut self.begun) {
            batch.note(Note { kind: WANTED.to_owned(), key, value: None });
        }
    }

    fn restore_work(&mut self, worked: &Worked) {
        for state in &mut self.lanes {
            let kept = worked.get(&stale::key(&state.profile, state.lane));
            // What was owed before a pass came to its end is owed no more.
            if let Some((seconds, _)) = kept.filter(|(_, completed)| *completed == state.completed()) {
                state.restore_worked(Duration::from_secs(*seconds));
            }
        }
    }

    /// Counts the time for which passes have been due. A halted sensor is not late, nor is one whose trouble holds it up: that is told
    /// with the trouble.
    pub(super) fn count_work(&mut self, now: Timestamp) {
        let is_at_work = !self.halted && !self.health.holds_up_lanes();
        self.lanes.iter_mut().for_each(|state| state.count(is_at_work, now));
    }

    /// Keeps it over a restart.
    fn note_work(&mut self, batch: &mut Batch) {
        let worked: Worked = self
            .lanes
            .iter()
            .filter(|state| !state.worked().is_zero())
            .map(|state| (stale::key(&state.profile, state.lane), (state.worked().as_secs(), state.completed())))
            .collect();
        if worked != self.worked_noted {
            let value = serde_json::to_string(&worked).ok();
            batch.note(Note { kind: WORKED.to_owned(), key: "lanes".to_owned(), value });
            self.worked_noted = worked;
        }
    }

    /// `SCAN_STALE` and `SCAN_RECOVERED`, once each for every lane.
    pub(super) fn look_for_stale_lanes(&mut self, now: Timestamp, batch: &mut Batch) {
        self.count_work(now);
        self.note_work(batch);
        if self.halted || self.health.holds_up_lanes() {
            return;
        }
        for state in &self.lanes {
            let (worked, completed) = (state.worked(), state.completed());
            let turn = self.stale.look(&state.profile, state.lane, state.open, (worked, completed), now);
            let key = stale::key(&state.profile, state.lane);
            let (kind, value) = match turn {
                Turn::Same => continue,
                Turn::Stale => (EventType::ScanStale, Some(now.to_string())),
                Turn::Recovered(_) => (EventType::ScanRecovered, None),
            };
            let (profile, lane, period) = (state.profile.clone(), state.lane, state.period);
            let late = Late { period, worked, completed };
            let fill = |event: &mut Event| late.describe(event, &profile, lane, turn, now);
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

/// A lane that has not come round.
struct Late {
    period: Duration,
    worked: Duration,
    completed: Option<Timestamp>,
}

impl Late {
    fn describe(&self, event: &mut Event, profile: &str, lane: Lane, turn: Turn, now: Timestamp) {
        let shown = |duration: Duration| format_duration(Duration::from_secs(duration.as_secs()));
        let since = |time: Timestamp| Duration::try_from(now.duration_since(time)).unwrap_or_default();
        event.profile = Some(profile.to_owned());
        event.last_seen = self.completed;
        let should = format!("it should have one every {}", shown(self.period));
        let (length, said) = match (turn, self.completed) {
            (Turn::Recovered(stale), _) => {
                event.first_seen = Some(stale);
                let away = since(stale);
                (away, format!("the {lane} lane has come round again; it was stale for {}", shown(away)))
            }
            (_, Some(completed)) => {
                let age = since(completed);
                (age, format!("the {lane} lane has had no complete pass for {}; {should}", shown(age)))
            }
            (_, None) => {
                let due = shown(self.worked);
                (
                    self.worked,
                    format!("the first pass of the {lane} lane has been due for {due} and is not over; {should}"),
                )
            }
        };
        event.metric = i64::try_from(length.as_secs()).ok();
        event.reason = Some(said);
    }
}
