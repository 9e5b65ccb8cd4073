//! Nodes as the scheduler sees them: a table with a slot a node, kept up to date pod by pod, and the order in which nodes are looked at.
//!
//! Invariant: [`Columns`] hold what the [`NodeInfo`]s hold; `NodeTable::refresh` is the only place that copies.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::columns::{Columns, Topology};
use super::gpus::Gpus;
use super::pods::{Amounts, HostPort, PodInfo, Shape, normalized_image};
use super::tables::Changes;
use crate::base::{Map, Name};
use crate::objects::node::labels::{HOSTNAME, ZONE};
use crate::objects::{Labels, Node, Object, Taint};

/// The place of a node in the table: an index, local to one table, used again after the node is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node and what its pods take of it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub slot: Slot,
    pub name: Name,
    /// `None`: pods are bound to a node of this name, but there is none (yet, or any more).
    pub object: Option<Arc<Object>>,
    /// `status.allocatable`; capacity is never read.
    pub allocatable: Amounts,
    pub allowed_pods: i64,
    pub requested: Amounts,
    pub nonzero: (i64, i64),
    pub pod_count: i64,
    /// A set, as upstream: of two pods with the same port the first to go frees it.
    pub ports: BTreeSet<HostPort>,
    /// Names of the images that are here, normalised.
    pub images: Vec<Name>,
    /// Pods on the node, in order of arrival.
    pub pods: Vec<PodInfo>,
    pub gpus: Gpus,
}

impl NodeInfo {
    fn new(slot: Slot, name: &Name) -> NodeInfo {
        NodeInfo {
            slot,
            name: name.clone(),
            object: None,
            allocatable: Amounts::default(),
            allowed_pods: 0,
            requested: Amounts::default(),
            nonzero: (0, 0),
            pod_count: 0,
            ports: BTreeSet::new(),
            images: Vec::new(),
            pods: Vec::new(),
            gpus: Gpus::default(),
        }
    }
    /// The API object; only nodes that have one are looked at.
    pub fn node(&self) -> &Node {
        self.object.as_ref().and_then(|object| object.as_node()).expect("only nodes with an object are candidates")
    }
    pub fn labels(&self) -> &Labels {
        &self.node().meta.labels
    }
    pub fn taints(&self) -> &[Taint] {
        &self.node().spec.taints
    }
    pub fn add_pod(&mut self, pod: &PodInfo) {
        self.account(&pod.shape, 1);
        self.ports.extend(pod.shape.ports.iter().cloned());
        self.gpus.add(&pod.key, &pod.shape.requests);
        self.pods.push(pod.clone());
    }
    /// Takes a pod off; false if it is not here.
    pub fn remove_pod(&mut self, pod: &PodInfo) -> bool {
        let Some(at) = self.pods.iter().position(|present| present.key == pod.key) else { return false };
        let gone = self.pods.remove(at);
        self.gpus.remove(&gone.key);
        self.account(&gone.shape, -1);
        for port in &gone.shape.ports {
            self.ports.remove(port);
        }
        true
    }
    fn account(&mut self, shape: &Shape, times: i64) {
        self.requested.add(&shape.requests, times);
        self.nonzero.0 += times * shape.nonzero.0;
        self.nonzero.1 += times * shape.nonzero.1;
        self.pod_count += times;
    }
}

/// Where an image is.
#[derive(Clone, Copy, Debug)]
pub struct ImageInfo {
    /// As the first node reported it that was added with the image.
    pub size: u64,
    pub nodes: u32,
}

/// All nodes.
pub struct NodeTable {
    infos: Vec<NodeInfo>,
    by_name: Map<Name, Slot>,
    free: Vec<Slot>,
    /// Zones in order of arrival, each with its nodes in order of arrival (upstream `backend/cache/node_tree.go`).
    zones: Vec<(Name, Vec<Slot>)>,
    /// Made when it is asked for: a start-up adds thousands of nodes in a row.
    order: OnceCell<Vec<Slot>>,
    count: usize,
    images: Map<Name, ImageInfo>,
    topologies: Map<Name, Topology>,
    columns: Columns,
    changes: Changes,
}

impl Default for NodeTable {
    fn default() -> NodeTable {
        let mut table = NodeTable {
            infos: Vec::new(),
            by_name: Map::default(),
            free: Vec::new(),
            zones: Vec::new(),
            order: OnceCell::new(),
            count: 0,
            images: Map::default(),
            topologies: Map::default(),
            columns: Columns::default(),
            changes: Changes::default(),
        };
        // The keys of the system's default spreading, which most pods use.
        table.keep_topology(&Name::new(HOSTNAME));
        table.keep_topology(&Name::new(ZONE));
        table
    }
}

