//! Pods.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::{Condition, Conditions};
use super::key::{Key, Kind};
use super::meta::{Labels, Meta, is_false};
use super::quantity::Quantity;
use super::scheduling::{Affinity, PreemptionPolicy, Toleration, TopologySpreadConstraint};
use super::shared::{List, Rest, Shared, Text};
use super::volume::PersistentVolumeClaimSpec;
use crate::base::{Name, Time};

/// A pod. The spec is shared by all pods of a template; `node` (`spec.nodeName`) is the only part of the spec that binding sets.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pod {
    pub meta: Meta,
    pub spec: Shared<PodSpec>,
    /// `spec.nodeName`: set once, by binding.
    pub node: Option<Name>,
    pub status: PodStatus,
}

/// What a workload makes pods from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    #[serde(rename = "metadata")]
    pub meta: TemplateMeta,
    pub spec: Shared<PodSpec>,
}

/// The metadata of a template: labels and annotations for its pods.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    #[serde(skip_serializing_if = "super::meta::no_labels")]
    pub labels: Shared<Labels>,
    #[serde(skip_serializing_if = "super::meta::no_labels")]
    pub annotations: Shared<Labels>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub priority_class_name: Name,
    /// Resolved at admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preemption_policy: Option<PreemptionPolicy>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub scheduler_name: Name,
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overhead: BTreeMap<Name, Quantity>,
    /// Pod-level resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scheduling_gates: Vec<SchedulingGate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// One of a pod's volumes. Those that use a claim are modelled; any other is there at once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimVolume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolume>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimVolume {
    pub claim_name: Name,
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// A claim that comes and goes with its pod.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralVolume {
    pub volume_claim_template: ClaimTemplate,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimTemplate {
    #[serde(rename = "metadata")]
    pub meta: TemplateMeta,
    pub spec: PersistentVolumeClaimSpec,
}

/// The claim behind a volume of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsedClaim<'a> {
    /// The volume's name in the pod.
    pub volume: &'a Name,
    pub name: Name,
    pub ephemeral: bool,
}

impl Pod {
    /// The claims that its volumes use, in order (component-helpers `storage/ephemeral`: the name of one that is made for the pod).
    pub fn claims(&self) -> impl Iterator<Item = UsedClaim<'_>> {
        self.spec.volumes.iter().filter_map(|volume| {
            let (name, ephemeral) = match (&volume.persistent_volume_claim, &volume.ephemeral) {
                (Some(claim), _) => (claim.claim_name.clone(), false),
                (None, Some(_)) => (Name::from(format!("{}-{}", self.meta.name, volume.name)), true),
                (None, None) => return None,
            };
            Some(UsedClaim { volume: &volume.name, name, ephemeral })
        })
    }
    /// The key of a claim of its namespace.
    pub fn claim_key(&self, name: &str) -> Key {
        Key::new(Kind::PersistentVolumeClaim, &self.meta.namespace, name)
    }
}

