//! Raft (Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014) as etcd runs it, without I/O: it knows members
//! and opaque entries, no keys, and touches neither disk nor network. Time is an argument.
//!
//! Inputs are calls: [`Raft::tick`] when [`Raft::deadline`] is reached, [`Raft::step`] with a message, [`Raft::propose`],
//! [`Raft::read_index`], [`Raft::synced`] when what was to persist is durable. After them [`Raft::ready`] gives, as data, all that is to be
//! done. As in etcd's own loop (`server/etcdserver/raft.go`) there is one [`Ready`] at a time: while its write is not durable there is no
//! further one, and no ticks are counted, so a leader whose disk stalls sends no heartbeats and loses its lead.
//!
//! What may leave when: a leader's appends go out beside its own write; everything of a follower or a candidate, and every vote and
//! acknowledgement, waits until the write is durable. A leader counts itself among the owners of an entry, and a candidate its own vote,
//! only then. Committed entries are handed out when they are durable here, too.
//!
//! With pre-vote (thesis, section 9.6), quorum checks and leases on votes (section 6.2 and 4.2.3), linearizable reads by read index or by
//! lease (section 6.4), learners, changes of membership by joint consensus (section 4.3), and handing the lead over (section 3.10).
//!
//! At most one leader a term, equal logs up to equal entries, committed entries never lost: `tests/raft.rs` checks all three under random
//! faults.

pub mod configuration;
mod election;
mod log;
mod membership;
mod progress;
mod replication;
mod ticks;

use std::sync::Arc;

use crate::base::planted::{Bug, Planted};
use crate::base::{Cause, Duration, Index, Stream, Term, Time};
use crate::wire::Member;
use crate::wire::actor::DiskRecord;
use crate::wire::etcd::Command;
use crate::wire::raft::{Body, Configuration, Entries, Entry, HardState, Message, Release, Snapshot};
use log::Log;
use progress::Progress;
use replication::Reads;
use ticks::Ticks;

/// What a member of a group is to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub me: Member,
    /// The voters that the group began with. A process that joins later is not among them.
    pub members: Vec<Member>,
    /// The period of ticks and of heartbeats.
    pub tick: Duration,
    /// The election timeout in ticks; the randomised one is 1 to 2 times of it.
    pub election_ticks: u64,
    /// Appends in flight to one follower.
    pub max_in_flight: usize,
    /// Bytes of entries in one append.
    pub max_message_bytes: usize,
    /// Reads are confirmed by the lease that the last quorum check gave, not by a round of heartbeats (thesis, section 6.4.1). Only as
    /// safe as clocks run alike: etcd does not use it.
    pub lease_reads: bool,
    pub planted: Planted,
}

/// A member's part in the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Follower,
    /// Asks whether it could win, without a new term.
    PreCandidate,
    Candidate,
    Leader,
}

/// What is to be done now. Filled by [`Raft::ready`]; meant to be used again for its allocations.
#[derive(Default)]
pub struct Ready {
    /// The state machine starts again from here, before `committed`.
    pub restore: Option<Arc<Snapshot>>,
    /// Changes of role, in order.
    pub changes: Vec<RoleChange>,
    /// These may leave at once, each with the cause of the input that made it.
    pub messages: Vec<(Cause, Message)>,
    /// Write this, make it durable, then call [`Raft::synced`].
    pub persist: Option<Persist>,
    /// To be applied, in order.
    pub committed: Vec<Entries>,
    /// Reads that may be served once the index is applied: (context, index).
    pub reads: Vec<(u64, Index)>,
    /// These lack entries that the log no longer has: to be answered with [`Raft::send_snapshot`].
    pub snapshots_wanted: Vec<Member>,
}

/// What has to become durable.
pub struct Persist {
    /// It replaces all that was written before; `entries` are then all that follow it.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What is up to here need not be kept: the state machine's own file has it.
    pub release: Option<Release>,
    pub hard_state: Option<HardState>,
    pub entries: Entries,
}

