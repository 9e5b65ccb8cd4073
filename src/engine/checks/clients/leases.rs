//! Invariant 17: a key with a lease goes with its lease and not before, unless somebody deletes it; a lease that nobody revokes does not
//! end before its time is over since the request was sent that last kept it alive. It may last longer: a new leader begins anew.
//!
//! That a lease has ended is seen by its keys: a revision deletes one of them that no client can have asked to delete. Then all go.

use std::collections::BTreeSet;

use crate::base::{Duration, Map, Revision, Time};
use crate::wire::etcd::{LeaseId, StoreSnapshot};
use crate::wire::history::Key;

const MILLION: u64 = 1_000_000;

/// See the module.
#[derive(Default)]
pub struct Leases {
    leases: Map<LeaseId, Lease>,
    lease_of: Map<Key, LeaseId>,
    /// Those that ended in the revision at hand.
    ending: Vec<LeaseId>,
    clocks_ppm: u64,
}

#[derive(Default)]
struct Lease {
    /// It may not end before.
    until: Time,
    revoking: bool,
    ended: Option<(Time, Revision)>,
    keys: BTreeSet<Key>,
}

impl Leases {
    /// The leader's clock may run faster than time by so much.
    pub fn tolerate(&mut self, ppm: u64) {
        self.clocks_ppm = ppm;
    }
    pub fn alive(&mut self, now: Time, id: LeaseId, ttl: Duration, asked: Duration, violations: &mut Vec<String>) {
        // Both spans were measured by clocks that may be off.
        let sent = now - asked.scale(MILLION + self.clocks_ppm, MILLION);
        let lease = self.leases.entry(id).or_default();
        lease.until = lease.until.max(sent + ttl.scale(MILLION, MILLION + self.clocks_ppm));
        if let Some((at, revision)) = lease.ended.filter(|(at, _)| *at < sent) {
            violations.push(format!("lease {} was kept alive at {sent}, but had ended at {at} with revision {revision}", id.0));
        }
    }
    pub fn revoking(&mut self, id: LeaseId) {
        self.leases.entry(id).or_default().revoking = true;
    }
    pub fn put(&mut self, key: Key, id: LeaseId, revision: Revision, violations: &mut Vec<String>) {
        self.detach(key);
        if id == LeaseId::default() {
            return;
        }
        let lease = self.leases.entry(id).or_default();
        if let Some((_, ended)) = lease.ended {
            violations.push(format!("revision {revision} gives key {} lease {}, which ended with revision {ended}", key.0, id.0));
        }
        lease.keys.insert(key);
        self.lease_of.insert(key, id);
    }
    /// `asked_for`: by a client that deletes the key itself, perhaps.
    pub fn deleted(&mut self, now: Time, key: Key, asked_for: bool, revision: Revision, violations: &mut Vec<String>) {
        let Some(id) = self.detach(key) else { return };
        let lease = self.leases.entry(id).or_default();
        if asked_for || lease.ended.is_some() {
            return;
        }
        lease.ended = Some((now, revision));
        self.ending.push(id);
        if now < lease.until && !lease.revoking {
            let until = lease.until;
            violations.push(format!(
                "revision {revision} deletes key {}, for which nobody asked, with lease {}, which was to live until {until}",
                key.0, id.0
            ));
        }
    }
    /// All changes of a revision have been told.
    pub fn settled(&mut self, revision: Revision, violations: &mut Vec<String>) {
        for id in self.ending.drain(..) {
            if let Some(key) = self.leases.get(&id).and_then(|lease| lease.keys.first()) {
                violations.push(format!("lease {} ended with revision {revision}, and key {} did not", id.0, key.0));
            }
        }
    }
    /// Leases of a snapshot get their whole time again, from a leader that is yet to be.
    pub fn restored(&mut self, snapshot: &StoreSnapshot) {
        *self = Leases { clocks_ppm: self.clocks_ppm, ..Leases::default() };
        for kv in &snapshot.kvs {
            if let Some(key) = Key::of(&kv.key) {
                self.put(key, kv.lease, snapshot.revision, &mut Vec::new());
            }
        }
    }
    fn detach(&mut self, key: Key) -> Option<LeaseId> {
        let id = self.lease_of.remove(&key)?;
        self.leases.entry(id).or_default().keys.remove(&key);
        Some(id)
    }
}
