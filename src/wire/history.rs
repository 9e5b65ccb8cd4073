//! What clients of etcd did and saw: the history that checks of consistency read (`engine/checks`). A client tells each operation when it
//! begins and when it ends; the engine stamps both with true time and order.
//!
//! Keys and values are numbers here, as the load generator makes them: each write has a value of its own, so that a read tells which
//! write it saw.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::address::Member;
use super::etcd::{KeyRange, LeaseId, StoreKey, Value, WatchEvent};
use crate::base::{Duration, Revision};

/// A key of the load's key space, by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Key(pub u32);

/// A value, never written twice in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Written(pub u64);

/// What all keys of the load begin with.
const PREFIX: &str = "/load/";

impl Key {
    /// From here on keys are those that clients put under their leases: no operation of the history touches one.
    pub const LEASED: u32 = 9_000_000;
    /// `/load/0000007`.
    pub fn store_key(self) -> StoreKey {
        format!("{PREFIX}{:07}", self.0).into()
    }
    /// The key that is stored under this text; `None` for what is not the load's.
    pub fn of(text: &str) -> Option<Key> {
        text.strip_prefix(PREFIX)?.parse().ok().map(Key)
    }
    /// Is it one of those that clients put under leases?
    pub fn is_leased(self) -> bool {
        self.0 >= Key::LEASED
    }
    /// All keys of the load.
    pub fn all() -> KeyRange {
        KeyRange::Prefix(PREFIX.into())
    }
}

impl Written {
    /// As the store keeps it: the number, and zeros up to this size.
    pub fn value(self, size: u32) -> Value {
        let number = self.0.to_le_bytes();
        let size = (size as usize).max(number.len());
        // Small ones, of which there are millions, need no list.
        let mut bytes: SmallVec<[u8; 64]> = smallvec![0; size];
        bytes[..number.len()].copy_from_slice(&number);
        Value::bytes(&bytes)
    }
    /// The value that was written; `None` for what is not the load's.
    pub fn of(value: &Value) -> Option<Written> {
        let number = value.as_bytes()?.first_chunk()?;
        Some(Written(u64::from_le_bytes(*number)))
    }
}

/// An operation's name: unique in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OperationId {
    pub client: u32,
    pub number: u32,
}

/// A transaction; a plain read or write is one without comparisons.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Operation {
    /// All must hold: the key has this value, or is absent. (The client may have compared mod revisions that it had read with it.)
    pub compares: Vec<(Key, Option<Written>)>,
    pub then: Steps,
    pub otherwise: Steps,
    /// A local read, maybe stale: not part of the linearizable history, but it too must be what the store was at its revision.
    pub serializable: bool,
}

impl Operation {
    /// The steps of the branch that was taken.
    pub fn branch(&self, succeeded: bool) -> &[Step] {
        if succeeded { &self.then } else { &self.otherwise }
    }
    /// May it change something?
    pub fn writes(&self) -> bool {
        self.steps().any(|step| !matches!(step, Step::Read(_)))
    }
    /// The steps of both branches.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.then.iter().chain(&self.otherwise)
    }
}

/// The steps of a branch: one or two, mostly.
pub type Steps = SmallVec<[Step; 2]>;

/// One step of a branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Step {
    Read(Key),
    Write(Key, Written),
    Delete(Key),
}

/// How an operation ended, as its client knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    Done {
        /// The comparisons held; true without any.
        succeeded: bool,
        /// What the reads of the branch that ran saw, in their order.
        reads: Vec<Option<Written>>,
        /// Of the response's header.
        revision: Revision,
        member: Member,
    },
    /// Certainly not done.
    Failed,
    /// Maybe done, maybe later, maybe never.
    Unknown,
}

/// What a client tells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum HistoryEvent {
    Called(OperationId, Operation),
    Returned(OperationId, Outcome),
    /// A watch of all keys of the load, from this revision on.
    Watching {
        client: u32,
        watch: u32,
        from: Revision,
    },
    /// Whole revisions, as the client hands them to its user.
    Watched {
        client: u32,
        watch: u32,
        events: Vec<WatchEvent>,
    },
    /// All up to this revision has been seen.
    Bookmark {
        client: u32,
        watch: u32,
        revision: Revision,
    },
    /// Its history was compacted away: the watch is over.
    WatchCompacted {
        client: u32,
        watch: u32,
        compact_revision: Revision,
    },
    /// The lease was granted, or kept alive, by a request that was sent at `asked` true time ago: it may not end within `ttl` of that.
    LeaseAlive {
        client: u32,
        lease: LeaseId,
        ttl: Duration,
        asked: Duration,
    },
    /// This client asks for the lease's end: from now on it may end at any time.
    LeaseRevoking {
        client: u32,
        lease: LeaseId,
    },
}
