//! Storage: PersistentVolume and PersistentVolumeClaim (k8s.io/api `core/v1`), and what the API group `storage.k8s.io/v1` says of their
//! classes, of drivers and of attachments.
//!
//! The rules by which a claim finds its volume are here, since the scheduler and the volume controller both follow them (component-helpers
//! `storage/volume/{helpers,pv_helpers}.go`). What is behind a volume (`local`, `nfs`, ..) makes no difference here but for `csi`, whose
//! volumes are attached and counted; it is kept in `rest`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use super::meta::{Labels, Meta, Uid};
use super::pod::Resources;
use super::quantity::Quantity;
use super::scheduling::NodeSelector;
use super::selector::LabelSelector;
use super::shared::Rest;
use crate::base::{Name, stable_hash};

/// Annotations of claims and volumes (component-helpers `storage/volume/helpers.go`).
pub mod annotations {
    /// On a claim: it has been bound for good.
    pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
    /// On either: a controller chose the other, not a user.
    pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
    /// On a volume: who made it.
    pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
    /// On a claim: the node that the scheduler chose for its first pod.
    pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
    /// On a claim: who is to make its volume.
    pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
    /// On either: its class, as it was named before there was a field.
    pub const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    /// On a class: claims that name none get this one.
    pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
}

/// The provisioner of classes whose volumes nobody makes (`volume.NotSupportedProvisioner`).
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// What keeps a volume that a claim is bound to, and a claim that a pod uses.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AccessMode {
    ReadWriteOnce,
    ReadOnlyMany,
    ReadWriteMany,
    ReadWriteOncePod,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum VolumeMode {
    #[default]
    Filesystem,
    Block,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ReclaimPolicy {
    Retain,
    Delete,
    /// Long deprecated: treated as a failed reclamation upstream, as `Retain` here.
    Recycle,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PersistentVolumeSpec,
    pub status: PersistentVolumeStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<AccessMode>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<Name, Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<Box<ClaimReference>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csi: Option<CsiSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<VolumeNodeAffinity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_reclaim_policy: Option<ReclaimPolicy>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub storage_class_name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<VolumeMode>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// The claim that a volume is bound to, or kept for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimReference {
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub api_version: Name,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub kind: Name,
    pub namespace: Name,
    pub name: Name,
    /// Empty while a user keeps the volume for a claim that may not exist yet.
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub uid: Uid,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiSource {
    pub driver: Name,
    pub volume_handle: Name,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<NodeSelector>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<VolumePhase>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum VolumePhase {
    Pending,
    Available,
    Bound,
    Released,
    Failed,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PersistentVolumeClaimSpec,
    pub status: PersistentVolumeClaimStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimSpec {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<AccessMode>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Box<LabelSelector>>,
    /// Absent: the default class's, if there is one; empty: no class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<VolumeMode>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub volume_name: Name,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClaimPhase>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<AccessMode>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<Name, Quantity>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ClaimPhase {
    Pending,
    Bound,
    /// Its volume is gone.
    Lost,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub provisioner: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_binding_mode: Option<BindingMode>,
    /// Where volumes can be made; empty: anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_topologies: Vec<TopologySelectorTerm>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// When a claim gets its volume.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BindingMode {
    Immediate,
    WaitForFirstConsumer,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorTerm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_label_expressions: Vec<TopologyRequirement>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TopologyRequirement {
    pub key: Name,
    pub values: Vec<Name>,
}

/// The drivers of a node, under the node's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiNode {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: CsiNodeSpec,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec {
    pub drivers: Vec<CsiNodeDriver>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiNodeDriver {
    pub name: Name,
    #[serde(rename = "nodeID")]
    pub node_id: Name,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_keys: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<VolumeNodeResources>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeNodeResources {
    /// How many volumes of the driver the node can have; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiDriver {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: CsiDriverSpec,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiDriverSpec {
    /// Absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_required: Option<bool>,
    /// Whether there are CSIStorageCapacity objects for it, and scheduling heeds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_capacity: Option<bool>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// How much of a class can still be made for some nodes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiStorageCapacity {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub storage_class_name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_volume_size: Option<Quantity>,
    /// Absent: no node has access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_topology: Option<LabelSelector>,
}

/// A volume is, or is to be, attached to a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeAttachment {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: VolumeAttachmentSpec,
    pub status: VolumeAttachmentStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSpec {
    pub attacher: Name,
    pub node_name: Name,
    pub source: VolumeAttachmentSource,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeAttachmentSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_name: Option<Name>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeAttachmentStatus {
    pub attached: bool,
    #[serde(flatten)]
    pub rest: Rest,
}

impl PersistentVolume {
    pub fn capacity(&self) -> Quantity {
        self.spec.capacity.get("storage").copied().unwrap_or(Quantity::ZERO)
    }
    /// `GetPersistentVolumeClass`
    pub fn class(&self) -> &Name {
        self.meta.annotation(annotations::OLD_CLASS).unwrap_or(&self.spec.storage_class_name)
    }
    /// Whether it can be used on a node with these labels (`CheckNodeAffinity`).
    pub fn is_reachable_from(&self, node: &Labels) -> bool {
        let required = self.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        required.is_none_or(|required| required.matches(&Name::default(), node))
    }
    /// Whether it is bound to this very claim, or kept for a claim of its name (`IsVolumeBoundToClaim`).
    pub fn is_for(&self, claim: &PersistentVolumeClaim) -> bool {
        self.spec.claim_ref.as_ref().is_some_and(|reference| {
            reference.name == claim.meta.name
                && reference.namespace == claim.meta.namespace
                && (reference.uid.is_empty() || reference.uid == claim.meta.uid)
        })
    }
    /// The same volume, bound to the claim (`GetBindVolumeToClaim`).
    pub fn bound_to(&self, claim: &PersistentVolumeClaim) -> PersistentVolume {
        let mut bound = self.clone();
        if !self.is_for(claim) {
            bound.meta.annotations.update(|annotations| drop(annotations.insert(annotations::BOUND_BY_CONTROLLER.into(), "yes".into())));
        }
        if self.spec.claim_ref.as_ref().is_none_or(|reference| reference.uid != claim.meta.uid) {
            bound.spec.claim_ref = Some(Box::new(ClaimReference::to(claim)));
        }
        bound
    }
    pub fn has_all_modes_of(&self, claim: &PersistentVolumeClaim) -> bool {
        claim.spec.access_modes.iter().all(|mode| self.spec.access_modes.contains(mode))
    }
}

impl ClaimReference {
    pub fn to(claim: &PersistentVolumeClaim) -> ClaimReference {
        ClaimReference {
            api_version: "v1".into(),
            kind: "PersistentVolumeClaim".into(),
            namespace: claim.meta.namespace.clone(),
            name: claim.meta.name.clone(),
            uid: claim.meta.uid.clone(),
            rest: Rest::default(),
        }
    }
    /// The key of a claim of its name: whether it is this very claim, its uid says.
    pub fn key(&self) -> Key {
        Key::new(Kind::PersistentVolumeClaim, &self.namespace, &self.name)
    }
}

impl CsiDriver {
    /// Whether its volumes are attached before they are mounted: all are whose driver doesn't say otherwise.
    pub fn attaches(&self) -> bool {
        self.spec.attach_required != Some(false)
    }
    /// Whether scheduling heeds its CSIStorageCapacity objects.
    pub fn has_storage_capacity(&self) -> bool {
        self.spec.storage_capacity == Some(true)
    }
}

impl CsiStorageCapacity {
    /// The largest volume that can be made (`volumeLimit`).
    pub fn limit(&self) -> Option<Quantity> {
        self.maximum_volume_size.or(self.capacity)
    }
}

impl PersistentVolumeClaim {
    /// The same claim with who is to make its volume.
    pub fn asked_of(&self, provisioner: &Name) -> PersistentVolumeClaim {
        let mut asked = self.clone();
        asked.meta.annotations.update(|all| drop(all.insert(annotations::STORAGE_PROVISIONER.into(), provisioner.clone())));
        asked
    }
    pub fn request(&self) -> Quantity {
        self.spec.resources.requests.get("storage").copied().unwrap_or(Quantity::ZERO)
    }
    /// `GetPersistentVolumeClaimClass`; empty: none.
    pub fn class(&self) -> Name {
        let named = self.meta.annotation(annotations::OLD_CLASS).or(self.spec.storage_class_name.as_ref());
        named.cloned().unwrap_or_default()
    }
    pub fn is_fully_bound(&self) -> bool {
        !self.spec.volume_name.is_empty() && self.meta.annotation(annotations::BIND_COMPLETED).is_some()
    }
    pub fn selected_node(&self) -> Option<&Name> {
        self.meta.annotation(annotations::SELECTED_NODE)
    }
    /// The same claim with the node that was chosen for it.
    pub fn selected_for(&self, node: &Name) -> PersistentVolumeClaim {
        let mut selected = self.clone();
        selected.meta.annotations.update(|annotations| drop(annotations.insert(annotations::SELECTED_NODE.into(), node.clone())));
        selected
    }
}

impl StorageClass {
    pub fn waits_for_consumer(&self) -> bool {
        self.volume_binding_mode == Some(BindingMode::WaitForFirstConsumer)
    }
    /// Whether somebody makes volumes of this class.
    pub fn provisions(&self) -> bool {
        !self.provisioner.is_empty() && self.provisioner != *NO_PROVISIONER
    }
    /// Whether a volume can be made for a node with these labels (`MatchTopologySelectorTerms`): an empty list allows all, a term without
    /// expressions none.
    pub fn allows(&self, node: &Labels) -> bool {
        let matches =
            |requirement: &TopologyRequirement| node.get(&requirement.key).is_some_and(|value| requirement.values.contains(value));
        let holds =
            |term: &TopologySelectorTerm| !term.match_label_expressions.is_empty() && term.match_label_expressions.iter().all(matches);
        self.allowed_topologies.is_empty() || self.allowed_topologies.iter().any(holds)
    }
    /// The newest of the default classes, the first by name among equals (k/k `plugin/pkg/admission/storage/storageclass/setdefault`).
    pub fn default_of<'a>(classes: impl Iterator<Item = &'a StorageClass>) -> Option<&'a StorageClass> {
        let defaults = classes.filter(|class| class.is_default());
        defaults.min_by_key(|class| (std::cmp::Reverse(class.meta.creation_timestamp), class.meta.name.clone()))
    }
    fn is_default(&self) -> bool {
        self.meta.annotation(annotations::DEFAULT_CLASS).is_some_and(|value| *value == *"true")
    }
}

impl VolumeAttachment {
    /// The name of the attachment of a volume to a node: one a pair (k/k `pkg/volume/csi/csi_attacher.go`, getAttachmentName, with another
    /// hash).
    pub fn name(volume: &CsiSource, node: &str) -> Name {
        let half = |part: u8| stable_hash(&(part, &*volume.volume_handle, &*volume.driver, node));
        Name::from(format!("csi-{:016x}{:016x}", half(0), half(1)))
    }
    pub fn volume(&self) -> Option<&Name> {
        self.spec.source.persistent_volume_name.as_ref()
    }
}

impl CsiNode {
    /// How many volumes of a driver the node can have.
    pub fn limit(&self, driver: &str) -> Option<u32> {
        self.spec.drivers.iter().find(|known| known.name == *driver)?.allocatable?.count
    }
}

/// What looks for a volume for a claim.
#[derive(Clone, Copy)]
pub enum Seeker<'a> {
    /// The scheduler, for a node with these labels.
    Node(&'a Labels),
    /// The volume controller; `delayed`: the claim waits for the scheduler, only a volume that is kept for it will do.
    Controller { delayed: bool },
}

/// The volume for a claim out of those that are there, in the order given: the one that is kept for it, or the smallest that will do
/// (`FindMatchingVolume`). `taken` are spoken for.
pub fn find_matching<'v>(
    claim: &PersistentVolumeClaim,
    volumes: impl IntoIterator<Item = &'v PersistentVolume>,
    seeker: Seeker<'_>,
    taken: &BTreeSet<Name>,
) -> Option<&'v PersistentVolume> {
    let class = claim.class();
    let mut smallest: Option<&PersistentVolume> = None;
    for volume in volumes {
        let is_ours = volume.is_for(claim);
        if taken.contains(&volume.meta.name)
            || (volume.spec.claim_ref.is_some() && !is_ours)
            || volume.capacity() < claim.request()
            || volume.spec.volume_mode.unwrap_or_default() != claim.spec.volume_mode.unwrap_or_default()
            || volume.meta.is_deleting()
        {
            continue;
        }
        let reachable = match seeker {
            Seeker::Node(labels) => volume.is_reachable_from(labels),
            Seeker::Controller { .. } => true,
        };
        if is_ours {
            return reachable.then_some(volume);
        }
        if matches!(seeker, Seeker::Controller { delayed: true })
            || volume.status.phase != Some(VolumePhase::Available)
            || claim.spec.selector.as_ref().is_some_and(|selector| !selector.matches(&volume.meta.labels))
            || *volume.class() != class
            || !reachable
            || !volume.has_all_modes_of(claim)
        {
            continue;
        }
        if smallest.is_none_or(|smallest| smallest.capacity() > volume.capacity()) {
            smallest = Some(volume);
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn volume(name: &str, size: &str, more: serde_json::Value) -> PersistentVolume {
        let mut json = json!({"metadata": {"name": name}, "status": {"phase": "Available"},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "slow"}});
        for (key, value) in more.as_object().expect("fields of the spec") {
            json["spec"][key] = value.clone();
        }
        serde_json::from_value(json).expect("a volume")
    }

    #[test]
    fn a_claim_finds_the_smallest_volume_that_will_do_or_the_one_that_is_kept_for_it() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "data", "namespace": "default", "uid": "1"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "slow", "resources": {"requests": {"storage": "5Gi"}}}}))
        .expect("a claim");
        let mut volumes = vec![
            volume("large", "100Gi", json!({})),
            volume("small", "1Gi", json!({})),
            volume("fitting", "10Gi", json!({})),
            volume("of-another-class", "5Gi", json!({"storageClassName": "fast"})),
            volume("of-other-modes", "5Gi", json!({"accessModes": ["ReadOnlyMany"]})),
            volume("raw", "5Gi", json!({"volumeMode": "Block"})),
            volume("kept-for-another", "5Gi", json!({"claimRef": {"name": "other", "namespace": "default"}})),
        ];
        let none = BTreeSet::new();
        let controller = Seeker::Controller { delayed: false };
        let name = |found: Option<&PersistentVolume>| found.map(|volume| volume.meta.name.to_string());
        assert_eq!(name(find_matching(&claim, &volumes, controller, &none)).as_deref(), Some("fitting"));
        assert_eq!(name(find_matching(&claim, &volumes, controller, &["fitting".into()].into())).as_deref(), Some("large"));
        assert_eq!(find_matching(&claim, &volumes, Seeker::Controller { delayed: true }, &none), None);
        volumes.push(volume(
            "kept",
            "50Gi",
            json!({"claimRef": {"name": "data", "namespace": "default"}, "nodeAffinity": {"required":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}}),
        ));
        assert_eq!(name(find_matching(&claim, &volumes, Seeker::Controller { delayed: true }, &none)).as_deref(), Some("kept"));
        let zone = |name: &str| Labels::from([("zone".into(), name.into())]);
        assert_eq!(name(find_matching(&claim, &volumes, Seeker::Node(&zone("a")), &none)).as_deref(), Some("kept"));
        // A volume that is kept for the claim is the only one for it, wherever it is.
        assert_eq!(find_matching(&claim, &volumes, Seeker::Node(&zone("b")), &none), None);
    }

    /// Every object is in a room of the largest kind's size.
    #[test]
    fn objects_of_volumes_take_no_more_room_than_pods() {
        let most = size_of::<super::super::Pod>().max(size_of::<super::super::Node>());
        let sizes = [size_of::<PersistentVolume>(), size_of::<PersistentVolumeClaim>(), size_of::<StorageClass>()];
        assert!(sizes.iter().all(|size| *size <= most), "{sizes:?} {most}");
    }

    #[test]
    fn a_class_allows_the_nodes_of_its_topologies() {
        let class: StorageClass = serde_json::from_value(json!({"provisioner": "p", "allowedTopologies": [
            {"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}]}))
        .expect("a class");
        let zone = |name: &str| Labels::from([("zone".into(), name.into())]);
        assert!(class.allows(&zone("b")) && !class.allows(&zone("c")) && !class.allows(&Labels::new()));
        assert!(StorageClass::default().allows(&Labels::new()));
    }
}
