//! `sim list`: the shipped scenarios.

use clap::Args;

use super::{Outcome, say};
use crate::scenario;

/// The shipped scenarios, a line each.
#[derive(Args)]
#[command(after_help = "Each name can be given to `sim run` and `sim check`.")]
pub struct List {}

impl List {
    pub fn run(self) -> Outcome {
        let width = scenario::shipped().iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
        for scenario in scenario::shipped() {
            say(&format!("{:width$}  {}\n", scenario.name, scenario.about));
        }
        Outcome::Held
    }
}
