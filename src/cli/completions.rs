//! `sim completions`: a script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Outcome, say};

/// What a shell needs to complete sim's verbs and options.
#[derive(Args)]
#[command(after_help = "Examples:\n  sim completions bash > ~/.local/share/bash-completion/completions/sim\n  sim completions fish > \
                        ~/.config/fish/completions/sim.fish")]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Writes the script for the command line that `C` describes.
    pub fn run<C: CommandFactory>(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut C::command(), "sim", &mut script);
        say(&String::from_utf8_lossy(&script));
        Outcome::Held
    }
}
