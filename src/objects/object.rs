//! Any object, and an object as stored.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::disruption::PodDisruptionBudget;
use super::key::{Key, Kind};
use super::lease::Lease;
use super::meta::Meta;
use super::node::Node;
use super::pod::{Pod, PodSpec, PodStatus};
use super::scheduling::PriorityClass;
use super::service::{EndpointSlice, Service};
use super::shared::Shared;
use super::volume::{CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, StorageClass, VolumeAttachment};
use super::workload::{Deployment, Namespace, ReplicaSet};
use crate::base::{Cause, Name, Revision};

/// An object of a modelled kind.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Object {
    Namespace(Namespace),
    PriorityClass(PriorityClass),
    Node(Node),
    Lease(Lease),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Deployment(Deployment),
    ReplicaSet(ReplicaSet),
    Pod(Pod),
    PodDisruptionBudget(PodDisruptionBudget),
    StorageClass(StorageClass),
    CsiNode(CsiNode),
    CsiDriver(CsiDriver),
    CsiStorageCapacity(CsiStorageCapacity),
    PersistentVolume(PersistentVolume),
    PersistentVolumeClaim(PersistentVolumeClaim),
    VolumeAttachment(VolumeAttachment),
}

/// Gives each kind `From<T> for Object`, and `as_*` to look inside.
macro_rules! kinds {
    ($($kind:ident, $as:ident;)*) => {
        impl Object {
            pub fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind,)* }
            }
            pub fn meta(&self) -> &Meta {
                match self { $(Object::$kind(object) => &object.meta,)* }
            }
            pub fn meta_mut(&mut self) -> &mut Meta {
                match self { $(Object::$kind(object) => &mut object.meta,)* }
            }
            $(
                pub fn $as(&self) -> Option<&$kind> {
                    match self { Object::$kind(object) => Some(object), _ => None }
                }
            )*
            fn to_value(&self) -> serde_json::Result<Value> {
                match self { $(Object::$kind(object) => serde_json::to_value(object),)* }
            }
            fn from_value(kind: Kind, value: Value) -> serde_json::Result<Object> {
                match kind { $(Kind::$kind => serde_json::from_value(value).map(Object::$kind),)* }
            }
        }
        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Object { Object::$kind(object) }
        })*
    };
}
kinds! {
    Namespace, as_namespace;
    PriorityClass, as_priority_class;
    Node, as_node;
    Lease, as_lease;
    Service, as_service;
    EndpointSlice, as_endpoint_slice;
    Deployment, as_deployment;
    ReplicaSet, as_replica_set;
    Pod, as_pod;
    PodDisruptionBudget, as_pod_disruption_budget;
    StorageClass, as_storage_class;
    CsiNode, as_csi_node;
    CsiDriver, as_csi_driver;
    CsiStorageCapacity, as_csi_storage_capacity;
    PersistentVolume, as_persistent_volume;
    PersistentVolumeClaim, as_persistent_volume_claim;
    VolumeAttachment, as_volume_attachment;
}

/// `spec.nodeName` stands beside the shared spec in memory, and inside it in JSON.
impl serde::Serialize for Pod {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeStruct};
        let mut spec = serde_json::to_value(&self.spec).map_err(S::Error::custom)?;
        if let (Some(node), Value::Object(fields)) = (&self.node, &mut spec) {
            fields.insert("nodeName".to_owned(), Value::String(node.to_string()));
        }
        let mut fields = serializer.serialize_struct("Pod", 3)?;
        fields.serialize_field("metadata", &self.meta)?;
        fields.serialize_field("spec", &spec)?;
        fields.serialize_field("status", &self.status)?;
        fields.end()
    }
}

impl<'de> serde::Deserialize<'de> for Pod {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pod, D::Error> {
        use serde::de::Error;
        #[derive(serde::Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Wire {
            metadata: Meta,
            spec: Map<String, Value>,
            status: PodStatus,
        }
        let mut wire = Wire::deserialize(deserializer)?;
        let node = match wire.spec.remove("nodeName") {
            None | Some(Value::Null) => None,
            Some(value) => Some(serde_json::from_value::<Name>(value).map_err(D::Error::custom)?).filter(|name| !name.is_empty()),
        };
        let spec: PodSpec = serde_json::from_value(Value::Object(wire.spec)).map_err(D::Error::custom)?;
        Ok(Pod { meta: wire.metadata, spec: Shared::new(spec), node, status: wire.status })
    }
}

