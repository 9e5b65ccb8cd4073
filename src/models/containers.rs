//! All container engines of a run, the registry that they pull from and the workloads that they run, as one model with one deadline.

use std::collections::{BTreeMap, BTreeSet};

use super::container_engine::{Answer, ContainerEngine, RuntimeTimes, block_of};
use super::distribution::Distribution;
use super::images::ImageCatalog;
use super::registry::{PullResult, Registry};
use super::workload::{Behaviour, Workloads};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Map, Name, Stream, Time};
use crate::objects::Uid;
use crate::objects::pod::PodIp;
use crate::wire::container::{ContainerId, ContainerOp, PodIdentity};
use crate::wire::{MachineId, NodeId};

/// What a connection to a pod's address meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serving {
    Accepts {
        service_time: Duration,
    },
    /// Nothing listens. Whether the machine itself answers is the network's to know.
    Refused,
}

/// See the module. Engines are numbered as the nodes are.
pub struct Containers {
    engines: Vec<ContainerEngine>,
    nodes: Map<MachineId, NodeId>,
    machines: Vec<MachineId>,
    registry: Registry,
    workloads: Workloads,
    /// (deadline, node) of every engine that has one.
    deadlines: BTreeSet<(Time, u32)>,
    known: Vec<Time>,
    /// Exits that a fault caused, and broken pulls: told at the next `wake`.
    due: Vec<PullResult>,
}

