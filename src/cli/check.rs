//! `sim check`: read and check scenarios.

use clap::Args;

use super::{Outcome, complain, say};
use crate::scenario;

/// Read and check scenarios; tell what is not modelled; run nothing.
#[derive(Args)]
#[command(after_help = "Exit status: 0 all can be played; 2 an error in a scenario (all are told, with file, line and path).\n\n\
                        Example: sim check node-failure my.json --set duration=2m")]
pub struct Check {
    /// Scenario files, or names of shipped scenarios.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Change a field before checking: cluster.nodes[0].count=5. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl Check {
    pub fn run(self) -> Outcome {
        let mut outcome = Outcome::Held;
        for name in &self.scenarios {
            let loaded = scenario::find(name).map_err(|error| vec![error]).and_then(|source| scenario::load(&source, &self.set));
            match loaded {
                Ok(loaded) => {
                    for warning in &loaded.warnings {
                        say(&format!("warning: {warning}\n"));
                    }
                    let plan = &loaded.plan;
                    if let Some(study) = &plan.study {
                        say(&format!(
                            "{name}: the scheduler alone, policy {}, {} nodes, {} pods of {}, {} expectations: ok\n",
                            study.policy.name(),
                            study.nodes.len(),
                            study.pods.len(),
                            study.workload,
                            plan.expectations.len()
                        ));
                        continue;
                    }
                    say(&format!(
                        "{name}: {} nodes, {} objects, {} steps, {} faults, {} expectations, {} s of virtual time: ok\n",
                        plan.nodes.len(),
                        plan.workload.len(),
                        plan.steps.len(),
                        plan.faults.len(),
                        plan.expectations.len(),
                        plan.duration.as_secs()
                    ));
                }
                Err(errors) => outcome = complain(&errors),
            }
        }
        outcome
    }
}
