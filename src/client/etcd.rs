//! The etcd client: a connection to each endpoint, requests in turn over those that are open, retries where a retry is safe, watches that
//! move to another member when theirs is lost (etcd `client/v3/{retry_interceptor,retry,watch}.go`).
//!
//! A request waits while no connection is open. What only reads is sent again, to the next member, when its member is unavailable or its
//! connection breaks, until the deadline. A mutation is sent once: when its answer is lost the outcome is unknown, and its sender gets
//! `Timeout`, as at the deadline. What a learner refuses was certainly not done, and goes to the next member, be it what it may. Whether a
//! read is linearizable or serializable is its sender's choice, and any member serves both. All watches are on one member, as those of one client share one gRPC stream.
//!
//! A member whose machine is lost or cut off costs time: requests in turn go to it until the connection is given up, 10 s after the first
//! write into it (`KeepAlive::ETCD_CLIENT`), and only then are those that may be repeated sent elsewhere. Within these 10 s a leader by
//! Lease whose requests meet that member twice in a row (each waits 5 s) loses its lead though all around it is well; the real one does so
//! too.
//!
//! Invariants: every `send` is answered once. A watch delivers each revision once and in order, across members: it goes on after the last
//! revision that it delivered or that a progress notification covered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smallvec::SmallVec;

use super::backoff::Backoff;
use crate::base::planted::{Bug, Planted};
use crate::base::{Agenda, Cause, Duration, Map, Revision, Stream, Time};
use crate::wire::etcd::{Answer, EtcdError, KeyRange, Operation, Request, Response, Watch, WatchEvent};
use crate::wire::{Address, Conn, Input, KeepAlive, Member, Message, Outbox, ServerMessage};

/// A repeated request waits so long, +-10 %, after each quorum of tries (etcd `client/v3/options.go`, defaultBackoffWaitBetween).
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// No more tries than this (defaultUnaryMaxRetries).
const TRIES_MAX: u32 = 100;
/// A watch that its member refuses is opened again after this, +-10 %: etcd `client/v3/watch.go` backs off up to 100 ms.
const WATCH_PAUSE: Duration = Duration::from_millis(100);

/// What the client hands to its actor.
#[derive(Debug)]
pub enum EtcdOutput<T> {
    /// The answer to `send`; `Timeout` when none came in time: a mutation's outcome is then unknown.
    Answer { token: T, cause: Cause, result: Result<Response, EtcdError> },
    /// Events of a watch: each revision once, in order, across reconnects. `revision` and `cause` are those of the last event.
    Events { watch: u64, events: Vec<WatchEvent>, revision: Revision, cause: Cause },
    /// All events up to `revision` have come.
    Progress { watch: u64, revision: Revision },
    /// The watch's start is compacted: list again. The watch is gone.
    Compacted { watch: u64, compact_revision: Revision },
}

/// See the module. A load has clients by the thousand, each of which is looked at once in a long while: what each request needs lies
/// together, the rest elsewhere.
pub struct EtcdClient<T> {
    endpoints: Endpoints,
    stream: Box<Stream>,
    started: bool,
    /// The endpoint whose turn it is.
    turn: usize,
    next_id: u64,
    requests: Requests<T>,
    /// Wait for an open connection. May name requests that have timed out.
    unsent: VecDeque<u64>,
    /// Deadlines and retries of requests. What is over before its time is found to be so when it comes.
    timers: Agenda,
    watches: BTreeMap<u64, Watching>,
    /// The watch of each stream that is open.
    streams: Map<u64, u64>,
    /// The endpoint that carries the watches.
    watch_endpoint: Option<Member>,
    planted: Planted,
    /// When refused watches are opened again.
    watch_at: Time,
}

/// Three members are the rule.
type Endpoints = SmallVec<[Endpoint; 3]>;

struct Endpoint {
    member: Member,
    link: Link,
    backoff: Box<Backoff>,
}

#[derive(Clone, Copy)]
enum Link {
    Down { until: Time, cause: Cause },
    Dialing(Conn),
    Open(Conn),
}

