//! The plan: what the user wrote, checked and lowered. `scenario/` makes it; everything later only reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::random::Seed;
use crate::base::{Duration, Name, Time};
use crate::models::disk::StallPattern;
use crate::models::distribution::Distribution;
pub use crate::models::network::{Network, Unreliable};
use crate::objects::{Key, Object, Phase};
pub use crate::operator::{Action, Step, etcdctl};
pub use crate::scheduler::study::Study;
pub use crate::traffic::etcd::{Mix, Pace};
use crate::wire::{Address, MachineId, Member, NodeId};
use crate::{apiserver, controllers, etcd, kubelet, proxy, scheduler};

pub use crate::models::container_engine::RuntimeTimes as Runtime;
pub use crate::models::images::ImageCatalog as Images;
pub use crate::models::workload::Behaviour;

/// A whole run, ready to start.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: Name,
    pub description: Name,
    pub seed: u64,
    pub start: Time,
    pub duration: Duration,
    /// Stop after so long, if that is earlier: what is due later is not judged.
    pub stop_after: Option<Duration>,
    /// Every box, control plane first. `MachineId` is the index.
    pub machines: Vec<Machine>,
    /// The machine of each etcd member, API server, manager and scheduler (their numbers begin at 1).
    pub etcd: Vec<MachineId>,
    /// The first so many members of etcd make up the cluster at the start; the others are empty until a step adds them.
    pub etcd_initial: usize,
    pub api_servers: Vec<MachineId>,
    pub managers: Vec<MachineId>,
    pub schedulers: Vec<MachineId>,
    /// Worker nodes. `NodeId` is the index.
    pub nodes: Vec<NodePlan>,
    pub network: Network,
    pub images: Images,
    pub runtime: Runtime,
    pub starts: Starts,
    pub timings: Timings,
    /// The manifests, in the order in which they are applied.
    pub workload: Vec<Arc<Object>>,
    pub initial: Initial,
    /// By workload name (a Deployment's, ReplicaSet's or bare pod's), else `Behaviour::default()`.
    pub behaviours: BTreeMap<Name, Behaviour>,
    pub traffic: Vec<Traffic>,
    /// Load on etcd itself.
    pub etcd_load: Vec<EtcdLoad>,
    pub steps: Vec<Step>,
    /// What etcdctl does. Numbered after `steps`.
    pub etcd_steps: Vec<etcdctl::Step>,
    pub faults: Vec<FaultPlan>,
    pub expectations: Vec<Expectation>,
    /// The scheduler alone, and nothing of the rest.
    pub study: Option<Arc<Study>>,
}

/// A box: power, cores, a disk, a clock, a place in the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub name: Name,
    pub region: Name,
    pub zone: Name,
    pub rack: Name,
    pub cores: u32,
    /// Latency of one fsync; requests queue.
    pub fsync: Distribution,
    /// Whether its disk stalls now and then.
    pub stalls: Option<StallPattern>,
    /// Bytes per second.
    pub bandwidth: u64,
}

/// How processes come up: all in one instant, and again at once, unless a profile says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Starts {
    /// The first lives of the cluster's processes begin within this long after the start, each at an instant of its own.
    pub within: Duration,
    /// From being started again until it begins.
    pub again: Distribution,
}

impl Default for Starts {
    fn default() -> Starts {
        Starts { within: Duration::ZERO, again: Distribution::Constant(Duration::ZERO) }
    }
}

impl Starts {
    /// How far apart a real run's processes begin. Machines of a real cluster are not in step, and where a fault falls between their ticks
    /// counts: a kill just before a heartbeat is noticed an interval of heartbeats (100 ms) earlier than one just after it. Within a second all
    /// phases of the shorter loops are equally likely, and a run's seed gives the same ones simulated and for real.
    pub const APART: Duration = Duration::from_secs(1);
}

