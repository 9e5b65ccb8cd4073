//! The informer cache: the newest version of each object that a reflector has seen, with the indexes that controllers ask for.
//!
//! Invariant: the indexes are what a rebuild from the map would give; they change in [`Cache::apply`] only, and debug builds compare.

use std::collections::BTreeMap;

use crate::base::{Cause, Map, Name, Revision};
use crate::objects::service::SERVICE_NAME_LABEL;
use crate::objects::{Deployment, EndpointSlice, Key, Kind, Node, Object, Pod, ReplicaSet, Service, Stored, Uid};

/// What changed in a cache: an object came (`old` is `None`), changed, or went (`new` is `None`).
#[derive(Clone, Debug)]
pub struct Change {
    pub key: Key,
    pub old: Option<Stored>,
    pub new: Option<Stored>,
    /// The write that made it: of the new version's revision, or of the delete.
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

/// Objects by key, with indexes. Iteration is in key order.
#[derive(Default)]
pub struct Cache {
    objects: BTreeMap<Key, Stored>,
    pods_by_node: Map<Name, BTreeMap<Key, ()>>,
    /// By the uid of the managing controller.
    by_controller: Map<Uid, BTreeMap<Key, ()>>,
    /// Slices by (namespace, service).
    slices_by_service: Map<(Name, Name), BTreeMap<Key, ()>>,
}

impl Cache {
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
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
        self.objects.len()
    }
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
    /// All objects of a kind, in key order.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Stored)> {
        self.from_prefix(kind, Key::new(kind, "", ""), move |_| true)
    }
    /// All objects of a kind in a namespace, in key order.
    pub fn list_in<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.from_prefix(kind, Key::new(kind, namespace, ""), move |key| key.namespace() == namespace)
    }
    fn from_prefix<'a>(
        &'a self,
        kind: Kind,
        first: Key,
        belongs: impl Fn(&Key) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.objects.range(first..).take_while(move |(key, _)| key.kind() == kind && belongs(key))
    }
    /// Pods bound to a node, in key order.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.indexed(self.pods_by_node.get(node))
    }
    /// Objects of `kind` whose managing controller has this uid, in key order.
    pub fn controlled_by<'a>(&'a self, owner: &Uid, kind: Kind) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.indexed(self.by_controller.get(owner)).filter(move |(key, _)| key.kind() == kind)
    }
    /// The slices of a service, in key order.
    pub fn slices_of<'a>(&'a self, service: &Key) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.indexed(self.slices_by_service.get(&(Name::new(service.namespace()), Name::new(service.name()))))
    }
    fn indexed<'a>(&'a self, keys: Option<&'a BTreeMap<Key, ()>>) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        keys.into_iter().flatten().map(|(key, ())| (key, self.objects.get(key).expect("indexed objects exist")))
    }

    /// Puts in the new version of an object, or takes the object out. Returns what changed; `None` if it is not newer than what is here.
    pub fn apply(&mut self, key: &Key, new: Option<Stored>, at: Revision) -> Option<Change> {
        let old = self.objects.get(key);
        if old.is_some_and(|old| old.revision > at || (new.is_some() && old.revision == at)) || (old.is_none() && new.is_none()) {
            return None;
        }
        let old = match &new {
            Some(stored) => {
                debug_assert_eq!(stored.object.key(), *key);
                self.objects.insert(key.clone(), stored.clone())
            }
            None => self.objects.remove(key),
        };
        for (version, present) in [(&old, false), (&new, true)] {
            if let Some(stored) = version {
                self.index(key, &stored.object, present);
            }
        }
        Some(Change { key: key.clone(), old, new, cause: Cause::revision(at) })
    }

    /// The one place where indexes change.
    fn index(&mut self, key: &Key, object: &Object, present: bool) {
        fn set<I: std::hash::Hash + Eq>(index: &mut Map<I, BTreeMap<Key, ()>>, by: I, key: &Key, present: bool) {
            if present {
                index.entry(by).or_default().insert(key.clone(), ());
            } else if let Some(keys) = index.get_mut(&by) {
                keys.remove(key);
                if keys.is_empty() {
                    index.remove(&by);
                }
            }
        }
        if let Some(owner) = object.meta().controller() {
            set(&mut self.by_controller, owner.uid.clone(), key, present);
        }
        match object {
            Object::Pod(pod) => {
                if let Some(node) = &pod.node {
                    set(&mut self.pods_by_node, node.clone(), key, present);
                }
            }
            Object::EndpointSlice(slice) => {
                if let Some(service) = slice.meta.label(SERVICE_NAME_LABEL) {
                    set(&mut self.slices_by_service, (slice.meta.namespace.clone(), service.clone()), key, present);
                }
            }
            _ => {}
        }
    }
}
