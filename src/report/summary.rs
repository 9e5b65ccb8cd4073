//! `summary.json`: the run in a few lines for programs. `format` is 1; fields are only ever added.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::{Exporter, Report, study};
use crate::base::{Duration, Time};
use crate::engine::record::Verdict;

#[derive(Serialize)]
struct Summary<'r> {
    format: u32,
    name: &'r str,
    seed: u64,
    digest: String,
    /// Seconds of virtual time.
    duration: f64,
    held: bool,
    /// In order of their beginnings.
    faults: Vec<Fault<'r>>,
    expectations: Vec<Expectation<'r>>,
    /// Broken invariants.
    violations: Vec<&'r str>,
    recovery: Vec<Recovery<'r>>,
    counts: Counts,
    /// Of etcd's clients; `null` without any.
    clients: Option<ClientFigures>,
    /// Of a run of the scheduler alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    study: Option<study::Figures<'r>>,
}

/// What became of the operations of etcd's clients. Latencies and gaps in seconds; `null` where no history was kept.
#[derive(Serialize)]
struct ClientFigures {
    operations: u64,
    ok: u64,
    failed: u64,
    unknown: u64,
    p50: Option<f64>,
    p99: Option<f64>,
    longest_write_gap: Option<f64>,
}

/// Seconds since the start; `until` is `null` for what lasts to the end or is an instant.
#[derive(Serialize)]
struct Fault<'r> {
    description: &'r str,
    kind: &'r str,
    target: Vec<&'r str>,
    at: f64,
    until: Option<f64>,
}

#[derive(Serialize)]
struct Expectation<'r> {
    description: &'r str,
    /// `null` if the run ended before it could be judged.
    held: Option<bool>,
    seen: &'r str,
}

/// The columns of `recovery.csv`; `null` where it never happened.
#[derive(Serialize)]
struct Recovery<'r> {
    fault: &'r str,
    target: Vec<&'r str>,
    at: f64,
    workload: Option<String>,
    detected: Option<f64>,
    evicted: Option<f64>,
    evicted_last: Option<f64>,
    replaced: Option<f64>,
    ready_again: Option<f64>,
    unavailable_seconds: f64,
    down_seconds: f64,
}

#[derive(Serialize)]
struct Counts {
    events: u64,
    messages: u64,
    revisions: u64,
    facts: usize,
    pods: usize,
    nodes: usize,
}

/// The file.
pub struct SummaryFile;

impl Exporter for SummaryFile {
    fn file(&self) -> &'static str {
        "summary.json"
    }
    fn export(&self, report: &Report, path: &Path) -> io::Result<()> {
        std::fs::write(path, json(report))
    }
}

/// The text of `summary.json`, which `--json` puts on the standard output.
pub fn json(report: &Report) -> String {
    let model = &report.model;
    let record = model.record;
    let instant = |at: Time| seconds(u128::from(at.since(model.start).nanos()));
    let recovery = report
        .recovery
        .iter()
        .map(|row| {
            let fault = &model.faults()[row.fault];
            Recovery {
                fault: &fault.kind,
                target: fault.targets.iter().map(|target| target.as_str()).collect(),
                at: instant(row.at),
                workload: row.workload.map(|workload| model.workload_name(workload)),
                detected: row.detected.map(instant),
                evicted: row.evicted.map(instant),
                evicted_last: row.evicted_last.map(instant),
                replaced: row.replaced.map(instant),
                ready_again: row.ready_again.map(instant),
                unavailable_seconds: seconds(row.unavailable),
                down_seconds: seconds(u128::from(row.down.nanos())),
            }
        })
        .collect();
    let summary = Summary {
        format: 1,
        name: &record.scenario.name,
        seed: record.scenario.seed,
        digest: record.digest.to_string(),
        duration: seconds(u128::from(duration(report).nanos())),
        held: record.violations.is_empty() && !record.expectations.iter().any(Verdict::failed),
        faults: model
            .faults()
            .iter()
            .map(|fault| Fault {
                description: &fault.description,
                kind: &fault.kind,
                target: fault.targets.iter().map(|target| target.as_str()).collect(),
                at: instant(fault.at),
                until: fault.until.map(instant),
            })
            .collect(),
        expectations: record
            .expectations
            .iter()
            .map(|verdict| Expectation {
                description: &verdict.description,
                held: verdict.reached.then_some(verdict.held),
                seen: &verdict.seen,
            })
            .collect(),
        violations: record.violations.iter().map(|violation| violation.as_str()).collect(),
        recovery,
        counts: Counts {
            events: record.counts.events,
            messages: record.counts.messages,
            revisions: record.counts.revisions,
            facts: record.facts.len(),
            pods: model.pods.len(),
            nodes: model.nodes.len(),
        },
        clients: report.has_clients().then(|| client_figures(report)),
        study: report.study().map(study::figures),
    };
    let mut text = serde_json::to_string_pretty(&summary).expect("numbers and text can be written");
    text.push('\n');
    text
}

fn client_figures(report: &Report) -> ClientFigures {
    let clients = &report.clients;
    let span = |duration: Duration| seconds(u128::from(duration.nanos()));
    ClientFigures {
        operations: clients.sum(|bucket| bucket.sent),
        ok: clients.sum(|bucket| bucket.ok),
        failed: clients.sum(|bucket| bucket.refused),
        unknown: clients.sum(|bucket| bucket.timeout),
        p50: clients.p50.map(span),
        p99: clients.p99.map(span),
        longest_write_gap: clients.longest_write_gap.map(|(_, gap)| span(gap)),
    }
}

/// How long the run was.
pub fn duration(report: &Report) -> Duration {
    report.model.end.since(report.model.start)
}

/// Seconds for JSON, cut to microseconds. One division of whole numbers, rounded as IEEE 754 says and written with the fewest digits that
/// give it back: the same text everywhere.
fn seconds(nanos: u128) -> f64 {
    (nanos / 1_000) as f64 / 1e6
}
