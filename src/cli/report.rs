//! `sim report`: reports again from a saved run.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, say};
use crate::report;

/// Write CSV and PNG again from a saved run, and tell what happened.
#[derive(Args)]
#[command(after_help = "Exit status: 0 written; 2 the folder holds no saved run; 3 it cannot be written.\n\n\
                        Example: sim report output/node-failure-seed1")]
pub struct Report {
    /// The folder of a run: what `sim run` wrote, output/node-failure-seed1 say.
    run: PathBuf,
    /// Leave the pictures out.
    #[arg(long)]
    no_plots: bool,
}

impl Report {
    pub fn run(self) -> Outcome {
        let record = match report::read(&self.run.join(report::saved::FILE)) {
            Ok(record) => record,
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::BadInput;
            }
        };
        if let Err(error) = report::write_reports(&record, &self.run, !self.no_plots) {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        say(&report::text::summary(&report::Report::new(&record), false));
        Outcome::Held
    }
}
