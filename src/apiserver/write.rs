//! What a write makes of an object: pure functions from the version that is there to the one that shall be (upstream
//! `registry/rest/{create,update,delete}.go`, the kinds' strategies, `pods/storage`).
//!
//! Who reads that version, and what happens when it was not the newest, is the server's business (`server.rs`).

use std::sync::Arc;

use super::admission::{self, Priority, Specs};
use super::{Config, defaults, patch};
use crate::base::{Duration, Name, Time};
use crate::objects::validation::{self, Violation};
use crate::objects::volume::{CLAIM_PROTECTION, ClaimPhase, VOLUME_PROTECTION, VolumePhase};
use crate::objects::{Condition, Conditions, Key, Kind, List, Meta, Object, Pod, PodStatus, PodTemplate, Rest, Shared, Stored, Uid};
use crate::wire::ApiError;
use crate::wire::api::{DeleteOptions, Part, Patch, Propagation, Reason, Verb};

/// What shall happen to the stored object.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    Put(Arc<Object>),
    /// Its last state.
    Delete(Arc<Object>),
    /// A write that changes nothing is not written.
    Unchanged,
}

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The key that a write is about. A create without a name has none yet.
pub fn key_of(verb: &Verb) -> Option<Key> {
    match verb {
        Verb::Create { object } | Verb::Update { object, .. } => Some(object.key()),
        Verb::Patch { key, .. } | Verb::Delete { key, .. } => Some(key.clone()),
        Verb::Bind { pod, .. } | Verb::Evict { pod, .. } => Some(pod.clone()),
        Verb::Get { .. } | Verb::List { .. } | Verb::Watch { .. } | Verb::CancelWatch { .. } => None,
    }
}

/// A new object as it will be stored: named, stamped, admitted, defaulted, valid. `priority` is a pod's.
pub fn create(
    config: &Config,
    specs: &mut Specs,
    now: Time,
    object: &Object,
    name: Name,
    uid: Uid,
    priority: Option<&Priority>,
) -> Result<Object, ApiError> {
    let mut new = object.clone();
    let kind = new.kind();
    let meta = new.meta_mut();
    meta.name = name;
    meta.uid = uid;
    meta.creation_timestamp = Some(now.truncate_to_second());
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.generation = u64::from(has_generation(kind));
    if !kind.namespaced() {
        meta.namespace = Name::default();
    }
    defaults::object(&mut new);
    let spec_violations = match &mut new {
        Object::Pod(pod) => {
            let none = Priority { class: Name::default(), value: 0, preemption: Default::default() };
            let admitted = specs.admit_pod(config, &pod.spec, priority.unwrap_or(&none));
            pod.spec = admitted.spec;
            pod.status = PodStatus { qos_class: qos_class(pod).into(), ..PodStatus::default() };
            if !pod.spec.scheduling_gates.is_empty() {
                let mut gated = Condition::new("PodScheduled", false, "SchedulingGated", now);
                gated.message = "Scheduling is blocked due to non-empty scheduling gates".into();
                pod.status.conditions.set(gated);
            }
            admitted.violations
        }
        Object::Deployment(deployment) => {
            deployment.status = Default::default();
            specs.admit_template(&mut deployment.spec.template)
        }
        Object::ReplicaSet(set) => {
            set.status = Default::default();
            specs.admit_template(&mut set.spec.template)
        }
        Object::Node(node) => {
            admission::taint_new_node(node);
            Vec::new()
        }
        Object::Namespace(namespace) => {
            namespace.status.phase = "Active".into();
            namespace.spec.insert("finalizers", serde_json::json!(["kubernetes"]));
            let name = namespace.meta.name.clone();
            namespace.meta.labels.update(|labels| {
                labels.insert("kubernetes.io/metadata.name".into(), name);
            });
            Vec::new()
        }
        Object::PodDisruptionBudget(budget) => {
            budget.status = Default::default();
            Vec::new()
        }
        Object::PersistentVolume(volume) => {
            volume.status = Default::default();
            volume.status.phase = Some(VolumePhase::Pending);
            admission::protect(&mut volume.meta, VOLUME_PROTECTION);
            Vec::new()
        }
        Object::PersistentVolumeClaim(claim) => {
            claim.status = Default::default();
            claim.status.phase = Some(ClaimPhase::Pending);
            admission::protect(&mut claim.meta, CLAIM_PROTECTION);
            Vec::new()
        }
        Object::VolumeAttachment(attachment) => {
            attachment.status = Default::default();
            Vec::new()
        }
        Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::Lease(_)
        | Object::PriorityClass(_)
        | Object::StorageClass(_)
        | Object::CsiNode(_)
        | Object::CsiDriver(_)
        | Object::CsiStorageCapacity(_) => Vec::new(),
    };
    let mut violations = validation::validate_but_pod_spec(&new);
    violations.extend(spec_violations);
    valid(kind, &new.meta().name, &violations)?;
    Ok(new)
}

