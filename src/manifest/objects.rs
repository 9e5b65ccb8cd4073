//! Kubernetes documents to objects: checked through the types of Kubernetes 1.34, then through ours, then by the API's own rules.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1 as apps, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery, policy::v1 as policy,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use serde::de::DeserializeOwned;

use super::check::{self, Unknown};
use super::error::{Errors, InputError, Warning};
use super::path::Path;
use super::prune::Pruned;
use super::tree::{Node, Value};
use super::{kinds, unmodelled};
use crate::base::Name;
use crate::objects::scheduling::NodeAffinity;
use crate::objects::{self, Kind, Object, validation};

/// What a document became.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    pub objects: Vec<Arc<Object>>,
    pub warnings: Vec<Warning>,
}

/// Reads one document (an object, or a `List` of them) that stands at `path` of a file. Errors are added to `errors`; what is returned
/// then holds the sound ones only.
pub fn objects(file: &str, node: &Node, path: &Path, errors: &mut Errors) -> Manifests {
    let mut reader = Reader { file, errors, read: Manifests::default() };
    reader.document(node, path, true);
    reader.read
}

/// Reads a node affinity that stands at `path` of a file by itself, as strictly as one in a pod. `None`: `errors` says why.
pub fn node_affinity(file: &str, node: &Node, path: &Path, errors: &mut Errors) -> Option<NodeAffinity> {
    let mut reader = Reader { file, errors, read: Manifests::default() };
    let mut tree = Pruned::new(node.clone());
    let accepted = reader.read_theirs::<core::NodeAffinity>(&mut tree, path);
    tree.root = cleaned(&tree.root);
    let read = reader.read_ours::<NodeAffinity>(&mut tree, None, path);
    if !(accepted && read) {
        return None;
    }
    match serde_json::from_value(tree.root.to_json()) {
        Ok(affinity) => Some(affinity),
        Err(error) => {
            reader.error(node, path, error.to_string());
            None
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    errors: &'a mut Errors,
    read: Manifests,
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, path: &Path, message: String) {
        self.errors.push(InputError::new(self.file, node.place, path.as_str(), message));
    }
    fn warn(&mut self, root: &Node, base: &Path, relative: &Path, message: String) {
        let (path, place) = (base.join(relative.as_str()).as_str().to_owned(), root.place_of(relative.as_str()));
        self.read.warnings.push(Warning { file: self.file.to_owned(), place, path, message });
    }
    fn document(&mut self, node: &Node, path: &Path, list_allowed: bool) {
        if !matches!(node.value, Value::Map(_)) {
            return self.error(node, path, format!("a manifest is an object, not {}", node.type_name()));
        }
        let Some(kind_node) = node.get("kind") else {
            return self.error(node, path, "the manifest lacks its \"kind\"".to_owned());
        };
        let Some(kind_name) = kind_node.as_str() else {
            return self.error(kind_node, &path.key("kind"), format!("a kind is a string, not {}", kind_node.type_name()));
        };
        if list_allowed && kind_name == "List" {
            match node.get("items").map(|items| &items.value) {
                Some(Value::List(items)) => {
                    for (index, item) in items.iter().enumerate() {
                        self.document(item, &path.key("items").index(index), false);
                    }
                }
                _ => self.error(node, path, "a List has a list of \"items\"".to_owned()),
            }
        } else if kind_name == "List" {
            self.error(kind_node, &path.key("kind"), "a List stands in no other List".to_owned());
        } else if let Some(kind) = Kind::from_name(kind_name) {
            self.object(kind, node, path);
        } else if kinds::NOT_MODELLED.contains(&kind_name) {
            self.warn(node, path, &Path::new("kind"), format!("kind not modelled; ignored: {kind_name}"));
        } else {
            let error = InputError::new(
                self.file,
                kind_node.place,
                path.key("kind").as_str(),
                format!("\"{kind_name}\" is not a kind of Kubernetes 1.34"),
            );
            self.errors.push(error.suggesting(kind_name, kinds::known()));
        }
    }
    fn object(&mut self, kind: Kind, node: &Node, path: &Path) {
        if !self.api_version(kind, node, path) {
            return;
        }
        // What is wrong is taken out step by step, and what remains is checked further: one run tells all errors.
        let mut tree = Pruned::new(node.clone());
        let accepted = self.kubernetes_accepts(kind, &mut tree, path);
        tree.root = cleaned(&tree.root);
        let read = match kind {
            Kind::Namespace => self.read_ours::<objects::Namespace>(&mut tree, None, path),
            Kind::PriorityClass => self.read_ours::<objects::PriorityClass>(&mut tree, None, path),
            Kind::Node => self.read_ours::<objects::Node>(&mut tree, None, path),
            Kind::Lease => self.read_ours::<objects::Lease>(&mut tree, None, path),
            Kind::Service => self.read_ours::<objects::Service>(&mut tree, None, path),
            Kind::EndpointSlice => self.read_ours::<objects::EndpointSlice>(&mut tree, None, path),
            Kind::Deployment => self.read_ours::<objects::Deployment>(&mut tree, None, path),
            Kind::ReplicaSet => self.read_ours::<objects::ReplicaSet>(&mut tree, None, path),
            Kind::PodDisruptionBudget => self.read_ours::<objects::PodDisruptionBudget>(&mut tree, None, path),
            Kind::StorageClass => self.read_ours::<objects::StorageClass>(&mut tree, None, path),
            Kind::CsiNode => self.read_ours::<objects::CsiNode>(&mut tree, None, path),
            Kind::CsiDriver => self.read_ours::<objects::CsiDriver>(&mut tree, None, path),
            Kind::CsiStorageCapacity => self.read_ours::<objects::CsiStorageCapacity>(&mut tree, None, path),
            Kind::PersistentVolume => self.read_ours::<objects::PersistentVolume>(&mut tree, None, path),
            Kind::PersistentVolumeClaim => self.read_ours::<objects::PersistentVolumeClaim>(&mut tree, None, path),
            Kind::VolumeAttachment => self.read_ours::<objects::VolumeAttachment>(&mut tree, None, path),
            // A pod is read by its parts: its own deserializer takes the spec apart and would lose the places.
            Kind::Pod => self.read_ours::<objects::PodSpec>(&mut tree, Some("spec"), path),
        };
        let sound = accepted && read;
        let mut object = match Object::from_json(tree.root.to_json()) {
            Ok(object) => object,
            Err(message) if sound => return self.error(node, path, message),
            // Too little is left to check further.
            Err(_) => return,
        };
        let meta = object.meta_mut();
        if kind.namespaced() && meta.namespace.is_empty() {
            meta.namespace = Name::new("default");
        } else if !kind.namespaced() {
            meta.namespace = Name::default();
        }
        let violations = validation::validate(&object);
        for violation in &violations {
            let original = tree.original(&violation.path);
            if !tree.is_hurt(&original) {
                let place = tree.root.place_of(&violation.path);
                let full = path.join(&original);
                self.errors.push(InputError::new(self.file, place, full.as_str(), violation.message.clone()));
            }
        }
        if sound {
            for field in unmodelled::fields(&object) {
                self.warn(node, path, &field, "not modelled".to_owned());
            }
        }
        if sound && violations.is_empty() {
            self.read.objects.push(Arc::new(object));
        }
    }
    fn api_version(&mut self, kind: Kind, node: &Node, path: &Path) -> bool {
        let wanted = kind.api_version();
        let found = node.get("apiVersion");
        match found.and_then(Node::as_str) {
            Some(version) if version == wanted => true,
            Some(version) => {
                let place = found.and_then(|found| found.place);
                let message = format!("{kind} is not in the API group \"{version}\"");
                let error = InputError::new(self.file, place, path.key("apiVersion").as_str(), message);
                self.errors.push(error.expecting(format!("\"{wanted}\"")));
                false
            }
            None => {
                let error = InputError::new(self.file, node.place, path.as_str(), "the manifest lacks its \"apiVersion\"".to_owned());
                self.errors.push(error.expecting(format!("\"{wanted}\"")));
                false
            }
        }
    }
    /// Wrong types and fields that Kubernetes does not know.
    fn kubernetes_accepts(&mut self, kind: Kind, tree: &mut Pruned, path: &Path) -> bool {
        match kind {
            Kind::Namespace => self.read_theirs::<core::Namespace>(tree, path),
            Kind::PriorityClass => self.read_theirs::<scheduling::PriorityClass>(tree, path),
            Kind::Node => self.read_theirs::<core::Node>(tree, path),
            Kind::Lease => self.read_theirs::<coordination::Lease>(tree, path),
            Kind::Service => self.read_theirs::<core::Service>(tree, path),
            Kind::EndpointSlice => self.read_theirs::<discovery::EndpointSlice>(tree, path),
            Kind::Deployment => self.read_theirs::<apps::Deployment>(tree, path),
            Kind::ReplicaSet => self.read_theirs::<apps::ReplicaSet>(tree, path),
            Kind::Pod => self.read_theirs::<core::Pod>(tree, path),
            Kind::PodDisruptionBudget => self.read_theirs::<policy::PodDisruptionBudget>(tree, path),
            Kind::StorageClass => self.read_theirs::<storage::StorageClass>(tree, path),
            Kind::CsiNode => self.read_theirs::<storage::CSINode>(tree, path),
            Kind::CsiDriver => self.read_theirs::<storage::CSIDriver>(tree, path),
            Kind::CsiStorageCapacity => self.read_theirs::<storage::CSIStorageCapacity>(tree, path),
            Kind::PersistentVolume => self.read_theirs::<core::PersistentVolume>(tree, path),
            Kind::PersistentVolumeClaim => self.read_theirs::<core::PersistentVolumeClaim>(tree, path),
            Kind::VolumeAttachment => self.read_theirs::<storage::VolumeAttachment>(tree, path),
        }
    }
    fn read_theirs<T: DeserializeOwned>(&mut self, tree: &mut Pruned, path: &Path) -> bool {
        let (errors, unknown) = check::read::<T>(self.file, tree, None, path);
        let sound = errors.is_empty() && unknown.is_empty();
        for Unknown { path, place, name, known } in unknown {
            let error =
                InputError::new(self.file, place, path.as_str(), format!("Kubernetes 1.34 has no field \"{}\" here", super::short(&name)));
            self.errors.push(error.suggesting(&name, known.iter().copied()));
        }
        for error in errors {
            self.errors.push(error);
        }
        sound
    }
    /// Our types know the enumerations and ranges that Kubernetes' types leave to validation.
    fn read_ours<T: DeserializeOwned>(&mut self, tree: &mut Pruned, inside: Option<&'static str>, path: &Path) -> bool {
        let (errors, unknown) = check::read::<T>(self.file, tree, inside, path);
        for Unknown { path, place, .. } in unknown {
            if !matches!(path.as_str().rsplit('.').next(), Some("apiVersion" | "kind" | "creationTimestamp")) {
                let (file, path) = (self.file.to_owned(), path.as_str().to_owned());
                self.read.warnings.push(Warning { file, place, path, message: "not modelled".to_owned() });
            }
        }
        let sound = errors.is_empty();
        for error in errors {
            self.errors.push(error);
        }
        sound
    }
}

/// A field that is null is an absent one, in Kubernetes as here (`creationTimestamp: null` stands in many generated manifests).
fn cleaned(node: &Node) -> Node {
    let value = match &node.value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .filter(|entry| entry.node.value != Value::Null)
                .map(|entry| super::Entry { key: entry.key.clone(), key_place: entry.key_place, node: cleaned(&entry.node) })
                .collect(),
        ),
        Value::List(items) => Value::List(items.iter().map(cleaned).collect()),
        other => other.clone(),
    };
    Node { value, place: node.place }
}
