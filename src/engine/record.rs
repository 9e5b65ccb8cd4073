//! The record: what happened, as data. Reports, verdicts and explanations read nothing else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Duration, FactId, Name, Time};
use crate::objects::Key;
pub use crate::scheduler::study::{Column, Curve, Results, Unplaced};
use crate::wire::fact::Fact;
use crate::wire::history::HistoryEvent;

/// A run's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub scenario: ScenarioInfo,
    /// In order of time; `FactId` of `facts[i]` is in `Entry::id` and rises.
    pub facts: Vec<Entry>,
    /// What clients of etcd did and saw, in true order.
    pub history: Vec<(Time, HistoryEvent)>,
    /// Sampled once a second of virtual time (thinned in long runs).
    pub samples: Vec<Sample>,
    pub expectations: Vec<Verdict>,
    pub checkpoints: Vec<Checkpoint>,
    pub digest: Digest,
    pub trace_digest: Digest,
    pub counts: Counts,
    /// Broken invariants, with where the run was. The run stopped there.
    pub violations: Vec<Name>,
    /// What the scheduler alone came to: then there is nothing else.
    pub study: Option<Results>,
}

/// What reports must know of the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioInfo {
    pub name: Name,
    pub description: Name,
    pub seed: u64,
    pub start: Time,
    pub end: Time,
    pub nodes: Vec<NodeInfo>,
    pub etcd_members: u16,
    pub faults: Vec<FaultInfo>,
    /// Services under traffic, by traffic source.
    pub traffic: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub name: Name,
    pub zone: Name,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
}

/// A fault as it was played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultInfo {
    pub description: Name,
    /// What kind: `power loss`, `kill`, `partition`, ...
    pub kind: Name,
    /// Whom it hit: node names, or addresses.
    pub targets: Vec<Name>,
    pub at: Time,
    pub until: Option<Time>,
    /// For one of several that were drawn at random: the description of what was written.
    pub drawn: Option<Name>,
}

impl FaultInfo {
    /// Its end in a run that ends at `end`: a crash of containers is an instant.
    pub fn end(&self, end: Time) -> Time {
        self.until.unwrap_or(if self.kind == *"container crash" { self.at } else { end })
    }
}

/// A fact with its number, its time and its cause (resolved to a fact; `None` for a beginning).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: FactId,
    pub at: Time,
    pub cause: Option<FactId>,
    pub fact: Fact,
}

/// What is measured rather than told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at: Time,
    /// Requested by pods bound to each node, in the plan's order: (pods, cpu in milli-CPU, memory in bytes). Shared with the second before
    /// while nothing changes: 5,000 nodes in ten minutes would else be 70 MB.
    pub nodes: Arc<[(u32, i64, i64)]>,
    pub etcd: Vec<EtcdSample>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EtcdSample {
    pub role: Role,
    pub term: u64,
    pub commit: u64,
    pub applied: u64,
    pub revision: u64,
    pub db_bytes: u64,
    /// Of proposals committed since the last sample, as the leader saw them.
    pub commit_latency_p99: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Down,
    Follower,
    Candidate,
    Leader,
}

/// An expectation's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub description: Name,
    pub held: bool,
    /// The run went on until it could be judged.
    pub reached: bool,
    /// What was seen: `8 ready at 400.0 s`.
    pub seen: Name,
}

impl Verdict {
    pub fn failed(&self) -> bool {
        self.reached && !self.held
    }
}

/// Both digests at the end of a second of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub at: Time,
    pub outcome: Digest,
    pub trace: Digest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub events: u64,
    pub messages: u64,
    pub revisions: u64,
}

impl Record {
    /// The fact with this id.
    pub fn fact(&self, id: FactId) -> Option<&Entry> {
        self.facts.binary_search_by_key(&id, |entry| entry.id).ok().map(|at| &self.facts[at])
    }
    /// A fact and what led to it, back to a beginning.
    pub fn chain(&self, id: FactId) -> Vec<&Entry> {
        let mut chain = Vec::new();
        let mut next = Some(id);
        while let Some(entry) = next.and_then(|id| self.fact(id)) {
            chain.push(entry);
            next = entry.cause;
        }
        chain
    }
}
