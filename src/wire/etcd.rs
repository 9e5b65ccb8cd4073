//! The etcd client protocol: range, txn, watch, lease, compaction (etcd.io docs v3.6, `learning/api.md`). Keys are texts, values opaque:
//! the store uses a value's size and hash only.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::address::Member;
use super::raft::{Configuration, ConfigurationChange};
use crate::base::{Cause, Duration, Index, Revision, Term, stable_hash};
use crate::objects::Object;

/// A key of the store. Object keys share their text (`objects::Key::path`).
pub type StoreKey = Arc<str>;

/// A value: etcd uses size and hash only. One pointer to what all its holders share: members, messages, caches, the record.
#[derive(Clone)]
pub struct Value(Arc<Content>);

/// What a [`Value`] points to. With the counts of its holders it fills one cache line: revisions come by the million, and each is looked at
/// by every member.
enum Content {
    /// As many bytes of it as `size` says: a short value needs no memory of its own.
    Short {
        size: u8,
        hash: u64,
        bytes: [u8; SHORT],
    },
    Long {
        hash: u64,
        bytes: Box<[u8]>,
    },
    Object {
        size: u32,
        hash: u64,
        object: Arc<Object>,
    },
}

const SHORT: usize = 38;
const _: () = assert!(size_of::<Content>() == 48);

impl Value {
    pub fn object(object: Arc<Object>) -> Value {
        let (size, hash) = (object.size() as u32, stable_hash(&*object));
        Value(Arc::new(Content::Object { size, hash, object }))
    }
    pub fn bytes(bytes: &[u8]) -> Value {
        let hash = stable_hash(bytes);
        if bytes.len() > SHORT {
            return Value(Arc::new(Content::Long { hash, bytes: bytes.into() }));
        }
        let mut short = [0; SHORT];
        short[..bytes.len()].copy_from_slice(bytes);
        Value(Arc::new(Content::Short { size: bytes.len() as u8, hash, bytes: short }))
    }
    /// In bytes.
    pub fn size(&self) -> u32 {
        match &*self.0 {
            Content::Short { size, .. } => u32::from(*size),
            Content::Long { bytes, .. } => bytes.len() as u32,
            Content::Object { size, .. } => *size,
        }
    }
    pub fn hash(&self) -> u64 {
        match &*self.0 {
            Content::Short { hash, .. } | Content::Long { hash, .. } | Content::Object { hash, .. } => *hash,
        }
    }
    pub fn as_object(&self) -> Option<&Arc<Object>> {
        match &*self.0 {
            Content::Object { object, .. } => Some(object),
            Content::Short { .. } | Content::Long { .. } => None,
        }
    }
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &*self.0 {
            Content::Short { size, bytes, .. } => Some(&bytes[..usize::from(*size)]),
            Content::Long { bytes, .. } => Some(bytes),
            Content::Object { .. } => None,
        }
    }
    /// Byte by byte, as etcd sorts and compares values. The order of objects, whose bytes nobody here knows, is only stable; they come after
    /// all bytes.
    pub fn order(&self, other: &Value) -> std::cmp::Ordering {
        match (self.as_bytes(), other.as_bytes()) {
            (Some(mine), Some(others)) => mine.cmp(others),
            (None, None) => (self.size(), self.hash()).cmp(&(other.size(), other.hash())),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        }
    }
}
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.size() == other.size() && self.hash() == other.hash())
    }
}
impl Eq for Value {}
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.as_bytes(), self.as_object()) {
            (Some(bytes), _) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            (_, object) => write!(f, "{:?}", object.map(|object| object.key())),
        }
    }
}

/// How a value crosses a process boundary.
#[derive(Serialize, Deserialize)]
enum Crossing {
    Bytes(Vec<u8>),
    Object(#[serde(with = "super::codec::object")] Arc<Object>),
}
impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.as_bytes(), self.as_object()) {
            (_, Some(object)) => Crossing::Object(object.clone()),
            (bytes, None) => Crossing::Bytes(bytes.unwrap_or_default().to_vec()),
        }
        .serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Ok(match Crossing::deserialize(deserializer)? {
            Crossing::Bytes(bytes) => Value::bytes(&bytes),
            Crossing::Object(object) => Value::object(object),
        })
    }
}

