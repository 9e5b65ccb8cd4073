//! The Deployment controller (k/k `pkg/controller/deployment`): rolling update, recreate, proportional
//! scaling, pause, revisions, conditions with a progress deadline, history.
//!
//! A sync works on a copy of what the cache showed when it began, as upstream does, and puts each answer into that copy; writes bear the
//! revision that was read, so that a stale copy ends in a conflict and a retry. What to do is decided by pure functions: [`scaling`] for
//! replica counts, [`status`] for conditions, [`revision`] for templates and history.
//!
//! Left out: the deprecated rollback field, the annotation of the revision history. An adoption ends the sync; the change of the
//! ReplicaSet begins the next.
//!
//! Invariant: the sum of the sets' `spec.replicas` never exceeds `replicas + maxSurge` by this controller's doing.

mod revision;
mod scaling;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::ownership::{self, Orphans, living_owner, owner_of};
use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Time};
use crate::client::{Cache, Change};
use crate::objects::workload::{DeploymentStatus, StrategyKind};
use crate::objects::{Condition, Conditions, Deployment, Key, Kind, List, Object, ReplicaSet, Stored};
use crate::wire::api::{DeleteOptions, Part, Reason, Verb};

/// See the module.
pub struct DeploymentController {
    workers: usize,
    orphans: Orphans,
}

/// What a sync works on: the Deployment and its ReplicaSets, as the cache had them or as the answers left them.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub deployment: Stored,
    /// In key order.
    pub sets: Vec<Stored>,
}

/// What a sync does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Create the new set, or bring its annotations and the Deployment's revision up to date.
    New,
    Scale,
    /// Write the status and finish.
    Status,
}

/// Where a sync stands that waits for answers.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// The live Deployment was asked for, before sets are adopted.
    Adopting(Vec<Key>),
    Claiming,
    /// Writes to be put into the view before this stage.
    Then(View, Stage),
    /// The new set was created; on a collision its live namesake is looked at.
    Created(View),
    Colliding(View),
    /// Nothing is left to do but to retry if something failed.
    Last,
    /// The same, after which the sync must come again.
    LastThenRetry,
}

impl View {
    fn deployment(&self) -> &Deployment {
        self.deployment.object.as_deployment().expect("the view of a Deployment")
    }
    fn sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.sets.iter().map(|stored| stored.object.as_replica_set().expect("sets of a Deployment"))
    }
    /// Puts in what an answer shows.
    fn learn(&mut self, stored: &Stored) {
        let key = stored.key.clone();
        if key.kind() == Kind::Deployment {
            self.deployment = stored.clone();
        } else if let Some(at) = self.sets.iter().position(|set| set.key == key) {
            self.sets[at] = stored.clone();
        } else {
            self.sets.push(stored.clone());
        }
    }
    /// The write of a set with other replicas and the annotations that go with them; `None` if nothing would change.
    fn resize(&self, at: usize, replicas: u64) -> Option<Verb> {
        let stored = &self.sets[at];
        let set = stored.object.as_replica_set().expect("sets of a Deployment");
        let mut resized = set.clone();
        resized.spec.replicas = Some(replicas);
        scaling::annotate(&mut resized.meta, self.deployment());
        (resized != *set).then(|| Verb::Update {
            object: Arc::new(Object::ReplicaSet(resized)),
            part: Part::Main,
            revision: Some(stored.revision),
        })
    }
}

impl DeploymentController {
    pub fn new(workers: usize) -> DeploymentController {
        DeploymentController { workers, orphans: Orphans::default() }
    }

    /// Reads what a sync works on; sets that are to be adopted or released come apart.
    fn view(&self, deployment: &Stored, cache: &Cache) -> (View, Vec<Key>, Vec<Stored>) {
        let meta = deployment.object.meta();
        let selector = &deployment.object.as_deployment().expect("an item of this controller is a Deployment").spec.selector;
        let owned = cache.controlled_by(&meta.uid, Kind::ReplicaSet).map(|(_, stored)| stored.clone());
        let (sets, released): (Vec<_>, Vec<_>) =
            owned.partition(|stored| meta.is_deleting() || selector.matches(&stored.object.meta().labels));
        let adoptable = |key: &&Key| {
            cache.get(key).is_some_and(|stored| {
                let orphan = stored.object.meta();
                !orphan.is_deleting() && orphan.controller().is_none() && selector.matches(&orphan.labels)
            })
        };
        let adopted = match meta.is_deleting() {
            true => Vec::new(),
            false => self.orphans.in_namespace(Kind::ReplicaSet, &meta.namespace).filter(adoptable).cloned().collect(),
        };
        (View { deployment: deployment.clone(), sets }, adopted, released)
    }