/// A member has changed its role.
#[derive(Clone, Debug)]
pub struct RoleChange {
    pub from: Role,
    pub to: Role,
    /// The term of the new role; a pre-candidate's is the one that it would like to begin.
    pub term: Term,
    pub cause: Cause,
    /// Who had been leading, as far as this member knew.
    pub leader_before: Option<Member>,
    /// A leader that steps down since it hears no quorum: those that it did not hear.
    pub silent: Vec<Member>,
}

/// Why a proposal or a read goes nowhere: there is no leader, or it is about to hand its lead over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoLeader;

/// What the state machine's own file holds of the log, for a start.
#[derive(Clone, Debug)]
pub struct Applied {
    pub index: Index,
    pub term: Term,
    pub configuration: Configuration,
}

/// See the module.
pub struct Raft {
    config: Config,
    configuration: Configuration,
    role: Role,
    term: Term,
    vote: Option<Member>,
    leader: Option<Member>,
    log: Log,
    /// The newest snapshot that is to stand before the log on disk.
    snapshot: Option<Arc<Snapshot>>,
    /// The other members, learners too, sorted.
    peers: Vec<Progress>,
    /// Our own answer to our (pre-)candidacy: for a vote, once it is durable.
    own_vote: bool,
    reads: Reads,
    /// The last entry that changes the configuration, or that may: no other change is appended before it is applied.
    pending_change: Index,
    /// To whom the lead is being handed, and since which tick.
    transfer: Option<(Member, u64)>,

    stream: Stream,
    ticks: Ticks,
    /// Tick counts: when the election timer was set, the randomised timeout, and the last that a leader took.
    election_since: u64,
    election_timeout: u64,
    last_tick: u64,
    now: Time,
    /// Of the input at hand.
    cause: Cause,

    /// Term and vote as last handed out to be written.
    durable: (Term, Option<Member>),
    /// Is a write outstanding?
    persisting: bool,
    /// The snapshot is to be written, and the log after it anew.
    rewrite: bool,
    /// Is to be written.
    release: Option<Release>,
    /// The last committed entry that was handed out.
    handed_out: Index,
    /// There may be something to append or a commit index to tell.
    append_due: bool,
    /// Made since the last `Ready`.
    messages: Vec<(Cause, Message)>,
    /// Wait for the outstanding write; then they are the first of the next `Ready`.
    held: Vec<(Cause, Message)>,
    changes: Vec<RoleChange>,
    confirmed_reads: Vec<(u64, Index)>,
    snapshots_wanted: Vec<Member>,
    restore: Option<Arc<Snapshot>>,
}

impl Raft {
    /// Starts from what survived on disk; the first [`Ready`] restores and applies what of it is known to be committed. `applied`: the state
    /// machine has kept its own state, up to there; else all that the log releases is still in it.
    pub fn new(config: Config, disk: &[DiskRecord], applied: Option<Applied>, now: Time, stream: Stream) -> Raft {
        let mut log = Log::default();
        let mut hard_state = HardState::default();
        let mut snapshot: Option<Arc<Snapshot>> = None;
        let mut configuration = Configuration::of(config.members.iter().copied());
        for record in disk {
            match record {
                DiskRecord::HardState(state) => hard_state = *state,
                DiskRecord::Entries(entries) => log::replay(&mut log, entries),
                DiskRecord::Snapshot(newer) => {
                    // What follows the snapshot is written again after it; until that is durable the old records are still there.
                    log.begin_after(newer.index, newer.term);
                    snapshot = Some(newer.clone());
                }
                DiskRecord::Release(release) if applied.is_some() => log.begin_after(release.index, release.term),
                DiskRecord::Release(_) => {}
            }
        }
        if let Some(snapshot) = &snapshot {
            configuration.clone_from(&snapshot.configuration);
        }
        let mut handed_out = log.offset();
        if let Some(applied) = applied {
            // What was applied was committed, whether or not that much of the log is there.
            if log.term(applied.index) == Some(applied.term) {
                log.commit_to(applied.index);
            } else if applied.index > log.offset() {
                log.begin_after(applied.index, applied.term);
            }
            (handed_out, configuration) = (applied.index, applied.configuration);
            snapshot = None;
        }
        log.commit_to(hard_state.commit.min(log.last_index()));
        let term = hard_state.term.max(log.last_term());
        let vote = if term == hard_state.term { hard_state.vote } else { None };
        let mut raft = Raft {
            role: Role::Follower,
            term,
            vote,
            leader: None,
            handed_out,
            log,
            restore: snapshot.clone(),
            snapshot,
            peers: Vec::new(),
            own_vote: false,
            reads: Reads::default(),
            pending_change: Index::ZERO,
            transfer: None,
            stream,
            ticks: Ticks::new(now, config.tick),
            election_since: 0,
            election_timeout: 0,
            last_tick: 0,
            now,
            cause: Cause::NONE,
            durable: (term, vote),
            persisting: false,
            rewrite: false,
            release: None,
            append_due: false,
            messages: Vec::new(),
            held: Vec::new(),
            changes: Vec::new(),
            confirmed_reads: Vec::new(),
            snapshots_wanted: Vec::new(),
            configuration,
            config,
        };
        raft.meet_peers();
        raft.draw_election_timeout();
        raft
    }

