//! What the API server refuses: names, labels, required fields, ranges, immutable fields (k/k
//! `pkg/apis/{core,apps,scheduling,discovery}/validation`, apimachinery `util/validation`). The words are the server's own, as recorded.
//!
//! What the types already exclude (a negative count, a port of 70000, an unknown enum value) is refused when a manifest is read.

use serde_json::json;

use super::disruption::PodDisruptionBudget;
use super::meta::{Labels, Meta};
use super::node::Node;
use super::pod::{Container, Pod, PodSpec, PodTemplate, Resources, RestartPolicy};
use super::scheduling::{PriorityClass, Toleration};
use super::selector::LabelSelector;
use super::service::{EndpointSlice, Service};
use super::shared::Shared;
use super::workload::{DeploymentStrategy, IntOrPercent, IntOrString, StrategyKind};
use super::{Kind, Object};

mod volumes;

/// One violation: where, and what is wrong, in the API server's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// `spec.containers[0].name`
    pub path: String,
    /// `Required value`
    pub message: String,
}

impl Violation {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Violation {
        Violation { path: path.into(), message: message.into() }
    }
    fn required(path: impl Into<String>) -> Violation {
        Violation::new(path, "Required value")
    }
    /// `value` is printed as JSON: texts in quotes, numbers bare.
    fn invalid(path: impl Into<String>, value: impl Into<serde_json::Value>, why: &str) -> Violation {
        Violation::new(path, format!("Invalid value: {}: {why}", value.into()))
    }
    fn unsupported(path: impl Into<String>, value: &str, supported: &[&str]) -> Violation {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        Violation::new(path, format!("Unsupported value: \"{value}\": supported values: {}", supported.join(", ")))
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The message of a 422: `Deployment.apps "web" is invalid: spec.selector: Required value`; several are bracketed.
pub fn message(kind: Kind, name: &str, violations: &[Violation]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for violation in violations {
        let text = violation.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let all = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
    format!("{} \"{name}\" is invalid: {all}", kind.qualified_name())
}

/// All violations of a new object, after defaults. Empty if it is valid.
pub fn validate(object: &Object) -> Vec<Violation> {
    let mut violations = validate_but_pod_spec(object);
    violations.extend(match object {
        Object::Pod(pod) => validate_pod_spec(&pod.spec, "spec"),
        Object::Deployment(deployment) => validate_pod_spec(&deployment.spec.template.spec, "spec.template.spec"),
        Object::ReplicaSet(set) => validate_pod_spec(&set.spec.template.spec, "spec.template.spec"),
        _ => Vec::new(),
    });
    violations
}

/// [`validate`] without the pod spec, which many objects share and which is validated once ([`validate_pod_spec`]).
pub fn validate_but_pod_spec(object: &Object) -> Vec<Violation> {
    let mut found = Vec::new();
    metadata(object.kind(), object.meta(), &mut found);
    match object {
        Object::Deployment(deployment) => {
            workload(&deployment.spec.selector, &deployment.spec.template, &mut found);
            rolling_update(&deployment.spec.strategy, &mut found);
            if let (Some(deadline), ready) = (deployment.spec.progress_deadline_seconds, deployment.spec.min_ready_seconds)
                && deadline <= ready
            {
                found.push(Violation::invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
            }
        }
        Object::ReplicaSet(set) => workload(&set.spec.selector, &set.spec.template, &mut found),
        Object::Service(it) => service(it, &mut found),
        Object::EndpointSlice(slice) => endpoint_slice(slice, &mut found),
        Object::Node(node) => taints(node, &mut found),
        Object::PriorityClass(class) => priority_class(class, &mut found),
        Object::PodDisruptionBudget(budget) => disruption_budget(budget, &mut found),
        Object::PersistentVolume(it) => volumes::volume(it, &mut found),
        Object::PersistentVolumeClaim(claim) => volumes::claim(claim, &mut found),
        Object::StorageClass(class) => volumes::class(class, &mut found),
        Object::Namespace(_)
        | Object::Lease(_)
        | Object::Pod(_)
        | Object::CsiNode(_)
        | Object::CsiDriver(_)
        | Object::CsiStorageCapacity(_)
        | Object::VolumeAttachment(_) => {}
    }
    found
}

/// All violations of a change from `old` to `new`: those of `new` by itself, and changes of what may not change.
pub fn validate_update(old: &Object, new: &Object) -> Vec<Violation> {
    let mut found = Vec::new();
    let shares_spec = match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => old.spec == new.spec,
        (Object::Deployment(old), Object::Deployment(new)) => old.spec.template.spec == new.spec.template.spec,
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => old.spec.template.spec == new.spec.template.spec,
        _ => true,
    };
    // A spec that was valid is valid: it need not be looked at again.
    found.extend(if shares_spec { validate_but_pod_spec(new) } else { validate(new) });
    if old.meta().is_deleting() {
        let added: Vec<&str> =
            new.meta().finalizers.iter().filter(|it| !old.meta().finalizers.contains(it)).map(|it| it.as_str()).collect();
        if !added.is_empty() {
            let why = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string";
            found.push(Violation::new("metadata.finalizers", format!("{why}{{\"{}\"}}", added.join("\", \""))));
        }
    }
    match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => pod_update(old, new, &mut found),
        (Object::Deployment(old), Object::Deployment(new)) => immutable_selector(&old.spec.selector, &new.spec.selector, &mut found),
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => immutable_selector(&old.spec.selector, &new.spec.selector, &mut found),
        (Object::Service(old), Object::Service(new)) => {
            let (before, after) = (&old.spec.cluster_ip, &new.spec.cluster_ip);
            if !before.is_empty() && before != after && new.spec.kind != "ExternalName" {
                found.push(Violation::invalid("spec.clusterIPs[0]", json!([after]), "may not change once set"));
            }
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) => volumes::volume_update(old, new, &mut found),
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) => volumes::claim_update(old, new, &mut found),
        (Object::StorageClass(old), Object::StorageClass(new)) => volumes::class_update(old, new, &mut found),
        (Object::PriorityClass(old), Object::PriorityClass(new)) if old.value != new.value => {
            found.push(Violation::new("value", "Forbidden: may not be changed in an update."));
        }
        (Object::EndpointSlice(old), Object::EndpointSlice(new)) if old.address_type != new.address_type => {
            found.push(Violation::invalid("addressType", &*new.address_type, "field is immutable"));
        }
        _ => {}
    }
    found
}

/// All violations of a pod's or a template's spec; `at` is its path.
pub fn validate_pod_spec(spec: &PodSpec, at: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    if spec.containers.is_empty() {
        found.push(Violation::required(format!("{at}.containers")));
    }
    let mut names: Vec<&str> = Vec::new();
    for (list, containers) in [("containers", &spec.containers), ("initContainers", &spec.init_containers)] {
        for (number, container) in containers.iter().enumerate() {
            validate_container(container, &format!("{at}.{list}[{number}]"), &mut found);
            if names.contains(&container.name.as_str()) {
                let message = format!("Duplicate value: \"{}\"", container.name);
                found.push(Violation::new(format!("{at}.{list}[{number}].name"), message));
            }
            names.push(&container.name);
        }
    }
    if at.starts_with("spec.template") && spec.restart_policy() != RestartPolicy::Always {
        let policy = if spec.restart_policy() == RestartPolicy::Never { "Never" } else { "OnFailure" };
        found.push(Violation::unsupported(format!("{at}.restartPolicy"), policy, &["Always"]));
    }
    if spec.active_deadline_seconds == Some(0) {
        found.push(Violation::invalid(format!("{at}.activeDeadlineSeconds"), 0, "must be between 1 and 2147483647, inclusive"));
    }
    labels(&spec.node_selector, &format!("{at}.nodeSelector"), &mut found);
    if let Some(resources) = &spec.resources {
        validate_resources(resources, &format!("{at}.resources"), &mut found);
    }
    for (number, toleration) in spec.tolerations.iter().enumerate() {
        validate_toleration(toleration, &format!("{at}.tolerations[{number}]"), &mut found);
    }
    for (number, constraint) in spec.topology_spread_constraints.iter().enumerate() {
        let at = format!("{at}.topologySpreadConstraints[{number}]");
        if constraint.max_skew <= 0 {
            found.push(Violation::invalid(format!("{at}.maxSkew"), constraint.max_skew, "must be greater than zero"));
        }
        if constraint.topology_key.is_empty() {
            found.push(Violation::new(format!("{at}.topologyKey"), "Required value: can not be empty"));
        }
    }
    volumes::of_pod(spec, at, &mut found);
    found
}

fn validate_container(container: &Container, at: &str, found: &mut Vec<Violation>) {
    if container.image.is_empty() {
        found.push(Violation::required(format!("{at}.image")));
    }
    if container.name.is_empty() {
        found.push(Violation::required(format!("{at}.name")));
    } else if let Some(why) = dns_label(&container.name) {
        found.push(Violation::invalid(format!("{at}.name"), &*container.name, &why));
    }
    let mut names: Vec<&str> = Vec::new();
    for (number, port) in container.ports.iter().enumerate() {
        let at = format!("{at}.ports[{number}]");
        if port.container_port == 0 {
            found.push(Violation::required(format!("{at}.containerPort")));
        }
        if port.host_port == Some(0) {
            found.push(Violation::invalid(format!("{at}.hostPort"), 0, PORT_RANGE));
        }
        if !port.name.is_empty() {
            if names.contains(&port.name.as_str()) {
                found.push(Violation::new(format!("{at}.name"), format!("Duplicate value: \"{}\"", port.name)));
            }
            names.push(&port.name);
        }
        if !matches!(&*port.protocol, "" | "TCP" | "UDP" | "SCTP") {
            found.push(Violation::unsupported(format!("{at}.protocol"), &port.protocol, &["SCTP", "TCP", "UDP"]));
        }
    }
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (name, probe) in probes {
        let Some(probe) = probe else { continue };
        let handlers = [&probe.exec, &probe.http_get, &probe.tcp_socket, &probe.grpc].into_iter().flatten().count();
        if handlers == 0 {
            found.push(Violation::new(format!("{at}.{name}"), "Required value: must specify a handler type"));
        } else if handlers > 1 {
            found.push(Violation::new(format!("{at}.{name}"), "Forbidden: may not specify more than 1 handler type"));
        }
        if name != "readinessProbe" && probe.success_threshold.is_some_and(|successes| successes != 1) {
            let successes = probe.success_threshold.unwrap_or_default();
            found.push(Violation::invalid(format!("{at}.{name}.successThreshold"), successes, "must be 1"));
        }
    }
    validate_resources(&container.resources, &format!("{at}.resources"), found);
}

fn validate_resources(resources: &Resources, at: &str, found: &mut Vec<Violation>) {
    for (list, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, amount) in amounts {
            if amount.is_negative() {
                let why = "must be greater than or equal to 0";
                found.push(Violation::invalid(format!("{at}.{list}[{name}]"), amount.to_string(), why));
            }
        }
    }
    for (name, request) in &resources.requests {
        if let Some(limit) = resources.limits.get(name)
            && request > limit
        {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            found.push(Violation::invalid(format!("{at}.requests"), request.to_string(), &why));
        }
    }
}

