//! A client of the API: one connection to a server or the balancer, requests with ids, deadlines and rate limits, reflectors that fill
//! one [`Cache`].
//!
//! A request whose connection breaks or whose deadline passes is answered with `ConnectionLost` or `Timeout`: the outcome of a write is
//! then unknown, and only its sender can know what to do. Sent again here are only lists and watches of reflectors (`reflector.rs`) and
//! what the server refused with a `Retry-After` (429 and 5xx, up to 10 times: client-go `rest/with_retry.go`). A request without a
//! connection waits for one until its deadline.
//!
//! The connection is dialled at once when one is lost on which the server had spoken, else after a back-off (client-go dials with the
//! next request, and its reflectors back off so when they are refused: `tools/cache/reflector.go`).
//!
//! Invariants: every `send` is answered once, unless `stop` comes between; a request in `requests` waits in exactly one place: its
//! limiter's queue, `unsent`, a retry timer, or the server.

use std::collections::{BTreeSet, VecDeque};

use super::backoff::Backoff;
use super::cache::{Cache, Change};
use super::limiter::TokenBucket;
use super::reflector::Reflector;
use crate::base::{Cause, Duration, Map, Revision, Stream, Time};
use crate::objects::{Kind, Stored};
use crate::wire::api::{ApiRequest, ApiResponse, Body, Reason, Scope, Verb, WatchEvent};
use crate::wire::{Address, ApiError, ClientMessage, CloseReason, Conn, Input, KeepAlive, Message, Outbox};

/// client-go `rest/with_retry.go`, maxRetries.
const RETRIES_MAX: u8 = 10;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The balancer, or one server.
    pub server: Address,
    /// (thousandths of a request per second, burst) of each limiter that requests may name by index. (0, 0): no limit. Reflectors pass
    /// by them.
    pub limits: Vec<(u64, u64)>,
    /// 0: none. How long a request may take before its sender gets `Timeout`, counted from when its limiter let it through (as
    /// `rest.Config.Timeout` is). It holds for the lists of reflectors too.
    pub timeout: Duration,
    /// What reflectors keep in the cache.
    pub reflect: Vec<(Kind, Scope)>,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    Object(Stored),
    Done,
    List { revision: Revision, items: Vec<Stored> },
}

/// What a session hands to its actor.
#[derive(Debug)]
pub enum SessionOutput<T> {
    /// The answer to `send`. `cause` is that of the answer if it has one, else of the request.
    Answer { token: T, cause: Cause, result: Result<Reply, ApiError> },
    /// The cache has changed (already applied).
    Change(Change),
    /// Every reflector has listed: the cache is complete for the first time since `start`.
    Synced,
}

/// A cache and, for each reflector that has listed: of what kind and scope it is, and up to which revision it has seen all.
pub struct Informers<'a> {
    pub cache: &'a Cache,
    pub reflected: Vec<(Kind, &'a Scope, Revision)>,
}

/// See the module. `T` is the actor's own name for a request.
pub struct Session<T> {
    config: SessionConfig,
    cache: Cache,
    stream: Stream,
    started: bool,
    synced: bool,
    link: Link,
    dial_backoff: Backoff,
    /// Connections that `stop` closed and of which something may still come.
    retired: Vec<Conn>,
    next_id: u64,
    requests: Map<u64, Request<T>>,
    /// Let through by their limiters, without a connection. May name requests that have timed out.
    unsent: VecDeque<u64>,
    limiters: Vec<Limiter>,
    /// Deadlines and retries of requests, deadlines of lists. What is over before its time is found to be so when it comes.
    timers: BTreeSet<(Time, u64)>,
    reflectors: Vec<Reflector>,
    /// The earliest end of a reflector's back-off.
    reflectors_deadline: Time,
    /// The earliest token that a limiter's queue waits for.
    limiters_deadline: Time,
}

/// The connection.
enum Link {
    Idle,
    BackOff {
        until: Time,
        cause: Cause,
    },
    Dialing(Conn),
    /// `heard`: the server has said something on it.
    Open {
        conn: Conn,
        heard: bool,
    },
}

