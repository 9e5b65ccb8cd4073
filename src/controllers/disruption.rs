//! The disruption controller (k/k `pkg/controller/disruption/disruption.go`): keeps each PodDisruptionBudget's status true: how many of
//! its pods are healthy, how many must be, and so how many the eviction API may take now.
//!
//! Like upstream it hears of pods and budgets only: a new number of replicas is seen when pods come or go. Left out: stale
//! `DisruptionTarget` conditions are not taken back, Events, owners other than Deployments and ReplicaSets.
//!
//! Invariant: `pods` of a budget is what a scan of its namespace by its selector would give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Name, Time};
use crate::client::{Cache, Change};
use crate::objects::disruption::{PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use crate::objects::workload::IntOrString;
use crate::objects::{Key, Kind, Labels, Pod, PodDisruptionBudget, Uid};
use crate::wire::api::{Part, Verb};

/// `DeletionTimeout`: an evicted pod whose deletion is not seen for so long counts again.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Default)]
pub struct DisruptionController {
    /// By namespace, then by key.
    budgets: BTreeMap<Name, BTreeMap<Key, BTreeSet<Key>>>,
}

impl DisruptionController {
    fn budget_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        let namespace = change.key.namespace();
        let Some(budget) = budget_of(cache, &change.key) else {
            if let Some(budgets) = self.budgets.get_mut(namespace) {
                budgets.remove(&change.key);
            }
            return;
        };
        let of = |stored: &Option<crate::objects::Stored>| {
            stored.as_ref().and_then(|stored| stored.object.as_pod_disruption_budget()).map(|budget| budget.spec.clone())
        };
        let known = self.budgets.get(namespace).is_some_and(|budgets| budgets.contains_key(&change.key));
        if !known || of(&change.old) != of(&change.new) {
            let selected = |labels: &Labels| budget.selects(labels);
            let pods = cache.list_in(Kind::Pod, namespace).filter(|(_, stored)| selected(&stored.object.meta().labels));
            let pods = pods.map(|(key, _)| key.clone()).collect();
            self.budgets.entry(namespace.into()).or_default().insert(change.key.clone(), pods);
        }
        items.add(change.key.clone());
    }

    fn pod_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        let Some(budgets) = self.budgets.get_mut(change.key.namespace()) else { return };
        let labels = change.new.as_ref().map(|stored| &stored.object.meta().labels);
        for (key, pods) in budgets {
            let Some(budget) = budget_of(cache, key) else { continue };
            let belongs = labels.is_some_and(|labels| budget.selects(labels));
            let belonged = if belongs { !pods.insert(change.key.clone()) } else { pods.remove(&change.key) };
            if belongs || belonged {
                items.add(key.clone());
            }
        }
    }
}

fn budget_of<'a>(cache: &'a Cache, key: &Key) -> Option<&'a PodDisruptionBudget> {
    cache.get(key)?.object.as_pod_disruption_budget()
}

/// How many pods there ought to be: the replicas that their owners want, each owner once (`getExpectedScale`). `None`: an owner is not
/// to be found.
fn expected_scale<'a>(pods: impl Iterator<Item = &'a Pod>, cache: &Cache) -> Option<u64> {
    let mut scales: BTreeMap<Uid, u64> = BTreeMap::new();
    for pod in pods {
        // Pods without an owner are not counted.
        let Some(owner) = pod.meta.controller() else { continue };
        if scales.contains_key(&owner.uid) {
            continue;
        }
        let set = cache.replica_set(&owner.key(&pod.meta.namespace)?).filter(|set| set.meta.uid == owner.uid)?;
        match set.meta.controller().filter(|above| above.kind == "Deployment") {
            None => scales.insert(owner.uid.clone(), set.spec.replicas.unwrap_or(1)),
            Some(above) => {
                let deployment = cache.deployment(&above.key(&pod.meta.namespace)?).filter(|it| it.meta.uid == above.uid)?;
                scales.insert(above.uid.clone(), deployment.spec.replicas.unwrap_or(1))
            }
        };
    }
    Some(scales.values().sum())
}

