//! What an object is called, by everyone: kind, namespace and name in one value.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The kinds that are modelled. The order is the order in which a start-up applies manifests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    Namespace,
    PriorityClass,
    Node,
    Lease,
    Service,
    EndpointSlice,
    Deployment,
    ReplicaSet,
    Pod,
    PodDisruptionBudget,
    // Those of volumes, which few clusters have: see [`Kind::served`].
    StorageClass,
    CsiNode,
    CsiDriver,
    CsiStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    VolumeAttachment,
}

struct KindFacts {
    name: &'static str,
    resource: &'static str,
    api_version: &'static str,
    namespaced: bool,
}

impl Kind {
    pub const ALL: [Kind; 17] = [
        Kind::Namespace,
        Kind::PriorityClass,
        Kind::Node,
        Kind::Lease,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Deployment,
        Kind::ReplicaSet,
        Kind::Pod,
        Kind::PodDisruptionBudget,
        Kind::StorageClass,
        Kind::CsiNode,
        Kind::CsiDriver,
        Kind::CsiStorageCapacity,
        Kind::PersistentVolume,
        Kind::PersistentVolumeClaim,
        Kind::VolumeAttachment,
    ];
    /// The first of the kinds of volumes.
    const FIRST_OF_VOLUMES: usize = Kind::StorageClass as usize;

    /// The kinds that a cluster with, or without, volumes serves and watches. A cluster of a scenario that names none goes without: its
    /// components list and watch nothing that is never there, and its runs cost, and are, what they were before there were volumes.
    pub fn served(volumes: bool) -> &'static [Kind] {
        if volumes { &Kind::ALL } else { &Kind::ALL[..Kind::FIRST_OF_VOLUMES] }
    }
    /// Those that only a cluster with volumes serves and watches.
    pub fn of_volumes() -> &'static [Kind] {
        &Kind::ALL[Kind::FIRST_OF_VOLUMES..]
    }
    pub const fn is_of_volumes(self) -> bool {
        self as usize >= Kind::FIRST_OF_VOLUMES
    }

    const fn facts(self) -> KindFacts {
        let (name, resource, api_version, namespaced) = match self {
            Kind::Namespace => ("Namespace", "namespaces", "v1", false),
            Kind::PriorityClass => ("PriorityClass", "priorityclasses", "scheduling.k8s.io/v1", false),
            Kind::Node => ("Node", "nodes", "v1", false),
            Kind::Lease => ("Lease", "leases", "coordination.k8s.io/v1", true),
            Kind::Service => ("Service", "services", "v1", true),
            Kind::EndpointSlice => ("EndpointSlice", "endpointslices", "discovery.k8s.io/v1", true),
            Kind::Deployment => ("Deployment", "deployments", "apps/v1", true),
            Kind::ReplicaSet => ("ReplicaSet", "replicasets", "apps/v1", true),
            Kind::Pod => ("Pod", "pods", "v1", true),
            Kind::PodDisruptionBudget => ("PodDisruptionBudget", "poddisruptionbudgets", "policy/v1", true),
            Kind::StorageClass => ("StorageClass", "storageclasses", "storage.k8s.io/v1", false),
            Kind::CsiNode => ("CSINode", "csinodes", "storage.k8s.io/v1", false),
            Kind::CsiDriver => ("CSIDriver", "csidrivers", "storage.k8s.io/v1", false),
            Kind::CsiStorageCapacity => ("CSIStorageCapacity", "csistoragecapacities", "storage.k8s.io/v1", true),
            Kind::PersistentVolume => ("PersistentVolume", "persistentvolumes", "v1", false),
            Kind::PersistentVolumeClaim => ("PersistentVolumeClaim", "persistentvolumeclaims", "v1", true),
            Kind::VolumeAttachment => ("VolumeAttachment", "volumeattachments", "storage.k8s.io/v1", false),
        };
        KindFacts { name, resource, api_version, namespaced }
    }
    /// As in a manifest's `kind`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }
    /// As in a REST path and in an etcd key: plural, lower case.
    pub const fn resource(self) -> &'static str {
        self.facts().resource
    }
    pub const fn api_version(self) -> &'static str {
        self.facts().api_version
    }
    /// The API group: what stands before the slash of `apiVersion`; empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }
    /// As error messages name the resource: `deployments.apps`, `pods`.
    pub fn qualified_resource(self) -> String {
        self.qualify(self.resource())
    }
    /// As error messages name the kind: `Deployment.apps`, `Pod`.
    pub fn qualified_name(self) -> String {
        self.qualify(self.name())
    }
    fn qualify(self, name: &str) -> String {
        if self.group().is_empty() { name.to_owned() } else { format!("{name}.{}", self.group()) }
    }
    pub const fn namespaced(self) -> bool {
        self.facts().namespaced
    }
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
    /// The prefix of this kind's keys in etcd: `/registry/pods/`.
    pub fn prefix(self) -> String {
        format!("/registry/{}/", self.resource())
    }
}
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The key of an object. Its text *is* the etcd key (`/registry/pods/default/web-1`), made once and shared; namespace and name are slices
/// of it. Keys order by this text, as etcd orders them.
#[derive(Clone)]
pub struct Key {
    path: Arc<str>,
    kind: Kind,
    /// Where the namespace and the name begin in `path`; equal when the kind has no namespaces.
    namespace_at: u16,
    name_at: u16,
}

