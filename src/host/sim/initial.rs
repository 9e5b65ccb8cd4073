//! `"initial": "running"`: a cluster whose workload is placed and ready before the run begins.
//!
//! Every object is made by the component that would have made it: admitted by the API server, owned and counted by the controllers,
//! placed by the scheduler, reported by the kubelets, at the instant at which the run begins. Left out: what a cluster's history leaves
//! behind (older ReplicaSets, gaps in revisions, leases of leaders: leaders are elected anew). A pod that fits nowhere stays pending.
//!
//! Invariant: nobody changes anything afterwards but heartbeats (`tests/running.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::apiserver::Creator;
use crate::base::random::Seed;
use crate::base::{Cause, Map, Name, Revision, Term, Time};
use crate::client::Cache;
use crate::controllers::{deployment, endpoint_slice, replicaset, volumes};
use crate::engine::plan::Plan;
use crate::etcd::EtcdMember;
use crate::host::sim::SimHost;
use crate::kubelet;
use crate::objects::{Condition, Conditions, Deployment, Key, Kind, List, Node, Object, Pod, ReplicaSet, Stored};
use crate::scheduler::{PodVolumes, place_all};
use crate::wire::etcd::{KeyValue, LeaseId, StoreSnapshot, Value};
use crate::wire::raft::Configuration;
use crate::wire::{Address, MachineId};

/// Fills the store, the machines and the engines. Returns what the store holds: owners before what they own.
pub fn preload(plan: &Plan, host: &mut SimHost) -> Vec<Stored> {
    let mut start = Start::new(plan);
    start.namespaces_and_classes();
    start.nodes();
    start.services();
    start.workloads();
    start.volumes();
    start.place(host);
    start.settle();
    start.endpoints();
    start.into_store(host)
}

/// What is there so far.
struct Start<'a> {
    plan: &'a Plan,
    at: Time,
    creator: Creator,
    namespaces: Vec<Object>,
    nodes: Vec<Node>,
    leases: Vec<Object>,
    services: Vec<Object>,
    slices: Vec<Object>,
    deployments: Vec<Deployment>,
    /// And the place of its Deployment.
    sets: Vec<(ReplicaSet, Option<usize>)>,
    /// And the place of its ReplicaSet.
    pods: Vec<(Pod, Option<usize>)>,
    /// Nodes, and what the kinds of volumes have: as controllers know them.
    volumes: Cache,
    /// Of what stands there.
    version: Revision,
}

