//! Open ports that stop answering: how often to look before one is called closed, and the closing itself.
//!
//! A profile's `port_closed` says how many passes must agree and over what time. A path that answers for others (a device
//! that injects resets, a balancer with one sick member, loss) makes a look wrong with some probability `q`, so two looks
//! that agree prove little. Looks are cheap, one SYN each, and waiting out the profile's time is not: within it the question
//! is asked as often as it fits, up to [`LOOKS`] times, and the first answer ends the doubt. With `q` = 0.30 (resets) plus
//! 0.05² (both attempts of a look lost) a first doubt is completed by mistake with a probability of `q`¹³ = 1.7·10⁻⁷. Each
//! doubt that was taken back asks for one look more from then on ([`MOST_EXTRA`] at most), which makes it `q`¹⁹ =
//! 1.3·10⁻¹⁰. Of 10,000 endpoints looked at every 5 minutes for 30 days, with 2.4·10⁷ doubts among them, 0.006 are called
//! closed wrongly where *every* path is that bad. Independent looks are assumed; what goes wrong for all ports of a host
//! together is [`crate::block`]'s.

use crate::{EndpointState, Pending, PortStatus, apply::Plan, event};
use jiff::Timestamp;
use model::{ClosedReason, ConfirmRule, Event, EventType};
use std::time::Duration;

/// How often a port is asked before it is called closed, where the profile's time has room for it.
const LOOKS: u16 = 14;
/// Looks are no closer than this, so that they do not meet the same moment.
const GAP: Duration = Duration::from_secs(4);
/// Looks at the last port of a host, however short the profile's time is: where somebody on the way refuses every fifth SYN,
/// and the kernel sends several of them, a look at a dead host is refused every second time, so 16 in a row come with a
/// probability of 3·10⁻⁵ after the first.
const ALONE: u16 = 16;
/// What a port says of itself is believed after this time, where the profile does not ask for less.
const DEFINITE: Duration = Duration::from_mins(1);
/// So many more looks an unsteady path costs at most, and all of them so far apart (the profile's own time, where that is less).
const MOST_EXTRA: u8 = 6;
const UNSTEADY_GAP: Duration = Duration::from_mins(1);
/// Recoveries are remembered up to here, and so many are forgotten at each turn of a six-hour clock.
const MOST_RECOVERED: u8 = 2 * MOST_EXTRA;
const FORGOTTEN: u8 = MOST_EXTRA;
const TURN: i64 = 6 * 3_600;

/// What it takes to call a port closed, given what the last look said and how often doubts about it were taken back of late.
/// Where nothing else of its host is `sound`, a refusal may be meant for the sensor: then it takes the profile's whole time,
/// in which its neighbours are asked too.
pub(crate) fn rule_against(profile: ConfirmRule, reason: &str, recovered: u8, sound: bool) -> ConfirmRule {
    let at_least = if sound && is_definite(reason) { profile.at_least.min(DEFINITE) } else { profile.at_least };
    let fitting = u16::try_from(at_least.as_secs() / GAP.as_secs()).unwrap_or(u16::MAX).saturating_add(1);
    // The last port of a host has nothing beside it that shows who refuses.
    let alone = if sound || profile.passes <= 1 { 0 } else { ALONE };
    let extra = u16::from(recovered.min(MOST_EXTRA));
    let passes = profile.passes.max(1).max(alone).max(fitting.min(LOOKS)).saturating_add(extra);
    // A profile that wants to know within seconds does not wait minutes because of one lost packet.
    let gap = UNSTEADY_GAP.min(profile.at_least);
    let spread = if extra > 0 { gap * u32::from(passes - 1) } else { Duration::ZERO };
    ConfirmRule { passes, at_least: at_least.max(spread) }
}

/// A RST to our own SYN, or ICMP port unreachable for UDP: the port itself said so.
fn is_definite(reason: &str) -> bool {
    reason == ClosedReason::Rst.as_str() || reason == ClosedReason::PortUnreachable.as_str()
}

impl EndpointState {
    /// It answered: what was held against it is taken back, and remembered as such for a while.
    pub(crate) fn recover(&mut self, at: Timestamp) {
        let turns = at.as_second().div_euclid(TURN) - self.last_seen.as_second().div_euclid(TURN);
        let forgotten = u8::try_from(turns.max(0)).unwrap_or(u8::MAX).saturating_mul(FORGOTTEN);
        self.recovered = self.recovered.saturating_sub(forgotten);
        if self.pending.take().is_some() {
            self.recovered = self.recovered.saturating_add(1).min(MOST_RECOVERED);
        }
    }
}

