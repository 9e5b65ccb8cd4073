//! One reflector of a session: what to ask for next, and what an answer means (client-go `tools/cache/reflector.go`). It decides; the
//! session sends, and applies what comes to the cache.
//!
//! LIST, then WATCH from the list's revision. A watch that ends is asked for again from the last revision seen. Back-off and then a new
//! LIST follow a failed list, a watch that expired, ended with another error or within a second without an event, and one whose silent
//! connection was given up (client-go reports that as a decoding error). Only a 429 backs off and watches again.
//!
//! Left out: WatchList streams (`sendInitialEvents`), paging, resync without I/O (whoever wants it walks the cache), and waiting for the
//! client's rate limiter.

use super::backoff::Backoff;
use crate::base::{Cause, Duration, Revision, Stream, Time};
use crate::objects::Kind;
use crate::wire::CloseReason;
use crate::wire::api::{ApiError, Reason, Scope, Verb};

/// client-go asks the server to end a watch after a random time in [5, 10) min (`minWatchTimeout`), in whole seconds.
const WATCH_SECONDS_MIN: u64 = 300;

/// A watch that ends sooner than this without an event is an error ("very short watch").
const WATCH_SHORT: Duration = Duration::from_secs(1);

pub(super) struct Reflector {
    pub kind: Kind,
    pub scope: Scope,
    state: State,
    /// The last one seen: of a list, an event or a bookmark.
    revision: Revision,
    /// It has listed since it was started.
    listed: bool,
    backoff: Backoff,
    /// Why it will ask, or has asked.
    cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    List,
    Watch,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Stopped,
    /// Asks as soon as there is a connection.
    Ready(Ask),
    BackOff {
        until: Time,
        then: Ask,
    },
    Listing {
        id: u64,
    },
    Watching {
        id: u64,
        since: Time,
        events: bool,
    },
}

impl Reflector {
    pub fn new(kind: Kind, scope: Scope) -> Reflector {
        let (state, backoff) = (State::Stopped, Backoff::reflector());
        Reflector { kind, scope, state, revision: Revision::ZERO, listed: false, backoff, cause: Cause::NONE }
    }
    pub fn start(&mut self, cause: Cause) {
        *self = Reflector { state: State::Ready(Ask::List), cause, ..Reflector::new(self.kind, self.scope.clone()) };
    }
    pub fn stop(&mut self) {
        *self = Reflector::new(self.kind, self.scope.clone());
    }
    pub fn has_listed(&self) -> bool {
        self.listed
    }
    /// All up to here has been seen.
    pub fn revision(&self) -> Revision {
        self.revision
    }
    pub fn cause(&self) -> Cause {
        self.cause
    }
    /// Is `id` its request?
    pub fn awaits(&self, id: u64) -> bool {
        matches!(self.state, State::Listing { id: mine } | State::Watching { id: mine, .. } if mine == id)
    }
    /// What to send on an open connection as request `id`, if it is time.
    pub fn ask(&mut self, now: Time, id: u64, stream: &mut Stream) -> Option<Verb> {
        let State::Ready(ask) = self.state else { return None };
        let (kind, scope) = (self.kind, self.scope.clone());
        Some(match ask {
            Ask::List => {
                self.state = State::Listing { id };
                // The first list may come from any cache. A later one must not go back in time: upstream asks for "not older than the
                // last revision seen", which a consistent read always is.
                Verb::List { kind, scope, fresh: self.revision != Revision::ZERO }
            }
            Ask::Watch => {
                self.state = State::Watching { id, since: now, events: false };
                let timeout = Duration::from_secs(WATCH_SECONDS_MIN + stream.below(WATCH_SECONDS_MIN));
                Verb::Watch { kind, scope, from: self.revision, timeout }
            }
        })
    }
    /// Its list has come.
    pub fn listed(&mut self, revision: Revision) {
        self.revision = revision;
        self.listed = true;
        self.state = State::Ready(Ask::Watch);
    }
    /// An event or a bookmark of its watch has come.
    pub fn saw(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
        if let State::Watching { events, .. } = &mut self.state {
            *events = true;
        }
    }
    /// Its watch has ended in order, or with an error.
    pub fn ended(&mut self, now: Time, error: Option<&ApiError>, cause: Cause, stream: &mut Stream) {
        match error {
            None if self.was_short(now) => self.back_off(now, Ask::List, cause, stream),
            None => self.ready(Ask::Watch, cause),
            Some(error) => self.failed(now, error, cause, stream),
        }
    }
    /// Its list or watch was answered with an error.
    pub fn failed(&mut self, now: Time, error: &ApiError, cause: Cause, stream: &mut Stream) {
        let watches = matches!(self.state, State::Watching { .. });
        let then = if watches && error.reason == Reason::TooManyRequests { Ask::Watch } else { Ask::List };
        self.back_off(now, then, cause, stream);
    }
    /// The connection that carried its request is gone.
    pub fn disconnected(&mut self, now: Time, reason: CloseReason, cause: Cause, stream: &mut Stream) {
        match self.state {
            // A GET is sent again (client-go `rest/with_retry.go`).
            State::Listing { .. } => self.ready(Ask::List, cause),
            State::Watching { .. } if reason == CloseReason::TimedOut || self.was_short(now) => {
                self.back_off(now, Ask::List, cause, stream);
            }
            State::Watching { .. } => self.ready(Ask::Watch, cause),
            State::Stopped | State::Ready(_) | State::BackOff { .. } => {}
        }
    }
    /// Ends a back-off whose time has come.
    pub fn wake(&mut self, now: Time) {
        if let State::BackOff { until, then } = self.state
            && until <= now
        {
            self.state = State::Ready(then);
        }
    }
    pub fn deadline(&self) -> Time {
        if let State::BackOff { until, .. } = self.state { until } else { Time::NEVER }
    }

    fn was_short(&self, now: Time) -> bool {
        matches!(self.state, State::Watching { since, events: false, .. } if now.since(since) < WATCH_SHORT)
    }
    fn ready(&mut self, ask: Ask, cause: Cause) {
        self.cause = cause;
        self.state = State::Ready(ask);
    }
    fn back_off(&mut self, now: Time, then: Ask, cause: Cause, stream: &mut Stream) {
        self.cause = cause;
        self.state = State::BackOff { until: now + self.backoff.delay(now, stream), then };
    }
}