impl Plan {
    /// When the first life of a process begins. Who uses the cluster has been there before, and so have all in one that runs.
    pub fn begins(&self, process: Address) -> Time {
        let uses = matches!(process, Address::Operator | Address::Traffic(_) | Address::EtcdClient(_) | Address::Etcdctl);
        if uses || self.initial == Initial::Running || self.starts.within == Duration::ZERO {
            return self.start;
        }
        self.start + Seed(self.seed).stream(&format!("first start of {process}")).duration_between(Duration::ZERO, self.starts.within)
    }
    /// All manifests: those of the workload, and those that steps apply.
    pub fn manifests(&self) -> impl Iterator<Item = &Object> {
        let applied = self.steps.iter().filter_map(|step| match &step.action {
            Action::Apply(objects) => Some(objects),
            _ => None,
        });
        self.workload.iter().chain(applied.flatten()).map(|object| &**object)
    }
    /// Whether some manifest is of a kind of volumes, or has a pod that uses a claim.
    pub fn has_volumes(&self) -> bool {
        self.manifests().any(|object| object.kind().is_of_volumes() || object.pod_spec().is_some_and(|spec| spec.uses_claims()))
    }
    /// A run in which nothing is.
    pub fn nothing(name: Name, description: Name, seed: u64, start: Time) -> Plan {
        Plan {
            name,
            description,
            seed,
            start,
            duration: Duration::ZERO,
            stop_after: None,
            machines: Vec::new(),
            etcd: Vec::new(),
            etcd_initial: 0,
            api_servers: Vec::new(),
            managers: Vec::new(),
            schedulers: Vec::new(),
            nodes: Vec::new(),
            network: Network::default(),
            images: Images::default(),
            runtime: Runtime::default(),
            starts: Starts::default(),
            timings: Timings::default(),
            workload: Vec::new(),
            initial: Initial::Empty,
            behaviours: BTreeMap::new(),
            traffic: Vec::new(),
            etcd_load: Vec::new(),
            steps: Vec::new(),
            etcd_steps: Vec::new(),
            faults: Vec::new(),
            expectations: Vec::new(),
            study: None,
        }
    }
    /// There is no Kubernetes around etcd.
    pub fn is_etcd_only(&self) -> bool {
        self.api_servers.is_empty()
    }
    /// The members that make up etcd at the start.
    pub fn first_members(&self) -> Vec<Member> {
        (1..=self.etcd_initial as u16).map(Member).collect()
    }
    /// How long it is played.
    pub fn length(&self) -> Duration {
        self.stop_after.map_or(self.duration, |stop| stop.min(self.duration))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodePlan {
    pub machine: MachineId,
    pub shape: kubelet::NodeShape,
    /// The group of the scenario that it belongs to.
    pub group: Name,
}

/// Every timing of every component.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Timings {
    pub etcd: etcd::Config,
    pub apiserver: apiserver::Config,
    pub controllers: controllers::Config,
    pub scheduler: scheduler::Config,
    pub kubelet: kubelet::Config,
    pub proxy: proxy::Config,
}

impl Timings {
    /// Whether there are volumes is told to every component that would watch them: see [`Kind::served`](crate::objects::Kind::served).
    pub fn set_volumes(&mut self, volumes: bool) {
        self.apiserver.volumes = volumes;
        self.controllers.volumes = volumes;
        self.scheduler.volumes = volumes;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Initial {
    /// The workload is applied at the start and comes up.
    #[default]
    Empty,
    /// All workloads are placed and ready at the start; no bring-up is played.
    Running,
}

/// Open-loop load on a service: requests arrive as a Poisson stream whatever becomes of the earlier ones, each on its own connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// The Service's key.
    pub service: Key,
    /// Thousandths of a request per second.
    pub rate_milli: u64,
    pub timeout: Duration,
    /// When the load begins.
    pub start: Time,
    /// The machines that the requests come from, in turn.
    pub from: Vec<MachineId>,
}

/// A group of equal clients of etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdLoad {
    pub count: u32,
    pub pace: Pace,
    pub mix: Mix,
    /// How many keys there are, the same for all groups.
    pub keys: u32,
    pub value_size: u32,
    pub timeout: Duration,
    pub start: Time,
    pub until: Time,
    pub lease: Option<Duration>,
    pub watch: bool,
    /// Whether the record keeps their history.
    pub records: bool,
    /// Each client has one endpoint, in turn, instead of all.
    pub one_endpoint: bool,
    /// The machines that they run on, in turn.
    pub from: Vec<MachineId>,
}

/// A fault, when it begins and when it is undone (`None`: never, or it ends by itself).
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    pub at: Time,
    pub until: Option<Time>,
    /// `power loss of worker-3`
    pub description: Name,
    pub fault: Fault,
    /// Machines that are found only when it begins; they join those that the fault names.
    pub found: Option<Found>,
    /// Whose times and machines were drawn from the seed: the description of the fault that was written.
    pub drawn: Option<Name>,
}

