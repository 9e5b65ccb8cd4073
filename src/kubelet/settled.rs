//! What kubelets leave in the API when their node is Ready and all its pods run: for a cluster that has been running before the run.

use super::heartbeat::{LEASE_NAMESPACE, lease_owner, set_conditions};
use super::images::Images;
use super::pod::{Seen, State, Worker};
use super::{Config, NodeShape};
use crate::base::{Name, Time};
use crate::objects::node::{NodeImage, NodeStatus};
use crate::objects::pod::PodIp;
use crate::objects::{Lease, LeaseSpec, Meta, Node, PodStatus, Shared, Stored};
use crate::wire::container::{ContainerInfo, Exit, PodIdentity, SandboxInfo};

/// A registered node that is Ready since `at`. The API server adds what it gives to every new object.
pub fn ready_node(shape: &NodeShape, at: Time) -> Node {
    let mut node = Node { meta: Meta::named("", &shape.name), ..Node::default() };
    node.meta.labels = Shared::new(shape.labels.clone());
    node.spec.taints.clone_from(&shape.taints);
    node.status = NodeStatus { capacity: shape.capacity.clone(), allocatable: shape.allocatable.clone(), ..NodeStatus::default() };
    set_conditions(&mut node.status.conditions, None, at);
    node
}

/// What a node's status lists of the images that its engine has.
pub fn listed_images(present: impl Iterator<Item = (Name, u64)>) -> Vec<NodeImage> {
    let mut images = Images::new();
    images.found(present.collect());
    images.listed()
}

/// The Lease of a registered node, renewed at `renewed`.
pub fn node_lease(node: &Meta, config: &Config, renewed: Time) -> Lease {
    let meta = Meta { owner_references: vec![lease_owner(node)].into(), ..Meta::named(LEASE_NAMESPACE, &node.name) };
    let spec = LeaseSpec {
        holder_identity: node.name.clone(),
        lease_duration_seconds: config.node_lease_duration.as_secs(),
        renew_time: Some(renewed.truncate_to_micro()),
        ..LeaseSpec::default()
    };
    Lease { meta, spec }
}

/// A bound pod, as its kubelet sees it.
pub struct RunningPod {
    worker: Worker,
}

/// Looks at a bound pod as its kubelet would.
pub fn run(stored: Stored, at: Time) -> RunningPod {
    RunningPod { worker: Worker::new(stored, at) }
}

impl RunningPod {
    /// Whose behaviour it has.
    pub fn identity(&self) -> PodIdentity {
        self.worker.identity()
    }
    /// Its containers by image, and whether each is an init container that runs to completion: what the engine's `place` wants.
    pub fn containers(&self) -> Vec<(Name, bool)> {
        self.worker.indexes().map(|index| (self.worker.spec(index).0.image.clone(), self.worker.is_regular_init(index))).collect()
    }
    /// The status that is reported once everything is seen running and ready.
    pub fn status(mut self, ip: PodIp, at: Time) -> PodStatus {
        let info = |index: u16| ContainerInfo {
            container: self.worker.id(index),
            started_at: Some(at),
            exit: self.worker.is_regular_init(index).then_some(Exit { code: 0, oom_killed: false, at }),
        };
        let containers: Vec<ContainerInfo> = self.worker.indexes().map(info).collect();
        let sandbox = SandboxInfo { pod: self.worker.uid().clone(), identity: self.worker.identity(), ip };
        self.worker.admitted = true;
        self.worker.adopt(Some(&sandbox), &containers.iter().collect::<Vec<_>>());
        for record in &mut self.worker.containers {
            record.seen = if record.state == State::Exited { Seen::Exited } else { Seen::Running };
            record.started = record.state == State::Running;
            record.ready = record.started;
        }
        self.worker.status(at)
    }
}
