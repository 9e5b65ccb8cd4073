//! Sweeps of the scheduler alone: all runs in one table, and each variation's mean over its seeds, on the terminal and in one picture.

use std::collections::BTreeSet;

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

/// Of one variation: means over its seeds, in per cent of all GPUs; `None` at a load that no seed has.
#[derive(Clone, Debug, Serialize)]
pub struct Means {
    pub policy: String,
    pub workload: String,
    pub arrived: Vec<usize>,
    pub allocation: Vec<Option<f64>>,
    /// The standard deviation over the seeds (of all of them, not of a sample).
    pub deviation: Vec<Option<f64>>,
    pub fragmentation: Vec<Option<f64>>,
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
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let deviation = |values: &[f64]| {
        let mean = mean(values);
        maths::sqrt(values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len() as f64)
    };
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let each = |value: fn(&Column) -> Option<u32>, of: &dyn Fn(&[f64]) -> f64| -> Vec<Option<f64>> {
        let known = |at: &usize| Some(values(*at, value)).filter(|values| !values.is_empty());
        arrived.iter().map(|at| known(at).map(|values| rounded(of(&values)))).collect()
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
    if parts.is_empty() {
        return String::new();
    }
    // Variations may differ in how much is asked for.
    let arrived: BTreeSet<usize> = parts.iter().flat_map(|(_, means)| means.arrived.iter().copied()).collect();
    let name = |label: &str, means: &Means| if label.is_empty() { means.policy.clone() } else { label.to_owned() };
    let width = parts.iter().map(|(label, means)| name(label, means).chars().count()).max().unwrap_or(0).max(14);
    let mut text =
        "\n  the scheduler alone: GPUs in use, per cent of all, mean over the seeds, when so many per cent were asked for\n".to_owned();
    let heads: String = arrived.iter().map(|arrived| format!("{arrived:>7}")).collect();
    text.push_str(&format!("  {:width$}{heads}  deviation   of no use\n", ""));
    for (label, means) in parts {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let at = |load: &usize| means.arrived.binary_search(load).ok().and_then(|at| means.allocation[at]);
        let values: String = arrived.iter().map(|load| format!("{:>7}", shown(at(load)))).collect();
        let last = |values: &[Option<f64>]| shown(values.last().copied().flatten());
        text.push_str(&format!(
            "  {:width$}{values}  {:>9}  {:>10}\n",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that knows these shares at 0 %, 1 % and so on.
    fn outcome(shares: &[Option<u32>]) -> Outcome {
        let columns = shares.iter().map(|share| Column { allocation: *share, fragment: *share, fragment_ratio: None }).collect();
        let name = || "small".to_owned();
        let study = Study { workload: name(), policy: name(), label: name(), load_per_mille: 0, gpus: 1, curve: Curve { columns } };
        Outcome { digest: String::new(), violations: vec![], expectations: vec![], recovery: vec![], study: Some(study) }
    }

    #[test]
    fn a_variation_that_asks_for_less_than_another_has_its_figures_under_its_own_loads() {
        let some = |count: usize| vec![Some(4_000); count];
        let (short, long) = (means(&[outcome(&some(56))]).unwrap(), means(&[outcome(&some(62))]).unwrap());
        let text = text(&[("load=55%".to_owned(), &short), ("load=61%".to_owned(), &long)]);
        let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0][..4], ["50", "55", "60", "61"]);
        assert_eq!(rows[1], ["load=55%", "40.00", "40.00", "-", "-", "0.00", "40.00"]);
        assert_eq!(rows[2], ["load=61%", "40.00", "-", "40.00", "40.00", "0.00", "40.00"]);
    }

    #[test]
    fn a_load_that_no_seed_reached_has_no_mean() {
        let mut shares = vec![Some(4_000); 52];
        shares[51] = None;
        let found = means(&[outcome(&shares), outcome(&shares)]).unwrap();
        assert_eq!((found.allocation, found.deviation), (vec![Some(40.0), None], vec![Some(0.0), None]));
        shares[51] = Some(2_000);
        let found = means(&[outcome(&shares), outcome(&vec![None; 52])]).unwrap();
        assert_eq!(found.allocation, [Some(40.0), Some(20.0)], "of the seeds that reached it");
    }
}
