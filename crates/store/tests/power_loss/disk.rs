//! A disk that keeps what was synced, and of the rest whatever chance leaves.

use crate::trace::Step;
use std::{collections::BTreeMap, fs, path::Path};

/// A power cut spares or spoils whole sectors.
const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Luck {
    Nothing,
    Everything,
    /// What was written first, up to a point.
    Beginning(u64),
    /// Any of it, whatever the order.
    Some(u64),
    /// Any sectors of any of it.
    Torn(u64),
}

impl Luck {
    pub(crate) fn of(cut: usize) -> Self {
        let seed = (cut as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match cut % 5 {
            0 => Self::Nothing,
            1 => Self::Beginning(seed),
            2 => Self::Some(seed),
            3 => Self::Torn(seed),
            _ => Self::Everything,
        }
    }
}

/// Numbers by chance that are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn flip(&mut self) -> bool {
        self.next() >> 33 & 1 == 1
    }
}

#[derive(Debug, Default)]
struct Contents {
    synced: Vec<u8>,
    /// Not synced yet, in order.
    pending: Vec<Change>,
    /// Whether the folder that names it was synced since.
    named: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<String, Contents>,
    /// Removed, but the folder was not synced since: they may be back.
    removed: BTreeMap<String, Contents>,
}

impl Disk {
    /// What the step does while the power is on.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Create { file } => {
                self.files.entry(file.clone()).or_default();
            }
            Step::Write { file, offset, bytes } => self.pending(file, Change::Write(*offset, bytes.clone())),
            Step::Truncate { file, length } => self.pending(file, Change::Truncate(*length)),
            Step::Sync { file } => {
                let contents = self.files.get_mut(file).expect("a file that was made");
                for change in std::mem::take(&mut contents.pending) {
                    change.apply(&mut contents.synced);
                }
            }
            Step::SyncFolder => {
                self.files.values_mut().for_each(|contents| contents.named = true);
                self.removed.clear();
            }
            Step::Remove { file } => {
                let contents = self.files.remove(file).filter(|contents| contents.named);
                self.removed.extend(contents.map(|contents| (file.clone(), contents)));
            }
            Step::Said(_) => {}
        }
    }

    fn pending(&mut self, file: &str, change: Change) {
        self.files.get_mut(file).expect("a file that was made").pending.push(change);
    }

    /// The power goes: what is left, written to a folder.
    pub(crate) fn cut(&self, luck: Luck, to: &Path) {
        let back =
            self.removed.iter().filter(|(name, _)| matches!(luck, Luck::Nothing) && !self.files.contains_key(*name));
        let mut chance = Chance(match luck {
            Luck::Nothing | Luck::Everything => 1,
            Luck::Beginning(seed) | Luck::Some(seed) | Luck::Torn(seed) => seed | 1,
        });
        for (name, contents) in self.files.iter().chain(back) {
            // The index of the log lives in shared memory and is worth nothing after a restart: it is noise here.
            if name.ends_with("-shm") {
                fs::write(to.join(name), vec![0xa5; 32_768]).expect("writes");
                continue;
            }
            let Contents { synced, pending, named } = contents;
            let mut bytes = synced.clone();
            // A name that the folder has not synced may be gone, where nothing of it was synced either.
            if !named && bytes.is_empty() && matches!(luck, Luck::Nothing) {
                continue;
            }
            let kept = usize::try_from(chance.next() >> 1).unwrap_or(0).checked_rem(pending.len() + 1).unwrap_or(0);
            for (index, change) in pending.iter().enumerate() {
                match luck {
                    Luck::Everything => change.apply(&mut bytes),
                    Luck::Beginning(_) if index < kept => change.apply(&mut bytes),
                    Luck::Some(_) if chance.flip() => change.apply(&mut bytes),
                    Luck::Nothing | Luck::Beginning(_) | Luck::Some(_) => {}
                    Luck::Torn(_) => change.torn(&mut bytes, &mut chance),
                }
            }
            fs::write(to.join(name), bytes).expect("writes");
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                let start = usize::try_from(*offset).expect("small");
                if bytes.len() < start + new.len() {
                    bytes.resize(start + new.len(), 0);
                }
                bytes[start..start + new.len()].copy_from_slice(new);
            }
            Self::Truncate(length) => bytes.resize(usize::try_from(*length).expect("small"), 0),
        }
    }

    /// Each sector of a write reaches the disk, or does not.
    fn torn(&self, bytes: &mut Vec<u8>, chance: &mut Chance) {
        let Self::Write(offset, new) = self else {
            if chance.flip() {
                self.apply(bytes);
            }
            return;
        };
        let mut start = usize::try_from(*offset).expect("small");
        let mut rest = new.as_slice();
        while !rest.is_empty() {
            let (part, tail) = rest.split_at(rest.len().min(SECTOR - start % SECTOR));
            if chance.flip() {
                Self::Write(start as u64, part.to_vec()).apply(bytes);
            }
            start += part.len();
            rest = tail;
        }
    }
}
