//! Replication: appends and their answers, the commit index, heartbeats, snapshots for those who are too far behind, and the confirmation
//! of reads.

use std::collections::VecDeque;
use std::sync::Arc;

use super::log::Log;
use super::progress::{Flow, Progress};
use super::{NoLeader, Raft, Role};
use crate::base::planted::Bug;
use crate::base::{Cause, Index, Term};
use crate::wire::Member;
use crate::wire::etcd::Command;
use crate::wire::raft::{Body, ConfigurationChange, Entries, Entry, Rejection, Snapshot};

/// Reads that wait until a quorum has confirmed that this leader still leads (thesis, section 6.4). Each has a round; the heartbeat that
/// bears a round, and every later one, asks for all up to it.
#[derive(Default)]
pub(super) struct Reads {
    round: u64,
    waiting: VecDeque<Read>,
    /// They came before this leader had committed an entry of its term, so it does not know the commit index yet.
    postponed: Vec<(Member, u64)>,
}

struct Read {
    round: u64,
    from: Member,
    context: u64,
    index: Index,
    cause: Cause,
}

impl Reads {
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.postponed.clear();
    }
}

impl Raft {
    pub(super) fn propose_or_forward(&mut self, command: Arc<Command>) -> Result<(), NoLeader> {
        match self.leader {
            Some(leader) if leader == self.config.me && self.transfer.is_some() => return Err(NoLeader),
            Some(leader) if leader == self.config.me => self.append(Some(command), None),
            Some(leader) => self.send(leader, Body::Propose { command }),
            None => return Err(NoLeader),
        }
        Ok(())
    }
    /// A leader's new entry. It leaves with the next `Ready`, together with others that come until then.
    pub(super) fn append(&mut self, command: Option<Arc<Command>>, change: Option<Arc<ConfigurationChange>>) {
        let index = self.log.last_index().next();
        self.log.append(Entry { term: self.term, index, command, change });
        self.append_due = true;
    }

    /// Sends a follower what it lacks, as far as its flow allows. `even_empty`: an append without entries too, to learn where its log is.
    pub(super) fn replicate_to(&mut self, at: usize, mut even_empty: bool) {
        loop {
            let peer = &mut self.peers[at];
            if peer.is_paused(self.config.max_in_flight) {
                return;
            }
            let to = peer.member;
            let previous_index = peer.next.previous();
            let Some(previous_term) = self.log.term(previous_index) else { return self.want_snapshot(at) };
            let commit = self.log.committed();
            let entries = self.log.message(peer.next, self.config.max_message_bytes);
            if entries.is_empty() && peer.told_commit >= commit && !even_empty {
                return;
            }
            peer.told_commit = commit;
            peer.sent(Index(previous_index.0 + entries.len() as u64), entries.len());
            even_empty = false;
            let cause = entries.iter().find_map(|entry| entry.command.as_ref()).map_or(Cause::NONE, |command| command.cause).or(self.cause);
            self.send_in(self.term, cause, to, Body::Append { previous_index, previous_term, entries, commit });
        }
    }
    /// What this follower lacks is no longer in the log. Who is silent would not take the state, which is large (etcd-io/raft
    /// `maybeSendSnapshot`).
    fn want_snapshot(&mut self, at: usize) {
        if self.peers[at].recently_active {
            self.peers[at].send_snapshot(self.log.committed());
            self.snapshots_wanted.push(self.peers[at].member);
        }
    }
    /// Sends the state to a follower that [`super::Ready::snapshots_wanted`] named.
    pub fn send_snapshot(&mut self, to: Member, snapshot: Arc<Snapshot>) {
        if let Some(at) = self.peer(to).filter(|_| self.role == Role::Leader) {
            self.peers[at].send_snapshot(snapshot.index);
            self.send(to, Body::InstallSnapshot { snapshot });
        }
    }
    pub(super) fn handle_append(&mut self, from: Member, previous_index: Index, previous_term: Term, entries: &Entries, commit: Index) {
        if previous_index < self.log.committed() {
            let index = self.log.committed();
            return self.send(from, Body::AppendResponse { index, rejected: None });
        }
        match self.log.try_append(previous_index, previous_term, entries, self.config.planted) {
            Ok(index) => {
                self.log.commit_to(commit.min(index));
                self.send(from, Body::AppendResponse { index, rejected: None });
            }
            Err(()) => {
                let (hint_index, hint_term) = self.log.find_conflict(previous_index.min(self.log.last_index()), previous_term);
                let rejection = Rejection { index: previous_index, hint_index, hint_term: hint_term.unwrap_or_default() };
                self.send(from, Body::AppendResponse { index: previous_index, rejected: Some(rejection) });
            }
        }
    }
    pub(super) fn handle_append_response(&mut self, from: Member, index: Index, rejected: Option<Rejection>) {
        let Some(at) = self.peer(from).filter(|_| self.role == Role::Leader) else { return };
        self.peers[at].recently_active = true;
        match rejected {
            Some(rejection) => {
                let mut next_probe = rejection.hint_index;
                if rejection.hint_term > Term(0) {
                    next_probe = self.log.find_conflict(rejection.hint_index, rejection.hint_term).0;
                }
                if self.peers[at].rejected(rejection, next_probe) {
                    self.replicate_to(at, true);
                }
            }
            None => {
                if self.peers[at].acknowledged(index) {
                    self.advance_commit();
                    self.transfer_if_complete(at);
                }
                // The flow may have opened; a commit index to tell goes to all, with the next `Ready`.
                self.append_due = true;
            }
        }
    }
    /// Commits what a quorum has, if it is of this term (paper, section 5.4.2).
    pub(super) fn advance_commit(&mut self) {
        let candidate = self.quorum_index();
        let ours = self.log.term(candidate) == Some(self.term) || self.config.planted.has(Bug::OlderTermCommitted);
        if ours && self.log.commit_to(candidate) {
            self.append_due = true;
            for (from, context) in std::mem::take(&mut self.reads.postponed) {
                self.lead_read(from, context);
            }
        }
    }
    pub(super) fn handle_snapshot(&mut self, from: Member, snapshot: Arc<Snapshot>) {
        if snapshot.index > self.log.committed() {
            if self.log.term(snapshot.index) == Some(snapshot.term) {
                // All of it is here already.
                self.log.commit_to(snapshot.index);
            } else {
                self.log = Log::after(snapshot.index, snapshot.term);
                self.handed_out = snapshot.index;
                if !self.config.planted.has(Bug::SnapshotWithoutMembership) {
                    self.configuration.clone_from(&snapshot.configuration);
                    self.meet_peers();
                }
                (self.snapshot, self.release) = (Some(snapshot.clone()), None);
                self.restore = Some(snapshot);
                self.rewrite = true;
            }
        }
        let index = self.log.committed();
        self.send(from, Body::AppendResponse { index, rejected: None });
    }

