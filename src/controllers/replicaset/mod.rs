//! The ReplicaSet controller (k/k `pkg/controller/replicaset/replica_set.go`): as many active pods as
//! wanted, created slowly at first, deleted in a fixed order, adopted and released by labels.
//!
//! An adoption or a release ends the sync: the change of the pod brings the ReplicaSet back. Upstream goes on in the same sync.
//!
//! Invariant: no decision to create or delete while an earlier one is not yet visible ([`Expectations`]).

mod deletion_order;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::expectations::Expectations;
use super::ownership::{self, Orphans, living_owner, owner_of};
use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Time};
use crate::client::{Cache, Change};
use crate::objects::workload::ReplicaSetStatus;
use crate::objects::{Condition, Conditions, Key, Kind, List, Meta, Object, OwnerReference, Pod, ReplicaSet, Shared, Stored};
use crate::wire::api::{DeleteOptions, Part, Reason, Verb};

/// The most pods that one sync creates or deletes (`BurstReplicas`).
const BURST: usize = 500;
/// The first batch of a slow start (k/k `pkg/controller/controller_utils.go`, `SlowStartInitialBatchSize`).
const FIRST_BATCH: usize = 1;

/// See the module.
pub struct ReplicaSetController {
    workers: usize,
    expectations: Expectations,
    orphans: Orphans,
}

/// Where a sync stands that waits for answers.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// The live ReplicaSet was asked for, before pods are adopted.
    Adopting(Vec<Key>),
    /// Adoptions and releases are on their way.
    Claiming,
    /// A batch of creations is on its way; so many are to follow.
    Creating {
        batch: usize,
        remaining: usize,
        status: ReplicaSetStatus,
    },
    Deleting {
        pods: Vec<Key>,
        status: ReplicaSetStatus,
    },
    /// The status was written.
    Status {
        status: ReplicaSetStatus,
        failed: bool,
        again: bool,
    },
    /// It met another write: the live ReplicaSet was asked for.
    Rereading {
        status: ReplicaSetStatus,
        failed: bool,
    },
}

/// What is to be done about the number of pods.
#[derive(Debug, PartialEq)]
pub enum Decision {
    Nothing,
    Create(usize),
    Delete(Vec<Key>),
}

impl ReplicaSetController {
    pub fn new(workers: usize) -> ReplicaSetController {
        ReplicaSetController { workers, expectations: Expectations::default(), orphans: Orphans::default() }
    }

