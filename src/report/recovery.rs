//! What each fault did to each workload: the rows of `recovery.csv`.
//!
//! A row belongs to a fault and a workload that lost pods or available replicas by it; a fault that hurt no workload has one row without
//! a workload. Losses are charged by cause: a shortfall or a deletion that goes back to a step, or to another fault, is not this fault's.
//! Where the chain names neither, it is charged to the last fault before it.

use crate::base::{Duration, Time};
use crate::engine::record::FaultInfo;
use crate::wire::fact::{Subject, What};

use super::model::{Model, Replicas};

/// For how long available must not be below wanted before a workload counts as ready again (our choice).
pub const STEADY: Duration = Duration::from_secs(10);

/// A row of `recovery.csv`. Instants are of the run; `None` where it never happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    pub fault: usize,
    pub workload: Option<usize>,
    pub at: Time,
    /// The control plane's first reaction.
    pub detected: Option<Time>,
    /// First and last deletion of an affected pod.
    pub evicted: Option<Time>,
    pub evicted_last: Option<Time>,
    /// How many affected pods were deleted.
    pub lost: usize,
    /// As many successors bound as pods were lost.
    pub replaced: Option<Time>,
    pub ready_again: Option<Time>,
    /// Integral of max(0, wanted - available), in pod-nanoseconds.
    pub unavailable: u128,
    /// Time with nothing available though something was wanted.
    pub down: Duration,
}

/// All rows, by fault and workload.
pub fn recoveries(model: &Model) -> Vec<Recovery> {
    let mut rows = Vec::new();
    for (number, fault) in model.faults().iter().enumerate() {
        if fault.at > model.end {
            continue;
        }
        let hit = affected(model, number, fault);
        let detected = detected(model, number, fault);
        let before = rows.len();
        for workload in 0..model.workloads.len() {
            let mut row = Recovery { workload: Some(workload), ..Recovery::new(number, fault.at, detected) };
            let pods: Vec<usize> = hit.iter().copied().filter(|&pod| model.pods[pod].workload == Some(workload)).collect();
            count_replacements(model, &mut row, &pods);
            measure_shortfall(model, &mut row);
            if !pods.is_empty() || row.unavailable > 0 {
                rows.push(row);
            }
        }
        if rows.len() == before {
            rows.push(Recovery::new(number, fault.at, detected));
        }
    }
    rows
}

impl Recovery {
    fn new(fault: usize, at: Time, detected: Option<Time>) -> Recovery {
        Recovery {
            fault,
            workload: None,
            at,
            detected,
            evicted: None,
            evicted_last: None,
            lost: 0,
            replaced: None,
            ready_again: None,
            unavailable: 0,
            down: Duration::ZERO,
        }
    }
}

/// Whether what begins with this fact's root may be charged to a fault: its own, or one that no chain claims while no later fault began.
fn charged(model: &Model, fault: usize, fact: usize) -> bool {
    match model.root(fact) {
        What::FaultInjected { fault: by, .. } => *by as usize == fault,
        What::StepDone { .. } | What::StepFailed { .. } => false,
        _ => {
            let at = model.record.facts[fact].at;
            let last =
                model.faults().iter().enumerate().filter(|(_, other)| other.at <= at).max_by_key(|(number, other)| (other.at, *number));
            last.is_some_and(|(number, _)| number == fault)
        }
    }
}

/// The pods that a fault hits: alive on a node that it hits, or with a container that exits by it.
fn affected(model: &Model, number: usize, fault: &FaultInfo) -> Vec<usize> {
    let nodes = model.nodes_hit(fault);
    let hit = |pod: &super::model::Pod| {
        pod.bound.is_some_and(|(bound, node)| bound <= fault.at && nodes.binary_search(&node).is_ok()) && pod.alive_at(fault.at)
            || pod.exits.iter().any(|&exit| model.fault_of(exit) == Some(number))
    };
    model.pods.iter().enumerate().filter(|(_, pod)| hit(pod)).map(|(index, _)| index).collect()
}

