//! Questions about leases that only the leader can answer, since only it knows their time: a follower passes them on and waits
//! (etcd `server/etcdserver/v3_server.go`, LeaseRenew and LeaseTimeToLive, by `server/lease/leasehttp`). They go beside Raft, on the
//! connections between members; nothing of them is in the log.

use std::collections::BTreeMap;

use super::Life;
use super::requests::{Asker, Question};
use crate::base::{Cause, Duration, Time};
use crate::etcd::raft::Role;
use crate::wire::etcd::{Answer, EtcdError, LeaseId, LeaseQuestion, Mutation, PeerLease};
use crate::wire::{Conn, Member, Message, Outbox};

/// A question that could not be sent is tried again after this (LeaseRenew) ...
const RETRY: Duration = Duration::from_millis(50);
/// ... and one that was lost on the way after this.
const LOST: Duration = Duration::from_millis(500);

/// What was asked of the leader, by the numbers of the questions.
#[derive(Default)]
pub(super) struct Forwards {
    next: u64,
    waiting: BTreeMap<u64, Forward>,
}

struct Forward {
    conn: Conn,
    id: u64,
    question: LeaseQuestion,
    cause: Cause,
    retry_at: Time,
    deadline: Time,
}

impl Forwards {
    /// Numbers begin above those of an earlier life.
    pub fn new(incarnation: crate::base::Incarnation) -> Forwards {
        Forwards { next: u64::from(incarnation.get()) << 40, waiting: BTreeMap::new() }
    }
    /// There are a handful of them.
    pub fn deadline(&self) -> Time {
        self.waiting.values().map(|forward| forward.retry_at.min(forward.deadline)).min().unwrap_or(Time::NEVER)
    }
}

impl Life {
    /// Answers a question about a lease, or asks the leader.
    pub(super) fn ask_of_lease(&mut self, conn: Conn, id: u64, question: LeaseQuestion, out: &mut Outbox) {
        if self.raft.role() == Role::Leader {
            return self.answer_of_lease(Asker::Client(conn, id), question, out);
        }
        self.forwards.next += 1;
        let number = self.forwards.next;
        let deadline = self.now + self.proposals.timeout();
        let forward = Forward { conn, id, question, cause: out.cause(), retry_at: self.now, deadline };
        self.forwards.waiting.insert(number, forward);
        self.forward(number, out);
    }
    fn forward(&mut self, number: u64, out: &mut Outbox) {
        let (me, leader) = (self.me, self.raft.leader());
        let Some(&Forward { conn, id, question, .. }) = self.forwards.waiting.get(&number) else { return };
        if self.raft.role() == Role::Leader {
            self.forwards.waiting.remove(&number);
            return self.answer_of_lease(Asker::Client(conn, id), question, out);
        }
        let sent = leader.is_some_and(|leader| self.tell_peer(leader, PeerLease::Ask { from: me, number, question }, out));
        let retry_at = self.now + if sent { LOST } else { RETRY };
        self.forwards.waiting.get_mut(&number).expect("looked up above").retry_at = retry_at;
    }
    /// Sends again what is due, and gives up what took too long.
    pub(super) fn forward_again(&mut self, out: &mut Outbox) {
        let before = out.cause();
        let now = self.now;
        let due: Vec<u64> = (self.forwards.waiting.iter())
            .filter(|(_, forward)| forward.retry_at.min(forward.deadline) <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            let Forward { deadline, cause, conn, id, .. } = self.forwards.waiting[&number];
            out.because(cause);
            if deadline <= now {
                self.forwards.waiting.remove(&number);
                self.respond(conn, id, Err(EtcdError::Timeout), out);
            } else {
                self.forward(number, out);
            }
        }
        out.because(before);
    }
    /// From another member.
    pub(super) fn peer_lease(&mut self, message: PeerLease, out: &mut Outbox) {
        match message {
            PeerLease::Ask { from, number, question } => {
                // One who leads no more says nothing: the follower asks the next leader.
                if self.raft.role() == Role::Leader {
                    self.answer_of_lease(Asker::Peer(from, number), question, out);
                }
            }
            PeerLease::Answered { number, result } => {
                if let Some(forward) = self.forwards.waiting.remove(&number) {
                    self.respond(forward.conn, forward.id, result, out);
                }
            }
        }
    }
    pub(super) fn tell_peer(&self, to: Member, message: PeerLease, out: &mut Outbox) -> bool {
        let conn = self.open_link(to);
        if let Some(conn) = conn {
            out.write(conn, Message::EtcdPeer(Box::new(message)));
        }
        conn.is_some()
    }
    /// As the leader.
    fn answer_of_lease(&mut self, asker: Asker, question: LeaseQuestion, out: &mut Outbox) {
        match question {
            LeaseQuestion::KeepAlive(id) => self.ask(asker, Question::KeepAlive(id), out),
            LeaseQuestion::TimeToLive { id, keys } => {
                let answer = match self.store.lease(id) {
                    None => Answer::LeaseTimeToLive { granted: Duration::ZERO, remaining: None, keys: Vec::new() },
                    Some(lease) => Answer::LeaseTimeToLive {
                        granted: lease.ttl,
                        remaining: self.leases.remaining(id, self.now),
                        keys: if keys { self.store.lease_keys(id).cloned().collect() } else { Vec::new() },
                    },
                };
                self.respond_to(asker, Ok(answer), out);
            }
        }
    }
    /// A quorum has said that the leader of then still led. One that does no more passes the question on, or leaves it to who asked: what
    /// a deposed leader promises, its successor does not know.
    pub(super) fn confirmed_keep_alive(&mut self, asker: Asker, id: LeaseId, out: &mut Outbox) {
        if self.raft.role() == Role::Leader {
            let ttl = self.keep_alive(id);
            self.respond_to(asker, Ok(Answer::LeaseKeptAlive { ttl }), out);
        } else if let Asker::Client(conn, request) = asker {
            self.ask_of_lease(conn, request, LeaseQuestion::KeepAlive(id), out);
        }
    }
    /// The time that the lease has again; zero if it is gone.
    fn keep_alive(&mut self, id: LeaseId) -> Duration {
        let Some(lease) = self.store.lease(id).filter(|lease| self.leases.keep_alive(lease, self.now)) else { return Duration::ZERO };
        if lease.remaining > Duration::ZERO {
            // A checkpoint said that less is left: it is taken back, at most once an interval.
            self.propose_unasked(Mutation::LeaseCheckpoint([(id, Duration::ZERO)].into()));
        }
        lease.ttl
    }
}
