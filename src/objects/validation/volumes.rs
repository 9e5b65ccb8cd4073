//! Volumes, claims, classes, and the volumes of pods (k/k `pkg/apis/{core,storage}/validation`).

use super::Violation;
use crate::base::Name;
use crate::objects::pod::{Container, PodSpec};
use crate::objects::selector::Operator;
use crate::objects::volume::{AccessMode, PersistentVolumeClaimSpec};
use crate::objects::{PersistentVolume, PersistentVolumeClaim, Quantity, Requirement, StorageClass};

/// What a PersistentVolume may be made of (k8s.io/api `core/v1`, PersistentVolumeSource), `csi` aside.
const SOURCES: [&str; 21] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// The source of a volume that is not `csi`.
fn other_sources(volume: &PersistentVolume) -> impl Iterator<Item = &'static str> {
    SOURCES.into_iter().filter(|source| volume.spec.rest.get(source).is_some())
}

pub(super) fn volume(volume: &PersistentVolume, found: &mut Vec<Violation>) {
    let spec = &volume.spec;
    if spec.access_modes.is_empty() {
        found.push(Violation::required("spec.accessModes"));
    }
    modes(&spec.access_modes, "spec", found);
    if spec.capacity.is_empty() {
        found.push(Violation::required("spec.capacity"));
    } else if !spec.capacity.contains_key("storage") {
        let given = spec.capacity.keys().next().map_or("", Name::as_str);
        found.push(Violation::unsupported("spec.capacity", given, &["storage"]));
    } else {
        positive(volume.capacity(), "spec.capacity.storage", found);
    }
    match other_sources(volume).count() + usize::from(spec.csi.is_some()) {
        0 => found.push(Violation::new("spec", "Required value: must specify a volume type")),
        1 => {}
        _ => found.push(Violation::new("spec", "Forbidden: may not specify more than 1 volume type")),
    }
    if let Some(csi) = &spec.csi {
        if csi.driver.is_empty() {
            found.push(Violation::required("spec.csi.driver"));
        }
        if csi.volume_handle.is_empty() {
            found.push(Violation::required("spec.csi.volumeHandle"));
        }
    }
    let affinity = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    if spec.node_affinity.is_some() && affinity.is_none() {
        found.push(Violation::new("spec.nodeAffinity.required", "Required value: must specify required node constraints"));
    }
    if affinity.is_some_and(|required| required.node_selector_terms.is_empty()) {
        let why = "Required value: must have at least one node selector term";
        found.push(Violation::new("spec.nodeAffinity.required.nodeSelectorTerms", why));
    }
    for (number, term) in affinity.into_iter().flat_map(|required| &required.node_selector_terms).enumerate() {
        for (index, requirement) in term.match_expressions.iter().enumerate() {
            let at = format!("spec.nodeAffinity.required.nodeSelectorTerms[{number}].matchExpressions[{index}]");
            values(requirement, &format!("{at}.values"), found);
        }
    }
    if spec.rest.get("local").is_some() && spec.node_affinity.is_none() {
        found.push(Violation::new("spec.nodeAffinity", "Required value: Local volume requires node affinity"));
    }
}

fn modes(modes: &[AccessMode], at: &str, found: &mut Vec<Violation>) {
    let is_alone = |mode: &AccessMode| *mode == AccessMode::ReadWriteOncePod;
    if modes.iter().any(is_alone) && !modes.iter().all(is_alone) {
        let why = "Forbidden: may not use ReadWriteOncePod with other access modes";
        found.push(Violation::new(format!("{at}.accessModes"), why));
    }
}

/// As many values as the operator takes (ValidateNodeSelectorRequirement).
fn values(requirement: &Requirement, at: &str, found: &mut Vec<Violation>) {
    let why = match (requirement.operator, requirement.values.len()) {
        (Operator::In | Operator::NotIn, 0) => "Required value: must be specified when `operator` is 'In' or 'NotIn'",
        (Operator::Exists | Operator::DoesNotExist, 1..) => "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        (Operator::Gt | Operator::Lt, count) if count != 1 => {
            "Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"
        }
        _ => return,
    };
    found.push(Violation::new(at, why));
}

pub(super) fn volume_update(old: &PersistentVolume, new: &PersistentVolume, found: &mut Vec<Violation>) {
    let sources = |volume: &PersistentVolume| -> Vec<serde_json::Value> {
        other_sources(volume).filter_map(|source| volume.spec.rest.get(source).cloned()).collect()
    };
    if old.spec.csi != new.spec.csi || sources(old) != sources(new) {
        let why = "Forbidden: spec.persistentvolumesource is immutable after creation";
        found.push(Violation::new("spec.persistentvolumesource", why));
    }
    if old.spec.volume_mode != new.spec.volume_mode {
        found.push(Violation::new("spec.volumeMode", "Invalid value: field is immutable"));
    }
    if old.spec.node_affinity.is_some() && old.spec.node_affinity != new.spec.node_affinity {
        found.push(Violation::new("spec.nodeAffinity", "Invalid value: field is immutable, except for updating from beta label to GA"));
    }
}

pub(super) fn claim(claim: &PersistentVolumeClaim, found: &mut Vec<Violation>) {
    claim_spec(&claim.spec, "spec", found);
}

