//! Reading: ranges now and at old revisions (etcd `server/etcdserver/txn/range.go`), and the hash of what is stored.

use std::cmp::Ordering;
use std::ops::Bound;

use super::keys::Version;
use super::{Store, keys};
use crate::base::{Revision, stable_hash};
use crate::wire::etcd::{EtcdError, KeyRange, KeyValue, Range, RangeAnswer, Sort, SortTarget};

impl Store {
    /// Reads a range, now or at an old revision.
    pub fn range(&self, range: &Range) -> Result<RangeAnswer, EtcdError> {
        self.check_revision(range.revision)?;
        let at = if range.revision == Revision::ZERO { Revision(u64::MAX) } else { range.revision };
        let mut answer = RangeAnswer { kvs: Vec::new(), count: 0, more: false };
        let limit = if range.limit == 0 { usize::MAX } else { range.limit as usize };
        // What is sorted must all be looked at before the limit is.
        let sorted = range.sort != Sort::default();
        self.for_each_slot(&range.keys, |slot| {
            let Some(version) = self.versions.at(slot, at) else { return };
            let slot = self.versions.slot(slot);
            answer.count += 1;
            if range.count_only || !is_within(range, version) {
                return;
            }
            if !sorted && answer.kvs.len() >= limit {
                answer.more = true;
                return;
            }
            answer.kvs.push(self.pair(slot, version));
        });
        if sorted {
            answer.kvs.sort_by(|one, other| order(range.sort, one, other));
        }
        if answer.kvs.len() > limit {
            answer.more = true;
            answer.kvs.truncate(limit);
        }
        if range.keys_only {
            answer.kvs.iter_mut().for_each(|kv| kv.value = self.nothing.clone());
        }
        Ok(answer)
    }
    /// The newest version of a key.
    pub fn get(&self, key: &str) -> Option<KeyValue> {
        let slot = self.find(key)?;
        self.versions.live(slot).map(|version| self.pair(self.versions.slot(slot), version))
    }
    /// The hash of all keys and retained versions up to `revision` (0: now). Comparable between members that have compacted to the
    /// same revision, as etcd's (`server/storage/mvcc/kvstore.go`, HashByRev).
    pub fn hash_kv(&self, revision: Revision) -> Result<u64, EtcdError> {
        self.check_revision(revision)?;
        let up_to = if revision == Revision::ZERO { self.revision } else { revision };
        let mut hash = 0;
        for (key, &slot) in &self.ordered {
            let key = keys::hash_of(key);
            // Of what was compacted only the state at that revision counts.
            let mut versions: Vec<&Version> = self.versions.back_from(slot).filter(|version| version.modified <= up_to).collect();
            versions.reverse();
            for version in versions {
                let Version { value, modified, created, number, lease, .. } = version;
                hash = stable_hash(&(hash, key, value.hash(), *modified, *created, *number, self.leases.id(*lease)));
            }
        }
        Ok(hash)
    }

    pub(super) fn check_revision(&self, revision: Revision) -> Result<(), EtcdError> {
        match revision {
            Revision::ZERO => Ok(()),
            _ if revision > self.revision => Err(EtcdError::FutureRevision),
            _ if revision < self.compacted => Err(EtcdError::Compacted),
            _ => Ok(()),
        }
    }
    /// Visits the slots of a key range in key order.
    pub(super) fn for_each_slot(&self, keys: &KeyRange, mut visit: impl FnMut(u32)) {
        let from = match keys {
            KeyRange::One(key) => {
                if let Some(slot) = self.find(key) {
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
}

/// Is it within the range's bounds of revisions?
fn is_within(range: &Range, version: &Version) -> bool {
    let within = |min: Revision, of: Revision, max: Revision| min <= of && (max == Revision::ZERO || of <= max);
    within(range.min_mod_revision, version.modified, range.max_mod_revision)
        && within(range.min_create_revision, version.created, range.max_create_revision)
}

fn order(sort: Sort, one: &KeyValue, other: &KeyValue) -> Ordering {
    let ascending = match sort.by {
        SortTarget::Key => one.key.cmp(&other.key),
        SortTarget::Version => one.version.cmp(&other.version),
        SortTarget::CreateRevision => one.create_revision.cmp(&other.create_revision),
        SortTarget::ModRevision => one.mod_revision.cmp(&other.mod_revision),
        SortTarget::Value => one.value.order(&other.value),
    };
    if sort.descending { ascending.reverse() } else { ascending }
}
