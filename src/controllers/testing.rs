//! A small world for tests of controllers: a cache that is the store itself, and an API that answers at once.

use std::sync::Arc;

use super::adapter::{ErasedController, Order};
use crate::base::{Duration, Name, Revision, Time};
use crate::client::{Cache, Reply};
use crate::objects::{Condition, Conditions, Key, Kind, Object, Pod, Stored};
use crate::wire::api::{Part, Patch, Propagation, Reason, Verb};
use crate::wire::fact::Fact;
use crate::wire::{ApiError, Work};

pub struct World {
    pub now: Time,
    pub cache: Cache,
    pub revision: Revision,
    pub controllers: Vec<Box<dyn ErasedController>>,
    /// Every request, with when it was made.
    pub requests: Vec<(Time, Verb)>,
    pub facts: Vec<(Time, Fact)>,
    /// How long a monitor pass works.
    pub work: Duration,
    working: Vec<(Time, usize, usize)>,
    names: u64,
}

impl World {
    pub fn new(controllers: Vec<Box<dyn ErasedController>>) -> World {
        let mut world = World {
            now: Time::from_secs(1000),
            cache: Cache::default(),
            revision: Revision(1),
            controllers,
            requests: Vec::new(),
            facts: Vec::new(),
            work: Duration::from_millis(1),
            working: Vec::new(),
            names: 0,
        };
        for controller in &mut world.controllers {
            controller.start(world.now, &world.cache);
        }
        world
    }

    /// Stores the object (or removes it), and lets every controller hear of it.
    pub fn store(&mut self, key: &Key, object: Option<Object>) -> Option<Stored> {
        self.revision = self.revision.next();
        let stored = object.map(|object| Stored::new(self.revision, crate::base::Cause::NONE, Arc::new(object)));
        if let Some(change) = self.cache.apply(key, stored.clone(), self.revision) {
            for controller in &mut self.controllers {
                if controller.watches().contains(&key.kind()) {
                    controller.observe(self.now, &change, &self.cache);
                }
            }
        }
        stored
    }

    /// Creates an object as the API server would.
    pub fn create(&mut self, mut object: Object) -> Result<Stored, ApiError> {
        self.names += 1;
        let (names, now) = (self.names, self.now);
        let meta = object.meta_mut();
        if meta.name.is_empty() {
            meta.name = Name::from(format!("{}{names:05}", meta.generate_name));
        }
        meta.uid = Name::from(format!("uid-{names:05}"));
        meta.creation_timestamp = meta.creation_timestamp.or(Some(now.truncate_to_second()));
        meta.generation = 1;
        let key = object.key();
        match self.cache.get(&key) {
            Some(_) => Err(ApiError::new(Reason::AlreadyExists, "already exists")),
            None => Ok(self.store(&key, Some(object)).expect("stored")),
        }
    }