struct Pending<T> {
    token: T,
    operation: Operation,
    cause: Cause,
    deadline: Time,
    /// The member that has it.
    sent: Option<Member>,
    tries: u32,
    /// When to send it again; `NEVER` if it is not waiting for that.
    retry_at: Time,
}

/// Requests by their ids, which rise: few, and answered nearly in their order.
struct Requests<T>(VecDeque<(u64, Pending<T>)>);

impl<T> Requests<T> {
    fn place(&self, id: u64) -> Option<usize> {
        match self.0.front() {
            Some((first, _)) if *first == id => Some(0),
            _ => self.0.binary_search_by_key(&id, |(id, _)| *id).ok(),
        }
    }
    /// Adds the newest.
    fn push(&mut self, id: u64, request: Pending<T>) {
        debug_assert!(self.0.back().is_none_or(|(last, _)| *last < id));
        self.0.push_back((id, request));
    }
    fn get_mut(&mut self, id: u64) -> Option<&mut Pending<T>> {
        let place = self.place(id)?;
        Some(&mut self.0[place].1)
    }
    fn remove(&mut self, id: u64) -> Option<Pending<T>> {
        let (_, request) = self.0.remove(self.place(id)?)?;
        if self.0.is_empty() {
            // The ring begins again where it began: who has one request at a time needs memory for one.
            self.0.clear();
        }
        Some(request)
    }
    /// Those that a member has.
    fn of(&self, member: Member) -> Vec<u64> {
        self.0.iter().filter(|(_, request)| request.sent == Some(member)).map(|(id, _)| *id).collect()
    }
}

struct Watching {
    /// `start` is the first revision that has not been delivered.
    watch: Watch,
    /// Of a response that comes in parts: those that have come.
    parts: Vec<WatchEvent>,
    cause: Cause,
    /// The id of its stream, if it has one.
    stream: Option<u64>,
}

