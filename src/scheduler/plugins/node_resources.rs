//! Resources: what fits, and the two scores over what would be left (upstream `plugins/noderesources`).

use std::borrow::Cow;

use super::{Code, Cycle, Filter, MAX_SCORE, Plugin, PluginId, PreFilter, Score, Verdict};
use crate::base::{Name, maths};
use crate::objects::{Node, Text};
use crate::scheduler::columns::Resource;
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::pods::{Amounts, PodInfo};
use crate::scheduler::queue::ClusterEvent;

/// What to prefer (`NodeResourcesFitArgs.scoringStrategy`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// Points of a broken line from utilisation, in percent, to a score from 0 to 10, in rising order of the first.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// A resource and what it weighs in a score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeightedResource {
    pub name: Name,
    pub weight: i64,
}

/// Extended resources that the filter does not look at (`NodeResourcesFitArgs.ignoredResources`, `ignoredResourceGroups`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ignored {
    pub resources: Vec<Name>,
    /// What stands before the slash in a resource's name.
    pub groups: Vec<Name>,
}

impl Ignored {
    fn has(&self, resource: &str) -> bool {
        let Some((group, _)) = resource.split_once('/').filter(|(group, _)| !group.ends_with("kubernetes.io")) else { return false };
        self.resources.iter().any(|ignored| ignored == resource) || self.groups.iter().any(|ignored| ignored == group)
    }
    /// What the filter looks at.
    fn without<'a>(&self, requests: &'a Amounts) -> Cow<'a, Amounts> {
        if !requests.scalars.iter().any(|(name, _)| self.has(name)) {
            return Cow::Borrowed(requests);
        }
        let scalars = requests.scalars.iter().filter(|(name, _)| !self.has(name)).cloned().collect();
        Cow::Owned(Amounts { scalars, ..requests.clone() })
    }
}

/// Filter, and a score by the profile's strategy; by default LeastAllocated over CPU and memory with equal weight.
pub struct NodeResourcesFit {
    ignored: Ignored,
    strategy: Strategy,
    resources: Vec<WeightedResource>,
    /// The default, which has a form over columns.
    plain: bool,
}

impl NodeResourcesFit {
    pub fn new(strategy: Strategy, resources: Vec<WeightedResource>, ignored: Ignored) -> NodeResourcesFit {
        let is_plain = |one: &[WeightedResource]| {
            one.len() == 2 && one[0].name == *"cpu" && one[1].name == *"memory" && one[0].weight == 1 && one[1].weight == 1
        };
        NodeResourcesFit { plain: strategy == Strategy::LeastAllocated && is_plain(&resources), strategy, resources, ignored }
    }
}

struct Fit<'a>(Cow<'a, Amounts>);

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
        PreFilter::Run(Box::new(Fit(self.ignored.without(&cycle.pod.shape.requests))))
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let (cpu, memory) = cycle.pod.shape.nonzero_for_score;
        if self.plain {
            return Some(Box::new(LeastAllocated { cpu, memory }));
        }
        let (strategy, resources) = (self.strategy.clone(), self.resources.clone());
        Some(Box::new(Allocation { strategy, resources, cpu, memory, requests: &cycle.pod.shape.requests }))
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
            for (name, request) in resources(&self.0) {
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
        node.pod_count < node.allowed_pods && !resources(&self.0).any(lacks)
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

/// The score of any strategy over any resources (upstream `noderesources/resource_allocation.go`).
struct Allocation<'a> {
    strategy: Strategy,
    resources: Vec<WeightedResource>,
    cpu: i64,
    memory: i64,
    requests: &'a Amounts,
}

