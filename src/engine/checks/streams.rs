//! Within one watch stream each revision comes once and in order: of an API server to its clients, of an etcd member to its.
//!
//! Looked at where messages are written: the request that opens a stream tells where it begins, each event must be newer than all
//! before it, and than what a bookmark or progress notification said to be complete. Left out: whether a matching revision was skipped,
//! and streams from revision 0, whose first events are the present state in no order of revisions. Nothing is allocated an event.

use crate::base::{Map, Revision};
use crate::wire::api::{Body, Verb, WatchEvent};
use crate::wire::etcd::{Answer, Operation};
use crate::wire::{Address, Conn, Message};

/// See the module.
#[derive(Default)]
pub struct Streams {
    /// (id, newest revision) of each stream of a connection: a dozen at most.
    streams: Map<Conn, Vec<(u64, Revision)>>,
}

impl Streams {
    /// `from` writes a message.
    pub fn written(&mut self, from: Address, conn: Conn, message: &Message, violations: &mut Vec<String>) {
        match message {
            Message::ApiRequest(request) => match &request.verb {
                Verb::Watch { from, .. } if *from != Revision::ZERO => self.opened(conn, request.id, *from),
                Verb::CancelWatch { watch } => self.ended(conn, *watch),
                _ => {}
            },
            Message::EtcdRequest(request) => match &request.operation {
                Operation::Watch(watch) => self.opened(conn, request.id, Revision(watch.start.0.saturating_sub(1))),
                Operation::WatchCancel { watch } => self.ended(conn, *watch),
                _ => {}
            },
            Message::ApiResponse(response) => match &response.body {
                Body::Watch(WatchEvent::Added(stored) | WatchEvent::Modified(stored) | WatchEvent::Deleted(stored)) => {
                    self.saw(from, conn, response.id, stored.revision, violations);
                }
                Body::Watch(WatchEvent::Bookmark(revision)) => self.complete(conn, response.id, *revision),
                Body::Watch(WatchEvent::End(_)) | Body::Error(_) => self.ended(conn, response.id),
                _ => {}
            },
            Message::EtcdResponse(response) => match &response.result {
                Ok(Answer::WatchEvents(events)) => {
                    // A revision may have changed several keys: its events come together.
                    let mut before = Revision::ZERO;
                    for event in events {
                        let revision = event.kv.mod_revision;
                        if revision != before {
                            self.saw(from, conn, response.id, revision, violations);
                        }
                        before = revision;
                    }
                }
                Ok(Answer::WatchProgress) => self.complete(conn, response.id, response.revision),
                Ok(Answer::WatchCanceled { .. }) => self.ended(conn, response.id),
                _ => {}
            },
            Message::Raft(_) | Message::HttpRequest | Message::HttpResponse => {}
        }
    }
    /// One of its ends is over: the other may still write for a while, to nobody.
    pub fn closed(&mut self, conn: Conn) {
        self.streams.remove(&conn);
    }

    fn opened(&mut self, conn: Conn, id: u64, seen: Revision) {
        self.streams.entry(conn).or_default().push((id, seen));
    }
    fn ended(&mut self, conn: Conn, id: u64) {
        if let Some(streams) = self.streams.get_mut(&conn) {
            streams.retain(|(stream, _)| *stream != id);
            if streams.is_empty() {
                self.streams.remove(&conn);
            }
        }
    }
    fn newest(&mut self, conn: Conn, id: u64) -> Option<&mut Revision> {
        self.streams.get_mut(&conn)?.iter_mut().find(|(stream, _)| *stream == id).map(|(_, newest)| newest)
    }
    fn saw(&mut self, from: Address, conn: Conn, id: u64, revision: Revision, violations: &mut Vec<String>) {
        let Some(newest) = self.newest(conn, id) else { return };
        if revision <= *newest {
            violations.push(format!("watch {id} on {conn:?}: {from} sends revision {revision} after revision {newest}"));
        }
        *newest = revision;
    }
    fn complete(&mut self, conn: Conn, id: u64, revision: Revision) {
        if let Some(newest) = self.newest(conn, id) {
            *newest = revision.max(*newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Cause, Duration};
    use crate::objects::{Kind, Meta, Object, Pod, Stored};
    use crate::wire::api::{ApiRequest, ApiResponse, Scope};
    use crate::wire::{NodeId, Server};

    const CONN: Conn = Conn(7);

    fn watch(streams: &mut Streams, id: u64, from: u64) {
        let verb = Verb::Watch { kind: Kind::Pod, scope: Scope::all(), from: Revision(from), timeout: Duration::ZERO };
        let request = Message::ApiRequest(Box::new(ApiRequest { id, verb }));
        streams.written(Address::Kubelet(NodeId(0)), CONN, &request, &mut Vec::new());
    }
    fn send(streams: &mut Streams, id: u64, event: WatchEvent) -> Vec<String> {
        let mut violations = Vec::new();
        let response = Message::ApiResponse(Box::new(ApiResponse { id, body: Body::Watch(event) }));
        streams.written(Address::Api(Server(1)), CONN, &response, &mut violations);
        violations
    }
    fn pod(revision: u64) -> Stored {
        let object = Object::Pod(Pod { meta: Meta::named("default", "web"), ..Pod::default() });
        Stored::new(Revision(revision), Cause::NONE, Arc::new(object))
    }

    #[test]
    fn a_revision_that_comes_twice_late_or_after_its_bookmark_is_found() {
        let mut streams = Streams::default();
        watch(&mut streams, 1, 10);
        assert_eq!(send(&mut streams, 1, WatchEvent::Modified(pod(11))).len(), 0);
        let twice = send(&mut streams, 1, WatchEvent::Modified(pod(11)));
        assert_eq!(twice, ["watch 1 on conn-7: apiserver-1 sends revision 11 after revision 11"]);
        assert_eq!(send(&mut streams, 1, WatchEvent::Bookmark(Revision(20))).len(), 0);
        assert_eq!(send(&mut streams, 1, WatchEvent::Deleted(pod(19))).len(), 1);
        // What its list had already shown.
        watch(&mut streams, 2, 30);
        assert_eq!(send(&mut streams, 2, WatchEvent::Added(pod(30))).len(), 1);
    }

    #[test]
    fn streams_are_told_apart_and_forgotten_with_their_connection() {
        let mut streams = Streams::default();
        watch(&mut streams, 1, 10);
        watch(&mut streams, 2, 5);
        assert_eq!(send(&mut streams, 1, WatchEvent::Modified(pod(12))).len(), 0);
        assert_eq!(send(&mut streams, 2, WatchEvent::Modified(pod(12))).len(), 0);
        streams.closed(CONN);
        assert_eq!(send(&mut streams, 1, WatchEvent::Modified(pod(3))).len(), 0);
        assert!(streams.streams.is_empty());
    }
}
