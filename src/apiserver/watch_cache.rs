//! The watch cache: per kind the newest version of each object, the last events, and the revision up to which both are complete
//! (upstream `storage/cacher/watch_cache.go`).
//!
//! Invariant: for a filled kind, every event after `floor` and up to `revision` is in the ring, in order of revision; so a watch may
//! start from any revision at or above `floor`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{Cause, Duration, Map, Name, Revision, Time};
use crate::objects::{Key, Kind, Stored};
use crate::wire::api::Scope;
use crate::wire::etcd::{KeyValue, WatchEvent};

/// The ring's bounds: at least the last 100 events, those of the last 75 s, at most 102,400 (upstream `defaultLowerBoundCapacity`,
/// `eventFreshDuration`, `defaultUpperBoundCapacity`).
const RING_MIN: usize = 100;
const RING_MAX: usize = 102_400;
const RING_FRESH: Duration = Duration::from_secs(75);

/// One change of one object.
#[derive(Clone, Debug)]
pub struct CacheEvent {
    pub key: Key,
    pub revision: Revision,
    /// When it came: decides how long it is kept.
    at: Time,
    /// The new version; `None` for a delete.
    pub new: Option<Stored>,
    /// The version before; `None` for a create.
    pub old: Option<Stored>,
    /// Why it was written.
    pub cause: Cause,
}

/// One kind's cache.
#[derive(Default)]
pub struct KindCache {
    objects: BTreeMap<Key, Stored>,
    /// Pods by `spec.nodeName`: each kubelet lists its own.
    by_node: Map<Name, BTreeSet<Key>>,
    ring: VecDeque<CacheEvent>,
    /// The revision before the ring's first event.
    floor: Revision,
    revision: Revision,
    filled: bool,
}

/// A stored object from etcd's pair; `None` if the key or the value is not one of ours.
pub fn stored(kv: &KeyValue) -> Option<Stored> {
    let object = kv.value.as_object()?;
    Some(Stored { key: Key::from_path(&kv.key)?, revision: kv.mod_revision, cause: kv.cause, object: object.clone() })
}

impl KindCache {
    /// Is it complete, so that it may serve?
    pub fn is_filled(&self) -> bool {
        self.filled
    }
    /// Everything up to here is in it.
    pub fn revision(&self) -> Revision {
        self.revision
    }
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }
    pub fn objects(&self) -> impl Iterator<Item = &Stored> {
        self.objects.values()
    }

    /// Replaces everything by what a range over the kind's prefix found at `revision`. History is lost: the ring starts here.
    pub fn fill(&mut self, kvs: &[KeyValue], revision: Revision) {
        *self = KindCache { floor: revision, revision, filled: true, ..KindCache::default() };
        // A range is in key order, from which a map is built at once.
        self.objects = kvs.iter().filter_map(stored).map(|stored| (stored.key.clone(), stored)).collect();
        for (key, stored) in &self.objects {
            if let Some(node) = stored.object.as_pod().and_then(|pod| pod.node.as_ref()) {
                self.by_node.entry(node.clone()).or_default().insert(key.clone());
            }
        }
    }
    /// The watch behind it is lost: not complete until filled again.
    pub fn invalidate(&mut self) {
        self.filled = false;
    }
    /// Takes in one event of etcd's watch; returns it as an event of this cache. Events that are not newer are ignored.
    pub fn apply(&mut self, now: Time, event: &WatchEvent) -> Option<&CacheEvent> {
        let revision = event.kv.mod_revision;
        // A txn may write several keys at one revision: equal is new for another key, old for the same one.
        if revision < self.revision {
            return None;
        }
        // The key as cached shares its text with all who hold it.
        let key = Key::from_path(&event.kv.key)?;
        let new = if event.deleted { None } else { Some(stored(&event.kv)?) };
        if self.objects.get(&key).is_some_and(|present| present.revision >= revision) {
            return None;
        }
        let old = self.put(&key, new.clone());
        if old.is_none() && new.is_none() {
            return None;
        }
        self.revision = revision;
        self.ring.push_back(CacheEvent { key, revision, at: now, new, old, cause: event.kv.cause });
        while self.ring.len() > RING_MAX
            || (self.ring.len() > RING_MIN && self.ring.front().is_some_and(|first| first.at + RING_FRESH < now))
        {
            let gone = self.ring.pop_front().expect("a ring above its minimum has a first event");
            self.floor = gone.revision;
        }
        self.ring.back()
    }
    /// Everything up to `revision` has come.
    pub fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }
    /// The events after `from`, in order; `None` if some of them are no longer known.
    pub fn since(&self, from: Revision) -> Option<impl Iterator<Item = &CacheEvent>> {
        (from >= self.floor).then(|| self.ring.range(self.ring.partition_point(|event| event.revision <= from)..))
    }
    /// The oldest revision from which a watch may start.
    pub fn floor(&self) -> Revision {
        self.floor
    }
    /// The objects in a scope, in key order.
    pub fn list(&self, kind: Kind, scope: &Scope) -> Vec<Stored> {
        let wanted = |stored: &&Stored| scope.matches(&stored.object);
        if let (Some(name), true) = (&scope.name, scope.namespace.is_some() || !kind.namespaced()) {
            let key = Key::new(kind, scope.namespace.as_deref().unwrap_or(""), name);
            return self.objects.get(&key).into_iter().filter(wanted).cloned().collect();
        }
        if let Some(node) = &scope.node {
            let keys = self.by_node.get(node).into_iter().flatten();
            return keys.map(|key| &self.objects[key]).filter(wanted).cloned().collect();
        }
        match &scope.namespace {
            Some(namespace) if kind.namespaced() => {
                let first = Key::new(kind, namespace, "");
                let range = self.objects.range(first..).take_while(|(key, _)| key.namespace() == &**namespace);
                range.map(|(_, stored)| stored).filter(wanted).cloned().collect()
            }
            _ => self.objects.values().filter(wanted).cloned().collect(),
        }
    }

    /// The one place where objects and their index change. Returns the version before.
    fn put(&mut self, key: &Key, new: Option<Stored>) -> Option<Stored> {
        let node_of = |stored: &Option<Stored>| stored.as_ref().and_then(|stored| stored.object.as_pod()?.node.clone());
        let new_node = node_of(&new);
        let old = match new {
            // Keep the key that is there: its text is shared by the ring and the index.
            Some(stored) => self.objects.insert(key.clone(), stored),
            None => self.objects.remove(key),
        };
        let old_node = node_of(&old);
        if old_node != new_node {
            if let Some(keys) = old_node.as_ref().and_then(|node| self.by_node.get_mut(node)) {
                keys.remove(key);
            }
            if let Some(node) = new_node {
                self.by_node.entry(node).or_default().insert(key.clone());
            }
        }
        old
    }
}

