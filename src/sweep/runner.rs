//! The runner: threads that take the next run until there is none.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::resume::Resume;
use super::{Outcome, Results, Sweep};
use crate::engine::Options;
use crate::engine::plan::Plan;
use crate::engine::record::Record;
use crate::host::sim;
use crate::manifest::InputError;
use crate::report::{ReportError, files};

/// As much as the main thread has on most systems: the parsers go as deep as their limit allows.
pub const STACK: usize = 8 << 20;

/// Why a sweep came to no end.
#[derive(Debug)]
pub enum SweepError {
    /// A seed's scenario has errors.
    Input(Vec<InputError>),
    /// The folder can't be written.
    Write(ReportError),
    /// The system gives no threads.
    Threads(String),
    /// Whoever watches said stop; what is finished is kept.
    Stopped,
}

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SweepError::Input(errors) => {
                let lines: Vec<String> = errors.iter().map(InputError::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            SweepError::Write(error) => error.fmt(f),
            SweepError::Threads(why) => write!(f, "no threads to run on: {why}"),
            SweepError::Stopped => f.write_str("stopped before the end"),
        }
    }
}
impl std::error::Error for SweepError {}

/// How far a sweep is, for whoever shows its progress.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub runs: usize,
    /// Those of them that were finished by an earlier call.
    pub before: usize,
    pub failed: usize,
}

/// What the threads share.
struct Desk<'w> {
    resume: Resume,
    outcomes: Vec<Option<Outcome>>,
    finished: Finished,
    watch: &'w mut (dyn FnMut(Finished) -> bool + Send),
    error: Option<SweepError>,
}

/// Plays every run that the folder's resume file does not have, on `jobs` threads. `build` tells one build of the program from another.
/// `watch` is told after each run, and once before the first; when it says `false` the sweep stops, and a later call goes on.
pub fn run<'s>(
    sweep: &'s Sweep,
    dir: &Path,
    jobs: usize,
    build: &str,
    watch: &mut (dyn FnMut(Finished) -> bool + Send),
) -> Result<Results<'s>, SweepError> {
    files::make_folder(dir).map_err(SweepError::Write)?;
    let (resume, done) = Resume::open(dir, sweep, build).map_err(SweepError::Write)?;
    let finished = Finished { runs: done.len(), before: done.len(), failed: done.values().filter(|outcome| !outcome.held()).count() };
    let mut outcomes: Vec<Option<Outcome>> = vec![None; sweep.len()];
    for (number, outcome) in done {
        outcomes[number] = Some(outcome);
    }
    let open: Vec<usize> = (0..outcomes.len()).filter(|&number| outcomes[number].is_none()).collect();
    let threads = jobs.min(open.len()).max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
    let pool = pool.map_err(|error| SweepError::Threads(error.to_string()))?;

    let stop = AtomicBool::new(!watch(finished) && !open.is_empty());
    let next = AtomicUsize::new(0);
    let desk = Mutex::new(Desk { resume, outcomes, finished, watch, error: None });
    pool.broadcast(|_| {
        while !stop.load(Ordering::Relaxed)
            && let Some(&number) = open.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let outcome = outcome(sweep, number);
            let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
            if !desk.keep(sweep, number, outcome) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    let desk = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (desk.error, desk.outcomes.into_iter().collect::<Option<Vec<Outcome>>>()) {
        (Some(error), _) => Err(error),
        (None, None) => Err(SweepError::Stopped),
        (None, Some(outcomes)) => Ok(Results { sweep, outcomes }),
    }
}

impl Desk<'_> {
    /// Keeps a finished run; whether to go on.
    fn keep(&mut self, sweep: &Sweep, number: usize, outcome: Result<Outcome, Vec<InputError>>) -> bool {
        let kept = outcome.map_err(SweepError::Input).and_then(|outcome| {
            self.resume.append(sweep, number, &outcome).map_err(SweepError::Write)?;
            Ok(outcome)
        });
        match kept {
            Ok(outcome) => {
                self.finished.runs += 1;
                self.finished.failed += usize::from(!outcome.held());
                self.outcomes[number] = Some(outcome);
                (self.watch)(self.finished)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                false
            }
        }
    }
}

/// Plays a run of the sweep.
fn outcome(sweep: &Sweep, number: usize) -> Result<Outcome, Vec<InputError>> {
    let (variation, seed) = sweep.run(number);
    let plan = sweep.variations[variation].plan(seed)?;
    Ok(play_with(plan, Options { check_full: sweep.check_full, ..Options::default() })
        .map_or_else(|words| Outcome::gave_up(&words), |record| Outcome::of(&record)))
}

/// Plays a run. An assertion of the simulator that fails is a finding, not the end of the program: the error has its words.
pub fn play(plan: Plan) -> Result<Record, String> {
    play_with(plan, Options::default())
}
/// The same with options.
pub fn play_with(plan: Plan, options: Options) -> Result<Record, String> {
    catch_unwind(AssertUnwindSafe(|| sim::run(plan, options, &mut |_| {}))).map_err(|words| last_words(&*words).to_owned())
}

fn last_words(words: &(dyn Any + Send)) -> &str {
    let text = words.downcast_ref::<&str>().copied();
    text.or_else(|| words.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
