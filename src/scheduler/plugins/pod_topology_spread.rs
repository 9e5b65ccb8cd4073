//! Topology spread constraints, and the default spreading of pods that have none (upstream `plugins/podtopologyspread`).
//!
//! Counts come from the classes of pods, so that a cycle costs a step a node that has such pods, not a match a pod.

use std::borrow::Cow;

use super::node_affinity::{is_constrained, required_matches};
use super::{Cycle, Filter, MAX_SCORE, Plugin, PluginId, PreFilter, Score, Verdict};
use crate::base::{Name, maths};
use crate::objects::node::labels::{HOSTNAME, ZONE};
use crate::objects::scheduling::{InclusionPolicy, TopologySpreadConstraint, WhenUnsatisfiable};
use crate::objects::selector::Operator;
use crate::objects::{LabelSelector, Node, PodSpec, Requirement, TaintEffect};
use crate::scheduler::columns::Topology;
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::pods::PodInfo;
use crate::scheduler::queue::ClusterEvent;
use crate::scheduler::snapshot::Snapshot;

pub struct PodTopologySpread {
    /// The constraints of pods that have none of their own, with the selector of what owns them; `None`: the system's
    /// (`PodTopologySpreadArgs`).
    pub defaults: Option<Vec<TopologySpreadConstraint>>,
}

/// A constraint with its selector as it applies to one pod.
struct Constraint<'a> {
    max_skew: i64,
    min_domains: i64,
    selector: Option<LabelSelector>,
    topology: Cow<'a, Topology>,
    inclusion: Inclusion<'a>,
}

/// Which nodes count for a constraint.
#[derive(Clone, Copy)]
struct Inclusion<'a> {
    spec: &'a PodSpec,
    affinity: bool,
    taints: bool,
}

impl Inclusion<'_> {
    fn of_all(&self) -> bool {
        !self.taints && (!self.affinity || !is_constrained(self.spec))
    }
    fn includes(&self, node: &NodeInfo) -> bool {
        let tolerated = |node: &NodeInfo| {
            node.taints().iter().all(|taint| {
                taint.effect == TaintEffect::PreferNoSchedule || self.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint))
            })
        };
        (!self.affinity || required_matches(self.spec, &node.name, node.labels())) && (!self.taints || tolerated(node))
    }
}

fn topology<'a>(snapshot: &'a Snapshot, key: &Name) -> Cow<'a, Topology> {
    match snapshot.nodes().topology(key) {
        Some(topology) => Cow::Borrowed(topology),
        None => Cow::Owned(snapshot.nodes().build_topology(key)),
    }
}

/// The selector with `matchLabelKeys` folded in; keys that the pod lacks are ignored.
fn selector_of(constraint: &TopologySpreadConstraint, pod: &PodInfo) -> Option<LabelSelector> {
    let mut selector = constraint.label_selector.clone()?;
    selector.match_expressions.extend(constraint.match_label_keys.iter().filter_map(|key| {
        let value = pod.labels().get(key)?;
        Some(Requirement { key: key.clone(), operator: Operator::In, values: vec![value.clone()] })
    }));
    Some(selector)
}

impl PodTopologySpread {
    /// The constraints that apply to the pod: its own, or the profile's.
    fn constraints<'a>(&self, cycle: Cycle<'a>, when: WhenUnsatisfiable) -> Vec<Constraint<'a>> {
        let own = &cycle.pod.spec().topology_spread_constraints;
        match &self.defaults {
            _ if !own.is_empty() => constraints(cycle, own, when, None),
            None if when == WhenUnsatisfiable::ScheduleAnyway => system_defaults(cycle),
            None => Vec::new(),
            Some(defaults) => match cycle.snapshot.default_selector(cycle.pod) {
                None => Vec::new(),
                Some(selector) => constraints(cycle, defaults, when, Some(&selector)),
            },
        }
    }
}

fn constraints<'a>(
    cycle: Cycle<'a>,
    list: &[TopologySpreadConstraint],
    when: WhenUnsatisfiable,
    selector: Option<&LabelSelector>,
) -> Vec<Constraint<'a>> {
    let spec = cycle.pod.spec();
    list.iter()
        .filter(|constraint| constraint.when_unsatisfiable == when)
        .map(|constraint| Constraint {
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains.unwrap_or(1),
            selector: selector.cloned().or_else(|| selector_of(constraint, cycle.pod)),
            topology: topology(cycle.snapshot, &constraint.topology_key),
            inclusion: Inclusion {
                spec,
                affinity: constraint.node_affinity_policy != Some(InclusionPolicy::Ignore),
                taints: constraint.node_taints_policy == Some(InclusionPolicy::Honor),
            },
        })
        .collect()
}

