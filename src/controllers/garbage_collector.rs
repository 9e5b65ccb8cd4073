//! Garbage collection by owner references (k/k `pkg/controller/garbagecollector`): what has only absent
//! owners is deleted; an owner deleted in the foreground waits for its blocking dependents; an orphaned dependent loses the reference.
//!
//! Upstream patches references and finalizers; here they are updated with the revision that was read. All modelled kinds are watched.
//!
//! Invariant: nothing is deleted because of a cache: object and owners are read live first.

use std::collections::{BTreeMap, BTreeSet};

use super::ownership::{release, rewrite};
use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Map, Time};
use crate::client::{Cache, Change};
use crate::objects::{Key, Kind, Meta, Object, OwnerReference, Stored, Uid};
use crate::wire::api::{DeleteOptions, Propagation, Reason, Verb};

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// See the module.
pub struct GarbageCollector {
    workers: usize,
    volumes: bool,
    /// Objects by the uid of each of their owners.
    dependents: Map<Uid, BTreeSet<Key>>,
    started: bool,
}

/// Where the sync of an object stands.
#[derive(Debug)]
pub enum Progress {
    /// The object itself was asked for.
    Object,
    /// Its owners were asked for.
    Owners(Stored),
    /// Dependents are being released from an owner that is deleted with `orphan`.
    Releasing,
    Last,
}

/// What becomes of an object, given which of its owners live.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Take these references off.
    Release(Vec<Uid>),
    Delete(Propagation),
}

/// How an owner was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Solid,
    /// It waits for its dependents to go.
    Waiting,
    Absent,
}

