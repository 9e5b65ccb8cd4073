//! Clients' requests: reads wait for a read index, mutations for their entry to be applied, watches are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Life;
use crate::base::planted::Bug;
use crate::base::{Cause, Duration, Incarnation, Index, Time};
use crate::etcd::store;
use crate::etcd::watch::Notice;
use crate::wire::etcd::{
    Answer, Command, EtcdError, LeaseId, LeaseQuestion, Mutation, Operation, PeerLease, Range, Request, Response, Status, Txn, Watch,
};
use crate::wire::{Conn, Member, Message, Outbox};

/// A read index that does not come is asked for again (etcd `server/etcdserver/v3_server.go`, readIndexRetryTime).
const READ_RETRY: Duration = Duration::from_millis(500);

/// Proposals of this member's clients that are not answered yet.
pub(super) struct Proposals {
    me: Member,
    timeout: Duration,
    next: u64,
    /// By number, from `first` on: most are answered in their order. `None`: nobody waits for it, or no longer; none of these is in front.
    waiting: VecDeque<Option<Waiter>>,
    first: u64,
    /// Made while no leader was known: they wait for one.
    held: VecDeque<Arc<Command>>,
}

/// Who waits for a proposal's outcome, and until when.
struct Waiter {
    conn: Conn,
    id: u64,
    deadline: Time,
}

impl Proposals {
    pub fn new(me: Member, incarnation: Incarnation, timeout: Duration) -> Proposals {
        // No number of an earlier life comes again: 2^40 proposals a life.
        let next = u64::from(incarnation.get()) << 40;
        Proposals { me, timeout, next, waiting: VecDeque::new(), first: next + 1, held: VecDeque::new() }
    }
    pub fn command(&mut self, mutation: Mutation, cause: Cause) -> Command {
        self.next += 1;
        Command { origin: self.me, number: self.next, cause, mutation }
    }
    /// A client waits for the newest command.
    pub fn wait(&mut self, now: Time, conn: Conn, id: u64) {
        if self.waiting.is_empty() {
            self.first = self.next;
        }
        // Nobody waits for what this member proposed on its own behalf.
        self.waiting.resize_with((self.next - self.first) as usize, || None);
        self.waiting.push_back(Some(Waiter { conn, id, deadline: now + self.timeout }));
    }
    fn waits(&self, number: u64) -> bool {
        let place = number.checked_sub(self.first);
        place.and_then(|place| self.waiting.get(place as usize)).is_some_and(Option::is_some)
    }
    /// Who waits for this proposal, which has been applied.
    pub fn answered(&mut self, number: u64) -> Option<(Conn, u64)> {
        let place = number.checked_sub(self.first)?;
        let Waiter { conn, id, .. } = self.waiting.get_mut(place as usize)?.take()?;
        while self.waiting.pop_front_if(|first| first.is_none()).is_some() {
            self.first += 1;
        }
        Some((conn, id))
    }
    /// The first that has waited too long.
    fn late(&mut self, now: Time) -> Option<(Conn, u64)> {
        if self.deadline() > now { None } else { self.answered(self.first) }
    }
    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
    pub fn deadline(&self) -> Time {
        self.waiting.front().and_then(Option::as_ref).map_or(Time::NEVER, |first| first.deadline)
    }
}

/// A read that must see every write that was answered before it began.
struct Read {
    asker: Asker,
    deadline: Time,
    cause: Cause,
    question: Question,
}

/// Who is to be answered.
#[derive(Clone, Copy)]
pub(super) enum Asker {
    Client(Conn, u64),
    /// A follower that passed on what it was asked, with its number there.
    Peer(Member, u64),
}

pub(super) enum Question {
    Range(Box<Range>),
    Txn(Arc<Txn>),
    Members,
    /// Not a read, but of the leader alone, which must know that it still is one (`v3_server.go`, LeaseRenew and ensureLeadership).
    KeepAlive(LeaseId),
}

