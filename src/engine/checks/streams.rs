//! Within one watch stream each matching revision comes once and in order: of an API server to its clients, of an etcd member to its.
//!
//! Looked at where messages are written: the request that opens a stream tells where it begins. Always: each event is newer than all
//! before it, and than what a bookmark or progress notification said to be complete; nothing is allocated an event. With the store's
//! [`History`] (`--check full`) too: what a stream passes over holds nothing that it asked for, each event is the change that the store
//! made, as the stream's selector sees it, and a stream from revision 0 begins with the whole state of some revision.

use std::collections::BTreeMap;

use super::history::History;
use crate::base::{Map, Revision};
use crate::objects::{Key, Kind, Stored};
use crate::wire::api::{Body, Scope, Verb, WatchEvent};
use crate::wire::etcd::{Answer, KeyRange, Operation, WatchEvent as StoreEvent};
use crate::wire::{Address, Conn, Message};

/// See the module.
#[derive(Default)]
pub struct Streams {
    /// The streams of a connection: a dozen at most.
    streams: Map<Conn, Vec<Stream>>,
    /// Whether it is worth keeping what streams ask for.
    full: bool,
}

struct Stream {
    id: u64,
    /// All that it asked for has come up to here.
    newest: Revision,
    /// What it asks for; kept with a history only.
    asks: Option<Asks>,
}

enum Asks {
    Objects { kind: Kind, scope: Box<Scope>, initial: Option<Initial> },
    Keys { keys: KeyRange, puts: bool, deletes: bool },
}

/// A stream from revision 0 begins with the present objects, in no order of revisions, all written in one step.
#[derive(Default)]
struct Initial {
    objects: BTreeMap<Key, Revision>,
    step: Option<u64>,
}

impl Streams {
    /// `full`: there is a history to hold streams against.
    pub fn new(full: bool) -> Streams {
        Streams { full, ..Streams::default() }
    }
    /// `from` writes a message in the run's `step`-th step.
    pub fn written(
        &mut self,
        from: Address,
        conn: Conn,
        message: &Message,
        step: u64,
        history: Option<&History>,
        violations: &mut Vec<String>,
    ) {
        let mut look = Look { from, conn, history, violations };
        match message {
            Message::ApiRequest(request) => match &request.verb {
                Verb::Watch { kind, scope, from, .. } => {
                    let initial = (*from == Revision::ZERO).then(Initial::default);
                    let asks = self.full.then(|| Asks::Objects { kind: *kind, scope: Box::new(scope.clone()), initial });
                    if asks.is_some() || *from != Revision::ZERO {
                        self.opened(conn, request.id, *from, asks);
                    }
                }
                Verb::CancelWatch { watch } => self.ended(conn, *watch),
                _ => {}
            },
            Message::EtcdRequest(request) => match &request.operation {
                Operation::Watch(watch) => {
                    let keys = || Asks::Keys { keys: watch.keys.clone(), puts: !watch.no_put, deletes: !watch.no_delete };
                    // A stream from "after now" begins when its member says so: only the order of its events is known.
                    let asks = (self.full && watch.start != Revision::ZERO).then(keys);
                    self.opened(conn, request.id, Revision(watch.start.0.saturating_sub(1)), asks);
                }
                Operation::WatchCancel { watch } => self.ended(conn, *watch),
                _ => {}
            },
            Message::ApiResponse(response) => match &response.body {
                Body::Watch(event @ (WatchEvent::Added(stored) | WatchEvent::Modified(stored) | WatchEvent::Deleted(stored))) => {
                    if let Some(stream) = self.find(conn, response.id) {
                        look.event(stream, event, stored, step);
                    }
                }
                Body::Watch(WatchEvent::Bookmark(revision)) => {
                    if let Some(stream) = self.find(conn, response.id) {
                        look.complete(stream, *revision);
                    }
                }
                Body::Watch(WatchEvent::End(_)) | Body::Error(_) => self.ended(conn, response.id),
                _ => {}
            },
            Message::EtcdResponse(response) => match &response.result {
                Ok(Answer::WatchEvents(events)) => {
                    if let Some(stream) = self.find(conn, response.id) {
                        // A revision may have changed several keys: its events come together.
                        for events in events.chunk_by(|one, other| one.kv.mod_revision == other.kv.mod_revision) {
                            look.revision(stream, events);
                        }
                    }
                }
                Ok(Answer::WatchProgress) => {
                    if let Some(stream) = self.find(conn, response.id) {
                        look.complete(stream, response.revision);
                    }
                }
                Ok(Answer::WatchCanceled { .. }) => self.ended(conn, response.id),
                _ => {}
            },
            Message::Raft(_) | Message::EtcdPeer(_) | Message::HttpRequest | Message::HttpResponse => {}
        }
    }
    /// One of its ends is over: the other may still write for a while, to nobody.
    pub fn closed(&mut self, conn: Conn) {
        self.streams.remove(&conn);
    }

