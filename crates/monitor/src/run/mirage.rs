//! What answers where nothing is: told once, kept out of the inventory, and looked at again until it is gone.

use super::Monitor;
use crate::{
    Batch, Journal, MonitorError, Note, control,
    mirage::{Known, MIRAGE, Mirage},
};
use jiff::Timestamp;
use model::{Endpoint, Event, EventFinding, EventHost, EventType, HostSlice};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A mirage that was not met for so long is looked at.
const LOOK_AFTER: Duration = Duration::from_mins(15);

/// What came of looking.
pub(super) type Looked = (Mirage, bool);

impl<J: Journal> Monitor<J> {
    /// Takes out of slices what a mirage answered; `talked` where they come of conversations.
    pub(super) fn sift(&self, slices: &mut Vec<HostSlice>, talked: bool) {
        let index = &self.decider.index;
        let spoke = |endpoint: &Endpoint| index.get(endpoint).is_some_and(|known| known.tls || known.prior.is_some());
        // That nobody says anything counts only while the sensor is well.
        let counts = talked && !self.health.doubts_everything();
        slices.retain_mut(|slice| self.tools.mirages.sift(slice, counts, spoke));
    }

    /// `ANSWERS_EVERYTHING` for what was found since the last call, once for a prefix, and forgets what it had put into the
    /// inventory before it was seen through.
    pub(super) fn tell_mirages(&mut self, batch: &mut Batch) {
        while let Some(mirage) = self.tools.mirages.next_news() {
            let now = self.clock.now();
            self.decider.disown(mirage, now, batch);
            note(mirage, Some(Known { since: now, seen: now }), batch);
            if self.tools.mirages.has_others(mirage) {
                continue;
            }
            tracing::warn!(%mirage, "something answers for everything there; only what says something is believed to be there");
            let what = match mirage {
                Mirage::Host(_) => "every port of the host answers, also those that nothing should listen on",
                Mirage::Prefix(_, None) => "every port of every address of the prefix answers, also where nothing is",
                Mirage::Prefix(_, Some(_)) => "every address of the prefix answers on the port, also where nothing is",
                Mirage::Unseen(_) => {
                    "addresses of the prefix answer to ICMP or on the link as if somebody were at nearly each of them, and by no port: hosts that show themselves by nothing else are not believed there"
                }
            };
            let event = self.about(EventType::AnswersEverything, mirage, "confirmed", what, now);
            self.decider.raise(event, now, batch);
        }
    }

    /// Looks at mirages that were not met of late.
    pub(super) fn look_at_mirages(&mut self, now: Timestamp) {
        if self.halted || !self.looking.is_empty() {
            return;
        }
        for (mirage, _) in self.tools.mirages.not_seen_for(LOOK_AFTER, now) {
            let tools = self.tools.clone();
            self.looking.spawn(async move {
                let is_gone = control::is_gone(&tools, mirage).await;
                (mirage, is_gone)
            });
        }
    }

    pub(super) async fn take_look(
        &mut self,
        (mirage, is_gone): Looked,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.clock.now();
        if !is_gone {
            self.tools.mirages.see(mirage, now);
            return Ok(());
        }
        let mut batch = Batch::default();
        if self.tools.mirages.forget(mirage).is_some() {
            note(mirage, None, &mut batch);
            if !self.tools.mirages.has_others(mirage) {
                let what = "nothing answers any more where nothing is";
                let event = self.about(EventType::FindingClosed, mirage, "closed", what, now);
                self.decider.raise(event, now, &mut batch);
            }
        }
        self.commit(batch, shutdown).await
    }

    fn about(&self, kind: EventType, mirage: Mirage, verdict: &str, what: &str, now: Timestamp) -> Event {
        let mut event = Event::new(kind, now, &self.tools.vantage, &(mirage, verdict));
        let ip = mirage.range().first();
        if let Mirage::Host(ip) = mirage {
            let known = self.decider.inventory().host(ip);
            event.host = Some(known.map_or_else(
                || EventHost { ip, names: Vec::new(), os: None },
                |host| EventHost {
                    ip,
                    names: host.all_names().into_iter().collect(),
                    os: host.os.as_ref().map(ToString::to_string),
                },
            ));
        } else {
            event.name = Some(mirage.to_string());
        }
        // The prefix may begin outside of what is watched: any watched address in it says whose it is.
        let scope = self.scope.load();
        let range = mirage.range();
        let assets = self.config.assets.iter().filter(|(_, asset)| {
            asset
                .targets
                .iter()
                .filter_map(model::Target::range)
                .any(|target| target.first() <= range.last() && range.first() <= target.last())
        });
        let mut names: Vec<_> = assets.map(|(name, _)| name.clone()).collect();
        names.extend(scope.assets_of(ip, now));
        names.sort();
        names.dedup();
        let tags = names.iter().filter_map(|name| self.config.assets.get(name)).flat_map(|asset| &asset.tags);
        event.tags = tags.map(ToString::to_string).collect();
        event.tags.sort();
        event.tags.dedup();
        event.assets = names.iter().map(ToString::to_string).collect();
        event.finding = Some(EventFinding {
            id: mirage.finding().to_owned(),
            verdict: verdict.to_owned(),
            evidence: Some(what.to_owned()),
        });
        event.reason = Some(what.to_owned());
        event.first_seen = Some(now);
        event.last_seen = Some(now);
        event
    }

    pub(super) fn restore_mirages(&mut self, notes: &[Note]) {
        for note in notes.iter().filter(|note| note.kind == MIRAGE) {
            let known = note.value.as_deref().and_then(|value| serde_json::from_str(value).ok());
            if let (Ok(mirage), Some(known)) = (note.key.parse(), known) {
                self.tools.mirages.restore(mirage, known);
            } else {
                tracing::warn!(
                    key = note.key,
                    "a note about what answers for everything cannot be read; it is found anew"
                );
            }
        }
    }
}

/// Keeps what is known of a mirage over a restart, or forgets it.
fn note(mirage: Mirage, known: Option<Known>, batch: &mut Batch) {
    let value = known.and_then(|known| serde_json::to_string(&known).ok());
    batch.note(Note { kind: MIRAGE.to_owned(), key: mirage.to_string(), value });
}
