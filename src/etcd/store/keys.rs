//! Where the versions of keys are kept, as compactly as they can be: a run has millions of them, on every member.
//!
//! Every change is appended to one history, in order, with the way back to what the key was before: nothing is ever moved or grown, and a
//! version is owned once. A key's slot, which is a cache line and all that a put looks at, says what of its newest version the next one
//! depends on, and where that stands. What keys were at the last compaction is kept apart, if they still are or have changed since.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use super::leases::LeaseRef;
use crate::base::digest::BuildStable;
use crate::base::{Cause, Map, Revision};
use crate::wire::etcd::{StoreKey, Value};

/// One version of a key.
#[derive(Clone)]
pub(super) struct Version {
    pub value: Value,
    pub modified: Revision,
    /// 0 of a deletion.
    pub created: Revision,
    pub cause: Cause,
    /// How often the key was written since it was created; 0: it was deleted. Four billion writes of one key are beyond a run.
    pub number: u32,
    pub lease: LeaseRef,
}
const _: () = assert!(size_of::<Version>() == 40 && size_of::<Slot>() == 64 && size_of::<Change>() == 48);

impl Version {
    /// Itself, if it is not a deletion.
    fn live(&self) -> Option<&Version> {
        (self.number > 0).then_some(self)
    }
}

/// A key, and what its next version depends on.
#[repr(align(64))]
pub(super) struct Slot {
    pub key: StoreKey,
    /// Of the newest version; 0: the key does not exist.
    pub number: u32,
    pub created: Revision,
    pub lease: LeaseRef,
    /// The newest version's place in the history, if that still has it; else it is among the bases, if there is one.
    position: u64,
}

impl Slot {
    pub fn new(key: StoreKey) -> Slot {
        Slot { key, number: 0, created: Revision::ZERO, lease: LeaseRef::NONE, position: 0 }
    }
    pub fn is_live(&self) -> bool {
        self.number > 0
    }
    fn set(&mut self, newest: &Version, position: u64) {
        (self.number, self.created, self.lease, self.position) = (newest.number, newest.created, newest.lease, position);
    }
}

/// A change of a key, as the history has it.
struct Change {
    version: Version,
    slot: u32,
    /// How far back the key's change before this one stands; 0: it is the first.
    back: u32,
}

impl Change {
    /// The place of the key's change before this one, which stands at `position`; 0: it is the first.
    fn earlier(&self, position: u64) -> u64 {
        if self.back > 0 { position - u64::from(self.back) } else { 0 }
    }
}

/// Changes of a chunk: enough that chunks are few, few enough that a small store stays small.
const CHUNK: usize = 256;

/// Every change after the last compaction, in order (main revision, then sub-revision). Places are counted from 1 and never used again.
struct History {
    chunks: VecDeque<Vec<Change>>,
    /// Changes of the first chunk that are over.
    over: usize,
    /// The place of the first change that is left.
    start: u64,
    len: usize,
}

impl Default for History {
    fn default() -> History {
        History { chunks: VecDeque::new(), over: 0, start: 1, len: 0 }
    }
}

impl History {
    fn get(&self, nth: usize) -> &Change {
        let at = self.over + nth;
        &self.chunks[at / CHUNK][at % CHUNK]
    }
    /// The change at a place, if it is left.
    fn at(&self, position: u64) -> Option<&Change> {
        position.checked_sub(self.start).map(|nth| self.get(nth as usize))
    }
    fn push(&mut self, change: Change) {
        if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push_back(Vec::with_capacity(CHUNK));
        }
        self.chunks.back_mut().expect("just looked at").push(change);
        self.len += 1;
    }
    /// The first change is over.
    fn pop(&mut self) {
        (self.over, self.start, self.len) = (self.over + 1, self.start + 1, self.len - 1);
        if self.over == CHUNK {
            self.chunks.pop_front();
            self.over = 0;
        }
    }
    /// The changes of revisions `from..`, with their places.
    fn since(&self, from: Revision) -> impl Iterator<Item = (u64, &Change)> {
        let (mut first, mut last) = (0, self.len);
        // The newest revision is asked for each time that something is applied.
        while last > first && self.len - last < 4 && self.get(last - 1).version.modified >= from {
            last -= 1;
        }
        if self.len - last == 4 {
            while first < last {
                let middle = first.midpoint(last);
                if self.get(middle).version.modified < from { first = middle + 1 } else { last = middle }
            }
        }
        let at = self.over + last;
        let changes = self.chunks.range((at / CHUNK).min(self.chunks.len())..).flatten().skip(at % CHUNK);
        (self.start + last as u64..).zip(changes)
    }
}

/// The versions of all keys since the last compaction.
#[derive(Default)]
pub(super) struct Versions {
    pub slots: Vec<Slot>,
    history: History,
    /// What keys were at the last compaction.
    bases: Map<u32, Version>,
}

