//! A policy of the scenario in place of the default scores ([`policies`](crate::scheduler::policies)), and the filter that goes with it:
//! whether one of the node's GPUs has room for a share, not only all together.

use std::sync::Arc;

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Score, Verdict};
use crate::base::Name;
use crate::scheduler::gpus::demand_of;
use crate::scheduler::nodes::{NodeInfo, Slot};
use crate::scheduler::policies::{Demand, GPU_MODEL_LABEL, Machine, Policy};
use crate::scheduler::queue::ClusterEvent;

/// Filter: a GPU with enough left.
pub struct GpuDevices;

struct Room(Demand);

impl Plugin for GpuDevices {
    fn id(&self) -> PluginId {
        PluginId::GpuDevices
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        let demand = demand_of(&cycle.pod.shape.requests);
        if demand.gpus == 0 { PreFilter::Skip } else { PreFilter::Run(Box::new(Room(demand))) }
    }
    fn hint(&self, event: &ClusterEvent, _cycle: Cycle<'_>) -> bool {
        matches!(event, ClusterEvent::PodRemoved(_) | ClusterEvent::NodeAdded(_) | ClusterEvent::NodeChanged { .. })
    }
}

impl Filter for Room {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if self.fits(node) { Verdict::Fits } else { Verdict::unschedulable("node(s) had no GPU with enough room") }
    }
    fn fits(&self, node: &NodeInfo) -> bool {
        node.gpus.fit(&self.0)
    }
}

/// Score: one policy.
pub struct PolicyScore {
    policy: Arc<dyn Policy>,
    /// Models of GPUs, sorted: their places are their numbers. The first is that of nodes that name none.
    models: Arc<[Name]>,
}

impl PolicyScore {
    pub fn new(policy: Arc<dyn Policy>, models: Arc<[Name]>) -> PolicyScore {
        PolicyScore { policy, models }
    }
}

struct Scored {
    policy: Arc<dyn Policy>,
    models: Arc<[Name]>,
    demand: Demand,
}

impl Plugin for PolicyScore {
    fn id(&self) -> PluginId {
        PluginId::Policy
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        // Which models it accepts NodeAffinity has looked at.
        let demand = demand_of(&cycle.pod.shape.requests);
        Some(Box::new(Scored { policy: self.policy.clone(), models: self.models.clone(), demand }))
    }
}

impl Scored {
    fn machine(&self, node: &NodeInfo) -> Machine {
        // 0 is the empty name: that of nodes without a model.
        let model = node.labels().get(GPU_MODEL_LABEL).and_then(|model| self.models.binary_search(model).ok()).unwrap_or(0);
        let rest = |allocatable: i64, requested: i64| (allocatable, allocatable - requested);
        node.gpus.with(
            rest(node.allocatable.cpu, node.requested.cpu),
            rest(node.allocatable.memory, node.requested.memory),
            node.allowed_pods - node.pod_count,
            model as u8,
        )
    }
}

impl Score for Scored {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.policy.score(&self.demand, &self.machine(node))
    }
    fn normalize(&self, _nodes: &[Slot], scores: &mut [i64]) {
        self.policy.normalize(scores);
    }
}
