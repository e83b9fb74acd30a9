//! The end of a profile's learning, and of what is added to it later.

use crate::{Change, Inventory};
use jiff::Timestamp;
use model::{Event, EventType, Evidence};
use std::sync::Arc;

impl Inventory {
    /// Every lane of the profile has been round once: `BASELINE_DONE`, once for ever, with what was learnt.
    pub fn baseline_done(&self, profile: &Arc<str>, now: Timestamp) -> Change {
        if self.has_baseline(profile) {
            return Change::default();
        }
        let reason = "every lane has covered its addresses once";
        Change {
            baselines: vec![profile.clone()],
            events: vec![self.baseline_event(profile, reason, now)],
            ..Change::default()
        }
    }

    /// What was added to a profile that had learnt its baseline, ports or addresses, has been covered once too:
    /// `BASELINE_DONE` again, once for the whole addition. When that is so is the caller's to say; nothing before the
    /// profile's first baseline.
    pub fn baseline_extended(&self, profile: &Arc<str>, now: Timestamp) -> Change {
        if !self.has_baseline(profile) {
            return Change::default();
        }
        let reason = "every lane has covered what was added to the profile";
        Change { events: vec![self.baseline_event(profile, reason, now)], ..Change::default() }
    }

    fn baseline_event(&self, profile: &Arc<str>, reason: &str, now: Timestamp) -> Event {
        let regions: Vec<_> = self.regions.values().filter(|region| region.profile == *profile).collect();
        let (mut hosts, mut endpoints, mut first) = (0_u64, 0_u64, now);
        for host in self.hosts.rows().filter(|host| !host.is_provisional()) {
            if regions.iter().any(|region| region.covers_address(host.ip())) {
                hosts += 1;
                endpoints += host.open() as u64;
                first = first.min(host.first_seen());
            }
        }
        let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let learnt = format!("{}, {}", plural(hosts, "host"), plural(endpoints, "open endpoint"));
        let mut event = Event::new(EventType::BaselineDone, now, &self.vantage, profile);
        event.profile = Some(profile.to_string());
        event.reason = Some(reason.to_owned());
        event.metric = i64::try_from(endpoints).ok();
        event.evidence = vec![Evidence { at: now, what: format!("learnt {learnt}") }];
        event.new = Some(learnt);
        event.first_seen = Some(first);
        event.last_seen = Some(now);
        event
    }
}
