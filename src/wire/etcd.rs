//! The etcd client protocol: range, txn, watch, lease, compaction (etcd.io docs v3.6, `learning/api.md`). Keys are texts, values opaque:
//! the store uses a value's size and hash only.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Member;
use super::raft::{Configuration, ConfigurationChange};
use crate::base::{Cause, Duration, Index, Revision, Term, stable_hash};
use crate::objects::Object;

/// A key of the store. Object keys share their text (`objects::Key::path`).
pub type StoreKey = Arc<str>;

/// A value: etcd uses size and hash only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Value {
    pub size: u32,
    pub hash: u64,
    pub body: ValueBody,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ValueBody {
    Bytes(Arc<[u8]>),
    Object(#[serde(with = "super::codec::object")] Arc<Object>),
}

impl Value {
    pub fn object(object: Arc<Object>) -> Value {
        Value { size: object.size() as u32, hash: stable_hash(&*object), body: ValueBody::Object(object) }
    }
    pub fn bytes(bytes: &[u8]) -> Value {
        Value { size: bytes.len() as u32, hash: stable_hash(bytes), body: ValueBody::Bytes(bytes.into()) }
    }
    pub fn as_object(&self) -> Option<&Arc<Object>> {
        match &self.body {
            ValueBody::Object(object) => Some(object),
            ValueBody::Bytes(_) => None,
        }
    }
}
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.size == other.size && self.hash == other.hash
    }
}
impl Eq for Value {}

/// A client's request on its connection. Answers carry its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub operation: Operation,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Operation {
    Range(Range),
    Txn(Txn),
    /// The request's id names the stream: its responses all carry it.
    Watch(Watch),
    /// Ends the stream that this id opened.
    WatchCancel {
        watch: u64,
    },
    /// Asks for a progress notification on the stream.
    WatchProgress {
        watch: u64,
    },
    LeaseGrant {
        id: LeaseId,
        ttl: Duration,
    },
    LeaseKeepAlive {
        id: LeaseId,
    },
    LeaseRevoke {
        id: LeaseId,
    },
    Compact {
        revision: Revision,
    },
    Status,
    // Maintenance and membership (etcdctl).
    /// Joins a process that has been started with an empty data directory.
    MemberAdd {
        member: Member,
        learner: bool,
    },
    /// A learner that has caught up becomes a voter.
    MemberPromote {
        member: Member,
    },
    MemberRemove {
        member: Member,
    },
    /// One member in another's place, by joint consensus: beyond etcdctl, which takes single steps.
    MemberReplace {
        leaves: Member,
        joins: Member,
    },
    MemberList,
    /// Asks the leader to hand its lead to this member.
    MoveLeader {
        to: Member,
    },
    /// The whole store as this member has applied it: `etcdctl snapshot save`.
    Snapshot,
}

/// A lease's id, chosen by the client. 0 means none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct LeaseId(pub u64);

/// What keys a request is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum KeyRange {
    One(StoreKey),
    /// All keys that begin with this.
    Prefix(StoreKey),
    /// `[from, to)`.
    Between(StoreKey, StoreKey),
    /// `[from, end of the key space)`.
    From(StoreKey),
}

