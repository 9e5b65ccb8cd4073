//! The CSV files of the contract. Columns are only ever appended to.
//!
//! A time is in seconds since the start of the run, cut to microseconds; an empty cell is what never happened. `nodes.csv` has a row for
//! each node at the first sample and then at each sample in which a value of the node is another than before: with 5,000 nodes a row a
//! second would be millions that say nothing.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use csv::Writer;

use super::model::{PodState, path_name};
use super::{Exporter, Report, clients};
use crate::base::{Duration, Time};
use crate::engine::record::Role;
use crate::wire::history::Outcome;

/// A CSV file: its name, its header, and what writes its rows.
struct Table {
    file: &'static str,
    header: &'static str,
    applies: fn(&Report) -> bool,
    rows: fn(&Report, &mut Writer<BufWriter<File>>) -> csv::Result<()>,
}

const TABLES: [Table; 8] = [
    Table {
        file: "pods.csv",
        header: "namespace,name,uid,workload,node,created,scheduled,started,ready,deleted,restarts,end",
        applies: |report| report.has_cluster(),
        rows: pods,
    },
    Table { file: "placement.csv", header: "time,namespace,pod,node,event", applies: |report| report.has_cluster(), rows: placement },
    Table {
        file: "recovery.csv",
        header: "fault,target,at,workload,detected,evicted,evicted_last,replaced,ready_again,unavailable_seconds,down_seconds",
        applies: |report| report.has_cluster(),
        rows: recovery,
    },
    Table {
        file: "nodes.csv",
        header: "time,node,ready,pods,cpu_requested,memory_requested",
        applies: |report| report.has_cluster(),
        rows: nodes,
    },
    Table {
        file: "etcd.csv",
        header: "time,member,role,term,commit,applied,revision,db_bytes",
        applies: |report| report.has_cluster(),
        rows: etcd,
    },
    Table {
        file: "traffic.csv",
        header: "time,service,sent,ok,refused,reset,timeout,p50,p99",
        applies: |report| report.has_cluster(),
        rows: traffic,
    },
    Table {
        file: "history.csv",
        header: "called,returned,client,operation,outcome,revision,member",
        applies: |report| report.has_clients(),
        rows: history,
    },
    Table { file: "events.csv", header: "time,kind,object,what,cause", applies: |report| report.has_cluster(), rows: events },
];

pub fn exporters() -> Vec<Box<dyn Exporter>> {
    TABLES.into_iter().map(|table| Box::new(table) as Box<dyn Exporter>).collect()
}

impl Exporter for Table {
    fn file(&self) -> &'static str {
        self.file
    }
    fn applies(&self, report: &Report) -> bool {
        (self.applies)(report)
    }
    fn export(&self, report: &Report, path: &Path) -> io::Result<()> {
        let mut writer = Writer::from_writer(BufWriter::new(File::create(path)?));
        writer.write_record(self.header.split(','))?;
        (self.rows)(report, &mut writer)?;
        writer.flush()
    }
}

