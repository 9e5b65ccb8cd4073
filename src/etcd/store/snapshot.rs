//! A store as a value, and back: everything that can be observed of it is equal, its history too, as real etcd sends its whole database
//! to a member that has fallen behind.

use super::keys::Version;
use super::leases::LeaseRef;
use super::{FIRST_REVISION, Store};
use crate::base::{Cause, Revision};
use crate::wire::Member;
use crate::wire::etcd::{Alarm, KeyValue, LeaseId, LeaseRecord, StoreSnapshot, Value};

impl Store {
    /// A snapshot without history is one of its revision: what came before counts as compacted.
    pub fn from_snapshot(snapshot: &StoreSnapshot) -> Store {
        let mut store = Store::new();
        store.revision = snapshot.revision.max(FIRST_REVISION);
        store.compacted = match snapshot.revision {
            _ if !snapshot.history.is_empty() => snapshot.compacted,
            FIRST_REVISION | Revision::ZERO => Revision::ZERO,
            revision => revision,
        };
        store.hash = snapshot.hash;
        store.alarms = snapshot.alarms.iter().copied().collect();
        snapshot.leases.iter().for_each(|lease| store.leases.restore(lease));
        for kv in &snapshot.kvs {
            assert!(kv.mod_revision <= store.revision, "{} of a snapshot at {} is of {}", kv.key, store.revision, kv.mod_revision);
            let (slot, version) = store.restore(kv);
            store.versions.begin(slot, version);
        }
        for kv in &snapshot.history {
            let (slot, version) = store.restore(kv);
            store.versions.change(slot, version);
        }
        for slot in &store.versions.slots {
            // Older versions name leases that may be gone.
            let lease = if slot.is_live() { store.leases.id(slot.lease) } else { LeaseId::default() };
            store.leases.attach(lease, &slot.key);
        }
        store
    }
    /// The whole store.
    pub fn snapshot(&self) -> StoreSnapshot {
        let history = self.versions.since(Revision::ZERO).map(|(slot, version, _)| self.pair(slot, version));
        StoreSnapshot {
            revision: self.revision,
            history: history.collect(),
            alarms: self.alarms.iter().copied().collect(),
            hash: self.hash,
            ..self.snapshot_at_compaction(self.leases().collect(), Vec::new())
        }
    }
    /// The store as it is, without its history.
    pub fn newest(&self) -> StoreSnapshot {
        let state =
            self.ordered.values().filter_map(|&slot| self.versions.live(slot).map(|version| self.pair(self.versions.slot(slot), version)));
        StoreSnapshot {
            revision: self.revision,
            compacted: self.revision,
            kvs: state.collect(),
            leases: self.leases().collect(),
            ..StoreSnapshot::default()
        }
    }
    /// The store as it was at the last compaction, but for leases and alarms, which have no revisions.
    pub fn snapshot_at_compaction(&self, leases: Vec<LeaseRecord>, alarms: Vec<(Member, Alarm)>) -> StoreSnapshot {
        let revision = self.compacted;
        let state = self
            .ordered
            .values()
            .filter_map(|&slot| self.versions.at(slot, revision).map(|version| self.pair(self.versions.slot(slot), version)));
        StoreSnapshot {
            revision,
            compacted: revision,
            kvs: state.collect(),
            history: Vec::new(),
            leases,
            alarms,
            hash: self.versions.since(Revision::ZERO).fold(self.hash, |hash, (slot, version, _)| {
                hash.wrapping_sub(self.hash_of_change(super::keys::hash_of(&slot.key), version))
            }),
        }
    }

    /// A pair's slot, and the version that it stands for.
    fn restore(&mut self, kv: &KeyValue) -> (u32, Version) {
        let slot = self.slot_of(&kv.key, super::keys::hash_of(&kv.key));
        let lease = self.leases.name(kv.lease);
        let version = Version {
            value: kv.value.clone(),
            modified: kv.mod_revision,
            created: kv.create_revision,
            cause: kv.cause,
            number: u32::try_from(kv.version).unwrap_or(u32::MAX),
            lease,
        };
        self.count_bytes(slot, &version);
        (slot, version)
    }
}

/// A deletion, which has neither value nor lease.
pub(super) fn deletion(nothing: Value, revision: Revision, cause: Cause) -> Version {
    Version { value: nothing, modified: revision, created: Revision::ZERO, cause, number: 0, lease: LeaseRef::NONE }
}
