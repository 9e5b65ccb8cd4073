//! The pages of ReplicaSet, ReplicationController, StatefulSet and DaemonSet.

use serde_json::Value;

use super::super::World;
use super::super::columns::workload::desired;
use super::super::look::{self, Look, controlled_by, label_set};
use super::super::select::selects;
use super::container::template;
use super::{Page, date, line};

pub fn replica_set(set: &Value, world: &World, page: &mut Page) {
    replicas(set, world, page, &look::selector(set.at("spec.selector")), |pod| selects(set.at("spec.selector"), pod));
}

pub fn replication_controller(controller: &Value, world: &World, page: &mut Page) {
    let selector = controller.at("spec.selector");
    let labels = |pod: &Value| selector.pairs("").into_iter().all(|(key, value)| pod.at("metadata.labels").get(key) == Some(value));
    replicas(controller, world, page, &label_set(selector), labels);
}

fn replicas(set: &Value, world: &World, page: &mut Page, selector: &str, selects: impl Fn(&Value) -> bool) {
    line!(page, 0, "Name:\t{}", set.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", set.text("metadata.namespace"));
    line!(page, 0, "Selector:\t{selector}");
    page.labels_and_annotations(set);
    page.controlled_by(set);
    line!(page, 0, "Replicas:\t{} current / {} desired", set.int("status.replicas"), desired(set));
    pods_status(set, world, page, selects);
    template(page, set.at("spec.template"));
    reasons(set, page);
    page.events(set, world);
}

/// Conditions with their reasons; nothing where there are none.
pub fn reasons(object: &Value, page: &mut Page) {
    let conditions = object.list("status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tReason");
    page.line(1, "----\t------\t------");
    for condition in conditions {
        line!(page, 1, "{} \t{}\t{}", condition.text("type"), condition.text("status"), condition.text("reason"));
    }
}

/// The phases of the pods that are the workload's own.
fn pods_status(owner: &Value, world: &World, page: &mut Page, selects: impl Fn(&Value) -> bool) {
    let uid = owner.text("metadata.uid");
    let namespace = owner.text("metadata.namespace");
    let own = |pod: &&Value| selects(pod) && controlled_by(pod, uid);
    let pods: Vec<&Value> = world.kind("Pod", namespace).filter(own).collect();
    // Pods that were not handed in are taken to run.
    let unknown = if pods.is_empty() { owner.int("status.replicas") } else { 0 };
    let count = |phase: &str| pods.iter().filter(|pod| pod.text("status.phase") == phase).count();
    let running = unknown.saturating_add(count("Running") as i64);
    let (waiting, succeeded, failed) = (count("Pending"), count("Succeeded"), count("Failed"));
    line!(page, 0, "Pods Status:\t{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed");
}

pub fn stateful_set(set: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", set.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", set.text("metadata.namespace"));
    line!(page, 0, "CreationTimestamp:\t{}", date(set.at("metadata.creationTimestamp")));
    line!(page, 0, "Selector:\t{}", look::selector(set.at("spec.selector")));
    page.labels_and_annotations(set);
    line!(page, 0, "Replicas:\t{} desired | {} total", desired(set), set.int("status.replicas"));
    line!(page, 0, "Update Strategy:\t{}", set.text("spec.updateStrategy.type"));
    let rolling = set.at("spec.updateStrategy.rollingUpdate");
    if rolling.has("partition") {
        line!(page, 1, "Partition:\t{}", rolling.int("partition"));
        if rolling.has("maxUnavailable") {
            line!(page, 1, "MaxUnavailable:\t{}", rolling.plain("maxUnavailable"));
        }
    }
    pods_status(set, world, page, |pod| selects(set.at("spec.selector"), pod));
    template(page, set.at("spec.template"));
    claim_templates(set.list("spec.volumeClaimTemplates"), page);
    page.events(set, world);
}

fn claim_templates(claims: &[Value], page: &mut Page) {
    if claims.is_empty() {
        page.line(0, "Volume Claims:\t<none>");
        return;
    }
    page.line(0, "Volume Claims:");
    for claim in claims {
        line!(page, 1, "Name:\t{}", claim.text("metadata.name"));
        line!(page, 1, "StorageClass:\t{}", super::super::columns::storage::class_of(claim));
        page.labels("  Labels", claim.at("metadata.labels"));
        page.annotations("  Annotations", claim.at("metadata.annotations"));
        let size = claim.plain("spec.resources.requests.storage");
        line!(page, 1, "Capacity:\t{}", if size.is_empty() { "<default>" } else { &size });
        let modes: Vec<String> = claim.list("spec.accessModes").iter().map(look::plain).collect();
        line!(page, 1, "Access Modes:\t[{}]", modes.join(" "));
    }
}

pub fn daemon_set(set: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", set.text("metadata.name"));
    line!(page, 0, "Selector:\t{}", look::selector(set.at("spec.selector")));
    line!(page, 0, "Node-Selector:\t{}", label_set(set.at("spec.template.spec.nodeSelector")));
    page.labels_and_annotations(set);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        line!(page, 0, "{title}: {}", set.at("status").int(field));
    }
    pods_status(set, world, page, |pod| selects(set.at("spec.selector"), pod));
    template(page, set.at("spec.template"));
    page.events(set, world);
}
