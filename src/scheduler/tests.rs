//! The whole-cluster form of each plugin against its plain form, and the snapshot kept up to date against one made anew, over random
//! clusters; the queue's times and hints; the rule of `place_all`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::plugins::{Cycle, Ignored, PluginId, PluginSet, PreFilter};
use super::*;
use crate::base::random::Seed;
use crate::base::{Cause, Name, Revision, Stream, Time};
use crate::objects::{Key, Object};

fn object(kind: &str, mut value: Value) -> Arc<Object> {
    value["kind"] = Value::from(kind);
    Arc::new(Object::from_json(value).expect("a valid object"))
}

fn node(name: &str, cpu: &str, zone: &str) -> Arc<Object> {
    object(
        "Node",
        json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}
        }),
    )
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "app", "resources": {"requests": {"cpu": cpu, "memory": "100Mi"}}}]}
    })
}

/// A cluster whose nodes and pods use every feature now and then.
struct World {
    stream: Stream,
    nodes: Vec<Arc<Object>>,
    pods: Vec<Arc<Object>>,
    others: Vec<Arc<Object>>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World { stream: Seed(seed).stream("world"), nodes: Vec::new(), pods: Vec::new(), others: Vec::new() };
        let count = 1 + world.stream.below(30);
        world.nodes = (0..count).map(|n| world.node(n)).collect();
        world.others = vec![
            object("Namespace", json!({"metadata": {"name": "default", "labels": {"team": "a"}}})),
            object(
                "Service",
                json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}, "ports": []}}),
            ),
        ];
        let count = world.stream.below(60);
        world.pods = (0..count).map(|n| world.bound_pod(n)).collect();
        world
    }
    fn pick(&mut self, items: &[&str]) -> String {
        items[self.stream.index(items.len())].to_owned()
    }
    fn node(&mut self, number: u64) -> Arc<Object> {
        let name = format!("node-{number}");
        let mut labels = json!({"kubernetes.io/hostname": name.as_str(), "disk": self.pick(&["ssd", "hdd"])});
        if self.stream.chance(0.9) {
            labels["topology.kubernetes.io/zone"] = Value::from(self.pick(&["a", "b", "c"]));
        }
        let mut taints = Vec::new();
        for effect in ["NoSchedule", "PreferNoSchedule", "NoExecute"] {
            if self.stream.chance(0.15) {
                taints.push(json!({"key": self.pick(&["dedicated", "slow"]), "value": self.pick(&["", "x"]), "effect": effect}));
            }
        }
        let images = if self.stream.chance(0.5) { json!([{"names": ["app:1"], "sizeBytes": 400_000_000}]) } else { json!([]) };
        object(
            "Node",
            json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"unschedulable": self.stream.chance(0.1), "taints": taints},
                "status": {
                    "allocatable": {"cpu": self.pick(&["1", "4", "0"]), "memory": self.pick(&["1Gi", "8Gi"]), "pods": self.pick(&["3", "110"]),
                        "vendor.io/gpu": self.pick(&["0", "2"])},
                    "images": images
                }
            }),
        )
    }
    fn term(&mut self) -> Value {
        let key = self.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"]);
        let app = self.pick(&["web", "db"]);
        json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
    }
    fn pod(&mut self, name: &str) -> Value {
        let mut requests = json!({"cpu": self.pick(&["0", "100m", "500m"]), "memory": self.pick(&["64Mi", "300Mi"])});
        if self.stream.chance(0.1) {
            requests["vendor.io/gpu"] = json!("1");
        }
        let mut container = json!({"name": "c", "image": "app:1", "resources": {"requests": requests}});
        if self.stream.chance(0.2) {
            container["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
        }
        let mut spec = json!({"containers": [container]});
        if self.stream.chance(0.4) {
            spec["tolerations"] = json!([{"key": self.pick(&["dedicated", ""]), "operator": "Exists"}]);
        }
        if self.stream.chance(0.2) {
            spec["nodeSelector"] = json!({"disk": self.pick(&["ssd", "hdd"])});
        }
        if self.stream.chance(0.4) {
            spec["topologySpreadConstraints"] = json!([{
                "maxSkew": 1, "topologyKey": self.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"]),
                "whenUnsatisfiable": self.pick(&["DoNotSchedule", "ScheduleAnyway"]), "labelSelector": {"matchLabels": {"app": "web"}},
                "nodeTaintsPolicy": self.pick(&["Honor", "Ignore"]),
            }]);
        }
        if self.stream.chance(0.4) {
            let kind = self.pick(&["podAffinity", "podAntiAffinity"]);
            let (required, preferred) = (self.term(), self.term());
            let stanza = match self.stream.below(3) {
                0 => json!({"requiredDuringSchedulingIgnoredDuringExecution": [required]}),
                1 => json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": preferred}]}),
                _ => json!({"requiredDuringSchedulingIgnoredDuringExecution": [required],
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": preferred}]}),
            };
            spec["affinity"] = json!({kind: stanza});
        }
        json!({"metadata": {"name": name, "namespace": self.pick(&["default", "other"]), "labels": {"app": self.pick(&["web", "db"])}}, "spec": spec})
    }
    fn bound_pod(&mut self, number: u64) -> Arc<Object> {
        let mut pod = self.pod(&format!("pod-{number}"));
        // A node's used ports are a set, as upstream: no two bound pods may have the same.
        if number != 0 {
            pod["spec"]["containers"][0]["ports"] = json!([]);
        }
        // Now and then to a node that does not exist.
        pod["spec"]["nodeName"] = Value::from(format!("node-{}", self.stream.below(self.nodes.len() as u64 + 1)));
        if self.stream.chance(0.1) {
            pod["metadata"]["deletionTimestamp"] = Value::from("2024-01-01T00:00:00Z");
        }
        object("Pod", pod)
    }
}

#[test]
fn the_whole_cluster_form_of_a_plugin_is_its_plain_form() {
    let (mut rejections, mut nonzero) = (0, 0);
    let profile = Profile::default();
    for seed in 0..200 {
        let mut world = World::new(seed);
        let mut snapshot = Snapshot::from_objects(&world.nodes, &world.pods, &world.others);
        for n in 0..5 {
            let incoming = object("Pod", world.pod(&format!("incoming-{n}")));
            let info = snapshot.pod_info(&incoming);
            let cycle = Cycle { pod: &info, snapshot: &snapshot };
            let table = snapshot.nodes();
            let mut feasible: Vec<Slot> = table.order().to_vec();
            for plugin in profile.filters() {
                let (PreFilter::Run(filter) | PreFilter::Narrow(_, filter)) = plugin.pre_filter(cycle) else { continue };
                let mut fit = vec![true; table.len()];
                filter.filter_all(table.order(), table, &mut fit);
                for (slot, fit) in table.order().iter().zip(fit) {
                    let verdict = filter.verdict(table.info(*slot));
                    assert_eq!(fit, verdict.fits(), "{} on {:?} in world {seed}", plugin.id(), table.info(*slot).name);
                    if !fit {
                        rejections += 1;
                        feasible.retain(|other| other != slot);
                    }
                }
            }
            for (plugin, _) in profile.scores() {
                let Some(score) = plugin.pre_score(cycle, &feasible) else { continue };
                let mut scores = vec![-1; feasible.len()];
                score.score_all(&feasible, table, &mut scores);
                let plain: Vec<i64> = feasible.iter().map(|slot| score.score(table.info(*slot))).collect();
                assert_eq!(scores, plain, "{} in world {seed}", plugin.id());
                score.normalize(&feasible, &mut scores);
                assert!(scores.iter().all(|score| (0..=plugins::MAX_SCORE).contains(score)), "{} in world {seed}: {scores:?}", plugin.id());
                nonzero += scores.iter().filter(|score| **score != 0).count();
            }
        }
    }
    assert!(rejections > 1000 && nonzero > 1000, "the worlds test little: {rejections} rejections, {nonzero} scores");
}

#[test]
fn a_snapshot_kept_up_to_date_decides_as_one_made_anew() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        let mut kept = Snapshot::from_objects(&world.nodes, &world.pods, &world.others);
        for round in 0..20 {
            match world.stream.below(4) {
                0 if !world.pods.is_empty() => {
                    let gone = world.pods.remove(world.stream.index(world.pods.len()));
                    kept.remove(&gone);
                }
                1 => {
                    let number = 1000 + round;
                    let pod = world.bound_pod(number);
                    world.pods.push(pod);
                    kept.set(world.pods.last().expect("just pushed"));
                }
                2 if world.nodes.len() > 1 => {
                    let gone = world.nodes.remove(world.stream.index(world.nodes.len()));
                    kept.remove(&gone);
                    // It may come back, as the last in its zone.
                    if world.stream.chance(0.5) {
                        kept.set(&gone);
                        world.nodes.push(gone);
                    }
                }
                _ => {
                    let at = world.stream.index(world.nodes.len());
                    let number: u64 = world.nodes[at].meta().name["node-".len()..].parse().expect("a number");
                    let changed = world.node(number);
                    // A change of zone moves a node to the end of the new one; keep to changes within a zone.
                    if changed.as_node().expect("a node").zone() == world.nodes[at].as_node().expect("a node").zone() {
                        kept.set(&changed);
                        world.nodes[at] = changed;
                    }
                }
            }
            let mut anew = Snapshot::from_objects(&world.nodes, &world.pods, &world.others);
            let incoming = object("Pod", world.pod("incoming"));
            let (in_kept, in_anew) = (kept.pod_info(&incoming), anew.pod_info(&incoming));
            let mut chance = Seed(seed).stream("offsets");
            let mut explain = |info, snapshot| explain(&Profile::default(), info, snapshot, &mut chance);
            let (from_kept, from_anew) = (explain(&in_kept, &kept), explain(&in_anew, &anew));
            assert_eq!(from_kept.scores, from_anew.scores, "world {seed}, round {round}");
            assert_eq!(from_kept.rejected, from_anew.rejected, "world {seed}, round {round}");
        }
    }
}

