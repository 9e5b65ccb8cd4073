//! A trace as workload of a cluster: its nodes stand beside those of the groups, each pod is applied at its time and ends by itself after
//! its duration, both divided by `trace.speed`. What a container needs to come up is not sped up: durations near it come out longer.
//!
//! GPUs are an extended resource in thousandths, summed over the node's cards; a node's model is a label, a pod's models a required node
//! affinity. So the API, the default scheduler and the kubelet see what they would see of a device plugin that shares GPUs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::cluster::{DEFAULT_REGION, Parts, Spot};
use super::study::PODS;
use super::trace::{NodeRow, PodRow, Text};
use super::{Lowering, MAX_NODES, is_label, short};
use crate::base::random::Seed;
use crate::base::{Duration, Name, Stream, Time};
use crate::engine::plan::{Action, Behaviour, Step};
use crate::manifest::{self, InputError, Node, Path};
use crate::models::distribution::Distribution;
use crate::objects::{Object, Quantity};
use crate::scenario::file::{self, Scenario, Trace};
use crate::scenario::units::format_duration;
use crate::scheduler::policies::{Demand, GPU_MODEL_LABEL, GPU_RESOURCE, Models, WHOLE_GPU};
use crate::scheduler::study::{Arrival, Pod, draw};

/// The group of the trace's nodes, as faults call it.
const GROUP: &str = "trace";
/// The image of the pods, unless the scenario names one. It is on every node.
const IMAGE: &str = "trace:1";
/// 100 years in five minutes.
const MOST_SPEED: u64 = 10_000_000;

/// What a trace adds to a plan.
#[derive(Default)]
pub struct Replay {
    pub steps: Vec<Step>,
    pub behaviours: BTreeMap<Name, Behaviour>,
}

