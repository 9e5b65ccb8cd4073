//! Which ReplicaSet is the new one, what it is called, which revision it has, and which old ones may go (k/k
//! `pkg/controller/deployment/{sync,util/deployment_util}.go`).

use std::sync::Arc;

use super::super::ownership::annotation_number;
use super::status::has_progress_deadline;
use super::{View, scaling, set_condition, status};
use crate::base::digest::fnv32a;
use crate::base::{Name, Time};
use crate::objects::workload::ReplicaSetSpec;
use crate::objects::{
    Condition, Conditions, Deployment, Key, Kind, LabelSelector, Meta, Object, OwnerReference, PodTemplate, ReplicaSet, Shared, Stored,
};
use crate::wire::api::{Part, Verb};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";
/// Annotations of a Deployment that its sets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    scaling::DESIRED_REPLICAS,
    scaling::MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// What the new set needs.
#[derive(Debug)]
pub(super) enum NewSet {
    AsItShouldBe,
    /// This write to it or to the Deployment.
    Write(Verb),
    Create(Box<ReplicaSet>),
}

/// Where the new set is in the view: the oldest whose template is the Deployment's.
pub(super) fn find_new(view: &View) -> Option<usize> {
    let template = &view.deployment().spec.template;
    let equal = view.sets().enumerate().filter(|(_, set)| equal_but_for_hash(&set.spec.template, template));
    equal.min_by(|(_, a), (_, b)| age(&a.meta).cmp(&age(&b.meta))).map(|(at, _)| at)
}

/// Orders oldest first.
pub(super) fn age(meta: &Meta) -> (Option<Time>, &Name) {
    (meta.creation_timestamp, &meta.name)
}

fn equal_but_for_hash(a: &PodTemplate, b: &PodTemplate) -> bool {
    let labels = |template: &PodTemplate| {
        let mut labels = template.meta.labels.iter().filter(|(key, _)| **key != *TEMPLATE_HASH_LABEL).peekable();
        std::iter::from_fn(move || labels.next().map(|(key, value)| (key.clone(), value.clone()))).collect::<Vec<_>>()
    };
    a.spec == b.spec && a.meta.annotations == b.meta.annotations && a.meta.rest == b.meta.rest && labels(a) == labels(b)
}

/// One more than the newest old set's revision.
fn next_revision(view: &View, new: Option<usize>) -> u64 {
    let old = view.sets().enumerate().filter(|(at, _)| Some(*at) != new);
    1 + old.filter_map(|(_, set)| annotation_number(&set.meta, REVISION)).max().unwrap_or(0)
}

pub(super) fn new_set(view: &View, may_create: bool, now: Time) -> NewSet {
    let deployment = view.deployment();
    let found = find_new(view);
    let revision = next_revision(view, found);
    let Some(at) = found else {
        return match may_create {
            true => NewSet::Create(Box::new(make_new_set(view, revision))),
            false => NewSet::AsItShouldBe,
        };
    };
    let stored = &view.sets[at];
    let set = stored.object.as_replica_set().expect("sets of a Deployment");
    let mut wanted = set.clone();
    annotate(&mut wanted.meta, deployment, revision);
    wanted.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
    if wanted != *set {
        let object = Arc::new(Object::ReplicaSet(wanted));
        return NewSet::Write(Verb::Update { object, part: Part::Main, revision: Some(stored.revision) });
    }
    let found = deployment.status.conditions.get("Progressing").is_none().then(|| status::progressing(true, "FoundNewReplicaSet", now));
    match announce(view, &set.meta, found) {
        Some(write) => NewSet::Write(write),
        None => NewSet::AsItShouldBe,
    }
}

/// The Deployment bears the revision of its new set, and says what has become of it: one write of its status, which takes annotations too
/// (k/k `pkg/registry/apps/deployment/strategy.go`). `None` if it says all that already.
fn announce(view: &View, new: &Meta, condition: Option<Condition>) -> Option<Verb> {
    let known = view.deployment();
    let mut told = known.clone();
    if let Some(condition) = condition.filter(|_| has_progress_deadline(known)) {
        set_condition(&mut told.status.conditions, condition);
    }
    if let Some(revision) = new.annotation(REVISION).filter(|revision| known.meta.annotation(REVISION) != Some(revision)) {
        told.meta.annotations.update(|annotations| drop(annotations.insert(REVISION.into(), revision.clone())));
    }
    (told != *known).then(|| Verb::Update {
        object: Arc::new(Object::Deployment(told)),
        part: Part::Status,
        revision: Some(view.deployment.revision),
    })
}

