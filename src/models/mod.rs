//! Floor 4: models of what is not an actor: the network, disks, machines' cores, the container engine, images and the registry, and how a
//! workload behaves.
//!
//! Latencies and hazards are pure functions of a random stream ([`distribution`]). Whatever is *shared* is a small state machine without
//! I/O with the actor's own contract (`request`, `deadline`, `wake`), owned by `host/sim`. Defaults are presets, each with its source
//! (`presets`). Models know no cluster: no actors but by address, no objects but by name.

pub mod container_engine;
pub mod cores;
pub mod crowd;
pub mod disk;
pub mod distribution;
pub mod images;
pub mod network;
pub mod presets;
pub mod registry;
pub mod workload;
