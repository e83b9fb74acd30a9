//! A sorted map of addresses in chunks: as small as a list, ordered, and a lookup is two binary searches in short arrays.

use super::record::Record;
use std::{net::IpAddr, ops::Bound};

/// Hosts in a chunk at most. An insertion moves half of that on average, some twenty kilobytes.
const MOST: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    /// The first address of each chunk: what the search runs over.
    firsts: Vec<IpAddr>,
    all: Vec<Chunk>,
    len: usize,
    touched: usize,
}

/// Never empty.
#[derive(Debug, Clone, Default)]
struct Chunk {
    ips: Vec<IpAddr>,
    records: Vec<Record>,
    /// How many of them are.
    touched: usize,
}

impl Chunks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn touched(&self) -> usize {
        self.touched
    }

    pub(super) fn get(&self, ip: &IpAddr) -> Option<&Record> {
        self.get_key_value(ip).map(|(_, record)| record)
    }

    pub(super) fn get_key_value(&self, ip: &IpAddr) -> Option<(IpAddr, &Record)> {
        let chunk = self.all.get(self.chunk_of(ip)?)?;
        let place = chunk.ips.binary_search(ip).ok()?;
        Some((*ip, chunk.records.get(place)?))
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.all.iter_mut().flat_map(|chunk| &mut chunk.records)
    }

    /// Changes a record in place; the closure tells whether that touches it.
    pub(super) fn touch(&mut self, ip: &IpAddr, change: impl FnOnce(&mut Record) -> bool) -> bool {
        let Some(number) = self.chunk_of(ip) else { return false };
        let Some(chunk) = self.all.get_mut(number) else { return false };
        let Ok(place) = chunk.ips.binary_search(ip) else { return false };
        let Some(record) = chunk.records.get_mut(place) else { return false };
        if !change(record) {
            return false;
        }
        if record.touch() {
            chunk.touched += 1;
            self.touched += 1;
        }
        true
    }

    /// Gives back what was there.
    pub(super) fn insert(&mut self, ip: IpAddr, record: Record) -> Option<Record> {
        let Some(number) = self.chunk_of(&ip) else {
            // Before the first of all, or nothing is there yet.
            if let (Some(chunk), Some(first)) = (self.all.first_mut(), self.firsts.first_mut()) {
                *first = ip;
                chunk.ips.insert(0, ip);
                chunk.records.insert(0, record);
            } else {
                self.firsts.push(ip);
                self.all.push(Chunk { ips: vec![ip], records: vec![record], touched: 0 });
            }
            self.len += 1;
            self.split(0);
            return None;
        };
        let chunk = &mut self.all[number];
        match chunk.ips.binary_search(&ip) {
            Ok(place) => {
                let old = std::mem::replace(&mut chunk.records[place], record);
                self.written(number, &old);
                Some(old)
            }
            Err(place) => {
                chunk.ips.insert(place, ip);
                chunk.records.insert(place, record);
                self.len += 1;
                self.split(number);
                None
            }
        }
    }

    /// Fills every chunk but the last: hosts that came in no order have left them half empty.
    pub(super) fn close_up(&mut self) {
        let loose = std::mem::take(self);
        // What it was before this must not be there twice: each chunk goes as soon as it is emptied.
        for chunk in loose.all {
            for (ip, record) in chunk.ips.into_iter().zip(chunk.records) {
                self.push(ip, record);
            }
        }
        if let Some(last) = self.all.last_mut() {
            last.ips.shrink_to_fit();
            last.records.shrink_to_fit();
        }
        self.firsts.shrink_to_fit();
        self.all.shrink_to_fit();
    }

    /// Appends behind all others.
    fn push(&mut self, ip: IpAddr, record: Record) {
        if self.all.last().is_none_or(|chunk| chunk.ips.len() == MOST) {
            self.firsts.push(ip);
            let (ips, records) = (Vec::with_capacity(MOST), Vec::with_capacity(MOST));
            self.all.push(Chunk { ips, records, touched: 0 });
        }
        let Some(chunk) = self.all.last_mut() else { return };
        let touched = usize::from(record.is_touched());
        chunk.touched += touched;
        self.touched += touched;
        chunk.ips.push(ip);
        chunk.records.push(record);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, ip: &IpAddr) -> Option<Record> {
        let number = self.chunk_of(ip)?;
        let chunk = &mut self.all[number];
        let place = chunk.ips.binary_search(ip).ok()?;
        chunk.ips.remove(place);
        let old = chunk.records.remove(place);
        self.len -= 1;
        self.written(number, &old);
        if let Some(first) = self.all[number].ips.first() {
            self.firsts[number] = *first;
        } else {
            self.all.remove(number);
            self.firsts.remove(number);
        }
        Some(old)
    }

    pub(super) fn iter_from(&self, from: Bound<IpAddr>) -> impl Iterator<Item = (IpAddr, &Record)> {
        let (number, place) = self.place_of(from);
        self.all.iter().enumerate().skip(number).flat_map(move |(at, chunk)| {
            let skipped = if at == number { place } else { 0 };
            chunk.ips.iter().copied().zip(&chunk.records).skip(skipped)
        })
    }

    /// Marks touched ones from there on as written, at most so many; gives their addresses, ascending.
    pub(super) fn take_touched(&mut self, from: Bound<IpAddr>, limit: usize) -> Vec<IpAddr> {
        let mut taken = Vec::new();
        let (number, mut skipped) = self.place_of(from);
        for chunk in self.all.iter_mut().skip(number) {
            let records = chunk.ips.iter().zip(&mut chunk.records).skip(std::mem::take(&mut skipped));
            if chunk.touched == 0 {
                continue;
            }
            for (ip, record) in records.filter(|(_, record)| record.is_touched()) {
                if taken.len() == limit {
                    break;
                }
                record.settle();
                chunk.touched -= 1;
                self.touched -= 1;
                taken.push(*ip);
            }
            if taken.len() == limit {
                break;
            }
        }
        taken
    }

    /// For how many more hosts memory is held.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.all.iter().map(|chunk| chunk.records.capacity() - chunk.records.len()).sum()
    }

    /// The chunk an address is in or would be; none where it comes before all.
    fn chunk_of(&self, ip: &IpAddr) -> Option<usize> {
        self.firsts.partition_point(|first| first <= ip).checked_sub(1)
    }

    /// The chunk and the place in it of the first address inside the bound.
    fn place_of(&self, from: Bound<IpAddr>) -> (usize, usize) {
        let (Bound::Included(ip) | Bound::Excluded(ip)) = from else { return (0, 0) };
        let Some(number) = self.chunk_of(&ip) else { return (0, 0) };
        let inside = |other: &IpAddr| if matches!(from, Bound::Included(_)) { *other < ip } else { *other <= ip };
        let place = self.all.get(number).map_or(0, |chunk| chunk.ips.partition_point(inside));
        (number, place)
    }

    /// What was in that chunk has gone, and needs no writing any more.
    fn written(&mut self, number: usize, old: &Record) {
        if old.is_touched() {
            self.all[number].touched -= 1;
            self.touched -= 1;
        }
    }

    /// Makes two of a chunk that has grown too large. One that grows at its end, as when all is read in order, stays full.
    fn split(&mut self, number: usize) {
        let chunk = &mut self.all[number];
        if chunk.ips.len() <= MOST {
            return;
        }
        let is_last = number + 1 == self.firsts.len();
        let at = if is_last { MOST } else { MOST / 2 };
        let ips = chunk.ips.split_off(at);
        let records = chunk.records.split_off(at);
        chunk.ips.shrink_to(MOST);
        chunk.records.shrink_to(MOST);
        let touched = records.iter().filter(|record| record.is_touched()).count();
        chunk.touched -= touched;
        self.firsts.insert(number + 1, ips[0]);
        self.all.insert(number + 1, Chunk { ips, records, touched });
    }
}
