//! What limits and scales: PodDisruptionBudget, HorizontalPodAutoscaler, ResourceQuota, PriorityClass.

use serde_json::Value;

use super::super::World;
use super::super::look::{Look, plain};
use super::{age, name};

pub const BUDGET: &[&str] = &["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"];
pub const AUTOSCALER: &[&str] = &["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"];
pub const QUOTA: &[&str] = &["Name", "Request", "Limit", "Age"];
pub const PRIORITY_CLASS: &[&str] = &["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"];

pub fn budget(budget: &Value, world: &World) -> Vec<String> {
    let or_not = |field: &str| if budget.has(field) { budget.plain(field) } else { "N/A".to_owned() };
    vec![
        name(budget),
        or_not("spec.minAvailable"),
        or_not("spec.maxUnavailable"),
        budget.int("status.disruptionsAllowed").to_string(),
        age(budget, world),
    ]
}

pub fn autoscaler(autoscaler: &Value, world: &World) -> Vec<String> {
    let target = autoscaler.at("spec.scaleTargetRef");
    let or_unset = |field: &str| if autoscaler.has(field) { autoscaler.plain(field) } else { "<unset>".to_owned() };
    vec![
        name(autoscaler),
        format!("{}/{}", target.text("kind"), target.text("name")),
        metrics(autoscaler.list("spec.metrics"), autoscaler.list("status.currentMetrics")),
        or_unset("spec.minReplicas"),
        autoscaler.int("spec.maxReplicas").to_string(),
        autoscaler.int("status.currentReplicas").to_string(),
        age(autoscaler, world),
    ]
}

/// Two metrics as `cpu: 40%/80%`, and how many more there are.
fn metrics(specs: &[Value], currents: &[Value]) -> String {
    const SHOWN: usize = 2;
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let all: Vec<String> =
        specs.iter().enumerate().map(|(number, spec)| metric(spec, currents.get(number).unwrap_or(&Value::Null))).collect();
    if all.len() <= SHOWN {
        return all.join(", ");
    }
    format!("{} + {} more...", all[..SHOWN].join(", "), all.len() - SHOWN)
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, label) = match spec.text("type") {
        "Resource" => ("resource", format!("{}: ", spec.text("resource.name"))),
        "ContainerResource" => ("containerResource", format!("{}: ", spec.text("containerResource.name"))),
        "Pods" => ("pods", String::new()),
        "Object" => ("object", String::new()),
        "External" => ("external", String::new()),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (spec.at(field).at("target"), status.at(field).at("current"));
    let or_unknown = |value: &Value, unit: &str| if value.is_null() { "<unknown>".to_owned() } else { format!("{}{unit}", plain(value)) };
    if target.has("averageUtilization") {
        let now = or_unknown(current.at("averageUtilization"), "%");
        return format!("{label}{now}/{}%", target.plain("averageUtilization"));
    }
    if target.has("averageValue") {
        let average = if matches!(field, "object" | "external") { " (avg)" } else { "" };
        return format!("{label}{}/{}{average}", or_unknown(current.at("averageValue"), ""), target.plain("averageValue"));
    }
    if target.has("value") {
        return format!("{label}{}/{}", or_unknown(current.at("value"), ""), target.plain("value"));
    }
    format!("{label}<unknown>/<auto>")
}

pub fn quota(quota: &Value, world: &World) -> Vec<String> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in quota.pairs("status.hard") {
        let used = quota.at("status.used").get(resource).map_or_else(|| "0".to_owned(), plain);
        let text = format!("{resource}: {used}/{}", plain(hard));
        if resource.starts_with("limits") { limits.push(text) } else { requests.push(text) }
    }
    vec![name(quota), requests.join(", "), limits.join(", "), age(quota, world)]
}

pub fn priority_class(class: &Value, world: &World) -> Vec<String> {
    let policy = class.text("preemptionPolicy");
    vec![
        name(class),
        class.int("value").to_string(),
        class.flag("globalDefault").to_string(),
        age(class, world),
        if policy.is_empty() { "PreemptLowerPriority" } else { policy }.to_owned(),
    ]
}
