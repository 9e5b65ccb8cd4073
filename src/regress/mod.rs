//! Floor 9: seeded runs against recorded baselines (`sim regress`), and two runs against each other (`sim compare`).
//!
//! A [`baseline`] is what a scenario came to when somebody said that it was right: the digest of the outcome at its end and at checkpoints,
//! the key [`figures`], how each expectation came out, and the facts. A later run is the [`Check::Same`] if all of that is. What changed is
//! told from the outside in: first the figures, then the first second in which the facts part, those of both sides with their causes
//! ([`difference`]). A digest that changed is a difference even if every figure is within its tolerance, unless the baseline says
//! `"digest": "ignore"`.
//!
//! [`compare`] uses the same figures and the same search on two records. Left out: baselines of sweeps.

pub mod baseline;
pub mod compare;
pub mod difference;
pub mod figures;
pub mod junit;
pub mod tale;
pub mod text;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use baseline::Baseline;
use baseline::{Changed, Checkpoints, Expectation, changed, content};
use difference::{Found, Side};
use tale::Tale;

use crate::engine::plan::Plan;
use crate::engine::record::Record;
use crate::manifest::{InputError, Warning};
use crate::report::ReportError;
use crate::{scenario, sweep};

/// A scenario with its baseline, ready to be played.
pub struct Case {
    /// As the user named it.
    pub scenario: String,
    pub name: String,
    pub seed: u64,
    plan: Plan,
    /// Of the scenario as resolved.
    content: String,
    pub baseline: Option<Baseline>,
    pub warnings: Vec<Warning>,
    /// Bytes that the run will take.
    pub memory: u64,
}

/// What holding a run against its baseline came to.
pub enum Check {
    Same,
    Differs(Box<Changes>),
    /// There is no baseline.
    Missing,
    /// There is no run either: the simulator's last words.
    GaveUp(String),
    /// The run is the baseline now.
    Blessed {
        new: bool,
        changed: bool,
    },
}

impl Check {
    pub fn held(&self) -> bool {
        matches!(self, Check::Same | Check::Blessed { .. })
    }
}

/// What is another than it was.
pub struct Changes {
    /// The scenario is another: nothing need be wrong with the program.
    pub other_scenario: bool,
    pub figures: Vec<Changed>,
    pub expectations: Vec<ChangedExpectation>,
    /// Broken invariants of the run that the baseline does not have.
    pub violations: Vec<String>,
    /// Both digests, where they differ and count.
    pub digest: Option<(String, String)>,
    pub parted: Parted,
}

/// An expectation that came out another way. `None`: there was or is no such expectation; within, `None`: the run ended before.
pub struct ChangedExpectation {
    pub description: String,
    pub was: Option<Option<bool>>,
    pub is: Option<Option<bool>>,
    pub seen: String,
}

/// Where the facts part.
pub enum Parted {
    /// They don't, or their order and words are ignored.
    Nowhere,
    At(Box<difference::Difference>),
    /// The baseline's facts are not known there: the seconds between two checkpoints, and what the run has in the last of them.
    Between {
        from: u64,
        to: u64,
        why: String,
        is: Side,
    },
}

/// Reads scenarios and their baselines: names and files as given, of a folder every scenario in it. A baseline's seed counts, not the
/// scenario's. All that is wrong is told before anything runs.
pub fn cases(targets: &[String], baselines: &Path, sets: &[String]) -> Result<Vec<Case>, Vec<InputError>> {
    let mut errors = Vec::new();
    let mut cases: Vec<Case> = Vec::new();
    for target in named(targets)? {
        match case(&target, baselines, sets) {
            Ok(case) => match cases.iter().find(|other| other.name == case.name) {
                Some(other) => {
                    let message = format!("its name \"{}\" is that of {}, and so would be its baseline", case.name, other.scenario);
                    errors.push(InputError::new(&target, None, "name", message));
                }
                None => cases.push(case),
            },
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(cases) } else { Err(errors) }
}

/// What the words stand for: shipped scenarios without any.
fn named(targets: &[String]) -> Result<Vec<String>, Vec<InputError>> {
    if targets.is_empty() {
        return Ok(scenario::shipped().iter().map(|shipped| shipped.name.to_owned()).collect());
    }
    let mut all = Vec::new();
    for target in targets {
        let path = Path::new(target);
        if !path.is_dir() {
            all.push(target.clone());
            continue;
        }
        let fail = |message: String| vec![InputError::new(target, None, "", message)];
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| fail(format!("cannot be read: {error}")))?;
        let is_scenario =
            |path: &PathBuf| path.is_file() && path.extension().is_some_and(|kind| kind == "json" || kind == "yaml" || kind == "yml");
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_scenario).collect();
        files.sort();
        if files.is_empty() {
            return Err(fail("the folder has no scenarios (files ending in .json, .yaml or .yml)".to_owned()));
        }
        all.extend(files.into_iter().map(|file| file.to_string_lossy().into_owned()));
    }
    Ok(all)
}

