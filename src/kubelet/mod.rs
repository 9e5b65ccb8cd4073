//! Floor 4: a kubelet: registers its node, keeps Lease and status heartbeats, and runs the pods bound to it: pod workers, image pulls,
//! containers, probes, restarts with back-off, graceful termination. facts/kubelet.md.
//!
//! Loops that poll their own state (PLEG, sync, housekeeping, probes) are computed, not ticked (mechanics.md).

use std::collections::BTreeMap;

use crate::base::{Duration, Name};
use crate::objects::{Labels, Quantity, Taint};

/// A kubelet's settings; defaults are upstream's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 50 and 100
    pub client_qps_milli: u64,
    pub client_burst: u64,
    /// 40 s; renewed every quarter of it.
    pub node_lease_duration: Duration,
    /// 10 s: how often the status is computed.
    pub node_status_update_frequency: Duration,
    /// 5 min: how often it is sent when nothing changed.
    pub node_status_report_frequency: Duration,
    /// 1 min
    pub sync_frequency: Duration,
    /// 1 s
    pub pleg_relist_period: Duration,
    /// 10 s doubling to 5 min
    pub crash_loop_initial_backoff: Duration,
    pub crash_loop_max_backoff: Duration,
    pub image_pull_initial_backoff: Duration,
    pub image_pull_max_backoff: Duration,
    pub serialize_image_pulls: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            client_qps_milli: 50_000,
            client_burst: 100,
            node_lease_duration: Duration::from_secs(40),
            node_status_update_frequency: Duration::from_secs(10),
            node_status_report_frequency: Duration::from_secs(300),
            sync_frequency: Duration::from_secs(60),
            pleg_relist_period: Duration::from_secs(1),
            crash_loop_initial_backoff: Duration::from_secs(10),
            crash_loop_max_backoff: Duration::from_secs(300),
            image_pull_initial_backoff: Duration::from_secs(10),
            image_pull_max_backoff: Duration::from_secs(300),
            serialize_image_pulls: true,
        }
    }
}

/// What a kubelet reports of its machine.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeShape {
    pub name: Name,
    pub capacity: BTreeMap<Name, Quantity>,
    pub allocatable: BTreeMap<Name, Quantity>,
    pub labels: Labels,
    pub taints: Vec<Taint>,
}