    fn pod_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        self.orphans.observe(change);
        let version = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.object.clone());
        let (old, new) = (version(&change.old), version(&change.new));
        let meta = change.object().meta();
        let owner = owner_of(meta, Kind::ReplicaSet);
        if let Some((owner, _)) = &owner {
            let was_deleting = old.as_ref().is_some_and(|old| old.meta().is_deleting());
            let deleting = new.as_ref().is_none_or(|new| new.meta().is_deleting());
            if old.is_none() && !deleting {
                self.expectations.lower_creations(owner, 1);
            }
            if deleting && !(was_deleting && new.is_some()) {
                self.expectations.lower_deletions(owner, &change.key);
            }
        }
        // A pod that changed hands concerns both.
        if let Some(old) = &old
            && old.meta().controller() != meta.controller()
            && let Some(owner) = living_owner(old.meta(), Kind::ReplicaSet, cache)
        {
            items.add(owner);
        }
        if meta.controller().is_none() {
            let relevant =
                new.is_some() && old.as_ref().is_none_or(|old| old.meta().labels != meta.labels || old.meta().controller().is_some());
            if relevant {
                for (key, stored) in cache.list_in(Kind::ReplicaSet, &meta.namespace) {
                    let set = stored.object.as_replica_set().expect("listed by kind");
                    if set.spec.selector.matches(&meta.labels) {
                        items.add(key.clone());
                    }
                }
            }
            return;
        }
        let Some(owner) = living_owner(meta, Kind::ReplicaSet, cache) else { return };
        let min_ready = cache.replica_set(&owner).map_or(0, |set| set.spec.min_ready_seconds);
        let ready = |object: &Option<Arc<Object>>| object.as_ref().and_then(|object| object.as_pod()).is_some_and(Pod::is_ready);
        if min_ready > 0 && !ready(&old) && ready(&new) {
            // One second more: the time stamp that counts has whole seconds (`enqueueRSAfter`).
            items.add_after(owner.clone(), Duration::from_secs(min_ready + 1));
        }
        items.add(owner);
    }

    /// Creates, deletes or goes straight to the status.
    fn manage(
        &mut self,
        now: Time,
        key: &Key,
        set: &ReplicaSet,
        (decision, status): (Decision, ReplicaSetStatus),
        cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Progress> {
        match decision {
            Decision::Nothing => self.write_status(now, key, status, None, cache, out),
            Decision::Create(count) => {
                self.expectations.expect_creations(key, count, now);
                send_batch(set, FIRST_BATCH.min(count), count, status, out)
            }
            Decision::Delete(pods) => {
                self.expectations.expect_deletions(key, pods.iter().cloned(), now);
                for pod in &pods {
                    out.send(Verb::Delete { key: pod.clone(), options: DeleteOptions::default() });
                }
                Outcome::Await(Progress::Deleting { pods, status })
            }
        }
    }

    /// Writes the status if it differs. `failure`: reason and message of what went wrong.
    fn write_status(
        &mut self,
        now: Time,
        key: &Key,
        mut status: ReplicaSetStatus,
        failure: Option<(&'static str, String)>,
        cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Progress> {
        let Some(stored) = cache.get(key) else { return Outcome::Done };
        let failed = failure.is_some();
        set_failure(&mut status.conditions, failure, now);
        match send_status(stored, &status, out) {
            true => Outcome::Await(Progress::Status { status, failed, again: false }),
            false => finish(key, stored, &status, failed, out),
        }
    }
}

impl Controller for ReplicaSetController {
    type Item = Key;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::ReplicaSet, Kind::Pod]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        if change.kind() == Kind::Pod {
            return self.pod_changed(change, cache, items);
        }
        let uid = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.object.meta().uid.clone());
        if uid(&change.old) != uid(&change.new) {
            self.expectations.forget(&change.key);
        }
        items.add(change.key.clone());
    }

    fn reconcile(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Progress> {
        let Some(stored) = cache.get(key) else {
            self.expectations.forget(key);
            return Outcome::Done;
        };
        let set = stored.object.as_replica_set().expect("an item of this controller is a ReplicaSet");
        let may_decide = self.expectations.satisfied(key, now);
        let claim = claim(set, cache, &self.orphans);
        if !claim.adopt.is_empty() {
            out.send(Verb::Get { key: key.clone(), fresh: true });
            return Outcome::Await(Progress::Adopting(claim.adopt));
        }
        if !claim.release.is_empty() {
            for pod in claim.release {
                out.send(ownership::release(pod, &set.meta.uid));
            }
            return Outcome::Await(Progress::Claiming);
        }
        let status = count(set, &claim.active, now);
        let decision = match may_decide && !set.meta.is_deleting() {
            true => decide(set, &claim.active, now, || related(set, cache)),
            false => Decision::Nothing,
        };
        self.manage(now, key, set, (decision, status), cache, out)
    }

    fn resume(
        &mut self,
        now: Time,
        key: &Key,
        progress: Progress,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Progress> {
        match progress {
            Progress::Adopting(pods) => ownership::adopt_all(key, &pods, Progress::Claiming, answers, cache, out),
            Progress::Claiming => answers.last(),
            Progress::Creating { batch, remaining, status } => {
                let after = remaining - batch;
                let failure = answers.results.iter().filter_map(|result| result.as_ref().err()).find(|error| {
                    // A namespace that goes away takes the ReplicaSet with it: no error.
                    error.reason != Reason::NamespaceTerminating
                });
                if let Some(failure) = failure {
                    let failed = answers.results.iter().filter(|result| result.is_err()).count();
                    self.expectations.lower_creations(key, failed + after);
                    return self.write_status(now, key, status, Some(("FailedCreate", failure.to_string())), cache, out);
                }
                match cache.replica_set(key) {
                    Some(set) if after > 0 => send_batch(set, (2 * batch).min(after), after, status, out),
                    _ => self.write_status(now, key, status, None, cache, out),
                }
            }
            Progress::Deleting { pods, status } => {
                let mut failure = None;
                for (number, pod) in pods.iter().enumerate() {
                    if let Err(error) = answers.get(number) {
                        self.expectations.lower_deletions(key, pod);
                        if error.reason != Reason::NotFound {
                            failure = failure.or(Some(("FailedDelete", error.to_string())));
                        }
                    }
                }
                self.write_status(now, key, status, failure, cache, out)
            }
            Progress::Status { status, failed, again } => match (answers.get(0), cache.get(key)) {
                (Ok(_), Some(stored)) => finish(key, stored, &status, failed, out),
                (_, None) => Outcome::Done,
                (Err(_), _) if again => Outcome::Retry,
                (Err(_), _) => {
                    // Once more, on the live object (`statusUpdateRetries`).
                    out.send(Verb::Get { key: key.clone(), fresh: true });
                    Outcome::Await(Progress::Rereading { status, failed })
                }
            },
            Progress::Rereading { status, failed } => match answers.object(0) {
                Some(live) if send_status(live, &status, out) => Outcome::Await(Progress::Status { status, failed, again: true }),
                Some(live) => finish(key, live, &status, failed, out),
                None if answers.failed_with(0, Reason::NotFound) => Outcome::Done,
                None => Outcome::Retry,
            },
        }
    }
}

/// The pods of a set, and those that come to it or leave it.
struct Claim<'a> {
    active: Vec<(&'a Key, &'a Pod)>,
    adopt: Vec<Key>,
    release: Vec<&'a Stored>,
}

