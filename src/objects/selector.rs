//! Label selectors (apimachinery `pkg/apis/meta/v1/helpers.go`, `pkg/labels/selector.go`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::meta::Labels;
use crate::base::Name;

/// `matchLabels` and `matchExpressions`, ANDed. An empty selector selects everything; an absent one (`None`) nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: Labels,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// Node affinity only: integer comparison.
    Gt,
    /// Node affinity only: integer comparison.
    Lt,
}

/// One of `matchExpressions`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Requirement {
    pub key: Name,
    pub operator: Operator,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Name>,
}

impl LabelSelector {
    pub fn of(labels: Labels) -> LabelSelector {
        LabelSelector { match_labels: labels, match_expressions: Vec::new() }
    }
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    /// `NotIn` and `DoesNotExist` hold where the key is absent; `Gt` and `Lt` need an integer label.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = |name: &Name| name.parse::<i64>().ok();
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt | Operator::Lt => match (value.and_then(number), self.values.first().and_then(number)) {
                (Some(have), Some(bound)) => {
                    if self.operator == Operator::Gt {
                        have > bound
                    } else {
                        have < bound
                    }
                }
                _ => false,
            },
        }
    }
}
