//! The scheduler held against recorded decisions of the real one (format `kube-scheduler-golden/1`): small clusters, and what
//! kube-scheduler v1.34.1 decided for each waiting pod: each node's first rejection with code and reasons, each plugin's weighted score, the
//! totals, the best nodes, and whom preemption evicts. [`compare`] plays a case and tells where this scheduler decides otherwise.
//!
//! Both forms are compared: the plain one in every detail, the fast one in what it comes to. After each pod the *recorded* outcome is
//! applied, so that one disagreement does not bring others along.

mod compare;
mod tally;

use std::sync::Arc;

use serde_json::Value;

use super::decide::{Sampling, decide};
use super::explain::explain;
use super::preemption::CandidateLimits;
use super::profile::Profile;
use super::snapshot::Snapshot;
use crate::base::random::Seed;
use crate::base::{Duration, Name, Time};
use crate::objects::{Key, LabelSelector, Object};

pub use tally::{Aspect, Counts, Disagreement, Tally};

/// The format that is read.
pub const FORMAT: &str = "kube-scheduler-golden/1";

/// What a case came to.
pub struct Comparison {
    /// The plugin and the variant that the case is about.
    pub group: String,
    pub pods: usize,
    /// How many of the pods had every detail of every attempt as recorded.
    pub agreeing: usize,
    pub tally: Tally,
    pub first: Option<Disagreement>,
}

/// Whether a JSON value is a case.
pub fn is_case(value: &Value) -> bool {
    value["format"] == FORMAT
}

/// Plays a case. `Err`: it is not one that can be read, and where.
pub fn compare(case: &Value) -> Result<Comparison, String> {
    if !is_case(case) {
        return Err(format!("format: expected \"{FORMAT}\""));
    }
    let input = &case["input"];
    let mut snapshot = read_cluster(input)?;
    // As the recordings were made: every node is looked at, and every node that preemption may help.
    let profile = Profile::default().with_preemption(Some(CandidateLimits::ALL));
    let digest = case["digest"] == true;
    let group = case["group"].as_str().unwrap_or("").to_owned();
    let mut comparison = Comparison { group, pods: 0, agreeing: 0, tally: Tally::default(), first: None };
    let pending = read_list(input, "pending")?;
    let results = read_list(&case["expected"], "results").map_err(|error| format!("expected.{error}"))?;
    if pending.len() != results.len() {
        return Err(format!("expected.results: expected one for each of the {} pending pods", pending.len()));
    }
    for (at, (pod, result)) in pending.iter().zip(results).enumerate() {
        let place = |what: &str| format!("expected.results[{at}]{what}");
        let mut object = read_object(pod, "Pod").map_err(|error| format!("input.pending[{at}]: {error}"))?;
        let key = object.key();
        let (mut agrees, mut keeps_nomination) = (true, false);
        for attempt in read_list(result, "attempts").map_err(|error| place(&format!(".{error}")))? {
            let nominated = attempt["nominatedNodeName"].as_str().unwrap_or("");
            object = with_pod(&object, |pod| pod.status.nominated_node_name = Name::new(nominated));
            let info = snapshot.pod_info(&object);
            if !nominated.is_empty() {
                snapshot.nominate(info.clone(), &Name::new(nominated));
            }
            let mut chance = Seed(1).stream("oracle");
            let plain = explain(&profile, &info, &snapshot, &mut chance);
            let fast = decide(&profile, &info, &snapshot, &mut Sampling::ALL.clone(), &mut chance);
            let disagreement = compare::attempt(attempt, digest, &plain, &fast, &snapshot, &mut comparison.tally);
            if let Some((what, theirs, ours)) = disagreement {
                agrees = false;
                comparison.first.get_or_insert(Disagreement { pod: key.to_string(), what, theirs, ours });
            }
            let names = |field: &str| -> Vec<Key> {
                let names = attempt["postFilter"][field].as_array().into_iter().flatten().filter_map(Value::as_str);
                names.filter_map(|name| name.split_once('/')).map(|(namespace, name)| Key::pod(namespace, name)).collect()
            };
            for victim in names("victims") {
                if !snapshot.remove_pod(&victim) {
                    return Err(place(&format!(".attempts: victim {victim} is not on a node")));
                }
            }
            for loser in names("clearedNominations") {
                snapshot.withdraw(&loser);
            }
            let post_filter = &attempt["postFilter"];
            keeps_nomination = post_filter["eligible"] == false || post_filter["code"] == "Error";
        }
        comparison.pods += 1;
        comparison.agreeing += usize::from(agrees);
        // A pod without a node is left out of the rest of the case. Room that it had is free only if it looked for other room in vain.
        let node = result["node"].as_str().unwrap_or("");
        if !(node.is_empty() && keeps_nomination) {
            snapshot.withdraw(&key);
        }
        if !node.is_empty() {
            let started = Time::from_rfc3339("2025-01-02T00:00:00Z").expect("a time") + Duration::from_secs(60 * at as u64);
            snapshot.set(&with_pod(&object, |pod| (pod.node, pod.status.start_time) = (Some(Name::new(node)), Some(started))));
        }
    }
    Ok(comparison)
}

