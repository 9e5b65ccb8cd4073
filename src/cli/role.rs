//! `sim role` and `sim payload`: what a real run starts its processes with. Hidden: nobody types them.

use clap::Args;

use super::Outcome;
use crate::host::real::control::Setup;
use crate::host::real::{frame, payload, role};
use crate::scenario;

/// A process of a real run, which tells it on standard input who it is.
#[derive(Args)]
pub struct Role {}

impl Role {
    pub fn run(self) -> Outcome {
        let mut input = std::io::stdin();
        let Ok(Some(setup)) = frame::next::<Setup>(&mut input) else {
            eprintln!("error: this verb is for the processes of a real run (see sim validate)");
            return Outcome::BadInput;
        };
        let plan = match plan_of(&setup) {
            Ok(plan) => plan,
            Err(outcome) => return outcome,
        };
        match role::run(setup, plan, input, std::io::stdout()) {
            Ok(()) => Outcome::Held,
            Err(error) => {
                eprintln!("error: {error}");
                Outcome::Lacking
            }
        }
    }
}

/// The plan that all processes of a run share.
pub fn plan_of(setup: &Setup) -> Result<crate::engine::plan::Plan, Outcome> {
    let source = scenario::Source { file: "scenario.json".to_owned(), text: setup.scenario.clone().into_bytes(), folder: None };
    scenario::load(&source, &[]).map(|loaded| loaded.plan).map_err(|errors| super::complain(&errors))
}

/// A container of a real run, which tells it on standard input how to behave.
#[derive(Args)]
pub struct Payload {}

impl Payload {
    pub fn run(self) -> Outcome {
        if let Err(error) = payload::run() {
            eprintln!("error: {error}");
            return Outcome::Lacking;
        }
        Outcome::Held
    }
}
