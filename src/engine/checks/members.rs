//! Raft's safety, looked at after every step of a member (`--check full`): each look costs what the step changed. The numbers are those of
//! the table in `checks`.
//!
//! What a member holds durably is what it held when it was last looked at, also while it is down: a crash takes away only what was not
//! durable. A member that begins with an empty disk is another one under the same name.

use std::collections::{BTreeMap, VecDeque};

use crate::base::{Index, Map, Revision, Term};
use crate::etcd::EtcdMember;
use crate::etcd::raft::{Raft, Role};
use crate::wire::Member;
use crate::wire::raft::{Body, Configuration, Entry, Message};

/// Entries and committed terms that are remembered: far more than a log holds between two snapshots.
const REMEMBERED: usize = 100_000;

/// See the module.
#[derive(Default)]
pub struct Members {
    seen: BTreeMap<Member, Seen>,
    /// Every entry that was in a log, with the term of the one before it.
    entries: BTreeMap<(Index, Term), (Option<Term>, Entry)>,
    committed: BTreeMap<Index, Term>,
    leaders: BTreeMap<Term, Member>,
    votes: Map<(Member, Term), Member>,
    /// The configuration from the change at an index on.
    configurations: BTreeMap<Index, Configuration>,
    /// The highest term that somebody has begun as a candidate.
    begun: Term,
}

/// A member when it was last looked at.
#[derive(Default)]
struct Seen {
    /// In this life.
    alive: bool,
    /// Of messages that may leave only when the term is durable.
    told_term: Term,
    term: Term,
    role: Option<Role>,
    commit: Index,
    applied: Index,
    compacted: Revision,
    stable: Index,
    offset: Index,
    /// Of the log's entries after `offset`.
    terms: VecDeque<Term>,
    configuration: Configuration,
}

impl Seen {
    fn last(&self) -> Index {
        Index(self.offset.0 + self.terms.len() as u64)
    }
    fn term_at(&self, index: Index) -> Option<Term> {
        self.terms.get(index.0.checked_sub(self.offset.0 + 1)? as usize).copied()
    }
    fn holds_durably(&self, index: Index, term: Term) -> bool {
        // What is no longer in the log was committed and applied.
        index <= self.offset || self.stable >= index && self.term_at(index) == Some(term)
    }
}

impl Members {
    /// A member begins a new life.
    pub fn began(&mut self, member: Member) {
        self.seen.entry(member).or_default().alive = false;
    }
    /// A new cluster begins from a snapshot: nothing that was known of the old one's logs holds.
    pub fn restored(&mut self) {
        *self = Members::default();
    }
    /// A member wrote a message to another. 7: it votes once a term, whatever it lives through.
    pub fn wrote(&mut self, message: &Message, violations: &mut Vec<String>) {
        let (from, term) = (message.from, message.term);
        let whom = match message.body {
            Body::Vote { .. } => Some(from),
            Body::VoteResponse { granted: true } => Some(message.to),
            Body::VoteResponse { .. } | Body::Append { .. } | Body::AppendResponse { .. } | Body::Heartbeat { .. } => None,
            _ => return,
        };
        let seen = self.seen.entry(from).or_default();
        seen.told_term = seen.told_term.max(term);
        if let Some(whom) = whom {
            let first = *self.votes.entry((from, term)).or_insert(whom);
            if first != whom {
                violations.push(format!("{from} voted in term {term} for {first}, and then for {whom}"));
            }
        }
    }