impl Versions {
    pub fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }
    /// What the key is now; `None` if it does not exist.
    pub fn live(&self, slot: u32) -> Option<&Version> {
        if self.slot(slot).is_live() { self.newest(slot) } else { None }
    }
    /// What the key was at `revision`; `None` if it did not exist.
    pub fn at(&self, slot: u32, revision: Revision) -> Option<&Version> {
        // Most questions are about the newest one.
        self.back_from(slot).find(|version| version.modified <= revision).and_then(Version::live)
    }
    fn newest(&self, slot: u32) -> Option<&Version> {
        self.version(slot, self.slot(slot).position)
    }
    /// What the change at a place made of a key; what it was at the last compaction, if the history has no such place.
    fn version(&self, slot: u32, position: u64) -> Option<&Version> {
        self.history.at(position).map_or_else(|| self.bases.get(&slot), |change| Some(&change.version))
    }
    /// Versions of a key, the newest first.
    pub fn back_from(&self, slot: u32) -> impl Iterator<Item = &Version> {
        let earlier = move |at: &u64| self.history.at(*at).map(|change| change.earlier(*at));
        std::iter::successors(Some(self.slot(slot).position), earlier).map_while(move |at| self.version(slot, at))
    }
    /// Changes of revisions `from..`, in order: of which slot, the version, and what was there before.
    pub fn since(&self, from: Revision) -> impl Iterator<Item = (&Slot, &Version, Option<&Version>)> {
        self.history.since(from).map(|(position, change)| {
            let before = self.version(change.slot, change.earlier(position)).and_then(Version::live);
            (self.slot(change.slot), &change.version, before)
        })
    }
    /// A key is what it was at the last compaction.
    pub fn begin(&mut self, slot: u32, version: Version) {
        self.slots[slot as usize].set(&version, 0);
        self.bases.insert(slot, version);
    }
    /// A key changes.
    pub fn change(&mut self, at: u32, version: Version) {
        let Versions { slots, history, .. } = self;
        let slot = &mut slots[at as usize];
        let next = history.start + history.len as u64;
        let back = if slot.position >= history.start { next - slot.position } else { 0 };
        let back = u32::try_from(back).expect("fewer than four billion changes are kept");
        slot.set(&version, next);
        history.push(Change { version, slot: at, back });
    }
    /// Takes the oldest change out of the history, if it is not after `revision`, for a compaction there, and tells of each version that
    /// this makes unreachable. Returns the slot, and whether nothing is left in it. `drops`: shall not even the newest version that is not
    /// after the compaction be kept?
    pub fn forget(
        &mut self,
        revision: Revision,
        drops: impl Fn(&Version) -> bool,
        mut gone: impl FnMut(&StoreKey, &Version),
    ) -> Option<(u32, bool)> {
        let Versions { slots, history, bases } = self;
        if history.len == 0 {
            return None;
        }
        let Change { version, slot: at, .. } = history.get(0);
        if version.modified > revision {
            return None;
        }
        let (at, slot) = (*at, &mut slots[*at as usize]);
        if let Some(before) = bases.remove(&at) {
            gone(&slot.key, &before);
        }
        let is_kept = version.number > 0 && !drops(version);
        if is_kept {
            bases.insert(at, version.clone());
        } else {
            gone(&slot.key, version);
        }
        let is_empty = slot.position == history.start && !is_kept;
        if is_empty {
            *slot = Slot::new(slot.key.clone());
        }
        history.pop();
        Some((at, is_empty))
    }
}

pub(super) fn hash_of(key: &str) -> u64 {
    BuildStable.hash_one(key)
}

/// Finds a key's slot by its hash: open addressing with linear probing, 8 bytes a place, at most three quarters full. The slots hold the
/// texts, so that they need not stand here as well.
#[derive(Default)]
pub(super) struct KeyIndex {
    /// The upper half of the hash, and the slot's number plus one; 0: nothing.
    places: Vec<(u32, u32)>,
    len: usize,
}

impl KeyIndex {
    /// The first place that a hash may stand in, by its lower half.
    fn home(&self, hash: u64) -> usize {
        hash as u32 as usize & (self.places.len() - 1)
    }
    fn place(&self, key: &str, hash: u64, slots: &[Slot]) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let (tag, slot) = self.places[at];
            if slot == 0 {
                return None;
            }
            if tag == (hash >> 32) as u32 {
                // Most who ask for a key hold the very text: it need not be fetched to be compared.
                let text: &str = &slots[slot as usize - 1].key;
                if std::ptr::eq(text, key) || *text == *key {
                    return Some(at);
                }
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }
    /// Some of what a search would look at first.
    pub fn glance(&self, hash: u64) -> u32 {
        if self.places.is_empty() { 0 } else { self.places[self.home(hash)].1 }
    }
    pub fn get(&self, key: &str, hash: u64, slots: &[Slot]) -> Option<u32> {
        self.place(key, hash, slots).map(|at| self.places[at].1 - 1)
    }
    /// Adds a key that is not there.
    pub fn insert(&mut self, hash: u64, slot: u32, slots: &[Slot]) {
        if (self.len + 1) * 4 > self.places.len() * 3 {
            let grown = (self.places.len() * 2).max(16);
            let old = std::mem::replace(&mut self.places, vec![(0, 0); grown]);
            for (_, slot) in old.into_iter().filter(|(_, slot)| *slot > 0) {
                self.settle(hash_of(&slots[slot as usize - 1].key), slot);
            }
        }
        self.settle(hash, slot + 1);
        self.len += 1;
    }
    fn settle(&mut self, hash: u64, slot: u32) {
        let mut at = self.home(hash);
        while self.places[at].1 != 0 {
            at = (at + 1) & (self.places.len() - 1);
        }
        self.places[at] = ((hash >> 32) as u32, slot);
    }
    /// Takes a key away, and closes the gap: what probed past it moves up.
    pub fn remove(&mut self, key: &str, hash: u64, slots: &[Slot]) {
        let Some(mut gap) = self.place(key, hash, slots) else { return };
        self.len -= 1;
        self.places[gap] = (0, 0);
        let mask = self.places.len() - 1;
        let mut at = (gap + 1) & mask;
        while self.places[at].1 != 0 {
            let home = self.home(hash_of(&slots[self.places[at].1 as usize - 1].key));
            // It may stand in the gap unless its home lies between the gap and itself.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.places[gap] = std::mem::take(&mut self.places[at]);
                gap = at;
            }
            at = (at + 1) & mask;
        }
    }
}
