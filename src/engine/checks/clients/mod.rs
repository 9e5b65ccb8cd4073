//! What clients of the store were told, held against what the store's members did: each event looks only at what it is about, so these
//! checks are cheap, and always on.
//!
//! - Operations (here): what was read is what the store held at the answer's revision, of stale reads too; what was written stands in the
//!   store's history at that revision, whole and once; what failed is nowhere, what is unknown at most once. A linearizable answer is not
//!   older than what some member had applied when it was asked for: stronger than "than what had been answered", and true of a read index,
//!   too, which a quorum confirms after the question. A write is newer.
//! - The store's own history of the load's keys, with versions and revisions as they must rise: [`log`].
//! - Watches: [`watches`]. Leases: [`leases`].
//!
//! Whether the answers could also have been given without a look at revisions is another question: `linearizability`, at the end of a run.
//!
//! A new cluster that is made from a snapshot begins an *era* ([`Clients::restored`]): what was done after the snapshot is lost by design,
//! so nothing is asked of operations, watches and leases that reach across.

mod leases;
mod log;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::{BTreeMap, BTreeSet};

use super::linearizability::{self, Initial};
use crate::base::{Map, Revision, Time};
use crate::wire::etcd::{Applied, StoreSnapshot};
use crate::wire::history::{HistoryEvent, Key, Operation, OperationId, Outcome, Step, Written};
use leases::Leases;
use log::Log;
use watches::Watches;

/// See the module.
#[derive(Default)]
pub struct Clients {
    log: Log,
    pending: Map<OperationId, Pending>,
    untold: bool,
    writes: Map<Written, Write>,
    /// Answered operations that wrote nothing and deleted something, each with its revision.
    deletions: Map<OperationId, Revision>,
    /// How many operations may be about to delete a key, or may yet: then its end says nothing of its lease.
    deleters: Map<Key, u32>,
    watches: Watches,
    leases: Leases,
    /// Where in the record's history the era at hand begins, and with what; and what was wrong in earlier ones.
    era_from: usize,
    initial: Initial,
    verdicts: Vec<String>,
}

struct Pending {
    /// Of its call, in the record's history.
    called: usize,
    /// The newest revision that any member had applied.
    floor: Revision,
}

/// What became of a value that was to be written.
struct Write {
    operation: OperationId,
    failed: bool,
    applied: Option<Revision>,
}

/// What a transaction would see and change.
#[derive(PartialEq, Eq, Debug)]
struct Effect {
    succeeded: bool,
    reads: Vec<Option<Written>>,
    /// By key; without what changes nothing.
    changes: BTreeMap<Key, Option<Written>>,
}

impl Clients {
    /// Clocks may be off by so many parts per million: a lease ends by its leader's.
    pub fn tolerate(&mut self, ppm: u64) {
        self.leases.tolerate(ppm);
    }

    /// Some clients do not tell what they do: not all that is written is known of.
    pub fn miss_some(&mut self, untold: bool) {
        self.untold = untold;
    }

    /// The first member to do so applied a revision.
    pub fn applied(&mut self, now: Time, applied: &Applied, violations: &mut Vec<String>) {
        let before = violations.len();
        self.log.applied(applied, violations);
        if violations.len() > before {
            return;
        }
        for event in &applied.events {
            let Some(key) = Key::of(&event.kv.key) else { continue };
            if event.deleted {
                let asked_for = self.deleters.get(&key).is_some_and(|count| *count > 0);
                self.leases.deleted(now, key, asked_for, applied.revision, violations);
                continue;
            }
            self.leases.put(key, event.kv.lease, applied.revision, violations);
            let Some(value) = Written::of(&event.kv.value) else {
                violations.push(format!("revision {} holds a damaged value of key {}", applied.revision, key.0));
                continue;
            };
            match self.writes.get_mut(&value) {
                // What clients put under their leases they do not tell.
                None if key.is_leased() || self.untold => {}
                None => violations.push(format!("value {} of revision {} was written by nobody", value.0, applied.revision)),
                Some(Write { operation, applied: Some(first), .. }) if *first != applied.revision => {
                    let (name, second) = (name(*operation), applied.revision);
                    violations.push(format!("{name} was done twice: value {} is of revision {first} and of {second}", value.0));
                }
                Some(Write { operation, failed: true, .. }) => {
                    let name = name(*operation);
                    violations.push(format!("{name} failed for certain, yet value {} is of revision {}", value.0, applied.revision));
                }
                Some(write) => write.applied = Some(applied.revision),
            }
        }
        self.leases.settled(applied.revision, violations);
    }

