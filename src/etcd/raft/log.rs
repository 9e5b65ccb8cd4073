//! A member's log: entries after an offset (what stands before is in a snapshot), and three cursors into it: what was handed out to be
//! written, what is durable, what is committed.

use std::collections::VecDeque;

use crate::base::planted::{Bug, Planted};
use crate::base::{Index, Term};
use crate::wire::raft::{Entries, Entry};

/// How many runs are remembered: one is written while the last few become committed.
const RECENT: usize = 8;

/// Entries in a row, not empty.
struct Run {
    entries: Entries,
    /// What they take in a message, where that was asked for.
    bytes: Option<usize>,
}

impl Run {
    fn first(&self) -> Index {
        self.entries[0].index
    }
    fn last(&self) -> Index {
        self.entries[self.entries.len() - 1].index
    }
}

/// See the module. Invariant: `offset <= stable <= written <= last`, `offset <= committed <= last`.
#[derive(Default)]
pub struct Log {
    /// Index and term of the last entry that is no longer here.
    offset: Index,
    offset_term: Term,
    entries: VecDeque<Entry>,
    /// Entries that were shared lately, as they stand in the log: what is sent to one is mostly what is sent to another, what is written to
    /// disk, and what is committed next.
    recent: VecDeque<Run>,
    written: Index,
    stable: Index,
    committed: Index,
}

