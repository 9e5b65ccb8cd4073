//! Pods on nodes, grouped into classes that no selector and no affinity term can tell apart: same namespace, labels, pod affinity, and
//! terminating or not. Topology spreading and inter-pod affinity ask "how many pods like this are where"; with classes a question costs
//! a match a class (about one a ReplicaSet) and a step a node that has such pods, instead of a match a pod.

use std::collections::BTreeMap;

use super::nodes::Slot;
use crate::base::{Map, Name, stable_hash};
use crate::objects::scheduling::{PodAffinity, PodAffinityTerm};
use crate::objects::selector::Operator;
use crate::objects::{Affinity, LabelSelector, Labels, Pod, Shared};

/// A pod (anti-)affinity term with its owner's namespace resolved.
#[derive(Clone, Debug)]
pub struct Term {
    pub topology_key: Name,
    selector: Option<LabelSelector>,
    namespaces: Vec<Name>,
    namespace_selector: Option<LabelSelector>,
}

impl Term {
    fn of(term: &PodAffinityTerm, owner_namespace: &Name) -> Term {
        let own = term.namespaces.is_empty() && term.namespace_selector.is_none();
        Term {
            topology_key: term.topology_key.clone(),
            selector: term.label_selector.clone(),
            namespaces: if own { vec![owner_namespace.clone()] } else { term.namespaces.clone() },
            namespace_selector: term.namespace_selector.clone(),
        }
    }
    fn selects(&self, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
    /// The term of a pod that is on a node against the pod to be placed, whose Namespace object has these labels.
    pub fn matches_incoming(&self, namespace: &Name, namespace_labels: &Labels, labels: &Labels) -> bool {
        let in_namespace = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| selector.matches(namespace_labels));
        in_namespace && self.selects(labels)
    }
    /// The term of the pod to be placed against another pod. A namespace selector that the empty label set satisfies matches every
    /// namespace: a peculiarity of v1.34.1 (upstream `plugins/interpodaffinity/scoring.go`).
    pub fn matches_existing(&self, namespace: &Name, known: &Map<Name, Shared<Labels>>, labels: &Labels) -> bool {
        let in_namespace = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                known.get(namespace).is_some_and(|labels| selector.matches(labels)) || selector.matches(&Labels::new())
            });
        in_namespace && self.selects(labels)
    }
}

/// All pod (anti-)affinity terms of a pod.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub required: Vec<Term>,
    pub required_anti: Vec<Term>,
    /// With weights; anti-affinity's are negative.
    pub preferred: Vec<(i64, Term)>,
}

impl Terms {
    pub fn of(affinity: Option<&Affinity>, namespace: &Name) -> Terms {
        let mut terms = Terms::default();
        let Some(affinity) = affinity else { return terms };
        let stanza = |affinity: &Option<PodAffinity>, required: &mut Vec<Term>, preferred: &mut Vec<(i64, Term)>, sign: i64| {
            if let Some(affinity) = affinity {
                required.extend(affinity.required.iter().map(|term| Term::of(term, namespace)));
                preferred.extend(affinity.preferred.iter().map(|term| (sign * term.weight, Term::of(&term.pod_affinity_term, namespace))));
            }
        };
        stanza(&affinity.pod_affinity, &mut terms.required, &mut terms.preferred, 1);
        stanza(&affinity.pod_anti_affinity, &mut terms.required_anti, &mut terms.preferred, -1);
        terms
    }
    pub fn topology_keys(&self) -> impl Iterator<Item = &Name> {
        let weighted = self.preferred.iter().map(|(_, term)| term);
        self.required.iter().chain(&self.required_anti).chain(weighted).map(|term| &term.topology_key)
    }
}

/// What tells classes apart. The affinity by its hash: 64 bits over a few thousand templates.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClassKey {
    pub namespace: Name,
    pub labels: Shared<Labels>,
    pub terminating: bool,
    affinity: u64,
}

impl ClassKey {
    pub fn of(pod: &Pod, has_pod_affinity: bool) -> ClassKey {
        ClassKey {
            namespace: pod.meta.namespace.clone(),
            labels: pod.meta.labels.clone(),
            terminating: pod.meta.is_deleting(),
            affinity: if has_pod_affinity { stable_hash(&pod.spec.affinity) } else { 0 },
        }
    }
}

