//! `sim schema`: the JSON Schema of scenario files.

use clap::Args;

use super::{Outcome, say};
use crate::scenario;

/// The JSON Schema of scenario files. An editor that knows it completes and checks while you write.
#[derive(Args)]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Outcome {
        say(&scenario::schema());
        say("\n");
        Outcome::Held
    }
}
