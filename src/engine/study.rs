//! A run of the scheduler alone: no actors, no host, no time; the record has the study's results and nothing else.

use super::plan::{Expectation, Plan, Predicate, Study};
use super::record::{Counts, Record, Results, ScenarioInfo, Verdict};

/// Places the whole trace.
pub fn play(plan: &Plan, study: &Study) -> Record {
    let (results, digest) = study.run(plan.seed);
    Record {
        scenario: ScenarioInfo {
            name: plan.name.clone(),
            description: plan.description.clone(),
            seed: plan.seed,
            start: plan.start,
            end: plan.start,
            ..ScenarioInfo::default()
        },
        expectations: plan.expectations.iter().map(|expectation| judge(expectation, &results)).collect(),
        counts: Counts { events: results.placements.len() as u64, ..Counts::default() },
        digest,
        trace_digest: digest,
        study: Some(results),
        ..Record::default()
    }
}

fn judge(expectation: &Expectation, results: &Results) -> Verdict {
    let (held, seen) = match expectation.predicate {
        Predicate::GpuAllocation { arrived, at_least, at_most } => {
            let columns = &results.curve.columns;
            let seen = match arrived {
                Some(arrived) => columns.get(arrived).and_then(|column| column.allocation),
                None => columns.iter().rev().find_map(|column| column.allocation),
            };
            match seen {
                // Hundredths of a per cent against thousandths of the whole.
                Some(seen) => {
                    let held = at_least.is_none_or(|least| u64::from(seen) >= least * 10)
                        && at_most.is_none_or(|most| u64::from(seen) <= most * 10);
                    (held, format!("{}.{:02} % of the GPUs in use", seen / 100, seen % 100))
                }
                None => (false, "no such load was reached".to_owned()),
            }
        }
        _ => (false, "there is no cluster".to_owned()),
    };
    Verdict { description: expectation.description.clone(), held, reached: true, seen: seen.into() }
}
