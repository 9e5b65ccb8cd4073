//! Which of an object's fields have no effect here: what its types keep as `rest`, and what they know and no component reads.

use super::path::Path;
use crate::objects::meta::Meta;
use crate::objects::pod::{Container, Lifecycle, PodSpec, PodTemplate, Resources};
use crate::objects::scheduling::{Affinity, PodAffinityTerm};
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
        Object::PriorityClass(class) => {
            found.rest_but(&class.rest, &Path::default(), &["description"]);
        }
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
        Object::PodDisruptionBudget(budget) => found.rest(&budget.spec.rest, &spec),
        Object::StorageClass(class) => {
            // What a driver makes of them is its own affair.
            found.rest_but(&class.rest, &Path::default(), &["parameters", "mountOptions"]);
        }
        Object::CsiNode(_) => {}
        Object::CsiDriver(driver) => {
            let inert = ["podInfoOnMount", "fsGroupPolicy", "volumeLifecycleModes", "tokenRequests", "requiresRepublish", "seLinuxMount"];
            found.rest_but(&driver.spec.rest, &spec, &inert);
        }
        Object::CsiStorageCapacity(_) => {}
        Object::PersistentVolume(volume) => {
            // What is behind a volume makes no difference.
            let of_source =
                |field: &String| field == "mountOptions" || volume.spec.rest.get(field).is_some_and(serde_json::Value::is_object);
            found.0.extend(volume.spec.rest.keys().filter(|field| !of_source(field)).map(|field| spec.key(field)));
        }
        Object::PersistentVolumeClaim(claim) => {
            found.rest(&claim.spec.rest, &spec);
            found.rest_but(&claim.status.rest, &status, &["conditions"]);
        }
        Object::VolumeAttachment(attachment) => found.rest(&attachment.spec.source.rest, &spec.key("source")),
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
        self.0.extend(rest.keys().filter(|name| !inert.contains(&name.as_str())).map(|name| at.key(name)));
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
        for (index, volume) in spec.volumes.iter().enumerate() {
            let at = at.key("volumes").index(index);
            // Any other is there at once, whatever it is made of; whether its ConfigMap or Secret exists nobody knows.
            self.rest_but(&volume.rest, &at, &["emptyDir", "hostPath", "downwardAPI"]);
            if let Some(ephemeral) = &volume.ephemeral {
                self.rest(&ephemeral.volume_claim_template.spec.rest, &at.key("ephemeral").key("volumeClaimTemplate").key("spec"));
            }
        }
        // It moves container ports to host ports, but the pod keeps an address of its own.
        if spec.host_network {
            self.0.push(at.key("hostNetwork"));
        }
        if let Some(affinity) = &spec.affinity {
            self.affinity(affinity, &at.key("affinity"));
        }
        if let Some(resources) = &spec.resources {
            self.resources(resources, &at.key("resources"));
        }
        for (name, containers) in [("containers", &spec.containers), ("initContainers", &spec.init_containers)] {
            for (index, container) in containers.iter().enumerate() {
                self.container(container, &at.key(name).index(index));
            }
        }
    }
    fn affinity(&mut self, affinity: &Affinity, at: &Path) {
        for (name, terms) in [("podAffinity", &affinity.pod_affinity), ("podAntiAffinity", &affinity.pod_anti_affinity)] {
            let Some(terms) = terms else { continue };
            let at = at.key(name);
            for (index, term) in terms.required.iter().enumerate() {
                self.pod_affinity_term(term, &at.key("requiredDuringSchedulingIgnoredDuringExecution").index(index));
            }
            for (index, weighted) in terms.preferred.iter().enumerate() {
                let at = at.key("preferredDuringSchedulingIgnoredDuringExecution").index(index);
                self.pod_affinity_term(&weighted.pod_affinity_term, &at.key("podAffinityTerm"));
            }
        }
    }
    fn pod_affinity_term(&mut self, term: &PodAffinityTerm, at: &Path) {
        for (name, keys) in [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)] {
            if !keys.is_empty() {
                self.0.push(at.key(name));
            }
        }
    }
    fn container(&mut self, container: &Container, at: &Path) {
        self.rest_but(&container.rest, at, &["volumeMounts", "volumeDevices"]);
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
