//! Affinity and anti-affinity between pods (upstream `plugins/interpodaffinity`).

use std::borrow::Cow;

use super::{Cycle, Filter, MAX_SCORE, Plugin, PluginId, PreFilter, Score, Verdict};
use crate::base::Name;
use crate::objects::{Labels, Node, Shared};
use crate::scheduler::classes::{Class, Term, Terms};
use crate::scheduler::columns::Topology;
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};
use crate::scheduler::pods::PodInfo;
use crate::scheduler::queue::ClusterEvent;
use crate::scheduler::snapshot::Snapshot;

pub struct InterPodAffinity {
    /// What an existing pod's required affinity term adds where it matches the pod to be placed (`hardPodAffinityWeight`): 1.
    pub hard_weight: i64,
    /// Existing pods' preferences do not count for a pod without preferences of its own: false.
    pub ignore_preferred_of_existing: bool,
}

/// Sums by (topology key, value); a key's column is made when something is first added.
struct Sums<'a> {
    snapshot: &'a Snapshot,
    keys: Vec<(Name, Cow<'a, Topology>, Vec<i64>)>,
    /// Something was added, be it a sum of zero.
    touched: bool,
    /// How many sums are not zero.
    entries: usize,
}

impl<'a> Sums<'a> {
    fn new(snapshot: &'a Snapshot) -> Sums<'a> {
        Sums { snapshot, keys: Vec::new(), touched: false, entries: 0 }
    }
    fn key(&mut self, key: &Name) -> usize {
        if let Some(at) = self.keys.iter().position(|(have, ..)| have == key) {
            return at;
        }
        let topology = match self.snapshot.nodes().topology(key) {
            Some(topology) => Cow::Borrowed(topology),
            None => Cow::Owned(self.snapshot.nodes().build_topology(key)),
        };
        let sums = vec![0; topology.len()];
        self.keys.push((key.clone(), topology, sums));
        self.keys.len() - 1
    }
    /// Adds `weight` for each pod of the class where it is.
    fn add(&mut self, key: &Name, class: &Class, weight: i64) {
        let at = self.key(key);
        let (_, topology, sums) = &mut self.keys[at];
        for (slot, count) in &class.nodes {
            let value = topology.value(*slot);
            if value != 0 {
                let before = sums[value];
                sums[value] += weight * i64::from(*count);
                self.entries = self.entries + usize::from(sums[value] != 0) - usize::from(before != 0);
                self.touched = true;
            }
        }
    }
    /// Adds `weight` for one pod on a node.
    fn add_at(&mut self, key: &Name, slot: Slot, weight: i64) {
        let at = self.key(key);
        let (_, topology, sums) = &mut self.keys[at];
        let value = topology.value(slot);
        if value != 0 {
            let before = sums[value];
            sums[value] += weight;
            self.entries = self.entries + usize::from(sums[value] != 0) - usize::from(before != 0);
        }
    }
    /// The sum for a key at a node; `None` if the node lacks the key. Nothing was ever added for an unknown key.
    fn at(&self, key: &Name, slot: Slot) -> Option<i64> {
        let (_, topology, sums) = self.keys.iter().find(|(have, ..)| have == key)?;
        let value = topology.value(slot);
        (value != 0).then(|| sums[value])
    }
    fn total(&self, slot: Slot) -> i64 {
        self.keys.iter().map(|(_, topology, sums)| if topology.value(slot) == 0 { 0 } else { sums[topology.value(slot)] }).sum()
    }
}

/// The labels of the Namespace object of the pod to be placed; none if it is unknown.
fn namespace_labels(cycle: Cycle<'_>) -> Shared<Labels> {
    cycle.snapshot.namespaces().get(cycle.pod.namespace()).cloned().unwrap_or_default()
}

fn terms_of(pod: &PodInfo) -> Terms {
    if pod.shape.has_pod_affinity { Terms::of(pod.spec().affinity.as_ref(), pod.namespace()) } else { Terms::default() }
}

struct Required<'a> {
    cycle: Cycle<'a>,
    own_namespace: Shared<Labels>,
    terms: Terms,
    /// Existing pods' required anti-affinity against this pod.
    existing: Sums<'a>,
    affinity: Sums<'a>,
    anti: Sums<'a>,
    matches_itself: bool,
}

