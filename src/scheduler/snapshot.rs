//! What a scheduling cycle looks at: nodes with what their pods take, pods by class, and the objects that default spreading and
//! namespace selectors need. Kept up to date object by object; pods that were *assumed* (decided, not yet confirmed) count like bound ones.
//!
//! Upstream copies its cache into a snapshot at the start of a cycle. Here one cycle runs at a time and decides in one step, so that
//! the live state serves.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::classes::{ClassId, ClassKey, Classes, Terms};
use super::nodes::{NodeTable, Slot};
use super::pods::{PodInfo, Shapes};
use super::profile::Profile;
use super::tables::Tables;
use super::volumes::{PodVolumes, Volumes};
use crate::base::{Map, Name};
use crate::objects::selector::Operator;
use crate::objects::{Key, Kind, LabelSelector, Labels, Object, PodDisruptionBudget, Requirement, Shared};

struct Placed {
    slot: Slot,
    class: ClassId,
    info: PodInfo,
}

/// See the module.
#[derive(Default)]
pub struct Snapshot {
    nodes: NodeTable,
    pods: Map<Key, Placed>,
    classes: Classes,
    shapes: Shapes,
    namespaces: Map<Name, Shared<Labels>>,
    services: Map<Name, BTreeMap<Name, Labels>>,
    /// Selectors of controllers by (kind, namespace, name).
    controllers: Map<(Name, Name, Name), LabelSelector>,
    budgets: BTreeMap<Key, Arc<Object>>,
    /// Pods without a node for which room is kept, by the node's name, and where each is (upstream `backend/queue/nominator.go`).
    nominated: BTreeMap<Name, Vec<PodInfo>>,
    nominations: Map<Key, Name>,
    /// How many pods of each priority count.
    priorities: BTreeMap<i64, u32>,
    volumes: Volumes,
    /// What cycles have found out and later ones need not ask again.
    tables: RefCell<Tables>,
}

