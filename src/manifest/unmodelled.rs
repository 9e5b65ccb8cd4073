//! Which of an object's fields have no effect here: what its types keep as `rest`.

use super::path::Path;
use crate::objects::meta::Meta;
use crate::objects::pod::{Container, Lifecycle, PodSpec, PodTemplate, Resources};
use crate::objects::{Object, Rest};

/// The paths, relative to the object, in no particular order.
pub fn fields(object: &Object) -> Vec<Path> {
    let mut found = Found(Vec::new());
    let (meta, spec, status) = (Path::new("metadata"), Path::new("spec"), Path::new("status"));
    found.meta(object.meta(), &meta);
    match object {
        Object::Namespace(namespace) => {
            found.rest(&namespace.spec, &spec);
            found.rest(&namespace.status.rest, &status);
        }
        Object::PriorityClass(class) => found.rest_but(&class.rest, &Path::default(), &["description"]),
        Object::Node(node) => {
            found.rest(&node.spec.rest, &spec);
            found.rest_but(&node.status.rest, &status, &["addresses", "nodeInfo", "daemonEndpoints"]);
        }
        Object::Lease(lease) => found.rest(&lease.spec.rest, &spec),
        Object::Service(service) => {
            found.rest(&service.spec.rest, &spec);
            found.rest(&service.status, &status);
            if matches!(service.spec.kind.as_str(), "NodePort" | "LoadBalancer" | "ExternalName") {
                found.0.push(spec.key("type"));
            }
            for (index, port) in service.spec.ports.iter().enumerate() {
                found.rest(&port.rest, &spec.key("ports").index(index));
            }
        }
        Object::EndpointSlice(slice) => found.rest_but(&slice.rest, &Path::default(), &["ports"]),
        Object::Deployment(deployment) => {
            found.rest(&deployment.spec.rest, &spec);
            found.template(&deployment.spec.template, &spec.key("template"));
        }
        Object::ReplicaSet(set) => {
            found.rest(&set.spec.rest, &spec);
            found.template(&set.spec.template, &spec.key("template"));
        }
        Object::Pod(pod) => {
            found.pod(&pod.spec, &spec);
            found.rest(&pod.status.rest, &status);
        }
    }
    found.0
}

struct Found(Vec<Path>);

impl Found {
    fn rest(&mut self, rest: &Rest, at: &Path) {
        self.rest_but(rest, at, &[]);
    }
    /// `inert`: fields that have no effect in a real cluster either.
    fn rest_but(&mut self, rest: &Rest, at: &Path, inert: &[&str]) {
        self.0.extend(rest.0.keys().filter(|name| !inert.contains(&name.as_str())).map(|name| at.key(name)));
    }
    fn meta(&mut self, meta: &Meta, at: &Path) {
        self.rest_but(&meta.rest, at, &["selfLink"]);
    }
    fn template(&mut self, template: &PodTemplate, at: &Path) {
        self.rest_but(&template.meta.rest, &at.key("metadata"), &["creationTimestamp", "name"]);
        self.pod(&template.spec, &at.key("spec"));
    }
    fn pod(&mut self, spec: &PodSpec, at: &Path) {
        self.rest(&spec.rest, at);
        if let Some(resources) = &spec.resources {
            self.resources(resources, &at.key("resources"));
        }
        for (name, containers) in [("containers", &spec.containers), ("initContainers", &spec.init_containers)] {
            for (index, container) in containers.iter().enumerate() {
                self.container(container, &at.key(name).index(index));
            }
        }
    }
    fn container(&mut self, container: &Container, at: &Path) {
        self.rest(&container.rest, at);
        self.resources(&container.resources, &at.key("resources"));
        if let Some(lifecycle) = &container.lifecycle {
            self.lifecycle(lifecycle, &at.key("lifecycle"));
        }
    }
    fn resources(&mut self, resources: &Resources, at: &Path) {
        self.rest(&resources.rest, at);
    }
    fn lifecycle(&mut self, lifecycle: &Lifecycle, at: &Path) {
        self.rest(&lifecycle.rest, at);
        for (name, hook) in [("preStop", &lifecycle.pre_stop), ("postStart", &lifecycle.post_start)] {
            if let Some(hook) = hook {
                self.rest(&hook.rest, &at.key(name));
            }
        }
    }
}
