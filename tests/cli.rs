//! The command line: what it prints, where it writes, and the status it ends with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `sim` in a folder.
fn sim_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output().unwrap()
}

fn sim(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    sim_in(folder.path(), arguments)
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}
fn complaints(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
fn status(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}
fn last_line(output: &Output) -> &str {
    printed(output).lines().last().unwrap_or("")
}

/// A short run: the cluster boots, and one expectation holds or not.
const SHORT: [&str; 4] = ["run", "etcd-leader-loss", "--set=duration=20s", "--set=workloadAt=1s"];
/// Nothing of the shipped scenario that is later than twenty seconds.
const CUT: [&str; 3] = ["--set=steps=[]", "--set=faults=[]", "--set=traffic=[]"];
const HOLDS: &str = r#"--set=expectations=[{"atEnd":true,"etcdLeaderChanges":{"atMost":5}}]"#;
const FAILS: &str = r#"--set=expectations=[{"atEnd":true,"etcdLeaderChanges":{"atLeast":5}}]"#;

fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SHORT[..], &CUT[..], more].concat()
}

fn is_digest(line: &str) -> bool {
    line.strip_prefix("digest ").is_some_and(|digest| digest.len() >= 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn status_0_when_all_held_and_the_last_line_is_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let output = sim_in(folder.path(), &short(&[HOLDS]));
    assert_eq!(status(&output), 0, "{}", complaints(&output));
    assert!(is_digest(last_line(&output)), "{}", printed(&output));
    assert!(folder.path().join("output/etcd-leader-loss-seed1/summary.json").is_file(), "it writes to output/NAME-seedN");
    let quiet = sim_in(folder.path(), &short(&[HOLDS, "--quiet"]));
    assert_eq!(printed(&quiet).lines().collect::<Vec<_>>(), [last_line(&output)], "quietly, the digest only");
}

#[test]
fn status_1_when_an_expectation_failed_and_the_summary_says_what_was_seen() {
    let output = sim(&short(&[FAILS, "--no-output"]));
    assert_eq!(status(&output), 1, "{}", complaints(&output));
    assert!(printed(&output).contains("0 leader changes"), "{}", printed(&output));
    assert!(is_digest(last_line(&output)));
}

#[test]
fn status_2_when_the_input_or_the_command_line_is_wrong() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["rum"], "run"),
        (&["run"], "SCENARIO"),
        (&["run", "node-failur"], "node-failure"),
        (&["run", "no/such/file.json"], "no/such/file.json"),
        (&["run", "node-failure", "--set", "cluster.nods=1"], "nodes"),
        (&["run", "node-failure", "--until", "soon"], "--until"),
        (&["run", "node-failure", "--seed", "one"], "--seed"),
    ];
    for (arguments, hint) in cases {
        let folder = tempfile::tempdir().unwrap();
        let output = sim_in(folder.path(), arguments);
        assert_eq!(status(&output), 2, "{arguments:?}: {}", complaints(&output));
        assert!(complaints(&output).contains(hint), "{arguments:?} tells {hint:?}: {}", complaints(&output));
        assert_eq!(printed(&output), "", "{arguments:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} writes nothing");
    }
}

#[test]
fn the_nearest_name_of_a_scenario_is_suggested() {
    let output = sim(&["run", "node-failur"]);
    assert!(complaints(&output).contains("did you mean \"node-failure\""), "{}", complaints(&output));
}

#[test]
fn status_3_when_the_output_folder_cannot_be_used_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    for out in ["file", "file/below"] {
        let output = sim_in(folder.path(), &short(&[HOLDS, "--out", out]));
        assert_eq!(status(&output), 3, "{out}: {}", complaints(&output));
        assert!(complaints(&output).contains(out), "{}", complaints(&output));
        assert_eq!(printed(&output), "", "nothing is told of a run that was not kept");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "in the way");
    assert_eq!(names(folder.path()), ["file"], "nothing half-written");
}

