//! Where the versions of keys are kept, as compactly as they can be: a run has millions of them, on every member.
//!
//! A key's text stands once, in its slot; a version is 40 bytes beside its value, which all members share. A key with one version needs
//! no memory beyond its slot of 64 bytes, a cache line. More versions stand in a vector that grows by a half, not to twice its size.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use super::leases::LeaseRef;
use crate::base::digest::BuildStable;
use crate::base::{Cause, Revision};
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
const _: () = assert!(size_of::<Version>() == 40 && size_of::<Slot>() == 64);

/// A key's versions since the last compaction, oldest first.
#[repr(align(64))]
pub(super) struct Slot {
    pub key: StoreKey,
    versions: Versions,
}

enum Versions {
    One(Version),
    /// Or none, in a slot that is free.
    More(Vec<Version>),
}

impl Slot {
    pub fn new(key: StoreKey) -> Slot {
        Slot { key, versions: Versions::More(Vec::new()) }
    }
    pub fn versions(&self) -> &[Version] {
        match &self.versions {
            Versions::One(version) => std::slice::from_ref(version),
            Versions::More(versions) => versions,
        }
    }
    /// The newest version, if it is not a deletion.
    pub fn live(&self) -> Option<&Version> {
        self.versions().last().filter(|version| version.number > 0)
    }
    /// What the key was at `revision`; `None` if it did not exist.
    pub fn at(&self, revision: Revision) -> Option<&Version> {
        let versions = self.versions();
        // Most questions are about the newest one.
        let newest = match versions.last()? {
            last if last.modified <= revision => last,
            _ => &versions[versions.partition_point(|version| version.modified <= revision).checked_sub(1)?],
        };
        (newest.number > 0).then_some(newest)
    }
    /// Where the version that this revision made stands.
    pub fn made_by(&self, revision: Revision) -> Option<usize> {
        self.versions().binary_search_by_key(&revision, |version| version.modified).ok()
    }
    pub fn push(&mut self, version: Version) {
        match &mut self.versions {
            Versions::More(versions) if versions.is_empty() => self.versions = Versions::One(version),
            Versions::More(versions) => {
                if versions.len() == versions.capacity() {
                    versions.reserve_exact(versions.len() / 2);
                }
                versions.push(version);
            }
            Versions::One(_) => {
                let more = Versions::More(Vec::with_capacity(2));
                let Versions::One(first) = std::mem::replace(&mut self.versions, more) else { unreachable!("matched above") };
                let Versions::More(versions) = &mut self.versions else { unreachable!("just made") };
                versions.extend([first, version]);
            }
        }
    }
    /// Drops the oldest `count` versions.
    pub fn drop_oldest(&mut self, count: usize, mut dropped: impl FnMut(&Version)) {
        self.versions()[..count].iter().for_each(&mut dropped);
        match &mut self.versions {
            _ if count == 0 => {}
            Versions::One(_) => self.versions = Versions::More(Vec::new()),
            Versions::More(versions) => {
                versions.drain(..count);
                match versions.len() {
                    0 => self.versions = Versions::More(Vec::new()),
                    1 => {
                        let last = versions.pop().expect("there is one");
                        self.versions = Versions::One(last);
                    }
                    len => versions.shrink_to(len + len / 2),
                }
            }
        }
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

/// Which slot each change touched, in order (main revision, then sub-revision): 8 bytes a change.
#[derive(Default)]
pub(super) struct Changes {
    /// Revisions are kept as distances from here.
    base: u64,
    entries: VecDeque<(u32, u32)>,
}

impl Changes {
    pub fn push(&mut self, revision: Revision, slot: u32) {
        if self.entries.is_empty() {
            self.base = revision.0;
        }
        if revision.0 - self.base > u64::from(u32::MAX) {
            self.rebase();
        }
        if self.entries.len() == self.entries.capacity() {
            // By a quarter: there is one of these a member, and it is long.
            self.entries.reserve_exact((self.entries.len() / 4).max(64));
        }
        self.entries.push_back(((revision.0 - self.base) as u32, slot));
    }
    /// Moves the base up to the oldest change.
    fn rebase(&mut self) {
        let oldest = self.entries.front().map_or(0, |(distance, _)| *distance);
        self.base += u64::from(oldest);
        self.entries.iter_mut().for_each(|(distance, _)| *distance -= oldest);
    }
    /// The oldest change, if it is not after `revision`.
    pub fn pop_until(&mut self, revision: Revision) -> Option<u32> {
        let &(distance, slot) = self.entries.front()?;
        if self.base + u64::from(distance) > revision.0 {
            return None;
        }
        self.entries.pop_front();
        Some(slot)
    }
    /// Changes of revisions `from..`, in order.
    pub fn since(&self, from: Revision) -> impl Iterator<Item = (Revision, u32)> {
        let distance = from.0.saturating_sub(self.base);
        // The newest revision is asked for each time that something is applied.
        let recent = self.entries.iter().rev().take(4).take_while(|(at, _)| u64::from(*at) >= distance).count();
        let first =
            if recent < 4 { self.entries.len() - recent } else { self.entries.partition_point(|(at, _)| u64::from(*at) < distance) };
        self.entries.range(first..).map(|&(distance, slot)| (Revision(self.base + u64::from(distance)), slot))
    }
    pub fn shrink(&mut self) {
        self.entries.shrink_to(self.entries.len() + self.entries.len() / 4);
    }
}
