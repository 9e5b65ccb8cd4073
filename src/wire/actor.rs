//! The contract between an actor and the host beneath it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::container::{ContainerEvent, ContainerOp};
use super::fact::Fact;
use super::history::HistoryEvent;
use super::{Message, etcd, raft};
use crate::base::{Cause, Duration, FactId, Incarnation, Revision, Time};
use crate::objects::pod::PodIp;
use crate::objects::{EndpointSlice, Key};

/// A deterministic state machine: it learns the time only from `now`, acts only through `out`, and draws chance only from the streams it
/// was built with. `now` is its own machine's *monotonic* clock: it may run fast or slow against others, but never steps. Go's timers and
/// etcd's leases go by that clock too (package `time`, "Monotonic Clocks"; etcd `server/lease/lessor.go`), and a step of the wall clock, which
/// shows in nothing but time stamps for people, is no fault here: Jepsen's clock nemesis found etcd's keys and values unharmed (etcd 3.4.3).
pub trait Actor {
    /// The messages that it can receive: a misrouted one does not compile past the engine's door.
    type Message;
    /// One step. The first input of a life is always [`Input::Boot`].
    fn step(&mut self, now: Time, input: Input<Self::Message>, out: &mut Outbox);
    /// The earliest instant at which this actor wants [`Input::Wake`]: one queue entry an actor; the actor keeps its own finer timers.
    /// A spurious wake is a no-op, so nothing is ever cancelled. Must be O(1).
    fn deadline(&self) -> Time {
        Time::NEVER
    }
}

/// A connection, as both ends name it. Numbered by the host; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conn(pub u64);
impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "conn-{}", self.0)
    }
}

/// Names the answer to a `Sync`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SyncId(pub u64);

/// Names the answer to a `Compute`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkId(pub u64);

/// What an actor gets.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// The start of a life, with what survived of the last one.
    Boot(Box<Boot>),
    /// `deadline()` is reached (or not: a spurious wake is a no-op).
    Wake,
    /// Somebody dialled this actor; the connection is open.
    Accepted(Conn, Address),
    /// A connection that this actor dialled is open.
    Opened(Conn),
    /// Nobody listens there, or nothing stands behind the service or balancer.
    Refused(Conn),
    Data(Conn, M),
    Closed(Conn, CloseReason),
    /// Unsent bytes crossed the high mark: write no more than must be.
    Blocked(Conn),
    /// They fell below the low mark.
    Writable(Conn),
    /// Everything written before this `Sync` is durable.
    Synced(SyncId),
    Container(Box<ContainerEvent>),
    /// The work is done.
    Done(WorkId),
}

/// What survived, read by the host.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    pub incarnation: Incarnation,
    /// How often the machine itself has been started: a change means that containers and unsynced writes are gone.
    pub machine_boot: Incarnation,
    /// The records of this actor's log that are still there, in order, as they read.
    pub disk: Vec<DiskRecord>,
    /// Those of `disk` that don't match their checksums, in order. Who reads its log must look.
    pub damaged: Vec<Damaged>,
}

/// A record whose checksum does not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged {
    /// Which of `Boot::disk`.
    pub at: usize,
    /// It ends in a gap, as the last one does that was being written when power was lost. Else bits of it have changed.
    pub torn: bool,
}

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CloseReason {
    /// The peer's process died, or it refused to go on.
    Reset,
    /// The peer closed it in order.
    Fin,
    /// This side's keep-alive or TCP gave up on a silent peer.
    TimedOut,
}

/// How soon this side of a connection notices a silent peer: a check each `interval` without traffic, dead when none is answered within
/// `timeout`; and dead when its peer's machine does not acknowledge what was written within `unacknowledged`. Computed by the host, never
/// ticked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    pub interval: Duration,
    pub timeout: Duration,
    /// TCP_USER_TIMEOUT. Zero: the kernel's own limit (some 15 minutes: net.ipv4.tcp_retries2), which no connection here lives to see.
    pub unacknowledged: Duration,
}

impl KeepAlive {
    /// client-go's HTTP/2 health check: 30 s + 15 s (golang.org/x/net/http2 ReadIdleTimeout and PingTimeout, apimachinery
    /// `util/net/http.go`).
    pub const HTTP2: KeepAlive = KeepAlive::of(30, 15);
    /// kube-apiserver to etcd: 30 s + 10 s (apiserver `storage/storagebackend/factory/etcd3.go`). Since grpc-go makes the keep-alive's
    /// time-out the socket's TCP_USER_TIMEOUT too (gRPC proposal A18), a busy connection to a lost machine ends 10 s after the first write
    /// into it.
    pub const ETCD_CLIENT: KeepAlive = KeepAlive { unacknowledged: Duration::from_secs(10), ..KeepAlive::of(30, 10) };
    /// etcd's peer streams: a read time-out of 5 s (etcd `server/etcdserver/api/rafthttp/peer.go`, ConnReadTimeout).
    pub const ETCD_PEER: KeepAlive = KeepAlive::of(0, 5);

