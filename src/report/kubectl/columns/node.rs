//! Nodes: the Ready condition and cordons in one word, roles from labels.

use serde_json::Value;

use super::super::World;
use super::super::look::{Look, or_none};
use super::{age, name};

pub const COLUMNS: &[&str] =
    &["Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image", "+Kernel-Version", "+Container-Runtime"];

pub fn cells(node: &Value, world: &World) -> Vec<String> {
    let info = node.at("status.nodeInfo");
    let or_unknown = |text: &str| if text.is_empty() { "<unknown>".to_owned() } else { text.to_owned() };
    let (kernel, architecture) = (info.text("kernelVersion"), info.text("architecture"));
    vec![
        name(node),
        status(node),
        or_none(&roles(node)).to_owned(),
        age(node, world),
        info.text("kubeletVersion").to_owned(),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        or_unknown(info.text("osImage")),
        if kernel.is_empty() || architecture.is_empty() { or_unknown(kernel) } else { format!("{kernel} ({architecture})") },
        or_unknown(info.text("containerRuntimeVersion")),
    ]
}

/// A condition that is neither true nor false makes a node NotReady; Unknown is a node that has no such condition at all.
fn status(node: &Value) -> String {
    let ready = node.list("status.conditions").iter().find(|condition| condition.text("type") == "Ready");
    let word = match ready.map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if node.flag("spec.unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{word}{cordoned}")
}

/// The roles, sorted and joined by commas; empty for none.
pub fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node.pairs("metadata.labels") {
        let role = match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default(),
            None => "",
        };
        if !role.is_empty() {
            roles.push(role);
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn address(node: &Value, kind: &str) -> String {
    let found = node.list("status.addresses").iter().find(|address| address.text("type") == kind);
    found.map_or("<none>", |address| address.text("address")).to_owned()
}
