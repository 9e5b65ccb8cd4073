//! What etcd's clients did: operations with their beginnings and ends, counts by the second, and a few figures of the whole run.

use std::collections::BTreeMap;

use super::model::Bucket;
use crate::base::{Duration, Map, Time};
use crate::engine::record::Record;
use crate::wire::fact::What;
use crate::wire::history::{HistoryEvent, Operation, OperationId, Outcome, Step, Written};

/// An operation of a client whose history was kept.
pub struct Ended<'r> {
    pub id: OperationId,
    pub called: Time,
    pub operation: &'r Operation,
    /// `None`: the run, or its client, ended before.
    pub returned: Option<(Time, &'r Outcome)>,
}

/// Everything that clients of etcd did; empty without any.
#[derive(Default)]
pub struct Clients<'r> {
    /// In order of their beginnings.
    pub operations: Vec<Ended<'r>>,
    /// Failed operations count as refused, those of unknown outcome as timed out.
    pub buckets: Vec<Bucket>,
    /// Of operations that were answered; `None` without a history.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    /// The longest time between two successive acknowledged writes, and when it began.
    pub longest_write_gap: Option<(Time, Duration)>,
}

impl<'r> Clients<'r> {
    pub fn new(record: &'r Record) -> Clients<'r> {
        let mut clients = Clients { operations: operations(record), ..Clients::default() };
        let mut buckets: BTreeMap<Time, Bucket> = BTreeMap::new();
        for entry in &record.facts {
            if let What::EtcdOperations { until, sent, ok, failed, unknown, p50, p99 } = entry.fact.what {
                let more = Bucket { at: until, sent, ok, refused: failed, reset: 0, timeout: unknown, p50, p99 };
                buckets.entry(until).and_modify(|sum| sum.join(&more)).or_insert(more);
            }
        }
        clients.figures(&mut buckets);
        clients.buckets = buckets.into_values().collect();
        clients
    }
    pub fn sum(&self, count: fn(&Bucket) -> u32) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(count(bucket))).sum()
    }
    /// Latencies are exact where histories tell them; else those of the slowest client stand.
    fn figures(&mut self, buckets: &mut BTreeMap<Time, Bucket>) {
        let mut all: Vec<Duration> = Vec::new();
        let mut by_second: BTreeMap<Time, Vec<Duration>> = BTreeMap::new();
        let mut acknowledged: Vec<Time> = Vec::new();
        for one in &self.operations {
            let Some((returned, Outcome::Done { .. })) = one.returned else { continue };
            let latency = returned.since(one.called);
            all.push(latency);
            let second = Duration::from_secs(1).nanos();
            by_second.entry(Time::from_nanos((one.called.nanos() / second + 1) * second)).or_default().push(latency);
            if one.operation.writes() {
                acknowledged.push(returned);
            }
        }
        for (second, mut latencies) in by_second {
            if let Some(bucket) = buckets.get_mut(&second) {
                (bucket.p50, bucket.p99) = (quantile(&mut latencies, 500), quantile(&mut latencies, 990));
            }
        }
        if !all.is_empty() {
            (self.p50, self.p99) = (Some(quantile(&mut all, 500)), Some(quantile(&mut all, 990)));
        }
        acknowledged.sort_unstable();
        let gaps = acknowledged.windows(2).map(|pair| (pair[0], pair[1].since(pair[0])));
        self.longest_write_gap = gaps.max_by_key(|&(at, gap)| (gap, std::cmp::Reverse(at)));
    }
}

fn quantile(latencies: &mut [Duration], per_mille: usize) -> Duration {
    latencies.sort_unstable();
    latencies[(latencies.len() - 1) * per_mille / 1000]
}

fn operations(record: &Record) -> Vec<Ended<'_>> {
    let mut operations: Vec<Ended> = Vec::new();
    let mut open: Map<OperationId, usize> = Map::default();
    for (at, event) in &record.history {
        match event {
            HistoryEvent::Called(id, operation) => {
                open.insert(*id, operations.len());
                operations.push(Ended { id: *id, called: *at, operation, returned: None });
            }
            HistoryEvent::Returned(id, outcome) => {
                if let Some(place) = open.remove(id) {
                    operations[place].returned = Some((*at, outcome));
                }
            }
            _ => {}
        }
    }
    operations
}

/// `get 3`, `put 3=4294967297`, `if 3=none then put 3=5 else get 3`: an operation in a cell of a table.
pub fn words(operation: &Operation) -> String {
    let branch = |steps: &[Step]| {
        let word = |step: &Step| match step {
            Step::Read(key) => format!("get {}", key.0),
            Step::Write(key, written) => format!("put {}={}", key.0, written.0),
            Step::Delete(key) => format!("delete {}", key.0),
        };
        steps.iter().map(word).collect::<Vec<_>>().join(" and ")
    };
    let then = branch(&operation.then);
    if operation.compares.is_empty() {
        return if operation.serializable { format!("serializable {then}") } else { then };
    }
    let compares: Vec<String> = operation.compares.iter().map(|(key, value)| format!("{}={}", key.0, value_word(*value))).collect();
    format!("if {} then {then} else {}", compares.join(" and "), branch(&operation.otherwise))
}

/// `ok`, `ok 5 none`: what reads saw; `else`: the comparisons did not hold; `failed`, `unknown`, and nothing for what did not end.
pub fn outcome_words(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => String::new(),
        Some(Outcome::Failed) => "failed".to_owned(),
        Some(Outcome::Unknown) => "unknown".to_owned(),
        Some(Outcome::Done { succeeded, reads, .. }) => {
            let mut text = if *succeeded { "ok" } else { "else" }.to_owned();
            for read in reads {
                text.push(' ');
                text.push_str(&value_word(*read));
            }
            text
        }
    }
}

fn value_word(value: Option<Written>) -> String {
    value.map_or_else(|| "none".to_owned(), |written| written.0.to_string())
}
