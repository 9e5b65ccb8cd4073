//! The columns of each kind, as the API server's printers define them (kubernetes `pkg/printers/internalversion/printers.go`; recordings in
//! `tests/kubectl/`).
//!
//! A kind has a list of column names, in which a leading `+` marks one that only `-o wide` shows, and a function from an object to its
//! cells, wide ones included. The first column is always the name.

pub mod batch;
pub mod cluster;
pub mod event;
pub mod network;
pub mod node;
pub mod pod;
pub mod policy;
pub mod storage;
pub mod workload;

use serde_json::Value;

use super::World;
use super::age::since;
use super::look::Look;

/// An object's age, as most kinds show it.
pub fn age(object: &Value, world: &World) -> String {
    since(object.at("metadata.creationTimestamp"), world.now, "<unknown>").into_owned()
}

pub fn name(object: &Value) -> String {
    object.text("metadata.name").to_owned()
}

/// Up to three of the items, and how many more there are.
pub fn three_and_more(items: &[String]) -> String {
    const SHOWN: usize = 3;
    if items.len() <= SHOWN {
        return items.join(",");
    }
    format!("{} + {} more...", items[..SHOWN].join(","), items.len() - SHOWN)
}
