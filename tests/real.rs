//! The real host: the same actors in processes of their own, on loopback of this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustersim::base::random::Seed;
use clustersim::engine::plan::Starts;
use clustersim::host::real::docker::engine::Engine;
use clustersim::host::real::journal::{Line, Reader};
use clustersim::host::real::{cgroup, folder, frame, network};
use clustersim::scenario::{self, Source};

/// Real runs one after another: each wants the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    // A test that failed is over, too.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    let _alone = alone();
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
        let begin = Reader::open(&journal).expect("a journal").read().expect("a whole journal");
        let Some(Line::Begin { setup, at, .. }) = begin else { panic!("{begin:?}") };
        // When the simulator's would begin: none is early, and who is late says so.
        let resolved = Source { file: "scenario.json".into(), text: setup.scenario.into_bytes(), folder: None };
        let mut plan = scenario::load(&resolved, &[]).expect("it was loaded before").plan;
        plan.starts.within = Starts::APART;
        assert!(at >= plan.begins(setup.actor), "{} began at {at}", setup.actor);
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
    let _alone = alone();
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

#[test]
fn a_partition_by_the_kernel_and_one_by_the_transport_are_noticed_alike_and_heal() {
    let _alone = alone();
    let faults = "--set=faults=[{\"at\":\"9s\",\"for\":\"9s\",\"partition\":{\"from\":{\"nodes\":[\"worker-1\"]}}}]";
    let lent = network::is_lent();
    if let Err(error) = &lent {
        eprintln!("skipped: the kernel cuts no links: {error}");
    }
    let start = |links: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let run = Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(["real", "validate-node-crash", "--set=duration=27s", faults, "--links", links, "--out"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sim starts");
        (links.to_owned(), folder, run)
    };
    let runs: Vec<_> = ["kernel", "transport"].into_iter().filter(|links| lent.is_ok() || *links == "transport").map(start).collect();
    for (links, folder, run) in runs {
        let run = run.wait_with_output().expect("it ends");
        assert!(run.status.success(), "{links}: {}{}", text(&run.stdout), text(&run.stderr));
        let by = if links == "kernel" { "cut by veth" } else { "cut by our own transport (as asked for)" };
        assert!(text(&run.stdout).contains(by), "{}", text(&run.stdout));
        let rows = rows(folder.path(), "recovery.csv");
        let fault = rows.first().expect("it was noticed");
        // A grace of 6 s since a renewal at most 0.5 s before the fault, looked after each 0.5 s.
        assert!((5.0..8.5).contains(&(seconds(&fault["detected"]) - seconds(&fault["at"]))), "{links}: {fault:?}");
        // The leases of nine seconds are lost: TCP sends the first again 12.6 s after it (200 ms, doubling), when the toleration of 5 s is over.
        assert!((10.0..14.5).contains(&(seconds(&fault["evicted"]) - seconds(&fault["at"]))), "{links}: {fault:?}");
        let nodes = std::fs::read_to_string(folder.path().join("events.csv")).expect("events");
        let ready: Vec<f64> = nodes
            .lines()
            .filter(|line| line.contains("worker-1") && line.contains("Ready") && !line.contains("NotReady"))
            .filter_map(|line| line.split(',').next()?.parse().ok())
            .collect();
        assert!(ready.iter().any(|at| (18.0..26.0).contains(at)), "{links}: not ready again: {nodes}");
    }
}

#[test]
fn while_a_nodes_runtime_hangs_its_pods_answer_and_their_ends_are_heard_of_only_after() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("a path in UTF-8");
    let faults = "faults=[{\"at\":\"12s\",\"for\":\"8s\",\"runtimePause\":{\"nodes\":[\"worker-1\"]}},\
                  {\"at\":\"16s\",\"containerCrash\":{\"workload\":\"web\"}}]";
    let run = sim(&["real", "validate-smoke", "--set=duration=25s", "--set", faults, "--out", out]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    let quiet = |row: &std::collections::BTreeMap<String, String>| (13.0..15.0).contains(&seconds(&row["time"]));
    let traffic: Vec<_> = rows(folder.path(), "traffic.csv").into_iter().filter(quiet).collect();
    assert!(!traffic.is_empty());
    for second in &traffic {
        assert!(seconds(&second["ok"]) > 0.0 && ["refused", "reset", "timeout"].iter().all(|how| second[*how] == "0"), "{second:?}");
    }
    let pods = rows(folder.path(), "pods.csv");
    let here: BTreeSet<&str> = pods.iter().filter(|pod| pod["node"] == "worker-1").map(|pod| pod["name"].as_str()).collect();
    assert_eq!((pods.len(), here.len()), (6, 2), "{pods:?}");
    let events = rows(folder.path(), "events.csv");
    let exits: Vec<_> = events.iter().filter(|event| event["kind"] == "ContainerExited").collect();
    assert_eq!(exits.len(), 6, "{exits:?}");
    for exit in exits {
        let hangs = here.iter().any(|name| exit["object"].contains(name));
        assert_eq!(seconds(&exit["time"]) >= 20.0, hangs, "{exit:?}");
    }
    for pod in &pods {
        assert_eq!((pod["end"].as_str(), pod["restarts"].as_str()), ("Running", "1"), "{pod:?}");
    }
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
    let _alone = alone();
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

/// The engine of DOCKER_HOST or the usual socket, and its socket; `None`, and a word about it, where none answers.
fn docker() -> Option<Engine> {
    #[expect(clippy::disallowed_methods, reason = "where this user's engine listens, the environment says")]
    let named = std::env::var("DOCKER_HOST").ok().and_then(|host| host.strip_prefix("unix://").map(str::to_owned));
    let socket = named.unwrap_or_else(|| "/var/run/docker.sock".to_owned());
    match Engine::connect(Path::new(&socket)) {
        Ok(engine) => Some(engine),
        Err(error) => {
            eprintln!("skipped: no Docker engine answers at {socket} ({error})");
            None
        }
    }
}

#[test]
fn containers_of_docker_come_up_crash_and_are_gone_at_the_end() {
    let _alone = alone();
    let Some(engine) = docker() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("a path in UTF-8");
    // Limits are real: one container exhausts its memory and is ended by the kernel, another exits, and all run again.
    let faults = "faults=[{\"at\":\"20s\",\"containerCrash\":{\"workload\":\"web\",\"oomKilled\":true,\"count\":1}}]";
    let limit = "workload[0].manifest.spec.template.spec.containers[0].resources.limits={\"memory\":\"64Mi\",\"cpu\":\"500m\"}";
    let run = sim(&["real", "validate-smoke", "--runtime=docker", "--set=duration=32s", "--set", faults, "--set", limit, "--out", out]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    let pods = rows(folder.path(), "pods.csv");
    assert_eq!(pods.len(), 6);
    for pod in &pods {
        assert_eq!(pod["end"], "Running", "{pod:?}");
    }
    let restarts: u64 = pods.iter().map(|pod| pod["restarts"].parse::<u64>().expect("a number")).sum();
    assert_eq!(restarts, 1, "{pods:?}");
    let events = rows(folder.path(), "events.csv");
    let killed = events.iter().filter(|event| event["what"].contains("137")).count();
    assert!(killed >= 1, "nothing was killed: {events:?}");
    let answered: u64 = rows(folder.path(), "traffic.csv").iter().map(|row| row["ok"].parse::<u64>().expect("a number")).sum();
    assert!(answered > 30, "{answered} requests were answered");
    let block = block_of_journal(&folder.path().join("processes/etcd-1/journal-1"));
    let left = engine.ours(None).expect("the engine answers");
    assert!(!left.blocks().contains(&block), "{left:?}");
}

/// The block of addresses of the run that a journal is of.
fn block_of_journal(journal: &Path) -> u8 {
    match Reader::open(journal).expect("a journal").read().expect("a line") {
        Some(Line::Begin { setup, .. }) => setup.block,
        other => panic!("no beginning: {other:?}"),
    }
}

/// The block of a run that lives: its children's errors go to files in its folder.
fn block_of(children: &BTreeSet<(u32, String)>) -> Option<u8> {
    children.iter().find_map(|(pid, _)| {
        let log = std::fs::read_link(format!("/proc/{pid}/fd/2")).ok()?;
        log.components().find_map(|part| part.as_os_str().to_str()?.strip_prefix("run-")?.parse().ok())
    })
}

/// How often a run is killed: a few times, or as often as SIM_KILLS says.
fn kills() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a long test is asked for by the environment")]
    let asked = std::env::var("SIM_KILLS").ok().and_then(|times| times.parse().ok());
    asked.unwrap_or(2)
}

/// Starts a run and kills it after so long; its block, if it had begun, and the processes that it had.
fn killed(millis: u64, runtime: &str) -> (Option<u8>, BTreeSet<(u32, String)>) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["real", "validate-node-crash", "--runtime", runtime, "--set=duration=60s"])
        .args(["--set=workload[0].manifest.spec.template.spec.containers[0].resources.limits={\"memory\":\"256Mi\"}"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sim starts");
    wait(Duration::from_millis(millis));
    let children = children(run.id());
    let block = block_of(&children);
    run.kill().expect("it runs");
    run.wait().expect("it was killed");
    (block, children)
}

/// Kills a run at an instant, and cleans; panics if anything of it is left.
fn kill_at(millis: u64, runtime: &str, engine: Option<&Engine>) {
    let (block, children) = killed(millis, runtime);
    let clean = sim(&["validate", "--clean"]);
    assert!(clean.status.success(), "{}", text(&clean.stderr));
    let alive = || children.iter().filter(|(pid, began)| stat(*pid).is_some_and(|(_, now)| now == *began)).count();
    for _ in 0..100 {
        if alive() == 0 {
            break;
        }
        wait(Duration::from_millis(50));
    }
    assert_eq!(alive(), 0, "after {millis} ms: processes outlived their supervisor");
    // Killed before it had begun.
    let Some(block) = block else { return };
    assert!(!folder::home().join(format!("run-{block}")).join("etcd-1").exists(), "after {millis} ms: files are left");
    // What a group held may have been dying when it was cleaned up: the next start sees to it, as this call does.
    if cgroup::left(cgroup::root()).contains(&block) {
        sim(&["validate", "--clean"]);
    }
    assert!(!cgroup::left(cgroup::root()).contains(&block), "after {millis} ms: control groups are left");
    if let Some(engine) = engine {
        let left = engine.ours(None).expect("the engine answers");
        // What the engine was told to make before the kill, it may have made after the first look.
        if left.blocks().contains(&block) {
            sim(&["validate", "--clean"]);
        }
        let left = engine.ours(None).expect("the engine answers");
        assert!(!left.blocks().contains(&block), "after {millis} ms: {left:?}");
    }
}

#[test]
fn a_run_that_is_killed_at_any_instant_leaves_nothing_once_it_is_cleaned_up() {
    let _alone = alone();
    let mut stream = Seed(1).stream("instants");
    for _ in 0..kills() {
        kill_at(stream.index(18_000) as u64, "process", None);
    }
}

#[test]
fn the_same_with_containers_of_docker() {
    let _alone = alone();
    let Some(engine) = docker() else { return };
    let mut stream = Seed(2).stream("instants");
    for _ in 0..kills() {
        kill_at(stream.index(18_000) as u64, "docker", Some(&engine));
    }
}

#[test]
fn what_a_run_of_one_runtime_left_goes_with_the_next_run_of_the_other() {
    let _alone = alone();
    let Some(engine) = docker() else { return };
    for (runtime, other) in [("docker", "process"), ("process", "docker")] {
        // Containers run by then, those of processes in groups with limits where that is permitted.
        let (block, _) = killed(13_000, runtime);
        let block = block.expect("it has begun");
        let left = |engine: &Engine| {
            let on_engine = engine.ours(None).expect("the engine answers").blocks().contains(&block);
            on_engine || cgroup::left(cgroup::root()).contains(&block)
        };
        assert!(runtime == "process" || left(&engine), "nothing was left to be removed");
        let short = ["--set=traffic=[]", "--set=workloadAt=0s", "--set=duration=2s"];
        let run = sim(&[&["real", "validate-smoke", "--runtime", other][..], &short].concat());
        assert!(run.status.code().is_some_and(|code| code <= 1), "{}", text(&run.stderr));
        assert!(!left(&engine), "a run of {other} let lie what one of {runtime} had left");
    }
}

#[test]
fn a_run_that_is_interrupted_ends_in_order() {
    let _alone = alone();
    let mut run = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["real", "validate-smoke", "--runtime=process", "--set=duration=60s"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sim starts");
    wait(Duration::from_secs(6));
    let block = block_of(&children(run.id())).expect("it has begun");
    let pid = i32::try_from(run.id()).expect("a number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT).expect("it runs");
    let ended = run.wait().expect("it ends");
    assert_eq!(ended.code(), Some(3));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut run.stderr.take().expect("it is piped"), &mut said).expect("text");
    assert!(said.contains("interrupted"), "{said}");
    assert!(!folder::home().join(format!("run-{block}")).join("etcd-1").exists(), "files are left");
}

#[test]
fn what_cannot_be_done_for_real_is_refused_with_the_reason() {
    let run = sim(&["validate", "validate-smoke", "--set=faults=[{\"at\":\"14s\",\"for\":\"1s\",\"registryDown\":true}]", "--repeat=1"]);
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("can only be simulated so far"), "{}", text(&run.stderr));
    let faults = "--set=faults=[{\"at\":\"14s\",\"containerCrash\":{\"workload\":\"web\",\"oomKilled\":true}}]";
    let run = sim(&["real", "validate-smoke", faults]);
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("limits of memory"), "{}", text(&run.stderr));
}

#[test]
fn what_the_machine_cannot_hold_is_refused_before_anything_starts() {
    let run = sim(&["real", "validate-smoke", "--set=workload[0].manifest.spec.replicas=4000000"]);
    assert_eq!(run.status.code(), Some(3), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("this machine is too small"), "{}", text(&run.stderr));
}

#[test]
fn a_profile_is_measured_and_a_scenario_that_names_it_predicts_with_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("here.json");
    let profile = profile.to_str().expect("a path in UTF-8");
    let measured = sim(&["calibrate", "--quick", "--runtime=process", "--out", profile]);
    assert!(measured.status.success(), "{}", text(&measured.stderr));
    assert!(text(&measured.stdout).contains("4 at once"), "{}", text(&measured.stdout));
    let set = format!("--set=profile={profile}");
    let run = |out: &str| {
        let out = folder.path().join(out);
        let run = sim(&["run", "validate-smoke", "--no-plots", &set, "--out", out.to_str().expect("a path in UTF-8")]);
        assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
        (text(&run.stdout), out.join("scenario.json"))
    };
    let (first, resolved) = run("one");
    assert_eq!(first.lines().last(), run("two").0.lines().last(), "the same seed, another digest");
    // What was resolved needs the file no more.
    std::fs::remove_file(profile).expect("it is ours");
    let again =
        sim(&["run", resolved.to_str().expect("a path in UTF-8"), "--no-plots", "--out", &format!("{}/three", folder.path().display())]);
    assert_eq!(first.lines().last(), text(&again.stdout).lines().last(), "{}", text(&again.stderr));
}