    /// Goes through the stages from this one until something must be waited for.
    fn advance(&self, now: Time, mut stage: Stage, view: View, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Progress> {
        loop {
            let deployment = view.deployment();
            let plain = deployment.meta.is_deleting() || deployment.spec.paused || scaling::is_scaling_event(&view);
            let recreate = deployment.spec.strategy.kind == StrategyKind::Recreate;
            match stage {
                Stage::New => {
                    let may_create = !plain && (!recreate || !scaling::old_pods_remain(&view, cache));
                    match revision::new_set(&view, may_create, now) {
                        revision::NewSet::Create(set) => {
                            out.send(Verb::Create { object: Arc::new(Object::ReplicaSet(*set)) });
                            return Outcome::Await(Progress::Created(view));
                        }
                        revision::NewSet::Write(write) => {
                            out.send(write);
                            return Outcome::Await(Progress::Then(view, Stage::Scale));
                        }
                        revision::NewSet::AsItShouldBe => stage = Stage::Scale,
                    }
                }
                Stage::Scale => {
                    stage = Stage::Status;
                    let sizes = match () {
                        () if deployment.meta.is_deleting() => Vec::new(),
                        () if plain => scaling::to_size(&view),
                        () if recreate => scaling::recreate(&view, cache),
                        () => scaling::rolling(&view),
                    };
                    for (at, replicas) in sizes {
                        if let Some(write) = view.resize(at, replicas) {
                            out.send(write);
                        }
                    }
                    if out.sent() > 0 {
                        return Outcome::Await(Progress::Then(view, Stage::Status));
                    }
                    if (!plain && status::is_complete(deployment, &deployment.status)) || deployment.spec.paused {
                        for set in revision::surplus_history(&view) {
                            out.send(Verb::Delete { key: set, options: DeleteOptions::default() });
                        }
                    }
                }
                Stage::Status => return self.write_status(now, &view, plain, out),
            }
        }
    }

    fn write_status(&self, now: Time, view: &View, plain: bool, out: &mut Requests<Key>) -> Outcome<Progress> {
        let deployment = view.deployment();
        let mut status = status::calculate(view, now);
        if !plain {
            status::judge_progress(view, &mut status, now);
        }
        if status != deployment.status {
            out.send(status_write(view, status));
            return Outcome::Await(Progress::Last);
        }
        let stuck = match plain {
            true => None,
            false => status::check_again_after(deployment, &status, now),
        };
        match stuck {
            // Upstream adds it with back-off when less than a second is left.
            Some(after) if after < Duration::from_secs(1) && out.sent() == 0 => return Outcome::Retry,
            Some(after) if after < Duration::from_secs(1) => return Outcome::Await(Progress::LastThenRetry),
            Some(after) => out.enqueue_after(deployment_key(view), after + Duration::from_secs(1)),
            None => {}
        }
        if out.sent() > 0 { Outcome::Await(Progress::Last) } else { Outcome::Done }
    }

    fn set_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        self.orphans.observe(change);
        let meta = change.object().meta();
        if let Some(old) = &change.old
            && old.object.meta().controller() != meta.controller()
            && let Some(owner) = living_owner(old.object.meta(), Kind::Deployment, cache)
        {
            items.add(owner);
        }
        if let Some(owner) = living_owner(meta, Kind::Deployment, cache) {
            items.add(owner);
        } else if meta.controller().is_none() && change.new.is_some() {
            for (key, stored) in cache.list_in(Kind::Deployment, &meta.namespace) {
                if stored.object.as_deployment().is_some_and(|deployment| deployment.spec.selector.matches(&meta.labels)) {
                    items.add(key.clone());
                }
            }
        }
    }

    /// A Recreate waits for the last old pod.
    fn pod_gone(&self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        let Some((set, _)) = owner_of(change.object().meta(), Kind::ReplicaSet) else { return };
        let Some(set) = cache.get(&set) else { return };
        let Some(owner) = living_owner(set.object.meta(), Kind::Deployment, cache) else { return };
        if cache.deployment(&owner).is_some_and(|deployment| deployment.spec.strategy.kind == StrategyKind::Recreate) {
            items.add(owner);
        }
    }
}

