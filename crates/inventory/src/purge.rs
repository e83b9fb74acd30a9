//! Hosts that are forgotten and told so: nobody has seen them for longer than anything is kept, nobody wants them watched
//! any more, or an operator says so. What was covered stays covered, so their return is news, except where the address is
//! no target any more.

use crate::{Change, HostState, Inventory, Row, confirm, event, lease};
use jiff::Timestamp;
use model::{Event, EventType, format_duration};
use std::{net::IpAddr, time::Duration};

const DAY: u64 = 86_400;

impl Inventory {
    /// Forgets the hosts that have been lost for longer than `retention`: one `HOST_PURGED` each.
    pub fn purge(&self, now: Timestamp, retention: Duration) -> Change {
        let is_over = |since| confirm::between(since, now) > retention;
        let lost = self.hosts.rows().filter(|host| !host.is_up() && host.lost_since().is_some_and(is_over));
        let gone: Vec<IpAddr> = lost.map(Row::ip).collect();
        if gone.is_empty() {
            return Change::default();
        }
        self.purged(&gone, now, |host| {
            let days = confirm::between(host.last_seen, now).as_secs() / DAY;
            let seen = Duration::from_secs(days * DAY);
            let seen = if seen.is_zero() { retention } else { seen };
            format!("not seen for {}", format_duration(seen))
        })
    }

    /// Forgets these hosts because an operator (`by`) says so. Addresses without a host are passed over.
    pub fn purge_hosts(&self, ips: &[IpAddr], by: &str, now: Timestamp) -> Change {
        let by = event::printable(by);
        self.purged(ips, now, |_| format!("by {by}"))
    }

    /// Forgets hosts whose targets were taken out of the configuration or excluded, and what was covered there: should they
    /// become targets again, they are learnt.
    pub fn purge_targets(&self, ips: &[IpAddr], now: Timestamp) -> Change {
        let mut change = self.purged(ips, now, |_| "no longer a target".to_owned());
        change.regions = lease::uncovered(self, ips);
        change
    }

    fn purged(&self, ips: &[IpAddr], now: Timestamp, reason: impl Fn(&HostState) -> String) -> Change {
        let mut change = lease::forget(self, ips, now);
        let gone = change.removed_hosts.iter().filter_map(|key| self.known(key.ip));
        // Nobody was told of a provisional one.
        let events: Vec<Event> = gone
            .filter(|host| !host.is_provisional() && self.pool_of(host.key.ip).is_none())
            .map(|host| {
                let mut event = Event::new(EventType::HostPurged, now, &self.vantage, &host.key.ip);
                event.host = Some(event::host(&host));
                event.assets = host.assets.iter().map(ToString::to_string).collect();
                event.tags = host.tags.iter().map(ToString::to_string).collect();
                event.old = Some(if host.up { "up" } else { "lost" }.to_owned());
                event.reason = Some(reason(&host));
                let open = host.open().take(event::MOST_LISTED);
                event.endpoints = open.map(|endpoint| host.endpoint_at(endpoint).to_string()).collect();
                event.evidence = vec![event::evidence(host.last_seen, "last answered")];
                event.first_seen = Some(host.first_seen);
                event.last_seen = Some(host.last_seen);
                event
            })
            .collect();
        change.events.splice(0..0, events);
        change
    }
}