fn validate_toleration(toleration: &Toleration, at: &str, found: &mut Vec<Violation>) {
    use super::node::TaintEffect;
    use super::scheduling::TolerationOperator;
    if !toleration.key.is_empty() {
        if let Some(why) = qualified_name(&toleration.key) {
            found.push(Violation::invalid(format!("{at}.key"), &*toleration.key, &why));
        }
    } else if toleration.operator != Some(TolerationOperator::Exists) {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        found.push(Violation::invalid(format!("{at}.operator"), "Equal", why));
    }
    if toleration.operator == Some(TolerationOperator::Exists) && !toleration.value.is_empty() {
        found.push(Violation::invalid(format!("{at}.operator"), &*toleration.value, "value must be empty when `operator` is 'Exists'"));
    }
    if toleration.toleration_seconds.is_some() && toleration.effect != Some(TaintEffect::NoExecute) {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        let effect = toleration.effect.map_or(String::new(), |effect| format!("{effect:?}"));
        found.push(Violation::invalid(format!("{at}.effect"), effect, why));
    }
}

fn metadata(kind: Kind, meta: &Meta, found: &mut Vec<Violation>) {
    let check = match kind {
        Kind::Namespace => dns_label,
        Kind::Service => dns_1035_label,
        _ => dns_subdomain,
    };
    if meta.name.is_empty() && meta.generate_name.is_empty() {
        found.push(Violation::new("metadata.name", "Required value: name or generateName is required"));
    }
    for (field, name) in [("metadata.generateName", meta.generate_name.trim_end_matches('-')), ("metadata.name", meta.name.as_str())] {
        if !name.is_empty()
            && let Some(why) = check(name)
        {
            found.push(Violation::invalid(field, name, &why));
        }
    }
    if kind.namespaced() && meta.namespace.is_empty() {
        found.push(Violation::required("metadata.namespace"));
    }
    labels(&meta.labels, "metadata.labels", found);
    let size: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    for key in meta.annotations.keys() {
        if let Some(why) = qualified_name(&key.to_lowercase()) {
            found.push(Violation::invalid("metadata.annotations", &**key, &why));
        }
    }
    if size > ANNOTATIONS_MAX {
        found.push(Violation::new("metadata.annotations", format!("Too long: may not be more than {ANNOTATIONS_MAX} bytes")));
    }
}

