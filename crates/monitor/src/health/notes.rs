//! Troubles on disk: a restart in the middle of one tells nothing again, and still tells its end.

use super::{
    Health, Now,
    recovery::Recovery,
    trouble::{Kind, Trouble},
};
use crate::Note;
use jiff::Timestamp;
use model::AddressSet;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

const KIND: &str = "trouble";

/// A trouble as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    sentence: String,
    began: Timestamp,
    doubted: AddressSet,
    /// Whether an event was raised for its kind.
    told: bool,
    /// Whether what was told is more than that single hosts refuse.
    #[serde(default)]
    general: bool,
}

impl Health {
    /// Goes on where the last run ended.
    pub(crate) fn restore(notes: &[Note], refusing: BTreeSet<IpAddr>, now: Now) -> Self {
        let mut health = Self::default();
        for kind in Kind::ALL {
            let note = notes.iter().find(|note| note.kind == KIND && note.key == kind.as_str());
            let Some(value) = note.and_then(|note| note.value.as_ref()) else { continue };
            let kept: Kept = match serde_json::from_str(value) {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::error!(kind = kind.as_str(), %error, "a trouble that was remembered cannot be read; it begins anew if it lasts");
                    continue;
                }
            };
            let lasted = Duration::try_from(now.wall.duration_since(kept.began)).unwrap_or_default();
            let told = if kind.is_blocked() { &mut health.told.blocked } else { &mut health.told.degraded };
            *told |= kept.told;
            // Whoever wrote it without saying so meant what its kind means.
            health.told.general |= kept.general || (kept.told && kind != Kind::Bans);
            health.shut.confirmed |= kind == Kind::Shut && kept.told;
            let trouble = Trouble {
                sentence: kept.sentence,
                since: now.instant.checked_sub(lasted).unwrap_or(now.instant),
                began: kept.began,
                doubted: kept.doubted,
                clean: 0,
            };
            health.troubles.insert(kind, trouble);
            health.written.insert(kind.as_str(), value.clone());
        }
        if health.doubts_everything() {
            health.recovery = Recovery::default();
            health.recovery.begin(now.instant);
        }
        health.judge_bans(refusing, now);
        health
    }

    /// What has changed since it was last written.
    pub(crate) fn notes(&mut self) -> Vec<Note> {
        let mut standing: BTreeMap<&'static str, String> = BTreeMap::new();
        for (kind, trouble) in &self.troubles {
            let kept = Kept {
                sentence: trouble.sentence.clone(),
                began: trouble.began,
                doubted: trouble.doubted.clone(),
                told: if kind.is_blocked() { self.told.blocked } else { self.told.degraded },
                general: self.told.general,
            };
            match serde_json::to_string(&kept) {
                Ok(value) => drop(standing.insert(kind.as_str(), value)),
                Err(error) => tracing::error!(kind = kind.as_str(), %error, "a trouble cannot be written down"),
            }
        }
        let note = |key: &str, value: Option<String>| Note { kind: KIND.to_owned(), key: key.to_owned(), value };
        let ended = self.written.keys().filter(|key| !standing.contains_key(*key)).map(|key| note(key, None));
        let changed = standing.iter().filter(|(key, value)| self.written.get(*key) != Some(value));
        let notes = ended.chain(changed.map(|(key, value)| note(key, Some(value.clone())))).collect();
        self.written = standing;
        notes
    }
}