    /// A follower is told no more of the commit index than it is known to have entries for.
    pub(super) fn broadcast_heartbeat(&mut self) {
        let read_context = self.reads.waiting.back().map_or(0, |read| read.round);
        for at in 0..self.peers.len() {
            let beyond = self.config.planted.has(Bug::CommitBeyondMatch);
            let commit = if beyond { self.log.committed() } else { self.peers[at].matched.min(self.log.committed()) };
            self.send(self.peers[at].member, Body::Heartbeat { commit, read_context });
        }
    }
    pub(super) fn handle_heartbeat_response(&mut self, from: Member, read_context: u64) {
        let Some(at) = self.peer(from).filter(|_| self.role == Role::Leader) else { return };
        let last = self.log.last_index();
        let peer = &mut self.peers[at];
        peer.recently_active = true;
        peer.answered_heartbeat(self.config.max_in_flight);
        if peer.matched < last || matches!(peer.flow, Flow::Probe { .. }) {
            self.replicate_to(at, true);
        }
        if read_context > self.peers[at].read_round {
            self.peers[at].read_round = read_context;
            self.confirm_reads();
        }
    }

    /// A read index is asked of this leader, by itself or by a follower.
    pub(super) fn lead_read(&mut self, from: Member, context: u64) {
        let index = self.log.committed();
        if self.log.term(index) != Some(self.term) {
            self.reads.postponed.push((from, context));
            return;
        }
        self.reads.round += 1;
        self.reads.waiting.push_back(Read { round: self.reads.round, from, context, index, cause: self.cause });
        let alone = self.is_quorum(|_| false, true);
        if alone || self.has_lease() || self.config.planted.has(Bug::ReadIndexWithoutQuorum) {
            while self.answer_read() {}
        } else {
            self.broadcast_heartbeat();
        }
    }
    /// Does nobody else lead by now? Others do not vote within an election timeout of hearing this leader; a quorum was heard when its
    /// quorum check last held, which looks back over as long a time. By this member's clock, that is.
    fn has_lease(&self) -> bool {
        let heard = |peer: &Progress| peer.recently_active && peer.matched > Index::ZERO;
        self.config.lease_reads && self.transfer.is_none() && self.is_quorum(heard, true)
    }
    fn confirm_reads(&mut self) {
        while let Some(read) = self.reads.waiting.front() {
            let round = read.round;
            if !self.is_quorum(|peer| peer.read_round >= round, true) {
                return;
            }
            self.answer_read();
        }
    }
    /// Answers the first read that waits; `false`: there is none.
    fn answer_read(&mut self) -> bool {
        let Some(Read { from, context, index, cause, .. }) = self.reads.waiting.pop_front() else { return false };
        if from == self.config.me {
            self.confirmed_reads.push((context, index));
        } else {
            self.send_in(self.term, cause, from, Body::ReadIndexResponse { context, index });
        }
        true
    }
    /// A planted mistake: reads that were being confirmed are answered though this member leads no more.
    pub(super) fn confirm_own_reads(&mut self) {
        while self.answer_read() {}
    }
}
