//! Same scenario, same seed, same run: byte for byte, in whatever process, with and without the codec between actors.
//!
//! `SIM_OTHER=path/to/sim cargo test --test determinism` also compares this profile's program with another build of it: the release
//! build with the debug build, say.

mod runs;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use clustersim::base::Duration;
use clustersim::engine::Options;
use clustersim::scenario;
use runs::play;

/// Everything that a run leaves behind: its files by name, and what it printed.
#[derive(PartialEq)]
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    printed: String,
}

/// Plays in a process of its own.
fn run(program: &str, arguments: &[&str]) -> Left {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = Command::new(program).arg("run").args(arguments).arg("--quiet").arg("--out").arg(&out).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    // 1: the run was cut short, and so some expectation did not hold.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {complaints}");
    Left { files: files(&out), printed: String::from_utf8(output.stdout).unwrap() }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

const SIM: &str = env!("CARGO_BIN_EXE_sim");

#[track_caller]
fn assert_equal(one: &Left, other: &Left, what: &str) {
    assert_eq!(one.printed, other.printed, "{what}");
    let names = |left: &Left| left.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{what}");
    for (name, bytes) in &one.files {
        assert!(*bytes == other.files[name], "{what}: {name} differs");
    }
}

/// How long each shipped scenario is played here: two minutes beyond its first fault or step.
fn lengths() -> Vec<(&'static str, String)> {
    let length = |shipped: &scenario::Shipped| {
        let plan = scenario::load(&scenario::find(shipped.name).unwrap(), &[]).unwrap().plan;
        let first = plan.faults.iter().map(|fault| fault.at).chain(plan.steps.iter().map(|step| step.at)).min();
        let span = first.map_or(Duration::from_secs(60), |at| at - plan.start + Duration::from_secs(120));
        // A large cluster shows it in a minute too.
        let span = if shipped.name == "bench-cluster" { Duration::from_secs(60) } else { span };
        (shipped.name, format!("{}s", span.nanos() / 1_000_000_000))
    };
    scenario::shipped().iter().map(length).collect()
}

#[test]
fn every_shipped_scenario_leaves_the_same_bytes_in_two_processes_with_and_without_the_codec() {
    for (name, length) in lengths() {
        let length = length.as_str();
        let plain = run(SIM, &[name, "--until", length]);
        let picture = if plain.files.contains_key("allocation.csv") { "allocation.png" } else { "placement.png" };
        assert!(plain.files.contains_key(picture) && plain.files.contains_key("summary.json"), "{name}");
        assert!(plain.printed.starts_with("digest "), "{name}: {}", plain.printed);
        assert_equal(&plain, &run(SIM, &[name, "--until", length]), &format!("{name}, again"));
        assert_equal(&plain, &run(SIM, &[name, "--until", length, "--codec"]), &format!("{name}, with the codec"));
    }
}

#[test]
fn another_build_of_the_program_leaves_the_same_bytes() {
    #[expect(clippy::disallowed_methods, reason = "a variable names another build of the program to compare with")]
    let Some(other) = std::env::var_os("SIM_OTHER") else { return };
    let other = other.to_str().expect("SIM_OTHER is a path in UTF-8");
    for (name, length) in lengths() {
        let length = length.as_str();
        let arguments = [name, "--until", length];
        assert_equal(&run(SIM, &arguments), &run(other, &arguments), &format!("{name}: {SIM} and {other}"));
    }
}

#[test]
fn the_codec_changes_neither_digest_in_one_process_and_another_seed_changes_both() {
    let digests = |seed: u64, codec: bool| {
        let record = play("node-failure", seed, &["duration=3m", "expectations=[]"], Options { codec, ..Options::default() });
        (record.digest, record.trace_digest)
    };
    let plain = digests(1, false);
    assert_eq!(plain, digests(1, true));
    let other = digests(2, false);
    assert!(plain.0 != other.0 && plain.1 != other.1, "seed 2 plays as seed 1 does");
}

/// Events of the same instant have no order that anybody may count on: what is promised must hold in whatever order they come.
#[test]
fn promises_hold_in_whatever_order_events_of_one_instant_come() {
    for name in ["node-failure", "etcd-leader-loss", "rolling-update"] {
        let failed = runs::for_seeds(5, |ties| {
            let record = play(name, 1, &[], Options { shuffle_ties: Some(ties), check_full: true, ..Options::default() });
            let failed = record.expectations.iter().filter(|verdict| !verdict.held);
            failed.map(|verdict| format!("ties {ties}: {}: {}", verdict.description, verdict.seen)).collect::<Vec<_>>()
        });
        assert_eq!(failed.concat(), Vec::<String>::new(), "{name}");
    }
}
