//! Makes the claims of pods' ephemeral volumes (k/k `pkg/controller/volume/ephemeral`); the garbage collector takes them away with the pod.

use std::sync::Arc;

use super::super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::Time;
use crate::client::{Cache, Change};
use crate::objects::{Key, Kind, Meta, OwnerReference, PersistentVolumeClaim, Pod};
use crate::wire::api::{Reason, Verb};

pub struct EphemeralVolumes;

/// The claims of a pod's ephemeral volumes.
pub fn claims(pod: &Pod) -> impl Iterator<Item = PersistentVolumeClaim> {
    pod.claims().filter(|used| used.ephemeral).filter_map(|used| {
        let volume = pod.spec.volumes.iter().find(|volume| volume.name == *used.volume)?;
        let template = &volume.ephemeral.as_ref()?.volume_claim_template;
        let meta = Meta {
            name: used.name.clone(),
            namespace: pod.meta.namespace.clone(),
            labels: template.meta.labels.clone(),
            annotations: template.meta.annotations.clone(),
            owner_references: vec![OwnerReference::controller(Kind::Pod, &pod.meta)].into(),
            ..Meta::default()
        };
        Some(PersistentVolumeClaim { meta, spec: template.spec.clone(), ..PersistentVolumeClaim::default() })
    })
}

impl Controller for EphemeralVolumes {
    type Item = Key;
    type Progress = ();

    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }
    fn workers(&self) -> usize {
        5
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::PersistentVolumeClaim]
    }
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, items: &mut Items<Key>) {
        match change.object() {
            crate::objects::Object::Pod(pod) if change.old.is_none() && pod.spec.uses_claims() => items.add(change.key.clone()),
            // A claim that went while its pod is there is made again.
            crate::objects::Object::PersistentVolumeClaim(claim) if change.new.is_none() => {
                let owner = claim.meta.controller().filter(|owner| owner.kind == *Kind::Pod.name());
                owner.into_iter().for_each(|owner| items.add(Key::pod(&claim.meta.namespace, &owner.name)));
            }
            _ => {}
        }
    }
    fn reconcile(&mut self, _now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<()> {
        let Some(pod) = cache.pod(key).filter(|pod| !pod.meta.is_deleting()) else { return Outcome::Done };
        for claim in claims(pod).filter(|claim| cache.get(&pod.claim_key(&claim.meta.name)).is_none()) {
            out.send(Verb::Create { object: Arc::new(claim.into()) });
        }
        if out.sent() == 0 { Outcome::Done } else { Outcome::Await(()) }
    }
    fn resume(&mut self, _now: Time, _key: &Key, (): (), answers: &Answers, _cache: &Cache, _out: &mut Requests<Key>) -> Outcome<()> {
        if answers.all_ok_or(&[Reason::AlreadyExists]) { Outcome::Done } else { Outcome::Retry }
    }
}