impl<'a> Required<'a> {
    fn of(cycle: Cycle<'a>) -> Option<Required<'a>> {
        let (snapshot, pod) = (cycle.snapshot, cycle.pod);
        let terms = terms_of(pod);
        let own_namespace = namespace_labels(cycle);
        let mut existing = Sums::new(snapshot);
        for class in snapshot.classes().with_terms() {
            for term in &class.terms.as_ref().expect("listed for its terms").required_anti {
                if term.matches_incoming(pod.namespace(), &own_namespace, pod.labels()) {
                    existing.add(&term.topology_key, class, 1);
                }
            }
        }
        if !existing.touched && terms.required.is_empty() && terms.required_anti.is_empty() {
            return None;
        }
        let matches = |term: &Term, namespace: &Name, labels: &Labels| term.matches_existing(namespace, snapshot.namespaces(), labels);
        let (mut affinity, mut anti) = (Sums::new(snapshot), Sums::new(snapshot));
        // The keys are asked for at every node, whether or not some pod matched.
        for term in &terms.required {
            affinity.key(&term.topology_key);
        }
        if !terms.required.is_empty() || !terms.required_anti.is_empty() {
            for class in snapshot.classes().all() {
                let (namespace, labels) = (&class.key.namespace, &class.key.labels);
                if !terms.required.is_empty() && terms.required.iter().all(|term| matches(term, namespace, labels)) {
                    for term in &terms.required {
                        affinity.add(&term.topology_key, class, 1);
                    }
                }
                for term in terms.required_anti.iter().filter(|term| matches(term, namespace, labels)) {
                    anti.add(&term.topology_key, class, 1);
                }
            }
        }
        let matches_itself = terms.required.iter().all(|term| matches(term, pod.namespace(), pod.labels()));
        Some(Required { cycle, own_namespace, terms, existing, affinity, anti, matches_itself })
    }
}

impl Filter for Required<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        let mut missing = false;
        for term in &self.terms.required {
            match self.affinity.at(&term.topology_key, node.slot) {
                None => return Verdict::unresolvable("node(s) didn't match pod affinity rules"),
                Some(count) => missing |= count <= 0,
            }
        }
        // The first pod of a group that wants to be together may go anywhere.
        if missing && (self.affinity.entries > 0 || !self.matches_itself) {
            return Verdict::unresolvable("node(s) didn't match pod affinity rules");
        }
        if self.terms.required_anti.iter().any(|term| self.anti.at(&term.topology_key, node.slot).is_some_and(|count| count > 0)) {
            return Verdict::unschedulable("node(s) didn't match pod anti-affinity rules");
        }
        let repelled = |(_, topology, sums): &(Name, Cow<'_, Topology>, Vec<i64>)| {
            let value = topology.value(node.slot);
            value != 0 && sums[value] > 0
        };
        if self.existing.keys.iter().any(repelled) {
            return Verdict::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Verdict::Fits
    }
    /// A key at a time.
    fn filter_all(&self, nodes: &[Slot], table: &NodeTable, fit: &mut [bool]) {
        if !self.terms.required.is_empty() {
            for (slot, fit) in nodes.iter().zip(fit.iter_mut()) {
                *fit = *fit && self.fits(table.info(*slot));
            }
            return;
        }
        for (key, topology, sums) in self.anti.keys.iter().chain(&self.existing.keys) {
            debug_assert_eq!(key, topology.key());
            for (slot, fit) in nodes.iter().zip(fit.iter_mut()) {
                // No node has value 0, whose sum stays 0.
                *fit &= sums[topology.value(*slot)] <= 0;
            }
        }
    }
    fn change(&mut self, pod: &PodInfo, node: &NodeInfo, times: i64) {
        let (incoming, known) = (self.cycle.pod, self.cycle.snapshot.namespaces());
        if pod.shape.has_pod_affinity {
            for term in &terms_of(pod).required_anti {
                if term.matches_incoming(incoming.namespace(), &self.own_namespace, incoming.labels()) {
                    self.existing.add_at(&term.topology_key, node.slot, times);
                }
            }
        }
        let matches = |term: &Term| term.matches_existing(pod.namespace(), known, pod.labels());
        if !self.terms.required.is_empty() && self.terms.required.iter().all(matches) {
            for term in &self.terms.required {
                self.affinity.add_at(&term.topology_key, node.slot, times);
            }
        }
        for term in self.terms.required_anti.iter().filter(|term| matches(term)) {
            self.anti.add_at(&term.topology_key, node.slot, times);
        }
    }
}

struct Preferred<'a>(Sums<'a>);