/// Pods that are alike, and on which nodes how many of them are.
#[derive(Debug)]
pub struct Class {
    pub key: ClassKey,
    /// `None`: no pod (anti-)affinity stanza.
    pub terms: Option<Terms>,
    pub nodes: BTreeMap<Slot, u32>,
}

/// The number of a class, used again when the class is empty.
pub type ClassId = u32;

/// All classes with at least one pod.
#[derive(Default)]
pub struct Classes {
    classes: Vec<Class>,
    by_key: Map<ClassKey, ClassId>,
    by_namespace: BTreeMap<Name, Vec<ClassId>>,
    /// By namespace and one label: a selector that asks for a label looks only at the classes that have it.
    by_label: Map<(Name, Name, Name), Vec<ClassId>>,
    with_terms: Vec<ClassId>,
    free: Vec<ClassId>,
}

impl Classes {
    /// The classes of a namespace that a selector may select: all those that it does, and maybe others.
    pub fn candidates(&self, namespace: &Name, selector: &LabelSelector) -> impl Iterator<Item = &Class> {
        let one_of = selector.match_expressions.iter().filter(|one| one.operator == Operator::In && one.values.len() == 1);
        let mut pairs = selector.match_labels.iter().chain(one_of.map(|one| (&one.key, &one.values[0])));
        let first = pairs.next();
        let ids = |(label, value): (&Name, &Name)| {
            self.by_label.get(&(namespace.clone(), label.clone(), value.clone())).map_or(&[] as &[ClassId], Vec::as_slice)
        };
        let ids = match first {
            // The label with the fewest classes: `pod-template-hash` may be shared by copies of a workload, their names are not.
            Some(first) => pairs.map(&ids).fold(ids(first), |least, other| if other.len() < least.len() { other } else { least }),
            None => self.by_namespace.get(namespace).map_or(&[] as &[ClassId], Vec::as_slice),
        };
        ids.iter().map(|id| &self.classes[*id as usize])
    }
    /// All classes.
    pub fn all(&self) -> impl Iterator<Item = &Class> {
        self.by_namespace.values().flatten().map(|id| &self.classes[*id as usize])
    }
    /// The classes whose pods have a pod (anti-)affinity stanza.
    pub fn with_terms(&self) -> impl Iterator<Item = &Class> {
        self.with_terms.iter().map(|id| &self.classes[*id as usize])
    }

    pub fn add(&mut self, pod: &Pod, has_pod_affinity: bool, slot: Slot) -> ClassId {
        let key = ClassKey::of(pod, has_pod_affinity);
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => {
                let terms = has_pod_affinity.then(|| Terms::of(pod.spec.affinity.as_ref(), &pod.meta.namespace));
                let class = Class { key: key.clone(), terms, nodes: BTreeMap::new() };
                let id = self.free.pop().unwrap_or(self.classes.len() as ClassId);
                self.by_namespace.entry(key.namespace.clone()).or_default().push(id);
                for (label, value) in key.labels.iter() {
                    self.by_label.entry((key.namespace.clone(), label.clone(), value.clone())).or_default().push(id);
                }
                if class.terms.is_some() {
                    self.with_terms.push(id);
                }
                if id as usize == self.classes.len() {
                    self.classes.push(class);
                } else {
                    self.classes[id as usize] = class;
                }
                self.by_key.insert(key, id);
                id
            }
        };
        *self.classes[id as usize].nodes.entry(slot).or_insert(0) += 1;
        id
    }

    pub fn remove(&mut self, id: ClassId, slot: Slot) {
        let class = &mut self.classes[id as usize];
        let count = class.nodes.get_mut(&slot).expect("a counted pod is in its class");
        *count -= 1;
        if *count == 0 {
            class.nodes.remove(&slot);
        }
        if class.nodes.is_empty() {
            let key = class.key.clone();
            self.by_key.remove(&key);
            if let Some(ids) = self.by_namespace.get_mut(&key.namespace) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_namespace.remove(&key.namespace);
                }
            }
            for (label, value) in key.labels.iter() {
                let pair = (key.namespace.clone(), label.clone(), value.clone());
                if let Some(ids) = self.by_label.get_mut(&pair) {
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        self.by_label.remove(&pair);
                    }
                }
            }
            self.with_terms.retain(|other| *other != id);
            self.free.push(id);
        }
    }
}
