//! What of a run is compared: the same for a simulated and a real one, read from the record alone. Times are microseconds since the start,
//! or since the fault that a milestone belongs to.

use crate::base::{Duration, Time};
use crate::engine::record::Record;
use crate::report::Report;
use crate::wire::fact::What;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unit {
    /// Microseconds.
    Time,
    Count,
}

/// Something that happens in a run, in the order in which it is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Milestone {
    pub order: (usize, usize),
    pub name: String,
    pub unit: Unit,
}

fn micros(span: Duration) -> u64 {
    span.nanos() / 1000
}

/// All milestones that a run reached.
pub fn of(record: &Record) -> Vec<(Milestone, u64)> {
    let report = Report::new(record);
    let model = &report.model;
    let mut reached = Vec::new();
    let mut add = |group: usize, order: usize, name: String, unit: Unit, value: Option<u64>| {
        reached.extend(value.map(|value| (Milestone { order: (group, order), name, unit }, value)));
    };
    let since_start = |at: Option<Time>| at.map(|at| micros(at.since(model.start)));
    let first_fault = model.faults().iter().map(|fault| fault.at).min().unwrap_or(Time::NEVER);
    for (number, workload) in model.workloads.iter().enumerate() {
        let name = model.workload_name(number);
        let pods: Vec<_> = model.pods.iter().filter(|pod| pod.workload == Some(number) && pod.created < first_fault).collect();
        let bound = || pods.iter().filter_map(|pod| pod.bound.map(|(at, _)| at));
        let order = number * 10;
        add(0, order, format!("{name}: first pod bound"), Unit::Time, since_start(bound().min()));
        add(0, order + 1, format!("{name}: last pod bound"), Unit::Time, since_start(bound().max()));
        add(0, order + 2, format!("{name}: first pod started"), Unit::Time, since_start(pods.iter().filter_map(|pod| pod.started).min()));
        add(0, order + 3, format!("{name}: first pod ready"), Unit::Time, since_start(pods.iter().filter_map(|pod| pod.ready).min()));
        // Of a roll-out: when the last of its pods serves, and when the last of the old ones is gone.
        if first_fault == Time::NEVER && pods.iter().any(|pod| pod.deleted.is_some()) {
            add(0, order + 5, format!("{name}: last pod ready"), Unit::Time, since_start(pods.iter().filter_map(|pod| pod.ready).max()));
            add(
                0,
                order + 6,
                format!("{name}: last pod deleted"),
                Unit::Time,
                since_start(pods.iter().filter_map(|pod| pod.deleted.map(|deleted| deleted.at)).max()),
            );
        }
        let whole = workload.steps.iter().find(|step| step.wanted > 0 && step.available >= step.wanted).map(|step| step.at);
        add(0, order + 4, format!("{name}: all available"), Unit::Time, since_start(whole));
    }
    for row in &report.recovery {
        let fault = &model.faults()[row.fault];
        let group = row.fault + 1;
        let after = |at: Option<Time>| at.map(|at| micros(at.since(row.at)));
        let (order, what) = match row.workload {
            Some(workload) => (workload * 10 + 10, format!("{}: {}", fault.description, model.workload_name(workload))),
            None => (10, fault.description.to_string()),
        };
        add(group, 0, format!("{}: detected", fault.description), Unit::Time, after(row.detected));
        add(group, order, format!("{what} first evicted"), Unit::Time, after(row.evicted));
        add(group, order + 1, format!("{what} last evicted"), Unit::Time, after(row.evicted_last));
        add(group, order + 2, format!("{what} replaced"), Unit::Time, after(row.replaced));
        add(group, order + 3, format!("{what} ready again"), Unit::Time, after(row.ready_again));
        if row.workload.is_some() {
            let lost = u64::try_from(row.unavailable / 1000).unwrap_or(u64::MAX);
            add(group, order + 4, format!("{what} unavailable pod-seconds"), Unit::Time, Some(lost));
        }
    }
    for (number, fault) in model.faults().iter().enumerate() {
        let next = model.faults().get(number + 1).map_or(Time::NEVER, |next| next.at);
        let mut elected = record.facts.iter().filter(|entry| matches!(entry.fact.what, What::BecameLeader { .. }));
        let leader = elected.find(|entry| entry.at > fault.at && entry.at < next).map(|entry| micros(entry.at.since(fault.at)));
        add(number + 1, 1, format!("{}: etcd has a leader", fault.description), Unit::Time, leader);
    }
    let failed = |bucket: &crate::report::model::Bucket| u64::from(bucket.sent - bucket.ok);
    for (number, traffic) in model.traffic.iter().enumerate() {
        let failed = traffic.buckets.iter().map(failed).sum();
        add(usize::MAX, number, format!("{}: failed requests", traffic.service), Unit::Count, Some(failed));
    }
    // A fault that hurt two workloads was detected once.
    reached.sort();
    reached.dedup_by(|one, other| one.0 == other.0);
    reached
}
