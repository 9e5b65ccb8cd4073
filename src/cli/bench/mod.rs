use clap::Args;
use super::Outcome;
/// bench
#[derive(Args)]
pub struct Bench {}
impl Bench { pub fn run(self) -> Outcome { Outcome::Held } }