fn read_cluster(input: &Value) -> Result<Snapshot, String> {
    let objects = |field: &str, kind: &str| -> Result<Vec<Arc<Object>>, String> {
        let read = |(at, value)| read_object(value, kind).map_err(|error| format!("input.{field}[{at}]: {error}"));
        read_list(input, field)?.iter().enumerate().map(read).collect()
    };
    let mut others = objects("namespaces", "Namespace")?;
    let kinds = [
        ("services", "Service"),
        ("replicasets", "ReplicaSet"),
        ("pdbs", "PodDisruptionBudget"),
        ("storageclasses", "StorageClass"),
        ("csinodes", "CSINode"),
        ("csidrivers", "CSIDriver"),
        ("csistoragecapacities", "CSIStorageCapacity"),
        ("pvs", "PersistentVolume"),
        ("pvcs", "PersistentVolumeClaim"),
        ("volumeattachments", "VolumeAttachment"),
    ];
    for (field, kind) in kinds {
        others.extend(objects(field, kind)?);
    }
    let mut snapshot = Snapshot::from_objects(&objects("nodes", "Node")?, &objects("pods", "Pod")?, &others);
    for (field, kind) in [("replicationcontrollers", "ReplicationController"), ("statefulsets", "StatefulSet")] {
        for (at, value) in read_list(input, field)?.iter().enumerate() {
            // A ReplicationController's selector is a plain map of labels.
            let selector = match kind {
                "ReplicationController" => serde_json::json!({"matchLabels": value["spec"]["selector"]}),
                _ => value["spec"]["selector"].clone(),
            };
            let selector: LabelSelector =
                serde_json::from_value(selector).map_err(|error| format!("input.{field}[{at}].spec.selector: {error}"))?;
            let name = |field: &str| Name::new(value["metadata"][field].as_str().unwrap_or(""));
            snapshot.set_controller(kind, &name("namespace"), &name("name"), selector);
        }
    }
    // Pods that wait for their turn have room kept for them like those that never get one.
    for object in objects("nominated", "Pod")?.iter().chain(&objects("pending", "Pod")?) {
        let node = object.as_pod().map(|pod| pod.status.nominated_node_name.clone()).filter(|node| !node.is_empty());
        if let Some(node) = node {
            let info = snapshot.pod_info(object);
            snapshot.nominate(info, &node);
        }
    }
    Ok(snapshot)
}

/// A list that may be left out.
fn read_list<'v>(value: &'v Value, field: &str) -> Result<&'v [Value], String> {
    match &value[field] {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(format!("{field}: expected a list")),
    }
}

fn read_object(value: &Value, kind: &str) -> Result<Arc<Object>, String> {
    let Value::Object(fields) = value else { return Err("expected an object".to_owned()) };
    let mut fields = fields.clone();
    fields.insert("kind".to_owned(), Value::from(kind));
    Object::from_json(Value::Object(fields)).map(Arc::new)
}

fn with_pod(object: &Arc<Object>, change: impl FnOnce(&mut crate::objects::Pod)) -> Arc<Object> {
    let mut pod = object.as_pod().expect("called with pods").clone();
    change(&mut pod);
    Arc::new(pod.into())
}
