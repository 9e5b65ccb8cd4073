//! A scenario without a cluster: a trace and a policy, for the scheduler alone.

use std::sync::Arc;

use super::trace::{NodeRow, PodRow, Text};
use super::{Lowering, at, short};
use crate::base::Name;
use crate::base::digest::Digester;
use crate::engine::plan::{Expectation, Plan, Predicate, When};
use crate::manifest::InputError;
use crate::scenario::file::{self, Scenario, Trace, TraceFormat};
use crate::scheduler::policies::{Choice, Demand, MOST_MODELS, Machine, Models};
use crate::scheduler::study::{Arrival, Node, Order, Pod, Study};

/// Pods that a node of a trace takes: as many as in the study.
pub const PODS: i64 = 1001;
/// 130 %, of the study.
const LOAD: u64 = 1300;
/// 10 times all GPUs.
const MOST_LOAD: u64 = 10_000;

impl Lowering<'_> {
    pub fn study(&mut self, scenario: &Scenario, trace: &Trace) -> Plan {
        self.nothing_of_a_cluster(scenario, trace);
        let choice = self.study_policy(scenario.policy.as_ref());
        let load = self.load(trace);
        let study = self.read_study(trace, choice, load);
        let expectations = self.study_expectations(&scenario.expectations, trace, load / 10);
        Plan {
            study: study.map(Arc::new),
            expectations,
            ..Plan::nothing(Name::new(&scenario.name), Name::new(&scenario.description), scenario.seed, self.start)
        }
    }
    /// In thousandths of all GPUs.
    pub fn load(&mut self, trace: &Trace) -> u64 {
        let load = trace.load.map_or(LOAD, |load| load.0);
        if !(1..=MOST_LOAD).contains(&load) {
            let message = format!("{}.{} % of all GPUs", load / 10, load % 10);
            self.error("trace.load", message, |error| error.expecting("0.1% to 1000%"));
        }
        load.clamp(1, MOST_LOAD)
    }
    fn nothing_of_a_cluster(&mut self, scenario: &Scenario, trace: &Trace) {
        let given = [
            ("duration", scenario.duration.is_some()),
            ("workload", !scenario.workload.is_empty()),
            ("workloadAt", scenario.workload_at.is_some()),
            ("initial", scenario.initial == file::Initial::Running),
            ("behaviours", !scenario.behaviours.is_empty()),
            ("traffic", !scenario.traffic.is_empty()),
            ("etcdClients", !scenario.etcd_clients.is_empty()),
            ("steps", !scenario.steps.is_empty()),
            ("faults", !scenario.faults.is_empty()),
            ("profile", scenario.profile.is_some()),
            ("trace.from", trace.from.is_some()),
            ("trace.speed", trace.speed.is_some()),
            ("trace.nodeShare", trace.node_share.is_some()),
            ("trace.rate", trace.rate.is_some()),
            ("trace.image", trace.image.is_some()),
        ];
        for (path, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "without a cluster the scheduler places the trace alone, and there is no time".to_owned();
            self.error(path, message, |error| error.expecting("a \"cluster\" and a \"duration\" beside it"));
        }
        self.no_columns_of_openb(trace);
    }
    /// The columns of a trace in the format openb are its own.
    pub fn no_columns_of_openb(&mut self, trace: &Trace) {
        if trace.format == TraceFormat::Openb {
            let given = [("podColumns", trace.pod_columns.is_some()), ("nodeColumns", trace.node_columns.is_some())];
            for (field, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = "the columns of openb have their names".to_owned();
                self.error(&at("trace", field), message, |error| error.expecting("\"format\": \"csv\" beside it"));
            }
        }
    }
    fn read_study(&mut self, trace: &Trace, policy: Choice, load_per_mille: u64) -> Option<Study> {
        let Some(nodes_file) = &trace.nodes else {
            self.error("trace.nodes", "a trace without a cluster has a list of nodes".to_owned(), |error| {
                error.expecting("\"nodes\": \"openb/openb_node_list_gpu_node.csv.gz\", say")
            });
            return None;
        };
        let nodes_text = self.trace_text(trace, nodes_file, "nodes");
        let pods_text = self.trace_text(trace, &trace.pods, "pods");
        let order_text = trace.order.as_ref().map(|name| self.trace_text(trace, name, "order"));
        let (nodes_text, pods_text) = (nodes_text?, pods_text?);
        let mut node_rows = self.trace_nodes(trace, &nodes_text);
        let mut pod_rows = self.trace_pods(trace, &pods_text);
        node_rows.sort_by(|a, b| a.name.cmp(&b.name));
        pod_rows.sort_by(|a, b| a.name.cmp(&b.name));
        let models = self.gpu_models(&nodes_text, &node_rows);
        let model = |name: &String| models.binary_search(name).unwrap_or(0) as u8;
        let node = |row: &NodeRow| Node {
            name: Name::new(&row.name),
            empty: Machine::new(row.cpu, row.memory, PODS, row.gpus, model(&row.model)),
        };
        let accepted = Accepted::of(&pod_rows, &models);
        let pod = |row: &PodRow| Pod {
            name: Name::new(&row.name),
            demand: Demand {
                cpu: row.cpu,
                memory: row.memory,
                gpus: row.gpus,
                gpu_milli: row.gpu_milli,
                models: accepted.models(&row.models),
            },
        };
        let nodes: Arc<[Node]> = node_rows.iter().map(node).collect();
        let pods: Arc<[Pod]> = pod_rows.iter().map(pod).collect();
        if !nodes.is_empty() && nodes.iter().all(|node| node.empty.free().is_empty()) {
            self.errors.push(InputError::new(&nodes_text.shown, None, "", "no node has a GPU".to_owned()));
        }
        if trace.order.is_none() && !pods.is_empty() && pods.iter().all(|pod| pod.demand.gpus == 0) {
            let message = "no pod asks for a GPU: no number of them would reach the load".to_owned();
            self.errors.push(InputError::new(&pods_text.shown, None, "", message).expecting("an order, or pods that ask for GPUs"));
        }
        let mut content = Digester::default();
        [&nodes_text, &pods_text].into_iter().chain(order_text.iter().flatten()).for_each(|file| content.bytes(file.text.as_bytes()));
        let order = match order_text {
            None => None,
            Some(text) => Some(Arc::new(self.order(&text?, &pods, &nodes)?)),
        };
        let workload = Name::new(&pods_text.stem);
        Some(Study { workload, policy, nodes, pods, order, load_per_mille, content: content.digest() })
    }
    /// Every model, sorted.
    fn gpu_models(&mut self, text: &Text, nodes: &[NodeRow]) -> Vec<String> {
        let mut models: Vec<String> = nodes.iter().map(|node| node.model.clone()).collect();
        models.sort_unstable();
        models.dedup();
        if models.len() > MOST_MODELS {
            let message = format!("{} models of GPUs are beyond the limit", models.len());
            self.errors.push(InputError::new(&text.shown, None, "", message).expecting(format!("{MOST_MODELS} or less")));
            models.truncate(MOST_MODELS);
        }
        models
    }
    fn order(&mut self, text: &Text, pods: &[Pod], nodes: &[Node]) -> Option<Order> {
        let rows = self.trace_order(text, self.seed)?;
        let mut order = Order::default();
        let mut seen = vec![false; nodes.len()];
        for (place, is_node, name) in rows {
            let mut wrong = |message: String| self.errors.push(InputError::new(&text.shown, Some(place), "name", message));
            if is_node {
                match nodes.binary_search_by(|node| node.name.as_str().cmp(&name)) {
                    Ok(index) if seen[index] => wrong(format!("the node \"{}\" comes twice", short(&name))),
                    Ok(index) => {
                        seen[index] = true;
                        order.nodes.push(index as u32);
                    }
                    Err(_) => wrong(format!("there is no node \"{}\" in the list of nodes", short(&name))),
                }
            } else {
                match Arrival::find(&name, |name| pods.binary_search_by(|pod| pod.name.as_str().cmp(name)).ok()) {
                    Some(arrival) => order.pods.push(arrival),
                    None => wrong(format!("there is no pod \"{}\" in the list of pods", short(&name))),
                }
            }
        }
        if let (Some(missing), true) = (seen.iter().position(|seen| !seen), self.errors.is_empty()) {
            let message = format!("the node \"{}\" has no place in the order of the seed {}", nodes[missing].name, self.seed);
            self.errors.push(InputError::new(&text.shown, None, "", message).expecting("a row of kind node for every node"));
        }
        Some(order)
    }
    fn study_expectations(&mut self, written: &[file::Expectation], trace: &Trace, most: u64) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (index, expectation) in written.iter().enumerate() {
            let path = format!("expectations[{index}]");
            let (when, what) = (self.one_time(expectation, &path), self.one_observation(expectation, &path));
            if !(when && what) {
                continue;
            }
            let Some(allocation) = &expectation.gpu_allocation else {
                let message = "without a cluster there is nothing else to observe".to_owned();
                self.error(&path, message, |error| error.expecting("\"gpuAllocation\", with \"atEnd\": true"));
                continue;
            };
            if expectation.at_end != Some(true) {
                self.error(&path, "there is no time without a cluster".to_owned(), |error| error.expecting("\"atEnd\": true"));
            }
            let path = at(&path, "gpuAllocation");
            let bound = |bound: Option<crate::scenario::units::Percent>| bound.map(|bound| bound.0);
            self.bounds(bound(allocation.at_least), bound(allocation.at_most), &path);
            let arrived = allocation.arrived.map(|arrived| arrived.0);
            if arrived.is_some_and(|arrived| arrived / 10 > most || arrived % 10 != 0) {
                let message = "there is no such column of the curve".to_owned();
                self.error(&at(&path, "arrived"), message, |error| error.expecting(format!("a whole per cent, 0% to {most}%")));
            }
            let share = |tenths: u64| format!("{}.{} %", tenths / 10, tenths % 10);
            let text = match (allocation.at_least, allocation.at_most) {
                (Some(least), Some(most)) => format!("{} to {}", share(least.0), share(most.0)),
                (Some(least), None) => format!("at least {}", share(least.0)),
                (None, most) => format!("at most {}", share(most.map_or(0, |most| most.0))),
            };
            // An order that is drawn asks for the load, one that is given for whatever it has.
            let text = match arrived.map(|arrived| arrived / 10).or(trace.order.is_none().then_some(most)) {
                Some(arrived) => format!("{text} of the GPUs in use when {arrived} % were asked for"),
                None => format!("{text} of the GPUs in use at the end"),
            };
            expectations.push(Expectation {
                description: expectation.description.as_deref().map_or_else(|| Name::from(text), Name::new),
                when: When::AtEnd,
                predicate: Predicate::GpuAllocation {
                    arrived: arrived.map(|arrived| (arrived / 10) as usize),
                    at_least: bound(allocation.at_least),
                    at_most: bound(allocation.at_most),
                },
            });
        }
        expectations
    }
}

/// What the pods of a trace write of GPU models.
pub struct Accepted<'m> {
    /// Sorted; the first is nothing.
    written: Vec<String>,
    models: &'m [String],
}

impl<'m> Accepted<'m> {
    pub fn of(pods: &[PodRow], models: &'m [String]) -> Accepted<'m> {
        let mut written: Vec<String> = pods.iter().map(|pod| pod.models.clone()).chain([String::new()]).collect();
        written.sort_unstable();
        written.dedup();
        Accepted { written, models }
    }
    pub fn models(&self, written: &String) -> Models {
        if written.is_empty() {
            return Models::ANY;
        }
        let rank = self.written.binary_search(written).expect("it is one of them").min(usize::from(u16::MAX)) as u16;
        let bit = |name: &str| self.models.binary_search_by(|model| model.as_str().cmp(name)).map_or(0, |model| 1u64 << model);
        Models { rank, accepted: written.split('|').map(|name| bit(name.trim())).fold(0, |all, bit| all | bit) }
    }
}
