//! The part of the file that plays on the cluster: workload, traffic, steps, faults, expectations.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::file::Distribution;
use super::file_etcd::{
    ClientOperations, EtcdCompact, EtcdLeader, EtcdMemberAdd, EtcdMemberReplace, EtcdMembers, EtcdSnapshotRestore, LongestWriteGap,
};
use super::file_faults::{DiskCorrupt, Flap, UnreliableLink};
use super::units::{Bandwidth, Percent, Probability, Rate, Span};

/// A Kubernetes manifest as JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub serde_json::Value);

impl JsonSchema for Manifest {
    fn schema_name() -> Cow<'static, str> {
        "Manifest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "A Kubernetes manifest: an object, or a List of them." })
    }
}

/// One of `manifest` and `file`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workload {
    /// The manifest itself.
    pub manifest: Option<Manifest>,
    /// A file of manifests, YAML or JSON, several documents; beside the scenario's file.
    pub file: Option<String>,
    /// With `manifest`: makes so many objects of it, in whose texts "{copy}" is 1, 2, ... Default one, as it is written.
    pub copies: Option<u64>,
}

/// Requests to a service: they arrive at random at this rate whatever becomes of the earlier ones, each on a connection of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// The Service's name.
    pub service: String,
    /// Its namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// Requests a second.
    pub rate: Rate,
    /// After this a request counts as timed out. Default 1s.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// When it begins. Default 0s.
    #[serde(default)]
    pub start: Option<Span>,
    /// The machines it comes from, in turn. Default: a machine of its own, `client`, in the first zone.
    #[serde(default)]
    pub from: Option<Places>,
}

/// Machines, by what they are or where they stand. All that are named anywhere are meant.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Places {
    /// Worker nodes, by name.
    pub nodes: Vec<String>,
    /// All nodes of these groups.
    pub groups: Vec<String>,
    /// All machines of these racks (`<zone>-rack-1`).
    pub racks: Vec<String>,
    /// All machines of these zones, control plane too.
    pub zones: Vec<String>,
    /// All machines of these regions.
    pub regions: Vec<String>,
    /// Control-plane machines (`control-plane-1`) or `client`.
    pub machines: Vec<String>,
    /// The machines on which these components run (`etcd-1`, `apiserver-2`, `controller-manager-1`, `scheduler-1`). In a fault also
    /// those of who leads at that instant: `etcd-leader`, `controller-manager-leader`, `scheduler-leader`.
    pub components: Vec<String>,
    /// In a fault: the nodes to which pods of these are bound at that instant. A Deployment, ReplicaSet or bare Pod by its name, with
    /// its namespace before it unless that is "default" (`shop/web`).
    pub nodes_of: Vec<String>,
    /// Only so many of the worker nodes among them, chosen by the seed. With nothing else: of all worker nodes.
    pub random_nodes: Option<u64>,
    /// Only this share of the worker nodes among them, rounded up, chosen by the seed. With nothing else: of all worker nodes.
    pub random_share: Option<Probability>,
}

/// What an operator does at an instant: exactly one of the actions.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// When, counted from the start.
    pub at: Span,
    /// Applies manifests, as `kubectl apply` does.
    #[serde(default)]
    pub apply: Option<Vec<Workload>>,
    /// Deletes an object.
    #[serde(default)]
    pub delete: Option<Delete>,
    /// Sets the number of replicas of a Deployment or ReplicaSet.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// Sets the image of a Deployment's container, which starts a roll-out.
    #[serde(default)]
    pub set_image: Option<SetImage>,
    /// Marks a node unschedulable.
    #[serde(default)]
    pub cordon: Option<String>,
    /// Marks a node schedulable again.
    #[serde(default)]
    pub uncordon: Option<String>,
    /// Cordons a node and evicts its pods, as disruption budgets allow it; tries again every 5 s.
    #[serde(default)]
    pub drain: Option<String>,
    /// With drain: gives up after this long, as `kubectl drain --timeout` does. Default: never.
    #[serde(default)]
    pub drain_timeout: Option<Span>,
    /// Makes a process a member of etcd.
    #[serde(default)]
    pub etcd_member_add: Option<EtcdMemberAdd>,
    /// Gives a learner its vote, once it has caught up.
    #[serde(default)]
    pub etcd_member_promote: Option<String>,
    /// Takes a member out of etcd.
    #[serde(default)]
    pub etcd_member_remove: Option<String>,
    /// Puts one member in another's place.
    #[serde(default)]
    pub etcd_member_replace: Option<EtcdMemberReplace>,
    /// Has etcd's leader hand its lead to this member.
    #[serde(default)]
    pub etcd_move_leader: Option<String>,
    /// Has etcd forget old revisions.
    #[serde(default)]
    pub etcd_compact: Option<EtcdCompact>,
    /// Has each member of etcd, one after another, give back the space that compactions freed: `true`.
    #[serde(default)]
    pub etcd_defrag: Option<bool>,
    /// Takes back all alarms of etcd, so that it writes again after it was full: `true`.
    #[serde(default)]
    pub etcd_alarm_disarm: Option<bool>,
    /// Saves all that one member has applied: `true`.
    #[serde(default)]
    pub etcd_snapshot_save: Option<bool>,
    /// Starts a new cluster from the snapshot that was saved last.
    #[serde(default)]
    pub etcd_snapshot_restore: Option<EtcdSnapshotRestore>,
    /// With a step on etcd: it is tried again until it is done, for so long. Default 1m.
    #[serde(default)]
    pub etcd_timeout: Option<Span>,
}

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The kind, as in a manifest: Pod, Deployment, Service, ...
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// Seconds between the request to stop and the kill. Default: the pod's own.
    #[serde(default)]
    pub grace_period_seconds: Option<u64>,
}

