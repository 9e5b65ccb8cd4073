//! `sim replay`: the journal of a real run's process, fed back to its actor.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, role, say};
use crate::host::real::replay;

/// Feed the journal of a process of a real run back to its actor: the same inputs must give the same effects.
#[derive(Args)]
pub struct Replay {
    /// A journal that a real run has left: processes/ACTOR/journal-1.
    journal: PathBuf,
}

impl Replay {
    pub fn run(self) -> Outcome {
        let replayed = replay::open(&self.journal).and_then(|beginning| {
            let actor = beginning.setup.actor;
            match role::plan_of(&beginning.setup) {
                Ok(plan) => replay::play(beginning, plan).map(|replayed| Ok((actor, replayed))),
                Err(outcome) => Ok(Err(outcome)),
            }
        });
        let (actor, replayed) = match replayed {
            Ok(Ok(replayed)) => replayed,
            Ok(Err(outcome)) => return outcome,
            Err(error) => {
                eprintln!("error: {}: {error}", self.journal.display());
                return Outcome::BadInput;
            }
        };
        let end = if replayed.whole { "to its end" } else { "until it was killed" };
        say(&format!("{actor}: {} turns, {} effects, {} facts, {end}\n", replayed.turns, replayed.effects, replayed.facts));
        match replayed.difference {
            None => Outcome::Held,
            Some(difference) => {
                eprintln!("error: the replay differs: {difference}");
                Outcome::Failed
            }
        }
    }
}
