//! The page of a HorizontalPodAutoscaler.

use serde_json::Value;

use super::super::World;
use super::super::look::Look;
use super::{Page, date, line};

pub fn autoscaler(autoscaler: &Value, world: &World, page: &mut Page) {
    let (spec, status) = (autoscaler.at("spec"), autoscaler.at("status"));
    let target = spec.at("scaleTargetRef");
    line!(page, 0, "Name:\t{}", autoscaler.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", autoscaler.text("metadata.namespace"));
    page.labels_and_annotations(autoscaler);
    line!(page, 0, "CreationTimestamp:\t{}", date(autoscaler.at("metadata.creationTimestamp")));
    line!(page, 0, "Reference:\t{}/{}", target.text("kind"), target.text("name"));
    page.line(0, "Metrics:\t( current / target )");
    for (number, metric) in spec.list("metrics").iter().enumerate() {
        page.line(1, &row(metric, status.list("currentMetrics").get(number).unwrap_or(&Value::Null)));
    }
    let least = if spec.has("minReplicas") { spec.plain("minReplicas") } else { "<unset>".to_owned() };
    line!(page, 0, "Min replicas:\t{least}");
    line!(page, 0, "Max replicas:\t{}", spec.int("maxReplicas"));
    if spec.has("behavior") {
        page.line(0, "Behavior:");
        behaviour(page, "Scale Up", spec.at("behavior.scaleUp"));
        behaviour(page, "Scale Down", spec.at("behavior.scaleDown"));
    }
    let (current, desired) = (status.int("currentReplicas"), status.int("desiredReplicas"));
    line!(page, 0, "{} pods:\t{current} current / {desired} desired", target.text("kind"));
    conditions(autoscaler, page);
    page.events(autoscaler, world);
}

fn row(metric: &Value, status: &Value) -> String {
    let (field, what) = match metric.text("type") {
        "Resource" => ("resource", format!("resource {} on pods", metric.text("resource.name"))),
        "ContainerResource" => {
            let of = metric.at("containerResource");
            ("containerResource", format!("resource {} of container \"{}\" on pods", of.text("name"), of.text("container")))
        }
        "Pods" => ("pods", format!("\"{}\" on pods", metric.text("pods.metric.name"))),
        "Object" => {
            let of = metric.at("object.describedObject");
            ("object", format!("\"{}\" on {}/{}", metric.text("object.metric.name"), of.text("kind"), of.text("name")))
        }
        "External" => ("external", format!("\"{}\"", metric.text("external.metric.name"))),
        other => return format!("<unknown metric type \"{other}\">"),
    };
    let (target, current) = (metric.at(field).at("target"), status.at(field).at("current"));
    let or_unknown = |value: String| if value.is_empty() { "<unknown>".to_owned() } else { value };
    if target.has("averageUtilization") {
        let now = match current.has("averageUtilization") {
            true => format!("{}% ({})", current.plain("averageUtilization"), current.plain("averageValue")),
            false => "<unknown>".to_owned(),
        };
        return format!("{what}  (as a percentage of request):\t{now} / {}%", target.plain("averageUtilization"));
    }
    let (kind, amount) = if target.has("averageValue") { ("target average value", "averageValue") } else { ("target value", "value") };
    let kind = if matches!(field, "object" | "external") { format!(" ({kind})") } else { String::new() };
    format!("{what}{kind}:\t{} / {}", or_unknown(current.plain(amount)), target.plain(amount))
}

fn behaviour(page: &mut Page, direction: &str, rules: &Value) {
    if rules.is_null() {
        return;
    }
    line!(page, 1, "{direction}:");
    if rules.has("stabilizationWindowSeconds") {
        line!(page, 2, "Stabilization Window: {} seconds", rules.int("stabilizationWindowSeconds"));
    }
    let policies = rules.list("policies");
    if policies.is_empty() {
        return;
    }
    let select = if rules.has("selectPolicy") { rules.text("selectPolicy") } else { "Max" };
    line!(page, 2, "Select Policy: {select}");
    page.line(2, "Policies:");
    for policy in policies {
        let (kind, value, period) = (policy.text("type"), policy.int("value"), policy.int("periodSeconds"));
        line!(page, 3, "- Type: {kind}\tValue: {value}\tPeriod: {period} seconds");
    }
}

fn conditions(autoscaler: &Value, page: &mut Page) {
    let conditions = autoscaler.list("status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tReason\tMessage");
    page.line(1, "----\t------\t------\t-------");
    for condition in conditions {
        let (kind, status) = (condition.text("type"), condition.text("status"));
        line!(page, 1, "{kind}\t{status}\t{}\t{}", condition.text("reason"), condition.text("message"));
    }
}
