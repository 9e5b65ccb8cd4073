//! PersistentVolume, PersistentVolumeClaim, StorageClass, and what CSI has.

use serde_json::Value;

use super::super::World;
use super::super::look::{self, Look, access_modes, or_unset};
use super::{age, name};

pub const VOLUME: &[&str] = &[
    "Name",
    "Capacity",
    "Access Modes",
    "Reclaim Policy",
    "Status",
    "Claim",
    "StorageClass",
    "VolumeAttributesClass",
    "Reason",
    "Age",
    "+VolumeMode",
];
pub const CLAIM: &[&str] =
    &["Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "+VolumeMode"];
pub const ATTACHMENT: &[&str] = &["Name", "Attacher", "PV", "Node", "Attached", "Age"];
pub const CSI_NODE: &[&str] = &["Name", "Drivers", "Age"];
pub const CSI_DRIVER: &[&str] =
    &["Name", "AttachRequired", "PodInfoOnMount", "StorageCapacity", "TokenRequests", "RequiresRepublish", "Modes", "Age"];
pub const STORAGE_CLASS: &[&str] = &["Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"];

/// The old annotation that named a class before there was a field.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub fn class_of(object: &Value) -> String {
    let old = object.at("metadata.annotations").get(OLD_CLASS).map(look::plain);
    old.unwrap_or_else(|| object.plain("spec.storageClassName"))
}

/// `Terminating` for what is being deleted.
fn phase(object: &Value) -> String {
    if object.has("metadata.deletionTimestamp") { "Terminating".to_owned() } else { object.plain("status.phase") }
}

pub fn volume(volume: &Value, world: &World) -> Vec<String> {
    let claim = volume.at("spec.claimRef");
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", claim.text("namespace"), claim.text("name")) };
    vec![
        name(volume),
        volume.plain("spec.capacity.storage"),
        access_modes(volume.list("spec.accessModes")),
        volume.plain("spec.persistentVolumeReclaimPolicy"),
        phase(volume),
        claim,
        class_of(volume),
        or_unset(volume.text("spec.volumeAttributesClassName")).to_owned(),
        volume.plain("status.reason"),
        age(volume, world),
        or_unset(volume.text("spec.volumeMode")).to_owned(),
    ]
}

pub fn claim(claim: &Value, world: &World) -> Vec<String> {
    // Capacity and modes are those of the bound volume.
    let bound = !claim.text("spec.volumeName").is_empty();
    vec![
        name(claim),
        phase(claim),
        claim.plain("spec.volumeName"),
        if bound { claim.plain("status.capacity.storage") } else { String::new() },
        if bound { access_modes(claim.list("status.accessModes")) } else { String::new() },
        class_of(claim),
        or_unset(claim.text("spec.volumeAttributesClassName")).to_owned(),
        age(claim, world),
        or_unset(claim.text("spec.volumeMode")).to_owned(),
    ]
}

/// Whether claims that name no class get this one.
pub fn is_default(class: &Value) -> bool {
    let annotations = class.at("metadata.annotations");
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
        .iter()
        .any(|key| annotations.get(key).and_then(Value::as_str) == Some("true"))
}

pub fn storage_class(class: &Value, world: &World) -> Vec<String> {
    let or = |field: &str, default: &str| if class.has(field) { class.plain(field) } else { default.to_owned() };
    vec![
        if is_default(class) { format!("{} (default)", name(class)) } else { name(class) },
        class.plain("provisioner"),
        or("reclaimPolicy", "Delete"),
        or("volumeBindingMode", "Immediate"),
        class.flag("allowVolumeExpansion").to_string(),
        age(class, world),
    ]
}

pub fn attachment(attachment: &Value, world: &World) -> Vec<String> {
    vec![
        name(attachment),
        attachment.plain("spec.attacher"),
        attachment.plain("spec.source.persistentVolumeName"),
        attachment.plain("spec.nodeName"),
        attachment.flag("status.attached").to_string(),
        age(attachment, world),
    ]
}

pub fn csi_node(node: &Value, world: &World) -> Vec<String> {
    vec![name(node), node.list("spec.drivers").len().to_string(), age(node, world)]
}

pub fn csi_driver(driver: &Value, world: &World) -> Vec<String> {
    let requests: Vec<String> = driver.list("spec.tokenRequests").iter().map(|request| request.text("audience").to_owned()).collect();
    let modes: Vec<&str> = driver.list("spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    vec![
        name(driver),
        (!driver.has("spec.attachRequired") || driver.flag("spec.attachRequired")).to_string(),
        driver.flag("spec.podInfoOnMount").to_string(),
        driver.flag("spec.storageCapacity").to_string(),
        if requests.is_empty() { "<unset>".to_owned() } else { requests.join(",") },
        driver.flag("spec.requiresRepublish").to_string(),
        if modes.is_empty() { "Persistent".to_owned() } else { modes.join(",") },
        age(driver, world),
    ]
}