/// A new number of replicas.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The Deployment's or ReplicaSet's name.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// How many pods.
    pub replicas: u64,
}

/// A new image.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetImage {
    /// The Deployment's name.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// The container's name. Default: the first container.
    #[serde(default)]
    pub container: Option<String>,
    /// The image.
    pub image: String,
}

/// A fault: exactly one of the kinds, at an instant, for a while or to the end of the run. Faults may overlap: what several hold is free
/// when the last of them has ended.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// When it begins, counted from the start.
    pub at: Span,
    /// How long it lasts. Without `for` and `until` it is never undone.
    #[serde(rename = "for", default)]
    pub lasts: Option<Span>,
    /// When it is undone, counted from the start.
    #[serde(default)]
    pub until: Option<Span>,
    /// Again and again at random between `at` and `until` (default the end of the run), instead of once at `at`.
    #[serde(default)]
    pub every: Option<Every>,
    /// Each machine is hit at its own time within so long after `at`, drawn from the seed: a bad roll-out that reaches one after another.
    #[serde(default)]
    pub spread_over: Option<Span>,
    /// For people. Default: made from the fields.
    #[serde(default)]
    pub description: Option<String>,
    /// Kills processes (SIGKILL): `etcd-1`, `apiserver-2`, `controller-manager-1`, `scheduler-1`, `kubelet-<node>`, or who leads at that
    /// instant: `etcd-leader`, `controller-manager-leader`, `scheduler-leader`. They start again when the fault ends.
    #[serde(default)]
    pub kill: Option<Vec<String>>,
    /// Stops processes (SIGSTOP) until the fault ends; names as for `kill`.
    #[serde(default)]
    pub pause: Option<Vec<String>>,
    /// Machines lose power: all that is not on disk is gone. They boot when the fault ends.
    #[serde(default)]
    pub power_loss: Option<Places>,
    /// Machines stand still, containers too, until the fault ends.
    #[serde(default)]
    pub freeze: Option<Places>,
    /// Machines restart as an operator restarts them: files are synced and connections reset, then all processes and containers are gone;
    /// the control plane is not told (the kubelet's graceful node shutdown is off by default). `for` is how long that takes (default 1m).
    #[serde(default)]
    pub reboot: Option<Places>,
    /// Nothing passes between two sets of machines.
    #[serde(default)]
    pub partition: Option<Partition>,
    /// Messages between two sets of machines take longer or are lost.
    #[serde(default)]
    pub slow_link: Option<SlowLink>,
    /// Messages between members of etcd on two sets of machines are lost, come twice or out of order.
    #[serde(default)]
    pub unreliable_link: Option<UnreliableLink>,
    /// The image registry does not answer: `true`.
    #[serde(default)]
    pub registry_down: Option<bool>,
    /// The image registry sends no faster than this in all.
    #[serde(default)]
    pub registry_slow: Option<Bandwidth>,
    /// fsync takes longer.
    #[serde(default)]
    pub slow_disk: Option<SlowDisk>,
    /// No fsync ends before the fault does. On worker nodes the container engine waits with it; containers go on.
    #[serde(default)]
    pub disk_stall: Option<Places>,
    /// Nothing more can be written: a member of etcd ends, and starts again when the fault ends; on worker nodes no image can be pulled and
    /// no container be made (the kubelet's evictions for DiskPressure are not modelled).
    #[serde(default)]
    pub disk_full: Option<Places>,
    /// Bits flip in the logs of the etcd members on these machines, at that instant. A member finds it by the checksum when it next starts,
    /// and refuses to: it must be removed and a new one added.
    #[serde(default)]
    pub disk_corrupt: Option<DiskCorrupt>,
    /// Gray machines: all that they do takes longer, and nothing fails.
    #[serde(default)]
    pub slow_machine: Option<SlowMachine>,
    /// The kubelets of nodes are killed, and their containers go on. They start again when the fault ends.
    #[serde(default)]
    pub kubelet_down: Option<Places>,
    /// The container runtime's daemon on nodes stands still (SIGSTOP) until the fault ends: what the kubelet asks of it gets no answer, nor do
    /// probes by exec, and nobody hears of containers that exit. Containers go on, and so do probes over HTTP and TCP.
    #[serde(default)]
    pub runtime_pause: Option<Places>,
    /// Clocks that run fast or slow. What they are off by when the fault ends stays.
    #[serde(default)]
    pub clock_drift: Option<ClockDrift>,
    /// Containers of a workload exit.
    #[serde(default)]
    pub container_crash: Option<ContainerCrash>,
}

