//! One pass over the facts: the timelines that every report draws from. Pods with what befell them, nodes' readiness, workloads' replica
//! counts as step functions, faults, traffic. Nothing here decides anything; [`super::recovery`] reads the timelines.
//!
//! Invariant: every series is in order of time, since the facts are.

use std::collections::BTreeMap;

use crate::base::{Duration, Map, Name, Time};
use crate::engine::record::{FaultInfo, Record};
use crate::objects::{Key, Kind, Phase};
use crate::wire::Address;
use crate::wire::fact::{Subject, What};

/// The timelines of a record.
pub struct Model<'r> {
    pub record: &'r Record,
    pub start: Time,
    pub end: Time,
    /// In order of creation.
    pub pods: Vec<Pod<'r>>,
    /// The plan's nodes in the plan's order (so that samples match), then nodes that came later.
    pub nodes: Vec<Node<'r>>,
    /// Top-level workloads, by key.
    pub workloads: Vec<Workload<'r>>,
    /// By (service, source).
    pub traffic: Vec<Traffic<'r>>,
    /// The facts in which a control plane reacts: a node not Ready, somebody silent, a new leader, a pod not ready.
    pub reactions: Vec<usize>,
    /// For each fact what its chain of causes begins with, as an index into the facts: a fault, a step, or a fact without a cause.
    roots: Vec<u32>,
    node_index: BTreeMap<&'r str, usize>,
}

/// A pod's life. A second pod of the same name is another `Pod`.
pub struct Pod<'r> {
    pub key: &'r Key,
    pub uid: &'r str,
    pub workload: Option<usize>,
    pub created: Time,
    pub bound: Option<(Time, usize)>,
    pub started: Option<Time>,
    /// First ready.
    pub ready: Option<Time>,
    /// Marked for deletion, or removed without a mark.
    pub deleted: Option<Deleted>,
    pub removed: Option<Time>,
    pub restarts: u32,
    pub phase: Phase,
    pub is_ready: bool,
    /// What a picture shows, from which instant on.
    pub states: Vec<(Time, PodState)>,
    /// Facts of containers that exited.
    pub exits: Vec<usize>,
}

/// When a pod was deleted, and by which fact.
#[derive(Clone, Copy)]
pub struct Deleted {
    pub at: Time,
    pub fact: usize,
}

/// What a bar shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodState {
    Pending,
    Starting,
    Ready,
    NotReady,
    Terminating,
    Finished,
}

/// A node's life.
pub struct Node<'r> {
    pub name: &'r str,
    pub zone: &'r str,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    /// The status of its Ready condition at each change.
    pub ready: Vec<(Time, &'r str)>,
}

/// A workload's replica counts.
pub struct Workload<'r> {
    pub key: &'r Key,
    pub steps: Vec<Replicas>,
}

/// Replica counts from an instant on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replicas {
    pub at: Time,
    pub wanted: u64,
    pub ready: u64,
    pub available: u64,
    /// The fact that says so.
    pub fact: usize,
}

/// The requests to one service, of all its clients together.
pub struct Traffic<'r> {
    pub service: &'r Key,
    pub buckets: Vec<Bucket>,
}

/// Requests that were sent in the second that ends at `at`, and what became of them. Of the clients' latencies the longest: with one client
/// machine, the default, they are exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    pub at: Time,
    pub sent: u32,
    pub ok: u32,
    pub refused: u32,
    pub reset: u32,
    pub timeout: u32,
    pub p50: Duration,
    pub p99: Duration,
}

impl Bucket {
    /// Another client's requests of the same second.
    pub fn join(&mut self, other: &Bucket) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.refused += other.refused;
        self.reset += other.reset;
        self.timeout += other.timeout;
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
    }
}

impl Replicas {
    /// How many available replicas are missing.
    pub fn shortfall(&self) -> u64 {
        self.wanted.saturating_sub(self.available)
    }
}

impl Pod<'_> {
    /// When it left its node: at its removal, or never.
    pub fn alive_at(&self, at: Time) -> bool {
        self.created <= at && self.removed.is_none_or(|removed| removed > at) && self.deleted.is_none_or(|deleted| deleted.at > at)
    }
    /// The state at the end, as `kubectl get pod` would say: its phase, `Terminating`, or `Deleted` if it is gone.
    pub fn end(&self) -> &'static str {
        match (self.removed, self.deleted) {
            (Some(_), _) => "Deleted",
            (None, Some(_)) => "Terminating",
            (None, None) => self.phase.name(),
        }
    }
    fn state(&self) -> PodState {
        if self.deleted.is_some() {
            PodState::Terminating
        } else if matches!(self.phase, Phase::Succeeded | Phase::Failed) {
            PodState::Finished
        } else if self.is_ready {
            PodState::Ready
        } else if self.ready.is_some() {
            PodState::NotReady
        } else if self.bound.is_some() {
            PodState::Starting
        } else {
            PodState::Pending
        }
    }
    fn note_state(&mut self, at: Time) {
        let state = self.state();
        if self.states.last().is_some_and(|&(_, last)| last == state) {
            return;
        }
        // Several facts of one instant show as the last of them.
        self.states.retain(|&(since, _)| since < at);
        self.states.push((at, state));
    }
}

