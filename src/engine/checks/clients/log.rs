//! The store's history of the load's keys, as the first member to do so applied each revision. Invariant 12: a key is created at its first
//! revision, each change raises its version by one, all changes of a transaction bear its revision and no other one does.

use std::collections::BTreeMap;

use crate::base::{Map, Revision};
use crate::wire::etcd::{Applied, KeyValue, StoreSnapshot};
use crate::wire::history::{Key, Written};

/// A key from a revision on. Without a value: it was deleted.
#[derive(Clone, Debug)]
pub struct Version {
    pub revision: Revision,
    pub value: Option<Written>,
    pub create: Revision,
    /// 0 after a deletion.
    pub version: u64,
}

/// See the module.
pub struct Log {
    newest: Revision,
    keys: Map<Key, Vec<Version>>,
    /// Revisions that changed keys of the load, each with where its keys begin in `changed`.
    revisions: Vec<(Revision, usize)>,
    changed: Vec<Key>,
}

impl Default for Log {
    /// An empty store is at revision 1.
    fn default() -> Log {
        Log { newest: Revision(1), keys: Map::default(), revisions: Vec::new(), changed: Vec::new() }
    }
}

impl Log {
    pub fn from_snapshot(snapshot: &StoreSnapshot) -> Log {
        let mut log = Log { newest: snapshot.revision, ..Log::default() };
        for kv in &snapshot.kvs {
            if let Some(key) = Key::of(&kv.key) {
                log.keys.insert(key, vec![version(kv)]);
            }
        }
        log
    }
    /// The newest revision, of whatever keys.
    pub fn newest(&self) -> Revision {
        self.newest
    }
    pub fn applied(&mut self, applied: &Applied, violations: &mut Vec<String>) {
        self.newest = self.newest.max(applied.revision);
        let first = self.changed.len();
        for event in &applied.events {
            let Some(key) = Key::of(&event.kv.key) else { continue };
            let new = version(&event.kv);
            let versions = self.keys.entry(key).or_default();
            let live = versions.last().filter(|last| last.value.is_some());
            let mut wrong = |what: String| violations.push(format!("revision {} of key {}: {what}", applied.revision, key.0));
            let expected = if event.deleted {
                (Revision::ZERO, 0)
            } else {
                live.map_or((applied.revision, 1), |live| (live.create, live.version + 1))
            };
            if new.revision != applied.revision {
                wrong(format!("its mod revision is {}", new.revision));
            }
            if (event.kv.create_revision, event.kv.version) != expected {
                let (create, version) = expected;
                wrong(format!(
                    "it has version {}, created at {}, but should have version {version}, created at {create}",
                    new.version, new.create
                ));
            }
            if event.deleted && live.is_none() {
                wrong("it was deleted, and was not there".to_owned());
            }
            if event.previous.as_ref().map(|previous| previous.mod_revision) != live.map(|live| live.revision) {
                wrong("it has another previous version".to_owned());
            }
            if self.changed[first..].contains(&key) {
                wrong("it was changed twice".to_owned());
            }
            versions.push(new);
            self.changed.push(key);
        }
        if self.changed.len() > first {
            self.revisions.push((applied.revision, first));
        }
    }

    /// The key as it was at a revision; `None` before its first.
    pub fn at(&self, key: Key, revision: Revision) -> Option<&Version> {
        let versions = self.keys.get(&key)?;
        let count = versions.partition_point(|version| version.revision <= revision);
        versions[..count].last()
    }
    pub fn value(&self, key: Key, revision: Revision) -> Option<Written> {
        self.at(key, revision)?.value
    }
    /// What a revision changed.
    pub fn changes(&self, revision: Revision) -> BTreeMap<Key, Option<Written>> {
        let Ok(place) = self.revisions.binary_search_by_key(&revision, |(revision, _)| *revision) else { return BTreeMap::new() };
        self.keys_of(place).iter().map(|key| (*key, self.value(*key, revision))).collect()
    }
    /// The place of the first revision from this one on that changed something.
    pub fn place(&self, from: Revision) -> usize {
        self.revisions.partition_point(|(revision, _)| *revision < from)
    }
    /// The revision at a place.
    pub fn revision(&self, place: usize) -> Option<Revision> {
        self.revisions.get(place).map(|(revision, _)| *revision)
    }
    /// The keys that the revision at a place changed.
    pub fn keys_of(&self, place: usize) -> &[Key] {
        let end = self.revisions.get(place + 1).map_or(self.changed.len(), |(_, next)| *next);
        self.revisions.get(place).map_or(&[], |(_, first)| &self.changed[*first..end])
    }
}

fn version(kv: &KeyValue) -> Version {
    let value = if kv.version == 0 { None } else { Written::of(&kv.value) };
    Version { revision: kv.mod_revision, value, create: kv.create_revision, version: kv.version }
}
