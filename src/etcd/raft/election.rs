//! Elections: terms, votes, roles. At most one leader a term, since a member votes once a term, and remembers it through a crash.

use super::configuration::Tally;
use super::{Raft, Role, RoleChange};
use crate::base::planted::Bug;
use crate::base::{Index, Term};
use crate::wire::Member;
use crate::wire::raft::{Body, Message};

impl Raft {
    /// A message of a newer term. `false`: it is to be ignored.
    pub(super) fn follow_newer_term(&mut self, message: &Message) -> bool {
        match &message.body {
            Body::PreVote { .. } | Body::Vote { transfer: false, .. } if self.hears_leader() => false,
            Body::PreVote { .. } if self.config.planted.has(Bug::PreVoteRaisesTerm) => {
                self.become_follower(message.term, None, Vec::new());
                true
            }
            // A pre-candidate asks about a term that nobody has begun, and the granting answer is about the same.
            Body::PreVote { .. } | Body::PreVoteResponse { granted: true } => true,
            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => {
                self.become_follower(message.term, Some(message.from), Vec::new());
                true
            }
            _ => {
                self.become_follower(message.term, None, Vec::new());
                true
            }
        }
    }
    /// The lease on votes: who has heard a leader within the election timeout does not help to depose it.
    fn hears_leader(&self) -> bool {
        self.leader.is_some() && self.ticks.count(self.now) < self.election_since + self.config.election_ticks
    }
    /// A message of an older term.
    pub(super) fn answer_older_term(&mut self, message: &Message) {
        match message.body {
            // An old leader learns the term from the answer. Without one, a member that came back with a higher term could never be
            // reached: it is held off by the others' leases, and ignores their leader.
            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => {
                self.send(message.from, Body::AppendResponse { index: Index::ZERO, rejected: None });
            }
            Body::PreVote { .. } => self.send(message.from, Body::PreVoteResponse { granted: false }),
            _ => {}
        }
    }
    /// The leader of our term has spoken.
    pub(super) fn hear_leader(&mut self, leader: Member) {
        assert!(self.role != Role::Leader, "two leaders in term {}: {} and {leader}", self.term, self.config.me);
        if self.role != Role::Follower {
            self.become_follower(self.term, Some(leader), Vec::new());
        }
        self.leader = Some(leader);
        self.election_since = self.ticks.count(self.now);
    }

    /// The election timer has expired: ask first whether an election could be won.
    pub(super) fn campaign(&mut self) {
        self.change_role(Role::PreCandidate, self.term.next(), Vec::new());
        self.leader = None;
        self.own_vote = true;
        self.peers.iter_mut().for_each(|peer| peer.vote = None);
        let body = Body::PreVote { last_index: self.log.last_index(), last_term: self.log.last_term() };
        self.ask_all(self.term.next(), &body);
        self.tally();
    }
    /// Begins a term, and asks for votes. Our own counts when it is durable.
    pub(super) fn campaign_for_term(&mut self, transfer: bool) {
        let term = self.term.next();
        self.change_role(Role::Candidate, term, Vec::new());
        self.reset(term);
        self.vote = Some(self.config.me);
        let body = Body::Vote { last_index: self.log.last_index(), last_term: self.log.last_term(), transfer };
        self.ask_all(term, &body);
    }
    fn ask_all(&mut self, term: Term, body: &Body) {
        for at in 0..self.peers.len() {
            if self.configuration.votes(self.peers[at].member) {
                self.send_in(term, self.cause, self.peers[at].member, body.clone());
            }
        }
    }
    /// Answers a candidate (`pre`: a pre-candidate). `term` is the candidate's.
    pub(super) fn answer_vote(&mut self, from: Member, term: Term, last_index: Index, last_term: Term, pre: bool) {
        let free = self.vote == Some(from) || (self.vote.is_none() && self.leader.is_none()) || (pre && term > self.term);
        let stale = self.config.planted.has(Bug::StaleCandidateElected);
        let granted = free && (stale || self.log.is_up_to_date(last_index, last_term));
        if granted && !pre {
            self.vote = Some(from);
            self.election_since = self.ticks.count(self.now);
        }
        let response = if pre { Body::PreVoteResponse { granted } } else { Body::VoteResponse { granted } };
        self.send_in(if granted { term } else { self.term }, self.cause, from, response);
    }
    pub(super) fn count_vote(&mut self, from: Member, granted: bool, asked_as: Role) {
        if self.role == asked_as
            && let Some(at) = self.peer(from)
        {
            self.peers[at].vote.get_or_insert(granted);
            self.tally();
        }
    }
    /// Has the (pre-)candidacy been decided?
    pub(super) fn tally(&mut self) {
        match self.tally_votes() {
            Tally::Won if self.role == Role::PreCandidate => self.campaign_for_term(false),
            Tally::Won => self.become_leader(),
            Tally::Lost => self.become_follower(self.term, None, Vec::new()),
            Tally::Pending => {}
        }
    }

    fn become_leader(&mut self) {
        assert_eq!(self.role, Role::Candidate, "who leads was a candidate");
        self.change_role(Role::Leader, self.term, Vec::new());
        self.reset(self.term);
        self.leader = Some(self.config.me);
        self.last_tick = self.ticks.count(self.now);
        // Changes of the membership may stand in the log, unapplied: none is added before all of it is (etcd-io/raft `becomeLeader`).
        self.pending_change = self.log.last_index();
        // Entries of older terms are committed only by one of this term (paper, section 5.4.2).
        self.append(None, None);
    }
    pub(super) fn become_follower(&mut self, term: Term, leader: Option<Member>, silent: Vec<Member>) {
        if self.role != Role::Follower {
            self.change_role(Role::Follower, term, silent);
        }
        self.reset(term);
        self.leader = leader;
    }
    fn change_role(&mut self, to: Role, term: Term, silent: Vec<Member>) {
        let from = std::mem::replace(&mut self.role, to);
        self.changes.push(RoleChange { from, to, term, cause: self.cause, leader_before: self.leader, silent });
    }
    /// What begins anew with each role.
    fn reset(&mut self, term: Term) {
        assert!(term >= self.term, "term {} would go back to {term}", self.term);
        if term > self.term {
            (self.term, self.vote) = (term, None);
        }
        self.leader = None;
        self.own_vote = false;
        let last = self.log.last_index();
        self.peers.iter_mut().for_each(|peer| peer.reset(last));
        if self.config.planted.has(Bug::DeposedLeaderReads) {
            self.confirm_own_reads();
        }
        self.reads.clear();
        self.append_due = false;
        self.transfer = None;
        self.election_since = self.ticks.count(self.now);
        self.draw_election_timeout();
    }
    /// Uniform in 1..2 election timeouts, in whole ticks (etcd-io/raft `resetRandomizedElectionTimeout`).
    pub(super) fn draw_election_timeout(&mut self) {
        self.election_timeout = self.config.election_ticks + self.stream.below(self.config.election_ticks);
    }
    /// Each election timeout a leader looks whether a quorum was heard, and steps down if not.
    pub(super) fn check_quorum(&mut self, count: u64) {
        if count < self.election_since + self.config.election_ticks {
            return;
        }
        self.election_since = count;
        if !self.is_quorum(|peer| peer.recently_active, true) {
            let silent = self.peers.iter().filter(|peer| !peer.recently_active).map(|peer| peer.member).collect();
            self.become_follower(self.term, None, silent);
        }
        self.peers.iter_mut().for_each(|peer| peer.recently_active = false);
    }
}