impl Node<'_> {
    /// The status of its Ready condition at this instant; empty before the first.
    pub fn status_at(&self, at: Time) -> &str {
        self.ready[..self.ready.partition_point(|&(since, _)| since <= at)].last().map_or("", |&(_, status)| status)
    }
    /// When it was known and not Ready: intervals, the last one to `end`.
    pub fn not_ready(&self, end: Time) -> Vec<(Time, Time)> {
        let mut spans = Vec::new();
        for (at, &(since, status)) in self.ready.iter().enumerate() {
            let until = self.ready.get(at + 1).map_or(end, |&(next, _)| next);
            if status != "True" && until > since {
                spans.push((since, until));
            }
        }
        spans
    }
}

impl<'r> Model<'r> {
    pub fn new(record: &'r Record) -> Model<'r> {
        let scenario = &record.scenario;
        let nodes: Vec<Node> = scenario
            .nodes
            .iter()
            .map(|node| Node {
                name: &node.name,
                zone: &node.zone,
                cpu_milli: node.cpu_milli,
                memory_bytes: node.memory_bytes,
                ready: Vec::new(),
            })
            .collect();
        let node_index = nodes.iter().enumerate().map(|(at, node)| (node.name, at)).collect();
        let mut model = Model {
            record,
            start: scenario.start,
            end: record.facts.last().map_or(scenario.end, |entry| entry.at.max(scenario.end)),
            pods: Vec::new(),
            nodes,
            workloads: top_level_workloads(record),
            traffic: Vec::new(),
            reactions: Vec::new(),
            roots: roots(record),
            node_index,
        };
        model.read_facts();
        model
    }

    /// What a fact's chain of causes begins with.
    pub fn root(&self, fact: usize) -> &'r What {
        &self.record.facts[self.roots[fact] as usize].fact.what
    }
    /// The fault that a fact goes back to, by its number.
    pub fn fault_of(&self, fact: usize) -> Option<usize> {
        match self.root(fact) {
            What::FaultInjected { fault, .. } => Some(*fault as usize),
            _ => None,
        }
    }
    pub fn faults(&self) -> &'r [FaultInfo] {
        &self.record.scenario.faults
    }
    /// The nodes that a fault hits: named as nodes, as their kubelets, or by their zone.
    pub fn nodes_hit(&self, fault: &FaultInfo) -> Vec<usize> {
        let mut hit = Vec::new();
        for target in &fault.targets {
            if let Some(&node) = self.node_index.get(target.as_str()) {
                hit.push(node);
            } else if let Some(node) = target.strip_prefix("kubelet-").and_then(|number| number.parse().ok()) {
                // A kubelet is numbered as its node is in the plan.
                hit.extend(Some(node).filter(|&node: &usize| node < self.nodes.len()));
            } else {
                hit.extend((0..self.nodes.len()).filter(|&node| self.nodes[node].zone == target.as_str()));
            }
        }
        hit.sort_unstable();
        hit.dedup();
        hit
    }
    /// `default/web`.
    pub fn workload_name(&self, workload: usize) -> String {
        path_name(self.workloads[workload].key)
    }

    fn read_facts(&mut self) {
        let record = self.record;
        let mut pod_of: Map<&'r Key, usize> = Map::default();
        let workload_of: BTreeMap<&'r Key, usize> = self.workloads.iter().enumerate().map(|(at, workload)| (workload.key, at)).collect();
        let mut traffic: BTreeMap<&'r Key, BTreeMap<Time, Bucket>> = BTreeMap::new();
        for (index, entry) in record.facts.iter().enumerate() {
            let at = entry.at;
            let what = &entry.fact.what;
            match what {
                What::Silent { .. } | What::BecameLeader { .. } | What::Leading => self.reactions.push(index),
                What::Traffic { until, sent, ok, refused, reset, timeout, p50, p99 } => {
                    let at = *until;
                    let bucket =
                        Bucket { at, sent: *sent, ok: *ok, refused: *refused, reset: *reset, timeout: *timeout, p50: *p50, p99: *p99 };
                    let service = match &entry.fact.subject {
                        Subject::Actor(Address::Traffic(client)) => record.scenario.traffic.get(*client as usize),
                        Subject::Object(service) => Some(service),
                        _ => None,
                    };
                    if let Some(service) = service {
                        let buckets = traffic.entry(service).or_default();
                        buckets.entry(at).and_modify(|sum| sum.join(&bucket)).or_insert(bucket);
                    }
                }
                _ => {}
            }
            let Subject::Object(key) = &entry.fact.subject else { continue };
            match key.kind() {
                Kind::Node => {
                    if let What::NodeReady { status, .. } = what {
                        let node = self.node(key);
                        self.nodes[node].ready.push((at, status));
                        if status != "True" {
                            self.reactions.push(index);
                        }
                    }
                }
                Kind::Pod => {
                    if let What::Created { uid, owner, .. } = what {
                        let workload = owner.as_ref().and_then(|owner| workload_of.get(owner).copied());
                        pod_of.insert(key, self.pods.len());
                        self.pods.push(Pod::new(key, uid, workload, at));
                    } else if let Some(&pod) = pod_of.get(key) {
                        self.pod_fact(pod, index, at, what);
                    }
                }
                _ => {
                    if let (What::Replicas { wanted, ready, available, .. }, Some(&workload)) = (what, workload_of.get(key)) {
                        let step = Replicas { at, wanted: *wanted, ready: *ready, available: *available, fact: index };
                        let steps = &mut self.workloads[workload].steps;
                        // Of several in one instant the last one holds.
                        steps.pop_if(|last| last.at == at);
                        steps.push(step);
                    }
                }
            }
        }
        let of_service = |(service, buckets): (_, BTreeMap<Time, Bucket>)| Traffic { service, buckets: buckets.into_values().collect() };
        self.traffic = traffic.into_iter().map(of_service).collect();
    }

    fn pod_fact(&mut self, pod: usize, index: usize, at: Time, what: &'r What) {
        let node = match what {
            What::PodBound { node, .. } => Some(self.node_named(node)),
            _ => None,
        };
        let pod = &mut self.pods[pod];
        match what {
            What::PodBound { .. } => pod.bound = node.map(|node| (at, node)),
            What::PodPhase { phase, .. } => {
                pod.phase = *phase;
                if *phase == Phase::Running {
                    pod.started.get_or_insert(at);
                }
            }
            What::PodReady { ready, .. } => {
                if !ready && pod.is_ready {
                    self.reactions.push(index);
                }
                pod.is_ready = *ready;
                if *ready {
                    pod.ready.get_or_insert(at);
                }
            }
            What::ContainerStarted { attempt, .. } => {
                pod.started.get_or_insert(at);
                pod.restarts += u32::from(*attempt > 0);
            }
            What::ContainerExited { .. } => pod.exits.push(index),
            What::DeletionMarked { .. } => pod.deleted = pod.deleted.or(Some(Deleted { at, fact: index })),
            What::Removed { .. } => {
                pod.deleted = pod.deleted.or(Some(Deleted { at, fact: index }));
                pod.removed = Some(at);
            }
            _ => return,
        }
        pod.note_state(at);
    }

    fn node(&mut self, key: &'r Key) -> usize {
        self.node_named(key.name())
    }
    fn node_named(&mut self, name: &'r str) -> usize {
        *self.node_index.entry(name).or_insert_with(|| {
            self.nodes.push(Node { name, zone: "", cpu_milli: 0, memory_bytes: 0, ready: Vec::new() });
            self.nodes.len() - 1
        })
    }
}

