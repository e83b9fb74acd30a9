//! A line that loses most of what is sent, and goes on doing so.

use super::{Health, Now, trouble::Kind};
use model::AddressSet;
use std::time::Duration;
use tokio::time::Instant;

/// Bad moments pass.
const TOLD_AFTER: Duration = Duration::from_mins(15);

impl Health {
    /// Since when every look that tells shows that most of what is sent is lost.
    pub(crate) fn judge_line(&mut self, bad_since: Option<Instant>, now: Now) {
        let Some(since) = bad_since else {
            self.troubles.remove(&Kind::Loss);
            return;
        };
        if now.instant.saturating_duration_since(since) >= TOLD_AFTER {
            let sentence = "more than half of what answers has to be asked twice: the line loses too much to believe a silence; nothing is called closed or lost meanwhile";
            self.begin(Kind::Loss, sentence.to_owned(), &AddressSet::empty(), now);
        }
    }
}
