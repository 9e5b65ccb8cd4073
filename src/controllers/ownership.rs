//! Who manages what: controller references, and the objects that have none and may be adopted (k/k
//! `pkg/controller/controller_ref_manager.go`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answers, Outcome, Requests};
use crate::base::Name;
use crate::client::{Cache, Change};
use crate::objects::{Key, Kind, Meta, Object, OwnerReference, Stored, Uid};
use crate::wire::api::{Part, Verb};

/// The key of the managing controller if it is of this kind.
pub fn owner_of(meta: &Meta, kind: Kind) -> Option<(Key, &Uid)> {
    let owner = meta.controller().filter(|owner| owner.kind == *kind.name())?;
    Some((Key::new(kind, &meta.namespace, &owner.name), &owner.uid))
}

/// The key of the managing controller if it is of this kind and the cache has that very object.
pub fn living_owner(meta: &Meta, kind: Kind, cache: &Cache) -> Option<Key> {
    let (key, uid) = owner_of(meta, kind)?;
    (cache.get(&key)?.object.meta().uid == *uid).then_some(key)
}

/// The objects of a kind that no controller manages: few, so that nobody scans a namespace for them.
#[derive(Default)]
pub struct Orphans {
    keys: BTreeSet<Key>,
}

impl Orphans {
    pub fn observe(&mut self, change: &Change) {
        match &change.new {
            Some(stored) if stored.object.meta().controller().is_none() => {
                self.keys.insert(change.key.clone());
            }
            _ => {
                self.keys.remove(&change.key);
            }
        }
    }
    pub fn in_namespace<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Key> {
        self.keys.range(Key::new(kind, namespace, "")..).take_while(move |key| key.namespace() == namespace && key.kind() == kind)
    }
}

/// Goes on with an adoption when the live read of the owner (the only request of its round) is answered: `claiming` waits for the writes.
pub fn adopt_all<P>(owner: &Key, orphans: &[Key], claiming: P, answers: &Answers, cache: &Cache, out: &mut Requests<Key>) -> Outcome<P> {
    let Some(live) = answers.object(0) else { return Outcome::Retry };
    let meta = live.object.meta();
    if meta.is_deleting() || cache.get(owner).is_none_or(|stored| stored.object.meta().uid != meta.uid) {
        return Outcome::Done;
    }
    for orphan in orphans.iter().filter_map(|orphan| cache.get(orphan)) {
        out.send(adopt(orphan, owner.kind(), meta));
    }
    Outcome::Await(claiming)
}

/// The write that makes `owner` the object's controller.
fn adopt(stored: &Stored, kind: Kind, owner: &Meta) -> Verb {
    rewrite(stored, |meta| meta.owner_references.push(OwnerReference::controller(kind, owner)))
}

/// The write that takes the references to `owner` off the object.
pub fn release(stored: &Stored, owner: &Uid) -> Verb {
    rewrite(stored, |meta| meta.owner_references.retain(|reference| reference.uid != *owner))
}

/// A write of changed metadata, refused if the object has changed meanwhile.
pub fn rewrite(stored: &Stored, change: impl FnOnce(&mut Meta)) -> Verb {
    let mut object = Object::clone(&stored.object);
    change(object.meta_mut());
    Verb::Update { object: Arc::new(object), part: Part::Main, revision: Some(stored.revision) }
}

/// The annotation's number, if it has one.
pub fn annotation_number(meta: &Meta, name: &str) -> Option<u64> {
    meta.annotation(name).and_then(|value: &Name| value.parse().ok())
}
