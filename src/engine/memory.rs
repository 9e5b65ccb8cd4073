//! How much memory a run will take, from its plan alone: so that a run beyond the machine's is refused before it begins.
//!
//! The figures were measured with `bench-cluster` at 100, 1,000 and 5,000 nodes of 30 pods, two API servers and three etcd members, over
//! ten virtual minutes, and rounded up: an estimate is to be right within a factor of two, not to the byte.

use super::plan::Plan;
use crate::objects::Object;

/// The program and a control plane with nothing to control: 11 MB measured.
const BASE: u64 = 12 << 20;
/// A node without pods: its kubelet and machine, and the versions of its Lease between two compactions. 165 KB measured.
const PER_NODE: u64 = 170 << 10;
/// A pod in all stores, caches and indexes, with the facts of its life: 9 KB measured.
const PER_POD: u64 = 9 << 10;
/// What a pod that comes up during the run adds, at the most that clients send: its versions, messages and facts. 13 KB measured.
const PER_CHANGED_POD: u64 = 14 << 10;
/// A node's samples: 24 bytes each, one a second, at most two million in all.
const PER_SAMPLE: u64 = 24;
const SAMPLES_MAX: u64 = 2_000_000;

/// Bytes that a run of this plan will need at its peak, roughly.
pub fn estimate(plan: &Plan) -> u64 {
    let nodes = plan.nodes.len() as u64;
    let all = plan.manifests().map(Object::pods).fold(0, u64::saturating_add);
    let brought_up = match plan.initial {
        super::plan::Initial::Empty => all,
        super::plan::Initial::Running => {
            let there = plan.workload.iter().map(|object| object.pods()).fold(0, u64::saturating_add);
            all.saturating_sub(there)
        }
    };
    let samples = nodes.saturating_mul(plan.duration.as_secs()).min(SAMPLES_MAX);
    let parts =
        [nodes.saturating_mul(PER_NODE), all.saturating_mul(PER_POD), brought_up.saturating_mul(PER_CHANGED_POD), samples * PER_SAMPLE];
    parts.into_iter().fold(BASE, u64::saturating_add)
}
