//! `sim compare`: two runs side by side.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Outcome, complain, say};
use crate::regress::compare::{Comparison, Run};
use crate::{report, scenario, sweep};

/// Two runs' outcomes side by side, and where they part.
///
/// Tells every key figure and expectation of both, and the first second in which they differ, with the facts of each and their causes.
/// Writes compare.csv and compare.png (ready replicas of both over time).
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 the outcomes are the same, fact by fact; 1 they differ; 2 a run, a scenario or the command line is \
                        wrong; 3 the folder cannot be written.\n\nExamples:\n  sim compare output/node-failure-seed1 \
                        output/node-failure-seed2\n  sim compare node-failure node-failure-fast --out compared\n  sim compare \
                        output/node-failure-seed1 node-failure --no-output      is this build as the one that wrote the folder?"
)]
pub struct Compare {
    /// A run: the folder that `sim run` wrote, or a scenario (a file, or a shipped one's name), which is played.
    run_a: String,
    /// The other run.
    run_b: String,
    /// The seed of scenarios that are played. Default: the scenario's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The folder to write to. Default: output/compare-A-B, by the names of the runs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the picture out.
    #[arg(long)]
    no_plots: bool,
    /// Write nothing to disk.
    #[arg(long, conflicts_with = "out")]
    no_output: bool,
}

impl Compare {
    pub fn run(self) -> Outcome {
        if self.run_a == self.run_b {
            eprintln!("error: {}: both runs are the same one (expected two runs)", self.run_a);
            return Outcome::BadInput;
        }
        let (a, b) = match (self.read(&self.run_a), self.read(&self.run_b)) {
            (Ok(a), Ok(b)) => (a, b),
            (a, b) => return a.err().into_iter().chain(b.err()).next_back().unwrap_or(Outcome::BadInput),
        };
        let comparison = Comparison::new(&a, &b);
        if !self.no_output {
            let name = format!("compare-{}-{}", short(&a.label), short(&b.label));
            let folder = self.out.clone().unwrap_or_else(|| Path::new("output").join(name));
            if let Err(error) = comparison.write(&folder, !self.no_plots) {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
            let mut text = comparison.text();
            if let Some(place) = text.find("\ndigest ") {
                text.insert_str(place + 1, &format!("written to {}\n", folder.display()));
            }
            say(&text);
        } else {
            say(&comparison.text());
        }
        if comparison.equal() { Outcome::Held } else { Outcome::Failed }
    }

    /// Reads a folder's record, or plays a scenario. What is wrong is told.
    fn read(&self, name: &str) -> Result<Run, Outcome> {
        let path = Path::new(name);
        let label = name.trim_end_matches('/').to_owned();
        if path.is_dir() {
            let record = report::read(&path.join(report::saved::FILE)).map_err(|error| {
                eprintln!("error: {error}");
                Outcome::BadInput
            })?;
            return Ok(Run { label, record });
        }
        let sets: Vec<String> = self.seed.map(|seed| format!("seed={seed}")).into_iter().collect();
        let source = scenario::find(name).map_err(|error| complain(&[error]))?;
        let loaded = scenario::load(&source, &sets).map_err(|errors| complain(&errors))?;
        let seed = loaded.plan.seed;
        match sweep::play(loaded.plan) {
            Ok(record) => Ok(Run { label: format!("{label} --seed {seed}"), record }),
            // The simulator has told on the standard error where it gave up.
            Err(_) => Err(Outcome::Failed),
        }
    }
}

/// The last part of a path, without an ending and without what no file's name should have.
fn short(label: &str) -> String {
    let last = label.rsplit('/').next().unwrap_or(label).replace(" --seed ", "-seed");
    last.replace(".json", "").replace(".yaml", "").replace(".yml", "").replace(' ', "-")
}
