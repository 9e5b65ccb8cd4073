//! Members that come and go, and a lead that is handed over.
//!
//! A change of the configuration is an entry; it takes effect when it is applied (etcd-io/raft; the paper lets it when it is appended).
//! Only one may be on its way at a time: a leader appends no other before it has applied the last one. A joint configuration is left by its
//! leader as soon as that has applied it.

use std::sync::Arc;

use super::configuration::{self, Tally};
use super::progress::Progress;
use super::{NoLeader, Raft, Role};
use crate::base::Index;
use crate::base::planted::Bug;
use crate::wire::Member;
use crate::wire::etcd::Command;
use crate::wire::raft::{Body, Configuration, ConfigurationChange};

impl Raft {
    /// The configuration as applied so far.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }
    /// May this member stand for election? Learners may not, nor who is not, or no longer, a member; nor one that has a change of the
    /// membership committed but not applied, since it does not know who decides.
    pub(super) fn is_promotable(&self) -> bool {
        self.configuration.votes(self.config.me)
            && !self.log.range(self.handed_out.next(), self.log.committed()).any(|entry| entry.change.is_some())
    }
    pub(super) fn is_quorum(&self, holds: impl Fn(&Progress) -> bool, own: bool) -> bool {
        configuration::is_quorum(&self.deciders(), self.config.planted, |member| self.of(member, own, |peer| holds(peer), false))
    }
    pub(super) fn tally_votes(&self) -> Tally {
        let own = self.own_vote.then_some(true);
        configuration::tally(&self.deciders(), self.config.planted, |member| self.of(member, own, |peer| peer.vote, None))
    }
    /// The highest entry that a quorum has; of our own entries only the durable ones count.
    pub(super) fn quorum_index(&self) -> Index {
        let own = self.log.stable();
        configuration::committed(&self.deciders(), self.config.planted, |member| self.of(member, own, |peer| peer.matched, Index::ZERO))
    }
    /// Who decides.
    fn deciders(&self) -> std::borrow::Cow<'_, Configuration> {
        if self.config.planted.has(Bug::LearnerCounted) {
            let mut wrong = self.configuration.clone();
            wrong.voters.append(&mut wrong.learners);
            wrong.voters.sort_unstable();
            return std::borrow::Cow::Owned(wrong);
        }
        std::borrow::Cow::Borrowed(&self.configuration)
    }
    fn of<T>(&self, member: Member, own: T, known: impl Fn(&Progress) -> T, unknown: T) -> T {
        if member == self.config.me {
            return own;
        }
        self.peer(member).map_or(unknown, |at| known(&self.peers[at]))
    }
    /// Keeps what is known of those who stay, and begins with those who are new.
    pub(super) fn meet_peers(&mut self) {
        let last = self.log.last_index();
        let mut before = std::mem::take(&mut self.peers);
        for member in self.configuration.members() {
            if member == self.config.me {
                continue;
            }
            let known = before.iter().position(|peer| peer.member == member).map(|at| before.swap_remove(at));
            self.peers.push(known.unwrap_or_else(|| {
                let mut peer = Progress::new(member);
                peer.reset(last);
                // It is heard from until the next check: a quorum that has just grown does not depose who made it grow.
                peer.recently_active = true;
                peer
            }));
        }
    }

    /// Proposes a change of the membership; `command` says who asked. A leader that cannot make it now appends the command without it.
    pub fn propose_change(
        &mut self,
        now: crate::base::Time,
        cause: crate::base::Cause,
        change: Arc<ConfigurationChange>,
        command: Arc<Command>,
    ) -> Result<(), NoLeader> {
        self.begin(now, cause);
        self.change_or_forward(change, command)
    }
    pub(super) fn change_or_forward(&mut self, change: Arc<ConfigurationChange>, command: Arc<Command>) -> Result<(), NoLeader> {
        match self.leader {
            Some(leader) if leader == self.config.me && self.transfer.is_some() => return Err(NoLeader),
            Some(leader) if leader == self.config.me => {
                let pending = self.pending_change > self.handed_out;
                let possible = configuration::changed(&self.configuration, &change, self.config.planted).is_ok();
                let change = (!pending && possible).then_some(change);
                if change.is_some() {
                    self.pending_change = self.log.last_index().next();
                }
                self.append(Some(command), change);
            }
            Some(leader) => self.send(leader, Body::ProposeChange { change, command }),
            None => return Err(NoLeader),
        }
        Ok(())
    }
    /// The change of an entry that is being applied takes effect. All members come to the same configuration.
    pub fn apply_change(&mut self, change: &ConfigurationChange) -> &Configuration {
        match configuration::changed(&self.configuration, change, self.config.planted) {
            Ok(next) => self.configuration = next,
            // Two leaders of different terms may have appended changes that do not go together: the second is none, everywhere alike.
            Err(_) => return &self.configuration,
        }
        self.meet_peers();
        let me = self.config.me;
        if self.role == Role::Leader {
            if self.transfer.is_some_and(|(to, _)| !self.configuration.votes(to)) {
                self.transfer = None;
            }
            if !self.configuration.votes(me) {
                self.become_follower(self.term, None, Vec::new());
                return &self.configuration;
            }
            // A smaller quorum may have what a larger one lacked; who is new hears of the log.
            self.advance_commit();
            self.append_due = true;
        } else if self.role != Role::Follower && !self.configuration.votes(me) {
            self.become_follower(self.term, None, Vec::new());
        }
        &self.configuration
    }
    /// A joint configuration that has been applied is left by who leads it, be it another than who began it.
    pub(super) fn leave_joint(&mut self) {
        if self.role == Role::Leader && self.configuration.is_joint() && self.pending_change <= self.handed_out {
            self.pending_change = self.log.last_index().next();
            self.append(None, Some(Arc::new(ConfigurationChange::default())));
        }
    }
    /// How far a member's log is known to match, for a promotion: `None` unless this member leads it.
    pub fn matched(&self, member: Member) -> Option<Index> {
        let at = self.peer(member).filter(|_| self.role == Role::Leader)?;
        Some(self.peers[at].matched)
    }

    /// Hands the lead to a voter: once its log is complete it is told to stand for election at once. Until then, and for an election timeout
    /// at most, no proposals are taken (thesis, section 3.10). `false`: not by this member, or not to that one.
    pub fn transfer_lead(&mut self, now: crate::base::Time, cause: crate::base::Cause, to: Member) -> bool {
        self.begin(now, cause);
        if self.role != Role::Leader || !self.configuration.voters.contains(&to) {
            return false;
        }
        if to == self.config.me {
            return true;
        }
        let Some(at) = self.peer(to) else { return false };
        if self.transfer.is_none_or(|(already, _)| already != to) {
            self.transfer = Some((to, self.ticks.count(now)));
            self.election_since = self.ticks.count(now);
            if self.peers[at].matched == self.log.last_index() {
                self.send(to, Body::TimeoutNow);
            } else {
                self.replicate_to(at, true);
            }
        }
        true
    }
    /// A follower has caught up: is it the one that waits for the lead?
    pub(super) fn transfer_if_complete(&mut self, at: usize) {
        let peer = &self.peers[at];
        if self.transfer.is_some_and(|(to, _)| to == peer.member) && peer.matched == self.log.last_index() {
            self.send(peer.member, Body::TimeoutNow);
        }
    }
}
