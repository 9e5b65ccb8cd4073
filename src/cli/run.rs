//! `sim run`: play a scenario.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, complain, say};
use crate::base::Time;
use crate::engine::record::Verdict;
use crate::engine::{self, Options};
use crate::host::sim;
use crate::report;
use crate::scenario;

/// Play a scenario and write its reports to a folder.
///
/// Tells on the terminal what happened, and ends with the digest of the run. The folder has tables (CSV, times in seconds since the
/// start), pictures (PNG), summary.json, the scenario as it was played, and the record that `sim report` reads.
#[derive(Args)]
#[command(after_help = super::RUN_HELP)]
pub struct Run {
    /// A scenario file (JSON or YAML), or the name of a shipped scenario (see `sim list`).
    scenario: String,
    /// The seed of the run, a whole number. Default: the scenario's, which is 1 unless it says otherwise.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = super::whole)]
    seed: Option<u64>,
    /// The folder to write to. Default: output/NAME-seedN.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a field of the scenario: faults[0].at=3m, cluster.nodes[0].count=5, faults=[]. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Stop after this much virtual time: 90s, 5m30s. What is expected of a later time is not judged. Default: the scenario's duration,
    /// which is also the most.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    until: Option<String>,
    /// Print what summary.json holds instead of the summary for people.
    #[arg(long)]
    json: bool,
    /// No progress bar, and of the summary the digest only.
    #[arg(long, short)]
    quiet: bool,
    /// Leave the pictures out.
    #[arg(long)]
    no_plots: bool,
    /// Which invariants to check while the run goes on: `full` compares caches with the store too, and takes longer.
    #[arg(long, value_name = "LEVEL", value_parser = ["full", "cheap"], default_value = "cheap")]
    check: String,
    /// Send every message through the codec, as between processes. Must not change the outcome.
    #[arg(long)]
    codec: bool,
    /// Permute events of the same time and different sources, by this number: finds accidental dependence on their order.
    #[arg(long, value_name = "SEED", allow_negative_numbers = true, value_parser = super::whole)]
    shuffle_ties: Option<u64>,
    /// Run even what needs more memory than the machine has.
    #[arg(long)]
    force: bool,
    /// Write nothing to disk.
    #[arg(long, conflicts_with = "out")]
    no_output: bool,
}

impl Run {
    pub fn run(self) -> Outcome {
        let mut sets = self.set.clone();
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let loaded = match scenario::find(&self.scenario).map_err(|error| vec![error]).and_then(|source| scenario::load(&source, &sets)) {
            Ok(loaded) => loaded,
            Err(errors) => return complain(&errors),
        };
        if !self.quiet {
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
        }
        let mut plan = loaded.plan;
        if let Some(until) = &self.until {
            match scenario::units::parse_duration(until) {
                Some(span) => plan.stop_after = Some(span),
                None => {
                    eprintln!("error: --until: \"{until}\" is not a duration (expected \"90s\" or \"5m30s\", say)");
                    return Outcome::BadInput;
                }
            }
        }
        let needed = engine::memory::estimate(&plan);
        if let Some(available) = super::memory::available().filter(|available| needed > *available && !self.force) {
            eprintln!(
                "error: this run needs about {}, and {} are available (--force runs it all the same)",
                mebibytes(needed),
                mebibytes(available)
            );
            return Outcome::Lacking;
        }
        let folder = self.folder(&plan.name, plan.seed);
        if let Some(folder) = &folder
            && let Err(error) = report::files::make_folder(folder)
        {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        let options = Options { codec: self.codec, shuffle_ties: self.shuffle_ties, check_full: self.check == "full" };
        let total = plan.length();
        let bar = self.bar(total.as_secs());
        let record = sim::run(plan, options, &mut |progress| {
            if let Some(bar) = &bar {
                bar.set_position(progress.elapsed.as_secs());
                let speed = progress.elapsed.as_secs_f64() / bar.elapsed().as_secs_f64().max(1e-6);
                bar.set_message(format!("{} · {speed:.0}x real time", clock(Time::ZERO + progress.elapsed)));
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if let Some(folder) = &folder
            && let Err(error) = report::write_all(&record, &loaded.resolved, folder, !self.no_plots)
        {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        self.tell(&record, folder.as_deref());
        for violation in &record.violations {
            eprintln!("error: a broken invariant: {violation}");
        }
        let held = record.violations.is_empty() && !record.expectations.iter().any(Verdict::failed);
        if held { Outcome::Held } else { Outcome::Failed }
    }

    fn folder(&self, name: &str, seed: u64) -> Option<PathBuf> {
        if self.no_output {
            return None;
        }
        Some(self.out.clone().unwrap_or_else(|| Path::new("output").join(format!("{name}-seed{seed}"))))
    }

    fn tell(&self, record: &crate::engine::record::Record, folder: Option<&Path>) {
        if self.json {
            say(&report::summary::json(&report::Report::new(record)));
        } else if self.quiet {
            say(&format!("digest {}\n", record.digest));
        } else {
            let mut text = report::text::summary(&report::Report::new(record), colour());
            if let Some(folder) = folder
                && let Some(place) = text.rfind("digest ")
            {
                text.insert_str(place, &format!("reports in {}\n", folder.display()));
            }
            say(&text);
        }
    }

    /// On a terminal only.
    fn bar(&self, seconds: u64) -> Option<ProgressBar> {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new(seconds);
        let template = "{bar:40} {percent:>3}%  {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Some(bar)
    }
}

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` says otherwise (no-color.org: set and not empty).
#[expect(clippy::disallowed_methods, reason = "how a terminal shows a run is the environment's to say; the run itself does not change")]
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Virtual time as minutes and seconds.
fn clock(at: Time) -> String {
    let seconds = at.nanos() / 1_000_000_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
