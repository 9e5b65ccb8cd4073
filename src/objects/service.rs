//! Services and endpoint slices.

use serde::{Deserialize, Serialize};

use super::meta::{Labels, Meta};
use super::pod::PodIp;
use super::shared::Rest;
use super::workload::IntOrString;
use crate::base::Name;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: ServiceSpec,
    #[serde(skip_serializing_if = "Rest::is_empty")]
    pub status: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub selector: Labels,
    pub ports: Vec<ServicePort>,
    /// `None` (the text) for a headless service; empty until the API server allocates one.
    #[serde(rename = "clusterIP", skip_serializing_if = "super::meta::empty")]
    pub cluster_ip: Name,
    #[serde(skip_serializing_if = "super::meta::is_false")]
    pub publish_not_ready_addresses: bool,
    #[serde(rename = "type", skip_serializing_if = "super::meta::empty")]
    pub kind: Name,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub name: Name,
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<IntOrString>,
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub protocol: Name,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub address_type: Name,
    pub endpoints: Vec<Endpoint>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// The label of a slice that names its service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    pub addresses: Vec<PodIp>,
    pub conditions: EndpointConditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

/// The pod behind an endpoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TargetRef {
    pub kind: Name,
    pub namespace: Name,
    pub name: Name,
    pub uid: Name,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct EndpointConditions {
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}
