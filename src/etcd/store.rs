//! The multi-version key-value store: what applied log entries make. It follows etcd's `mvcc` and `lease` packages
//! (etcd.io docs v3.6, `learning/data_model.md`) and leaves out the disk: all retained versions are in memory, and durability is the log's.
//!
//! A mutation that changes something makes one revision, which all its changes bear. Each key keeps its versions since the last
//! compaction, oldest first; a version number of 0 marks a deletion. Equal sequences of mutations give equal stores, so members that
//! applied the same entries agree.

mod txn;

pub use txn::validate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use crate::base::{Cause, Duration, Map, Revision};
use crate::wire::etcd::{EtcdError, KeyRange, KeyValue, LeaseId, Range, RangeAnswer, StoreKey, StoreSnapshot, Value, WatchEvent};

/// An empty store is at revision 1 (etcd `server/storage/mvcc/kvstore.go`).
const FIRST_REVISION: Revision = Revision(1);
/// Bytes that a stored version takes beside its key and value: revisions, version, lease and the encoding around them.
const VERSION_OVERHEAD: u64 = 64;

/// See the module.
pub struct Store {
    revision: Revision,
    compacted: Revision,
    /// The versions of each key; the maps say where a key's are.
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: Map<StoreKey, u32>,
    ordered: BTreeMap<StoreKey, u32>,
    /// Which slot each change after `compacted` touched, in order of revision.
    changes: VecDeque<(Revision, u32)>,
    leases: BTreeMap<LeaseId, Lease>,
    bytes_in_use: u64,
    /// The file never shrinks without defragmentation: the most that was ever in use.
    bytes_allocated: u64,
    /// The value of every deletion.
    nothing: Value,
    /// The branches that the transaction at hand takes, kept for its allocation.
    branches: Vec<bool>,
}

#[derive(Default)]
struct Slot {
    versions: Vec<KeyValue>,
}

struct Lease {
    ttl: Duration,
    keys: BTreeSet<StoreKey>,
}

