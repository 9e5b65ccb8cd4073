//! One scheduling decision as a pure function: filter, score, choose (upstream `schedule_one.go`). [`decide`] is the fast form over
//! columns; [`explain`] the plain one, a node at a time, with every reason and score.

use std::collections::BTreeMap;

use super::nodes::{NodeTable, Slot};
use super::plugins::{Code, Cycle, FILTERS, Filter, PluginId, PluginSet, PreFilter, SCORES, Score, Verdict};
use super::pods::PodInfo;
use super::snapshot::Snapshot;
use crate::base::{Name, Stream};
use crate::objects::Text;

/// How many nodes a cycle looks at, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// `percentageOfNodesToScore`; 0: adaptive.
    pub percentage: u32,
    /// The index at which the next cycle begins, so that all nodes have their turn.
    pub next: usize,
}

/// Fewer nodes than this are always all looked at (`minFeasibleNodesToFind`).
const MIN_FEASIBLE: usize = 100;

impl Sampling {
    /// All nodes, from the first.
    pub const ALL: Sampling = Sampling { percentage: 100, next: 0 };

    /// How many feasible nodes are enough out of `nodes` (`numFeasibleNodesToFind`).
    pub fn enough(&self, nodes: usize) -> usize {
        if nodes < MIN_FEASIBLE {
            return nodes;
        }
        let percentage = match self.percentage as usize {
            0 => 50usize.saturating_sub(nodes / 125).max(5),
            given => given.min(100),
        };
        (nodes * percentage / 100).max(MIN_FEASIBLE)
    }
}

/// What a cycle decided.
#[derive(Clone, Debug)]
pub enum Decision {
    Node(Slot),
    Unschedulable(Failure),
}

/// Why no node will do.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Who rejected it: their queueing hints say when to try again.
    pub plugins: PluginSet,
    /// The text of the FailedScheduling event.
    pub message: Name,
}

/// Places a pod. `sampling` goes on to where the next cycle begins; `ties` chooses among nodes of the highest score.
pub fn decide(pod: &PodInfo, snapshot: &Snapshot, sampling: &mut Sampling, ties: &mut Stream) -> Decision {
    let cycle = Cycle { pod, snapshot };
    let table = snapshot.nodes();
    if table.is_empty() {
        return Decision::Unschedulable(Failure { plugins: PluginSet::default(), message: "no nodes available to schedule pods".into() });
    }
    let filters = match Filters::of(cycle) {
        Ok(filters) => filters,
        Err((plugin, reason)) => return Decision::Unschedulable(rejected_at_once(table.len(), plugin, &reason)),
    };
    let feasible = find_feasible(&filters, table, sampling);
    match feasible.as_slice() {
        [] => Decision::Unschedulable(why_not(&filters, table)),
        [only] => Decision::Node(*only),
        _ => {
            let totals = totals(cycle, &feasible, table);
            let highest = *totals.iter().max().expect("there are feasible nodes");
            let best = || feasible.iter().zip(&totals).filter(|(_, total)| **total == highest).map(|(slot, _)| *slot);
            let chosen = match best().count() {
                1 => 0,
                several => ties.index(several),
            };
            Decision::Node(best().nth(chosen).expect("an index among the best"))
        }
    }
}

/// The filters that have something to say about the pod, and the nodes that are candidates.
struct Filters<'a> {
    active: Vec<(PluginId, Box<dyn Filter + 'a>)>,
    /// `None`: all nodes. Else in the order of the table's slots.
    narrowed: Option<Vec<Slot>>,
}

impl<'a> Filters<'a> {
    fn of(cycle: Cycle<'a>) -> Result<Filters<'a>, (PluginId, Text)> {
        let mut filters = Filters { active: Vec::with_capacity(FILTERS.len()), narrowed: None };
        for plugin in FILTERS {
            match plugin.pre_filter(cycle) {
                PreFilter::Skip => {}
                PreFilter::Run(filter) => filters.active.push((plugin.id(), filter)),
                PreFilter::Narrow(nodes, filter) => {
                    // Names that do not exist are simply dropped: an empty set rejects every node, not the pod.
                    debug_assert!(filters.narrowed.is_none(), "one plugin narrows");
                    filters.narrowed = Some(nodes);
                    filters.active.push((plugin.id(), filter));
                }
                PreFilter::Reject(reason) => return Err((plugin.id(), reason)),
            }
        }
        Ok(filters)
    }
    /// The first rejection of a node.
    fn verdict(&self, slot: Slot, table: &NodeTable) -> Option<(PluginId, Code, Vec<Text>)> {
        if self.narrowed.as_ref().is_some_and(|nodes| !nodes.contains(&slot)) {
            let reason = "node(s) didn't satisfy plugin(s) [NodeAffinity]".into();
            return Some((PluginId::NodeAffinity, Code::UnschedulableAndUnresolvable, vec![reason]));
        }
        self.active.iter().find_map(|(plugin, filter)| match filter.verdict(table.info(slot)) {
            Verdict::Fits => None,
            Verdict::Rejected { code, reasons } => Some((*plugin, code, reasons)),
        })
    }
}

/// Looks at nodes from `sampling.next` on until enough are feasible.
fn find_feasible(filters: &Filters<'_>, table: &NodeTable, sampling: &mut Sampling) -> Vec<Slot> {
    let candidates = filters.narrowed.as_deref().unwrap_or(table.order());
    let enough = sampling.enough(candidates.len());
    let mut feasible = Vec::with_capacity(enough);
    let mut fit = Vec::new();
    let mut looked_at = 0;
    if candidates.is_empty() {
        return feasible;
    }
    let start = sampling.next % candidates.len();
    while looked_at < candidates.len() && feasible.len() < enough {
        // One piece of the ring, without its wrap. As long as what is missing, or a little more, so that rejections do not make
        // many small rounds: the surplus is thrown away.
        let at = (start + looked_at) % candidates.len();
        let piece = (enough - feasible.len()).max(64).min(candidates.len() - at).min(candidates.len() - looked_at);
        let nodes = &candidates[at..at + piece];
        fit.clear();
        fit.resize(piece, true);
        for (_, filter) in &filters.active {
            filter.filter_all(nodes, table, &mut fit);
        }
        for (slot, fit) in nodes.iter().zip(&fit) {
            looked_at += 1;
            if *fit {
                feasible.push(*slot);
                if feasible.len() == enough {
                    break;
                }
            }
        }
    }
    sampling.next = (sampling.next + looked_at) % table.len();
    feasible
}

/// The weighted sums of all scores, parallel to `feasible`.
fn totals(cycle: Cycle<'_>, feasible: &[Slot], table: &NodeTable) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    let mut scores = vec![0; feasible.len()];
    for plugin in SCORES {
        if let Some(score) = plugin.pre_score(cycle, feasible) {
            score.score_all(feasible, table, &mut scores);
            score.normalize(feasible, &mut scores);
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += plugin.weight() * score;
            }
        }
    }
    totals
}

