//! The pages of PersistentVolume, PersistentVolumeClaim and StorageClass.

use serde_json::Value;

use super::super::World;
use super::super::age::since;
use super::super::columns::storage::{class_of, is_default};
use super::super::look::{Look, access_modes, label_set, plain};
use super::{Page, date, go_list, line, title_case, volume};

/// The phase, or how long the deletion lasts already.
fn status(object: &Value, world: &World) -> String {
    if !object.has("metadata.deletionTimestamp") {
        return object.plain("status.phase");
    }
    format!("Terminating (lasts {})", since(object.at("metadata.deletionTimestamp"), world.now, "<unknown>"))
}

pub fn volume(object: &Value, world: &World, page: &mut Page) {
    let spec = object.at("spec");
    line!(page, 0, "Name:\t{}", object.text("metadata.name"));
    page.labels_and_annotations(object);
    line!(page, 0, "Finalizers:\t{}", go_list(object.list("metadata.finalizers")));
    line!(page, 0, "StorageClass:\t{}", class_of(object));
    line!(page, 0, "Status:\t{}", status(object, world));
    let claim = spec.at("claimRef");
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", claim.text("namespace"), claim.text("name")) };
    line!(page, 0, "Claim:\t{claim}");
    line!(page, 0, "Reclaim Policy:\t{}", spec.text("persistentVolumeReclaimPolicy"));
    line!(page, 0, "Access Modes:\t{}", access_modes(spec.list("accessModes")));
    if spec.has("volumeMode") {
        line!(page, 0, "VolumeMode:\t{}", spec.text("volumeMode"));
    }
    line!(page, 0, "Capacity:\t{}", spec.plain("capacity.storage"));
    node_affinity(spec.at("nodeAffinity.required"), page);
    line!(page, 0, "Message:\t{}", object.text("status.message"));
    page.line(0, "Source:");
    volume::source(page, spec);
    page.events(object, world);
}

fn node_affinity(required: &Value, page: &mut Page) {
    if required.is_null() {
        page.line(0, "Node Affinity:\t<none>");
        return;
    }
    page.line(0, "Node Affinity:\t");
    let terms = required.list("nodeSelectorTerms");
    page.line(1, if terms.is_empty() { "Required Terms:\t<none>" } else { "Required Terms:\t" });
    for (number, term) in terms.iter().enumerate() {
        let one = |expression: &Value| {
            let operator = expression.text("operator").to_lowercase();
            let values: Vec<String> = expression.list("values").iter().map(plain).collect();
            let values = if values.is_empty() { String::new() } else { format!(" [{}]", values.join(", ")) };
            format!("{} {operator}{values}", expression.text("key"))
        };
        let lines = term.list("matchExpressions").iter().map(one).collect();
        page.several(&format!("    Term {number}"), lines);
    }
}

pub fn claim(claim: &Value, world: &World, page: &mut Page) {
    let namespace = claim.text("metadata.namespace");
    line!(page, 0, "Name:\t{}", claim.text("metadata.name"));
    line!(page, 0, "Namespace:\t{namespace}");
    line!(page, 0, "StorageClass:\t{}", class_of(claim));
    line!(page, 0, "Status:\t{}", status(claim, world));
    line!(page, 0, "Volume:\t{}", claim.text("spec.volumeName"));
    page.labels_and_annotations(claim);
    line!(page, 0, "Finalizers:\t{}", go_list(claim.list("metadata.finalizers")));
    let bound = !claim.text("spec.volumeName").is_empty();
    let (capacity, modes) = (claim.plain("status.capacity.storage"), access_modes(claim.list("status.accessModes")));
    line!(page, 0, "Capacity:\t{}", if bound { capacity } else { String::new() });
    line!(page, 0, "Access Modes:\t{}", if bound { modes } else { String::new() });
    if claim.has("spec.volumeMode") {
        line!(page, 0, "VolumeMode:\t{}", claim.text("spec.volumeMode"));
    }
    let source = claim.at("spec.dataSource");
    if !source.is_null() {
        page.line(0, "DataSource:");
        if source.has("apiGroup") {
            line!(page, 1, "APIGroup:\t{}", source.text("apiGroup"));
        }
        line!(page, 1, "Kind:\t{}", source.text("kind"));
        line!(page, 1, "Name:\t{}", source.text("name"));
    }
    let uses = |pod: &&Value| {
        let volumes = pod.list("spec.volumes").iter();
        volumes.into_iter().any(|volume| volume.text("persistentVolumeClaim.claimName") == claim.text("metadata.name"))
    };
    let users = world.kind("Pod", namespace).filter(uses).map(|pod| pod.plain("metadata.name")).collect();
    page.several("Used By", users);
    conditions(claim, page);
    page.events(claim, world);
}

fn conditions(claim: &Value, page: &mut Page) {
    let conditions = claim.list("status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let (kind, status) = (condition.text("type"), condition.text("status"));
        let (probe, transition) = (date(condition.at("lastProbeTime")), date(condition.at("lastTransitionTime")));
        line!(page, 1, "{kind} \t{status} \t{probe} \t{transition} \t{} \t{}", condition.text("reason"), condition.text("message"));
    }
}

pub fn class(class: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    line!(page, 0, "IsDefaultClass:\t{}", if is_default(class) { "Yes" } else { "No" });
    line!(page, 0, "Annotations:\t{}", label_set(class.at("metadata.annotations")));
    line!(page, 0, "Provisioner:\t{}", class.text("provisioner"));
    line!(page, 0, "Parameters:\t{}", label_set(class.at("parameters")));
    let expansion = if class.has("allowVolumeExpansion") { title_case(class.flag("allowVolumeExpansion")) } else { "<unset>" };
    line!(page, 0, "AllowVolumeExpansion:\t{expansion}");
    let options = class.list("mountOptions");
    if options.is_empty() {
        page.line(0, "MountOptions:\t<none>");
    } else {
        page.line(0, "MountOptions:");
        options.iter().for_each(|option| page.line(1, &plain(option)));
    }
    if class.has("reclaimPolicy") {
        line!(page, 0, "ReclaimPolicy:\t{}", class.text("reclaimPolicy"));
    }
    if class.has("volumeBindingMode") {
        line!(page, 0, "VolumeBindingMode:\t{}", class.text("volumeBindingMode"));
    }
    page.events(class, world);
}
