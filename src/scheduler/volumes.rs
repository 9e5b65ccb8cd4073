//! Claims, volumes, classes and drivers as the scheduler sees them, which of them a pod can use on a node, and what it takes to bind them
//! (upstream `plugins/volumebinding/binder.go`, `assume_cache.go`).
//!
//! What was *assumed* (a volume for a claim, a node for a claim whose volume is to be made) stands before what the API says until the API
//! says something newer. A cluster without such objects keeps nothing here, and a pod without claims asks nothing.
//!
//! Left out: volumes of in-tree plugins are not translated to CSI.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pods::PodInfo;
use crate::base::Map;
use crate::objects::volume::{ClaimPhase, Seeker, find_matching};
use crate::objects::{
    CsiDriver, CsiNode, CsiStorageCapacity, Key, Kind, Labels, Node, Object, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};

/// See the module.
#[derive(Default)]
pub struct Volumes {
    objects: std::collections::BTreeMap<Key, Arc<Object>>,
    assumed: Map<Key, Arc<Object>>,
    /// How many volumes of counted pods use a claim.
    users: Map<Key, u32>,
}

/// A pod's claims by what is to become of them (`PodVolumeClaims`).
#[derive(Default)]
pub struct PodClaims<'a> {
    /// The volumes of those that are bound; `None`: it does not exist.
    pub bound: Vec<Option<&'a PersistentVolume>>,
    /// To be bound, or made, for the node that is chosen; with their classes.
    pub delayed: Vec<(&'a PersistentVolumeClaim, &'a StorageClass)>,
    /// The volumes of these classes, by name: upstream's order is that of a Go map.
    pub candidates: Vec<&'a PersistentVolume>,
    /// Not the scheduler's to bind.
    pub immediate: Vec<&'a PersistentVolumeClaim>,
}

/// What binding takes on a node (`PodVolumes`): as the objects shall be.
#[derive(Clone, Default, Debug)]
pub struct PodVolumes {
    /// Volumes with the claims that they are bound to.
    pub bindings: Vec<(Arc<Object>, Key)>,
    /// Claims with the node for which their volumes are to be made.
    pub provisions: Vec<Arc<Object>>,
}

impl PodVolumes {
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.provisions.is_empty()
    }
    /// All that is to be written: the volumes, then the claims.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.bindings.iter().map(|(volume, _)| volume).chain(&self.provisions)
    }
}

/// What stands against a node; all that apply are told, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Conflicts {
    pub of_affinity: bool,
    pub nothing_to_bind: bool,
    pub too_little_space: bool,
    pub no_such_volume: bool,
}

impl Conflicts {
    pub fn any(self) -> bool {
        self != Conflicts::default()
    }
}

impl Volumes {
    /// An object of one of these kinds came or changed.
    pub fn set(&mut self, object: &Arc<Object>) {
        let key = object.key();
        self.assumed.remove(&key);
        self.objects.insert(key, object.clone());
    }
    pub fn remove(&mut self, object: &Object) {
        let key = object.key();
        self.assumed.remove(&key);
        self.objects.remove(&key);
    }
    /// A pod counts, or counts no more.
    pub fn count(&mut self, pod: &PodInfo, comes: bool) {
        for used in pod.claims() {
            let key = pod.pod().claim_key(&used.name);
            let users = self.users.entry(key.clone()).or_insert(0);
            *users = if comes { *users + 1 } else { *users - 1 };
            if *users == 0 {
                self.users.remove(&key);
            }
        }
    }
    /// Whether a counted pod uses the claim (`IsPVCUsedByPods`).
    pub fn is_used(&self, claim: &Key) -> bool {
        self.users.contains_key(claim)
    }

