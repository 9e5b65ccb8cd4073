//! The page of a node: its pods and what they ask for are counted from the pods, as kubectl does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::World;
use super::super::age::since;
use super::super::columns::node::roles;
use super::super::columns::pod::is_over;
use super::super::look::{Look, or_none, plain};
use super::{Page, date, line};
use crate::objects::Quantity;

/// Where kubelets keep their leases.
const LEASES: &str = "kube-node-lease";

pub fn node(node: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", node.text("metadata.name"));
    line!(page, 0, "Roles:\t{}", or_none(&roles(node)));
    page.labels_and_annotations(node);
    line!(page, 0, "CreationTimestamp:\t{}", date(node.at("metadata.creationTimestamp")));
    page.several("Taints", taints(node));
    line!(page, 0, "Unschedulable:\t{}", node.flag("spec.unschedulable"));
    lease(node, world, page);
    conditions(node, page);
    page.line(0, "Addresses:");
    for address in node.list("status.addresses") {
        line!(page, 1, "{}:\t{}", address.text("type"), address.text("address"));
    }
    for (title, field) in [("Capacity", "status.capacity"), ("Allocatable", "status.allocatable")] {
        let amounts = node.pairs(field);
        if !amounts.is_empty() {
            line!(page, 0, "{title}:");
        }
        for (resource, amount) in amounts {
            line!(page, 1, "{resource}:\t{}", plain(amount));
        }
    }
    system(node, page);
    pods(node, world, page);
    // The kubelet names a node by its name where others use the uid.
    page.events_of(node, &[node.text("metadata.uid"), node.text("metadata.name")], world);
}

fn taints(node: &Value) -> Vec<String> {
    let mut taints: Vec<&Value> = node.list("spec.taints").iter().collect();
    taints.sort_by_key(|taint| (taint.text("effect"), taint.text("key")));
    let one = |taint: &Value| {
        let value = taint.text("value");
        let value = if value.is_empty() { String::new() } else { format!("={value}") };
        format!("{}{value}:{}", taint.text("key"), taint.text("effect"))
    };
    taints.into_iter().map(one).collect()
}

fn lease(node: &Value, world: &World, page: &mut Page) {
    let lease = world.named("Lease", LEASES, node.text("metadata.name")).unwrap_or(&Value::Null);
    let or_unset = |text: &str| if text.is_empty() { "<unset>".to_owned() } else { text.to_owned() };
    let time = |field: &str| if lease.has(field) { date(lease.at(field)) } else { "<unset>".to_owned() };
    page.line(0, "Lease:");
    line!(page, 1, "HolderIdentity:\t{}", or_unset(lease.text("spec.holderIdentity")));
    line!(page, 1, "AcquireTime:\t{}", time("spec.acquireTime"));
    line!(page, 1, "RenewTime:\t{}", time("spec.renewTime"));
}

fn conditions(node: &Value, page: &mut Page) {
    let conditions = node.list("status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let (heartbeat, transition) = (date(condition.at("lastHeartbeatTime")), date(condition.at("lastTransitionTime")));
        let (kind, status) = (condition.text("type"), condition.text("status"));
        line!(page, 1, "{kind} \t{status} \t{heartbeat} \t{transition} \t{} \t{}", condition.text("reason"), condition.text("message"));
    }
}

fn system(node: &Value, page: &mut Page) {
    page.line(0, "System Info:");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ] {
        line!(page, 1, "{title}:\t{}", node.at("status.nodeInfo").text(field));
    }
    if !node.text("spec.podCIDR").is_empty() {
        line!(page, 0, "PodCIDR:\t{}", node.text("spec.podCIDR"));
    }
    let ranges: Vec<String> = node.list("spec.podCIDRs").iter().map(plain).collect();
    if !ranges.is_empty() {
        line!(page, 0, "PodCIDRs:\t{}", ranges.join(","));
    }
    if !node.text("spec.providerID").is_empty() {
        line!(page, 0, "ProviderID:\t{}", node.text("spec.providerID"));
    }
}

/// Amounts by resource.
type Amounts = BTreeMap<String, Quantity>;