/// What [`decide`] must come to, from the plain form: of the best nodes, in the order in which they are looked at, the one that is drawn.
fn expected_decision(explained: &Explanation, snapshot: &Snapshot, ties: &mut Stream) -> Option<Name> {
    let order = snapshot.nodes().order().iter().map(|slot| snapshot.nodes().info(*slot).name.clone());
    let best: Vec<Name> = order.filter(|name| explained.best.contains(name)).collect();
    match best.len() {
        0 => None,
        1 => Some(best[0].clone()),
        several => Some(best[ties.index(several)].clone()),
    }
}

/// The same pods come again and again while nodes and pods change, so that what is kept from cycle to cycle is used, brought up to date
/// and thrown away.
#[test]
fn the_fast_form_decides_as_the_plain_form() {
    let profile = Profile::default();
    let (mut placed, mut preempted, mut failed) = (0, 0, 0);
    for seed in 0..150 {
        let mut world = World::new(seed);
        let mut snapshot = Snapshot::from_objects(&world.nodes, &world.pods, &world.others);
        let templates: Vec<Value> = (0..4)
            .map(|_| {
                let mut pod = world.pod("template");
                pod["spec"]["priority"] = json!(world.stream.below(2) * 10);
                pod
            })
            .collect();
        let mut ties = Seed(seed).stream("ties");
        for round in 0..25 {
            match world.stream.below(6) {
                0 => {
                    let at = world.stream.index(world.nodes.len());
                    let number = world.nodes[at].meta().name["node-".len()..].parse().expect("a number");
                    world.nodes[at] = world.node(number);
                    snapshot.set(&world.nodes[at]);
                }
                1 if !world.pods.is_empty() => {
                    let gone = world.pods.remove(world.stream.index(world.pods.len()));
                    snapshot.remove(&gone);
                }
                2 => {
                    let name = world.nodes[world.stream.index(world.nodes.len())].meta().name.clone();
                    let info = snapshot.pod_info(&object("Pod", world.pod(&format!("nominated-{round}"))));
                    snapshot.nominate(info, &name);
                }
                _ => {}
            }
            let mut pod = templates[world.stream.index(templates.len())].clone();
            pod["metadata"]["name"] = json!(format!("pod-of-round-{round}"));
            let incoming = object("Pod", pod);
            let info = snapshot.pod_info(&incoming);
            let explained = explain(&profile, &info, &snapshot, &mut ties.clone());
            let mut same_ties = ties.clone();
            let expected = expected_decision(&explained, &snapshot, &mut same_ties);
            match decide(&profile, &info, &snapshot, &mut Sampling::ALL.clone(), &mut ties) {
                Decision::Node(slot) => {
                    let node = snapshot.nodes().info(slot).name.clone();
                    assert_eq!(Some(&node), expected.as_ref(), "world {seed}, round {round}");
                    assert_eq!(ties.clone().next_u64(), same_ties.next_u64(), "as many draws");
                    placed += 1;
                    let mut bound = incoming.as_pod().expect("a pod").clone();
                    bound.node = Some(node);
                    world.pods.push(Arc::new(bound.into()));
                    snapshot.set(world.pods.last().expect("just pushed"));
                }
                Decision::Unschedulable(failure) => {
                    assert_eq!((expected, &failure.message), (None, &explained.message), "world {seed}, round {round}");
                    let victims = |nomination: &Nomination| -> (Name, Vec<Key>) {
                        (nomination.node.clone(), nomination.victims.iter().map(|victim| victim.key.clone()).collect())
                    };
                    match &failure.nominated {
                        Nominated::To(nomination) => {
                            preempted += 1;
                            assert!(explained.nominations.iter().any(|one| victims(one) == victims(nomination)));
                        }
                        Nominated::Kept | Nominated::Cleared => {
                            failed += 1;
                            assert!(explained.nominations.is_empty(), "world {seed}, round {round}");
                        }
                    }
                }
            }
        }
    }
    assert!(placed > 1000 && preempted > 100 && failed > 100, "the worlds test little: {placed} {preempted} {failed}");
}

