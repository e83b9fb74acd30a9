//! When the rules are others than those the inventory was named by, kept answers are looked at again. Nothing is sent, and nobody is
//! told: where they were heard nothing has changed.

use super::Monitor;
use crate::{AnswerPlace, Batch, Journal, KeptAnswer, MonitorError, Note};
use inventory::Label;
use std::{collections::BTreeMap, net::IpAddr};
use tokio_util::sync::CancellationToken;

/// The note of the rules that everything kept was last named by.
const RULES: &str = "rules";
/// Answers looked at between two commits.
const AT_A_TIME: usize = 128;

/// What came of looking at what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relabelled {
    /// Looked at.
    pub answers: usize,
    /// Called otherwise than before.
    pub changed: usize,
}

/// `214 kept answers looked at with the rules in force, no packet sent: 3 services are called otherwise than before`.
impl std::fmt::Display for Relabelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answers, changed } = self;
        write!(
            f,
            "{answers} kept answers looked at with the rules in force, no packet sent: {changed} services are called otherwise \
             than before"
        )
    }
}

impl<J: Journal> Monitor<J> {
    /// The rules that everything kept was named by when the last run ended.
    pub(super) fn restore_rules(&mut self, notes: &[Note]) {
        self.named_by = notes.iter().find(|note| note.kind == RULES).and_then(|note| note.value.clone());
    }

    /// At the start, where the rules are others than they were.
    pub(super) async fn relabel_if_due(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let rules = self.tools.network.rules().map(|digest| digest.to_string());
        if rules.is_some() && rules != self.named_by {
            let done = self.relabel(shutdown).await?;
            if done.answers > 0 {
                tracing::info!("the rules have changed: {done}");
            }
        }
        Ok(())
    }

    /// Looks at every answer that is kept, and notes by which rules.
    pub(super) async fn relabel(&mut self, shutdown: &CancellationToken) -> Result<Relabelled, MonitorError> {
        let mut done = Relabelled::default();
        let mut after: Option<AnswerPlace> = None;
        loop {
            let answers = self.journal.answers(after, AT_A_TIME).await?;
            let Some(last) = answers.last() else { break };
            after = Some(last.place.clone());
            done.answers += answers.len();
            let mut hosts: BTreeMap<IpAddr, Vec<Label>> = BTreeMap::new();
            for answer in answers {
                let ip = answer.place.ip;
                hosts.entry(ip).or_default().extend(self.label(answer));
            }
            let (now, mut batch) = (self.clock.now(), Batch::default());
            for (ip, labels) in hosts {
                done.changed += self.decider.relabel(ip, &labels, now, &mut batch);
            }
            self.commit(batch, shutdown).await?;
            if shutdown.is_cancelled() {
                return Ok(done);
            }
        }
        // Only when all of it is on disk.
        self.named_by = self.tools.network.rules().map(|digest| digest.to_string());
        let note = Note { kind: RULES.to_owned(), key: String::new(), value: self.named_by.clone() };
        let mut batch = Batch::default();
        batch.note(note);
        self.commit(batch, shutdown).await?;
        Ok(done)
    }

    fn label(&self, answer: KeptAnswer) -> Option<Label> {
        let AnswerPlace { ip, transport, port, name } = answer.place;
        let inventory = self.decider.inventory();
        let endpoint = inventory.row(ip)?.endpoint(transport, port)?;
        let state = endpoint.services.into_iter().find(|state| state.name == name)?;
        let leaf = state.tls.and_then(|tls| tls.certificate).and_then(|sha256| inventory.certificate(&sha256));
        let names = leaf.map(|leaf| (leaf.certificate.subject.as_str(), leaf.certificate.issuer.as_str()));
        let service = self.tools.network.relabel(transport, &answer.heard, names)?;
        Some(Label { transport, port, name, service })
    }
}