/// One read index is asked for at a time, for all reads that came before it was.
#[derive(Default)]
pub(super) struct Reads {
    context: u64,
    /// They share the read index that is asked for.
    asked: Vec<Read>,
    /// The index, once it is known.
    index: Option<Index>,
    retry_at: Option<Time>,
    /// They came later.
    waiting: Vec<Read>,
}

impl Reads {
    pub fn new(incarnation: Incarnation) -> Reads {
        // An answer to an earlier life must not be taken for one to this.
        Reads { context: u64::from(incarnation.get()) << 40, ..Reads::default() }
    }
    pub fn deadline(&self) -> Time {
        let first = self.asked.first().or(self.waiting.first()).map_or(Time::NEVER, |read| read.deadline);
        first.min(self.retry_at.unwrap_or(Time::NEVER))
    }
    /// Raft's answers.
    pub fn confirmed(&mut self, reads: &[(u64, Index)]) {
        if let Some(&(_, index)) = reads.iter().find(|(context, _)| *context == self.context)
            && !self.asked.is_empty()
        {
            self.index.get_or_insert(index);
            self.retry_at = None;
        }
    }
}

impl Life {
    pub(super) fn request(&mut self, conn: Conn, request: Request, out: &mut Outbox) {
        let Request { id, operation } = request;
        if let Err(error) = self.admit(&operation) {
            return self.respond(conn, id, Err(error), out);
        }
        match operation {
            Operation::Range(range) if range.serializable => {
                let answer = self.store.range(&range).map(Answer::Range);
                self.respond(conn, id, answer, out);
            }
            Operation::Range(range) => self.read(conn, id, Question::Range(range), out),
            Operation::Txn(txn) if txn.is_read_only() => self.read(conn, id, Question::Txn(txn), out),
            Operation::Txn(txn) => {
                let too_early = self.config.planted.has(Bug::ComparedAtProposal);
                let txn = if too_early { Arc::new(self.store.decided(&txn)) } else { txn };
                self.propose(conn, id, Mutation::Txn(txn), out);
            }
            Operation::LeaseGrant { id: lease, ttl } => {
                // The shortest is one and a half election timeouts, in whole seconds (etcd `server/etcdserver/server.go`, minTTL).
                let shortest = Duration::from_secs((self.config.election_timeout * 3).nanos().div_ceil(2_000_000_000));
                self.propose(conn, id, Mutation::LeaseGrant { id: lease, ttl: ttl.max(shortest) }, out);
            }
            Operation::LeaseRevoke { id: lease } => self.propose(conn, id, Mutation::LeaseRevoke { id: lease }, out),
            Operation::LeaseKeepAlive { id: lease } => self.ask_of_lease(conn, id, LeaseQuestion::KeepAlive(lease), out),
            Operation::LeaseTimeToLive { id: lease, keys } => {
                self.ask_of_lease(conn, id, LeaseQuestion::TimeToLive { id: lease, keys }, out);
            }
            Operation::LeaseList => {
                let leases = self.store.leases().map(|lease| lease.id).collect();
                self.respond(conn, id, Ok(Answer::Leases(leases)), out);
            }
            Operation::Compact { revision } => self.propose(conn, id, Mutation::Compact { revision }, out),
            Operation::Watch(watch) => self.watch(conn, id, watch, out),
            Operation::WatchCancel { watch } => {
                if self.watchers.remove((conn, watch)) {
                    self.respond(conn, watch, Ok(Answer::WatchCanceled { compact_revision: Default::default() }), out);
                }
            }
            // A watcher that lags gets its events first, and is asked about again by its client.
            Operation::WatchProgress { watch } => {
                if self.watchers.is_synced((conn, watch)) {
                    self.respond(conn, watch, Ok(Answer::WatchProgress), out);
                }
            }
            Operation::AlarmList => {
                let alarms = self.store.alarms().collect();
                self.respond(conn, id, Ok(Answer::Alarms(alarms)), out);
            }
            Operation::AlarmDisarm => self.propose(conn, id, Mutation::AlarmDisarm, out),
            Operation::Defragment => {
                self.store.defragment();
                self.respond(conn, id, Ok(Answer::Defragmented), out);
            }
            Operation::HashKv { revision } => {
                let compact_revision = self.store.compacted();
                let answer = self.store.hash_kv(revision).map(|hash| Answer::HashKv { hash, compact_revision });
                self.respond(conn, id, answer, out);
            }
            Operation::Status => {
                let status = Status {
                    leader: self.raft.leader(),
                    applied: self.applied,
                    db_bytes: self.store.db_bytes(),
                    db_bytes_in_use: self.store.db_bytes_in_use(),
                    alarms: self.store.alarms().collect(),
                };
                self.respond(conn, id, Ok(Answer::Status(status)), out);
            }
            operation => self.maintain(conn, id, &operation, out),
        }
    }
    /// What is refused at the door.
    fn admit(&self, operation: &Operation) -> Result<(), EtcdError> {
        match operation {
            Operation::Status => Ok(()),
            _ if !self.serving => Err(EtcdError::Unavailable),
            Operation::Range(range) if range.serializable => Ok(()),
            _ if self.raft.configuration().learns(self.me) => Err(EtcdError::Learner),
            Operation::Txn(txn) => {
                store::validate(txn)?;
                if txn.size() > self.config.max_request_bytes { Err(EtcdError::TooLarge) } else { Ok(()) }
            }
            // Kubernetes asks for streams that need a leader (etcd client `WithRequireLeader`).
            Operation::Watch(_) if self.raft.leader().is_none() => Err(EtcdError::NoLeader),
            _ => Ok(()),
        }
    }
    /// To a client, if its connection still stands. Carries the outbox's cause.
    pub(super) fn respond(&self, conn: Conn, id: u64, result: Result<Answer, EtcdError>, out: &mut Outbox) {
        if self.clients.contains(&conn) {
            let (revision, term) = (self.store.revision(), self.raft.term());
            out.write(conn, Message::EtcdResponse(Box::new(Response { id, member: self.me, revision, term, result })));
        }
    }