impl<'a> Preferred<'a> {
    fn of(plugin: &InterPodAffinity, cycle: Cycle<'a>) -> Option<Preferred<'a>> {
        let (snapshot, pod) = (cycle.snapshot, cycle.pod);
        let terms = terms_of(pod);
        if terms.preferred.is_empty() && plugin.ignore_preferred_of_existing {
            return None;
        }
        let own_namespace = namespace_labels(cycle);
        let mut sums = Sums::new(snapshot);
        if !terms.preferred.is_empty() {
            for class in snapshot.classes().all() {
                for (weight, term) in &terms.preferred {
                    if term.matches_existing(&class.key.namespace, snapshot.namespaces(), &class.key.labels) {
                        sums.add(&term.topology_key, class, *weight);
                    }
                }
            }
        }
        for class in snapshot.classes().with_terms() {
            let theirs = class.terms.as_ref().expect("listed for its terms");
            // With weight 0 nothing is even looked for.
            let hard = theirs.required.iter().filter(|_| plugin.hard_weight > 0).map(|term| (plugin.hard_weight, term));
            for (weight, term) in hard.chain(theirs.preferred.iter().map(|(weight, term)| (*weight, term))) {
                if term.matches_incoming(pod.namespace(), &own_namespace, pod.labels()) {
                    sums.add(&term.topology_key, class, weight);
                }
            }
        }
        sums.touched.then_some(Preferred(sums))
    }
}

impl Score for Preferred<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0.total(node.slot)
    }
    fn score_all(&self, nodes: &[Slot], _table: &NodeTable, scores: &mut [i64]) {
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.0.total(*slot);
        }
    }
    fn is_normalized(&self) -> bool {
        true
    }
    /// From the least to the most; in float64, dividing first: 29 of 100 gives 28.
    fn normalize(&self, _nodes: &[Slot], scores: &mut [i64]) {
        let (least, most) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for score in scores {
            *score = if most == least { 0 } else { (MAX_SCORE as f64 * ((*score - least) as f64 / (most - least) as f64)) as i64 };
        }
    }
}

impl Plugin for InterPodAffinity {
    fn id(&self) -> PluginId {
        PluginId::InterPodAffinity
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        match Required::of(cycle) {
            None => PreFilter::Skip,
            Some(required) => PreFilter::Run(Box::new(required)),
        }
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        Preferred::of(self, cycle).map(|preferred| Box::new(preferred) as Box<dyn Score>)
    }
    /// A pod that comes may be the wanted company; one that goes may have been the unwanted, or have unwanted this one; a node may give a
    /// new domain.
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        let terms = terms_of(cycle.pod);
        let own_namespace = namespace_labels(cycle);
        let matches = |term: &Term, pod: &PodInfo| term.matches_existing(pod.namespace(), cycle.snapshot.namespaces(), pod.labels());
        let wanted = |pod: &PodInfo| !terms.required.is_empty() && terms.required.iter().all(|term| matches(term, pod));
        let unwanted = |pod: &PodInfo| terms.required_anti.iter().any(|term| matches(term, pod));
        let repelled_by = |pod: &PodInfo| {
            let repels = |term: &Term| term.matches_incoming(cycle.pod.namespace(), &own_namespace, cycle.pod.labels());
            terms_of(pod).required_anti.iter().any(repels)
        };
        let has_key = |node: &Node| terms.topology_keys().any(|key| node.meta.labels.contains_key(key));
        match event {
            ClusterEvent::PodAdded(pod) => wanted(pod),
            ClusterEvent::PodChanged { old, new } => (wanted(new) && !wanted(old)) || (unwanted(old) && !unwanted(new)),
            ClusterEvent::PodRemoved(pod) => unwanted(pod) || repelled_by(pod),
            ClusterEvent::NodeAdded(node) => has_key(node) || terms.required.is_empty(),
            ClusterEvent::NodeChanged { old, new } => {
                let value = |node: &Node, term: &Term| node.meta.labels.get(&term.topology_key).cloned();
                // Into a domain of the wanted company, or out of one of the unwanted.
                let moved_in = |term: &Term| value(new, term).is_some() && value(old, term) != value(new, term);
                let moved_out = |term: &Term| value(old, term).is_some() && value(old, term) != value(new, term);
                terms.required.iter().any(moved_in) || terms.required_anti.iter().any(moved_out)
            }
            ClusterEvent::NodeRemoved(_)
            | ClusterEvent::StorageAdded(_)
            | ClusterEvent::StorageChanged { .. }
            | ClusterEvent::StorageRemoved(_) => false,
        }
    }
}
