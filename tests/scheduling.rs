//! What a KubeSchedulerConfiguration comes to, and what it makes a cluster do.

use std::collections::BTreeMap;

use clustersim::base::Name;
use clustersim::engine::Options;
use clustersim::engine::record::Record;
use clustersim::host::sim;
use clustersim::scenario::{self, Source};
use clustersim::scheduler::plugins::{PluginId, Strategy};
use clustersim::scheduler::{CandidateLimits, Config, Explained, FILTERS, ProfileConfig};
use clustersim::wire::fact::{Subject, What};
use serde_json::{Value, json};

/// A small cluster whose schedulers have this configuration, with a Deployment a scheduler name.
fn scenario_with(config: Value, workloads: &[(&str, &str)]) -> Value {
    let workload = |(name, scheduler): &(&str, &str)| {
        let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}});
        json!({"manifest": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 6, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"schedulerName": scheduler, "containers": [container]}
            }}
        }})
    };
    json!({
        "version": 1, "name": "profiles", "duration": "90s",
        "cluster": {
            "nodes": [{"name": "worker", "count": 4, "capacity": {"cpu": 4, "memory": "16Gi"}}],
            "scheduler": {"config": config}
        },
        "workloadAt": "20s",
        "workload": workloads.iter().map(workload).collect::<Vec<_>>()
    })
}

fn load(scenario: &Value, folder: Option<&std::path::Path>) -> scenario::Loaded {
    let source = Source { file: "scenario.json".to_owned(), text: scenario.to_string().into_bytes(), folder: folder.map(Into::into) };
    scenario::load(&source, &[]).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn config(scenario: &Value) -> Config {
    load(scenario, None).plan.timings.scheduler
}

/// How many pods of a workload each node got.
fn placement(record: &Record, workload: &str) -> BTreeMap<Name, u32> {
    let mut counts = BTreeMap::new();
    for entry in &record.facts {
        if let (Subject::Object(key), What::PodBound { node, .. }) = (&entry.fact.subject, &entry.fact.what)
            && key.name().starts_with(workload)
        {
            *counts.entry(node.clone()).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn without_a_configuration_there_is_the_default_profile() {
    let defaults = config(&scenario_with(json!({}), &[]));
    assert_eq!(defaults, Config::default());
    assert_eq!(defaults.profiles, [ProfileConfig::default()]);
}

#[test]
fn plugins_are_merged_with_the_defaults_as_upstream_merges_them() {
    let read = config(&scenario_with(
        json!({
            "percentageOfNodesToScore": 40, "podInitialBackoffSeconds": 2, "podMaxBackoffSeconds": 30,
            "leaderElection": {"leaderElect": true, "leaseDuration": "30s"}, "clientConnection": {"kubeconfig": "", "qps": 12.5},
            "profiles": [{
                "schedulerName": "mine", "percentageOfNodesToScore": 100,
                "plugins": {
                    "multiPoint": {"enabled": [{"name": "ImageLocality", "weight": 7}], "disabled": [{"name": "NodePorts"}]},
                    "filter": {"enabled": [{"name": "InterPodAffinity"}]},
                    "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 5}]},
                    "postFilter": {"disabled": [{"name": "DefaultPreemption"}]}
                },
                "pluginConfig": [
                    {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 3}]}}},
                    {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 10}},
                    {"name": "VolumeBinding", "args": {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "VolumeBindingArgs",
                        "bindTimeoutSeconds": 120}}
                ]
            }, {
                "plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": 9}]}},
                "pluginConfig": [{"name": "DefaultPreemption", "args": {"minCandidateNodesAbsolute": 5}}]
            }]
        }),
        &[],
    ));
    assert_eq!((read.percentage_of_nodes_to_score, read.pod_max_backoff.as_secs()), (40, 30));
    assert_eq!((read.leader.lease_duration.as_secs(), read.client_qps_milli, read.client_burst), (30, 12_500, 100));
    let [mine, default] = &read.profiles[..] else { panic!("{:?}", read.profiles) };
    assert_eq!((mine.scheduler_name.as_str(), mine.percentage_of_nodes_to_score, mine.preemption), ("mine", Some(100), None));
    // What a point names again comes first; what is disabled at all points is gone from each.
    assert_eq!(mine.filters[..2], [PluginId::InterPodAffinity, PluginId::NodeUnschedulable]);
    assert!(!mine.filters.contains(&PluginId::NodePorts) && mine.filters.len() == FILTERS.len() - 1);
    assert_eq!(mine.scores, [(PluginId::NodeResourcesFit, 5)]);
    assert_eq!((mine.arguments.volume_bind_timeout.as_secs(), default.arguments.volume_bind_timeout.as_secs()), (120, 600));
    assert_eq!((&mine.arguments.scoring, mine.arguments.hard_pod_affinity_weight), (&Strategy::MostAllocated, 10));
    assert_eq!(default.scheduler_name.as_str(), "default-scheduler");
    assert_eq!(default.preemption, Some(CandidateLimits { percentage: 10, absolute: 5 }));
    assert_eq!(default.scores[0], (PluginId::ImageLocality, 9));
    assert_eq!(default.scores.len(), 7);
}