    /// A member has done a step.
    pub fn stepped(&mut self, me: Member, member: &EtcdMember, violations: &mut Vec<String>) {
        let (Some(raft), Some(status)) = (member.raft(), member.status()) else { return };
        let mut seen = self.seen.remove(&me).unwrap_or_default();
        if !seen.alive {
            self.boots(me, raft, &mut seen, violations);
        }
        let mut wrong = |what: String| violations.push(format!("{me}: {what}"));
        let (term, role, commit) = (status.term, status.role, status.commit);
        // 6.
        if term < seen.term || commit < seen.commit || status.applied < seen.applied || status.compacted < seen.compacted {
            wrong(format!(
                "term {}, commit {}, applied {} or compaction {} went back, to {term}, {commit}, {} and {}",
                seen.term, seen.commit, seen.applied, seen.compacted, status.applied, status.compacted
            ));
        }
        if status.applied > commit || commit > status.last_index || status.compacted > status.revision {
            wrong(format!("applied {}, commit {commit}, last index {}", status.applied, status.last_index));
        }
        if matches!(role, Role::Candidate | Role::Leader) {
            self.begun = self.begun.max(term);
        } else if term > self.begun {
            wrong(format!("took term {term}, which no candidate has begun"));
        }
        let led = seen.role == Some(Role::Leader) && seen.term == term && role == Role::Leader;
        // 2 and 3.
        let from = Members::changed_from(raft, &seen);
        if led && from < seen.last() {
            wrong(format!("leads term {term} and replaced its own entries after {from}"));
        }
        if from < seen.commit.min(seen.last()) && raft.log_offset() < seen.commit {
            wrong(format!("replaced entries after {from}, though {} was committed", seen.commit));
        }
        self.take_entries(me, raft, from, &mut seen, violations);
        seen.stable = status.stable;
        // 9, before what is committed under it.
        let configuration_before = seen.configuration.clone();
        self.configuration(me, raft, status.applied, &mut seen, violations);
        // 5, 8 and 10.
        let first = seen.commit.max(raft.log_offset());
        for index in (first.0 + 1..=commit.0).map(Index) {
            let Some(of) = raft.entry_term(index) else { continue };
            match self.committed.get(&index) {
                Some(known) if *known == of => {}
                Some(known) => violations.push(format!("{me} committed index {index} of term {of}, which elsewhere is of term {known}")),
                None => {
                    self.committed.insert(index, of);
                    let enough = |configuration: &Configuration| self.has_quorum(configuration, me, &seen, index, of);
                    if !enough(&configuration_before) && !enough(&seen.configuration) {
                        violations.push(format!("{me} committed index {index} of term {of}, which is durable on no quorum"));
                    }
                }
            }
        }
        if led && commit > seen.commit && raft.entry_term(commit).is_some_and(|of| of != term) {
            violations.push(format!("{me} leads term {term} and committed index {commit} of an older one by counting"));
        }
        // 1 and 4.
        if role == Role::Leader && !led {
            let first = *self.leaders.entry(term).or_insert(me);
            if first != me {
                violations.push(format!("two leaders in term {term}: {first} and {me}"));
            }
            if let Some((index, of)) = self.committed.last_key_value()
                && *of <= term
                && *index > raft.log_offset()
                && raft.entry_term(*index) != Some(*of)
            {
                violations.push(format!("{me} leads term {term} without index {index} of term {of}, which was committed"));
            }
        }
        (seen.term, seen.role, seen.commit) = (term, Some(role), commit);
        (seen.applied, seen.compacted) = (status.applied, status.compacted);
        self.seen.insert(me, seen);
        while self.entries.len() > REMEMBERED {
            self.entries.pop_first();
        }
        while self.committed.len() > REMEMBERED {
            self.committed.pop_first();
        }
    }

