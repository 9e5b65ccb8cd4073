//! What the API server fills in where a manifest is silent (k/k `pkg/apis/{core,apps,scheduling,storage}/v1/defaults.go`). All of it is idempotent:
//! an object that went through once is not changed again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::Name;
use crate::objects::pod::{ContainerPort, PullPolicy, RestartPolicy};
use crate::objects::scheduling::PreemptionPolicy;
use crate::objects::volume::{BindingMode, ClaimPhase, ReclaimPolicy, VolumeMode, VolumePhase};
use crate::objects::workload::{DeploymentStrategy, IntOrString, RollingUpdate, StrategyKind};
use crate::objects::{Container, Object, PodSpec, Probe, Quantity, Resources, Rest, Service};

/// Fills in an object's defaults, except those of pod specs and templates, which are shared and go through [`pod_spec`] once.
pub fn object(object: &mut Object) {
    match object {
        Object::Deployment(deployment) => {
            let spec = &mut deployment.spec;
            spec.replicas.get_or_insert(1);
            spec.revision_history_limit.get_or_insert(10);
            spec.progress_deadline_seconds.get_or_insert(600);
            strategy(&mut spec.strategy);
        }
        Object::ReplicaSet(set) => {
            set.spec.replicas.get_or_insert(1);
        }
        Object::Service(it) => service(it),
        Object::Node(node) => {
            if node.status.allocatable.is_empty() {
                node.status.allocatable = node.status.capacity.clone();
            }
        }
        Object::PriorityClass(class) => {
            class.preemption_policy.get_or_insert(PreemptionPolicy::PreemptLowerPriority);
        }
        Object::StorageClass(class) => {
            class.reclaim_policy.get_or_insert(ReclaimPolicy::Delete);
            class.volume_binding_mode.get_or_insert(BindingMode::Immediate);
        }
        Object::PersistentVolume(volume) => {
            volume.spec.persistent_volume_reclaim_policy.get_or_insert(ReclaimPolicy::Retain);
            volume.spec.volume_mode.get_or_insert(VolumeMode::Filesystem);
            volume.status.phase.get_or_insert(VolumePhase::Pending);
        }
        Object::PersistentVolumeClaim(claim) => {
            claim.spec.volume_mode.get_or_insert(VolumeMode::Filesystem);
            claim.status.phase.get_or_insert(ClaimPhase::Pending);
        }
        Object::CsiDriver(driver) => {
            driver.spec.attach_required.get_or_insert(true);
            driver.spec.storage_capacity.get_or_insert(false);
        }
        Object::Namespace(_)
        | Object::Lease(_)
        | Object::EndpointSlice(_)
        | Object::Pod(_)
        | Object::PodDisruptionBudget(_)
        | Object::CsiNode(_)
        | Object::CsiStorageCapacity(_)
        | Object::VolumeAttachment(_) => {}
    }
}

/// 25 % and 25 % (k/k `pkg/apis/apps/v1/defaults.go`).
fn strategy(strategy: &mut DeploymentStrategy) {
    if strategy.kind == StrategyKind::RollingUpdate {
        let rolling = strategy.rolling_update.get_or_insert_with(RollingUpdate::default);
        let quarter = || IntOrString::String("25%".into());
        rolling.max_surge.get_or_insert_with(quarter);
        rolling.max_unavailable.get_or_insert_with(quarter);
    }
}

fn service(service: &mut Service) {
    let spec = &mut service.spec;
    default_name(&mut spec.kind, "ClusterIP");
    for port in &mut spec.ports {
        default_name(&mut port.protocol, "TCP");
        port.target_port.get_or_insert(IntOrString::Int(i64::from(port.port)));
    }
    default_rest(&mut spec.rest, "sessionAffinity", "None");
    default_rest(&mut spec.rest, "internalTrafficPolicy", "Cluster");
    if matches!(&*spec.kind, "NodePort" | "LoadBalancer") {
        default_rest(&mut spec.rest, "externalTrafficPolicy", "Cluster");
    }
}

/// Fills in a pod's spec (`whole_pod`), or a template's, which leaves requests and service links to the pods.
pub fn pod_spec(spec: &mut PodSpec, whole_pod: bool) {
    spec.restart_policy.get_or_insert(RestartPolicy::Always);
    spec.termination_grace_period_seconds.get_or_insert(30);
    default_name(&mut spec.scheduler_name, "default-scheduler");
    default_rest(&mut spec.rest, "dnsPolicy", "ClusterFirst");
    spec.rest.default_to("securityContext", || json!({}));
    if whole_pod {
        spec.rest.default_to("enableServiceLinks", || json!(true));
    }
    let host_network = spec.host_network;
    for it in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        container(it, host_network, whole_pod);
    }
    round_up(&mut spec.overhead);
    if let Some(it) = &mut spec.resources {
        resources(it, whole_pod);
    }
}