    fn propose(&mut self, conn: Conn, id: u64, mutation: Mutation, out: &mut Outbox) {
        if !self.fits(&mutation) {
            return self.respond(conn, id, Err(EtcdError::NoSpace), out);
        }
        let command = Arc::new(self.proposals.command(mutation, out.cause()));
        self.proposals.wait(self.now, conn, id);
        if self.raft.propose(self.now, out.cause(), command.clone()).is_err() {
            self.proposals.held.push_back(command);
        }
    }
    /// What waited for a leader is proposed.
    pub(super) fn propose_held(&mut self) {
        for command in std::mem::take(&mut self.proposals.held) {
            // Those that have timed out meanwhile were never proposed.
            if self.proposals.waits(command.number) && self.raft.propose(self.now, command.cause, command.clone()).is_err() {
                self.proposals.held.push_back(command);
            }
        }
    }
    /// There is a new leader: reads whose index was asked of the old one fail.
    pub(super) fn leader_changed(&mut self, out: &mut Outbox) {
        let cause = out.cause();
        if self.reads.index.is_none() {
            self.reads.retry_at = None;
            for read in std::mem::take(&mut self.reads.asked) {
                out.because(read.cause);
                self.respond_to(read.asker, Err(EtcdError::LeaderChanged), out);
            }
        }
        out.because(cause);
    }

