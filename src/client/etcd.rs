//! The etcd client: a connection to each endpoint, requests in turn over those that are open, retries where a retry is safe, watches that
//! move to another member when theirs is lost (facts/etcd-raft.md section 4).

use crate::base::{Cause, Map, Revision, Set, Stream, Time};
use crate::wire::etcd::{Answer, EtcdError, KeyRange, Operation, Request, Response, Watch, WatchEvent};
use crate::wire::{Address, Conn, Input, KeepAlive, Member, Message, Outbox, ServerMessage};

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

/// See the module. For now the plainest that works: one connection, no retries.
pub struct EtcdClient<T> {
    members: Vec<Member>,
    conn: Option<Conn>,
    next: u64,
    pending: Map<u64, (T, Cause)>,
    watches: Set<u64>,
}

impl<T> EtcdClient<T> {
    pub fn new(members: Vec<Member>, _stream: Stream) -> EtcdClient<T> {
        EtcdClient { members, conn: None, next: 0, pending: Map::default(), watches: Set::default() }
    }
    /// Dials every endpoint.
    pub fn start(&mut self, _now: Time, out: &mut Outbox) {
        self.conn = Some(out.dial(Address::Etcd(self.members[0]), KeepAlive::ETCD_CLIENT));
    }
    /// Sends a request that must be answered by `deadline`.
    pub fn send(&mut self, _now: Time, operation: Operation, _deadline: Time, token: T, out: &mut Outbox) {
        let id = self.write(operation, out);
        self.pending.insert(id, (token, out.cause()));
    }
    /// Watches `keys` after `from` until cancelled; returns the watch's name.
    pub fn watch(&mut self, _now: Time, keys: KeyRange, from: Revision, out: &mut Outbox) -> u64 {
        let watch = Watch { keys, start: from.next(), previous_value: false, progress_notify: false, no_put: false, no_delete: false };
        let id = self.write(Operation::Watch(watch), out);
        self.watches.insert(id);
        id
    }
    pub fn handle(
        &mut self,
        _now: Time,
        input: Input<ServerMessage>,
        out: &mut Outbox,
        outputs: &mut Vec<EtcdOutput<T>>,
    ) -> Option<Input<ServerMessage>> {
        match input {
            Input::Data(_, ServerMessage::Etcd(response)) => {
                let (id, revision) = (response.id, response.revision);
                if let Some((token, cause)) = self.pending.remove(&id) {
                    outputs.push(EtcdOutput::Answer { token, cause, result: Ok(*response) });
                } else if self.watches.contains(&id) {
                    match response.result {
                        Ok(Answer::WatchEvents(events)) => {
                            outputs.push(EtcdOutput::Events { watch: id, events, revision, cause: out.cause() })
                        }
                        Ok(Answer::WatchProgress) => outputs.push(EtcdOutput::Progress { watch: id, revision }),
                        Ok(Answer::WatchCanceled { compact_revision }) => {
                            outputs.push(EtcdOutput::Compacted { watch: id, compact_revision })
                        }
                        _ => {}
                    }
                }
                None
            }
            Input::Opened(conn) if Some(conn) == self.conn => None,
            other => Some(other),
        }
    }
    pub fn wake(&mut self, _now: Time, _out: &mut Outbox, _outputs: &mut Vec<EtcdOutput<T>>) {}
    /// Asks for a [`EtcdOutput::Progress`] of a watch.
    pub fn request_progress(&mut self, watch: u64, out: &mut Outbox) {
        self.write(Operation::WatchProgress { watch }, out);
    }
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }
    fn write(&mut self, operation: Operation, out: &mut Outbox) -> u64 {
        self.next += 1;
        let request = Request { id: self.next, operation };
        out.write(self.conn.expect("started"), Message::EtcdRequest(Box::new(request)));
        self.next
    }
}
