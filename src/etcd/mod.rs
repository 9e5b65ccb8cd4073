//! Floor 4: an etcd member: Raft consensus ([`raft`]: knows members and opaque entries) under a multi-version key-value store (knows keys,
//! sizes and revisions, no pods), with watches and leases (etcd 3.6, `server/etcdserver`).

mod member;
pub mod raft;
pub mod store;
mod watch;

pub use member::{Database, EtcdMember, MemberStatus};

use crate::base::Duration;
use crate::base::planted::Planted;

/// A member's settings; defaults are etcd 3.6's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 100 ms: the tick and the heartbeat.
    pub heartbeat_interval: Duration,
    /// 1000 ms: randomised to 1..2 times of it, in ticks.
    pub election_timeout: Duration,
    /// Messages in flight to one follower: 512.
    pub max_inflight: usize,
    /// 1 MiB
    pub max_message_bytes: usize,
    /// 1.5 MiB
    pub max_request_bytes: usize,
    /// After so many applied entries the log is released up to the last of them (`--snapshot-count`): 10,000.
    pub snapshot_count: u64,
    /// So many released entries stay in memory for slow followers (`--snapshot-catchup-entries`): 5,000.
    pub snapshot_catchup_entries: u64,
    /// Reads are confirmed by a lease on the lead instead of a round of heartbeats. Unsafe where clocks drift, and so no option of etcd's:
    /// Raft's library has it (`ReadOnlyLeaseBased`).
    pub lease_reads: bool,
    pub planted: Planted,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            max_inflight: 512,
            max_message_bytes: 1 << 20,
            max_request_bytes: 1_572_864,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            lease_reads: false,
            planted: Planted::default(),
        }
    }
}
