//! `sim`: the command line of clustersim. See [`clustersim::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    clustersim::cli::main()
}