#[test]
fn a_dry_run_leaves_the_filters_as_they_were() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        let mut snapshot = Snapshot::from_objects(&world.nodes, &world.pods, &world.others);
        let mut incoming = world.pod("incoming");
        incoming["spec"]["priority"] = json!(10);
        let info = snapshot.pod_info(&object("Pod", incoming));
        let profile = Profile::default();
        let Ok(mut filters) = filters::Filters::of(&profile, Cycle { pod: &info, snapshot: &snapshot }) else { continue };
        let before = decide::all_rejections(&mut filters);
        preemption::preempt(CandidateLimits::ALL, &mut filters, &before, &mut Seed(seed).stream("offsets"));
        assert_eq!(decide::all_rejections(&mut filters), before, "world {seed}");
    }
}

#[test]
fn half_of_the_nodes_are_enough_at_a_hundred_and_a_tenth_at_five_thousand() {
    let adaptive = Sampling { percentage: 0, next: 0 };
    let enough: Vec<usize> = [99, 100, 1000, 5000, 20_000].into_iter().map(|nodes| adaptive.enough(nodes)).collect();
    assert_eq!(enough, [99, 100, 420, 500, 1000]);
    assert_eq!(Sampling { percentage: 30, next: 0 }.enough(1000), 300);
}

#[test]
fn every_node_has_its_turn_to_be_looked_at() {
    let nodes: Vec<Arc<Object>> = (0..1000).map(|n| node(&format!("n{n}"), "4", ["a", "b", "c"][n % 3])).collect();
    let mut snapshot = Snapshot::from_objects(&nodes, [], []);
    let info = snapshot.pod_info(&object("Pod", pod("p", "100m")));
    let (mut sampling, mut ties) = (Sampling { percentage: 0, next: 0 }, Seed(1).stream("ties"));
    let starts: Vec<usize> = (0..3)
        .map(|_| {
            decide(&Profile::default(), &info, &snapshot, &mut sampling, &mut ties);
            sampling.next
        })
        .collect();
    // 42 % of 1000 all fit, so that each cycle begins 420 further on.
    assert_eq!(starts, [420, 840, 260]);
}

