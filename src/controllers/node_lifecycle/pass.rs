//! The monitor pass (`monitorNodeHealth`): eight nodes at a time are judged, written, tainted or cleared, and their pods marked; then the
//! zones are judged (`handleDisruption`).
//!
//! The eight go in step: a round has at most one request a node.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::taint_change::{TaintChange, TaintStep};
use super::zones::{Zone, ZoneState, judge, rate_milli};
use super::{
    EVICTION_PERIOD, Item, NodeLifecycleController, Progress, ZoneKey, health, no_execute_change, no_execute_taints, ready_status, zone_of,
};
use crate::base::{Cause, Duration, Name, Time};
use crate::client::{Cache, Reply};
use crate::controllers::{Answers, Outcome, Requests};
use crate::objects::node::taints::{NOT_READY, UNREACHABLE};
use crate::objects::{Condition, ConditionStatus, Key, Kind, Node, NodeStatus, Object, Stored, TaintEffect};
use crate::wire::ApiError;
use crate::wire::api::{Part, Patch, Reason, Verb};
use crate::wire::fact::{Fact, Subject, What};

/// `nodeUpdateWorkerSize`
const WIDTH: usize = 8;
/// `NodeHealthUpdateRetry`
const ATTEMPTS: u32 = 5;
const EXCLUDE_DISRUPTION: &str = "node.kubernetes.io/exclude-disruption";

/// A pass under way.
pub struct Pass {
    phase: Phase,
    nodes: Vec<Name>,
    waiting: VecDeque<Name>,
    tasks: Vec<Task>,
    /// Ready and not ready nodes by zone.
    counts: BTreeMap<ZoneKey, (usize, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nodes seen for the first time lose NoExecute taints that an earlier manager left.
    Added,
    /// All nodes are judged.
    Judging,
    /// Everything is down: nobody is to be evicted.
    Pardon,
}

/// A node that needs requests.
struct Task {
    node: Name,
    zone: ZoneKey,
    /// The Ready condition before and after this pass judged it.
    observed: Option<ConditionStatus>,
    current: Option<ConditionStatus>,
    because: Cause,
    step: Step,
}

enum Step {
    /// The silent node's status is written.
    Write {
        stored: Stored,
        status: Box<NodeStatus>,
        silent: Duration,
        attempt: u32,
    },
    Reread {
        silent: Duration,
        attempt: u32,
    },
    Taint(TaintChange),
    Pods {
        pods: VecDeque<Key>,
        failed: bool,
    },
}

impl NodeLifecycleController {
    pub(super) fn begin_pass(&mut self, cache: &Cache) -> Box<Pass> {
        let nodes: Vec<Name> = cache.list(Kind::Node).map(|(_, stored)| stored.object.meta().name.clone()).collect();
        let added = nodes.iter().filter(|node| !self.health.contains_key(*node)).cloned().collect();
        self.health.retain(|node, _| cache.node(node).is_some());
        Box::new(Pass { phase: Phase::Added, nodes, waiting: added, tasks: Vec::new(), counts: BTreeMap::new() })
    }

    /// Begins with as many nodes as there is room for, until something must be waited for or the pass is over.
    pub(super) fn go_on(&mut self, now: Time, mut pass: Box<Pass>, cache: &Cache, out: &mut Requests<Item>) -> Outcome<Progress> {
        loop {
            let width = if pass.phase == Phase::Judging { WIDTH } else { 1 };
            while pass.tasks.len() < width
                && let Some(node) = pass.waiting.pop_front()
            {
                let Some(stored) = cache.get(&Key::node(&node)) else { continue };
                let task = match pass.phase {
                    Phase::Judging => self.judge(now, stored, &mut pass.counts, cache, out),
                    Phase::Added | Phase::Pardon => self.clear(stored),
                };
                pass.tasks.extend(task);
            }
            if !pass.tasks.is_empty() {
                pass.tasks.iter().for_each(|task| task.send(now, out));
                return Outcome::Await(Progress::Pass(pass));
            }
            match pass.phase {
                Phase::Added => {
                    pass.phase = Phase::Judging;
                    pass.waiting = pass.nodes.iter().cloned().collect();
                }
                Phase::Judging => {
                    if self.judge_zones(now, &pass.counts) {
                        pass.waiting = pass.nodes.iter().cloned().collect();
                    }
                    pass.phase = Phase::Pardon;
                }
                Phase::Pardon => {
                    out.enqueue_after(Item::Pass, self.config.node_monitor_period);
                    self.arm_evictions(now, out);
                    return Outcome::Done;
                }
            }
        }
    }

