//! The text of a violation: which operation fits nowhere, what is odd about what it saw, and what happened to its keys around it.

use std::fmt::Write;

use super::prepare::{Story, name};
use crate::base::{Map, Time};
use crate::wire::history::{HistoryEvent, Key, Operation, OperationId, Outcome, Step};

/// Operations on the same keys that are shown before and after.
const BEFORE: usize = 8;
const AFTER: usize = 3;

/// What is shown of an operation.
struct Shown<'a> {
    id: OperationId,
    operation: &'a Operation,
    called: Time,
    returned: Option<(Time, &'a Outcome)>,
}

pub fn tell(history: &[(Time, HistoryEvent)], story: &Story, operation: OperationId) -> String {
    let all = collect(history);
    let at = all.iter().position(|shown| shown.id == operation).expect("it is an operation of this history");
    let keys = keys(all[at].operation);
    let mut text = format!("{} fits nowhere: {}", name(operation), line(&all[at]));
    if let Some((_, Outcome::Done { reads, .. })) = all[at].returned {
        for value in reads.iter().flatten() {
            let writer = story.writers.get(value).and_then(|writer| all.iter().find(|shown| shown.id == *writer));
            let _ = match writer {
                None => write!(text, "; nobody wrote {}", value.0),
                Some(Shown { id, returned: Some((_, Outcome::Failed)), .. }) => {
                    write!(text, "; {} was to write {}, and failed", name(*id), value.0)
                }
                Some(_) => Ok(()),
            };
        }
    }
    let related: Vec<usize> =
        (0..all.len()).filter(|&other| self::keys(all[other].operation).iter().any(|key| keys.contains(key))).collect();
    let place = related.binary_search(&at).unwrap_or_default();
    // A long operation may have to do with many: those that ended before it began say what was there.
    for &other in &related[place.saturating_sub(BEFORE)..(place + AFTER + 1).min(related.len())] {
        let mark = if other == at { "> " } else { "  " };
        let _ = write!(text, "\n{mark}{} {}", name(all[other].id), line(&all[other]));
    }
    text
}

/// The operations that a search may have been about, in the order of their calls.
fn collect(history: &[(Time, HistoryEvent)]) -> Vec<Shown<'_>> {
    let mut all: Vec<Shown<'_>> = Vec::new();
    let mut places: Map<OperationId, usize> = Map::default();
    for (at, event) in history {
        match event {
            HistoryEvent::Called(id, operation) if !operation.serializable => {
                places.insert(*id, all.len());
                all.push(Shown { id: *id, operation, called: *at, returned: None });
            }
            HistoryEvent::Returned(id, outcome) => {
                if let Some(place) = places.get(id) {
                    all[*place].returned = Some((*at, outcome));
                }
            }
            _ => {}
        }
    }
    all
}

fn keys(operation: &Operation) -> Vec<Key> {
    let steps = operation.steps();
    let of_step = |step: &Step| match step {
        Step::Read(key) | Step::Write(key, _) | Step::Delete(key) => *key,
    };
    operation.compares.iter().map(|(key, _)| *key).chain(steps.map(of_step)).collect()
}

/// `[1.2s 1.5s] if k1=3 then put k1 4 else get k1 -> otherwise 5`.
fn line(shown: &Shown<'_>) -> String {
    let returned = shown.returned.map_or_else(String::new, |(at, _)| at.to_string());
    let mut text = format!("[{} {returned}] ", shown.called);
    let Operation { compares, then, otherwise, .. } = shown.operation;
    let value = |value: &Option<crate::wire::history::Written>| value.map_or_else(|| "-".to_owned(), |value| value.0.to_string());
    if !compares.is_empty() {
        let compares: Vec<String> = compares.iter().map(|(key, wanted)| format!("k{}={}", key.0, value(wanted))).collect();
        let _ = write!(text, "if {} then ", compares.join(" and "));
    }
    text += &steps(then);
    if !otherwise.is_empty() {
        let _ = write!(text, " else {}", steps(otherwise));
    }
    match shown.returned {
        None => text += " -> no answer",
        Some((_, Outcome::Unknown)) => text += " -> unknown",
        Some((_, Outcome::Failed)) => text += " -> failed",
        Some((_, Outcome::Done { succeeded, reads, revision, .. })) => {
            let branch = if compares.is_empty() {
                ""
            } else if *succeeded {
                " then"
            } else {
                " else"
            };
            let reads: String = reads.iter().map(|read| format!(" {}", value(read))).collect();
            let _ = write!(text, " ->{branch}{reads} at revision {revision}");
        }
    }
    text
}

fn steps(steps: &[Step]) -> String {
    let one = |step: &Step| match step {
        Step::Read(key) => format!("get k{}", key.0),
        Step::Write(key, value) => format!("put k{} {}", key.0, value.0),
        Step::Delete(key) => format!("delete k{}", key.0),
    };
    let texts: Vec<String> = steps.iter().map(one).collect();
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}
