//! Resources: what fits, and the two scores over what would be left (upstream `plugins/noderesources`).

use super::{Code, Cycle, Filter, MAX_SCORE, Plugin, PluginId, PreFilter, Score, Verdict};
use crate::objects::{Node, Text};
use crate::scheduler::columns::Resource;
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::pods::{Amounts, PodInfo};
use crate::scheduler::queue::ClusterEvent;

/// Filter, and score LeastAllocated over CPU and memory with equal weight.
pub struct NodeResourcesFit;

struct Fit<'a>(&'a Amounts);

struct LeastAllocated {
    cpu: i64,
    memory: i64,
}

impl Plugin for NodeResourcesFit {
    fn id(&self) -> PluginId {
        PluginId::NodeResourcesFit
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        PreFilter::Run(Box::new(Fit(&cycle.pod.shape.requests)))
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let (cpu, memory) = cycle.pod.shape.nonzero_for_score;
        Some(Box::new(LeastAllocated { cpu, memory }))
    }
    /// Every pod that goes frees a place; a node helps if the pod would fit it empty, a change of one if it has more of what is asked.
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let wanted = &cycle.pod.shape.requests;
        let fits_empty = |node: &Node| {
            let allocatable = Amounts::of(&node.status.allocatable);
            let too_small = resources(wanted).any(|(name, request)| request > 0 && request > amount(&allocatable, name));
            node.allocatable("pods") > 0 && !too_small
        };
        match event {
            ClusterEvent::PodRemoved(_) => true,
            ClusterEvent::NodeAdded(node) => fits_empty(node),
            ClusterEvent::NodeChanged { old, new } => {
                let (before, after) = (Amounts::of(&old.status.allocatable), Amounts::of(&new.status.allocatable));
                let grew = new.allocatable("pods") > old.allocatable("pods")
                    || resources(wanted).any(|(name, request)| request > 0 && amount(&after, name) > amount(&before, name));
                grew && fits_empty(new)
            }
            _ => false,
        }
    }
}

/// The named amounts in the order in which they are checked.
fn resources(amounts: &Amounts) -> impl Iterator<Item = (&str, i64)> {
    let fixed = [("cpu", amounts.cpu), ("memory", amounts.memory), ("ephemeral-storage", amounts.ephemeral)];
    fixed.into_iter().chain(amounts.scalars.iter().map(|(name, amount)| (name.as_str(), *amount)))
}

fn amount(amounts: &Amounts, name: &str) -> i64 {
    match name {
        "cpu" => amounts.cpu,
        "memory" => amounts.memory,
        "ephemeral-storage" => amounts.ephemeral,
        scalar => amounts.scalar(scalar),
    }
}

impl Filter for Fit<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        let mut reasons: Vec<Text> = Vec::new();
        let mut code = Code::Unschedulable;
        if node.pod_count + 1 > node.allowed_pods {
            reasons.push("Too many pods".into());
        }
        if !self.0.is_nothing() {
            for (name, request) in resources(self.0) {
                let allocatable = amount(&node.allocatable, name);
                if request > 0 && request > allocatable - amount(&node.requested, name) {
                    reasons.push(format!("Insufficient {name}").into());
                    if request > allocatable {
                        code = Code::UnschedulableAndUnresolvable;
                    }
                }
            }
        }
        if reasons.is_empty() { Verdict::Fits } else { Verdict::Rejected { code, reasons } }
    }
    fn fits(&self, node: &NodeInfo) -> bool {
        let lacks = |(name, request): (&str, i64)| request > 0 && request > amount(&node.allocatable, name) - amount(&node.requested, name);
        node.pod_count < node.allowed_pods && !resources(self.0).any(lacks)
    }
    fn filter_all(&self, nodes: &[Slot], table: &NodeTable, fit: &mut [bool]) {
        let columns = table.columns();
        let has = |resource: Resource, request: i64| request <= 0 || request <= resource.allocatable - resource.requested;
        let rare = self.0.ephemeral > 0 || !self.0.scalars.is_empty();
        for (slot, fit) in nodes.iter().zip(fit) {
            let at = slot.index();
            *fit &= columns.free_pods[at] > 0 && has(columns.cpu[at], self.0.cpu) && has(columns.memory[at], self.0.memory);
            *fit = *fit && (!rare || self.fits(table.info(*slot)));
        }
    }
}

impl LeastAllocated {
    /// Two truncating divisions: a resource each, and the mean over the resources that the node has.
    fn of(&self, cpu: Resource, memory: Resource) -> i64 {
        let share = |resource: Resource, more: i64| match resource.nonzero + more {
            wanted if wanted > resource.allocatable => 0,
            wanted => (resource.allocatable - wanted) * MAX_SCORE / resource.allocatable,
        };
        match (cpu.allocatable != 0, memory.allocatable != 0) {
            (true, true) => (share(cpu, self.cpu) + share(memory, self.memory)) / 2,
            (true, false) => share(cpu, self.cpu),
            (false, true) => share(memory, self.memory),
            (false, false) => 0,
        }
    }
}

fn cpu_of(node: &NodeInfo) -> Resource {
    Resource { allocatable: node.allocatable.cpu, requested: node.requested.cpu, nonzero: node.nonzero.0 }
}
fn memory_of(node: &NodeInfo) -> Resource {
    Resource { allocatable: node.allocatable.memory, requested: node.requested.memory, nonzero: node.nonzero.1 }
}

impl Score for LeastAllocated {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.of(cpu_of(node), memory_of(node))
    }
    fn score_all(&self, nodes: &[Slot], table: &NodeTable, scores: &mut [i64]) {
        let columns = table.columns();
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.of(columns.cpu[slot.index()], columns.memory[slot.index()]);
        }
    }
}

/// Score: CPU and memory should be used to equal parts.
pub struct NodeResourcesBalancedAllocation;

struct Balanced {
    cpu: i64,
    memory: i64,
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn id(&self) -> PluginId {
        PluginId::NodeResourcesBalancedAllocation
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let PodInfo { shape, .. } = cycle.pod;
        let (cpu, memory) = (shape.requests.cpu, shape.requests.memory);
        (cpu != 0 || memory != 0).then(|| Box::new(Balanced { cpu, memory }) as Box<dyn Score>)
    }
}

impl Balanced {
    /// In float64 and in this order of operations: upstream's integers are those of the rounded arithmetic.
    fn of(&self, cpu: Resource, memory: Resource) -> i64 {
        let fraction = |resource: Resource, more: i64| {
            (resource.allocatable != 0).then(|| ((resource.requested + more) as f64 / resource.allocatable as f64).min(1.0))
        };
        let deviation = match (fraction(cpu, self.cpu), fraction(memory, self.memory)) {
            (Some(cpu), Some(memory)) => (cpu - memory).abs() / 2.0,
            _ => 0.0,
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}

impl Score for Balanced {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.of(cpu_of(node), memory_of(node))
    }
    fn score_all(&self, nodes: &[Slot], table: &NodeTable, scores: &mut [i64]) {
        let columns = table.columns();
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.of(columns.cpu[slot.index()], columns.memory[slot.index()]);
        }
    }
}
