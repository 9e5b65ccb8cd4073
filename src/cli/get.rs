//! `sim get`: what kubectl get would print at an instant.

use clap::Args;

use super::instant::When;
use super::{Outcome, complain, print};
use crate::report::kubectl::get::{Get as Request, get};

/// What kubectl get would print at an instant.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sim get node-failure nodes --at 3m\n  sim get node-failure pods -o wide --at 5m30s\n  sim get node-failure \
                        deploy,rs,po -l app=web --at 8m\n  sim get objects.json pods -A --at 2026-11-23T18:21:12Z"
)]
pub struct Get {
    #[command(flatten)]
    when: When,
    /// What, as for kubectl: pods, pods NAME.., KIND/NAME.., deploy,rs,po, all.
    #[arg(required = true, value_name = "KIND[/NAME]")]
    what: Vec<String>,
    /// The namespace; "default" if there is none.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Of all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// wide, name, yaml, json, jsonpath=.., go-template=.., custom-columns=..; a table without it.
    #[arg(long, short, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    output: String,
    /// Only objects with these labels: app=web,tier!=x.
    #[arg(long, short = 'l', value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Only objects with these fields: spec.nodeName=worker-1, status.phase!=Running.
    #[arg(long, value_name = "FIELDS", default_value = "", hide_default_value = true)]
    field_selector: String,
    /// Labels that become columns, separated by commas. May be given again.
    #[arg(long, short = 'L', value_name = "LABELS", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// A column with all labels.
    #[arg(long)]
    show_labels: bool,
    /// Names with their kind.
    #[arg(long)]
    show_kind: bool,
    /// No line of headers.
    #[arg(long)]
    no_headers: bool,
    /// A field to sort by: .metadata.creationTimestamp.
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    sort_by: String,
    /// Say nothing of objects that are not there.
    #[arg(long)]
    ignore_not_found: bool,
}

impl Get {
    pub fn run(self) -> Outcome {
        let world = match self.when.world() {
            Ok(world) => world,
            Err(errors) => return complain(&errors),
        };
        let request = Request {
            what: self.what,
            namespace: self.namespace,
            all_namespaces: self.all_namespaces,
            output: self.output,
            selector: self.selector,
            field_selector: self.field_selector,
            label_columns: self.label_columns,
            show_labels: self.show_labels,
            show_kind: self.show_kind,
            no_headers: self.no_headers,
            sort_by: self.sort_by,
            ignore_not_found: self.ignore_not_found,
        };
        print(&get(&request, &world))
    }
}