    /// The first look at a life. 6: what it has told of its term has survived.
    fn boots(&mut self, me: Member, raft: &Raft, seen: &mut Seen, violations: &mut Vec<String>) {
        let is_new = raft.last_index() == Index::ZERO && raft.term() == Term::default();
        if is_new {
            self.votes.retain(|(member, _), _| *member != me);
        } else if raft.term() < seen.told_term {
            violations.push(format!("{me} comes back in term {}, though it has spoken in term {}", raft.term(), seen.told_term));
        }
        let told_term = if is_new { Term::default() } else { seen.told_term };
        let (offset, terms) = (seen.offset, std::mem::take(&mut seen.terms));
        *seen = Seen { alive: true, told_term, term: raft.term(), ..Seen::default() };
        if !is_new {
            (seen.offset, seen.terms) = (offset, terms);
        }
        seen.configuration = raft.configuration().clone();
        if self.configurations.is_empty() && !seen.configuration.voters.is_empty() {
            self.configurations.insert(raft.log_offset(), seen.configuration.clone());
        }
        self.begun = self.begun.max(raft.term());
        // 3, of what was read back from disk.
        for index in (raft.log_offset().0 + 1..=raft.last_index().0).map(Index) {
            let Some(entry) = raft.entry(index) else { continue };
            if self.entries.get(&(index, entry.term)).is_some_and(|(_, known)| known != entry) {
                violations.push(format!("{me} comes back with another entry {index} of term {} than it had", entry.term));
            }
        }
    }
    /// The last index up to which the log is as it was.
    fn changed_from(raft: &Raft, seen: &Seen) -> Index {
        let mut from = seen.last().min(raft.last_index());
        while from > seen.offset && from > raft.log_offset() && raft.entry_term(from) != seen.term_at(from) {
            from = from.previous();
        }
        from.max(raft.log_offset())
    }
    /// 3: an entry of some index and term is the same everywhere, and so is the one before it.
    fn take_entries(&mut self, me: Member, raft: &Raft, from: Index, seen: &mut Seen, violations: &mut Vec<String>) {
        if raft.log_offset() >= seen.last() {
            (seen.offset, seen.terms) = (raft.log_offset(), VecDeque::new());
        }
        while seen.offset < raft.log_offset() {
            seen.terms.pop_front();
            seen.offset = seen.offset.next();
        }
        seen.terms.truncate(from.0.saturating_sub(seen.offset.0) as usize);
        for index in (seen.last().0 + 1..=raft.last_index().0).map(Index) {
            let Some(entry) = raft.entry(index) else { continue };
            seen.terms.push_back(entry.term);
            let before = raft.entry_term(index.previous());
            match self.entries.get(&(index, entry.term)) {
                None => drop(self.entries.insert((index, entry.term), (before, entry.clone()))),
                Some((known_before, known)) => {
                    let same_before = before.is_none() || known_before.is_none() || before == *known_before;
                    if !same_before || known != entry {
                        violations
                            .push(format!("{me} has another entry {index} of term {} than somebody else had, or before it", entry.term));
                    }
                }
            }
            // 9.
            let leads = raft.role() == Role::Leader && entry.term == raft.term();
            let is_change = |index: &u64| raft.entry(Index(*index)).is_some_and(|entry| entry.change.is_some());
            if leads
                && entry.change.is_some()
                && let Some(earlier) = (raft.commit().0 + 1..index.0).rfind(is_change)
            {
                violations.push(format!("{me} began a change of members at {index} while that at {earlier} was not committed"));
            }
        }
    }
    /// 9: quorums before and after a change have somebody in common, and all agree on who belongs to the group.
    fn configuration(&mut self, me: Member, raft: &Raft, applied: Index, seen: &mut Seen, violations: &mut Vec<String>) {
        if applied == seen.applied {
            return;
        }
        let new = raft.configuration();
        let is_change = |index: &u64| raft.entry(Index(*index)).is_some_and(|entry| entry.change.is_some());
        let mut changes = (seen.applied.0.max(raft.log_offset().0) + 1..=applied.0).filter(is_change);
        let (first, last) = (changes.next(), changes.next_back());
        let jumped = raft.log_offset() > seen.applied;
        if let Some(index) = last.or(first).map(Index) {
            let known = self.configurations.entry(index).or_insert_with(|| new.clone());
            if known != new {
                violations.push(format!("{me} has other members after the change at {index} than somebody else"));
            }
        } else if jumped
            && let Some((index, known)) = self.configurations.range(..=applied).next_back()
            && known != new
        {
            // It may be the first to tell of a change that its log no longer has. None brings an older configuration back, since who has
            // left is remembered in each.
            if self.configurations.values().any(|older| older == new) {
                violations.push(format!("{me} is at {applied} and does not have the members of the change at {index}"));
            } else {
                self.configurations.insert(applied, new.clone());
            }
        }
        let old = &seen.configuration;
        if !jumped && first.is_some() && last.is_none() {
            let allowed = match (old.is_joint(), new.is_joint()) {
                (false, false) => {
                    let gone = old.voters.iter().filter(|member| !new.voters.contains(member)).count();
                    gone + new.voters.iter().filter(|member| !old.voters.contains(member)).count() <= 1
                }
                (false, true) => new.outgoing == old.voters,
                (true, false) => new.voters == old.voters,
                (true, true) => new == old,
            };
            if !allowed {
                violations.push(format!("{me} went from voters {:?} to {:?} in one step", old.voters, new.voters));
            }
        }
        seen.configuration.clone_from(new);
    }
    /// 8 and 10.
    fn has_quorum(&self, configuration: &Configuration, me: Member, own: &Seen, index: Index, term: Term) -> bool {
        let holds = |member: &&Member| {
            let seen = if **member == me { Some(own) } else { self.seen.get(member) };
            seen.is_some_and(|seen| seen.holds_durably(index, term))
        };
        let majority = |voters: &[Member]| voters.is_empty() || voters.iter().filter(holds).count() > voters.len() / 2;
        !configuration.voters.is_empty() && majority(&configuration.voters) && majority(&configuration.outgoing)
    }
}
