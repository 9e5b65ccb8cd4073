//! Floor 8: many seeds of one scenario, and of variations of it, on all cores; statistics of what they came to.
//!
//! [`Sweep`] is what is to be run: every variation (all combinations of the varied values) with every seed, in that order. [`run`] plays
//! what is not played yet and keeps each finished run in the [`resume`] file; [`Results`] holds the outcomes in the order of the plan, and
//! everything that is written is made from it alone. So the files don't depend on the number of threads, on which run ended first, or on
//! whether the sweep was interrupted (`tests/sweep.rs`). They hold no wall time and no host name.
//!
//! A run keeps no record and draws nothing: its [`Outcome`] is its digest, its verdicts and the rows of its recovery table. A run in
//! which the simulator itself gives up (an assertion) is an outcome too, and a failing one.
//!
//! Left out: a sweep over several machines; two sweeps into one folder at once.

pub mod outcome;
pub mod picture;
pub mod plan;
pub mod resume;
mod runner;
pub mod statistics;
pub mod study;
pub mod summary;
pub mod table;
pub mod text;

use std::path::Path;

pub use outcome::Outcome;
pub use plan::{Sweep, Variation};
pub use runner::{Finished, STACK, SweepError, play, play_with, run};
pub use summary::Summary;

use crate::report::ReportError;
use crate::report::files::write_whole;
use crate::report::study::{allocation, fragmentation};

/// What all runs came to.
pub struct Results<'s> {
    pub sweep: &'s Sweep,
    /// Of each variation, in the order of seeds.
    pub outcomes: Vec<Outcome>,
}

impl Results<'_> {
    /// The outcomes of a variation.
    pub fn of(&self, variation: usize) -> &[Outcome] {
        let seeds = self.sweep.seeds.count as usize;
        &self.outcomes[variation * seeds..(variation + 1) * seeds]
    }
}

/// Writes `sweep.csv`, `sweep.png` and `summary.json`, of studies also `allocation.csv` and `fragmentation.csv`, and then removes the resume file: a folder with a summary holds a whole sweep.
pub fn write_all(results: &Results, summary: &Summary, dir: &Path, plots: bool) -> Result<(), ReportError> {
    write_whole(dir, "sweep.csv", |path| std::fs::write(path, table::csv(results)))?;
    let studies = study::rows(results);
    if !studies.is_empty() {
        write_whole(dir, "allocation.csv", |path| std::fs::write(path, allocation(&studies)))?;
        write_whole(dir, "fragmentation.csv", |path| std::fs::write(path, fragmentation(&studies)))?;
    }
    if plots {
        let canvas = study::picture(results).unwrap_or_else(|| picture::draw(summary));
        write_whole(dir, "sweep.png", |path| canvas.save(path))?;
    }
    write_whole(dir, "summary.json", |path| std::fs::write(path, summary.json()))?;
    resume::remove(dir)
}
