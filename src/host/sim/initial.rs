//! `"initial": "running"`: a cluster whose workload is placed and ready before the run begins.

use crate::engine::plan::Plan;
use crate::host::sim::SimHost;
use crate::objects::Stored;

/// Fills the store, the machines and the engines. Returns what the store holds.
pub fn preload(_plan: &Plan, _host: &mut SimHost) -> Vec<Stored> {
    Vec::new()
}