impl Object {
    pub fn key(&self) -> Key {
        let meta = self.meta();
        Key::new(self.kind(), &meta.namespace, &meta.name)
    }
    /// How many pods it asks for, itself one or by its controller.
    pub fn pods(&self) -> u64 {
        match self {
            Object::Deployment(deployment) => deployment.spec.replicas.unwrap_or(1),
            Object::ReplicaSet(set) => set.spec.replicas.unwrap_or(1),
            Object::Pod(_) => 1,
            _ => 0,
        }
    }
    /// What it says of the pods that it asks for.
    pub fn pod_spec(&self) -> Option<&Shared<PodSpec>> {
        match self {
            Object::Deployment(deployment) => Some(&deployment.spec.template.spec),
            Object::ReplicaSet(set) => Some(&set.spec.template.spec),
            Object::Pod(pod) => Some(&pod.spec),
            _ => None,
        }
    }
    /// As Kubernetes writes it, `apiVersion` and `kind` included.
    pub fn to_json(&self) -> Value {
        let mut value = self.to_value().expect("an object has string keys and finite numbers");
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), Value::String(self.kind().api_version().to_owned()));
            fields.insert("kind".to_owned(), Value::String(self.kind().name().to_owned()));
        }
        value
    }
    /// The inverse of [`Object::to_json`]. The caller has looked at `apiVersion` (or doesn't care); `resourceVersion` and
    /// `managedFields` are dropped, since they stand beside an object or not at all.
    pub fn from_json(value: Value) -> Result<Object, String> {
        let Value::Object(mut fields) = value else { return Err("an object is a JSON object".to_owned()) };
        fields.remove("apiVersion");
        let kind = match fields.remove("kind") {
            Some(Value::String(name)) => Kind::from_name(&name).ok_or_else(|| format!("\"{name}\" is not a modelled kind"))?,
            _ => return Err("an object has a \"kind\"".to_owned()),
        };
        if let Some(Value::Object(meta)) = fields.get_mut("metadata") {
            meta.remove("resourceVersion");
            meta.remove("managedFields");
        }
        Object::from_value(kind, Value::Object(fields)).map_err(|error| error.to_string())
    }
    /// The size as JSON in bytes, roughly: etcd's quota, request limit and disk model need no more.
    pub fn size(&self) -> usize {
        self.meta().size()
            + match self {
                Object::Pod(pod) => {
                    700 * pod.spec.containers.len().max(1) + 130 * pod.status.conditions.len() + 300 * pod.status.container_statuses.len()
                }
                Object::Node(node) => 600 + 200 * node.status.conditions.len() + 120 * node.status.images.len(),
                Object::Lease(_) => 200,
                Object::EndpointSlice(slice) => 200 + 260 * slice.endpoints.len(),
                Object::Deployment(_) | Object::ReplicaSet(_) => 1800,
                Object::PodDisruptionBudget(budget) => 500 + 60 * budget.status.disrupted_pods.len(),
                Object::PersistentVolume(_) | Object::PersistentVolumeClaim(_) => 700,
                Object::CsiNode(node) => 200 + 150 * node.spec.drivers.len(),
                Object::Namespace(_)
                | Object::PriorityClass(_)
                | Object::Service(_)
                | Object::StorageClass(_)
                | Object::CsiDriver(_)
                | Object::CsiStorageCapacity(_)
                | Object::VolumeAttachment(_) => 400,
            }
    }
}

/// An object as the store has it: the revision that wrote it (`resourceVersion`) and why it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The object's key, whose text is the one that the store holds: everyone who keeps the object shares it.
    pub key: Key,
    pub revision: Revision,
    pub cause: Cause,
    pub object: Arc<Object>,
}

impl Stored {
    /// An object whose key nobody has made yet.
    pub fn new(revision: Revision, cause: Cause, object: Arc<Object>) -> Stored {
        Stored { key: object.key(), revision, cause, object }
    }
    /// The cause that whoever acts on this object names: the write of its revision.
    pub fn because(&self) -> Cause {
        Cause::revision(self.revision)
    }
}
