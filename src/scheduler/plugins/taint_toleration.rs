//! Taints repel pods that do not tolerate them (upstream `plugins/tainttoleration`).

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Score, Verdict, normalize_to_largest};
use crate::objects::{Taint, TaintEffect, Toleration};
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::queue::ClusterEvent;

pub struct TaintToleration;

#[derive(Clone, Copy)]
struct State<'a> {
    tolerations: &'a [Toleration],
}

impl<'a> State<'a> {
    fn of(cycle: Cycle<'a>) -> State<'a> {
        State { tolerations: &cycle.pod.spec().tolerations }
    }
    /// The first taint that keeps the pod away.
    fn untolerated<'t>(&self, taints: &'t [Taint]) -> Option<&'t Taint> {
        taints.iter().find(|taint| {
            taint.effect != TaintEffect::PreferNoSchedule && !self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
        })
    }
    /// How many taints would rather not have the pod.
    fn intolerable(&self, taints: &[Taint]) -> i64 {
        let soft = |toleration: &&Toleration| matches!(toleration.effect, None | Some(TaintEffect::PreferNoSchedule));
        let unwelcome = |taint: &&Taint| {
            taint.effect == TaintEffect::PreferNoSchedule
                && !self.tolerations.iter().filter(soft).any(|toleration| toleration.tolerates(taint))
        };
        taints.iter().filter(unwelcome).count() as i64
    }
}

impl Plugin for TaintToleration {
    fn id(&self) -> PluginId {
        PluginId::TaintToleration
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        PreFilter::Run(Box::new(State::of(cycle)))
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(State::of(cycle)))
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let state = State::of(cycle);
        let welcome = |node: &crate::objects::Node| state.untolerated(&node.spec.taints).is_none();
        match event {
            ClusterEvent::NodeAdded(node) => welcome(node),
            ClusterEvent::NodeChanged { old, new } => welcome(new) && !welcome(old),
            _ => false,
        }
    }
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        match self.untolerated(node.taints()) {
            None => Verdict::Fits,
            Some(taint) => Verdict::unresolvable(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)),
        }
    }
    /// Once for each list of taints that occurs.
    fn filter_all(&self, nodes: &[Slot], table: &NodeTable, fit: &mut [bool]) {
        let columns = table.columns();
        let welcome: Vec<bool> = columns.taint_sets().iter().map(|taints| self.untolerated(taints).is_none()).collect();
        for (slot, fit) in nodes.iter().zip(fit) {
            *fit &= welcome[columns.taints[slot.index()] as usize];
        }
    }
}

impl Score for State<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.intolerable(node.taints())
    }
    fn score_all(&self, nodes: &[Slot], table: &NodeTable, scores: &mut [i64]) {
        let columns = table.columns();
        let counts: Vec<i64> = columns.taint_sets().iter().map(|taints| self.intolerable(taints)).collect();
        for (slot, score) in nodes.iter().zip(scores) {
            *score = counts[columns.taints[slot.index()] as usize];
        }
    }
    fn is_normalized(&self) -> bool {
        true
    }
    fn normalize(&self, _nodes: &[Slot], scores: &mut [i64]) {
        normalize_to_largest(scores, true);
    }
}