/// Of a claim, or of a pod's template of one.
fn claim_spec(spec: &PersistentVolumeClaimSpec, at: &str, found: &mut Vec<Violation>) {
    if spec.access_modes.is_empty() {
        found.push(Violation::new(format!("{at}.accessModes"), "Required value: at least 1 access mode is required"));
    }
    modes(&spec.access_modes, at, found);
    let at = format!("{at}.resources.requests.storage");
    match spec.resources.requests.get("storage") {
        None => found.push(Violation::required(at)),
        Some(size) => positive(*size, &at, found),
    }
}

fn positive(size: Quantity, at: &str, found: &mut Vec<Violation>) {
    if size <= Quantity::ZERO {
        found.push(Violation::invalid(at, size.to_string(), "must be greater than zero"));
    }
}

const IMMUTABLE: &str =
    "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// After creation the volume's name may be set once, and a bound claim may ask for more. A class may be given to a claim without one.
pub(super) fn claim_update(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim, found: &mut Vec<Violation>) {
    let (before, mut after) = (&old.spec, new.spec.clone());
    if before.volume_name.is_empty() {
        after.volume_name.clone_from(&before.volume_name);
        if before.storage_class_name.is_none() {
            after.storage_class_name = None;
        }
    }
    if after.resources.requests != before.resources.requests && !old.is_fully_bound() {
        found.push(Violation::new("spec", IMMUTABLE));
        return;
    }
    if new.request() < old.request() {
        found.push(Violation::new("spec.resources.requests.storage", "Forbidden: field can not be less than status.capacity"));
    }
    after.resources.clone_from(&before.resources);
    if after != *before {
        found.push(Violation::new("spec", IMMUTABLE));
    }
}

pub(super) fn class(class: &StorageClass, found: &mut Vec<Violation>) {
    if class.provisioner.is_empty() {
        found.push(Violation::required("provisioner"));
    }
    for (number, term) in class.allowed_topologies.iter().enumerate() {
        for (index, requirement) in term.match_label_expressions.iter().enumerate() {
            if requirement.values.is_empty() {
                found.push(Violation::required(format!("allowedTopologies[{number}].matchLabelExpressions[{index}].values")));
            }
        }
    }
}

pub(super) fn class_update(old: &StorageClass, new: &StorageClass, found: &mut Vec<Violation>) {
    if old.provisioner != new.provisioner {
        found.push(Violation::new("provisioner", "Forbidden: updates to provisioner are forbidden."));
    }
    if old.reclaim_policy != new.reclaim_policy {
        found.push(Violation::new("reclaimPolicy", "Forbidden: updates to reclaimPolicy are forbidden."));
    }
    if old.volume_binding_mode != new.volume_binding_mode {
        found.push(Violation::new("volumeBindingMode", "Invalid value: field is immutable"));
    }
}

/// The volumes of a pod, and that what containers mount is among them.
pub(super) fn of_pod(spec: &PodSpec, at: &str, found: &mut Vec<Violation>) {
    for (number, volume) in spec.volumes.iter().enumerate() {
        let at = format!("{at}.volumes[{number}]");
        if volume.name.is_empty() {
            found.push(Violation::required(format!("{at}.name")));
        } else if let Some(why) = super::dns_label(&volume.name) {
            found.push(Violation::invalid(format!("{at}.name"), &*volume.name, &why));
        } else if spec.volumes[..number].iter().any(|other| other.name == volume.name) {
            found.push(Violation::new(format!("{at}.name"), format!("Duplicate value: \"{}\"", volume.name)));
        }
        let kinds =
            usize::from(volume.persistent_volume_claim.is_some()) + usize::from(volume.ephemeral.is_some()) + volume.rest.keys().count();
        match kinds {
            0 => found.push(Violation::new(at.clone(), "Required value: must specify a volume type")),
            1 => {}
            _ => found.push(Violation::new(at.clone(), "Forbidden: may not specify more than 1 volume type")),
        }
        if volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.claim_name.is_empty()) {
            found.push(Violation::required(format!("{at}.persistentVolumeClaim.claimName")));
        }
        if let Some(ephemeral) = &volume.ephemeral {
            claim_spec(&ephemeral.volume_claim_template.spec, &format!("{at}.ephemeral.volumeClaimTemplate.spec"), found);
        }
    }
    for (list, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        for (number, container) in containers.iter().enumerate() {
            mounts(spec, container, &format!("{at}.{list}[{number}]"), found);
        }
    }
}

fn mounts(spec: &PodSpec, container: &Container, at: &str, found: &mut Vec<Violation>) {
    for list in ["volumeMounts", "volumeDevices"] {
        let mounts = container.rest.get(list).and_then(serde_json::Value::as_array);
        for (number, mount) in mounts.into_iter().flatten().enumerate() {
            let name = mount["name"].as_str().unwrap_or("");
            if name.is_empty() {
                found.push(Violation::required(format!("{at}.{list}[{number}].name")));
            } else if !spec.volumes.iter().any(|volume| volume.name == *name) {
                found.push(Violation::new(format!("{at}.{list}[{number}].name"), format!("Not found: \"{name}\"")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn modes_that_exclude_each_other_and_terms_without_values_are_refused() {
        let term = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": []}, {"key": "zone", "operator": "Exists"}]});
        let given: PersistentVolume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": {
            "accessModes": ["ReadWriteOncePod", "ReadWriteMany"], "capacity": {"storage": "1Gi"}, "nfs": {"server": "s", "path": "/"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}}))
        .expect("a volume");
        let mut found = Vec::new();
        volume(&given, &mut found);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let values = "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values";
        assert_eq!(
            told,
            [
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes".to_owned(),
                format!("{values}: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
            ]
        );
    }
}
