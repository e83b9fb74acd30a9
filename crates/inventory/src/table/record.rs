//! A host in 88 bytes, beside its endpoints' slots.

use super::{
    extra::{Extra, Names, PackedIdentity, Rare, Times},
    moment::Moment,
    pool::{Id, NONE},
    slot::Slot,
    values::Values,
};
use crate::{Counts, EndpointState, HostState, Identity, PortStatus};
use jiff::Timestamp;
use model::{HostKey, Transport, Vantage};
use std::net::IpAddr;

const UP: u8 = 1;
const LOST: u8 = 1 << 1;
const ANSWERED: u8 = 1 << 2;
const ANSWERED_UDP: u8 = 1 << 3;
/// See [`Extra::is_settled`]; it holds of a host without any extra.
const SETTLED: u8 = 1 << 4;
/// Its times went on since it was last handed out to be written.
const TOUCHED: u8 = 1 << 5;
/// It was looked at the long way since [`super::Table::meet_anew`].
const MET: u8 = 1 << 6;

#[derive(Debug, Clone)]
pub(super) struct Record {
    /// In the order of the host's endpoints.
    pub(super) slots: Box<[Slot]>,
    pub(super) identities: Box<[PackedIdentity]>,
    pub(super) names: Option<Box<Names>>,
    pub(super) extra: Option<Box<Extra>>,
    pub(super) first_seen: Moment,
    pub(super) last_seen: Moment,
    lost_since: Moment,
    pub(super) words: Id,
    os: Id,
    approved: Id,
    answered_port: u16,
    flags: u8,
}

impl Record {
    pub(super) fn pack(host: &HostState, vantage: &Vantage, values: &mut Values) -> Self {
        let mut extra = Extra {
            endpoints: Vec::new(),
            misses: host.misses.clone(),
            pending_os: host.pending_os.clone(),
            name_turns: host.name_turns.clone(),
            turnover: host.turnover.clone(),
            found: host.found,
            flaps: host.flaps.clone(),
            findings: host.findings.clone(),
            blocked_since: host.blocked_since,
            identities: Vec::new(),
            times: None,
            vantage: (host.key.vantage != *vantage).then(|| host.key.vantage.clone()),
        };
        let mut slots = Vec::with_capacity(host.endpoints.len());
        for (place, state) in host.endpoints.iter().enumerate() {
            slots.push(Slot::pack(state, values).unwrap_or_else(|| {
                // No host has four thousand million endpoints.
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                extra.endpoints.push((place, Rare::new(state, values)));
                Slot::rare(state)
            }));
        }
        let identities = PackedIdentity::pack_all(&host.identities, values).unwrap_or_else(|| {
            extra.identities.clone_from(&host.identities);
            Box::default()
        });
        let lost_since = host.lost_since.map_or(Some(Moment::default()), Moment::new);
        let times = (Moment::new(host.first_seen), Moment::new(host.last_seen), lost_since);
        let (first_seen, last_seen, lost_since) = if let (Some(first), Some(last), Some(lost)) = times {
            (first, last, lost)
        } else {
            extra.times = Some(Box::new(Times {
                first_seen: host.first_seen,
                last_seen: host.last_seen,
                lost_since: host.lost_since,
            }));
            Default::default()
        };
        let facts = [
            (host.up, UP),
            (host.lost_since.is_some(), LOST),
            (host.answered_by.is_some(), ANSWERED),
            (host.answered_by.is_some_and(|(transport, _)| transport == Transport::Udp), ANSWERED_UDP),
            (extra.is_settled(), SETTLED),
        ];
        Self {
            slots: slots.into(),
            identities,
            names: Names::pack(host),
            extra: (!extra.is_empty()).then(|| Box::new(extra)),
            first_seen,
            last_seen,
            lost_since,
            // A pool refuses the 2^32nd value; memory ends long before.
            words: values.words(&host.assets, &host.tags, host.value).unwrap_or(NONE),
            os: host.os.as_ref().and_then(|os| values.system(os)).unwrap_or(NONE),
            approved: host.approved.as_ref().and_then(|approval| values.approval(approval)).unwrap_or(NONE),
            answered_port: host.answered_by.map_or(0, |(_, port)| port),
            flags: facts.into_iter().filter(|(holds, _)| *holds).fold(0, |flags, (_, flag)| flags | flag),
        }
    }