/// A client's request on its connection. Answers carry its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub operation: Operation,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// Boxed, as the largest by far: requests and transactions come by the million, and most of them write.
    Range(Box<Range>),
    Txn(Arc<Txn>),
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
    LeaseTimeToLive {
        id: LeaseId,
        /// The keys that are attached to it, too.
        keys: bool,
    },
    LeaseList,
    Compact {
        revision: Revision,
    },
    Status,
    /// The hash of all keys and retained versions up to a revision (0: now), to compare members by: `etcdctl endpoint hashkv`.
    HashKv {
        revision: Revision,
    },
    AlarmList,
    /// Takes back every alarm of all members: `etcdctl alarm disarm`.
    AlarmDisarm,
    /// Gives what compactions freed in this member's database back to the file system.
    Defragment,
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

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    pub sort: Sort,
    // Bounds of what is answered; 0: none. `count` does not heed them, as in etcd.
    pub min_mod_revision: Revision,
    pub max_mod_revision: Revision,
    pub min_create_revision: Revision,
    pub max_create_revision: Revision,
}

/// The order of a range's pairs; ascending keys by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sort {
    pub by: SortTarget,
    pub descending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum SortTarget {
    #[default]
    Key,
    Version,
    CreateRevision,
    ModRevision,
    Value,
}

/// What a transaction does: one thing, mostly.
pub type Ops = SmallVec<[Op; 1]>;
/// What its operations answer, in their order.
pub type Answers = SmallVec<[OpAnswer; 1]>;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub then: Ops,
    pub otherwise: Vec<Op>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compare {
    /// It must hold for each key of a range.
    pub keys: KeyRange,
    pub target: CompareTarget,
    pub result: CompareResult,
}