fn claim<'a>(set: &ReplicaSet, cache: &'a Cache, orphans: &Orphans) -> Claim<'a> {
    let mut claim = Claim { active: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for (key, stored) in cache.controlled_by(&set.meta.uid, Kind::Pod) {
        let pod = stored.object.as_pod().expect("listed by kind");
        if !pod.is_active() {
            continue;
        }
        if set.spec.selector.matches(&pod.meta.labels) {
            claim.active.push((key, pod));
        } else if !set.meta.is_deleting() {
            claim.release.push(stored);
        }
    }
    if !set.meta.is_deleting() {
        for key in orphans.in_namespace(Kind::Pod, &set.meta.namespace) {
            if let Some(pod) = cache.pod(key).filter(|pod| pod.is_active() && pod.meta.controller().is_none())
                && set.spec.selector.matches(&pod.meta.labels)
            {
                claim.adopt.push(key.clone());
            }
        }
    }
    claim
}

/// The active pods of all sets with this one's owner, by node: what deletion ranks pods by (rule 5).
fn related<'a>(set: &ReplicaSet, cache: &'a Cache) -> Vec<&'a Pod> {
    let pods_of = |uid| cache.controlled_by(uid, Kind::Pod).filter_map(|(_, stored)| stored.object.as_pod());
    match set.meta.controller() {
        Some(owner) => cache.controlled_by(&owner.uid, Kind::ReplicaSet).flat_map(|(_, set)| pods_of(&set.object.meta().uid)).collect(),
        None => pods_of(&set.meta.uid).collect(),
    }
}

/// How many pods to create or which to delete. `related` is asked for only where an order is needed.
fn decide<'a>(set: &ReplicaSet, active: &[(&Key, &'a Pod)], now: Time, related: impl FnOnce() -> Vec<&'a Pod>) -> Decision {
    let wanted = set.spec.replicas.unwrap_or(1) as usize;
    let have = active.len();
    match have.cmp(&wanted) {
        std::cmp::Ordering::Equal => Decision::Nothing,
        std::cmp::Ordering::Less => Decision::Create((wanted - have).min(BURST)),
        std::cmp::Ordering::Greater => {
            let surplus = (have - wanted).min(BURST);
            if surplus == have {
                return Decision::Delete(active.iter().map(|(key, _)| (*key).clone()).collect());
            }
            let order = deletion_order::order(active, &related(), now);
            Decision::Delete(order.into_iter().take(surplus).cloned().collect())
        }
    }
}