/// (expected, desired healthy); `scale`: what the owners want.
fn counts(spec: &PodDisruptionBudgetSpec, pods: u64, scale: impl FnOnce() -> Option<u64>) -> Option<(u64, u64)> {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(max), _) => {
            let expected = scale()?;
            Some((expected, expected.saturating_sub(max.of(expected, true)?)))
        }
        (None, Some(IntOrString::Int(min))) => Some((pods, u64::try_from(*min).unwrap_or(0))),
        (None, Some(min)) => {
            let expected = scale()?;
            Some((expected, min.of(expected, true)?))
        }
        (None, None) => Some((0, 0)),
    }
}

/// The status as the pods have it, and when to look again because of one whose deletion is awaited.
fn status(now: Time, budget: &PodDisruptionBudget, pods: &[&Pod], cache: &Cache) -> (PodDisruptionBudgetStatus, Option<Duration>) {
    let mut status = budget.status.clone();
    status.observed_generation = budget.meta.generation;
    let Some((expected, desired)) = counts(&budget.spec, pods.len() as u64, || expected_scale(pods.iter().copied(), cache)) else {
        // `failSafe`: nothing may go while the count is not known.
        status.disruptions_allowed = 0;
        status.tell_condition(now);
        return (status, None);
    };
    status.disrupted_pods.clear();
    let mut again: Option<Duration> = None;
    for pod in pods.iter().filter(|pod| !pod.meta.is_deleting()) {
        if let Some(&since) = budget.status.disrupted_pods.get(&pod.meta.name)
            && since + DELETION_TIMEOUT > now
        {
            let left = (since + DELETION_TIMEOUT).since(now);
            again = Some(again.map_or(left, |other| other.min(left)));
            status.disrupted_pods.insert(pod.meta.name.clone(), since);
        }
    }
    let counts = |pod: &&&Pod| !pod.meta.is_deleting() && pod.is_ready() && !status.disrupted_pods.contains_key(&pod.meta.name);
    status.current_healthy = pods.iter().filter(counts).count() as u64;
    status.expected_pods = expected;
    status.desired_healthy = desired;
    status.disruptions_allowed = if expected == 0 { 0 } else { status.current_healthy.saturating_sub(desired) };
    status.tell_condition(now);
    (status, again)
}

impl Controller for DisruptionController {
    type Item = Key;
    type Progress = ();