/// What a write other than a create makes of the stored object.
pub fn mutate(specs: &mut Specs, now: Time, verb: &Verb, current: &Stored) -> Result<Outcome, ApiError> {
    match verb {
        Verb::Update { object, part, revision } => {
            if revision.is_some_and(|revision| revision != current.revision) {
                return Err(modified(&object.key()));
            }
            match part {
                Part::Main => update(specs, current, object.clone()),
                Part::Status => update_status(&current.object, object),
            }
        }
        Verb::Patch { key, patch, part } => apply_patch(specs, now, key, patch, *part, current),
        Verb::Delete { key, options } => delete(now, key, options, current),
        Verb::Bind { pod, uid, node } => bind(now, pod, uid, node, &current.object),
        Verb::Evict { .. } => unreachable!("an eviction goes its own way"),
        Verb::Create { .. } | Verb::Get { .. } | Verb::List { .. } | Verb::Watch { .. } | Verb::CancelWatch { .. } => {
            unreachable!("{verb:?} does not change a stored object")
        }
    }
}

/// Replaces all but the status and what belongs to the server.
fn update(specs: &mut Specs, current: &Stored, mut object: Arc<Object>) -> Result<Outcome, ApiError> {
    let old = &*current.object;
    let key = old.key();
    same_uid(&key, old.meta(), &object.meta().uid)?;
    if let (Object::Lease(_), true) = (&*object, object.meta() == old.meta()) {
        // A heartbeat: nothing to fill in, nothing to check, no copy.
        return Ok(if *object == *old { Outcome::Unchanged } else { Outcome::Put(object) });
    }
    let new = Arc::make_mut(&mut object);
    keep_meta(new.meta_mut(), old.meta());
    match (&mut *new, old) {
        (Object::Pod(new), Object::Pod(old)) => {
            new.status.clone_from(&old.status);
            if new.node.is_none() {
                // Clients that never look at it leave it out.
                new.node.clone_from(&old.node);
            }
            if new.spec != old.spec {
                new.spec.update(|spec| defaults::pod_spec(spec, true));
            }
            share(&mut new.spec, &old.spec);
        }
        (Object::Deployment(new), Object::Deployment(old)) => {
            new.status.clone_from(&old.status);
            share(&mut new.spec.selector, &old.spec.selector);
            update_template(specs, &mut new.spec.template, &old.spec.template);
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(old)) => {
            new.status.clone_from(&old.status);
            share(&mut new.spec.selector, &old.spec.selector);
            update_template(specs, &mut new.spec.template, &old.spec.template);
        }
        (Object::Node(new), Object::Node(old)) => new.status.clone_from(&old.status),
        (Object::Namespace(new), Object::Namespace(old)) => new.status.clone_from(&old.status),
        (Object::PodDisruptionBudget(new), Object::PodDisruptionBudget(old)) => new.status.clone_from(&old.status),
        (Object::PersistentVolume(new), Object::PersistentVolume(old)) => new.status.clone_from(&old.status),
        (Object::PersistentVolumeClaim(new), Object::PersistentVolumeClaim(old)) => new.status.clone_from(&old.status),
        (Object::VolumeAttachment(new), Object::VolumeAttachment(old)) => new.status.clone_from(&old.status),
        (Object::Service(new), Object::Service(old)) => {
            new.status.clone_from(&old.status);
            if new.spec.cluster_ip.is_empty() {
                new.spec.cluster_ip.clone_from(&old.spec.cluster_ip);
            }
        }
        _ => {}
    }
    defaults::object(new);
    if spec_changed(old, new) {
        new.meta_mut().generation += 1;
    }
    if *new == *old {
        return Ok(Outcome::Unchanged);
    }
    valid(key.kind(), key.name(), &validation::validate_update(old, new))?;
    Ok(removed_or_put(old, object))
}

