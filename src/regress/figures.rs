//! The key figures of a run: what it came to in numbers that mean something to its reader. Recovery after each fault, traffic of each
//! service, and how much happened.

use crate::engine::record::Record;
use crate::report::model::path_name;
use crate::report::{self, Model, model};
use crate::sweep::Outcome;
use crate::sweep::outcome;
use crate::wire::fact::What;

/// A figure of a run. Values are in millionths of the unit, so that they are compared without rounding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figure {
    /// `fault1.default/web.ready_again_after`, `traffic.default/web.ok`, `counts.pods`.
    pub name: String,
    /// `None` where it never happened.
    pub value: Option<i64>,
    pub unit: &'static str,
}

/// All of them, in the order in which they are told.
pub fn figures(record: &Record) -> Vec<Figure> {
    let outcome = Outcome::of(record);
    let mut figures: Vec<Figure> = outcome::figures(std::slice::from_ref(&outcome))
        .into_iter()
        .map(|figure| Figure {
            name: figure.name(),
            value: figure.of(&outcome).map(|micros| i64::try_from(micros).unwrap_or(i64::MAX)),
            unit: figure.what.unit(),
        })
        .collect();
    let model = Model::new(record);
    let mut count = |name: String, number: u64, unit: &'static str| {
        let value = i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        figures.push(Figure { name, value: Some(value), unit });
    };
    for traffic in &model.traffic {
        let service = path_name(traffic.service);
        let sum = |of: fn(&model::Bucket) -> u32| traffic.buckets.iter().map(|bucket| u64::from(of(bucket))).sum::<u64>();
        count(format!("traffic.{service}.ok"), sum(|bucket| bucket.ok), "requests");
        count(format!("traffic.{service}.refused"), sum(|bucket| bucket.refused), "requests");
        count(format!("traffic.{service}.reset"), sum(|bucket| bucket.reset), "requests");
        count(format!("traffic.{service}.timeout"), sum(|bucket| bucket.timeout), "requests");
    }
    if let Some(study) = &record.study {
        let placed = study.placements.iter().filter(|placement| placement.node.is_some()).count();
        count("study.placed".to_owned(), placed as u64, "pods");
        for percent in report::study::told(study.curve.columns.len()) {
            let column = study.curve.columns.get(percent).copied().unwrap_or_default();
            let mut share = |what: &str, hundredths: Option<u32>| {
                let value = hundredths.map(|hundredths| i64::from(hundredths) * 10_000);
                figures.push(Figure { name: format!("study.{what}_at_{percent}"), value, unit: "per cent" });
            };
            share("allocation", column.allocation);
            share("fragmentation", column.fragment);
        }
        return figures;
    }
    let restarts = model.pods.iter().map(|pod| u64::from(pod.restarts)).sum();
    let elections = record.facts.iter().filter(|entry| matches!(entry.fact.what, What::BecameLeader { .. })).count();
    count("counts.pods".to_owned(), model.pods.len() as u64, "pods");
    count("counts.restarts".to_owned(), restarts, "restarts");
    count("counts.etcd_elections".to_owned(), elections as u64, "elections");
    count("counts.revisions".to_owned(), record.counts.revisions, "revisions");
    count("counts.facts".to_owned(), record.facts.len() as u64, "facts");
    figures
}

/// A value as it is shown: whole, or with as many of six places as it has; `-` where it never happened.
pub fn shown(value: Option<i64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / 1_000_000, value.unsigned_abs() % 1_000_000);
    let text = format!("{sign}{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// By how much it changed, with its sign.
pub fn change(was: Option<i64>, is: Option<i64>) -> String {
    match (was, is) {
        (Some(was), Some(is)) if is > was => format!("+{}", shown(Some(is - was))),
        (Some(was), Some(is)) => shown(Some(is - was)),
        (Some(_), None) => "gone".to_owned(),
        (None, Some(_)) => "new".to_owned(),
        (None, None) => String::new(),
    }
}
