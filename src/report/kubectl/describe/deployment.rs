//! The page of a deployment: which of its ReplicaSets is the new one follows from the pod templates.

use serde_json::Value;

use super::super::World;
use super::super::age::Instant;
use super::super::columns::workload::desired;
use super::super::look::{self, Look, controlled_by, or_none};
use super::super::select::selects;
use super::container::template;
use super::workload::reasons;
use super::{Page, date, line};

pub fn deployment(deployment: &Value, world: &World, page: &mut Page) {
    let status = deployment.at("status");
    line!(page, 0, "Name:\t{}", deployment.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", deployment.text("metadata.namespace"));
    line!(page, 0, "CreationTimestamp:\t{}", date(deployment.at("metadata.creationTimestamp")));
    page.labels_and_annotations(deployment);
    line!(page, 0, "Selector:\t{}", look::selector(deployment.at("spec.selector")));
    line!(
        page,
        0,
        "Replicas:\t{} desired | {} updated | {} total | {} available | {} unavailable",
        desired(deployment),
        status.int("updatedReplicas"),
        status.int("replicas"),
        status.int("availableReplicas"),
        status.int("unavailableReplicas")
    );
    line!(page, 0, "StrategyType:\t{}", deployment.text("spec.strategy.type"));
    line!(page, 0, "MinReadySeconds:\t{}", deployment.int("spec.minReadySeconds"));
    let rolling = deployment.at("spec.strategy.rollingUpdate");
    if !rolling.is_null() {
        let (unavailable, surge) = (rolling.plain("maxUnavailable"), rolling.plain("maxSurge"));
        line!(page, 0, "RollingUpdateStrategy:\t{unavailable} max unavailable, {surge} max surge");
    }
    template(page, deployment.at("spec.template"));
    reasons(deployment, page);
    replica_sets(deployment, world, page);
    page.events(deployment, world);
}

fn replica_sets(deployment: &Value, world: &World, page: &mut Page) {
    let uid = deployment.text("metadata.uid");
    let own = |set: &&Value| selects(deployment.at("spec.selector"), set) && controlled_by(set, uid);
    let sets: Vec<&Value> = world.kind("ReplicaSet", deployment.text("metadata.namespace")).filter(own).collect();
    if sets.is_empty() {
        return;
    }
    let wanted = without_hash(deployment.at("spec.template"));
    let same = sets.iter().copied().filter(|set| without_hash(set.at("spec.template")) == wanted);
    // Of several the oldest: they can only be the work of two controllers at once.
    let new = same.min_by_key(|set| Instant::of(set.at("metadata.creationTimestamp")));
    let is_new = |set: &Value| new.is_some_and(|new| std::ptr::eq(new, set));
    let shown = |wanted: bool| {
        let some = sets.iter().copied().filter(|set| is_new(set) == wanted);
        let text =
            |set: &Value| format!("{} ({}/{} replicas created)", set.text("metadata.name"), set.int("status.replicas"), desired(set));
        some.map(text).collect::<Vec<_>>().join(", ")
    };
    line!(page, 0, "OldReplicaSets:\t{}", or_none(&shown(false)));
    line!(page, 0, "NewReplicaSet:\t{}", or_none(&shown(true)));
}

/// A template without the label that its ReplicaSet gave it.
fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    template
}