/// `/status`. Of a Deployment the annotations are taken too, as upstream's status strategy does: its controller writes the revision so.
fn update_status(old: &Arc<Object>, object: &Object) -> Result<Outcome, ApiError> {
    same_uid(&old.key(), old.meta(), &object.meta().uid)?;
    let mut new = (**old).clone();
    match (&mut new, object) {
        (Object::Pod(new), Object::Pod(object)) => {
            let qos_class = std::mem::take(&mut new.status.qos_class);
            new.status.clone_from(&object.status);
            new.status.qos_class = qos_class;
        }
        (Object::Node(new), Object::Node(object)) => new.status.clone_from(&object.status),
        (Object::Deployment(new), Object::Deployment(object)) => {
            new.status.clone_from(&object.status);
            new.meta.annotations = object.meta.annotations.clone();
            share(&mut new.meta.annotations, &old.meta().annotations);
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(object)) => new.status.clone_from(&object.status),
        (Object::Namespace(new), Object::Namespace(object)) => new.status.clone_from(&object.status),
        (Object::PodDisruptionBudget(new), Object::PodDisruptionBudget(object)) => new.status.clone_from(&object.status),
        (Object::Service(new), Object::Service(object)) => new.status.clone_from(&object.status),
        (Object::PersistentVolume(new), Object::PersistentVolume(object)) => new.status.clone_from(&object.status),
        (Object::PersistentVolumeClaim(new), Object::PersistentVolumeClaim(object)) => new.status.clone_from(&object.status),
        (Object::VolumeAttachment(new), Object::VolumeAttachment(object)) => new.status.clone_from(&object.status),
        _ => return Err(no_status(&old.key())),
    }
    Ok(put_if_changed(old, new))
}

fn apply_patch(specs: &mut Specs, now: Time, key: &Key, change: &Patch, part: Part, current: &Stored) -> Result<Outcome, ApiError> {
    let old = &current.object;
    let apply: fn(&mut serde_json::Value, &serde_json::Value) -> Result<(), String> = match change {
        Patch::Status { object, uid } => return patch_status(key, old, object, uid),
        Patch::Condition { condition, nominated_node } => return patch_condition(now, key, old, condition, nominated_node.as_ref()),
        Patch::Merge(_) => patch::merge,
        Patch::Strategic(_) => patch::strategic,
        Patch::Json(_) => patch::json,
    };
    let (Patch::Merge(change) | Patch::Strategic(change) | Patch::Json(change)) = change else { unreachable!("typed patches are done") };
    let rejected =
        |why: String| ApiError::new(Reason::Invalid, format!("the server rejected our request due to an error in our request: {why}"));
    let mut json = old.to_json();
    let revision = serde_json::Value::String(current.revision.to_string());
    json["metadata"]["resourceVersion"] = revision.clone();
    apply(&mut json, change).map_err(rejected)?;
    if json["metadata"].get("resourceVersion").is_some_and(|wanted| *wanted != revision) {
        return Err(modified(key));
    }
    let object = Object::from_json(json).map_err(|why| {
        let name = key.kind().name();
        let version = key.kind().api_version().rsplit('/').next().unwrap_or_default();
        ApiError::new(Reason::BadRequest, format!("{name} in version \"{version}\" cannot be handled as a {name}: {why}"))
    })?;
    if object.key() != *key {
        let why = format!("the name of the object ({}) does not match the name on the URL ({})", object.meta().name, key.name());
        return Err(ApiError::new(Reason::BadRequest, why));
    }
    match part {
        Part::Main => update(specs, current, Arc::new(object)),
        Part::Status => update_status(old, &object),
    }
}

