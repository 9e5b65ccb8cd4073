//! A host port can be taken once a node (upstream `plugins/nodeports`).

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::pods::HostPort;
use crate::scheduler::queue::ClusterEvent;

pub struct NodePorts;

struct State<'a>(&'a [HostPort]);

impl Plugin for NodePorts {
    fn id(&self) -> PluginId {
        PluginId::NodePorts
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        if cycle.pod.shape.ports.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Run(Box::new(State(&cycle.pod.shape.ports)))
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodRemoved(gone) => {
                gone.shape.ports.iter().any(|freed| cycle.pod.shape.ports.iter().any(|wanted| wanted.conflicts(freed)))
            }
            _ => false,
        }
    }
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if self.fits(node) { Verdict::Fits } else { Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports") }
    }
    fn fits(&self, node: &NodeInfo) -> bool {
        node.ports.is_empty() || !self.0.iter().any(|wanted| node.ports.iter().any(|used| used.conflicts(wanted)))
    }
}