/// How often a random fault comes, and how long it lasts. The times are drawn from the run's seed, for each machine or named process by
/// itself; a fault of something else (a partition, a link, the registry) comes as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Every {
    /// Published figures, for `mtbf` and `repair`.
    #[serde(default)]
    pub preset: Option<FaultPreset>,
    /// The mean time from the end of one to the next, exponentially distributed.
    #[serde(default)]
    pub mtbf: Option<Span>,
    /// The time from the end of one to the next, of any distribution: instead of `mtbf`.
    #[serde(default)]
    pub up: Option<Distribution>,
    /// How long each lasts.
    #[serde(default)]
    pub repair: Option<Distribution>,
    /// What fails by itself. Default machine, or what the preset is about.
    #[serde(default)]
    pub each: Option<Each>,
    /// Unless each machine fails by itself: the share of the machines that is hit, chosen anew each time. Default 100%.
    #[serde(default)]
    pub share: Option<Probability>,
}

/// What fails by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Each {
    /// Each machine or process.
    Machine,
    /// All machines of a rack at once.
    Rack,
    /// All machines of a zone at once.
    Zone,
    /// All machines of a region at once.
    Region,
    /// All machines at once, as by a common cause.
    All,
}

/// How often machines crash, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultPreset {
    /// A virtual machine of a cloud: once a year, replaced within 60 to 120 s.
    CloudVm,
    /// A zone of a cloud: once in two years, for 2 to 10 hours.
    CloudZone,
    /// A machine of a warehouse: every 180 days, for minutes (90 %), hours (9 %) or days (1 %).
    Warehouse,
    /// A rack of a warehouse: once in ten years, for 1 to 6 hours.
    WarehouseRack,
    /// Once a day, for 60 to 120 s: to test with.
    Stress,
}

/// Two sets of machines between which nothing passes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partition {
    /// One side.
    pub from: Places,
    /// The other side. Default: all other machines.
    #[serde(default)]
    pub to: Option<Places>,
    /// Only what goes from `from` to `to` is lost. Default false.
    #[serde(default)]
    pub one_way: bool,
    /// It comes and goes while the fault lasts, at times that are drawn from the seed.
    #[serde(default)]
    pub flap: Option<Flap>,
}

/// Two sets of machines with a bad link between them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowLink {
    /// One side.
    pub from: Places,
    /// The other side. Default: all other machines.
    #[serde(default)]
    pub to: Option<Places>,
    /// Added to each message's latency, both ways. Default nothing.
    #[serde(default)]
    pub latency: Option<Distribution>,
    /// Share of segments lost beside the usual. Default 0%.
    #[serde(default)]
    pub loss: Option<Probability>,
}

/// Machines whose disks are slow.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowDisk {
    /// The machines.
    pub on: Places,
    /// Added to each fsync.
    pub latency: Distribution,
}

/// Machines that are slow and do not fail.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowMachine {
    /// The machines.
    pub on: Places,
    /// The share of its speed that a core still has: for the control plane's work, the container engine's, and what containers do.
    #[serde(default)]
    pub cpu: Option<Probability>,
    /// The share of its bandwidth that the network interface still has: for pulls of images, and messages of 1,500 bytes each.
    #[serde(default)]
    pub network: Option<Probability>,
}

/// Machines whose clocks do not keep time: they run fast or slow. All that waits here (election timeouts, leases, probes) goes by a clock that
/// only runs forward, as Go's timers do, so that a *step* of the wall clock (`date`, NTP) would change nothing: there is no such fault.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockDrift {
    /// The machines.
    pub on: Places,
    /// Parts per million by which the clock runs fast; negative: slow. 10000 is 1 %, a millisecond in 100.
    #[schemars(range(min = -500_000, max = 500_000))]
    pub ppm: i64,
}

/// Containers that exit.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerCrash {
    /// The Deployment, ReplicaSet or bare Pod.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// In how many pods, lowest names first. Default all.
    #[serde(default)]
    pub count: Option<u64>,
    /// With this exit code. Default 1.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: Option<i32>,
    /// The kernel kills them for lack of memory: exit code 137, reason OOMKilled. Default false.
    #[serde(default)]
    pub oom_killed: bool,
}

