//! Pod garbage collection (k/k `pkg/controller/podgc/gc_controller.go`): every 20 s, pods that nobody
//! else would ever remove.
//!
//! Nothing scans all pods: the changes keep count of bound pods by node and sets of the few that a pass may want.
//!
//! Invariant: a pod of an absent node is deleted only after 40 s of absence and a live read that finds no such node.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Cause, Duration, Name, Time};
use crate::client::{Cache, Change};
use crate::objects::node::taints::OUT_OF_SERVICE;
use crate::objects::{Condition, Key, Kind, Node, Pod, Stored};
use crate::wire::api::{DeleteOptions, Part, Patch, Reason, Verb};

/// `quarantineTime`
const QUARANTINE: Duration = Duration::from_secs(40);

/// The one loop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pass;

/// See the module.
pub struct PodGarbageCollector {
    period: Duration,
    threshold: usize,
    /// How many pods are bound to each node, by name, whether the node exists or not.
    bound: BTreeMap<Name, usize>,
    terminal: BTreeSet<Key>,
    /// Marked for deletion: unscheduled ones, and those on nodes out of service, are among them.
    deleting: BTreeSet<Key>,
    /// Since when a node with pods is absent.
    absent: BTreeMap<Name, Time>,
    /// The deletions of nodes that had pods: what their collection is caused by.
    deletions: BTreeMap<Name, Cause>,
}

/// Where a pass stands.
#[derive(Debug)]
pub enum Progress {
    /// These nodes were asked for.
    Confirming(Vec<Name>),
    /// These pods are marked as failed; they are deleted next.
    Failing(Vec<Key>),
    Deleting,
}

impl PodGarbageCollector {
    pub fn new(period: Duration, threshold: usize) -> PodGarbageCollector {
        PodGarbageCollector {
            period,
            threshold,
            bound: BTreeMap::new(),
            terminal: BTreeSet::new(),
            deleting: BTreeSet::new(),
            absent: BTreeMap::new(),
            deletions: BTreeMap::new(),
        }
    }