impl Lowering<'_> {
    pub fn replay(&mut self, scenario: &Scenario, cluster: &file::Cluster, parts: &mut Parts) -> Replay {
        let Some(trace) = &scenario.trace else { return Replay::default() };
        let (nodes, rate) = (trace.nodes.is_some(), trace.rate.is_some());
        let idle = [
            ("order", trace.order.is_some(), "in time pods come when the trace says, or at a rate", "a scenario without a \"cluster\""),
            ("from", trace.from.is_some() && rate, "at a rate pods come whatever times the trace has", "one of from and rate"),
            ("load", trace.load.is_some() && !rate, "at its own times the trace has the load that it has", "a \"rate\" beside it"),
            ("nodeShare", trace.node_share.is_some() && !nodes, "the trace brings no nodes", "\"nodes\" beside it"),
            ("nodeColumns", trace.node_columns.is_some() && !nodes, "the trace brings no nodes", "\"nodes\" beside it"),
        ];
        for (field, _, message, expected) in idle.into_iter().filter(|(_, given, ..)| *given) {
            self.error(&super::at("trace", field), message.to_owned(), |error| error.expecting(expected));
        }
        self.no_columns_of_openb(trace);
        let speed = trace.speed.unwrap_or(1);
        if !(1..=MOST_SPEED).contains(&speed) {
            self.error("trace.speed", format!("{speed} times as fast"), |error| error.expecting(format!("1 to {MOST_SPEED}")));
        }
        let mut gpus = self.topology.nodes.iter().map(|node| gpu_milli(&node.shape.allocatable)).sum::<i64>();
        if let Some(name) = &trace.nodes
            && let Some(text) = self.trace_text(trace, name, "nodes")
        {
            let rows = self.trace_nodes(trace, &text);
            gpus += self.replayed_nodes(trace, cluster, parts, &text, rows);
        }
        match &trace.image {
            None => parts.images.preloaded.push(Name::new(IMAGE)),
            Some(image) if image.is_empty() => self.error("trace.image", "an image has a name".to_owned(), |error| error),
            Some(_) => {}
        }
        let Some(text) = self.trace_text(trace, &trace.pods, "pods") else { return Replay::default() };
        let rows = self.trace_pods(trace, &text);
        if !self.errors.is_empty() {
            return Replay::default();
        }
        let start = self.start + scenario.workload_at.map_or(Duration::ZERO, |at| at.0);
        let arrivals = match trace.rate {
            Some(rate) => self.at_a_rate(trace, rate.0, &rows, gpus, start),
            None => self.at_their_times(trace, speed.max(1), &text, &rows, start),
        };
        self.applied(trace, speed.max(1), &text, &rows, arrivals)
    }
    /// Adds the nodes, those of the share; gives their thousandths of GPUs.
    fn replayed_nodes(&mut self, trace: &Trace, cluster: &file::Cluster, parts: &Parts, text: &Text, mut rows: Vec<NodeRow>) -> i64 {
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(share) = trace.node_share {
            if !(1..=1000).contains(&share.0) {
                self.error("trace.nodeShare", "no such share of the nodes".to_owned(), |error| error.expecting("0.1% to 100%"));
            }
            let kept = (rows.len() as u64 * share.0.clamp(1, 1000)).div_ceil(1000) as usize;
            Seed(self.seed).stream("trace nodes").shuffle(&mut rows);
            rows.truncate(kept);
            rows.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if (self.topology.nodes.len() + rows.len()) as u64 > MAX_NODES {
            self.error("trace.nodes", format!("{} nodes are beyond the limit", rows.len()), |error| {
                error.expecting(format!("{MAX_NODES} or less"))
            });
            return 0;
        }
        let zone = cluster.control_plane.zones.first().map_or("zone-1", String::as_str).to_owned();
        let mut gpus = 0;
        for row in rows {
            if !is_label(&row.name) {
                self.row_error(text, row.place, format!("\"{}\" is no name of a node", short(&row.name)));
                continue;
            }
            let mut capacity = BTreeMap::from([
                (Name::new("cpu"), Quantity::from_milli(row.cpu)),
                (Name::new("memory"), Quantity::from_bytes(row.memory)),
                (Name::new("pods"), Quantity::from_units(PODS)),
                (Name::new("ephemeral-storage"), Quantity::from_bytes(100 << 30)),
            ]);
            let mut labels = BTreeMap::new();
            if row.gpus > 0 {
                let milli = row.gpus as i64 * WHOLE_GPU;
                gpus += milli;
                capacity.insert(Name::new(GPU_RESOURCE), Quantity::from_units(milli));
                labels.insert(GPU_MODEL_LABEL.to_owned(), row.model.clone());
            }
            let spot = Spot { region: DEFAULT_REGION, zone: &zone, rack: &format!("{zone}-rack-1") };
            let name = Name::new(&row.name);
            let both = (&capacity, &capacity);
            if !self.add_node(&name, &spot, both, &labels, Vec::new(), &Name::new(GROUP), &parts.disk, parts.bandwidth) {
                self.row_error(text, row.place, format!("two nodes are called \"{name}\""));
            }
        }
        gpus
    }
    fn row_error(&mut self, text: &Text, place: manifest::Place, message: String) {
        self.errors.push(InputError::new(&text.shown, Some(place), "name", message));
    }
    /// When each pod of the part that is played arrives; what ran already at its beginning arrives then, with what is left of its duration.
    fn at_their_times(&mut self, trace: &Trace, speed: u64, text: &Text, rows: &[PodRow], start: Time) -> Vec<Arriving> {
        let from = trace.from.map_or(Duration::ZERO, |from| from.0);
        let end = self.start + self.duration;
        let mut arrivals = Vec::new();
        for (row, pod) in rows.iter().enumerate() {
            let Some(arrival) = pod.arrival else { continue };
            let late = arrival.saturating_sub(from);
            let gone = from.saturating_sub(arrival);
            let at = start + late.scale(1, speed);
            let left = pod.duration.map(|duration| duration.saturating_sub(gone));
            if at <= end && (gone == Duration::ZERO || left.is_none_or(|left| left > Duration::ZERO)) {
                arrivals.push(Arriving { pod: Arrival { pod: row as u32, copy: None }, at, lasts: left });
            }
        }
        arrivals.sort_by_key(|arriving| arriving.at);
        if arrivals.is_empty() {
            let message = if rows.iter().all(|pod| pod.arrival.is_none()) {
                "the pods have no times".to_owned()
            } else {
                format!("no pod arrives in the part that begins at {}", format_duration(from))
            };
            self.errors.push(InputError::new(&text.shown, None, "", message).expecting("times, another \"from\", or a \"rate\""));
        }
        arrivals
    }
    /// At random times, in an order that is drawn.
    fn at_a_rate(&mut self, trace: &Trace, rate_milli: u64, rows: &[PodRow], gpus: i64, start: Time) -> Vec<Arriving> {
        let load = self.load(trace);
        if !(1..=1_000_000_000).contains(&rate_milli) {
            self.error("trace.rate", "no pod would come, or too many".to_owned(), |error| error.expecting("0.001/s to 1000000/s"));
            return Vec::new();
        }
        let mut sorted: Vec<usize> = (0..rows.len()).collect();
        sorted.sort_by(|a, b| rows[*a].name.cmp(&rows[*b].name));
        let pods: Vec<Pod> = sorted.iter().map(|row| Pod { name: Name::new(&rows[*row].name), demand: demand(&rows[*row]) }).collect();
        let asked: i64 = pods.iter().map(|pod| pod.demand.gpu()).sum();
        // Without GPUs there is no load to reach: all pods come once.
        let (capacity, load) = if gpus == 0 || asked == 0 { (asked, 1000) } else { (gpus, load) };
        let order = draw(&pods, 0, capacity, load, self.seed);
        let mut chance: Stream = Seed(self.seed).stream("trace arrivals");
        let end = self.start + self.duration;
        let mut at = start;
        let mut arrivals = Vec::new();
        for arrival in order.pods {
            // Thousandths a second: the mean gap is a million milliseconds by the rate.
            let gap = chance.exponential() * 1e12 / rate_milli as f64;
            at += Duration::from_nanos(gap.min(1e18) as u64);
            if at > end {
                break;
            }
            let row = sorted[arrival.pod as usize];
            arrivals.push(Arriving { pod: Arrival { pod: row as u32, ..arrival }, at, lasts: rows[row].duration });
        }
        arrivals
    }
    fn applied(&mut self, trace: &Trace, speed: u64, text: &Text, rows: &[PodRow], arrivals: Vec<Arriving>) -> Replay {
        let mut replay = Replay::default();
        self.pods = self.pods.saturating_add(arrivals.len() as u64);
        if self.pods > super::MAX_PODS {
            let message = format!("{} pods are beyond the limit", self.pods);
            self.error("trace.pods", message, |error| error.expecting(format!("{} or less", super::MAX_PODS)));
            return replay;
        }
        for arriving in arrivals {
            let pod = &rows[arriving.pod.pod as usize];
            let name = arriving.pod.name(&Name::new(&pod.name));
            if !is_label(&name) {
                self.row_error(text, pod.place, format!("\"{}\" is no name of a pod", short(&pod.name)));
                continue;
            }
            let manifest = Node::from_json(&manifest_of(&name, pod, trace.image.as_deref().unwrap_or(IMAGE)));
            let read = manifest::objects(&text.shown, &manifest, &Path::new("trace.pods"), &mut self.errors);
            let Some(object) = read.objects.into_iter().next() else { continue };
            if self.objects.insert(object.key(), object.clone()).is_some() {
                self.row_error(text, pod.place, format!("{} is applied twice", object.key()));
            }
            let lasts = arriving.lasts.map(|lasts| lasts.scale(1, speed));
            if let Some(lasts) = lasts {
                let behaviour = Behaviour { exits_after: Some(Distribution::Constant(lasts)), ..Behaviour::default() };
                replay.behaviours.insert(name, behaviour);
            }
            replay.steps.push(step(arriving.at, object));
        }
        replay
    }
}