/// 256 KiB over all keys and values (apimachinery `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_MAX: usize = 262_144;
const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

fn labels(labels: &Labels, at: &str, found: &mut Vec<Violation>) {
    for (key, value) in labels {
        if let Some(why) = qualified_name(key) {
            found.push(Violation::invalid(at, &**key, &why));
        }
        if let Some(why) = label_value(value) {
            found.push(Violation::invalid(at, &**value, &why));
        }
    }
}

/// Deployments and ReplicaSets: a selector, and a template that it selects.
fn workload(selector: &LabelSelector, template: &PodTemplate, found: &mut Vec<Violation>) {
    if selector.is_empty() {
        found.push(Violation::required("spec.selector"));
    }
    if selector.is_empty() || !selector.matches(&template.meta.labels) {
        let why = "`selector` does not match template `labels`";
        found.push(Violation::invalid("spec.template.metadata.labels", json!(&*template.meta.labels), why));
    }
    labels(&template.meta.labels, "spec.template.labels", found);
}

const NOT_A_PERCENTAGE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

fn rolling_update(strategy: &DeploymentStrategy, found: &mut Vec<Violation>) {
    let at = "spec.strategy.rollingUpdate";
    let Some(rolling) = &strategy.rolling_update else { return };
    if strategy.kind == StrategyKind::Recreate {
        found.push(Violation::new(at, "Forbidden: may not be specified when strategy `type` is 'Recreate'"));
        return;
    }
    let mut zeros = 0;
    for (name, amount) in [("maxUnavailable", &rolling.max_unavailable), ("maxSurge", &rolling.max_surge)] {
        let path = format!("{at}.{name}");
        match amount {
            Some(IntOrString::Int(count)) if *count < 0 => {
                found.push(Violation::invalid(path, *count, "must be greater than or equal to 0"));
            }
            Some(amount @ IntOrString::String(text)) => match amount.of(100, false) {
                None => found.push(Violation::invalid(path, &**text, NOT_A_PERCENTAGE)),
                Some(percent) if percent > 100 && name == "maxUnavailable" => {
                    found.push(Violation::invalid(path, &**text, "must not be greater than 100%"));
                }
                Some(percent) => zeros += u32::from(percent == 0),
            },
            Some(IntOrString::Int(count)) => zeros += u32::from(*count == 0),
            None => {}
        }
    }
    if zeros == 2 {
        let value = serde_json::to_value(&rolling.max_unavailable).unwrap_or_default();
        found.push(Violation::invalid(format!("{at}.maxUnavailable"), value, "may not be 0 when `maxSurge` is 0"));
    }
}

