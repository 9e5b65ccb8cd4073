//! The server as an actor: its life, its clients, reads and watches.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Config;
use super::admission::{INITIAL_NAMESPACES, Specs};
use super::compaction::Compaction;
use super::transaction::Write;
use super::watch_cache::{self, KindCache};
use super::watchers::{Watcher, WatcherId, Watchers, seen_by};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Map, Name, Revision, Stream, Time, stable_hash};
use crate::client::{EtcdClient, EtcdOutput};
use crate::objects::{Key, Kind, Meta, Namespace, Stored, Uid};
use crate::wire::api::{Body, Reason, Scope, Verb, WatchEvent};
use crate::wire::etcd::{Answer, EtcdError, KeyRange, Operation, Range, Response, WatchEvent as StoreEvent};
use crate::wire::{
    Actor, ApiError, ApiRequest, ApiResponse, Boot, Conn, Input, Member, Message, Outbox, Server, ServerMessage, Work, WorkId,
};

/// How long a list waits for the cache to reach etcd's revision (upstream `storage/cacher`, blockTimeout 3 s).
const FRESHNESS_LIMIT: Duration = Duration::from_secs(3);
/// How often progress is asked for while a list waits (upstream `progressRequestPeriod`, 100 ms).
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);
/// How long a client's connection may stay blocked before it is closed. Upstream ends a watcher whose buffer (10 to 1000 events) is full
/// after at most 100 ms of dispatch time-out; a connection that takes nothing for a second is past that at any busy time.
const BLOCKED_LIMIT: Duration = Duration::from_secs(1);
/// Between attempts to list a kind (upstream reflector back-off: first 800 ms).
const RETRY_PERIOD: Duration = Duration::from_millis(800);
/// Lists above this many objects take the machine's time (`Work::List`).
const HEAVY_LIST: usize = 500;
/// What a refused client is told to wait (upstream `Retry-After: 1`).
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An API server. See the room's docs.
pub struct ApiServer {
    pub(super) config: Config,
    me: Server,
    incarnation: Incarnation,
    pub(super) stream: Stream,
    pub(super) etcd: EtcdClient<Token>,
    kinds: [KindState; Kind::ALL.len()],
    ready: bool,
    clients: Map<Conn, Client>,
    watchers: Watchers,
    /// Reads that wait for etcd.
    reads: Map<u64, Read>,
    /// Lists that wait for the cache to reach a revision.
    waiting: Vec<(Revision, Read)>,
    /// A timer is armed that looks after them.
    looks_for_freshness: bool,
    /// Lists that wait for the machine.
    heavy: Map<WorkId, (Asker, Body)>,
    pub(super) writes: Map<u64, Write>,
    pub(super) next_number: u64,
    pub(super) specs: Specs,
    uids: u64,
    pub(super) compaction: Compaction,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
    outputs: Vec<EtcdOutput<Token>>,
    concerned: Vec<WatcherId>,
}

#[derive(Default)]
struct KindState {
    cache: KindCache,
    /// Etcd's watch behind it.
    watch: Option<u64>,
}

/// A client's connection.
#[derive(Default)]
struct Client {
    blocked_since: Option<Time>,
}

/// Whom to answer: connection, request, and why it asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub conn: Conn,
    pub id: u64,
    pub cause: Cause,
}

/// A read that waits.
struct Read {
    client: Asker,
    verb: Verb,
    since: Time,
}

/// What an answer of etcd is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    Fill(Kind),
    /// A fresh get, or the revision that a fresh list must reach.
    Read(u64),
    /// The namespace of a create that the cache doesn't know.
    Namespace(u64),
    /// The live version of a write's object.
    Live(u64),
    Txn(u64),
    CompactionTurn,
    Compact,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    Fill(Kind),
    Namespaces,
    Bookmark(WatcherId),
    WatchEnds(WatcherId),
    Blocked(Conn),
    Freshness,
    Compaction,
}

