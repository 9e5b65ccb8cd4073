//! The informer cache: the newest version of each object that a reflector has seen, with the indexes that controllers ask for.
//!
//! Invariant: the indexes are what a rebuild from the objects would give. They change in [`Cache::reindex`] only; debug builds rebuild
//! and compare now and then ([`Cache::check`]).

use std::collections::BTreeMap;

use crate::base::{Cause, Map, Name, Revision, Set};
use crate::objects::service::SERVICE_NAME_LABEL;
use crate::objects::{Deployment, EndpointSlice, Key, Kind, Node, Object, Pod, ReplicaSet, Service, Stored, Uid};
use crate::wire::api::Scope;

/// What changed in a cache: an object came (`old` is `None`), changed, or went (`new` is `None`).
#[derive(Clone, Debug)]
pub struct Change {
    pub key: Key,
    pub old: Option<Stored>,
    pub new: Option<Stored>,
    /// The write that made it: of the new version's revision, or of the delete. For an object that a relist no longer found: why there
    /// was a relist, since nobody saw the delete.
    pub cause: Cause,
}

impl Change {
    /// The version after the change, or the last one before it went.
    pub fn object(&self) -> &Object {
        let stored = self.new.as_ref().or(self.old.as_ref()).expect("a change has a version");
        &stored.object
    }
    pub fn kind(&self) -> Kind {
        self.key.kind()
    }
}

/// Slots of objects, in the order of their keys: an index's term has few of them (the pods of a node, of a ReplicaSet).
type Slots = Vec<u32>;

/// Objects by key, with indexes. Iteration is in key order.
///
/// Objects lie in slots, found by hash; the orders over them change only when an object comes, goes or moves to another owner or node.
#[derive(Default)]
pub struct Cache {
    slots: Vec<Option<Stored>>,
    free: Vec<u32>,
    by_key: Map<Key, u32>,
    by_kind: [BTreeMap<Key, u32>; Kind::ALL.len()],
    pods_by_node: Map<Name, Slots>,
    /// By the uid of the managing controller.
    by_controller: Map<Uid, Slots>,
    /// Slices by the key of their service.
    slices_by_service: Map<Key, Slots>,
    /// Changes since the last debug check.
    unchecked: usize,
}