/// The system's defaults: hostname with skew 3, zone with skew 5, both soft (upstream `podtopologyspread/plugin.go`).
const SYSTEM_DEFAULTS: [(&str, i64); 2] = [(HOSTNAME, 3), (ZONE, 5)];

fn system_defaults(cycle: Cycle<'_>) -> Vec<Constraint<'_>> {
    let Some(selector) = cycle.snapshot.default_selector(cycle.pod) else { return Vec::new() };
    SYSTEM_DEFAULTS
        .into_iter()
        .map(|(key, max_skew)| Constraint {
            max_skew,
            min_domains: 1,
            selector: Some(selector.clone()),
            topology: topology(cycle.snapshot, &Name::new(key)),
            inclusion: Inclusion { spec: cycle.pod.spec(), affinity: true, taints: false },
        })
        .collect()
}

impl Constraint<'_> {
    /// Calls `found` with each node that has pods which the constraint counts, and how many. An empty selector counts nothing.
    fn counted(&self, cycle: Cycle<'_>, mut found: impl FnMut(Slot, i64)) {
        let Some(selector) = self.selector.as_ref().filter(|selector| !selector.is_empty()) else { return };
        for class in cycle.snapshot.classes().candidates(cycle.pod.namespace(), selector) {
            if !class.key.terminating && selector.matches(&class.key.labels) {
                for (slot, count) in &class.nodes {
                    // Pods may be bound to a node that is gone.
                    if cycle.snapshot.nodes().info(*slot).object.is_some() {
                        found(*slot, i64::from(*count));
                    }
                }
            }
        }
    }
}

/// The hard constraints of a pod.
struct Hard<'a> {
    namespace: &'a Name,
    constraints: Vec<HardConstraint<'a>>,
}

struct HardConstraint<'a> {
    constraint: Constraint<'a>,
    /// Pods by the value of the topology key.
    counts: Vec<i64>,
    lowest: Lowest,
    /// There are fewer domains than `minDomains`: the smallest count is taken for 0.
    few_domains: bool,
    /// 1 if the pod counts for itself.
    itself: i64,
}

/// The two domains with the fewest pods. The second need not be the true one after changes in several domains; changes within one, which
/// are all that a cycle makes before it takes them back, leave the first true (upstream `podtopologyspread/filtering.go`, criticalPaths).
#[derive(Clone, Copy)]
struct Lowest([(usize, i64); 2]);

impl Lowest {
    fn of(counts: impl Iterator<Item = (usize, i64)>) -> Lowest {
        let mut lowest = Lowest([(0, i64::MAX); 2]);
        counts.for_each(|(value, count)| lowest.update(value, count));
        lowest
    }
    fn update(&mut self, value: usize, count: i64) {
        let Lowest([first, second]) = self;
        if value == first.0 || value == second.0 {
            if value == first.0 {
                first.1 = count
            } else {
                second.1 = count
            }
            if first.1 > second.1 {
                std::mem::swap(first, second);
            }
        } else if count < first.1 {
            (*second, *first) = (*first, (value, count));
        } else if count < second.1 {
            *second = (value, count);
        }
    }
}

impl HardConstraint<'_> {
    /// The most pods that a domain may have for the pod to fit.
    fn most(&self) -> i64 {
        let smallest = if self.few_domains { 0 } else { self.lowest.0[0].1 };
        (self.constraint.max_skew - self.itself).saturating_add(smallest)
    }
}

impl<'a> Hard<'a> {
    fn of(cycle: Cycle<'a>, constraints: Vec<Constraint<'a>>) -> Hard<'a> {
        let nodes = cycle.snapshot.nodes();
        let everywhere = constraints.iter().all(|constraint| constraint.topology.labelled() == nodes.len());
        let has_all_keys = |slot: Slot| everywhere || constraints.iter().all(|constraint| constraint.topology.value(slot) != 0);
        let prepared: Vec<(Vec<i64>, Lowest, bool, i64)> = constraints
            .iter()
            .map(|constraint| {
                let topology = &constraint.topology;
                let inclusion = constraint.inclusion;
                let included = |slot: Slot| has_all_keys(slot) && (inclusion.of_all() || inclusion.includes(nodes.info(slot)));
                let is_domain: Vec<bool> = if everywhere && inclusion.of_all() {
                    (0..topology.len()).map(|value| value != 0 && topology.nodes_with(value) > 0).collect()
                } else {
                    let mut is_domain = vec![false; topology.len()];
                    for slot in nodes.order() {
                        if included(*slot) {
                            is_domain[topology.value(*slot)] = true;
                        }
                    }
                    is_domain
                };
                let mut counts = vec![0; topology.len()];
                constraint.counted(cycle, |slot, count| {
                    if included(slot) {
                        counts[topology.value(slot)] += count;
                    }
                });
                let domains = counts.iter().zip(&is_domain).enumerate().filter(|(_, (_, is_domain))| **is_domain);
                let domains = domains.map(|(value, (count, _))| (value, *count));
                let few_domains = (domains.clone().count() as i64) < constraint.min_domains;
                let lowest = Lowest::of(domains);
                let itself = constraint.selector.as_ref().is_some_and(|selector| selector.matches(cycle.pod.labels()));
                (counts, lowest, few_domains, i64::from(itself))
            })
            .collect();
        let combine =
            |(constraint, (counts, lowest, few_domains, itself))| HardConstraint { constraint, counts, lowest, few_domains, itself };
        Hard { namespace: cycle.pod.namespace(), constraints: constraints.into_iter().zip(prepared).map(combine).collect() }
    }
}

