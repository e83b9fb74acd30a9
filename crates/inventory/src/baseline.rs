//! The end of a profile's learning.

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
        let regions: Vec<_> = self.regions.values().filter(|region| region.profile == *profile).collect();
        let (mut hosts, mut endpoints, mut first) = (0_u64, 0_u64, now);
        for host in self.hosts.values().filter(|host| !host.is_provisional()) {
            if regions.iter().any(|region| region.covers_address(host.key.ip)) {
                hosts += 1;
                endpoints += host.open().map(|_| 1_u64).sum::<u64>();
                first = first.min(host.first_seen);
            }
        }
        let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let learnt = format!("{}, {}", plural(hosts, "host"), plural(endpoints, "open endpoint"));
        let mut event = Event::new(EventType::BaselineDone, now, &self.vantage, profile);
        event.profile = Some(profile.to_string());
        event.reason = Some("every lane has covered its addresses once".to_owned());
        event.metric = i64::try_from(endpoints).ok();
        event.evidence = vec![Evidence { at: now, what: format!("learnt {learnt}") }];
        event.new = Some(learnt);
        event.first_seen = Some(first);
        event.last_seen = Some(now);
        Change { baselines: vec![profile.clone()], events: vec![event], ..Change::default() }
    }
}