impl Cache {
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.by_key.get(key).map(|&slot| self.stored(slot))
    }
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.get(key)?.object.as_pod()
    }
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.get(&Key::node(name))?.object.as_node()
    }
    pub fn deployment(&self, key: &Key) -> Option<&Deployment> {
        self.get(key)?.object.as_deployment()
    }
    pub fn replica_set(&self, key: &Key) -> Option<&ReplicaSet> {
        self.get(key)?.object.as_replica_set()
    }
    pub fn service(&self, key: &Key) -> Option<&Service> {
        self.get(key)?.object.as_service()
    }
    pub fn endpoint_slice(&self, key: &Key) -> Option<&EndpointSlice> {
        self.get(key)?.object.as_endpoint_slice()
    }
    pub fn len(&self) -> usize {
        self.by_key.len()
    }
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.by_kind[kind as usize].len()
    }
    /// All objects of a kind, in key order.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Stored)> {
        self.resolve(self.by_kind[kind as usize].values())
    }
    /// All objects of a kind in a namespace, in key order.
    pub fn list_in<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        let first = Key::new(kind, namespace, "");
        self.resolve(self.by_kind[kind as usize].range(first..).map(|(_, slot)| slot))
            .take_while(move |(key, _)| key.namespace() == namespace)
    }
    /// Pods bound to a node, in key order.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.resolve(self.pods_by_node.get(node).into_iter().flatten())
    }
    /// Objects of `kind` whose managing controller has this uid, in key order.
    pub fn controlled_by<'a>(&'a self, owner: &Uid, kind: Kind) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.resolve(self.by_controller.get(owner).into_iter().flatten()).filter(move |(key, _)| key.kind() == kind)
    }
    /// The slices of a service, in key order.
    pub fn slices_of<'a>(&'a self, service: &Key) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.resolve(self.slices_by_service.get(service).into_iter().flatten())
    }
    fn resolve<'a>(&'a self, slots: impl Iterator<Item = &'a u32>) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        slots.map(|&slot| {
            let stored = self.stored(slot);
            (&stored.key, stored)
        })
    }
    fn stored(&self, slot: u32) -> &Stored {
        self.slots[slot as usize].as_ref().expect("an indexed slot is filled")
    }

    /// Puts in the new version of an object, or takes the object out. Returns what changed; `None` if it is not newer than what is here.
    pub fn apply(&mut self, key: &Key, new: Option<Stored>, at: Revision) -> Option<Change> {
        debug_assert!(new.as_ref().is_none_or(|stored| stored.key == *key));
        let slot = self.by_key.get(key).copied();
        let seen = slot.map(|slot| self.stored(slot).revision);
        match seen {
            None if new.is_none() => return None,
            Some(seen) if seen > at || (seen == at && new.is_some()) => return None,
            _ => {}
        }
        let slot = slot.unwrap_or_else(|| self.free_slot());
        let place = &mut self.slots[slot as usize];
        let old = match &new {
            Some(new) => place.replace(new.clone()),
            // Taken out below: until the indexes have forgotten it, they ask for its key.
            None => place.clone(),
        };
        self.reindex(key, slot, old.as_ref(), new.as_ref());
        if new.is_none() {
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
        self.check_sometimes();
        Some(Change { key: key.clone(), old, new, cause: Cause::revision(at) })
    }
    /// Puts in a version that came from the server.
    pub fn put(&mut self, stored: Stored) -> Option<Change> {
        let (key, at) = (stored.key.clone(), stored.revision);
        self.apply(&key, Some(stored), at)
    }
    /// Takes out an object whose last state came from the server, with the deleting revision.
    pub fn remove(&mut self, last: &Stored) -> Option<Change> {
        self.apply(&last.key, None, last.revision)
    }
    /// Makes the objects of a kind in a scope those of a list at `revision`; tells what changed by it: first what came or is newer, then
    /// what is gone. `cause`: why there was a list. Upstream delivers unchanged objects too; their handlers drop them.
    pub fn replace(
        &mut self,
        kind: Kind,
        scope: &Scope,
        items: Vec<Stored>,
        revision: Revision,
        cause: Cause,
        mut changed: impl FnMut(Change),
    ) {
        if self.count(kind) == 0 {
            return self.fill(kind, items, changed);
        }
        let mut listed = Set::default();
        for stored in items {
            let (key, at) = (stored.key.clone(), stored.revision);
            self.apply(&key, Some(stored), at).into_iter().for_each(&mut changed);
            listed.insert(key);
        }
        let is_gone =
            |(key, stored): &(&Key, &Stored)| stored.revision <= revision && !listed.contains(*key) && scope.matches(&stored.object);
        let gone: Vec<Key> = self.list(kind).filter(is_gone).map(|(key, _)| key.clone()).collect();
        for key in gone {
            let change = self.apply(&key, None, revision);
            changed(Change { cause, ..change.expect("what is listed here is here") });
        }
    }
    /// The first list of a kind: its order is built at once.
    fn fill(&mut self, kind: Kind, items: Vec<Stored>, mut changed: impl FnMut(Change)) {
        let mut order = Vec::with_capacity(items.len());
        self.slots.reserve(items.len());
        self.by_key.reserve(items.len());
        for stored in items {
            let (key, cause) = (stored.key.clone(), stored.because());
            debug_assert!(stored.object.key() == key && key.kind() == kind, "{key} in a list of {kind}");
            let slot = self.free_slot();
            self.slots[slot as usize] = Some(stored.clone());
            assert!(self.by_key.insert(key.clone(), slot).is_none(), "a list has {key} twice");
            self.reindex_terms(&key, slot, None, Some(&stored.object));
            order.push((key.clone(), slot));
            changed(Change { key, old: None, new: Some(stored), cause });
        }
        self.by_kind[kind as usize] = order.into_iter().collect();
        self.unchecked = usize::MAX / 2;
        self.check_sometimes();
    }
    fn free_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a cache holds fewer than 2^32 objects")
        })
    }

    /// The one place where indexes change.
    fn reindex(&mut self, key: &Key, slot: u32, old: Option<&Stored>, new: Option<&Stored>) {
        let (old, new) = (old.map(|stored| &*stored.object), new.map(|stored| &*stored.object));
        if old.is_some() != new.is_some() {
            if new.is_some() {
                self.by_key.insert(key.clone(), slot);
                self.by_kind[key.kind() as usize].insert(key.clone(), slot);
            } else {
                self.by_key.remove(key);
                self.by_kind[key.kind() as usize].remove(key);
            }
        }
        self.reindex_terms(key, slot, old, new);
    }
    /// Where an object stands in the indexes by node, controller and service.
    fn reindex_terms(&mut self, key: &Key, slot: u32, old: Option<&Object>, new: Option<&Object>) {
        update(&self.slots, &mut self.by_controller, slot, old.and_then(controller), new.and_then(controller));
        match key.kind() {
            Kind::Pod => update(&self.slots, &mut self.pods_by_node, slot, old.and_then(node), new.and_then(node)),
            Kind::EndpointSlice => {
                let (old, new) = (old.and_then(service), new.and_then(service));
                update(&self.slots, &mut self.slices_by_service, slot, old.as_ref(), new.as_ref());
            }
            _ => {}
        }
    }

    /// Rebuilds the indexes and compares. Panics if they differ.
    pub fn check(&self) {
        let mut rebuilt = Cache { slots: self.slots.clone(), ..Cache::default() };
        for (key, &slot) in self.by_kind.iter().flatten() {
            let stored = self.stored(slot);
            assert_eq!(stored.key, *key, "slot {slot}");
            assert_eq!(stored.object.key(), *key, "slot {slot}");
            rebuilt.reindex(key, slot, None, Some(stored));
        }
        assert_eq!(self.slots.iter().flatten().count(), rebuilt.by_key.len(), "every object has a key");
        assert_eq!(self.free.len() + self.by_key.len(), self.slots.len(), "every slot is free or filled");
        assert!(self.by_key == rebuilt.by_key, "by key");
        assert!(self.by_kind == rebuilt.by_kind, "by kind");
        assert!(self.pods_by_node == rebuilt.pods_by_node, "pods by node");
        assert!(self.by_controller == rebuilt.by_controller, "by controller");
        assert!(self.slices_by_service == rebuilt.slices_by_service, "slices by service");
    }
    /// In debug builds, after as many changes as there are objects: a constant cost a change.
    fn check_sometimes(&mut self) {
        self.unchecked += 1;
        // 1,024: a small cache need not be rebuilt at every change.
        if cfg!(debug_assertions) && self.unchecked > self.len() + 1_024 {
            self.unchecked = 0;
            self.check();
        }
    }
}

