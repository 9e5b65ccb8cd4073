//! `sim real`: one run of a scenario for real, with its reports. Hidden: `sim validate` is what people want.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, complain, engine, say};
use crate::host::real::control::Lag;
use crate::host::real::interrupt;
use crate::host::real::supervisor;
use crate::{report, scenario};

/// Run a scenario on this machine, in real time: a process for each component, and a process or Docker's container for each container.
#[derive(Args)]
pub struct Real {
    /// A scenario file, or the name of a shipped one.
    scenario: String,
    /// What runs containers.
    #[arg(long, value_parser = engine::NAMES, default_value = "process")]
    runtime: String,
    /// What cuts and delays links between machines: the kernel (network namespaces, veth and netem, for root), or our own transport; `auto` is
    /// the kernel where it can.
    #[arg(long, value_parser = engine::LINKS.map(|(name, _)| name), default_value = "auto")]
    links: String,
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The folder to write to: reports, and the journals of all processes. Default: nothing is written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Real {
    pub fn run(self) -> Outcome {
        let loaded = match scenario::find(&self.scenario).map_err(|error| vec![error]).and_then(|source| scenario::load(&source, &self.set))
        {
            Ok(loaded) => loaded,
            Err(errors) => return complain(&errors),
        };
        interrupt::watch();
        let options = match engine::options(&loaded.plan, &self.runtime, &self.links, self.out.as_deref()) {
            Ok(options) => options,
            Err(outcome) => return outcome,
        };
        let outcome = match supervisor::run(&loaded.resolved, loaded.plan, &options, &mut |_| {}) {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Lacking;
            }
        };
        if let Some(out) = &self.out
            && let Err(error) =
                report::files::make_folder(out).and_then(|()| report::write_all(&outcome.record, &loaded.resolved, out, false))
        {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        say(&report::text::summary(&report::Report::new(&outcome.record), false));
        say(&outcome.links.line());
        let late: u64 = outcome.lags.values().map(|lag| lag.late).sum();
        let wakes: u64 = outcome.lags.values().map(|lag| lag.wakes).sum();
        let worst = outcome.lags.values().map(|lag| lag.worst_nanos).max().unwrap_or_default();
        say(&format!(
            "woken {wakes} times, {late} more than {} ms late, the worst {} ms\n",
            Lag::LATE_NANOS / 1_000_000,
            worst / 1_000_000
        ));
        for trouble in &outcome.troubles {
            eprintln!("error: {trouble}");
        }
        if outcome.troubles.is_empty() { Outcome::Held } else { Outcome::Lacking }
    }
}
