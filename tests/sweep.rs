//! `sim sweep`: the same files whatever the number of threads and however often it was interrupted; failing seeds with their lines.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clustersim::sweep::{self, Summary, Sweep, SweepError, resume};

/// A cluster that boots and loses a node; one expectation holds, the other depends on the seed or never holds.
const SHORT: [&str; 5] = [
    "duration=2m",
    "workloadAt=20s",
    "traffic=[]",
    "expectations=[{\"atEnd\":true,\"etcdLeaderChanges\":{\"atMost\":9}}]",
    "faults[0].at=70s",
];
const FAILS: &str = r#"expectations=[{"description":"no node is lost","atEnd":true,"nodeReady":{"node":"worker-3","ready":true}}]"#;
const FILES: [&str; 3] = ["summary.json", "sweep.csv", "sweep.png"];

fn planned(vary: &[&str], more: &[&str]) -> Sweep {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Sweep::new("node-failure", "3..9", &owned(vary), &owned(&[&SHORT[..], more].concat())).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Plays a sweep to its end; its files.
fn whole(plan: &Sweep, folder: &Path, jobs: usize) -> Vec<Vec<u8>> {
    let results = sweep::run(plan, folder, jobs, "this build", &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
    sweep::write_all(&results, &Summary::new(&results), folder, true).unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, FILES);
    FILES.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

fn sim(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output().unwrap()
}
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let plan = planned(&["cluster.nodes[0].count=4,6"], &[]);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = whole(&plan, one.path(), 1);
    assert!(files == whole(&plan, two.path(), 2));
    let table = text(&files[1]);
    assert_eq!(table.lines().count(), 13);
    assert!(table.starts_with("cluster.nodes[0].count,seed,digest,held,expectations_failed,violations,fault1.detected_after"), "{table}");
    let seeds: Vec<&str> = table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(seeds, ["3", "4", "5", "6", "7", "8", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn an_interrupted_sweep_goes_on_to_the_same_files() {
    let plan = planned(&[], &[]);
    let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wanted = whole(&plan, straight.path(), 2);

    let stopped = sweep::run(&plan, broken.path(), 1, "this build", &mut |finished| finished.runs < 4);
    assert!(matches!(stopped, Err(SweepError::Stopped)));
    let file = broken.path().join(resume::FILE);
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 4);
    // The program was killed while it wrote the fourth.
    fs::write(&file, &lines[..lines.len() - 20]).unwrap();

    let mut before = None;
    let results = sweep::run(&plan, broken.path(), 2, "this build", &mut |finished| {
        before = Some(finished.before);
        true
    });
    assert_eq!(before, Some(3), "three runs are kept");
    drop(results);
    assert!(whole(&plan, broken.path(), 2) == wanted);
}

#[test]
fn runs_of_another_build_or_scenario_are_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |plan: &Sweep, build: &str| {
        let mut before = 0;
        let _ = sweep::run(plan, folder.path(), 1, build, &mut |finished| {
            before = finished.before;
            finished.runs < 2
        });
        before
    };
    let plan = planned(&[], &[]);
    assert_eq!(kept(&plan, "this build"), 0);
    assert_eq!(kept(&plan, "this build"), 2);
    assert_eq!(kept(&planned(&[], &["faults[0].at=71s"]), "this build"), 0);
    assert_eq!(kept(&plan, "this build"), 0);
    assert_eq!(kept(&plan, "another build"), 0);
}

#[test]
fn a_failing_seed_is_told_with_the_line_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["sweep", "node-failure", "--seeds", "1..=2", "--quiet", "--out", "here"];
    let late = ["duration=2m30s", "workloadAt=20s", "traffic=[]", "faults[0].at=70s", FAILS];
    arguments.extend(late.iter().flat_map(|set| ["--set", set]));
    let output = sim(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("sim run node-failure --seed 1 --set duration=2m30s "), "{}", lines[0]);
    assert!(lines[2].starts_with("digest "));

    // The line is for a shell, and shows the run of the table.
    let line = lines[1].replacen("sim", env!("CARGO_BIN_EXE_sim"), 1) + " --no-output --quiet";
    let again = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    let table = fs::read_to_string(folder.path().join("here/sweep.csv")).unwrap();
    let digest = text(&again.stdout).trim().strip_prefix("digest ").unwrap().to_owned();
    assert!(table.lines().nth(2).unwrap().starts_with(&format!("2,{digest},false,1,0,")), "{table}");
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("here/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["failing"][1]["command"], lines[1]);
    assert_eq!(summary["variations"][0]["expectations"][0]["held"], 0);
}

#[test]
fn two_varied_fields_are_all_combinations_and_a_held_sweep_ends_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["sweep", "node-failure", "--seeds", "0..1", "--json", "--out", "here"];
    arguments.extend(["--vary", "cluster.nodes[0].count=4,5", "--vary", "faults[0].at=70s,80s"]);
    arguments.extend(SHORT.iter().flat_map(|set| ["--set", set]));
    let output = sim(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let values: Vec<String> = summary["variations"].as_array().unwrap().iter().map(|part| part["values"].to_string()).collect();
    let wanted = |nodes: u32, at: u32| format!(r#"{{"cluster.nodes[0].count":"{nodes}","faults[0].at":"{at}s"}}"#);
    assert_eq!(values, [wanted(4, 70), wanted(4, 80), wanted(5, 70), wanted(5, 80)]);
    assert_eq!(summary["held"]["held"], 4);
    assert_eq!(fs::read(folder.path().join("here/summary.json")).unwrap(), output.stdout);
    assert!(fs::read(folder.path().join("here/sweep.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn wrong_words_are_told_all_together_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (vec!["--seeds", "5..5"], vec!["error: --seeds: the range \"5..5\" is empty (expected \"0..100\" for seeds 0 to 99"]),
        (
            vec!["--seeds", "9..2", "--vary", "duration="],
            vec!["error: --seeds: the range \"9..2\" runs backwards", "error: --vary: duration: a value is empty"],
        ),
        (
            vec!["--seeds", "0..2", "--vary", "cluster.nodez=1,2"],
            vec!["error: --vary: cluster.nodez: unknown field \"nodez\" (did you mean \"nodes\"?)"],
        ),
        (
            vec!["--seeds", "0..2", "--vary", "faults[7].at=1m,2m"],
            vec!["error: --vary: faults[7].at=1m: faults[7] is beyond the list's end"],
        ),
        (vec!["--seeds", "0..2", "--vary", "duration=1m,soon"], vec!["error: --vary: duration: "]),
        (vec!["--seeds", "0..2", "--set", "nothing=1"], vec!["error: --set: nothing: unknown field"]),
    ] {
        let output = sim(&[&["sweep", "node-failure"][..], &arguments[..]].concat(), folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for wanted in wanted {
            assert!(text(&output.stderr).contains(wanted), "{arguments:?}: {}", text(&output.stderr));
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "a file").unwrap();
    let output = sim(&["sweep", "node-failure", "--seeds", "0..1", "--set", "faults=[]", "--out", "taken"], folder.path());
    assert_ne!(output.status.code(), Some(0));
}