fn container(container: &mut Container, host_network: bool, whole_pod: bool) {
    container.image_pull_policy.get_or_insert(if pulls_always(&container.image) { PullPolicy::Always } else { PullPolicy::IfNotPresent });
    default_rest(&mut container.rest, "terminationMessagePath", "/dev/termination-log");
    default_rest(&mut container.rest, "terminationMessagePolicy", "File");
    for ContainerPort { container_port, host_port, protocol, .. } in &mut container.ports {
        default_name(protocol, "TCP");
        if host_network {
            host_port.get_or_insert(*container_port);
        }
    }
    for it in [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe].into_iter().flatten() {
        probe(it);
    }
    resources(&mut container.resources, whole_pod);
}

/// A missing tag means `latest`; a digest never does.
fn pulls_always(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(probe: &mut Probe) {
    probe.timeout_seconds.get_or_insert(1);
    probe.period_seconds.get_or_insert(10);
    probe.success_threshold.get_or_insert(1);
    probe.failure_threshold.get_or_insert(3);
    if let Some(http) = &mut probe.http_get {
        default_rest(http, "path", "/");
        default_rest(http, "scheme", "HTTP");
    }
    if let Some(grpc) = &mut probe.grpc {
        default_rest(grpc, "service", "");
    }
}

/// Lists are rounded up to thousandths; in a pod a limit without a request is also the request.
fn resources(resources: &mut Resources, whole_pod: bool) {
    round_up(&mut resources.limits);
    round_up(&mut resources.requests);
    if whole_pod {
        for (name, limit) in &resources.limits {
            resources.requests.entry(name.clone()).or_insert(*limit);
        }
    }
}

fn round_up(list: &mut BTreeMap<Name, Quantity>) {
    for amount in list.values_mut() {
        *amount = amount.round_up_to_milli();
    }
}

fn default_name(name: &mut Name, default: &str) {
    if name.is_empty() {
        *name = Name::new(default);
    }
}

fn default_rest(rest: &mut Rest, key: &str, default: &str) {
    rest.default_to(key, || default.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Deployment, Pod};

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).expect("a pod spec")
    }

    #[test]
    fn an_image_without_a_tag_is_pulled_always() {
        for (image, always) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.27", false),
            ("registry.local:5000/nginx", true),
            ("registry.local:5000/nginx:1", false),
            ("nginx@sha256:abc", false),
        ] {
            assert_eq!(pulls_always(image), always, "{image}");
        }
    }

    #[test]
    fn a_limit_without_a_request_is_the_request_in_a_pod_but_not_in_a_template() {
        let manifest = json!({"containers": [{"name": "a", "image": "x:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}}]});
        let mut pod = spec(manifest.clone());
        pod_spec(&mut pod, true);
        let requests = &pod.containers[0].resources.requests;
        assert_eq!((requests["cpu"].milli_value(), requests["memory"].value()), (100, 1 << 30));
        let mut template = spec(manifest);
        pod_spec(&mut template, false);
        assert!(!template.containers[0].resources.requests.contains_key("memory"));
    }

    #[test]
    fn defaults_are_idempotent() {
        let manifest = json!({"hostNetwork": true, "containers": [{"name": "a", "image": "x", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}}}]});
        let mut once = spec(manifest);
        pod_spec(&mut once, true);
        let container = &once.containers[0];
        assert_eq!(container.ports[0].host_port, Some(80));
        assert_eq!(container.readiness_probe.as_ref().unwrap().period_seconds, Some(10));
        assert_eq!((once.restart_policy, once.termination_grace_period_seconds), (Some(RestartPolicy::Always), Some(30)));
        let mut twice = once.clone();
        pod_spec(&mut twice, true);
        assert_eq!(once, twice);
    }

    #[test]
    fn a_deployment_rolls_by_a_quarter() {
        let mut deployment = Object::from(Deployment::default());
        object(&mut deployment);
        let spec = &deployment.as_deployment().unwrap().spec;
        assert_eq!((spec.replicas, spec.progress_deadline_seconds, spec.revision_history_limit), (Some(1), Some(600), Some(10)));
        assert_eq!(spec.strategy.rolling_update.as_ref().unwrap().max_surge, Some(IntOrString::String("25%".into())));
        let mut pod = Object::from(Pod::default());
        object(&mut pod);
        assert_eq!(pod, Object::from(Pod::default()));
    }
}
