//! Columns over the node table, for passes over the whole cluster: one array a quantity, indexed by slot.

use super::nodes::{NodeInfo, Slot};
use crate::base::{Map, Name};
use crate::objects::{Labels, Taint};

/// What the hot filters and scores read.
#[derive(Default)]
pub struct Columns {
    pub cpu: Vec<Resource>,
    pub memory: Vec<Resource>,
    /// Pods that still fit.
    pub free_pods: Vec<i64>,
    pub unschedulable: Vec<bool>,
    /// The number of the node's list of taints among [`Columns::taint_sets`]; 0 is the empty list.
    pub taints: Vec<u32>,
    taint_sets: Vec<Vec<Taint>>,
}

/// A resource of one node.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Resource {
    pub allocatable: i64,
    pub requested: i64,
    /// With defaults for silent containers.
    pub nonzero: i64,
}

impl Columns {
    pub fn resize(&mut self, slots: usize) {
        if self.taint_sets.is_empty() {
            self.taint_sets.push(Vec::new());
        }
        self.cpu.resize(slots, Resource::default());
        self.memory.resize(slots, Resource::default());
        self.free_pods.resize(slots, 0);
        self.unschedulable.resize(slots, false);
        self.taints.resize(slots, 0);
    }
    /// Every list of taints that some node has had. Lists are few (roles, failures), and are kept: a list may come back.
    pub fn taint_sets(&self) -> &[Vec<Taint>] {
        &self.taint_sets
    }
    pub(super) fn set(&mut self, info: &NodeInfo) {
        let at = info.slot.index();
        let (allocatable, requested) = (&info.allocatable, &info.requested);
        self.cpu[at] = Resource { allocatable: allocatable.cpu, requested: requested.cpu, nonzero: info.nonzero.0 };
        self.memory[at] = Resource { allocatable: allocatable.memory, requested: requested.memory, nonzero: info.nonzero.1 };
        self.free_pods[at] = info.allowed_pods - info.pod_count;
    }
    pub(super) fn set_taints(&mut self, slot: Slot, taints: &[Taint], unschedulable: bool) {
        self.unschedulable[slot.index()] = unschedulable;
        // When a taint was added changes nothing here.
        let same = |a: &[Taint]| {
            a.len() == taints.len() && a.iter().zip(taints).all(|(a, b)| (&a.key, &a.value, a.effect) == (&b.key, &b.value, b.effect))
        };
        let known = self.taint_sets.iter().position(|set| same(set));
        let number = known.unwrap_or_else(|| {
            self.taint_sets.push(taints.to_vec());
            self.taint_sets.len() - 1
        });
        self.taints[slot.index()] = number as u32;
    }
}

/// The values of one node label, as small numbers.
#[derive(Clone)]
pub struct Topology {
    key: Name,
    /// By slot; 0: the node does not have the label, or does not exist.
    values: Vec<u32>,
    numbers: Map<Name, u32>,
    /// How many nodes have each value; `[0]` is not used.
    nodes: Vec<u32>,
    /// How many nodes have the label, whatever its value.
    labelled: usize,
}

impl Topology {
    pub fn new(key: &Name) -> Topology {
        Topology { key: key.clone(), values: Vec::new(), numbers: Map::default(), nodes: vec![0], labelled: 0 }
    }
    pub fn key(&self) -> &Name {
        &self.key
    }
    /// The number of the node's value; 0 if it has none.
    pub fn value(&self, slot: Slot) -> usize {
        self.values[slot.index()] as usize
    }
    /// One more than the largest number of a value.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// There is no value at all.
    pub fn is_empty(&self) -> bool {
        self.labelled == 0
    }
    /// How many nodes have this value.
    pub fn nodes_with(&self, value: usize) -> u32 {
        self.nodes[value]
    }
    /// How many nodes have the label.
    pub fn labelled(&self) -> usize {
        self.labelled
    }
    pub(super) fn resize(&mut self, slots: usize) {
        self.values.resize(slots, 0);
    }
    /// The node in this slot has these labels now, or is gone.
    pub(super) fn set(&mut self, slot: Slot, labels: Option<&Labels>) {
        let new = match labels.and_then(|labels| labels.get(&self.key)) {
            None => 0,
            Some(value) => match self.numbers.get(value) {
                Some(number) => *number,
                None => {
                    let number = self.nodes.len() as u32;
                    self.nodes.push(0);
                    self.numbers.insert(value.clone(), number);
                    number
                }
            },
        };
        let old = std::mem::replace(&mut self.values[slot.index()], new);
        for (value, change) in [(old, -1i32), (new, 1)] {
            if value != 0 {
                self.nodes[value as usize] = self.nodes[value as usize].wrapping_add_signed(change);
                self.labelled = self.labelled.wrapping_add_signed(change as isize);
            }
        }
    }
}
