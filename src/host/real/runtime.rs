//! What runs containers for real: the verbs of CRI, a node at a time.
//!
//! The supervisor owns the runtime, so that containers outlive a kubelet that dies, as they outlive one beneath containerd. A runtime is
//! one file beside [`super::process`] and [`super::docker`], and an arm of `made` in the supervisor. A third, say containerd by CRI, would
//! be `cri.rs`: `RunPodSandbox`, `CreateContainer` and their like are the verbs of [`ContainerOp`] one to one, its event stream gives the
//! exits; of a sandbox it would have to publish the pod's address itself, since CRI leaves that to a network plug-in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::cgroup::Limits;
use super::clock::Clock;
use super::payload::Life;
use crate::base::{Cause, Duration, Incarnation, Name, Stream};
use crate::engine::plan::Plan;
use crate::models::workload::Workloads;
use crate::objects::pod::{Container, PodIp, PodSpec};
use crate::objects::{Shared, Uid};
use crate::wire::NodeId;
use crate::wire::container::{ContainerEvent, ContainerId, ContainerOp, PodIdentity};

/// Which runtime a run uses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Process,
    /// The engine behind this socket.
    Docker(PathBuf),
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Docker(_) => "docker",
        }
    }
}

/// What the manifests say of each workload's pods: limits and probes, which the verbs don't carry.
#[derive(Clone, Debug, Default)]
pub struct Specs(BTreeMap<(Name, Name), Shared<PodSpec>>);

impl Specs {
    /// Of everything that the plan applies; of two manifests of one name the later.
    pub fn of(plan: &Plan) -> Specs {
        let mut specs = BTreeMap::new();
        for object in plan.manifests() {
            let Some(spec) = object.pod_spec().cloned() else { continue };
            let meta = object.meta();
            specs.insert((meta.namespace.clone(), meta.name.clone()), spec);
        }
        Specs(specs)
    }
    pub fn get(&self, identity: &PodIdentity) -> Option<Shared<PodSpec>> {
        self.0.get(&(identity.namespace.clone(), identity.workload.clone())).cloned()
    }
    /// Of a container by its number: init containers come first.
    pub fn container(&self, identity: &PodIdentity, index: u16) -> Option<Container> {
        let spec = self.get(identity)?;
        spec.init_containers.iter().chain(&spec.containers).nth(usize::from(index)).cloned()
    }
    /// Whether each app container of a workload has a limit of memory.
    pub fn all_limit_memory(&self, namespace: &Name, workload: &Name) -> bool {
        let spec = self.0.get(&(namespace.clone(), workload.clone()));
        spec.is_some_and(|spec| spec.containers.iter().all(|container| container.resources.limits.contains_key("memory")))
    }
    pub fn limits(&self, identity: &PodIdentity, index: u16) -> Limits {
        let limits = self.container(identity, index).map(|container| container.resources.limits).unwrap_or_default();
        let limit = |resource: &str| limits.get(resource).copied();
        Limits {
            cpu_milli: limit("cpu").and_then(|quantity| u64::try_from(quantity.milli_value()).ok()),
            memory_bytes: limit("memory").and_then(|quantity| u64::try_from(quantity.value()).ok()),
        }
    }
}

/// How many service times a container is given, to be used in turn.
const SERVICE_TIMES: usize = 64;

/// What a container's payload is told. `ip`: where it listens; `served`: what service times are drawn from.
pub fn life(workloads: &mut Workloads, served: &mut Stream, identity: &PodIdentity, ip: PodIp, id: &ContainerId, init: bool) -> Life {
    let drawn = workloads.life(identity, id.index, id.attempt, init);
    Life {
        ip: ip.0,
        index: id.index,
        ready_after: drawn.ready_after,
        exits_after: drawn.exits_after,
        stops_after: drawn.stops_after,
        service_times: (0..SERVICE_TIMES).map(|_| workloads.service_time(&identity.workload, served)).collect(),
    }
}

/// Of these containers those of a workload, by the names of their pods; all, or so many. `of`: whose a pod is.
pub fn victims<'a>(
    running: impl Iterator<Item = &'a ContainerId>,
    of: impl Fn(&Uid) -> Option<&'a PodIdentity>,
    namespace: &Name,
    workload: &Name,
    count: Option<u64>,
) -> Vec<ContainerId> {
    let named = running.filter_map(|id| Some((of(&id.pod)?, id)));
    let of_it = named.filter(|(identity, _)| identity.namespace == *namespace && identity.workload == *workload);
    let mut victims: Vec<(&Name, &ContainerId)> = of_it.map(|(identity, id)| (&identity.pod, id)).collect();
    victims.sort();
    let count = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    victims.into_iter().take(count).map(|(_, id)| id.clone()).collect()
}

/// What a runtime says, to the kubelet of which node, and which life of it asked (`None`: an exit, for whichever lives).
#[derive(Debug)]
pub struct Answer {
    pub node: NodeId,
    pub asked: Option<Incarnation>,
    pub cause: Cause,
    pub event: ContainerEvent,
}

/// Something that the runtime's own threads found out: it goes through the supervisor's loop, so that the runtime has one thread of state.
#[derive(Debug)]
pub enum Notice {
    /// A container's process has begun to run.
    Running(ContainerId),
    /// A container's process has ended and can be reaped.
    Ended(ContainerId),
    /// An answer that needs no more of the runtime's state.
    Answer(Answer),
    /// The grace of a stop is over.
    GraceOver(ContainerId),
}

/// What a container has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    pub container: ContainerId,
    /// CPU time since its start.
    pub cpu: Duration,
    /// Memory that it holds now.
    pub memory_bytes: u64,
}

/// Where a runtime's threads leave their notices.
pub type Notices = Arc<dyn Fn(Notice) + Send + Sync>;

pub trait Runtime {
    /// When the run's time began is known.
    fn set_clock(&mut self, clock: Clock);
    /// Does what a kubelet asks for. Answers at once or by a notice.
    fn request(&mut self, node: NodeId, asked: Incarnation, cause: Cause, op: ContainerOp, answers: &mut Vec<Answer>);
    fn notice(&mut self, notice: Notice, answers: &mut Vec<Answer>);
    /// The node's power is lost: containers and sandboxes are gone without a word.
    fn lose(&mut self, node: NodeId);
    /// SIGSTOP to all containers of a node, or SIGCONT.
    fn freeze(&mut self, node: NodeId, frozen: bool);
    /// Running containers of a workload are given an order of the payload's ([`super::payload::exit_order`], [`super::payload::EXHAUST`]):
    /// all, or so many (lowest pod names first). What is no payload is killed.
    fn crash(&mut self, namespace: &Name, workload: &Name, count: Option<u64>, order: &str, cause: Cause);
    /// What the running containers have used so far, in their order. One that ends meanwhile is left out.
    fn stats(&mut self) -> Vec<ContainerStats>;
    /// Ends everything.
    fn end(&mut self);
}
