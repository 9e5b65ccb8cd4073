//! The envelope that all objects have (apimachinery `pkg/apis/meta/v1/types.go`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use super::shared::{List, Rest, Shared};
use crate::base::{Name, Time};

/// Labels or annotations, sorted by key.
pub type Labels = BTreeMap<Name, Name>;

/// An object's unique id, made by the API server that created it.
pub type Uid = Name;

/// `metadata`, without `resourceVersion`, which stands beside the object.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    #[serde(skip_serializing_if = "empty")]
    pub name: Name,
    /// With an empty `name`: the API server appends five random characters.
    #[serde(skip_serializing_if = "empty")]
    pub generate_name: Name,
    #[serde(skip_serializing_if = "empty")]
    pub namespace: Name,
    #[serde(skip_serializing_if = "empty")]
    pub uid: Uid,
    /// Rises with each change of the spec and when graceful deletion starts.
    #[serde(skip_serializing_if = "zero")]
    pub generation: u64,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// When the object is to be gone: the moment of the delete plus the grace period, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<u64>,
    #[serde(skip_serializing_if = "no_labels")]
    pub labels: Shared<Labels>,
    #[serde(skip_serializing_if = "no_labels")]
    pub annotations: Shared<Labels>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: List<Name>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: List<OwnerReference>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    pub api_version: Name,
    pub kind: Name,
    pub name: Name,
    pub uid: Uid,
    #[serde(default, skip_serializing_if = "is_false")]
    pub controller: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub block_owner_deletion: bool,
}

impl Meta {
    pub fn named(namespace: &str, name: &str) -> Meta {
        Meta { name: Name::new(name), namespace: Name::new(namespace), ..Meta::default() }
    }
    pub fn label(&self, key: &str) -> Option<&Name> {
        self.labels.get(key)
    }
    pub fn annotation(&self, key: &str) -> Option<&Name> {
        self.annotations.get(key)
    }
    /// The owner that manages this object, if any.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
    /// A rough size as JSON, in bytes.
    pub fn size(&self) -> usize {
        let pairs = |labels: &Labels| labels.iter().map(|(key, value)| key.len() + value.len() + 6).sum::<usize>();
        200 + self.name.len() + self.namespace.len() + pairs(&self.labels) + pairs(&self.annotations) + 160 * self.owner_references.len()
    }
}

impl OwnerReference {
    /// A reference to the managing controller, as `metav1.NewControllerRef` makes it.
    pub fn controller(kind: Kind, owner: &Meta) -> OwnerReference {
        OwnerReference {
            api_version: Name::new(kind.api_version()),
            kind: Name::new(kind.name()),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: true,
            block_owner_deletion: true,
        }
    }
    /// The key of the owner of an object in `namespace`; `None` for a kind that is not modelled.
    pub fn key(&self, namespace: &str) -> Option<Key> {
        Kind::from_name(&self.kind).map(|kind| Key::new(kind, namespace, &self.name))
    }
}

pub(super) fn empty(name: &Name) -> bool {
    name.is_empty()
}
pub(super) fn zero(number: &u64) -> bool {
    *number == 0
}
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}
pub(super) fn no_labels(labels: &Shared<Labels>) -> bool {
    labels.is_empty()
}