    /// Seconds; with the kernel's own limit.
    pub const fn of(interval: u64, timeout: u64) -> KeepAlive {
        KeepAlive { interval: Duration::from_secs(interval), timeout: Duration::from_secs(timeout), unacknowledged: Duration::ZERO }
    }
}

/// All that an actor can ask of the world. What has an answer is answered by a later input; nothing is synchronous. Small, since most are
/// messages: each is moved a few times.
#[derive(Clone, Debug)]
pub enum Effect {
    Net(NetOp),
    Disk(DiskOp),
    Container(Box<ContainerOp>),
    Compute(WorkId, Work),
    Record(FactId, Box<Fact>),
    /// From a client of etcd: what it did and saw. For the record and the checks of consistency.
    History(Box<HistoryEvent>),
    /// From an operator's hands: this process is stopped if it runs, its disk holds these records instead of its own, and it is started.
    Provision(Box<Provision>),
    /// From the proxy's watcher: what every node's proxy will know after its own delay.
    Endpoints(Box<EndpointChange>),
    /// This process ends by itself, as with a fatal error. Nothing starts it again but what ends a fault on it, or a new disk.
    Exit,
}

#[derive(Clone, Debug)]
pub enum NetOp {
    /// Answered by `Opened`, `Refused` or `Closed(TimedOut)`.
    Dial(Conn, Address, KeepAlive),
    Write(Conn, Message),
    /// In order: what was written before still arrives.
    Close(Conn),
    /// Says whether a balancer may send new connections here.
    Health(bool),
}

/// The actor's own log on its machine's disk. Only `Sync` makes durable.
#[derive(Clone, Debug)]
pub enum DiskOp {
    Write(DiskRecord),
    /// Answered by [`Input::Synced`].
    Sync(SyncId),
    /// Cuts a torn last record off; durable at once.
    Repair,
}

/// One record of a write-ahead log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DiskRecord {
    HardState(raft::HardState),
    /// Entries to append; an entry whose index is already there replaces it and all after it.
    Entries(raft::Entries),
    /// The whole state at an index: what stands before it may be dropped.
    Snapshot(Arc<raft::Snapshot>),
    /// The state machine's own file holds everything up to here: a host that keeps such files may drop entries up to it.
    Release(raft::Release),
}

/// A new disk for a process.
#[derive(Clone, Debug)]
pub struct Provision {
    pub process: Address,
    pub disk: Vec<DiskRecord>,
}

/// Work that takes time on the actor's machine, once. The host knows how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// A scheduling cycle over this many nodes.
    SchedulingCycle { nodes: u32 },
    /// A list of this many objects from the watch cache or etcd.
    List { objects: u32 },
    /// Applying a batch of this many bytes to the store.
    Apply { bytes: u32 },
    /// A pass of the node lifecycle controller over this many nodes.
    MonitorPass { nodes: u32 },
}

/// What changed for kube-proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum EndpointChange {
    /// A service with this cluster IP exists.
    Service {
        key: Key,
        cluster_ip: PodIp,
    },
    ServiceGone {
        key: Key,
    },
    Slice(#[serde(with = "super::codec::as_json")] Arc<EndpointSlice>),
    SliceGone {
        key: Key,
    },
}

/// Where an actor puts its effects. The host empties it after each step.
///
/// Every effect carries the outbox's current cause: at the start of a step that of the input, until [`Outbox::because`] or
/// [`Outbox::record`] set another.
#[derive(Debug)]
pub struct Outbox {
    effects: Vec<(Cause, Effect)>,
    /// Told by a member of etcd, apart from the effects: revisions come by the million.
    applied: Vec<etcd::Applied>,
    tells_changes: bool,
    cause: Cause,
    next_fact: u64,
    next_conn: u64,
    next_answer: u64,
    /// The newest revision of the store that a member has told of.
    newest_applied: Revision,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox::new()
    }
}

