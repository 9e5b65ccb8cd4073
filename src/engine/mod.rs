//! Floor 5: the loop that drives actors over a host, the plan that it is given and the record that it leaves; faults, expectations and
//! invariants.

pub mod checks;
pub mod clients;
pub mod cluster;
pub mod event;
pub mod expectations;
pub mod host;
pub mod memory;
pub mod observer;
pub mod plan;
pub mod profile;
pub mod record;
pub mod recorder;
pub mod run;
pub mod study;

pub use cluster::Cluster;
pub use event::{Event, Queue};
pub use host::Host;
pub use run::{Actors, Engine, Options};
