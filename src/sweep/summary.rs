//! The statistics of a sweep, and `summary.json`: `format` is 1; fields are only ever added.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::{Figure, fault_words, figures};
use super::statistics::{Distribution, Share};
use super::study::{self, Means};
use super::{Outcome, Results, table};
use crate::base::Time;
use crate::base::digest::Digester;
use crate::engine::plan::Plan;
use crate::scenario::units::format_duration;

/// Everything that is told of a sweep.
#[derive(Serialize)]
pub struct Summary {
    format: u32,
    pub name: String,
    pub first_seed: u64,
    pub last_seed: u64,
    /// The faults of the first seed, in order of time; of those that are drawn at random, what was written.
    pub faults: Vec<String>,
    /// What is varied, with the values.
    pub vary: Vec<Varied>,
    /// Runs in which all expectations and invariants held.
    pub held: Share,
    pub variations: Vec<Part>,
    pub failing: Vec<Failing>,
    /// Of `sweep.csv`, which has the digest of every run.
    pub digest: String,
}

#[derive(Serialize)]
pub struct Varied {
    pub path: String,
    pub values: Vec<String>,
}

/// A variation.
#[derive(Serialize)]
pub struct Part {
    pub values: BTreeMap<String, String>,
    pub held: Share,
    pub expectations: Vec<Expectation>,
    pub figures: Vec<Statistics>,
    /// Of the scheduler alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub study: Option<Means>,
}

#[derive(Serialize)]
pub struct Expectation {
    pub description: String,
    #[serde(flatten)]
    pub held: Share,
}

/// Of a figure over the runs in which it happened; in seconds or pod-seconds, cut to microseconds.
#[derive(Serialize)]
pub struct Statistics {
    pub figure: String,
    pub fault: String,
    pub workload: Option<String>,
    pub unit: &'static str,
    pub count: usize,
    /// Runs in which it never happened.
    pub missing: usize,
    pub min: Option<f64>,
    pub mean: Option<f64>,
    pub median: Option<f64>,
    /// The 95 % confidence interval of the median; `null` for fewer than six values.
    pub median_low: Option<f64>,
    pub median_high: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
    #[serde(skip)]
    pub of: Figure,
    #[serde(skip)]
    pub distribution: Option<Distribution>,
}

/// A seed that failed, and the line that shows it again.
#[derive(Serialize)]
pub struct Failing {
    pub values: BTreeMap<String, String>,
    pub seed: u64,
    pub digest: String,
    pub expectations: Vec<super::outcome::Verdict>,
    pub violations: Vec<String>,
    pub command: String,
}

impl Summary {
    pub fn new(results: &Results) -> Summary {
        let sweep = results.sweep;
        let figures = figures(&results.outcomes);
        let values = |variation: usize| {
            let paths = sweep.vary.iter().map(|vary| vary.path.clone());
            paths.zip(sweep.variations[variation].values.iter().cloned()).collect::<BTreeMap<_, _>>()
        };
        let part = |variation: usize| {
            let outcomes = results.of(variation);
            Part {
                values: values(variation),
                held: held(outcomes),
                expectations: expectations(outcomes),
                figures: figures.iter().map(|figure| statistics(figure, outcomes, &results.outcomes)).collect(),
                study: study::means(outcomes),
            }
        };
        let failing = |(number, outcome): (usize, &Outcome)| {
            let (variation, seed) = sweep.run(number);
            Failing {
                values: values(variation),
                seed,
                digest: outcome.digest.clone(),
                expectations: outcome.expectations.iter().filter(|verdict| !verdict.held).cloned().collect(),
                violations: outcome.violations.clone(),
                command: sweep.command(variation, seed),
            }
        };
        let mut digest = Digester::default();
        digest.bytes(&table::csv(results));
        Summary {
            format: 1,
            name: sweep.name.clone(),
            first_seed: sweep.seeds.first,
            last_seed: sweep.seeds.last(),
            faults: sweep.variations[0].plan(sweep.seeds.first).map(|plan| timeline(&plan)).unwrap_or_default(),
            vary: sweep.vary.iter().map(|vary| Varied { path: vary.path.clone(), values: vary.values.clone() }).collect(),
            held: held(&results.outcomes),
            variations: (0..sweep.variations.len()).map(part).collect(),
            failing: results.outcomes.iter().enumerate().filter(|(_, outcome)| !outcome.held()).map(failing).collect(),
            digest: digest.digest().to_string(),
        }
    }
    /// The text of `summary.json`, which `--json` puts on the standard output.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers and text can be written");
        text.push('\n');
        text
    }
}

/// A line for each fault, but one for all that were drawn of one.
fn timeline(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<(Option<Time>, String)> = Vec::new();
    for fault in &plan.faults {
        let line = match &fault.drawn {
            Some(drawn) => (None, format!("at random: {drawn}")),
            None => {
                let seconds = |at: Time| format_duration(at.since(plan.start));
                let until = fault.ends().map_or_else(String::new, |until| format!(" to {}", seconds(until)));
                (Some(fault.at), format!("{}{until}: {}", seconds(fault.at), fault.description))
            }
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.sort_by_key(|(at, _)| at.unwrap_or(Time::NEVER));
    lines.into_iter().map(|(_, line)| line).collect()
}

fn held(outcomes: &[Outcome]) -> Share {
    Share::new(outcomes.iter().filter(|outcome| outcome.held()).count(), outcomes.len())
}

/// By their place in the scenario. A run in which the simulator gave up judged none.
fn expectations(outcomes: &[Outcome]) -> Vec<Expectation> {
    let Some(first) = outcomes.iter().find(|outcome| !outcome.expectations.is_empty()) else { return Vec::new() };
    let expectation = |(place, verdict): (usize, &super::outcome::Verdict)| {
        let judged = || outcomes.iter().filter_map(|outcome| outcome.expectations.get(place));
        let held = Share::new(judged().filter(|verdict| verdict.held).count(), judged().count());
        Expectation { description: verdict.description.clone(), held }
    };
    first.expectations.iter().enumerate().map(expectation).collect()
}

fn statistics(figure: &Figure, outcomes: &[Outcome], all: &[Outcome]) -> Statistics {
    let distribution = Distribution::new(outcomes.iter().filter_map(|outcome| figure.of(outcome)));
    let of = |value: fn(&Distribution) -> u64| distribution.as_ref().map(|distribution| seconds(value(distribution)));
    let interval = distribution.as_ref().and_then(Distribution::median_interval);
    let count = distribution.as_ref().map_or(0, |distribution| distribution.values.len());
    Statistics {
        figure: figure.name(),
        fault: fault_words(all, figure).to_owned(),
        workload: figure.workload.clone(),
        unit: figure.what.unit(),
        count,
        missing: outcomes.len() - count,
        min: of(Distribution::min),
        mean: of(Distribution::mean),
        median: of(Distribution::median),
        median_low: interval.map(|(low, _)| seconds(low)),
        median_high: interval.map(|(_, high)| seconds(high)),
        p95: of(|distribution| distribution.percentile(95)),
        p99: of(|distribution| distribution.percentile(99)),
        max: of(Distribution::max),
        of: figure.clone(),
        distribution,
    }
}

/// One division, rounded as IEEE 754 says: the same text everywhere.
pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
