//! The scheduler against a small API server that answers at once: what it binds, why, and what it does when it cannot.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::base::{Queue, Revision};
use crate::wire::actor::{Conn, Effect, NetOp};
use crate::wire::api::{ApiRequest, ApiResponse, Body, Reason, WatchEvent};
use crate::wire::{ApiError, Message};

/// A world of one scheduler and one API server, in virtual time.
struct World {
    scheduler: Scheduler,
    out: Outbox,
    queue: Queue<(Cause, Input<ClientMessage>)>,
    now: Time,
    objects: Map<Key, Stored>,
    revision: u64,
    conn: Conn,
    watches: Vec<(Kind, u64)>,
    /// How the next bindings are answered; then they succeed.
    refusals: Vec<ApiError>,
    /// The same for deletions.
    refused_deletions: Vec<ApiError>,
    /// What happened: (seconds, text, cause).
    log: Vec<(Time, String, Cause)>,
}

impl World {
    fn new() -> World {
        World::of(Config::default())
    }
    fn of(config: Config) -> World {
        let stream = |name| Seed(1).stream(name);
        let scheduler = Scheduler::new(config, Replica(1), Address::ApiBalancer, stream("session"), stream("election"), stream("ties"));
        let mut queue = Queue::new();
        queue.push(Time::ZERO, (Cause::NONE, Input::Boot(Box::default())));
        World {
            scheduler,
            out: Outbox::new(),
            queue,
            now: Time::ZERO,
            objects: Map::default(),
            revision: 1,
            conn: Conn(0),
            watches: Vec::new(),
            refusals: Vec::new(),
            refused_deletions: Vec::new(),
            log: Vec::new(),
        }
    }

    fn run_until(&mut self, end: Time) {
        loop {
            let deadline = self.scheduler.deadline();
            let (at, input) = match self.queue.next_time() {
                Some(at) if at <= deadline => (at, None),
                _ => (deadline.max(self.now), Some((Cause::NONE, Input::Wake))),
            };
            if at > end {
                self.now = end;
                return;
            }
            self.now = at;
            let (cause, input) = input.unwrap_or_else(|| self.queue.pop().expect("its time is known").1);
            self.out.begin(cause);
            self.scheduler.step(at, input, &mut self.out);
            let effects: Vec<(Cause, Effect)> = self.out.drain().collect();
            for (cause, effect) in effects {
                self.perform(cause, effect);
            }
        }
    }

    fn perform(&mut self, cause: Cause, effect: Effect) {
        let soon = self.now + Duration::from_millis(1);
        match effect {
            Effect::Net(NetOp::Dial(conn, ..)) => {
                self.conn = conn;
                self.queue.push(soon, (cause, Input::Opened(conn)));
            }
            Effect::Net(NetOp::Write(_, Message::ApiRequest(request))) => self.serve(cause, *request),
            Effect::Compute(work, _) => self.queue.push(soon, (cause, Input::Done(work))),
            Effect::Record(_, fact) => self.log.push((self.now, format!("{} {}", fact.subject, fact.what), cause)),
            other => panic!("a scheduler does not {other:?}"),
        }
    }

    fn serve(&mut self, cause: Cause, ApiRequest { id, verb }: ApiRequest) {
        let body = match verb {
            Verb::List { kind, .. } => {
                let mut items: Vec<Stored> = self.objects.values().filter(|stored| stored.object.kind() == kind).cloned().collect();
                items.sort_by_key(|stored| stored.revision);
                Body::List { revision: Revision(self.revision), items }
            }
            Verb::Watch { kind, .. } => {
                self.watches.push((kind, id));
                return;
            }
            Verb::Get { key, .. } => match self.objects.get(&key) {
                Some(stored) => Body::Object(stored.clone()),
                None => Body::Error(ApiError::not_found(&key)),
            },
            Verb::Create { object } | Verb::Update { object, .. } => {
                if object.kind().is_of_volumes() {
                    self.log.push((self.now, format!("write {}", object.key()), cause));
                }
                Body::Object(self.store(object))
            }
            Verb::Bind { pod, node, .. } => {
                if !self.refusals.is_empty() {
                    self.log.push((self.now, format!("refused {} on {node}", pod.name()), cause));
                    Body::Error(self.refusals.remove(0))
                } else {
                    self.log.push((self.now, format!("bind {} to {node}", pod.name()), cause));
                    let mut bound = self.objects[&pod].object.as_pod().expect("a pod").clone();
                    bound.node = Some(node);
                    self.store(Arc::new(bound.into()));
                    Body::Done
                }
            }
            Verb::Patch { key, patch: Patch::Condition { condition, nominated_node }, .. } => {
                let nominated = nominated_node.as_ref().map_or(String::new(), |node| format!(" nominated=\"{node}\""));
                self.log.push((self.now, format!("patch {} {} {}{nominated}", key.name(), condition.reason, condition.message), cause));
                let mut pod = self.objects[&key].object.as_pod().expect("a pod").clone();
                pod.status.conditions.set(condition);
                if let Some(node) = nominated_node {
                    pod.status.nominated_node_name = node;
                }
                Body::Object(self.store(Arc::new(pod.into())))
            }
            Verb::Patch { key, patch: Patch::Merge(_), .. } => {
                self.log.push((self.now, format!("clear the nomination of {}", key.name()), cause));
                let mut pod = self.objects[&key].object.as_pod().expect("a pod").clone();
                pod.status.nominated_node_name = Name::default();
                Body::Object(self.store(Arc::new(pod.into())))
            }
            Verb::Delete { key, .. } if !self.refused_deletions.is_empty() => {
                self.log.push((self.now, format!("refused to delete {}", key.name()), cause));
                Body::Error(self.refused_deletions.remove(0))
            }
            // As with a grace period: the pod is marked, and goes when the test says so.
            Verb::Delete { key, .. } => {
                self.log.push((self.now, format!("delete {}", key.name()), cause));
                let mut pod = self.objects[&key].object.as_pod().expect("a pod").clone();
                pod.meta.deletion_timestamp = Some(self.now);
                Body::Object(self.store(Arc::new(pod.into())))
            }
            other => panic!("a scheduler does not {other:?}"),
        };
        self.answer(id, body, cause);
    }

