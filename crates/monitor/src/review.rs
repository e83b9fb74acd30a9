//! Which hosts an operator approved, also before they are seen.

use crate::{Batch, Note, decide::Decider};
use inventory::{Approval, Change};
use jiff::Timestamp;
use model::{AddressRange, AddressSet};
use std::{fmt, net::IpAddr, ops::Bound};

/// The kind of the note about addresses approved ahead.
const AHEAD: &str = "approved";

/// What came of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reviewed {
    pub withdrawn: bool,
    /// Hosts that were not approved before, or were until now.
    pub changed: u64,
    /// Hosts of which it was true already.
    pub already: u64,
    /// Addresses without a known host, approved ahead (or no longer).
    pub ahead: u128,
}

/// Approvals of addresses at which nothing has been seen yet.
#[derive(Debug, Default)]
pub(crate) struct Ahead(AddressSet);

impl Decider {
    pub(crate) fn review(
        &mut self,
        addresses: Option<&AddressSet>,
        withdraw: bool,
        by: &str,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Reviewed {
        let known: Vec<IpAddr> = {
            let inventory = self.inventory();
            let hosts = inventory.rows(Bound::Unbounded).filter(|host| !host.is_provisional()).map(inventory::Row::ip);
            hosts.filter(|ip| addresses.is_none_or(|addresses| addresses.contains(*ip))).collect()
        };
        let change = if withdraw {
            self.inventory().unapprove(Some(&known)).change
        } else {
            self.inventory().approve(Some(&known), by, now).change
        };
        let changed = change.hosts.len();
        let mut reviewed = Reviewed {
            withdrawn: withdraw,
            changed: changed as u64,
            already: known.len().saturating_sub(changed) as u64,
            ahead: 0,
        };
        self.absorb(change, now, batch);
        if let Some(addresses) = addresses {
            let met: AddressSet = known.into_iter().map(AddressRange::single).collect();
            let unmet = addresses.difference(&met);
            reviewed.ahead = unmet.len();
            let ahead = if withdraw { self.ahead.0.difference(addresses) } else { self.ahead.0.union(&unmet) };
            self.expect(ahead, batch);
        }
        reviewed
    }

    /// Gives hosts that were approved ahead their approval, once: one that another machine took the place of is reviewed anew.
    pub(crate) fn greet(&mut self, change: &mut Change, now: Timestamp, batch: &mut Batch) {
        if self.ahead.0.is_empty() {
            return;
        }
        let mut met: Vec<AddressRange> = Vec::new();
        for host in change.hosts.iter_mut().filter(|host| !host.is_provisional() && self.ahead.0.contains(host.key.ip))
        {
            met.push(AddressRange::single(host.key.ip));
            if host.approved.is_none() {
                host.approved = Some(Approval { at: now, by: "approved ahead".to_owned() });
            }
        }
        if !met.is_empty() {
            let left = self.ahead.0.difference(&met.into_iter().collect());
            self.expect(left, batch);
        }
    }

    fn expect(&mut self, ahead: AddressSet, batch: &mut Batch) {
        if ahead == self.ahead.0 {
            return;
        }
        let value = if ahead.is_empty() { None } else { serde_json::to_string(&ahead).ok() };
        batch.note(Note { kind: AHEAD.to_owned(), key: String::new(), value });
        self.ahead = Ahead(ahead);
    }

    pub(crate) fn restore_approvals(&mut self, notes: &[Note]) {
        let note = notes.iter().find(|note| note.kind == AHEAD).and_then(|note| note.value.as_deref());
        match note.map(serde_json::from_str) {
            Some(Ok(ahead)) => self.ahead = Ahead(ahead),
            Some(Err(error)) => {
                tracing::warn!(%error, "the list of addresses approved ahead cannot be read; approve them again");
            }
            None => {}
        }
    }
}

impl fmt::Display for Reviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = |count: u64| format!("{count} host{}", if count == 1 { "" } else { "s" });
        let (did, were) =
            if self.withdrawn { ("not approved any more", "were not") } else { ("approved", "were already") };
        write!(f, "{} {did}", hosts(self.changed))?;
        if self.already > 0 {
            write!(f, ", {} {were}", self.already)?;
        }
        if self.ahead > 0 && !self.withdrawn {
            write!(f, "; {} more addresses, at which nothing has been seen, are approved ahead", self.ahead)?;
        }
        Ok(())
    }
}