impl Key {
    /// `namespace` is ignored for kinds that have none.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Key {
        let mut path = String::new();
        Key::write_path(kind, namespace, name, &mut path);
        let namespace_at = "/registry/".len() + kind.resource().len() + 1;
        let name_at = if kind.namespaced() { namespace_at + namespace.len() + 1 } else { namespace_at };
        Key { path: path.into(), kind, namespace_at: namespace_at as u16, name_at: name_at as u16 }
    }
    /// Appends the path that such a key has: a map of keys can be asked by it (`Borrow<str>`) without making a key.
    pub fn write_path(kind: Kind, namespace: &str, name: &str, path: &mut String) {
        path.reserve("/registry/".len() + kind.resource().len() + namespace.len() + name.len() + 2);
        for part in ["/registry/", kind.resource(), "/"] {
            path.push_str(part);
        }
        if kind.namespaced() {
            path.push_str(namespace);
            path.push('/');
        }
        path.push_str(name);
    }
    /// Reads an etcd key; `None` if it is not one of ours.
    pub fn from_path(path: &Arc<str>) -> Option<Key> {
        let rest = path.strip_prefix("/registry/")?;
        let (resource, rest) = rest.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.resource() == resource)?;
        let namespace_at = path.len() - rest.len();
        let name_at = if kind.namespaced() { namespace_at + rest.find('/')? + 1 } else { namespace_at };
        Some(Key { path: path.clone(), kind, namespace_at: namespace_at as u16, name_at: name_at as u16 })
    }
    pub fn node(name: &str) -> Key {
        Key::new(Kind::Node, "", name)
    }
    pub fn pod(namespace: &str, name: &str) -> Key {
        Key::new(Kind::Pod, namespace, name)
    }
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Empty for kinds without namespaces.
    pub fn namespace(&self) -> &str {
        if self.namespace_at == self.name_at { "" } else { &self.path[usize::from(self.namespace_at)..usize::from(self.name_at) - 1] }
    }
    pub fn name(&self) -> &str {
        &self.path[usize::from(self.name_at)..]
    }
    /// The key in etcd.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }
}
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        Arc::ptr_eq(&self.path, &other.path) || self.path == other.path
    }
}
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Key) -> std::cmp::Ordering {
        self.path.cmp(&other.path)
    }
}
impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}
/// Equality, order and hash of a key are those of its path.
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.path
    }
}
/// `Pod default/web-1`, `Node worker-3`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, &self.path[usize::from(self.namespace_at)..])
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path)
    }
}
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let path: Arc<str> = Arc::from(String::deserialize(deserializer)?);
        Key::from_path(&path).ok_or_else(|| serde::de::Error::custom(format!("{path} is not the key of a known kind")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_path() {
        let key = Key::pod("shop", "web-1");
        assert_eq!(&**key.path(), "/registry/pods/shop/web-1");
        assert_eq!((key.namespace(), key.name(), key.to_string().as_str()), ("shop", "web-1", "Pod shop/web-1"));
        assert_eq!(Key::from_path(key.path()), Some(key));
        let node = Key::node("worker-1");
        assert_eq!((node.namespace(), node.name()), ("", "worker-1"));
        assert_eq!(Key::from_path(node.path()).unwrap().to_string(), "Node worker-1");
        assert_eq!(Key::from_path(&Arc::from("/registry/cows/a/b")), None);
    }
}