impl Plan<'_> {
    /// Closes what has enough evidence against it, and schedules the questions for the rest.
    pub(crate) fn judge_closings(&mut self) {
        if let Some(since) = self.host.blocked_since {
            return self.judge_block(since);
        }
        let sound = self.endpoints.values().any(|known| known.status == PortStatus::Open && known.pending.is_none());
        for key in std::mem::take(&mut self.doubted) {
            let Some(mut endpoint) = self.endpoints.remove(&key) else { continue };
            if let Some(mut pending) = endpoint.pending.take() {
                let rule = rule_against(self.policy.confirm.port_closed, &pending.reason, endpoint.recovered, sound);
                if pending.satisfies(&rule) {
                    let event = self.close(&mut endpoint, &pending);
                    self.events.push(event);
                } else {
                    pending.schedule(&rule, self.now);
                    endpoint.pending = Some(pending);
                }
            }
            self.endpoints.insert(key, endpoint);
        }
    }

    pub(crate) fn close(&mut self, endpoint: &mut EndpointState, pending: &Pending) -> Event {
        let subject = (self.slice.ip, endpoint.transport, endpoint.port);
        let mut event = Event::new(EventType::PortClosed, self.now, &self.inventory.vantage, &subject);
        event::on_endpoint(&mut event, endpoint);
        event.service = event::shown_service(endpoint);
        event.old = Some("open".to_owned());
        event.new = Some("closed".to_owned());
        event.reason = Some(pending.told());
        event.evidence = event::gathered(pending);
        endpoint.status = PortStatus::Closed;
        endpoint.reason.clone_from(&pending.reason);
        endpoint.changed_at = pending.last;
        endpoint.recovered = 0;
        endpoint.learnt = false;
        let place = self.host.endpoint_at(endpoint);
        for service in std::mem::take(&mut endpoint.services) {
            self.withdraw_all(place, &service);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(passes: u16, seconds: u64) -> ConfirmRule {
        ConfirmRule { passes, at_least: Duration::from_secs(seconds) }
    }

    #[test]
    fn asks_as_often_as_it_fits_and_more_where_the_path_is_unsteady() {
        for (profile, reason, recovered, expect) in [
            (rule(2, 600), "refused", 0, rule(14, 600)),
            (rule(2, 600), "silent", 0, rule(14, 600)),
            (rule(2, 600), "rst", 0, rule(14, 60)),
            (rule(2, 600), "port-unreachable", 0, rule(14, 60)),
            (rule(2, 600), "rst", 1, rule(15, 840)),
            (rule(2, 600), "refused", 6, rule(20, 1_140)),
            (rule(2, 600), "refused", 12, rule(20, 1_140)),
            (rule(2, 10), "rst", 0, rule(3, 10)),
            (rule(20, 600), "silent", 0, rule(20, 600)),
            // The operator's word: at once.
            (rule(1, 0), "refused", 0, rule(1, 0)),
            (rule(0, 0), "refused", 0, rule(1, 0)),
            (rule(2, 0), "rst", 0, rule(2, 0)),
            (rule(1, 0), "refused", 2, rule(3, 0)),
            (rule(2, 3), "silent", 2, rule(4, 9)),
        ] {
            assert_eq!(rule_against(profile, reason, recovered, true), expect, "{profile:?} {reason} {recovered}");
        }
        assert_eq!(rule_against(rule(2, 600), "rst", 0, false), rule(16, 600), "the last of a host");
        assert_eq!(rule_against(rule(2, 6), "rst", 0, false), rule(16, 6), "the last of a host");
    }

    /// The figure of the module's first lines, from the rule itself.
    #[test]
    fn resets_injected_into_every_third_look_prove_nothing() {
        let wrong: f64 = 0.30 + 0.70 * 0.05 * 0.05;
        let looks = 10_000.0 * 30.0 * 24.0 * 12.0;
        for reason in ["rst", "refused"] {
            let confirm = model::Confirm::default().port_closed;
            let mistaken =
                |recovered: u8| wrong.powi(i32::from(rule_against(confirm, reason, recovered, true).passes) - 1);
            let early: f64 = (0..MOST_EXTRA).map(mistaken).sum::<f64>() * 10_000.0;
            let late = mistaken(MOST_EXTRA) * looks * wrong;
            assert!(early + late < 0.01, "{reason}: {} false closings in 30 days", early + late);
        }
    }
}