/// The status that a kubelet or a controller sends: conditions by type, everything else as it is sent. What only others set is kept: the
/// QoS class, the nominated node.
fn patch_status(key: &Key, old: &Arc<Object>, object: &Object, uid: &Uid) -> Result<Outcome, ApiError> {
    same_uid(key, old.meta(), uid)?;
    let new: Object = match (&**old, object) {
        (Object::Pod(old), Object::Pod(object)) => {
            let mut status = object.status.clone();
            keep_conditions(&mut status.conditions, &old.status.conditions);
            if status.qos_class.is_empty() {
                status.qos_class.clone_from(&old.status.qos_class);
            }
            if status.nominated_node_name.is_empty() {
                status.nominated_node_name.clone_from(&old.status.nominated_node_name);
            }
            Pod { meta: old.meta.clone(), spec: old.spec.clone(), node: old.node.clone(), status }.into()
        }
        (Object::Node(old), Object::Node(object)) => {
            let mut new = old.clone();
            new.status.clone_from(&object.status);
            keep_conditions(&mut new.status.conditions, &old.status.conditions);
            new.into()
        }
        (Object::Deployment(old), Object::Deployment(object)) => {
            let mut new = old.clone();
            new.status.clone_from(&object.status);
            keep_conditions(&mut new.status.conditions, &old.status.conditions);
            new.into()
        }
        (Object::ReplicaSet(old), Object::ReplicaSet(object)) => {
            let mut new = old.clone();
            new.status.clone_from(&object.status);
            keep_conditions(&mut new.status.conditions, &old.status.conditions);
            new.into()
        }
        _ => return Err(no_status(key)),
    };
    Ok(put_if_changed(old, new))
}

pub(super) fn patch_condition(
    now: Time,
    key: &Key,
    old: &Arc<Object>,
    condition: &Condition,
    nominated_node: Option<&Name>,
) -> Result<Outcome, ApiError> {
    let mut new = (**old).clone();
    let conditions = match &mut new {
        Object::Pod(pod) => {
            if let Some(node) = nominated_node {
                pod.status.nominated_node_name = node.clone();
            }
            &mut pod.status.conditions
        }
        Object::Node(node) => &mut node.status.conditions,
        Object::Deployment(deployment) => &mut deployment.status.conditions,
        Object::ReplicaSet(set) => &mut set.status.conditions,
        _ => return Err(no_status(key)),
    };
    let mut condition = condition.clone();
    condition.last_transition_time.get_or_insert(now.truncate_to_second());
    conditions.set(condition);
    Ok(put_if_changed(old, new))
}

/// Deletion, graceful or at once, and what holds it up (apiserver `registry/rest/delete.go`, `generic/registry/store.go`).
///
/// `Background` leaves finalizers of an earlier delete alone: the message cannot tell it from "unspecified".
pub fn delete(now: Time, key: &Key, options: &DeleteOptions, current: &Stored) -> Result<Outcome, ApiError> {
    let old = &*current.object;
    admission::may_delete(key)?;
    preconditions(key, options, current)?;
    let mut new = old.clone();
    let finalizer = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some((FOREGROUND, ORPHAN)),
        Propagation::Orphan => Some((ORPHAN, FOREGROUND)),
    };
    if let Some((wanted, other)) = finalizer {
        let finalizers = &mut new.meta_mut().finalizers;
        finalizers.retain(|finalizer| *finalizer != *other);
        if !finalizers.iter().any(|finalizer| *finalizer == *wanted) {
            finalizers.push(wanted.into());
        }
    }
    let grace = match old {
        Object::Pod(pod) => pod_grace(pod, options),
        _ => 0,
    };
    if let Object::Namespace(namespace) = &mut new {
        namespace.status.phase = "Terminating".into();
    }
    let deleting = old.meta().deletion_timestamp.zip(old.meta().deletion_grace_period_seconds);
    let meta = new.meta_mut();
    match deleting {
        None => {
            meta.deletion_timestamp = Some((now + Duration::from_secs(grace)).truncate_to_second());
            meta.deletion_grace_period_seconds = Some(grace);
            if meta.generation > 0 {
                meta.generation += 1;
            }
        }
        // It may only shorten, counted from the first delete, and never into the past.
        Some((at, before)) => {
            let asked = options.grace_period_seconds.unwrap_or(before);
            if asked < before {
                let shortened = at - Duration::from_secs(before) + Duration::from_secs(asked);
                meta.deletion_timestamp = Some(shortened.max(now).truncate_to_second());
                meta.deletion_grace_period_seconds = Some(asked);
            }
        }
    }
    let gone = meta.deletion_grace_period_seconds == Some(0) && !is_held(&new);
    let new = Arc::new(new);
    Ok(match gone {
        true => Outcome::Delete(new),
        false if *new == *old => Outcome::Unchanged,
        false => Outcome::Put(new),
    })
}