/// Something that must hold: exactly one of `by`, `within`, `always`, `never`, `eventually`, `atEnd`, and exactly one thing that is observed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// For people. Default: made from the fields.
    #[serde(default)]
    pub description: Option<String>,
    /// At this instant, counted from the start: what recovered before and failed again has not recovered. For "at some time" see
    /// `eventually`.
    #[serde(default)]
    pub by: Option<Span>,
    /// So long after a fault began, at that instant: what recovered before and failed again has not recovered.
    #[serde(default)]
    pub within: Option<Within>,
    /// At every instant of an interval.
    #[serde(default)]
    pub always: Option<Interval>,
    /// At no instant of an interval.
    #[serde(default)]
    pub never: Option<Interval>,
    /// At some instant: `true`.
    #[serde(default)]
    pub eventually: Option<bool>,
    /// At the end of the run: `true`.
    #[serde(default)]
    pub at_end: Option<bool>,
    /// How many pods of a workload are in a state.
    #[serde(default)]
    pub pods: Option<Pods>,
    /// How evenly a workload's pods are spread.
    #[serde(default)]
    pub spread: Option<Spread>,
    /// How much a workload lacked since the start.
    #[serde(default)]
    pub unavailable: Option<Unavailable>,
    /// Whether a node is ready.
    #[serde(default)]
    pub node_ready: Option<NodeReady>,
    /// How often etcd changed its leader since the start; the first election does not count.
    #[serde(default)]
    pub etcd_leader_changes: Option<Bounds>,
    /// Which share of a traffic source's requests failed since the start.
    #[serde(default)]
    pub failed_requests: Option<FailedRequests>,
    /// Whether etcd has a leader, looked at each second.
    #[serde(default)]
    pub etcd_leader: Option<EtcdLeader>,
    /// Who etcd's members are, looked at each second.
    #[serde(default)]
    pub etcd_members: Option<EtcdMembers>,
    /// How the operations of etcd's clients ended since the start.
    #[serde(default)]
    pub client_operations: Option<ClientOperations>,
    /// How long etcd's clients had no write acknowledged.
    #[serde(default)]
    pub longest_write_gap: Option<LongestWriteGap>,
    /// Of a trace without a cluster: which share of the GPUs is in use.
    #[serde(default)]
    pub gpu_allocation: Option<super::file_trace::GpuAllocation>,
}

/// A time limit after a fault.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Within {
    /// Which of `faults`, from 0. Default 0.
    #[serde(default)]
    pub fault: u64,
    /// How long after it began.
    pub limit: Span,
}

/// An interval of the run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Interval {
    /// Its beginning. Default the start of the run.
    pub from: Option<Span>,
    /// Its end. Default the end of the run.
    pub until: Option<Span>,
}

/// A count of pods.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pods {
    /// The Deployment, ReplicaSet or bare Pod.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// The state that is counted. Default ready.
    #[serde(default)]
    pub state: PodState,
    /// No fewer.
    #[serde(default)]
    pub at_least: Option<u64>,
    /// No more.
    #[serde(default)]
    pub at_most: Option<u64>,
}

/// A state of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PodState {
    /// It has been created, has not ended, and is not being deleted.
    Exists,
    /// Its Ready condition is True.
    #[default]
    Ready,
    /// Ready for at least minReadySeconds.
    Available,
    /// In phase Pending.
    Pending,
    /// In phase Running.
    Running,
    /// In phase Succeeded.
    Succeeded,
    /// In phase Failed.
    Failed,
}

/// A bound on skew.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spread {
    /// The Deployment or ReplicaSet.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// The node label whose values are the domains. Default topology.kubernetes.io/zone.
    #[serde(default)]
    pub topology_key: Option<String>,
    /// The most pods in a domain minus the fewest.
    pub max_skew: u64,
}

/// A bound on what a workload lacked.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unavailable {
    /// The Deployment or ReplicaSet.
    pub workload: String,
    /// The namespace. Default "default".
    #[serde(default)]
    pub namespace: Option<String>,
    /// The most that wanted minus available pods may add up to, in pod-seconds.
    pub at_most_pod_seconds: u64,
}

/// A node's Ready condition.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeReady {
    /// The node's name.
    pub node: String,
    /// Whether its Ready condition is True. Default true.
    #[serde(default = "yes")]
    pub ready: bool,
}

fn yes() -> bool {
    true
}

/// Bounds of a count.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bounds {
    /// No fewer.
    pub at_least: Option<u64>,
    /// No more.
    pub at_most: Option<u64>,
}

/// A bound on failures.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailedRequests {
    /// Which of `traffic`, from 0. Default 0.
    #[serde(default)]
    pub traffic: u64,
    /// The largest share.
    pub at_most: Percent,
}