fn service(service: &Service, found: &mut Vec<Violation>) {
    let spec = &service.spec;
    let headless = spec.cluster_ip == "None";
    if spec.ports.is_empty() && !headless && spec.kind != "ExternalName" {
        found.push(Violation::required("spec.ports"));
    }
    if !matches!(&*spec.kind, "" | "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        found.push(Violation::unsupported("spec.type", &spec.kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]));
    }
    for (number, port) in spec.ports.iter().enumerate() {
        let at = format!("spec.ports[{number}]");
        if port.name.is_empty() && spec.ports.len() > 1 {
            found.push(Violation::required(format!("{at}.name")));
        } else if !port.name.is_empty()
            && let Some(why) = dns_label(&port.name)
        {
            found.push(Violation::invalid(format!("{at}.name"), &*port.name, &why));
        }
        if spec.ports[..number].iter().any(|other| other.name == port.name && !port.name.is_empty()) {
            found.push(Violation::new(format!("{at}.name"), format!("Duplicate value: \"{}\"", port.name)));
        }
        if port.port == 0 {
            found.push(Violation::invalid(format!("{at}.port"), 0, PORT_RANGE));
        }
        if !matches!(&*port.protocol, "" | "TCP" | "UDP" | "SCTP") {
            found.push(Violation::unsupported(format!("{at}.protocol"), &port.protocol, &["SCTP", "TCP", "UDP"]));
        }
        if let Some(IntOrString::Int(target)) = &port.target_port
            && !(1..=65_535).contains(target)
        {
            found.push(Violation::invalid(format!("{at}.targetPort"), *target, PORT_RANGE));
        }
        if let Some(node_port) = port.rest.get("nodePort").and_then(serde_json::Value::as_u64)
            && node_port != 0
            && !(30_000..=32_767).contains(&node_port)
        {
            let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
            found.push(Violation::invalid(format!("{at}.nodePort"), node_port, why));
        }
    }
    labels(&spec.selector, "spec.selector", found);
    if !matches!(&*spec.cluster_ip, "" | "None") && spec.cluster_ip.parse::<std::net::Ipv4Addr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        found.push(Violation::invalid("spec.clusterIPs[0]", &*spec.cluster_ip, why));
    }
}

