use crate::{
    Dialer, Pace,
    conversation::second_udp_payload,
    dialer::REPLIED,
    sweep::{Found, UdpPayload},
};
use futures_util::{StreamExt, stream};
use model::{Endpoint, NotProbed, Outcome, PortObservation, Transport};
use scope::InScope;
use std::time::Duration;
use tokio::time::sleep;

/// How endpoints are asked one by one.
#[derive(Clone)]
pub struct AskOptions {
    /// Questions to an endpoint that stays silent, at least 1.
    pub attempts: u8,
    /// For one question. Below one second, the kernel's first repetition of a SYN is not waited for.
    pub timeout: Duration,
    /// Further questions to a TCP endpoint that refuses, for those that are known to be open: a middlebox may inject a RST for
    /// one connection and let the next one through.
    pub retry_refused: u8,
    /// Between the end of an attempt and the next one.
    pub spacing: Duration,
    pub pace: Option<Pace>,
    pub udp: UdpPayload,
}

impl std::fmt::Debug for AskOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskOptions")
            .field("attempts", &self.attempts)
            .field("retry_refused", &self.retry_refused)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Questions under way at a time in one call.
const AT_A_TIME: usize = 512;

/// Asks each endpoint until it answers or its attempts are used up: known endpoints, confirmations, checks of hosts. Each
/// attempt comes from a fresh source port. Whoever is silent to a packet of our own is asked by a connection: somewhere on the way
/// packets may be dropped that are none of a connection's. Of several answers the last counts, and an open one ends it.
///
/// Answers come back in the order of the endpoints, one for each. Dropping the future drops the questions under way.
pub async fn ask(dialer: &Dialer, endpoints: Vec<Endpoint>, options: &AskOptions) -> Vec<Found> {
    stream::iter(endpoints).map(|endpoint| one(dialer, endpoint, options)).buffered(AT_A_TIME).collect().await
}

async fn one(dialer: &Dialer, endpoint: Endpoint, options: &AskOptions) -> Found {
    let mut attempt: u8 = 0;
    let (mut silences, mut refusals) = (0, 0);
    let mut silent_to_packet = false;
    let mut refused = None;
    loop {
        if let Some(pace) = &options.pace {
            pace.turn().await;
        }
        let by_packet = endpoint.transport == Transport::Tcp && dialer.sends_packets_to(endpoint.ip);
        let answer = if silent_to_packet && by_packet {
            by_connection(dialer, endpoint, options.timeout).await
        } else {
            question(dialer, endpoint, options.timeout, &options.udp, || ()).await
        };
        silent_to_packet |= by_packet && answer.outcome == Outcome::Silent;
        attempt = attempt.saturating_add(1);
        let again = match answer.outcome {
            Outcome::Silent => {
                silences += 1;
                silences < options.attempts
            }
            Outcome::Closed(_) | Outcome::Filtered(_) if endpoint.transport == Transport::Tcp => {
                refusals += 1;
                refused = Some(answer.clone());
                refusals <= options.retry_refused
            }
            _ => false,
        };
        if again {
            sleep(options.spacing).await;
            continue;
        }
        // Silence after a refusal, or trouble of our own, is no answer.
        let answer = if answer.outcome.is_open() { answer } else { refused.unwrap_or(answer) };
        let mut found = answer.into_found(dialer, endpoint, attempt);
        if found.observation.outcome.is_open() {
            found.observation.refused = refusals;
        }
        return found;
    }
}

/// The question again, to one that was silent to a packet. That it accepts speaks against packets.
async fn by_connection(dialer: &Dialer, endpoint: Endpoint, timeout: Duration) -> Answer {
    let Ok(target) = dialer.authorize(endpoint) else {
        return Answer::of(Outcome::NotProbed(NotProbed::OutOfScope));
    };
    let probed = dialer.probe_connecting(target, timeout).await;
    if probed.outcome.is_open() {
        dialer.doubt_packets(endpoint);
    }
    Answer { outcome: probed.outcome, rtt: probed.rtt, reply: None }
}

/// What one question yielded.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) rtt: Option<Duration>,
    pub(crate) reply: Option<Vec<u8>>,
}

impl Answer {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { outcome, rtt: None, reply: None }
    }

    pub(crate) fn into_found(self, dialer: &Dialer, endpoint: Endpoint, attempts: u8) -> Found {
        let rtt_us = self.rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        let at = dialer.clock().now();
        Found {
            observation: PortObservation { endpoint, outcome: self.outcome, at, attempts, refused: 0, rtt_us },
            reply: self.reply,
        }
    }
}

/// One question, by whatever transport the endpoint has. `sent` hears of a datagram that has left.
pub(crate) async fn question(
    dialer: &Dialer,
    endpoint: Endpoint,
    timeout: Duration,
    udp: &UdpPayload,
    mut sent: impl FnMut(),
) -> Answer {
    let Ok(target) = dialer.authorize(endpoint) else {
        return Answer::of(Outcome::NotProbed(NotProbed::OutOfScope));
    };
    match endpoint.transport {
        Transport::Tcp => {
            let probed = dialer.probe(target, timeout).await;
            Answer { outcome: probed.outcome, rtt: probed.rtt, reply: None }
        }
        Transport::Udp => {
            let first = udp(endpoint.port);
            let second = first.as_ref().and_then(|_| second_udp_payload(endpoint.port));
            let answer = datagram(dialer, target, first.unwrap_or_default(), timeout, &mut sent).await;
            match second {
                Some(second) if answer.outcome == Outcome::Silent => {
                    datagram(dialer, target, second, timeout, sent).await
                }
                _ => answer,
            }
        }
    }
}

async fn datagram(
    dialer: &Dialer,
    target: InScope<Endpoint>,
    payload: Vec<u8>,
    timeout: Duration,
    sent: impl FnMut(),
) -> Answer {
    if let Some(raw) = dialer.raw_to(target.get().ip) {
        return dialer.ask_raw(raw, target, Some(payload), timeout, sent).await;
    }
    let (result, rtt) = dialer.exchange(target, &payload, timeout, sent).await;
    match result {
        Ok(reply) => Answer { outcome: REPLIED, rtt: Some(rtt), reply: Some(reply) },
        Err(outcome) => Answer { outcome, rtt: outcome.is_answer().then_some(rtt), reply: None },
    }
}

#[cfg(test)]
mod tests;