    pub(super) fn pass_answered(
        &mut self,
        now: Time,
        mut pass: Box<Pass>,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Outcome<Progress> {
        for (number, task) in std::mem::take(&mut pass.tasks).into_iter().enumerate() {
            let task = self.answered(now, task, answers.get(number), &mut pass.counts, cache, out);
            pass.tasks.extend(task);
        }
        self.go_on(now, pass, cache, out)
    }

    /// Judges a node; a task if it needs requests.
    fn judge(
        &mut self,
        now: Time,
        stored: &Stored,
        counts: &mut BTreeMap<ZoneKey, (usize, usize)>,
        cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Option<Task> {
        let node = stored.object.as_node().expect("a node's key names a node");
        let name = &node.meta.name;
        let lease = self.leases.get(name).copied();
        let finding = health::examine(self.health.get(name), node, lease.map(|(renewed, _)| renewed), now, &self.config);
        let probe = finding.health.probe;
        match self.health.get_mut(name) {
            Some(health) => *health = finding.health,
            None => drop(self.health.insert(name.clone(), finding.health)),
        }
        let observed = ready_status(node);
        let zone = zone_of(node);
        let task = |step, because, current| Task { node: name.clone(), zone: zone.clone(), observed, current, because, step };
        if let Some(status) = finding.write {
            // What the silence is counted from: the last renewal, or else the last pass that heard of the node.
            let silent = now.since(lease.map_or(probe, |(renewed, _)| renewed));
            let because = lease.map_or(stored.because(), |(_, because)| because);
            let step = Step::Write { stored: stored.clone(), status: Box::new(status), silent, attempt: 1 };
            return Some(task(step, because, Some(ConditionStatus::Unknown)));
        }
        let quiet = task(Step::Pods { pods: VecDeque::new(), failed: false }, stored.because(), observed);
        self.after_judgement(now, quiet, node, counts, cache, out)
    }

    /// Counts the node for its zone and sees to its NoExecute taint (`processTaintBaseEviction`).
    fn after_judgement(
        &mut self,
        now: Time,
        mut task: Task,
        node: &Node,
        counts: &mut BTreeMap<ZoneKey, (usize, usize)>,
        cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Option<Task> {
        if node.meta.label(EXCLUDE_DISRUPTION).is_none() {
            let ready = task.current == Some(ConditionStatus::True);
            match counts.get_mut(&task.zone) {
                Some((yes, no)) => *if ready { yes } else { no } += 1,
                None => drop(counts.insert(task.zone.clone(), (usize::from(ready), usize::from(!ready)))),
            }
        }
        let config = self.config.clone();
        let zone = match self.zones.get_mut(&task.zone) {
            Some(zone) => zone,
            None => self.zones.entry(task.zone.clone()).or_insert_with(|| Zone::new(&config)),
        };
        let change = match task.current.map(no_execute_taints) {
            None => None,
            Some(None) => {
                zone.remove(&task.node);
                clearing(node)
            }
            Some(Some((wanted, opposite))) if node.taint(opposite, TaintEffect::NoExecute).is_some() => {
                // It is tainted already: the other taint at once. The node at hand may not show the written status yet.
                let mut as_written = node.clone();
                as_written.status.conditions.retain(|condition| condition.kind != "Ready");
                let status = if wanted == UNREACHABLE { ConditionStatus::Unknown } else { ConditionStatus::False };
                as_written.status.conditions.push(Condition::new("Ready", status, "", now));
                no_execute_change(&as_written, now)
            }
            Some(Some((wanted, _))) => {
                if node.taint(wanted, TaintEffect::NoExecute).is_none() {
                    zone.remove(&task.node);
                }
                if zone.add(&task.node, now, task.because) {
                    let tick = (now + Duration::from_nanos(1)).next_tick(self.phase, EVICTION_PERIOD);
                    out.enqueue_after(Item::Evictions, tick.since(now));
                }
                None
            }
        };
        match change {
            Some(change) => {
                task.step = Step::Taint(change);
                Some(task)
            }
            None => self.pods_of(task, cache),
        }
    }

    /// The pods of a node that has just been found silent, or whose pods could not all be marked last time.
    fn pods_of(&mut self, mut task: Task, cache: &Cache) -> Option<Task> {
        let unready = task.current.is_some() && task.current != Some(ConditionStatus::True);
        let retry = self.pods_to_mark.contains(&task.node);
        if !(unready && task.observed == Some(ConditionStatus::True) || retry && task.observed != Some(ConditionStatus::True)) {
            if retry {
                self.pods_to_mark.remove(&task.node);
            }
            return None;
        }
        let ready = |stored: &Stored| stored.object.as_pod().is_some_and(crate::objects::Pod::is_ready);
        let pods: VecDeque<Key> = cache.pods_on(&task.node).filter(|(_, stored)| ready(stored)).map(|(key, _)| key.clone()).collect();
        if pods.is_empty() {
            self.pods_to_mark.remove(&task.node);
            return None;
        }
        task.step = Step::Pods { pods, failed: false };
        Some(task)
    }

    /// A task that takes the NoExecute taints off a node and the node out of its queue (`markNodeAsReachable`).
    fn clear(&mut self, stored: &Stored) -> Option<Task> {
        let node = stored.object.as_node().expect("a node's key names a node");
        let zone = zone_of(node);
        if let Some(zone) = self.zones.get_mut(&zone) {
            zone.remove(&node.meta.name);
        }
        let step = Step::Taint(clearing(node)?);
        // Ready, as far as the rest of the task is concerned: nothing follows.
        Some(Task { node: node.meta.name.clone(), zone, observed: None, current: None, because: stored.because(), step })
    }

    fn answered(
        &mut self,
        now: Time,
        mut task: Task,
        result: &Result<Reply, ApiError>,
        counts: &mut BTreeMap<ZoneKey, (usize, usize)>,
        cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Option<Task> {
        match task.step {
            Step::Write { silent, attempt, .. } => match result {
                Ok(Reply::Object(written)) => {
                    task.because = written.because();
                    task.step = Step::Pods { pods: VecDeque::new(), failed: false };
                    let node = written.object.as_node()?.clone();
                    self.after_judgement(now, task, &node, counts, cache, out)
                }
                _ if attempt < ATTEMPTS => {
                    task.step = Step::Reread { silent, attempt: attempt + 1 };
                    Some(task)
                }
                // The next pass tries again.
                _ => None,
            },
            Step::Reread { silent, attempt } => {
                let Ok(Reply::Object(live)) = result else { return None };
                let node = live.object.as_node()?;
                let renewed = self.leases.get(&task.node).map(|(renewed, _)| *renewed);
                let finding = health::examine(self.health.get(&task.node), node, renewed, now, &self.config);
                task.observed = ready_status(node);
                self.health.insert(task.node.clone(), finding.health);
                match finding.write {
                    Some(status) => {
                        task.step = Step::Write { stored: live.clone(), status: Box::new(status), silent, attempt };
                        Some(task)
                    }
                    None => {
                        task.current = task.observed;
                        task.step = Step::Pods { pods: VecDeque::new(), failed: false };
                        let node = node.clone();
                        self.after_judgement(now, task, &node, counts, cache, out)
                    }
                }
            }
            Step::Taint(mut change) => match change.answered(result) {
                TaintStep::Send => {
                    task.step = Step::Taint(change);
                    Some(task)
                }
                TaintStep::Done | TaintStep::Failed => {
                    task.step = Step::Pods { pods: VecDeque::new(), failed: false };
                    self.pods_of(task, cache)
                }
            },
            Step::Pods { mut pods, failed } => {
                pods.pop_front();
                let failed = failed || result.as_ref().is_err_and(|error| error.reason != Reason::NotFound);
                if pods.is_empty() {
                    if failed {
                        self.pods_to_mark.insert(task.node);
                    } else {
                        self.pods_to_mark.remove(&task.node);
                    }
                    return None;
                }
                task.step = Step::Pods { pods, failed };
                Some(task)
            }
        }
    }

    /// Sets each zone's rate by its state. True: everything is down, and all NoExecute taints must go (`handleDisruption`).
    fn judge_zones(&mut self, now: Time, counts: &BTreeMap<ZoneKey, (usize, usize)>) -> bool {
        let config = self.config.clone();
        let states: BTreeMap<&ZoneKey, ZoneState> = counts.iter().map(|(key, (ready, not))| (key, judge(*ready, *not, &config))).collect();
        self.zones.retain(|key, _| counts.contains_key(key));
        let all_full = states.values().all(|state| *state == ZoneState::Full);
        let all_were_full = self.zones.values().all(|zone| zone.state == ZoneState::Full);
        if all_full && all_were_full {
            return false;
        }
        let size = |key: &ZoneKey| counts.get(key).map_or(0, |(ready, not)| ready + not);
        for (key, zone) in &mut self.zones {
            let state = states[key];
            if all_full {
                zone.set_rate(now, 0);
                zone.state = ZoneState::Full;
            } else if all_were_full || zone.state != state {
                zone.set_rate(now, rate_milli(state, size(key), &config));
                zone.state = state;
            }
        }
        if all_were_full {
            // Everything was silent because nobody could be heard: all clocks start afresh.
            self.health.values_mut().for_each(|health| health.probe = now);
        }
        all_full
    }
}

impl Task {
    fn send(&self, now: Time, out: &mut Requests<Item>) {
        match &self.step {
            Step::Write { stored, status, silent, .. } => {
                let of = Subject::Object(Key::node(&self.node));
                out.record_because(Fact { subject: of.clone(), what: What::Silent { of, since: *silent } }, self.because);
                let mut node = stored.object.as_node().expect("a node's key names a node").clone();
                node.status = (**status).clone();
                out.send(Verb::Update { object: Arc::new(Object::Node(node)), part: Part::Status, revision: Some(stored.revision) });
            }
            Step::Reread { .. } => {
                out.send_because(Verb::Get { key: Key::node(&self.node), fresh: true }, self.because);
            }
            Step::Taint(change) => {
                out.send_because(change.request(), self.because);
            }
            Step::Pods { pods, .. } => {
                let key = pods.front().expect("a task without pods is over").clone();
                let condition = Condition::new("Ready", false, "NodeNotReady", now);
                out.send_because(
                    Verb::Patch { key, patch: Patch::Condition { condition, nominated_node: None }, part: Part::Status },
                    self.because,
                );
            }
        }
    }
}

/// The change that takes both NoExecute taints of this controller off; `None` if the node has none.
fn clearing(node: &Node) -> Option<TaintChange> {
    let present = [NOT_READY, UNREACHABLE].into_iter().filter(|key| node.taint(key, TaintEffect::NoExecute).is_some());
    let remove: Vec<(Name, TaintEffect)> = present.map(|key| (key.into(), TaintEffect::NoExecute)).collect();
    (!remove.is_empty()).then(|| TaintChange::new(&node.meta.name, Vec::new(), remove))
}