    fn name(&self) -> &'static str {
        "disruption-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::PodDisruptionBudget, Kind::Pod, Kind::ReplicaSet, Kind::Deployment]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        match change.kind() {
            Kind::PodDisruptionBudget => self.budget_changed(change, cache, items),
            Kind::Pod => self.pod_changed(change, cache, items),
            // They are looked up only.
            _ => {}
        }
    }

    fn reconcile(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<()> {
        let Some(stored) = cache.get(key) else { return Outcome::Done };
        let budget = stored.object.as_pod_disruption_budget().expect("only budgets are queued");
        let members = self.budgets.get(key.namespace()).and_then(|budgets| budgets.get(key));
        let pods: Vec<&Pod> = members.into_iter().flatten().filter_map(|pod| cache.pod(pod)).collect();
        let (status, again) = status(now, budget, &pods, cache);
        if let Some(after) = again {
            out.enqueue_after(key.clone(), after);
        }
        if status == budget.status {
            return Outcome::Done;
        }
        let new = PodDisruptionBudget { status, ..budget.clone() };
        out.send(Verb::Update { object: Arc::new(new.into()), part: Part::Status, revision: Some(stored.revision) });
        Outcome::Await(())
    }

    fn resume(&mut self, _: Time, _: &Key, _: (), answers: &Answers, _: &Cache, _: &mut Requests<Key>) -> Outcome<()> {
        answers.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Condition, LabelSelector, Meta, Object, OwnerReference, Phase, ReplicaSet, Shared, Stored};

    fn labels() -> Labels {
        Labels::from([("app".into(), "web".into())])
    }
    fn pod(name: &str, ready: bool, owner: &Meta) -> Pod {
        let mut pod = Pod { meta: Meta::named("default", name), ..Pod::default() };
        pod.meta.labels = Shared::new(labels());
        pod.meta.owner_references = vec![OwnerReference::controller(Kind::ReplicaSet, owner)].into();
        pod.status.phase = Phase::Running;
        pod.status.conditions = vec![Condition::new("Ready", ready, "", Time::ZERO)].into();
        pod
    }
    fn budget(min: Option<IntOrString>, max: Option<IntOrString>) -> PodDisruptionBudget {
        let mut budget = PodDisruptionBudget { meta: Meta::named("default", "web"), ..PodDisruptionBudget::default() };
        budget.spec.min_available = min;
        budget.spec.max_unavailable = max;
        budget.spec.selector = Some(Shared::new(LabelSelector::of(labels())));
        budget.meta.generation = 1;
        budget
    }
    fn figures(status: &PodDisruptionBudgetStatus) -> [u64; 4] {
        [status.disruptions_allowed, status.current_healthy, status.desired_healthy, status.expected_pods]
    }
    /// A ReplicaSet that wants `replicas`, in a cache of its own.
    fn owner(replicas: u64) -> (Meta, Cache) {
        let mut set = ReplicaSet { meta: Meta::named("default", "web-1"), ..ReplicaSet::default() };
        set.meta.uid = "set".into();
        set.spec.replicas = Some(replicas);
        let meta = set.meta.clone();
        let mut cache = Cache::default();
        let (revision, cause) = (crate::base::Revision(1), crate::base::Cause::NONE);
        cache.put(Stored::new(revision, cause, Arc::new(Object::from(set))));
        (meta, cache)
    }
    fn percent(text: &str) -> Option<IntOrString> {
        Some(IntOrString::String(text.into()))
    }

    #[test]
    fn a_count_expects_the_pods_that_are_there_and_a_share_what_their_owner_wants() {
        let (set, cache) = owner(10);
        let pods: Vec<Pod> = (0..8).map(|n| pod(&format!("web-{n}"), n < 7, &set)).collect();
        let pods: Vec<&Pod> = pods.iter().collect();
        let of = |min, max| figures(&status(Time::from_secs(9), &budget(min, max), &pods, &cache).0);
        assert_eq!(of(Some(IntOrString::Int(5)), None), [2, 7, 5, 8]);
        assert_eq!(of(percent("45%"), None), [2, 7, 5, 10], "a share is rounded up");
        assert_eq!(of(None, percent("35%")), [1, 7, 6, 10], "as is what may be missing");
        assert_eq!(of(None, Some(IntOrString::Int(1))), [0, 7, 9, 10]);
        assert_eq!(of(None, None), [0, 7, 0, 0]);
    }

    #[test]
    fn an_evicted_pod_counts_as_gone_for_two_minutes() {
        let (set, cache) = owner(3);
        let pods: Vec<Pod> = (0..3).map(|n| pod(&format!("web-{n}"), true, &set)).collect();
        let pods: Vec<&Pod> = pods.iter().collect();
        let mut it = budget(Some(IntOrString::Int(2)), None);
        it.status.disrupted_pods = [("web-0".into(), Time::from_secs(100)), ("gone".into(), Time::from_secs(100))].into();
        let (soon, again) = status(Time::from_secs(130), &it, &pods, &cache);
        assert_eq!((figures(&soon), soon.disrupted_pods.len(), again), ([0, 2, 2, 3], 1, Some(Duration::from_secs(90))));
        let (late, again) = status(Time::from_secs(220), &it, &pods, &cache);
        assert_eq!((figures(&late), late.disrupted_pods.len(), again), ([1, 3, 2, 3], 0, None));
    }

    #[test]
    fn nothing_may_go_while_an_owner_is_not_to_be_found() {
        let (set, _) = owner(3);
        let pods: Vec<Pod> = (0..3).map(|n| pod(&format!("web-{n}"), true, &set)).collect();
        let pods: Vec<&Pod> = pods.iter().collect();
        let (found, _) = status(Time::from_secs(9), &budget(percent("10%"), None), &pods, &Cache::default());
        assert_eq!(found.disruptions_allowed, 0);
        assert_eq!(found.conditions[0].reason, "InsufficientPods");
    }
}
