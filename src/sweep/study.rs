//! Sweeps of the scheduler alone: all runs in one table, and each variation's mean over its seeds, on the terminal and in one picture.

use serde::{Deserialize, Serialize};

use super::{Outcome, Results};
use crate::base::maths;
use crate::engine::record::{self, Column, Curve};
use crate::report::picture::canvas::Canvas;
use crate::report::picture::count;
use crate::report::picture::study::{Series, draw};
use crate::report::study::{Row, told};

/// What is kept of a study.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Study {
    pub workload: String,
    pub policy: String,
    pub label: String,
    pub load_per_mille: u64,
    pub gpus: u64,
    pub curve: Curve,
}

impl Study {
    pub fn of(results: &record::Results) -> Study {
        Study {
            workload: results.workload.to_string(),
            policy: results.policy.to_string(),
            label: results.label.to_string(),
            load_per_mille: results.load_per_mille,
            gpus: results.gpus,
            curve: results.curve.clone(),
        }
    }
    fn row(&self, seed: u64) -> Row<'_> {
        let Study { workload, label, load_per_mille, gpus, curve, .. } = self;
        Row { workload, label, load_per_mille: *load_per_mille, seed, gpus: *gpus, curve }
    }
}

/// A row for each run that is a study.
pub fn rows<'r>(results: &'r Results) -> Vec<Row<'r>> {
    let studies = results.outcomes.iter().enumerate().filter_map(|(number, outcome)| Some((number, outcome.study.as_ref()?)));
    studies.map(|(number, study)| study.row(results.sweep.run(number).1)).collect()
}

/// Of one variation: means over its seeds, in per cent of all GPUs.
#[derive(Clone, Debug, Serialize)]
pub struct Means {
    pub policy: String,
    pub workload: String,
    pub arrived: Vec<usize>,
    pub allocation: Vec<f64>,
    /// The standard deviation over the seeds (of all of them, not of a sample).
    pub deviation: Vec<f64>,
    pub fragmentation: Vec<f64>,
}

/// `None` where the runs are no studies.
pub fn means(outcomes: &[Outcome]) -> Option<Means> {
    let studies: Vec<&Study> = outcomes.iter().filter_map(|outcome| outcome.study.as_ref()).collect();
    let first = *studies.first()?;
    let arrived = told(first.curve.columns.len());
    let values = |at: usize, value: fn(&Column) -> Option<u32>| -> Vec<f64> {
        let columns = studies.iter().filter_map(|study| study.curve.columns.get(at).and_then(value));
        columns.map(|hundredths| f64::from(hundredths) / 100.0).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let deviation = |values: &[f64]| {
        let mean = mean(values);
        maths::sqrt(values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len().max(1) as f64)
    };
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let each = |value: fn(&Column) -> Option<u32>, of: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        arrived.iter().map(|at| rounded(of(&values(*at, value)))).collect()
    };
    Some(Means {
        policy: first.policy.clone(),
        workload: first.workload.clone(),
        allocation: each(|column| column.allocation, &mean),
        deviation: each(|column| column.allocation, &deviation),
        fragmentation: each(|column| column.fragment, &mean),
        arrived,
    })
}

/// A line for each variation: its name, and the mean of the GPUs in use at some loads. Empty where the runs are no studies.
pub fn text(parts: &[(String, &Means)]) -> String {
    let Some((_, first)) = parts.first() else { return String::new() };
    let name = |label: &str, means: &Means| if label.is_empty() { means.policy.clone() } else { label.to_owned() };
    let width = parts.iter().map(|(label, means)| name(label, means).chars().count()).max().unwrap_or(0).max(14);
    let mut text =
        "\n  the scheduler alone: GPUs in use, per cent of all, mean over the seeds, when so many per cent were asked for\n".to_owned();
    let heads: String = first.arrived.iter().map(|arrived| format!("{arrived:>7}")).collect();
    text.push_str(&format!("  {:width$}{heads}  deviation   of no use\n", ""));
    for (label, means) in parts {
        let values: String = means.allocation.iter().map(|value| format!("{value:>7.2}")).collect();
        let last = |values: &[f64]| values.last().copied().unwrap_or(0.0);
        text.push_str(&format!(
            "  {:width$}{values}  {:>9.2}  {:>10.2}\n",
            name(label, means),
            last(&means.deviation),
            last(&means.fragmentation)
        ));
    }
    text
}

/// A line for each variation, over the band of its seeds. `None` where the runs are no studies.
pub fn picture(results: &Results) -> Option<Canvas> {
    let sweep = results.sweep;
    let series: Vec<Series> = (0..sweep.variations.len())
        .filter_map(|variation| {
            let studies: Vec<&Study> = results.of(variation).iter().filter_map(|outcome| outcome.study.as_ref()).collect();
            let values = sweep.variations[variation].values.join(", ");
            let name = if values.is_empty() { format!("policy {}", studies.first()?.policy) } else { values };
            Some(Series { name, curves: studies.iter().map(|study| &study.curve).collect() })
        })
        .filter(|series| !series.curves.is_empty())
        .collect();
    let workload = &results.outcomes.iter().find_map(|outcome| outcome.study.as_ref())?.workload;
    let subtitle = format!(
        "{}  ·  the scheduler alone  ·  {workload}  ·  seeds {} to {}, mean and range  ·  {}",
        sweep.name,
        sweep.seeds.first,
        sweep.seeds.last(),
        count(results.outcomes.len(), "run")
    );
    Some(draw(&subtitle, &series))
}