impl Containers {
    /// `machines`: of each node, by node number. `interfaces`: bytes per second of every machine, by machine number.
    pub fn new(
        seed: Seed,
        machines: Vec<MachineId>,
        interfaces: Vec<u64>,
        times: &RuntimeTimes,
        catalog: ImageCatalog,
        behaviours: BTreeMap<Name, Behaviour>,
    ) -> Containers {
        let preloaded: BTreeMap<Name, u64> = catalog.preloaded.iter().map(|image| (image.clone(), catalog.size(image))).collect();
        let engine = |(node, machine): (usize, &MachineId)| {
            let stream = seed.stream(&format!("container engine {node}"));
            ContainerEngine::new(*machine, node as u32, times.clone(), preloaded.clone(), stream)
        };
        let engines: Vec<ContainerEngine> = machines.iter().enumerate().map(engine).collect();
        Containers {
            known: vec![Time::NEVER; engines.len()],
            engines,
            nodes: machines.iter().enumerate().map(|(node, machine)| (*machine, NodeId(node as u32))).collect(),
            machines,
            registry: Registry::new(catalog, interfaces, seed.stream("registry")),
            workloads: Workloads::new(seed, behaviours),
            deadlines: BTreeSet::new(),
            due: Vec::new(),
        }
    }
    pub fn workloads(&mut self) -> &mut Workloads {
        &mut self.workloads
    }
    pub fn engine(&self, node: NodeId) -> &ContainerEngine {
        &self.engines[node.0 as usize]
    }
    /// Takes an operation of a kubelet.
    pub fn request(&mut self, now: Time, node: NodeId, asked: Incarnation, cause: Cause, op: ContainerOp) {
        self.engines[node.0 as usize].request(now, asked, cause, op, &mut self.registry);
        self.reschedule(node);
    }
    pub fn deadline(&self) -> Time {
        if !self.due.is_empty() {
            return Time::ZERO;
        }
        self.registry.deadline().min(self.deadlines.first().map_or(Time::NEVER, |(at, _)| *at))
    }
    /// Everything that has happened up to `now`: to which kubelet what is to be said.
    pub fn wake(&mut self, now: Time, answers: &mut Vec<(NodeId, Answer)>) {
        let mut said = Vec::new();
        let mut results = std::mem::take(&mut self.due);
        self.registry.wake(now, &mut results);
        for end in results {
            if let Some(node) = self.nodes.get(&end.machine).copied() {
                self.engines[node.0 as usize].pulled(&end.image, end.result, &mut said);
                answers.extend(said.drain(..).map(|answer| (node, answer)));
            }
        }
        while let Some(&(at, number)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let node = NodeId(number);
            debug_assert_eq!(self.known[number as usize], at);
            self.engines[number as usize].wake(now, &mut self.workloads, &mut said);
            answers.extend(said.drain(..).map(|answer| (node, answer)));
            self.reschedule(node);
        }
    }
    /// What a connection to this address meets now. `stream`: the traffic's own.
    pub fn serving(&self, ip: PodIp, now: Time, stream: &mut Stream) -> Serving {
        let engine = block_of(ip).and_then(|block| self.engines.get(block as usize));
        match engine.and_then(|engine| engine.serving(ip, now)) {
            Some(identity) => Serving::Accepts { service_time: self.workloads.service_time(&identity.workload, stream) },
            None => Serving::Refused,
        }
    }
    /// The node that an address belongs to.
    pub fn node_of(&self, ip: PodIp) -> Option<NodeId> {
        block_of(ip).filter(|block| (*block as usize) < self.engines.len()).map(NodeId)
    }
    /// App containers of running pods of a workload exit with this code: all, or those of `count` pods, lowest pod names first. Returns
    /// the pods.
    pub fn crash(&mut self, now: Time, cause: Cause, namespace: &str, workload: &str, count: Option<u64>, code: i32) -> Vec<Name> {
        let mut pods: BTreeMap<Name, Vec<(usize, ContainerId)>> = BTreeMap::new();
        for (node, engine) in self.engines.iter().enumerate() {
            for (identity, container) in engine.running(namespace, workload) {
                pods.entry(identity.pod.clone()).or_default().push((node, container.clone()));
            }
        }
        let count = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let mut crashed = Vec::new();
        for (pod, containers) in pods.into_iter().take(count) {
            for (node, container) in containers {
                self.engines[node].crash(now, cause, &container, code);
                self.reschedule(NodeId(node as u32));
            }
            crashed.push(pod);
        }
        crashed
    }
    /// The node's machine lost power.
    pub fn power_loss(&mut self, now: Time, node: NodeId) {
        self.engines[node.0 as usize].kill_all();
        self.registry.abort(now, self.machines[node.0 as usize]);
        let machine = self.machines[node.0 as usize];
        self.due.retain(|end| end.machine != machine);
        self.reschedule(node);
    }
    /// The node's machine stands still. Transfers to it go on in the network's buffers.
    pub fn freeze(&mut self, now: Time, node: NodeId) {
        self.engines[node.0 as usize].freeze(now);
        self.reschedule(node);
    }
    pub fn thaw(&mut self, now: Time, node: NodeId) {
        self.engines[node.0 as usize].thaw(now);
        self.reschedule(node);
    }
    pub fn set_registry_down(&mut self, now: Time, down: bool) {
        self.registry.set_down(now, down, &mut self.due);
    }
    /// `None`: as planned.
    pub fn set_registry_bandwidth(&mut self, now: Time, bandwidth: Option<u64>) {
        self.registry.set_bandwidth(now, bandwidth, &mut self.due);
    }
    /// Puts a pod on a node as if it had been running before (see [`ContainerEngine::place`]).
    pub fn place(&mut self, at: Time, node: NodeId, pod: &Uid, identity: &PodIdentity, containers: &[(Name, bool)]) -> Option<PodIp> {
        let ip = self.engines[node.0 as usize].place(at, pod, identity, containers, &mut self.workloads);
        self.reschedule(node);
        ip
    }
    fn reschedule(&mut self, node: NodeId) {
        let at = self.engines[node.0 as usize].deadline();
        let known = std::mem::replace(&mut self.known[node.0 as usize], at);
        if known != at {
            self.deadlines.remove(&(known, node.0));
            if at != Time::NEVER {
                self.deadlines.insert((at, node.0));
            }
        }
    }
}

/// Times without spread, for tests that compute by hand: sandbox 200 ms, create 100 ms, start 100 ms, all else 10 ms.
pub fn fixed_times() -> RuntimeTimes {
    let fixed = |millis| Distribution::Constant(Duration::from_millis(millis));
    RuntimeTimes { sandbox: fixed(200), create: fixed(100), start: fixed(100), stop: fixed(10), remove: fixed(10), probe: fixed(10) }
}
