//! `nodeSelector` and node affinity (upstream `plugins/nodeaffinity`).

use std::collections::BTreeSet;

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Score, Verdict, normalize_to_largest};
use crate::base::Name;
use crate::objects::scheduling::{NodeAffinity as Affinity, PreferredNodeTerm};
use crate::objects::selector::Operator;
use crate::objects::{Labels, PodSpec};
use crate::scheduler::nodes::{NodeInfo, Slot};
use crate::scheduler::queue::ClusterEvent;

pub struct NodeAffinity {
    /// What the profile asks of every node beside what the pod asks (`NodeAffinityArgs.addedAffinity`).
    pub added: Option<Affinity>,
}

impl NodeAffinity {
    fn added_matches(&self, name: &Name, labels: &Labels) -> bool {
        let required = self.added.as_ref().and_then(|added| added.required.as_ref());
        required.is_none_or(|required| required.matches(name, labels))
    }
}

fn affinity(spec: &PodSpec) -> Option<&Affinity> {
    spec.affinity.as_ref()?.node_affinity.as_ref()
}

/// Whether a pod with this spec asks anything of its node's labels.
pub fn is_constrained(spec: &PodSpec) -> bool {
    !spec.node_selector.is_empty() || affinity(spec).is_some_and(|affinity| affinity.required.is_some())
}

/// Whether `nodeSelector` and the required node affinity hold on a node.
pub fn required_matches(spec: &PodSpec, name: &Name, labels: &Labels) -> bool {
    spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && affinity(spec).and_then(|affinity| affinity.required.as_ref()).is_none_or(|required| required.matches(name, labels))
}

/// The only nodes that can match, if every term names some by `matchFields`.
fn named_nodes(spec: &PodSpec) -> Option<BTreeSet<&Name>> {
    let terms = &affinity(spec)?.required.as_ref()?.node_selector_terms;
    let mut union = BTreeSet::new();
    for term in terms {
        let mut names: Option<BTreeSet<&Name>> = None;
        for field in term.match_fields.iter().filter(|field| field.key == *"metadata.name" && field.operator == Operator::In) {
            let values: BTreeSet<&Name> = field.values.iter().collect();
            names = Some(match names {
                None => values,
                Some(names) => names.intersection(&values).copied().collect(),
            });
        }
        union.extend(names?);
    }
    (!terms.is_empty()).then_some(union)
}

struct Required<'a> {
    spec: &'a PodSpec,
    plugin: NodeAffinity,
}

struct Preferred<'a>(Vec<&'a PreferredNodeTerm>, Vec<PreferredNodeTerm>);

impl Plugin for NodeAffinity {
    fn id(&self) -> PluginId {
        PluginId::NodeAffinity
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        let spec = cycle.pod.spec();
        if !is_constrained(spec) && self.added.is_none() {
            return PreFilter::Skip;
        }
        let filter = Box::new(Required { spec, plugin: NodeAffinity { added: self.added.clone() } });
        match named_nodes(spec) {
            None => PreFilter::Run(filter),
            Some(names) if names.is_empty() => PreFilter::Reject("pod affinity terms conflict".into()),
            Some(names) => PreFilter::Narrow(names.iter().filter_map(|name| cycle.snapshot.nodes().slot(name)).collect(), filter),
        }
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let own: Vec<&PreferredNodeTerm> = affinity(cycle.pod.spec()).into_iter().flat_map(|affinity| &affinity.preferred).collect();
        let added = self.added.as_ref().map_or(Vec::new(), |added| added.preferred.clone());
        (!own.is_empty() || !added.is_empty()).then(|| Box::new(Preferred(own, added)) as Box<dyn Score>)
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let required = |node: &crate::objects::Node| required_matches(cycle.pod.spec(), &node.meta.name, &node.meta.labels);
        let added = |node: &crate::objects::Node| self.added_matches(&node.meta.name, &node.meta.labels);
        match event {
            ClusterEvent::NodeAdded(node) => added(node) && required(node),
            // What the profile adds is not looked at in the old node: as upstream.
            ClusterEvent::NodeChanged { old, new } => added(new) && required(new) && !required(old),
            _ => false,
        }
    }
}

impl Filter for Required<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if !self.plugin.added_matches(&node.name, node.labels()) {
            return Verdict::unresolvable("node(s) didn't match scheduler-enforced node affinity");
        }
        if self.fits(node) { Verdict::Fits } else { Verdict::unresolvable("node(s) didn't match Pod's node affinity/selector") }
    }
    fn fits(&self, node: &NodeInfo) -> bool {
        self.plugin.added_matches(&node.name, node.labels()) && required_matches(self.spec, &node.name, node.labels())
    }
}

impl Score for Preferred<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0
            .iter()
            .copied()
            .chain(&self.1)
            .filter(|term| term.preference.matches(&node.name, node.labels()))
            .map(|term| term.weight)
            .sum()
    }
    fn is_normalized(&self) -> bool {
        true
    }
    fn normalize(&self, _nodes: &[Slot], scores: &mut [i64]) {
        normalize_to_largest(scores, false);
    }
}