/// The first of: a node hit by the fault not Ready, a target given up as silent, a new leader where a leader was hit, and whatever
/// reaction has the fault at the beginning of its chain.
fn detected(model: &Model, number: usize, fault: &FaultInfo) -> Option<Time> {
    let nodes = model.nodes_hit(fault);
    let is_target = |subject: &Subject| match subject {
        Subject::Object(key) => nodes.iter().any(|&node| model.nodes[node].name == key.name()),
        other => fault.targets.iter().any(|target| *target == other.to_string().as_str()),
    };
    let targets_are = |prefix: &str| fault.targets.iter().any(|target| target.starts_with(prefix));
    let reacts = |&&index: &&usize| {
        let entry = &model.record.facts[index];
        if entry.at < fault.at {
            return false;
        }
        match model.root(index) {
            What::FaultInjected { fault: by, .. } => return *by as usize == number,
            What::StepDone { .. } | What::StepFailed { .. } => return false,
            _ => {}
        }
        match &entry.fact.what {
            What::NodeReady { .. } => is_target(&entry.fact.subject),
            What::Silent { of, .. } => is_target(of),
            What::BecameLeader { .. } => targets_are("etcd-"),
            What::Leading => targets_are("controller-manager-") || targets_are("scheduler-"),
            _ => false,
        }
    };
    model.reactions.iter().find(reacts).map(|&index| model.record.facts[index].at)
}

/// Fills `evicted`, `evicted_last`, `lost` and `replaced`.
fn count_replacements(model: &Model, row: &mut Recovery, pods: &[usize]) {
    let mut evictions: Vec<Time> = pods
        .iter()
        .filter_map(|&pod| model.pods[pod].deleted)
        .filter(|deleted| deleted.at >= row.at && charged(model, row.fault, deleted.fact))
        .map(|deleted| deleted.at)
        .collect();
    evictions.sort_unstable();
    row.lost = evictions.len();
    row.evicted = evictions.first().copied();
    row.evicted_last = evictions.last().copied();
    let Some(first) = row.evicted else { return };
    let mut successors: Vec<Time> = model
        .pods
        .iter()
        .filter(|pod| pod.workload == row.workload && pod.created >= first)
        .filter_map(|pod| pod.bound.map(|(at, _)| at))
        .collect();
    successors.sort_unstable();
    row.replaced = successors.get(row.lost - 1).copied();
}

/// Fills `ready_again`, `unavailable` and `down`.
fn measure_shortfall(model: &Model, row: &mut Recovery) {
    let Some(workload) = row.workload else { return };
    let mut short_since = None;
    let mut whole_since: Option<Time> = None;
    for Span { from, until, step, ours } in shortfalls(model, &model.workloads[workload].steps, row) {
        let lasting = until.since(from);
        if step.shortfall() == 0 {
            if short_since.is_some() {
                let since = *whole_since.get_or_insert(from);
                if row.ready_again.is_none() && until.since(since) >= STEADY {
                    row.ready_again = Some(since);
                }
            }
            continue;
        }
        whole_since = None;
        if ours {
            short_since.get_or_insert(from);
            row.unavailable += u128::from(step.shortfall()) * u128::from(lasting.nanos());
            if step.available == 0 {
                row.down += lasting;
            }
        }
    }
}

/// Replica counts that hold from `from` to `until`, and whether a shortfall in them is this fault's.
struct Span {
    from: Time,
    until: Time,
    step: Replicas,
    ours: bool,
}

/// The steps of a workload from a fault to the end of the run. A shortfall belongs, until it ends, to whoever began it; one that was
/// there when the fault came belongs to the one before.
fn shortfalls(model: &Model, steps: &[Replicas], row: &Recovery) -> Vec<Span> {
    let first = steps.partition_point(|step| step.at <= row.at).saturating_sub(1);
    let mut spans = Vec::new();
    let mut ours = None;
    for (index, step) in steps.iter().enumerate().skip(first) {
        let until = steps.get(index + 1).map_or(model.end, |next| next.at);
        if step.shortfall() == 0 {
            ours = None;
        } else if step.at >= row.at {
            // A shortfall that another began becomes ours when the fault makes it worse.
            let worse = index > 0 && step.shortfall() > steps[index - 1].shortfall();
            if ours.is_none() || (worse && ours == Some(false)) {
                ours = Some(charged(model, row.fault, step.fact));
            }
        } else {
            ours = Some(false);
        }
        let from = step.at.max(row.at);
        if until > from {
            spans.push(Span { from, until, step: *step, ours: ours == Some(true) });
        }
    }
    spans
}
