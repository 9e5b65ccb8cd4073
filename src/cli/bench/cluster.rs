//! Whole clusters: the shipped `bench-cluster` at several sizes, each in a process of its own, so that one's peak memory is not
//! another's.

use serde::{Deserialize, Serialize};

use super::measure;
use crate::engine::Options;
use crate::host::sim;
use crate::scenario;

/// How `bench-cluster` begins.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// With all workloads placed and ready.
    Running,
    /// Empty: everything is created, scheduled and started, with client limits of 500 requests a second.
    Empty,
}

impl Start {
    /// What is changed in the shipped scenario.
    pub fn sets(self) -> Vec<String> {
        if self == Start::Running {
            return Vec::new();
        }
        let mut sets = vec!["initial=empty".to_owned(), "duration=15m".to_owned()];
        for client in ["controllerManager", "scheduler", "kubelet"] {
            sets.extend(["clientQps", "clientBurst"].map(|limit| format!("cluster.timings.{client}.{limit}=500")));
        }
        sets
    }
}

/// One size of `bench-cluster`.
#[derive(Serialize, Deserialize)]
pub struct Cluster {
    pub start: Start,
    pub nodes: u32,
    pub pods: u32,
    pub virtual_seconds: u64,
    /// From the scenario's text to the record, without reports.
    pub cpu_seconds: f64,
    pub events: u64,
    pub messages: u64,
    pub peak_bytes: u64,
    /// All expectations and invariants held.
    pub held: bool,
    pub digest: String,
}

/// Runs one size in a child process; `None`, with the reason on standard error, if that fails.
pub fn measure(nodes: u32, start: Start, sets: &[String]) -> Option<Cluster> {
    let complain = |what: String| {
        eprintln!("error: a cluster of {nodes} nodes: {what}");
        None
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return complain(format!("this program cannot be found: {error}")),
    };
    let mut command = std::process::Command::new(program);
    command.args(["bench", "--child", &nodes.to_string()]).stderr(std::process::Stdio::inherit());
    for set in start.sets().iter().chain(sets) {
        command.args(["--set", set]);
    }
    match command.output() {
        Ok(output) => match serde_json::from_slice(&output.stdout) {
            Ok(cluster) => Some(Cluster { start, ..cluster }),
            Err(error) => complain(format!("its process ended with {} and no figures ({error})", output.status)),
        },
        Err(error) => complain(format!("its process cannot be started: {error}")),
    }
}

/// What the child does: runs one size.
pub fn play(nodes: u32, sets: &[String]) -> Result<Cluster, Vec<scenario::InputError>> {
    let source = scenario::find("bench-cluster").map_err(|error| vec![error])?;
    let mut all = vec![format!("cluster.nodes[0].count={nodes}"), format!("workload[0].copies={nodes}")];
    all.extend_from_slice(sets);
    let mut outcome = None;
    let cpu_seconds = measure::time(|| {
        outcome = Some(scenario::load(&source, &all).map(|loaded| {
            let seconds = loaded.plan.duration.as_secs();
            (seconds, sim::run(loaded.plan, Options::default(), &mut |_| {}))
        }));
    });
    let (virtual_seconds, record) = outcome.expect("it has run")?;
    for violation in &record.violations {
        eprintln!("error: a broken invariant: {violation}");
    }
    Ok(Cluster {
        start: Start::Running,
        nodes,
        pods: nodes * 30,
        virtual_seconds,
        cpu_seconds,
        events: record.counts.events,
        messages: record.counts.messages,
        peak_bytes: measure::peak_memory().unwrap_or(0),
        held: record.violations.is_empty() && record.expectations.iter().all(|verdict| verdict.held),
        digest: record.digest.to_string(),
    })
}
