//! Beyond the general question and a handshake: what else a server may be, and its own question once it is known.

use super::{
    Interview,
    dialogue::Heard,
    plan::{self, Approach, Layer},
};
use identify::Next;
use model::Transport;

impl Interview<'_> {
    /// A server that has understood nothing so far is asked what else it may be, as far as connections and time go.
    pub(super) async fn ask_further(&mut self, before: Approach) -> bool {
        let mut questions = plan::further(self.endpoint.port, self.ending);
        while self.best.is_none() && self.tls.is_none() && !self.has_prior() && self.may_connect() {
            let Some(question) = questions.next() else { break };
            if before.asks(question) {
                continue;
            }
            let Some(heard) = self.visit(Layer::Plain, Approach::Briefly(question)).await else { return false };
            if let Heard::Answer(mut answer) = heard {
                self.finish_upgrade(&mut answer).await;
                self.take(Layer::Plain, Heard::Answer(answer));
            }
        }
        true
    }

    /// Says nothing, and takes what is said unasked.
    pub(super) async fn only_listen(&mut self) -> bool {
        let heard = self.visit(Layer::Plain, Approach::Hush).await;
        let is_connected = heard.is_some();
        self.take(Layer::Plain, heard.unwrap_or(Heard::Nothing));
        // What is not said is no sign that it is not there any more.
        self.doubtful |= self.best.is_none();
        is_connected
    }

    /// One that was recognised by what it made of another's question is asked its own, on a connection of its own. What cannot
    /// be learnt by that is left out.
    pub(super) async fn ask_properly(&mut self, layer: Layer, heard: Heard) -> Heard {
        let Heard::Answer(answer) = &heard else { return heard };
        let protocol = identify::by_name(Transport::Tcp, &answer.service.name).filter(|_| answer.next == Next::Again);
        let Some(protocol) = protocol else { return heard };
        match self.visit(layer, Approach::Ask(protocol)).await {
            Some(Heard::Answer(again)) if again.service.name == protocol.name => Heard::Answer(again),
            _ => heard,
        }
    }
}