/// The options' grace period or the spec's; none for a pod that no kubelet has, or that has ended.
fn pod_grace(pod: &Pod, options: &DeleteOptions) -> u64 {
    if pod.node.is_none() || pod.status.phase.is_terminal() {
        return 0;
    }
    options.grace_period_seconds.unwrap_or_else(|| pod.spec.grace_period_seconds())
}

fn preconditions(key: &Key, options: &DeleteOptions, current: &Stored) -> Result<(), ApiError> {
    let subject = format!("Operation cannot be fulfilled on {} \"{}\": the", key.kind().qualified_name(), key.name());
    let uid = &current.object.meta().uid;
    if let Some(wanted) = options.uid.as_ref().filter(|wanted| *wanted != uid) {
        let why = format!("{subject} UID in the precondition ({wanted}) does not match the UID in record ({uid}).");
        return Err(ApiError::new(Reason::Conflict, format!("{why} The object might have been deleted and then recreated")));
    }
    if let Some(wanted) = options.revision.filter(|wanted| *wanted != current.revision) {
        let why = format!("{subject} ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record");
        return Err(ApiError::new(Reason::Conflict, format!("{why} ({}). The object might have been modified", current.revision)));
    }
    Ok(())
}

/// `pods/binding` (upstream `registry/core/pod/storage`, assignPod).
fn bind(now: Time, key: &Key, uid: &Uid, node: &Name, old: &Arc<Object>) -> Result<Outcome, ApiError> {
    let Some(pod) = old.as_pod() else {
        return Err(ApiError::new(Reason::BadRequest, format!("{key} cannot be bound: only pods can")));
    };
    same_uid(key, &pod.meta, uid)?;
    let name = key.name();
    let conflict =
        |why: String| Err(ApiError::new(Reason::Conflict, format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}")));
    if pod.meta.is_deleting() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(assigned) = &pod.node {
        return conflict(format!("pod {name} is already assigned to node \"{assigned}\""));
    }
    if !pod.spec.scheduling_gates.is_empty() {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut new = pod.clone();
    new.node = Some(node.clone());
    new.status.conditions.set(Condition::new("PodScheduled", true, "", now));
    Ok(Outcome::Put(Arc::new(new.into())))
}

/// An update that empties the finalizers of an object that is being deleted removes it.
fn removed_or_put(old: &Object, new: Arc<Object>) -> Outcome {
    let meta = new.meta();
    if meta.is_deleting() && meta.deletion_grace_period_seconds.unwrap_or(0) == 0 && is_held(old) && !is_held(&new) {
        Outcome::Delete(new)
    } else {
        Outcome::Put(new)
    }
}

fn put_if_changed(old: &Object, new: Object) -> Outcome {
    if *old == new { Outcome::Unchanged } else { Outcome::Put(Arc::new(new)) }
}

/// Do finalizers keep it? A namespace has some in its spec too, which the namespace controller takes out.
fn is_held(object: &Object) -> bool {
    let in_spec = |spec: &Rest| spec.get("finalizers").and_then(serde_json::Value::as_array).is_some_and(|list| !list.is_empty());
    !object.meta().finalizers.is_empty() || object.as_namespace().is_some_and(|namespace| in_spec(&namespace.spec))
}

/// What only the server sets, and what need not be copied.
fn keep_meta(new: &mut Meta, old: &Meta) {
    new.uid = old.uid.clone();
    new.generate_name = old.generate_name.clone();
    new.creation_timestamp = old.creation_timestamp;
    new.deletion_timestamp = old.deletion_timestamp;
    new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    new.generation = old.generation;
    share(&mut new.labels, &old.labels);
    share(&mut new.annotations, &old.annotations);
}

/// Equal contents go on being one.
fn share<T: PartialEq>(new: &mut Shared<T>, old: &Shared<T>) {
    if new == old {
        *new = old.clone();
    }
}

fn update_template(specs: &mut Specs, new: &mut PodTemplate, old: &PodTemplate) {
    if new.spec != old.spec {
        // What is wrong with it, `validate_update` tells.
        specs.admit_template(new);
    }
    share(&mut new.spec, &old.spec);
    share(&mut new.meta.labels, &old.meta.labels);
    share(&mut new.meta.annotations, &old.meta.annotations);
}

/// The kinds whose generation is counted (as recorded from a real server).
fn has_generation(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::Deployment | Kind::ReplicaSet | Kind::EndpointSlice | Kind::PriorityClass | Kind::PodDisruptionBudget)
}

/// Does the generation rise? A Deployment's also with its annotations (upstream `registry/apps/deployment/strategy.go`).
fn spec_changed(old: &Object, new: &Object) -> bool {
    match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => old.spec != new.spec,
        (Object::Deployment(old), Object::Deployment(new)) => old.spec != new.spec || old.meta.annotations != new.meta.annotations,
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => old.spec != new.spec,
        (Object::PodDisruptionBudget(old), Object::PodDisruptionBudget(new)) => old.spec != new.spec,
        (Object::EndpointSlice(old), Object::EndpointSlice(new)) => {
            old.endpoints != new.endpoints || old.rest != new.rest || old.meta.labels != new.meta.labels
        }
        _ => false,
    }
}