impl Slot {
    /// The newest version, if it is not a deletion.
    fn live(&self) -> Option<&KeyValue> {
        self.versions.last().filter(|version| version.version > 0)
    }
    /// What the key was at `revision`; `None` if it did not exist.
    fn at(&self, revision: Revision) -> Option<&KeyValue> {
        let newest = self.versions.iter().rfind(|version| version.mod_revision <= revision)?;
        (newest.version > 0).then_some(newest)
    }
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
            by_key: Map::default(),
            ordered: BTreeMap::new(),
            changes: VecDeque::new(),
            leases: BTreeMap::new(),
            bytes_in_use: 0,
            bytes_allocated: 0,
            nothing: Value::bytes(&[]),
            branches: Vec::new(),
        }
    }
    /// A snapshot holds newest versions only, so what came before its revision counts as compacted.
    pub fn from_snapshot(snapshot: &StoreSnapshot) -> Store {
        let mut store = Store::new();
        store.revision = snapshot.revision.max(FIRST_REVISION);
        store.compacted = if snapshot.revision > FIRST_REVISION { snapshot.revision } else { Revision::ZERO };
        for &(id, ttl) in &snapshot.leases {
            store.leases.insert(id, Lease { ttl, keys: BTreeSet::new() });
        }
        for kv in &snapshot.kvs {
            assert!(kv.mod_revision <= store.revision, "{} of a snapshot at {} is of {}", kv.key, store.revision, kv.mod_revision);
            let slot = store.slot_of(&kv.key);
            store.attach(kv.lease, &kv.key);
            store.push_version(slot, kv.clone());
        }
        store
    }
    pub fn revision(&self) -> Revision {
        self.revision
    }
    /// The revision of the last compaction; 0: none yet.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }
    /// An estimate of the size of etcd's database file.
    pub fn db_bytes(&self) -> u64 {
        self.bytes_allocated
    }

    /// Reads a range, now or at an old revision.
    pub fn range(&self, range: &Range) -> Result<RangeAnswer, EtcdError> {
        self.check_revision(range.revision)?;
        let at = if range.revision == Revision::ZERO { Revision(u64::MAX) } else { range.revision };
        let mut answer = RangeAnswer { kvs: Vec::new(), count: 0, more: false };
        self.for_each_slot(&range.keys, |slot| {
            let Some(kv) = self.slots[slot as usize].at(at) else { return };
            answer.count += 1;
            if range.count_only {
                return;
            }
            if range.limit > 0 && answer.kvs.len() >= range.limit as usize {
                answer.more = true;
                return;
            }
            let mut kv = kv.clone();
            if range.keys_only {
                kv.value = self.nothing.clone();
            }
            answer.kvs.push(kv);
        });
        Ok(answer)
    }
    /// The newest version of a key.
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.by_key.get(key).and_then(|&slot| self.slots[slot as usize].live())
    }

    /// Creates a lease.
    pub fn grant(&mut self, id: LeaseId, ttl: Duration) -> Result<(), EtcdError> {
        if id == LeaseId::default() || self.leases.contains_key(&id) {
            return Err(EtcdError::LeaseExists);
        }
        self.leases.insert(id, Lease { ttl, keys: BTreeSet::new() });
        Ok(())
    }
    /// Ends a lease and deletes its keys, in one revision if it has any.
    pub fn revoke(&mut self, id: LeaseId, cause: Cause, events: &mut Vec<WatchEvent>) -> Result<(), EtcdError> {
        let lease = self.leases.remove(&id).ok_or(EtcdError::LeaseNotFound)?;
        let revision = self.revision.next();
        for key in &lease.keys {
            let slot = self.by_key[key];
            self.delete_slot(slot, revision, cause, events);
        }
        self.advance_to(revision, events);
        Ok(())
    }
    pub fn lease_ttl(&self, id: LeaseId) -> Option<Duration> {
        self.leases.get(&id).map(|lease| lease.ttl)
    }
    /// All leases with their full time to live.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, Duration)> {
        self.leases.iter().map(|(&id, lease)| (id, lease.ttl))
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
        while let Some(&(changed, slot)) = self.changes.front() {
            if changed > revision {
                break;
            }
            self.changes.pop_front();
            self.prune(slot);
        }
        Ok(())
    }
    /// Changes of revisions `from..`, in order, with previous versions. `from` must be after the last compaction.
    pub fn events_since(&self, from: Revision) -> impl Iterator<Item = WatchEvent> {
        assert!(from > self.compacted, "history from {from} is gone, compacted at {}", self.compacted);
        let first = self.changes.partition_point(|&(revision, _)| revision < from);
        self.changes.range(first..).map(|&(revision, slot)| {
            let versions = &self.slots[slot as usize].versions;
            let at = versions.binary_search_by_key(&revision, |kv| kv.mod_revision).expect("a change after compaction has its version");
            event(versions[at].clone(), at.checked_sub(1).map(|before| &versions[before]))
        })
    }
    /// The store as it is, without its history.
    pub fn snapshot(&self) -> StoreSnapshot {
        let kvs = self.ordered.values().filter_map(|&slot| self.slots[slot as usize].live().cloned()).collect();
        StoreSnapshot { revision: self.revision, compacted: self.revision, kvs, leases: self.leases().collect() }
    }
    /// A planted mistake: revisions go on after the newest one that a living key bears.
    pub fn reuse_revisions(&mut self) {
        self.revision = self.slots.iter().filter_map(|slot| slot.live()).map(|kv| kv.mod_revision).max().unwrap_or(FIRST_REVISION);
    }
    /// The store as it was at the last compaction, but for leases, which have no revisions.
    pub fn snapshot_at_compaction(&self, leases: Vec<(LeaseId, Duration)>) -> StoreSnapshot {
        let revision = self.compacted;
        let kvs = self.ordered.values().filter_map(|&slot| self.slots[slot as usize].at(revision).cloned()).collect();
        StoreSnapshot { revision, compacted: revision, kvs, leases }
    }

    fn check_revision(&self, revision: Revision) -> Result<(), EtcdError> {
        match revision {
            Revision::ZERO => Ok(()),
            _ if revision > self.revision => Err(EtcdError::FutureRevision),
            _ if revision < self.compacted => Err(EtcdError::Compacted),
            _ => Ok(()),
        }
    }
    /// Visits the slots of a key range in key order.
    fn for_each_slot(&self, keys: &KeyRange, mut visit: impl FnMut(u32)) {
        let from = match keys {
            KeyRange::One(key) => {
                if let Some(&slot) = self.by_key.get(key) {
                    visit(slot);
                }
                return;
            }
            KeyRange::Prefix(from) | KeyRange::Between(from, _) | KeyRange::From(from) => from,
        };
        for (key, &slot) in self.ordered.range::<str, _>((Bound::Included(&**from), Bound::Unbounded)) {
            if !keys.contains(key) {
                break;
            }
            visit(slot);
        }
    }
    fn slot_of(&mut self, key: &StoreKey) -> u32 {
        if let Some(&slot) = self.by_key.get(key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        self.by_key.insert(key.clone(), slot);
        self.ordered.insert(key.clone(), slot);
        slot
    }
    fn push_version(&mut self, slot: u32, kv: KeyValue) {
        self.bytes_in_use += version_bytes(&kv);
        self.bytes_allocated = self.bytes_allocated.max(self.bytes_in_use);
        let versions = &mut self.slots[slot as usize].versions;
        if versions.is_empty() {
            // Most keys have one version; a vector's own first choice is four.
            versions.reserve_exact(1);
        }
        versions.push(kv);
    }
    fn put_key(&mut self, key: &StoreKey, value: &Value, lease: LeaseId, revision: Revision, cause: Cause, events: &mut Vec<WatchEvent>) {
        let slot = self.slot_of(key);
        let versions = &self.slots[slot as usize].versions;
        let previous = versions.last().cloned();
        let live = previous.as_ref().filter(|previous| previous.version > 0);
        let kv = KeyValue {
            // The text that the store already holds, so that all versions share one.
            key: previous.as_ref().map_or_else(|| key.clone(), |previous| previous.key.clone()),
            value: value.clone(),
            create_revision: live.map_or(revision, |live| live.create_revision),
            mod_revision: revision,
            version: live.map_or(1, |live| live.version + 1),
            lease,
            cause,
        };
        let old_lease = live.map_or(LeaseId::default(), |live| live.lease);
        if old_lease != lease {
            self.detach(old_lease, key);
            self.attach(lease, &kv.key);
        }
        events.push(event(kv.clone(), previous.as_ref()));
        self.push_version(slot, kv);
        self.changes.push_back((revision, slot));
    }
    /// Deletes the key of a slot, if it exists.
    fn delete_slot(&mut self, slot: u32, revision: Revision, cause: Cause, events: &mut Vec<WatchEvent>) -> bool {
        let Some(previous) = self.slots[slot as usize].live().cloned() else { return false };
        let tombstone = KeyValue {
            key: previous.key.clone(),
            value: self.nothing.clone(),
            create_revision: Revision::ZERO,
            mod_revision: revision,
            version: 0,
            lease: LeaseId::default(),
            cause,
        };
        self.detach(previous.lease, &previous.key);
        events.push(event(tombstone.clone(), Some(&previous)));
        self.push_version(slot, tombstone);
        self.changes.push_back((revision, slot));
        true
    }
    /// Makes the revision if there were changes.
    fn advance_to(&mut self, revision: Revision, events: &[WatchEvent]) {
        if !events.is_empty() {
            self.revision = revision;
        }
    }
    fn attach(&mut self, lease: LeaseId, key: &StoreKey) {
        if lease != LeaseId::default() {
            let lease = self.leases.get_mut(&lease).expect("a put names a lease that exists");
            lease.keys.insert(key.clone());
        }
    }
    fn detach(&mut self, lease: LeaseId, key: &StoreKey) {
        if lease != LeaseId::default()
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }
    /// Drops the versions of a slot that the compaction made unreachable, and the slot itself if nothing is left.
    fn prune(&mut self, slot: u32) {
        let versions = &mut self.slots[slot as usize].versions;
        let up_to = versions.partition_point(|version| version.mod_revision <= self.compacted);
        let Some(newest) = up_to.checked_sub(1) else { return };
        let dropped = if versions[newest].version == 0 { up_to } else { newest };
        let key = versions[newest].key.clone();
        for gone in versions.drain(..dropped) {
            self.bytes_in_use -= version_bytes(&gone);
        }
        if versions.is_empty() {
            self.by_key.remove(&key);
            self.ordered.remove(&key);
            self.free.push(slot);
        }
    }
}

fn version_bytes(kv: &KeyValue) -> u64 {
    kv.key.len() as u64 + u64::from(kv.value.size) + VERSION_OVERHEAD
}

fn event(kv: KeyValue, before: Option<&KeyValue>) -> WatchEvent {
    WatchEvent { deleted: kv.version == 0, kv, previous: before.filter(|before| before.version > 0).cloned() }
}
