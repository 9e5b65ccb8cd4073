//! Raft's messages, entries and durable state. An entry's command is opaque here: `raft/` never looks inside.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Member;
use super::etcd::{Command, StoreSnapshot};
use crate::base::{Index, Term};

/// A log entry. `None` is the empty entry that a new leader appends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub term: Term,
    pub index: Index,
    pub command: Option<Arc<Command>>,
}

impl Entry {
    /// Bytes, for message sizes and the write-ahead log.
    pub fn size(&self) -> usize {
        32 + self.command.as_ref().map_or(0, |command| command.size())
    }
}

/// What must be durable before a vote or an acknowledgement leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<Member>,
    pub commit: Index,
}

/// The whole state of the store at an index.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    pub index: Index,
    pub term: Term,
    pub members: Vec<Member>,
    pub state: Arc<StoreSnapshot>,
}

/// A message between members, under the sender's term.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    pub from: Member,
    pub to: Member,
    pub term: Term,
    pub body: Body,
}

/// Names as in the paper and in etcd-io/raft.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    PreVote {
        last_index: Index,
        last_term: Term,
    },
    PreVoteResponse {
        granted: bool,
    },
    /// `transfer`: the leader asked for this election, so leases on its leadership don't hold it back.
    Vote {
        last_index: Index,
        last_term: Term,
        transfer: bool,
    },
    VoteResponse {
        granted: bool,
    },
    Append {
        previous_index: Index,
        previous_term: Term,
        entries: Vec<Arc<Entry>>,
        commit: Index,
    },
    /// `index`: the last one that matches; on a rejection the follower's hint where to go on.
    AppendResponse {
        index: Index,
        rejected: Option<Rejection>,
    },
    Heartbeat {
        commit: Index,
        read_context: u64,
    },
    HeartbeatResponse {
        read_context: u64,
    },
    /// A follower passes a client's proposal on.
    Propose {
        commands: Vec<Arc<Command>>,
    },
    /// A follower asks at which index it may serve a linearizable read.
    ReadIndex {
        context: u64,
    },
    ReadIndexResponse {
        context: u64,
        index: Index,
    },
    TimeoutNow,
    InstallSnapshot {
        snapshot: Arc<Snapshot>,
    },
}

/// Why an append was rejected: (rejected index, hint index, hint term).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    pub index: Index,
    pub hint_index: Index,
    pub hint_term: Term,
}
