//! A digest in the order people want to read it: what is worst first, one block a host, effects under their cause.

use crate::{
    Digest,
    plain::{count, line},
    sentence::host,
};
use jiff::Timestamp;
use model::{Event, EventType, Notice, Severity};
use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, sync::Arc};

/// Alerts shown one by one; the rest is counted by type.
pub(super) const SHOWN: usize = 200;

pub(super) struct Story<'a> {
    pub(super) alerts: usize,
    /// The alert to read if only one is read.
    pub(super) worst: Option<&'a Notice>,
    /// `2 hosts`; `3 subjects` where not all are hosts.
    pub(super) about: String,
    pub(super) test: bool,
    /// How many of each severity, worst first, only those there are.
    pub(super) severities: Vec<(Severity, usize)>,
    /// How many of each type, most urgent first.
    pub(super) types: Vec<(EventType, usize)>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) blocks: Vec<Block<'a>>,
    /// What is not in the blocks.
    pub(super) left_out: Vec<(EventType, usize)>,
}

pub(super) struct Block<'a> {
    /// `192.0.2.7  www.example.org  Debian 12`, or what else it is about.
    pub(super) title: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) entries: Vec<Entry<'a>>,
}

pub(super) struct Entry<'a> {
    pub(super) notice: &'a Notice,
    /// What follows from it: the open ports of a found host, the closed ones of a lost host.
    pub(super) effects: Vec<&'a Notice>,
}

impl<'a> Story<'a> {
    /// `values` are the business values of the assets.
    pub(super) fn of(digest: &'a Digest, values: &BTreeMap<Arc<str>, u8>) -> Self {
        let notices = &digest.notices;
        let mut by_host: BTreeMap<String, Vec<&Notice>> = BTreeMap::new();
        for notice in notices {
            by_host.entry(host(&notice.event)).or_default().push(notice);
        }
        let mut blocks: Vec<Block> = by_host.values().map(|notices| block(notices)).collect();
        blocks.sort_by_cached_key(|block| {
            let of_block = || block.entries.iter().flat_map(Entry::notices);
            let severity = of_block().map(|notice| notice.alert.severity).max();
            let assets = of_block().flat_map(|notice| &notice.event.assets);
            let value = assets.filter_map(|asset| values.get(asset.as_str())).max().copied();
            let first = of_block().map(|notice| notice.seq).min();
            (Reverse(severity), Reverse(value), block.ip.is_none(), block.ip, first)
        });
        let about = if blocks.iter().all(|block| block.ip.is_some()) {
            count(blocks.len(), "host", "hosts")
        } else {
            count(blocks.len(), "subject", "subjects")
        };
        let left_out = cap(&mut blocks);
        let latest = notices.iter().map(|notice| notice.alert.time).max();
        let mut severities: BTreeMap<Reverse<Severity>, usize> = BTreeMap::new();
        for notice in notices {
            *severities.entry(Reverse(notice.alert.severity)).or_default() += 1;
        }
        let value = |notice: &Notice| notice.event.assets.iter().filter_map(|asset| values.get(asset.as_str())).max();
        let worst = notices.iter().max_by_key(|notice| (notice.alert.severity, value(notice), Reverse(notice.seq)));
        Self {
            alerts: notices.len(),
            worst,
            about,
            test: notices.iter().any(|notice| notice.test),
            severities: severities.into_iter().map(|(Reverse(severity), alerts)| (severity, alerts)).collect(),
            types: by_type(notices.iter()),
            from: digest.from.min(digest.to),
            to: latest.map_or(digest.to, |latest| latest.max(digest.to)),
            blocks,
            left_out,
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn notices(&self) -> impl Iterator<Item = &'a Notice> + use<'a, '_> {
        std::iter::once(self.notice).chain(self.effects.iter().copied())
    }

    fn severity(&self) -> Option<Severity> {
        self.notices().map(|notice| notice.alert.severity).max()
    }
}

fn block<'a>(notices: &[&'a Notice]) -> Block<'a> {
    let cause_of = |kind: EventType| match kind {
        EventType::PortOpen | EventType::SoftwareAdded | EventType::SslNew => Some(EventType::HostFound),
        EventType::PortClosed | EventType::SoftwareRemoved | EventType::SslRemoved => Some(EventType::HostLost),
        _ => None,
    };
    let described = notices
        .iter()
        .max_by_key(|notice| notice.event.host.as_ref().map(|host| (host.names.len(), host.os.is_some())));
    let (title, ip) = described
        .map(|notice| (title(&notice.event), notice.event.host.as_ref().map(|host| host.ip)))
        .unwrap_or_default();
    let (effects, causes): (Vec<&'a Notice>, Vec<&'a Notice>) = notices.iter().partition(|notice| {
        cause_of(notice.event.kind).is_some_and(|cause| notices.iter().any(|other| other.event.kind == cause))
    });
    let mut entries: Vec<Entry> = causes.into_iter().map(|notice| Entry { notice, effects: Vec::new() }).collect();
    for effect in effects {
        // The last such cause: a host may come and go within one digest.
        let cause = entries.iter_mut().rev().find(|entry| Some(entry.notice.event.kind) == cause_of(effect.event.kind));
        if let Some(cause) = cause {
            cause.effects.push(effect);
        }
    }
    for entry in &mut entries {
        entry.effects.sort_by_key(|effect| (Reverse(effect.alert.severity), effect.seq));
    }
    entries.sort_by_key(|entry| {
        (entry.notice.event.kind != EventType::HostLost, Reverse(entry.severity()), entry.notice.seq)
    });
    Block { title, ip, entries }
}

fn title(event: &Event) -> String {
    let Some(of) = &event.host else { return host(event) };
    let mut title = of.ip.to_string();
    for name in of.names.iter().take(3) {
        title.push_str("  ");
        title.push_str(&line(name, 80));
    }
    if let Some(os) = &of.os {
        title.push_str("  ");
        title.push_str(&line(os, 60));
    }
    title
}

/// Keeps the first [`SHOWN`] alerts and counts the others by type.
fn cap(blocks: &mut Vec<Block<'_>>) -> Vec<(EventType, usize)> {
    let mut room = SHOWN;
    let mut left_out: Vec<&Notice> = Vec::new();
    for block in blocks.iter_mut() {
        block.entries.retain_mut(|entry| {
            if room == 0 {
                left_out.extend(entry.notices());
                return false;
            }
            room -= 1;
            let kept = room.min(entry.effects.len());
            left_out.extend(entry.effects.drain(kept..));
            room -= kept;
            true
        });
    }
    blocks.retain(|block| !block.entries.is_empty());
    by_type(left_out.into_iter())
}

/// Most urgent first: by the worst alert of the type, then by number, then by name.
fn by_type<'a>(notices: impl Iterator<Item = &'a Notice>) -> Vec<(EventType, usize)> {
    let mut types: BTreeMap<EventType, (Severity, usize)> = BTreeMap::new();
    for notice in notices {
        let (worst, number) = types.entry(notice.event.kind).or_insert((Severity::INFO, 0));
        *worst = (*worst).max(notice.alert.severity);
        *number += 1;
    }
    let mut types: Vec<_> = types.into_iter().collect();
    types.sort_by_key(|&(kind, (worst, number))| (Reverse(worst), Reverse(number), kind));
    types.into_iter().map(|(kind, (_, number))| (kind, number)).collect()
}