impl Start<'_> {
    fn new(plan: &Plan) -> Start<'_> {
        let names = Seed(plan.seed).stream("names of the start");
        Start {
            plan,
            at: plan.start,
            creator: Creator::new(plan.timings.apiserver.clone(), plan.start, names),
            namespaces: Vec::new(),
            nodes: Vec::new(),
            leases: Vec::new(),
            services: Vec::new(),
            slices: Vec::new(),
            deployments: Vec::new(),
            sets: Vec::new(),
            pods: Vec::new(),
            volumes: Cache::default(),
            version: Revision::ZERO,
        }
    }
    fn create(&mut self, object: &Object) -> Object {
        // What a scenario's manifests hold was validated when it was read; what is made here is made as its component makes it.
        self.creator.create(object).unwrap_or_else(|error| panic!("{} cannot be there at the start: {error}", object.key()))
    }
    fn planned(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.plan.workload.iter().filter(|object| object.kind() == kind).cloned().collect()
    }

    fn namespaces_and_classes(&mut self) {
        let planned = self.planned(Kind::Namespace);
        let named = |name: &Name| planned.iter().any(|object| object.meta().name == *name);
        let initial: Vec<Object> = Creator::initial_namespaces().filter(|object| !named(&object.meta().name)).collect();
        for object in initial.iter().chain(planned.iter().map(|object| &**object)) {
            let created = self.create(object);
            self.namespaces.push(created);
        }
        for object in self.planned(Kind::PriorityClass) {
            let created = self.create(&object);
            self.namespaces.push(created);
        }
    }
    fn nodes(&mut self) {
        for planned in &self.plan.nodes {
            let shape = &planned.shape;
            let node = kubelet::ready_node(shape, self.at);
            let status = node.status.clone();
            let Object::Node(mut node) = self.create(&node.into()) else { unreachable!("a Node was created") };
            // The node lifecycle controller has taken the taint of a new node away.
            node.spec.taints.clone_from(&shape.taints);
            node.status = status;
            let lease = kubelet::node_lease(&node.meta, &self.plan.timings.kubelet, self.at);
            let lease = self.create(&lease.into());
            self.leases.push(lease);
            self.nodes.push(node);
        }
    }
    fn services(&mut self) {
        let planned = self.planned(Kind::Service);
        for service in planned.iter().filter_map(|object| object.as_service()) {
            self.creator.reserve_address(&service.spec.cluster_ip);
        }
        for object in planned.into_iter().chain(self.planned(Kind::PodDisruptionBudget)) {
            let created = self.create(&object);
            self.services.push(created);
        }
    }
    fn workloads(&mut self) {
        for object in self.planned(Kind::Deployment) {
            let Object::Deployment(deployment) = self.create(&object) else { unreachable!("a Deployment was created") };
            let set = deployment::first_set(&stored(deployment.clone().into()));
            self.deployments.push(deployment);
            self.set(&set.into(), Some(self.deployments.len() - 1));
        }
        for object in self.planned(Kind::ReplicaSet) {
            self.set(&object, None);
        }
        for object in self.planned(Kind::Pod) {
            self.pod(&object, None);
        }
    }
    fn set(&mut self, object: &Object, deployment: Option<usize>) {
        let Object::ReplicaSet(set) = self.create(object) else { unreachable!("a ReplicaSet was created") };
        let pod = Object::Pod(replicaset::new_pod(&set));
        let replicas = set.spec.replicas.unwrap_or(1);
        self.sets.push((set, deployment));
        for _ in 0..replicas {
            self.pod(&pod, Some(self.sets.len() - 1));
        }
    }
    fn pod(&mut self, object: &Object, set: Option<usize>) {
        let Object::Pod(pod) = self.create(object) else { unreachable!("a Pod was created") };
        self.pods.push((pod, set));
    }

    /// Claims and volumes as controllers leave them before any pod is there: what waits for its first pod waits.
    fn volumes(&mut self) {
        if !self.plan.has_volumes() {
            return;
        }
        for node in self.nodes.clone() {
            self.put(node.into());
        }
        for kind in Kind::of_volumes() {
            for object in self.planned(*kind) {
                let created = self.create(&object);
                self.put(created);
            }
        }
        let of_pods: Vec<Object> = self.pods.iter().flat_map(|(pod, _)| volumes::ephemeral_claims(pod)).map(Object::from).collect();
        for claim in of_pods {
            let created = self.create(&claim);
            self.put(created);
        }
        self.settle_volumes();
    }
    fn put(&mut self, object: Object) {
        self.version = self.version.next();
        self.volumes.put(Stored::new(self.version, Cause::NONE, Arc::new(object)));
    }
    fn settle_volumes(&mut self) {
        // Each look may make room for the next: a volume is made, then bound.
        loop {
            let changes = volumes::settle(&self.volumes);
            if changes.is_empty() {
                return;
            }
            for object in changes {
                let known = self.volumes.get(&object.key()).is_some();
                let object = if known { object } else { self.create(&object) };
                self.put(object);
            }
        }
    }
    /// What the pods that were placed have taken, and where their volumes are attached.
    fn bind_volumes(&mut self, reserved: PodVolumes) {
        for object in reserved.bindings.into_iter().map(|(volume, _)| volume).chain(reserved.provisions) {
            self.put(Arc::unwrap_or_clone(object));
        }
        self.settle_volumes();
        let attached: Vec<Object> = volumes::attachments(self.pods.iter().map(|(pod, _)| pod), &self.volumes).map(Object::from).collect();
        for attachment in attached {
            let mut created = self.create(&attachment);
            if let Object::VolumeAttachment(attachment) = &mut created {
                attachment.status.attached = true;
            }
            self.put(created);
        }
    }

    /// Binds the pods and puts them on their machines.
    fn place(&mut self, host: &mut SimHost) {
        let nodes: Vec<Arc<Object>> = self.nodes.iter().map(|node| Arc::new(node.clone().into())).collect();
        let pods: Vec<Arc<Object>> = self.pods.iter().map(|(pod, _)| Arc::new(pod.clone().into())).collect();
        let others = self.namespaces.iter().chain(&self.services).map(|object| Arc::new(object.clone()));
        let sets = self.sets.iter().map(|(set, _)| Arc::new(set.clone().into()));
        let stored = Kind::of_volumes().iter().flat_map(|kind| self.volumes.list(*kind));
        let others: Vec<Arc<Object>> = others.chain(sets).chain(stored.map(|(_, stored)| stored.object.clone())).collect();
        let mut reserved = PodVolumes::default();
        let mut ties = Seed(self.plan.seed).stream("ties of the start");
        let placements = place_all(&nodes, &pods, &others, &self.plan.timings.scheduler, &mut ties, &mut reserved);
        drop((nodes, pods, others));
        let machines: Map<&Name, MachineId> = self.plan.nodes.iter().map(|node| (&node.shape.name, node.machine)).collect();
        // Pods that are alike at the start say so in one list.
        let mut said = List::default();
        for ((pod, _), node) in self.pods.iter_mut().zip(placements) {
            if let Some(node) = node
                && let Some(machine) = machines.get(&node)
            {
                run(pod, node, *machine, self.at, host);
                pod.status.conditions.share_with(&said);
                said.clone_from(&pod.status.conditions);
            }
        }
        self.bind_volumes(reserved);
        for (node, planned) in self.nodes.iter_mut().zip(&self.plan.nodes) {
            let (engine, _) = host.place(planned.machine);
            node.status.images = kubelet::listed_images(engine.images());
        }
    }
    /// What controllers say of their workloads.
    fn settle(&mut self) {
        let keys: Vec<Key> = self.pods.iter().map(|(pod, _)| Key::pod(&pod.meta.namespace, &pod.meta.name)).collect();
        let mut pods_of: Vec<Vec<(&Key, &Pod)>> = vec![Vec::new(); self.sets.len()];
        for ((pod, set), key) in self.pods.iter().zip(&keys) {
            if let Some(set) = set {
                pods_of[*set].push((key, pod));
            }
        }
        for ((set, owner), pods) in self.sets.iter_mut().zip(pods_of) {
            set.status = replicaset::status_of(set, &pods, self.at);
            if let Some(owner) = owner {
                let deployment = &mut self.deployments[*owner];
                *deployment = deployment::settled(&stored(deployment.clone().into()), &stored(set.clone().into()), self.at);
            }
        }
    }
    fn endpoints(&mut self) {
        let nodes: BTreeMap<&Name, &Node> = self.nodes.iter().map(|node| (&node.meta.name, node)).collect();
        let mut in_namespace: BTreeMap<&Name, Vec<&Pod>> = BTreeMap::new();
        if !self.services.is_empty() {
            for (pod, _) in &self.pods {
                in_namespace.entry(&pod.meta.namespace).or_default().push(pod);
            }
        }
        let mut slices = Vec::new();
        for service in self.services.iter().filter_map(Object::as_service).filter(|service| !service.spec.selector.is_empty()) {
            let pods = in_namespace.get(&service.meta.namespace).into_iter().flatten().copied();
            slices.extend(endpoint_slice::first_slices(service, pods, |node| nodes.get(node).copied()));
        }
        for slice in slices {
            let created = self.create(&slice);
            self.slices.push(created);
        }
    }

    fn into_store(self, host: &mut SimHost) -> Vec<Stored> {
        let Start { plan, namespaces, nodes, leases, services, slices, deployments, sets, pods, volumes, .. } = self;
        let of_volumes = Kind::of_volumes().iter().flat_map(|kind| volumes.list(*kind));
        let of_volumes: Vec<Object> = of_volumes.map(|(_, stored)| (*stored.object).clone()).collect();
        let count = [&namespaces, &leases, &services, &slices].iter().map(|objects| objects.len()).sum::<usize>()
            + nodes.len()
            + deployments.len()
            + sets.len()
            + pods.len()
            + of_volumes.len();
        let objects = namespaces
            .into_iter()
            .chain(nodes.into_iter().map(Object::from))
            .chain(leases)
            .chain(services)
            .chain(slices)
            .chain(deployments.into_iter().map(Object::from))
            .chain(sets.into_iter().map(|(set, _)| set.into()))
            .chain(of_volumes)
            .chain(pods.into_iter().map(|(pod, _)| pod.into()));
        let mut kvs = Vec::with_capacity(count);
        let mut all = Vec::with_capacity(count);
        // A store begins at revision 1.
        let mut revision = Revision(1);
        let pair = |key: Arc<str>, value: Value, revision: Revision| KeyValue {
            key,
            value,
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: LeaseId::default(),
            cause: Cause::NONE,
        };
        for object in objects {
            revision.0 += 1;
            let key = object.key();
            if let Some(address) = Creator::address_key(&object) {
                kvs.push(pair(address.as_str().into(), Value::bytes(key.path().as_bytes()), revision));
            }
            let object = Arc::new(object);
            kvs.push(pair(key.path().clone(), Value::object(object.clone()), revision));
            all.push(Stored { key, revision, cause: Cause::NONE, object });
        }
        kvs.sort_by(|one, other| one.key.cmp(&other.key));
        let snapshot = StoreSnapshot { revision, compacted: revision, kvs, ..StoreSnapshot::default() };
        let records = EtcdMember::boot_records(snapshot, Term(1), Configuration::of(plan.first_members()));
        for member in plan.first_members() {
            host.preload_disk(Address::Etcd(member), records.clone());
        }
        all
    }
}

/// Binds a pod to a node and starts it there.
fn run(pod: &mut Pod, node: Name, machine: MachineId, at: Time, host: &mut SimHost) {
    pod.node = Some(node);
    pod.status.conditions.set(Condition::new("PodScheduled", true, "", at));
    let seen = kubelet::run(stored(pod.clone().into()), at);
    let (engine, workloads) = host.place(machine);
    if let Some(ip) = engine.place(at, &pod.meta.uid, &seen.identity(), &seen.containers(), workloads) {
        pod.status = seen.status(ip, at);
    }
}

/// For functions that want an object with its revision, which there is not yet.
fn stored(object: Object) -> Stored {
    Stored::new(Revision::ZERO, Cause::NONE, Arc::new(object))
}
