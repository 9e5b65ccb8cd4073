//! The scheduler alone: a trace of pods that arrive one after the other and never leave, placed by one policy, as the study of
//! fragmentation in GPU clusters does it (Weng et al., "Beware of Fragmentation", USENIX ATC 2023). There is no control plane and no time:
//! what is asked is how much of the GPUs a policy can hand out before it finds no node any more.
//!
//! [`Study`] is the input, [`Study::run`] the whole of it, [`Results`] what came of it, by the arrived load in per cent ([`curve`]). The
//! order of pods and the rank of nodes, by which ties are decided, are given or drawn by the study's protocol ([`order`]).
//!
//! Fast by remembering: a score depends on the kind of pod and what a node has left, so that a node is looked at again, by a kind of pod,
//! only after something was placed on it. Invariant: remembered scores are those that would be found anew (`tests.rs`).
//!
//! Left out: descheduling, pods that leave, memory in the measure of fragmentation (as in the study).

mod curve;
mod go_random;
mod order;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policies::{Choice, Demand, Devices, Largest, Machine, Policy, Prospect, Typical, WHOLE_GPU};
use crate::base::digest::Digester;
use crate::base::random::Seed;
use crate::base::{Digest, Name};

pub use curve::{Column, Curve};
pub use order::{Arrival, Order, draw};

/// Pods that an inflated workload may have.
const MOST_ARRIVALS: usize = 5_000_000;

/// What is to be placed, where, and how.
#[derive(Clone)]
pub struct Study {
    /// As the result files call the list of pods.
    pub workload: Name,
    pub policy: Choice,
    /// By name.
    pub nodes: Arc<[Node]>,
    /// By name.
    pub pods: Arc<[Pod]>,
    /// `None`: drawn from the seed.
    pub order: Option<Arc<Order>>,
    /// How much is asked for in all, as thousandths of all GPUs: pods are taken away or come twice until it is so.
    pub load_per_mille: u64,
    /// Of the lists: stands for them where a plan is shown.
    pub content: Digest,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub name: Name,
    pub empty: Machine,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    pub name: Name,
    pub demand: Demand,
}

/// What became of a study.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Results {
    pub workload: Name,
    pub policy: Name,
    /// As the study's result files call the policy.
    pub label: Name,
    pub load_per_mille: u64,
    pub gpus: u64,
    pub nodes: u64,
    /// By arrived load.
    pub curve: Curve,
    pub placements: Vec<Placement>,
    /// Pods that found no node, by what they ask for, the most frequent first.
    pub unplaced: Vec<Unplaced>,
    /// Thousandths of GPUs at the end.
    pub arrived_milli: u64,
    pub used_milli: u64,
    /// The order was drawn, not given.
    pub drawn: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Placement {
    pub pod: Name,
    pub node: Option<Name>,
    /// Bit n is GPU n of the node.
    pub devices: u16,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Unplaced {
    pub cpu_milli: u64,
    pub gpus: u64,
    pub gpu_milli: u64,
    pub pods: u64,
}

impl std::fmt::Debug for Study {
    /// The lists are told by their digest: plans are compared by how they are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Study { workload, policy, content, load_per_mille, .. } = self;
        write!(f, "Study {{ {workload}, {}, {content}, {load_per_mille} }}", policy.name())
    }
}

impl Study {
    /// Thousandths of all GPUs.
    pub fn capacity(&self) -> i64 {
        self.nodes.iter().map(|node| node.empty.free_gpu()).sum()
    }
    /// The study's largest node, or what is larger here: a node beyond it would have scores below 0, as if nothing fitted it.
    fn largest(&self) -> Largest {
        self.nodes.iter().fold(Largest::STUDY, |largest, node| largest.or(&node.empty))
    }
    /// Places every pod; also the digest of all that was decided.
    pub fn run(&self, seed: u64) -> (Results, Digest) {
        let drawn = match &self.order {
            Some(_) => None,
            None => Some(order::draw(&self.pods, self.nodes.len(), self.capacity(), self.load_per_mille, seed)),
        };
        let order = drawn.as_ref().or(self.order.as_deref()).expect("given or drawn");
        let demands: Vec<Demand> = self.pods.iter().map(|pod| pod.demand).collect();
        let policy = self.policy.make(&Prospect { pods: demands.clone(), largest: self.largest() });
        let mut world = World::new(self, order, &demands);
        let mut chance = Seed(seed).stream("study");
        let mut lines = curve::Lines::new(self.capacity(), self.load_per_mille);
        let (mut arrived, mut used) = (0i64, 0i64);
        let mut digester = Digester::default();
        digester.bytes(self.policy.name().as_bytes());
        digester.number(seed);
        let mut placements = Vec::with_capacity(order.pods.len());
        let mut unplaced = std::collections::BTreeMap::new();
        for arrival in &order.pods {
            let pod = arrival.pod as usize;
            let demand = demands[pod];
            arrived += demand.gpu();
            let chosen = world.choose(pod, &*policy, &mut chance);
            if let Some(node) = chosen {
                let devices = world.place(node, &demand, &*policy, &mut chance);
                used += demand.gpu();
                digester.number(node as u64 + 1);
                digester.number(u64::from(devices.0));
                let node = Some(self.nodes[order.nodes[node] as usize].name.clone());
                placements.push(Placement { pod: arrival.name(&self.pods[pod].name), node, devices: devices.0 });
            } else {
                digester.number(0);
                *unplaced.entry((demand.cpu, demand.gpus, demand.gpu_milli)).or_insert(0u64) += 1;
                placements.push(Placement { pod: arrival.name(&self.pods[pod].name), node: None, devices: 0 });
            }
            lines.push(arrived, used, world.fragments());
        }
        let mut unplaced: Vec<Unplaced> = unplaced
            .into_iter()
            .map(|((cpu, gpus, gpu), pods)| Unplaced { cpu_milli: cpu as u64, gpus: gpus as u64, gpu_milli: gpu as u64, pods })
            .collect();
        unplaced.sort_by_key(|group| std::cmp::Reverse(group.pods));
        let results = Results {
            workload: self.workload.clone(),
            policy: self.policy.name().into(),
            label: self.policy.label().into(),
            load_per_mille: self.load_per_mille,
            gpus: (self.capacity() / WHOLE_GPU) as u64,
            nodes: self.nodes.len() as u64,
            curve: lines.curve(),
            placements,
            unplaced,
            arrived_milli: arrived as u64,
            used_milli: used as u64,
            drawn: self.order.is_none(),
        };
        (results, digester.digest())
    }
}

