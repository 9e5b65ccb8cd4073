//! `sim regress`: seeded runs against recorded baselines.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::memory;
use super::run::mebibytes;
use super::{Outcome, complain, say};
use crate::regress::{self, Check};

/// Play scenarios and hold them against recorded baselines.
///
/// A baseline is what a scenario came to with a seed: the digest of everything that happened, the key figures of recovery and traffic, how
/// each expectation came out, and the facts. Of what changed are told first the figures, then the first second that differs, with the facts
/// of both sides and their causes. --bless records what is as what shall be.
///
/// A baseline is NAME.json, with NAME.facts.zst beside it. In NAME.json may be edited: "seed"; "tolerance", by how much figures may differ,
/// {"traffic.*": "2%", "fault1.*.ready_again_after": 5} say, where 5 is in the figure's unit and * stands for anything; and "digest", where
/// "ignore" compares figures, expectations and invariants only. --bless keeps all three.
#[derive(Args)]
#[command(after_help = "Exit status: 0 all are as their baselines, or were recorded; 1 some differ or have no baseline; 2 a scenario, a \
                        baseline or the command line is wrong; 3 a file cannot be written, or the machine lacks memory.\n\nExamples:\n  \
                        sim regress                                      the shipped scenarios against tests/baselines/\n  sim regress \
                        mine/ --baselines mine/baselines --bless\n  sim regress mine/ --baselines mine/baselines --junit regress.xml\n  sim \
                        regress node-failure --set cluster.timings.controllerManager.nodeMonitorGracePeriod=40s")]
pub struct Regress {
    /// Scenario files, folders of them, or names of shipped scenarios (see `sim list`). Default: all shipped scenarios.
    #[arg(value_name = "DIR|SCENARIO")]
    scenarios: Vec<String>,
    /// The folder of the baselines.
    #[arg(long, value_name = "DIR", default_value = "tests/baselines")]
    baselines: PathBuf,
    /// Make what the runs come to their baselines.
    #[arg(long)]
    bless: bool,
    /// Write the results as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Change a field of every scenario, to see what that changes: faults[0].at=3m. May be given again.
    #[arg(long, value_name = "PATH=VALUE", conflicts_with = "bless")]
    set: Vec<String>,
    /// How many runs at once. Default: as many as there are cores. The results are the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// No progress bar and no warnings.
    #[arg(long, short)]
    quiet: bool,
}

impl Regress {
    pub fn run(self) -> Outcome {
        let cases = match regress::cases(&self.scenarios, &self.baselines, &self.set) {
            Ok(cases) => cases,
            Err(errors) => return complain(&errors),
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or_else(cores, usize::from).min(cases.len());
        let needed = cases.iter().map(|case| case.memory).max().unwrap_or(0).saturating_mul(jobs as u64);
        if let Some(available) = memory::available().filter(|available| needed > *available) {
            let (needed, available) = (mebibytes(needed), mebibytes(available));
            eprintln!("error: {jobs} runs at once need about {needed}, and {available} are available (fewer at once: --jobs)");
            return Outcome::Lacking;
        }
        if !self.quiet {
            for case in &cases {
                for warning in &case.warnings {
                    eprintln!("warning: {warning}");
                }
            }
        }
        let bar = self.bar(cases.len());
        let checks = regress::run(&cases, &self.baselines, self.bless, jobs, &|_| {
            if let Some(bar) = &bar {
                bar.inc(1);
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let lacking = |error: crate::report::ReportError| {
            eprintln!("error: {error}");
            Outcome::Lacking
        };
        let checks = match checks {
            Ok(checks) => checks,
            Err(error) => return lacking(error),
        };
        say(&regress::text::suite(&cases, &checks, &self.bless_line()));
        if let Some(file) = &self.junit
            && let Err(error) = regress::junit::write(&cases, &checks, file)
        {
            return lacking(error);
        }
        if checks.iter().all(Check::held) { Outcome::Held } else { Outcome::Failed }
    }

    /// The line that makes this the baseline.
    fn bless_line(&self) -> String {
        let mut words = vec!["sim".to_owned(), "regress".to_owned()];
        words.extend(self.scenarios.iter().cloned());
        if self.baselines != std::path::Path::new("tests/baselines") {
            words.extend(["--baselines".to_owned(), self.baselines.display().to_string()]);
        }
        words.push("--bless".to_owned());
        words.join(" ")
    }

    /// On a terminal only.
    fn bar(&self, runs: usize) -> Option<ProgressBar> {
        if self.quiet || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new(runs as u64);
        let template = "{bar:40} {pos}/{len} scenarios  {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Some(bar)
    }
}
