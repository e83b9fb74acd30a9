use jiff::{SignedDuration, Timestamp};
use model::Endpoint;
use scope::{
    Numbering,
    ledger::{Entry, Errand, Mode, Order, Territory, Volley, VolleyId},
};
use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Rows that wait for this long are written even if nothing else is.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// Single questions of one errand share a row for this long. A daemon that is killed forgets as much of them.
const GATHERED: SignedDuration = SignedDuration::from_secs(15);
/// And no more endpoints than this.
const MOST_GATHERED: usize = 4_096;

/// What was asked and is not committed yet. Shared by everything that asks.
#[derive(Debug, Clone)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    last: VolleyId,
    /// In the order they were entered; a row replaces an earlier one of its volley.
    entries: Vec<Entry>,
    /// When the first of them was.
    since: Option<Timestamp>,
    gathered: HashMap<Kind, Gathering>,
}

/// What shares a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) errand: Errand,
    pub(super) attempts: (u8, u8),
    pub(super) mode: Mode,
    /// The questions were cut short.
    pub(super) some: bool,
}

#[derive(Debug)]
struct Gathering {
    id: VolleyId,
    began: Timestamp,
    ended: Timestamp,
    asked: BTreeMap<Endpoint, Timestamp>,
}

impl Book {
    /// `salt` is another one at every start.
    pub(crate) fn new(now: Timestamp, salt: u64) -> Self {
        let last = VolleyId::at(now).salted(salt);
        Self(Arc::new(Mutex::new(Pages { last, entries: Vec::new(), since: None, gathered: HashMap::new() })))
    }

    /// For a volley that begins now.
    pub(super) fn id(&self, now: Timestamp) -> VolleyId {
        self.pages().id(now)
    }

    pub(super) fn enter(&self, entry: Entry, now: Timestamp) {
        self.pages().enter(entry, now);
    }

    /// Enters single questions. Of an endpoint that was asked before within the same row, that is written first.
    pub(super) fn gather(
        &self,
        kind: &Kind,
        asked: impl IntoIterator<Item = Endpoint>,
        began: Timestamp,
        ended: Timestamp,
    ) {
        let mut pages = self.pages();
        for endpoint in asked {
            let is_full = pages
                .gathered
                .get(kind)
                .is_some_and(|row| row.asked.contains_key(&endpoint) || row.asked.len() >= MOST_GATHERED);
            if is_full {
                pages.close(kind, ended);
            }
            let id = pages.gathered.get(kind).map(|row| row.id);
            let id = id.unwrap_or_else(|| pages.id(began));
            let row = pages.gathered.entry(kind.clone()).or_insert_with(|| Gathering {
                id,
                began,
                ended,
                asked: BTreeMap::new(),
            });
            row.began = row.began.min(began);
            row.ended = row.ended.max(ended);
            row.asked.insert(endpoint, began);
        }
    }

    /// The same for one that may be asked again and again: within a row it is entered once, and the row is as long as it was asked.
    pub(super) fn gather_once(&self, kind: &Kind, endpoint: Endpoint, first: Timestamp, last: Timestamp) {
        {
            let mut pages = self.pages();
            if let Some(row) = pages.gathered.get_mut(kind).filter(|row| row.asked.contains_key(&endpoint)) {
                row.ended = row.ended.max(last);
                return;
            }
        }
        self.gather(kind, [endpoint], first, last);
    }

    /// What is to be committed with something else now.
    pub(crate) fn take(&self, now: Timestamp) -> Vec<Entry> {
        let mut pages = self.pages();
        let ripe: Vec<Kind> = pages
            .gathered
            .iter()
            .filter(|(_, row)| is_older(row.began, GATHERED, now))
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in ripe {
            pages.close(&kind, now);
        }
        pages.take()
    }

    /// What has waited long enough to be committed by itself.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<Entry> {
        let is_overdue = {
            let pages = self.pages();
            pages.since.is_some_and(|since| is_older(since, PATIENCE, now))
                || pages.gathered.values().any(|row| is_older(row.began, GATHERED, now))
        };
        if is_overdue { self.take(now) } else { Vec::new() }
    }

    /// Everything: nothing is asked any more.
    pub(crate) fn close(&self, now: Timestamp) -> Vec<Entry> {
        let mut pages = self.pages();
        let all: Vec<Kind> = pages.gathered.keys().cloned().collect();
        for kind in all {
            pages.close(&kind, now);
        }
        pages.take()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock may have been set back meanwhile.
fn is_older(began: Timestamp, than: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(began).abs() >= than
}

impl Pages {
    fn id(&mut self, now: Timestamp) -> VolleyId {
        self.last = VolleyId::after(self.last, now);
        self.last
    }

    fn enter(&mut self, entry: Entry, now: Timestamp) {
        let id = entry.volley.id;
        if let Some(earlier) = self.entries.iter_mut().rev().find(|earlier| earlier.volley.id == id) {
            *earlier = entry;
        } else {
            self.entries.push(entry);
            self.since.get_or_insert(now);
        }
    }

    fn close(&mut self, kind: &Kind, now: Timestamp) {
        let Some(row) = self.gathered.remove(kind) else { return };
        let length = row.ended.duration_since(row.began).as_millis().max(1);
        let moment = |at: &Timestamp| {
            let part = at.duration_since(row.began).as_millis().max(0) * 255 / length;
            u8::try_from(part).unwrap_or(u8::MAX)
        };
        // Both ascend by endpoint.
        let moments: Vec<u8> = row.asked.values().map(moment).collect();
        let numbering = Numbering::list(row.asked.keys().copied());
        let volley = Volley {
            id: row.id,
            errand: kind.errand.clone(),
            attempts: kind.attempts,
            mode: kind.mode,
            source: None,
            order: Order::Moments(moments.into()),
            indices: 0..numbering.len(),
            some: kind.some,
            began: row.began,
            ended: Some(row.ended),
        };
        self.enter(Entry { volley, territory: Arc::new(Territory::of(&numbering)) }, now);
    }

    fn take(&mut self) -> Vec<Entry> {
        self.since = None;
        let mut entries = mem::take(&mut self.entries);
        // Where there were several: by when they began, whatever order the rows were closed in.
        entries.sort_by_key(|entry| entry.volley.id);
        entries
    }
}
