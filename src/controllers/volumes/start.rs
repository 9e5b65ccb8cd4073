//! What the controllers of volumes leave where they have been at work for long: for a cluster that runs before the run begins.

use std::collections::{BTreeMap, BTreeSet};

use super::attach::{is_attached_by, is_shared, new_attachment};
use super::binder::{Binder, bound, class_of, is_delayed, will_do};
use super::provisioner::{new_volume, place, wanted};
use crate::base::Name;
use crate::client::Cache;
use crate::objects::volume::VolumePhase;
use crate::objects::{Key, Kind, Object, PersistentVolume, PersistentVolumeClaim, Pod, VolumeAttachment};

/// What is to be changed, or created, next of what a cache has; nothing if all is settled.
pub fn settle(cache: &Cache) -> Vec<Object> {
    let volumes = cache.list(Kind::PersistentVolume).filter_map(|(_, stored)| stored.object.as_persistent_volume());
    let nobodys = |volume: &&PersistentVolume| {
        volume.status.phase == Some(VolumePhase::Pending) && volume.spec.claim_ref.as_ref().is_none_or(|reference| reference.uid.is_empty())
    };
    let now_available: Vec<Object> = volumes.filter(nobodys).map(|volume| available(volume).into()).collect();
    if !now_available.is_empty() {
        return now_available;
    }
    let claims = cache.list(Kind::PersistentVolumeClaim).filter_map(|(_, stored)| stored.object.as_persistent_volume_claim());
    claims.filter(|claim| !claim.is_fully_bound()).find_map(|claim| bind(claim, cache)).unwrap_or_default()
}

fn available(volume: &PersistentVolume) -> PersistentVolume {
    let mut available = volume.clone();
    available.status.phase = Some(VolumePhase::Available);
    available
}

fn bind(claim: &PersistentVolumeClaim, cache: &Cache) -> Option<Vec<Object>> {
    let class = class_of(claim, cache);
    let delayed = is_delayed(claim, class);
    let binder = Binder::default();
    let named = || cache.get(&Key::new(Kind::PersistentVolume, "", &claim.spec.volume_name))?.object.as_persistent_volume();
    let volume = if claim.spec.volume_name.is_empty() {
        binder.best_match(cache, claim, delayed).map(|(_, volume)| volume)
    } else {
        named().filter(|volume| will_do(volume, claim))
    };
    if let Some(volume) = volume {
        let (volume, claim) = bound(volume, claim);
        return Some(vec![volume.into(), claim.into()]);
    }
    let class = class.filter(|class| class.provisions() && !delayed)?;
    let asked = claim.asked_of(&class.provisioner);
    wanted(&asked, cache)?;
    let volume = new_volume(&asked, class, place(&asked, class, cache)?);
    Some(vec![asked.into(), volume.into()])
}

/// The attachments of the volumes of pods that run. A volume of one node at a time is attached where the first of them is.
pub fn attachments<'a>(pods: impl Iterator<Item = &'a Pod>, cache: &'a Cache) -> impl Iterator<Item = VolumeAttachment> {
    let mut made: BTreeSet<Name> = BTreeSet::new();
    let mut taken: BTreeMap<Name, Name> = BTreeMap::new();
    let of_pod = move |pod: &'a Pod| -> Vec<VolumeAttachment> {
        let Some(node) = &pod.node else { return Vec::new() };
        let volume = |claim: &Name| -> Option<&PersistentVolume> {
            let claim = cache.get(&pod.claim_key(claim))?.object.as_persistent_volume_claim()?;
            cache.get(&Key::new(Kind::PersistentVolume, "", &claim.spec.volume_name))?.object.as_persistent_volume()
        };
        let attached = pod.claims().filter_map(|used| {
            let volume = volume(&used.name)?;
            let csi = volume.spec.csi.as_ref().filter(|csi| is_attached_by(csi, cache))?;
            if !is_shared(volume) && taken.entry(volume.meta.name.clone()).or_insert_with(|| node.clone()) != node {
                return None;
            }
            Some(new_attachment(&volume.meta.name, csi, node.clone()))
        });
        attached.filter(|attachment| made.insert(attachment.meta.name.clone())).collect()
    };
    pods.filter(|pod| pod.spec.uses_claims()).flat_map(of_pod)
}
