//! `sim validate` and `sim calibrate`: a prediction held against this machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, complain, engine, say};
use crate::base::Duration;
use crate::host::real::supervisor::Options;
use crate::host::real::{calibrate, interrupt};
use crate::scenario::Loaded;
use crate::validate::{self, Failure, Profile, Progress, Wanted, table};
use crate::{report, scenario};

/// Predict a scenario, then play it for real on this machine, and tell by how much the prediction was right.
///
/// The same components run as a process each, in real time, and containers as Docker's or as processes of their own, see --runtime; all of
/// it stays on this machine. The scenario is simulated over many seeds with this machine's latencies, and run for real several times. A
/// milestone is refuted when the 99 % interval of the difference of medians lies wholly beyond 10 % or 50 ms, inconclusive when it is too
/// wide to tell.
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
    /// What cuts and delays links between machines: the kernel (network namespaces, veth and netem, for root), or our own transport; `auto` is
    /// the kernel where it can.
    #[arg(long, value_parser = engine::LINKS.map(|(name, _)| name), default_value = "auto")]
    links: String,
    /// A profile that `sim calibrate` wrote. Default: the scenario's own, or else the machine is measured now.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// How far medians may be apart, in hundredths of the predicted one ...
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    tolerance: u64,
    /// ... or in milliseconds, whichever is more.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    tolerance_ms: u64,
    /// Change a field of the scenario. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The folder to write validation.csv, .json and .png to, and the journals of the last run. Default: nothing is written.
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
        let loaded = match scenario::load(&source, &self.set) {
            Ok(loaded) => loaded,
            Err(errors) => return complain(&errors),
        };
        let options = match engine::options(&loaded.plan, &self.runtime, &self.links, self.out.as_deref()) {
            Ok(options) => options,
            Err(outcome) => return outcome,
        };
        let profile = match &self.profile {
            Some(path) => read(path).map(Some),
            None if loaded.plan.runtime.sharing.is_some() => Ok(None),
            None => measure(&options, false).map(Some),
        };
        let profile = match profile {
            Ok(profile) => profile,
            Err(error) => {
                eprintln!("error: {error}");
                return if self.profile.is_some() { Outcome::BadInput } else { Outcome::Lacking };
            }
        };
        if let Some(profile) = profile.as_ref().filter(|profile| profile.runtime != options.runtime.name()) {
            eprintln!(
                "error: the profile is of the runtime {}, and containers are to be run by {}",
                profile.runtime,
                options.runtime.name()
            );
            return Outcome::BadInput;
        }
        if let Some(out) = &self.out
            && let Err(error) = report::files::make_folder(out)
        {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        let wanted = Wanted {
            repeat: self.repeat,
            seeds: self.seeds,
            tolerance_milli: self.tolerance.saturating_mul(10),
            tolerance: Duration::from_millis(self.tolerance_ms),
        };
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new((self.seeds + self.repeat) as u64));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        let validation = validate::validate(&source, &self.set, &wanted, profile.as_ref(), &options, &mut |progress| {
            let Some(bar) = &bar else { return };
            match progress {
                Progress::Predicted { seed } => {
                    bar.set_position(seed as u64);
                    bar.set_message(format!("seed {seed} of {}", self.seeds));
                }
                Progress::Measured { repeat, elapsed, left } => {
                    bar.set_position((self.seeds + repeat - 1) as u64);
                    let minutes = format!("{}:{:02}", left.as_secs() / 60, left.as_secs() % 60);
                    bar.set_message(format!("real run {repeat} of {}, {} s; some {minutes} left", self.repeat, elapsed.as_secs()));
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
    Profile::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

/// Measures this machine, with a bar on a terminal.
fn measure(options: &Options, quick: bool) -> Result<Profile, String> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(1));
    if let Some(bar) = &bar {
        let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
    // Its workload and its components are what is measured.
    let source = scenario::find("validate-smoke").expect("it is shipped");
    let Loaded { plan, resolved, .. } = scenario::load(&source, &[]).expect("what is shipped is valid");
    let measured = calibrate::measure(&options.program, &options.runtime, &resolved, &plan, quick, &mut |done, all, what| {
        if let Some(bar) = &bar {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            bar.set_message(what.to_owned());
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    measured.map_err(|error| format!("this machine cannot be measured: {error}"))
}

/// Measure this machine: a latency profile for `sim validate`, and for scenarios ("profile").
///
/// Containers are made, started, probed, stopped and removed one alone and 2, 4, 8 and 16 at once; beside them are measured synchronised
/// writes, loopback, process starts, late wakes and, with Docker, the unpacking of an image. Takes about two minutes with Docker, ten
/// seconds without.
#[derive(Args)]
pub struct Calibrate {
    /// What runs containers: Docker's engine (at DOCKER_HOST or its usual socket), or a process group each; `auto` is Docker if it answers.
    #[arg(long, value_parser = engine::NAMES, default_value = "auto")]
    runtime: String,
    /// Few samples, to see that it works: nothing to predict with.
    #[arg(long)]
    quick: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "output/profiles/this-host.json")]
    out: PathBuf,
}

impl Calibrate {
    pub fn run(self) -> Outcome {
        interrupt::watch();
        let measured = engine::fresh(&self.runtime).and_then(|runtime| measure(&Options { runtime, ..Options::default() }, self.quick));
        let profile = match measured {
            Ok(profile) => profile,
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
        };
        let text = serde_json::to_string(&profile).expect("a profile can be written");
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let made = folder.map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = made.and_then(|()| std::fs::write(&self.out, text + "\n")) {
            eprintln!("error: {}: {error}", self.out.display());
            return Outcome::Lacking;
        }
        say(&table::profile(&profile));
        say(&format!("written to {}\n", self.out.display()));
        Outcome::Held
    }
}
