//! Floor 4: an API server: knows objects, no controllers; reaches etcd through `client::EtcdClient` alone (upstream k8s.io/apiserver).
//!
//! A write is a state machine: admission -> cached read -> mutate -> etcd txn (compare mod revision) -> on a miss live re-read and retry ->
//! answer (`transaction`; what a write makes of an object are the pure functions of `write`, `admission`, `defaults`, `patch`, `eviction`).
//! Lists and watches are served from a watch cache that one etcd watch per kind feeds (`watch_cache`, `watchers`); a list that must be
//! fresh waits until the cache has reached etcd's revision. Until every kind is listed the server is not ready and answers 503.
//!
//! Left out: authentication and authorization, priority and fairness, server-side apply and managed fields, dry runs, paged lists,
//! webhooks, quotas, node ports.
//!
//! Invariants: events of a kind reach each watcher in the order of their revisions, each once (`watch_cache`); a write that was answered
//! with an object is in etcd; one whose fate is unknown is never answered as failed, but with 504.

mod admission;
mod compaction;
mod creator;
mod defaults;
mod eviction;
mod patch;
mod server;
#[cfg(test)]
mod tests;
mod transaction;
mod watch_cache;
mod watchers;
mod write;

pub use creator::Creator;
pub use server::ApiServer;

use crate::base::Duration;

/// An API server's settings; defaults are kube-apiserver's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 60 s: an answer after that is 504, outcome unknown.
    pub request_timeout: Duration,
    /// 5 min: how often history older than that is compacted away.
    pub compaction_interval: Duration,
    /// 300 s: added as toleration of not-ready and unreachable.
    pub default_not_ready_toleration_seconds: i64,
    pub default_unreachable_toleration_seconds: i64,
    /// 30 min: a watch is ended after a random 1..2 times of it unless its client asks for less.
    pub min_request_timeout: Duration,
    /// 1 min
    pub bookmark_period: Duration,
    /// Serve the kinds of volumes: see [`Kind::served`](crate::objects::Kind::served). No setting of kube-apiserver.
    pub volumes: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            request_timeout: Duration::from_secs(60),
            compaction_interval: Duration::from_secs(300),
            default_not_ready_toleration_seconds: 300,
            default_unreachable_toleration_seconds: 300,
            min_request_timeout: Duration::from_secs(1800),
            bookmark_period: Duration::from_secs(60),
            volumes: false,
        }
    }
}