impl FaultPlan {
    /// When it ends, be it undone or by itself; `None`: never, or at once.
    pub fn ends(&self) -> Option<Time> {
        match self.fault {
            Fault::Reboot { takes, .. } => Some(self.at + takes),
            _ => self.until,
        }
    }
    /// With the machines that were found, and their names in its description.
    pub fn with_machines(mut self, found: Vec<MachineId>, names: &[Name]) -> FaultPlan {
        if self.found.take().is_none() {
            return self;
        }
        let shown: Vec<&str> = found.iter().filter_map(|id| names.get(id.0 as usize)).map(Name::as_str).collect();
        let shown = if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") };
        self.description = Name::from(format!("{} ({shown})", self.description));
        if let Some(to) = self.fault.other_side_mut() {
            to.retain(|machine| found.binary_search(machine).is_err());
        }
        *self.fault.machines_mut().expect("only a fault of machines finds some") = found;
        self
    }
}

/// Machines by what is true of them when a fault begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub whose: Vec<Whose>,
    /// Only some of the worker nodes among these and the machines that the fault names.
    pub choose: Option<Choice>,
}

/// Whose machine is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Whose {
    EtcdLeader,
    ManagerLeader,
    SchedulerLeader,
    /// The nodes to which pods of a Deployment, a ReplicaSet, or this pod are bound.
    Pods(Key),
}

/// How many of several, chosen by the seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    Count(u64),
    /// Rounded up.
    Share(f64),
}

impl Choice {
    /// How many of so many.
    pub fn of(self, all: usize) -> usize {
        match self {
            Choice::Count(count) => usize::try_from(count).unwrap_or(usize::MAX).min(all),
            Choice::Share(share) => ((all as f64 * share).ceil() as usize).min(all),
        }
    }
}

/// The machines of a fault, by reference or by mutable reference.
macro_rules! machines_of {
    ($fault:expr) => {
        match $fault {
            Fault::PowerLoss(machines)
            | Fault::Freeze(machines)
            | Fault::DiskStall(machines)
            | Fault::DiskFull(machines)
            | Fault::RuntimePause(machines)
            | Fault::DiskCorrupt { machines, .. }
            | Fault::Kill(Targets::KubeletsOn(machines))
            | Fault::Reboot { machines, .. }
            | Fault::SlowDisk { machines, .. }
            | Fault::SlowMachine { machines, .. }
            | Fault::ClockDrift { machines, .. }
            | Fault::Partition { from: machines, .. }
            | Fault::SlowLink { from: machines, .. }
            | Fault::UnreliableLink { from: machines, .. } => Some(machines),
            Fault::Kill(_) | Fault::Pause(_) | Fault::RegistryDown | Fault::RegistrySlow { .. } | Fault::ContainerCrash { .. } => None,
        }
    };
}

impl Fault {
    /// The machines that it hits, if it is a fault of machines: of a link, those at its first end.
    pub fn machines(&self) -> Option<&Vec<MachineId>> {
        machines_of!(self)
    }
    pub fn machines_mut(&mut self) -> Option<&mut Vec<MachineId>> {
        machines_of!(self)
    }
    /// The machines at the other end, if it is a fault of links.
    pub fn other_side_mut(&mut self) -> Option<&mut Vec<MachineId>> {
        match self {
            Fault::Partition { to, .. } | Fault::SlowLink { to, .. } | Fault::UnreliableLink { to, .. } => Some(to),
            _ => None,
        }
    }
    pub fn is_of_links(&self) -> bool {
        matches!(self, Fault::Partition { .. } | Fault::SlowLink { .. } | Fault::UnreliableLink { .. })
    }
    /// It happens at an instant, and has no end.
    pub fn is_instant(&self) -> bool {
        matches!(self, Fault::ContainerCrash { .. } | Fault::DiskCorrupt { .. })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL; the process is started again at `until` (a supervisor's restart: give it one).
    Kill(Targets),
    /// SIGSTOP until `until`.
    Pause(Targets),
    /// The machines lose power; at `until` they boot.
    PowerLoss(Vec<MachineId>),
    /// The machines stand still, containers too.
    Freeze(Vec<MachineId>),
    /// A restart that takes this long: files are synced and connections reset, then containers and processes are gone.
    Reboot {
        machines: Vec<MachineId>,
        takes: Duration,
    },
    /// Nothing passes from `from` to `to`, nor back unless `one_way`.
    Partition {
        from: Vec<MachineId>,
        to: Vec<MachineId>,
        one_way: bool,
        /// It comes and goes while the fault lasts.
        flap: Option<Flap>,
    },
    /// Added to the one-way latency of each message, both ways; and loss.
    SlowLink {
        from: Vec<MachineId>,
        to: Vec<MachineId>,
        latency: Distribution,
        loss: f64,
    },
    /// What etcd's members send each other is lost, comes twice or out of order.
    UnreliableLink {
        from: Vec<MachineId>,
        to: Vec<MachineId>,
        how: Unreliable,
    },
    RegistryDown,
    /// Bytes per second instead of the planned.
    RegistrySlow {
        bandwidth: u64,
    },
    /// fsync takes this much longer.
    SlowDisk {
        machines: Vec<MachineId>,
        latency: Distribution,
    },
    /// No fsync ends before the fault does; on a worker node the container engine waits with it, containers go on.
    DiskStall(Vec<MachineId>),
    /// Nothing can be written: a member of etcd ends at its next write; on a worker node no image and no container can be made.
    DiskFull(Vec<MachineId>),
    /// Bits of one durable record in the log of each etcd member on these machines change. The member notices at its next start.
    DiskCorrupt {
        machines: Vec<MachineId>,
        which: WhichRecord,
    },
    /// Thousandths of the usual speed of its cores, and of the bandwidth of its network interface.
    SlowMachine {
        machines: Vec<MachineId>,
        cpu_milli: u64,
        network_milli: u64,
    },
    /// The clock runs faster by so many parts per million, or slower. What it is off by the end stays.
    ClockDrift {
        machines: Vec<MachineId>,
        ppm: i64,
    },
    /// SIGSTOP to the daemon of the container runtime: it answers nothing and tells of no exit; containers go on.
    RuntimePause(Vec<MachineId>),
    /// Containers of running pods of a workload exit with this code: all, or this many (lowest pod names first). `oom_killed`: for lack
    /// of memory.
    ContainerCrash {
        namespace: Name,
        workload: Name,
        count: Option<u64>,
        exit_code: i32,
        oom_killed: bool,
    },
}

/// How long a partition that comes and goes is there, and how long it is away. It begins with being there.
#[derive(Clone, Debug, PartialEq)]
pub struct Flap {
    pub down: Distribution,
    pub up: Distribution,
}

/// Which record of a log is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhichRecord {
    /// Chosen by the seed.
    #[default]
    Random,
    Oldest,
    Newest,
}

/// Processes, by address or by role at the instant of the fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    Addresses(Vec<Address>),
    EtcdLeader,
    ManagerLeader,
    SchedulerLeader,
    /// The kubelets of these machines.
    KubeletsOn(Vec<MachineId>),
}

