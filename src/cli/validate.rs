//! `sim validate` and `sim calibrate`: a prediction held against this machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, complain, engine, say};
use crate::host::real::interrupt;
use crate::host::real::supervisor::Options;
use crate::validate::{self, Failure, Profile, Progress, Wanted, table};
use crate::{report, scenario};

/// Predict a scenario, then play it for real on this machine, and tell by how much the prediction was right.
///
/// The same components run as a process each, in real time, and containers as processes of their own; all of it stays on loopback. The
/// scenario is simulated over many seeds with this machine's latencies, and run for real several times. A milestone is refuted when the 99 %
/// interval of the difference of medians lies wholly beyond 10 % or 50 ms, inconclusive when it is too wide to tell.
#[derive(Args)]
#[command(after_help = "Exit status: 0 all milestones are confirmed; 1 some are not; 2 the scenario or the command line is wrong, or has \
                        what cannot be run for real; 3 the machine could not run it.")]
pub struct Validate {
    /// A scenario file, or the name of a shipped scenario.
    #[arg(required_unless_present = "clean")]
    scenario: Option<String>,
    /// Real runs, each as long as the scenario.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: usize,
    /// Simulated runs.
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: usize,
    /// What runs containers: Docker's engine (at DOCKER_HOST or its usual socket), or a process group each; `auto` is Docker if it answers.
    #[arg(long, value_parser = engine::NAMES, default_value = "auto")]
    runtime: String,
    /// A profile that `sim calibrate` wrote. Default: the machine is measured now.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Change a field of the scenario. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The folder to write validation.csv and validation.json to, and the journals of the last run. Default: nothing is written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Remove what killed runs have left, and do nothing else.
    #[arg(long, conflicts_with = "scenario")]
    clean: bool,
}

impl Validate {
    pub fn run(self) -> Outcome {
        let Some(name) = &self.scenario else { return clean() };
        let source = match scenario::find(name) {
            Ok(source) => source,
            Err(error) => return complain(&[error]),
        };
        interrupt::watch();
        let runtime = match engine::choose(&self.runtime) {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
        };
        let options = Options { journals: self.out.as_ref().map(|out| out.join("processes")), runtime, ..Options::default() };
        let profile = match &self.profile {
            Some(path) => read(path),
            None => Profile::measure(&options.program).map_err(|error| format!("this machine cannot be measured: {error}")),
        };
        let profile = match profile {
            Ok(profile) => profile,
            Err(error) => {
                eprintln!("error: {error}");
                return if self.profile.is_some() { Outcome::BadInput } else { Outcome::Lacking };
            }
        };
        if let Some(out) = &self.out
            && let Err(error) = report::files::make_folder(out)
        {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        let wanted = Wanted { repeat: self.repeat, seeds: self.seeds, ..Wanted::default() };
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new((self.seeds + self.repeat) as u64));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        let validation = validate::validate(&source, &self.set, &wanted, &profile, &options, &mut |progress| {
            let Some(bar) = &bar else { return };
            match progress {
                Progress::Predicted { seed } => {
                    bar.set_position(seed as u64);
                    bar.set_message(format!("seed {seed} of {}", self.seeds));
                }
                Progress::Measured { repeat, elapsed } => {
                    bar.set_position((self.seeds + repeat - 1) as u64);
                    bar.set_message(format!("real run {repeat} of {}, {} s", self.repeat, elapsed.as_secs()));
                }
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let validation = match validation {
            Ok(validation) => validation,
            Err(Failure::Input(errors)) => return complain(&errors),
            Err(Failure::Unsupported(why)) => {
                why.iter().for_each(|why| eprintln!("error: {why}"));
                return Outcome::BadInput;
            }
            Err(Failure::Host(error)) => {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
        };
        if let Some(out) = &self.out
            && let Err(error) = table::write(&validation, out)
        {
            eprintln!("error: {}: {error}", out.display());
            return Outcome::Lacking;
        }
        say(&table::text(&validation));
        if validation.confirmed() { Outcome::Held } else { Outcome::Failed }
    }
}

fn clean() -> Outcome {
    match engine::clean() {
        Ok(count) => {
            say(&format!("removed what {count} runs had left\n"));
            Outcome::Held
        }
        Err(error) => {
            eprintln!("error: {error}");
            Outcome::Lacking
        }
    }
}

fn read(path: &Path) -> Result<Profile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let profile: Profile = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let whole = [&profile.container_start, &profile.probe, &profile.fsync, &profile.hop].iter().all(|samples| samples.is_sorted());
    if profile.format != 1 || !whole {
        return Err(format!("{}: not a profile of format 1 with sorted samples", path.display()));
    }
    Ok(profile)
}

/// Measure this machine: a latency profile for `sim validate`.
#[derive(Args)]
pub struct Calibrate {
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "output/profiles/this-host.json")]
    out: PathBuf,
}

impl Calibrate {
    pub fn run(self) -> Outcome {
        let written = Profile::measure(&Options::default().program).and_then(|profile| {
            if let Some(folder) = self.out.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&self.out, format!("{}\n", serde_json::to_string_pretty(&profile)?))?;
            Ok(profile)
        });
        match written {
            Ok(profile) => {
                let line = |what: &str, samples: &[u64]| {
                    let of = |hundredths| validate::statistics::percentile(samples, hundredths) / 1000;
                    format!("{what:<16} median {:>7} us, 95 % below {:>7} us, {} samples\n", of(50), of(95), samples.len())
                };
                say(&line("container start", &profile.container_start));
                say(&line("probe", &profile.probe));
                say(&line("fdatasync", &profile.fsync));
                say(&line("loopback, 1 way", &profile.hop));
                say(&format!("written to {}\n", self.out.display()));
                Outcome::Held
            }
            Err(error) => {
                eprintln!("error: {}: {error}", self.out.display());
                Outcome::Lacking
            }
        }
    }
}
