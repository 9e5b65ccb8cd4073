//! Invariants across members of the store, checked while a run goes on: each looks at what the event changed only.
//!
//! Kept apart from the code that they check. "At most one leader a term" is checked where elections are recorded
//! ([`super::recorder`]), "a pod is bound once" where bindings are observed ([`super::observer`]), "no container of a lost machine makes
//! progress" by the host. The dear ones (`--check full`), of streams and caches, hold them against the store's own [`history`];
//! `planted` plays runs with planted bugs that they must find.

pub mod caches;
pub mod clients;
pub mod history;
pub mod linearizability;
#[cfg(test)]
pub mod planted;
pub mod streams;

use crate::base::{Index, Map, Revision, Term, stable_hash};
use crate::etcd::EtcdMember;
use crate::etcd::raft::Role;
use crate::wire::etcd::Applied;
use crate::wire::{Address, Member};

/// What the first member to apply a revision made of it.
struct First {
    index: Index,
    term: Term,
    hash: u64,
}

/// See the module.
#[derive(Default)]
pub struct Checks {
    /// By revision, from `base` on.
    firsts: std::collections::VecDeque<First>,
    base: u64,
    /// The newest committed entry that anybody applied.
    newest: (Index, Term),
    /// The last revision of each member in its present life.
    last: Map<Address, Revision>,
}

/// How many revisions a member may lag behind before its revisions are no longer compared.
const REMEMBERED: usize = 200_000;

impl Checks {
    /// A member applied a revision. True if it is the first to do so.
    pub fn applied(&mut self, from: Address, applied: &Applied, violations: &mut Vec<String>) -> bool {
        let words: Vec<(u64, u64, bool)> =
            applied.events.iter().map(|event| (stable_hash(&event.kv.key), event.kv.value.hash, event.deleted)).collect();
        let hash = stable_hash(&words);
        let revision = applied.revision.0;
        if self.firsts.is_empty() {
            self.base = revision;
        }
        let last = self.last.insert(from, applied.revision).unwrap_or_default();
        if last.0 >= revision {
            violations.push(format!("{from} applied revision {revision} after revision {last}"));
        }
        let next = self.base + self.firsts.len() as u64;
        if revision < self.base {
            return false;
        }
        if let Some(first) = self.firsts.get((revision - self.base) as usize) {
            if (first.index, first.term, first.hash) != (applied.index, applied.term, hash) {
                violations.push(format!(
                    "revision {revision} is index {} of term {} at {from}, but was index {} of term {} elsewhere, or holds something else",
                    applied.index, applied.term, first.index, first.term
                ));
            }
            return false;
        }
        if revision != next {
            violations.push(format!("{from} applied revision {revision}, but no member applied {next} yet"));
        }
        self.newest = self.newest.max((applied.index, applied.term));
        self.firsts.push_back(First { index: applied.index, term: applied.term, hash });
        if self.firsts.len() > REMEMBERED {
            self.firsts.pop_front();
            self.base += 1;
        }
        true
    }

    /// A member begins a new life: it applies again what lies above the commit index that it had saved.
    pub fn began(&mut self, member: Address) {
        self.last.remove(&member);
    }

    /// Committed prefixes are equal: at the lower of two commit indexes both logs have an entry of the same term.
    /// And no committed entry is lost: who leads has the newest one.
    pub fn members(&self, members: &[(Member, &EtcdMember)], violations: &mut Vec<String>) {
        let statuses: Vec<_> = members.iter().filter_map(|(me, member)| member.status().map(|status| (*me, *member, status))).collect();
        for pair in statuses.windows(2) {
            let [(me, one, first), (you, other, second)] = pair else { continue };
            let common = first.commit.min(second.commit);
            if let (Some(a), Some(b)) = (one.entry_term(common), other.entry_term(common))
                && a != b
            {
                violations.push(format!("{} and {} both committed index {common}, as terms {a} and {b}", me, you));
            }
        }
        for (me, member, status) in &statuses {
            let (newest, term) = self.newest;
            let lacks = || status.last_index < newest || member.entry_term(newest).is_some_and(|own| own != term);
            if status.role == Role::Leader && status.term >= term && lacks() {
                violations.push(format!("{me} leads term {} without index {newest} of term {term}, which was committed", status.term));
            }
            if status.applied > status.commit || status.commit > status.last_index {
                violations.push(format!(
                    "{}: applied {} <= commit {} <= last index {} does not hold",
                    me, status.applied, status.commit, status.last_index
                ));
            }
        }
    }
}
