//! Facts: what the record holds. Every fact names its cause; reports, verdicts and explanations read nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::{Address, Member};
use crate::base::{Duration, Index, Name, Revision, Term, Time};
use crate::objects::Key;

/// Something that happened: to whom, and what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fact {
    pub subject: Subject,
    pub what: What,
}

/// Whom a fact is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    Object(Key),
    Actor(Address),
    /// A machine, a zone, a link: by the scenario's name for it.
    Place(Name),
    Run,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Object(key) => key.fmt(f),
            Subject::Actor(address) => address.fmt(f),
            Subject::Place(name) => name.fmt(f),
            Subject::Run => f.write_str("run"),
        }
    }
}

/// What happened. Numbers in the payload, words in `Display`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum What {
    // The scenario's doing.
    /// The n-th fault of the plan begins.
    FaultInjected {
        fault: u32,
        description: Name,
    },
    FaultEnded {
        fault: u32,
        description: Name,
    },
    StepDone {
        step: u32,
        description: Name,
    },
    StepFailed {
        step: u32,
        error: Name,
    },

    // Processes and silence.
    Started,
    Stopped,
    /// Somebody has not been heard for this long, and is given up. The engine names the fault behind the silence as the cause.
    Silent {
        of: Subject,
        since: Duration,
    },

    // etcd.
    /// A member does not start, since it cannot trust its log.
    RefusedToStart {
        reason: Name,
    },
    BecameFollower {
        term: Term,
    },
    BecameCandidate {
        term: Term,
    },
    BecameLeader {
        term: Term,
    },
    /// A write was committed and first applied by some member.
    Committed {
        revision: Revision,
        index: Index,
        by: Member,
    },
    Compacted {
        revision: Revision,
    },

    // Leader election by Lease.
    Leading,
    StoppedLeading,

    // Objects, as the observer sees them in committed revisions.
    Created {
        revision: Revision,
        /// The object's UID; tells two pods of one name apart.
        uid: Name,
        /// The top-level workload that it belongs to: a Deployment for its ReplicaSets and their pods. `None` for what nobody controls.
        owner: Option<Key>,
    },
    /// Some other change worth a line: a scale, a template, a status that went from one state to another.
    Changed {
        revision: Revision,
        text: Name,
    },
    DeletionMarked {
        revision: Revision,
        grace_seconds: u64,
    },
    Removed {
        revision: Revision,
    },
    PodBound {
        revision: Revision,
        node: Name,
    },
    PodPhase {
        revision: Revision,
        phase: crate::objects::Phase,
        reason: Name,
    },
    PodReady {
        revision: Revision,
        ready: bool,
        reason: Name,
    },
    NodeReady {
        revision: Revision,
        status: Name,
        reason: Name,
    },
    Tainted {
        revision: Revision,
        taint: Name,
    },
    Untainted {
        revision: Revision,
        taint: Name,
    },
    Endpoints {
        revision: Revision,
        ready: u32,
        total: u32,
    },
    Replicas {
        revision: Revision,
        wanted: u64,
        current: u64,
        ready: u64,
        available: u64,
    },

    // Scheduler.
    Unschedulable {
        message: Name,
    },

    // Kubelet and containers.
    Pulled {
        image: Name,
    },
    PullFailed {
        image: Name,
        error: Name,
    },
    ContainerStarted {
        container: Name,
        attempt: u32,
    },
    ContainerExited {
        container: Name,
        code: i32,
    },
    ProbeFailed {
        container: Name,
        probe: Name,
    },

    // Controllers: a decision that is no write by itself.
    Decided {
        text: Name,
    },

    // Traffic: one bucket of one client.
    Traffic {
        /// The end of the second in which the requests were sent; the fact comes when the last of them has ended.
        until: Time,
        sent: u32,
        ok: u32,
        refused: u32,
        reset: u32,
        timeout: u32,
        p50: Duration,
        p99: Duration,
    },

    // etcd's membership. New variants stand last: the number of a variant goes into the digest of recorded runs.
    /// A change of the membership has taken effect at its leader. Joint while there are outgoing voters.
    Membership {
        voters: Vec<Member>,
        outgoing: Vec<Member>,
        learners: Vec<Member>,
    },
    /// A member has learned that it was removed, and ends.
    LeftCluster,

    // Clients of etcd: one bucket of one client.
    EtcdOperations {
        /// The end of the second in which the operations began; the fact comes when the last of them has ended.
        until: Time,
        sent: u32,
        ok: u32,
        /// Certainly not done.
        failed: u32,
        /// Maybe done.
        unknown: u32,
        p50: Duration,
        p99: Duration,
    },

    // Scheduler.
    /// Room is made for a pod on a node: these pods are evicted.
    Nominated {
        node: Name,
        victims: Vec<Key>,
    },
    /// How the nodes were looked at for a pod. Told only where somebody asks for it, since it takes the plain form of every decision.
    Considered {
        nodes: u32,
        feasible: u32,
        /// Plugin, reason, and how many nodes had it for their first.
        rejected: Vec<(Name, Name, u32)>,
        /// The plugins that scored.
        plugins: Vec<Name>,
        /// The nodes of the highest totals, with the weighted score of each plugin and the total.
        best: Vec<(Name, Vec<i64>)>,
    },
}

