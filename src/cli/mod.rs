//! Floor 10: verbs, flags, exit codes, progress bars. One file a verb; raw arguments become typed ones here, and nothing below knows
//! that there is a terminal.
//!
//! Exit status: 0 all held; 1 the cluster did not do what was expected; 2 the input or the command line is wrong; 3 the environment lacks
//! something (an output folder that can't be written, say).

mod bench;
mod check;
mod compare;
mod completions;
mod describe;
mod engine;
mod explain;
mod get;
mod instant;
mod list;
mod memory;
mod minimize;
mod new;
mod oracle;
mod plan;
mod real;
mod regress;
mod replay;
mod report;
mod role;
mod run;
mod schema;
mod sweep;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a verb came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Held,
    /// An expectation or an invariant did not hold.
    Failed,
    BadInput,
    /// The environment lacks something.
    Lacking,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Held => 0,
            Outcome::Failed => 1,
            Outcome::BadInput => 2,
            Outcome::Lacking => 3,
        })
    }
}

/// What `sim run --help` ends with.
const RUN_HELP: &str = "Exit status: 0 all expectations and invariants held; 1 some did not; 2 the scenario or the command line is wrong; 3 \
                        the folder cannot be written, or the machine lacks memory.\n\nExamples:\n  sim run node-failure\n  sim run \
                        node-failure --seed 7 --set traffic[0].rate=50/s --out again\n  sim run my.json --no-output --json\n\nHow a \
                        scenario is written: sim new --help.";

/// What will my container cluster do when ...? A deterministic simulator of a whole Kubernetes-style cluster: same scenario, same seed,
/// same run, byte for byte.
#[derive(Parser)]
#[command(
    name = "sim",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 all held; 1 the cluster did not do what was expected; 2 the input or the command line is wrong; 3 the \
                  environment lacks something.\n\nBegin with: sim list, then sim run node-failure. Each verb has its own help: sim run --help\n\nTo \
                  write a scenario: sim new --help shows one with every step, fault and expectation; sim new my-cluster writes one \
                  to start from; sim schema faults tells what fields mean; sim check my-cluster.yaml what is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Play a scenario and write its reports.
    Run(run::Run),
    /// Play a scenario with many seeds: statistics, and the seeds that failed.
    Sweep(sweep::Sweep),
    /// Make a scenario that fails with a seed as small as it can be and still fail.
    Minimize(minimize::Minimize),
    /// Play scenarios and hold them against recorded baselines.
    Regress(regress::Regress),
    /// Two runs' outcomes side by side, and where they part.
    Compare(compare::Compare),
    /// Read and check scenarios; tell what is not modelled; run nothing.
    Check(check::Check),
    /// The shipped scenarios, a line each.
    List(list::List),
    /// Write a commented scenario to start from.
    New(new::New),
    /// Tell the story of one pod, node, workload or service, or of who led, with causes.
    Explain(explain::Explain),
    /// What kubectl get would print at an instant.
    Get(get::Get),
    /// What kubectl describe would print at an instant.
    Describe(describe::Describe),
    /// Write CSV and PNG again from a saved run.
    Report(report::Report),
    /// Play a scenario in real time, with a process for each component and container.
    #[command(hide = true)]
    Real(real::Real),
    /// Predict a scenario, run it for real on this machine, and compare.
    Validate(validate::Validate),
    /// Measure this machine's latencies for validate.
    Calibrate(validate::Calibrate),
    /// Feed the journal of a real run's process back to its actor.
    Replay(replay::Replay),
    #[command(hide = true)]
    Role(role::Role),
    #[command(hide = true)]
    Payload(role::Payload),
    /// How fast this machine runs it, beside a reference measured in the same run.
    Bench(bench::Bench),
    /// How many more nodes are needed until everything fits and all expectations hold.
    Plan(plan::Plan),
    /// Hold the scheduler against recorded decisions of kube-scheduler.
    Oracle(oracle::Oracle),
    /// The JSON Schema of scenario files, or what a field means.
    Schema(schema::Schema),
    /// What a shell needs to complete sim's verbs and options.
    Completions(completions::Completions),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` come this way too, with status 0.
            let outcome = if error.use_stderr() { Outcome::BadInput } else { Outcome::Held };
            // Nobody to tell when the terminal is gone.
            let _ = error.print();
            return outcome.into();
        }
    };
    let outcome = match arguments.verb {
        Verb::Run(verb) => verb.run(),
        Verb::Sweep(verb) => verb.run(),
        Verb::Minimize(verb) => verb.run(),
        Verb::Regress(verb) => verb.run(),
        Verb::Compare(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::List(verb) => verb.run(),
        Verb::New(verb) => verb.run(),
        Verb::Explain(verb) => verb.run(),
        Verb::Get(verb) => verb.run(),
        Verb::Describe(verb) => verb.run(),
        Verb::Report(verb) => verb.run(),
        Verb::Real(verb) => verb.run(),
        Verb::Validate(verb) => verb.run(),
        Verb::Calibrate(verb) => verb.run(),
        Verb::Replay(verb) => verb.run(),
        Verb::Role(verb) => verb.run(),
        Verb::Payload(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Plan(verb) => verb.run(),
        Verb::Oracle(verb) => verb.run(),
        Verb::Schema(verb) => verb.run(),
        Verb::Completions(verb) => verb.run::<Arguments>(),
    };
    outcome.into()
}

/// A seed.
fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u64::MAX))
}

/// Prints to standard output; a reader that went away (`sim list | head`) is no error.
fn say(text: &str) {
    use std::io::Write;
    let mut output = std::io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {error}");
        std::process::exit(3);
    }
}

/// Prints what kubectl would have, to both outputs.
fn print(printed: &crate::report::kubectl::Printed) -> Outcome {
    say(&printed.stdout);
    eprint!("{}", printed.stderr);
    if printed.status == 0 { Outcome::Held } else { Outcome::Failed }
}

/// Prints all errors of an input to standard error.
fn complain(errors: &[crate::scenario::InputError]) -> Outcome {
    for error in errors {
        eprintln!("error: {error}");
    }
    Outcome::BadInput
}
