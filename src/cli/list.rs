//! `sim list`: the shipped scenarios.

use clap::Args;

use super::{Outcome, say};
use crate::scenario;

/// The shipped scenarios, a line each.
#[derive(Args)]
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
