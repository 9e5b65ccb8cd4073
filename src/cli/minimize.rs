//! `sim minimize`: the smallest scenario that still fails.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;

use super::{Outcome, complain, say};
use crate::minimize::{self, Progress, Refused};
use crate::report::files::write_whole;
use crate::scenario;

/// Make a scenario that fails with a seed as small as it can be and still fail.
///
/// Takes away faults, steps, traffic, objects of the workload, nodes, replicas, settings and time as long as the same expectations fail, or
/// the same invariant breaks. What an expectation needs to hold without the faults stays: it is not made to fail for another reason.
#[derive(Args)]
#[command(after_help = "Exit status: 0 written; 2 the scenario or the command line is wrong, or nothing fails with this seed; 3 the file \
                        cannot be written.\n\nExamples:\n  sim minimize my.json --seed 17 -o small.json\n  sim minimize node-failure --seed 3 \
                        --set 'faults[0].at=1m' -o small.json")]
pub struct Minimize {
    /// A scenario file, or the name of a shipped scenario (see `sim list`).
    scenario: String,
    /// The seed with which it fails (`sim sweep` finds some). Default: the scenario's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file to write: a scenario (JSON). It must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Change a field of the scenario first: faults[0].at=3m. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// How many runs at once. Default: as many as there are cores. The result is the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Which invariants to check while each run goes on: `full` finds again what `sim sweep --check full` found.
    #[arg(long, value_name = "LEVEL", value_parser = ["full", "cheap"], default_value = "cheap")]
    check: String,
    /// No progress, and of the result the reproducing line only.
    #[arg(long, short)]
    quiet: bool,
}

impl Minimize {
    pub fn run(self) -> Outcome {
        let mut sets = self.set.clone();
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let source = match scenario::find(&self.scenario) {
            Ok(source) => source,
            Err(error) => return complain(&[error]),
        };
        if self.output.extension().is_none_or(|kind| kind != "json") {
            eprintln!("error: {}: a scenario is written as JSON (expected a name that ends in .json)", self.output.display());
            return Outcome::BadInput;
        }
        if self.output.exists() {
            eprintln!("error: {} exists, and is not overwritten", self.output.display());
            return Outcome::BadInput;
        }
        let jobs = self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
        let check_full = self.check == "full";
        let bar = (!self.quiet && std::io::stderr().is_terminal()).then(ProgressBar::new_spinner);
        let found = minimize::minimize(&source, &sets, check_full, jobs, &|Progress { part, runs }| {
            if let Some(bar) = &bar {
                bar.set_message(format!("{part}  ({runs} runs)"));
                bar.tick();
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let small = match found {
            Ok(small) => small,
            Err(Refused::Input(errors)) => return complain(&errors),
            Err(Refused::Holds { seed }) => {
                let more = if check_full { "" } else { ", or --check full for what only that finds" };
                eprintln!(
                    "error: {}: nothing fails with seed {seed} (expected a seed with which an expectation fails{more})",
                    self.scenario
                );
                return Outcome::BadInput;
            }
        };
        let folder = self.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = self.output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Err(error) = write_whole(folder, &name, |path| std::fs::write(path, &small.text)) {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        let check = if check_full { " --check full" } else { "" };
        let line = format!("sim run {} --seed {}{check}\n", self.output.display(), small.seed);
        if self.quiet {
            say(&line);
            return Outcome::Held;
        }
        let listed = |title: &str, lines: &[String]| -> String {
            let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            if lines.is_empty() { String::new() } else { format!("{title}\n{lines}") }
        };
        let text = format!("{}  seed {}\n", small.name, small.seed)
            + &listed("taken away:", &small.removed)
            + &listed("left:", &small.left)
            + &listed("still fails:", &small.fails);
        say(&format!("{text}written to {}\n{line}", self.output.display()));
        Outcome::Held
    }
}