    fn opened(&mut self, conn: Conn, id: u64, newest: Revision, asks: Option<Asks>) {
        self.streams.entry(conn).or_default().push(Stream { id, newest, asks });
    }
    fn ended(&mut self, conn: Conn, id: u64) {
        if let Some(streams) = self.streams.get_mut(&conn) {
            streams.retain(|stream| stream.id != id);
            if streams.is_empty() {
                self.streams.remove(&conn);
            }
        }
    }
    fn find(&mut self, conn: Conn, id: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&conn)?.iter_mut().find(|stream| stream.id == id)
    }
}

/// One message held against its stream and the history.
struct Look<'a> {
    from: Address,
    conn: Conn,
    history: Option<&'a History>,
    violations: &'a mut Vec<String>,
}

impl Look<'_> {
    fn tell(&mut self, stream: &Stream, what: String) {
        self.violations.push(format!("watch {} on {:?}: {} {what}", stream.id, self.conn, self.from));
    }
    /// Of an API server.
    fn event(&mut self, stream: &mut Stream, event: &WatchEvent, stored: &Stored, step: u64) {
        if self.is_initial(stream, event, stored, step) {
            return;
        }
        self.began(stream, Revision(stored.revision.0 - 1));
        self.in_order(stream, stored.revision);
        if let (Some(history), Some(Asks::Objects { kind, scope, .. })) = (self.history, &stream.asks)
            && let Some(changes) = history.changes(*kind, stream.newest, stored.revision)
        {
            let sent = match event {
                WatchEvent::Added(_) => "ADDED",
                WatchEvent::Modified(_) => "MODIFIED",
                _ => "DELETED",
            };
            let mut wrong = Vec::new();
            let mut found = false;
            for change in changes {
                let Some((wanted, object)) = change.seen_by(scope) else { continue };
                if change.revision < stored.revision {
                    wrong.push(skipped(change.revision, &change.key, stored.revision));
                } else if (wanted, object) == (sent, &*stored.object) {
                    found = true;
                }
            }
            // Of a revision that was sent before, the order has told already.
            if !found && stream.newest < stored.revision {
                let key = stored.object.key();
                wrong.push(format!("sends {sent} {key} at revision {}, which the store did not do to it", stored.revision));
            }
            wrong.into_iter().for_each(|what| self.tell(stream, what));
        }
        stream.newest = stored.revision.max(stream.newest);
    }
    /// Whether an event is of the state that a stream from revision 0 begins with.
    fn is_initial(&mut self, stream: &mut Stream, event: &WatchEvent, stored: &Stored, step: u64) -> bool {
        let Some(Asks::Objects { initial: Some(initial), .. }) = &mut stream.asks else { return false };
        if !matches!(event, WatchEvent::Added(_)) || *initial.step.get_or_insert(step) != step {
            return false;
        }
        initial.objects.insert(stored.object.key(), stored.revision).is_none()
    }
    /// The state that a stream from revision 0 began with is over: it must have been that of `at`.
    fn began(&mut self, stream: &mut Stream, at: Revision) {
        let Some(Asks::Objects { kind, scope, initial }) = &mut stream.asks else { return };
        let (Some(initial), Some(history)) = (initial.take(), self.history) else { return };
        let Some(state) = history.state(*kind, scope, at) else { return };
        let same = state.len() == initial.objects.len()
            && state.iter().zip(&initial.objects).all(|((key, stored), (sent, revision))| *key == sent && stored.revision == *revision);
        stream.newest = at;
        if !same {
            let (had, sent) = (state.len(), initial.objects.len());
            self.tell(stream, format!("began with {sent} objects, which are not the {had} that the store had at revision {at}"));
        }
    }
    /// Of an etcd member: the events of one revision.
    fn revision(&mut self, stream: &mut Stream, events: &[StoreEvent]) {
        let revision = events[0].kv.mod_revision;
        self.in_order(stream, revision);
        if let (Some(history), Some(Asks::Keys { keys, puts, deletes })) = (self.history, &stream.asks)
            && let Some(changes) = history.revisions(stream.newest, revision)
        {
            let asked = |key: &str, deleted: bool| keys.contains(key) && if deleted { *deletes } else { *puts };
            let mut wrong = Vec::new();
            for (at, changed) in changes {
                let wanted = changed.iter().filter(|(key, deleted)| asked(key, *deleted)).map(|(key, deleted)| (&**key, *deleted));
                if at < revision {
                    wrong.extend(wanted.map(|(key, _)| skipped(at, key, revision)));
                } else if !wanted.eq(events.iter().map(|event| (&*event.kv.key, event.deleted))) {
                    wrong.push(format!("sends other changes of revision {revision} than the store made"));
                }
            }
            wrong.into_iter().for_each(|what| self.tell(stream, what));
        }
        stream.newest = revision.max(stream.newest);
    }
    /// All up to a revision has been sent, says a bookmark or a progress notification.
    fn complete(&mut self, stream: &mut Stream, revision: Revision) {
        self.began(stream, revision);
        let mut wrong = Vec::new();
        match (self.history, &stream.asks) {
            (Some(history), Some(Asks::Objects { kind, scope, .. })) => {
                let changes = history.changes(*kind, stream.newest, revision).into_iter().flatten();
                let passed = changes.filter(|change| change.seen_by(scope).is_some());
                wrong.extend(passed.map(|change| skipped(change.revision, &change.key, revision)));
            }
            (Some(history), Some(Asks::Keys { keys, puts, deletes })) => {
                let asked = |key: &str, deleted: bool| keys.contains(key) && if deleted { *deletes } else { *puts };
                for (at, changed) in history.revisions(stream.newest, revision).into_iter().flatten() {
                    let passed = changed.iter().filter(|(key, deleted)| asked(key, *deleted));
                    wrong.extend(passed.map(|(key, _)| skipped(at, key, revision)));
                }
            }
            _ => {}
        }
        wrong.into_iter().for_each(|what| self.tell(stream, what));
        stream.newest = revision.max(stream.newest);
    }
    fn in_order(&mut self, stream: &Stream, revision: Revision) {
        if revision <= stream.newest {
            self.tell(stream, format!("sends revision {revision} after revision {}", stream.newest));
        }
    }
}