impl<T> EtcdClient<T> {
    pub fn new(members: Vec<Member>, stream: Stream) -> EtcdClient<T> {
        EtcdClient {
            endpoints: members.into_iter().map(Endpoint::new).collect(),
            stream: Box::new(stream),
            started: false,
            turn: 0,
            next_id: 1,
            requests: Requests(VecDeque::new()),
            unsent: VecDeque::new(),
            timers: Agenda::default(),
            watches: BTreeMap::new(),
            streams: Map::default(),
            watch_endpoint: None,
            planted: Planted::default(),
            watch_at: Time::NEVER,
        }
    }
    /// Plants a mistake.
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }
    /// From now on these are the members. Connections to others are closed: what was sent on them fares as if they had broken.
    pub fn set_endpoints(&mut self, now: Time, members: &[Member], out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        let (kept, gone): (Endpoints, Endpoints) =
            std::mem::take(&mut self.endpoints).into_iter().partition(|endpoint| members.contains(&endpoint.member));
        self.endpoints = kept;
        let known: BTreeSet<Member> = self.endpoints.iter().map(|endpoint| endpoint.member).collect();
        self.endpoints.extend(members.iter().filter(|member| !known.contains(member)).map(|&member| Endpoint::new(member)));
        self.turn = if self.endpoints.is_empty() { 0 } else { self.turn % self.endpoints.len() };
        if self.started {
            for index in known.len()..self.endpoints.len() {
                self.dial(index, out);
            }
        }
        for endpoint in gone {
            if let Link::Dialing(conn) | Link::Open(conn) = endpoint.link {
                out.close(conn);
            }
            self.lost(now, endpoint.member, out, outputs);
        }
    }
    /// Dials every endpoint, in an order drawn by chance, so that not every server's first request goes to the same member.
    pub fn start(&mut self, _now: Time, out: &mut Outbox) {
        if self.started {
            return;
        }
        self.started = true;
        // grpc-go's round robin begins at a random endpoint.
        self.turn = if self.endpoints.is_empty() { 0 } else { self.stream.index(self.endpoints.len()) };
        for index in 0..self.endpoints.len() {
            self.dial(index, out);
        }
    }
    /// Is some member connected?
    pub fn is_connected(&self) -> bool {
        self.endpoints.iter().any(|endpoint| matches!(endpoint.link, Link::Open(_)))
    }
    /// Sends a request that must be answered by `deadline`. Carries the outbox's current cause.
    pub fn send(&mut self, _now: Time, operation: Operation, deadline: Time, token: T, out: &mut Outbox) {
        let id = self.new_id();
        let cause = out.cause();
        self.keep(id, Pending { token, operation, cause, deadline, sent: None, tries: 0, retry_at: Time::NEVER });
        self.dispatch(id, out);
    }
    /// Sends a request to this very member, once, if it is connected; else says so.
    pub fn send_to(&mut self, member: Member, operation: Operation, deadline: Time, token: T, out: &mut Outbox) -> bool {
        let Some(endpoint) = self.endpoints.iter().find(|endpoint| endpoint.member == member) else { return false };
        let Link::Open(conn) = endpoint.link else { return false };
        let id = self.new_id();
        let cause = out.cause();
        write(out, conn, id, operation.clone());
        self.keep(id, Pending { token, operation, cause, deadline, sent: Some(member), tries: TRIES_MAX, retry_at: Time::NEVER });
        true
    }
    /// Watches `keys` after `from` until cancelled, with previous values and progress notifications; returns the watch's name.
    pub fn watch(&mut self, now: Time, keys: KeyRange, from: Revision, out: &mut Outbox) -> u64 {
        self.watch_as(now, Watch { previous_value: true, progress_notify: true, ..Watch::of(keys, from.next()) }, out)
    }
    /// Watches with options. It must say where it starts: what was delivered is known by revisions.
    pub fn watch_as(&mut self, _now: Time, watch: Watch, out: &mut Outbox) -> u64 {
        assert!(watch.start > Revision::ZERO, "a watch from nowhere");
        let name = self.new_id();
        self.watches.insert(name, Watching { watch, parts: Vec::new(), cause: out.cause(), stream: None });
        self.open_watches(out);
        name
    }
    /// Ends a watch: nothing more of it will come out.
    pub fn cancel_watch(&mut self, watch: u64, out: &mut Outbox) {
        let Some(Watching { stream: Some(stream), .. }) = self.watches.remove(&watch) else { return };
        self.streams.remove(&stream);
        if let Some(conn) = self.watch_conn() {
            let id = self.new_id();
            write(out, conn, id, Operation::WatchCancel { watch: stream });
        }
    }
    /// Asks the member how far a watch has come; answered by `Progress`, unless the member is lost before.
    pub fn request_progress(&mut self, watch: u64, out: &mut Outbox) {
        let stream = self.watches.get(&watch).and_then(|watching| watching.stream);
        if let (Some(stream), Some(conn)) = (stream, self.watch_conn()) {
            let id = self.new_id();
            write(out, conn, id, Operation::WatchProgress { watch: stream });
        }
    }
    /// Is this one of the client's connections? Its inputs are for `handle`.
    pub fn owns(&self, conn: Conn) -> bool {
        self.endpoint_of(conn).is_some()
    }
    /// Feeds an input; those of other connections and of the actor itself come back untouched.
    pub fn handle(
        &mut self,
        now: Time,
        input: Input<ServerMessage>,
        out: &mut Outbox,
        outputs: &mut Vec<EtcdOutput<T>>,
    ) -> Option<Input<ServerMessage>> {
        let conn = match &input {
            Input::Opened(conn) | Input::Refused(conn) | Input::Data(conn, _) | Input::Closed(conn, _) => *conn,
            Input::Blocked(conn) | Input::Writable(conn) => *conn,
            _ => return Some(input),
        };
        let Some(endpoint) = self.endpoint_of(conn) else { return Some(input) };
        let cause = out.cause();
        match input {
            Input::Opened(_) => self.opened(endpoint, conn, out),
            Input::Refused(_) => self.disconnected(now, endpoint, out, outputs),
            Input::Closed(..) => self.disconnected(now, endpoint, out, outputs),
            Input::Data(_, ServerMessage::Etcd(response)) => self.respond(now, *response, out, outputs),
            _ => {}
        }
        out.because(cause);
        None
    }
    /// Time-outs, retries, reconnects. Call it at `Wake`.
    pub fn wake(&mut self, now: Time, out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        if now < self.deadline() {
            return;
        }
        let cause = out.cause();
        for index in 0..self.endpoints.len() {
            if let Link::Down { until, cause } = self.endpoints[index].link
                && until <= now
            {
                out.because(cause);
                self.dial(index, out);
            }
        }
        while let Some((at, id)) = self.timers.pop_due(now) {
            let Some(request) = self.requests.get_mut(id) else { continue };
            if request.deadline == at {
                self.answer(id, Err(EtcdError::Timeout), outputs);
            } else if request.retry_at == at {
                request.retry_at = Time::NEVER;
                self.dispatch(id, out);
            }
        }
        if self.watch_at <= now {
            self.watch_at = Time::NEVER;
            self.open_watches(out);
        }
        out.because(cause);
    }
    /// Constant for a handful of endpoints.
    pub fn deadline(&self) -> Time {
        let dial = |endpoint: &Endpoint| if let Link::Down { until, .. } = endpoint.link { until } else { Time::NEVER };
        let dials = self.endpoints.iter().map(dial).min().unwrap_or(Time::NEVER);
        dials.min(self.timers.next()).min(self.watch_at)
    }

    // Connections.

    fn endpoint_of(&self, conn: Conn) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| matches!(endpoint.link, Link::Dialing(mine) | Link::Open(mine) if mine == conn))
    }
    fn dial(&mut self, index: usize, out: &mut Outbox) {
        let endpoint = &mut self.endpoints[index];
        endpoint.link = Link::Dialing(out.dial(Address::Etcd(endpoint.member), KeepAlive::ETCD_CLIENT));
    }
    fn opened(&mut self, index: usize, conn: Conn, out: &mut Outbox) {
        self.endpoints[index].link = Link::Open(conn);
        self.endpoints[index].backoff.succeeded();
        for id in std::mem::take(&mut self.unsent) {
            self.dispatch(id, out);
        }
        if self.watch_at == Time::NEVER {
            self.open_watches(out);
        }
    }
    /// An open connection that breaks is dialled again at once, as grpc-go's round robin does; a failed dial after a back-off.
    fn disconnected(&mut self, now: Time, index: usize, out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        let fault = out.cause();
        let endpoint = &mut self.endpoints[index];
        let member = endpoint.member;
        if matches!(endpoint.link, Link::Open(_)) {
            self.dial(index, out);
        } else {
            let until = now + endpoint.backoff.delay(now, &mut self.stream);
            endpoint.link = Link::Down { until, cause: fault };
        }
        self.lost(now, member, out, outputs);
    }
    /// What a member had is sent to another, or its outcome is unknown.
    fn lost(&mut self, now: Time, member: Member, out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        let fault = out.cause();
        for id in self.requests.of(member) {
            if !self.retries(now, id, false, out) {
                self.answer(id, Err(EtcdError::Timeout), outputs);
            }
        }
        if self.watch_endpoint == Some(member) {
            self.watch_endpoint = None;
            self.streams.clear();
            for watching in self.watches.values_mut() {
                watching.leave(self.planted);
                watching.cause = fault;
            }
            self.open_watches(out);
        }
    }
    /// The next open connection in turn.
    fn pick(&mut self) -> Option<(Member, Conn)> {
        for _ in 0..self.endpoints.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.endpoints.len();
            if let Link::Open(conn) = self.endpoints[index].link {
                return Some((self.endpoints[index].member, conn));
            }
        }
        None
    }

    // Requests.

    /// Until it is answered, or its time is over.
    fn keep(&mut self, id: u64, request: Pending<T>) {
        if request.deadline != Time::NEVER {
            self.timers.insert(request.deadline, id);
        }
        self.requests.push(id, request);
    }
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
    /// Writes a request to the member whose turn it is, or lets it wait for one.
    fn dispatch(&mut self, id: u64, out: &mut Outbox) {
        let Some(place) = self.requests.place(id) else { return };
        let Some((member, conn)) = self.pick() else { return self.unsent.push_back(id) };
        let (_, request) = &mut self.requests.0[place];
        request.sent = Some(member);
        request.tries += 1;
        let before = out.cause();
        out.because(request.cause);
        write(out, conn, id, request.operation.clone());
        out.because(before);
    }
    fn respond(&mut self, now: Time, response: Response, out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        let id = response.id;
        if let Some(&watch) = self.streams.get(&id) {
            return self.watched(now, watch, response, out, outputs);
        }
        match response.result {
            Err(error) if is_unavailable(error) && self.retries(now, id, false, out) => {}
            Err(EtcdError::Learner) if self.endpoints.len() > 1 && self.retries(now, id, true, out) => {}
            Err(error) => self.answer(id, Err(error), outputs),
            Ok(_) => self.answer(id, Ok(response), outputs),
        }
    }
    /// Is this request, which came to nothing, sent again? At once, or after a pause when a quorum has been tried. `refused`: it was
    /// certainly not done.
    fn retries(&mut self, now: Time, id: u64, refused: bool, out: &mut Outbox) -> bool {
        let quorum = self.endpoints.len() as u32 / 2 + 1;
        let Some(request) = self.requests.get_mut(id) else { return false };
        let may = refused || is_repeatable(&request.operation) || self.planted.has(Bug::WriteRetried);
        if !may || request.tries >= TRIES_MAX || request.deadline <= now {
            return false;
        }
        request.sent = None;
        if request.tries.is_multiple_of(quorum) {
            request.retry_at = now + about(RETRY_PAUSE, &mut self.stream);
            self.timers.insert(request.retry_at, id);
        } else {
            self.dispatch(id, out);
        }
        true
    }
    /// Answers a request, if it has not been answered before.
    fn answer(&mut self, id: u64, result: Result<Response, EtcdError>, outputs: &mut Vec<EtcdOutput<T>>) {
        let Some(request) = self.requests.remove(id) else { return };
        if request.deadline != Time::NEVER {
            self.timers.remove(request.deadline, id);
        }
        outputs.push(EtcdOutput::Answer { token: request.token, cause: request.cause, result });
    }

    // Watches.

    fn watch_conn(&self) -> Option<Conn> {
        let member = self.watch_endpoint?;
        match self.endpoints.iter().find(|endpoint| endpoint.member == member)?.link {
            Link::Open(conn) => Some(conn),
            _ => None,
        }
    }
    /// Opens every watch that has no stream, on the member that carries the others or on the next in turn.
    fn open_watches(&mut self, out: &mut Outbox) {
        if self.watches.values().all(|watching| watching.stream.is_some()) {
            return;
        }
        if self.watch_endpoint.is_none() {
            self.watch_endpoint = self.pick().map(|(member, _)| member);
        }
        let Some(conn) = self.watch_conn() else { return };
        let before = out.cause();
        for (name, watching) in &mut self.watches {
            if watching.stream.is_some() {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            watching.stream = Some(id);
            self.streams.insert(id, *name);
            out.because(watching.cause);
            write(out, conn, id, Operation::Watch(watching.watch.clone()));
        }
        out.because(before);
    }
    /// What came on a watch's stream.
    fn watched(&mut self, now: Time, name: u64, response: Response, out: &mut Outbox, outputs: &mut Vec<EtcdOutput<T>>) {
        let Response { id, revision, result, .. } = response;
        let watching = self.watches.get_mut(&name).expect("a stream has a watch");
        match result {
            Ok(Answer::WatchFragment(part)) => watching.parts.extend(part),
            Ok(Answer::WatchEvents(mut events)) => {
                if !watching.parts.is_empty() {
                    let mut whole = std::mem::take(&mut watching.parts);
                    whole.append(&mut events);
                    events = whole;
                }
                // A member never sends what was before the start; if one did, this is where it would become a duplicate.
                events.retain(|event| event.kv.mod_revision >= watching.watch.start);
                let Some(last) = events.last() else { return };
                let revision = last.kv.mod_revision;
                watching.watch.start = revision.next();
                outputs.push(EtcdOutput::Events { watch: name, events, revision, cause: Cause::revision(revision) });
            }
            Ok(Answer::WatchProgress) => {
                watching.watch.start = watching.watch.start.max(revision.next());
                outputs.push(EtcdOutput::Progress { watch: name, revision });
            }
            Ok(Answer::WatchCanceled { compact_revision }) if compact_revision != Revision::ZERO => {
                self.watches.remove(&name);
                self.streams.remove(&id);
                outputs.push(EtcdOutput::Compacted { watch: name, compact_revision });
            }
            Err(EtcdError::Compacted) => {
                let compact_revision = watching.watch.start;
                self.watches.remove(&name);
                self.streams.remove(&id);
                outputs.push(EtcdOutput::Compacted { watch: name, compact_revision });
            }
            // Cancelled by a member that may not serve it, or that has no leader (`WithRequireLeader`): the watch, and with it all of
            // the shared stream, goes on elsewhere.
            Ok(Answer::WatchCanceled { .. }) | Err(_) => self.move_watches(now, out),
            Ok(_) => {}
        }
    }
    /// Leaves the member that carries the watches; opens them on the next one after a pause.
    fn move_watches(&mut self, now: Time, out: &mut Outbox) {
        let Some(conn) = self.watch_conn() else { return };
        let cause = out.cause();
        self.streams.clear();
        for watching in self.watches.values_mut() {
            watching.cause = cause;
            if let Some(stream) = watching.leave(self.planted) {
                let id = self.next_id;
                self.next_id += 1;
                write(out, conn, id, Operation::WatchCancel { watch: stream });
            }
        }
        self.watch_endpoint = None;
        self.watch_at = now + about(WATCH_PAUSE, &mut self.stream);
    }
}

