//! Random faults on a small cluster: whatever happens until minute 6, no invariant breaks and the workload is whole again at the end.
//!
//! A failure prints the scenario as JSON: written to a file, `sim run FILE` shows it. `SIM_SEEDS=100..400` plays other seeds than the
//! default ones, `SIM_SEEDS=100` the first hundred.

use clustersim::base::Stream;
use clustersim::base::random::Seed;
use clustersim::engine::Options;
use clustersim::engine::record::Record;
use clustersim::host::sim;
use clustersim::scenario;
use serde_json::{Value, json};

/// Faults end before this; the rest of the ten minutes is for recovery: a lost node's pods stay up to 300 s, a lease is lost and taken
/// within 20 s, and a crashed container backs off for up to 300 s.
const QUIET_FROM_MILLIS: u64 = 359_000;

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable names other seeds")]
fn a_cluster_recovers_from_random_faults() {
    let seeds = std::env::var("SIM_SEEDS").ok().map_or_else(
        || (1..31).collect::<Vec<u64>>(),
        |range| {
            let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("SIM_SEEDS={range} is neither a number nor FROM..TO"));
            match range.split_once("..") {
                Some((from, to)) => (number(from)..number(to)).collect(),
                None => (1..=number(&range)).collect(),
            }
        },
    );
    let failed: Vec<String> = seeds.into_iter().filter_map(|seed| play(seed, &scenario_of(seed)).err()).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// Apart from the others, whose seeds stay what they are.