fn skipped(revision: Revision, key: impl std::fmt::Display, newer: Revision) -> String {
    format!("skips revision {revision}, a change of {key}, and is at revision {newer}")
}

#[cfg(test)]
mod tests {
    use super::super::history::testing::{event, history, pod};
    use super::*;
    use crate::base::{Duration, Name, Term};
    use crate::wire::api::{ApiRequest, ApiResponse};
    use crate::wire::etcd::{Request, Response, Watch};
    use crate::wire::{Member, NodeId, Server};

    const CONN: Conn = Conn(7);

    /// A stream to look at, held against a history if there is one.
    struct World {
        streams: Streams,
        history: Option<History>,
        step: u64,
    }

    impl World {
        fn new(history: Option<History>) -> World {
            World { streams: Streams::new(history.is_some()), history, step: 0 }
        }
        fn say(&mut self, from: Address, message: Message) -> Vec<String> {
            let mut violations = Vec::new();
            self.streams.written(from, CONN, &message, self.step, self.history.as_ref(), &mut violations);
            violations.into_iter().map(|what| what.split_once("-1 ").map_or(what.clone(), |(_, what)| what.to_owned())).collect()
        }
        fn watch(&mut self, id: u64, from: u64, scope: Scope) {
            let verb = Verb::Watch { kind: Kind::Pod, scope, from: Revision(from), timeout: Duration::ZERO };
            self.say(Address::Kubelet(NodeId(0)), Message::ApiRequest(Box::new(ApiRequest { id, verb })));
        }
        fn send(&mut self, id: u64, event: WatchEvent) -> Vec<String> {
            self.say(Address::Api(Server(1)), Message::ApiResponse(Box::new(ApiResponse { id, body: Body::Watch(event) })))
        }
        fn watch_store(&mut self, start: u64) {
            let keys = KeyRange::Prefix("/registry/pods/".into());
            let start = Revision(start);
            let watch = Watch { progress_notify: true, ..Watch::of(keys, start) };
            let request = Request { id: 1, operation: Operation::Watch(watch) };
            self.say(Address::Api(Server(1)), Message::EtcdRequest(Box::new(request)));
        }
        fn send_store(&mut self, revision: u64, answer: Answer) -> Vec<String> {
            let response = Response { id: 1, member: Member(1), revision: Revision(revision), term: Term(1), result: Ok(answer) };
            self.say(Address::Etcd(Member(1)), Message::EtcdResponse(Box::new(response)))
        }
    }
    /// On node n1: "a" comes at 1, is changed at 3 and goes at 5. Elsewhere: "b" at 2 and 4.
    fn five() -> Option<History> {
        let (here, there) = (Some("n1"), Some("n2"));
        Some(history(&[("a", here, false), ("b", there, false), ("a", here, false), ("b", there, false), ("a", here, true)]))
    }
    fn here(revision: u64) -> Stored {
        pod("a", Some("n1"), revision)
    }