/// `120.000000`: whole microseconds.
pub fn seconds(nanos: u128) -> String {
    let micros = nanos / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// An instant as seconds since the start of the run.
fn instant(report: &Report, at: Time) -> String {
    span(at.since(report.model.start))
}
fn span(duration: Duration) -> String {
    seconds(u128::from(duration.nanos()))
}
fn perhaps(report: &Report, at: Option<Time>) -> String {
    at.map_or_else(String::new, |at| instant(report, at))
}

/// A row a pod, in order of creation. `deleted` is when it was marked for deletion, `end` its state when the run ended.
fn pods(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let model = &report.model;
    for pod in &model.pods {
        writer.write_record([
            pod.key.namespace(),
            pod.key.name(),
            pod.uid,
            &pod.workload.map_or_else(String::new, |workload| model.workload_name(workload)),
            pod.bound.map_or("", |(_, node)| model.nodes[node].name),
            &instant(report, pod.created),
            &perhaps(report, pod.bound.map(|(at, _)| at)),
            &perhaps(report, pod.started),
            &perhaps(report, pod.ready),
            &perhaps(report, pod.deleted.map(|deleted| deleted.at)),
            &pod.restarts.to_string(),
            pod.end(),
        ])?;
    }
    Ok(())
}

/// What happened to pods on nodes, in order of time: `bound`, `ready`, `not ready`, `terminating`, `finished`, `removed`.
fn placement(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let model = &report.model;
    let mut rows: Vec<(Time, usize, &str)> = Vec::new();
    for (index, pod) in model.pods.iter().enumerate() {
        let Some((bound, _)) = pod.bound else { continue };
        rows.push((bound, index, "bound"));
        for &(at, state) in &pod.states {
            let event = match state {
                PodState::Pending | PodState::Starting => continue,
                PodState::Ready => "ready",
                PodState::NotReady => "not ready",
                PodState::Terminating => "terminating",
                PodState::Finished => "finished",
            };
            rows.push((at, index, event));
        }
        rows.extend(pod.removed.map(|at| (at, index, "removed")));
    }
    // Stable: the events of one pod in one instant stay in the order of its life.
    rows.sort_by_key(|&(at, index, _)| (at, index));
    for (at, index, event) in rows {
        let pod = &model.pods[index];
        let node = pod.bound.map_or("", |(_, node)| model.nodes[node].name);
        writer.write_record([&instant(report, at), pod.key.namespace(), pod.key.name(), node, event])?;
    }
    Ok(())
}

fn recovery(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let model = &report.model;
    for row in &report.recovery {
        let fault = &model.faults()[row.fault];
        writer.write_record([
            fault.kind.as_str(),
            &fault.targets.iter().map(|target| target.as_str()).collect::<Vec<_>>().join(" "),
            &instant(report, row.at),
            &row.workload.map_or_else(String::new, |workload| model.workload_name(workload)),
            &perhaps(report, row.detected),
            &perhaps(report, row.evicted),
            &perhaps(report, row.evicted_last),
            &perhaps(report, row.replaced),
            &perhaps(report, row.ready_again),
            &seconds(row.unavailable),
            &span(row.down),
        ])?;
    }
    Ok(())
}

/// `ready` is the status of the Ready condition (`True`, `False`, `Unknown`), empty before the first. CPU in cores, memory in bytes.
fn nodes(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let model = &report.model;
    let mut last: Vec<Option<(&str, u32, i64, i64)>> = vec![None; model.nodes.len()];
    for sample in &model.record.samples {
        let time = instant(report, sample.at);
        for ((node, last), &(pods, cpu, memory)) in model.nodes.iter().zip(&mut last).zip(sample.nodes.iter()) {
            let now = (node.status_at(sample.at), pods, cpu, memory);
            if last.replace(now) != Some(now) {
                let cores = format!("{}.{:03}", cpu / 1000, cpu % 1000);
                writer.write_record([&time, node.name, now.0, &pods.to_string(), &cores, &memory.to_string()])?;
            }
        }
    }
    Ok(())
}

fn etcd(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    for sample in &report.model.record.samples {
        let time = instant(report, sample.at);
        for (index, member) in sample.etcd.iter().enumerate() {
            writer.write_record([
                time.as_str(),
                &format!("etcd-{}", index + 1),
                role_name(member.role),
                &member.term.to_string(),
                &member.commit.to_string(),
                &member.applied.to_string(),
                &member.revision.to_string(),
                &member.db_bytes.to_string(),
            ])?;
        }
    }
    Ok(())
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Down => "down",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

/// A row a bucket and client; a bucket's time is its end.
/// A row a second and service, of the requests that were sent in the second that ends then.
fn traffic(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let mut rows: Vec<_> = report
        .model
        .traffic
        .iter()
        .enumerate()
        .flat_map(|(source, traffic)| traffic.buckets.iter().map(move |bucket| (bucket, source)))
        .collect();
    rows.sort_by_key(|&(bucket, source)| (bucket.at, source));
    for (bucket, source) in rows {
        let answered = bucket.ok > 0;
        let latency = |duration| if answered { span(duration) } else { String::new() };
        writer.write_record([
            instant(report, bucket.at),
            path_name(report.model.traffic[source].service),
            bucket.sent.to_string(),
            bucket.ok.to_string(),
            bucket.refused.to_string(),
            bucket.reset.to_string(),
            bucket.timeout.to_string(),
            latency(bucket.p50),
            latency(bucket.p99),
        ])?;
    }
    Ok(())
}

/// A row an operation of etcd's clients, in order of their beginnings.
fn history(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    for one in &report.clients.operations {
        let outcome = one.returned.map(|(_, outcome)| outcome);
        let (revision, member) = match outcome {
            Some(Outcome::Done { revision, member, .. }) => (revision.to_string(), member.to_string()),
            _ => Default::default(),
        };
        writer.write_record([
            instant(report, one.called),
            perhaps(report, one.returned.map(|(at, _)| at)),
            one.id.client.to_string(),
            clients::words(one.operation),
            clients::outcome_words(outcome),
            revision,
            member,
        ])?;
    }
    Ok(())
}

/// The facts. `kind` is the kind of fact; `cause` is the row of the fact that led to it (1 is the first after the header).
fn events(report: &Report, writer: &mut Writer<BufWriter<File>>) -> csv::Result<()> {
    let facts = &report.model.record.facts;
    for entry in facts {
        let cause = entry.cause.and_then(|id| facts.binary_search_by_key(&id, |entry| entry.id).ok());
        writer.write_record([
            instant(report, entry.at).as_str(),
            entry.fact.what.kind(),
            &entry.fact.subject.to_string(),
            &entry.fact.what.to_string(),
            &cause.map_or_else(String::new, |row| (row + 1).to_string()),
        ])?;
    }
    Ok(())
}
