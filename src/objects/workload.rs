//! What makes pods (ReplicaSet, Deployment), and namespaces.

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::meta::{Meta, is_false, zero};
use super::pod::PodTemplate;
use super::selector::LabelSelector;
use super::shared::{List, Rest, Shared};
use crate::base::Name;

/// An integer or a text (a percentage, a port's name): `intstr.IntOrString`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum IntOrString {
    Int(i64),
    String(Name),
}
impl Serialize for IntOrString {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            IntOrString::Int(number) => serializer.serialize_i64(*number),
            IntOrString::String(text) => serializer.serialize_str(text),
        }
    }
}
impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<IntOrString, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(IntOrString::String(text.into())),
            value => value
                .as_i64()
                .map(IntOrString::Int)
                .ok_or_else(|| serde::de::Error::custom(format!("expected an integer or a string, found {value}"))),
        }
    }
}

/// A count, or a percentage of the wanted replicas.
pub type IntOrPercent = IntOrString;

impl IntOrPercent {
    /// The count out of `total`, a percentage rounded up or down. `None` if the text is not a percentage.
    pub fn of(&self, total: u64, round_up: bool) -> Option<u64> {
        match self {
            IntOrString::Int(count) => u64::try_from(*count).ok(),
            IntOrString::String(text) => {
                let percent: u64 = text.strip_suffix('%')?.parse().ok()?;
                let product = percent.checked_mul(total)?;
                Some(if round_up { product.div_ceil(100) } else { product / 100 })
            }
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: ReplicaSetSpec,
    pub status: ReplicaSetStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// Defaulted to 1 by the API server.
    pub replicas: Option<u64>,
    #[serde(skip_serializing_if = "zero")]
    pub min_ready_seconds: u64,
    pub selector: Shared<LabelSelector>,
    pub template: PodTemplate,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    pub replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub fully_labeled_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub ready_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub available_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub terminating_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub observed_generation: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: List<Condition>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployment {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// Defaulted to 1 by the API server, as are the fields below (k/k `pkg/apis/apps/v1/defaults.go`).
    pub replicas: Option<u64>,
    pub selector: Shared<LabelSelector>,
    pub template: PodTemplate,
    pub strategy: DeploymentStrategy,
    #[serde(skip_serializing_if = "zero")]
    pub min_ready_seconds: u64,
    pub revision_history_limit: Option<u64>,
    pub progress_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStrategy {
    #[serde(rename = "type")]
    pub kind: StrategyKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum StrategyKind {
    #[default]
    RollingUpdate,
    Recreate,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrPercent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    #[serde(skip_serializing_if = "zero")]
    pub observed_generation: u64,
    #[serde(skip_serializing_if = "zero")]
    pub replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub updated_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub ready_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub available_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub unavailable_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub terminating_replicas: u64,
    #[serde(skip_serializing_if = "zero")]
    pub collision_count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: List<Condition>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    #[serde(skip_serializing_if = "Rest::is_empty")]
    pub spec: Rest,
    pub status: NamespaceStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    #[serde(skip_serializing_if = "super::meta::empty")]
    pub phase: Name,
    #[serde(flatten)]
    pub rest: Rest,
}