/// A node by its rank, in which all look-ups are.
type Rank = usize;

/// The pod does not fit.
const UNFIT: i32 = -1;
/// Not known since the node changed.
const STALE: i32 = -2;

/// The nodes as they fill up, and what is remembered of them.
struct World {
    machines: Vec<Machine>,
    typical: Typical,
    /// Of each node.
    fragments: Vec<f64>,
    /// The kind of each pod.
    kinds: Vec<usize>,
    demands: Vec<Demand>,
    /// Of each kind of pod.
    remembered: Vec<Remembered>,
    /// Nodes in the order in which something was placed on them.
    changes: Vec<u32>,
}

/// Scores of one kind of pod.
struct Remembered {
    scores: Vec<i32>,
    /// Changes that it knows of.
    seen: usize,
}

impl World {
    fn new(study: &Study, order: &Order, demands: &[Demand]) -> World {
        let machines: Vec<Machine> = order.nodes.iter().map(|node| study.nodes[*node as usize].empty).collect();
        let typical = Typical::of(demands);
        let mut distinct = demands.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let kind = |demand: &Demand| distinct.binary_search(demand).expect("it is one of them");
        World {
            fragments: machines.iter().map(|machine| typical.fragment(machine)).collect(),
            kinds: demands.iter().map(kind).collect(),
            remembered: distinct.iter().map(|_| Remembered { scores: vec![STALE; machines.len()], seen: 0 }).collect(),
            demands: distinct,
            machines,
            typical,
            changes: Vec::new(),
        }
    }
    /// The best node for a pod, the first one of several; `None` if it fits nowhere. Scores are taken as they are: bringing those of one
    /// policy into one range would not change which is the largest.
    fn choose(&mut self, pod: usize, policy: &dyn Policy, chance: &mut crate::base::Stream) -> Option<Rank> {
        let kind = self.kinds[pod];
        self.refresh(kind, policy);
        let scores = &self.remembered[kind].scores;
        let best = scores.iter().copied().max().filter(|best| *best >= 0)?;
        let mut nodes = scores.iter().enumerate().filter(|(_, score)| **score == best).map(|(rank, _)| rank);
        if policy.draws() {
            let count = nodes.clone().count();
            return nodes.nth(if count > 1 { chance.index(count) } else { 0 });
        }
        nodes.next()
    }
    /// Scores what changed since a pod of this kind was last looked at.
    fn refresh(&mut self, kind: usize, policy: &dyn Policy) {
        let World { machines, demands, remembered, changes, .. } = self;
        let (demand, Remembered { scores, seen }) = (&demands[kind], &mut remembered[kind]);
        let score = |rank: Rank| match &machines[rank] {
            machine if machine.fits(demand) => {
                let score = policy.score(demand, machine) as i32;
                debug_assert!(score >= 0, "{score} would be taken for a node that is not to be had");
                score
            }
            _ => UNFIT,
        };
        if *seen == 0 {
            (0..machines.len()).for_each(|rank| scores[rank] = score(rank));
        } else {
            for rank in &changes[*seen..] {
                scores[*rank as usize] = STALE;
            }
            for rank in &changes[*seen..] {
                let rank = *rank as usize;
                if scores[rank] == STALE {
                    scores[rank] = score(rank);
                }
            }
        }
        *seen = changes.len();
    }
    fn place(&mut self, rank: Rank, demand: &Demand, policy: &dyn Policy, chance: &mut crate::base::Stream) -> Devices {
        let machine = &mut self.machines[rank];
        let devices = machine.devices(demand, || policy.device(demand, machine, chance));
        machine.place(demand, devices);
        self.fragments[rank] = self.typical.fragment(machine);
        self.changes.push(rank as u32);
        devices
    }
    /// Of all nodes together.
    fn fragments(&self) -> f64 {
        self.fragments.iter().sum()
    }
}