#[test]
fn a_file_that_cannot_be_replaced_leaves_no_part_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    // A folder stands where a report must go.
    std::fs::create_dir_all(folder.path().join("out/events.csv/x")).unwrap();
    let output = sim_in(folder.path(), &short(&[HOLDS, "--out", "out"]));
    assert_eq!(status(&output), 3, "{}", complaints(&output));
    assert!(complaints(&output).contains("events.csv"), "{}", complaints(&output));
    let parts: Vec<_> = names(&folder.path().join("out")).into_iter().filter(|name| name.contains("part")).collect();
    assert_eq!(parts, Vec::<String>::new());
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn json_is_the_summary_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let output = sim_in(folder.path(), &short(&[HOLDS, "--json", "--out", "run", "--seed", "7"]));
    assert_eq!(status(&output), 0, "{}", complaints(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = std::fs::read(folder.path().join("run/summary.json")).unwrap();
    assert_eq!(summary, serde_json::from_slice::<serde_json::Value>(&file).unwrap());
    assert_eq!(summary["seed"], 7);
    assert!(summary["digest"].as_str().is_some_and(|digest| digest.len() >= 16), "{summary}");
}

#[test]
fn until_stops_early_and_seed_and_set_change_the_run() {
    let digest = |more: &[&str]| {
        let output = sim(&short(&[&[HOLDS, "--quiet", "--no-output"], more].concat()));
        assert_eq!(status(&output), 0, "{more:?}: {}", complaints(&output));
        last_line(&output).to_owned()
    };
    let plain = digest(&[]);
    assert_eq!(plain, digest(&["--seed", "1"]), "the default seed is 1");
    assert_eq!(plain, digest(&["--until", "20s"]));
    assert_eq!(digest(&["--until", "10s"]), digest(&["--set", "duration=10s"]));
    let others = [digest(&["--until", "10s"]), digest(&["--seed", "2"]), digest(&["--set", "cluster.nodes[0].count=4"])];
    for (number, other) in others.iter().enumerate() {
        assert_ne!(plain, *other, "change {number}");
    }
}

#[test]
fn report_makes_the_same_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let ran = sim_in(folder.path(), &short(&[HOLDS, "--out", "run"]));
    assert_eq!(status(&ran), 0, "{}", complaints(&ran));
    let run: PathBuf = folder.path().join("run");
    let before: Vec<(String, Vec<u8>)> =
        names(&run).into_iter().map(|name| (name.clone(), std::fs::read(run.join(name)).unwrap())).collect();
    let made: Vec<&String> = before.iter().map(|(name, _)| name).filter(|name| name.ends_with(".csv") || name.ends_with(".png")).collect();
    assert!(made.len() >= 6, "{made:?}");
    made.iter().for_each(|name| std::fs::remove_file(run.join(name)).unwrap());
    let output = sim_in(folder.path(), &["report", "run"]);
    assert_eq!(status(&output), 0, "{}", complaints(&output));
    assert_eq!(last_line(&output), last_line(&ran));
    for (name, bytes) in &before {
        assert!(*bytes == std::fs::read(run.join(name)).unwrap(), "{name} differs");
    }
    assert_eq!(names(&run).len(), before.len());
    let missing = sim_in(folder.path(), &["report", "nowhere"]);
    assert_eq!(status(&missing), 2);
    assert!(complaints(&missing).contains("nowhere"), "{}", complaints(&missing));
}

#[test]
fn check_reads_and_runs_nothing() {
    let good = sim(&["check", "node-failure", "zone-outage"]);
    assert_eq!(status(&good), 0, "{}", complaints(&good));
    assert_eq!(printed(&good).lines().filter(|line| line.ends_with("ok")).count(), 2, "{}", printed(&good));
    let bad = sim(&["check", "node-failure", "--set", "cluster.nodes[0].count=-1", "--set", "duration=\"soon\""]);
    assert_eq!(status(&bad), 2);
    let told = complaints(&bad);
    assert!(told.contains("cluster.nodes[0].count") && told.contains("duration"), "all errors at once: {told}");
}

#[test]
fn list_names_every_scenario_and_each_is_valid() {
    let output = sim(&["list"]);
    assert_eq!(status(&output), 0);
    let names: Vec<&str> = printed(&output).lines().filter_map(|line| line.split_whitespace().next()).collect();
    for shipped in clustersim::scenario::shipped() {
        assert!(names.contains(&shipped.name), "{names:?}");
    }
    assert_eq!(names[0], "node-failure", "the main one first");
    let checked = sim(&[&["check"], &names[..]].concat());
    assert_eq!(status(&checked), 0, "{}", complaints(&checked));
}

