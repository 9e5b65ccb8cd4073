//! Taint eviction (k/k `pkg/controller/tainteviction/taint_eviction.go`): pods on nodes with NoExecute
//! taints are deleted, at once or when their tolerations end.
//!
//! A timer's cause is the revision that tainted the node. A timer that was called off may still fire: it is then looked up in vain.
//!
//! Invariant: a pod has a timer only while its node has NoExecute taints.

use std::collections::BTreeSet;

use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Map, Name, Time};
use crate::client::{Cache, Change};
use crate::objects::{Condition, Key, Kind, Node, Stored, Taint, TaintEffect, Toleration};
use crate::wire::api::{DeleteOptions, Part, Patch, Reason, Verb};

/// `UpdateWorkerSize`
const WORKERS: usize = 8;
/// `retries` of the deletion.
const ATTEMPTS: u32 = 5;
/// The pause between them.
const PAUSE: Duration = Duration::from_millis(10);

/// What the queue holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    /// The taints of a node changed.
    Node(Key),
    /// A pod came to a tainted node, or changed there.
    Pod(Key),
    /// The time of a pod may be over.
    Evict(Key),
}

/// See the module.
#[derive(Default)]
pub struct TaintEvictionController {
    /// Nodes with NoExecute taints.
    tainted: BTreeSet<Name>,
    timers: Map<Key, Timer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Timer {
    since: Time,
    at: Time,
    attempt: u32,
}

/// An eviction under way: the pod is read, then told why, then deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Read,
    Told,
    Deleted,
}

/// How long a pod may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    Forever,
    For(Duration),
    /// Some taint is not tolerated.
    Not,
}

/// The stay of a pod with these tolerations under these NoExecute taints: the least of the tolerations used, the first that fits each
/// taint (`GetMatchingTolerations`, `getMinTolerationTime`).
pub fn stay<'a>(taints: impl IntoIterator<Item = &'a Taint>, tolerations: &[Toleration]) -> Stay {
    let mut least: Option<u64> = None;
    for taint in taints {
        let Some(used) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else { return Stay::Not };
        if let Some(seconds) = used.toleration_seconds {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            least = Some(least.map_or(seconds, |least| least.min(seconds)));
        }
    }
    least.map_or(Stay::Forever, |seconds| Stay::For(Duration::from_secs(seconds)))
}

fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute)
}

impl TaintEvictionController {
    /// Sets, keeps or calls off the timer of a pod on a node (`processPodOnNode`).
    fn process(&mut self, now: Time, key: &Key, stored: &Stored, node: Option<&Node>, out: &mut Requests<Item>) {
        let Some(pod) = stored.object.as_pod() else { return };
        let Some(node) = node.filter(|node| no_execute(node).next().is_some()) else {
            self.timers.remove(key);
            return;
        };
        match stay(no_execute(node), &pod.spec.tolerations) {
            Stay::Forever => drop(self.timers.remove(key)),
            Stay::Not => self.arm(key, now, now, out),
            Stay::For(stay) => {
                // A timer that has run for a while goes on, even if the taint is another now.
                if self.timers.get(key).is_none_or(|timer| timer.since + stay >= now + stay) {
                    self.arm(key, now, now + stay, out);
                }
            }
        }
    }
    fn arm(&mut self, key: &Key, now: Time, at: Time, out: &mut Requests<Item>) {
        self.timers.insert(key.clone(), Timer { since: now, at, attempt: 0 });
        out.enqueue_after(Item::Evict(key.clone()), at.since(now));
    }

    fn node_changed(&mut self, change: &Change, items: &mut Items<Item>) {
        fn taints(stored: &Option<Stored>) -> impl Iterator<Item = &Taint> {
            stored.as_ref().and_then(|stored| stored.object.as_node()).into_iter().flat_map(no_execute)
        }
        if taints(&change.old).eq(taints(&change.new)) {
            return;
        }
        let name = &change.object().meta().name;
        if taints(&change.new).next().is_none() {
            self.tainted.remove(name);
        } else {
            self.tainted.insert(name.clone());
        }
        items.add(Item::Node(change.key.clone()));
    }

    fn evict(&mut self, now: Time, key: &Key, out: &mut Requests<Item>) -> Outcome<Progress> {
        match self.timers.get(key) {
            // Called off.
            None => Outcome::Done,
            Some(timer) if timer.at > now => {
                out.enqueue_after(Item::Evict(key.clone()), timer.at.since(now));
                Outcome::Done
            }
            Some(_) => {
                out.send(Verb::Get { key: key.clone(), fresh: true });
                Outcome::Await(Progress::Read)
            }
        }
    }
}