    /// The newest event of the record's history.
    pub fn told(&mut self, history: &[(Time, HistoryEvent)], violations: &mut Vec<String>) {
        let Some((now, event)) = history.last() else { return };
        match event {
            HistoryEvent::Called(id, operation) => {
                self.pending.insert(*id, Pending { called: history.len() - 1, floor: self.log.newest() });
                for step in operation.steps() {
                    match step {
                        Step::Write(_, value) => {
                            self.writes.entry(*value).or_insert(Write { operation: *id, failed: false, applied: None });
                        }
                        Step::Delete(key) => *self.deleters.entry(*key).or_default() += 1,
                        Step::Read(_) => {}
                    }
                }
            }
            HistoryEvent::Returned(id, outcome) => {
                let Some(Pending { called, floor }) = self.pending.remove(id) else { return };
                let Some((_, HistoryEvent::Called(_, operation))) = history.get(called) else { return };
                self.returned(*id, operation, floor, outcome, violations);
            }
            HistoryEvent::Watching { client, watch, from } => self.watches.begins((*client, *watch), *from, &self.log),
            HistoryEvent::Watched { client, watch, events } => self.watches.saw((*client, *watch), events, &self.log, violations),
            HistoryEvent::Bookmark { client, watch, revision } => {
                self.watches.complete((*client, *watch), *revision, &self.log, violations);
            }
            HistoryEvent::WatchCompacted { client, watch, compact_revision } => {
                self.watches.compacted((*client, *watch), *compact_revision, &self.log, violations);
            }
            HistoryEvent::LeaseAlive { lease, ttl, asked, .. } => self.leases.alive(*now, *lease, *ttl, *asked, violations),
            HistoryEvent::LeaseRevoking { lease, .. } => self.leases.revoking(*lease),
        }
    }

    fn returned(&mut self, id: OperationId, operation: &Operation, floor: Revision, outcome: &Outcome, violations: &mut Vec<String>) {
        let steps = || operation.steps();
        if !matches!(outcome, Outcome::Unknown) {
            for step in steps() {
                if let Step::Delete(key) = step
                    && let Some(count) = self.deleters.get_mut(key)
                {
                    *count -= 1;
                }
            }
        }
        match outcome {
            Outcome::Unknown => {}
            Outcome::Failed => {
                for step in steps() {
                    let Step::Write(_, value) = step else { continue };
                    let Some(write) = self.writes.get_mut(value) else { continue };
                    write.failed = true;
                    if let Some(revision) = write.applied {
                        violations.push(format!("{} failed for certain, yet value {} is of revision {revision}", name(id), value.0));
                    }
                }
            }
            Outcome::Done { succeeded, reads, revision, member } => {
                let answer = (*succeeded, &reads[..], *revision);
                match self.done(operation, floor, answer) {
                    Ok(true) if !steps().any(|step| matches!(step, Step::Write(..))) => drop(self.deletions.insert(id, *revision)),
                    Ok(_) => {}
                    Err(wrong) => violations.push(format!("{} was answered by {member} at revision {revision}: {wrong}", name(id))),
                }
            }
        }
    }

