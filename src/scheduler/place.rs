//! Placing a whole workload at once, for a cluster that starts with everything running.
//!
//! The rule: pods in the order given. One whose scheduler no profile is called after stays pending. A pod that constrains its place (node
//! selector, affinity, spread constraints, host ports, extended resources, claims), or whose profile is not the default one, is placed by
//! [`decide`](super::decide()). Any other goes to the node with the smallest share of its requested resources - the mean of CPU and memory
//! over allocatable, in millionths, with defaults for silent containers - among those whose taints it tolerates and where it fits; ties go
//! to fewer pods, then to the order of nodes, which takes zones in turn. That is what LeastAllocated, balanced allocation and default
//! spreading lead to for a whole workload, at the cost of a heap step a pod. A pod that fits nowhere stays pending.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Config;
use super::decide::{Decision, Sampling, decide};
use super::nodes::Slot;
use super::plugins::{Cycle, Filter, PluginId, PreFilter};
use super::pods::PodInfo;
use super::profile::{Profile, ProfileConfig, Profiles};
use super::snapshot::Snapshot;
use super::volumes::PodVolumes;
use crate::base::{Name, Stream};
use crate::objects::Object;

/// The node of each pod, by the rule above. `others` may hold the Namespaces, Services and ReplicaSets that the pods' constraints refer to,
/// and objects of the kinds of volumes. Pods that name their node already count there; those that are terminal or gated get none. With a
/// policy of the scenario every pod is placed by [`decide`](super::decide()). `reserved` gets the writes that bind the pods' claims.
pub fn place_all(
    nodes: &[Arc<Object>],
    pods: &[Arc<Object>],
    others: &[Arc<Object>],
    config: &Config,
    ties: &mut Stream,
    reserved: &mut PodVolumes,
) -> Vec<Option<Name>> {
    let bound = |object: &&Arc<Object>| object.as_pod().is_some_and(|pod| pod.node.is_some());
    let mut snapshot = Snapshot::from_objects(nodes, pods.iter().filter(bound), others);
    let mut heap: BinaryHeap<Candidate> =
        snapshot.nodes().order().iter().enumerate().map(|(order, slot)| Candidate::of(*slot, order, &snapshot)).collect();
    // Nobody is evicted for a cluster that is to begin as it runs.
    let configs: Vec<ProfileConfig> = config.profiles.iter().map(|profile| ProfileConfig { preemption: None, ..profile.clone() }).collect();
    let by_default: Vec<bool> = configs.iter().map(|profile| config.policy.is_none() && profile.chooses_as_default()).collect();
    let profiles = Profiles::new(&configs).with_policy(config.policy.as_deref());
    let mut sampling = Sampling { percentage: 0, next: 0 };
    let mut placements = Vec::with_capacity(pods.len());
    for object in pods {
        let pod = object.as_pod().expect("place_all is called with pods");
        if pod.node.is_some() || pod.status.phase.is_terminal() || !pod.spec.scheduling_gates.is_empty() {
            placements.push(pod.node.clone());
            continue;
        }
        let Some(profile) = profiles.of(&pod.spec) else {
            placements.push(None);
            continue;
        };
        let info = snapshot.pod_info(object);
        let chosen = if !by_default[profile.number() as usize] || is_constrained(&info) {
            sampling.percentage = profile.percentage_of_nodes_to_score().unwrap_or(config.percentage_of_nodes_to_score);
            match decide(profile, &info, &snapshot, &mut sampling, ties) {
                Decision::Node(slot) => Some(slot),
                Decision::Unschedulable(_) => None,
            }
        } else {
            least_allocated(profile, &info, &snapshot, &mut heap)
        };
        let node = chosen.map(|slot| snapshot.nodes().info(slot).name.clone());
        if let (Some(name), Some(slot)) = (&node, chosen) {
            let volumes = snapshot.reserve(profile, &info, slot);
            reserved.bindings.extend(volumes.bindings);
            reserved.provisions.extend(volumes.provisions);
            snapshot.place(info, name);
        }
        placements.push(node);
    }
    placements
}

fn is_constrained(info: &PodInfo) -> bool {
    let spec = info.spec();
    let (shape, requests) = (&info.shape, &info.shape.requests);
    !spec.node_selector.is_empty()
        || spec.affinity.is_some()
        || !spec.topology_spread_constraints.is_empty()
        || !shape.ports.is_empty()
        || !requests.scalars.is_empty()
        || shape.uses_claims
}

/// A node in the heap. Its load may have grown since it was put in: it is put back with the present one then. The largest is the best.
type Candidate = (Reverse<Load>, Slot);

/// Share in millionths, pods, place in the order.
type Load = (i64, i64, usize);

trait Loaded {
    fn of(slot: Slot, order: usize, snapshot: &Snapshot) -> Candidate;
}

impl Loaded for Candidate {
    fn of(slot: Slot, order: usize, snapshot: &Snapshot) -> Candidate {
        let info = snapshot.nodes().info(slot);
        let share = |used: i64, allocatable: i64| match allocatable {
            0 => 1_000_000,
            _ => (i128::from(used) * 1_000_000 / i128::from(allocatable)) as i64,
        };
        let mean = (share(info.nonzero.0, info.allocatable.cpu) + share(info.nonzero.1, info.allocatable.memory)) / 2;
        (Reverse((mean, info.pod_count, order)), slot)
    }
}

/// The best node in the heap that takes the pod.
fn least_allocated(profile: &Profile, info: &PodInfo, snapshot: &Snapshot, heap: &mut BinaryHeap<Candidate>) -> Option<Slot> {
    let cycle = Cycle { pod: info, snapshot };
    // A pod without constraints is subject to these, and to the required anti-affinity of pods that are there.
    let filters: Vec<Box<dyn Filter>> = profile
        .filters()
        .iter()
        .filter(|plugin| plugin.id() != PluginId::PodTopologySpread)
        .filter_map(|plugin| match plugin.pre_filter(cycle) {
            PreFilter::Run(filter) => Some(filter),
            _ => None,
        })
        .collect();
    let mut too_full = Vec::new();
    let mut chosen = None;
    while let Some((Reverse(load), slot)) = heap.pop() {
        let present = Candidate::of(slot, load.2, snapshot);
        if present.0.0 != load {
            heap.push(present);
            continue;
        }
        too_full.push(present);
        if filters.iter().all(|filter| filter.fits(snapshot.nodes().info(slot))) {
            chosen = Some(slot);
            break;
        }
    }
    // The chosen one goes back too, with a load that the next look will find outdated.
    heap.extend(too_full);
    chosen
}