impl Controller for DeploymentController {
    type Item = Key;
    type Progress = Progress;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        match change.kind() {
            Kind::Deployment => items.add(change.key.clone()),
            Kind::ReplicaSet => self.set_changed(change, cache, items),
            _ if change.new.is_none() => self.pod_gone(change, cache, items),
            _ => {}
        }
    }

    fn reconcile(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Progress> {
        let Some(stored) = cache.get(key) else { return Outcome::Done };
        let (view, adopted, released) = self.view(stored, cache);
        if !adopted.is_empty() {
            out.send(Verb::Get { key: key.clone(), fresh: true });
            return Outcome::Await(Progress::Adopting(adopted));
        }
        if !released.is_empty() {
            for set in &released {
                out.send(ownership::release(set, &stored.object.meta().uid));
            }
            return Outcome::Await(Progress::Claiming);
        }
        if let Some(status) = status::pause_or_resume(view.deployment(), now) {
            out.send(status_write(&view, status));
            return Outcome::Await(Progress::Then(view, Stage::New));
        }
        self.advance(now, Stage::New, view, cache, out)
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
            Progress::Adopting(sets) => ownership::adopt_all(key, &sets, Progress::Claiming, answers, cache, out),
            Progress::Claiming | Progress::Last => answers.last(),
            Progress::LastThenRetry => Outcome::Retry,
            Progress::Then(_, _) if !answers.all_ok() => Outcome::Retry,
            Progress::Then(mut view, stage) => {
                (0..answers.results.len()).filter_map(|number| answers.object(number)).for_each(|stored| view.learn(stored));
                self.advance(now, stage, view, cache, out)
            }
            Progress::Created(mut view) => match answers.object(0) {
                Some(created) => {
                    view.learn(created);
                    match revision::announce_created(&view, created, now) {
                        None => self.advance(now, Stage::Scale, view, cache, out),
                        Some(write) => {
                            out.send(write);
                            Outcome::Await(Progress::Then(view, Stage::Scale))
                        }
                    }
                }
                None if answers.failed_with(0, Reason::AlreadyExists) => {
                    out.send(Verb::Get { key: revision::new_set_key(view.deployment()), fresh: true });
                    Outcome::Await(Progress::Colliding(view))
                }
                None if answers.failed_with(0, Reason::NamespaceTerminating) => Outcome::Done,
                None => {
                    let message = answers.get(0).as_ref().err().map(ToString::to_string).unwrap_or_default();
                    out.send(status_write(&view, status::failed_to_create(view.deployment(), message, now)));
                    Outcome::Await(Progress::LastThenRetry)
                }
            },
            Progress::Colliding(view) => match answers.object(0) {
                // Ours: the cache has only not shown it yet.
                Some(live) if revision::is_ours(&view, live) => Outcome::Retry,
                Some(_) => {
                    let mut status = view.deployment().status.clone();
                    status.collision_count += 1;
                    out.send(status_write(&view, status));
                    Outcome::Await(Progress::LastThenRetry)
                }
                None => Outcome::Retry,
            },
        }
    }
}

/// The ReplicaSet that this controller creates for a Deployment that has none.
pub fn first_set(deployment: &Stored) -> ReplicaSet {
    revision::first_set(&View { deployment: deployment.clone(), sets: Vec::new() })
}

/// A Deployment whose only set is `set`, as this controller leaves it when it has nothing more to do at `now`.
pub fn settled(deployment: &Stored, set: &Stored, now: Time) -> Deployment {
    let mut view = View { deployment: deployment.clone(), sets: vec![set.clone()] };
    let mut settled = view.deployment().clone();
    if let Some(revision) = set.object.meta().annotation(revision::REVISION) {
        settled.meta.annotations.update(|annotations| drop(annotations.insert(revision::REVISION.into(), revision.clone())));
    }
    view.deployment.object = Arc::new(settled.clone().into());
    let mut status = status::calculate(&view, now);
    status::judge_progress(&view, &mut status, now);
    settled.status = status;
    settled
}

fn deployment_key(view: &View) -> Key {
    view.deployment.key.clone()
}

fn status_write(view: &View, status: DeploymentStatus) -> Verb {
    let deployment = Deployment { status, ..view.deployment().clone() };
    Verb::Update { object: Arc::new(Object::Deployment(deployment)), part: Part::Status, revision: Some(view.deployment.revision) }
}

/// Replaces the condition unless status and reason stay the same (`SetDeploymentCondition`).
fn set_condition(conditions: &mut List<Condition>, condition: Condition) {
    let same = |present: &Condition| present.status == condition.status && present.reason == condition.reason;
    if !conditions.get(&condition.kind).is_some_and(same) {
        conditions.set(condition);
    }
}