/// What the status says of these pods; conditions as they are.
fn count(set: &ReplicaSet, active: &[(&Key, &Pod)], now: Time) -> ReplicaSetStatus {
    let template = &set.spec.template.meta.labels;
    let number = |test: &dyn Fn(&Pod) -> bool| active.iter().filter(|(_, pod)| test(pod)).count() as u64;
    ReplicaSetStatus {
        replicas: active.len() as u64,
        fully_labeled_replicas: number(&|pod| {
            pod.meta.labels.ptr_eq(template) || template.iter().all(|(key, value)| pod.meta.label(key) == Some(value))
        }),
        ready_replicas: number(&Pod::is_ready),
        available_replicas: number(&|pod| pod.is_available(set.spec.min_ready_seconds, now)),
        // Counted only with the gate DeploymentReplicaSetTerminatingReplicas, which is off in v1.34.
        terminating_replicas: 0,
        observed_generation: set.meta.generation,
        conditions: set.status.conditions.clone(),
    }
}

fn set_failure(conditions: &mut List<Condition>, failure: Option<(&'static str, String)>, now: Time) {
    match failure {
        Some(_) if conditions.get("ReplicaFailure").is_some() => {}
        Some((reason, message)) => {
            let condition = Condition::new("ReplicaFailure", true, reason, now);
            conditions.set(Condition { message: message.into(), ..condition });
        }
        None => conditions.retain(|condition| condition.kind != "ReplicaFailure"),
    }
}

/// Sends the next batch of a slow start: each after the one before succeeded.
fn send_batch(set: &ReplicaSet, batch: usize, remaining: usize, status: ReplicaSetStatus, out: &mut Requests<Key>) -> Outcome<Progress> {
    let object = Arc::new(Object::Pod(new_pod(set)));
    for _ in 0..batch {
        out.send(Verb::Create { object: object.clone() });
    }
    Outcome::Await(Progress::Creating { batch, remaining, status })
}

/// What the status says of a set with these pods.
pub fn status_of(set: &ReplicaSet, pods: &[(&Key, &Pod)], now: Time) -> ReplicaSetStatus {
    count(set, pods, now)
}

/// A pod of this set. Labels and spec are shared with the template.
pub fn new_pod(set: &ReplicaSet) -> Pod {
    let template = &set.spec.template;
    Pod {
        meta: Meta {
            // Long names are cut to 58 characters by the server, when it appends the five random ones.
            generate_name: format!("{}-", set.meta.name).into(),
            namespace: set.meta.namespace.clone(),
            labels: template.meta.labels.clone(),
            annotations: template.meta.annotations.clone(),
            owner_references: vec![OwnerReference::controller(Kind::ReplicaSet, &set.meta)].into(),
            ..Meta::default()
        },
        spec: Shared::clone(&template.spec),
        ..Pod::default()
    }
}

/// False if the object says all that already.
fn send_status(stored: &Stored, status: &ReplicaSetStatus, out: &mut Requests<Key>) -> bool {
    let Some(set) = stored.object.as_replica_set().filter(|set| set.status != *status) else { return false };
    let set = ReplicaSet { status: status.clone(), ..set.clone() };
    out.send(Verb::Update { object: Arc::new(Object::ReplicaSet(set)), part: Part::Status, revision: Some(stored.revision) });
    true
}

fn finish(key: &Key, stored: &Stored, status: &ReplicaSetStatus, failed: bool, out: &mut Requests<Key>) -> Outcome<Progress> {
    if failed {
        return Outcome::Retry;
    }
    let Some(set) = stored.object.as_replica_set() else { return Outcome::Done };
    let (wanted, min_ready) = (set.spec.replicas.unwrap_or(1), set.spec.min_ready_seconds);
    if min_ready > 0 && status.ready_replicas == wanted && status.available_replicas != wanted {
        out.enqueue_after(key.clone(), Duration::from_secs(min_ready));
    }
    Outcome::Done
}
