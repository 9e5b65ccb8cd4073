//! Members that come and go, as clients ask for it and as it takes effect here (etcd `server/etcdserver/server.go` and
//! `api/membership/cluster.go`). A number is given to a member once: who was removed does not come back under it.

use std::sync::Arc;

use super::Life;
use super::peers::Link;
use super::requests::Question;
use crate::base::Index;
use crate::etcd::raft::Role;
use crate::wire::etcd::{Answer, EtcdError, Mutation, Operation};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::raft::{Configuration, ConfigurationChange, MemberChange};
use crate::wire::{Address, Conn, Member, Outbox};

/// `--max-learners` (server/embed/config.go).
const LEARNERS_MAX: usize = 1;
/// A learner may vote when it has so many per cent of the leader's log (`server.go`, readyPercentThreshold).
const READY_PERCENT: u64 = 90;

/// A client that waits for the lead to change hands.
pub(super) struct Moving {
    conn: Conn,
    id: u64,
    to: Member,
}

impl Life {
    /// Membership and maintenance.
    pub(super) fn maintain(&mut self, conn: Conn, id: u64, operation: &Operation, out: &mut Outbox) {
        let steps = match *operation {
            Operation::MemberAdd { member, learner: true } => self.may_learn(member).map(|()| vec![MemberChange::AddLearner(member)]),
            Operation::MemberAdd { member, learner: false } => self.may_vote(member).map(|()| vec![MemberChange::AddVoter(member)]),
            Operation::MemberPromote { member } => self.may_be_promoted(member).map(|()| vec![MemberChange::AddVoter(member)]),
            Operation::MemberRemove { member } => self.may_leave(member).map(|()| vec![MemberChange::Remove(member)]),
            Operation::MemberReplace { leaves, joins } => {
                self.may_replace(leaves, joins).map(|()| vec![MemberChange::AddVoter(joins), MemberChange::Remove(leaves)])
            }
            Operation::MemberList => return self.read(conn, id, Question::Members, out),
            Operation::MoveLeader { to } => return self.move_leader(conn, id, to, out),
            Operation::Snapshot => return self.respond(conn, id, Ok(Answer::Snapshot(Arc::new(self.store.snapshot()))), out),
            _ => unreachable!("{operation:?} is answered elsewhere"),
        };
        match steps {
            Ok(steps) => self.propose_change(conn, id, steps, out),
            Err(error) => self.respond(conn, id, Err(error), out),
        }
    }
    fn propose_change(&mut self, conn: Conn, id: u64, steps: Vec<MemberChange>, out: &mut Outbox) {
        let change = Arc::new(ConfigurationChange { steps });
        let command = Arc::new(self.proposals.command(Mutation::Membership(change.clone()), out.cause()));
        let number = command.number;
        self.proposals.wait(self.now, conn, id);
        if self.raft.propose_change(self.now, out.cause(), change, command).is_err() {
            self.proposals.answered(number);
            self.respond(conn, id, Err(EtcdError::NoLeader), out);
        }
    }
    fn is_new(&self, member: Member) -> Result<(), EtcdError> {
        let configuration = self.raft.configuration();
        let known = configuration.contains(member) || configuration.removed.contains(&member);
        if known { Err(EtcdError::MemberExists) } else { Ok(()) }
    }
    fn may_learn(&self, member: Member) -> Result<(), EtcdError> {
        self.is_new(member)?;
        if self.raft.configuration().learners.len() >= LEARNERS_MAX { Err(EtcdError::TooManyLearners) } else { Ok(()) }
    }
    /// StrictReconfigCheck: those who can be reached are a quorum of what will be. A single member may get a second one, which cannot have
    /// been started before.
    fn may_vote(&self, member: Member) -> Result<(), EtcdError> {
        self.is_new(member)?;
        let (reached, voters) = self.reached(None);
        if reached > voters.div_ceil(2) || voters == 1 { Ok(()) } else { Err(EtcdError::UnhealthyCluster) }
    }
    fn may_be_promoted(&self, member: Member) -> Result<(), EtcdError> {
        let configuration = self.raft.configuration();
        match (configuration.learns(member), configuration.votes(member)) {
            (true, _) => {}
            (false, true) => return Err(EtcdError::MemberNotLearner),
            (false, false) => return Err(EtcdError::MemberNotFound),
        }
        let matched = self.raft.matched(member).ok_or(EtcdError::NotLeader)?;
        if matched.0 * 100 < self.raft.last_index().0 * READY_PERCENT { Err(EtcdError::LearnerNotReady) } else { Ok(()) }
    }
    fn may_leave(&self, member: Member) -> Result<(), EtcdError> {
        let configuration = self.raft.configuration();
        if !configuration.contains(member) {
            return Err(EtcdError::MemberNotFound);
        }
        if configuration.learns(member) {
            return Ok(());
        }
        let (reached, voters) = self.reached(Some(member));
        if voters > 0 && reached > voters / 2 { Ok(()) } else { Err(EtcdError::UnhealthyCluster) }
    }
    fn may_replace(&self, leaves: Member, joins: Member) -> Result<(), EtcdError> {
        let configuration = self.raft.configuration();
        if !configuration.votes(leaves) {
            return Err(EtcdError::MemberNotFound);
        }
        if !configuration.learns(joins) {
            self.is_new(joins)?;
        }
        let (reached, voters) = self.reached(Some(leaves));
        if reached > voters.div_ceil(2) { Ok(()) } else { Err(EtcdError::UnhealthyCluster) }
    }
    /// How many voters this member reaches, itself one of them, and how many there are; one is left out.
    fn reached(&self, without: Option<Member>) -> (usize, usize) {
        let voters = self.raft.configuration().voters.iter().filter(|&&member| Some(member) != without);
        let reaches = |member: Member| member == self.me || self.links.iter().any(|link| link.is_open_to(member));
        (voters.clone().filter(|&&member| reaches(member)).count(), voters.count())
    }