/// A pod as etcd stores it, for tests.
#[cfg(test)]
pub(super) fn stored_pod(pod: crate::objects::Pod, revision: u64) -> KeyValue {
    let pod = crate::objects::Object::from(pod);
    KeyValue {
        key: pod.key().path().clone(),
        value: crate::wire::etcd::Value::object(std::sync::Arc::new(pod)),
        create_revision: Revision(1),
        mod_revision: Revision(revision),
        version: 1,
        lease: crate::wire::etcd::LeaseId(0),
        cause: Cause::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Meta, Pod};

    fn event(name: &str, node: Option<&str>, revision: u64, deleted: bool) -> WatchEvent {
        let pod = Pod { meta: Meta::named("default", name), node: node.map(Name::new), ..Pod::default() };
        WatchEvent { kv: stored_pod(pod, revision), deleted, previous: None }
    }
    fn filled() -> KindCache {
        let mut cache = KindCache::default();
        cache.fill(&[event("a", None, 5, false).kv], Revision(10));
        cache
    }

    #[test]
    fn a_watch_may_start_from_the_fill_and_not_before() {
        let mut cache = filled();
        cache.apply(Time::ZERO, &event("b", None, 11, false));
        assert!(cache.since(Revision(9)).is_none());
        let revisions: Vec<u64> = cache.since(Revision(10)).unwrap().map(|event| event.revision.0).collect();
        assert_eq!(revisions, [11]);
        assert_eq!(cache.since(Revision(11)).unwrap().count(), 0);
    }

    #[test]
    fn the_ring_keeps_a_hundred_events_and_those_younger_than_75_seconds() {
        let mut cache = filled();
        for revision in 11..=310 {
            cache.apply(Time::from_secs(1), &event("b", None, revision, false));
        }
        assert_eq!(cache.floor(), Revision(10), "300 young events are all kept");
        cache.apply(Time::from_secs(77), &event("b", None, 311, false));
        assert_eq!(cache.floor(), Revision(211), "of the old ones only what makes a hundred");
        assert_eq!(cache.since(Revision(211)).unwrap().count(), 100);
    }

    #[test]
    fn lists_use_the_index_by_node() {
        let mut cache = filled();
        cache.apply(Time::ZERO, &event("b", None, 11, false));
        cache.apply(Time::ZERO, &event("b", Some("n1"), 12, false));
        cache.apply(Time::ZERO, &event("c", Some("n2"), 13, false));
        let names = |cache: &KindCache, scope: &Scope| -> Vec<String> {
            cache.list(Kind::Pod, scope).iter().map(|stored| stored.object.meta().name.to_string()).collect()
        };
        assert_eq!(names(&cache, &Scope::on_node(&"n1".into())), ["b"]);
        assert_eq!(names(&cache, &Scope::all()), ["a", "b", "c"]);
        assert_eq!(names(&cache, &Scope::namespace(&"other".into())), [""; 0]);
        let deleted = cache.apply(Time::ZERO, &event("b", None, 14, true)).unwrap();
        assert_eq!(deleted.old.as_ref().unwrap().revision, Revision(12));
        assert_eq!(names(&cache, &Scope::on_node(&"n1".into())), [""; 0]);
    }

    #[test]
    fn an_event_comes_once() {
        let mut cache = filled();
        assert!(cache.apply(Time::ZERO, &event("b", None, 11, false)).is_some());
        assert!(cache.apply(Time::ZERO, &event("b", None, 11, false)).is_none());
        assert!(cache.apply(Time::ZERO, &event("c", None, 11, false)).is_some(), "a txn writes several keys at one revision");
    }
}
