//! Floor 1: the Kubernetes objects that are modelled: data, exact quantities, selectors, keys. Rules about them that need nothing but the
//! object (effective requests, tolerations, conditions) live beside the type; validation is in [`validation`].
//!
//! Field names are those of the Kubernetes API in snake case, and serde writes them in camel case, so that an object's JSON *is* its
//! manifest. What we don't model is kept in `rest` (canonical JSON: a sorted map) at every level: it takes part in equality, template
//! hash, size and patches, and round-trips. `resourceVersion` is never inside an object but beside it
//! ([`Stored`]), so that all caches share one `Arc`.
//!
//! What is not here: parsing of YAML and warnings about fields that are not modelled (`manifest`), defaults and admission (`apiserver`).

pub mod condition;
pub mod disruption;
pub mod key;
pub mod lease;
pub mod meta;
pub mod node;
pub mod object;
pub mod pod;
pub mod quantity;
pub mod scheduling;
pub mod selector;
pub mod service;
pub mod shared;
pub mod validation;
pub mod volume;
pub mod workload;

pub use condition::{Condition, ConditionStatus, Conditions};
pub use disruption::PodDisruptionBudget;
pub use key::{Key, Kind};
pub use lease::{Lease, LeaseSpec};
pub use meta::{Labels, Meta, OwnerReference, Uid};
pub use node::{Node, NodeSpec, NodeStatus, Taint, TaintEffect};
pub use object::{Object, Stored};
pub use pod::{Container, ContainerState, ContainerStatus, Phase, Pod, PodSpec, PodStatus, PodTemplate, Probe, Resources};
pub use quantity::Quantity;
pub use scheduling::{Affinity, PriorityClass, Toleration, TopologySpreadConstraint};
pub use selector::{LabelSelector, Requirement};
pub use service::{Endpoint, EndpointSlice, Service};
pub use shared::{List, Rest, Shared, Text};
pub use volume::{CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, StorageClass, VolumeAttachment};
pub use workload::{Deployment, IntOrPercent, Namespace, ReplicaSet};