    fn count(&mut self, key: &Key, pod: &Pod, present: bool) {
        let note = |set: &mut BTreeSet<Key>, belongs: bool| {
            if belongs && present {
                set.insert(key.clone());
            } else if belongs {
                set.remove(key);
            }
        };
        note(&mut self.terminal, pod.status.phase.is_terminal());
        note(&mut self.deleting, pod.meta.is_deleting());
        let Some(node) = &pod.node else { return };
        if present {
            *self.bound.entry(node.clone()).or_default() += 1;
        } else if let Some(count) = self.bound.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                self.bound.remove(node);
            }
        }
    }

    /// Absent nodes whose quarantine is over.
    fn absent_long_enough(&mut self, now: Time, cache: &Cache) -> Vec<Name> {
        self.absent.retain(|node, _| cache.node(node).is_none());
        for node in self.bound.keys().filter(|node| cache.node(node).is_none()) {
            self.absent.entry(node.clone()).or_insert(now);
        }
        self.absent.iter().filter(|(_, since)| now.since(**since) >= QUARANTINE).map(|(node, _)| node.clone()).collect()
    }

    /// What this pass collects, with why where the pod must be told.
    fn collect(&self, gone: &[Name], cache: &Cache) -> Vec<(Key, Option<&'static str>)> {
        let mut pods: Vec<(Key, Option<&'static str>)> = Vec::new();
        let surplus = self.terminal.len().saturating_sub(self.threshold);
        if surplus > 0 {
            let mut terminal: Vec<(&Key, &Pod)> = self.terminal.iter().filter_map(|key| Some((key, cache.pod(key)?))).collect();
            // Evicted ones first, then the oldest.
            terminal.sort_by_key(|(key, pod)| (pod.status.reason != "Evicted", pod.meta.creation_timestamp, (*key).clone()));
            pods.extend(terminal.into_iter().take(surplus).map(|(key, _)| (key.clone(), None)));
        }
        for (key, pod) in self.deleting.iter().filter_map(|key| Some((key, cache.pod(key)?))) {
            match pod.node.as_ref().map(|node| cache.node(node)) {
                None => pods.push((key.clone(), None)),
                Some(Some(node)) if is_out_of_service(node) => pods.push((key.clone(), Some("PodGC: node is out of service"))),
                Some(_) => {}
            }
        }
        for (key, _) in gone.iter().flat_map(|node| cache.pods_on(node)) {
            pods.push((key.clone(), Some("PodGC: node no longer exists")));
        }
        pods
    }

    /// Why a pod is collected: its node's deletion, or what it is itself.
    fn because(&self, stored: &Stored) -> Cause {
        let node = stored.object.as_pod().and_then(|pod| pod.node.as_ref());
        node.and_then(|node| self.deletions.get(node)).copied().unwrap_or(stored.because())
    }
    fn finish(&self, out: &mut Requests<Pass>) -> Outcome<Progress> {
        out.enqueue_after(Pass, self.period);
        Outcome::Done
    }

    /// Pods that are told are marked as failed first, if they are not terminal yet.
    fn remove(&self, now: Time, pods: Vec<(Key, Option<&'static str>)>, cache: &Cache, out: &mut Requests<Pass>) -> Outcome<Progress> {
        if pods.is_empty() {
            return self.finish(out);
        }
        for (key, message) in &pods {
            let Some(stored) = cache.get(key) else { continue };
            if let (Some(message), false) = (message, stored.object.as_pod().is_none_or(|pod| pod.status.phase.is_terminal())) {
                fail((now, self.because(stored)), key, message, out);
            }
        }
        let keys: Vec<Key> = pods.into_iter().map(|(key, _)| key).collect();
        if out.sent() > 0 { Outcome::Await(Progress::Failing(keys)) } else { self.delete(keys, cache, out) }
    }

    fn delete(&self, pods: Vec<Key>, cache: &Cache, out: &mut Requests<Pass>) -> Outcome<Progress> {
        for key in pods {
            let Some(stored) = cache.get(&key) else { continue };
            let uid = Some(stored.object.meta().uid.clone());
            let options = DeleteOptions { grace_period_seconds: Some(0), uid, ..DeleteOptions::default() };
            out.send_because(Verb::Delete { key, options }, self.because(stored));
        }
        if out.sent() > 0 { Outcome::Await(Progress::Deleting) } else { self.finish(out) }
    }
}

fn is_out_of_service(node: &Node) -> bool {
    !node.is_ready() && node.spec.taints.iter().any(|taint| taint.key == *OUT_OF_SERVICE)
}

fn fail((now, because): (Time, Cause), key: &Key, message: &'static str, out: &mut Requests<Pass>) {
    let condition = Condition { message: message.into(), ..Condition::new("DisruptionTarget", true, "DeletionByPodGC", now) };
    let patch = serde_json::json!({ "status": { "phase": "Failed", "conditions": [condition] } });
    out.send_because(Verb::Patch { key: key.clone(), patch: Patch::Strategic(patch), part: Part::Status }, because);
}

impl Controller for PodGarbageCollector {
    type Item = Pass;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::Node]
    }
    fn start(&mut self, _now: Time, _cache: &Cache, items: &mut Items<Pass>) {
        items.add(Pass);
    }
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, _items: &mut Items<Pass>) {
        if let Some(node) = change.object().as_node() {
            match &change.new {
                None => drop(self.deletions.insert(node.meta.name.clone(), change.cause)),
                Some(_) => drop(self.deletions.remove(&node.meta.name)),
            }
            return;
        }
        for (version, present) in [(&change.old, false), (&change.new, true)] {
            if let Some(pod) = version.as_ref().and_then(|stored| stored.object.as_pod()) {
                self.count(&change.key, pod, present);
            }
        }
    }
    fn reconcile(&mut self, now: Time, _item: &Pass, cache: &Cache, out: &mut Requests<Pass>) -> Outcome<Progress> {
        let nodes = self.absent_long_enough(now, cache);
        if nodes.is_empty() {
            return self.remove(now, self.collect(&[], cache), cache, out);
        }
        for node in &nodes {
            out.send(Verb::Get { key: Key::node(node), fresh: true });
        }
        Outcome::Await(Progress::Confirming(nodes))
    }
    fn resume(
        &mut self,
        now: Time,
        _item: &Pass,
        progress: Progress,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Pass>,
    ) -> Outcome<Progress> {
        match progress {
            Progress::Confirming(nodes) => {
                let gone = nodes.into_iter().enumerate().filter(|(number, _)| answers.failed_with(*number, Reason::NotFound));
                let gone: Vec<Name> = gone.map(|(_, node)| node).collect();
                self.remove(now, self.collect(&gone, cache), cache, out)
            }
            Progress::Failing(pods) => self.delete(pods, cache, out),
            Progress::Deleting => self.finish(out),
        }
    }
}