#[test]
fn each_profile_places_its_own_pods() {
    let packing = json!({"profiles": [
        {},
        {
            "schedulerName": "packing",
            "plugins": {"score": {"disabled": [{"name": "PodTopologySpread"}, {"name": "NodeResourcesBalancedAllocation"}]}},
            "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]
        }
    ]});
    let scenario = scenario_with(packing, &[("spread", "default-scheduler"), ("packed", "packing"), ("nobodys", "another")]);
    let run = || sim::run(load(&scenario, None).plan, Options::default(), &mut |_| {});
    let record = run();
    assert_eq!(placement(&record, "spread").len(), 4, "LeastAllocated uses all nodes");
    let packed = placement(&record, "packed");
    assert!(packed.len() <= 2 && packed.values().sum::<u32>() == 6, "MostAllocated fills one node after the other: {packed:?}");
    assert_eq!(placement(&record, "nobodys").len(), 0, "no scheduler has a profile of this name");
    assert_eq!(record.digest, run().digest, "same scenario, same seed, same run");
}

#[test]
fn the_configuration_may_be_a_file_and_the_resolved_scenario_needs_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: mine\n  \
                pluginConfig:\n  - name: NodeResourcesFit\n    args: {scoringStrategy: {type: MostAllocated}}\n";
    std::fs::write(folder.path().join("scheduler.yaml"), yaml).expect("a file");
    let mut scenario = scenario_with(json!({}), &[]);
    scenario["cluster"]["scheduler"] = json!({"configFile": "scheduler.yaml"});
    let loaded = load(&scenario, Some(folder.path()));
    assert_eq!(loaded.plan.timings.scheduler.profiles[0].arguments.scoring, Strategy::MostAllocated);
    let again = load(&serde_json::from_str(&loaded.resolved).expect("JSON"), None);
    assert_eq!(again.plan.timings.scheduler, loaded.plan.timings.scheduler);

    std::fs::write(folder.path().join("scheduler.yaml"), "profiles:\n- schedulerNam: mine\n").expect("a file");
    let source = Source { file: "s.json".to_owned(), text: scenario.to_string().into_bytes(), folder: Some(folder.path().into()) };
    let error = scenario::load(&source, &[]).expect_err("a slip")[0].to_string();
    assert!(error.contains("scheduler.yaml:2:3: profiles[0].schedulerNam: unknown field") && error.contains("schedulerName"), "{error}");
}

#[test]
fn telling_how_pods_were_placed_does_not_change_the_run() {
    let scenario = scenario_with(json!({}), &[("web", "default-scheduler")]);
    let run = |explained: Option<Explained>| {
        let mut plan = load(&scenario, None).plan;
        plan.timings.scheduler.explained = explained;
        let record = sim::run(plan, Options::default(), &mut |_| {});
        let facts: Vec<_> = record.facts.into_iter().map(|entry| (entry.at, entry.fact)).collect();
        let (told, others): (Vec<_>, Vec<_>) = facts.into_iter().partition(|(_, fact)| matches!(fact.what, What::Considered { .. }));
        (told, others)
    };
    let (told, others) = run(Some(Explained { namespace: "default".into(), prefix: "web".into() }));
    assert_eq!(told.len(), 6, "each pod was tried once");
    let What::Considered { nodes, feasible, plugins, best, .. } = &told[0].1.what else { panic!("{:?}", told[0]) };
    assert_eq!((*nodes, *feasible, best.len()), (4, 4, 4));
    assert!(best.iter().all(|(_, row)| row.len() == plugins.len() + 1 && row.iter().rev().skip(1).sum::<i64>() == row[plugins.len()]));
    assert_eq!(others, run(None).1);
}