impl Controller for TaintEvictionController {
    type Item = Item;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }
    fn workers(&self) -> usize {
        WORKERS
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node, Kind::Pod]
    }
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, items: &mut Items<Item>) {
        if change.kind() == Kind::Node {
            return self.node_changed(change, items);
        }
        let pod = change.object().as_pod().expect("a change of a pod");
        if change.new.is_none() {
            self.timers.remove(&change.key);
            return;
        }
        let Some(node) = pod.node.as_ref().filter(|node| self.tainted.contains(*node)) else { return };
        let old = change.old.as_ref().and_then(|stored| stored.object.as_pod());
        let same = old.is_some_and(|old| old.node.as_ref() == Some(node) && old.spec.tolerations == pod.spec.tolerations);
        if !same {
            items.add(Item::Pod(change.key.clone()));
        }
    }

    fn reconcile(&mut self, now: Time, item: &Item, cache: &Cache, out: &mut Requests<Item>) -> Outcome<Progress> {
        match item {
            Item::Evict(key) => return self.evict(now, key, out),
            Item::Node(node) => {
                let object = cache.node(node.name());
                for (key, stored) in cache.pods_on(node.name()) {
                    self.process(now, key, stored, object, out);
                }
            }
            Item::Pod(key) => {
                if let Some(stored) = cache.get(key)
                    && let Some(node) = stored.object.as_pod().and_then(|pod| pod.node.as_ref())
                {
                    self.process(now, key, stored, cache.node(node), out);
                }
            }
        }
        Outcome::Done
    }

    fn resume(
        &mut self,
        now: Time,
        item: &Item,
        progress: Progress,
        answers: &Answers,
        _cache: &Cache,
        out: &mut Requests<Item>,
    ) -> Outcome<Progress> {
        let Item::Evict(key) = item else { unreachable!("only evictions wait for answers, not {item:?}") };
        if answers.get(0).is_ok() && progress != Progress::Deleted {
            let next = match progress {
                Progress::Read => {
                    let condition = Condition {
                        message: "Taint manager: deleting due to NoExecute taint".into(),
                        ..Condition::new("DisruptionTarget", true, "DeletionByTaintManager", now)
                    };
                    let patch = Patch::Condition { condition, nominated_node: None };
                    out.send(Verb::Patch { key: key.clone(), patch, part: Part::Status });
                    Progress::Told
                }
                Progress::Told | Progress::Deleted => {
                    out.send(Verb::Delete { key: key.clone(), options: DeleteOptions::default() });
                    Progress::Deleted
                }
            };
            return Outcome::Await(next);
        }
        let over = answers.get(0).is_ok() || answers.failed_with(0, Reason::NotFound);
        match self.timers.get_mut(key) {
            Some(timer) if !over && timer.attempt + 1 < ATTEMPTS => {
                timer.attempt += 1;
                timer.at = now + PAUSE;
                out.enqueue_after(item.clone(), PAUSE);
            }
            _ => drop(self.timers.remove(key)),
        }
        Outcome::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_used_tolerations_counts_and_one_untolerated_taint_is_enough() {
        let taint = |key: &str| Taint { key: key.into(), value: Name::default(), effect: TaintEffect::NoExecute, time_added: None };
        let tolerates = |key: &str, seconds| Toleration {
            key: key.into(),
            operator: Some(crate::objects::scheduling::TolerationOperator::Exists),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        let tolerations = [tolerates("a", Some(300)), tolerates("b", Some(30)), tolerates("c", None), tolerates("d", Some(-1))];
        let cases: [(&[&str], Stay); 6] = [
            (&["a"], Stay::For(Duration::from_secs(300))),
            (&["a", "b"], Stay::For(Duration::from_secs(30))),
            (&["c"], Stay::Forever),
            (&["a", "c"], Stay::For(Duration::from_secs(300))),
            (&["d"], Stay::For(Duration::ZERO)),
            (&["a", "e"], Stay::Not),
        ];
        for (keys, wanted) in cases {
            let taints: Vec<Taint> = keys.iter().map(|key| taint(key)).collect();
            assert_eq!(stay(&taints, &tolerations), wanted, "{keys:?}");
        }
    }
}
