//! Raft's messages, entries and durable state. An entry's command is opaque here: `raft/` never looks inside.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Member;
use super::etcd::{Command, StoreSnapshot};
use crate::base::{Index, Term};

/// A log entry. Neither a command nor a change: the empty entry that a new leader appends, or a change that was not to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub term: Term,
    pub index: Index,
    pub command: Option<Arc<Command>>,
    /// It changes the group's membership when it is applied. The only part of an entry that Raft looks into.
    pub change: Option<Arc<ConfigurationChange>>,
}

/// Entries in a row, shared by all who have them: the message that brings them, the disk that keeps them, whoever applies them. A batch is
/// made once by its leader, and is one thing on every member.
pub type Entries = Arc<[Entry]>;

/// Who belongs to a group, and how. While `outgoing` is not empty the configuration is *joint*: decisions need a quorum of `voters` and
/// one of `outgoing` (thesis, section 4.3). All lists are sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    pub voters: Vec<Member>,
    /// The voters of the configuration that is being left.
    pub outgoing: Vec<Member>,
    /// They get the log, and have no vote.
    pub learners: Vec<Member>,
    /// Voters of `outgoing` that will be learners when it is left.
    pub learners_next: Vec<Member>,
    /// Who was a member once: it is not listened to any more.
    pub removed: Vec<Member>,
}

/// One step of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MemberChange {
    /// Votes from now on; promotes a learner.
    AddVoter(Member),
    /// Learns from now on; demotes a voter.
    AddLearner(Member),
    Remove(Member),
}

/// A change of the configuration (etcd-io/raft `ConfChangeV2`). Several steps at once go through a joint configuration, which its leader
/// leaves by itself with an empty change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConfigurationChange {
    /// Empty: leave the joint configuration.
    pub steps: Vec<MemberChange>,
}

impl Entry {
    /// Bytes, for message sizes and the write-ahead log.
    pub fn size(&self) -> usize {
        32 + self.command.as_ref().map_or(0, |command| command.size()) + self.change.as_ref().map_or(0, |change| 8 * change.steps.len())
    }
}

/// What must be durable before a vote or an acknowledgement leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<Member>,
    pub commit: Index,
}

/// The state machine's own file holds everything up to this entry (etcd `walpb.Snapshot`): the log may begin after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    pub index: Index,
    pub term: Term,
}

/// The whole state of the store at an index.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    pub index: Index,
    pub term: Term,
    /// The membership at that index.
    pub configuration: Configuration,
    pub state: Arc<StoreSnapshot>,
}

impl Configuration {
    /// These members, all voting.
    pub fn of(members: impl IntoIterator<Item = Member>) -> Configuration {
        let mut voters: Vec<Member> = members.into_iter().collect();
        voters.sort_unstable();
        Configuration { voters, ..Configuration::default() }
    }
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }
    /// Has a vote, in one half of a joint configuration at least.
    pub fn votes(&self, member: Member) -> bool {
        self.voters.binary_search(&member).is_ok() || self.outgoing.binary_search(&member).is_ok()
    }
    pub fn learns(&self, member: Member) -> bool {
        self.learners.binary_search(&member).is_ok()
    }
    pub fn contains(&self, member: Member) -> bool {
        self.votes(member) || self.learns(member)
    }
    /// Everybody, sorted, each once.
    pub fn members(&self) -> Vec<Member> {
        let mut all: Vec<Member> = self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
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
        entries: Entries,
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
        command: Arc<Command>,
    },
    /// A follower passes a change of the membership on.
    ProposeChange {
        change: Arc<ConfigurationChange>,
        command: Arc<Command>,
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
    /// To who was removed and does not know it (rafthttp's 410). No message of Raft's own: members see to it.
    Gone,
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
