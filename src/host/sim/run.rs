//! A whole run: from a plan to its record.

use std::sync::Arc;

use super::SimHost;
use crate::base::{Duration, Time};
use crate::engine::plan::{Initial, Plan};
use crate::engine::record::{Counts, NodeInfo, Record, ScenarioInfo};
use crate::engine::{self, Cluster, Engine, Options};
use crate::host::prepare;

/// Where a run stands, for whoever shows its progress.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time since the start.
    pub elapsed: Duration,
    pub events: u64,
}

/// Plays the plan and returns its record. Stops early when an invariant breaks: the record then tells so.
pub fn run(plan: Plan, options: Options, progress: &mut dyn FnMut(Progress)) -> Record {
    if let Some(study) = &plan.study {
        return engine::study::play(&plan, study);
    }
    let mut run = Run::new(plan, options);
    let mut at = run.plan.start;
    let end = run.end();
    while at < end && run.engine.recorder.violations.is_empty() {
        at = (at + Duration::from_secs(1)).min(end);
        run.engine.run_until(at);
        progress(Progress { elapsed: at.since(run.plan.start), events: run.engine.events() });
    }
    run.finish()
}

/// A run that can be stopped and looked into between two instants.
pub struct Run {
    pub plan: Arc<Plan>,
    pub engine: Engine<Cluster, SimHost>,
}

impl Run {
    pub fn new(mut plan: Plan, options: Options) -> Run {
        let (outside, service_ips) = prepare::prepare(&mut plan);
        let plan = Arc::new(plan);
        let mut cluster = Cluster::new(plan.clone(), &service_ips);
        cluster.keep_databases();
        let places = cluster.places(outside);
        let mut host = SimHost::new(plan.clone(), &places);
        let preloaded = match plan.initial {
            Initial::Empty => Vec::new(),
            Initial::Running => super::initial::preload(&plan, &mut host),
        };
        let starts: Vec<_> = places.iter().map(|(address, _)| (*address, plan.begins(*address))).collect();
        let faults = plan.faults.clone();
        let mut engine = Engine::new(cluster, host, &starts, plan.start, plan.seed, faults, options);
        engine.actors.introduce(&mut engine.recorder);
        engine.preload(&preloaded);
        Run { plan, engine }
    }
    pub fn end(&self) -> Time {
        self.plan.start + self.plan.length()
    }
    /// The record of all that happened so far.
    pub fn finish(self) -> Record {
        let Run { plan, mut engine } = self;
        let now = engine.now();
        let expectations = engine.actors.finish(now, &mut engine.recorder);
        let violations = std::mem::take(&mut engine.recorder.violations);
        let whereabouts = engine.whereabouts();
        let mut record = Record {
            scenario: ScenarioInfo {
                name: plan.name.clone(),
                description: plan.description.clone(),
                seed: plan.seed,
                start: plan.start,
                end: now,
                nodes: plan.nodes.iter().map(node_info).collect(),
                etcd_members: plan.etcd.len() as u16,
                faults: Vec::new(),
                traffic: engine.actors.traffic_services(),
            },
            expectations,
            counts: Counts { events: engine.events(), messages: engine.messages(), revisions: engine.actors.revision().0 },
            trace_digest: engine.trace_digest(),
            violations: violations.into_iter().map(|what| format!("{what} ({whereabouts})").into()).collect(),
            ..Record::default()
        };
        engine.recorder.finish(&mut record);
        record
    }
}

/// What reports must know of a node.
pub(in crate::host) fn node_info(node: &crate::engine::plan::NodePlan) -> NodeInfo {
    let amount = |name: &str| node.shape.allocatable.get(name).copied().unwrap_or_default();
    let zone = node.shape.labels.get(crate::objects::node::labels::ZONE).cloned().unwrap_or_default();
    NodeInfo { name: node.shape.name.clone(), zone, cpu_milli: amount("cpu").milli_value(), memory_bytes: amount("memory").value() }
}
