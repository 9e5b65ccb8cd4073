//! The multi-version key-value store: what applied log entries make. It follows etcd's `mvcc` and `lease` packages
//! (etcd.io docs v3.6, `learning/data_model.md`) and leaves out the disk: all retained versions are in memory, and durability is the log's.
//!
//! A mutation that changes something makes one revision, which all its changes bear. Each key keeps its versions since the last
//! compaction, oldest first; a version number of 0 marks a deletion. Equal sequences of mutations give equal stores, so members that
//! applied the same entries agree: they tell so by one number, [`Store::hash`].

mod keys;
mod leases;
mod range;
mod snapshot;
#[cfg(test)]
mod tests;
mod txn;

pub use txn::{Answered, put_bytes, validate};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::planted::{Bug, Planted};
use crate::base::{Cause, Revision, stable_hash};
use crate::wire::Member;
use crate::wire::etcd::{Alarm, EtcdError, KeyRange, KeyValue, LeaseId, StoreKey, Value, WatchEvent};
use keys::{KeyIndex, Slot, Version, Versions};
use leases::Leases;

/// An empty store is at revision 1 (etcd `server/storage/mvcc/kvstore.go`).
const FIRST_REVISION: Revision = Revision(1);
/// Bytes that a stored version takes beside its key and value: revisions, version, lease and the encoding around them.
const VERSION_OVERHEAD: u64 = 64;

/// See the module.
pub struct Store {
    revision: Revision,
    compacted: Revision,
    /// By slots; the two indexes say which is a key's.
    versions: Versions,
    free: Vec<u32>,
    by_key: KeyIndex,
    ordered: BTreeMap<StoreKey, u32>,
    leases: Leases,
    alarms: BTreeSet<(Member, Alarm)>,
    /// The sum of the hashes of all changes ever made. A sum, so that it can be taken back to an earlier revision.
    hash: u64,
    bytes_in_use: u64,
    /// The file never shrinks without defragmentation: the most that was ever in use.
    bytes_allocated: u64,
    /// The value of every deletion.
    nothing: Value,
    /// The key of free slots.
    no_key: StoreKey,
    /// Where the next puts will be, the next one last.
    ahead: Vec<Ahead>,
    /// The branches that the transaction at hand takes, kept for its allocation.
    branches: Vec<bool>,
    planted: Planted,
}

/// Where a put will be, as far as could be seen before.
struct Ahead {
    hash: u64,
    /// `None`: its key was not there.
    slot: Option<u32>,
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    pub fn new() -> Store {
        Store {
            revision: FIRST_REVISION,
            compacted: Revision::ZERO,
            versions: Versions::default(),
            free: Vec::new(),
            by_key: KeyIndex::default(),
            ordered: BTreeMap::new(),
            leases: Leases::default(),
            alarms: BTreeSet::new(),
            hash: 0,
            bytes_in_use: 0,
            bytes_allocated: 0,
            nothing: Value::bytes(&[]),
            no_key: "".into(),
            ahead: Vec::new(),
            branches: Vec::new(),
            planted: Planted::default(),
        }
    }
    /// With a planted mistake.
    pub fn with(mut self, planted: Planted) -> Store {
        self.planted = planted;
        self
    }
    pub fn revision(&self) -> Revision {
        self.revision
    }
    /// The revision of the last compaction; 0: none yet.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }
    /// Of every change that was ever made, whatever was compacted since.
    pub fn hash(&self) -> u64 {
        self.hash
    }
    /// An estimate of the size of etcd's database file.
    pub fn db_bytes(&self) -> u64 {
        self.bytes_allocated
    }
    /// How much of it is in use.
    pub fn db_bytes_in_use(&self) -> u64 {
        self.bytes_in_use
    }
    /// Gives the rest of the file back.
    pub fn defragment(&mut self) {
        self.bytes_allocated = self.bytes_in_use;
    }