/// Conditions merge by type: those that are not sent stay, before the others, which come in the order in which they were sent (the
/// `$setElementOrder` of a strategic merge patch). Were the old order kept, a kubelet that lists them otherwise would patch for ever.
fn keep_conditions(sent: &mut List<Condition>, old: &[Condition]) {
    let unsent = |condition: &&Condition| sent.iter().all(|other| other.kind != condition.kind);
    let kept: Vec<Condition> = old.iter().filter(unsent).cloned().collect();
    if !kept.is_empty() {
        sent.splice(0..0, kept);
    }
}

/// Guaranteed: all containers limit CPU and memory and request as much; BestEffort: none asks for either; else Burstable.
pub fn qos_class(pod: &Pod) -> &'static str {
    let containers = || pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let counted = ["cpu", "memory"];
    let asks = |container: &crate::objects::Container| {
        let resources = &container.resources;
        counted
            .iter()
            .any(|name| [&resources.requests, &resources.limits].iter().any(|list| list.get(*name).is_some_and(|it| !it.is_zero())))
    };
    let fixed = |container: &crate::objects::Container| {
        let resources = &container.resources;
        counted.iter().all(|name| resources.limits.get(*name).is_some_and(|it| !it.is_zero() && resources.requests.get(*name) == Some(it)))
    };
    match () {
        () if !containers().any(asks) => "BestEffort",
        () if containers().all(fixed) => "Guaranteed",
        () => "Burstable",
    }
}

/// An empty precondition holds.
fn same_uid(key: &Key, meta: &Meta, wanted: &Uid) -> Result<(), ApiError> {
    if wanted.is_empty() || *wanted == meta.uid {
        return Ok(());
    }
    let why = format!(
        "Operation cannot be fulfilled on {} \"{}\": StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
        key.kind().qualified_resource(),
        key.name(),
        key.path(),
        meta.uid
    );
    Err(ApiError::new(Reason::Conflict, why))
}

/// Somebody was faster.
pub fn modified(key: &Key) -> ApiError {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    let subject = format!("{} \"{}\"", key.kind().qualified_resource(), key.name());
    ApiError::new(Reason::Conflict, format!("Operation cannot be fulfilled on {subject}: {why}"))
}

pub fn already_exists(key: &Key) -> ApiError {
    ApiError::new(Reason::AlreadyExists, format!("{} \"{}\" already exists", key.kind().qualified_resource(), key.name()))
}

/// 422 unless there is nothing wrong.
pub fn valid(kind: Kind, name: &str, violations: &[Violation]) -> Result<(), ApiError> {
    if violations.is_empty() { Ok(()) } else { Err(ApiError::new(Reason::Invalid, validation::message(kind, name, violations))) }
}

fn no_status(key: &Key) -> ApiError {
    ApiError::new(Reason::NotFound, format!("the server could not find the requested resource: {} have no status", key.kind().resource()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_stand_in_the_order_in_which_they_were_sent_after_those_that_were_not() {
        let conditions = |kinds: &[&'static str]| kinds.iter().map(|kind| Condition::new(kind, true, "", Time::ZERO)).collect::<List<_>>();
        let mut sent = conditions(&["Ready", "PodScheduled"]);
        keep_conditions(&mut sent, &conditions(&["PodScheduled", "DisruptionTarget", "Ready"]));
        assert_eq!(sent, conditions(&["DisruptionTarget", "Ready", "PodScheduled"]));
    }
}
