//! The real host: the same actors in processes of their own, on loopback of this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use clustersim::host::real::frame;
use clustersim::host::real::journal::{Line, Reader};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).stdin(Stdio::null()).output().expect("sim starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows of a table of a run, each by the names of its columns.
fn rows(folder: &Path, table: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join(table)).expect("a table");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn seconds(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no time"))
}

#[test]
fn a_cluster_comes_up_for_real_and_each_journal_gives_the_same_effects_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("a path in UTF-8");
    let run = sim(&["real", "validate-smoke", "--set=duration=15s", "--out", out]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    let pods = rows(folder.path(), "pods.csv");
    assert_eq!(pods.len(), 6);
    for pod in &pods {
        assert_eq!(pod["end"], "Running", "{pod:?}");
        assert!(seconds(&pod["ready"]) < 13.0, "{pod:?}");
    }
    let answered: u64 = rows(folder.path(), "traffic.csv").iter().map(|row| row["ok"].parse::<u64>().expect("a number")).sum();
    assert!(answered > 30, "{answered} requests were answered");
    let mut journals = 0;
    for process in std::fs::read_dir(folder.path().join("processes")).expect("processes have folders") {
        let journal = process.expect("an entry").path().join("journal-1");
        let replayed = sim(&["replay", journal.to_str().expect("a path in UTF-8")]);
        assert!(replayed.status.success(), "{}: {}", journal.display(), text(&replayed.stderr));
        assert!(text(&replayed.stdout).contains("to its end"), "{}", text(&replayed.stdout));
        journals += 1;
    }
    assert_eq!(journals, 3 + 1 + 1 + 1 + 3 + 3, "etcd, API server, manager, scheduler, kubelets; proxy, operator, client");

    // And a journal that was changed is found out.
    let journal = folder.path().join("processes/etcd-1/journal-1");
    let mut reader = Reader::open(&journal).expect("a journal");
    let mut changed = Vec::new();
    let mut victim = true;
    while let Some(mut line) = reader.read().expect("a whole journal") {
        if let Line::Turn { effects, .. } = &mut line
            && let Some(effect) = effects.first_mut().filter(|_| std::mem::take(&mut victim))
        {
            effect.0 ^= 1;
        }
        changed.extend(frame::of(&line));
    }
    std::fs::write(&journal, changed).expect("the journal is ours");
    let replayed = sim(&["replay", journal.to_str().expect("a path in UTF-8")]);
    assert_eq!(replayed.status.code(), Some(1), "{}", text(&replayed.stdout));
    assert!(text(&replayed.stderr).contains("effect 0 is not the recorded one"), "{}", text(&replayed.stderr));
}

#[test]
fn a_node_that_loses_power_is_found_out_and_its_pods_are_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("a path in UTF-8");
    let run = sim(&["real", "validate-node-crash", "--set=duration=29s", "--out", out]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    let fault = rows(folder.path(), "recovery.csv").into_iter().find(|row| row["workload"] == "default/web").expect("it hurt the workload");
    let after = |what: &str| seconds(&fault[what]) - seconds(&fault["at"]);
    // A grace of 6 s since a renewal at most 0.5 s before the fault, looked after each 0.5 s.
    assert!((5.0..8.5).contains(&after("detected")), "{fault:?}");
    // A toleration of 5 s.
    assert!((10.0..14.5).contains(&after("evicted")), "{fault:?}");
    assert!(after("replaced") < 15.0, "{fault:?}");
}

/// The living children of a process, with when they began, so that a number that is used again is told apart.
fn children(parent: u32) -> BTreeSet<(u32, String)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").expect("a Linux") {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) else { continue };
        if let Some((of, began)) = stat(pid)
            && of == parent
        {
            found.insert((pid, began));
        }
    }
    found
}

/// A process' parent and when it began; `None` for one that is gone or waits to be reaped.
fn stat(pid: u32) -> Option<(u32, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    (*fields.first()? != "Z").then(|| Some((fields[1].parse().ok()?, fields[19].to_owned())))?
}

#[expect(clippy::disallowed_methods, reason = "a real run is waited for in real time")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

#[test]
fn a_supervisor_that_is_killed_leaves_no_process_even_if_one_stands_still() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["real", "validate-smoke", "--set=faults=[{\"at\":\"8500ms\",\"for\":\"8s\",\"freeze\":{\"nodes\":[\"worker-1\"]}}]"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sim starts");
    // Containers run by then, and a node stands still.
    wait(Duration::from_secs(11));
    let left = children(run.id());
    assert!(left.len() >= 12, "{left:?}");
    run.kill().expect("it runs");
    run.wait().expect("it was killed");
    let alive = || left.iter().filter(|(pid, began)| stat(*pid).is_some_and(|(_, now)| now == *began)).count();
    for _ in 0..100 {
        if alive() == 0 {
            break;
        }
        wait(Duration::from_millis(50));
    }
    assert_eq!(alive(), 0, "processes outlived their supervisor");
    let clean = sim(&["validate", "--clean"]);
    assert!(clean.status.success(), "{}", text(&clean.stderr));
}

#[test]
fn what_cannot_be_done_for_real_is_refused_with_the_reason() {
    let run = sim(&["validate", "validate-smoke", "--set=faults=[{\"at\":\"14s\",\"for\":\"1s\",\"registryDown\":true}]", "--repeat=1"]);
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("can only be simulated so far"), "{}", text(&run.stderr));
}