    fn move_leader(&mut self, conn: Conn, id: u64, to: Member, out: &mut Outbox) {
        if self.raft.role() != Role::Leader {
            return self.respond(conn, id, Err(EtcdError::NotLeader), out);
        }
        if !self.raft.transfer_lead(self.now, out.cause(), to) {
            return self.respond(conn, id, Err(EtcdError::MemberNotFound), out);
        }
        self.moving.push(Moving { conn, id, to });
    }
    /// Tells those who wait for the lead to change hands that it has, or that it has not.
    pub(super) fn watch_transfer(&mut self, out: &mut Outbox) {
        if self.moving.is_empty() || (self.raft.is_transferring() && self.raft.role() == Role::Leader) {
            return;
        }
        // Given up, or another leads, or nobody does yet.
        let Some(leader) = self.raft.leader() else { return };
        for Moving { conn, id, to } in std::mem::take(&mut self.moving) {
            let answer = if leader == to { Ok(Answer::LeaderMoved) } else { Err(EtcdError::Timeout) };
            self.respond(conn, id, answer, out);
        }
    }

    /// A change of an applied entry takes effect; whether there was one.
    pub(super) fn change_membership(&mut self, change: &ConfigurationChange) -> bool {
        let before = self.raft.configuration().clone();
        let led = self.raft.role() == Role::Leader;
        let after = self.raft.apply_change(change).clone();
        let changed = before != after;
        if changed && !self.keeps_database {
            self.configurations.push((self.applied, after.clone()));
        }
        self.meet(&after);
        if changed && led {
            self.membership_changed.push(after);
        }
        changed
    }
    /// The membership after entry `index`, for a snapshot; what is older is forgotten.
    pub(super) fn configuration_at(&mut self, index: Index) -> Configuration {
        let later = self.configurations.partition_point(|(changed, _)| *changed <= index);
        self.configurations.drain(..later.saturating_sub(1));
        self.configurations[0].1.clone()
    }
    /// A connection to each member.
    pub(super) fn meet(&mut self, configuration: &Configuration) {
        let me = self.me;
        self.links.retain(|link| !configuration.removed.contains(&link.member()));
        for member in configuration.members() {
            if member != me && self.links.iter().all(|link| link.member() != member) {
                self.links.push(Link::new(member));
            }
        }
    }
    /// What has come of changes since the last call: facts, and the end of this process if it is no member any more.
    pub(super) fn tell_membership(&mut self, out: &mut Outbox) {
        for Configuration { voters, outgoing, learners, .. } in std::mem::take(&mut self.membership_changed) {
            let subject = Subject::Actor(Address::Etcd(self.me));
            out.record(Fact { subject, what: What::Membership { voters, outgoing, learners } });
        }
        if self.raft.configuration().removed.contains(&self.me) {
            self.leave(out);
        }
    }
    /// A removed member's process ends (`server.go`, "the member has been permanently removed from the cluster").
    pub(super) fn leave(&mut self, out: &mut Outbox) {
        if !std::mem::replace(&mut self.left, true) {
            out.record(Fact { subject: Subject::Actor(Address::Etcd(self.me)), what: What::LeftCluster });
            out.exit();
        }
    }
}