    pub fn me(&self) -> Member {
        self.config.me
    }
    pub fn role(&self) -> Role {
        self.role
    }
    pub fn term(&self) -> Term {
        self.term
    }
    /// Who leads this term, as far as this member knows.
    pub fn leader(&self) -> Option<Member> {
        self.leader
    }
    pub fn commit(&self) -> Index {
        self.log.committed()
    }
    pub fn last_index(&self) -> Index {
        self.log.last_index()
    }
    /// Is the lead being handed over? Then no proposals are taken.
    pub fn is_transferring(&self) -> bool {
        self.transfer.is_some()
    }
    /// Whom this member has voted for in its term.
    pub fn vote(&self) -> Option<Member> {
        self.vote
    }
    /// The term of an entry; `None` if the log does not reach so far, or no longer.
    pub fn entry_term(&self, index: Index) -> Option<Term> {
        self.log.term(index)
    }
    /// `None`: the log does not reach so far, or no longer.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.entry(index)
    }
    /// The last entry that is no longer in the log.
    pub fn log_offset(&self) -> Index {
        self.log.offset()
    }
    /// Is a write outstanding? Until it is durable there is no further [`Ready`].
    pub fn is_persisting(&self) -> bool {
        self.persisting
    }
    /// Up to here the log is durable.
    pub fn stable(&self) -> Index {
        self.log.stable()
    }

    /// When [`Raft::tick`] has something to do.
    pub fn deadline(&self) -> Time {
        match self.role {
            Role::Leader => self.ticks.time_of(self.last_tick + 1),
            _ if !self.configuration.votes(self.config.me) => Time::NEVER,
            _ => self.ticks.time_of(self.election_since + self.election_timeout),
        }
    }
    /// Time has passed: heartbeats, quorum checks, elections. Calling it early is harmless.
    pub fn tick(&mut self, now: Time) {
        self.begin(now, Cause::NONE);
        self.take_ticks();
    }
    /// A message from another member.
    pub fn step(&mut self, now: Time, cause: Cause, message: Message) {
        self.begin(now, cause);
        // Proposals and questions are about no term.
        match message.body {
            Body::Propose { command } => drop(self.propose_or_forward(command)),
            Body::ProposeChange { change, command } => drop(self.change_or_forward(change, command)),
            Body::ReadIndex { context } if self.role == Role::Leader => self.lead_read(message.from, context),
            Body::ReadIndex { .. } => {}
            _ if message.term > self.term && !self.follow_newer_term(&message) => {}
            _ if message.term < self.term => self.answer_older_term(&message),
            _ => self.step_body(message),
        }
    }
    /// Appends to the log of the leader: directly, or by a message to it.
    pub fn propose(&mut self, now: Time, cause: Cause, command: Arc<Command>) -> Result<(), NoLeader> {
        self.begin(now, cause);
        self.propose_or_forward(command)
    }
    /// Asks for the index at which a linearizable read may be served; it comes in [`Ready::reads`], unless a message is lost.
    pub fn read_index(&mut self, now: Time, cause: Cause, context: u64) -> Result<(), NoLeader> {
        self.begin(now, cause);
        match self.leader {
            Some(leader) if leader == self.config.me => self.lead_read(leader, context),
            Some(leader) => self.send(leader, Body::ReadIndex { context }),
            None => return Err(NoLeader),
        }
        Ok(())
    }
    /// What the last [`Persist`] asked for is durable.
    pub fn synced(&mut self, now: Time, cause: Cause) {
        assert!(self.persisting, "nothing was to be written");
        (self.now, self.cause, self.persisting) = (now, cause, false);
        self.ticks.release(now);
        self.log.written_is_stable();
        match self.role {
            Role::Candidate if self.durable == (self.term, Some(self.config.me)) => {
                self.own_vote = true;
                self.tally();
            }
            Role::Leader => self.advance_commit(),
            _ => {}
        }
        // The tick that came during the write.
        if self.deadline() <= now {
            self.take_ticks();
        }
    }
    /// Messages to this member have been lost.
    pub fn report_unreachable(&mut self, member: Member) {
        if self.role == Role::Leader
            && let Some(at) = self.peer(member)
        {
            self.peers[at].unreachable();
        }
    }
    /// The state machine's own file holds everything up to `index`, which was applied: entries up to it are no longer needed on disk, and
    /// all but the last `kept` no longer in memory, where slow followers find them.
    pub fn release(&mut self, index: Index, kept: u64) {
        assert!(index <= self.handed_out, "a release of {index}, which was not applied");
        let Some(term) = self.log.term(index) else { return };
        self.log.compact(Index(index.0.saturating_sub(kept)));
        self.release = Some(Release { index, term });
    }
    /// A snapshot of the applied state was made: the log up to it is no longer needed.
    pub fn compact(&mut self, snapshot: Arc<Snapshot>) {
        assert!(snapshot.index <= self.handed_out, "a snapshot at {} of what was not applied", snapshot.index);
        if snapshot.index > self.log.offset() {
            self.log.compact(snapshot.index);
            self.snapshot = Some(snapshot);
            self.rewrite = true;
        }
    }

    /// Fills `ready` with all that is to be done; `false`: nothing now.
    pub fn ready(&mut self, ready: &mut Ready) -> bool {
        if self.persisting {
            return false;
        }
        // What was handed out before has been applied.
        self.leave_joint();
        if std::mem::take(&mut self.append_due) && self.role == Role::Leader {
            (0..self.peers.len()).for_each(|peer| self.replicate_to(peer, false));
        }
        ready.messages.clear();
        ready.messages.append(&mut self.held);
        ready.restore = self.restore.take();
        ready.changes.clear();
        ready.changes.append(&mut self.changes);
        ready.reads.clear();
        ready.reads.append(&mut self.confirmed_reads);
        ready.snapshots_wanted.clear();
        ready.snapshots_wanted.append(&mut self.snapshots_wanted);
        ready.committed.clear();
        let to = self.log.committed().min(self.log.stable());
        if to > self.handed_out {
            self.log.runs(self.handed_out.next(), to, &mut ready.committed);
            self.handed_out = to;
        }
        ready.persist = self.take_persist();
        match (&ready.persist, self.role) {
            (None, _) => ready.messages.append(&mut self.messages),
            (Some(_), _) if self.config.planted.has(Bug::AcknowledgedBeforeFsync) => ready.messages.append(&mut self.messages),
            (Some(_), Role::Leader) => {
                let waits =
                    |body: &Body| matches!(body, Body::AppendResponse { .. } | Body::VoteResponse { .. } | Body::PreVoteResponse { .. });
                for message in self.messages.drain(..) {
                    if waits(&message.1.body) { self.held.push(message) } else { ready.messages.push(message) }
                }
            }
            (Some(_), _) => self.held.append(&mut self.messages),
        }
        ready.restore.is_some()
            || ready.persist.is_some()
            || !(ready.messages.is_empty() && ready.committed.is_empty() && ready.changes.is_empty() && ready.reads.is_empty())
            || !ready.snapshots_wanted.is_empty()
    }

    /// A new commit index alone is not worth a write: it goes with the next one, and until then the leader's word replaces it.
    fn take_persist(&mut self) -> Option<Persist> {
        let voted = (self.term, self.vote) != self.durable;
        if !voted && !self.rewrite && !self.log.has_unwritten() && self.release.is_none() {
            return None;
        }
        let snapshot = if std::mem::take(&mut self.rewrite) { self.snapshot.clone() } else { None };
        let mut entries = self.log.take_unwritten();
        if snapshot.is_some() {
            entries = self.log.range(self.log.offset().next(), self.log.last_index()).cloned().collect();
        }
        self.durable = (self.term, self.vote);
        self.persisting = true;
        self.ticks.hold(self.now);
        let mut hard_state = HardState { term: self.term, vote: self.vote, commit: self.log.committed() };
        if self.config.planted.has(Bug::VoteNotPersisted) {
            (hard_state.term, hard_state.vote) = (self.log.last_term(), None);
        }
        Some(Persist { snapshot, release: self.release.take(), hard_state: Some(hard_state), entries })
    }
    fn begin(&mut self, now: Time, cause: Cause) {
        (self.now, self.cause) = (now, cause);
        self.ticks.look(now, self.deadline());
    }
    fn take_ticks(&mut self) {
        let count = self.ticks.count(self.now);
        if self.role == Role::Leader {
            if count > self.last_tick {
                self.last_tick = count;
                if self.transfer.is_some_and(|(_, since)| count >= since + self.config.election_ticks) {
                    self.transfer = None;
                }
                self.check_quorum(count);
                if self.role == Role::Leader {
                    self.broadcast_heartbeat();
                }
            }
        } else if count >= self.election_since + self.election_timeout {
            self.election_since = count;
            if self.is_promotable() {
                self.campaign();
            }
        }
    }
    fn step_body(&mut self, message: Message) {
        let Message { from, term, body, .. } = message;
        match body {
            Body::PreVote { last_index, last_term } => self.answer_vote(from, term, last_index, last_term, true),
            Body::Vote { last_index, last_term, .. } => self.answer_vote(from, term, last_index, last_term, false),
            Body::PreVoteResponse { granted } => self.count_vote(from, granted, Role::PreCandidate),
            Body::VoteResponse { granted } => self.count_vote(from, granted, Role::Candidate),
            Body::Append { previous_index, previous_term, entries, commit } => {
                self.hear_leader(from);
                self.handle_append(from, previous_index, previous_term, &entries, commit);
            }
            Body::Heartbeat { commit, read_context } => {
                self.hear_leader(from);
                let beyond = self.config.planted.has(Bug::CommitBeyondMatch);
                self.log.commit_to(if beyond { commit.min(self.log.last_index()) } else { commit });
                self.send(from, Body::HeartbeatResponse { read_context });
            }
            Body::InstallSnapshot { snapshot } => {
                self.hear_leader(from);
                self.handle_snapshot(from, snapshot);
            }
            Body::AppendResponse { index, rejected } => self.handle_append_response(from, index, rejected),
            Body::HeartbeatResponse { read_context } => self.handle_heartbeat_response(from, read_context),
            Body::ReadIndexResponse { context, index } => self.confirmed_reads.push((context, index)),
            Body::TimeoutNow if self.role != Role::Leader && self.is_promotable() => self.campaign_for_term(true),
            Body::TimeoutNow => {}
            Body::Propose { .. } | Body::ProposeChange { .. } | Body::ReadIndex { .. } => {
                unreachable!("handled before terms are looked at")
            }
            Body::Gone => {}
        }
    }
    fn peer(&self, member: Member) -> Option<usize> {
        self.peers.binary_search_by_key(&member, |peer| peer.member).ok()
    }
    fn send(&mut self, to: Member, body: Body) {
        self.send_in(self.term, self.cause, to, body);
    }
    fn send_in(&mut self, term: Term, cause: Cause, to: Member, body: Body) {
        self.messages.push((cause, Message { from: self.config.me, to, term, body }));
    }
}
