//! The leases of a store: what all members know of them alike. When they end is a leader's business (`member::leases`).

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use crate::base::{Cause, Duration, Map};
use crate::wire::etcd::{EtcdError, LeaseId, LeaseRecord, StoreKey};

/// etcd `server/lease/lessor.go`, MaxLeaseTTL.
const TTL_MAX: Duration = Duration::from_secs(9_000_000_000);

#[derive(Default)]
pub(super) struct Leases {
    by_id: BTreeMap<LeaseId, Lease>,
    /// The ids that versions name, for they outlive the lease itself.
    names: Names,
}

struct Lease {
    ttl: Duration,
    /// As of the last checkpoint; zero: all of it.
    remaining: Duration,
    keys: BTreeSet<StoreKey>,
}

/// A lease's id in four bytes, as a version keeps it. 0: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LeaseRef(u32);

impl LeaseRef {
    pub const NONE: LeaseRef = LeaseRef(0);
}

#[derive(Default)]
struct Names {
    /// (id, how many versions name it)
    ids: Vec<(LeaseId, u32)>,
    by_id: Map<LeaseId, LeaseRef>,
    free: Vec<LeaseRef>,
}

impl Leases {
    pub fn exists(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }
    /// For a version that is added.
    pub fn name(&mut self, id: LeaseId) -> LeaseRef {
        if id == LeaseId::default() {
            return LeaseRef::NONE;
        }
        let Names { ids, by_id, free } = &mut self.names;
        let name = *by_id.entry(id).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                ids.push((id, 0));
                LeaseRef(ids.len() as u32)
            })
        });
        let (named, uses) = &mut ids[name.0 as usize - 1];
        *named = id;
        *uses += 1;
        name
    }
    /// A version that named it is gone.
    pub fn unname(&mut self, name: LeaseRef) {
        if name == LeaseRef::NONE {
            return;
        }
        let (id, uses) = &mut self.names.ids[name.0 as usize - 1];
        *uses -= 1;
        if *uses == 0 {
            self.names.by_id.remove(id);
            self.names.free.push(name);
        }
    }
    pub fn id(&self, name: LeaseRef) -> LeaseId {
        if name == LeaseRef::NONE { LeaseId::default() } else { self.names.ids[name.0 as usize - 1].0 }
    }
    pub fn attach(&mut self, id: LeaseId, key: &StoreKey) {
        if id != LeaseId::default() {
            let lease = self.by_id.get_mut(&id).expect("a put names a lease that exists");
            lease.keys.insert(key.clone());
        }
    }
    pub fn detach(&mut self, id: LeaseId, key: &StoreKey) {
        if id != LeaseId::default()
            && let Some(lease) = self.by_id.get_mut(&id)
        {
            lease.keys.remove(key);
        }
    }
    pub fn restore(&mut self, record: &LeaseRecord) {
        self.by_id.insert(record.id, Lease { ttl: record.ttl, remaining: record.remaining, keys: BTreeSet::new() });
    }
}

impl Store {
    /// Creates a lease.
    pub fn grant(&mut self, id: LeaseId, ttl: Duration) -> Result<(), EtcdError> {
        if ttl > TTL_MAX {
            return Err(EtcdError::LeaseTooLong);
        }
        if id == LeaseId::default() || self.leases.exists(id) {
            return Err(EtcdError::LeaseExists);
        }
        self.leases.restore(&LeaseRecord { id, ttl, remaining: Duration::ZERO });
        Ok(())
    }
    /// Ends a lease and deletes its keys, in one revision if it has any.
    pub fn revoke(&mut self, id: LeaseId, cause: Cause) -> Result<(), EtcdError> {
        let lease = self.leases.by_id.remove(&id).ok_or(EtcdError::LeaseNotFound)?;
        let revision = self.revision.next();
        // In the order of keys, which is the same on all members.
        for key in &lease.keys {
            let slot = self.find(key).expect("a lease's key exists");
            self.delete_slot(slot, revision, cause);
        }
        Ok(())
    }
    /// Notes what is left of a lease, for the next leader.
    pub fn checkpoint(&mut self, id: LeaseId, remaining: Duration) {
        if let Some(lease) = self.leases.by_id.get_mut(&id) {
            lease.remaining = remaining;
        }
    }
    pub fn lease(&self, id: LeaseId) -> Option<LeaseRecord> {
        self.leases.by_id.get(&id).map(|lease| LeaseRecord { id, ttl: lease.ttl, remaining: lease.remaining })
    }
    /// All leases, by their ids.
    pub fn leases(&self) -> impl Iterator<Item = LeaseRecord> {
        self.leases.by_id.iter().map(|(&id, lease)| LeaseRecord { id, ttl: lease.ttl, remaining: lease.remaining })
    }
    /// The keys that are attached to a lease, sorted.
    pub fn lease_keys(&self, id: LeaseId) -> impl Iterator<Item = &StoreKey> {
        self.leases.by_id.get(&id).into_iter().flat_map(|lease| &lease.keys)
    }
}