    /// The alarms that are raised, in order of members.
    pub fn alarms(&self) -> impl Iterator<Item = (Member, Alarm)> {
        self.alarms.iter().copied()
    }
    /// Has some member raised it?
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.alarms.iter().any(|(_, raised)| *raised == alarm)
    }
    pub fn raise(&mut self, member: Member, alarm: Alarm) {
        self.alarms.insert((member, alarm));
    }
    pub fn disarm(&mut self) {
        self.alarms.clear();
    }

    /// Drops all versions that were superseded at or before `revision`.
    pub fn compact(&mut self, revision: Revision) -> Result<(), EtcdError> {
        if revision <= self.compacted {
            return Err(EtcdError::Compacted);
        }
        if revision > self.revision {
            return Err(EtcdError::FutureRevision);
        }
        self.compacted = revision;
        // A slot that becomes free may be another key's by the time that what was seen ahead is asked.
        self.ahead.clear();
        // Only keys that changed since the last compaction can have superseded versions, or have been deleted.
        while self.forget_oldest() {}
        Ok(())
    }
    /// Changes of these keys in revisions `from..`, in order, with previous versions. `from` must be after the last compaction.
    pub fn events_since<'a>(&'a self, from: Revision, keys: &'a KeyRange) -> impl Iterator<Item = WatchEvent> + 'a {
        self.changes_since(from, |key| keys.contains(key))
    }
    /// All changes of the newest revision.
    pub fn newest_events(&self) -> impl Iterator<Item = WatchEvent> {
        self.changes_since(self.revision, |_| true)
    }
    fn changes_since<'a>(&'a self, from: Revision, wanted: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = WatchEvent> + 'a {
        assert!(from > self.compacted, "history from {from} is gone, compacted at {}", self.compacted);
        let wanted = self.versions.since(from).filter(move |(slot, ..)| wanted(&slot.key));
        wanted.map(|(slot, version, before)| WatchEvent {
            kv: self.pair(slot, version),
            deleted: version.number == 0,
            previous: before.map(|before| self.pair(slot, before)),
        })
    }
    /// A planted mistake: revisions go on after the newest one that a living key bears.
    pub fn reuse_revisions(&mut self) {
        let living = (0..self.versions.slots.len() as u32).filter_map(|slot| self.versions.live(slot)).map(|version| version.modified);
        self.revision = living.max().unwrap_or(FIRST_REVISION);
    }

    /// A version as clients see it.
    fn pair(&self, slot: &Slot, version: &Version) -> KeyValue {
        KeyValue {
            key: slot.key.clone(),
            value: version.value.clone(),
            create_revision: version.created,
            mod_revision: version.modified,
            version: u64::from(version.number),
            lease: self.leases.id(version.lease),
            cause: version.cause,
        }
    }
    fn find(&self, key: &str) -> Option<u32> {
        self.by_key.get(key, keys::hash_of(key), &self.versions.slots)
    }
    /// The slot to put a key into, and the key's hash.
    fn slot_for(&mut self, key: &StoreKey) -> (u32, u64) {
        // What was seen ahead may have changed since, or be of another key: the slot tells.
        if let Some(Ahead { hash, slot: Some(slot) }) = self.ahead.pop()
            && Arc::ptr_eq(&self.versions.slot(slot).key, key)
        {
            return (slot, hash);
        }
        let hash = keys::hash_of(key);
        (self.slot_of(key, hash), hash)
    }
    fn slot_of(&mut self, key: &StoreKey, hash: u64) -> u32 {
        let slots = &mut self.versions.slots;
        if let Some(slot) = self.by_key.get(key, hash, slots) {
            return slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                slots[slot as usize].key = key.clone();
                slot
            }
            None => {
                slots.push(Slot::new(key.clone()));
                slots.len() as u32 - 1
            }
        };
        self.by_key.insert(hash, slot, slots);
        self.ordered.insert(key.clone(), slot);
        slot
    }
    fn count_bytes(&mut self, slot: u32, version: &Version) {
        self.bytes_in_use += version_bytes(&self.versions.slot(slot).key, version);
        self.bytes_allocated = self.bytes_allocated.max(self.bytes_in_use);
    }
    /// Adds a version that a change makes.
    fn change(&mut self, slot: u32, key_hash: u64, version: Version) {
        self.revision = version.modified;
        self.hash = self.hash.wrapping_add(self.hash_of_change(key_hash, &version));
        self.count_bytes(slot, &version);
        self.versions.change(slot, version);
    }
    fn hash_of_change(&self, key_hash: u64, version: &Version) -> u64 {
        stable_hash(&(
            key_hash,
            version.value.hash(),
            version.modified.0 << 1 | u64::from(version.number == 0),
            self.leases.id(version.lease),
        ))
    }
    /// `None`: the key keeps its value, or its lease; it exists then.
    fn put_key(&mut self, key: &StoreKey, value: Option<&Value>, lease: Option<LeaseId>, revision: Revision, cause: Cause) {
        let (slot, hash) = self.slot_for(key);
        let live = Some(self.versions.slot(slot)).filter(|slot| slot.is_live());
        let (created, number) = live.map_or((revision, 1), |live| (live.created, live.number.saturating_add(1)));
        let old_lease = live.map_or(LeaseId::default(), |live| self.leases.id(live.lease));
        let kept = || self.versions.live(slot).expect("what is kept was looked for before").value.clone();
        let value = value.map_or_else(kept, Value::clone);
        let lease = lease.unwrap_or(old_lease);
        if old_lease != lease {
            let key = &self.versions.slot(slot).key;
            self.leases.detach(old_lease, key);
            self.leases.attach(lease, key);
        }
        let version = Version { value, modified: revision, created, cause, number, lease: self.leases.name(lease) };
        self.change(slot, hash, version);
    }
    /// Deletes the key of a slot, if it exists.
    fn delete_slot(&mut self, slot: u32, revision: Revision, cause: Cause) -> bool {
        let at = self.versions.slot(slot);
        if !at.is_live() {
            return false;
        }
        self.leases.detach(self.leases.id(at.lease), &at.key);
        let hash = keys::hash_of(&at.key);
        self.change(slot, hash, snapshot::deletion(self.nothing.clone(), revision, cause));
        true
    }
    /// Drops the versions that the oldest change made unreachable, and its slot if nothing is left there; `false`: no change is as old as
    /// the compaction.
    fn forget_oldest(&mut self) -> bool {
        let Store { versions, leases, bytes_in_use, compacted, planted, .. } = self;
        let too_far = |version: &Version| planted.has(Bug::CompactionTooFar) && version.modified == *compacted;
        let forgotten = versions.forget(*compacted, too_far, |key, gone| {
            leases.unname(gone.lease);
            *bytes_in_use -= version_bytes(key, gone);
        });
        let Some((at, is_empty)) = forgotten else { return false };
        if is_empty {
            let key = self.versions.slot(at).key.clone();
            self.by_key.remove(&key, keys::hash_of(&key), &self.versions.slots);
            self.ordered.remove(&key);
            self.versions.slots[at as usize].key = self.no_key.clone();
            self.free.push(at);
        }
        true
    }
}

fn version_bytes(key: &str, version: &Version) -> u64 {
    key.len() as u64 + u64::from(version.value.size()) + VERSION_OVERHEAD
}