#[test]
fn a_cluster_recovers_from_runtimes_that_hang_amid_random_faults() {
    let failed: Vec<String> = (1..16).filter_map(|seed| play(seed, &scenario_with_hangs(seed)).err()).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// Once it wrote its answers into connections that the others had given up, forever: it heard the leader, and the leader never heard it.
#[test]
fn an_etcd_member_that_stood_still_for_longer_than_its_peers_wait_catches_up() {
    for fault in [
        json!({ "at": "15431ms", "for": "20s", "pause": ["etcd-1"] }),
        json!({ "at": "15431ms", "for": "20s", "pause": ["etcd-leader"] }),
        json!({ "at": "15431ms", "for": "224s", "freeze": { "machines": ["control-plane-1"] } }),
    ] {
        let scenario = scenario_with(13, 5, &[fault]);
        let record = play(13, &scenario).unwrap_or_else(|failure| panic!("{failure}"));
        let last = record.samples.last().expect("a sample a second");
        let commits: Vec<u64> = last.etcd.iter().map(|member| member.commit).collect();
        let (least, most) = (commits.iter().min().expect("three members"), commits.iter().max().expect("three members"));
        assert!(most - least < 20, "{commits:?} in {scenario}");
    }
}

/// Once each kind of object that lists waited for had timers of its own, and each of them as many again: while the store was away they
/// doubled every tenth of a second.
#[test]
fn an_api_server_that_waits_for_its_store_does_not_drown_in_timers() {
    let scenario = scenario_of(403);
    let record = play(403, &scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(record.counts.events < 1_000_000, "{} events in {scenario}", record.counts.events);
}

fn play(seed: u64, scenario: &Value) -> Result<Record, String> {
    let text = serde_json::to_string(scenario).expect("JSON can be written");
    let told = |what: String| format!("seed {seed}: {what}\n  sim run FILE --check full, with FILE:\n  {text}");
    let source = scenario::Source { file: "swarm.json".into(), text: text.clone().into_bytes(), folder: None };
    let loaded = scenario::load(&source, &[]).map_err(|errors| told(format!("{errors:?}")))?;
    let options = Options { check_full: true, ..Options::default() };
    let run = || sim::run(loaded.plan.clone(), options, &mut |_| {});
    let record = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|_| told("panic".to_owned()))?;
    if let Some(violation) = record.violations.first() {
        return Err(told(format!("a broken invariant: {violation}")));
    }
    match record.expectations.iter().find(|verdict| !verdict.held) {
        Some(verdict) => Err(told(format!("{}: {}", verdict.description, verdict.seen))),
        None => Ok(record),
    }
}

fn scenario_of(seed: u64) -> Value {
    let mut stream = Seed(seed).stream("swarm");
    let nodes = 4 + stream.below(3);
    let faults: Vec<Value> = (0..1 + stream.below(5)).map(|_| fault(nodes, &mut stream)).collect();
    scenario_with(seed, nodes, &faults)
}

/// Containers are looked after by exec, too: that is what the runtime does for the kubelet.
fn scenario_with_hangs(seed: u64) -> Value {
    let mut scenario = scenario_of(seed);
    let mut stream = Seed(seed).stream("swarm of hangs");
    let nodes = scenario["cluster"]["nodes"][0]["count"].as_u64().expect("nodes are counted");
    for _ in 0..1 + stream.below(4) {
        let at = 5_000 + stream.below(295_000);
        let lasts = [1_000, 20_000, 70_000, 200_000][stream.index(4)] + stream.below(50_000);
        let (at, lasts) = (format!("{at}ms"), format!("{}ms", lasts.min(QUIET_FROM_MILLIS - at)));
        let hang = json!({ "at": at, "for": lasts, "runtimePause": { "nodes": [format!("worker-{}", 1 + stream.below(nodes))] } });
        scenario["faults"].as_array_mut().expect("faults are a list").push(hang);
    }
    let container = &mut scenario["workload"][0]["manifest"]["spec"]["template"]["spec"]["containers"][0];
    container["livenessProbe"] = json!({ "exec": { "command": ["true"] }, "periodSeconds": 5 });
    scenario
}

fn scenario_with(seed: u64, nodes: u64, faults: &[Value]) -> Value {
    let container = json!({
        "name": "nginx", "image": "nginx:1.29", "ports": [{ "containerPort": 80 }],
        "resources": { "requests": { "cpu": "500m", "memory": "256Mi" } },
        "readinessProbe": { "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 5 }
    });
    json!({
        "version": 1,
        "name": "swarm",
        "description": "random faults",
        "seed": seed,
        "duration": "10m",
        "cluster": {
            "nodes": [{ "name": "worker", "count": nodes, "zones": ["a", "b", "c"], "capacity": { "cpu": 4, "memory": "16Gi" } }],
            "controlPlane": { "etcd": 3, "apiServers": 3, "controllerManagers": 2, "schedulers": 2 },
            "images": { "list": { "nginx:1.29": { "size": "70M" } } }
        },
        "workloadAt": "30s",
        "workload": [
            { "manifest": {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
                "spec": {
                    "replicas": 6,
                    "selector": { "matchLabels": { "app": "web" } },
                    "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [container] } }
                }
            } },
            { "manifest": {
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
                "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] }
            } }
        ],
        "traffic": [{ "service": "web", "rate": "5/s", "timeout": "1s", "start": "1m" }],
        "faults": faults,
        "expectations": [{ "atEnd": true, "pods": { "workload": "web", "state": "ready", "atLeast": 6 } }]
    })
}

fn fault(nodes: u64, stream: &mut Stream) -> Value {
    let at = 5_000 + stream.below(295_000);
    let scale = [1_000, 5_000, 20_000, 60_000, 150_000][stream.index(5)];
    let lasts = (scale / 2 + stream.below(scale)).min(QUIET_FROM_MILLIS - at);
    let (what, how) = match stream.below(17) {
        0 => ("kill", json!([process(nodes, stream)])),
        1 => ("pause", json!([process(nodes, stream)])),
        2 => ("powerLoss", place(nodes, stream)),
        3 => ("reboot", place(nodes, stream)),
        4 => ("freeze", place(nodes, stream)),
        5 => ("partition", json!({ "from": place(nodes, stream) })),
        6 => ("partition", json!({ "from": place(nodes, stream), "oneWay": true })),
        7 => ("slowLink", json!({ "from": place(nodes, stream), "latency": latency(400, stream), "loss": "10%" })),
        8 => ("slowDisk", json!({ "on": place(nodes, stream), "latency": latency(300, stream) })),
        9 => ("registryDown", json!(true)),
        10 => ("diskStall", place(nodes, stream)),
        11 => ("diskFull", place(nodes, stream)),
        12 => ("slowMachine", json!({ "on": place(nodes, stream), "cpu": "30%", "network": "1%" })),
        13 => ("clockDrift", json!({ "on": place(nodes, stream), "ppm": stream.below(100_000) as i64 - 50_001 })),
        14 => ("kubeletDown", json!({ "nodesOf": ["web"], "randomNodes": 1 })),
        15 => ("powerLoss", json!({ "components": ["etcd-leader"] })),
        // An instant: it has no end.
        _ => return json!({ "at": format!("{at}ms"), "containerCrash": { "workload": "web", "count": 1 + stream.below(6) } }),
    };
    json!({ "at": format!("{at}ms"), "for": format!("{lasts}ms"), what: how })
}

fn latency(most: u64, stream: &mut Stream) -> Value {
    json!({ "constant": format!("{}ms", 1 + stream.below(most)) })
}

fn place(nodes: u64, stream: &mut Stream) -> Value {
    if stream.below(5) < 3 {
        json!({ "nodes": [format!("worker-{}", 1 + stream.below(nodes))] })
    } else {
        json!({ "machines": [format!("control-plane-{}", 1 + stream.below(3))] })
    }
}

fn process(nodes: u64, stream: &mut Stream) -> String {
    match stream.below(8) {
        0 => format!("etcd-{}", 1 + stream.below(3)),
        1 => format!("apiserver-{}", 1 + stream.below(3)),
        2 => format!("controller-manager-{}", 1 + stream.below(2)),
        3 => format!("scheduler-{}", 1 + stream.below(2)),
        4 => format!("kubelet-worker-{}", 1 + stream.below(nodes)),
        leader => ["etcd-leader", "controller-manager-leader", "scheduler-leader"][leader as usize - 5].to_owned(),
    }
}
