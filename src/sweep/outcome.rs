//! What is kept of a run.

use serde::{Deserialize, Serialize};

use super::study::Study;
use crate::engine::record::Record;
use crate::report::Report;

/// A run: its digest, its verdicts and its recovery table. Times are whole microseconds, so that nothing is lost between two programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Empty when the simulator gave up.
    pub digest: String,
    /// Broken invariants; a run in which the simulator gave up has its last words here.
    pub violations: Vec<String>,
    pub expectations: Vec<Verdict>,
    pub recovery: Vec<Row>,
    /// What the scheduler alone came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<Study>,
}

/// How an expectation came out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub description: String,
    pub held: bool,
    pub seen: String,
}

/// A row of `recovery.csv`; instants are microseconds after the fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// In the order in which they began, from 0; those that were drawn at random not counted (theirs is 0).
    pub fault: usize,
    pub description: String,
    /// Of several faults that were drawn at random, all that belong together: their number differs from seed to seed, so that what they
    /// cost is added up, and nothing else is told of them.
    pub drawn: bool,
    pub workload: Option<String>,
    pub detected: Option<u64>,
    pub evicted: Option<u64>,
    pub evicted_last: Option<u64>,
    pub replaced: Option<u64>,
    pub ready_again: Option<u64>,
    /// Pod-microseconds.
    pub unavailable: u64,
    pub down: u64,
}

impl Outcome {
    pub fn of(record: &Record) -> Outcome {
        let report = Report::new(record);
        let micros = |nanos: u128| u64::try_from(nanos / 1_000).unwrap_or(u64::MAX);
        let row = |row: &crate::report::Recovery| {
            let after = |at: Option<crate::base::Time>| at.map(|at| micros(u128::from(at.since(row.at).nanos())));
            let faults = report.model.faults();
            let drawn = faults[row.fault].drawn.as_ref();
            Row {
                fault: if drawn.is_some() { 0 } else { faults[..row.fault].iter().filter(|fault| fault.drawn.is_none()).count() },
                description: drawn.unwrap_or(&faults[row.fault].description).to_string(),
                drawn: drawn.is_some(),
                workload: row.workload.map(|workload| report.model.workload_name(workload)),
                detected: after(row.detected),
                evicted: after(row.evicted),
                evicted_last: after(row.evicted_last),
                replaced: after(row.replaced),
                ready_again: after(row.ready_again),
                unavailable: micros(row.unavailable),
                down: micros(u128::from(row.down.nanos())),
            }
        };
        let verdict = |verdict: &crate::engine::record::Verdict| Verdict {
            description: verdict.description.to_string(),
            held: verdict.held,
            seen: verdict.seen.to_string(),
        };
        Outcome {
            digest: record.digest.to_string(),
            violations: record.violations.iter().map(|violation| violation.to_string()).collect(),
            expectations: record.expectations.iter().map(verdict).collect(),
            recovery: added_up(report.recovery.iter().map(row)),
            study: record.study.as_ref().map(Study::of),
        }
    }
    /// A run in which the simulator gave up.
    pub fn gave_up(words: &str) -> Outcome {
        let violations = vec![format!("the simulator gave up: {words}")];
        Outcome { digest: String::new(), violations, expectations: Vec::new(), recovery: Vec::new(), study: None }
    }
    /// All expectations and invariants held.
    pub fn held(&self) -> bool {
        self.violations.is_empty() && self.expectations.iter().all(|verdict| verdict.held)
    }
}

/// Rows of faults that were drawn together are one for each workload.
fn added_up(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    for row in rows {
        let same = |other: &&mut Row| other.drawn && other.description == row.description && other.workload == row.workload;
        match all.iter_mut().find(same).filter(|_| row.drawn) {
            Some(sum) => {
                sum.unavailable += row.unavailable;
                sum.down += row.down;
            }
            None if row.drawn => {
                all.push(Row { detected: None, evicted: None, evicted_last: None, replaced: None, ready_again: None, ..row })
            }
            None => all.push(row),
        }
    }
    all
}