/// What the Deployment is told once its new set is created.
pub(super) fn announce_created(view: &View, created: &Stored, now: Time) -> Option<Verb> {
    announce(view, created.object.meta(), Some(status::progressing(true, "NewReplicaSetCreated", now)))
}

/// Copies the Deployment's annotations and sets the revision if it is newer.
fn annotate(meta: &mut Meta, deployment: &Deployment, revision: u64) {
    let mut annotations = (*meta.annotations).clone();
    for (key, value) in deployment.meta.annotations.iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())) {
        annotations.insert(key.clone(), value.clone());
    }
    if annotation_number(meta, REVISION).is_none_or(|old| old < revision) {
        annotations.insert(REVISION.into(), revision.to_string().into());
    }
    if annotations != *meta.annotations {
        meta.annotations = Shared::new(annotations);
    }
}

/// The set of a Deployment that has none.
pub(super) fn first_set(view: &View) -> ReplicaSet {
    make_new_set(view, next_revision(view, None))
}

fn make_new_set(view: &View, revision: u64) -> ReplicaSet {
    let deployment = view.deployment();
    let key = new_set_key(deployment);
    let hash: Name = key.name()[deployment.meta.name.len() + 1..].into();
    let mut template = deployment.spec.template.clone();
    template.meta.labels.update(|labels| drop(labels.insert(TEMPLATE_HASH_LABEL.into(), hash.clone())));
    let mut selector: LabelSelector = (*deployment.spec.selector).clone();
    selector.match_labels.insert(TEMPLATE_HASH_LABEL.into(), hash);
    let mut meta = Meta {
        labels: template.meta.labels.clone(),
        owner_references: vec![OwnerReference::controller(Kind::Deployment, &deployment.meta)].into(),
        ..Meta::named(&deployment.meta.namespace, key.name())
    };
    annotate(&mut meta, deployment, revision);
    scaling::annotate(&mut meta, deployment);
    let spec = ReplicaSetSpec {
        replicas: Some(scaling::initial_size(view)),
        min_ready_seconds: deployment.spec.min_ready_seconds,
        selector: Shared::new(selector),
        template,
        ..ReplicaSetSpec::default()
    };
    ReplicaSet { meta, spec, ..ReplicaSet::default() }
}

/// `<deployment>-<hash of the template and the collision count>`.
pub(super) fn new_set_key(deployment: &Deployment) -> Key {
    let mut text = serde_json::to_vec(&deployment.spec.template).expect("a template has string keys and finite numbers");
    if deployment.status.collision_count > 0 {
        text.extend_from_slice(&deployment.status.collision_count.to_le_bytes());
    }
    let name = format!("{}-{}", deployment.meta.name, safe_encode(fnv32a(&text)));
    Key::new(Kind::ReplicaSet, &deployment.meta.namespace, &name)
}

/// The decimal digits in the alphabet of generated names (apimachinery `util/rand`, `SafeEncodeString`).
fn safe_encode(hash: u32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// Whether a set of the name that we wanted is the one that we wanted.
pub(super) fn is_ours(view: &View, live: &Stored) -> bool {
    let deployment = view.deployment();
    live.object.as_replica_set().is_some_and(|set| {
        set.meta.controller().is_some_and(|owner| owner.uid == deployment.meta.uid)
            && equal_but_for_hash(&set.spec.template, &deployment.spec.template)
    })
}

/// Old sets beyond `revisionHistoryLimit` that have no pods, lowest revision first.
pub(super) fn surplus_history(view: &View) -> Vec<Key> {
    let Some(limit) = view.deployment().spec.revision_history_limit else { return Vec::new() };
    let new = find_new(view);
    let old = view.sets().enumerate().filter(|(at, set)| Some(*at) != new && !set.meta.is_deleting());
    let mut old: Vec<&ReplicaSet> = old.map(|(_, set)| set).collect();
    let surplus = old.len().saturating_sub(limit as usize);
    old.sort_by_key(|set| (annotation_number(&set.meta, REVISION), age(&set.meta)));
    let empty = |set: &&&ReplicaSet| {
        set.status.replicas == 0 && set.spec.replicas == Some(0) && set.meta.generation <= set.status.observed_generation
    };
    let key = |set: &&ReplicaSet| Key::new(Kind::ReplicaSet, &set.meta.namespace, &set.meta.name);
    old.iter().take(surplus).filter(empty).map(key).collect()
}
