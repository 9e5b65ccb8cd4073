//! Keeps claims that pods use and volumes that claims are bound to until they are not (k/k `pkg/controller/volume/{pvc,pv}protection`): they
//! are created with a finalizer, which is taken off when they are deleted and free.
//!
//! Upstream asks the API for the pods once more before it lets a claim go; here the cache's word is taken.

use super::super::garbage_collector::{has_finalizer, without_finalizer};
use super::super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::Time;
use crate::client::{Cache, Change};
use crate::objects::volume::{CLAIM_PROTECTION, VOLUME_PROTECTION, VolumePhase};
use crate::objects::{Key, Kind, Object, Stored};

pub struct Protection;

fn finalizer(object: &Object) -> &'static str {
    if object.kind() == Kind::PersistentVolume { VOLUME_PROTECTION } else { CLAIM_PROTECTION }
}

fn is_used(object: &Object, cache: &Cache) -> bool {
    match object {
        Object::PersistentVolume(volume) => volume.status.phase == Some(VolumePhase::Bound),
        Object::PersistentVolumeClaim(claim) => {
            // A pod that is not scheduled yet does not count: no kubelet starts one whose claim is being deleted.
            let uses = |stored: &Stored| {
                stored.object.as_pod().is_some_and(|pod| pod.node.is_some() && pod.claims().any(|used| used.name == claim.meta.name))
            };
            cache.list_in(Kind::Pod, &claim.meta.namespace).any(|(_, stored)| uses(stored))
        }
        _ => false,
    }
}

impl Controller for Protection {
    type Item = Key;
    type Progress = ();

    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume, Kind::PersistentVolumeClaim, Kind::Pod]
    }
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, items: &mut Items<Key>) {
        match change.object() {
            Object::Pod(pod) => {
                if change.new.is_none() && pod.spec.uses_claims() {
                    pod.claims().for_each(|used| items.add(pod.claim_key(&used.name)));
                }
            }
            other => {
                if change.new.is_some() && other.meta().is_deleting() {
                    items.add(change.key.clone());
                }
            }
        }
    }
    fn reconcile(&mut self, _now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<()> {
        let Some(stored) = cache.get(key).filter(|stored| stored.object.meta().is_deleting()) else { return Outcome::Done };
        let finalizer = finalizer(&stored.object);
        if !has_finalizer(stored.object.meta(), finalizer) || is_used(&stored.object, cache) {
            return Outcome::Done;
        }
        out.send(without_finalizer(stored, finalizer));
        Outcome::Await(())
    }
    fn resume(&mut self, _now: Time, _key: &Key, (): (), answers: &Answers, _cache: &Cache, _out: &mut Requests<Key>) -> Outcome<()> {
        answers.last()
    }
}
