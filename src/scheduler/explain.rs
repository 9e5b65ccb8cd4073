//! One scheduling decision in the plain form: every node, every reason, every score. The reference that [`decide`](super::decide()) is held
//! against, and what `sim oracle` compares with recorded decisions.

use std::collections::BTreeMap;

use super::decide::{all_rejections, message, message_at_once, nominated_node};
use super::filters::{Filters, Rejection};
use super::nodes::Slot;
use super::plugins::{Cycle, PluginId};
use super::pods::PodInfo;
use super::preemption::{self, Nomination, Preemption};
use super::profile::Profile;
use super::snapshot::Snapshot;
use crate::base::{Name, Stream};

/// Everything about a decision over all nodes.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// A plugin that rejected the pod for the whole cluster.
    pub rejected_at_once: Option<Rejection>,
    /// The pod was nominated to the one node in `best`, fits there, and nothing else was looked at.
    pub by_nomination: bool,
    /// The first rejection of each node that is not feasible.
    pub rejected: BTreeMap<Name, Rejection>,
    pub feasible: usize,
    /// The plugins that scored, in order. None did if fewer than two nodes are feasible.
    pub plugins: Vec<PluginId>,
    /// Normalised and weighted scores, one a plugin, and their sum.
    pub scores: BTreeMap<Name, Vec<i64>>,
    /// The nodes of the highest sum, by name: the decision is one of them, each as likely.
    pub best: Vec<Name>,
    /// What was tried because no node is feasible.
    pub preemption: Option<Preemption>,
    /// The node of each candidate to preempt, in the order of [`Preemption::candidates`].
    pub candidates: Vec<Name>,
    /// The outcome of preempting each of its best candidates, by the node's name: the decision is one of them.
    pub nominations: Vec<Nomination>,
    /// Why no node will do, as the event says it; empty if one will.
    pub message: Name,
}

/// Places a pod the plain way. `offsets` says where a search for nodes to preempt begins that does not look at all.
pub fn explain(profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, offsets: &mut Stream) -> Explanation {
    let cycle = Cycle { pod, snapshot };
    let table = snapshot.nodes();
    let mut explanation = Explanation::default();
    let name = |slot: Slot| table.info(slot).name.clone();
    let mut filters = match Filters::of(profile, cycle) {
        Ok(filters) => filters,
        Err(rejection) => {
            explanation.message = Name::from(message_at_once(table.len(), &rejection));
            explanation.rejected_at_once = Some(rejection);
            return explanation;
        }
    };
    if let Some(slot) = nominated_node(&mut filters) {
        (explanation.by_nomination, explanation.feasible, explanation.best) = (true, 1, vec![name(slot)]);
        return explanation;
    }
    let rejections = all_rejections(&mut filters);
    let rejected_slots: std::collections::BTreeSet<Slot> = rejections.iter().map(|(slot, _)| *slot).collect();
    let feasible: Vec<Slot> = table.order().iter().copied().filter(|slot| !rejected_slots.contains(slot)).collect();
    explanation.feasible = feasible.len();
    match feasible.as_slice() {
        [] => {
            let preemption = profile.preemption().map(|limits| preemption::preempt(limits, &mut filters, &rejections, offsets));
            explanation.message = Name::from(message(table.len(), &rejections, preemption.as_ref()));
            if let Some(preemption) = &preemption {
                explanation.candidates = preemption.candidates.iter().map(|candidate| name(candidate.slot)).collect();
                explanation.nominations = preemption.best.iter().map(|at| preemption.nomination(*at, &filters)).collect();
                explanation.nominations.sort_by(|a, b| a.node.cmp(&b.node));
            }
            explanation.preemption = preemption;
        }
        [only] => explanation.best = vec![name(*only)],
        _ => score(profile, cycle, &feasible, &mut explanation),
    }
    explanation.rejected = rejections.into_iter().map(|(slot, rejection)| (name(slot), rejection)).collect();
    explanation
}

fn score(profile: &Profile, cycle: Cycle<'_>, feasible: &[Slot], explanation: &mut Explanation) {
    let table = cycle.snapshot.nodes();
    let name = |slot: &Slot| table.info(*slot).name.clone();
    let mut rows: Vec<Vec<i64>> = vec![Vec::new(); feasible.len()];
    for (plugin, weight) in profile.scores() {
        if let Some(score) = plugin.pre_score(cycle, feasible) {
            explanation.plugins.push(plugin.id());
            let mut scores: Vec<i64> = feasible.iter().map(|slot| score.score(table.info(*slot))).collect();
            score.normalize(feasible, &mut scores);
            for (row, score) in rows.iter_mut().zip(scores) {
                row.push(weight * score);
            }
        }
    }
    for row in &mut rows {
        row.push(row.iter().sum());
    }
    let highest = rows.iter().filter_map(|row| row.last()).max().copied();
    let best = feasible.iter().zip(&rows).filter(|(_, row)| row.last().copied() == highest);
    explanation.best = best.map(|(slot, _)| name(slot)).collect();
    explanation.best.sort();
    explanation.scores = feasible.iter().map(name).zip(rows).collect();
}