impl Outbox {
    pub fn new() -> Outbox {
        Outbox {
            effects: Vec::new(),
            applied: Vec::new(),
            tells_changes: true,
            cause: Cause::NONE,
            next_fact: 1,
            next_conn: 1,
            next_answer: 1,
            newest_applied: Revision::ZERO,
        }
    }
    /// Facts are numbered from here on: each process of a run that is spread over several has a range of its own.
    pub fn number_facts_from(&mut self, first: FactId) {
        debug_assert!(first.0 >= self.next_fact);
        self.next_fact = first.0;
    }
    /// Starts a step whose input was caused by `cause`.
    pub fn begin(&mut self, cause: Cause) {
        debug_assert!(self.is_empty());
        self.cause = cause;
    }
    /// The cause that the next effect will carry.
    pub fn cause(&self) -> Cause {
        self.cause
    }
    /// Names the cause of what follows: a timer's, a stored object's, a work-queue key's.
    pub fn because(&mut self, cause: Cause) {
        self.cause = cause;
    }
    /// Dials; the connection's name is known at once, its fate later.
    pub fn dial(&mut self, to: Address, keep_alive: KeepAlive) -> Conn {
        let conn = Conn(self.next_conn);
        self.next_conn += 1;
        self.push(Effect::Net(NetOp::Dial(conn, to, keep_alive)));
        conn
    }
    pub fn write(&mut self, conn: Conn, message: Message) {
        self.push(Effect::Net(NetOp::Write(conn, message)));
    }
    pub fn close(&mut self, conn: Conn) {
        self.push(Effect::Net(NetOp::Close(conn)));
    }
    pub fn health(&mut self, ready: bool) {
        self.push(Effect::Net(NetOp::Health(ready)));
    }
    pub fn disk_write(&mut self, record: DiskRecord) {
        self.push(Effect::Disk(DiskOp::Write(record)));
    }
    pub fn disk_sync(&mut self) -> SyncId {
        let id = SyncId(self.answer());
        self.push(Effect::Disk(DiskOp::Sync(id)));
        id
    }
    pub fn disk_repair(&mut self) {
        self.push(Effect::Disk(DiskOp::Repair));
    }
    pub fn container(&mut self, op: ContainerOp) {
        self.push(Effect::Container(Box::new(op)));
    }
    pub fn compute(&mut self, work: Work) -> WorkId {
        let id = WorkId(self.answer());
        self.push(Effect::Compute(id, work));
        id
    }
    /// Nobody will look at what revisions changed: no objects, no histories of clients.
    pub fn leave_changes_out(&mut self) {
        self.tells_changes = false;
    }
    /// Is nobody who shares this outbox known to have applied this revision? Then its changes are to be told with it; of the other
    /// members a hash will do.
    pub fn is_news(&self, revision: Revision) -> bool {
        self.tells_changes && revision > self.newest_applied
    }
    /// A store was put back to this revision (`etcdctl snapshot restore`): what comes after it is news again.
    pub fn rewind_applied(&mut self, revision: Revision) {
        self.newest_applied = self.newest_applied.min(revision);
    }
    /// From a member of etcd: it has applied an entry that made a revision. The engine's observer takes the first of each revision, and
    /// checks that all members agree.
    pub fn applied(&mut self, applied: etcd::Applied) {
        self.newest_applied = self.newest_applied.max(applied.revision);
        self.applied.push(applied);
    }
    /// Tells what a client of etcd did or saw.
    pub fn history(&mut self, event: HistoryEvent) {
        self.push(Effect::History(Box::new(event)));
    }
    pub fn exit(&mut self) {
        self.push(Effect::Exit);
    }
    pub fn provision(&mut self, process: Address, disk: Vec<DiskRecord>) {
        self.push(Effect::Provision(Box::new(Provision { process, disk })));
    }
    pub fn endpoints(&mut self, change: EndpointChange) {
        self.push(Effect::Endpoints(Box::new(change)));
    }
    /// Records a fact, caused by the current cause, which it then becomes.
    pub fn record(&mut self, fact: Fact) -> Cause {
        let id = FactId(self.next_fact);
        self.next_fact += 1;
        self.push(Effect::Record(id, Box::new(fact)));
        self.cause = Cause::fact(id);
        self.cause
    }
    /// A number for an answer that somebody else will give: a fact that the engine itself makes.
    pub fn next_fact_id(&mut self) -> FactId {
        let id = FactId(self.next_fact);
        self.next_fact += 1;
        id
    }
    /// The effects so far, in order.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().map(|(_, effect)| effect)
    }
    /// Takes the effects out, in order, with their causes.
    pub fn drain(&mut self) -> std::vec::Drain<'_, (Cause, Effect)> {
        self.effects.drain(..)
    }
    /// Takes out what was applied, in order, and leaves an empty list in its place.
    pub fn take_applied(&mut self, applied: &mut Vec<etcd::Applied>) {
        applied.clear();
        std::mem::swap(&mut self.applied, applied);
    }
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.applied.is_empty()
    }
    fn answer(&mut self) -> u64 {
        let number = self.next_answer;
        self.next_answer += 1;
        number
    }
    fn push(&mut self, effect: Effect) {
        self.effects.push((self.cause, effect));
    }
}