    #[test]
    fn an_event_that_is_not_newer_is_found() {
        let mut world = World::new(None);
        world.watch(1, 10, Scope::all());
        assert_eq!(world.send(1, WatchEvent::Modified(here(11))).len(), 0);
        assert_eq!(world.send(1, WatchEvent::Modified(here(11))), ["sends revision 11 after revision 11"]);
        assert_eq!(world.send(1, WatchEvent::Bookmark(Revision(20))).len(), 0);
        assert_eq!(world.send(1, WatchEvent::Deleted(here(19))).len(), 1);
        // What its list had already shown.
        world.watch(2, 30, Scope::all());
        assert_eq!(world.send(2, WatchEvent::Added(here(30))).len(), 1);
    }

    #[test]
    fn streams_are_told_apart_and_forgotten_with_their_connection() {
        let mut world = World::new(None);
        world.watch(1, 10, Scope::all());
        world.watch(2, 5, Scope::all());
        assert_eq!(world.send(1, WatchEvent::Modified(here(12))).len(), 0);
        assert_eq!(world.send(2, WatchEvent::Modified(here(12))).len(), 0);
        world.streams.closed(CONN);
        assert_eq!(world.send(1, WatchEvent::Modified(here(3))).len(), 0);
        assert!(world.streams.streams.is_empty());
    }

    #[test]
    fn a_skipped_revision_that_matches_is_found_and_one_that_does_not_is_none() {
        let on_node = || Scope::on_node(&Name::new("n1"));
        let mut world = World::new(five());
        world.watch(1, 1, on_node());
        assert_eq!(world.send(1, WatchEvent::Modified(here(3))).len(), 0, "2 was elsewhere");
        assert_eq!(world.send(1, WatchEvent::Deleted(here(5))).len(), 0);
        world.watch(2, 1, on_node());
        assert_eq!(world.send(2, WatchEvent::Deleted(here(5))), ["skips revision 3, a change of Pod default/a, and is at revision 5"]);
        world.watch(3, 3, Scope::all());
        assert_eq!(world.send(3, WatchEvent::Bookmark(Revision(3))).len(), 0);
        assert_eq!(world.send(3, WatchEvent::Bookmark(Revision(5))).len(), 2, "a bookmark passes over 4 and 5");
    }

    #[test]
    fn an_event_that_the_store_did_not_make_is_found() {
        for (event, wrong) in [
            (WatchEvent::Modified(here(3)), 0),
            (WatchEvent::Added(here(3)), 1),
            (WatchEvent::Deleted(here(3)), 1),
            (WatchEvent::Modified(pod("a", Some("n9"), 3)), 1),
            (WatchEvent::Modified(pod("c", Some("n1"), 3)), 1),
        ] {
            let mut world = World::new(five());
            world.watch(1, 2, Scope::all());
            assert_eq!(world.send(1, event.clone()).len(), wrong, "{event:?}");
        }
    }

    #[test]
    fn a_stream_from_revision_0_begins_with_the_whole_state() {
        for (initial, wrong) in [(vec![pod("a", Some("n1"), 3), pod("b", Some("n2"), 4)], 0), (vec![pod("b", Some("n2"), 4)], 1)] {
            let mut world = World::new(five());
            world.watch(1, 0, Scope::all());
            world.step = 1;
            for stored in initial {
                assert_eq!(world.send(1, WatchEvent::Added(stored)).len(), 0);
            }
            world.step = 2;
            assert_eq!(world.send(1, WatchEvent::Deleted(here(5))).len(), wrong);
        }
    }

    #[test]
    fn streams_of_a_member_are_held_against_the_store_too() {
        let changes = |revisions: &[u64]| {
            let events = revisions.iter().map(|revision| match revision {
                2 | 4 => event(&pod("b", Some("n2"), *revision), false),
                _ => event(&here(*revision), *revision == 5),
            });
            Answer::WatchEvents(events.collect())
        };
        for (sent, wrong) in [(vec![2, 3, 4, 5], 0), (vec![2, 4, 5], 1), (vec![2, 3, 3, 4, 5], 1), (vec![3, 2, 4, 5], 2), (vec![2, 3], 0)] {
            let mut world = World::new(five());
            world.watch_store(2);
            let one_by_one: usize = sent.iter().map(|revision| world.send_store(5, changes(&[*revision])).len()).sum();
            assert_eq!(one_by_one, wrong, "{sent:?}");
        }
        let mut world = World::new(five());
        world.watch_store(4);
        assert_eq!(world.send_store(5, changes(&[4])).len(), 0);
        assert_eq!(world.send_store(5, Answer::WatchProgress).len(), 1, "progress passes over 5");
    }
}
