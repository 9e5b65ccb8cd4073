//! The file as it is written: one type an object of the JSON, nothing resolved. The doc comments are the descriptions of the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::file_etcd::*;
pub use super::file_faults::*;
pub use super::file_play::*;
use super::file_scheduler::SchedulerSettings;
pub use super::file_trace::*;
use super::timings::Timings;
use super::units::{Amount, Bandwidth, Bytes, Instant, Probability, Span};

/// A scenario: a cluster, what runs on it, what happens to it, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Where editors find the schema of this file.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// The version of this format: 1.
    pub version: u64,
    /// A short name, as in a file's name: lower-case letters, digits and dashes.
    pub name: String,
    /// What the scenario shows, for people.
    #[serde(default)]
    pub description: String,
    /// The seed of all chance, unless the command line gives one. Default 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// The instant at which the run begins, as its time stamps show. Default 2020-01-01T00:00:00Z.
    #[serde(default)]
    pub start_time: Option<Instant>,
    /// How long the run is. Only a trace without a cluster has none.
    #[serde(default)]
    pub duration: Option<Span>,
    /// The machines and everything that belongs to them. Only a trace that the scheduler places alone has none.
    #[serde(default)]
    pub cluster: Option<Cluster>,
    /// Pods, and nodes, from files.
    #[serde(default)]
    pub trace: Option<Trace>,
    /// How the scheduler finds the best node for a pod. Default: as the default scheduler of Kubernetes does.
    #[serde(default)]
    pub policy: Option<Policy>,
    /// Kubernetes manifests, applied in this order.
    #[serde(default)]
    pub workload: Vec<Workload>,
    /// When the workload is applied, with `"initial": "empty"`. Default 0s.
    #[serde(default)]
    pub workload_at: Option<Span>,
    /// How the run begins. Default empty.
    #[serde(default)]
    pub initial: Initial,
    /// How the containers of a workload behave, by the name of the Deployment, ReplicaSet or bare Pod.
    #[serde(default)]
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Load on services.
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    /// Clients of etcd itself.
    #[serde(default)]
    pub etcd_clients: Vec<EtcdClients>,
    /// What an operator does, at times.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What goes wrong, at times or for a while.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What must hold; a run in which one does not hold ends with status 1.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// A file that `sim calibrate` wrote, beside the scenario, or in the working directory if `--set` names it: network, disks and
    /// container engine are as fast as that host's. Default: none.
    #[serde(default)]
    pub profile: Option<String>,
}

fn one() -> u64 {
    1
}

/// How a run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Initial {
    /// Nothing runs: nodes register, the workload is applied and comes up.
    #[default]
    Empty,
    /// The workload is placed and ready at the start; no bring-up is played.
    Running,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Groups of equal worker nodes. None in a cluster of etcd alone, without API servers, controller managers and schedulers.
    #[serde(default)]
    pub nodes: Vec<NodeGroup>,
    /// The machines of etcd and the control plane.
    #[serde(default)]
    pub control_plane: ControlPlane,
    /// Latencies between machines, and loss.
    #[serde(default)]
    pub network: Network,
    /// The disks of all machines. Default ssd.
    #[serde(default)]
    pub disk: Disk,
    /// Disks that stand still now and then, each on its own. Default: none do.
    #[serde(default)]
    pub disk_stalls: Option<DiskStalls>,
    /// Bandwidth of each machine's network card. Default 10Gbit/s.
    #[serde(default)]
    pub bandwidth: Option<Bandwidth>,
    /// The image registry and what it holds.
    #[serde(default)]
    pub images: Images,
    /// How long the container engine takes.
    #[serde(default)]
    pub runtime: Runtime,
    /// Settings of components that differ from their defaults.
    #[serde(default)]
    pub timings: Timings,
    /// What the schedulers prefer: profiles, plugins and their arguments.
    #[serde(default)]
    pub scheduler: SchedulerSettings,
}

/// A group of equal worker nodes, named `<name>-1`, `<name>-2`, ...
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// The prefix of the nodes' names. Default worker.
    #[serde(default = "worker")]
    pub name: String,
    /// How many nodes.
    pub count: u64,
    /// Zones, given to the nodes in turn: the first node is in the first zone. Default: one zone "zone-1".
    #[serde(default)]
    pub zones: Vec<String>,
    /// Racks in each zone, given to the zone's nodes in turn and named `<zone>-rack-1`, ... Default 1.
    #[serde(default)]
    pub racks: Option<u64>,
    /// The region. Default "region-1".
    #[serde(default)]
    pub region: Option<String>,
    /// What each node has. Default 4 CPUs, 16Gi of memory, 110 pods.
    #[serde(default)]
    pub capacity: Capacity,
    /// What each node keeps for its system: capacity minus this is allocatable. Default nothing.
    #[serde(default)]
    pub reserved: BTreeMap<String, Amount>,
    /// Labels beside the well-known ones (hostname, zone, region, rack).
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Taints of each node.
    #[serde(default)]
    pub taints: Vec<Taint>,
}

fn worker() -> String {
    "worker".to_owned()
}

/// What a node has.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Capacity {
    /// CPUs. Default 4.
    pub cpu: Option<Amount>,
    /// Memory. Default 16Gi.
    pub memory: Option<Amount>,
    /// Pods. Default 110.
    pub pods: Option<u64>,
    /// Local storage. Default 100Gi.
    pub ephemeral_storage: Option<Amount>,
    /// Extended resources, by name (`example.com/gpu`).
    pub extended: BTreeMap<String, Amount>,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: Effect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