fn rejected_at_once(nodes: usize, plugin: PluginId, reason: &str) -> Failure {
    let mut plugins = PluginSet::default();
    plugins.insert(plugin);
    Failure { plugins, message: Name::from(format!("0/{nodes} nodes are available: {reason}.")) }
}

/// Looks at every node again, for the reasons.
fn why_not(filters: &Filters<'_>, table: &NodeTable) -> Failure {
    let mut plugins = PluginSet::default();
    let mut reasons: BTreeMap<Text, u64> = BTreeMap::new();
    for slot in table.order() {
        if let Some((plugin, _, why)) = filters.verdict(*slot, table) {
            plugins.insert(plugin);
            for reason in why {
                *reasons.entry(reason).or_insert(0) += 1;
            }
        }
    }
    Failure { plugins, message: Name::from(failure_message(table.len(), &reasons)) }
}

/// `FitError`: how many nodes gave each reason, sorted as text, count included (`10 x` comes before `2 y`).
fn failure_message(nodes: usize, reasons: &BTreeMap<Text, u64>) -> String {
    let mut items: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    items.sort();
    format!("0/{nodes} nodes are available: {}.", items.join(", "))
}

/// Everything about a decision over all nodes.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// A plugin that rejected the pod for the whole cluster.
    pub rejected_at_once: Option<(PluginId, Text)>,
    /// The first rejection of each node that is not feasible.
    pub rejected: BTreeMap<Name, (PluginId, Code, Vec<Text>)>,
    pub feasible: usize,
    /// The plugins that scored, in order. None did if fewer than two nodes are feasible.
    pub plugins: Vec<PluginId>,
    /// Normalised and weighted scores, one a plugin, and their sum.
    pub scores: BTreeMap<Name, Vec<i64>>,
    /// The nodes of the highest sum: the decision is one of them, each as likely.
    pub best: Vec<Name>,
    pub message: Name,
}

/// Places a pod the plain way: every node, every reason, every score.
pub fn explain(pod: &PodInfo, snapshot: &Snapshot) -> Explanation {
    let cycle = Cycle { pod, snapshot };
    let table = snapshot.nodes();
    let mut explanation = Explanation::default();
    let filters = match Filters::of(cycle) {
        Ok(filters) => filters,
        Err((plugin, reason)) => {
            explanation.message = rejected_at_once(table.len(), plugin, &reason).message;
            explanation.rejected_at_once = Some((plugin, reason));
            return explanation;
        }
    };
    let name = |slot: Slot| table.info(slot).name.clone();
    let mut feasible = Vec::new();
    for slot in table.order() {
        match filters.verdict(*slot, table) {
            None => feasible.push(*slot),
            Some(rejection) => {
                explanation.rejected.insert(name(*slot), rejection);
            }
        }
    }
    explanation.feasible = feasible.len();
    if feasible.len() < 2 {
        explanation.best = feasible.iter().map(|slot| name(*slot)).collect();
        if feasible.is_empty() {
            explanation.message = why_not(&filters, table).message;
        }
        return explanation;
    }
    let mut rows: Vec<Vec<i64>> = vec![Vec::new(); feasible.len()];
    for plugin in SCORES {
        if let Some(score) = plugin.pre_score(cycle, &feasible) {
            explanation.plugins.push(plugin.id());
            let mut scores = plain_scores(&*score, &feasible, table);
            score.normalize(&feasible, &mut scores);
            for (row, score) in rows.iter_mut().zip(scores) {
                row.push(plugin.weight() * score);
            }
        }
    }
    for row in &mut rows {
        row.push(row.iter().sum());
    }
    let highest = rows.iter().filter_map(|row| row.last()).max().copied();
    let best = feasible.iter().zip(&rows).filter(|(_, row)| row.last().copied() == highest);
    explanation.best = best.map(|(slot, _)| name(*slot)).collect();
    explanation.best.sort();
    explanation.scores = feasible.iter().map(|slot| name(*slot)).zip(rows).collect();
    explanation
}

fn plain_scores(score: &dyn Score, feasible: &[Slot], table: &NodeTable) -> Vec<i64> {
    feasible.iter().map(|slot| score.score(table.info(*slot))).collect()
}