    /// Is this the answer of a sound store? And did the operation make its revision?
    fn done(&self, operation: &Operation, floor: Revision, answer: (bool, &[Option<Written>], Revision)) -> Result<bool, String> {
        let (succeeded, reads, revision) = answer;
        let newest = self.log.newest();
        if revision > newest {
            return Err(format!("no member has applied more than {newest}"));
        }
        if !operation.serializable && revision < floor {
            return Err(format!("revision {floor} had been applied when it was asked"));
        }
        // A write is done where its revision says; what changes nothing sees the store as it is.
        let before = self.run(operation, Revision(revision.0.saturating_sub(1)));
        let is = |effect: &Effect| effect.succeeded == succeeded && effect.reads == reads;
        let wrote = is(&before) && !before.changes.is_empty() && self.log.changes(revision) == before.changes;
        if wrote && revision > floor {
            return Ok(true);
        }
        // Somebody else may have deleted just before what this one then did not find.
        let after = self.run(operation, revision);
        if is(&after) && after.changes.is_empty() {
            return Ok(false);
        }
        if wrote {
            return Err(format!("revision {floor} had been applied when the write was asked for"));
        }
        let branch = operation.branch(succeeded);
        if branch.iter().any(|step| matches!(step, Step::Write(..))) && self.log.changes(revision) != before.changes {
            return Err(format!("that revision changed {}, the write is not there", show(&self.log.changes(revision))));
        }
        let compared = if operation.compares.is_empty() {
            ""
        } else if succeeded {
            "its comparisons held and "
        } else {
            "its comparisons did not hold and "
        };
        let expected = if before.changes.is_empty() { after } else { before };
        Err(format!("{compared}it saw {}, but the store had {}", values(reads), values(&expected.reads)))
    }

    /// What the operation would have seen and changed of the store as it was at a revision.
    fn run(&self, operation: &Operation, at: Revision) -> Effect {
        let held = |key: &Key| self.log.value(*key, at);
        let succeeded = operation.compares.iter().all(|(key, wanted)| held(key) == *wanted);
        let (mut reads, mut changes): (Vec<_>, BTreeMap<Key, Option<Written>>) = (Vec::new(), BTreeMap::new());
        for step in operation.branch(succeeded) {
            match step {
                Step::Read(key) => reads.push(changes.get(key).copied().unwrap_or_else(|| held(key))),
                Step::Write(key, value) => drop(changes.insert(*key, Some(*value))),
                Step::Delete(key) => drop(changes.insert(*key, None)),
            }
        }
        // To delete what is not there is no change; each value is a new one.
        changes.retain(|key, value| value.is_some() || held(key).is_some());
        Effect { succeeded, reads, changes }
    }

    /// A new cluster goes on from this snapshot. `history`: the record's so far.
    pub fn restored(&mut self, snapshot: &StoreSnapshot, history: &[(Time, HistoryEvent)]) {
        let verdict = self.era(history);
        self.verdicts.extend(verdict);
        self.log = Log::from_snapshot(snapshot);
        self.pending.clear();
        self.watches = Watches::default();
        self.leases.restored(snapshot);
        for write in self.writes.values_mut() {
            write.applied = None;
        }
        self.deletions.clear();
        let held = |kv: &crate::wire::etcd::KeyValue| Some((Key::of(&kv.key)?, Written::of(&kv.value)?));
        (self.era_from, self.initial) = (history.len(), snapshot.kvs.iter().filter_map(held).collect());
    }

