//! Every shipped scenario is valid, says what it teaches, and is what its resolved form says.

use clustersim::base::{Duration, Time};
use clustersim::engine::plan::{Fault, Plan};
use clustersim::scenario::{self, Loaded};

fn load(name: &str, sets: &[&str]) -> Loaded {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let source = scenario::find(name).unwrap();
    scenario::load(&source, &sets).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{name}:\n{}", lines.join("\n"))
    })
}

#[test]
fn each_shipped_scenario_is_valid_and_fully_modelled() {
    for shipped in scenario::shipped() {
        let loaded = load(shipped.name, &[]);
        assert_eq!(loaded.plan.name, shipped.name, "the name inside is the file's");
        assert_eq!(loaded.warnings, [], "{}", shipped.name);
        assert!(loaded.plan.description.len() > 80, "{}: the description teaches something", shipped.name);
        assert!(!loaded.plan.expectations.is_empty(), "{}", shipped.name);
        assert!(!shipped.about.is_empty() && shipped.about.len() < 100, "{}", shipped.name);
    }
}

#[test]
fn the_resolved_form_gives_the_same_plan() {
    for shipped in scenario::shipped() {
        // A trace brings its own nodes, or there are none.
        let has_nodes = load(shipped.name, &[]).plan.nodes.iter().any(|node| node.group != *"trace");
        let sets: &[&str] = if has_nodes { &["seed=7", "cluster.nodes[0].count=12"] } else { &["seed=7"] };
        let loaded = load(shipped.name, sets);
        let source = scenario::Source { file: "scenario.json".into(), text: loaded.resolved.clone().into_bytes(), folder: None };
        let again = scenario::load(&source, &[]).unwrap();
        assert_eq!(format!("{:?}", again.plan), format!("{:?}", loaded.plan));
        assert_eq!(again.resolved, loaded.resolved);
        assert_eq!(loaded.plan.seed, 7);
        assert!(!has_nodes || loaded.plan.nodes.len() == 12, "{}", shipped.name);
    }
}

fn machine<'p>(plan: &'p Plan, name: &str) -> &'p clustersim::engine::plan::Machine {
    plan.machines.iter().find(|machine| machine.name == name).unwrap()
}

#[test]
fn node_failure_is_what_the_readme_says() {
    let plan = load("node-failure", &[]).plan;
    assert_eq!((plan.nodes.len(), plan.etcd.len(), plan.duration), (6, 3, Duration::from_secs(600)));
    let names: Vec<&str> = plan.machines.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "control-plane-1",
            "control-plane-2",
            "control-plane-3",
            "worker-1",
            "worker-2",
            "worker-3",
            "worker-4",
            "worker-5",
            "worker-6",
            "client"
        ]
    );
    for (worker, zone) in [("worker-1", "a"), ("worker-2", "b"), ("worker-3", "c"), ("worker-4", "a"), ("control-plane-2", "b")] {
        assert_eq!(machine(&plan, worker).zone, zone);
    }
    let fault = &plan.faults[0];
    assert_eq!((fault.at, fault.until, fault.description.as_str()), (Time::from_secs(120), None, "power loss of worker-3"));
    let Fault::PowerLoss(machines) = &fault.fault else { panic!("{:?}", fault.fault) };
    assert_eq!(plan.machines[machines[0].0 as usize].name, "worker-3");
}

#[test]
fn the_schema_is_stable_and_describes_every_field() {
    let schema = scenario::schema();
    assert_eq!(schema, scenario::schema());
    let value: serde_json::Value = serde_json::from_str(&schema).unwrap();
    fn walk(at: &str, schema: &serde_json::Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property.get("description").is_some(), "{at}.{name} has no description");
        }
    }
    walk("", &value);
    for (name, schema) in value["$defs"].as_object().unwrap() {
        assert!(schema.get("description").is_some(), "{name} has no description");
        walk(name, schema);
    }
}

#[test]
fn settings_override_the_file() {
    let plan = load(
        "node-failure",
        &["faults[0].at=3m", "cluster.timings.controllerManager.nodeMonitorGracePeriod=40s", "traffic=[]", "expectations=[]"],
    )
    .plan;
    assert_eq!(plan.faults[0].at, Time::from_secs(180));
    assert_eq!(plan.timings.controllers.node_monitor_grace_period, Duration::from_secs(40));
    assert!(plan.traffic.is_empty());
    let source = scenario::find("node-failure").unwrap();
    for (set, message) in [
        ("faults[0].at=30", "faults[0].at: \"30\" is not a duration"),
        ("faults[7].at=30s", "beyond the list's end"),
        ("nonsense", "not a setting"),
        ("cluster.knodes=3", "unknown field \"knodes\" (did you mean \"nodes\"?)"),
    ] {
        let errors = scenario::load(&source, &[set.to_owned()]).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.starts_with("--set: ") && text.contains(message), "{text}");
    }
}

/// Editors read it through each scenario's `$schema`.
#[test]
#[expect(clippy::disallowed_methods, reason = "a variable tells a test to rewrite what it expects")]
fn the_schema_beside_the_scenarios_is_the_programs_own() {
    let path = "scenarios/schema/scenario.json";
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, scenario::schema()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), scenario::schema(), "UPDATE_GOLDENS=1 rewrites it");
}

#[test]
fn copies_make_as_many_workloads_as_nodes() {
    let plan = load("bench-cluster", &["cluster.nodes[0].count=20", "workload[0].copies=20"]).plan;
    let names: Vec<String> = plan.workload.iter().map(|object| object.key().name().to_owned()).collect();
    assert_eq!((plan.nodes.len(), names.len(), names[19].as_str()), (20, 20, "web-20"));
}

#[test]
fn stalls_of_disks_are_seen_in_the_commit_latency_of_etcd() {
    let latencies = |stalls: &str| {
        let sets = ["cluster.controlPlane.etcd=1", "faults=[]", "expectations=[]", stalls].map(str::to_owned);
        let loaded = scenario::load(&scenario::find("node-failure").unwrap(), &sets).unwrap();
        let record = clustersim::host::sim::run(loaded.plan, clustersim::engine::Options::default(), &mut |_| {});
        let all = record.samples.iter().flat_map(|sample| sample.etcd.iter().filter_map(|member| member.commit_latency_p99));
        all.max().unwrap()
    };
    assert!(latencies("cluster.diskStalls=null") < Duration::from_millis(200));
    let stalled = latencies(r#"cluster.diskStalls={"meanInterval": "1m", "lasts": {"constant": "700ms"}}"#);
    assert!(stalled > Duration::from_millis(300), "{stalled:?}");
}
