//! The etcd client: a connection to each endpoint, requests in turn over those that are open, retries where a retry is safe, watches that
//! move to another member when theirs is lost (facts/etcd-raft.md section 4).

use crate::base::{Cause, Revision, Stream, Time};
use crate::wire::etcd::{EtcdError, KeyRange, Operation, Response, WatchEvent};
use crate::wire::{Member, Outbox};

/// What the client hands to its actor.
#[derive(Debug)]
pub enum EtcdOutput<T> {
    /// The answer to `send`; `Timeout` when none came in time: a mutation's outcome is then unknown.
    Answer { token: T, cause: Cause, result: Result<Response, EtcdError> },
    /// Events of a watch: each revision once, in order, across reconnects.
    Events { watch: u64, events: Vec<WatchEvent>, revision: Revision, cause: Cause },
    /// All events up to `revision` have come.
    Progress { watch: u64, revision: Revision },
    /// The watch's start is compacted: list again.
    Compacted { watch: u64, compact_revision: Revision },
}

/// See the module.
pub struct EtcdClient<T> {
    members: Vec<Member>,
    stream: Stream,
    tokens: std::marker::PhantomData<T>,
}

impl<T> EtcdClient<T> {
    pub fn new(members: Vec<Member>, stream: Stream) -> EtcdClient<T> {
        EtcdClient { members, stream, tokens: std::marker::PhantomData }
    }
    /// Dials every endpoint.
    pub fn start(&mut self, _now: Time, _out: &mut Outbox) {
        todo!()
    }
    /// Sends a request that must be answered by `deadline`.
    pub fn send(&mut self, _now: Time, _operation: Operation, _deadline: Time, _token: T, _out: &mut Outbox) {
        todo!()
    }
    /// Watches `keys` after `from` until cancelled; returns the watch's name.
    pub fn watch(&mut self, _now: Time, _keys: KeyRange, _from: Revision, _out: &mut Outbox) -> u64 {
        todo!()
    }
    pub fn deadline(&self) -> Time {
        todo!()
    }
}
