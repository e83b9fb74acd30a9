//! Several machines behind one address: when another answer is a change, and when it is only another machine's turn.
//!
//! A balancer or an anycast address gives the answers of its members by chance, so two answers that agree prove little. An
//! answer is a change only when the old one is *absent*: missing from so many conversations in a row that chance does not
//! explain it. What is given in turns (A, then B, then A again; or two strangers one after the other) belongs together: the
//! members are remembered and none of them is news. One is forgotten, and the one in force replaced, only when it was not
//! met for long: [`FORSAKEN`], 32 conversations and a day. Of three members one is missing from eight in a row with
//! (2/3)⁸ = 0.04, from 32 with 2·10⁻⁶; of five with 8·10⁻⁴.
//!
//! Where conversations are rare (one every six hours, say) that takes long, and so does meeting all members by chance. So
//! when a certificate is shown that takes turns with those known, all that take turns are asked for: a *census* of
//! [`CENSUS`] conversations, [`CENSUS_GAP`] apart, that begins anew with each newcomer. Who was missing from all of it is
//! gone. So members are known, and the renewal of all their certificates is told, in a quarter of an hour or two. An address
//! of more than [`CENSUS_OF`] members is not counted: it would take too many connections.
//!
//! How many conversations in a row ([`rule_for`]), where the one in force has a share of `1 - p` in the answers:
//!
//! * In the first day ([`learning`]: the first 24 conversations where they are rarer) after a service was learnt, or after it
//!   changed: [`LOOKS`] over the profile's time, ten minutes unless
//!   it says otherwise (one every 46 s, which tires no server). The first of them begins the doubt, so it is completed by
//!   mistake with `p`¹³; after any other ending the members are known, and there is no second doubt. Two members of equal
//!   share: 2⁻¹³ = 1.2·10⁻⁴, of 100 balancers 0.012 in their whole life, not per month. Three members: a look must show
//!   the *same* stranger, (1/3)¹³ = 6.3·10⁻⁷ for each of two. The worst share is high: a member learnt although it answers
//!   one time in ten is called replaced with 0.9¹³ = 0.25; that many of ten thousand such balancers cannot be told from an
//!   upgrade within ten minutes by anybody.
//! * Later: [`LATER_LOOKS`] over the same time. With hourly conversations 24 were the same before. A member of share `p` was
//!   missing from all of them and then comes 8 times in a row with `(1 - p)`²⁴ · `p`⁸, at most 3·10⁻⁷ (at p = 1/4); of 100
//!   balancers 3·10⁻⁵. That holds for every period, because the first day is as many conversations long at least.
//!
//! A true upgrade is told 10 minutes after it is first seen. Where the profile's time is nought, its own `passes` are in
//! force: the operator's word. Members that answer by affinity (always the same one for this sensor) look like one machine,
//! which is what they are to it.

use crate::{Pending, PendingService, ServiceState, Turn, confirm, service::Answer};
use jiff::Timestamp;
use model::ConfirmRule;
use std::time::Duration;

/// A member of a balancer that was not met for so long, in so many conversations, is gone from it.
pub(crate) const FORSAKEN: ConfirmRule = ConfirmRule { passes: 32, at_least: Duration::from_hours(24) };
/// A balancer's members come to light over the first day, or in so many conversations where that takes longer.
const LEARNING: Duration = Duration::from_hours(24);
const LEARNT_IN: u32 = 24;
/// All that take turns are asked for in so many conversations, so far apart, where they are not more than so many.
pub(crate) const CENSUS: u16 = 32;
pub(crate) const CENSUS_GAP: Duration = Duration::from_secs(30);
pub(crate) const CENSUS_OF: usize = 6;
/// A balancer has no more members than this to us.
pub(crate) const MOST_TURNS: usize = 16;
/// Conversations in a row without the answer in force, in its first day and later, where the profile's time has room.
const LOOKS: u16 = 14;
const LATER_LOOKS: u16 = 8;
/// Conversations are no closer than this.
const GAP: Duration = Duration::from_secs(4);

/// How long it takes to learn who takes turns, where conversations come so often.
pub(crate) fn learning(identify: Duration) -> Duration {
    LEARNING.max(identify.saturating_mul(LEARNT_IN))
}

/// What it takes to call an answer replaced that has been in force `since` then, with a conversation every `identify`.
pub(crate) fn rule_for(profile: ConfirmRule, identify: Duration, since: Timestamp, at: Timestamp) -> ConfirmRule {
    let looks = if confirm::between(since, at) < learning(identify) { LOOKS } else { LATER_LOOKS };
    let fitting = u16::try_from(profile.at_least.as_secs() / GAP.as_secs()).unwrap_or(u16::MAX).saturating_add(1);
    ConfirmRule { passes: profile.passes.max(1).max(fitting.min(looks)), at_least: profile.at_least }
}

