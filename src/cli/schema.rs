//! `sim schema`: the JSON Schema of scenario files.

use clap::Args;

use super::{Outcome, say};
use crate::scenario;

/// The JSON Schema of scenario files. An editor that knows it completes and checks while you write.
#[derive(Args)]
#[command(after_help = "Example: sim schema > scenario.schema.json, and in a scenario \"$schema\": \"./scenario.schema.json\"")]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Outcome {
        say(&scenario::schema());
        say("\n");
        Outcome::Held
    }
}
