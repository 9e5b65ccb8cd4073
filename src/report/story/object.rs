//! Which objects a person means by `pod/web-7d4`, `svc/web`, `node/*` or `etcd`, among those that occurred in a run.

use std::collections::BTreeSet;

use crate::engine::record::Record;
use crate::objects::{Key, Kind};
use crate::wire::fact::Subject;

/// What a story can be about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hero {
    Object(Key),
    /// All members of etcd: who led, and why.
    Etcd,
    /// Who leads by this Lease: the instances of the controller manager or of the scheduler.
    Lease(Led),
}

/// The Leases by which somebody leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Led {
    ControllerManager,
    Scheduler,
}

const LEASES: [(&str, Led); 2] = [("kube-controller-manager", Led::ControllerManager), ("kube-scheduler", Led::Scheduler)];

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// The kinds by the names that kubectl knows them by.
const KINDS: [(Kind, &[&str]); 17] = [
    (Kind::Pod, &["pod", "pods", "po"]),
    (Kind::Node, &["node", "nodes", "no"]),
    (Kind::Deployment, &["deployment", "deployments", "deploy"]),
    (Kind::ReplicaSet, &["replicaset", "replicasets", "rs"]),
    (Kind::Service, &["service", "services", "svc"]),
    (Kind::EndpointSlice, &["endpointslice", "endpointslices"]),
    (Kind::Namespace, &["namespace", "namespaces", "ns"]),
    (Kind::PriorityClass, &["priorityclass", "priorityclasses", "pc"]),
    (Kind::Lease, &["lease", "leases"]),
    (Kind::PodDisruptionBudget, &["poddisruptionbudget", "poddisruptionbudgets", "pdb"]),
    (Kind::PersistentVolume, &["persistentvolume", "persistentvolumes", "pv"]),
    (Kind::PersistentVolumeClaim, &["persistentvolumeclaim", "persistentvolumeclaims", "pvc"]),
    (Kind::StorageClass, &["storageclass", "storageclasses", "sc"]),
    (Kind::VolumeAttachment, &["volumeattachment", "volumeattachments"]),
    (Kind::CsiNode, &["csinode", "csinodes"]),
    (Kind::CsiDriver, &["csidriver", "csidrivers"]),
    (Kind::CsiStorageCapacity, &["csistoragecapacity", "csistoragecapacities"]),
];

/// The kind that kubectl knows by this name, in whatever case.
pub fn kind_named(name: &str) -> Option<Kind> {
    let lower = name.to_ascii_lowercase();
    KINDS.iter().find(|(_, names)| names.contains(&lower.as_str())).map(|(kind, _)| *kind)
}

/// The heroes that `text` names: an exact name, a prefix that only one name has, `prefix*`, or `*`. The error says what occurred instead.
pub fn find(record: &Record, text: &str, namespace: &str) -> Result<Vec<Hero>, String> {
    if text.eq_ignore_ascii_case("etcd") {
        return Ok(vec![Hero::Etcd]);
    }
    let Some((kind_text, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(format!("\"{text}\" names no object (expected KIND/NAME, as in pod/web-0 or node/worker-1, or etcd)"));
    };
    let lower = kind_text.to_ascii_lowercase();
    let Some(kind) = kind_named(kind_text) else {
        let names = KINDS.iter().flat_map(|(_, names)| names.iter().copied());
        let near = nearest(&lower, names, 1).concat();
        return Err(format!("{text}: no such kind: \"{kind_text}\" (did you mean \"{near}\"?)"));
    };
    let occurred = occurred(record, kind, namespace);
    let candidates = |names: &[&str]| names.iter().map(|name| format!("{lower}/{name}")).collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = occurred.iter().map(|(name, _)| name.as_str()).collect();
    let heroes = |pick: &dyn Fn(&str) -> bool| -> Vec<Hero> {
        occurred.iter().filter(|(candidate, _)| pick(candidate)).map(|(_, hero)| hero.clone()).collect()
    };
    let found = match name.strip_suffix('*') {
        Some(prefix) => heroes(&|candidate| candidate.starts_with(prefix)),
        None => {
            let exact = heroes(&|candidate| candidate == name);
            if exact.is_empty() { heroes(&|candidate| candidate.starts_with(name)) } else { exact }
        }
    };
    let scope = if kind.namespaced() && kind != Kind::Lease { format!(" in namespace {namespace}") } else { String::new() };
    if found.is_empty() {
        return Err(if names.is_empty() {
            format!("{text}: no {kind} occurred in the run{scope}")
        } else {
            let near = nearest(name, names, SUGGESTIONS);
            format!("{text}: no such object occurred in the run{scope} (nearest: {})", candidates(&near))
        });
    }
    if found.len() > 1 && !name.ends_with('*') {
        let some: Vec<&str> = names.iter().copied().filter(|candidate| candidate.starts_with(name)).take(SUGGESTIONS).collect();
        let more = if found.len() > some.len() { format!(" and {} more", found.len() - some.len()) } else { String::new() };
        return Err(format!("{text}: {} objects begin so: {}{more} ({text}* means them all)", found.len(), candidates(&some)));
    }
    Ok(found)
}

/// All of a kind that the record has facts about, by name.
fn occurred(record: &Record, kind: Kind, namespace: &str) -> Vec<(String, Hero)> {
    if kind == Kind::Lease {
        return LEASES.iter().map(|(name, led)| ((*name).to_owned(), Hero::Lease(*led))).collect();
    }
    let keys: BTreeSet<&Key> = record
        .facts
        .iter()
        .filter_map(|entry| match &entry.fact.subject {
            Subject::Object(key) if key.kind() == kind && (!kind.namespaced() || key.namespace() == namespace) => Some(key),
            _ => None,
        })
        .collect();
    keys.into_iter().map(|key| (key.name().to_owned(), Hero::Object(key.clone()))).collect()
}

/// The `count` candidates most like `wrong`.
fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let mut all: Vec<&str> = candidates.into_iter().collect();
    all.sort_by_key(|candidate| (strsim::damerau_levenshtein(wrong, candidate), *candidate));
    all.truncate(count);
    all
}

/// What the story is called.
pub fn title(hero: &Hero) -> String {
    match hero {
        Hero::Object(key) if key.namespace().is_empty() => format!("{} {}", key.kind(), key.name()),
        Hero::Object(key) => format!("{} {}/{}", key.kind(), key.namespace(), key.name()),
        Hero::Etcd => "etcd: who led, and why".to_owned(),
        Hero::Lease(led) => {
            let name = LEASES.iter().find(|(_, other)| other == led).map_or("", |(name, _)| name);
            format!("Lease kube-system/{name}: who led, and why")
        }
    }
}
