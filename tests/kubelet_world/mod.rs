//! The container engines of a few nodes, their registry and their workloads, driven by hand: what `host/sim` does for a run.

use std::collections::{BTreeMap, BTreeSet};

use clustersim::base::random::Seed;
use clustersim::base::{Cause, Duration, Incarnation, Map, Name, Time};
use clustersim::models::container_engine::{Answer, ContainerEngine, RuntimeTimes};
use clustersim::models::distribution::Distribution;
use clustersim::models::images::ImageCatalog;
use clustersim::models::registry::{PullResult, Registry};
use clustersim::models::workload::{Behaviour, Workloads};
use clustersim::wire::container::{ContainerEvent, ContainerOp};
use clustersim::wire::{MachineId, NodeId};

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
            let engine = &mut self.engines[number as usize];
            engine.wake(now, &mut self.workloads, &mut said);
            for answer in said.drain(..) {
                if engine.is_paused() && !matches!(answer.event, ContainerEvent::Probed { .. }) {
                    engine.keep_untold(answer);
                } else {
                    answers.push((node, answer));
                }
            }
            self.reschedule(node);
        }
    }
    /// The node's runtime stands still.
    pub fn pause(&mut self, now: Time, node: NodeId) {
        self.engines[node.0 as usize].pause(now);
        self.reschedule(node);
    }
    /// It goes on; what it has to tell.
    pub fn resume(&mut self, now: Time, node: NodeId, asks: Incarnation) -> Vec<Answer> {
        let untold = self.engines[node.0 as usize].resume(now, Some(asks), &mut self.registry);
        self.reschedule(node);
        untold
    }
    /// The node's machine lost power.
    pub fn power_loss(&mut self, now: Time, node: NodeId) {
        self.engines[node.0 as usize].kill_all();
        self.registry.abort(now, self.machines[node.0 as usize]);
        let machine = self.machines[node.0 as usize];
        self.due.retain(|end| end.machine != machine);
        self.reschedule(node);
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
    RuntimeTimes {
        sandbox: fixed(200),
        create: fixed(100),
        start: fixed(100),
        stop: fixed(10),
        remove: fixed(10),
        probe: fixed(10),
        exit: fixed(0),
        sharing: None,
    }
}
