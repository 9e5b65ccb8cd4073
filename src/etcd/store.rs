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

use crate::base::planted::{Bug, Planted};
use crate::base::{Cause, Revision, stable_hash};
use crate::wire::Member;
use crate::wire::etcd::{Alarm, EtcdError, KeyRange, KeyValue, LeaseId, StoreKey, Value, WatchEvent};
use keys::{Changes, KeyIndex, Slot, Version};
use leases::Leases;

/// An empty store is at revision 1 (etcd `server/storage/mvcc/kvstore.go`).
const FIRST_REVISION: Revision = Revision(1);
/// Bytes that a stored version takes beside its key and value: revisions, version, lease and the encoding around them.
const VERSION_OVERHEAD: u64 = 64;

/// See the module.
pub struct Store {
    revision: Revision,
    compacted: Revision,
    /// The versions of each key; the two indexes say where a key's are.
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: KeyIndex,
    ordered: BTreeMap<StoreKey, u32>,
    /// What changed after `compacted`.
    changes: Changes,
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
    /// The branches that the transaction at hand takes, kept for its allocation.
    branches: Vec<bool>,
    planted: Planted,
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
            slots: Vec::new(),
            free: Vec::new(),
            by_key: KeyIndex::default(),
            ordered: BTreeMap::new(),
            changes: Changes::default(),
            leases: Leases::default(),
            alarms: BTreeSet::new(),
            hash: 0,
            bytes_in_use: 0,
            bytes_allocated: 0,
            nothing: Value::bytes(&[]),
            no_key: "".into(),
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
        // Only keys that changed since the last compaction can have superseded versions, or have been deleted.
        while let Some(slot) = self.changes.pop_until(revision) {
            self.prune(slot);
        }
        self.changes.shrink();
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
        let touched = self.changes.since(from).map(|(revision, slot)| (revision, &self.slots[slot as usize]));
        touched.filter(move |(_, slot)| wanted(&slot.key)).map(|(revision, slot)| {
            let at = slot.made_by(revision).expect("a change after compaction has its version");
            let version = &slot.versions()[at];
            let before = at.checked_sub(1).map(|before| &slot.versions()[before]).filter(|before| before.number > 0);
            WatchEvent {
                kv: self.pair(slot, version),
                deleted: version.number == 0,
                previous: before.map(|before| self.pair(slot, before)),
            }
        })
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
        self.by_key.get(key, keys::hash_of(key), &self.slots)
    }
    fn slot_of(&mut self, key: &StoreKey, hash: u64) -> u32 {
        if let Some(slot) = self.by_key.get(key, hash, &self.slots) {
            return slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize].key = key.clone();
                slot
            }
            None => {
                self.slots.push(Slot::new(key.clone()));
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(hash, slot, &self.slots);
        self.ordered.insert(key.clone(), slot);
        slot
    }
    fn push_version(&mut self, slot: u32, version: Version) {
        let slot = &mut self.slots[slot as usize];
        self.bytes_in_use += version_bytes(&slot.key, &version);
        self.bytes_allocated = self.bytes_allocated.max(self.bytes_in_use);
        slot.push(version);
    }
    /// Adds a version that a change makes.
    fn change(&mut self, slot: u32, key_hash: u64, version: Version) {
        self.revision = version.modified;
        self.hash = self.hash.wrapping_add(self.hash_of_change(key_hash, &version));
        self.changes.push(version.modified, slot);
        self.push_version(slot, version);
    }
    fn hash_of_change(&self, key_hash: u64, version: &Version) -> u64 {
        stable_hash(&(
            key_hash,
            version.value.hash,
            version.modified.0 << 1 | u64::from(version.number == 0),
            self.leases.id(version.lease),
        ))
    }
    /// `None`: the key keeps its value, or its lease; it exists then.
    fn put_key(&mut self, key: &StoreKey, value: Option<&Value>, lease: Option<LeaseId>, revision: Revision, cause: Cause) {
        let hash = keys::hash_of(key);
        let slot = self.slot_of(key, hash);
        let live = self.slots[slot as usize].live();
        let (created, number) = live.map_or((revision, 1), |live| (live.created, live.number.saturating_add(1)));
        let old_lease = live.map_or(LeaseId::default(), |live| self.leases.id(live.lease));
        let kept = || live.expect("what is kept was looked for before").value.clone();
        let value = value.map_or_else(kept, Value::clone);
        let lease = lease.unwrap_or(old_lease);
        if old_lease != lease {
            let key = &self.slots[slot as usize].key;
            self.leases.detach(old_lease, key);
            self.leases.attach(lease, key);
        }
        let version = Version { value, modified: revision, created, cause, number, lease: self.leases.name(lease) };
        self.change(slot, hash, version);
    }
    /// Deletes the key of a slot, if it exists.
    fn delete_slot(&mut self, slot: u32, revision: Revision, cause: Cause) -> bool {
        let Slot { key, .. } = &self.slots[slot as usize];
        let Some(live) = self.slots[slot as usize].live() else { return false };
        self.leases.detach(self.leases.id(live.lease), key);
        let hash = keys::hash_of(key);
        self.change(slot, hash, snapshot::deletion(self.nothing.clone(), revision, cause));
        true
    }
    /// Drops the versions of a slot that the compaction made unreachable, and the slot itself if nothing is left.
    fn prune(&mut self, at: u32) {
        let Store { slots, leases, bytes_in_use, .. } = self;
        let slot = &mut slots[at as usize];
        let versions = slot.versions();
        let up_to = versions.partition_point(|version| version.modified <= self.compacted);
        let Some(newest) = up_to.checked_sub(1) else { return };
        let too_far = self.planted.has(Bug::CompactionTooFar) && versions[newest].modified == self.compacted;
        let dropped = if versions[newest].number == 0 || too_far { up_to } else { newest };
        let key = slot.key.clone();
        slot.drop_oldest(dropped, |gone| {
            leases.unname(gone.lease);
            *bytes_in_use -= version_bytes(&key, gone);
        });
        if slot.versions().is_empty() {
            self.by_key.remove(&key, keys::hash_of(&key), &self.slots);
            self.ordered.remove(&key);
            self.slots[at as usize].key = self.no_key.clone();
            self.free.push(at);
        }
    }
}

fn version_bytes(key: &str, version: &Version) -> u64 {
    key.len() as u64 + u64::from(version.value.size) + VERSION_OVERHEAD
}
