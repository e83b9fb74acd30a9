//! The confirmation lane: questions the detector wants asked again, served as soon as they are due.

use crate::{
    control,
    conversation::{Answered, came_of},
    fruitless::LONGEST_WAIT,
    look::{Look, Worth},
    looks,
    network::Introduction,
    pass::{Tools, asked, slice_of},
    presence,
};
use inventory::{ConfirmRequest, Question};
use jiff::Timestamp;
use model::{Coverage, Endpoint, HostSlice, Lane, PassId, PassKind, PassRef, ServiceName};
use probe::Found;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::IpAddr,
    time::Duration,
};
use tokio::{sync::OnceCell, time::timeout};

/// How long an opening that is certain waits to be told with the name of what opened.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests by when they are due, each once.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    queue: BinaryHeap<Reverse<ConfirmRequest>>,
    /// When what is queued will be asked: the same question twice at one time is one question. One that turned out to be
    /// more urgent is queued again; its later entry counts no more.
    known: HashMap<(IpAddr, Question), Timestamp>,
}

impl Confirmations {
    pub(crate) fn add(&mut self, requests: impl IntoIterator<Item = ConfirmRequest>) {
        for request in requests {
            let key = (request.ip, request.question.clone());
            if self.known.get(&key).is_none_or(|&queued| request.at < queued) {
                self.known.insert(key, request.at);
                self.queue.push(Reverse(request));
            }
        }
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse(request)| request.at)
    }

    /// Takes a request that is due; it may be asked for again from now on.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<ConfirmRequest> {
        while self.next_at()? <= now {
            let Reverse(request) = self.queue.pop()?;
            let key = (request.ip, request.question.clone());
            if self.known.get(&key) == Some(&request.at) {
                self.known.remove(&key);
                return Some(request);
            }
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

/// Asks again and says what came back, and what it is worth where it is negative.
pub(crate) async fn serve(tools: &Tools, request: ConfirmRequest, id: PassId) -> (HostSlice, Worth) {
    let look = Look::begin(tools);
    let is_of_a_host = matches!(request.question, Question::Host { .. });
    let asks_ports = matches!(request.question, Question::Host { .. } | Question::Port { .. });
    let mut slice = ask(tools, request, id).await;
    let (mut again, worth) = look.judge(tools, is_of_a_host, slice.ports.iter()).await;
    for port in &mut slice.ports {
        if let Some(found) = again.remove(&port.endpoint) {
            *port = found.observation;
        }
    }
    if asks_ports && worth.doubt.is_none() {
        presence::ask_the_silent(tools, &look, std::slice::from_mut(&mut slice), |_| true).await;
    }
    (slice, worth)
}

async fn ask(tools: &Tools, request: ConfirmRequest, id: PassId) -> HostSlice {
    let ip = request.ip;
    let pass = PassRef { id, profile: request.profile, lane: Lane::Confirm, kind: PassKind::Confirmation };
    match request.question {
        // Behind a proxy only the voice of a service shows that it is there.
        Question::Port { transport, port } if is_behind_a_mirage(tools, Endpoint { ip, transport, port }) => {
            talk(tools, pass, Endpoint { ip, transport, port }, None).await
        }
        Question::Port { transport, port } => {
            let endpoint = Endpoint { ip, transport, port };
            let mut ports = Vec::new();
            let mut answered = Vec::new();
            // One that opened is asked who it is in the same breath; one that is believed open was asked before.
            let new = tools.index.get(&endpoint).is_none_or(|known| !known.open);
            for Found { observation, reply } in tools.network.ask(vec![endpoint], Duration::ZERO).await {
                if new
                    && !tools.restraint.borrow().silences(ip)
                    && observation.outcome.is_open()
                    && let Some(_under_way) = tools.conversations.begin(endpoint)
                {
                    let talk = tools.conversations.introduce(endpoint, reply.as_deref(), observation.at);
                    answered.extend(timeout(PATIENCE, talk).await.ok());
                }
                ports.push(observation);
            }
            // One that says nothing may be nobody: that is told only after a look at what should not answer.
            if new && ports.iter().any(|port| port.outcome.is_open()) && control::is_mute(&answered) {
                control::examine(tools, endpoint, &OnceCell::new()).await;
            }
            let covered = asked(&ports);
            slice_of(tools, pass, ip, covered, ports, answered)
        }
        // No conversations with one that refuses the sensor, nor at once with one that breaks them: the question waits.
        Question::Service { transport, port, .. }
            if tools.restraint.borrow().silences(ip) || is_to_wait(tools, Endpoint { ip, transport, port }) =>
        {
            slice_of(tools, pass, ip, Coverage::default(), Vec::new(), Vec::new())
        }
        Question::Service { transport, port, name } => talk(tools, pass, Endpoint { ip, transport, port }, name).await,
        Question::Host { endpoints } => {
            let endpoints = endpoints.into_iter().map(|(transport, port)| Endpoint { ip, transport, port });
            let (behind, before): (Vec<_>, Vec<_>) =
                endpoints.partition(|endpoint| is_behind_a_mirage(tools, *endpoint));
            let answers = tools.network.ask(before, Duration::ZERO).await;
            let ports: Vec<_> = answers.into_iter().map(|found| found.observation).collect();
            let mut answered = Vec::new();
            for endpoint in behind {
                answered.push(hear(tools, endpoint, None).await);
            }
            let listed = ports.iter().chain(answered.iter().flat_map(|answer| &answer.ports));
            let covered = asked(&listed.cloned().collect::<Vec<_>>());
            slice_of(tools, pass, ip, covered, ports, answered)
        }
    }
}

/// Whether conversations with it came to nothing a short while ago. Behind a mirage that says something.
fn is_to_wait(tools: &Tools, endpoint: Endpoint) -> bool {
    // What is in doubt is not mute.
    let may_try = tools.conversations.fruitless.may_try(&endpoint, true, LONGEST_WAIT, tools.clock.now());
    !tools.mirages.hold(&endpoint) && !may_try
}

/// Whether an endpoint that was heard before is where an answer proves nothing.
fn is_behind_a_mirage(tools: &Tools, endpoint: Endpoint) -> bool {
    tools.mirages.hold(&endpoint)
        && tools.index.get(&endpoint).is_some_and(|known| known.tls || known.prior.is_some())
        && !tools.restraint.borrow().silences(endpoint.ip)
}

async fn hear(tools: &Tools, endpoint: Endpoint, name: Option<ServiceName>) -> Answered {
    let known = tools.index.get(&endpoint).unwrap_or_default();
    let earlier = looks::earlier(&tools.index, &endpoint, name.as_ref());
    let learnt = name.as_ref().is_some_and(|name| looks::learnt(&tools.index, &endpoint).contains(name));
    // Where a change is in doubt, everything is asked.
    let whom = Introduction {
        name,
        learnt,
        prior: known.prior,
        prior_tls: known.tls,
        earlier,
        ..Introduction::first(endpoint)
    };
    let is_stranger = whom.prior.is_none() && !whom.prior_tls;
    let conversation = tools.network.identify(whom).await;
    tools.conversations.fruitless.note(came_of(&conversation, is_stranger), conversation.ports.last());
    Answered { ports: conversation.ports, services: conversation.observation.into_iter().collect() }
}

async fn talk(tools: &Tools, pass: PassRef, endpoint: Endpoint, name: Option<ServiceName>) -> HostSlice {
    let answered = hear(tools, endpoint, name).await;
    let covered = asked(&answered.ports);
    let mut answered = vec![answered];
    if tools.mirages.hold(&endpoint) && control::is_mute(&answered) {
        answered.push(control::witness(tools, endpoint).await);
    }
    slice_of(tools, pass, endpoint.ip, covered, Vec::new(), answered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Transport;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    fn request(second: i64, port: u16) -> ConfirmRequest {
        let question = Question::Port { transport: Transport::Tcp, port };
        ConfirmRequest { at: at(second), ip: [192, 0, 2, 1].into(), profile: "dmz".into(), question }
    }

    #[test]
    fn a_question_that_became_urgent_is_asked_in_time_and_once() {
        let mut waiting = Confirmations::default();
        waiting.add([request(600, 22), request(600, 22), request(700, 22), request(300, 80)]);
        assert_eq!(waiting.len(), 2);
        waiting.add([request(1, 22)]);
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting.take(at(0)), None);
        assert_eq!(waiting.take(at(1)), Some(request(1, 22)));
        assert_eq!(waiting.take(at(900)), Some(request(300, 80)));
        assert_eq!(waiting.take(at(900)), None, "the later entry counts no more");
    }
}
