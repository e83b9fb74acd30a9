//! What the threads of the engine share.

use super::{
    asides::Asides,
    canary::Canaries,
    losses::Losses,
    neighbours::Neighbours,
    proof::Proofs,
    questions::Questions,
    rate::{Limiting, Overload, Verdicts},
    volley::{Answer, Knock, Sink},
};
use arc_swap::ArcSwapOption;
use model::{ClosedReason, Endpoint, FilteredReason, Mac, OpenReason, Outcome, Transport};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use wire::{Cookies, Datagram, Epoch, Heard, Mark, QuotedPart, Segment, Tag, Unreachable, Why};

/// Who a question's slot belongs to: the first to single questions, the last to canaries, the others to sweeps.
pub(super) const QUESTIONS: u8 = 0;
pub(super) const CANARIES: u8 = 15;
pub(super) const SLOTS: usize = 16;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) cookies: Cookies,
    /// Cookies and timestamps count from here.
    pub(super) start: Instant,
    pub(super) stopped: AtomicBool,
    pub(super) halted: AtomicBool,
    sinks: [ArcSwapOption<Box<dyn Sink>>; SLOTS],
    pub(super) questions: Questions,
    pub(super) canaries: Canaries,
    pub(super) asides: Asides,
    pub(super) neighbours: Neighbours,
    /// What answers by UDP prove themselves with.
    pub(super) proofs: Proofs,
    pub(super) losses: Losses,
    pub(super) counts: Counts,
}

/// Since the engine began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    /// Packets that did not leave for want of something of our own.
    pub(super) unsent: AtomicU64,
    /// Answers whose cookie was ours.
    pub(super) heard: AtomicU64,
    /// What looked like answers and was not.
    pub(super) forged: AtomicU64,
    /// Packets lost between the kernel and us.
    pub(super) dropped: AtomicU64,
    pub(super) state: Mutex<State>,
}

/// How it goes, as of the last tick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Packets a second allowed by the way.
    pub(super) rate: f64,
    pub(super) limiting: Limiting,
    /// Every verdict there was, and those of times in which no speed was to blame for what was lost.
    pub(super) canaries: Verdicts,
    pub(super) settled: Verdicts,
    /// When more may have been sent than the way carries; it is not known yet.
    pub(super) doubted: Option<Overload>,
}

/// One answer in so many becomes a canary, when there may be one for its address already.
const SAMPLE: u64 = 16;

