//! `sim explain`: the story of one object, with causes.

use clap::Args;

use super::{Outcome, complain, say};
use crate::base::{Name, Time};
use crate::engine::Options;
use crate::host::sim;
use crate::objects::Kind;
use crate::scheduler::Explained;
use crate::{report, scenario};

/// Tell the story of one pod, node, workload or service, or of who led, with causes.
///
/// Plays the scenario, writes nothing, and tells what happened to the object in order of time. Below each fact stand its causes, back to
/// the fault or the step that began it; a cause that has been told above is named once more, not what led to it. Below each attempt to
/// schedule a pod stand the nodes that were filtered, by plugin and reason, and the scores of the best of the others.
#[derive(Args)]
#[command(after_help = "Exit status: 0 told; 1 an invariant broke; 2 the scenario, the command line or the object is unknown.\n\n\
                        Examples:\n  sim explain node-failure node/worker-3\n  sim explain node-failure 'pod/*' --at 200s\n  \
                        sim explain zone-outage etcd\n  sim explain control-plane-loss lease/kube-controller-manager --seed 7")]
pub struct Explain {
    /// A scenario file, or the name of a shipped scenario (see `sim list`).
    scenario: String,
    /// KIND/NAME, kinds as kubectl calls them: pod/web-0, node/worker-3, deployment/web, rs/web-0, svc/web, lease/kube-scheduler; or etcd.
    /// Of a name its beginning is enough where it fits one object; * stands for any ending.
    object: String,
    /// The state at this instant, and why it was so, instead of the story: 90s, 5m30s since the start.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    at: Option<String>,
    /// The namespace of the object, where its kind has one.
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// The seed of the run, a whole number. Default: the scenario's, which is 1 unless it says otherwise.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = super::whole)]
    seed: Option<u64>,
    /// Change a field of the scenario: faults[0].at=3m, cluster.nodes[0].count=5. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// For programs: every fact with all its causes.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// The pods whose attempts to be scheduled are told node by node.
    fn explained_pods(&self) -> Option<Explained> {
        let (kind, name) = self.object.split_once('/')?;
        (report::story::kind_named(kind) == Some(Kind::Pod))
            .then(|| Explained { namespace: Name::new(&self.namespace), prefix: Name::new(name.trim_end_matches('*')) })
    }

    pub fn run(self) -> Outcome {
        let at = match self.at.as_deref().map(|text| (text, scenario::units::parse_duration(text))) {
            None => None,
            Some((_, Some(span))) => Some(span),
            Some((text, None)) => {
                eprintln!("error: --at: \"{text}\" is not a duration (expected \"90s\" or \"5m30s\", say)");
                return Outcome::BadInput;
            }
        };
        let mut sets = self.set.clone();
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let loaded = match scenario::find(&self.scenario).map_err(|error| vec![error]).and_then(|source| scenario::load(&source, &sets)) {
            Ok(loaded) => loaded,
            Err(errors) => return complain(&errors),
        };
        if let Err(error) = loaded.needs_cluster("explain") {
            return complain(&[error]);
        }
        if at.is_some_and(|at| at > loaded.plan.duration) {
            eprintln!("error: --at: the run ends at {} s", loaded.plan.duration.as_secs());
            return Outcome::BadInput;
        }
        let mut plan = loaded.plan;
        plan.timings.scheduler.explained = self.explained_pods();
        let record = sim::run(plan, Options::default(), &mut |_| {});
        let at = at.map(|span| -> Time { record.scenario.start + span });
        match report::story::explain(&record, &self.object, &self.namespace, at) {
            Ok(explanation) => say(&if self.json { explanation.json() } else { explanation.text() }),
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::BadInput;
            }
        }
        for violation in &record.violations {
            eprintln!("error: a broken invariant: {violation}");
        }
        if record.violations.is_empty() { Outcome::Held } else { Outcome::Failed }
    }
}
