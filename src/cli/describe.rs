//! `sim describe`: what kubectl describe would print at an instant.

use clap::Args;

use super::instant::When;
use super::{Outcome, complain, print};
use crate::report::kubectl::describe::{Describe as Request, describe};

/// What kubectl describe would print at an instant.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sim describe node-failure node worker-1 --at 3m\n  sim describe node-failure deploy/web --at 8m\n  sim \
                        describe objects.json pods -l app=web --at 2026-11-23T18:21:12Z"
)]
pub struct Describe {
    #[command(flatten)]
    when: When,
    /// What, as for kubectl: pods, pods NAME.., KIND/NAME...
    #[arg(required = true, value_name = "KIND[/NAME]")]
    what: Vec<String>,
    /// The namespace; "default" if there is none.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Of all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Only objects with these labels: app=web,tier!=x.
    #[arg(long, short = 'l', value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
}

impl Describe {
    pub fn run(self) -> Outcome {
        let world = match self.when.world() {
            Ok(world) => world,
            Err(errors) => return complain(&errors),
        };
        let Describe { what, namespace, all_namespaces, selector, .. } = self;
        print(&describe(&Request { what, namespace, all_namespaces, selector }, &world))
    }
}