    /// At the end of a run: could what the clients were told have happened?
    pub fn linearizability(&self, history: &[(Time, HistoryEvent)], violations: &mut Vec<String>) {
        violations.extend(self.verdicts.iter().cloned());
        violations.extend(self.era(history));
    }
    /// The same of the era at hand.
    fn era(&self, history: &[(Time, HistoryEvent)]) -> Option<String> {
        let own = &history[self.era_from..];
        if self.era_from == 0 {
            return self.possible(own);
        }
        self.possible(&with_unknown(&unreturned(&history[..self.era_from]), own))
    }
    fn possible(&self, history: &[(Time, HistoryEvent)]) -> Option<String> {
        let deletions = self.unanswered_deletions(history);
        let revision_of = |id: OperationId, operation: &Operation| {
            let written = operation.steps().find_map(|step| match step {
                Step::Write(_, value) => self.writes.get(value)?.applied,
                _ => None,
            });
            written.or_else(|| deletions.get(&id).copied())
        };
        let deleted = |id| self.deletions.contains_key(&id);
        if linearizability::linearization(history, &self.initial, revision_of, deleted).is_some() {
            return None;
        }
        linearizability::check(history, &self.initial, linearizability::BUDGET).violation()
    }
    /// Deletions bear no value that would tell whose they were: those that no answer claims are given to operations without an answer that
    /// would have made them, in the order of their calls.
    fn unanswered_deletions(&self, history: &[(Time, HistoryEvent)]) -> Map<OperationId, Revision> {
        let deletes = |operation: &Operation| operation.steps().any(|step| matches!(step, Step::Delete(_)));
        let mut waiting = BTreeMap::new();
        for (place, (_, event)) in history.iter().enumerate() {
            match event {
                HistoryEvent::Called(id, operation) if deletes(operation) => drop(waiting.insert(*id, (place, operation))),
                HistoryEvent::Returned(id, Outcome::Done { .. } | Outcome::Failed) => drop(waiting.remove(id)),
                _ => {}
            }
        }
        let mut waiting: Vec<(usize, OperationId, &Operation)> =
            waiting.into_iter().map(|(id, (place, operation))| (place, id, operation)).collect();
        waiting.sort_unstable_by_key(|(place, ..)| *place);
        let claimed: BTreeSet<Revision> = self.deletions.values().copied().collect();
        let mut given = Map::default();
        let mut place = 0;
        while let Some(revision) = self.log.revision(place) {
            let keys = self.log.keys_of(place);
            place += 1;
            if claimed.contains(&revision) || keys.iter().any(|key| key.is_leased() || self.log.value(*key, revision).is_some()) {
                continue;
            }
            let changes = self.log.changes(revision);
            let before = Revision(revision.0 - 1);
            if let Some(who) = waiting.iter().position(|(_, _, operation)| self.run(operation, before).changes == changes) {
                given.insert(waiting.remove(who).1, revision);
            }
        }
        given
    }
}

/// Calls without a return.
fn unreturned(history: &[(Time, HistoryEvent)]) -> Vec<(Time, HistoryEvent)> {
    let mut pending: BTreeMap<OperationId, &(Time, HistoryEvent)> = BTreeMap::new();
    for told in history {
        match &told.1 {
            HistoryEvent::Called(id, _) => drop(pending.insert(*id, told)),
            HistoryEvent::Returned(id, _) => drop(pending.remove(id)),
            _ => {}
        }
    }
    pending.into_values().cloned().collect()
}

/// Operations that reach into an era: nobody knows in which of the two they were done, if they were.
fn with_unknown(across: &[(Time, HistoryEvent)], own: &[(Time, HistoryEvent)]) -> Vec<(Time, HistoryEvent)> {
    let reaches = |id: &OperationId| across.iter().any(|(_, call)| matches!(call, HistoryEvent::Called(other, _) if other == id));
    let mut all = across.to_vec();
    all.extend(own.iter().map(|(at, event)| match event {
        HistoryEvent::Returned(id, _) if reaches(id) => (*at, HistoryEvent::Returned(*id, Outcome::Unknown)),
        event => (*at, event.clone()),
    }));
    all
}

fn name(id: OperationId) -> String {
    format!("operation {} of client {}", id.number, id.client)
}

fn values(values: &[Option<Written>]) -> String {
    let texts: Vec<String> = values.iter().map(|value| value.map_or_else(|| "nothing".to_owned(), |value| value.0.to_string())).collect();
    if texts.is_empty() { "no values".to_owned() } else { texts.join(", ") }
}

fn show(changes: &BTreeMap<Key, Option<Written>>) -> String {
    let one = |(key, value): (&Key, &Option<Written>)| format!("key {} to {}", key.0, values(&[*value]));
    let texts: Vec<String> = changes.iter().map(one).collect();
    if texts.is_empty() { "no key".to_owned() } else { texts.join(", ") }
}
