//! A cluster that runs at the start is as its components would have left it: nobody has anything to do.

use clustersim::engine::{Cluster, Engine, Options};
use clustersim::host::sim::{Run, SimHost};
use clustersim::objects::{Kind, Object, Stored};
use clustersim::scenario;

fn start(name: &str, sets: &[&str]) -> Run {
    let source = scenario::find(name).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = scenario::load(&source, &sets).unwrap_or_else(|errors| panic!("{errors:?}"));
    Run::new(loaded.plan, Options::default())
}

fn objects(engine: &Engine<Cluster, SimHost>) -> Vec<Stored> {
    engine.actors.observer().objects().values().cloned().collect()
}

/// Everything but heartbeats: a Node's conditions bear the time of the last one.
fn without_heartbeats(stored: &[Stored]) -> Vec<Object> {
    let object = |stored: &Stored| {
        let mut object = (*stored.object).clone();
        if let Object::Node(node) = &mut object {
            for condition in node.status.conditions.iter_mut() {
                condition.last_heartbeat_time = None;
            }
        }
        object
    };
    stored.iter().map(object).collect()
}

#[test]
fn a_running_cluster_is_quiet() {
    for (name, sets) in [
        ("bench-cluster", vec!["cluster.nodes[0].count=6", "workload[0].copies=6", "faults=[]", "expectations=[]"]),
        ("zonal-volumes", vec!["initial=running", "workloadAt=null", "faults=[]", "expectations=[]"]),
        ("node-failure", vec!["initial=running", "workloadAt=null", "faults=[]", "expectations=[]"]),
    ] {
        let mut run = start(name, &sets);
        let before = objects(&run.engine);
        let pods = before.iter().filter(|stored| stored.object.kind() == Kind::Pod).count();
        assert!(pods > 5, "{name}: {pods} pods");
        assert!(before.iter().filter_map(|stored| stored.object.as_pod()).all(|pod| pod.is_ready()), "{name}: all pods are ready");
        run.engine.run_until(run.plan.start + clustersim::base::Duration::from_secs(120));
        let after = objects(&run.engine);
        let (before, after) = (without_heartbeats(&before), without_heartbeats(&after));
        for (one, other) in before.iter().zip(&after) {
            assert_eq!(one, other, "{name}");
        }
        assert_eq!(before.len(), after.len(), "{name}");
    }
}

#[test]
fn a_lost_node_is_recovered_from_a_running_start() {
    let mut run = start("bench-cluster", &["cluster.nodes[0].count=6", "workload[0].copies=6"]);
    run.engine.run_until(run.end());
    let record = run.finish();
    assert!(record.violations.is_empty(), "{:?}", record.violations);
    assert!(record.expectations.iter().all(|verdict| verdict.held), "{:?}", record.expectations);
}