    fn answer(&mut self, id: u64, body: Body, cause: Cause) {
        let at = self.now + Duration::from_millis(1);
        self.queue.push(at, (cause, Input::Data(self.conn, Box::new(ApiResponse { id, body }))));
    }

    fn store(&mut self, object: Arc<Object>) -> Stored {
        self.revision += 1;
        let stored = Stored::new(Revision(self.revision), Cause::NONE, object);
        let old = self.objects.insert(stored.object.key(), stored.clone());
        let event = if old.is_some() { WatchEvent::Modified(stored.clone()) } else { WatchEvent::Added(stored.clone()) };
        self.notify(stored.object.kind(), event, stored.because());
        stored
    }

    fn delete(&mut self, key: &Key) {
        self.revision += 1;
        let last = self.objects.remove(key).expect("it is there");
        let gone = Stored { revision: Revision(self.revision), ..last };
        self.notify(key.kind(), WatchEvent::Deleted(gone.clone()), gone.because());
    }

    fn notify(&mut self, kind: Kind, event: WatchEvent, cause: Cause) {
        if let Some((_, id)) = self.watches.iter().find(|(watched, _)| *watched == kind) {
            self.answer(*id, Body::Watch(event), cause);
        }
    }

    fn add(&mut self, kind: &str, mut value: Value) -> Cause {
        value["kind"] = Value::from(kind);
        self.store(Arc::new(Object::from_json(value).expect("a valid object"))).because()
    }
    fn add_node(&mut self, name: &str, cpu: &str) -> Cause {
        self.add("Node", json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}}))
    }
    fn add_pod(&mut self, name: &str, cpu: &str) -> Cause {
        let containers = json!([{"name": "c", "image": "app", "resources": {"requests": {"cpu": cpu}}}]);
        self.add("Pod", json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"containers": containers}}))
    }
    fn add_pod_of(&mut self, name: &str, cpu: &str, priority: i64, node: Option<&str>, nominated: Option<&str>) -> Cause {
        let containers = json!([{"name": "c", "image": "app", "resources": {"requests": {"cpu": cpu}}}]);
        let mut pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": name}},
            "spec": {"containers": containers, "priority": priority}});
        if let Some(node) = node {
            pod["spec"]["nodeName"] = json!(node);
        }
        if let Some(node) = nominated {
            pod["status"] = json!({"nominatedNodeName": node});
        }
        self.add("Pod", pod)
    }
    fn texts(&self) -> Vec<&str> {
        self.log.iter().map(|(_, text, _)| text.as_str()).collect()
    }
    fn find(&self, text: &str) -> (Time, Cause) {
        let found = self.log.iter().find(|(_, line, _)| line.starts_with(text));
        found.map(|(at, _, cause)| (*at, *cause)).unwrap_or_else(|| panic!("no \"{text}\" in {:#?}", self.log))
    }
}

const UNSCHEDULABLE: &str = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                             available: 1 Preemption is not helpful for scheduling.";

