//! Floor 4: the scheduler: queue, filter and score plugins, assume and bind (upstream `pkg/scheduler`, v1.34.1).
//!
//! Follows kube-scheduler v1.34 with its default profile, or with those of a configuration. A cycle is a pure function ([`decide`]) of a
//! pod and a [`Snapshot`]; the actor ([`Scheduler`]) keeps the snapshot, the queue, leader election and the binding cycles around it.
//!
//! Beside it: [`policies`], other ways to choose a node and its GPUs, which a scenario may put in place of the default scores; and [`study`],
//! the scheduler alone on a trace.
//!
//! What is not here: dynamic resources, extenders, in-place resize.
//!
//! Invariants: a pod is assumed on at most one node and is never in the queue meanwhile; what the snapshot counts on a node is what is
//! bound there plus what is assumed (`tests.rs` compares with a snapshot made anew).

mod actor;
mod classes;
mod columns;
mod decide;
mod explain;
mod filters;
mod gpus;
mod nodes;
pub mod oracle;
mod place;
mod placement;
pub mod plugins;
mod pods;
pub mod policies;
mod preemption;
mod profile;
mod queue;
mod snapshot;
pub mod study;
mod tables;
mod volumes;

pub use actor::Scheduler;
pub use decide::{Decision, Failure, Nominated, Sampling, decide};
pub use explain::{Explanation, explain};
pub use filters::Rejection;
pub use nodes::{NodeInfo, NodeTable, Slot};
pub use place::place_all;
pub use placement::{Part, PlacementPolicy, demand_of_spec};
pub use pods::{Amounts, PodInfo};
pub use preemption::{Candidate, CandidateLimits, Nomination, Preemption};
pub use profile::{Arguments, DEFAULT_SCHEDULER, FILTERS, Profile, ProfileConfig, Profiles, SCORES};
pub use queue::{ClusterEvent, Delays, QueuedPod, SchedulingQueue};
pub use snapshot::Snapshot;
pub use volumes::PodVolumes;

use std::sync::Arc;

use crate::base::{Duration, Name};
use crate::client::LeaderTimings;

/// The scheduler's settings; defaults are kube-scheduler's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// One at least, of different names.
    pub profiles: Vec<ProfileConfig>,
    /// 50 and 100
    pub client_qps_milli: u64,
    pub client_burst: u64,
    pub leader: LeaderTimings,
    /// 0: adaptive.
    pub percentage_of_nodes_to_score: u32,
    /// 1 s and 10 s
    pub pod_initial_backoff: Duration,
    pub pod_max_backoff: Duration,
    /// In place of the default scores.
    pub policy: Option<Arc<PlacementPolicy>>,
    /// Whose attempts are told with every reason and score: pods of a namespace whose names begin so. For whoever explains a run; its
    /// course is the same.
    pub explained: Option<Explained>,
    /// Watch the kinds of volumes: see [`Kind::served`](crate::objects::Kind::served). No setting of kube-scheduler.
    pub volumes: bool,
}

/// Pods by namespace and the beginning of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    pub namespace: Name,
    pub prefix: Name,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            profiles: vec![ProfileConfig::default()],
            client_qps_milli: 50_000,
            client_burst: 100,
            leader: LeaderTimings::default(),
            percentage_of_nodes_to_score: 0,
            pod_initial_backoff: Duration::from_secs(1),
            pod_max_backoff: Duration::from_secs(10),
            policy: None,
            explained: None,
            volumes: false,
        }
    }
}

#[cfg(test)]
mod tests;
