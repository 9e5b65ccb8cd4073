//! How the containers of a workload behave: when they serve, when and how they end, how long a request takes.
//!
//! Draws are keyed by (namespace, workload, n-th pod that this workload created), container and attempt, never by a generated pod name:
//! two policies, or two seeds of anything else, meet the *same* pods.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::presets;
use crate::base::random::Seed;
use crate::base::{Duration, Map, Name, Stream};
use crate::wire::container::PodIdentity;

/// How the containers of a workload behave.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// From the start of the process until it serves and its probes succeed.
    pub ready_after: Distribution,
    /// It ends by itself so long after its start, with this exit code. `None`: it runs until it is stopped.
    pub exits_after: Option<Distribution>,
    pub exit_code: i32,
    /// From SIGTERM until it ends.
    pub stops_after: Distribution,
    /// How long it takes to answer a request.
    pub service_time: Distribution,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            ready_after: Distribution::Constant(Duration::ZERO),
            exits_after: None,
            exit_code: 0,
            stops_after: presets::container_stop(),
            service_time: presets::service_time(),
        }
    }
}

/// One life of one container, drawn whole at its start.
#[derive(Clone, Debug)]
pub struct Life {
    pub ready_after: Duration,
    /// When it ends by itself, and with which code.
    pub exits_after: Option<(Duration, i32)>,
    pub stops_after: Duration,
}

/// The behaviours of a run, and the numbers of its pods.
pub struct Workloads {
    seed: Seed,
    behaviours: BTreeMap<Name, Behaviour>,
    default: Behaviour,
    numbers: Map<(Name, Name), Map<Name, u64>>,
}

impl Workloads {
    /// `behaviours` by workload name; others behave as `Behaviour::default()`.
    pub fn new(seed: Seed, behaviours: BTreeMap<Name, Behaviour>) -> Workloads {
        Workloads { seed, behaviours, default: Behaviour::default(), numbers: Map::default() }
    }
    /// Which pod of its workload this is, from 0. Whoever sees pods being created should ask in that order; a pod that nobody numbered
    /// before is numbered when its sandbox is made.
    pub fn number(&mut self, identity: &PodIdentity) -> u64 {
        let pods = self.numbers.entry((identity.namespace.clone(), identity.workload.clone())).or_default();
        let next = pods.len() as u64;
        *pods.entry(identity.pod.clone()).or_insert(next)
    }
    pub fn behaviour(&self, workload: &str) -> &Behaviour {
        self.behaviours.get(workload).unwrap_or(&self.default)
    }
    /// The life of a container's `attempt`. An init container that is no sidecar runs to completion instead of serving.
    pub fn life(&mut self, identity: &PodIdentity, index: u16, attempt: u32, init: bool) -> Life {
        let number = self.number(identity);
        let name = format!("behaviour {}/{} pod {number} container {index} attempt {attempt}", identity.namespace, identity.workload);
        let mut stream = self.seed.stream(&name);
        let behaviour = self.behaviour(&identity.workload);
        // Every draw is made whatever comes of it, so that one setting does not move the draws of the others.
        let ready_after = behaviour.ready_after.sample(&mut stream);
        let stops_after = behaviour.stops_after.sample(&mut stream);
        let exits_after = behaviour.exits_after.as_ref().map(|after| (after.sample(&mut stream), behaviour.exit_code));
        if init {
            let takes = presets::init_container_run().sample(&mut stream);
            return Life { ready_after: Duration::ZERO, exits_after: Some((takes, 0)), stops_after };
        }
        Life { ready_after, exits_after, stops_after }
    }
    /// How long a pod of this workload takes to answer one request; the caller's stream, since requests are not pods.
    pub fn service_time(&self, workload: &str, stream: &mut Stream) -> Duration {
        self.behaviour(workload).service_time.sample(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(workload: &str, pod: &str) -> PodIdentity {
        PodIdentity { namespace: "default".into(), pod: pod.into(), workload: workload.into() }
    }

    #[test]
    fn two_runs_meet_the_same_pods_whatever_their_names() {
        let behaviours = || BTreeMap::from([(Name::new("web"), Behaviour { ready_after: presets::sandbox(), ..Behaviour::default() })]);
        let (mut one, mut other) = (Workloads::new(Seed(1), behaviours()), Workloads::new(Seed(1), behaviours()));
        let life = |workloads: &mut Workloads, pod: &str| workloads.life(&identity("web", pod), 0, 0, false).ready_after;
        let first: Vec<_> = ["web-x", "web-y"].map(|pod| life(&mut one, pod)).into();
        let second: Vec<_> = ["web-q", "web-r"].map(|pod| life(&mut other, pod)).into();
        assert_eq!(first, second);
        assert_ne!(first[0], first[1]);
        assert_eq!(life(&mut one, "web-x"), first[0], "a pod keeps its number");
        assert_ne!(one.life(&identity("web", "web-x"), 0, 1, false).ready_after, first[0], "another attempt is another life");
    }
}