/// The control plane: instance n of each component runs on the machine `control-plane-n`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControlPlane {
    /// etcd members: 1, 3 or 5; 1 to 9 in a cluster of etcd alone. Default 3.
    pub etcd: u64,
    /// Processes of etcd beyond these, each on a machine of its own with an empty disk: members once a step adds them. Default 0.
    pub etcd_spares: u64,
    /// API servers, behind a balancer. Default 2; 0 of these, of controller managers and of schedulers is a cluster of etcd alone.
    pub api_servers: u64,
    /// Controller managers, of which one leads. Default 2.
    pub controller_managers: u64,
    /// Schedulers, of which one leads. Default 2.
    pub schedulers: u64,
    /// Zones of the machines, in turn. Default: the zones of the first node group.
    pub zones: Vec<String>,
    /// CPU cores of each machine. Default 4.
    pub cores: u64,
}

impl Default for ControlPlane {
    fn default() -> ControlPlane {
        ControlPlane { etcd: 3, etcd_spares: 0, api_servers: 2, controller_managers: 2, schedulers: 2, zones: Vec::new(), cores: 4 }
    }
}

/// One-way latencies by how far apart two machines are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// On one machine. Default lognormal, median 20us.
    pub same_machine: Option<Distribution>,
    /// In one rack. Default lognormal, median 50us.
    pub same_rack: Option<Distribution>,
    /// In one zone. Default lognormal, median 150us.
    pub same_zone: Option<Distribution>,
    /// Between zones of a region. Default lognormal, median 500us.
    pub between_zones: Option<Distribution>,
    /// Between regions. Default lognormal, median 30ms.
    pub between_regions: Option<Distribution>,
    /// Share of segments lost; a connection shows it as delay. Default 0.001%.
    pub loss: Option<Probability>,
}

/// A distribution of spans of time.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Constant(Span),
    /// Anything between two bounds.
    Uniform(Uniform),
    /// A normal distribution, cut at zero.
    Normal(Normal),
    /// A lognormal distribution.
    LogNormal(LogNormal),
    /// An exponential distribution with this mean.
    Exponential(Span),
    /// Measured values; values between neighbours are interpolated.
    Empirical(Vec<Span>),
    /// Measured values from a file beside the scenario: a JSON list of spans.
    EmpiricalFile(String),
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uniform {
    /// The least.
    pub low: Span,
    /// The most.
    pub high: Span,
}

/// A normal distribution.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Normal {
    /// The mean.
    pub mean: Span,
    /// The standard deviation.
    pub deviation: Span,
}

/// A lognormal distribution: `median * exp(sigma * z)`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogNormal {
    /// The median.
    pub median: Span,
    /// The deviation of the logarithm.
    #[schemars(range(min = 0.0, max = 5.0))]
    pub sigma: f64,
}

/// How long a disk takes for an fsync; requests queue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Disk {
    /// Lognormal, median 0.2ms.
    Nvme,
    /// Median 0.8ms, one in a hundred around 10ms.
    #[default]
    Ssd,
    /// Lognormal, median 10ms.
    Hdd,
    /// A distribution of one's own.
    Fsync(Distribution),
}

/// Stalls of disks: fsyncs that meet one end after it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DiskStalls {
    /// From the end of a disk's stall to its next one, on average; exponential. Default 24h.
    pub mean_interval: Option<Span>,
    /// How long a stall lasts. Default uniform from 1s to 5s.
    pub lasts: Option<Distribution>,
}

/// The registry and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Images {
    /// What the registry sends in all, shared fairly among active pulls. Default 10Gbit/s.
    pub registry_bandwidth: Option<Bandwidth>,
    /// Round trips before the first byte of a pull. Default lognormal, median 300ms.
    pub registry_latency: Option<Distribution>,
    /// How fast a node unpacks, in uncompressed bytes. Default 150MB/s.
    pub unpack_rate: Option<Bandwidth>,
    /// Compressed size of images that are not listed. Default 100M.
    pub default_size: Option<Bytes>,
    /// Images by name, as the manifests write it.
    pub list: BTreeMap<String, Image>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Image {
    /// Compressed size. Default: `defaultSize`.
    pub size: Option<Bytes>,
    /// Every node has it at the start.
    pub preloaded: bool,
    /// The registry does not have it: pulls fail.
    pub missing: bool,
}

/// How long the container engine takes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Runtime {
    /// To set up a pod's sandbox: namespaces and network. Default lognormal, median 250ms.
    pub sandbox: Option<Distribution>,
    /// To create a container. Default lognormal, median 150ms.
    pub create: Option<Distribution>,
    /// To start a container. Default lognormal, median 150ms.
    pub start: Option<Distribution>,
    /// To stop a container, beside what its process takes. Default lognormal, median 50ms.
    pub stop: Option<Distribution>,
    /// To remove a container. Default lognormal, median 50ms.
    pub remove: Option<Distribution>,
    /// To run a probe. Default lognormal, median 5ms.
    pub probe: Option<Distribution>,
}

/// How the containers of a workload behave.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behaviour {
    /// From the start of the process until it serves and its probes succeed. Default 0s.
    pub ready_after: Option<Distribution>,
    /// It ends by itself so long after its start. Default never.
    pub exits_after: Option<Distribution>,
    /// With this exit code. Default 0.
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: i32,
    /// From SIGTERM until it ends. Default lognormal, median 50ms.
    pub stops_after: Option<Distribution>,
    /// To answer a request. Default lognormal, median 5ms.
    pub service_time: Option<Distribution>,
}