impl Allocation<'_> {
    /// Allocatable, and what would be requested with the pod. A scalar that the pod does not ask for does not count.
    fn of(&self, node: &NodeInfo, name: &str) -> (i64, i64) {
        match name {
            "cpu" => (node.allocatable.cpu, node.nonzero.0 + self.cpu),
            "memory" => (node.allocatable.memory, node.nonzero.1 + self.memory),
            "ephemeral-storage" => (node.allocatable.ephemeral, node.requested.ephemeral + self.requests.ephemeral),
            scalar if self.requests.scalar(scalar) == 0 => (0, 0),
            scalar => (node.allocatable.scalar(scalar), node.requested.scalar(scalar) + self.requests.scalar(scalar)),
        }
    }
    fn resource_score(&self, allocatable: i64, wanted: i64) -> i64 {
        match &self.strategy {
            Strategy::LeastAllocated if wanted > allocatable => 0,
            Strategy::LeastAllocated => (allocatable - wanted) * MAX_SCORE / allocatable,
            // Silent containers count for more than they ask, so that a node may seem to be beyond its capacity.
            Strategy::MostAllocated => wanted.min(allocatable) * MAX_SCORE / allocatable,
            Strategy::RequestedToCapacityRatio(shape) => {
                let utilisation = if wanted > allocatable { 100 } else { wanted * 100 / allocatable };
                broken_line(shape, utilisation)
            }
        }
    }
}

/// `helper.BuildBrokenLinearFunction`, with scores of 0 to 10 drawn out to 100.
fn broken_line(shape: &[(i64, i64)], at: i64) -> i64 {
    let score = |score: i64| score * MAX_SCORE / 10;
    let Some(next) = shape.iter().position(|(utilisation, _)| at <= *utilisation) else {
        return shape.last().map_or(0, |(_, last)| score(*last));
    };
    let (x, y) = shape[next];
    match next.checked_sub(1).map(|before| shape[before]) {
        None => score(y),
        Some((x_before, y_before)) => score(y_before) + (score(y) - score(y_before)) * (at - x_before) / (x - x_before),
    }
}

impl Score for Allocation<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let by_ratio = matches!(self.strategy, Strategy::RequestedToCapacityRatio(_));
        let (mut sum, mut weights) = (0, 0);
        for WeightedResource { name, weight } in &self.resources {
            let (allocatable, wanted) = self.of(node, name);
            if allocatable != 0 {
                let score = self.resource_score(allocatable, wanted);
                // The ratio's mean leaves out resources that score nothing.
                if score > 0 || !by_ratio {
                    (sum, weights) = (sum + score * weight, weights + weight);
                }
            }
        }
        match weights {
            0 => 0,
            weights if by_ratio => (sum as f64 / weights as f64).round() as i64,
            weights => sum / weights,
        }
    }
}

/// Score: resources should be used to equal parts; by default CPU and memory.
pub struct NodeResourcesBalancedAllocation {
    pub resources: Vec<Name>,
}

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
        if self.resources.len() != 2 || self.resources[0] != *"cpu" || self.resources[1] != *"memory" {
            let asks = self.resources.iter().any(|name| amount(&shape.requests, name) != 0);
            let all = BalancedOver { resources: self.resources.clone(), requests: &shape.requests };
            return asks.then(|| Box::new(all) as Box<dyn Score>);
        }
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

/// The same over any resources: the standard deviation of what would be used of each.
struct BalancedOver<'a> {
    resources: Vec<Name>,
    requests: &'a Amounts,
}

impl Score for BalancedOver<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let fraction = |name: &Name| {
            let (allocatable, more) = (amount(&node.allocatable, name), amount(self.requests, name));
            let counts = allocatable != 0 && (more != 0 || matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage"));
            counts.then(|| ((amount(&node.requested, name) + more) as f64 / allocatable as f64).min(1.0))
        };
        let fractions: Vec<f64> = self.resources.iter().filter_map(fraction).collect();
        let deviation = match fractions.as_slice() {
            [] | [_] => 0.0,
            [one, other] => (one - other).abs() / 2.0,
            several => {
                let mean = several.iter().sum::<f64>() / several.len() as f64;
                let squares: f64 = several.iter().map(|fraction| (fraction - mean) * (fraction - mean)).sum();
                maths::sqrt(squares / several.len() as f64)
            }
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}