impl PodSpec {
    /// Whether some volume uses a claim.
    pub fn uses_claims(&self) -> bool {
        self.volumes.iter().any(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some())
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SchedulingGate {
    pub name: Name,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: Name,
    pub image: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// `Always` makes an init container a sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<Name, Quantity>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Name, Quantity>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub name: Name,
    pub container_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    #[serde(rename = "hostIP", skip_serializing_if = "super::meta::empty")]
    pub host_ip: Name,
    /// Absent means TCP.
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub protocol: Name,
}

/// A probe. Exactly one handler is set; what it finds is decided by the container's behaviour, not by the handler's text.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Rest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<Rest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<Rest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Rest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<Hook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_start: Option<Hook>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep: Option<SleepAction>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SleepAction {
    pub seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Phase,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: List<Condition>,
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<PodIp>,
    #[serde(rename = "hostIP", skip_serializing_if = "super::meta::empty")]
    pub host_ip: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: List<ContainerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub nominated_node_name: Name,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub qos_class: Text,
    #[serde(flatten)]
    pub rest: Rest,
}

/// A pod's IPv4 address, as a number: pods have an address each, and traffic and endpoints name them by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodIp(pub u32);

impl std::fmt::Display for PodIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::Ipv4Addr::from(self.0).fmt(f)
    }
}
impl std::fmt::Debug for PodIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
impl Serialize for PodIp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u32(self.0) }
    }
}
impl<'de> Deserialize<'de> for PodIp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PodIp, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse::<std::net::Ipv4Addr>().map(|ip| PodIp(ip.into())).map_err(serde::de::Error::custom)
        } else {
            u32::deserialize(deserializer).map(PodIp)
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub name: Name,
    pub state: ContainerState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_state: Option<ContainerState>,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    pub restart_count: u32,
    pub image: Name,
    #[serde(rename = "imageID")]
    pub image_id: Name,
    #[serde(rename = "containerID", skip_serializing_if = "super::meta::empty")]
    pub container_id: Name,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ContainerState {
    Waiting {
        #[serde(default)]
        reason: Text,
        #[serde(default, skip_serializing_if = "str::is_empty")]
        message: Text,
    },
    Running {
        started_at: Time,
    },
    Terminated {
        exit_code: i32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        #[serde(default, skip_serializing_if = "str::is_empty")]
        reason: Text,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<Time>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finished_at: Option<Time>,
    },
}

impl Default for ContainerState {
    fn default() -> ContainerState {
        ContainerState::Waiting { reason: "ContainerCreating".into(), message: "".into() }
    }
}

impl Container {
    /// An init container with `restartPolicy: Always`.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}

/// A named amount of each resource, exact.
pub type ResourceList = BTreeMap<Name, Quantity>;

fn add(total: &mut ResourceList, more: &ResourceList) {
    for (name, amount) in more {
        let sum = total.get(name).copied().unwrap_or_default().saturating_add(*amount);
        total.insert(name.clone(), sum);
    }
}
fn raise(total: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let most = total.get(name).copied().unwrap_or_default().max(*amount);
        total.insert(name.clone(), most);
    }
}

impl PodSpec {
    /// The effective request: max(sum of apps and sidecars, peak of the init phase), replaced by pod-level requests where given, plus
    /// overhead (k8s.io/component-helpers `resource/helpers.go`).
    pub fn requests(&self) -> ResourceList {
        self.requests_with(|container| container.resources.requests.clone())
    }
    /// The same over another reading of each container's request (the scheduler's "non-zero" variant, say).
    pub fn requests_with(&self, request: impl Fn(&Container) -> ResourceList) -> ResourceList {
        let mut app = ResourceList::new();
        for container in &self.containers {
            add(&mut app, &request(container));
        }
        let (mut sidecars, mut peak) = (ResourceList::new(), ResourceList::new());
        for container in &self.init_containers {
            let amount = request(container);
            if container.is_sidecar() {
                add(&mut app, &amount);
                add(&mut sidecars, &amount);
                raise(&mut peak, &sidecars);
            } else {
                let mut with_sidecars = amount;
                add(&mut with_sidecars, &sidecars);
                raise(&mut peak, &with_sidecars);
            }
        }
        raise(&mut app, &peak);
        if let Some(pod_level) = &self.resources {
            for (name, amount) in &pod_level.requests {
                if matches!(&**name, "cpu" | "memory") || name.starts_with("hugepages-") {
                    app.insert(name.clone(), *amount);
                }
            }
        }
        add(&mut app, &self.overhead);
        app
    }
    /// Seconds; 30 unless the manifest says otherwise.
    pub fn grace_period_seconds(&self) -> u64 {
        self.termination_grace_period_seconds.unwrap_or(30)
    }
    pub fn restart_policy(&self) -> RestartPolicy {
        self.restart_policy.unwrap_or_default()
    }
}

impl Pod {
    pub fn is_ready(&self) -> bool {
        self.status.conditions.is_true("Ready")
    }
    /// Neither terminal nor marked for deletion: what a ReplicaSet counts (`controller.IsPodActive`).
    pub fn is_active(&self) -> bool {
        !self.status.phase.is_terminal() && !self.meta.is_deleting()
    }
    /// Ready for at least `min_ready_seconds`, counted from the transition time, which has whole seconds (`podutil.IsPodAvailable`).
    pub fn is_available(&self, min_ready_seconds: u64, now: Time) -> bool {
        let Some(ready) = self.status.conditions.get("Ready").filter(|_| self.is_ready()) else { return false };
        min_ready_seconds == 0
            || ready.last_transition_time.is_some_and(|since| since + crate::base::Duration::from_secs(min_ready_seconds) < now)
    }
}
