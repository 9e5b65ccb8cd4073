//! One scheduling decision as a pure function: filter, score, choose (upstream `schedule_one.go`), in the fast form over columns.
//! [`explain`](super::explain()) is the plain one.

use std::collections::BTreeMap;

use super::filters::{Filters, Rejection};
use super::nodes::{NodeTable, Slot};
use super::plugins::{Cycle, PluginSet};
use super::pods::PodInfo;
use super::preemption::{self, Nomination, Preemption};
use super::profile::Profile;
use super::snapshot::Snapshot;
use super::tables::Table;
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

/// Why no node will do, and what is done about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Who rejected it: their queueing hints say when to try again.
    pub plugins: PluginSet,
    /// The text of the FailedScheduling event.
    pub message: Name,
    pub nominated: Nominated,
}

/// What a failed cycle leaves of the pod's nomination.
#[derive(Clone, Debug)]
pub enum Nominated {
    /// What it was.
    Kept,
    /// None: making room was tried in vain.
    Cleared,
    To(Nomination),
}

/// Places a pod. `sampling` goes on to where the next cycle begins; `ties` chooses among nodes of the highest score, and among the best
/// nodes to preempt.
pub fn decide(profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, sampling: &mut Sampling, ties: &mut Stream) -> Decision {
    let cycle = Cycle { pod, snapshot };
    let table = snapshot.nodes();
    if table.is_empty() {
        let message = "no nodes available to schedule pods".into();
        return Decision::Unschedulable(Failure { plugins: PluginSet::default(), message, nominated: Nominated::Kept });
    }
    let mut filters = match Filters::of(profile, cycle) {
        Ok(filters) => filters,
        Err(rejection) => {
            let mut plugins = PluginSet::default();
            plugins.insert(rejection.plugin);
            let message = Name::from(message_at_once(table.len(), &rejection));
            return Decision::Unschedulable(Failure { plugins, message, nominated: Nominated::Kept });
        }
    };
    if let Some(slot) = nominated_node(&mut filters) {
        return Decision::Node(slot);
    }
    let mut tables = snapshot.tables();
    // A pod that names its node never comes here but in tests, and one with a list of nodes has few to ask.
    let known = (pod.pod().node.is_none() && !filters.is_narrowed()).then(|| tables.get(profile, cycle, filters.of_node()));
    let feasible = find_feasible(&mut filters, known, table, sampling);
    match feasible.as_slice() {
        [] => Decision::Unschedulable(fail(profile, &mut filters, ties)),
        [only] => Decision::Node(*only),
        _ => {
            let totals = totals(profile, cycle, &feasible, known, table);
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

/// The node that the pod is nominated to, if it fits there: then no other is looked at (`evaluateNominatedNode`).
pub(super) fn nominated_node(filters: &mut Filters<'_>) -> Option<Slot> {
    let Cycle { pod, snapshot } = filters.cycle;
    let name = &pod.pod().status.nominated_node_name;
    if name.is_empty() {
        return None;
    }
    let slot = snapshot.nodes().slot(name)?;
    filters.rejects(snapshot.nodes().info(slot)).is_none().then_some(slot)
}

/// Looks at nodes from `sampling.next` on until enough are feasible.
fn find_feasible(filters: &mut Filters<'_>, known: Option<&Table>, table: &NodeTable, sampling: &mut Sampling) -> Vec<Slot> {
    // Where no node is left out the order table is borrowed; a narrowed list is short.
    let narrowed: Option<Vec<Slot>> = filters.is_narrowed().then(|| filters.candidates().to_vec());
    let candidates = narrowed.as_deref().unwrap_or(table.order());
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
        filters.filter_all(nodes, known, &mut fit);
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

/// The weighted sums of all scores, parallel to `feasible`; less what is the same for all of them.
fn totals(profile: &Profile, cycle: Cycle<'_>, feasible: &[Slot], known: Option<&Table>, table: &NodeTable) -> Vec<i64> {
    let mut totals: Vec<i64> = match known {
        None => vec![0; feasible.len()],
        Some(known) => feasible.iter().map(|slot| known.sum(*slot)).collect(),
    };
    let mut scores = vec![0; feasible.len()];
    for (plugin, weight) in profile.scores() {
        let raw = match known.filter(|_| plugin.is_of_node()) {
            None => None,
            // Either it is in the sums already, or nobody is preferred.
            Some(known) => match known.raw(plugin.id()).filter(|raw| raw.nonzero > 0) {
                None => continue,
                raw => raw,
            },
        };
        let Some(score) = plugin.pre_score(cycle, feasible) else { continue };
        match raw {
            None => score.score_all(feasible, table, &mut scores),
            Some(raw) => feasible.iter().zip(&mut scores).for_each(|(slot, score)| *score = raw.scores[slot.index()]),
        }
        score.normalize(feasible, &mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += weight * score;
        }
    }
    totals
}

/// No node is feasible: the reasons, and preemption.
fn fail(profile: &Profile, filters: &mut Filters<'_>, ties: &mut Stream) -> Failure {
    let rejections = all_rejections(filters);
    let mut plugins = PluginSet::default();
    rejections.iter().for_each(|(_, rejection)| plugins.insert(rejection.plugin));
    let preemption = profile.preemption().map(|limits| preemption::preempt(limits, filters, &rejections, ties));
    let nominated = match &preemption {
        Some(preemption) if !preemption.candidates.is_empty() => {
            let chosen = match preemption.best.as_slice() {
                [only] => *only,
                several => several[ties.index(several.len())],
            };
            Nominated::To(preemption.nomination(chosen, filters))
        }
        Some(preemption) if preemption.eligible => Nominated::Cleared,
        _ => Nominated::Kept,
    };
    let message = message(filters.cycle.snapshot.nodes().len(), &rejections, preemption.as_ref());
    Failure { plugins, message: Name::from(message), nominated }
}

/// Every node's rejection, in the order of the table, if none is feasible.
pub(super) fn all_rejections(filters: &mut Filters<'_>) -> Vec<(Slot, Rejection)> {
    let order = filters.cycle.snapshot.nodes().order();
    order.iter().filter_map(|slot| filters.verdict(*slot).map(|rejection| (*slot, rejection))).collect()
}

/// The text of a failed cycle: how often each reason was given, and what preemption came to.
pub(super) fn message(nodes: usize, rejections: &[(Slot, Rejection)], preemption: Option<&Preemption>) -> String {
    let mut reasons: BTreeMap<Text, u64> = BTreeMap::new();
    for reason in rejections.iter().flat_map(|(_, rejection)| &rejection.reasons) {
        *reasons.entry(reason.clone()).or_insert(0) += 1;
    }
    let text = failure_message(nodes, &reasons);
    match preemption.map(post_filter_message) {
        Some(more) if !more.is_empty() => format!("{text} {more}"),
        _ => text,
    }
}

/// What PostFilter says; nothing if it made room. DynamicResources comes before DefaultPreemption, and has nothing to free for a pod without
/// claims, which are all that is modelled.
pub(super) fn post_filter_message(preemption: &Preemption) -> String {
    if preemption.candidates.is_empty() {
        format!("no new claims to deallocate, preemption: {}", preemption.message)
    } else {
        String::new()
    }
}

/// The text when a plugin rejects the pod for the whole cluster. PostFilter then ends in an error, since DynamicResources finds no state of
/// its own (a peculiarity of v1.34.1).
pub(super) fn message_at_once(nodes: usize, rejection: &Rejection) -> String {
    let reasons: Vec<&str> = rejection.reasons.iter().map(|reason| &**reason).collect();
    format!("0/{nodes} nodes are available: {}. {POST_FILTER_ERROR}", reasons.join(", "))
}

pub(super) const POST_FILTER_ERROR: &str = "not found";

/// `FitError`: how many nodes gave each reason, sorted as text, count included (`10 x` comes before `2 y`).
pub(super) fn failure_message(nodes: usize, reasons: &BTreeMap<Text, u64>) -> String {
    let mut items: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    items.sort();
    format!("0/{nodes} nodes are available: {}.", items.join(", "))
}