    pub(super) fn unpack(&self, ip: IpAddr, vantage: &Vantage, values: &Values) -> HostState {
        let extra = self.extra.as_deref();
        let names = self.names.as_deref();
        let vantage = extra.and_then(|extra| extra.vantage.as_ref()).unwrap_or(vantage);
        let mut host = HostState {
            up: self.is_up(),
            last_seen: self.last_seen.time(),
            lost_since: self.lost_since(),
            names: names.map(Names::names).unwrap_or_default(),
            os: values.system_of(self.os),
            endpoints: (0..self.slots.len()).filter_map(|place| self.endpoint(place, values)).collect(),
            answered_by: self.answered_by(),
            named_at: names.map(Names::named_at).unwrap_or_default(),
            approved: values.approval_of(self.approved),
            identities: self.identities(values),
            ..HostState::new(HostKey { vantage: vantage.clone(), ip }, self.first_seen.time())
        };
        if let Some(words) = values.words_of(self.words) {
            host.assets = words.assets.clone();
            host.tags = words.tags.clone();
            host.value = words.value;
        }
        let Some(extra) = extra else { return host };
        host.misses.clone_from(&extra.misses);
        host.pending_os.clone_from(&extra.pending_os);
        host.name_turns.clone_from(&extra.name_turns);
        host.turnover.clone_from(&extra.turnover);
        host.found = extra.found;
        host.flaps.clone_from(&extra.flaps);
        host.findings.clone_from(&extra.findings);
        host.blocked_since = extra.blocked_since;
        if let Some(times) = &extra.times {
            host.first_seen = times.first_seen;
            host.last_seen = times.last_seen;
            host.lost_since = times.lost_since;
        }
        host
    }

    pub(super) fn lost_since(&self) -> Option<Timestamp> {
        (self.flags & LOST != 0).then(|| self.lost_since.time())
    }

    pub(super) fn identities(&self, values: &Values) -> Vec<Identity> {
        match &self.extra {
            Some(extra) if !extra.identities.is_empty() => extra.identities.clone(),
            _ => self.identities.iter().filter_map(|identity| identity.unpack(values)).collect(),
        }
    }

    /// Whether nothing but times differs: what the long way would make of the host's next look at the same is then known
    /// from the last one.
    pub(super) fn says_what(&self, before: &Self) -> bool {
        let marks = |record: &Self| record.flags & !(TOUCHED | MET);
        let own = |record: &Self| (marks(record), record.words, record.os, record.approved, record.answered_by());
        own(self) == own(before)
            && self.is_settled()
            && self.slots.len() == before.slots.len()
            && self.slots.iter().zip(&before.slots).all(|(now, then)| now.says_what(then))
            && self.identities.len() == before.identities.len()
            && self.identities.iter().zip(&before.identities).all(|(now, then)| now.is_of(then))
    }

    /// The endpoint at a place, in its working form.
    pub(super) fn endpoint(&self, place: usize, values: &Values) -> Option<EndpointState> {
        let slot = self.slots.get(place)?;
        if slot.is_rare() { Some(self.rare(place)?.state.clone()) } else { Some(slot.unpack(values)) }
    }

    pub(super) fn rare(&self, place: usize) -> Option<&Rare> {
        self.extra.as_ref()?.rare(place)
    }

    pub(super) fn place(&self, transport: Transport, port: u16) -> Option<usize> {
        self.slots.binary_search_by_key(&(transport, port), Slot::key).ok()
    }

    pub(super) fn release(&self, values: &mut Values) {
        for slot in &self.slots {
            slot.release(values);
        }
        for identity in &self.identities {
            identity.release(values);
        }
        if let Some(extra) = &self.extra {
            extra.release(values);
        }
        values.release_words(self.words);
        values.release_system(self.os);
        values.release_approval(self.approved);
    }

    pub(super) fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    pub(super) fn is_provisional(&self) -> bool {
        self.flags & (UP | LOST) == 0
    }

    pub(super) fn is_settled(&self) -> bool {
        self.flags & SETTLED != 0
    }

    pub(super) fn is_touched(&self) -> bool {
        self.flags & TOUCHED != 0
    }

    pub(super) fn is_met(&self) -> bool {
        self.flags & MET != 0
    }

    pub(super) fn meet(&mut self, met: bool) {
        self.flags = if met { self.flags | MET } else { self.flags & !MET };
    }

    /// Tells whether that is news.
    pub(super) fn touch(&mut self) -> bool {
        let news = !self.is_touched();
        self.flags |= TOUCHED;
        news
    }

    pub(super) fn settle(&mut self) {
        self.flags &= !TOUCHED;
    }

    pub(super) fn answered_by(&self) -> Option<(Transport, u16)> {
        let transport = if self.flags & ANSWERED_UDP == 0 { Transport::Tcp } else { Transport::Udp };
        (self.flags & ANSWERED != 0).then_some((transport, self.answered_port))
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.status() == PortStatus::Open)
    }

    /// What it adds to the counts.
    pub(super) fn counts(&self) -> Counts {
        if self.is_provisional() {
            return Counts::default();
        }
        Counts {
            hosts: 1,
            hosts_up: usize::from(self.is_up()),
            endpoints: self.open().count(),
            services: self.open().filter(|slot| slot.is_recognised()).count(),
            certificates: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert_eq!(size_of::<Record>(), 88);
    }
}
