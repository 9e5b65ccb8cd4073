//! What an operator does.

use super::{Lowering, at, short};
use crate::base::Name;
use crate::engine::plan::{Action, Step};
use crate::objects::{Key, Kind, Object};
use crate::scenario::file;

impl Lowering<'_> {
    pub fn steps(&mut self, written: &[file::Step]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, step) in written.iter().enumerate() {
            let path = format!("steps[{index}]");
            let when = self.instant(step.at, &at(&path, "at"));
            let etcd = Lowering::etcd_fields(step);
            let given: Vec<(&str, bool)> = Lowering::kubectl_fields(step).into_iter().chain(etcd).collect();
            let is_etcd = etcd.iter().any(|(_, given)| *given);
            if step.drain_timeout.is_some() && step.drain.is_none() {
                self.error(&at(&path, "drainTimeout"), "only a drain has it".to_owned(), |error| error.expecting("a \"drain\" beside it"));
            }
            if step.etcd_timeout.is_some() && !is_etcd {
                let message = "only a step on etcd has it".to_owned();
                self.error(&at(&path, "etcdTimeout"), message, |error| error.expecting("an \"etcd...\" step beside it"));
            }
            if !self.exactly_one(&given, "a step does", &path) {
                continue;
            }
            if is_etcd {
                self.etcd_step(step, when, &path);
            } else if let Some((description, action)) = self.action(step, &path) {
                steps.push(Step { at: when, description: description.into(), action });
            }
        }
        steps
    }
    /// The fields of a step that are kubectl's.
    pub fn kubectl_fields(step: &file::Step) -> [(&'static str, bool); 7] {
        [
            ("apply", step.apply.is_some()),
            ("delete", step.delete.is_some()),
            ("scale", step.scale.is_some()),
            ("setImage", step.set_image.is_some()),
            ("cordon", step.cordon.is_some()),
            ("uncordon", step.uncordon.is_some()),
            ("drain", step.drain.is_some()),
        ]
    }
    /// Whether exactly one of some fields is given; else tells what to choose from.
    pub fn exactly_one(&mut self, given: &[(&str, bool)], what: &str, path: &str) -> bool {
        let chosen: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if chosen.len() == 1 {
            return true;
        }
        let message = match chosen.as_slice() {
            [] => format!("{what} nothing"),
            several => format!("{what} one thing, here are {}", several.join(" and ")),
        };
        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        self.error(path, message, |error| error.expecting(format!("exactly one of {}", names.join(", "))));
        false
    }
    fn action(&mut self, step: &file::Step, path: &str) -> Option<(String, Action)> {
        if let Some(entries) = &step.apply {
            let objects = self.manifests(entries, &at(path, "apply"));
            if entries.is_empty() {
                self.error(&at(path, "apply"), "nothing is applied".to_owned(), |error| error.expecting("one manifest or more"));
            }
            let names: Vec<String> = objects.iter().take(4).map(|object| object.key().to_string()).collect();
            let more = if objects.len() > 4 { format!(" and {} more", objects.len() - 4) } else { String::new() };
            return Some((format!("apply {}{more}", names.join(", ")), Action::Apply(objects)));
        }
        if let Some(delete) = &step.delete {
            let path = at(path, "delete");
            let key = self.object_key(delete, &path)?;
            return Some((format!("delete {key}"), Action::Delete { key, grace_seconds: delete.grace_period_seconds }));
        }
        if let Some(scale) = &step.scale {
            let path = at(path, "scale");
            let key =
                self.workload_key(&scale.workload, &scale.namespace, &at(&path, "workload"), &[Kind::Deployment, Kind::ReplicaSet])?;
            if scale.replicas > super::MAX_PODS {
                let message = format!("{} pods are beyond the limit", scale.replicas);
                self.error(&at(&path, "replicas"), message, |error| error.expecting(format!("{} or less", super::MAX_PODS)));
            }
            return Some((format!("scale {key} to {}", scale.replicas), Action::Scale { key, replicas: scale.replicas }));
        }
        if let Some(set_image) = &step.set_image {
            let path = at(path, "setImage");
            let key = self.workload_key(&set_image.workload, &set_image.namespace, &at(&path, "workload"), &[Kind::Deployment])?;
            let container = self.container(&key, &set_image.container, &at(&path, "container"))?;
            if set_image.image.is_empty() {
                self.error(&at(&path, "image"), "an image has a name".to_owned(), |error| error);
            }
            let image = Name::new(&set_image.image);
            return Some((format!("set the image of {key} to {image}"), Action::SetImage { key, container, image }));
        }
        for (field, node) in [("cordon", &step.cordon), ("uncordon", &step.uncordon), ("drain", &step.drain)] {
            if let Some(name) = node {
                self.node(name, &at(path, field))?;
                let node = Name::new(name);
                let action = match field {
                    "cordon" => Action::Cordon { node },
                    "uncordon" => Action::Uncordon { node },
                    _ => Action::Drain { node, timeout: step.drain_timeout.map(|timeout| timeout.0) },
                };
                return Some((format!("{field} {name}"), action));
            }
        }
        None
    }
    fn object_key(&mut self, delete: &file::Delete, path: &str) -> Option<Key> {
        let Some(kind) = Kind::from_name(&delete.kind) else {
            let message = format!("\"{}\" is not a modelled kind", short(&delete.kind));
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            self.error(&at(path, "kind"), message, |error| {
                error.expecting(format!("one of {}", names.join(", "))).suggesting(&delete.kind, names.iter().copied())
            });
            return None;
        };
        if kind == Kind::Node {
            self.node(&delete.name, &at(path, "name"))?;
            return Some(Key::node(&delete.name));
        }
        let key = Key::new(kind, delete.namespace.as_deref().unwrap_or("default"), &delete.name);
        // Pods, ReplicaSets, slices and Leases get names from their controllers: they may well exist by then.
        if matches!(kind, Kind::Deployment | Kind::Service | Kind::PriorityClass) && !self.objects.contains_key(&key) {
            let known: Vec<String> = self.objects.keys().filter(|key| key.kind() == kind).map(|key| key.name().to_owned()).collect();
            let elsewhere = self.objects.keys().find(|known| known.kind() == kind && known.name() == delete.name).cloned();
            match elsewhere {
                Some(other) => {
                    let (name, namespace) = (short(&delete.name), short(key.namespace()));
                    let message = format!("there is no {} \"{name}\" in the namespace \"{namespace}\"", kind.name());
                    self.error(&at(path, "name"), message, |error| error.expecting(format!("\"namespace\": \"{}\"", other.namespace())));
                }
                None => self.unknown(kind.name(), &delete.name, &at(path, "name"), &known),
            }
            return None;
        }
        Some(key)
    }
    fn container(&mut self, key: &Key, name: &Option<String>, path: &str) -> Option<Name> {
        let Object::Deployment(deployment) = &**self.objects.get(key)? else { return None };
        let names: Vec<Name> = deployment.spec.template.spec.containers.iter().map(|container| container.name.clone()).collect();
        match name {
            None => names.first().cloned(),
            Some(name) => {
                let found = names.iter().find(|known| known.as_str() == name).cloned();
                if found.is_none() {
                    let known: Vec<String> = names.iter().map(|name| name.to_string()).collect();
                    self.unknown("container", name, path, &known);
                }
                found
            }
        }
    }
}