impl Log {
    /// Starts after a snapshot.
    pub fn after(index: Index, term: Term) -> Log {
        Log { offset: index, offset_term: term, written: index, stable: index, committed: index, ..Log::default() }
    }
    pub fn offset(&self) -> Index {
        self.offset
    }
    pub fn last_index(&self) -> Index {
        Index(self.offset.0 + self.entries.len() as u64)
    }
    pub fn last_term(&self) -> Term {
        self.entries.back().map_or(self.offset_term, |entry| entry.term)
    }
    pub fn committed(&self) -> Index {
        self.committed
    }
    /// Everything up to here survives a crash.
    pub fn stable(&self) -> Index {
        self.stable
    }
    /// `None`: the log does not reach so far, or no longer.
    pub fn term(&self, index: Index) -> Option<Term> {
        if index == self.offset { Some(self.offset_term) } else { self.entry(index).map(|entry| entry.term) }
    }
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        let at = index.0.checked_sub(self.offset.0 + 1)?;
        self.entries.get(at as usize)
    }
    /// Entries `from..=to`.
    pub fn range(&self, from: Index, to: Index) -> impl Iterator<Item = &Entry> {
        assert!(from > self.offset, "entries from {from} are gone, the log starts after {}", self.offset);
        let (from, to) = (from.0 - self.offset.0 - 1, to.0 - self.offset.0);
        self.entries.range((from as usize).min(to as usize)..to as usize)
    }
    /// Is a log with this last entry at least as up to date as this one? (Paper, section 5.4.1.)
    pub fn is_up_to_date(&self, last_index: Index, last_term: Term) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }
    /// Appends what directly follows the last entry.
    pub fn append(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.last_index().next(), "an entry leaves a gap in the log");
        self.entries.push_back(entry);
    }
    /// A follower's append (paper, figure 2): `Err` if the previous entry is not here; else the conflicting suffix is replaced, and the
    /// last index that now matches the leader's log is returned.
    pub fn try_append(&mut self, previous_index: Index, previous_term: Term, entries: &Entries, planted: Planted) -> Result<Index, ()> {
        if self.term(previous_index) != Some(previous_term) {
            return Err(());
        }
        let matched = Index(previous_index.0 + entries.len() as u64);
        let conflict = entries.iter().position(|entry| self.term(entry.index) != Some(entry.term));
        if let Some(mut first) = conflict {
            if planted.has(Bug::ConflictNotTruncated) {
                first = entries.iter().position(|entry| entry.index > self.last_index()).unwrap_or(entries.len());
            } else {
                self.truncate(entries[first].index);
            }
            entries[first..].iter().for_each(|entry| self.append(entry.clone()));
            if first == 0 {
                self.remember(Run { entries: entries.clone(), bytes: None });
            }
        }
        Ok(matched)
    }
    /// Drops the entries from `from` on.
    fn truncate(&mut self, from: Index) {
        assert!(from > self.committed, "entry {from} conflicts with the committed {}", self.committed);
        self.entries.truncate((from.0 - self.offset.0 - 1) as usize);
        self.recent.retain(|run| run.last() < from);
        self.written = self.written.min(from.previous());
        self.stable = self.stable.min(from.previous());
    }
    /// The last index at or before `index` whose term is no more than `term`, and its term: whatever lies above it can't match a log whose
    /// entry at `index` is of `term`. Skips whole terms of a conflict (paper, end of section 5.3).
    pub fn find_conflict(&self, index: Index, term: Term) -> (Index, Option<Term>) {
        let mut at = index;
        loop {
            match self.term(at) {
                Some(found) if found > term => at = at.previous(),
                other => return (at, other),
            }
        }
    }
    /// Moves the commit index forward; `false` if it was there already.
    pub fn commit_to(&mut self, index: Index) -> bool {
        if index <= self.committed {
            return false;
        }
        assert!(index <= self.last_index(), "commit {index} is beyond the last entry, {}: was the log lost?", self.last_index());
        self.committed = index;
        true
    }
    /// Entries that were not handed out to be written, which they are now.
    pub fn take_unwritten(&mut self) -> Entries {
        let (from, to) = (self.written.next(), self.last_index());
        self.written = to;
        if from > to {
            return Entries::default();
        }
        if let Some(run) = self.find(from, to) {
            return run.entries.clone();
        }
        let entries: Entries = self.range(from, to).cloned().collect();
        self.remember(Run { entries: entries.clone(), bytes: None });
        entries
    }
    /// What comes from an entry on, as far as a message may hold it: one entry at least, if there is one.
    pub fn message(&mut self, from: Index, bytes_max: usize) -> Entries {
        let last = self.last_index();
        if from > last {
            return Entries::default();
        }
        if let Some(run) = self.find(from, last).filter(|run| run.bytes.is_some_and(|bytes| bytes <= bytes_max)) {
            return run.entries.clone();
        }
        let (mut bytes, mut count) = (0, 0);
        for entry in self.range(from, last) {
            let more = bytes + entry.size();
            if count > 0 && more > bytes_max {
                break;
            }
            (bytes, count) = (more, count + 1);
        }
        let entries: Entries = self.range(from, Index(from.0 + count - 1)).cloned().collect();
        self.remember(Run { entries: entries.clone(), bytes: Some(bytes) });
        entries
    }
    /// Entries `from..=to` as runs, those that are known where there are some.
    pub fn runs(&self, mut from: Index, to: Index, runs: &mut Vec<Entries>) {
        while from <= to {
            let known = self.recent.iter().rev().find(|run| run.first() == from && run.last() <= to);
            let run = known.map_or_else(
                || {
                    let next = self.recent.iter().map(Run::first).filter(|first| *first > from).min();
                    self.range(from, next.map_or(to, |next| next.previous().min(to))).cloned().collect()
                },
                |run| run.entries.clone(),
            );
            from = Index(from.0 + run.len() as u64);
            runs.push(run);
        }
    }
    fn find(&self, first: Index, last: Index) -> Option<&Run> {
        self.recent.iter().rev().find(|run| run.first() == first && run.last() == last)
    }
    fn remember(&mut self, run: Run) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(run);
    }
    pub fn has_unwritten(&self) -> bool {
        self.written < self.last_index()
    }
    /// All that was handed out is durable, but for what has been replaced since.
    pub fn written_is_stable(&mut self) {
        self.stable = self.written;
    }
    /// Everything up to this entry is in a state that is kept apart: what follows it here stays, if it does follow.
    pub fn begin_after(&mut self, index: Index, term: Term) {
        if self.term(index) == Some(term) {
            self.commit_to(index);
            self.compact(index);
        } else if index > self.offset {
            *self = Log::after(index, term);
        }
    }
    /// Drops entries up to `index`, which a snapshot holds.
    pub fn compact(&mut self, index: Index) {
        assert!(index <= self.committed, "a snapshot at {index} is ahead of the commit index {}", self.committed);
        let Some(term) = self.term(index) else { return };
        self.entries.drain(..(index.0 - self.offset.0) as usize);
        (self.offset, self.offset_term) = (index, term);
    }
}

/// Reads a log back from disk, where a record replaces what earlier ones said of the same indexes.
pub fn replay(log: &mut Log, entries: &[Entry]) {
    for entry in entries {
        if entry.index <= log.offset {
            continue;
        }
        if entry.index <= log.last_index() {
            log.entries.truncate((entry.index.0 - log.offset.0 - 1) as usize);
        }
        log.append(entry.clone());
    }
    (log.written, log.stable) = (log.last_index(), log.last_index());
}