/// The rule (`attemptToDeleteItem`). `has_dependents`: the object is itself an owner.
pub fn verdict(object: &Meta, owners: &[(Uid, Owner)], has_dependents: bool) -> Verdict {
    let is = |wanted: Owner| owners.iter().filter(move |(_, owner)| *owner == wanted);
    if owners.is_empty() {
        return Verdict::Keep;
    }
    if is(Owner::Solid).next().is_some() {
        let gone: Vec<Uid> = owners.iter().filter(|(_, owner)| *owner != Owner::Solid).map(|(uid, _)| uid.clone()).collect();
        return if gone.is_empty() { Verdict::Keep } else { Verdict::Release(gone) };
    }
    let has = |finalizer: &str| object.finalizers.iter().any(|present| *present == *finalizer);
    Verdict::Delete(match () {
        () if is(Owner::Waiting).next().is_some() && has_dependents => Propagation::Foreground,
        () if has(ORPHAN) => Propagation::Orphan,
        () if has(FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    })
}

impl GarbageCollector {
    /// `volumes`: whether there are objects of those kinds.
    pub fn new(workers: usize, volumes: bool) -> GarbageCollector {
        GarbageCollector { workers, volumes, dependents: Map::default(), started: false }
    }

    fn index(&mut self, stored: &Stored, key: &Key, present: bool) {
        for owner in &stored.object.meta().owner_references {
            if present {
                self.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
            } else if let Some(keys) = self.dependents.get_mut(&owner.uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
    fn dependents_of<'a>(&'a self, owner: &Uid) -> impl Iterator<Item = &'a Key> {
        self.dependents.get(owner).into_iter().flatten()
    }

    /// An owner that is being deleted and holds one of our finalizers.
    fn deleting_owner(&self, stored: &Stored, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Progress> {
        let meta = stored.object.meta();
        let dependents: Vec<&Stored> = self.dependents_of(&meta.uid).filter_map(|key| cache.get(key)).collect();
        if has_finalizer(meta, ORPHAN) {
            for dependent in &dependents {
                out.send_because(release(dependent, &meta.uid), stored.because());
            }
            if dependents.is_empty() {
                out.send(without_finalizer(stored, ORPHAN));
                return Outcome::Await(Progress::Last);
            }
            return Outcome::Await(Progress::Releasing);
        }
        let blocks = |dependent: &&&Stored| {
            let references = &dependent.object.meta().owner_references;
            references.iter().any(|owner| owner.uid == meta.uid && owner.block_owner_deletion)
        };
        if !dependents.iter().any(|dependent| blocks(&dependent)) {
            out.send(without_finalizer(stored, FOREGROUND));
            return Outcome::Await(Progress::Last);
        }
        for dependent in dependents.iter().filter(|dependent| !dependent.object.meta().is_deleting()) {
            out.items.add_because(dependent.key.clone(), crate::base::Duration::ZERO, stored.because());
        }
        Outcome::Done
    }
}

pub fn has_finalizer(meta: &Meta, finalizer: &str) -> bool {
    meta.finalizers.iter().any(|present| *present == *finalizer)
}

/// The write that takes the finalizer off the object.
pub fn without_finalizer(stored: &Stored, finalizer: &str) -> Verb {
    rewrite(stored, |meta| meta.finalizers.retain(|present| *present != *finalizer))
}

fn is_ours_to_finish(object: &Object) -> bool {
    let meta = object.meta();
    meta.is_deleting() && (has_finalizer(meta, ORPHAN) || has_finalizer(meta, FOREGROUND))
}

/// Where an owner is: in the dependent's namespace, or in none if its kind has none.
fn owner_key(owner: &OwnerReference, dependent: &Meta) -> Option<Key> {
    owner.key(&dependent.namespace)
}

fn lives_in(cache: &Cache, owner: &OwnerReference, dependent: &Meta) -> bool {
    match owner_key(owner, dependent) {
        // A kind that is not modelled cannot be looked for: it is taken to live.
        None => true,
        Some(key) => cache.get(&key).is_some_and(|stored| {
            let meta = stored.object.meta();
            meta.uid == owner.uid && !(meta.is_deleting() && has_finalizer(meta, FOREGROUND))
        }),
    }
}

impl Controller for GarbageCollector {
    type Item = Key;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }
    fn client(&self) -> &'static str {
        "generic-garbage-collector"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn watches(&self) -> &'static [Kind] {
        Kind::served(self.volumes)
    }
    fn start(&mut self, _now: Time, cache: &Cache, items: &mut Items<Key>) {
        self.started = true;
        for (_, stored) in Kind::served(self.volumes).iter().flat_map(|kind| cache.list(*kind)) {
            let meta = stored.object.meta();
            if is_ours_to_finish(&stored.object) || meta.owner_references.iter().any(|owner| !lives_in(cache, owner, meta)) {
                items.add_because(stored.key.clone(), crate::base::Duration::ZERO, stored.because());
            }
        }
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        let references = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.object.clone());
        let (old, new) = (references(&change.old), references(&change.new));
        let same = match (&old, &new) {
            (Some(old), Some(new)) => old.meta().owner_references == new.meta().owner_references,
            _ => false,
        };
        if !same {
            for (version, present) in [(&change.old, false), (&change.new, true)] {
                if let Some(stored) = version {
                    self.index(stored, &change.key, present);
                }
            }
        }
        if !self.started {
            return;
        }
        match &new {
            None => {
                let gone = change.object().meta();
                items.due.extend(self.dependents_of(&gone.uid).map(|key| (key.clone(), crate::base::Duration::ZERO, None)));
                // Owners that wait for their dependents look again.
                for owner in gone.owner_references.iter().filter_map(|owner| owner_key(owner, gone)) {
                    if cache.get(&owner).is_some_and(|stored| is_ours_to_finish(&stored.object)) {
                        items.add(owner);
                    }
                }
            }
            Some(new) => {
                let meta = new.meta();
                let orphaned = !same && meta.owner_references.iter().any(|owner| !lives_in(cache, owner, meta));
                if orphaned || is_ours_to_finish(new) {
                    items.add(change.key.clone());
                }
            }
        }
    }

    fn reconcile(&mut self, _now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Progress> {
        let Some(stored) = cache.get(key) else { return Outcome::Done };
        if is_ours_to_finish(&stored.object) {
            return self.deleting_owner(stored, cache, out);
        }
        let meta = stored.object.meta();
        if meta.is_deleting() || meta.owner_references.iter().all(|owner| lives_in(cache, owner, meta)) {
            return Outcome::Done;
        }
        out.send(Verb::Get { key: key.clone(), fresh: true });
        Outcome::Await(Progress::Object)
    }

    fn resume(
        &mut self,
        _now: Time,
        key: &Key,
        progress: Progress,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Progress> {
        match progress {
            Progress::Object => match answers.object(0) {
                Some(live) => {
                    let meta = live.object.meta();
                    let owners: Vec<Key> = meta.owner_references.iter().filter_map(|owner| owner_key(owner, meta)).collect();
                    if meta.is_deleting() || owners.is_empty() {
                        return Outcome::Done;
                    }
                    for owner in owners {
                        out.send(Verb::Get { key: owner, fresh: true });
                    }
                    Outcome::Await(Progress::Owners(live.clone()))
                }
                None if answers.failed_with(0, Reason::NotFound) => Outcome::Done,
                None => Outcome::Retry,
            },
            Progress::Owners(live) => {
                let meta = live.object.meta();
                let (mut owners, mut number) = (BTreeMap::new(), 0);
                for reference in &meta.owner_references {
                    let found = match owner_key(reference, meta) {
                        None => Owner::Solid,
                        Some(_) => {
                            number += 1;
                            match (answers.object(number - 1), answers.failed_with(number - 1, Reason::NotFound)) {
                                (None, false) => return Outcome::Retry,
                                (None, true) => Owner::Absent,
                                (Some(owner), _) if owner.object.meta().uid != reference.uid => Owner::Absent,
                                (Some(owner), _) if is_ours_to_finish(&owner.object) && has_finalizer(owner.object.meta(), FOREGROUND) => {
                                    Owner::Waiting
                                }
                                (Some(_), _) => Owner::Solid,
                            }
                        }
                    };
                    owners.insert(reference.uid.clone(), found);
                }
                let owners: Vec<(Uid, Owner)> = owners.into_iter().collect();
                let has_dependents = self.dependents_of(&meta.uid).any(|dependent| cache.get(dependent).is_some());
                match verdict(meta, &owners, has_dependents) {
                    Verdict::Keep => return Outcome::Done,
                    Verdict::Release(gone) => {
                        out.send(rewrite(&live, |meta| meta.owner_references.retain(|owner| !gone.contains(&owner.uid))));
                    }
                    Verdict::Delete(propagation) => {
                        let uid = Some(meta.uid.clone());
                        let options = DeleteOptions { uid, revision: Some(live.revision), propagation, ..DeleteOptions::default() };
                        out.send(Verb::Delete { key: key.clone(), options });
                    }
                }
                Outcome::Await(Progress::Last)
            }
            Progress::Releasing => match (answers.all_ok_or_gone(), cache.get(key)) {
                (true, Some(stored)) => {
                    out.send(without_finalizer(stored, ORPHAN));
                    Outcome::Await(Progress::Last)
                }
                (true, None) => Outcome::Done,
                (false, _) => Outcome::Retry,
            },
            Progress::Last => answers.last(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::adapter::Adapter;
    use crate::controllers::testing::World;
    use crate::objects::{Pod, ReplicaSet};

    #[test]
    fn dependents_go_after_their_owner_and_before_it_when_it_waits() {
        for foreground in [false, true] {
            let mut world = World::new(vec![Adapter::boxed(GarbageCollector::new(20, false))]);
            let set = ReplicaSet { meta: Meta::named("default", "web"), ..ReplicaSet::default() };
            let owner = world.create(Object::ReplicaSet(set)).unwrap().object;
            let mut pod = Pod { meta: Meta::named("default", "web-1"), ..Pod::default() };
            pod.meta.owner_references = vec![OwnerReference::controller(Kind::ReplicaSet, owner.meta())].into();
            let pod = world.create(Object::Pod(pod)).unwrap().object.key();
            world.settle();
            assert!(world.requests.is_empty());
            let (key, now) = (owner.key(), world.now);
            if foreground {
                world.change(&key, |object| {
                    object.meta_mut().finalizers.push(FOREGROUND.into());
                    object.meta_mut().deletion_timestamp = Some(now);
                });
            } else {
                world.store(&key, None);
            }
            world.settle();
            assert!(world.cache.get(&pod).is_none() && world.cache.get(&key).is_none());
        }
    }
}