/// The soft constraints of a pod, over the feasible nodes.
struct Soft<'a> {
    constraints: Vec<SoftConstraint<'a>>,
    /// The constraints are the pod's own: nodes without the labels get nothing.
    strict: bool,
}

struct SoftConstraint<'a> {
    constraint: Constraint<'a>,
    weight: f64,
    /// Pods by slot for the hostname, else by the value of the topology key.
    counts: Vec<i64>,
    by_node: bool,
}

impl<'a> Soft<'a> {
    fn of(cycle: Cycle<'a>, constraints: Vec<Constraint<'a>>, strict: bool, feasible: &[Slot]) -> Soft<'a> {
        let nodes = cycle.snapshot.nodes();
        let has_all_keys = |slot: Slot| constraints.iter().all(|constraint| constraint.topology.value(slot) != 0);
        let scored: Cow<'_, [Slot]> = if strict {
            Cow::Owned(feasible.iter().copied().filter(|slot| has_all_keys(*slot)).collect())
        } else {
            Cow::Borrowed(feasible)
        };
        let prepared: Vec<(Vec<i64>, f64, bool)> = constraints
            .iter()
            .map(|constraint| {
                let topology = &constraint.topology;
                if *topology.key() == *HOSTNAME {
                    let mut counts = vec![0; nodes.slots()];
                    constraint.counted(cycle, |slot, count| counts[slot.index()] += count);
                    return (counts, maths::ln((scored.len() + 2) as f64), true);
                }
                // Without `strict` a missing label is a domain of its own, which only enlarges the number of domains.
                let mut is_domain = vec![false; topology.len()];
                for slot in scored.iter() {
                    is_domain[topology.value(*slot)] = true;
                }
                let mut counts = vec![0; topology.len()];
                constraint.counted(cycle, |slot, count| {
                    let value = topology.value(slot);
                    let included = || {
                        (!strict || has_all_keys(slot))
                            && (constraint.inclusion.of_all() || constraint.inclusion.includes(nodes.info(slot)))
                    };
                    if value != 0 && is_domain[value] && included() {
                        counts[value] += count;
                    }
                });
                let size = is_domain.iter().filter(|is_domain| **is_domain).count();
                (counts, maths::ln((size + 2) as f64), false)
            })
            .collect();
        let combine = |(constraint, (counts, weight, by_node))| SoftConstraint { constraint, weight, counts, by_node };
        Soft { constraints: constraints.into_iter().zip(prepared).map(combine).collect(), strict }
    }
    fn is_ignored(&self, slot: Slot) -> bool {
        self.strict && self.constraints.iter().any(|soft| soft.constraint.topology.value(slot) == 0)
    }
    fn raw(&self, slot: Slot) -> i64 {
        if self.is_ignored(slot) {
            return 0;
        }
        let mut sum = 0.0;
        for soft in &self.constraints {
            let value = soft.constraint.topology.value(slot);
            if value != 0 {
                let count = soft.counts[if soft.by_node { slot.index() } else { value }];
                sum += count as f64 * soft.weight + (soft.constraint.max_skew - 1) as f64;
            }
        }
        sum.round() as i64
    }
}

