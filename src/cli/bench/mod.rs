use super::Outcome;
use clap::Args;
/// bench
#[derive(Args)]
pub struct Bench {}
impl Bench {
    pub fn run(self) -> Outcome {
        Outcome::Held
    }
}
