//! Floor 3: what client-go and the etcd client do, written once: connections, time-outs, retries, rate limits, reflectors and informer
//! caches, work queues, leader election. Every actor that talks to an API server does it through a [`Session`]; an API server talks to
//! etcd through an [`EtcdClient`].
//!
//! These are parts of actors, not actors: they get `now` and the actor's inputs, write effects into the actor's outbox, and hand back
//! what concerns the actor. They use `wire` and below.

pub mod backoff;
pub mod cache;
pub mod etcd;
pub mod leader;
pub mod limiter;
mod reflector;
pub mod session;
pub mod work_queue;

pub use backoff::Backoff;
pub use cache::{Cache, Change};
pub use etcd::{EtcdClient, EtcdOutput};
pub use leader::{LeaderConfig, LeaderElector, LeaderTimings, Leadership};
pub use limiter::TokenBucket;
pub use session::{Informers, Reply, Session, SessionConfig, SessionOutput};
pub use work_queue::WorkQueue;