impl<'r> Pod<'r> {
    fn new(key: &'r Key, uid: &'r Name, workload: Option<usize>, created: Time) -> Pod<'r> {
        Pod {
            key,
            uid,
            workload,
            created,
            bound: None,
            started: None,
            ready: None,
            deleted: None,
            removed: None,
            restarts: 0,
            phase: Phase::Pending,
            is_ready: false,
            states: vec![(created, PodState::Pending)],
            exits: Vec::new(),
        }
    }
}

/// `default/web`; `web` for what has no namespace.
pub fn path_name(key: &Key) -> String {
    if key.namespace().is_empty() { key.name().to_string() } else { format!("{}/{}", key.namespace(), key.name()) }
}

/// What counts replicas and belongs to nothing else: Deployments, and ReplicaSets that stand alone.
fn top_level_workloads(record: &Record) -> Vec<Workload<'_>> {
    let mut owned: BTreeMap<&Key, bool> = BTreeMap::new();
    for entry in &record.facts {
        if let Subject::Object(key) = &entry.fact.subject
            && matches!(key.kind(), Kind::Deployment | Kind::ReplicaSet)
        {
            match &entry.fact.what {
                What::Created { owner, .. } => {
                    owned.insert(key, owner.is_some());
                }
                What::Replicas { .. } => {
                    owned.entry(key).or_insert(false);
                }
                _ => {}
            }
        }
    }
    owned.into_iter().filter(|&(_, owned)| !owned).map(|(key, _)| Workload { key, steps: Vec::new() }).collect()
}

/// For each fact the beginning of its chain. A fault and a step are beginnings, whatever the engine names as their cause.
fn roots(record: &Record) -> Vec<u32> {
    let mut roots: Vec<u32> = Vec::with_capacity(record.facts.len());
    for (index, entry) in record.facts.iter().enumerate() {
        let begins = matches!(entry.fact.what, What::FaultInjected { .. } | What::StepDone { .. } | What::StepFailed { .. });
        let cause = entry.cause.filter(|_| !begins).and_then(|id| {
            // A cause comes before its effect, and ids rise.
            record.facts[..index].binary_search_by_key(&id, |earlier| earlier.id).ok()
        });
        roots.push(cause.map_or(index as u32, |cause| roots[cause]));
    }
    roots
}
