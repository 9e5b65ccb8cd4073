//! When a node was last heard of, and what its status becomes when that is too long ago (`tryUpdateNodeHealth`). Pure.

use super::super::Config;
use crate::base::Time;
use crate::objects::{Condition, ConditionStatus, Conditions, Node, NodeStatus};

/// The conditions that turn Unknown; NetworkUnavailable does not.
const JUDGED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What passes remember of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Health {
    /// The pass that last saw something new from the node: not when the node said it.
    pub probe: Time,
    /// The newest renewal of its lease that a pass has seen.
    renewed: Option<Time>,
    /// The heartbeat of its Ready condition; the outer `None`: it had no such condition.
    heartbeat: Option<Option<Time>>,
}

/// What a pass finds out about a node.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub health: Health,
    /// The status to be written: the node has been silent for too long, and its conditions don't say so yet.
    pub write: Option<NodeStatus>,
}

/// Judges a node at an instant of a pass.
pub(super) fn examine(before: Option<&Health>, node: &Node, renewed: Option<Time>, now: Time, config: &Config) -> Finding {
    let ready = node.status.conditions.get("Ready");
    let heartbeat = ready.map(|ready| ready.last_heartbeat_time);
    let created = node.meta.creation_timestamp.unwrap_or(now);
    let grace = if ready.is_some() { config.node_monitor_grace_period } else { config.node_startup_grace_period };
    let probe = match before {
        // A node that never posted a status counts from its creation.
        None if ready.is_none() => created,
        None => now,
        Some(before) if ready.is_some() && before.heartbeat != heartbeat => now,
        Some(before) if before.renewed.is_none_or(|seen| renewed.is_some_and(|renewed| renewed > seen)) && renewed.is_some() => now,
        Some(before) => before.probe,
    };
    // A lease that was renewed is news for a node that posted nothing, too.
    let probe = if before.is_none() && renewed.is_some() { now } else { probe };
    let health = Health { probe, renewed: renewed.max(before.and_then(|before| before.renewed)), heartbeat };
    let write = (now > probe + grace).then(|| silenced(node, now)).flatten();
    Finding { health, write }
}

/// The status of a node that has fallen silent; `None` if it says so already.
fn silenced(node: &Node, now: Time) -> Option<NodeStatus> {
    if node.status.conditions.get("Ready").is_some_and(|ready| ready.status == ConditionStatus::Unknown) {
        return None;
    }
    let mut status = node.status.clone();
    for kind in JUDGED {
        let condition = match status.conditions.get(kind) {
            None => Condition {
                message: "Kubelet never posted node status.".into(),
                last_heartbeat_time: node.meta.creation_timestamp,
                ..Condition::new(kind, ConditionStatus::Unknown, "NodeStatusNeverUpdated", now)
            },
            Some(present) if present.status == ConditionStatus::Unknown => continue,
            Some(present) => Condition {
                message: "Kubelet stopped posting node status.".into(),
                last_heartbeat_time: present.last_heartbeat_time,
                ..Condition::new(kind, ConditionStatus::Unknown, "NodeStatusUnknown", now)
            },
        };
        status.conditions.set(condition);
    }
    Some(status)
}