impl ApiServer {
    /// `stream` is this incarnation's own: name suffixes, cluster IPs, watch time-outs, the etcd client's choices.
    pub fn new(config: Config, me: Server, members: Vec<Member>, mut stream: Stream) -> ApiServer {
        let etcd_stream = Seed(stream.next_u64()).stream("etcd client");
        ApiServer {
            config,
            me,
            incarnation: Incarnation::default(),
            stream,
            etcd: EtcdClient::new(members, etcd_stream),
            kinds: Default::default(),
            ready: false,
            clients: Map::default(),
            watchers: Watchers::default(),
            reads: Map::default(),
            waiting: Vec::new(),
            looks_for_freshness: false,
            heavy: Map::default(),
            writes: Map::default(),
            next_number: 0,
            specs: Specs::default(),
            uids: 0,
            compaction: Compaction::default(),
            timers: BinaryHeap::new(),
            outputs: Vec::new(),
            concerned: Vec::new(),
        }
    }
    /// Has it listed every kind, so that it serves?
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Actor for ApiServer {
    type Message = ServerMessage;

    fn step(&mut self, now: Time, input: Input<ServerMessage>, out: &mut Outbox) {
        if let Input::Boot(boot) = input {
            return self.boot(now, &boot, out);
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        match self.etcd.handle(now, input, out, &mut outputs) {
            None => {}
            Some(Input::Wake) => {
                self.etcd.wake(now, out, &mut outputs);
                self.fire(now, out);
            }
            Some(Input::Accepted(conn, _)) => {
                self.clients.insert(conn, Client::default());
            }
            Some(Input::Data(conn, ServerMessage::Client(request))) => self.request(now, conn, *request, out),
            Some(Input::Closed(conn, _)) => self.drop_client(conn),
            Some(Input::Blocked(conn)) => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.blocked_since = Some(now);
                    self.arm(now + BLOCKED_LIMIT, Timer::Blocked(conn));
                }
            }
            Some(Input::Writable(conn)) => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.blocked_since = None;
                }
            }
            Some(Input::Done(work)) => {
                if let Some((client, body)) = self.heavy.remove(&work) {
                    self.reply(client, client.cause, body, out);
                }
            }
            // Nothing else is this server's: late news of connections that it has given up.
            Some(_) => {}
        }
        for output in outputs.drain(..) {
            self.etcd_output(now, output, out);
        }
        self.outputs = outputs;
    }

    fn deadline(&self) -> Time {
        let timer = self.timers.peek().map_or(Time::NEVER, |Reverse((at, _))| *at);
        timer.min(self.etcd.deadline())
    }
}

impl ApiServer {
    fn boot(&mut self, now: Time, boot: &Boot, out: &mut Outbox) {
        self.incarnation = boot.incarnation;
        out.health(false);
        self.etcd.start(now, out);
        for kind in Kind::served(self.config.volumes) {
            self.fill(now, *kind, out);
        }
        self.arm(now + self.config.compaction_interval, Timer::Compaction);
    }