impl NodeTable {
    /// Nodes in the order in which a cycle looks at them: zone by zone in turn.
    pub fn order(&self) -> &[Slot] {
        self.order.get_or_init(|| interleave(&self.zones))
    }
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.count
    }
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// One more than the largest slot in use: the length of a column.
    pub fn slots(&self) -> usize {
        self.infos.len()
    }
    pub fn info(&self, slot: Slot) -> &NodeInfo {
        &self.infos[slot.index()]
    }
    /// The slot of a node that exists.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied().filter(|slot| self.info(*slot).object.is_some())
    }
    pub fn columns(&self) -> &Columns {
        &self.columns
    }
    pub fn changes(&self) -> &Changes {
        &self.changes
    }
    pub fn image(&self, name: &Name) -> Option<&ImageInfo> {
        self.images.get(name)
    }

    /// The column of a topology key, if it is kept.
    pub fn topology(&self, key: &str) -> Option<&Topology> {
        self.topologies.get(key)
    }
    /// Keeps a column for this key from now on.
    pub fn keep_topology(&mut self, key: &Name) {
        if !self.topologies.contains_key(key) {
            let topology = self.build_topology(key);
            self.topologies.insert(key.clone(), topology);
        }
    }
    /// A column for a key that is not kept.
    pub fn build_topology(&self, key: &Name) -> Topology {
        let mut topology = Topology::new(key);
        topology.resize(self.slots());
        for slot in self.order() {
            topology.set(*slot, Some(self.info(*slot).labels()));
        }
        topology
    }

    /// A node came or changed.
    pub fn set_node(&mut self, object: &Arc<Object>) {
        let node = object.as_node().expect("set_node is called with nodes");
        let slot = self.slot_for(&node.meta.name);
        let zone = zone_of(node);
        let old_zone = self.infos[slot.index()].object.as_ref().and_then(|old| old.as_node()).map(zone_of);
        self.count += usize::from(old_zone.is_none());
        if old_zone.as_ref() != Some(&zone) {
            if let Some(old_zone) = old_zone {
                self.leave_zone(&old_zone, slot);
            }
            match self.zones.iter_mut().find(|(name, _)| *name == zone) {
                Some((_, nodes)) => nodes.push(slot),
                None => self.zones.push((zone, vec![slot])),
            }
            self.order.take();
            self.changes.everything();
        }
        let before = self.infos[slot.index()].object.as_ref().and_then(|object| object.as_node());
        if before.is_none_or(|before| before.status.images != node.status.images) {
            // What an image is worth depends on how many nodes have it.
            self.changes.everything();
        }
        self.forget_images(slot);
        let images: Vec<Name> = node.status.images.iter().flat_map(|image| image.names.iter().map(normalized_image)).collect();
        for image in &node.status.images {
            for name in &image.names {
                let entry = self.images.entry(normalized_image(name)).or_insert(ImageInfo { size: image.size_bytes, nodes: 0 });
                entry.nodes += 1;
            }
        }
        for topology in self.topologies.values_mut() {
            topology.set(slot, Some(&node.meta.labels));
        }
        let info = &mut self.infos[slot.index()];
        info.allocatable = Amounts::of(&node.status.allocatable);
        info.gpus.set_node(&info.allocatable);
        info.allowed_pods = node.allocatable("pods");
        info.images = images;
        info.object = Some(object.clone());
        self.columns.set_taints(slot, &node.spec.taints, node.spec.unschedulable);
        self.refresh(slot);
    }

    /// A node went; its pods stay until they are gone too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.slot(name) else { return };
        let zone = zone_of(self.info(slot).node());
        self.count -= 1;
        self.leave_zone(&zone, slot);
        self.order.take();
        self.changes.everything();
        self.forget_images(slot);
        for topology in self.topologies.values_mut() {
            topology.set(slot, None);
        }
        let info = &mut self.infos[slot.index()];
        (info.object, info.allocatable, info.allowed_pods) = (None, Amounts::default(), 0);
        self.columns.set_taints(slot, &[], false);
        self.refresh(slot);
        self.free_if_unused(slot);
    }

    /// Counts a pod on a node, which need not exist.
    pub fn add_pod(&mut self, node: &Name, pod: &PodInfo) -> Slot {
        let slot = self.slot_for(node);
        self.infos[slot.index()].add_pod(pod);
        self.refresh(slot);
        slot
    }

    /// The inverse of [`NodeTable::add_pod`].
    pub fn remove_pod(&mut self, slot: Slot, pod: &PodInfo) {
        let was_there = self.infos[slot.index()].remove_pod(pod);
        assert!(was_there, "{} is not on node {}", pod.key, self.infos[slot.index()].name);
        self.refresh(slot);
        self.free_if_unused(slot);
    }

    fn slot_for(&mut self, name: &Name) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or(Slot(self.infos.len() as u32));
        let info = NodeInfo::new(slot, name);
        if slot.index() == self.infos.len() {
            self.infos.push(info);
            self.columns.resize(self.infos.len());
            for topology in self.topologies.values_mut() {
                topology.resize(self.infos.len());
            }
        } else {
            self.infos[slot.index()] = info;
        }
        self.by_name.insert(name.clone(), slot);
        slot
    }

    fn free_if_unused(&mut self, slot: Slot) {
        let info = &self.infos[slot.index()];
        if info.object.is_none() && info.pods.is_empty() {
            self.by_name.remove(&info.name);
            self.free.push(slot);
        }
    }

    fn forget_images(&mut self, slot: Slot) {
        for name in std::mem::take(&mut self.infos[slot.index()].images) {
            if let Some(image) = self.images.get_mut(&name) {
                image.nodes -= 1;
                if image.nodes == 0 {
                    self.images.remove(&name);
                }
            }
        }
    }

    fn leave_zone(&mut self, zone: &Name, slot: Slot) {
        if let Some(at) = self.zones.iter().position(|(name, _)| name == zone) {
            self.zones[at].1.retain(|other| *other != slot);
            if self.zones[at].1.is_empty() {
                self.zones.remove(at);
            }
        }
    }

    fn refresh(&mut self, slot: Slot) {
        self.columns.set(&self.infos[slot.index()]);
        self.changes.node(slot, self.infos.len());
    }
}

/// The first node of each zone, then the second of each, and so on.
fn interleave(zones: &[(Name, Vec<Slot>)]) -> Vec<Slot> {
    let deepest = zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or(0);
    (0..deepest).flat_map(|depth| zones.iter().filter_map(move |(_, nodes)| nodes.get(depth).copied())).collect()
}

/// Region and zone together, as upstream's `GetZoneKey`.
fn zone_of(node: &Node) -> Name {
    Name::from(format!("{}\0{}", node.region(), node.zone()))
}