#[test]
fn nodes_are_taken_zone_by_zone_in_turn() {
    let nodes = [node("a1", "4", "a"), node("a2", "4", "a"), node("a3", "4", "a"), node("b1", "4", "b"), node("c1", "4", "c")];
    let snapshot = Snapshot::from_objects(&nodes, [], []);
    let order: Vec<&str> = snapshot.nodes().order().iter().map(|slot| snapshot.nodes().info(*slot).name.as_str()).collect();
    assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
}

#[test]
fn a_failure_counts_reasons_as_text() {
    let mut nodes: Vec<Arc<Object>> = (0..10).map(|n| node(&format!("small-{n}"), "1", "a")).collect();
    nodes.push(object("Node", json!({"metadata": {"name": "cordoned"}, "spec": {"unschedulable": true}})));
    let mut snapshot = Snapshot::from_objects(&nodes, [], []);
    let info = snapshot.pod_info(&object("Pod", pod("big", "2")));
    let Decision::Unschedulable(failure) =
        decide(&Profile::default(), &info, &snapshot, &mut Sampling::ALL.clone(), &mut Seed(1).stream("ties"))
    else {
        panic!("no node has two CPUs")
    };
    assert_eq!(
        failure.message.as_str(),
        "0/11 nodes are available: 1 node(s) were unschedulable, 10 Insufficient cpu. no new claims to deallocate, preemption: 0/11 nodes \
         are available: 11 Preemption is not helpful for scheduling."
    );
    assert!(failure.plugins.contains(PluginId::NodeResourcesFit) && failure.plugins.contains(PluginId::NodeUnschedulable));
    assert!(!failure.plugins.contains(PluginId::TaintToleration));
}