fn case(target: &str, baselines: &Path, sets: &[String]) -> Result<Case, Vec<InputError>> {
    let source = scenario::find(target).map_err(|error| vec![error])?;
    let mut loaded = scenario::load(&source, sets)?;
    let baseline = Baseline::read(baselines, &loaded.plan.name).map_err(|why| {
        let (file, message) = why.split_once(": ").unwrap_or((target, &why));
        vec![InputError::new(file, None, "", message.to_owned())]
    })?;
    if let Some(baseline) = baseline.as_ref().filter(|baseline| baseline.seed != loaded.plan.seed) {
        let mut sets = sets.to_vec();
        sets.push(format!("seed={}", baseline.seed));
        loaded = scenario::load(&source, &sets)?;
    }
    Ok(Case {
        scenario: target.to_owned(),
        name: loaded.plan.name.to_string(),
        seed: loaded.plan.seed,
        memory: crate::engine::memory::estimate(&loaded.plan),
        content: content(&loaded.resolved),
        plan: loaded.plan,
        baseline,
        warnings: loaded.warnings,
    })
}

/// Plays all cases on so many threads; the checks in the order of the cases. `bless` makes what the runs came to the baselines. `watch` is
/// told after each run.
pub fn run(cases: &[Case], baselines: &Path, bless: bool, jobs: usize, watch: &(dyn Fn(&Case) + Sync)) -> Result<Vec<Check>, ReportError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).stack_size(sweep::STACK).build();
    let pool = pool.expect("the system gives as many threads as it has cores");
    let check = |case: &Case| {
        let check = match sweep::play(case.plan.clone()) {
            Err(words) => Ok(Check::GaveUp(words)),
            Ok(record) if bless => self::bless(case, &record, baselines),
            Ok(record) => Ok(check(case, &record, baselines)),
        };
        watch(case);
        check
    };
    pool.install(|| cases.par_iter().map(check).collect::<Vec<_>>()).into_iter().collect()
}

fn bless(case: &Case, record: &Record, baselines: &Path) -> Result<Check, ReportError> {
    let baseline = Baseline::of(record, case.content.clone(), case.baseline.as_ref());
    baseline.write(baselines, &Tale::of(record))?;
    Ok(Check::Blessed { new: case.baseline.is_none(), changed: case.baseline.as_ref() != Some(&baseline) })
}

/// Holds a run against its baseline.
fn check(case: &Case, record: &Record, baselines: &Path) -> Check {
    let Some(baseline) = &case.baseline else { return Check::Missing };
    let now = Baseline::of(record, case.content.clone(), Some(baseline));
    let digest = (now.digest != baseline.digest).then(|| (baseline.digest.clone(), now.digest.clone()));
    let changes = Changes {
        other_scenario: baseline.scenario != case.content,
        figures: changed(baseline, &figures::figures(record)),
        expectations: expectations(baseline, &now.expectations, record),
        violations: now.violations.iter().filter(|violation| !baseline.violations.contains(violation)).cloned().collect(),
        parted: if digest.is_some() { parted(baseline, record, baselines) } else { Parted::Nowhere },
        digest,
    };
    let differs = changes.digest.is_some()
        || !changes.expectations.is_empty()
        || now.violations != baseline.violations
        || changes.figures.iter().any(|figure| !figure.tolerated);
    if differs { Check::Differs(Box::new(changes)) } else { Check::Same }
}

fn expectations(baseline: &Baseline, now: &[Expectation], record: &Record) -> Vec<ChangedExpectation> {
    let mut changed = Vec::new();
    for (place, is) in now.iter().enumerate() {
        let was = baseline.expectations.iter().find(|was| was.description == is.description).map(|was| was.held);
        if was != Some(is.held) {
            let seen = record.expectations[place].seen.to_string();
            changed.push(ChangedExpectation { description: is.description.clone(), was, is: Some(is.held), seen });
        }
    }
    let gone = baseline.expectations.iter().filter(|was| now.iter().all(|is| is.description != was.description));
    changed.extend(gone.map(|was| ChangedExpectation {
        description: was.description.clone(),
        was: Some(was.held),
        is: None,
        seen: String::new(),
    }));
    changed
}

/// Where the facts part from the baseline's; by the checkpoints where the baseline's are not known.
fn parted(baseline: &Baseline, record: &Record, baselines: &Path) -> Parted {
    let tale = Tale::of(record);
    let why = match baseline.facts(baselines) {
        Err(why) => why,
        Ok(facts) => match difference::first(&facts, &tale) {
            Found::Difference(difference) => return Parted::At(difference),
            Found::Beyond => format!("the baseline keeps {} facts", facts.len()),
            Found::Nothing => "the facts that it keeps are the same".to_owned(),
        },
    };
    let now = Checkpoints::of(record, Some(baseline.checkpoints.every_seconds));
    match baseline.checkpoints.first_difference(&now) {
        None => Parted::Nowhere,
        Some((from, to)) => Parted::Between { from, to, why, is: difference::facts_in(&tale, to.saturating_sub(1).max(from)) },
    }
}