fn endpoint_slice(slice: &EndpointSlice, found: &mut Vec<Violation>) {
    if slice.address_type.is_empty() {
        found.push(Violation::required("addressType"));
    } else if !matches!(&*slice.address_type, "IPv4" | "IPv6" | "FQDN") {
        found.push(Violation::unsupported("addressType", &slice.address_type, &["FQDN", "IPv4", "IPv6"]));
    }
    if slice.endpoints.len() > 1000 {
        found.push(Violation::new("endpoints", format!("Too many: {}: must have at most 1000 items", slice.endpoints.len())));
    }
    for (number, endpoint) in slice.endpoints.iter().enumerate() {
        if endpoint.addresses.is_empty() {
            found.push(Violation::new(format!("endpoints[{number}].addresses"), "Required value: must contain at least 1 address"));
        }
    }
}

/// The path is `metadata.taints`, as recorded, although taints are in the spec.
fn taints(node: &Node, found: &mut Vec<Violation>) {
    for (number, taint) in node.spec.taints.iter().enumerate() {
        let at = format!("metadata.taints[{number}]");
        if let Some(why) = qualified_name(&taint.key) {
            found.push(Violation::invalid(format!("{at}.key"), &*taint.key, &why));
        }
        if let Some(why) = label_value(&taint.value) {
            found.push(Violation::invalid(format!("{at}.value"), &*taint.value, &why));
        }
        if node.spec.taints[..number].iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            found.push(Violation::new(at, format!("Duplicate value: \"{}\"", taint.key)));
        }
    }
}

/// Users' classes stay below the system's (k/k `pkg/apis/scheduling/types.go`, HighestUserDefinablePriority).
fn priority_class(class: &PriorityClass, found: &mut Vec<Violation>) {
    if class.meta.name.starts_with("system-") {
        let why = "Forbidden: priority class names with 'system-' prefix are reserved for system use only";
        found.push(Violation::new("metadata.name", why));
    }
    if class.value > 1_000_000_000 {
        let why = "Forbidden: maximum allowed value of a user defined priority is 1000000000";
        found.push(Violation::new("value", why));
    }
}

/// One bound, and a sound one (k/k `pkg/apis/policy/validation/validation.go`).
fn disruption_budget(budget: &PodDisruptionBudget, found: &mut Vec<Violation>) {
    let spec = &budget.spec;
    if let (Some(min), Some(_)) = (&spec.min_available, &spec.max_unavailable) {
        let value = serde_json::to_value(min).unwrap_or_default();
        found.push(Violation::invalid("spec", json!({"minAvailable": value}), "minAvailable and maxUnavailable cannot be both set"));
    }
    let mut amount = |name: &str, amount: &Option<IntOrPercent>| match amount {
        Some(IntOrString::Int(count)) if *count < 0 => {
            found.push(Violation::invalid(format!("spec.{name}"), *count, "must be greater than or equal to 0"));
        }
        Some(amount @ IntOrString::String(text)) => match amount.of(100, false) {
            None => found.push(Violation::invalid(format!("spec.{name}"), &**text, NOT_A_PERCENTAGE)),
            Some(percent) if percent > 100 => {
                found.push(Violation::invalid(format!("spec.{name}"), &**text, "must not be greater than 100%"));
            }
            Some(_) => {}
        },
        _ => {}
    };
    amount("minAvailable", &spec.min_available);
    amount("maxUnavailable", &spec.max_unavailable);
}