impl Plugin for PodTopologySpread {
    fn id(&self) -> PluginId {
        PluginId::PodTopologySpread
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        let constraints = self.constraints(cycle, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() { PreFilter::Skip } else { PreFilter::Run(Box::new(Hard::of(cycle, constraints))) }
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let strict = !cycle.pod.spec().topology_spread_constraints.is_empty() || self.defaults.is_some();
        let constraints = self.constraints(cycle, WhenUnsatisfiable::ScheduleAnyway);
        (!constraints.is_empty()).then(|| Box::new(Soft::of(cycle, constraints, strict, feasible)) as Box<dyn Score>)
    }
    /// Pods of the namespace that a hard constraint selects, and nodes that have all keys of those.
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let of_pod = &cycle.pod.spec().topology_spread_constraints;
        let all = if of_pod.is_empty() { self.defaults.as_deref().unwrap_or(&[]) } else { of_pod };
        let own = || all.iter().filter(|constraint| constraint.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
        let default = if of_pod.is_empty() { cycle.snapshot.default_selector(cycle.pod) } else { None };
        let selector = |constraint: &TopologySpreadConstraint| default.clone().or_else(|| selector_of(constraint, cycle.pod));
        let selects = |constraint: &TopologySpreadConstraint, pod: &PodInfo| {
            pod.namespace() == cycle.pod.namespace() && selector(constraint).is_some_and(|selector| selector.matches(pod.labels()))
        };
        let has_all_keys = |node: &Node| own().all(|constraint| node.meta.labels.contains_key(&constraint.topology_key));
        match event {
            ClusterEvent::PodAdded(pod) | ClusterEvent::PodRemoved(pod) => own().any(|constraint| selects(constraint, pod)),
            ClusterEvent::PodChanged { old, new } => own().any(|constraint| selects(constraint, old) != selects(constraint, new)),
            ClusterEvent::NodeAdded(node) | ClusterEvent::NodeRemoved(node) => has_all_keys(node),
            ClusterEvent::NodeChanged { old, new } => {
                let value = |node: &Node, constraint: &TopologySpreadConstraint| node.meta.labels.get(&constraint.topology_key).cloned();
                let moved = own().any(|constraint| value(old, constraint) != value(new, constraint));
                (has_all_keys(old) != has_all_keys(new)) || (has_all_keys(new) && (moved || old.spec.taints != new.spec.taints))
            }
            ClusterEvent::StorageAdded(_) | ClusterEvent::StorageChanged { .. } | ClusterEvent::StorageRemoved(_) => false,
        }
    }
}

impl Filter for Hard<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        for hard in &self.constraints {
            let value = hard.constraint.topology.value(node.slot);
            if value == 0 {
                return Verdict::unresolvable("node(s) didn't match pod topology spread constraints (missing required label)");
            }
            if hard.counts[value] > hard.most() {
                return Verdict::unschedulable("node(s) didn't match pod topology spread constraints");
            }
        }
        Verdict::Fits
    }
    /// Unlike the first count, this takes an empty selector for all pods, and terminating pods too (a peculiarity of v1.34.1).
    fn change(&mut self, pod: &PodInfo, node: &NodeInfo, times: i64) {
        if pod.namespace() != self.namespace || self.constraints.iter().any(|hard| hard.constraint.topology.value(node.slot) == 0) {
            return;
        }
        for HardConstraint { constraint, counts, lowest, .. } in &mut self.constraints {
            let selected = constraint.selector.as_ref().is_some_and(|selector| selector.matches(pod.labels()));
            if selected && constraint.inclusion.includes(node) {
                let value = constraint.topology.value(node.slot);
                counts[value] += times;
                lowest.update(value, counts[value]);
            }
        }
    }
    fn filter_all(&self, nodes: &[Slot], _table: &NodeTable, fit: &mut [bool]) {
        for hard in &self.constraints {
            let most = hard.most();
            for (slot, fit) in nodes.iter().zip(fit.iter_mut()) {
                let value = hard.constraint.topology.value(*slot);
                *fit &= value != 0 && hard.counts[value] <= most;
            }
        }
    }
}

impl Score for Soft<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.raw(node.slot)
    }
    fn score_all(&self, nodes: &[Slot], _table: &NodeTable, scores: &mut [i64]) {
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.raw(*slot);
        }
    }
    fn is_normalized(&self) -> bool {
        true
    }
    /// Fewer is better; ignored nodes get 0.
    fn normalize(&self, nodes: &[Slot], scores: &mut [i64]) {
        let counted = || nodes.iter().zip(&*scores).filter(|(slot, _)| !self.is_ignored(**slot)).map(|(_, score)| *score);
        let (smallest, largest) = (counted().min().unwrap_or(0), counted().max().unwrap_or(0).max(0));
        for (slot, score) in nodes.iter().zip(scores) {
            *score = if self.is_ignored(*slot) {
                0
            } else if largest == 0 {
                MAX_SCORE
            } else {
                MAX_SCORE * (largest + smallest - *score) / largest
            };
        }
    }
}
