//! Floor 4: kube-proxy: which endpoint a connection to a service gets (docs reference/networking/virtual-ips).
//!
//! One watcher, not one a node: it turns changes of services and endpoint slices into a log of endpoint changes; each node's table is that
//! log, read after the node's own delay, and is brought up to `now` when a connection asks.

use crate::base::Duration;

/// How far a node's rules lag behind the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 1 s: iptables mode's minSyncPeriod: changes are programmed at most this often.
    pub min_sync_period: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { min_sync_period: Duration::from_secs(1) }
    }
}

mod table;
mod watcher;

pub use table::{Choice, EndpointLog, NodeTable};
pub use watcher::Watcher;
