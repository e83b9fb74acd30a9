//! The confirmation lane: questions the detector wants asked again, served as soon as they are due.

use crate::{
    conversation::Answered,
    network::Introduction,
    pass::{Tools, asked, slice_of},
};
use inventory::{ConfirmRequest, Question};
use jiff::Timestamp;
use model::{Endpoint, HostSlice, Lane, PassId, PassKind, PassRef};
use probe::Found;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    time::Duration,
};

/// Requests by when they are due, each once.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    queue: BinaryHeap<Reverse<ConfirmRequest>>,
    /// What is queued or being asked: the same question twice at one time is one question.
    known: HashSet<(std::net::IpAddr, Question)>,
}

impl Confirmations {
    pub(crate) fn add(&mut self, requests: impl IntoIterator<Item = ConfirmRequest>) {
        for request in requests {
            if self.known.insert((request.ip, request.question.clone())) {
                self.queue.push(Reverse(request));
            }
        }
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse(request)| request.at)
    }

    /// Takes a request that is due; it may be asked for again from now on.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<ConfirmRequest> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse(request) = self.queue.pop()?;
        self.known.remove(&(request.ip, request.question.clone()));
        Some(request)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// Asks again and says what came back.
pub(crate) async fn serve(tools: &Tools, request: ConfirmRequest, id: PassId) -> HostSlice {
    let ip = request.ip;
    let pass = PassRef { id, profile: request.profile, lane: Lane::Confirm, kind: PassKind::Confirmation };
    match request.question {
        Question::Port { transport, port } => {
            let endpoint = Endpoint { ip, transport, port };
            let mut ports = Vec::new();
            let mut answered = Vec::new();
            // One that opened is asked who it is in the same breath; one that is believed open was asked before.
            let new = tools.index.get(&endpoint).is_none_or(|known| !known.open);
            for Found { observation, reply } in tools.network.ask(vec![endpoint], Duration::ZERO).await {
                if new && observation.outcome.is_open() {
                    answered.push(tools.conversations.introduce(endpoint, reply.as_deref(), observation.at).await);
                }
                ports.push(observation);
            }
            let covered = asked(&ports);
            slice_of(tools, pass, ip, covered, ports, answered)
        }
        Question::Service { transport, port, name } => {
            let endpoint = Endpoint { ip, transport, port };
            let known = tools.index.get(&endpoint).unwrap_or_default();
            let whom = Introduction { endpoint, name, prior: known.prior, prior_tls: known.tls };
            let conversation = tools.network.identify(whom).await;
            let answered =
                Answered { ports: conversation.ports, services: conversation.observation.into_iter().collect() };
            let covered = asked(&answered.ports);
            slice_of(tools, pass, ip, covered, Vec::new(), vec![answered])
        }
        Question::Host { endpoints } => {
            let endpoints = endpoints.into_iter().map(|(transport, port)| Endpoint { ip, transport, port }).collect();
            let answers = tools.network.ask(endpoints, Duration::ZERO).await;
            let ports: Vec<_> = answers.into_iter().map(|found| found.observation).collect();
            let covered = asked(&ports);
            slice_of(tools, pass, ip, covered, ports, Vec::new())
        }
    }
}
