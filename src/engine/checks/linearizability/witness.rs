//! The short way: somebody says in which order the operations took effect, and that order is looked at. If it keeps true order and
//! explains every answer, it is a linearization, whoever said so; nothing is trusted. If it does not, nothing is known, and the search
//! has the word.

use std::collections::BTreeMap;

use crate::base::{Map, Revision, Time};
use crate::wire::history::{HistoryEvent, Key, Operation, OperationId, Outcome, Step, Written};

use super::Initial;

/// An operation that took effect, and must have done so between two places of the history.
struct Item<'a> {
    id: OperationId,
    operation: &'a Operation,
    /// Its answer, if there was one.
    answer: Option<(bool, &'a [Option<Written>])>,
    called: usize,
    returned: usize,
    revision: Revision,
}

/// Is there a linearization in the order of revisions? `revision_of`: where an operation took effect whose answer nobody got; `None`: it
/// did not. `deleted`: an answered one that writes nothing made its revision by deleting. How many operations it has.
pub fn linearization(
    history: &[(Time, HistoryEvent)],
    initial: &Initial,
    revision_of: impl Fn(OperationId, &Operation) -> Option<Revision>,
    deleted: impl Fn(OperationId) -> bool,
) -> Option<usize> {
    let mut items = items(history, revision_of);
    // At one revision who made it comes before those who saw it.
    let saw = |item: &Item<'_>| {
        let Some((succeeded, _)) = item.answer else { return false };
        let steps = item.operation.branch(succeeded);
        !steps.iter().any(|step| matches!(step, Step::Write(..))) && !deleted(item.id)
    };
    items.sort_by_key(|item| (item.revision, saw(item), item.called));
    let mut state: BTreeMap<Key, Written> = initial.clone();
    let mut last_call = 0;
    for item in &items {
        // It had returned before one was called that is said to have come earlier.
        if item.returned < last_call {
            return None;
        }
        last_call = last_call.max(item.called);
        let (succeeded, reads) = play(item.operation, &mut state);
        if item.answer.is_some_and(|answer| answer != (succeeded, &reads[..])) {
            return None;
        }
    }
    Some(items.len())
}

fn items<'a>(history: &'a [(Time, HistoryEvent)], revision_of: impl Fn(OperationId, &Operation) -> Option<Revision>) -> Vec<Item<'a>> {
    let mut calls: Map<OperationId, (usize, &Operation)> = Map::default();
    let mut items = Vec::new();
    let unanswered = |id: OperationId, called: usize, operation: &'a Operation| {
        let revision = revision_of(id, operation)?;
        Some(Item { id, operation, answer: None, called, returned: usize::MAX, revision })
    };
    for (place, (_, event)) in history.iter().enumerate() {
        match event {
            HistoryEvent::Called(id, operation) if !operation.serializable => drop(calls.insert(*id, (place, operation))),
            HistoryEvent::Returned(id, outcome) => {
                let Some((called, operation)) = calls.remove(id) else { continue };
                match outcome {
                    Outcome::Done { succeeded, reads, revision, .. } => {
                        let answer = Some((*succeeded, &reads[..]));
                        items.push(Item { id: *id, operation, answer, called, returned: place, revision: *revision });
                    }
                    Outcome::Failed => {}
                    Outcome::Unknown => items.extend(unanswered(*id, called, operation)),
                }
            }
            _ => {}
        }
    }
    // In the order of their calls: a map has none.
    let mut pending: Vec<_> = calls.into_iter().collect();
    pending.sort_unstable_by_key(|(_, (called, _))| *called);
    items.extend(pending.into_iter().filter_map(|(id, (called, operation))| unanswered(id, called, operation)));
    items
}

/// Does one operation, and tells what its client would be answered.
fn play(operation: &Operation, state: &mut BTreeMap<Key, Written>) -> (bool, Vec<Option<Written>>) {
    let succeeded = operation.compares.iter().all(|(key, value)| state.get(key).copied() == *value);
    let mut reads = Vec::new();
    for step in operation.branch(succeeded) {
        match step {
            Step::Read(key) => reads.push(state.get(key).copied()),
            Step::Write(key, value) => drop(state.insert(*key, *value)),
            Step::Delete(key) => drop(state.remove(key)),
        }
    }
    (succeeded, reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Member;

    const X: Key = Key(1);

    fn id(number: u32) -> OperationId {
        OperationId { client: 1, number }
    }
    fn call(number: u32, step: Step) -> (Time, HistoryEvent) {
        (Time::ZERO, HistoryEvent::Called(id(number), Operation { then: [step].into_iter().collect(), ..Operation::default() }))
    }
    fn done(number: u32, revision: u64, reads: &[Option<u64>]) -> (Time, HistoryEvent) {
        let reads = reads.iter().map(|read| read.map(Written)).collect();
        let outcome = Outcome::Done { succeeded: true, reads, revision: Revision(revision), member: Member(1) };
        (Time::ZERO, HistoryEvent::Returned(id(number), outcome))
    }
    fn found(history: &[(Time, HistoryEvent)]) -> Option<usize> {
        linearization(history, &Initial::new(), |id, _| (id.number == 9).then_some(Revision(5)), |_| false)
    }

    #[test]
    fn an_order_is_believed_only_if_it_explains_every_answer_in_true_order() {
        let write = [call(1, Step::Write(X, Written(7))), done(1, 2, &[])];
        let read = |revision, value| [call(2, Step::Read(X)), done(2, revision, &[value])];
        assert_eq!(found(&[&write[..], &read(2, Some(7))].concat()), Some(2));
        assert_eq!(found(&[&write[..], &read(2, None)].concat()), None, "it saw something else");
        assert_eq!(found(&[&write[..], &read(1, None)].concat()), None, "it returned after a write that it did not see");
        let [called, returned] = read(1, None);
        assert_eq!(found(&[called, write[0].clone(), returned, write[1].clone()]), Some(2), "at the same time it may not");
    }

    #[test]
    fn a_write_whose_answer_is_lost_counts_where_the_store_has_it() {
        let lost = call(9, Step::Write(X, Written(7)));
        let read = |revision, value| [call(2, Step::Read(X)), done(2, revision, &[value])];
        assert_eq!(found(&[&[lost.clone()][..], &read(5, Some(7))].concat()), Some(2));
        assert_eq!(found(&[&read(6, Some(7))[..], &[lost]].concat()), None, "it was read before it was called");
    }
}
