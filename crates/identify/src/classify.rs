use crate::{
    answer::{Parse, Received},
    protocol,
};
use model::Transport;

/// What an answer says, by every parser, whatever was asked. The strongest claim wins, and among equals the protocol
/// that stands first; with no claim, `NeedMore` if any parser still hopes.
pub fn classify(transport: Transport, received: Received<'_>) -> Parse {
    if received.bytes.is_empty() {
        return Parse::need_more(received);
    }
    let mut hope = false;
    let mut best: Option<Box<crate::Answer>> = None;
    for protocol in protocol::protocols(transport) {
        match (protocol.parse)(received) {
            Parse::No => {}
            Parse::NeedMore => hope = true,
            Parse::Yes(answer) => {
                if best.as_ref().is_none_or(|best| answer.strength > best.strength) {
                    best = Some(answer);
                }
            }
        }
    }
    match best {
        // A weak claim waits for those that still hope.
        Some(answer) if answer.strength == crate::Strength::Weak && hope => Parse::NeedMore,
        Some(answer) => Parse::Yes(answer),
        None if hope => Parse::need_more(received),
        None => Parse::No,
    }
}
