//! A pod that names its node runs nowhere else (upstream `plugins/nodename`). In a cluster such a pod never reaches the scheduler.

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::base::Name;
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::queue::ClusterEvent;

pub struct NodeName;

struct State<'a>(&'a Name);

impl Plugin for NodeName {
    fn id(&self) -> PluginId {
        PluginId::NodeName
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        match &cycle.pod.pod().node {
            Some(name) => PreFilter::Run(Box::new(State(name))),
            None => PreFilter::Skip,
        }
    }
    fn hint(&self, event: &ClusterEvent, _cycle: Cycle<'_>) -> bool {
        matches!(event, ClusterEvent::NodeAdded(_))
    }
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if *self.0 != node.name { Verdict::unresolvable("node(s) didn't match the requested node name") } else { Verdict::Fits }
    }
}