    pub fn claim(&self, namespace: &str, name: &str) -> Option<&PersistentVolumeClaim> {
        self.newest(&Key::new(Kind::PersistentVolumeClaim, namespace, name))?.as_persistent_volume_claim()
    }
    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        self.newest(&Key::new(Kind::PersistentVolume, "", name))?.as_persistent_volume()
    }
    pub fn class(&self, name: &str) -> Option<&StorageClass> {
        self.objects.get(&Key::new(Kind::StorageClass, "", name))?.as_storage_class()
    }
    pub fn csi_node(&self, node: &str) -> Option<&CsiNode> {
        self.objects.get(&Key::new(Kind::CsiNode, "", node))?.as_csi_node()
    }
    fn driver(&self, name: &str) -> Option<&CsiDriver> {
        self.objects.get(&Key::new(Kind::CsiDriver, "", name))?.as_csi_driver()
    }
    pub fn attachments(&self) -> impl Iterator<Item = &VolumeAttachment> {
        self.of_kind(Kind::VolumeAttachment).filter_map(|object| object.as_volume_attachment())
    }
    fn capacities(&self) -> impl Iterator<Item = &CsiStorageCapacity> {
        self.of_kind(Kind::CsiStorageCapacity).filter_map(|object| object.as_csi_storage_capacity())
    }
    /// All volumes, by name.
    fn volumes(&self) -> impl Iterator<Item = &PersistentVolume> {
        self.of_kind(Kind::PersistentVolume).filter_map(|object| object.as_persistent_volume())
    }
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        let all = self.objects.range(Key::new(kind, "", "")..).take_while(move |(key, _)| key.kind() == kind);
        all.map(|(key, object)| self.assumed.get(key).unwrap_or(object))
    }
    fn newest(&self, key: &Key) -> Option<&Arc<Object>> {
        let known = self.objects.get(key)?;
        Some(self.assumed.get(key).unwrap_or(known))
    }

    /// The pod's claims, or what is wrong with one of them (`podHasPVCs`, then `GetPodVolumeClaims`).
    pub fn claims_of(&self, pod: &PodInfo) -> Result<PodClaims<'_>, String> {
        let mut claims = PodClaims::default();
        for used in pod.claims() {
            let name = &used.name;
            let claim = match self.claim(pod.namespace(), name) {
                Some(claim) => claim,
                None if used.ephemeral => {
                    return Err(format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""));
                }
                None => return Err(format!("persistentvolumeclaim \"{name}\" not found")),
            };
            if claim.status.phase == Some(ClaimPhase::Lost) {
                let volume = &claim.spec.volume_name;
                return Err(format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""));
            }
            if claim.meta.is_deleting() {
                return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
            }
            let meta = &pod.pod().meta;
            if used.ephemeral && claim.meta.controller().is_none_or(|owner| owner.uid != meta.uid) {
                let namespace = &meta.namespace;
                return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{} (pod is not owner)", meta.name));
            }
            let class = self.class(&claim.class()).filter(|class| class.waits_for_consumer() && claim.spec.volume_name.is_empty());
            match class {
                _ if claim.is_fully_bound() => claims.bound.push(self.volume(&claim.spec.volume_name)),
                Some(class) => claims.delayed.push((claim, class)),
                None => claims.immediate.push(claim),
            }
        }
        if !claims.delayed.is_empty() {
            let of_class = |volume: &&PersistentVolume| claims.delayed.iter().any(|(_, class)| class.meta.name == *volume.class());
            claims.candidates = self.volumes().filter(of_class).collect();
        }
        Ok(claims)
    }

    /// What stands against a node (`FindPodVolumes`), and what binding takes on it.
    pub fn find(&self, claims: &PodClaims<'_>, node: &Node) -> (Conflicts, PodVolumes) {
        let mut conflicts = Conflicts::default();
        let mut volumes = PodVolumes::default();
        check_bound(&claims.bound, &node.meta.labels, &mut conflicts);
        let (selected, mut to_match): (Vec<_>, Vec<_>) =
            claims.delayed.iter().copied().partition(|(claim, _)| claim.selected_node().is_some());
        if selected.iter().any(|(claim, _)| claim.selected_node() != Some(&node.meta.name)) {
            conflicts.nothing_to_bind = true;
            return (conflicts, volumes);
        }
        let mut to_provision = selected;
        // The smallest first, so that it does not take what a larger one needs.
        to_match.sort_by_key(|(claim, _)| claim.request());
        let mut taken = BTreeSet::new();
        for (claim, class) in to_match {
            match find_matching(claim, claims.candidates.iter().copied(), Seeker::Node(&node.meta.labels), &taken) {
                None => to_provision.push((claim, class)),
                Some(volume) => {
                    taken.insert(volume.meta.name.clone());
                    let key = Key::new(Kind::PersistentVolumeClaim, &claim.meta.namespace, &claim.meta.name);
                    volumes.bindings.push((Arc::new(volume.bound_to(claim).into()), key));
                }
            }
        }
        for (claim, class) in to_provision {
            if !class.provisions() || !class.allows(&node.meta.labels) {
                conflicts.nothing_to_bind = true;
                break;
            }
            if !self.has_capacity(claim, class, &node.meta.labels) {
                conflicts.too_little_space = true;
                break;
            }
            volumes.provisions.push(Arc::new(claim.selected_for(&node.meta.name).into()));
        }
        (conflicts, volumes)
    }

    /// Whether there is room for the claim's volume where the node can reach it; drivers that do not say have it (`hasEnoughCapacity`).
    fn has_capacity(&self, claim: &PersistentVolumeClaim, class: &StorageClass, node: &Labels) -> bool {
        let says = self.driver(&class.provisioner).is_some_and(CsiDriver::has_storage_capacity);
        let suffices = |capacity: &CsiStorageCapacity| {
            capacity.storage_class_name == class.meta.name
                && capacity.limit().is_some_and(|limit| limit.value() >= claim.request().value())
                && capacity.node_topology.as_ref().is_some_and(|selector| selector.matches(node))
        };
        !says || self.capacities().any(suffices)
    }

    /// From now on it is as if this was written.
    pub fn assume(&mut self, volumes: &PodVolumes) {
        for object in volumes.objects() {
            self.assumed.insert(object.key(), object.clone());
        }
    }
    /// What the API says holds again.
    pub fn revert(&mut self, volumes: &PodVolumes) {
        for object in volumes.objects() {
            self.assumed.remove(&object.key());
        }
    }
}

/// The first volume that is elsewhere, or not at all, decides.
fn check_bound(volumes: &[Option<&PersistentVolume>], node: &Labels, conflicts: &mut Conflicts) {
    for volume in volumes {
        match volume {
            None => conflicts.no_such_volume = true,
            Some(volume) if !volume.is_reachable_from(node) => conflicts.of_affinity = true,
            Some(_) => continue,
        }
        return;
    }
}

#[cfg(test)]
mod tests;
