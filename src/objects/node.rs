//! Node objects. "Node" is the API object; the box that it describes is a *machine*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::{Condition, Conditions};
use super::meta::{Meta, is_false};
use super::quantity::Quantity;
use super::shared::{List, Rest};
use crate::base::{Name, Time};

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(skip_serializing_if = "is_false")]
    pub unschedulable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    pub capacity: BTreeMap<Name, Quantity>,
    pub allocatable: BTreeMap<Name, Quantity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: List<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<NodeImage>,
    /// `addresses`, `nodeInfo` and what else is reported but drives nothing here.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An image that is on the node; at most 50 are listed (KubeletConfiguration, `nodeStatusMaxImages`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeImage {
    pub names: Vec<Name>,
    #[serde(default)]
    pub size_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: Name,
    #[serde(default, skip_serializing_if = "super::meta::empty")]
    pub value: Name,
    pub effect: TaintEffect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Time>,
}

/// Well-known taint keys.
pub mod taints {
    pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
    pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
    pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
    pub const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
    pub const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
    pub const PID_PRESSURE: &str = "node.kubernetes.io/pid-pressure";
    pub const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
    pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
}

/// Well-known labels.
pub mod labels {
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
    pub const ZONE: &str = "topology.kubernetes.io/zone";
    pub const REGION: &str = "topology.kubernetes.io/region";
    /// Ours: the rack, for spread constraints and faults.
    pub const RACK: &str = "topology.clustersim.io/rack";
}

impl Node {
    pub fn is_ready(&self) -> bool {
        self.status.conditions.is_true("Ready")
    }
    pub fn zone(&self) -> &str {
        self.meta.label(labels::ZONE).map_or("", Name::as_str)
    }
    pub fn region(&self) -> &str {
        self.meta.label(labels::REGION).map_or("", Name::as_str)
    }
    pub fn taint(&self, key: &str, effect: TaintEffect) -> Option<&Taint> {
        self.spec.taints.iter().find(|taint| taint.key == *key && taint.effect == effect)
    }
    /// Allocatable as whole numbers: `cpu` in milli-CPU, all else in units, both rounded up as the scheduler does.
    pub fn allocatable(&self, resource: &str) -> i64 {
        match self.status.allocatable.get(resource) {
            None => 0,
            Some(quantity) if resource == "cpu" => quantity.milli_value(),
            Some(quantity) => quantity.value(),
        }
    }
}
