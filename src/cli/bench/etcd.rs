//! The store alone: the shipped `bench-etcd`, as it is and with a million keys, each in a process of its own, so that one's peak memory is
//! not another's.

use serde::{Deserialize, Serialize};

use super::measure;
use crate::engine::Options;
use crate::host::sim;
use crate::scenario;

/// What is changed in the shipped scenario, and why.
pub struct Size {
    pub name: &'static str,
    sets: &'static [&'static str],
    /// Runs of which the fastest counts.
    runs: usize,
}

/// Five million revisions of a million keys take some 29 virtual seconds.
pub const SIZES: [Size; 2] = [
    Size { name: "10,000 keys", sets: &["duration=5s"], runs: 5 },
    Size { name: "1,000,000 keys", sets: &["etcdClients[0].keys=1000000", "duration=29s"], runs: 1 },
];

/// One size of `bench-etcd`.
#[derive(Serialize, Deserialize)]
pub struct Store {
    pub name: String,
    pub revisions: u64,
    /// From the scenario's text to the record, without reports, the best of the runs.
    pub cpu_seconds: f64,
    pub events: u64,
    pub peak_bytes: u64,
    /// All expectations and invariants held.
    pub held: bool,
}

/// Runs one size in child processes; `None`, with the reason on standard error, if one fails.
pub fn measure(number: usize, quick: bool) -> Option<Store> {
    let size = &SIZES[number];
    let complain = |what: String| {
        eprintln!("error: bench-etcd with {}: {what}", size.name);
        None
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return complain(format!("this program cannot be found: {error}")),
    };
    let mut best: Option<Store> = None;
    for _ in 0..if quick { 1 } else { size.runs } {
        let mut command = std::process::Command::new(&program);
        command.args(["bench", "--child-etcd", &number.to_string()]).stderr(std::process::Stdio::inherit());
        let store: Store = match command.output() {
            Ok(output) => match serde_json::from_slice(&output.stdout) {
                Ok(store) => store,
                Err(error) => return complain(format!("its process ended with {} and no figures ({error})", output.status)),
            },
            Err(error) => return complain(format!("its process cannot be started: {error}")),
        };
        if best.as_ref().is_none_or(|best| store.cpu_seconds < best.cpu_seconds) {
            best = Some(store);
        }
    }
    best
}

/// What the child does: runs one size.
pub fn play(number: usize) -> Result<Store, Vec<scenario::InputError>> {
    let size = &SIZES[number];
    let source = scenario::find("bench-etcd").map_err(|error| vec![error])?;
    let sets: Vec<String> = size.sets.iter().map(ToString::to_string).collect();
    let mut outcome = None;
    let cpu_seconds = measure::time(|| {
        outcome = Some(scenario::load(&source, &sets).map(|loaded| sim::run(loaded.plan, Options::default(), &mut |_| {})));
    });
    let record = outcome.expect("it has run")?;
    for violation in &record.violations {
        eprintln!("error: a broken invariant: {violation}");
    }
    Ok(Store {
        name: size.name.to_owned(),
        revisions: record.counts.revisions,
        cpu_seconds,
        events: record.counts.events,
        peak_bytes: measure::peak_memory().unwrap_or(0),
        held: record.violations.is_empty() && record.expectations.iter().all(|verdict| verdict.held),
    })
}
