//! Budgets of how many pods may be evicted at once (k8s.io/api `policy/v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::meta::{Meta, zero};
use super::selector::LabelSelector;
use super::shared::{List, Rest, Shared};
use super::workload::IntOrPercent;
use crate::base::{Name, Time};

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudget {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PodDisruptionBudgetSpec,
    pub status: PodDisruptionBudgetStatus,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetSpec {
    /// So many must stay healthy; excludes `max_unavailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_available: Option<IntOrPercent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// Absent: no pods; empty: all of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Shared<LabelSelector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_pod_eviction_policy: Option<UnhealthyPodEvictionPolicy>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// When pods that are not ready may be evicted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum UnhealthyPodEvictionPolicy {
    /// While the budget has enough healthy ones.
    #[default]
    IfHealthyBudget,
    AlwaysAllow,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    #[serde(skip_serializing_if = "zero")]
    pub observed_generation: u64,
    /// Pods whose eviction was allowed and whose deletion the controller has not seen yet, and since when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disrupted_pods: BTreeMap<Name, Time>,
    pub disruptions_allowed: u64,
    pub current_healthy: u64,
    pub desired_healthy: u64,
    pub expected_pods: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: List<Condition>,
}

impl PodDisruptionBudget {
    /// Whether the budget is about pods with these labels in its namespace.
    pub fn selects(&self, labels: &super::meta::Labels) -> bool {
        self.spec.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}
impl PodDisruptionBudgetStatus {
    /// The condition `DisruptionAllowed` as the count of allowed disruptions has it (component-helpers `apps/poddisruptionbudget`).
    pub fn tell_condition(&mut self, now: Time) {
        use super::condition::Conditions;
        let allowed = self.disruptions_allowed > 0;
        let reason = if allowed { "SufficientPods" } else { "InsufficientPods" };
        self.conditions.set(Condition::new("DisruptionAllowed", allowed, reason, now));
    }
}
