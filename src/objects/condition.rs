//! Conditions of pods, nodes and workloads.

use serde::{Deserialize, Serialize};

use super::shared::{List, Text};
use crate::base::Time;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> ConditionStatus {
        if holds { ConditionStatus::True } else { ConditionStatus::False }
    }
}

/// One condition. Time stamps have whole seconds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Text,
    pub status: ConditionStatus,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Nodes: when the kubelet last said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Time>,
    /// Deployments: when the condition was last updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
}

impl Condition {
    /// A condition that changes at `now`.
    pub fn new(kind: &'static str, status: impl Into<ConditionStatus>, reason: impl Into<Text>, now: Time) -> Condition {
        Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: "".into(),
            last_transition_time: Some(now.truncate_to_second()),
            last_heartbeat_time: None,
            last_update_time: None,
        }
    }
}

/// What every list of conditions can do.
pub trait Conditions {
    fn get(&self, kind: &str) -> Option<&Condition>;
    /// Adds the condition or replaces the one of its type; the transition time is kept while the status stays. True if anything changed.
    fn set(&mut self, condition: Condition) -> bool;
    /// `Unknown` and absence are not true.
    fn is_true(&self, kind: &str) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == ConditionStatus::True)
    }
}

impl Conditions for List<Condition> {
    fn get(&self, kind: &str) -> Option<&Condition> {
        self.iter().find(|condition| condition.kind == kind)
    }
    fn set(&mut self, mut condition: Condition) -> bool {
        let Some(at) = self.iter().position(|present| present.kind == condition.kind) else {
            self.push(condition);
            return true;
        };
        if self[at].status == condition.status {
            condition.last_transition_time = self[at].last_transition_time;
        }
        let changed = self[at] != condition;
        // Looked at first: a list that stays as it is stays shared.
        if changed {
            self[at] = condition;
        }
        changed
    }
}