#[test]
fn a_running_cluster_is_filled_evenly_and_constraints_hold() {
    let nodes: Vec<Arc<Object>> = (0..30).map(|n| node(&format!("n{n}"), "4", ["a", "b", "c"][n % 3])).collect();
    let mut pods: Vec<Arc<Object>> = (0..300).map(|n| object("Pod", pod(&format!("p{n}"), "100m"))).collect();
    let mut pinned = pod("pinned", "100m");
    pinned["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "n7"});
    pods.push(object("Pod", pinned));
    pods.push(object("Pod", pod("too-big", "5")));
    let placed = place_all(&nodes, &pods, &[], &Config::default(), &mut Seed(1).stream("ties"), &mut PodVolumes::default());
    let on = |name: &str| placed[..300].iter().filter(|node| node.as_ref().is_some_and(|node| *node == *name)).count();
    assert!((0..30).all(|n| on(&format!("n{n}")) == 10));
    assert_eq!(placed[300].as_ref().map(Name::as_str), Some("n7"));
    assert_eq!(placed[301], None);
}

#[test]
fn a_running_cluster_is_filled_by_the_profiles_of_its_scheduler() {
    let nodes: Vec<Arc<Object>> = (0..10).map(|n| node(&format!("n{n}"), "4", ["a", "b", "c"][n % 3])).collect();
    let of = |scheduler: &str, n: usize| {
        let mut value = pod(&format!("{scheduler}-{n:02}"), "100m");
        value["spec"]["schedulerName"] = json!(scheduler);
        object("Pod", value)
    };
    let pods: Vec<Arc<Object>> =
        ["default-scheduler", "packing", "nobodys"].iter().flat_map(|scheduler| (0..30).map(|n| of(scheduler, n))).collect();
    let packing = ProfileConfig {
        scheduler_name: Name::new("packing"),
        scores: vec![(PluginId::NodeResourcesFit, 1)],
        arguments: Arguments { scoring: plugins::Strategy::MostAllocated, ..Arguments::default() },
        ..ProfileConfig::default()
    };
    let config = Config { profiles: vec![ProfileConfig::default(), packing], ..Config::default() };
    let place = || place_all(&nodes, &pods, &[], &config, &mut Seed(1).stream("ties"), &mut PodVolumes::default());
    let placed = place();
    let used = |some: &[Option<Name>]| some.iter().flatten().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(used(&placed[..30]), 10, "spread");
    assert_eq!(used(&placed[30..60]), 1, "packed");
    assert!(placed[60..].iter().all(Option::is_none), "no profile has this name");
    assert_eq!(placed, place());
}

/// Scores of a pod of 1 CPU and 2 GiB on a node of 4 CPU and 8 GiB with this much requested already.
fn score_of(arguments: Arguments, plugin: PluginId, used_cpu: &str, used_memory: &str) -> i64 {
    let request = |name: &str, cpu: &str, memory: &str| {
        let mut value = pod(name, cpu);
        value["spec"]["containers"][0]["resources"]["requests"]["memory"] = json!(memory);
        value
    };
    let mut used = request("used", used_cpu, used_memory);
    used["spec"]["nodeName"] = json!("n");
    let mut snapshot = Snapshot::from_objects(&[node("n", "4", "a")], &[object("Pod", used)], &[]);
    let info = snapshot.pod_info(&object("Pod", request("incoming", "1", "2Gi")));
    let plugin = plugins::plugin(plugin, &arguments);
    let slot = snapshot.nodes().order()[0];
    let score = plugin.pre_score(Cycle { pod: &info, snapshot: &snapshot }, &[slot]).expect("it scores");
    score.score(snapshot.nodes().info(slot))
}

/// Worked by hand from upstream's `noderesources` (v1.34.1).
#[test]
fn strategies_score_by_what_would_be_used() {
    let with = |scoring: plugins::Strategy| Arguments { scoring, ..Arguments::default() };
    let fit = |arguments: Arguments| score_of(arguments, PluginId::NodeResourcesFit, "1", "2Gi");
    // Half of each would be used.
    assert_eq!(fit(with(plugins::Strategy::LeastAllocated)), 50);
    assert_eq!(fit(with(plugins::Strategy::MostAllocated)), 50);
    let mut weighted = with(plugins::Strategy::MostAllocated);
    weighted.scored_resources[0].weight = 3;
    // CPU 75 %, memory 25 %: (75 * 3 + 25) / 4 = 62.5, cut.
    assert_eq!(score_of(weighted, PluginId::NodeResourcesFit, "2", "0"), 62);
    // Up to half full 0 to 8 points, then 8 to 10: at 50 % it is 80, at 75 % 90.
    let ratio = || with(plugins::Strategy::RequestedToCapacityRatio(vec![(0, 0), (50, 8), (100, 10)]));
    assert_eq!(fit(ratio()), 80);
    assert_eq!(score_of(ratio(), PluginId::NodeResourcesFit, "2", "4Gi"), 90);
    // Rounded, not cut: (90 + 40) / 2 = 65; a resource that scores nothing is left out of the mean.
    assert_eq!(score_of(ratio(), PluginId::NodeResourcesFit, "2", "0"), 65);
    let packing = || with(plugins::Strategy::RequestedToCapacityRatio(vec![(30, 0), (100, 10)]));
    // 75 %: 0 + 100 * 45 / 70 = 64; 25 %: 0.
    assert_eq!(score_of(packing(), PluginId::NodeResourcesFit, "2", "0"), 64);
    let balanced =
        |names: &[&str]| Arguments { balanced_resources: names.iter().map(|name| Name::new(name)).collect(), ..Arguments::default() };
    assert_eq!(score_of(balanced(&["cpu", "memory"]), PluginId::NodeResourcesBalancedAllocation, "2", "0"), 75);
    // Of three only two are there.
    assert_eq!(score_of(balanced(&["memory", "cpu", "vendor.io/gpu"]), PluginId::NodeResourcesBalancedAllocation, "2", "0"), 75);
}

#[test]
fn what_a_profile_adds_is_asked_of_every_node() {
    let nodes = [node("a", "4", "a"), node("b", "4", "b")];
    let mut snapshot = Snapshot::from_objects(&nodes, [], []);
    let info = snapshot.pod_info(&object("Pod", pod("p", "1")));
    let expression = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]});
    let added = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
    let arguments = Arguments { added_affinity: Some(serde_json::from_value(added).expect("an affinity")), ..Arguments::default() };
    let profile = Profile::new(&ProfileConfig { arguments, ..ProfileConfig::default() }, 0);
    let explained = explain(&profile, &info, &snapshot, &mut Seed(1).stream("offsets"));
    assert_eq!(explained.best, ["b"]);
    assert_eq!(&*explained.rejected["a"].reasons[0], "node(s) didn't match scheduler-enforced node affinity");
}

