//! Node lifecycle (k/k `pkg/controller/nodelifecycle/node_lifecycle_controller.go`): nodes that fall
//! silent become Unknown, their pods not ready; NoSchedule taints follow the conditions at once, NoExecute taints at a rate per zone.
//!
//! Two controllers share the client `node-controller`: [`NodeLifecycleController`] with the monitor pass and the NoExecute queues, and
//! [`NodeTaintController`] with the NoSchedule taints. A pass runs every five seconds, counted from the end of the last one, and takes
//! time itself (`Work::MonitorPass`): so ten passes last longer than the grace period of 50 s.
//!
//! Left out: node labels that the controller reconciles, and the marking of pods bound to a node that is not ready already.
//!
//! Invariant: a node waits in the NoExecute queue of its own zone at most once.

mod health;
mod no_schedule;
mod pass;
mod taint_change;
#[cfg(test)]
mod tests;
mod zones;

pub use no_schedule::NodeTaintController;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answers, Config, Controller, Items, Outcome, Requests};
use crate::base::{Cause, Duration, Map, Name, Time};
use crate::client::{Cache, Change};
use crate::objects::node::labels;
use crate::objects::{ConditionStatus, Conditions, Kind, Node, Taint, TaintEffect};
use health::Health;
use pass::Pass;
use taint_change::{TaintChange, TaintStep};
use zones::Zone;

/// The name under which upstream's node lifecycle controller talks to the API server.
const CLIENT: &str = "node-controller";
/// `NodeEvictionPeriod`: how often the NoExecute queues are served.
const EVICTION_PERIOD: Duration = Duration::from_millis(100);
/// The namespace of the nodes' leases.
const NODE_LEASES: &str = "kube-node-lease";

/// Region and zone: nodes without these labels are a zone of their own.
type ZoneKey = (Name, Name);

/// What the queue holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    /// The monitor pass.
    Pass,
    /// The NoExecute queues of all zones.
    Evictions,
}

/// See the module.
pub struct NodeLifecycleController {
    config: Arc<Config>,
    /// By node name, sorted: the nodes that passes have seen.
    health: BTreeMap<Name, Health>,
    /// The renewals of node leases, as the cache has them, with the revisions that brought them.
    leases: Map<Name, (Time, Cause)>,
    zones: BTreeMap<ZoneKey, Zone>,
    /// Nodes whose pods could not all be marked not ready (`nodesToRetry`).
    pods_to_mark: BTreeSet<Name>,
    /// The instant from which the ticks of the eviction loop are counted.
    phase: Time,
}

/// Where an item stands that waits for answers.
pub enum Progress {
    /// The work of a pass is being done.
    Begin,
    Pass(Box<Pass>),
    Evictions(Vec<Eviction>),
}

/// A node that gets its NoExecute taint.
pub struct Eviction {
    zone: ZoneKey,
    node: Name,
    because: Cause,
    change: TaintChange,
}

impl NodeLifecycleController {
    pub fn new(config: Arc<Config>) -> NodeLifecycleController {
        NodeLifecycleController {
            config,
            health: BTreeMap::new(),
            leases: Map::default(),
            zones: BTreeMap::new(),
            pods_to_mark: BTreeSet::new(),
            phase: Time::ZERO,
        }
    }

    /// Comes back to the NoExecute queues at the first tick at which a node may leave one.
    fn arm_evictions(&self, now: Time, out: &mut Requests<Item>) {
        let due = self.zones.values().map(|zone| zone.next_due(now)).min().unwrap_or(Time::NEVER);
        if due != Time::NEVER {
            let tick = due.max(now + Duration::from_nanos(1)).next_tick(self.phase, EVICTION_PERIOD);
            out.enqueue_after(Item::Evictions, tick.since(now));
        }
    }

    /// Takes from each queue the nodes whose turn it is (`doNoExecuteTaintingPass`).
    fn serve_queues(&mut self, now: Time, cache: &Cache, out: &mut Requests<Item>) -> Outcome<Progress> {
        let mut evictions = Vec::new();
        for (key, zone) in &mut self.zones {
            while let Some((name, because)) = zone.take_due(now) {
                let Some(node) = cache.node(&name) else { continue };
                let Some(change) = no_execute_change(node, now) else { continue };
                evictions.push(Eviction { zone: key.clone(), node: name, because, change });
            }
        }
        self.await_evictions(now, evictions, out)
    }

