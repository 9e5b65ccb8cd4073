//! Invariants, checked while a run goes on: each looks at what the event changed only. Kept apart from the code that they check.
//!
//! The numbers are those of section 5 in the facts on etcd. *Cheap* checks are always on, the others with `--check full`.
//!
//! | | invariant | where |
//! | --- | --- | --- |
//! | 1 | at most one leader a term | cheap: [`super::recorder`], of recorded elections; full: [`members`] |
//! | 2 | a leader never removes or replaces its entries | full: [`members`] |
//! | 3 | same index and term: same entry, same before it | full: [`members`]; cheap, once a second: [`Checks::members`] |
//! | 4 | who leads has all that was committed | full: [`members`], when elected; cheap, once a second: [`Checks::members`] |
//! | 5 | same index applied: same command | cheap: [`Checks::applied`], of revisions; full: [`members`], of all entries |
//! | 6 | term, commit and applied index never go back | full: [`members`]; their order cheap, once a second: [`Checks::members`] |
//! | 7 | one vote a term, also after a crash | cheap: [`members::Members::wrote`] |
//! | 8 | committed is what a quorum holds durably; by counting only in the leader's term | full: [`members`] |
//! | 9 | one change of members at a time, quorums intersect, all agree on members | full: [`members`] |
//! | 10 | acknowledged is what a quorum holds durably | by 8: an answer is of an applied revision ([`clients`]), which was committed |
//! | 11 | revisions of a member rise; same index, same revision and content | cheap: [`Checks::applied`]; whole stores, once a second: full |
//! | 12 | versions, create and mod revisions | cheap: [`clients`] |
//! | 13 | what was at a revision stays so | cheap: [`clients`], of all that is read |
//! | 14 | linearizable reads | cheap: [`clients`], by revisions; at the end of a run: [`linearizability`] |
//! | 15 | watches | cheap: [`clients`], as clients see them; [`streams`], as they are written; full: against [`history`] |
//! | 16 | the compacted revision never goes back, nor beyond the newest | full: [`members`]; cheap: [`clients`], of watches |
//! | 17 | leases | cheap: [`clients`] |
//! | 18 | no write under a NOSPACE alarm | cheap: [`Checks::applied`] |
//! | 19 | the API is the store | full: [`caches`], [`streams`] |
//!
//! "A pod is bound once" is checked where bindings are observed ([`super::observer`]), "no container of a lost machine makes progress" by
//! the host. `planted` plays runs with planted bugs that the dear checks must find.

pub mod caches;
pub mod clients;
pub mod history;
pub mod linearizability;
pub mod members;
#[cfg(test)]
pub mod planted;
pub mod streams;

use crate::base::{Index, Revision, Term, Time};
use crate::etcd::EtcdMember;
use crate::etcd::raft::Role;
use crate::wire::etcd::{Applied, KeyRange, Range, StoreSnapshot};
use crate::wire::history::HistoryEvent;
use crate::wire::{Address, Member};

/// What the first member to apply a revision made of it.
struct First {
    index: Index,
    term: Term,
    /// Of everything that it had applied until then.
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
    /// The last revision of each member in its present life, by the members' numbers.
    last: Vec<Revision>,
    pub members: members::Members,
    pub clients: clients::Clients,
}

/// How many revisions a member may lag behind before its revisions are no longer compared.
const REMEMBERED: usize = 200_000;

impl Checks {
    /// A member applied a revision. True if it is the first to do so.
    pub fn applied(&mut self, from: Address, applied: &Applied, violations: &mut Vec<String>) -> bool {
        let revision = applied.revision.0;
        if self.firsts.is_empty() {
            self.base = revision;
        }
        if applied.capped && applied.events.iter().any(|event| !event.deleted) {
            violations.push(format!("{from} wrote under a NOSPACE alarm: revision {revision}"));
        }
        let Address::Etcd(Member(number)) = from else { panic!("{from} is no member") };
        if self.last.len() <= usize::from(number) {
            self.last.resize(usize::from(number) + 1, Revision::ZERO);
        }
        let last = std::mem::replace(&mut self.last[usize::from(number)], applied.revision);
        if last.0 >= revision {
            violations.push(format!("{from} applied revision {revision} after revision {last}"));
        }
        let next = self.base + self.firsts.len() as u64;
        if revision < self.base {
            return false;
        }
        if let Some(first) = self.firsts.get((revision - self.base) as usize) {
            if (first.index, first.term, first.hash) != (applied.index, applied.term, applied.hash) {
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
        self.firsts.push_back(First { index: applied.index, term: applied.term, hash: applied.hash });
        if self.firsts.len() > REMEMBERED {
            self.firsts.pop_front();
            self.base += 1;
        }
        true
    }

    /// A member begins a new life: it applies again what lies above the commit index that it had saved.
    pub fn began(&mut self, address: Address) {
        if let Address::Etcd(member) = address {
            if let Some(last) = self.last.get_mut(usize::from(member.0)) {
                *last = Revision::ZERO;
            }
            self.members.began(member);
        }
    }
    /// A new cluster begins from this snapshot: what was done after it is lost by design. Once for all its members, before they start.
    /// `history`: the record's so far.
    pub fn restored(&mut self, snapshot: &StoreSnapshot, history: &[(Time, HistoryEvent)]) {
        self.firsts.clear();
        // The new cluster's log begins anew: its indexes and terms are no longer those of the revisions before.
        self.newest = Default::default();
        self.last.clear();
        self.members.restored();
        self.clients.restored(snapshot, history);
    }
    /// Members that have applied the same revision hold the same: once a second, in full.
    pub fn stores(members: &[(Member, &EtcdMember)], violations: &mut Vec<String>) {
        let mut stores: Vec<_> = members.iter().filter_map(|(me, member)| Some((*me, member.store()?))).collect();
        stores.sort_by_key(|(_, store)| store.revision());
        for pair in stores.windows(2) {
            let [(me, one), (you, other)] = pair else { continue };
            let at = one.revision();
            let mut all = Range::of(KeyRange::From("".into()));
            all.revision = at;
            if let (Ok(first), Ok(second)) = (one.range(&all), other.range(&all))
                && first != second
            {
                violations.push(format!("{me} and {you} hold different things at revision {at}"));
            }
        }
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
