//! Lowering: the written types to a [`Plan`]. References are resolved, times are held against the run, limits are checked; every error
//! goes to [`Lowering::error`] with the path of the field that it is about, and lowering goes on.

mod cluster;
mod etcd;
mod expectations;
mod faults;
mod policy;
mod profile;
mod random_faults;
mod replay;
mod scheduler;
mod steps;
mod study;
mod topology;
mod trace;
mod workload;
mod written_out;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::Scenario;
use super::units::{Span, format_duration};
use super::{Loaded, Source, file};
use crate::base::{Duration, Name, Time};
use crate::engine::plan::{self, Plan};
use crate::manifest::{self, Errors, InputError, Node, Path, Warning, parse_path, short};
use crate::models::distribution::Distribution;
use crate::objects::{Key, Object};
use topology::Topology;

/// 100,000 nodes.
const MAX_NODES: u64 = 100_000;
/// 5 million pods.
const MAX_PODS: u64 = 5_000_000;
/// 100 virtual years.
const MAX_DURATION: Duration = Duration::from_secs(100 * 36_525 * 864);

pub fn lower(source: &Source, root: Node, scenario: &Scenario) -> Result<Loaded, Errors> {
    let mut resolved = root.clone();
    // Always written, so that a seed by default and the same seed by command leave the same file.
    let seed = manifest::Step::Key("seed".to_owned());
    manifest::set(&mut resolved, &[seed], Node::from_json(&scenario.seed.into())).expect("a scenario is an object");
    let mut lowering = Lowering {
        source,
        root,
        resolved,
        start: scenario.start_time.map_or(Time::ZERO, |instant| instant.0),
        duration: scenario.duration.map_or(Duration::ZERO, |duration| duration.0),
        errors: Errors::default(),
        warnings: Vec::new(),
        topology: Topology::default(),
        objects: BTreeMap::new(),
        pods: 0,
        seed: scenario.seed,
        random_streams: BTreeMap::new(),
        etcd_steps: Vec::new(),
        etcd_clients_recorded: Vec::new(),
        written_out: None,
        has_trace_nodes: false,
    };
    let plan = match (&scenario.cluster, &scenario.trace) {
        (Some(cluster), _) => lowering.scenario(scenario, cluster),
        (None, Some(trace)) => {
            lowering.name(scenario);
            lowering.study(scenario, trace)
        }
        (None, None) => {
            if scenario.duration.is_none() {
                lowering.missing("duration", "for example \"duration\": \"5m30s\"");
            }
            lowering.missing("cluster", "a \"cluster\", or a \"trace\" for the scheduler alone");
            return Err(lowering.errors);
        }
    };
    let Lowering { errors, warnings, resolved, written_out, .. } = lowering;
    let written_out = written_out.map(|root| root.to_json_text());
    if errors.is_empty() { Ok(Loaded { plan, warnings, resolved: resolved.to_json_text(), written_out }) } else { Err(errors) }
}

struct Lowering<'a> {
    source: &'a Source,
    /// As the file has it: where errors find their places.
    root: Node,
    /// The same with files of manifests put inside.
    resolved: Node,
    start: Time,
    duration: Duration,
    errors: Errors,
    warnings: Vec<Warning>,
    topology: Topology,
    /// Every object that the workload or a step applies: what names may refer to.
    objects: BTreeMap<Key, Arc<Object>>,
    /// Pods that the workload asks for.
    pods: u64,
    seed: u64,
    /// How many random streams of a name were handed out.
    random_streams: BTreeMap<String, u32>,
    etcd_steps: Vec<plan::etcdctl::Step>,
    /// Of each group of etcd's clients: is its history kept?
    etcd_clients_recorded: Vec<bool>,
    /// `resolved` with random faults written out, if there are any.
    written_out: Option<Node>,
    /// The trace brings nodes of its own.
    has_trace_nodes: bool,
}