fn immutable_selector(old: &Shared<LabelSelector>, new: &Shared<LabelSelector>, found: &mut Vec<Violation>) {
    if old != new {
        found.push(Violation::invalid("spec.selector", json!(&**new), "field is immutable"));
    }
}

/// What may change: images, a deadline that is set or shrinks, more tolerations, fewer gates.
fn pod_update(old: &Pod, new: &Pod, found: &mut Vec<Violation>) {
    if old.spec == new.spec && old.node == new.node {
        return;
    }
    let mut allowed = (*old.spec).clone();
    for (before, after) in [(&mut allowed.containers, &new.spec.containers), (&mut allowed.init_containers, &new.spec.init_containers)] {
        if before.len() != after.len() {
            found.push(Violation::new("spec.containers", "Forbidden: pod updates may not add or remove containers"));
            return;
        }
        for (before, after) in before.iter_mut().zip(after) {
            before.image.clone_from(&after.image);
        }
    }
    match (old.spec.active_deadline_seconds, new.spec.active_deadline_seconds) {
        (None, after) => allowed.active_deadline_seconds = after,
        (Some(before), Some(after)) if after <= before => allowed.active_deadline_seconds = Some(after),
        _ => {}
    }
    if old.spec.tolerations.iter().all(|toleration| new.spec.tolerations.contains(toleration)) {
        allowed.tolerations.clone_from(&new.spec.tolerations);
    }
    if new.spec.scheduling_gates.iter().all(|gate| old.spec.scheduling_gates.contains(gate)) {
        allowed.scheduling_gates.clone_from(&new.spec.scheduling_gates);
    }
    if allowed != *new.spec || old.node != new.node {
        found.push(Violation::new("spec", POD_UPDATE));
    }
}

const POD_UPDATE: &str = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to \
be set to 1 if it was previously negative)";

/// Letters of `inner` with alphanumeric ends.
fn is_word(text: &str, end: impl Fn(char) -> bool, inner: impl Fn(char) -> bool) -> bool {
    text.starts_with(&end) && text.ends_with(&end) && text.chars().all(|c| end(c) || inner(c))
}
fn lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}
fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} bytes"))
}

/// RFC 1123 subdomain: labels joined by dots, at most 253 bytes.
fn dns_subdomain(name: &str) -> Option<String> {
    let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with \
               an alphanumeric character (e.g. 'example.com', regex used for validation is \
               '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let valid = name.split('.').all(|label| is_word(label, lower_alphanumeric, |c| c == '-'));
    too_long(name, 253).or_else(|| (!valid).then(|| why.to_owned()))
}

/// RFC 1123 label: at most 63 bytes.
fn dns_label(name: &str) -> Option<String> {
    let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
               alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    too_long(name, 63).or_else(|| (!is_word(name, lower_alphanumeric, |c| c == '-')).then(|| why.to_owned()))
}

/// RFC 1035 label: as RFC 1123, but it begins with a letter.
fn dns_1035_label(name: &str) -> Option<String> {
    let why = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with \
               an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase()) && is_word(name, lower_alphanumeric, |c| c == '-');
    too_long(name, 63).or_else(|| (!valid).then(|| why.to_owned()))
}

/// A label's key: `prefix/name`, the prefix a subdomain.
fn qualified_name(key: &str) -> Option<String> {
    let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
               (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if prefix.is_empty() {
                return Some("prefix part must be non-empty".to_owned());
            }
            if let Some(why) = dns_subdomain(prefix) {
                return Some(format!("prefix part {why}"));
            }
            name
        }
    };
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    too_long(name, 63).map(|why| format!("name part {why}")).or_else(|| (!is_label_word(name)).then(|| why.to_owned()))
}

/// A label's value: may be empty.
fn label_value(value: &str) -> Option<String> {
    let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
               alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
               '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    too_long(value, 63).or_else(|| (!value.is_empty() && !is_label_word(value)).then(|| why.to_owned()))
}

fn is_label_word(text: &str) -> bool {
    is_word(text, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}
