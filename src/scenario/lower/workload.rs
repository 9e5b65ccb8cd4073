//! Manifests, behaviours, traffic.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lowering, MAX_PODS, at, short};
use crate::base::{Duration, Name};
use crate::engine::plan;
use crate::manifest::{self, Entry, Manifests, Node, Path, Syntax, Value};
use crate::objects::{Key, Kind, Object};
use crate::scenario::file::{self, Scenario};

/// Namespaces that every cluster has.
const GIVEN_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Deployments of the largest cluster that is allowed, one a node.
const MAX_COPIES: u64 = 100_000;

impl Lowering<'_> {
    pub fn workload(&mut self, scenario: &Scenario) -> Vec<Arc<Object>> {
        let objects = self.manifests(&scenario.workload, "workload");
        self.pods = objects.iter().map(|object| object.pods()).fold(0, u64::saturating_add);
        if self.pods > MAX_PODS {
            let message = format!("{} pods are beyond the limit", self.pods);
            self.error("workload", message, |error| error.expecting(format!("{MAX_PODS} or less")));
        }
        objects
    }
    /// The objects of a list of manifests and files of manifests; they become known to later names.
    pub fn manifests(&mut self, entries: &[file::Workload], path: &str) -> Vec<Arc<Object>> {
        let mut objects = Vec::new();
        let mut resolved = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let documents = match (&entry.manifest, &entry.file) {
                (Some(_), None) => {
                    let path = at(&path, "manifest");
                    let node = self.root.at(&path).cloned();
                    let file = self.place(&path).0;
                    node.into_iter().map(|node| (file.clone(), node, path.clone())).collect()
                }
                (None, Some(name)) => self.manifest_file(name, &at(&path, "file")),
                _ => {
                    let message = "a workload has exactly one of \"manifest\" and \"file\"".to_owned();
                    self.error(&path, message, |error| error);
                    Vec::new()
                }
            };
            if entry.copies.is_some() && (entry.file.is_some() || !(1..=MAX_COPIES).contains(&entry.copies.unwrap_or(0))) {
                let message = format!("{} copies", entry.copies.unwrap_or(0));
                let expected = format!("1 to {MAX_COPIES}, of a \"manifest\"");
                self.error(&at(&path, "copies"), message, |error| error.expecting(expected));
                continue;
            }
            for (file, node, inner) in documents {
                // A step may apply an object again, changed; within the workload it is a slip.
                let again = path.starts_with("steps");
                for copy in 1..=entry.copies.unwrap_or(1) {
                    let read = match entry.copies {
                        None => self.document(&file, &node, &inner, again),
                        Some(_) => self.document(&file, &with_copy(&node, &copy.to_string()), &inner, again),
                    };
                    // The copies differ in a number only: the first one's warnings, and the first error, speak for all.
                    if copy == 1 {
                        self.warnings.extend(read.warnings);
                    }
                    if read.objects.is_empty() {
                        break;
                    }
                    objects.extend(read.objects);
                }
                resolved.push(manifest_entry(node, entry.copies));
            }
        }
        self.resolve_list(path, resolved);
        objects
    }
    /// The objects of one document; they become known to later names. `again`: an object may be one that is there already.
    fn document(&mut self, file: &str, node: &Node, path: &str, again: bool) -> Manifests {
        let mut read = manifest::objects(file, node, &Path::new(path), &mut self.errors);
        read.objects.retain(|object| match self.misplaced(object, again) {
            None => {
                self.objects.insert(object.key(), object.clone());
                true
            }
            Some(message) => {
                self.errors.push(manifest::InputError::new(file, node.place, path, message));
                false
            }
        });
        read
    }
    /// Why an object cannot be applied at this point, if it cannot.
    fn misplaced(&self, object: &Object, again: bool) -> Option<String> {
        let key = object.key();
        if !again && !key.name().is_empty() && self.objects.contains_key(&key) {
            return Some(format!("{key} is applied twice"));
        }
        let namespace = &object.meta().namespace;
        let exists = namespace.is_empty()
            || GIVEN_NAMESPACES.contains(&namespace.as_str())
            || self.objects.contains_key(&Key::new(Kind::Namespace, "", namespace));
        (!exists).then(|| format!("{key} is in the namespace \"{namespace}\", which no manifest before it makes"))
    }
    /// Puts manifests where files were named, so that the resolved scenario needs no files.
    fn resolve_list(&mut self, path: &str, entries: Vec<Node>) {
        if let (Ok(steps), Some(list)) = (manifest::parse_path(path), self.resolved.at(path)) {
            let node = Node { value: Value::List(entries), place: list.place };
            manifest::set(&mut self.resolved, &steps, node).expect("the path is in the tree");
        }
    }
    /// The documents of a file beside the scenario. Their paths are within that file.
    fn manifest_file(&mut self, name: &str, path: &str) -> Vec<(String, Node, String)> {
        let Some((shown, bytes)) = self.read_beside(name, path) else { return Vec::new() };
        match manifest::parse_on(&shown, &bytes, Syntax::of(&shown, &bytes), &mut self.errors) {
            Err(error) => {
                self.errors.push(error);
                Vec::new()
            }
            Ok(documents) => {
                if documents.is_empty() {
                    self.error(path, format!("{shown} has no manifest in it"), |error| error);
                }
                documents.into_iter().map(|node| (shown.clone(), node, String::new())).collect()
            }
        }
    }
    /// The Deployment, ReplicaSet or Pod that a name means.
    pub fn workload_key(&mut self, name: &str, namespace: &Option<String>, path: &str, kinds: &[Kind]) -> Option<Key> {
        let namespace = namespace.as_deref().unwrap_or("default");
        let found = kinds.iter().map(|kind| Key::new(*kind, namespace, name)).find(|key| self.objects.contains_key(key));
        if found.is_none() {
            let known: Vec<String> = self
                .objects
                .keys()
                .filter(|key| kinds.contains(&key.kind()) && key.namespace() == namespace)
                .map(|key| key.name().to_owned())
                .collect();
            let what = match kinds {
                [one] => one.name(),
                _ => "workload",
            };
            let elsewhere = self.objects.keys().find(|key| kinds.contains(&key.kind()) && key.name() == name).cloned();
            match elsewhere {
                Some(key) => {
                    let message = format!("there is no {what} \"{}\" in the namespace \"{}\"", short(name), short(namespace));
                    self.error(path, message, |error| error.expecting(format!("\"namespace\": \"{}\"", key.namespace())));
                }
                None => self.unknown(what, name, path, &known),
            }
        }
        found
    }
    pub fn behaviours(&mut self, written: &BTreeMap<String, file::Behaviour>) -> BTreeMap<Name, plan::Behaviour> {
        let mut behaviours = BTreeMap::new();
        for (name, behaviour) in written {
            let path = at("behaviours", name);
            let known: std::collections::BTreeSet<String> =
                self.objects.keys().filter(|key| WORKLOADS.contains(&key.kind())).map(|key| key.name().to_owned()).collect();
            if !known.contains(name) {
                self.unknown("workload", name, &path, &known.into_iter().collect::<Vec<_>>());
            }
            let default = plan::Behaviour::default();
            let lowered = plan::Behaviour {
                ready_after: self.distribution_or(&behaviour.ready_after, &at(&path, "readyAfter"), default.ready_after),
                exits_after: behaviour.exits_after.as_ref().map(|written| self.distribution(written, &at(&path, "exitsAfter"))),
                exit_code: behaviour.exit_code,
                stops_after: self.distribution_or(&behaviour.stops_after, &at(&path, "stopsAfter"), default.stops_after),
                service_time: self.distribution_or(&behaviour.service_time, &at(&path, "serviceTime"), default.service_time),
            };
            behaviours.insert(Name::new(name), lowered);
        }
        behaviours
    }
    pub fn traffic(&mut self, written: &[file::Traffic]) -> Vec<plan::Traffic> {
        let mut lowered = Vec::new();
        for (index, traffic) in written.iter().enumerate() {
            let path = format!("traffic[{index}]");
            let service = self.workload_key(&traffic.service, &traffic.namespace, &at(&path, "service"), &[Kind::Service]);
            if !(1..=1_000_000_000).contains(&traffic.rate.0) {
                let message = format!("{}.{:03} requests a second", traffic.rate.0 / 1000, traffic.rate.0 % 1000);
                self.error(&at(&path, "rate"), message, |error| error.expecting("0.001/s to 1000000/s"));
            }
            // 1 s (our choice): people's clients wait longer, but what takes longer has failed them.
            let timeout = traffic.timeout.map_or(Duration::from_secs(1), |span| span.0);
            if timeout == Duration::ZERO {
                self.error(&at(&path, "timeout"), "no request is answered in no time".to_owned(), |error| error.expecting("more than 0s"));
            }
            let start = traffic.start.map_or(self.start, |span| self.instant(span, &at(&path, "start")));
            let from = match &traffic.from {
                Some(places) => self.places(places, &at(&path, "from")),
                None => vec![self.client_machine()],
            };
            // An unknown service is told already; a stand-in keeps the numbers of the sources.
            let service = service.unwrap_or_else(|| Key::new(Kind::Service, "default", &traffic.service));
            lowered.push(plan::Traffic { service, rate_milli: traffic.rate.0, timeout, start, from });
        }
        lowered
    }
}

/// What a name of a workload may mean, in the order in which it is looked for.
pub const WORKLOADS: [Kind; 3] = [Kind::Deployment, Kind::ReplicaSet, Kind::Pod];

fn manifest_entry(node: Node, copies: Option<u64>) -> Node {
    let entry = |key: &str, node: Node| Entry { key: key.to_owned(), key_place: None, node };
    let mut entries = vec![entry("manifest", node)];
    if let Some(copies) = copies {
        entries.push(entry("copies", Node { value: Value::Number(copies.into()), place: None }));
    }
    Node { value: Value::Map(entries), place: None }
}

/// The document with "{copy}" replaced in all its texts, keys left alone.
fn with_copy(node: &Node, number: &str) -> Node {
    let value = match &node.value {
        Value::String(text) => Value::String(text.replace("{copy}", number)),
        Value::List(items) => Value::List(items.iter().map(|item| with_copy(item, number)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|entry| Entry { key: entry.key.clone(), key_place: entry.key_place, node: with_copy(&entry.node, number) })
                .collect(),
        ),
        other => other.clone(),
    };
    Node { value, place: node.place }
}