#[test]
fn schema_is_json_and_names_the_fields() {
    let output = sim(&["schema"]);
    assert_eq!(status(&output), 0);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["cluster", "workload", "faults", "expectations"] {
        assert!(schema["properties"][field].is_object(), "{field}");
    }
}

#[test]
fn new_writes_a_scenario_that_runs_as_it_stands_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = sim_in(folder.path(), &["new", "my-cluster"]);
    assert_eq!(status(&made), 0, "{}", complaints(&made));
    let file = folder.path().join("my-cluster.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("name: \"my-cluster\"") && text.contains("\nsteps:") && text.contains("\nfaults:"), "{text}");
    let checked = sim_in(folder.path(), &["check", "my-cluster.yaml"]);
    assert_eq!(status(&checked), 0, "{}", complaints(&checked));
    assert!(!printed(&checked).contains("warning"), "{}", printed(&checked));
    let ran = sim_in(folder.path(), &["run", "my-cluster.yaml", "--no-output"]);
    assert_eq!(status(&ran), 0, "{}", printed(&ran));
    let again = sim_in(folder.path(), &["new", "my-cluster"]);
    assert_eq!(status(&again), 2);
    assert!(complaints(&again).contains("my-cluster.yaml exists"), "{}", complaints(&again));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    for (arguments, hint) in [(&["new", "My cluster"][..], "no name"), (&["new", "x", "-o", "x.json"], ".yaml")] {
        let refused = sim_in(folder.path(), arguments);
        assert_eq!(status(&refused), 2, "{arguments:?}");
        assert!(complaints(&refused).contains(hint), "{}", complaints(&refused));
    }
    assert_eq!(status(&sim_in(folder.path(), &["new", "x", "-o", "nowhere/x.yaml"])), 3);
    assert_eq!(names(folder.path()), ["my-cluster.yaml"]);
}

#[test]
fn plan_says_that_there_is_nothing_to_add_nodes_to() {
    for (scenario, why) in [("openb-fgd", "plays the scheduler alone"), ("etcd-quota", "has no groups of nodes")] {
        let output = sim(&["plan", scenario]);
        assert_eq!(status(&output), 2, "{}", printed(&output));
        assert!(complaints(&output).contains(why) && complaints(&output).contains("nothing to add nodes to"), "{}", complaints(&output));
    }
}

#[test]
fn explain_tells_why_and_names_what_occurred_instead_of_an_unknown_object() {
    let folder = tempfile::tempdir().unwrap();
    let told = sim_in(folder.path(), &["explain", "node-failure", "node/worker-3", "--at", "200s"]);
    assert_eq!(status(&told), 0, "{}", complaints(&told));
    assert!(printed(&told).contains("because of a fault: power loss of worker-3, at 120.0 s"), "{}", printed(&told));
    let json = sim_in(folder.path(), &["explain", "node-failure", "etcd", "--json", "--seed=7", "--set=expectations=[]"]);
    assert_eq!(status(&json), 0, "{}", complaints(&json));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap()["seed"], 7);
    for (arguments, hint) in [
        (&["node/worker-7"][..], "nearest: node/worker-1, "),
        (&["cow/web"], "no such kind"),
        (&["svc/web", "-n", "shop"], "in namespace shop"),
        (&["svc/web", "--at", "soon"], "--at"),
        (&["svc/web", "--at", "1h"], "600 s"),
    ] {
        let output = sim_in(folder.path(), &[&["explain", "node-failure"], arguments].concat());
        assert_eq!(status(&output), 2, "{arguments:?}");
        assert!(complaints(&output).contains(hint), "{arguments:?} tells {hint:?}: {}", complaints(&output));
        assert_eq!(printed(&output), "");
    }
    assert_eq!(names(folder.path()), Vec::<String>::new(), "explain writes nothing");
}

#[test]
fn completions_know_every_verb() {
    let help = sim(&["--help"]);
    let verbs: Vec<&str> =
        printed(&help).lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty()).collect();
    assert!(verbs.len() > 5, "{}", printed(&help));
    for shell in ["bash", "zsh", "fish"] {
        let output = sim(&["completions", shell]);
        assert_eq!(status(&output), 0);
        for verb in verbs.iter().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()) {
            assert!(printed(&output).contains(verb), "{shell}: {verb}");
        }
    }
    assert_eq!(status(&sim(&["completions", "abacus"])), 2);
}