impl Lowering<'_> {
    fn scenario(&mut self, scenario: &Scenario, cluster: &file::Cluster) -> Plan {
        self.name(scenario);
        self.frame(scenario);
        self.has_trace_nodes = scenario.trace.as_ref().is_some_and(|trace| trace.nodes.is_some());
        let mut parts = self.cluster(cluster);
        let mut timings = cluster.timings.lower();
        self.leader_timings(&timings.controllers.leader, "cluster.timings.controllerManager");
        let by_timings = timings.scheduler.leader;
        self.scheduler(&cluster.scheduler, &mut timings.scheduler);
        // What the configuration changes is checked there.
        if timings.scheduler.leader == by_timings {
            self.leader_timings(&by_timings, "cluster.timings.scheduler");
        }
        let mut workload = self.workload(scenario);
        // Steps are read before whatever names the objects that they apply.
        let mut steps = self.steps(&scenario.steps);
        let replay = self.replay(scenario, cluster, &mut parts);
        let mut behaviours = self.behaviours(&scenario.behaviours);
        steps.extend(replay.steps);
        for (pod, behaviour) in replay.behaviours {
            behaviours.entry(pod).or_insert(behaviour);
        }
        let traffic = self.traffic(&scenario.traffic);
        let etcd_load = self.etcd_clients(&scenario.etcd_clients);
        if self.topology.is_etcd_only() {
            self.nothing_for_kubernetes(scenario);
        }
        let (faults, first) = self.faults(&scenario.faults);
        self.no_limit_after_random_faults(scenario);
        self.written_out = self.written_out(&scenario.faults, &faults, &first);
        let expectations = self.expectations(&scenario.expectations, &first, &traffic);
        timings.scheduler.policy = scenario.policy.as_ref().map(|written| self.placement_policy(written, cluster));
        let initial = match scenario.initial {
            file::Initial::Empty => plan::Initial::Empty,
            file::Initial::Running => plan::Initial::Running,
        };
        if let Some(at) = scenario.workload_at {
            let at = self.instant(at, "workloadAt");
            if initial == plan::Initial::Running {
                self.error("workloadAt", "a workload that runs at the start is not applied later".to_owned(), |error| {
                    error.expecting("\"initial\": \"empty\"")
                });
            }
            if at > self.start && !workload.is_empty() {
                let objects = std::mem::take(&mut workload);
                let description = Name::new("apply the workload");
                steps.insert(0, plan::Step { at, description, action: plan::Action::Apply(objects) });
            }
        }
        steps.sort_by_key(|step| step.at);
        let mut etcd_steps = std::mem::take(&mut self.etcd_steps);
        etcd_steps.sort_by_key(|step| step.at);
        let mut plan = Plan {
            name: Name::new(&scenario.name),
            description: Name::new(&scenario.description),
            seed: scenario.seed,
            start: self.start,
            duration: self.duration,
            stop_after: None,
            machines: std::mem::take(&mut self.topology.machines),
            etcd_initial: self.topology.etcd_initial,
            etcd: std::mem::take(&mut self.topology.etcd),
            api_servers: std::mem::take(&mut self.topology.api_servers),
            managers: std::mem::take(&mut self.topology.managers),
            schedulers: std::mem::take(&mut self.topology.schedulers),
            nodes: std::mem::take(&mut self.topology.nodes),
            network: parts.network,
            images: parts.images,
            runtime: parts.runtime,
            starts: plan::Starts::default(),
            timings,
            workload,
            initial,
            behaviours,
            traffic,
            etcd_load,
            steps,
            etcd_steps,
            faults,
            expectations,
            study: None,
        };
        self.profile(scenario, &mut plan);
        plan.timings.set_volumes(plan.has_volumes());
        plan
    }
    /// A fault that comes many times or never has no one beginning.
    fn no_limit_after_random_faults(&mut self, scenario: &Scenario) {
        for (index, expectation) in scenario.expectations.iter().enumerate() {
            let Some(within) = &expectation.within else { continue };
            let fault = usize::try_from(within.fault).ok().and_then(|fault| scenario.faults.get(fault));
            if fault.is_some_and(|fault| fault.every.is_some()) {
                let message = format!("faults[{}] comes at random", within.fault);
                self.error(&format!("expectations[{index}].within.fault"), message, |error| {
                    error.expecting("a fault that comes once, or always, never, eventually, atEnd instead of within")
                });
            }
        }
    }
    fn missing(&mut self, field: &str, expected: &str) {
        self.error("", format!("the field \"{field}\" is missing"), |error| error.expecting(expected));
    }
    fn name(&mut self, scenario: &Scenario) {
        if !is_label(&scenario.name) {
            let message = format!("\"{}\" is not a name", short(&scenario.name));
            self.error("name", message, |error| error.expecting("lower-case letters, digits and dashes, at most 63"));
        }
    }
    fn frame(&mut self, scenario: &Scenario) {
        if scenario.duration.is_none() {
            self.missing("duration", "for example \"duration\": \"5m30s\"");
        } else if self.duration == Duration::ZERO {
            self.error("duration", "a run of no length shows nothing".to_owned(), |error| error.expecting("more than 0s"));
        } else if self.duration > MAX_DURATION {
            let message = format!("{} is beyond the limit", format_duration(self.duration));
            self.error("duration", message, |error| error.expecting("100 years or less"));
        }
        // 2^64 ns end in the year 2604.
        if self.start + MAX_DURATION + MAX_DURATION >= Time::NEVER {
            self.error("startTime", "too far in the future".to_owned(), |error| error.expecting("a year before 2400"));
        }
    }
    /// Adds an error at a path. The place is that of the deepest part of the path that the file has.
    fn error(&mut self, path: &str, message: String, refine: impl FnOnce(InputError) -> InputError) {
        let (file, place) = self.place(path);
        self.errors.push(refine(InputError::new(&file, place, path, message)));
    }
    fn place(&self, path: &str) -> (String, Option<crate::manifest::Place>) {
        let mut node = &self.root;
        for step in parse_path(path).unwrap_or_default() {
            match node.child(&step) {
                Some(inner) => node = inner,
                None => break,
            }
            if node.place.is_none() {
                return ("--set".to_owned(), None);
            }
        }
        (self.source.file.clone(), node.place)
    }
    /// An instant of the run; later ones are errors.
    fn instant(&mut self, span: Span, path: &str) -> Time {
        if span.0 > self.duration {
            let (at, end) = (format_duration(span.0), format_duration(self.duration));
            self.error(path, format!("{at} is after the end of the run"), |error| error.expecting(format!("at most {end}")));
        }
        self.start + span.0
    }
    fn distribution(&mut self, written: &file::Distribution, path: &str) -> Distribution {
        match written {
            file::Distribution::Constant(span) => Distribution::Constant(span.0),
            file::Distribution::Uniform(bounds) => {
                if bounds.low.0 > bounds.high.0 {
                    self.error(&format!("{path}.uniform"), "the low bound is above the high one".to_owned(), |error| error);
                }
                Distribution::Uniform { low: bounds.low.0, high: bounds.high.0 }
            }
            file::Distribution::Normal(normal) => Distribution::Normal { mean: normal.mean.0, deviation: normal.deviation.0 },
            file::Distribution::LogNormal(law) => Distribution::LogNormal { median: law.median.0, sigma: law.sigma },
            file::Distribution::Exponential(mean) => Distribution::Exponential { mean: mean.0 },
            file::Distribution::Empirical(spans) => self.empirical(spans, &format!("{path}.empirical")),
            file::Distribution::EmpiricalFile(name) => {
                let path = format!("{path}.empiricalFile");
                let spans = self.read_spans(name, &path);
                self.empirical(&spans, &path)
            }
        }
    }
    fn distribution_or(&mut self, written: &Option<file::Distribution>, path: &str, default: Distribution) -> Distribution {
        written.as_ref().map_or(default, |written| self.distribution(written, path))
    }
    fn empirical(&mut self, spans: &[Span], path: &str) -> Distribution {
        if spans.is_empty() {
            self.error(path, "a distribution needs at least one value".to_owned(), |error| error);
        }
        let mut values: Vec<Duration> = spans.iter().map(|span| span.0).collect();
        values.sort_unstable();
        Distribution::Empirical(values.into())
    }
    fn read_spans(&mut self, name: &str, path: &str) -> Vec<Span> {
        let Some((shown, bytes)) = self.read_beside(name, path) else { return vec![Span(Duration::ZERO)] };
        let spans =
            crate::manifest::parse(&shown, &bytes, crate::manifest::Syntax::of(&shown, &bytes)).map(|mut documents| documents.pop());
        match spans {
            Err(error) => self.errors.push(error),
            Ok(Some(node)) => match serde_json::from_value(node.to_json()) {
                Ok(spans) => return spans,
                Err(error) => {
                    self.error(path, format!("{shown} is not a list of spans: {error}"), |error| error.expecting("[\"1ms\", \"2ms\"]"))
                }
            },
            Ok(None) => self.error(path, format!("{shown} is empty"), |error| error.expecting("[\"1ms\", \"2ms\"]")),
        }
        // One value stands for the unreadable ones: their error is told already.
        vec![Span(Duration::ZERO)]
    }
    /// The text of a file that stands beside the scenario, and how it is called in errors.
    fn read_beside(&mut self, name: &str, path: &str) -> Option<(String, Vec<u8>)> {
        if name.is_empty() {
            self.error(path, "a file has a name".to_owned(), |error| error);
            return None;
        }
        let Some(folder) = &self.source.folder else {
            self.error(path, "a shipped scenario has no files beside it".to_owned(), |error| error);
            return None;
        };
        let full = folder.join(name);
        self.read(full.strip_prefix(".").unwrap_or(&full).display().to_string(), &full, path)
    }
    /// The same of a file that the command line may name as well: that one is where the command's other files are.
    fn read_named(&mut self, name: &str, path: &str) -> Option<(String, Vec<u8>)> {
        if self.place(path).1.is_some() || name.is_empty() {
            return self.read_beside(name, path);
        }
        self.read(name.to_owned(), std::path::Path::new(name), path)
    }
    fn read(&mut self, shown: String, file: &std::path::Path, path: &str) -> Option<(String, Vec<u8>)> {
        match super::read_file(&shown, file) {
            Ok(bytes) => Some((shown, bytes)),
            Err(error) => {
                self.error(path, format!("{shown} {}", error.message), |error| error);
                None
            }
        }
    }
}

/// A path below another.
fn at(path: &str, field: &str) -> String {
    Path::new(path).key(field).as_str().to_owned()
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
