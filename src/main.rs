//! `sim`: the command line of clustersim. See [`clustersim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    clustersim::cli::main()
}
