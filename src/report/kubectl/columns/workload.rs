//! What keeps pods: Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, ControllerRevision, PodTemplate.

use serde_json::Value;

use super::super::World;
use super::super::look::{self, Look, containers, label_set, or_none};
use super::{age, name};

pub const DEPLOYMENT: &[&str] = &["Name", "Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector"];
pub const REPLICAS: &[&str] = &["Name", "Desired", "Current", "Ready", "Age", "+Containers", "+Images", "+Selector"];
pub const STATEFUL_SET: &[&str] = &["Name", "Ready", "Age", "+Containers", "+Images"];
pub const DAEMON_SET: &[&str] =
    &["Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", "+Containers", "+Images", "+Selector"];
pub const REVISION: &[&str] = &["Name", "Controller", "Revision", "Age"];
pub const POD_TEMPLATE: &[&str] = &["Name", "Containers", "Images", "Pod Labels"];

/// `spec.replicas`; an absent number is the API's default of 1.
pub fn desired(object: &Value) -> i64 {
    object.at("spec.replicas").as_i64().unwrap_or(1)
}

pub fn deployment(object: &Value, world: &World) -> Vec<String> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        format!("{}/{}", object.int("status.readyReplicas"), desired(object)),
        object.int("status.updatedReplicas").to_string(),
        object.int("status.availableReplicas").to_string(),
        age(object, world),
        names,
        images,
        look::selector(object.at("spec.selector")),
    ]
}

pub fn replica_set(object: &Value, world: &World) -> Vec<String> {
    replicas(object, world, look::selector(object.at("spec.selector")))
}

pub fn replication_controller(object: &Value, world: &World) -> Vec<String> {
    replicas(object, world, label_set(object.at("spec.selector")))
}

fn replicas(object: &Value, world: &World, selector: String) -> Vec<String> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        desired(object).to_string(),
        object.int("status.replicas").to_string(),
        object.int("status.readyReplicas").to_string(),
        age(object, world),
        names,
        images,
        selector,
    ]
}

pub fn stateful_set(object: &Value, world: &World) -> Vec<String> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![name(object), format!("{}/{}", object.int("status.readyReplicas"), desired(object)), age(object, world), names, images]
}

pub fn daemon_set(object: &Value, world: &World) -> Vec<String> {
    let (names, images) = containers(object.at("spec.template.spec"));
    vec![
        name(object),
        object.int("status.desiredNumberScheduled").to_string(),
        object.int("status.currentNumberScheduled").to_string(),
        object.int("status.numberReady").to_string(),
        object.int("status.updatedNumberScheduled").to_string(),
        object.int("status.numberAvailable").to_string(),
        label_set(object.at("spec.template.spec.nodeSelector")),
        age(object, world),
        names,
        images,
        look::selector(object.at("spec.selector")),
    ]
}

pub fn controller_revision(object: &Value, world: &World) -> Vec<String> {
    let owner = object.list("metadata.ownerReferences").iter().find(|owner| owner.flag("controller"));
    let controller = owner.map_or("<none>".to_owned(), |owner| {
        let group = owner.text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let kind = owner.text("kind").to_lowercase();
        if group.is_empty() { format!("{kind}/{}", owner.text("name")) } else { format!("{kind}.{group}/{}", owner.text("name")) }
    });
    vec![name(object), controller, object.int("revision").to_string(), age(object, world)]
}

pub fn pod_template(object: &Value, _: &World) -> Vec<String> {
    let (names, images) = containers(object.at("template.spec"));
    vec![name(object), names, images, or_none(&label_set(object.at("template.metadata.labels"))).to_owned()]
}
