//! `sim minimize`: of a scenario that fails, what the failure needs, and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Twelve faults; only that two of three etcd members die for good keeps the pods from coming up.
fn twelve() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minimize/twelve-faults.json")
}
fn sim(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output().unwrap()
}
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn of_twelve_faults_the_two_that_matter_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = twelve();
    let scenario = scenario.to_str().unwrap();
    let whole = sim(&["run", scenario, "--seed", "5", "--no-output", "--quiet"], folder.path());
    assert_eq!(whole.status.code(), Some(1));

    let output = sim(&["minimize", scenario, "--seed", "5", "-o", "small.json", "--jobs", "2"], folder.path());
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    for words in
        ["faults: 10 of 12 removed", "fault: kill of etcd-1", "fault: kill of etcd-3", "nodes: 4 -> 1", "sim run small.json --seed 5"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    let file = fs::read_to_string(folder.path().join("small.json")).unwrap();
    let small: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(small["faults"].as_array().unwrap().len(), 2);
    assert_eq!(small["faults"][1]["kill"], serde_json::json!(["etcd-3"]), "of two that die at once the scheduler does not matter");
    assert_eq!(small["expectations"].as_array().unwrap().len(), 1);
    assert_eq!(small["workload"].as_array().unwrap().len(), 1);
    assert_eq!(small["workload"][0]["manifest"]["spec"]["replicas"], 4, "with fewer it would fail without any fault");
    assert!(small.get("traffic").is_none() && small.get("steps").is_none(), "{file}");

    // It fails, in the same way, and nothing but it.
    let again = sim(&["run", "small.json", "--seed", "5", "--no-output"], folder.path());
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stdout).matches('✗').count(), 1, "{}", text(&again.stdout));
    let healthy = sim(&["run", "small.json", "--set", "faults=[]", "--no-output", "--quiet"], folder.path());
    assert_eq!(healthy.status.code(), Some(0), "without the faults it holds");

    // The number of threads changes nothing.
    let one = sim(&["minimize", scenario, "--seed", "5", "-o", "one.json", "--jobs", "1", "--quiet"], folder.path());
    assert_eq!(text(&one.stdout), "sim run one.json --seed 5\n");
    assert_eq!(fs::read_to_string(folder.path().join("one.json")).unwrap(), file);
}

#[test]
fn what_does_not_fail_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = twelve();
    let scenario = scenario.to_str().unwrap();
    fs::write(folder.path().join("here.json"), "mine").unwrap();
    for (arguments, words) in [
        (["minimize", scenario, "-o", "small.json", "--set", "faults=[]", "--set", "expectations=[]"], "nothing fails with seed 1"),
        (["minimize", scenario, "-o", "here.json", "--seed", "1", "--jobs", "1"], "exists, and is not overwritten"),
        (["minimize", scenario, "-o", "small.yaml", "--seed", "1", "--jobs", "1"], "is written as JSON"),
        (["minimize", "nothing-such", "-o", "small.json", "--seed", "1", "--jobs", "1"], "neither a file nor a shipped scenario"),
    ] {
        let output = sim(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(folder.path().join("here.json")).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_mistake_in_the_store_is_shown_by_a_fault_or_two_and_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let bug = "cluster.timings.plantedBug=older-term-committed";
    let output = sim(&["minimize", "etcd-chaos", "--seed", "6", "--check", "full", "--set", bug, "-o", "small.json"], folder.path());
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    let small: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("small.json")).unwrap()).unwrap();
    let count = |list: &str| small.get(list).and_then(Value::as_array).map_or(0, Vec::len);
    assert!(count("faults") <= 4 && count("etcdClients") <= 1 && count("steps") == 0, "{small:#}");
    let again = sim(&["run", "small.json", "--seed", "6", "--check", "full", "--no-output", "--quiet"], folder.path());
    assert_eq!(again.status.code(), Some(3));
    assert!(text(&again.stderr).contains("of an older one by counting"), "{}", text(&again.stderr));
    // The mistake is all that is wrong with it.
    let sound = sim(
        &["run", "small.json", "--seed", "6", "--check", "full", "--set", "cluster.timings.plantedBug=null", "--no-output", "--quiet"],
        folder.path(),
    );
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound.stderr));
}