impl KeyRange {
    pub fn contains(&self, key: &str) -> bool {
        match self {
            KeyRange::One(one) => **one == *key,
            KeyRange::Prefix(prefix) => key.starts_with(&**prefix),
            KeyRange::Between(from, to) => &**from <= key && key < &**to,
            KeyRange::From(from) => &**from <= key,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Range {
    pub keys: KeyRange,
    /// 0: now.
    pub revision: Revision,
    /// 0: no limit.
    pub limit: u32,
    /// Served locally, maybe stale; else linearizable.
    pub serializable: bool,
    pub keys_only: bool,
    pub count_only: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub then: Vec<Op>,
    pub otherwise: Vec<Op>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Compare {
    pub key: StoreKey,
    pub target: CompareTarget,
    pub result: CompareResult,
}

/// An absent key has version, create and mod revision 0.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum CompareTarget {
    Version(u64),
    CreateRevision(Revision),
    ModRevision(Revision),
    Value(Value),
    Lease(LeaseId),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CompareResult {
    Equal,
    NotEqual,
    Greater,
    Less,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Op {
    Range(Range),
    Put { key: StoreKey, value: Value, lease: LeaseId },
    Delete { keys: KeyRange },
    Txn(Box<Txn>),
}

impl Txn {
    /// Put or delete without a condition.
    pub fn unconditional(op: Op) -> Txn {
        Txn { compares: Vec::new(), then: vec![op], otherwise: Vec::new() }
    }
    /// Creates the key if it is absent.
    pub fn create(key: StoreKey, value: Value, lease: LeaseId) -> Txn {
        Txn::if_unchanged(key.clone(), Revision::ZERO, Op::Put { key, value, lease })
    }
    /// Does `op` if the key was last written at `revision` (0: is absent), else reads the key.
    pub fn if_unchanged(key: StoreKey, revision: Revision, op: Op) -> Txn {
        let compare = Compare { key: key.clone(), target: CompareTarget::ModRevision(revision), result: CompareResult::Equal };
        Txn { compares: vec![compare], then: vec![op], otherwise: vec![Op::Range(Range::one(key))] }
    }
    pub fn is_read_only(&self) -> bool {
        self.then.iter().chain(&self.otherwise).all(|op| match op {
            Op::Range(_) => true,
            Op::Put { .. } | Op::Delete { .. } => false,
            Op::Txn(txn) => txn.is_read_only(),
        })
    }
    pub fn size(&self) -> usize {
        let ops = self.then.iter().chain(&self.otherwise);
        64 * self.compares.len()
            + ops
                .map(|op| match op {
                    Op::Put { key, value, .. } => 24 + key.len() + value.size as usize,
                    Op::Txn(txn) => txn.size(),
                    Op::Range(_) | Op::Delete { .. } => 64,
                })
                .sum::<usize>()
    }
}

impl Range {
    pub fn one(key: StoreKey) -> Range {
        Range::of(KeyRange::One(key))
    }
    pub fn of(keys: KeyRange) -> Range {
        Range { keys, revision: Revision::ZERO, limit: 0, serializable: false, keys_only: false, count_only: false }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    pub keys: KeyRange,
    /// The first revision wanted; 0: from after now.
    pub start: Revision,
    pub previous_value: bool,
    pub progress_notify: bool,
    pub no_put: bool,
    pub no_delete: bool,
}

/// A key and its value, as stored. `cause` is ours: why it was written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyValue {
    pub key: StoreKey,
    pub value: Value,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    pub version: u64,
    pub lease: LeaseId,
    pub cause: Cause,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response {
    /// The request's.
    pub id: u64,
    pub member: Member,
    pub revision: Revision,
    pub term: Term,
    pub result: Result<Answer, EtcdError>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    Range(RangeAnswer),
    Txn {
        succeeded: bool,
        answers: Vec<OpAnswer>,
    },
    WatchCreated,
    WatchCanceled {
        compact_revision: Revision,
    },
    /// Events of whole revisions, in order.
    WatchEvents(Vec<WatchEvent>),
    /// All events up to the response's revision have been sent.
    WatchProgress,
    LeaseGranted {
        ttl: Duration,
    },
    /// A zero `ttl`: the lease is gone.
    LeaseKeptAlive {
        ttl: Duration,
    },
    LeaseRevoked,
    Compacted,
    Status(Status),
    /// The membership, after a change too.
    Members(Configuration),
    LeaderMoved,
    Snapshot(Arc<StoreSnapshot>),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RangeAnswer {
    pub kvs: Vec<KeyValue>,
    /// All keys in the range, whatever the limit.
    pub count: u64,
    pub more: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum OpAnswer {
    Range(RangeAnswer),
    Put,
    Delete { deleted: u64 },
    Txn { succeeded: bool, answers: Vec<OpAnswer> },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WatchEvent {
    /// A put: the new pair. A delete: the key, with the deleting revision as `mod_revision` and `version` 0.
    pub kv: KeyValue,
    pub deleted: bool,
    pub previous: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    pub leader: Option<Member>,
    pub applied: Index,
    pub db_bytes: u64,
}

/// Error kinds as clients see them (etcd `api/v3rpc/rpctypes/error.go`). `certain`: was the request certainly not applied?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EtcdError {
    NoLeader,
    LeaderChanged,
    Timeout,
    TooManyRequests,
    NoSpace,
    Compacted,
    FutureRevision,
    LeaseNotFound,
    LeaseExists,
    DuplicateKey,
    TooLarge,
    /// The member is not ready (just started).
    Unavailable,
    /// A learner serves serializable reads and its status only (ErrNotSupportedForLearner).
    Learner,
    MemberNotFound,
    MemberExists,
    MemberNotLearner,
    /// It has less than 90 % of the leader's log (ErrLearnerNotReady).
    LearnerNotReady,
    TooManyLearners,
    /// A change would leave too few started members for a quorum (StrictReconfigCheck), or another one is under way.
    UnhealthyCluster,
    /// Only the leader can do it.
    NotLeader,
    /// The member's data is damaged (CORRUPT alarm).
    Corrupt,
}

/// What a Raft entry of etcd holds: a mutation, and to whom its outcome matters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The member that proposed it and will answer, and its number for it: unique within (member, incarnation).
    pub origin: Member,
    pub number: u64,
    pub cause: Cause,
    pub mutation: Mutation,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Mutation {
    Txn(Txn),
    LeaseGrant {
        id: LeaseId,
        ttl: Duration,
    },
    LeaseRevoke {
        id: LeaseId,
    },
    Compact {
        revision: Revision,
    },
    /// The entry bears the change itself; here stands what was asked for, for the member that answers.
    Membership(Arc<ConfigurationChange>),
}

impl Command {
    pub fn size(&self) -> usize {
        48 + match &self.mutation {
            Mutation::Txn(txn) => txn.size(),
            _ => 32,
        }
    }
}

/// The store as a value: what a snapshot carries and what an `"initial": "running"` cluster boots from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StoreSnapshot {
    pub revision: Revision,
    pub compacted: Revision,
    /// The newest version of each key, sorted by key.
    pub kvs: Vec<KeyValue>,
    pub leases: Vec<(LeaseId, Duration)>,
}

/// What one log entry did to the store: told by each member when it applies an entry that makes a revision.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    pub index: Index,
    pub revision: Revision,
    /// Of the entry.
    pub term: Term,
    pub cause: Cause,
    /// All changes of the revision, in order, with previous versions.
    pub events: Vec<WatchEvent>,
}
