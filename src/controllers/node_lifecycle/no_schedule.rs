//! NoSchedule taints mirror a node's conditions at once (`doNoScheduleTaintingPass`, eight workers).

use super::taint_change::{TaintChange, TaintStep};
use super::{CLIENT, taint};
use crate::base::{Name, Time};
use crate::client::{Cache, Change};
use crate::controllers::{Answers, Controller, Items, Outcome, Requests};
use crate::objects::node::taints::{
    DISK_PRESSURE, MEMORY_PRESSURE, NETWORK_UNAVAILABLE, NOT_READY, PID_PRESSURE, UNREACHABLE, UNSCHEDULABLE,
};
use crate::objects::{ConditionStatus, Conditions, Key, Kind, Node, TaintEffect};

/// k/k `pkg/controller/nodelifecycle/scheduler/taint_manager.go`, `UpdateWorkerSize`.
const WORKERS: usize = 8;

/// Condition, status, taint (`nodeConditionToTaintKeyStatusMap`).
const MIRRORED: [(&str, ConditionStatus, &str); 6] = [
    ("Ready", ConditionStatus::False, NOT_READY),
    ("Ready", ConditionStatus::Unknown, UNREACHABLE),
    ("MemoryPressure", ConditionStatus::True, MEMORY_PRESSURE),
    ("DiskPressure", ConditionStatus::True, DISK_PRESSURE),
    ("NetworkUnavailable", ConditionStatus::True, NETWORK_UNAVAILABLE),
    ("PIDPressure", ConditionStatus::True, PID_PRESSURE),
];

/// See the module.
#[derive(Default)]
pub struct NodeTaintController {}

/// The taints that the node should have and those that it should lose; `None` if it is as it should be.
pub(super) fn difference(node: &Node, now: Time) -> Option<TaintChange> {
    let holds = |(kind, status, _): &(&str, ConditionStatus, &str)| {
        node.status.conditions.get(kind).is_some_and(|condition| condition.status == *status)
    };
    let cordon = [(UNSCHEDULABLE, node.spec.unschedulable)];
    let wanted = MIRRORED.iter().map(|mirrored| (mirrored.2, holds(mirrored))).chain(cordon);
    let (mut add, mut remove): (Vec<_>, Vec<(Name, TaintEffect)>) = (Vec::new(), Vec::new());
    for (key, wanted) in wanted {
        let present = node.taint(key, TaintEffect::NoSchedule).is_some();
        if wanted && !present {
            add.push(taint(key, TaintEffect::NoSchedule, now));
        } else if present && !wanted {
            remove.push((key.into(), TaintEffect::NoSchedule));
        }
    }
    (!add.is_empty() || !remove.is_empty()).then(|| TaintChange::new(&node.meta.name, add, remove))
}

/// Where a node's sync stands.
pub struct Tainting(TaintChange);

impl Controller for NodeTaintController {
    type Item = Key;
    type Progress = Tainting;

    fn name(&self) -> &'static str {
        "node-taint-controller"
    }
    fn client(&self) -> &'static str {
        CLIENT
    }
    fn workers(&self) -> usize {
        WORKERS
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node]
    }
    fn items_for(&mut self, now: Time, change: &Change, _cache: &Cache, items: &mut Items<Key>) {
        let node = change.new.as_ref().and_then(|stored| stored.object.as_node());
        if node.is_some_and(|node| difference(node, now).is_some()) {
            items.add(change.key.clone());
        }
    }
    fn reconcile(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Tainting> {
        let Some(change) = cache.get(key).and_then(|stored| difference(stored.object.as_node()?, now)) else { return Outcome::Done };
        out.send(change.request());
        Outcome::Await(Tainting(change))
    }
    fn resume(
        &mut self,
        _now: Time,
        _key: &Key,
        Tainting(mut change): Tainting,
        answers: &Answers,
        _cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Tainting> {
        match change.answered(answers.get(0)) {
            TaintStep::Send => {
                out.send(change.request());
                Outcome::Await(Tainting(change))
            }
            TaintStep::Done => Outcome::Done,
            TaintStep::Failed => Outcome::Retry,
        }
    }
}