/// One more conversation without it: whether that was one too many.
pub(crate) fn is_forsaken(missed: u16, last: Timestamp, at: Timestamp) -> bool {
    missed >= FORSAKEN.passes && confirm::between(last, at) >= FORSAKEN.at_least
}

impl ServiceState {
    /// Another answer than the one in force and those that take turns with it, not yet believed.
    pub(crate) fn doubt(&self) -> Option<&PendingService> {
        self.pending_service.as_deref().filter(|pending| pending.is_doubt())
    }
}

impl PendingService {
    /// Nothing gathered yet.
    pub(crate) fn empty(evidence: Pending) -> Box<Self> {
        Box::new(Self { evidence: Pending { count: 0, ..evidence }, service: None, tls: false, turns: Vec::new() })
    }

    pub(crate) fn is_doubt(&self) -> bool {
        let answer = Answer::of(self);
        self.evidence.count > 0 && !self.turns.iter().any(|turn| Answer::of_turn(turn).says_the_same_as(&answer))
    }

    /// What gathered is void; what takes turns stays known.
    pub(crate) fn clear(&mut self) {
        self.evidence.count = 0;
        self.service = None;
        self.tls = false;
    }

    /// Something else answered: what was in doubt takes turns with it.
    pub(crate) fn join(&mut self) {
        if self.is_doubt() {
            let (service, tls, last) = (self.service.take(), self.tls, self.evidence.last);
            self.turns.push(Turn { service, tls, last, missed: 0 });
            if self.turns.len() > MOST_TURNS
                && let Some((oldest, _)) = self.turns.iter().enumerate().min_by_key(|(_, turn)| turn.last)
            {
                self.turns.remove(oldest);
            }
            self.clear();
        }
    }

    /// A conversation with that one of those that take turns, or with another: who was missing for too long is forgotten.
    pub(crate) fn meet(&mut self, answer: Option<&Answer>, at: Timestamp) {
        for turn in &mut self.turns {
            if answer.is_some_and(|answer| Answer::of_turn(turn).says_the_same_as(answer)) {
                turn.last = turn.last.max(at);
                turn.missed = 0;
            } else {
                turn.missed = turn.missed.saturating_add(1);
            }
        }
        self.turns.retain(|turn| !is_forsaken(turn.missed, turn.last, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_as_often_as_it_fits_and_less_of_what_is_known_for_long() {
        let time = |hour: i64| Timestamp::from_second(1_795_255_500 + hour * 3_600).expect("in range");
        let rule = |passes, seconds| ConfirmRule { passes, at_least: Duration::from_secs(seconds) };
        let hour = Duration::from_hours(1);
        let seldom = |hours| rule_for(rule(2, 600), 6 * hour, time(0), time(hours)).passes;
        assert_eq!((seldom(0), seldom(143), seldom(144)), (14, 14, 8), "a conversation every six hours");
        for (profile, hours, expect) in [
            (rule(2, 600), 0, rule(14, 600)),
            (rule(2, 600), 23, rule(14, 600)),
            (rule(2, 600), 24, rule(8, 600)),
            (rule(20, 600), 24, rule(20, 600)),
            (rule(3, 86_400), 48, rule(8, 86_400)),
            (rule(2, 10), 0, rule(3, 10)),
            // The operator's word: at once.
            (rule(1, 0), 0, rule(1, 0)),
            (rule(0, 0), 48, rule(1, 0)),
        ] {
            assert_eq!(rule_for(profile, hour, time(0), time(hours)), expect, "{profile:?} {hours}");
        }
    }

    /// The figures of the module's first lines, from the rule itself.
    #[test]
    fn chance_completes_no_doubt() {
        let time = |hour: i64| Timestamp::from_second(1_795_255_500 + hour * 3_600).expect("in range");
        let confirm = model::Confirm::default();
        for profile in [confirm.service_changed, confirm.certificate_changed] {
            let looks = |hours| i32::from(rule_for(profile, Duration::ZERO, time(0), time(hours)).passes);
            assert!(profile.at_least <= Duration::from_mins(10), "an upgrade is told soon");
            let of_two = 100.0 * 0.5_f64.powi(looks(0) - 1);
            let of_three = 100.0 * 2.0 * (1.0_f64 / 3.0).powi(looks(0) - 1);
            assert!(of_two < 0.02 && of_three < 0.001, "{of_two} {of_three}");
            let worst = (1..100)
                .map(|percent| f64::from(percent) / 100.0)
                .map(|share| 100.0 * (1.0 - share).powi(24) * share.powi(looks(24)))
                .fold(0.0, f64::max);
            assert!(worst < 1e-4, "{worst}");
        }
    }
}
