//! The page of a pod.

use serde_json::Value;

use super::super::World;
use super::super::age::since;
use super::super::columns::pod::is_over;
use super::super::look::{Look, or_none};
use super::container::{containers, spread_constraints, tolerations};
use super::{Page, date, line, volume};

pub fn pod(pod: &Value, world: &World, page: &mut Page) {
    let (spec, status) = (pod.at("spec"), pod.at("status"));
    head(pod, page);
    page.labels_and_annotations(pod);
    if pod.has("metadata.deletionTimestamp") && !is_over(pod) {
        let lasts = since(pod.at("metadata.deletionTimestamp"), world.now, "<unknown>");
        line!(page, 0, "Status:\tTerminating (lasts {lasts})");
        line!(page, 0, "Termination Grace Period:\t{}s", pod.int("metadata.deletionGracePeriodSeconds"));
    } else {
        line!(page, 0, "Status:\t{}", status.text("phase"));
    }
    for (title, field) in [("Reason", "reason"), ("Message", "message")] {
        if !status.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", status.text(field));
        }
    }
    let profile = spec.at("securityContext.seccompProfile");
    if !profile.is_null() {
        line!(page, 0, "SeccompProfile:\t{}", profile.text("type"));
        if profile.text("type") == "Localhost" {
            line!(page, 0, "LocalhostProfile:\t{}", profile.text("localhostProfile"));
        }
    }
    addresses(status, page);
    page.controlled_by(pod);
    if !status.text("nominatedNodeName").is_empty() {
        line!(page, 0, "NominatedNodeName:\t{}", status.text("nominatedNodeName"));
    }
    for (title, list, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        if list == "containers" || !spec.list(list).is_empty() {
            containers(page, title, "", spec.list(list), Some(status.list(statuses)), Some(pod));
        }
    }
    gates_and_conditions(pod, page);
    volume::volumes(page, "", spec.list("volumes"));
    line!(page, 0, "QoS Class:\t{}", quality(pod));
    page.labels("Node-Selectors", spec.at("nodeSelector"));
    page.several("Tolerations", tolerations(spec));
    spread_constraints(page, "", spec.list("topologySpreadConstraints"));
    page.events(pod, world);
}

fn head(pod: &Value, page: &mut Page) {
    let spec = pod.at("spec");
    line!(page, 0, "Name:\t{}", pod.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", pod.text("metadata.namespace"));
    if spec.has("priority") {
        line!(page, 0, "Priority:\t{}", spec.int("priority"));
    }
    for (title, field) in [("Priority Class Name", "priorityClassName"), ("Runtime Class Name", "runtimeClassName")] {
        if !spec.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", spec.text(field));
        }
    }
    line!(page, 0, "Service Account:\t{}", spec.text("serviceAccountName"));
    match spec.text("nodeName") {
        "" => page.line(0, "Node:\t<none>"),
        node => line!(page, 0, "Node:\t{node}/{}", pod.text("status.hostIP")),
    }
    if pod.has("status.startTime") {
        line!(page, 0, "Start Time:\t{}", date(pod.at("status.startTime")));
    }
}

fn addresses(status: &Value, page: &mut Page) {
    line!(page, 0, "IP:\t{}", status.text("podIP"));
    let all = status.list("podIPs");
    if all.is_empty() {
        page.line(0, "IPs:\t<none>");
        return;
    }
    page.line(0, "IPs:");
    for address in all {
        line!(page, 1, "IP:\t{}", address.text("ip"));
    }
}

fn gates_and_conditions(pod: &Value, page: &mut Page) {
    let conditions = pod.list("status.conditions");
    let gates = pod.list("spec.readinessGates");
    if !gates.is_empty() {
        page.line(0, "Readiness Gates:");
        page.line(1, "Type\tStatus");
    }
    for gate in gates {
        let kind = gate.text("conditionType");
        let status = conditions.iter().find(|condition| condition.text("type") == kind).map_or("", |found| found.text("status"));
        line!(page, 1, "{kind} \t{} ", or_none(status));
    }
    if !conditions.is_empty() {
        page.line(0, "Conditions:");
        page.line(1, "Type\tStatus");
    }
    for condition in conditions {
        line!(page, 1, "{} \t{} ", condition.text("type"), condition.text("status"));
    }
}

/// As the server has it, or as it follows from requests and limits (`core/helper/qos`).
fn quality(pod: &Value) -> String {
    let said = pod.text("status.qosClass");
    if !said.is_empty() {
        return said.to_owned();
    }
    let mut all = pod.list("spec.containers").iter().chain(pod.list("spec.initContainers"));
    let amounts = |container: &Value, side: &str| -> Vec<(String, String)> {
        let both = container.at("resources").at(side).pairs("");
        let counted = both.into_iter().filter(|(name, _)| matches!(*name, "cpu" | "memory"));
        counted.map(|(name, amount)| (name.to_owned(), super::super::look::plain(amount))).collect()
    };
    let (mut any, mut guaranteed) = (false, true);
    for container in all.by_ref() {
        let (requests, limits) = (amounts(container, "requests"), amounts(container, "limits"));
        any |= !requests.is_empty() || !limits.is_empty();
        guaranteed &= limits.len() == 2 && (requests.is_empty() || requests == limits);
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
    .to_owned()
}