    pub(super) fn read(&mut self, conn: Conn, id: u64, question: Question, out: &mut Outbox) {
        if self.config.planted.has(Bug::ReadBehindIndex) {
            let answer = self.look(&question);
            return self.respond(conn, id, answer, out);
        }
        self.ask(Asker::Client(conn, id), question, out);
    }
    /// Answers a question once a read index is confirmed.
    pub(super) fn ask(&mut self, asker: Asker, question: Question, out: &Outbox) {
        let deadline = self.now + self.proposals.timeout;
        self.reads.waiting.push(Read { asker, deadline, cause: out.cause(), question });
        self.ask_read_index();
    }
    /// A follower that gets no answer asks again.
    pub(super) fn respond_to(&mut self, asker: Asker, result: Result<Answer, EtcdError>, out: &mut Outbox) {
        match (asker, result) {
            (Asker::Client(conn, id), result) => self.respond(conn, id, result, out),
            (Asker::Peer(member, number), Ok(answer)) => {
                let _ = self.tell_peer(member, PeerLease::Answered { number, result: Ok(answer) }, out);
            }
            (Asker::Peer(..), Err(_)) => {}
        }
    }
    /// Asks for a read index for all that wait, unless one is being asked for.
    fn ask_read_index(&mut self) {
        if self.reads.asked.is_empty() && !self.reads.waiting.is_empty() {
            self.reads.asked = std::mem::take(&mut self.reads.waiting);
            self.reads.context = self.reads.context.wrapping_add(1);
            self.reads.index = None;
            self.ask_again();
        }
    }
    fn ask_again(&mut self) {
        let cause = self.reads.asked.first().map_or(Cause::NONE, |read| read.cause);
        // Without a leader the next try may find one.
        let _ = self.raft.read_index(self.now, cause, self.reads.context);
        self.reads.retry_at = Some(self.now + READ_RETRY);
    }
    /// Answers the reads whose index is known and applied, and asks for the next.
    pub(super) fn serve_reads(&mut self, out: &mut Outbox) {
        if self.reads.index.is_some_and(|index| index <= self.applied) {
            self.reads.index = None;
            for read in std::mem::take(&mut self.reads.asked) {
                out.because(read.cause);
                if let Question::KeepAlive(id) = read.question {
                    self.confirmed_keep_alive(read.asker, id, out);
                    continue;
                }
                let answer = self.look(&read.question);
                self.respond_to(read.asker, answer, out);
            }
        }
        self.ask_read_index();
    }
    /// Reads what is applied here.
    fn look(&self, question: &Question) -> Result<Answer, EtcdError> {
        match question {
            Question::Range(range) => self.store.range(range).map(Answer::Range),
            Question::Txn(txn) => self.store.read_txn(txn).map(|(succeeded, answers)| Answer::Txn { succeeded, answers }),
            Question::Members => Ok(Answer::Members(self.raft.configuration().clone())),
            Question::KeepAlive(_) => unreachable!("it changes the lease, and is answered apart"),
        }
    }
    pub(super) fn time_out_requests(&mut self, out: &mut Outbox) {
        while let Some((conn, id)) = self.proposals.late(self.now) {
            self.respond(conn, id, Err(EtcdError::Timeout), out);
        }
        let late = |reads: &mut Vec<Read>, now| {
            let late = reads.partition_point(|read| read.deadline <= now);
            reads.drain(..late).collect::<Vec<Read>>()
        };
        let mut gone = late(&mut self.reads.asked, self.now);
        gone.extend(late(&mut self.reads.waiting, self.now));
        for read in gone {
            out.because(read.cause);
            self.respond_to(read.asker, Err(EtcdError::Timeout), out);
        }
        out.because(Cause::NONE);
        if self.reads.asked.is_empty() {
            self.reads.retry_at = None;
            self.reads.index = None;
        } else if self.reads.retry_at.is_some_and(|at| at <= self.now) {
            self.ask_again();
        }
    }

    fn watch(&mut self, conn: Conn, id: u64, watch: Watch, out: &mut Outbox) {
        self.watchers.add((conn, id), watch, self.store.revision());
        self.respond(conn, id, Ok(Answer::WatchCreated), out);
    }
    /// Sends what watchers are to be told.
    pub(super) fn flush_watches(&mut self, out: &mut Outbox) {
        self.watchers.flush(&mut self.notices);
        let mut notices = std::mem::take(&mut self.notices);
        for Notice { to: (conn, id), answer, cause } in notices.drain(..) {
            out.because(cause);
            self.respond(conn, id, Ok(answer), out);
        }
        self.notices = notices;
    }
    /// Streams that need a leader end when there has been none for too long.
    pub(super) fn give_up_watches(&mut self, out: &mut Outbox) {
        for (conn, id) in self.watchers.remove_all() {
            self.respond(conn, id, Err(EtcdError::NoLeader), out);
        }
    }
}