impl Snapshot {
    /// The state of a cluster with these objects: nodes in the order of their arrival, pods that are bound to them, and any of
    /// Namespace, Service, ReplicaSet, PodDisruptionBudget and the kinds of volumes. Others, and pods without a node, are ignored.
    pub fn from_objects<'a>(
        nodes: impl IntoIterator<Item = &'a Arc<Object>>,
        pods: impl IntoIterator<Item = &'a Arc<Object>>,
        others: impl IntoIterator<Item = &'a Arc<Object>>,
    ) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for object in nodes.into_iter().chain(others).chain(pods) {
            snapshot.set(object);
        }
        snapshot
    }

    pub fn nodes(&self) -> &NodeTable {
        &self.nodes
    }
    pub(super) fn tables(&self) -> RefMut<'_, Tables> {
        self.tables.borrow_mut()
    }
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }
    pub fn classes(&self) -> &Classes {
        &self.classes
    }
    /// Labels of each Namespace object.
    pub fn namespaces(&self) -> &Map<Name, Shared<Labels>> {
        &self.namespaces
    }
    /// Where a pod counts.
    pub fn node_of(&self, pod: &Key) -> Option<&Name> {
        self.pods.get(pod).map(|placed| &self.nodes.info(placed.slot).name)
    }

    /// Reads a pod, and keeps columns for the topology keys that it names.
    pub fn pod_info(&mut self, object: &Arc<Object>) -> PodInfo {
        let pod = object.as_pod().expect("pod_info is called with pods");
        let shape = self.shapes.of(&pod.spec);
        for constraint in &pod.spec.topology_spread_constraints {
            self.nodes.keep_topology(&constraint.topology_key);
        }
        if shape.has_pod_affinity {
            for key in Terms::of(pod.spec.affinity.as_ref(), &pod.meta.namespace).topology_keys() {
                self.nodes.keep_topology(key);
            }
        }
        PodInfo { key: object.key(), object: object.clone(), shape }
    }

    /// An object came or changed. A pod counts while it is bound and not terminal; a change that the scheduler cannot see costs two
    /// comparisons.
    pub fn set(&mut self, object: &Arc<Object>) {
        match &**object {
            Object::Node(_) => self.nodes.set_node(object),
            Object::Pod(pod) => match &pod.node {
                Some(node) if !pod.status.phase.is_terminal() => {
                    let info = self.pod_info(object);
                    self.place(info, node);
                }
                _ => {
                    self.remove_pod(&object.key());
                }
            },
            Object::Namespace(namespace) => {
                self.namespaces.insert(namespace.meta.name.clone(), namespace.meta.labels.clone());
            }
            Object::Service(service) => {
                let services = self.services.entry(service.meta.namespace.clone()).or_default();
                services.insert(service.meta.name.clone(), service.spec.selector.clone());
            }
            Object::ReplicaSet(set) => {
                self.set_controller(Kind::ReplicaSet.name(), &set.meta.namespace, &set.meta.name, (*set.spec.selector).clone());
            }
            Object::PodDisruptionBudget(_) => {
                self.budgets.insert(object.key(), object.clone());
            }
            _ if object.kind().is_of_volumes() => self.volumes.set(object),
            _ => {}
        }
    }

    /// An object went.
    pub fn remove(&mut self, object: &Object) {
        let meta = object.meta();
        match object {
            Object::Node(_) => self.nodes.remove_node(&meta.name),
            Object::Pod(_) => {
                self.remove_pod(&object.key());
            }
            Object::Namespace(_) => {
                self.namespaces.remove(&meta.name);
            }
            Object::Service(_) => {
                if let Some(services) = self.services.get_mut(&meta.namespace) {
                    services.remove(&meta.name);
                }
            }
            Object::ReplicaSet(_) => {
                self.controllers.remove(&(Name::new(Kind::ReplicaSet.name()), meta.namespace.clone(), meta.name.clone()));
            }
            Object::PodDisruptionBudget(_) => {
                self.budgets.remove(&object.key());
            }
            _ if object.kind().is_of_volumes() => self.volumes.remove(object),
            _ => {}
        }
    }

    /// Keeps room for a pod on a node, whether or not that exists, until it is bound there or [`Snapshot::withdraw`] is called.
    pub fn nominate(&mut self, info: PodInfo, node: &Name) {
        self.withdraw(&info.key);
        self.nominations.insert(info.key.clone(), node.clone());
        self.nominated.entry(node.clone()).or_default().push(info);
    }
    /// No room is kept for the pod any more. False if none was.
    pub fn withdraw(&mut self, pod: &Key) -> bool {
        let Some(node) = self.nominations.remove(pod) else { return false };
        let pods = self.nominated.get_mut(&node).expect("a nominated pod is listed");
        pods.retain(|other| other.key != *pod);
        if pods.is_empty() {
            self.nominated.remove(&node);
        }
        true
    }
    /// Where room is kept for a pod.
    pub fn nomination(&self, pod: &Key) -> Option<&Name> {
        self.nominations.get(pod)
    }
    /// The pods for which room is kept on a node.
    pub fn nominated_to(&self, node: &Name) -> &[PodInfo] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }
    /// The nodes that exist with a nominated pod that `counts`, in the order of slots.
    pub fn nominated_nodes(&self, counts: impl Fn(&PodInfo) -> bool) -> Vec<Slot> {
        let counted = self.nominated.iter().filter(|(_, pods)| pods.iter().any(&counts));
        let mut slots: Vec<Slot> = counted.filter_map(|(node, _)| self.nodes.slot(node)).collect();
        slots.sort_unstable();
        slots
    }
    pub fn budgets(&self) -> impl Iterator<Item = &PodDisruptionBudget> {
        self.budgets.values().filter_map(|object| object.as_pod_disruption_budget())
    }
    /// The lowest priority of a pod on a node.
    pub fn lowest_priority(&self) -> Option<i64> {
        self.priorities.first_key_value().map(|(priority, _)| *priority)
    }

    /// The selector of a controller whose pods are spread by default: a ReplicationController, ReplicaSet or StatefulSet.
    pub fn set_controller(&mut self, kind: &str, namespace: &Name, name: &Name, selector: LabelSelector) {
        self.controllers.insert((Name::new(kind), namespace.clone(), name.clone()), selector);
    }

    /// The pod counts on `node` from now on: it was decided, or is bound.
    pub fn place(&mut self, info: PodInfo, node: &Name) {
        self.withdraw(&info.key);
        if let Some(placed) = self.pods.get_mut(&info.key) {
            let same_shape = Arc::ptr_eq(&placed.info.shape, &info.shape);
            let class = |info: &PodInfo| ClassKey::of(info.pod(), info.shape.has_pod_affinity);
            if same_shape && self.nodes.info(placed.slot).name == *node && class(&placed.info) == class(&info) {
                return;
            }
            let key = info.key.clone();
            self.remove_pod(&key);
        }
        *self.priorities.entry(info.shape.priority).or_insert(0) += 1;
        let slot = self.nodes.add_pod(node, &info);
        let class = self.classes.add(info.pod(), info.shape.has_pod_affinity, slot);
        self.volumes.count(&info, true);
        self.pods.insert(info.key.clone(), Placed { slot, class, info });
    }

    /// Takes for a pod that goes to a node what its claims need there, as VolumeBinding found it (upstream Reserve): the writes that make it
    /// so. Nothing for a pod whose claims are bound, or whose profile binds none.
    pub fn reserve(&mut self, profile: &Profile, info: &PodInfo, slot: Slot) -> PodVolumes {
        if !info.shape.uses_claims || !profile.binds_volumes() {
            return PodVolumes::default();
        }
        let Ok(claims) = self.volumes.claims_of(info) else { return PodVolumes::default() };
        let (conflicts, volumes) = self.volumes.find(&claims, self.nodes.info(slot).node());
        debug_assert!(!conflicts.any(), "{} was decided for a node that VolumeBinding rejects: {conflicts:?}", info.key);
        self.volumes.assume(&volumes);
        volumes
    }
    /// Gives it back (upstream Unreserve).
    pub fn unreserve(&mut self, volumes: &PodVolumes) {
        self.volumes.revert(volumes);
    }

    /// The pod counts nowhere any more. False if it did not.
    pub fn remove_pod(&mut self, key: &Key) -> bool {
        let Some(placed) = self.pods.remove(key) else { return false };
        let priority = placed.info.shape.priority;
        let others = self.priorities.get_mut(&priority).expect("a counted pod has its priority counted");
        *others -= 1;
        if *others == 0 {
            self.priorities.remove(&priority);
        }
        self.classes.remove(placed.class, placed.slot);
        self.volumes.count(&placed.info, false);
        self.nodes.remove_pod(placed.slot, &placed.info);
        true
    }

    /// The selector by which a pod without constraints of its own is spread: that of its Services and of its controller together
    /// (upstream `plugins/helper/spread.go`, DefaultSelector). `None`: nothing selects it.
    pub fn default_selector(&self, info: &PodInfo) -> Option<LabelSelector> {
        let meta = &info.pod().meta;
        let mut selector = LabelSelector::default();
        for labels in self.services.get(&meta.namespace).into_iter().flat_map(BTreeMap::values) {
            if !labels.is_empty() && labels.iter().all(|(key, value)| meta.labels.get(key) == Some(value)) {
                selector.match_labels.extend(labels.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        let controller = meta.controller().filter(|owner| {
            let kind = (owner.api_version.as_str(), owner.kind.as_str());
            matches!(kind, ("v1", "ReplicationController") | ("apps/v1", "ReplicaSet" | "StatefulSet"))
        });
        let owned_by = controller.and_then(|owner| self.controllers.get(&(owner.kind.clone(), meta.namespace.clone(), owner.name.clone())));
        if let Some(owner) = owned_by {
            // As expressions, since a label of a Service may ask for another value of the same key.
            selector.match_expressions.extend(owner.match_labels.iter().map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![value.clone()],
            }));
            selector.match_expressions.extend(owner.match_expressions.iter().cloned());
        }
        (!selector.is_empty()).then_some(selector)
    }
}
