//! Floor 0: what everything stands on, and what knows nothing of clusters: time, names, chance, order, digests, exact maths.
//!
//! Nothing here reads a clock, a file, an environment variable or a thread. Every number that decides an order or a quantity is an
//! integer; the few floats (latency distributions, some scheduler scores) go through [`maths`], so that they have the same bits
//! everywhere.

pub mod agenda;
pub mod digest;
pub mod ids;
pub mod maths;
pub mod name;
pub mod planted;
pub mod queue;
pub mod random;
pub mod time;

pub use agenda::Agenda;
pub use digest::{Digest, StableHasher, stable_hash};
pub use ids::{Cause, FactId, Incarnation, Index, Revision, Term};
pub use name::Name;
pub use queue::Queue;
pub use random::Stream;
pub use time::{Duration, Time};

/// A hash map whose iteration order is the same in every process: never iterate where order could reach an output anyway.
#[expect(clippy::disallowed_types, reason = "with a hasher that is the same everywhere")]
pub type Map<K, V> = std::collections::HashMap<K, V, digest::BuildStable>;
/// A hash set with the same property as [`Map`].
#[expect(clippy::disallowed_types, reason = "with a hasher that is the same everywhere")]
pub type Set<K> = std::collections::HashSet<K, digest::BuildStable>;
