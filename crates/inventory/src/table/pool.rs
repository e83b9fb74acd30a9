//! One copy of what is the same, under a number, with a count of its users. A perimeter has few kinds of servers on many
//! addresses, and what a server says of itself is most of what is remembered of an endpoint.

use std::collections::HashMap;

/// The number of a value in its pool; [`NONE`] stands for no value.
pub(super) type Id = u32;

pub(super) const NONE: Id = 0;

/// Values in use. One that nobody uses any more goes at once.
#[derive(Debug, Clone)]
pub(super) struct Pool<T> {
    /// The value of `id` is at `id - 1`.
    entries: Vec<Entry<T>>,
    /// The first vacant entry; each names the next.
    vacant: Id,
    /// By digest, the first of those that have it; each names the next.
    index: HashMap<u64, Id>,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    value: Option<T>,
    digest: u64,
    users: u32,
    next: Id,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), vacant: NONE, index: HashMap::new() }
    }
}

impl<T> Pool<T> {
    /// Adds a user to the value with that digest for which `is` holds, made now where there is none. None where there are
    /// too many.
    pub(super) fn intern(&mut self, digest: u64, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Option<Id> {
        let first = self.index.get(&digest).copied().unwrap_or(NONE);
        let mut id = first;
        while let Some(entry) = self.entry(id) {
            if entry.value.as_ref().is_some_and(&is) {
                let entry = &mut self.entries[id as usize - 1];
                entry.users = entry.users.checked_add(1)?;
                return Some(id);
            }
            id = entry.next;
        }
        let entry = Entry { value: Some(make()), digest, users: 1, next: first };
        let id = self.vacant;
        let id = if let Some(vacant) = self.entry(id) {
            self.vacant = vacant.next;
            self.entries[id as usize - 1] = entry;
            id
        } else {
            let id = Id::try_from(self.entries.len()).ok()?.checked_add(1)?;
            self.entries.push(entry);
            id
        };
        self.index.insert(digest, id);
        Some(id)
    }

    /// Takes a user away; gives the value back with its last.
    pub(super) fn release(&mut self, id: Id) -> Option<T> {
        let (digest, next) = {
            let place = (id as usize).checked_sub(1)?;
            let entry = self.entries.get_mut(place)?;
            entry.users = entry.users.saturating_sub(1);
            if entry.users > 0 {
                return None;
            }
            (entry.digest, entry.next)
        };
        let first = self.index.get(&digest).copied().unwrap_or(NONE);
        if first == id {
            if next == NONE {
                self.index.remove(&digest);
            } else {
                self.index.insert(digest, next);
            }
        } else {
            let mut before = first;
            while let Some(entry) = self.entry(before) {
                if entry.next == id {
                    self.entries[before as usize - 1].next = next;
                    break;
                }
                before = entry.next;
            }
        }
        let entry = &mut self.entries[id as usize - 1];
        entry.next = std::mem::replace(&mut self.vacant, id);
        entry.value.take()
    }

    pub(super) fn get(&self, id: Id) -> Option<&T> {
        self.entry(id)?.value.as_ref()
    }

    /// How many different values are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.iter().filter(|entry| entry.value.is_some()).count()
    }

    fn entry(&self, id: Id) -> Option<&Entry<T>> {
        self.entries.get((id as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few digests, so that different values share one.
        #[test]
        fn a_value_is_kept_once_and_as_long_as_it_is_used(steps in prop::collection::vec((0_u8..12, any::<bool>()), 1..200)) {
            let mut pool: Pool<u8> = Pool::default();
            let mut users: BTreeMap<u8, Vec<Id>> = BTreeMap::new();
            for (value, more) in steps {
                if more {
                    let id = pool.intern(u64::from(value % 3), |known| *known == value, || value).expect("room");
                    users.entry(value).or_default().push(id);
                } else if let Some(id) = users.get_mut(&value).and_then(Vec::pop) {
                    let last = users[&value].is_empty();
                    prop_assert_eq!(pool.release(id), last.then_some(value));
                }
                for (value, ids) in &users {
                    prop_assert!(ids.iter().all(|&id| pool.get(id) == Some(value)));
                    prop_assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
                }
                let used = users.values().filter(|ids| !ids.is_empty()).count();
                prop_assert_eq!(pool.len(), used);
                prop_assert!(pool.entries.len() <= 12);
            }
        }
    }

    #[test]
    fn nothing_is_behind_a_number_that_was_never_given() {
        let mut pool: Pool<u8> = Pool::default();
        assert_eq!((pool.get(NONE), pool.get(7)), (None, None));
        assert_eq!((pool.release(NONE), pool.release(7)), (None, None));
    }
}
