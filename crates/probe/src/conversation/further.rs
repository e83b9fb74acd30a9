//! Beyond the general question and a handshake: what else a server may be, and its own question once it is known.

use super::{
    Interview, MAX_CONNECTIONS, TLS,
    dialogue::{Ending, Heard},
    plan::{self, Approach, Layer},
};
use identify::{Next, Strength};
use model::{ClientAuth, Transport};

impl Interview<'_> {
    /// A server that has understood nothing so far is asked what else it may be, as far as connections and time go: in the clear,
    /// or within TLS where it speaks that.
    pub(super) async fn ask_further(&mut self, before: Approach) -> bool {
        let layer = if self.tls.is_some() { Layer::Tls } else { Layer::Plain };
        if layer == Layer::Tls && self.is_kept_out() {
            return true;
        }
        let taken = plan::Taken { plain: self.ending_in_clear, ending: self.ending, shaken: self.shaken };
        let mut questions = plan::further(self.endpoint.port, layer, taken);
        let mut lines = plan::in_lines();
        // What only takes long comes last: TLS of one that has not been asked for it, and a slow answer to the general question.
        let slow = self.ignored || (layer == Layer::Tls && self.ending == Ending::Open);
        let reserve = usize::from(slow) + usize::from(self.ignored && layer == Layer::Plain);
        while self.is_unknown() && self.connections + reserve < MAX_CONNECTIONS && self.may_connect() {
            let Some(question) = questions.next() else { break };
            if before.asks(question) {
                continue;
            }
            let Some(heard) = self.visit(layer, Approach::Briefly(question, lines)).await else { return false };
            if self.ending == Ending::Open {
                lines = None;
            }
            let heard = self.ask_properly(layer, heard).await;
            if let Heard::Answer(mut answer) = heard {
                self.finish_upgrade(&mut answer).await;
                self.take(layer, Heard::Answer(answer));
            }
        }
        if self.is_unknown() && self.ignored && layer == Layer::Plain {
            match self.ask_in(Layer::Tls, before).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        let general =
            identify::by_name(Transport::Tcp, "http").filter(|_| slow && self.is_unknown() && self.may_connect());
        let layer = if self.tls.is_some() { Layer::Tls } else { layer };
        match general {
            Some(general) => self.ask_in(layer, Approach::Ask(general)).await.is_some(),
            None => true,
        }
    }

    /// Whoever wants a certificate of ours and hangs up on having none tells us nothing, whatever is asked.
    fn is_kept_out(&self) -> bool {
        match self.modern.client_auth {
            Some(ClientAuth::Required) => true,
            Some(ClientAuth::Asked) => self.ending != Ending::Open,
            _ => false,
        }
    }

    /// Nobody has been recognised, and nobody was known before.
    fn is_unknown(&self) -> bool {
        let is_bare = |best: &identify::Answer| best.service.name == TLS || best.next == Next::Tls;
        !self.has_prior() && self.best.as_deref().is_none_or(|best| self.tls.is_some() && is_bare(best))
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
        let protocol = identify::opening(&answer.service.name).filter(|_| answer.next == Next::Again);
        let Some(protocol) = protocol else { return heard };
        // Who is spoken to in TLS and answers in the clear does not speak it.
        let layer = if self.tls.is_some() { layer } else { Layer::Plain };
        match self.visit(layer, Approach::Ask(protocol)).await {
            Some(Heard::Answer(mut again)) if again.service.name == protocol.name => {
                // Its complaint may have been worded as by one program only, and its answer as by any.
                if again.service.product.is_none() {
                    let first = &answer.service;
                    (again.service.vendor, again.service.product) = (first.vendor.clone(), first.product.clone());
                    (again.service.version, again.service.cpe) = (first.version.clone(), first.cpe.clone());
                }
                Heard::Answer(again)
            }
            // It only looked like that.
            _ if answer.strength == Strength::Weak => Heard::Nothing,
            _ => heard,
        }
    }
}
