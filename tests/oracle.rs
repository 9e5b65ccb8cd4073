//! The scheduler against decisions that the unmodified kube-scheduler v1.34.1 made, recorded case by case: for each pod the first
//! rejection of each node with its code and reasons, each plugin's weighted score, the totals, and the set of best nodes.
//!
//! `tests/oracle/<plugin>/<variant>/case-NNN.json` holds small clusters, two of each group. Another set in the same format can be named by
//! the environment variable `ORACLE_CASES`. Not compared: preemption (its recorded outcome is applied, so that the rest of a case
//! can be), and cases with nominated pods.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clustersim::base::random::Seed;
use clustersim::base::{Name, Stream};
use clustersim::objects::{Key, LabelSelector, Object};
use clustersim::scheduler::plugins::Code;
use clustersim::scheduler::{Decision, Explanation, Sampling, Snapshot, decide, explain};
use serde_json::Value;

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable names a larger set of cases")]
fn decisions_are_those_of_kube_scheduler() {
    let root = std::env::var_os("ORACLE_CASES").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle"), PathBuf::from);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let (mut attempts, mut agreeing, mut shown) = (0, 0, Vec::new());
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in &files {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("a readable case")).expect("a case is JSON");
        if case["format"] != "kube-scheduler-golden/1" {
            continue;
        }
        let group = groups.entry(case["group"].as_str().unwrap_or("").to_owned()).or_default();
        for (pod, difference) in compare(&case) {
            attempts += 1;
            group.0 += 1;
            match difference {
                None => (agreeing, group.1) = (agreeing + 1, group.1 + 1),
                Some(text) => shown.push(format!("{} {pod}: {text}", file.display())),
            }
        }
    }
    for (group, (attempts, agreeing)) in &groups {
        println!("{group}: {agreeing} of {attempts}");
    }
    println!("{agreeing} of {attempts} decisions agree, {} files", files.len());
    assert!(attempts > 400, "only {attempts} decisions were found under {}", root.display());
    assert!(shown.is_empty(), "{} differ; the first ones:\n{}", shown.len(), shown[..shown.len().min(20)].join("\n"));
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory of cases") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

/// Plays a case; for each compared pod the first difference.
fn compare(case: &Value) -> Vec<(String, Option<String>)> {
    let input = &case["input"];
    if !list(&input["nominated"]).is_empty() {
        return Vec::new();
    }
    let objects = |field: &str, kind: &str| -> Vec<Arc<Object>> { list(&input[field]).iter().map(|value| object(value, kind)).collect() };
    let mut others = objects("namespaces", "Namespace");
    others.extend(objects("services", "Service"));
    others.extend(objects("replicasets", "ReplicaSet"));
    let mut snapshot = Snapshot::from_objects(&objects("nodes", "Node"), &objects("pods", "Pod"), &others);
    for (field, kind) in [("replicationcontrollers", "ReplicationController"), ("statefulsets", "StatefulSet")] {
        for value in list(&input[field]) {
            // A ReplicationController's selector is a plain map of labels.
            let selector = match kind {
                "ReplicationController" => serde_json::json!({"matchLabels": value["spec"]["selector"]}),
                _ => value["spec"]["selector"].clone(),
            };
            let selector: LabelSelector = serde_json::from_value(selector).expect("a selector");
            let name = |field: &str| Name::new(value["metadata"][field].as_str().unwrap_or(""));
            snapshot.set_controller(kind, &name("namespace"), &name("name"), selector);
        }
    }
    let mut ties = Seed(1).stream("ties");
    let mut outcomes = Vec::new();
    for (pod, result) in list(&input["pending"]).iter().zip(list(&case["expected"]["results"])) {
        let pod = object(pod, "Pod");
        let attempt = &result["attempts"][0];
        if attempt["nominatedNodeName"].as_str().unwrap_or("").is_empty() {
            let difference = difference(&pod, attempt, case["digest"] == true, &mut snapshot, &mut ties);
            outcomes.push((result["pod"].as_str().unwrap_or("").to_owned(), difference));
        }
        for victim in list(&attempt["postFilter"]["victims"]) {
            let (namespace, name) = victim.as_str().expect("a victim is a name").split_once('/').expect("namespace/name");
            assert!(snapshot.remove_pod(&Key::pod(namespace, name)), "{victim} was not there");
        }
        let node = result["node"].as_str().unwrap_or("");
        if !node.is_empty() {
            let mut bound = pod.as_pod().expect("a pod").clone();
            bound.node = Some(Name::new(node));
            snapshot.set(&Arc::new(bound.into()));
        }
    }
    outcomes
}