    pub(super) fn arm(&mut self, at: Time, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
    pub(super) fn cache(&self, kind: Kind) -> &KindCache {
        &self.kinds[kind as usize].cache
    }
    /// The newest version that the cache knows; `None` also while it is not filled.
    pub(super) fn cached(&self, key: &Key) -> Option<&Stored> {
        let cache = self.cache(key.kind());
        if cache.is_filled() { cache.get(key) } else { None }
    }
    /// A uid that no other object has: of server, life and count, in the form of a version-4 UUID.
    pub(super) fn new_uid(&mut self) -> Uid {
        self.uids += 1;
        let half = |part: u8| stable_hash(&("uid", self.me, self.incarnation, self.uids, part));
        uid(half(0), half(1))
    }

    fn fire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            out.because(Cause::NONE);
            match timer {
                Timer::Fill(kind) => self.fill(now, kind, out),
                Timer::Namespaces => self.create_namespaces(now, out),
                Timer::Bookmark(id) => self.bookmark(now, id, out),
                Timer::WatchEnds(id) => self.end_watch(id, out),
                Timer::Blocked(conn) => self.check_blocked(now, conn, out),
                Timer::Freshness => {
                    self.looks_for_freshness = false;
                    self.serve_waiting(now, None, out);
                }
                Timer::Compaction => self.compaction_turn(now, out),
            }
        }
    }

    // ----- the watch cache

    fn fill(&mut self, now: Time, kind: Kind, out: &mut Outbox) {
        let range = Range::of(KeyRange::Prefix(kind.prefix().into()));
        self.etcd.send(now, Operation::Range(range.into()), now + self.config.request_timeout, Token::Fill(kind), out);
    }
    fn filled(&mut self, now: Time, kind: Kind, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let Ok(Response { revision, result: Ok(Answer::Range(range)), .. }) = result else {
            return self.arm(now + RETRY_PERIOD, Timer::Fill(kind));
        };
        let watch = self.etcd.watch(now, KeyRange::Prefix(kind.prefix().into()), revision, out);
        let state = &mut self.kinds[kind as usize];
        state.cache.fill(&range.kvs, revision);
        state.watch = Some(watch);
        if !self.ready && self.all_filled() {
            self.create_namespaces(now, out);
            self.check_ready(out);
        }
        self.serve_waiting(now, Some(kind), out);
    }
    /// Etcd has compacted what the watch had still to tell. All who watch this kind must watch again.
    fn watch_lost(&mut self, now: Time, watch: u64, out: &mut Outbox) {
        let Some(kind) = self.kind_of(watch) else { return };
        let state = &mut self.kinds[kind as usize];
        state.watch = None;
        state.cache.invalidate();
        for id in self.watchers.of_kind(kind) {
            self.end_watch(id, out);
        }
        self.fill(now, kind, out);
    }
    fn kind_of(&self, watch: u64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.kinds[*kind as usize].watch == Some(watch))
    }
    fn all_filled(&self) -> bool {
        Kind::served(self.config.volumes).iter().all(|kind| self.kinds[*kind as usize].cache.is_filled())
    }
    /// Ready means: every kind is listed and the namespaces that every cluster has are there.
    fn check_ready(&mut self, out: &mut Outbox) {
        let namespaces = || INITIAL_NAMESPACES.iter().all(|name| self.cached(&Key::new(Kind::Namespace, "", name)).is_some());
        if !self.ready && self.all_filled() && namespaces() {
            self.ready = true;
            out.health(true);
        }
    }
    fn create_namespaces(&mut self, now: Time, out: &mut Outbox) {
        let mut missing = false;
        for name in INITIAL_NAMESPACES {
            if self.cached(&Key::new(Kind::Namespace, "", name)).is_none() {
                let object = Arc::new(Namespace { meta: Meta::named("", name), ..Namespace::default() }.into());
                self.begin_write(now, None, Verb::Create { object }, out);
                missing = true;
            }
        }
        if missing {
            // Another server may be faster, or etcd slow: look again.
            self.arm(now + self.config.request_timeout.min(Duration::from_secs(10)), Timer::Namespaces);
        }
    }

    fn store_events(&mut self, now: Time, watch: u64, events: &[StoreEvent], out: &mut Outbox) {
        let Some(kind) = self.kind_of(watch) else { return };
        let cache = &mut self.kinds[kind as usize].cache;
        for event in events {
            let Some(event) = cache.apply(now, event) else { continue };
            self.watchers.concerned(event, &mut self.concerned);
            for id in &self.concerned {
                let watcher = self.watchers.get_mut(*id).expect("indexed watchers exist");
                // A watcher of the future waits for it.
                if event.revision <= watcher.from {
                    continue;
                }
                if let Some(seen) = seen_by(event, &watcher.scope) {
                    watcher.sent = event.revision;
                    out.because(Cause::revision(event.revision));
                    out.write(watcher.conn, response(watcher.id, Body::Watch(seen)));
                }
            }
        }
        if kind == Kind::Namespace && !self.ready {
            self.check_ready(out);
        }
        self.serve_waiting(now, Some(kind), out);
    }

    fn etcd_output(&mut self, now: Time, output: EtcdOutput<Token>, out: &mut Outbox) {
        match output {
            EtcdOutput::Events { watch, events, .. } => self.store_events(now, watch, &events, out),
            EtcdOutput::Progress { watch, revision } => {
                if let Some(kind) = self.kind_of(watch) {
                    self.kinds[kind as usize].cache.advance(revision);
                    self.serve_waiting(now, Some(kind), out);
                }
            }
            EtcdOutput::Compacted { watch, .. } => self.watch_lost(now, watch, out),
            EtcdOutput::Answer { token, cause, result } => {
                out.because(cause);
                // One error, whether the member said so or nobody answered.
                let result = result.and_then(|response| match response.result {
                    Ok(_) => Ok(response),
                    Err(error) => Err(error),
                });
                match token {
                    Token::Fill(kind) => self.filled(now, kind, result, out),
                    Token::Read(number) => self.read_answered(now, number, result, out),
                    Token::Namespace(number) => self.namespace_answered(now, number, result, out),
                    Token::Live(number) => self.live_answered(now, number, result, out),
                    Token::Txn(number) => self.txn_answered(now, number, result, out),
                    Token::CompactionTurn => self.compaction_answered(now, result, out),
                    Token::Compact => {}
                }
            }
        }
    }

    // ----- clients

    pub(super) fn reply(&self, client: Asker, cause: Cause, body: Body, out: &mut Outbox) {
        if self.clients.contains_key(&client.conn) {
            out.because(cause);
            out.write(client.conn, response(client.id, body));
        }
    }

    fn request(&mut self, now: Time, conn: Conn, request: ApiRequest, out: &mut Outbox) {
        let client = Asker { conn, id: request.id, cause: out.cause() };
        if !self.ready {
            return self.reply(client, client.cause, Body::Error(unavailable()), out);
        }
        match request.verb {
            Verb::Get { ref key, fresh: false } if self.cache(key.kind()).is_filled() => {
                let body =
                    self.cache(key.kind()).get(key).map_or_else(|| Body::Error(ApiError::not_found(key)), |it| Body::Object(it.clone()));
                self.reply(client, client.cause, body, out);
            }
            Verb::Get { ref key, .. } => {
                let range = Range::one(key.path().clone());
                self.read(now, client, range, request.verb, out);
            }
            Verb::List { kind, ref scope, fresh: false } => self.list(client, kind, scope, out),
            Verb::List { kind, .. } => {
                // What counts is the revision in the answer's header: one key is enough to learn it.
                let range = Range { count_only: true, ..Range::one(kind.prefix().into()) };
                self.read(now, client, range, request.verb, out);
            }
            Verb::Watch { kind, scope, from, timeout } => self.watch(now, client, kind, scope, from, timeout, out),
            Verb::CancelWatch { watch } => {
                if let Some(id) = self.watchers.find(conn, watch) {
                    self.watchers.remove(id);
                }
            }
            verb => self.begin_write(now, Some(client), verb, out),
        }
    }

    fn read(&mut self, now: Time, client: Asker, range: Range, verb: Verb, out: &mut Outbox) {
        let number = self.number();
        self.reads.insert(number, Read { client, verb, since: now });
        self.etcd.send(now, Operation::Range(range.into()), now + self.config.request_timeout, Token::Read(number), out);
    }
    fn read_answered(&mut self, now: Time, number: u64, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let Some(read) = self.reads.remove(&number) else { return };
        let (revision, range) = match result {
            Ok(Response { revision, result: Ok(Answer::Range(range)), .. }) => (revision, range),
            Ok(other) => unreachable!("a range was answered with {other:?}"),
            Err(error) => return self.reply(read.client, read.client.cause, Body::Error(etcd_error(error)), out),
        };
        if let Verb::Get { key, .. } = &read.verb {
            let stored = range.kvs.first().and_then(watch_cache::stored);
            let body = stored.map_or_else(|| Body::Error(ApiError::not_found(key)), Body::Object);
            return self.reply(read.client, read.client.cause, body, out);
        }
        let &Verb::List { kind, .. } = &read.verb else { unreachable!("only gets and lists are read") };
        if self.cache(kind).revision() < revision {
            self.request_progress(now, kind, out);
        }
        self.waiting.push((revision, Read { since: now, ..read }));
        self.serve_waiting(now, Some(kind), out);
    }
    /// A kind in which nothing happens learns of etcd's revision only by asking.
    fn request_progress(&mut self, now: Time, kind: Kind, out: &mut Outbox) {
        if let Some(watch) = self.kinds[kind as usize].watch {
            self.etcd.request_progress(watch, out);
        }
        // One for all: were each of several kinds to arm its own, they would arm several each when they fire.
        if !std::mem::replace(&mut self.looks_for_freshness, true) {
            self.arm(now + PROGRESS_PERIOD, Timer::Freshness);
        }
    }
    /// Serves the lists whose revision the cache has reached; those that waited too long are refused (`None`: of every kind).
    fn serve_waiting(&mut self, now: Time, only: Option<Kind>, out: &mut Outbox) {
        if self.waiting.is_empty() {
            return;
        }
        let expired = only.is_none();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|(revision, read)| {
            let Verb::List { kind, scope, .. } = &read.verb else { unreachable!("only lists wait") };
            let cache = self.cache(*kind);
            if cache.is_filled() && cache.revision() >= *revision {
                self.list(read.client, *kind, scope, out);
                return false;
            }
            if expired && read.since + FRESHNESS_LIMIT <= now {
                let current = self.cache(*kind).revision();
                let why = format!("Timeout: Too large resource version: {revision}, current: {current}");
                let error = ApiError { retry_after: Some(RETRY_AFTER), ..ApiError::new(Reason::Timeout, why) };
                self.reply(read.client, read.client.cause, Body::Error(error), out);
                return false;
            }
            true
        });
        if expired {
            for kind in Kind::ALL {
                let waits = |(_, read): &&(Revision, Read)| matches!(read.verb, Verb::List { kind: wanted, .. } if wanted == kind);
                if let Some((_, read)) = waiting.iter().find(waits) {
                    out.because(read.client.cause);
                    self.request_progress(now, kind, out);
                }
            }
        }
        self.waiting = waiting;
    }
    fn list(&mut self, client: Asker, kind: Kind, scope: &Scope, out: &mut Outbox) {
        let cache = self.cache(kind);
        if !cache.is_filled() {
            return self.reply(client, client.cause, Body::Error(unavailable()), out);
        }
        let items = cache.list(kind, scope);
        let objects = items.len();
        let body = Body::List { revision: cache.revision(), items };
        if objects > HEAVY_LIST {
            out.because(client.cause);
            let work = out.compute(Work::List { objects: objects as u32 });
            self.heavy.insert(work, (client, body));
        } else {
            self.reply(client, client.cause, body, out);
        }
    }

    // ----- watches

    #[expect(clippy::too_many_arguments, reason = "a watch request has this many parts")]
    fn watch(&mut self, now: Time, client: Asker, kind: Kind, scope: Scope, from: Revision, timeout: Duration, out: &mut Outbox) {
        let cache = &self.kinds[kind as usize].cache;
        if !cache.is_filled() {
            return self.reply(client, client.cause, Body::Error(unavailable()), out);
        }
        let write = |out: &mut Outbox, event| out.write(client.conn, response(client.id, Body::Watch(event)));
        let mut sent = from;
        if from == Revision::ZERO {
            sent = cache.revision();
            for stored in cache.list(kind, &scope) {
                out.because(stored.because());
                write(out, WatchEvent::Added(stored));
            }
        } else if let Some(events) = cache.since(from) {
            for event in events {
                if let Some(seen) = seen_by(event, &scope) {
                    out.because(Cause::revision(event.revision));
                    write(out, seen);
                    sent = event.revision;
                }
            }
        } else {
            let why = format!("too old resource version: {from} ({})", cache.floor());
            return write(out, WatchEvent::End(Some(ApiError::new(Reason::Expired, why))));
        }
        let from = from.max(cache.revision());
        let timeout = if timeout == Duration::ZERO {
            self.stream.duration_between(self.config.min_request_timeout, self.config.min_request_timeout * 2)
        } else {
            timeout
        };
        let until = now + timeout;
        let id = self.watchers.add(Watcher { conn: client.conn, id: client.id, kind, scope, from, sent });
        self.arm(until, Timer::WatchEnds(id));
        self.arm(now + self.config.bookmark_period, Timer::Bookmark(id));
    }
    /// Tells a watcher how far it is, if it doesn't know.
    fn send_bookmark(&mut self, id: WatcherId, out: &mut Outbox) {
        let Some(watcher) = self.watchers.get_mut(id) else { return };
        let revision = self.kinds[watcher.kind as usize].cache.revision();
        let blocked = self.clients.get(&watcher.conn).is_none_or(|client| client.blocked_since.is_some());
        if revision > watcher.sent && !blocked {
            watcher.sent = revision;
            out.write(watcher.conn, response(watcher.id, Body::Watch(WatchEvent::Bookmark(revision))));
        }
    }
    fn bookmark(&mut self, now: Time, id: WatcherId, out: &mut Outbox) {
        if self.watchers.get(id).is_some() {
            self.send_bookmark(id, out);
            self.arm(now + self.config.bookmark_period, Timer::Bookmark(id));
        }
    }
    /// Its time is over: a last bookmark, so that the client goes on from there.
    fn end_watch(&mut self, id: WatcherId, out: &mut Outbox) {
        self.send_bookmark(id, out);
        if let Some(watcher) = self.watchers.remove(id) {
            out.write(watcher.conn, response(watcher.id, Body::Watch(WatchEvent::End(None))));
        }
    }
    fn check_blocked(&mut self, now: Time, conn: Conn, out: &mut Outbox) {
        let since = self.clients.get(&conn).and_then(|client| client.blocked_since);
        if since.is_some_and(|since| since + BLOCKED_LIMIT <= now) {
            out.close(conn);
            self.drop_client(conn);
        }
    }
    fn drop_client(&mut self, conn: Conn) {
        self.clients.remove(&conn);
        self.watchers.remove_conn(conn);
        self.waiting.retain(|(_, read)| read.client.conn != conn);
    }
}