    /// Changes an object as somebody else would.
    pub fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Object) -> T) -> T {
        let mut object = Object::clone(&self.cache.get(key).expect("changed objects exist").object);
        let result = change(&mut object);
        self.store(key, Some(object));
        result
    }
    pub fn change_pod(&mut self, key: &Key, change: impl FnOnce(&mut Pod)) {
        self.change(key, |object| match object {
            Object::Pod(pod) => change(pod),
            other => panic!("{} is no pod", other.key()),
        });
    }
    pub fn set_ready(&mut self, key: &Key, ready: bool) {
        let now = self.now;
        self.change_pod(key, |pod| {
            pod.status.phase = crate::objects::Phase::Running;
            pod.status.conditions.set(Condition::new("Ready", ready, "", now));
        });
    }
    pub fn pods(&self) -> Vec<(Key, Pod)> {
        let pod = |stored: &Stored| stored.object.as_pod().expect("listed by kind").clone();
        self.cache.list(Kind::Pod).map(|(key, stored)| (key.clone(), pod(stored))).collect()
    }

    /// Lets the controllers work until nothing is due at this instant.
    pub fn settle(&mut self) {
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for at in 0..self.controllers.len() {
                let mut orders = Vec::new();
                self.controllers[at].run(self.now, &self.cache, &mut orders);
                for order in orders {
                    busy = true;
                    match order {
                        Order::Send { worker, number, verb, .. } => {
                            self.requests.push((self.now, verb.clone()));
                            let result = self.answer(verb);
                            self.controllers[at].answer(worker, number, result);
                        }
                        Order::Record { fact, .. } => self.facts.push((self.now, fact)),
                        Order::Compute { worker, work: Work::MonitorPass { .. }, .. } => {
                            self.working.push((self.now + self.work, at, worker));
                        }
                        Order::Compute { work, .. } => panic!("no controller does {work:?}"),
                    }
                }
            }
            let now = self.now;
            for (_, at, worker) in self.working.extract_if(.., |(done, ..)| *done <= now) {
                self.controllers[at].computed(worker);
                busy = true;
            }
        }
    }
    /// Goes on to this instant, stopping wherever something is due.
    pub fn run_until(&mut self, until: Time) {
        loop {
            self.settle();
            let due = self.controllers.iter().map(|controller| controller.deadline());
            let next = due.chain(self.working.iter().map(|(done, ..)| *done)).min().unwrap_or(Time::NEVER);
            if next > until {
                self.now = until;
                return;
            }
            assert!(next > self.now, "something stays due at {next}");
            self.now = next;
        }
    }
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    fn answer(&mut self, verb: Verb) -> Result<Reply, ApiError> {
        let not_found = ApiError::not_found;
        match verb {
            Verb::Get { key, .. } => self.cache.get(&key).cloned().map(Reply::Object).ok_or_else(|| not_found(&key)),
            Verb::Create { object } => self.create(Object::clone(&object)).map(Reply::Object),
            Verb::Update { object, part, revision } => {
                let key = object.key();
                let present = self.cache.get(&key).cloned().ok_or_else(|| not_found(&key))?;
                if revision.is_some_and(|revision| revision != present.revision) {
                    return Err(ApiError::new(Reason::Conflict, "the object has been modified"));
                }
                let object = merge(&present.object, &object, part);
                if object == *present.object {
                    return Ok(Reply::Object(present));
                }
                let gone = object.meta().is_deleting() && object.meta().finalizers.is_empty() && object.kind() != Kind::Pod;
                Ok(self.store(&key, (!gone).then_some(object)).map_or(Reply::Done, Reply::Object))
            }
            Verb::Patch { key, patch, .. } => {
                let present = self.cache.get(&key).cloned().ok_or_else(|| not_found(&key))?;
                let mut object = Object::clone(&present.object);
                patch_object(&mut object, patch);
                let stored = if object == *present.object { Some(present) } else { self.store(&key, Some(object)) };
                Ok(Reply::Object(stored.expect("a patched object stays")))
            }
            Verb::Delete { key, options } => {
                let present = self.cache.get(&key).cloned().ok_or_else(|| not_found(&key))?;
                let mut object = Object::clone(&present.object);
                let graceful = object.as_pod().is_some_and(|pod| pod.node.is_some() && !pod.status.phase.is_terminal());
                let finalizer = match options.propagation {
                    Propagation::Background => None,
                    Propagation::Foreground => Some("foregroundDeletion"),
                    Propagation::Orphan => Some("orphan"),
                };
                let stays = finalizer.is_some() || !object.meta().finalizers.is_empty();
                if !stays && (!graceful || options.grace_period_seconds == Some(0)) {
                    self.store(&key, None);
                    return Ok(Reply::Done);
                }
                let grace = if graceful { Duration::from_secs(30) } else { Duration::ZERO };
                let meta = object.meta_mut();
                meta.finalizers.extend(finalizer.map(Name::new));
                meta.deletion_timestamp = meta.deletion_timestamp.or(Some((self.now + grace).truncate_to_second()));
                Ok(Reply::Object(self.store(&key, Some(object)).expect("it stays")))
            }
            other => panic!("no controller sends {other:?}"),
        }
    }
}

/// The object after an update of one part; a changed spec raises the generation.
fn merge(present: &Object, new: &Object, part: Part) -> Object {
    let mut merged = match part {
        Part::Main => new.clone(),
        Part::Status => present.clone(),
    };
    match (&mut merged, present, new) {
        (Object::Deployment(merged), Object::Deployment(present), Object::Deployment(new)) => match part {
            Part::Status => {
                merged.status = new.status.clone();
                merged.meta.annotations = new.meta.annotations.clone();
            }
            Part::Main => {
                merged.status = present.status.clone();
                merged.meta.generation += u64::from(merged.spec != present.spec);
            }
        },
        (Object::ReplicaSet(merged), Object::ReplicaSet(present), Object::ReplicaSet(new)) => match part {
            Part::Status => merged.status = new.status.clone(),
            Part::Main => {
                merged.status = present.status.clone();
                merged.meta.generation += u64::from(merged.spec != present.spec);
            }
        },
        (Object::Node(merged), Object::Node(present), Object::Node(new)) => match part {
            Part::Status => merged.status = new.status.clone(),
            Part::Main => merged.status = present.status.clone(),
        },
        (Object::PersistentVolume(merged), Object::PersistentVolume(present), Object::PersistentVolume(new)) => match part {
            Part::Status => merged.status = new.status.clone(),
            Part::Main => merged.status = present.status.clone(),
        },
        (Object::PersistentVolumeClaim(merged), Object::PersistentVolumeClaim(present), Object::PersistentVolumeClaim(new)) => match part {
            Part::Status => merged.status = new.status.clone(),
            Part::Main => merged.status = present.status.clone(),
        },
        (Object::VolumeAttachment(merged), Object::VolumeAttachment(present), Object::VolumeAttachment(new)) => match part {
            Part::Status => merged.status = new.status.clone(),
            Part::Main => merged.status = present.status.clone(),
        },
        _ => {}
    }
    merged
}

fn patch_object(object: &mut Object, patch: Patch) {
    match (object, patch) {
        (Object::Pod(pod), Patch::Condition { condition, .. }) => {
            pod.status.conditions.set(condition);
        }
        (Object::Pod(pod), Patch::Strategic(_)) => pod.status.phase = crate::objects::Phase::Failed,
        (object, Patch::Merge(value)) => {
            let given = value["metadata"]["annotations"].as_object().expect("only annotations are merged").clone();
            object.meta_mut().annotations.update(|annotations| {
                for (key, value) in given {
                    annotations.insert(key.into(), value.as_str().expect("a text").into());
                }
            });
        }
        (_, other) => panic!("no controller sends {other:?}"),
    }
}
