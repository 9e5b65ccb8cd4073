//! Connections to the other members. Each member dials its own for what it sends (etcd `server/etcdserver/api/rafthttp`); what has no open
//! connection is dropped, as Raft allows.

use super::Life;
use crate::base::{Duration, Time};
use crate::wire::{Address, Conn, KeepAlive, Member, Message, Outbox, raft};

/// How long after a lost connection the next is tried (etcd `rafthttp/stream.go`, DialRetryFrequency: 10 a second).
const REDIAL: Duration = Duration::from_millis(100);
/// Messages that wait for a connection (etcd `rafthttp/stream.go`, streamBufSize). A member that stood still finds that its peers have
/// dialled anew, and attaches their connections to its streams at once: what it has to tell them waits in the streams meanwhile.
const WAITING_MAX: usize = 4096;

/// The connection to one member.
pub(super) struct Link {
    member: Member,
    state: State,
    /// For when it is open.
    waiting: Vec<raft::Message>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Dialling(Conn),
    Open(Conn),
    /// Unsent bytes have piled up: what comes now is dropped.
    Blocked(Conn),
    /// `refused`: the last dial failed, so that there is nobody to dial before `redial_at`.
    Lost {
        redial_at: Time,
        refused: bool,
    },
}

impl Link {
    pub fn new(member: Member) -> Link {
        Link { member, state: State::Lost { redial_at: Time::ZERO, refused: true }, waiting: Vec::new() }
    }
    pub fn dial(&mut self, out: &mut Outbox) {
        self.state = State::Dialling(out.dial(Address::Etcd(self.member), KeepAlive::ETCD_PEER));
    }
    pub fn member(&self) -> Member {
        self.member
    }
    pub fn is_open_to(&self, member: Member) -> bool {
        self.member == member && matches!(self.state, State::Open(_) | State::Blocked(_))
    }
    pub fn deadline(&self) -> Time {
        match self.state {
            State::Lost { redial_at, .. } => redial_at,
            _ => Time::NEVER,
        }
    }
    fn conn(&self) -> Option<Conn> {
        match self.state {
            State::Dialling(conn) | State::Open(conn) | State::Blocked(conn) => Some(conn),
            State::Lost { .. } => None,
        }
    }
}

impl Life {
    /// Is this message none for Raft? Who was removed is told so (and so are we); who is met for the first time, since the change that
    /// brought it has not been applied here, gets a connection for the answers.
    pub(super) fn is_foreign(&mut self, conn: Conn, message: &raft::Message, out: &mut Outbox) -> bool {
        let from = message.from;
        if matches!(message.body, raft::Body::Gone) {
            self.leave(out);
            return true;
        }
        if self.raft.configuration().removed.contains(&from) {
            let gone = raft::Message { from: self.me, to: from, term: self.raft.term(), body: raft::Body::Gone };
            out.write(conn, Message::Raft(Box::new(gone)));
            return true;
        }
        if self.links.iter().all(|link| link.member() != from) {
            let mut link = Link::new(from);
            link.dial(out);
            self.links.push(link);
        }
        false
    }
    fn link(&mut self, conn: Conn) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.conn() == Some(conn))
    }
    pub(super) fn link_opened(&mut self, conn: Conn, out: &mut Outbox) {
        if let Some(link) = self.link(conn) {
            link.state = State::Open(conn);
            for message in std::mem::take(&mut link.waiting) {
                out.write(conn, Message::Raft(Box::new(message)));
            }
        }
    }
    pub(super) fn link_lost(&mut self, conn: Conn) {
        let redial_at = self.now + REDIAL;
        if let Some(link) = self.link(conn) {
            let refused = matches!(link.state, State::Dialling(_));
            link.state = State::Lost { redial_at, refused };
            link.waiting.clear();
            let member = link.member;
            self.raft.report_unreachable(member);
        }
    }
    pub(super) fn redial(&mut self, out: &mut Outbox) {
        for link in self.links.iter_mut().filter(|link| link.deadline() <= self.now) {
            link.dial(out);
        }
    }
    /// Of a member: messages are dropped until it is writable. Of a client: its watches fall behind.
    pub(super) fn set_blocked(&mut self, conn: Conn, blocked: bool) {
        match self.link(conn) {
            Some(link) => link.state = if blocked { State::Blocked(conn) } else { State::Open(conn) },
            None => self.watchers.set_blocked(conn, blocked),
        }
    }
    /// Over the open connection. One that has just been lost is dialled again at once, and what is sent meanwhile waits, as in rafthttp's
    /// streams.
    pub(super) fn send(&mut self, message: raft::Message, out: &mut Outbox) {
        let to = message.to;
        let Some(link) = self.links.iter_mut().find(|link| link.member == to) else { return self.raft.report_unreachable(to) };
        if let State::Lost { refused: false, .. } = link.state {
            link.dial(out);
        }
        match link.state {
            State::Open(conn) => out.write(conn, Message::Raft(Box::new(message))),
            State::Dialling(_) if link.waiting.len() < WAITING_MAX => link.waiting.push(message),
            _ => self.raft.report_unreachable(to),
        }
    }
    /// Where to write to a member, if what is written would get there.
    pub(super) fn open_link(&self, to: Member) -> Option<Conn> {
        match self.links.iter().find(|link| link.member == to)?.state {
            State::Open(conn) => Some(conn),
            _ => None,
        }
    }
}
