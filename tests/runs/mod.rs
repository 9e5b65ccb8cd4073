//! Plays shipped scenarios in this process, for tests that look at what comes out.
#![expect(dead_code, reason = "each test file uses its own part of it")]
#![expect(clippy::disallowed_methods, reason = "seeds are shared out to threads, and the environment says how many; no run sees either")]

use clustersim::base::{Duration, FactId, Time};
use clustersim::engine::Options;
use clustersim::engine::record::{Entry, Record};
use clustersim::host::sim;
use clustersim::scenario;
use clustersim::wire::fact::{Subject, What};

/// Plays a scenario with `--set`s.
pub fn play(name: &str, seed: u64, sets: &[&str], options: Options) -> Record {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).chain([format!("seed={seed}")]).collect();
    let source = scenario::find(name).unwrap();
    let loaded = scenario::load(&source, &sets).unwrap_or_else(|errors| panic!("{name}: {}", errors[0]));
    let record = sim::run(loaded.plan, options, &mut |_| {});
    assert!(record.violations.is_empty(), "{name}, seed {seed}: {:?}", record.violations);
    record
}

/// `job` for each seed from 1 on, on as many threads as there are cores; results in the order of the seeds.
pub fn for_seeds<T: Send>(count: u64, job: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicU64::new(1);
    let results = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed > count {
                        return;
                    }
                    let result = job(seed);
                    results.lock().unwrap().push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

/// When the n-th fault began, and the fact of it.
pub fn fault(record: &Record, number: u32) -> &Entry {
    let is_it = |entry: &&Entry| matches!(entry.fact.what, What::FaultInjected { fault, .. } if fault == number);
    record.facts.iter().find(is_it).unwrap_or_else(|| panic!("fault {number} never began"))
}

/// The facts after an instant that `pick` picks.
pub fn facts_after<'r>(record: &'r Record, after: Time, pick: impl Fn(&Entry) -> bool + 'r) -> impl Iterator<Item = &'r Entry> {
    record.facts.iter().filter(move |entry| entry.at > after && pick(entry))
}

/// The name of the object that a fact is about; empty for others.
pub fn object_name(entry: &Entry) -> &str {
    match &entry.fact.subject {
        Subject::Object(key) => key.name(),
        _ => "",
    }
}

/// Is the fact about an object of this kind?
pub fn is_about(entry: &Entry, kind: clustersim::objects::Kind) -> bool {
    matches!(&entry.fact.subject, Subject::Object(key) if key.kind() == kind)
}

/// A chain from an effect back to its beginning, a line each.
pub fn chain_text(record: &Record, id: FactId) -> String {
    let line = |entry: &&Entry| {
        let at = entry.at.since(record.scenario.start);
        format!("  {:>9.3} s  {}  {:?}\n", at.as_secs_f64(), entry.fact.subject, entry.fact.what)
    };
    record.chain(id).iter().map(line).collect()
}

/// A count from the environment, or the default: `SIM_SEEDS=100 cargo test` is the long form of tests over seeds.
pub fn seeds(default: u64) -> u64 {
    match std::env::var("SIM_SEEDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SIM_SEEDS: \"{text}\" is not a number")),
        Err(_) => default,
    }
}

/// `min 1.0, median 2.0, max 3.0` of spans, in seconds.
pub fn spread(spans: &[Duration]) -> String {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(min), Some(median), Some(max)) => {
            let [min, median, max] = [min, median, max].map(|span| span.as_secs_f64());
            format!("{} values: min {min:.3} s, median {median:.3} s, max {max:.3} s", sorted.len())
        }
        _ => "no values".to_owned(),
    }
}