impl Shared {
    pub(super) fn new(cookies: Cookies) -> Self {
        Self {
            cookies,
            start: Instant::now(),
            stopped: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            sinks: std::array::from_fn(|_| ArcSwapOption::empty()),
            questions: Questions::default(),
            canaries: Canaries::default(),
            asides: Asides::default(),
            neighbours: Neighbours::default(),
            proofs: Proofs::default(),
            losses: Losses::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn listen(&self, slot: u8, sink: Option<Box<dyn Sink>>) {
        if let Some(place) = self.sinks.get(usize::from(slot)) {
            place.store(sink.map(Arc::new));
        }
    }

    pub(super) fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    /// Takes in a packet, whoever sent it.
    pub(super) fn take(&self, packet: &[u8], since_start: Duration) {
        let Some(heard) = wire::read(packet) else { return };
        let epoch = Epoch::at(since_start);
        let mut reply = None;
        let (tag, endpoint, outcome, rtt) = match heard {
            Heard::Tcp(segment) => {
                if let Some(tag) = self.cookies.check_ack(epoch, &segment) {
                    return self.is_there(tag, segment.from, Knock::Acknowledgement);
                }
                let outcome = if segment.flags.accepts() {
                    Outcome::Open(opening(&segment))
                } else if segment.flags.resets() {
                    Outcome::Closed(ClosedReason::Rst)
                } else {
                    return;
                };
                let rtt = segment.options.ts.and_then(|(_, repeated)| wire::round_trip(since_start, repeated));
                let endpoint = Endpoint::tcp(segment.from, segment.port);
                (self.cookies.check_tcp(epoch, &segment), endpoint, outcome, rtt)
            }
            Heard::Unreachable(error) => {
                let (Some(outcome), Some(endpoint)) = (refusal(&error), error.quoted.endpoint()) else { return };
                (self.cookies.check_quoted(epoch, &error.quoted), endpoint, outcome, None)
            }
            Heard::Udp(datagram) => {
                let asked = self.asked_by_udp(epoch, &datagram);
                let port = asked.map_or(datagram.port, |(_, port)| port);
                if asked.is_some() {
                    reply = Some(self.proofs.restored(port, datagram.payload).into());
                }
                let outcome = Outcome::Open(OpenReason::Reply);
                (asked.map(|(tag, _)| tag), Endpoint::udp(datagram.from, port), outcome, None)
            }
            Heard::Neighbour(wire::Neighbour { ip, mac }) => {
                if let Some(before) = self.neighbours.heard(ip, mac, Instant::now()) {
                    tracing::debug!(%ip, now = %Mac(mac), before = %Mac(before), "another machine has this address now");
                }
                return;
            }
            Heard::Echo(reply) => {
                let tag = self.cookies.check_echo(epoch, &reply);
                return self.take_knock(tag, reply.from, Knock::Echo);
            }
            Heard::Timestamp(reply) => {
                let tag = self.cookies.check_timestamp(epoch, &reply);
                return self.take_knock(tag, reply.from, Knock::Timestamp);
            }
        };
        let Some(tag) = tag else {
            self.counts.forged.fetch_add(1, Relaxed);
            return;
        };
        let count = self.counts.heard.fetch_add(1, Relaxed);
        let answer = Answer { endpoint, attempt: tag.attempt(), outcome, rtt, reply };
        match tag.slot() {
            QUESTIONS => self.questions.heard(&answer),
            CANARIES => self.canaries.answered(&endpoint),
            slot => {
                if let Some(sink) =
                    self.sinks.get(usize::from(slot)).map(ArcSwapOption::load).as_deref().and_then(Option::as_ref)
                {
                    sink.heard(&answer);
                }
            }
        }
        // Hosts answer TCP as often as they are asked, and UDP and ICMP as often as they like.
        let may_be_canary = endpoint.transport == Transport::Tcp && tag.slot() != CANARIES;
        if may_be_canary && outcome.is_answer() && (outcome.is_open() || count.is_multiple_of(SAMPLE)) {
            self.canaries.met(endpoint, rtt);
        }
    }

    /// The question that a datagram answers, and the port it was asked at: the one it comes from or, where what it says proves
    /// that, another.
    fn asked_by_udp(&self, epoch: Epoch, datagram: &Datagram<'_>) -> Option<(Tag, u16)> {
        let own = std::iter::once(datagram.port);
        own.chain(self.proofs.others().filter(|other| *other != datagram.port)).find_map(|asked| {
            let as_asked = Datagram { port: asked, ..*datagram };
            let proves = |mark: &Mark| {
                let is_elsewhere = asked != datagram.port;
                self.proofs.is_repeated(asked, is_elsewhere, datagram.payload, mark.sequence)
            };
            let tag = self.cookies.check_udp(epoch, &as_asked, proves)?;
            self.has_asked(tag, &Endpoint::udp(datagram.from, asked)).then_some((tag, asked))
        })
    }

    fn take_knock(&self, tag: Option<Tag>, from: IpAddr, knock: Knock) {
        match tag {
            Some(tag) => self.is_there(tag, from, knock),
            None => _ = self.counts.forged.fetch_add(1, Relaxed),
        }
    }

    /// Only sweeps knock.
    fn is_there(&self, tag: Tag, ip: IpAddr, knock: Knock) {
        self.counts.heard.fetch_add(1, Relaxed);
        if let Some(sink) = self.sink(tag.slot()) {
            sink.is_there(ip, knock);
        }
    }

    fn has_asked(&self, tag: Tag, endpoint: &Endpoint) -> bool {
        match tag.slot() {
            QUESTIONS => self.questions.has_asked(endpoint, tag.attempt()),
            CANARIES => false,
            slot => self.sink(slot).as_deref().is_some_and(|sink| sink.has_asked(endpoint, tag.attempt())),
        }
    }

    fn sink(&self, slot: u8) -> Option<Arc<Box<dyn Sink>>> {
        self.sinks.get(usize::from(slot)).and_then(ArcSwapOption::load_full)
    }

    pub(super) fn state(&self) -> State {
        *self.counts.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_state(&self, state: State) {
        *self.counts.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// What a SYN-ACK is worth: every one of our SYNs carries all the options a Linux host's does, and end systems answer with one of
/// their own at least, the segment size (RFC 9293 §3.7.1), and with room for what is to come.
fn opening(segment: &Segment) -> OpenReason {
    if segment.window == 0 || !segment.options.any { OpenReason::BareSynAck } else { OpenReason::SynAck }
}

/// An ICMP error never closes a TCP port: a host does that itself, by RST. A UDP port it closes where the host itself says so. None
/// for what says nothing about the target.
fn refusal(error: &Unreachable) -> Option<Outcome> {
    let is_own = error.by == error.quoted.dst;
    if error.why == Why::Port && is_own && matches!(error.quoted.part, QuotedPart::Udp { .. }) {
        return Some(Outcome::Closed(ClosedReason::PortUnreachable));
    }
    Some(Outcome::Filtered(match error.why {
        Why::Port => FilteredReason::PortUnreachable,
        Why::Host => FilteredReason::HostUnreachable,
        Why::Net => FilteredReason::NetUnreachable,
        Why::Prohibited => FilteredReason::Prohibited,
        Why::Protocol | Why::TimeExceeded => FilteredReason::Other,
        Why::TooBig | Why::Other => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use wire::{Flags, TcpOptions};

    #[test]
    fn an_answer_without_room_or_options_is_doubtful() {
        let (from, to): (IpAddr, IpAddr) = ([192, 0, 2, 7].into(), [192, 0, 2, 1].into());
        let segment = |window, options| Segment {
            from,
            to,
            port: 80,
            our_port: 61_000,
            flags: Flags(Flags::SYN | Flags::ACK),
            seq: 9,
            ack: 5,
            window,
            options,
            ttl: 57,
        };
        let some = TcpOptions { mss: Some(1_460), any: true, ..TcpOptions::default() };
        for (window, options, expect) in [
            (64_240, some, OpenReason::SynAck),
            (1, some, OpenReason::SynAck),
            (0, some, OpenReason::BareSynAck),
            (64_240, TcpOptions::default(), OpenReason::BareSynAck),
            (0, TcpOptions::default(), OpenReason::BareSynAck),
        ] {
            let reason = opening(&segment(window, options));
            assert_eq!(reason, expect, "{window} {options:?}");
            assert_eq!(Outcome::Open(reason).is_doubtful(), expect == OpenReason::BareSynAck);
        }
    }
}