impl Endpoint {
    fn new(member: Member) -> Endpoint {
        let link = Link::Down { until: Time::NEVER, cause: Cause::NONE };
        Endpoint { member, link, backoff: Box::new(Backoff::grpc()) }
    }
}

impl Watching {
    /// Its member is lost to it: half a response is as good as none. Returns the stream that it had.
    fn leave(&mut self, planted: Planted) -> Option<u64> {
        self.parts.clear();
        if planted.has(Bug::WatchResumesLate) {
            self.watch.start = self.watch.start.next();
        } else if planted.has(Bug::WatchResumesEarly) {
            self.watch.start = Revision(self.watch.start.0.saturating_sub(1).max(1));
        }
        self.stream.take()
    }
}

fn write(out: &mut Outbox, conn: Conn, id: u64, operation: Operation) {
    out.write(conn, Message::EtcdRequest(Box::new(Request { id, operation })));
}
/// Within 10 % of `pause`.
fn about(pause: Duration, stream: &mut Stream) -> Duration {
    stream.duration_between(pause.scale(9, 10), pause.scale(11, 10))
}
/// What gRPC's code `Unavailable` stands for (etcd `api/v3rpc/rpctypes/error.go`).
fn is_unavailable(error: EtcdError) -> bool {
    matches!(error, EtcdError::Unavailable | EtcdError::NoLeader | EtcdError::LeaderChanged | EtcdError::Timeout)
}
/// May be sent again although it may have been done (etcd `client/v3/retry.go`). A lease grant is not repeated here, since its id is
/// chosen by the sender: the second one would fail with `LeaseExists`.
fn is_repeatable(operation: &Operation) -> bool {
    match operation {
        Operation::Range(_) | Operation::Status | Operation::HashKv { .. } | Operation::Snapshot => true,
        Operation::LeaseKeepAlive { .. } | Operation::LeaseRevoke { .. } => true,
        Operation::LeaseTimeToLive { .. } | Operation::LeaseList => true,
        Operation::AlarmList | Operation::AlarmDisarm => true,
        Operation::MemberList | Operation::MoveLeader { .. } => true,
        Operation::Txn(txn) => txn.is_read_only(),
        Operation::LeaseGrant { .. } | Operation::Compact { .. } | Operation::Defragment => false,
        Operation::MemberAdd { .. } | Operation::MemberPromote { .. } => false,
        Operation::MemberRemove { .. } | Operation::MemberReplace { .. } => false,
        // These have streams, which go on elsewhere by themselves.
        Operation::Watch(_) | Operation::WatchCancel { .. } | Operation::WatchProgress { .. } => false,
    }
}

#[cfg(test)]
mod tests;