/// A recovery figure: one number of a run, or none where it never happened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Figure {
    /// What was written, if it is of faults that were drawn at random.
    pub drawn: Option<String>,
    pub fault: usize,
    /// `None` for what is the fault's whatever it hit.
    pub workload: Option<String>,
    pub what: What,
}

/// The columns of `recovery.csv`; instants are taken from the fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    Detected,
    Evicted,
    EvictedLast,
    Replaced,
    ReadyAgain,
    Unavailable,
    Down,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Detected => "detected_after",
            What::Evicted => "evicted_after",
            What::EvictedLast => "evicted_last_after",
            What::Replaced => "replaced_after",
            What::ReadyAgain => "ready_again_after",
            What::Unavailable => "unavailable_seconds",
            What::Down => "down_seconds",
        }
    }
    pub fn words(self) -> &'static str {
        match self {
            What::Detected => "detected",
            What::Evicted => "first pod evicted",
            What::EvictedLast => "last pod evicted",
            What::Replaced => "replaced",
            What::ReadyAgain => "ready again",
            What::Unavailable => "unavailable",
            What::Down => "down",
        }
    }
    pub fn unit(self) -> &'static str {
        if self == What::Unavailable { "pod-seconds" } else { "seconds" }
    }
}

const OF_WORKLOADS: [What; 6] = [What::Evicted, What::EvictedLast, What::Replaced, What::ReadyAgain, What::Unavailable, What::Down];

impl Figure {
    /// `fault1.default/web.ready_again_after`.
    pub fn name(&self) -> String {
        let workload = self.workload.as_ref().map_or_else(String::new, |workload| format!("{workload}."));
        match &self.drawn {
            None => format!("fault{}.{workload}{}", self.fault + 1, self.what.name()),
            Some(drawn) => format!("{drawn}.{workload}{}", self.what.name()),
        }
    }
    fn is_of(&self, row: &Row) -> bool {
        match &self.drawn {
            None => !row.drawn && row.fault == self.fault,
            Some(drawn) => row.drawn && row.description == *drawn,
        }
    }
    /// The figure of a run. A workload that the fault did not hurt in this run, but in another, lost nothing: zero, not nothing.
    pub fn of(&self, outcome: &Outcome) -> Option<u64> {
        let mut rows = outcome.recovery.iter().filter(|row| self.is_of(row));
        if self.what == What::Detected {
            return rows.next().and_then(|row| row.detected);
        }
        let Some(row) = rows.clone().find(|row| row.workload == self.workload) else {
            let lost = matches!(self.what, What::Unavailable | What::Down);
            return rows.next().filter(|_| lost).map(|_| 0);
        };
        match self.what {
            What::Detected => row.detected,
            What::Evicted => row.evicted,
            What::EvictedLast => row.evicted_last,
            What::Replaced => row.replaced,
            What::ReadyAgain => row.ready_again,
            What::Unavailable => Some(row.unavailable),
            What::Down => Some(row.down),
        }
    }
}

/// Every figure that some of the runs have, by fault and workload.
pub fn figures(outcomes: &[Outcome]) -> Vec<Figure> {
    let mut figures = std::collections::BTreeSet::new();
    for row in outcomes.iter().flat_map(|outcome| &outcome.recovery) {
        let drawn = row.drawn.then(|| row.description.clone());
        let figure = |workload: Option<String>, what| Figure { drawn: drawn.clone(), fault: row.fault, workload, what };
        if row.drawn {
            if row.workload.is_some() {
                figures.extend([What::Unavailable, What::Down].map(|what| figure(row.workload.clone(), what)));
            }
            continue;
        }
        figures.insert(figure(None, What::Detected));
        if row.workload.is_some() {
            figures.extend(OF_WORKLOADS.map(|what| figure(row.workload.clone(), what)));
        }
    }
    figures.into_iter().collect()
}

/// How a figure's fault is called in the first run that has it.
pub fn fault_words<'o>(outcomes: &'o [Outcome], figure: &Figure) -> &'o str {
    let mut rows = outcomes.iter().flat_map(|outcome| &outcome.recovery);
    rows.find(|row| figure.is_of(row)).map_or("", |row| &row.description)
}
