//! Floor 9: a prediction held against what really happened: the same scenario simulated over many seeds and run for real several times.
//!
//! [`milestones`] reads the same instants out of both kinds of records, [`statistics`] compares their distributions, [`table`] tells. The
//! simulated runs use the host's own latencies ([`Profile`]); nothing else differs. A real run in which an etcd member or a manager was
//! woken late more often than once in a hundred is invalid and run again: a host that is too slow for its own run is told apart from a
//! wrong model.

pub mod milestones;
mod picture;
pub mod statistics;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Duration, Time};
use crate::engine::Options;
pub use crate::engine::profile::Profile;
use crate::engine::record::Record;
use crate::host::real::clock::monotonic;
use crate::host::real::control::Lag;
use crate::host::real::network::Means;
use crate::host::real::runtime::ContainerStats;
use crate::host::real::{interrupt, supervisor};
use crate::host::sim;
use crate::report::Report;
use crate::scenario::{self, InputError, Source};
use crate::wire::Address;
use milestones::{Milestone, Unit};
use statistics::Comparison;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub repeat: usize,
    /// Simulated runs.
    pub seeds: usize,
    /// How far medians may be apart: this part of the predicted one, in thousandths, or `tolerance`, whichever is more.
    pub tolerance_milli: u64,
    pub tolerance: Duration,
}

impl Default for Wanted {
    /// 10 % or 50 ms.
    fn default() -> Wanted {
        Wanted { repeat: 5, seeds: 100, tolerance_milli: 100, tolerance: Duration::from_millis(50) }
    }
}

/// A milestone's outcome over all runs.
#[derive(Clone, Debug)]
pub struct Row {
    pub milestone: Milestone,
    /// Sorted.
    pub predicted: Vec<u64>,
    pub measured: Vec<u64>,
    /// The same, each with the seed of its run.
    pub runs: Sides,
    pub comparison: Comparison,
}

/// Of predicted and of measured runs: a seed, and what its run came to.
pub type Sides = (Vec<(usize, u64)>, Vec<(usize, u64)>);

#[derive(Clone, Debug, Default)]
pub struct Validation {
    pub scenario: String,
    pub rows: Vec<Row>,
    pub repeats: usize,
    pub seeds: usize,
    /// Real runs that proved nothing, and why.
    pub invalid: Vec<String>,
    /// What ran the containers.
    pub runtime: &'static str,
    /// What cut and delayed the links between machines, over all real runs.
    pub links: BTreeSet<Means>,
    pub length: Duration,
    /// Of each real run, what the containers had used that ran at its end.
    pub stats: Vec<Vec<ContainerStats>>,
    /// How late each process of the control plane was woken, over all real runs.
    pub lags: BTreeMap<String, Lag>,
    /// Available replicas over time, predicted and measured, a line a run.
    pub timelines: (Vec<Timeline>, Vec<Timeline>),
}

/// Available replicas of all workloads, each time that they change.
pub type Timeline = Vec<(Time, u64)>;

fn timeline(record: &Record) -> Timeline {
    let report = Report::new(record);
    let mut changes: Vec<(Time, usize, u64)> = Vec::new();
    for (number, workload) in report.model.workloads.iter().enumerate() {
        changes.extend(workload.steps.iter().map(|step| (step.at, number, step.available)));
    }
    changes.sort();
    let mut now = vec![0; report.model.workloads.len()];
    let sum = |(at, number, available): (Time, usize, u64)| {
        now[number] = available;
        (Time::ZERO + at.since(report.model.start), now.iter().sum())
    };
    changes.into_iter().map(sum).collect()
}

impl Validation {
    /// Of the control plane: a kubelet that a fault held still says nothing of the machine.
    pub fn worst_lag_nanos(&self) -> u64 {
        self.lags.values().map(|lag| lag.worst_nanos).max().unwrap_or(0)
    }
    pub fn confirmed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.comparison.verdict == statistics::Verdict::Confirmed)
    }
}

/// Why there is no verdict.
#[derive(Debug)]
pub enum Failure {
    Input(Vec<InputError>),
    /// The plan has what the real host can't do.
    Unsupported(Vec<String>),
    Host(String),
}

/// How far it is, for whoever shows it.
pub enum Progress {
    Predicted {
        seed: usize,
    },
    /// `left`: an estimate of how long all real runs will take from now on.
    Measured {
        repeat: usize,
        elapsed: Duration,
        left: Duration,
    },
}

/// What a real run takes beside its own time until one was seen: processes start, and end (ours, of an idle machine).
const AROUND_A_RUN: Duration = Duration::from_secs(2);

