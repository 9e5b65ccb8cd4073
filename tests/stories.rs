//! `sim explain` tells the stories of the shipped scenarios: `tests/stories/SCENARIO.txt` holds commands, and below each what it prints
//! (rewritten with UPDATE_GOLDENS=1).

mod runs;

use std::path::Path;

use clustersim::base::Time;
use clustersim::engine::Options;
use clustersim::engine::record::Record;
use clustersim::report::story;
use clustersim::scenario;
use runs::play;

/// Begins a line with a command.
const PROMPT: &str = "$ sim explain ";

/// What a command of a transcript prints.
fn answer(record: &Record, command: &str) -> String {
    let words: Vec<&str> = command.strip_prefix(PROMPT).unwrap().split_whitespace().collect();
    let [_, object, options @ ..] = &words[..] else { panic!("{command}: no object") };
    let at: Option<Time> = match options {
        [] => None,
        ["--at", at] => Some(record.scenario.start + scenario::units::parse_duration(at).unwrap()),
        other => panic!("{command}: {other:?}"),
    };
    match story::explain(record, object.trim_matches('\''), "default", at) {
        Ok(explanation) => explanation.text(),
        Err(error) => format!("error: {error}\n"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a variable tells a test to rewrite what it expects")]
#[test]
fn the_main_actors_of_each_scenario_have_their_stories() {
    let mut wrong = Vec::new();
    // Thousands of pods on hundreds of nodes have no main actor, nor has a week; where the scheduler is alone nothing happens.
    let untold = |shipped: &scenario::Shipped| {
        matches!(shipped.name, "bench-cluster" | "bench-etcd" | "random-failures") || !shipped.text.contains("\"cluster\":")
    };
    for shipped in scenario::shipped().iter().filter(|shipped| !untold(shipped)) {
        let path = Path::new("tests/stories").join(format!("{}.txt", shipped.name));
        let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let record = play(shipped.name, 1, &[], Options::default());
        let commands = expected.lines().filter(|line| line.starts_with(PROMPT));
        let found: Vec<String> = commands
            .map(|command| {
                assert_eq!(command.split_whitespace().nth(3), Some(shipped.name), "{command}");
                format!("{command}\n{}", answer(&record, command))
            })
            .collect();
        assert!(!found.is_empty(), "{}: no command", path.display());
        let found = found.join("\n");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&path, &found).unwrap();
        } else if found != expected {
            wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of a story that a fact of this kind begins, each with its causes.
fn facts_of(json: &str, kind: &str) -> Vec<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let facts = json["stories"][0]["facts"].as_array().unwrap();
    facts.iter().filter(|fact| fact["kind"] == kind).cloned().collect()
}

#[test]
fn for_programs_every_fact_has_its_whole_chain() {
    let record = play("node-failure", 1, &[], Options::default());
    let explained = story::explain(&record, "node/worker-3", "default", None).unwrap();
    let taints = facts_of(&explained.json(), "Tainted");
    let last = taints.last().expect("the lost node is tainted");
    let causes: Vec<&str> = last["because"].as_array().unwrap().iter().map(|cause| cause["kind"].as_str().unwrap()).collect();
    assert_eq!(causes, ["NodeReady", "Silent", "FaultInjected"]);
}

#[test]
fn an_object_is_found_by_a_prefix_that_only_it_has() {
    let record = play("node-failure", 1, &["duration=40s", "traffic=[]", "faults=[]", "expectations=[]"], Options::default());
    let explain = |name: &str| story::explain(&record, name, "default", None).map(|explanation| explanation.text());
    assert!(explain("deploy/w").unwrap().starts_with("Deployment default/web "));
    let ambiguous = explain("pod/web").unwrap_err();
    assert!(ambiguous.starts_with("pod/web: 10 objects begin so: pod/web-") && ambiguous.contains("and 7 more"), "{ambiguous}");
    assert_eq!(explain("po/*").unwrap().matches("Pod default/web-").count(), 10);
    for (name, error) in [
        ("node/worker-33", "node/worker-33: no such object occurred in the run (nearest: node/worker-3, node/worker-1, node/worker-2)"),
        ("deplyment/web", "deplyment/web: no such kind: \"deplyment\" (did you mean \"deployment\"?)"),
        ("web", "\"web\" names no object (expected KIND/NAME, as in pod/web-0 or node/worker-1, or etcd)"),
        (
            "lease/kube-schedular",
            "lease/kube-schedular: no such object occurred in the run (nearest: lease/kube-scheduler, lease/kube-controller-manager)",
        ),
    ] {
        assert_eq!(explain(name).unwrap_err(), error);
    }
    let elsewhere = story::explain(&record, "svc/web", "shop", None).map(|_| ()).unwrap_err();
    assert_eq!(elsewhere, "svc/web: no Service occurred in the run in namespace shop");
}