fn pods(node: &Value, world: &World, page: &mut Page) {
    let here = |pod: &&Value| pod.text("spec.nodeName") == node.text("metadata.name") && !is_over(pod);
    let pods: Vec<&Value> = world.kind("Pod", "").filter(here).collect();
    let allocatable =
        amounts(if node.pairs("status.allocatable").is_empty() { node.at("status.capacity") } else { node.at("status.allocatable") });
    line!(page, 0, "Non-terminated Pods:\t({} in total)", pods.len());
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for pod in pods {
        let (asked, capped) = (effective(pod, "requests"), effective(pod, "limits"));
        let share = |amounts: &Amounts, resource: &str| {
            let amount = amounts.get(resource).copied().unwrap_or_default();
            format!("{amount} ({}%)", percent(amount, allocatable.get(resource).copied().unwrap_or_default()))
        };
        let (namespace, name) = (pod.text("metadata.namespace"), pod.text("metadata.name"));
        let cells = [share(&asked, "cpu"), share(&capped, "cpu"), share(&asked, "memory"), share(&capped, "memory")].join("\t");
        let age = since(pod.at("metadata.creationTimestamp"), world.now, "<unknown>");
        line!(page, 1, "{namespace}\t{name}\t\t{cells}\t{age}");
        add(&mut requests, &asked);
        add(&mut limits, &capped);
    }
    allocated(page, &allocatable, &requests, &limits);
}

fn allocated(page: &mut Page, allocatable: &Amounts, requests: &Amounts, limits: &Amounts) {
    page.line(0, "Allocated resources:");
    page.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line(1, "Resource\tRequests\tLimits");
    page.line(1, "--------\t--------\t------");
    const SHARED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let amount = |amounts: &Amounts, resource: &str| amounts.get(resource).copied().unwrap_or_default();
    let share = |amounts: &Amounts, resource: &str| {
        let used = amount(amounts, resource);
        format!("{used} ({}%)", percent(used, amount(allocatable, resource)))
    };
    let huge = allocatable.keys().map(String::as_str).filter(|resource| resource.starts_with("hugepages-"));
    for resource in SHARED.into_iter().chain(huge) {
        line!(page, 1, "{resource}\t{}\t{}", share(requests, resource), share(limits, resource));
    }
    // Devices and other extended resources have no share.
    let others = allocatable.keys().filter(|resource| !SHARED.contains(&resource.as_str()) && !resource.starts_with("hugepages-"));
    for resource in others.filter(|resource| *resource != "pods") {
        line!(page, 1, "{resource}\t{}\t{}", amount(requests, resource), amount(limits, resource));
    }
}

/// Whole percent, cut; 0 of nothing.
fn percent(part: Quantity, whole: Quantity) -> i128 {
    let (part, whole) = (i128::from(part.milli_value()), i128::from(whole.milli_value()));
    if whole == 0 { 0 } else { part * 100 / whole }
}

fn amounts(map: &Value) -> Amounts {
    let parse = |(resource, amount): (&str, &Value)| Some((resource.to_owned(), Quantity::parse(&plain(amount))?));
    map.pairs("").into_iter().filter_map(parse).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let total = sum.entry(resource.clone()).or_default();
        *total = total.saturating_add(*amount);
    }
}

/// What a pod counts for: its containers and sidecars together, or an init container with the sidecars before it if that is more; and
/// the overhead (`resource.PodRequests`).
fn effective(pod: &Value, side: &str) -> Amounts {
    let of = |container: &Value| amounts(container.at("resources").at(side));
    let mut all = Amounts::new();
    pod.list("spec.containers").iter().for_each(|container| add(&mut all, &of(container)));
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in pod.list("spec.initContainers") {
        let mut now = sidecars.clone();
        add(&mut now, &of(container));
        if container.text("restartPolicy") == "Always" {
            add(&mut all, &of(container));
            sidecars = now.clone();
        }
        raise(&mut peak, &now);
    }
    raise(&mut all, &peak);
    let mut overhead = amounts(pod.at("spec.overhead"));
    // A pod without a limit does not get one by its overhead.
    overhead.retain(|resource, _| side == "requests" || all.contains_key(resource));
    add(&mut all, &overhead);
    all
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (resource, amount) in at_least {
        let present = to.entry(resource.clone()).or_insert(*amount);
        if *present < *amount {
            *present = *amount;
        }
    }
}