#[test]
fn a_pod_is_bound_because_it_was_created() {
    let mut world = World::new();
    world.add_node("small", "1");
    world.add_node("large", "4");
    world.run_until(Time::from_secs(1));
    let created = world.add_pod("web", "2");
    world.run_until(Time::from_secs(2));
    assert_eq!(world.texts(), ["scheduler-1 leading", "bind web to large"]);
    assert_eq!(world.find("bind").1, created);
    assert_eq!(world.scheduler.snapshot().node_of(&Key::pod("default", "web")).map(Name::as_str), Some("large"));
    assert_eq!(world.scheduler.waiting(), 0);
}

#[test]
fn pods_that_were_there_before_are_placed_once_it_leads() {
    let mut world = World::new();
    world.add_node("node", "4");
    for n in 0..20 {
        world.add_pod(&format!("web-{n:02}"), "200m");
    }
    world.run_until(Time::from_secs(1));
    let bound = world.texts().iter().filter(|text| text.starts_with("bind")).count();
    assert_eq!(bound, 20, "{:#?}", world.log);
    assert_eq!(world.texts()[1], "bind web-00 to node");
}

#[test]
fn an_assumed_pod_counts_before_its_binding_is_confirmed() {
    let mut world = World::new();
    world.add_node("node", "3");
    world.run_until(Time::from_secs(1));
    world.add_pod("first", "2");
    world.add_pod("second", "2");
    world.run_until(Time::from_secs(2));
    assert_eq!(world.texts()[1], "bind first to node");
    assert!(world.texts()[2].starts_with("Pod default/second unschedulable: 0/1 nodes are available: 1 Insufficient cpu."));
}

#[test]
fn an_unschedulable_pod_says_why_and_waits_for_an_event_that_helps() {
    let mut world = World::new();
    world.add_node("small", "1");
    world.run_until(Time::from_secs(1));
    let created = world.add_pod("web", "2");
    world.run_until(Time::from_secs(60));
    let fact = format!("Pod default/web unschedulable: {UNSCHEDULABLE}");
    let patch = format!("patch web Unschedulable {UNSCHEDULABLE}");
    assert_eq!(world.texts(), ["scheduler-1 leading", fact.as_str(), patch.as_str()], "tried once");
    assert_eq!(world.find("Pod default/web").1, created);
    assert!(world.find("patch").1.as_fact().is_some(), "the patch is because of the decision");
    let arrival = world.add_node("large", "4");
    world.run_until(Time::from_secs(61));
    assert_eq!(world.find("bind web to large").1, arrival);
}

#[test]
fn a_pod_that_goes_makes_room() {
    let mut world = World::new();
    world.add_node("node", "3");
    world.run_until(Time::from_secs(1));
    world.add_pod("first", "2");
    world.add_pod("second", "2");
    world.run_until(Time::from_secs(10));
    world.delete(&Key::pod("default", "first"));
    let deletion = Cause::revision(Revision(world.revision));
    world.run_until(Time::from_secs(11));
    assert_eq!(world.find("bind second to node").1, deletion);
}

#[test]
fn a_refused_binding_is_forgotten_and_tried_again_after_a_back_off() {
    let mut world = World::new();
    world.add_node("node", "3");
    world.refusals = vec![ApiError::new(Reason::Conflict, "try again")];
    world.run_until(Time::from_secs(1));
    world.add_pod("web", "2");
    world.run_until(Time::from_secs(4));
    let (refused, _) = world.find("refused web");
    let (bound, cause) = world.find("bind web to node");
    assert!(bound >= refused + Duration::from_millis(900) && bound <= refused + Duration::from_millis(2000), "{refused} {bound}");
    assert!(cause.as_fact().is_some(), "because of the failed binding");
    assert_eq!(world.find("patch web SchedulerError").0, world.find("Pod default/web binding rejected: try again").0);
}

#[test]
fn a_pod_deleted_during_its_cycle_is_not_bound() {
    let mut world = World::new();
    world.add_node("node", "3");
    world.run_until(Time::from_secs(1));
    world.add_pod("web", "2");
    world.delete(&Key::pod("default", "web"));
    world.run_until(Time::from_secs(2));
    assert_eq!(world.texts(), ["scheduler-1 leading"]);
    assert_eq!(world.scheduler.waiting(), 0);
}