/// Something that must hold, checked on the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As a person reads it; made from the scenario's fields if none is given.
    pub description: Name,
    pub when: When,
    pub predicate: Predicate,
}

/// When a predicate must hold. Predicates speak of a state: what they mean at an instant is decided by all that happened until then.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At this instant.
    By(Time),
    /// So long after the n-th fault began, at that instant: what recovered and failed again has not recovered.
    Within { fault: usize, limit: Duration },
    /// At every instant of the interval.
    Always { from: Time, until: Time },
    /// At no instant of the interval.
    Never { from: Time, until: Time },
    /// At some instant.
    Eventually,
    /// At the end of the run.
    AtEnd,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Pods of a workload (a Deployment or ReplicaSet; its pods' managing owner's owner counts) in a state.
    Pods { workload: Key, state: PodState, at_least: Option<u64>, at_most: Option<u64> },
    /// The most available-or-bound pods of the workload in one domain of a topology key minus the fewest.
    Spread { workload: Key, topology_key: Name, max_skew: u64 },
    /// Integral of max(0, wanted - available) since the start, in pod-milliseconds.
    UnavailablePodMillis { workload: Key, at_most: u64 },
    /// A node's Ready condition.
    NodeReady { node: NodeId, ready: bool },
    /// How often etcd changed its leader since the start (the first election does not count).
    EtcdLeaderChanges { at_least: Option<u64>, at_most: Option<u64> },
    /// Requests of the n-th traffic source since the start that failed, per mille of those sent.
    FailedRequestsPerMille { traffic: usize, at_most: u64 },
    /// Whether etcd has a leader, as of the last second.
    EtcdLeader { present: bool },
    /// The members of etcd, as its last leader had them at the last second.
    EtcdMembers { voters: Vec<Member>, learners: Vec<Member> },
    /// Operations of etcd's clients since the start: per mille of those that ended that failed or may have, and how many were answered.
    ClientOperations { at_most_failed: Option<u64>, at_least_ok: Option<u64> },
    /// The longest time between two successive acknowledged writes of clients whose history is kept.
    LongestWriteGap { at_most: Option<Duration>, at_least: Option<Duration> },
    /// Of a study: GPUs in use when so many per cent were asked for (`None`: at the end), in thousandths of all.
    GpuAllocation { arrived: Option<usize>, at_least: Option<u64>, at_most: Option<u64> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    Exists,
    Ready,
    Available,
    Phase(Phase),
}