    fn await_evictions(&mut self, now: Time, evictions: Vec<Eviction>, out: &mut Requests<Item>) -> Outcome<Progress> {
        if evictions.is_empty() {
            self.arm_evictions(now, out);
            return Outcome::Done;
        }
        for eviction in &evictions {
            out.send_because(eviction.change.request(), eviction.because);
        }
        Outcome::Await(Progress::Evictions(evictions))
    }

    fn evictions_answered(
        &mut self,
        now: Time,
        evictions: Vec<Eviction>,
        answers: &Answers,
        out: &mut Requests<Item>,
    ) -> Outcome<Progress> {
        let mut going_on = Vec::new();
        for (number, mut eviction) in evictions.into_iter().enumerate() {
            match eviction.change.answered(answers.get(number)) {
                TaintStep::Send => going_on.push(eviction),
                TaintStep::Done => {}
                TaintStep::Failed => {
                    if let Some(zone) = self.zones.get_mut(&eviction.zone) {
                        zone.put_back(eviction.node, now, eviction.because);
                    }
                }
            }
        }
        self.await_evictions(now, going_on, out)
    }
}

impl Controller for NodeLifecycleController {
    type Item = Item;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }
    fn client(&self) -> &'static str {
        CLIENT
    }
    /// One for the pass, one for the queues.
    fn workers(&self) -> usize {
        2
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Lease, Kind::Pod]
    }
    fn start(&mut self, now: Time, _cache: &Cache, items: &mut Items<Item>) {
        self.phase = now;
        items.add(Item::Pass);
    }
    /// Nothing becomes due by a change: passes look.
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, _items: &mut Items<Item>) {
        if change.kind() != Kind::Lease || change.key.namespace() != NODE_LEASES {
            return;
        }
        let renewed = change.new.as_ref().and_then(|stored| stored.object.as_lease()).and_then(|lease| lease.spec.renew_time);
        match renewed {
            Some(renewed) => match self.leases.get_mut(change.key.name()) {
                Some(lease) => *lease = (renewed, change.cause),
                None => drop(self.leases.insert(Name::new(change.key.name()), (renewed, change.cause))),
            },
            None => drop(self.leases.remove(change.key.name())),
        }
    }

    fn reconcile(&mut self, now: Time, item: &Item, cache: &Cache, out: &mut Requests<Item>) -> Outcome<Progress> {
        match item {
            Item::Pass => {
                out.work(crate::wire::Work::MonitorPass { nodes: cache.list(Kind::Node).count() as u32 });
                Outcome::Await(Progress::Begin)
            }
            Item::Evictions => self.serve_queues(now, cache, out),
        }
    }

    fn resume(
        &mut self,
        now: Time,
        _item: &Item,
        progress: Progress,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Outcome<Progress> {
        match progress {
            Progress::Begin => {
                let pass = self.begin_pass(cache);
                self.go_on(now, pass, cache, out)
            }
            Progress::Pass(pass) => self.pass_answered(now, pass, answers, cache, out),
            Progress::Evictions(evictions) => self.evictions_answered(now, evictions, answers, out),
        }
    }
}

fn zone_of(node: &Node) -> ZoneKey {
    let label = |key| node.meta.label(key).cloned().unwrap_or_default();
    (label(labels::REGION), label(labels::ZONE))
}

fn ready_status(node: &Node) -> Option<ConditionStatus> {
    node.status.conditions.get("Ready").map(|ready| ready.status)
}

/// The taint that a node's Ready condition asks for, and its opposite; they exclude each other.
fn no_execute_taints(ready: ConditionStatus) -> Option<(&'static str, &'static str)> {
    use crate::objects::node::taints::{NOT_READY, UNREACHABLE};
    match ready {
        ConditionStatus::False => Some((NOT_READY, UNREACHABLE)),
        ConditionStatus::Unknown => Some((UNREACHABLE, NOT_READY)),
        ConditionStatus::True => None,
    }
}

/// The change that gives a node its NoExecute taint and takes the opposite one off; `None` if it is ready.
fn no_execute_change(node: &Node, now: Time) -> Option<TaintChange> {
    let (wanted, opposite) = no_execute_taints(ready_status(node)?)?;
    let add = taint(wanted, TaintEffect::NoExecute, now);
    Some(TaintChange::new(&node.meta.name, vec![add], vec![(opposite.into(), TaintEffect::NoExecute)]))
}

fn taint(key: &str, effect: TaintEffect, now: Time) -> Taint {
    Taint { key: key.into(), value: Name::default(), effect, time_added: Some(now.truncate_to_second()) }
}