fn object(value: &Value, kind: &str) -> Arc<Object> {
    let mut value = value.clone();
    value["kind"] = Value::from(kind);
    Arc::new(Object::from_json(value).expect("an object of the case"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn difference(pod: &Arc<Object>, attempt: &Value, digest: bool, snapshot: &mut Snapshot, ties: &mut Stream) -> Option<String> {
    let info = snapshot.pod_info(pod);
    let ours = explain(&info, snapshot);
    let mut checks = vec![(
        "preFilter",
        pre_filter(&attempt["preFilter"]),
        ours.rejected_at_once.as_ref().map(|(plugin, reason)| format!("{plugin} {reason}")),
    )];
    let mut check = |what, theirs: String, ours: String| checks.push((what, Some(theirs), Some(ours)));
    check("feasible", attempt["feasible"].to_string(), ours.feasible.to_string());
    if digest {
        let theirs = &attempt["digest"];
        check(
            "rejected",
            histogram(&theirs["rejected"]),
            format!(
                "{:?}",
                count(ours.rejected.values().map(|(plugin, code, reasons)| format!(
                    "{plugin}|{}|{}",
                    code_name(*code),
                    sorted(reasons).join(";")
                )))
            ),
        );
        check(
            "totals",
            histogram(&theirs["totals"]),
            format!("{:?}", count(ours.scores.values().filter_map(|row| row.last()).map(i64::to_string))),
        );
        for (at, plugin) in ours.plugins.iter().enumerate() {
            check(
                "plugin",
                histogram(&theirs["perPlugin"][plugin.to_string()]),
                format!("{plugin} {:?}", count(ours.scores.values().map(|row| row[at].to_string()))).replacen(&format!("{plugin} "), "", 1),
            );
        }
    } else {
        check("rejected", rejected(&attempt["rejected"]), our_rejected(&ours));
        check("scores", scores(&attempt["scores"]), our_scores(&ours));
    }
    if ours.feasible > 1 {
        check(
            "plugins",
            list(&attempt["plugins"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            ours.plugins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        );
        check(
            "ties",
            list(&attempt["ties"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            ours.best.iter().map(Name::as_str).collect::<Vec<_>>().join(" "),
        );
    }
    if ours.feasible == 0 {
        // What follows is about preemption.
        let theirs = attempt["message"].as_str().unwrap_or("");
        check("message", theirs.chars().take(ours.message.chars().count()).collect(), ours.message.to_string());
    }
    // The fast form must choose one of the best.
    let fast = match decide(&info, snapshot, &mut Sampling::ALL.clone(), ties) {
        Decision::Node(slot) => snapshot.nodes().info(slot).name.to_string(),
        Decision::Unschedulable(failure) => failure.message.to_string(),
    };
    if ours.feasible > 0 {
        check("fast form", "true".to_owned(), ours.best.iter().any(|name| *name == fast.as_str()).to_string());
    } else {
        check("fast form", ours.message.to_string(), fast);
    }
    checks
        .into_iter()
        .find(|(_, theirs, ours)| theirs != ours)
        .map(|(what, theirs, ours)| format!("{what}\n   theirs {}\n   ours   {}", theirs.unwrap_or_default(), ours.unwrap_or_default()))
}

fn pre_filter(value: &Value) -> Option<String> {
    Some(format!("{} {}", value["plugin"].as_str()?, value["reasons"][0].as_str()?))
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Unschedulable => "Unschedulable",
        Code::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
    }
}

fn sorted<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

fn count(items: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_insert(0) += 1);
    counts
}

fn histogram(value: &Value) -> String {
    let counts: BTreeMap<String, u64> =
        value.as_object().into_iter().flatten().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
    format!("{counts:?}")
}

fn rejected(value: &Value) -> String {
    let one = |(node, rejection): (&String, &Value)| {
        let reasons: Vec<&str> = list(&rejection["reasons"]).iter().filter_map(Value::as_str).collect();
        format!("{node} {} {} {:?}", rejection["plugin"].as_str().unwrap_or(""), rejection["code"].as_str().unwrap_or(""), sorted(&reasons))
    };
    value.as_object().into_iter().flatten().map(one).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}

fn our_rejected(ours: &Explanation) -> String {
    let one = |(node, (plugin, code, reasons)): (&Name, &(_, Code, Vec<_>))| {
        let plugin: &clustersim::scheduler::plugins::PluginId = plugin;
        format!("{node} {plugin} {} {:?}", code_name(*code), sorted::<clustersim::objects::Text>(reasons))
    };
    ours.rejected.iter().map(one).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}

fn scores(value: &Value) -> String {
    let rows: BTreeMap<&String, String> = value.as_object().into_iter().flatten().map(|(node, row)| (node, row.to_string())).collect();
    rows.into_iter().map(|(node, row)| format!("{node} {row}")).collect::<Vec<_>>().join("; ")
}

fn our_scores(ours: &Explanation) -> String {
    let row = |row: &Vec<i64>| format!("[{}]", row.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
    ours.scores.iter().map(|(node, scores)| format!("{node} {}", row(scores))).collect::<Vec<_>>().join("; ")
}