/// A pod that arrives.
struct Arriving {
    /// Among the rows.
    pod: Arrival,
    at: Time,
    /// In the trace's time; `None`: to the end.
    lasts: Option<Duration>,
}

fn step(at: Time, object: Arc<Object>) -> Step {
    Step { at, description: Name::from(format!("apply {}", object.key())), action: Action::Apply(vec![object]) }
}

fn gpu_milli(allocatable: &BTreeMap<Name, Quantity>) -> i64 {
    allocatable.get(GPU_RESOURCE).map_or(0, |quantity| quantity.value())
}

fn demand(pod: &PodRow) -> Demand {
    Demand { cpu: pod.cpu, memory: pod.memory, gpus: pod.gpus, gpu_milli: pod.gpu_milli, models: Models::ANY }
}

/// The pod as a person would write it. It runs once: what ends is not started again.
fn manifest_of(name: &str, pod: &PodRow, image: &str) -> serde_json::Value {
    let mut requests = json!({ "cpu": format!("{}m", pod.cpu), "memory": pod.memory.to_string() });
    let mut limits = json!({});
    let milli = pod.gpus as i64 * pod.gpu_milli;
    if milli > 0 {
        // An extended resource has a limit that is its request.
        requests[GPU_RESOURCE] = json!(milli.to_string());
        limits[GPU_RESOURCE] = json!(milli.to_string());
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "containers": [{ "name": "main", "image": image, "resources": { "requests": requests, "limits": limits } }]
    });
    if milli > 0 && !pod.models.is_empty() {
        let models: Vec<&str> = pod.models.split('|').map(str::trim).collect();
        spec["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": GPU_MODEL_LABEL, "operator": "In", "values": models }] }]
        }}});
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "trace" } }, "spec": spec })
}