#[test]
fn ignored_resources_are_nobodys_business() {
    let nodes = [node("a", "4", "a")];
    let mut wants = pod("p", "1");
    wants["spec"]["containers"][0]["resources"]["requests"]["example.com/foo"] = json!("1");
    wants["spec"]["containers"][0]["resources"]["requests"]["example.org/bar"] = json!("1");
    let mut snapshot = Snapshot::from_objects(&nodes, &[], &[]);
    let info = snapshot.pod_info(&object("Pod", wants));
    let reasons = |resources: &[&str], groups: &[&str]| {
        let names = |list: &[&str]| list.iter().map(|name| Name::new(name)).collect();
        let ignored_resources = Ignored { resources: names(resources), groups: names(groups) };
        let arguments = Arguments { ignored_resources, ..Arguments::default() };
        let profile = Profile::new(&ProfileConfig { arguments, ..ProfileConfig::default() }, 0);
        let explained = explain(&profile, &info, &snapshot, &mut Seed(1).stream("offsets"));
        explained.rejected.get("a").map_or(Vec::new(), |rejected| rejected.reasons.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(reasons(&[], &[]), ["Insufficient example.com/foo", "Insufficient example.org/bar"]);
    assert_eq!(reasons(&["example.com/foo"], &["example.net"]), ["Insufficient example.org/bar"]);
    assert_eq!(reasons(&["example.com/foo"], &["example.org"]), [""; 0]);
}

#[test]
fn default_constraints_of_a_profile_spread_the_pods_of_a_workload() {
    let nodes = [node("a", "4", "a"), node("b", "4", "b")];
    let service =
        object("Service", json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}, "ports": []}}));
    let mut bound = pod("bound", "100m");
    bound["spec"]["nodeName"] = json!("a");
    let mut snapshot = Snapshot::from_objects(&nodes, &[object("Pod", bound)], &[service]);
    let info = snapshot.pod_info(&object("Pod", pod("p", "1")));
    let constraint = json!({"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"});
    let arguments =
        Arguments { default_constraints: Some(vec![serde_json::from_value(constraint).expect("a constraint")]), ..Arguments::default() };
    let profile = Profile::new(&ProfileConfig { arguments, ..ProfileConfig::default() }, 0);
    let explained = explain(&profile, &info, &snapshot, &mut Seed(1).stream("offsets"));
    assert_eq!(explained.best, ["b"]);
    assert_eq!(explained.rejected["a"].plugin, PluginId::PodTopologySpread);
}

mod queue;