/// An absent key has version, create and mod revision 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    Range(Box<Range>),
    Put { key: StoreKey, value: Value, lease: LeaseId, options: PutOptions },
    Delete { keys: KeyRange, previous: bool },
    Txn(Box<Txn>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PutOptions {
    /// Answer with the pair that stood there before.
    pub previous: bool,
    /// The key keeps its value, and must exist.
    pub ignore_value: bool,
    /// The key keeps its lease, and must exist.
    pub ignore_lease: bool,
}

impl Op {
    pub fn put(key: StoreKey, value: Value, lease: LeaseId) -> Op {
        Op::Put { key, value, lease, options: PutOptions::default() }
    }
    pub fn delete(keys: KeyRange) -> Op {
        Op::Delete { keys, previous: false }
    }
}
impl Compare {
    pub fn one(key: StoreKey, target: CompareTarget, result: CompareResult) -> Compare {
        Compare { keys: KeyRange::One(key), target, result }
    }
}

impl Txn {
    /// Put or delete without a condition.
    pub fn unconditional(op: Op) -> Txn {
        Txn { compares: Vec::new(), then: smallvec![op], otherwise: Vec::new() }
    }
    /// Creates the key if it is absent.
    pub fn create(key: StoreKey, value: Value, lease: LeaseId) -> Txn {
        Txn::if_unchanged(key.clone(), Revision::ZERO, Op::put(key, value, lease))
    }
    /// Does `op` if the key was last written at `revision` (0: is absent), else reads the key.
    pub fn if_unchanged(key: StoreKey, revision: Revision, op: Op) -> Txn {
        let compare = Compare::one(key.clone(), CompareTarget::ModRevision(revision), CompareResult::Equal);
        Txn { compares: vec![compare], then: smallvec![op], otherwise: vec![Op::Range(Range::one(key).into())] }
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
                    Op::Put { key, value, .. } => 24 + key.len() + value.size() as usize,
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
        Range {
            keys,
            revision: Revision::ZERO,
            limit: 0,
            serializable: false,
            keys_only: false,
            count_only: false,
            sort: Sort::default(),
            min_mod_revision: Revision::ZERO,
            max_mod_revision: Revision::ZERO,
            min_create_revision: Revision::ZERO,
            max_create_revision: Revision::ZERO,
        }
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
    /// What is larger than a request may be comes in parts.
    pub fragment: bool,
}

impl Watch {
    /// Puts and deletions of these keys from a revision on (0: from after now), and nothing more.
    pub fn of(keys: KeyRange, start: Revision) -> Watch {
        Watch { keys, start, previous_value: false, progress_notify: false, no_put: false, no_delete: false, fragment: false }
    }
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
        answers: Answers,
    },
    WatchCreated,
    WatchCanceled {
        compact_revision: Revision,
    },
    /// Events of whole revisions, in order.
    WatchEvents(Vec<WatchEvent>),
    /// The same in parts, of a watch that asked for fragments: more follow, and the last part comes as `WatchEvents`.
    WatchFragment(Vec<WatchEvent>),
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
    /// `remaining` is `None` when the lease is gone.
    LeaseTimeToLive {
        granted: Duration,
        remaining: Option<Duration>,
        keys: Vec<StoreKey>,
    },
    Leases(Vec<LeaseId>),
    Compacted,
    Status(Status),
    /// Members whose compacted revisions are equal must have equal hashes.
    HashKv {
        hash: u64,
        compact_revision: Revision,
    },
    Alarms(Vec<(Member, Alarm)>),
    Defragmented,
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
    Put { previous: Option<Box<KeyValue>> },
    Delete { deleted: u64, previous: Vec<KeyValue> },
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
    /// The size of the database file, and how much of it is in use.
    pub db_bytes: u64,
    pub db_bytes_in_use: u64,
    pub alarms: Vec<(Member, Alarm)>,
}

/// What a member raises for all to heed (etcd `api/etcdserverpb/rpc.proto`, AlarmType).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Alarm {
    /// Its database has outgrown the quota: nothing is put until it is disarmed.
    NoSpace,
    /// Its data is damaged: nothing is read or written.
    Corrupt,
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
    /// Longer than 9,000,000,000 s.
    LeaseTooLong,
    /// A put that shall keep value or lease of a key that is not there.
    KeyNotFound,
    /// A put that shall keep the value gives one; or the lease.
    ValueProvided,
    LeaseProvided,
    DuplicateKey,
    /// More than 128 in a transaction.
    TooManyOperations,
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

/// What members say to each other beside Raft: only the leader knows a lease's time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerLease {
    Ask { from: Member, number: u64, question: LeaseQuestion },
    Answered { number: u64, result: Result<Answer, EtcdError> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeaseQuestion {
    KeepAlive(LeaseId),
    TimeToLive { id: LeaseId, keys: bool },
}

/// What a Raft entry of etcd holds: a mutation, and to whom its outcome matters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The member that proposed it and will answer, and its number for it: unique within (member, incarnation).
    pub origin: Member,
    pub number: u64,
    pub cause: Cause,
    pub mutation: Mutation,
}
// With the counts of its holders a cache line.
const _: () = assert!(size_of::<Command>() == 48);

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mutation {
    Txn(Arc<Txn>),
    LeaseGrant {
        id: LeaseId,
        ttl: Duration,
    },
    LeaseRevoke {
        id: LeaseId,
    },
    /// What is left of leases by their leader's clock; 0: the full time again.
    LeaseCheckpoint(Box<[(LeaseId, Duration)]>),
    /// A member raises an alarm.
    Alarm {
        member: Member,
        alarm: Alarm,
    },
    AlarmDisarm,
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
            Mutation::LeaseCheckpoint(remaining) => 16 * remaining.len(),
            _ => 32,
        }
    }
}

/// The store as a value: what a snapshot carries and what an `"initial": "running"` cluster boots from. It holds all history that the
/// store has, so that watches and old reads go on after it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StoreSnapshot {
    pub revision: Revision,
    /// Without history it is taken for `revision`.
    pub compacted: Revision,
    /// The state at `compacted`, sorted by key.
    pub kvs: Vec<KeyValue>,
    /// Every change after `compacted`, in order; a deletion has version 0.
    pub history: Vec<KeyValue>,
    pub leases: Vec<LeaseRecord>,
    pub alarms: Vec<(Member, Alarm)>,
    /// Of everything that was ever applied: `etcd::store::Store::hash`.
    pub hash: u64,
}

/// A lease as all members know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub id: LeaseId,
    pub ttl: Duration,
    /// As of the last checkpoint; zero: all of it.
    pub remaining: Duration,
}

/// What one log entry did to the store: told by each member when it applies an entry that makes a revision.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    pub index: Index,
    pub revision: Revision,
    /// Of the entry.
    pub term: Term,
    pub cause: Cause,
    /// Of this change and all before it: members that applied the same have the same.
    pub hash: u64,
    /// The entry was applied under a NOSPACE alarm.
    pub capped: bool,
    /// All changes of the revision, in order, with previous versions, from the first member to tell of it ([`Outbox::is_news`]);
    /// empty from the others, unless it was applied under the alarm.
    ///
    /// [`Outbox::is_news`]: super::Outbox::is_news
    pub events: Vec<WatchEvent>,
}
