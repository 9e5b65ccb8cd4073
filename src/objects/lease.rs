//! Leases of the coordination API: a node's heartbeat, a leader's claim. Not etcd's leases.

use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::shared::Rest;
use crate::base::{Name, Time};

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: LeaseSpec,
}

/// Times have whole microseconds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub holder_identity: Name,
    pub lease_duration_seconds: u64,
    pub acquire_time: Option<Time>,
    pub renew_time: Option<Time>,
    pub lease_transitions: u64,
    #[serde(flatten)]
    pub rest: Rest,
}