struct Request<T> {
    token: T,
    verb: Verb,
    cause: Cause,
    limiter: usize,
    timeout: Duration,
    /// `NEVER` until its limiter has let it through, and without a time-out.
    deadline: Time,
    retries: u8,
    /// When to send it again; `NEVER` if it is not waiting for that.
    retry_at: Time,
    /// It is with the server.
    sent: bool,
}

struct Limiter {
    /// `None`: no limit.
    bucket: Option<TokenBucket>,
    queue: VecDeque<u64>,
}

impl<T> Session<T> {
    /// `stream`: for back-off jitter and watch time-outs.
    pub fn new(config: SessionConfig, stream: Stream) -> Session<T> {
        let limiter = |&(rate_milli, burst): &(u64, u64)| Limiter {
            bucket: ((rate_milli, burst) != (0, 0)).then(|| TokenBucket::new(rate_milli, burst)),
            queue: VecDeque::new(),
        };
        Session {
            limiters: config.limits.iter().map(limiter).collect(),
            reflectors: config.reflect.iter().map(|(kind, scope)| Reflector::new(*kind, scope.clone())).collect(),
            config,
            cache: Cache::default(),
            stream,
            started: false,
            synced: false,
            link: Link::Idle,
            dial_backoff: Backoff::reflector(),
            retired: Vec::new(),
            next_id: 1,
            requests: Map::default(),
            unsent: VecDeque::new(),
            timers: BTreeSet::new(),
            reflectors_deadline: Time::NEVER,
            limiters_deadline: Time::NEVER,
        }
    }
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
    /// The cache and what it is said to hold.
    pub fn informers(&self) -> Informers<'_> {
        let listed = self.reflectors.iter().filter(|reflector| reflector.has_listed());
        let reflected = listed.map(|reflector| (reflector.kind, &reflector.scope, reflector.revision())).collect();
        Informers { cache: &self.cache, reflected }
    }
    /// Dials, and starts the reflectors. `send` may be used before: the session then dials on demand.
    pub fn start(&mut self, now: Time, out: &mut Outbox) {
        if self.started {
            return;
        }
        self.started = true;
        for reflector in &mut self.reflectors {
            reflector.start(out.cause());
        }
        self.dial_if_idle(out);
        self.ask(now, out);
    }
    /// Every reflector has listed since `start`.
    pub fn is_synced(&self) -> bool {
        self.synced
    }
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Open { .. })
    }
    /// How many requests have no answer yet.
    pub fn pending(&self) -> usize {
        self.requests.len()
    }
    /// Sends a request through limiter number `limiter`, now or when its turn comes. Carries the outbox's current cause.
    pub fn send(&mut self, now: Time, limiter: usize, verb: Verb, token: T, out: &mut Outbox) {
        self.send_within(now, limiter, verb, self.config.timeout, token, out);
    }
    /// `send` with a time-out of its own (0: none), as a client of another configuration would have.
    pub fn send_within(&mut self, now: Time, limiter: usize, verb: Verb, timeout: Duration, token: T, out: &mut Outbox) {
        assert!(limiter < self.limiters.len(), "limiter {limiter} of {}", self.limiters.len());
        let (id, cause) = (self.new_id(), out.cause());
        let (deadline, retry_at) = (Time::NEVER, Time::NEVER);
        self.requests.insert(id, Request { token, verb, cause, limiter, timeout, deadline, retries: 0, retry_at, sent: false });
        self.limit(now, id, out);
    }
    /// The whole step of an actor that has no other connections: starts at `Boot`, feeds every other input, goes on at `Wake`.
    pub fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        if let Input::Boot(_) = input {
            return self.start(now, out);
        }
        let wake = matches!(input, Input::Wake);
        self.handle(now, input, out, outputs);
        if wake {
            self.wake(now, out, outputs);
        }
    }
    /// Feeds an input; those of other connections and of the actor itself come back untouched.
    pub fn handle(
        &mut self,
        now: Time,
        input: Input<ClientMessage>,
        out: &mut Outbox,
        outputs: &mut Vec<SessionOutput<T>>,
    ) -> Option<Input<ClientMessage>> {
        let conn = match &input {
            Input::Opened(conn) | Input::Refused(conn) | Input::Data(conn, _) | Input::Closed(conn, _) => *conn,
            Input::Blocked(conn) | Input::Writable(conn) => *conn,
            _ => return Some(input),
        };
        if !self.owns(conn) {
            if !self.retired.contains(&conn) {
                return Some(input);
            }
            if matches!(input, Input::Refused(_) | Input::Closed(..)) {
                self.retired.retain(|retired| *retired != conn);
            }
            return None;
        }
        let cause = out.cause();
        match input {
            Input::Opened(_) => self.opened(now, conn, out, outputs),
            Input::Refused(_) => self.disconnected(now, CloseReason::Reset, out, outputs),
            Input::Closed(_, reason) => self.disconnected(now, reason, out, outputs),
            Input::Data(_, response) => {
                self.link = Link::Open { conn, heard: true };
                self.respond(now, *response, out, outputs);
            }
            // Requests are small beside what makes a connection block, and each of them must go.
            _ => {}
        }
        out.because(cause);
        None
    }
    /// Is this the session's connection? Its inputs are for `handle`.
    pub fn owns(&self, conn: Conn) -> bool {
        matches!(self.link, Link::Dialing(mine) | Link::Open { conn: mine, .. } if mine == conn)
    }
    /// Time-outs, rate-limited sends, reconnects, relists. Call it at `Wake`, after `handle`.
    pub fn wake(&mut self, now: Time, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        if now < self.deadline() {
            return;
        }
        let cause = out.cause();
        if let Link::BackOff { until, cause } = self.link
            && until <= now
        {
            out.because(cause);
            self.dial(out);
        }
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let (at, id) = self.timers.pop_first().expect("there is a first one");
            self.timer(now, at, id, out, outputs);
        }
        if self.limiters_deadline <= now {
            self.let_through(now, out);
        }
        if self.reflectors_deadline <= now {
            self.reflectors.iter_mut().for_each(|reflector| reflector.wake(now));
            self.ask(now, out);
        }
        out.because(cause);
    }
    pub fn deadline(&self) -> Time {
        let dial = if let Link::BackOff { until, .. } = self.link { until } else { Time::NEVER };
        let timer = self.timers.first().map_or(Time::NEVER, |(at, _)| *at);
        dial.min(timer).min(self.limiters_deadline).min(self.reflectors_deadline)
    }
    /// Drops the connection, all requests and the cache, without answers: a manager that lost its lead.
    pub fn stop(&mut self, out: &mut Outbox) {
        if let Link::Dialing(conn) | Link::Open { conn, .. } = self.link {
            out.close(conn);
            self.retired.push(conn);
        }
        self.link = Link::Idle;
        self.started = false;
        self.synced = false;
        self.cache = Cache::default();
        self.requests.clear();
        self.unsent.clear();
        self.timers.clear();
        self.limiters.iter_mut().for_each(|limiter| limiter.queue.clear());
        self.limiters_deadline = Time::NEVER;
        self.reflectors.iter_mut().for_each(Reflector::stop);
        self.reflectors_deadline = Time::NEVER;
    }

    // The connection.

    fn dial_if_idle(&mut self, out: &mut Outbox) {
        if matches!(self.link, Link::Idle) {
            self.dial(out);
        }
    }
    fn dial(&mut self, out: &mut Outbox) {
        self.link = Link::Dialing(out.dial(self.config.server, KeepAlive::HTTP2));
    }
    fn opened(&mut self, now: Time, conn: Conn, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        self.link = Link::Open { conn, heard: false };
        for id in std::mem::take(&mut self.unsent) {
            self.write(id, out);
        }
        self.ask(now, out);
        self.tell_if_synced(outputs);
    }
    fn disconnected(&mut self, now: Time, reason: CloseReason, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        let fault = out.cause();
        let heard = matches!(self.link, Link::Open { heard: true, .. });
        let mut lost: Vec<u64> = self.requests.iter().filter(|(_, request)| request.sent).map(|(id, _)| *id).collect();
        lost.sort_unstable();
        for id in lost {
            let error = ApiError::new(Reason::ConnectionLost, "the connection was lost before the answer came");
            self.answer(id, Err(error), outputs);
        }
        for reflector in &mut self.reflectors {
            reflector.disconnected(now, reason, fault, &mut self.stream);
        }
        self.reflectors_deadline = self.reflectors.iter().map(Reflector::deadline).min().unwrap_or(Time::NEVER);
        if !self.started && !self.unsent.iter().any(|id| self.requests.contains_key(id)) {
            self.link = Link::Idle;
        } else if heard {
            self.dial(out);
        } else {
            let until = now + self.dial_backoff.delay(now, &mut self.stream);
            self.link = Link::BackOff { until, cause: fault };
        }
    }

    // Requests.

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
    /// Hands a request to its limiter.
    fn limit(&mut self, now: Time, id: u64, out: &mut Outbox) {
        let limiter = &mut self.limiters[self.requests[&id].limiter];
        let passes = limiter.queue.is_empty() && limiter.bucket.as_mut().is_none_or(|bucket| bucket.try_take(now));
        if passes {
            self.pass(now, id, out);
        } else {
            limiter.queue.push_back(id);
            self.limiters_deadline = self.limiters_deadline.min(limiter.next(now));
        }
    }
    /// Lets through what the limiters now allow.
    fn let_through(&mut self, now: Time, out: &mut Outbox) {
        for index in 0..self.limiters.len() {
            while let Some(id) = self.limiters[index].take(now) {
                self.pass(now, id, out);
            }
        }
        self.limiters_deadline = self.limiters.iter().map(|limiter| limiter.next(now)).min().unwrap_or(Time::NEVER);
    }
    /// A request has its token: its time runs, and it goes out as soon as there is a connection.
    fn pass(&mut self, now: Time, id: u64, out: &mut Outbox) {
        // It may have timed out while it waited for another turn.
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.deadline == Time::NEVER && request.timeout != Duration::ZERO {
            request.deadline = now + request.timeout;
            self.timers.insert((request.deadline, id));
        }
        if self.is_connected() {
            let cause = out.cause();
            self.write(id, out);
            out.because(cause);
        } else {
            self.unsent.push_back(id);
            self.dial_if_idle(out);
        }
    }
    /// Writes a request to the open connection, unless it has timed out.
    fn write(&mut self, id: u64, out: &mut Outbox) {
        let Link::Open { conn, .. } = self.link else { unreachable!("requests are written on an open connection") };
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.sent = true;
        out.because(request.cause);
        out.write(conn, Message::ApiRequest(Box::new(ApiRequest { id, verb: request.verb.clone() })));
    }
    fn timer(&mut self, now: Time, at: Time, id: u64, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        let Some(request) = self.requests.get_mut(&id) else { return self.list_timed_out(now, id) };
        if request.deadline == at {
            let text = if request.sent { "no answer came in time" } else { "there was no connection in time" };
            self.answer(id, Err(ApiError::new(Reason::Timeout, text)), outputs);
        } else if request.retry_at == at {
            request.retry_at = Time::NEVER;
            self.limit(now, id, out);
        }
    }
    fn respond(&mut self, now: Time, response: ApiResponse, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        let ApiResponse { id, body } = response;
        if let Some(index) = self.reflectors.iter().position(|reflector| reflector.awaits(id)) {
            return self.reflect(now, index, body, out, outputs);
        }
        let result = match body {
            Body::Object(stored) => Ok(Reply::Object(stored)),
            Body::Done => Ok(Reply::Done),
            Body::List { revision, items } => Ok(Reply::List { revision, items }),
            Body::Error(error) if self.retries(now, id, &error) => return,
            Body::Error(error) => Err(error),
            // Of a watch that is no longer waited for.
            Body::Watch(_) => return,
        };
        self.answer(id, result, outputs);
    }
    /// Is this refused request sent again later?
    fn retries(&mut self, now: Time, id: u64, error: &ApiError) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        let Some(after) = error.retry_after.filter(|after| *after != Duration::ZERO) else { return false };
        let code = error.reason.code();
        if !(code == 429 || code >= 500) || request.retries == RETRIES_MAX || request.deadline <= now + after {
            return false;
        }
        request.retries += 1;
        request.sent = false;
        request.retry_at = now + after;
        self.timers.insert((request.retry_at, id));
        true
    }
    /// Answers a request, if it has not been answered before.
    fn answer(&mut self, id: u64, result: Result<Reply, ApiError>, outputs: &mut Vec<SessionOutput<T>>) {
        let Some(request) = self.requests.remove(&id) else { return };
        if request.deadline != Time::NEVER {
            self.timers.remove(&(request.deadline, id));
        }
        let cause = match &result {
            Ok(Reply::Object(stored)) if is_write(&request.verb) => stored.because(),
            _ => request.cause,
        };
        outputs.push(SessionOutput::Answer { token: request.token, cause, result });
    }

    // Reflectors.

    /// Sends what reflectors want to ask, and notes when the next one wants to.
    fn ask(&mut self, now: Time, out: &mut Outbox) {
        self.reflectors_deadline = Time::NEVER;
        let before = out.cause();
        for reflector in &mut self.reflectors {
            if let Link::Open { conn, .. } = self.link
                && let Some(verb) = reflector.ask(now, self.next_id, &mut self.stream)
            {
                let id = self.next_id;
                self.next_id += 1;
                if matches!(verb, Verb::List { .. }) && self.config.timeout != Duration::ZERO {
                    self.timers.insert((now + self.config.timeout, id));
                }
                out.because(reflector.cause());
                out.write(conn, Message::ApiRequest(Box::new(ApiRequest { id, verb })));
            }
            self.reflectors_deadline = self.reflectors_deadline.min(reflector.deadline());
        }
        out.because(before);
    }
    fn list_timed_out(&mut self, now: Time, id: u64) {
        if let Some(reflector) = self.reflectors.iter_mut().find(|reflector| reflector.awaits(id)) {
            let error = ApiError::new(Reason::Timeout, "no answer came in time");
            reflector.failed(now, &error, reflector.cause(), &mut self.stream);
            self.reflectors_deadline = self.reflectors_deadline.min(reflector.deadline());
        }
    }
    /// What came for a reflector.
    fn reflect(&mut self, now: Time, index: usize, body: Body, out: &mut Outbox, outputs: &mut Vec<SessionOutput<T>>) {
        let reflector = &mut self.reflectors[index];
        match body {
            Body::Watch(WatchEvent::Added(stored) | WatchEvent::Modified(stored)) => {
                reflector.saw(stored.revision);
                outputs.extend(self.cache.put(stored).map(SessionOutput::Change));
            }
            Body::Watch(WatchEvent::Deleted(last)) => {
                reflector.saw(last.revision);
                outputs.extend(self.cache.remove(&last).map(SessionOutput::Change));
            }
            Body::Watch(WatchEvent::Bookmark(revision)) => reflector.saw(revision),
            Body::Watch(WatchEvent::End(error)) => {
                reflector.ended(now, error.as_ref(), out.cause(), &mut self.stream);
                self.ask(now, out);
            }
            Body::Error(error) => {
                reflector.failed(now, &error, out.cause(), &mut self.stream);
                self.ask(now, out);
            }
            Body::List { revision, items } => {
                let (kind, cause) = (reflector.kind, reflector.cause().or(out.cause()));
                let change = |change| outputs.push(SessionOutput::Change(change));
                self.cache.replace(kind, &reflector.scope, items, revision, cause, change);
                reflector.listed(revision);
                self.ask(now, out);
                self.tell_if_synced(outputs);
            }
            Body::Object(_) | Body::Done => {
                let error = ApiError::new(Reason::InternalError, "a list was answered with something else");
                reflector.failed(now, &error, out.cause(), &mut self.stream);
                self.ask(now, out);
            }
        }
    }
    fn tell_if_synced(&mut self, outputs: &mut Vec<SessionOutput<T>>) {
        if self.started && !self.synced && self.reflectors.iter().all(Reflector::has_listed) {
            self.synced = true;
            outputs.push(SessionOutput::Synced);
        }
    }
}

impl Limiter {
    /// The first in the queue, if there is a token for it.
    fn take(&mut self, now: Time) -> Option<u64> {
        self.queue.front()?;
        self.bucket.as_mut().is_none_or(|bucket| bucket.try_take(now)).then(|| self.queue.pop_front()).flatten()
    }
    /// When the first in the queue will have its token.
    fn next(&self, now: Time) -> Time {
        match &self.bucket {
            Some(bucket) if !self.queue.is_empty() => bucket.next_token(now),
            _ => Time::NEVER,
        }
    }
}

fn is_write(verb: &Verb) -> bool {
    !matches!(verb, Verb::Get { .. } | Verb::List { .. } | Verb::Watch { .. } | Verb::CancelWatch { .. })
}

#[cfg(test)]
mod tests;
