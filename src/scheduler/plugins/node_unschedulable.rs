//! A cordoned node takes no pod that does not tolerate it (upstream `plugins/nodeunschedulable`). Looks at the field, not at the taint.

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::base::Name;
use crate::objects::node::taints::UNSCHEDULABLE;
use crate::objects::{Taint, TaintEffect, Toleration};
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::queue::ClusterEvent;

pub struct NodeUnschedulable;

struct State {
    tolerated: bool,
}

fn tolerated(tolerations: &[Toleration]) -> bool {
    !tolerations.is_empty() && {
        let taint = Taint { key: Name::new(UNSCHEDULABLE), value: Name::default(), effect: TaintEffect::NoSchedule, time_added: None };
        tolerations.iter().any(|toleration| toleration.tolerates(&taint))
    }
}

impl Plugin for NodeUnschedulable {
    fn id(&self) -> PluginId {
        PluginId::NodeUnschedulable
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        PreFilter::Run(Box::new(State { tolerated: tolerated(&cycle.pod.spec().tolerations) }))
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let open = |node: &crate::objects::Node| !node.spec.unschedulable || tolerated(&cycle.pod.spec().tolerations);
        match event {
            ClusterEvent::NodeAdded(node) => open(node),
            ClusterEvent::NodeChanged { old, new } => open(new) && !open(old),
            _ => false,
        }
    }
}

impl Filter for State {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if node.node().spec.unschedulable && !self.tolerated {
            return Verdict::unresolvable("node(s) were unschedulable");
        }
        Verdict::Fits
    }
    fn filter_all(&self, nodes: &[Slot], table: &NodeTable, fit: &mut [bool]) {
        if !self.tolerated {
            for (slot, fit) in nodes.iter().zip(fit) {
                *fit &= !table.columns().unschedulable[slot.index()];
            }
        }
    }
}
