//! The scheduler against decisions that the unmodified kube-scheduler v1.34.1 made, through `sim oracle`: `tests/oracle/` holds 304 cases
//! with 2,960 pods, each with every node's first rejection, every plugin's score, the best nodes, and whom preemption evicts.
//!
//! There is no list of exceptions. Another set in the same format can be named by the environment variable `ORACLE_CASES`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn oracle(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).arg("oracle").args(arguments).output().expect("sim can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}

/// A recorded case, with a change, in a file of its own.
fn changed(folder: &tempfile::TempDir, change: impl FnOnce(&mut Value)) -> PathBuf {
    let recorded = std::fs::read(cases().join("NodeName/basic/case-000.json.gz")).expect("a case of the set");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(recorded.as_slice()), &mut text).expect("gzip");
    let mut case: Value = serde_json::from_str(&text).expect("a case is JSON");
    change(&mut case);
    let path = folder.path().join("case.json");
    std::fs::write(&path, case.to_string()).expect("a folder that can be written");
    path
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable names another set of cases")]
fn decisions_are_those_of_kube_scheduler() {
    let own = std::env::var_os("ORACLE_CASES").is_none();
    let root = std::env::var_os("ORACLE_CASES").map_or_else(cases, PathBuf::from);
    let output = oracle(&[&root]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}\n{}", text(&output.stderr));
    if own {
        assert!(told.contains("304 of 304 cases agree, 2960 of 2960 pods"), "{told}");
        for part in ["DefaultPreemption   ", "InterPodAffinity, filter", "ImageLocality, score", "message", "fast form"] {
            let line = told.lines().find(|line| line.trim_start().starts_with(part));
            assert!(line.is_some_and(|line| line.ends_with("100.00 %")), "{part}: {line:?}");
        }
    }
}

#[test]
fn a_case_that_disagrees_is_told_with_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut was = String::new();
    let file = changed(&folder, |case| {
        let attempt = &mut case["expected"]["results"][0]["attempts"][0];
        was = attempt["feasible"].to_string();
        attempt["feasible"] = Value::from(77);
    });
    let output = oracle(&[&file]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let expected = format!("the number of feasible nodes\n  recorded 77\n  here     {was}");
    assert!(told.contains(&expected) && told.contains("0 of 1 cases agree"), "{told}");
}

#[test]
fn what_is_no_case_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let other_format = changed(&folder, |case| case["format"] = Value::from("other/1"));
    let output = oracle(&[&other_format]);
    assert_eq!((output.status.code(), text(&output.stderr).contains("expected \"kube-scheduler-golden/1\"")), (Some(2), true));
    // In a folder it is passed over, and then there is nothing to compare.
    let output = oracle(&[folder.path()]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), "error: no case was found\n".to_owned()));

    let bad_quantity = changed(&folder, |case| case["input"]["nodes"][0]["status"]["allocatable"]["cpu"] = Value::from("four"));
    let output = oracle(&[&bad_quantity]);
    assert_eq!((output.status.code(), text(&output.stderr).contains("input.nodes[0]: ")), (Some(2), true), "{}", text(&output.stderr));
    assert_eq!(oracle(&[&folder.path().join("missing.json")]).status.code(), Some(2));
}