impl What {
    /// The committed revision that this was seen in, for what the observer tells of objects.
    pub const fn revision(&self) -> Option<Revision> {
        match self {
            What::Created { revision, .. }
            | What::Changed { revision, .. }
            | What::DeletionMarked { revision, .. }
            | What::Removed { revision }
            | What::PodBound { revision, .. }
            | What::PodPhase { revision, .. }
            | What::PodReady { revision, .. }
            | What::NodeReady { revision, .. }
            | What::Tainted { revision, .. }
            | What::Untainted { revision, .. }
            | What::Endpoints { revision, .. }
            | What::Replicas { revision, .. } => Some(*revision),
            _ => None,
        }
    }
    /// The variant's name, as `events.csv` shows it.
    pub const fn kind(&self) -> &'static str {
        match self {
            What::FaultInjected { .. } => "FaultInjected",
            What::FaultEnded { .. } => "FaultEnded",
            What::StepDone { .. } => "StepDone",
            What::StepFailed { .. } => "StepFailed",
            What::Started => "Started",
            What::Stopped => "Stopped",
            What::Silent { .. } => "Silent",
            What::RefusedToStart { .. } => "RefusedToStart",
            What::BecameFollower { .. } => "BecameFollower",
            What::BecameCandidate { .. } => "BecameCandidate",
            What::BecameLeader { .. } => "BecameLeader",
            What::Committed { .. } => "Committed",
            What::Compacted { .. } => "Compacted",
            What::Membership { .. } => "Membership",
            What::LeftCluster => "LeftCluster",
            What::Leading => "Leading",
            What::StoppedLeading => "StoppedLeading",
            What::Created { .. } => "Created",
            What::Changed { .. } => "Changed",
            What::DeletionMarked { .. } => "DeletionMarked",
            What::Removed { .. } => "Removed",
            What::PodBound { .. } => "PodBound",
            What::PodPhase { .. } => "PodPhase",
            What::PodReady { .. } => "PodReady",
            What::NodeReady { .. } => "NodeReady",
            What::Tainted { .. } => "Tainted",
            What::Untainted { .. } => "Untainted",
            What::Endpoints { .. } => "Endpoints",
            What::Replicas { .. } => "Replicas",
            What::Unschedulable { .. } => "Unschedulable",
            What::Pulled { .. } => "Pulled",
            What::PullFailed { .. } => "PullFailed",
            What::ContainerStarted { .. } => "ContainerStarted",
            What::ContainerExited { .. } => "ContainerExited",
            What::ProbeFailed { .. } => "ProbeFailed",
            What::Decided { .. } => "Decided",
            What::Traffic { .. } => "Traffic",
            What::EtcdOperations { .. } => "EtcdOperations",
            What::Nominated { .. } => "Nominated",
            What::Considered { .. } => "Considered",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::FaultInjected { description, .. } => write!(f, "fault: {description}"),
            What::FaultEnded { description, .. } => write!(f, "fault ends: {description}"),
            What::StepDone { description, .. } => write!(f, "step: {description}"),
            What::StepFailed { error, .. } => write!(f, "step failed: {error}"),
            What::Started => f.write_str("started"),
            What::Stopped => f.write_str("stopped"),
            What::Silent { of, since } => write!(f, "{of} silent for {since}"),
            What::RefusedToStart { reason } => write!(f, "refused to start: {reason}"),
            What::BecameFollower { term } => write!(f, "follower in term {term}"),
            What::BecameCandidate { term } => write!(f, "candidate in term {term}"),
            What::BecameLeader { term } => write!(f, "leader in term {term}"),
            What::Committed { revision, index, .. } => write!(f, "committed revision {revision} at index {index}"),
            What::Compacted { revision } => write!(f, "compacted to revision {revision}"),
            What::Membership { voters, outgoing, learners } => {
                write!(f, "voters {}", members(voters))?;
                if !outgoing.is_empty() {
                    write!(f, ", leaving {}", members(outgoing))?;
                }
                if learners.is_empty() { Ok(()) } else { write!(f, ", learners {}", members(learners)) }
            }
            What::LeftCluster => f.write_str("is no member any more"),
            What::Leading => f.write_str("leading"),
            What::StoppedLeading => f.write_str("stopped leading"),
            What::Created { .. } => f.write_str("created"),
            What::Changed { text, .. } => f.write_str(text),
            What::DeletionMarked { grace_seconds, .. } => write!(f, "marked for deletion, grace {grace_seconds} s"),
            What::Removed { .. } => f.write_str("removed"),
            What::PodBound { node, .. } => write!(f, "bound to {node}"),
            What::PodPhase { phase, reason, .. } if reason.is_empty() => f.write_str(phase.name()),
            What::PodPhase { phase, reason, .. } => write!(f, "{} ({reason})", phase.name()),
            What::PodReady { ready: true, .. } => f.write_str("ready"),
            What::PodReady { reason, .. } if reason.is_empty() => f.write_str("not ready"),
            What::PodReady { reason, .. } => write!(f, "not ready ({reason})"),
            What::NodeReady { status, reason, .. } => write!(f, "Ready={status} ({reason})"),
            What::Tainted { taint, .. } => write!(f, "taint {taint} added"),
            What::Untainted { taint, .. } => write!(f, "taint {taint} removed"),
            What::Endpoints { ready, total, .. } => write!(f, "{ready} of {total} endpoints ready"),
            What::Replicas { wanted, current, ready, available, .. } => {
                write!(f, "wanted {wanted}, current {current}, ready {ready}, available {available}")
            }
            What::Unschedulable { message } => write!(f, "unschedulable: {message}"),
            What::Pulled { image } => write!(f, "pulled {image}"),
            What::PullFailed { image, error } => write!(f, "could not pull {image}: {error}"),
            What::ContainerStarted { container, attempt: 0 } => write!(f, "container {container} started"),
            What::ContainerStarted { container, attempt } => write!(f, "container {container} started again ({attempt})"),
            What::ContainerExited { container, code } => write!(f, "container {container} exited with {code}"),
            What::ProbeFailed { container, probe } => write!(f, "{probe} probe of container {container} failed"),
            What::Decided { text } => f.write_str(text),
            What::Traffic { sent, ok, refused, reset, timeout, .. } => {
                write!(f, "sent {sent}, ok {ok}, refused {refused}, reset {reset}, timeout {timeout}")
            }
            What::EtcdOperations { sent, ok, failed, unknown, .. } => {
                write!(f, "operations {sent}, ok {ok}, failed {failed}, unknown {unknown}")
            }
            What::Nominated { node, victims } => {
                let names: Vec<&str> = victims.iter().map(Key::name).collect();
                write!(f, "nominated to {node}, evicting {}", names.join(" "))
            }
            What::Considered { nodes, feasible, .. } => write!(f, "{feasible} of {nodes} nodes fit"),
        }
    }
}

fn members(members: &[Member]) -> String {
    members.iter().map(Member::to_string).collect::<Vec<_>>().join(" ")
}