pub(super) fn response(id: u64, body: Body) -> Message {
    Message::ApiResponse(Box::new(ApiResponse { id, body }))
}

fn unavailable() -> ApiError {
    let why = "the server is currently unable to handle the request";
    ApiError { retry_after: Some(RETRY_AFTER), ..ApiError::new(Reason::ServiceUnavailable, why) }
}

/// What a client is told when etcd fails. Nobody knows then whether a write took effect.
pub(super) fn etcd_error(error: EtcdError) -> ApiError {
    match error {
        EtcdError::Timeout => ApiError::new(
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        EtcdError::TooLarge => ApiError::new(Reason::BadRequest, "etcdserver: request is too large"),
        EtcdError::NoSpace => ApiError::new(Reason::InternalError, "etcdserver: mvcc: database space exceeded"),
        EtcdError::TooManyRequests => {
            ApiError { retry_after: Some(RETRY_AFTER), ..ApiError::new(Reason::TooManyRequests, "etcdserver: too many requests") }
        }
        EtcdError::NoLeader => ApiError::new(Reason::InternalError, "etcdserver: no leader"),
        EtcdError::LeaderChanged => ApiError::new(Reason::InternalError, "etcdserver: leader changed"),
        other => ApiError::new(Reason::InternalError, format!("etcdserver: {other:?}")),
    }
}

/// 128 bits as a UUID of version 4.
pub(super) fn uid(high: u64, low: u64) -> Uid {
    let groups = (high >> 32, high >> 16 & 0xffff, high & 0xfff, low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
    Name::from(format!("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", groups.0, groups.1, groups.2, groups.3, groups.4))
}