fn controller(object: &Object) -> Option<&Uid> {
    object.meta().controller().map(|owner| &owner.uid)
}
fn node(object: &Object) -> Option<&Name> {
    object.as_pod()?.node.as_ref()
}
fn service(object: &Object) -> Option<Key> {
    let meta = &object.as_endpoint_slice()?.meta;
    Some(Key::new(Kind::Service, &meta.namespace, meta.label(SERVICE_NAME_LABEL)?))
}
/// Moves an object in an index from one term to another.
fn update<I: std::hash::Hash + Eq + Clone>(
    objects: &[Option<Stored>],
    index: &mut Map<I, Slots>,
    slot: u32,
    old: Option<&I>,
    new: Option<&I>,
) {
    if old == new {
        return;
    }
    let key_of = |slot: u32| &objects[slot as usize].as_ref().expect("an indexed slot is filled").key;
    let place = |slots: &Slots| slots.binary_search_by(|&other| key_of(other).cmp(key_of(slot)));
    if let Some(term) = old {
        let slots = index.get_mut(term).expect("an indexed term has objects");
        slots.remove(place(slots).expect("an object stands under its term"));
        if slots.is_empty() {
            index.remove(term);
        }
    }
    if let Some(term) = new {
        let slots = index.entry(term.clone()).or_default();
        // A list comes in key order.
        if slots.last().is_none_or(|&last| key_of(last) < key_of(slot)) {
            slots.push(slot);
        } else if let Err(at) = place(slots) {
            slots.insert(at, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::objects::{Labels, Meta, OwnerReference, Shared};

    fn stored(revision: u64, object: impl Into<Object>) -> Stored {
        Stored::new(Revision(revision), Cause::NONE, Arc::new(object.into()))
    }
    fn pod(name: &str, node: Option<&str>, owner: Option<&str>) -> Pod {
        let mut meta = Meta::named("default", name);
        let owner = owner.map(|uid| Meta { uid: Name::new(uid), ..Meta::named("default", uid) });
        meta.owner_references = owner.map(|owner| OwnerReference::controller(Kind::ReplicaSet, &owner)).into_iter().collect();
        Pod { meta, node: node.map(Name::new), ..Pod::default() }
    }
    fn names<'a>(objects: impl Iterator<Item = (&'a Key, &'a Stored)>) -> Vec<String> {
        objects.map(|(key, _)| key.name().to_owned()).collect()
    }

    #[test]
    fn indexes_follow_their_objects() {
        let mut cache = Cache::default();
        cache.put(stored(1, pod("b", None, Some("rs"))));
        cache.put(stored(2, pod("a", Some("n1"), Some("rs"))));
        cache.put(stored(3, Node { meta: Meta::named("", "n1"), ..Node::default() }));
        let rs = Name::new("rs");
        assert_eq!(names(cache.controlled_by(&rs, Kind::Pod)), ["a", "b"]);
        assert_eq!(names(cache.pods_on("n1")), ["a"]);
        let bound = cache.put(stored(4, pod("b", Some("n1"), Some("rs")))).unwrap();
        assert_eq!((bound.old.unwrap().revision, bound.cause), (Revision(1), Cause::revision(Revision(4))));
        assert_eq!(names(cache.pods_on("n1")), ["a", "b"]);
        let released = cache.put(stored(5, pod("a", Some("n1"), None))).unwrap();
        assert_eq!(released.key, Key::pod("default", "a"));
        assert_eq!(names(cache.controlled_by(&rs, Kind::Pod)), ["b"]);
        cache.remove(&stored(6, pod("b", Some("n1"), Some("rs")))).unwrap();
        assert_eq!((names(cache.pods_on("n1")), cache.len()), (vec!["a".to_owned()], 2));
        assert!(cache.node("n1").is_some());
        cache.check();
    }

    #[test]
    fn slices_are_found_by_their_service() {
        let slice = |name: &str, service: &str| {
            let labels = Labels::from([(Name::new(SERVICE_NAME_LABEL), Name::new(service))]);
            EndpointSlice { meta: Meta { labels: Shared::new(labels), ..Meta::named("shop", name) }, ..EndpointSlice::default() }
        };
        let mut cache = Cache::default();
        cache.put(stored(1, slice("web-1", "web")));
        cache.put(stored(2, slice("web-2", "web")));
        cache.put(stored(3, slice("web-2", "other")));
        assert_eq!(names(cache.slices_of(&Key::new(Kind::Service, "shop", "web"))), ["web-1"]);
        assert_eq!(names(cache.slices_of(&Key::new(Kind::Service, "shop", "other"))), ["web-2"]);
        cache.check();
    }

    #[test]
    fn what_is_not_newer_changes_nothing() {
        let mut cache = Cache::default();
        assert!(cache.put(stored(5, pod("a", None, None))).is_some());
        assert!(cache.put(stored(5, pod("a", Some("n1"), None))).is_none());
        assert!(cache.put(stored(4, pod("a", Some("n1"), None))).is_none());
        assert!(cache.remove(&stored(4, pod("a", None, None))).is_none());
        assert!(cache.remove(&stored(6, pod("b", None, None))).is_none());
        assert_eq!(names(cache.pods_on("n1")), [""; 0]);
    }

    #[test]
    fn namespaces_that_begin_alike_are_kept_apart() {
        let mut cache = Cache::default();
        for (revision, namespace) in ["a", "a-b", "a0", "b"].into_iter().enumerate() {
            cache.put(stored(revision as u64 + 1, Pod { meta: Meta::named(namespace, namespace), ..Pod::default() }));
        }
        assert_eq!(names(cache.list_in(Kind::Pod, "a")), ["a"]);
        assert_eq!(names(cache.list_in(Kind::Pod, "a-b")), ["a-b"]);
        assert_eq!(names(cache.list_in(Kind::Pod, "c")), [""; 0]);
        assert_eq!(names(cache.list(Kind::Pod)), ["a-b", "a", "a0", "b"], "as etcd orders the keys");
    }

    #[test]
    fn a_relist_tells_what_came_changed_and_went() {
        let mut cache = Cache::default();
        for (revision, name) in ["gone", "same", "changed", "newer"].into_iter().enumerate() {
            cache.put(stored(revision as u64 + 1, pod(name, Some("n1"), None)));
        }
        cache.put(stored(20, pod("newer", Some("n1"), None)));
        cache.put(stored(3, pod("elsewhere", Some("n2"), None)));
        let items = vec![
            stored(2, pod("same", Some("n1"), None)),
            stored(9, pod("changed", Some("n1"), None)),
            stored(8, pod("came", Some("n1"), None)),
        ];
        let mut changes = Vec::new();
        let why = Cause::revision(Revision(7));
        cache.replace(Kind::Pod, &Scope::on_node(&Name::new("n1")), items, Revision(10), why, |change| {
            changes.push((change.key.name().to_owned(), change.old.is_some(), change.new.is_some(), change.cause));
        });
        let wrote = |revision| Cause::revision(Revision(revision));
        assert_eq!(
            changes,
            [
                ("changed".to_owned(), true, true, wrote(9)),
                ("came".to_owned(), false, true, wrote(8)),
                ("gone".to_owned(), true, false, why),
            ]
        );
        cache.check();
    }
}
