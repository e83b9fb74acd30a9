//! The operator's word on which hosts are meant to be there.

use crate::{Approval, Change, HostState, Inventory, Row, event};
use jiff::Timestamp;
use std::{collections::BTreeSet, net::IpAddr};

/// What a review changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reviewed {
    pub change: Change,
    /// Addresses at which no host is known, ascending.
    pub unknown: Vec<IpAddr>,
}

impl Inventory {
    /// Approves the hosts at these addresses, or with none every host known. One that is approved already keeps its first
    /// approval. `by` is `operator`, or the file the list came from.
    pub fn approve(&self, ips: Option<&[IpAddr]>, by: &str, now: Timestamp) -> Reviewed {
        let approval = Approval { at: now, by: event::printable(by) };
        self.review(ips, |host| {
            let is_news = host.approved.is_none();
            host.approved.get_or_insert_with(|| approval.clone());
            is_news
        })
    }

    /// Takes the approval back.
    pub fn unapprove(&self, ips: Option<&[IpAddr]>) -> Reviewed {
        self.review(ips, |host| host.approved.take().is_some())
    }

    fn review(&self, ips: Option<&[IpAddr]>, decide: impl Fn(&mut HostState) -> bool) -> Reviewed {
        let wanted: BTreeSet<IpAddr> = match ips {
            Some(ips) => ips.iter().copied().collect(),
            None => self.hosts.rows().filter(|host| !host.is_provisional()).map(Row::ip).collect(),
        };
        let mut reviewed = Reviewed::default();
        for ip in wanted {
            match self.known(ip).filter(|host| !host.is_provisional()) {
                Some(mut host) => {
                    if decide(&mut host) {
                        reviewed.change.hosts.push(host);
                    }
                }
                None => reviewed.unknown.push(ip),
            }
        }
        reviewed
    }
}