/// Predicts, runs for real, compares.
pub fn validate(
    source: &Source,
    sets: &[String],
    wanted: &Wanted,
    profile: Option<&Profile>,
    options: &supervisor::Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Validation, Failure> {
    let load = |seed: usize| {
        let mut sets = sets.to_vec();
        sets.push(format!("seed={seed}"));
        scenario::load(source, &sets).map_err(Failure::Input)
    };
    let first = load(1)?;
    let unsupported = supervisor::unsupported(&first.plan);
    if !unsupported.is_empty() {
        return Err(Failure::Unsupported(unsupported));
    }
    let mut seen: BTreeMap<Milestone, Sides> = BTreeMap::new();
    let mut timelines = (Vec::new(), Vec::new());
    for seed in 1..=wanted.seeds {
        not_interrupted()?;
        let mut plan = load(seed)?.plan;
        if let Some(profile) = profile {
            profile.apply(&mut plan);
        }
        let record = sim::run(plan, Options::default(), &mut |_| {});
        for (milestone, value) in milestones::of(&record) {
            seen.entry(milestone).or_default().0.push((seed, value));
        }
        if seed <= picture::MOST_LINES {
            timelines.0.push(timeline(&record));
        }
        progress(Progress::Predicted { seed });
    }
    let length = first.plan.length();
    let mut validation = Validation {
        scenario: first.plan.name.to_string(),
        seeds: wanted.seeds,
        runtime: options.runtime.name(),
        length,
        ..Validation::default()
    };
    let mut seed = 0;
    let mut takes = length + AROUND_A_RUN;
    while validation.repeats < wanted.repeat {
        not_interrupted()?;
        seed += 1;
        let loaded = load(seed)?;
        let repeat = validation.repeats + 1;
        let began = monotonic();
        let outcome = supervisor::run(&loaded.resolved, loaded.plan, options, &mut |elapsed| {
            let left = takes * (wanted.repeat - repeat + 1) as u64;
            progress(Progress::Measured { repeat, elapsed, left: Duration::from_nanos(left.nanos().saturating_sub(elapsed.nanos())) });
        });
        let outcome = outcome.map_err(|error| Failure::Host(error.to_string()))?;
        not_interrupted()?;
        takes = Duration::from_nanos(monotonic() - began);
        validation.links.insert(outcome.links.clone());
        for (address, lag) in outcome.lags.iter().filter(|(address, _)| is_control_plane(address)) {
            validation.lags.entry(address.to_string()).or_default().add(lag);
        }
        let trouble = outcome.troubles.first().cloned().or_else(|| too_slow(&outcome.lags));
        if let Some(trouble) = trouble {
            validation.invalid.push(trouble);
            if validation.invalid.len() > wanted.repeat {
                return Err(Failure::Host(format!("more runs were invalid than valid: {}", validation.invalid.join("; "))));
            }
            continue;
        }
        for (milestone, value) in milestones::of(&outcome.record) {
            seen.entry(milestone).or_default().1.push((seed, value));
        }
        validation.stats.push(outcome.stats);
        timelines.1.push(timeline(&outcome.record));
        validation.repeats += 1;
    }
    let compare = |(milestone, sides): (Milestone, Sides)| {
        let sorted = |side: &[(usize, u64)]| {
            let mut values: Vec<u64> = side.iter().map(|(_, value)| *value).collect();
            values.sort_unstable();
            values
        };
        let (predicted, measured) = (sorted(&sides.0), sorted(&sides.1));
        let least = match milestone.unit {
            Unit::Time => wanted.tolerance.nanos() / 1000,
            // What happens in 50 ms of a workload is a pod or a request.
            Unit::Count => 1,
        };
        let runs = (wanted.seeds, wanted.repeat);
        let comparison = statistics::compare(&milestone.name, &predicted, &measured, runs, wanted.tolerance_milli, least);
        Row { milestone, predicted, measured, runs: sides, comparison }
    };
    validation.timelines = timelines;
    validation.rows = seen.into_iter().map(compare).collect();
    statistics::correct(&mut validation.rows.iter_mut().map(|row| &mut row.comparison.p).collect::<Vec<_>>());
    Ok(validation)
}

/// Signals only ask ([`interrupt::watch`]): between two runs, too, somebody has to look.
fn not_interrupted() -> Result<(), Failure> {
    if interrupt::asked() { Err(Failure::Host(supervisor::INTERRUPTED.to_owned())) } else { Ok(()) }
}

fn is_control_plane(address: &Address) -> bool {
    matches!(address, Address::Etcd(_) | Address::Api(_) | Address::Manager(_) | Address::Scheduler(_))
}

/// Was an etcd member or a manager woken late more often than once in a hundred? One late wake of a short life, which has fewer, is not.
fn too_slow(lags: &BTreeMap<Address, Lag>) -> Option<String> {
    let slow = |(address, lag): (&Address, &Lag)| {
        let matters = matches!(address, Address::Etcd(_) | Address::Manager(_));
        (matters && lag.late * 100 > lag.wakes.max(100)).then(|| format!("{address} was woken late {} times of {}", lag.late, lag.wakes))
    };
    lags.iter().find_map(slow)
}
