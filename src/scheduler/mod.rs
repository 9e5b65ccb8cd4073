//! Floor 4: the scheduler: queue, filter and score plugins, assume and bind (oracle/scheduler-semantics.md; facts/controllers.md
//! section 15).

use crate::base::Duration;
use crate::client::LeaderTimings;

/// The scheduler's settings; defaults are kube-scheduler's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 50 and 100
    pub client_qps_milli: u64,
    pub client_burst: u64,
    pub leader: LeaderTimings,
    /// 0: adaptive.
    pub percentage_of_nodes_to_score: u32,
    /// 1 s and 10 s
    pub pod_initial_backoff: Duration,
    pub pod_max_backoff: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            client_qps_milli: 50_000,
            client_burst: 100,
            leader: LeaderTimings::default(),
            percentage_of_nodes_to_score: 0,
            pod_initial_backoff: Duration::from_secs(1),
            pod_max_backoff: Duration::from_secs(10),
        }
    }
}
