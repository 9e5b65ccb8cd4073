//! `sim sweep`: many seeds of a scenario.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::memory;
use super::run::mebibytes;
use super::{Outcome, complain, say};
use crate::base::digest::Digester;
use crate::sweep::{self, Finished, Summary, SweepError};

/// Play a scenario with many seeds on all cores: statistics, and the seeds that failed.
///
/// Writes sweep.csv (a row a run), summary.json (median, p95, p99 and confidence intervals of every recovery figure; how often each
/// expectation held; each failing seed with the line that plays it again) and sweep.png. Interrupted, the same command goes on where it
/// stopped.
#[derive(Args)]
#[command(after_help = "Exit status: 0 all expectations and invariants held with every seed; 1 some seed failed; 2 the scenario or the \
                        command line is wrong; 3 the folder cannot be written, or the machine lacks memory.\n\nExamples:\n  sim sweep \
                        node-failure --seeds 0..1000\n  sim sweep node-failure --seeds 1..=20 --vary cluster.nodes[0].count=4,6,8\n  sim \
                        sweep my.json --seeds 0..100 --vary 'workload[0].copies=1,2' --vary duration=5m,10m")]
pub struct Sweep {
    /// A scenario file (JSON), or the name of a shipped scenario (see `sim list`).
    scenario: String,
    /// The seeds: 0..100 is 0 to 99, 0..=100 is 0 to 100.
    #[arg(long, value_name = "A..B")]
    seeds: String,
    /// Values of a field of the scenario, each with every seed; commas within brackets belong to a value. May be given again: all
    /// combinations are played.
    #[arg(long, value_name = "PATH=V1,V2")]
    vary: Vec<String>,
    /// Change a field of the scenario in every run: faults[0].at=3m. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// How many runs at once. Default: as many as there are cores. The results are the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// The folder to write to. Default: output/NAME-sweep.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what summary.json holds instead of the summary for people.
    #[arg(long)]
    json: bool,
    /// No progress bar, and of the summary only the failing seeds' lines and the digest.
    #[arg(long, short)]
    quiet: bool,
    /// Which invariants to check while each run goes on: `full` compares caches with the store too, and takes longer.
    #[arg(long, value_name = "LEVEL", value_parser = ["full", "cheap"], default_value = "cheap")]
    check: String,
    /// Leave the picture out.
    #[arg(long)]
    no_plots: bool,
}

impl Sweep {
    pub fn run(self) -> Outcome {
        let plan = match sweep::Sweep::new(&self.scenario, &self.seeds, &self.vary, &self.set) {
            Ok(plan) => sweep::Sweep { check_full: self.check == "full", ..plan },
            Err(errors) => return complain(&errors),
        };
        if !self.quiet {
            for warning in &plan.warnings {
                eprintln!("warning: {warning}");
            }
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or_else(cores, usize::from).min(plan.len());
        let each = plan.variations.iter().map(|variation| variation.memory).max().unwrap_or(0);
        let needed = each.saturating_mul(jobs as u64);
        if let Some(available) = memory::available().filter(|available| needed > *available) {
            let (needed, available) = (mebibytes(needed), mebibytes(available));
            eprintln!("error: {jobs} runs at once need about {needed}, and {available} are available (fewer at once: --jobs)");
            return Outcome::Lacking;
        }
        let folder = self.out.clone().unwrap_or_else(|| Path::new("output").join(format!("{}-sweep", plan.name)));
        let bar = self.bar(plan.len());
        let mut watch = |finished: Finished| {
            if let Some(bar) = &bar {
                show(bar, finished);
            }
            true
        };
        let played = sweep::run(&plan, &folder, jobs, &build(&self.check), &mut watch);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let results = match played {
            Ok(results) => results,
            Err(SweepError::Input(errors)) => return complain(&errors),
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
        };
        let summary = Summary::new(&results);
        if let Err(error) = sweep::write_all(&results, &summary, &folder, !self.no_plots) {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        self.tell(&summary, &folder);
        if summary.failing.is_empty() { Outcome::Held } else { Outcome::Failed }
    }

    fn tell(&self, summary: &Summary, folder: &Path) {
        if self.json {
            say(&summary.json());
        } else if self.quiet {
            let lines: String = summary.failing.iter().map(|failing| format!("{}\n", failing.command)).collect();
            say(&format!("{lines}digest {}\n", summary.digest));
        } else {
            let mut text = sweep::text::summary(summary);
            if let Some(place) = text.rfind("digest ") {
                text.insert_str(place, &format!("results in {}\n", folder.display()));
            }
            say(&text);
        }
    }

    /// On a terminal only.
    fn bar(&self, runs: usize) -> Option<ProgressBar> {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new(runs as u64);
        let template = "{bar:40} {pos}/{len} runs  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Some(bar)
    }
}

fn show(bar: &ProgressBar, finished: Finished) {
    bar.set_position(finished.runs as u64);
    if finished.runs == finished.before {
        // What an earlier call played says nothing of how fast this one is.
        bar.reset_eta();
    }
    bar.set_message(format!("{} failed", finished.failed));
}

/// Tells this build from others: its version, and the digest of the program. Runs of another build, and
/// runs that were checked less, are not gone on with.
fn build(check: &str) -> String {
    let mut digest = Digester::default();
    if let Ok(program) = std::env::current_exe().and_then(std::fs::read) {
        digest.bytes(&program);
    }
    let checked = if check == "full" { " checked in full" } else { "" };
    format!("{} {}{checked}", env!("CARGO_PKG_VERSION"), digest.digest())
}
