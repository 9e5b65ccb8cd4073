//! The pages of PodDisruptionBudget, PriorityClass, ResourceQuota and LimitRange.

use serde_json::Value;

use super::super::World;
use super::super::look::{self, Look, plain};
use super::{Page, line};

pub fn budget(budget: &Value, world: &World, page: &mut Page) {
    let (spec, status) = (budget.at("spec"), budget.at("status"));
    line!(page, 0, "Name:\t{}", budget.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", budget.text("metadata.namespace"));
    if spec.has("minAvailable") {
        line!(page, 0, "Min available:\t{}", spec.plain("minAvailable"));
    } else if spec.has("maxUnavailable") {
        line!(page, 0, "Max unavailable:\t{}", spec.plain("maxUnavailable"));
    }
    if spec.has("selector") {
        line!(page, 0, "Selector:\t{}", look::selector(spec.at("selector")));
    } else {
        page.line(0, "Selector:\t<unset>");
    }
    page.line(0, "Status:");
    for (title, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        line!(page, 2, "{title}:\t{}", status.int(field));
    }
    page.events(budget, world);
}

pub fn priority_class(class: &Value, world: &World, page: &mut Page) {
    let policy = class.text("preemptionPolicy");
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    line!(page, 0, "Value:\t{}", class.int("value"));
    line!(page, 0, "GlobalDefault:\t{}", class.flag("globalDefault"));
    line!(page, 0, "PreemptionPolicy:\t{}", if policy.is_empty() { "PreemptLowerPriority" } else { policy });
    line!(page, 0, "Description:\t{}", class.text("description"));
    line!(page, 0, "Annotations:\t{}", look::label_set(class.at("metadata.annotations")));
    page.events(class, world);
}

pub fn quota(quota: &Value, _: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", quota.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", quota.text("metadata.namespace"));
    let mut scopes: Vec<String> = quota.list("spec.scopes").iter().map(plain).collect();
    scopes.sort();
    if !scopes.is_empty() {
        line!(page, 0, "Scopes:\t{}", scopes.join(", "));
    }
    for scope in &scopes {
        let help = match scope.as_str() {
            "Terminating" => {
                "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."
            }
            "NotTerminating" => {
                "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate."
            }
            "BestEffort" => {
                "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."
            }
            "NotBestEffort" => {
                "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."
            }
            _ => continue,
        };
        line!(page, 0, " * {help}");
    }
    page.line(0, "Resource\tUsed\tHard");
    page.line(0, "--------\t----\t----");
    used_and_hard(quota, page, 0);
}

/// The rows of a quota, by resource.
pub fn used_and_hard(quota: &Value, page: &mut Page, level: usize) {
    for (resource, hard) in quota.pairs("status.hard") {
        let used = quota.at("status.used").get(resource).map_or_else(|| "0".to_owned(), plain);
        line!(page, level, "{resource}\t{used}\t{}", plain(hard));
    }
}

pub fn limit_range(range: &Value, _: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", range.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", range.text("metadata.namespace"));
    page.line(0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    page.line(0, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    limits(range, page, "");
}

/// The rows of a limit range: a type and a resource each.
pub fn limits(range: &Value, page: &mut Page, margin: &str) {
    const SIDES: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for item in range.list("spec.limits") {
        let mut resources: Vec<&str> = SIDES.iter().flat_map(|side| item.pairs(side)).map(|(resource, _)| resource).collect();
        resources.sort_unstable();
        resources.dedup();
        for resource in resources {
            let amount = |side: &&str| item.at(side).get(resource).map_or_else(|| "-".to_owned(), plain);
            let amounts: Vec<String> = SIDES.iter().map(amount).collect();
            line!(page, 0, "{margin}{}\t{resource}\t{}", item.text("type"), amounts.join("\t"));
        }
    }
}
