//! `sweep.csv`: a row a run, in the order of variations and seeds.

use super::Results;
use super::outcome::figures;
use crate::report::tables::seconds;

/// The varied values, `seed`, `digest`, `held`, `expectations_failed`, `violations`, then each figure; empty where it never happened.
pub fn csv(results: &Results) -> Vec<u8> {
    let sweep = results.sweep;
    let figures = figures(&results.outcomes);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> = sweep.vary.iter().map(|vary| vary.path.clone()).collect();
    header.extend(["seed", "digest", "held", "expectations_failed", "violations"].map(str::to_owned));
    header.extend(figures.iter().map(|figure| figure.name()));
    let mut rows = vec![header];
    for (number, outcome) in results.outcomes.iter().enumerate() {
        let (variation, seed) = sweep.run(number);
        let mut row = sweep.variations[variation].values.clone();
        let failed = outcome.expectations.iter().filter(|verdict| !verdict.held).count();
        row.extend([seed.to_string(), outcome.digest.clone(), outcome.held().to_string(), failed.to_string()]);
        row.push(outcome.violations.len().to_string());
        row.extend(figures.iter().map(|figure| figure.of(outcome).map_or_else(String::new, |micros| seconds(u128::from(micros) * 1_000))));
        rows.push(row);
    }
    for row in rows {
        writer.write_record(row).expect("rows of one length can be written to memory");
    }
    writer.into_inner().expect("memory can be written")
}
