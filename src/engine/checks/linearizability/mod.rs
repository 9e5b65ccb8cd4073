//! Is what clients of the store did and saw possible if each operation takes effect at one instant between its call and its return?
//! (Herlihy and Wing, "Linearizability", 1990.) A transaction over several keys is one operation, so what is checked is in fact strict
//! serializability.
//!
//! The search is just-in-time linearization (Lowe, "Testing for linearizability", 2017; after Wing and Gong): the history is walked in
//! true order with the set of all *configurations*, each a state of the store and the pending operations that have taken effect in it.
//! Only when an operation returns must it have taken effect: then, and not before, each configuration tries the pending operations that
//! could make it possible. None left: the history is impossible, and that operation is the one to be told of. The walk is made when the
//! history is complete, and so knows how each operation will end, which prunes most of the search (`prepare`, `search` say why
//! each reduction is sound). Keys that no transaction connects are looked at one group after the other (Porcupine's P-compositionality).
//!
//! An operation with an unknown outcome may take effect at any time after its call, or never. One that certainly failed is left out, and
//! so are serializable reads, which may be stale: `clients` holds those against the store. Watches, leases and revisions are no part of
//! it either.
//!
//! Before the search the order of revisions is tried ([`linearization`]): a sound store's clients have one that explains everything, and to
//! look at it costs next to nothing.
//!
//! The search may give up: after a number of configurations, not after a time, so that a run has the same verdict everywhere.

mod prepare;
mod search;
mod tell;
mod witness;

use std::collections::BTreeMap;

pub use witness::linearization;

use crate::base::Time;
use crate::wire::history::{HistoryEvent, Key, OperationId, Written};

/// What the store holds when a history begins.
pub type Initial = BTreeMap<Key, Written>;

/// Configurations that the check of one history may look at. Some seconds at the worst; a sound run of 3,000 operations needs as many.
pub const BUDGET: u64 = 500_000;

/// What is known of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It has this many operations, and these configurations were looked at.
    Linearizable { operations: usize, explored: u64 },
    /// This operation fits nowhere. The text says why, with what happened around it.
    Violation { operation: OperationId, text: String },
    /// The budget was used up. As long as nobody has looked, this is as bad as a violation.
    Unknown { explored: u64 },
}

impl Verdict {
    /// What is wrong; `None`: all is well.
    pub fn violation(&self) -> Option<String> {
        match self {
            Verdict::Linearizable { .. } => None,
            Verdict::Violation { text, .. } => Some(format!("not linearizable: {text}")),
            Verdict::Unknown { explored } => {
                Some(format!("not known to be linearizable: given up after {explored} configurations of the store"))
            }
        }
    }
}

/// Checks a history, in true order, that began with this state.
pub fn check(history: &[(Time, HistoryEvent)], initial: &Initial, budget: u64) -> Verdict {
    let verdict = check_whole(history, initial, budget);
    if !matches!(verdict, Verdict::Violation { .. }) {
        return verdict;
    }
    // The walk knows how each operation will end, and so may stumble before the event that made the history impossible: the last event of
    // the shortest beginning that is impossible already.
    let (mut possible, mut impossible) = (0, history.len());
    while possible + 1 < impossible {
        let middle = possible.midpoint(impossible);
        match check_whole(&history[..middle], initial, budget) {
            Verdict::Violation { .. } => impossible = middle,
            _ => possible = middle,
        }
    }
    let last = history[..impossible].last();
    let Some((_, HistoryEvent::Returned(operation, _))) = last else { return verdict };
    match prepare::prepare(&history[..impossible], initial) {
        Ok(story) => Verdict::Violation { operation: *operation, text: tell::tell(&history[..impossible], &story, *operation) },
        Err(_) => verdict,
    }
}

fn check_whole(history: &[(Time, HistoryEvent)], initial: &Initial, budget: u64) -> Verdict {
    let story = match prepare::prepare(history, initial) {
        Ok(story) => story,
        Err(prepare::Malformed { operation, text }) => return Verdict::Violation { operation, text },
    };
    let mut explored = 0;
    for group in &story.groups {
        // Where one group gives up, another's word still counts.
        if let search::Found::Impossible(item) = search::search(group, budget, &mut explored) {
            let operation = group.items[item].id;
            return Verdict::Violation { operation, text: tell::tell(history, &story, operation) };
        }
    }
    if explored >= budget { Verdict::Unknown { explored } } else { Verdict::Linearizable { operations: story.operations, explored } }
}
