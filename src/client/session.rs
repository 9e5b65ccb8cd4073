//! A client of the API: one connection to a server or the balancer, requests with ids, deadlines and rate limits, reflectors that fill
//! one [`Cache`].
//!
//! A request whose connection breaks or whose deadline passes is answered with `ConnectionLost` or `Timeout`: the outcome of a write is
//! then unknown, and only its sender can know what to do. Lists and watches of reflectors are repeated here (facts/controllers.md
//! section 1).

use super::cache::{Cache, Change};
use crate::base::{Cause, Duration, Revision, Stream, Time};
use crate::objects::{Kind, Stored};
use crate::wire::api::{Scope, Verb};
use crate::wire::{Address, ApiError, ClientMessage, Input, Outbox};

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The balancer, or one server.
    pub server: Address,
    /// (thousandths of a request per second, burst) of each limiter that requests may name by index. (0, 0): no limit.
    pub limits: Vec<(u64, u64)>,
    /// 0: none. How long a request may take before its sender gets `Timeout`.
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

/// See the module. `T` is the actor's own name for a request.
pub struct Session<T> {
    config: SessionConfig,
    cache: Cache,
    stream: Stream,
    tokens: std::marker::PhantomData<T>,
}

impl<T> Session<T> {
    /// `stream`: for back-off jitter and watch time-outs.
    pub fn new(config: SessionConfig, stream: Stream) -> Session<T> {
        Session { config, cache: Cache::default(), stream, tokens: std::marker::PhantomData }
    }
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
    /// Dials, and starts the reflectors. `send` may be used before: the session then dials on demand.
    pub fn start(&mut self, _now: Time, _out: &mut Outbox) {
        todo!()
    }
    pub fn is_synced(&self) -> bool {
        todo!()
    }
    /// Sends a request through limiter number `limiter`, now or when its turn comes. Carries the outbox's current cause.
    pub fn send(&mut self, _now: Time, _limiter: usize, _verb: Verb, _token: T, _out: &mut Outbox) {
        todo!()
    }
    /// Feeds an input; those of other connections and of the actor itself come back untouched.
    pub fn handle(
        &mut self,
        _now: Time,
        _input: Input<ClientMessage>,
        _out: &mut Outbox,
        _outputs: &mut Vec<SessionOutput<T>>,
    ) -> Option<Input<ClientMessage>> {
        todo!()
    }
    /// Time-outs, rate-limited sends, reconnects, relists. Call it at `Wake`, after `handle`.
    pub fn wake(&mut self, _now: Time, _out: &mut Outbox, _outputs: &mut Vec<SessionOutput<T>>) {
        todo!()
    }
    pub fn deadline(&self) -> Time {
        todo!()
    }
    /// Drops the connection, all requests and the cache, without answers: a manager that lost its lead.
    pub fn stop(&mut self, _out: &mut Outbox) {
        todo!()
    }
}