#[test]
fn a_candidate_schedules_nothing_while_another_leads() {
    let mut world = World::new();
    world.add(
        "Lease",
        json!({"metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
        "spec": {"holderIdentity": "scheduler-2_1.0", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00Z"}}),
    );
    world.add_node("node", "3");
    world.add_pod("web", "2");
    world.run_until(Time::from_secs(14));
    assert!(world.log.is_empty(), "{:#?}", world.log);
    world.run_until(Time::from_secs(25));
    assert!(world.texts()[0].starts_with("scheduler-1 scheduler-2 silent for 1"), "{:#?}", world.log);
    assert_eq!(world.texts()[1..], ["scheduler-1 leading", "bind web to node"]);
}

#[test]
fn a_pod_of_higher_priority_evicts_waits_and_gets_the_room() {
    let mut world = World::new();
    world.add_node("node", "3");
    for (name, priority) in [("low", 0), ("lower", -5), ("lowest", -10)] {
        world.add_pod_of(name, "1", priority, Some("node"), None);
    }
    world.run_until(Time::from_secs(1));
    world.add_pod_of("high", "2", 1000, None, None);
    world.run_until(Time::from_secs(20));
    let texts: Vec<&str> = world.texts()[1..].to_vec();
    let failure = "0/1 nodes are available: 1 Insufficient cpu.";
    let preempting = "PreemptionByScheduler default-scheduler: preempting to accommodate a higher priority pod";
    assert_eq!(
        texts,
        [
            format!("Pod default/high unschedulable: {failure}"),
            "Pod default/high nominated to node, evicting lower lowest".to_owned(),
            format!("patch lower {preempting}"),
            format!("patch high Unschedulable {failure} nominated=\"node\""),
            "delete lower".to_owned(),
            format!("patch lowest {preempting}"),
            "delete lowest".to_owned(),
        ],
        "tried once, and nobody is evicted twice"
    );
    let (_, evicts) = world.find("delete lower");
    assert_eq!(world.find("patch lowest").1, evicts, "both because of the nomination");
    // A pod of lower priority gets nothing of the room that is kept, one of higher does.
    world.delete(&Key::pod("default", "lower"));
    world.add_pod_of("greedy", "1", 500, None, None);
    world.run_until(Time::from_secs(40));
    assert!(!world.texts().iter().any(|text| text.starts_with("bind greedy")), "{:#?}", world.log);
    world.delete(&Key::pod("default", "lowest"));
    let gone = Cause::revision(Revision(world.revision));
    world.run_until(Time::from_secs(60));
    assert_eq!(world.find("bind high to node").1, gone);
    assert_eq!(world.scheduler.snapshot().nomination(&Key::pod("default", "high")), None, "a bound pod needs no room kept");
}

/// The preemptor would else wait for the end of a victim that nobody has ended.
#[test]
fn a_victim_that_cannot_be_deleted_brings_the_preemptor_back_at_once() {
    for names in [&["low"][..], &["low", "lower"]] {
        for refused in 0..names.len() {
            let mut world = World::new();
            world.add_node("node", "3");
            for name in names {
                let cpu = if names.len() == 1 { "3" } else { "1500m" };
                world.add_pod_of(name, cpu, -(name.len() as i64), Some("node"), None);
            }
            world.run_until(Time::from_secs(1));
            // The victim that is deleted first, or last.
            world.refused_deletions = vec![ApiError::new(Reason::Forbidden, "not now")];
            if refused == 1 {
                world.refused_deletions.insert(0, ApiError::not_found(&Key::pod("default", "low")));
            }
            world.add_pod_of("high", "3", 1000, None, None);
            world.run_until(Time::from_secs(2));
            let nominations: Vec<Cause> =
                world.log.iter().filter(|(_, text, _)| text.contains("nominated to node")).map(|(_, _, cause)| *cause).collect();
            assert_eq!(nominations.len(), 2, "{names:?} {refused}: it tries again: {:#?}", world.log);
            for name in names {
                assert_eq!(world.texts().iter().filter(|text| **text == format!("delete {name}")).count(), 1, "{:#?}", world.log);
            }
            let first = world.find("patch").1;
            assert_eq!(world.find("refused to delete").1, first, "because of the nomination");
            assert!(world.scheduler.evicting.is_empty(), "{:#?}", world.scheduler.evicting);
            for name in names {
                world.delete(&Key::pod("default", name));
            }
            world.run_until(Time::from_secs(20));
            assert!(world.texts().contains(&"bind high to node"), "{:#?}", world.log);
        }
    }
}

#[test]
fn a_pod_of_lower_priority_loses_its_nomination() {
    let mut world = World::new();
    world.add_node("node", "2");
    world.add_pod_of("low", "2", 0, Some("node"), None);
    world.add_pod_of("middle", "2", 10, None, Some("node"));
    world.run_until(Time::from_secs(1));
    world.add_pod_of("high", "2", 1000, None, None);
    world.run_until(Time::from_secs(2));
    assert!(world.texts().contains(&"clear the nomination of middle"), "{:#?}", world.log);
    world.delete(&Key::pod("default", "low"));
    world.run_until(Time::from_secs(60));
    assert!(world.texts().contains(&"bind high to node") && !world.texts().contains(&"bind middle to node"), "{:#?}", world.log);
}

mod volumes;
