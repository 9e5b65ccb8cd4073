//! A server against a scripted etcd: the whole way of a request, from a client's message to its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::base::random::Seed;
use crate::base::{Cause, FactId, Incarnation, Revision, Term, Time};
use crate::objects::{Key, Kind, Object, Stored};
use crate::wire::api::{ApiRequest, Body, DeleteOptions, Part, Patch, Propagation, Reason, Scope, Verb, WatchEvent};
use crate::wire::etcd::{self, Answer, CompareTarget, KeyRange, KeyValue, LeaseId, Op, OpAnswer, Operation, RangeAnswer};
use crate::wire::{Actor, Address, Boot, Conn, Effect, Input, Member, Message, NetOp, NodeId, Outbox, Server, ServerMessage, Work, WorkId};

/// One store that answers at once, in order.
#[derive(Default)]
struct Store {
    revision: u64,
    kvs: BTreeMap<String, KeyValue>,
    watches: Vec<(Conn, u64, KeyRange)>,
    /// Keys whose next transaction meets a version that somebody else has just written.
    race: Vec<String>,
}

impl Store {
    fn range(&self, range: &etcd::Range) -> RangeAnswer {
        let kvs: Vec<KeyValue> = self.kvs.values().filter(|kv| range.keys.contains(&kv.key)).cloned().collect();
        RangeAnswer { count: kvs.len() as u64, kvs: if range.count_only { Vec::new() } else { kvs }, more: false }
    }
    fn put(&mut self, key: &Arc<str>, value: etcd::Value, cause: Cause) {
        let old = self.kvs.get(&**key);
        let revision = Revision(self.revision);
        let created = old.map_or(revision, |old| old.create_revision);
        let version = old.map_or(1, |old| old.version + 1);
        let kv = KeyValue { key: key.clone(), value, create_revision: created, mod_revision: revision, version, lease: LeaseId(0), cause };
        self.kvs.insert(key.to_string(), kv);
    }
    /// Answers, and the events for whoever watches.
    fn execute(&mut self, operation: Operation, cause: Cause) -> (Answer, Vec<etcd::WatchEvent>) {
        let mut events = Vec::new();
        let answer = match operation {
            Operation::Range(range) => Answer::Range(self.range(&range)),
            Operation::Txn(txn) => {
                for key in std::mem::take(&mut self.race) {
                    let kv = self.kvs[&key].clone();
                    self.revision += 1;
                    self.put(&kv.key, kv.value, Cause::NONE);
                }
                let holds = |compare: &etcd::Compare| {
                    let KeyRange::One(key) = &compare.keys else { panic!("only one key is compared") };
                    let kv = self.kvs.get(&**key);
                    match &compare.target {
                        CompareTarget::ModRevision(wanted) => kv.map_or(Revision::ZERO, |kv| kv.mod_revision) == *wanted,
                        CompareTarget::Version(wanted) => kv.map_or(0, |kv| kv.version) == *wanted,
                        other => panic!("{other:?} is not scripted"),
                    }
                };
                let succeeded = txn.compares.iter().all(holds);
                let ops = if succeeded { txn.then.to_vec() } else { txn.otherwise.clone() };
                self.revision += u64::from(succeeded);
                let mut answers = Vec::new();
                for op in ops {
                    answers.push(match op {
                        Op::Range(range) => OpAnswer::Range(self.range(&range)),
                        Op::Put { key, value, .. } => {
                            self.put(&key, value, cause);
                            events.push(etcd::WatchEvent { kv: self.kvs[&*key].clone(), deleted: false, previous: None });
                            OpAnswer::Put { previous: None }
                        }
                        Op::Delete { keys: KeyRange::One(key), .. } => {
                            let mut kv = self.kvs.remove(&*key).expect("a key that is there");
                            kv.mod_revision = Revision(self.revision);
                            kv.cause = cause;
                            events.push(etcd::WatchEvent { kv, deleted: true, previous: None });
                            OpAnswer::Delete { deleted: 1, previous: Vec::new() }
                        }
                        other => panic!("{other:?} is not scripted"),
                    });
                }
                Answer::Txn { succeeded, answers: answers.into() }
            }
            Operation::WatchProgress { .. } => Answer::WatchProgress,
            Operation::Compact { .. } => Answer::Compacted,
            other => panic!("{other:?} is not scripted"),
        };
        (answer, events)
    }
}

/// The server, its etcd, and one client on connection 1000.
struct World {
    now: Time,
    server: ApiServer,
    store: Store,
    out: Outbox,
    next_id: u64,
    answers: Vec<(u64, Cause, Body)>,
    health: Option<bool>,
    silent: bool,
    works: Vec<(WorkId, u32)>,
    closed: Vec<Conn>,
}

const CLIENT: Conn = Conn(1_000_000);

impl World {
    fn new() -> World {
        let server = ApiServer::new(Config::default(), Server(1), vec![Member(1)], Seed(7).stream("apiserver-1 1"));
        let (now, out) = (Time::from_millis(10_500), Outbox::new());
        let mut world = World {
            now,
            server,
            store: Store { revision: 1, ..Store::default() },
            out,
            next_id: 0,
            answers: vec![],
            health: None,
            silent: false,
            works: vec![],
            closed: vec![],
        };
        let boot = Boot { incarnation: Incarnation(1), machine_boot: Incarnation(1), disk: Vec::new(), damaged: Vec::new() };
        world.feed(Input::Boot(Box::new(boot)), Cause::NONE);
        world.feed(Input::Accepted(CLIENT, Address::Kubelet(NodeId(0))), Cause::NONE);
        world
    }
    /// One step, and all that follows from it at once.
    fn feed(&mut self, input: Input<ServerMessage>, cause: Cause) {
        let mut inputs = std::collections::VecDeque::from([(cause, input)]);
        while let Some((cause, input)) = inputs.pop_front() {
            self.out.begin(cause);
            self.server.step(self.now, input, &mut self.out);
            let effects: Vec<(Cause, Effect)> = self.out.drain().collect();
            for (cause, effect) in effects {
                match effect {
                    Effect::Net(NetOp::Dial(conn, ..)) => inputs.push_back((cause, Input::Opened(conn))),
                    Effect::Net(NetOp::Close(conn)) => self.closed.push(conn),
                    Effect::Compute(id, Work::List { objects }) => self.works.push((id, objects)),
                    Effect::Net(NetOp::Health(health)) => self.health = Some(health),
                    Effect::Net(NetOp::Write(_, Message::ApiResponse(response))) => self.answers.push((response.id, cause, response.body)),
                    Effect::Net(NetOp::Write(conn, Message::EtcdRequest(request))) if !self.silent => {
                        let respond = |id, store: &Store, answer| {
                            let (member, term) = (Member(1), Term(1));
                            let response = etcd::Response { id, member, revision: Revision(store.revision), term, result: Ok(answer) };
                            Input::Data(conn, ServerMessage::Etcd(Box::new(response)))
                        };
                        let id = request.id;
                        match request.operation {
                            Operation::Watch(watch) => {
                                self.store.watches.push((conn, id, watch.keys));
                                inputs.push_back((cause, respond(id, &self.store, Answer::WatchCreated)));
                            }
                            Operation::WatchProgress { watch } => {
                                inputs.push_back((cause, respond(watch, &self.store, Answer::WatchProgress)))
                            }
                            operation => {
                                let (answer, events) = self.store.execute(operation, cause);
                                inputs.push_back((cause, respond(id, &self.store, answer)));
                                for (_, id, keys) in &self.store.watches {
                                    let seen: Vec<_> = events.iter().filter(|event| keys.contains(&event.kv.key)).cloned().collect();
                                    if !seen.is_empty() {
                                        inputs.push_back((cause, respond(*id, &self.store, Answer::WatchEvents(seen))));
                                    }
                                }
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    fn send(&mut self, verb: Verb) -> u64 {
        self.next_id += 1;
        let request = ApiRequest { id: self.next_id, verb };
        self.feed(Input::Data(CLIENT, ServerMessage::Client(Box::new(request))), Cause::fact(FactId(77)));
        self.next_id
    }
    /// The last answer to a request sent now.
    fn ask(&mut self, verb: Verb) -> Body {
        let id = self.send(verb);
        let at = self.answers.iter().position(|(answered, ..)| *answered == id).expect("an answer");
        self.answers.remove(at).2
    }
    fn object(&mut self, verb: Verb) -> Stored {
        match self.ask(verb) {
            Body::Object(stored) => stored,
            other => panic!("expected an object, not {other:?}"),
        }
    }
    fn error(&mut self, verb: Verb) -> (Reason, String) {
        match self.ask(verb) {
            Body::Error(error) => (error.reason, error.message),
            other => panic!("expected an error, not {other:?}"),
        }
    }
    fn create(&mut self, manifest: serde_json::Value) -> Stored {
        self.object(create(manifest))
    }
    fn wake_at(&mut self, now: Time) {
        self.now = now;
        self.feed(Input::Wake, Cause::NONE);
    }
    /// What a watch has told since it was last asked.
    fn told(&mut self, watch: u64) -> Vec<String> {
        let mut told = Vec::new();
        self.answers.retain(|(id, cause, body)| {
            if *id != watch {
                return true;
            }
            told.push(match body {
                Body::Watch(WatchEvent::Added(it)) => format!("added {} {cause:?}", it.object.meta().name),
                Body::Watch(WatchEvent::Modified(it)) => format!("modified {} {cause:?}", it.object.meta().name),
                Body::Watch(WatchEvent::Deleted(it)) => format!("deleted {} {cause:?}", it.object.meta().name),
                Body::Watch(WatchEvent::Bookmark(revision)) => format!("bookmark {revision}"),
                Body::Watch(WatchEvent::End(error)) => format!("end {:?}", error.as_ref().map(|error| error.reason)),
                other => format!("{other:?}"),
            });
            false
        });
        told
    }
}

fn object(manifest: serde_json::Value) -> Arc<Object> {
    Arc::new(Object::from_json(manifest).expect("a manifest"))
}
fn create(manifest: serde_json::Value) -> Verb {
    Verb::Create { object: object(manifest) }
}
fn pod(name: &str) -> serde_json::Value {
    json!({"kind": "Pod", "metadata": {"namespace": "default", "name": name}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}})
}
fn delete(key: &Key, grace: Option<u64>) -> Verb {
    Verb::Delete { key: key.clone(), options: DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() } }
}
fn bind(name: &str, node: &str) -> Verb {
    Verb::Bind { pod: Key::pod("default", name), uid: "".into(), node: node.into() }
}

#[test]
fn a_server_is_ready_when_every_kind_is_listed_and_the_initial_namespaces_are_there() {
    let mut world = World::new();
    assert_eq!(world.health, Some(true));
    assert!(world.server.is_ready());
    let Body::List { items, .. } = world.ask(Verb::List { kind: Kind::Namespace, scope: Scope::all(), fresh: true }) else {
        panic!("no list")
    };
    let names: Vec<&str> = items.iter().map(|it| it.object.meta().name.as_str()).collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
}

#[test]
fn a_server_without_etcd_is_unavailable() {
    let server = ApiServer::new(Config::default(), Server(1), vec![Member(1)], Seed(7).stream("x"));
    let mut world = World { server, silent: true, ..World::new() };
    world.feed(Input::Boot(Box::default()), Cause::NONE);
    world.feed(Input::Accepted(CLIENT, Address::Operator), Cause::NONE);
    assert_eq!(world.health, Some(false));
    assert_eq!(world.error(Verb::Get { key: Key::pod("default", "a"), fresh: false }).0, Reason::ServiceUnavailable);
}

#[test]
fn a_created_pod_is_named_stamped_and_defaulted() {
    let mut world = World::new();
    let mut manifest = pod("");
    manifest["metadata"]["generateName"] = json!("web-");
    let stored = world.create(manifest);
    let pod = stored.object.as_pod().unwrap();
    assert_eq!((pod.meta.name.len(), &pod.meta.name[..4]), (9, "web-"));
    assert_eq!(pod.meta.uid.len(), 36);
    assert_eq!(pod.meta.creation_timestamp, Some(Time::from_secs(10)));
    assert_eq!((pod.meta.generation, &*pod.status.qos_class, pod.spec.priority), (1, "BestEffort", Some(0)));
    assert_eq!(stored.cause, Cause::fact(FactId(77)), "the request's cause goes with the write");
    assert_eq!(world.store.kvs[&**stored.object.key().path()].cause, Cause::fact(FactId(77)));
    let same = world.object(Verb::Get { key: stored.object.key(), fresh: true });
    assert_eq!(same, stored);
}

#[test]
fn creating_twice_or_in_a_namespace_that_is_not_there_is_refused() {
    let mut world = World::new();
    world.create(pod("a"));
    assert_eq!(world.error(create(pod("a"))), (Reason::AlreadyExists, "pods \"a\" already exists".to_owned()));
    let mut elsewhere = pod("a");
    elsewhere["metadata"]["namespace"] = json!("nosuch");
    assert_eq!(world.error(create(elsewhere)), (Reason::NotFound, "namespaces \"nosuch\" not found".to_owned()));
}

#[test]
fn a_pod_is_bound_once() {
    let mut world = World::new();
    world.create(pod("a"));
    let bound = world.object(bind("a", "n1"));
    let bound = bound.object.as_pod().unwrap();
    assert_eq!((bound.node.as_deref(), bound.meta.generation), (Some("n1"), 1));
    assert_eq!(bound.status.conditions[0].kind, "PodScheduled");
    let (reason, message) = world.error(bind("a", "n2"));
    assert_eq!(reason, Reason::Conflict);
    assert!(message.ends_with("pod a is already assigned to node \"n1\""), "{message}");
}

#[test]
fn an_update_with_an_old_revision_conflicts_and_one_without_meets_the_newest() {
    let mut world = World::new();
    let lease = json!({"kind": "Lease", "metadata": {"namespace": "default", "name": "l"}, "spec": {"holderIdentity": "a"}});
    let first = world.create(lease);
    let update = |holder: &str, stored: &Stored, revision| {
        let mut lease = stored.object.as_lease().unwrap().clone();
        lease.spec.holder_identity = holder.into();
        Verb::Update { object: Arc::new(lease.into()), part: Part::Main, revision }
    };
    let second = world.object(update("b", &first, Some(first.revision)));
    assert!(second.revision > first.revision);
    let (reason, message) = world.error(update("c", &first, Some(first.revision)));
    assert_eq!(reason, Reason::Conflict);
    assert_eq!(
        message,
        "Operation cannot be fulfilled on leases.coordination.k8s.io \"l\": the object has been modified; please apply your changes to the \
         latest version and try again"
    );
    // Somebody else writes between the cached read and the transaction: the write is done again on the live version.
    world.store.race.push(first.object.key().path().to_string());
    let third = world.object(update("d", &first, None));
    assert_eq!(third.revision, Revision(second.revision.0 + 2));
    assert_eq!(world.object(update("d", &first, None)).revision, third.revision, "what changes nothing is not written");
}

#[test]
fn a_graceful_delete_waits_for_the_kubelet_and_only_shortens() {
    let mut world = World::new();
    world.create(pod("a"));
    world.object(bind("a", "n1"));
    let key = Key::pod("default", "a");
    let times = |stored: &Stored| {
        let meta = stored.object.meta();
        (meta.deletion_timestamp.unwrap(), meta.deletion_grace_period_seconds.unwrap(), meta.generation)
    };
    let first = world.object(delete(&key, None));
    assert_eq!(times(&first), (Time::from_secs(40), 30, 2));
    assert_eq!(times(&world.object(delete(&key, Some(60)))), (Time::from_secs(40), 30, 2), "never longer");
    assert_eq!(times(&world.object(delete(&key, Some(5)))), (Time::from_secs(15), 5, 2));
    assert!(matches!(world.ask(delete(&key, Some(0))), Body::Done));
    assert_eq!(world.error(delete(&key, Some(0))), (Reason::NotFound, "pods \"a\" not found".to_owned()));
}

#[test]
fn an_unscheduled_pod_is_deleted_at_once_and_finalizers_hold_what_is_deleted() {
    let mut world = World::new();
    world.create(pod("a"));
    assert!(matches!(world.ask(delete(&Key::pod("default", "a"), None)), Body::Done));
    let mut held = pod("b");
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    world.create(held);
    let key = Key::pod("default", "b");
    let deleting = world.object(delete(&key, None));
    assert_eq!(deleting.object.meta().deletion_grace_period_seconds, Some(0));
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.object(Verb::Patch { key: key.clone(), patch, part: Part::Main });
    assert_eq!(world.error(Verb::Get { key, fresh: true }).0, Reason::NotFound, "gone with its last finalizer");
}

#[test]
fn a_foreground_delete_leaves_the_object_to_the_garbage_collector() {
    let mut world = World::new();
    let stored = world.create(deployment("web"));
    let options = DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() };
    let deleting = world.object(Verb::Delete { key: stored.object.key(), options });
    let meta = deleting.object.meta();
    // As recorded: generation 2, grace period 0.
    assert_eq!((&*meta.finalizers[0], meta.generation, meta.deletion_grace_period_seconds), ("foregroundDeletion", 2, Some(0)));
    let options = DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() };
    let (reason, message) = world.error(Verb::Delete { key: stored.object.key(), options });
    assert_eq!(reason, Reason::Conflict);
    assert!(
        message.starts_with("Operation cannot be fulfilled on Deployment.apps \"web\": the UID in the precondition (other)"),
        "{message}"
    );
}

fn deployment(name: &str) -> serde_json::Value {
    json!({"kind": "Deployment", "metadata": {"namespace": "default", "name": name}, "spec": {
        "selector": {"matchLabels": {"app": "e"}},
        "template": {"metadata": {"labels": {"app": "e"}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}}})
}

#[test]
fn spec_and_status_are_written_apart() {
    let mut world = World::new();
    let created = world.create(deployment("web"));
    let mut changed = created.object.as_deployment().unwrap().clone();
    changed.spec.replicas = Some(5);
    changed.status.replicas = 3;
    let both = Arc::new(Object::from(changed));
    let update = |part| Verb::Update { object: both.clone(), part, revision: None };
    let status = world.object(update(Part::Status));
    let it = status.object.as_deployment().unwrap();
    assert_eq!((it.spec.replicas, it.status.replicas, it.meta.generation), (Some(1), 3, 1));
    let patch = Patch::Strategic(json!({"spec": {"replicas": 7}, "status": {"replicas": 9}}));
    let main = world.object(Verb::Patch { key: created.object.key(), patch, part: Part::Main });
    let it = main.object.as_deployment().unwrap();
    assert_eq!((it.spec.replicas, it.status.replicas, it.meta.generation), (Some(7), 3, 2));
    assert!(it.spec.template.spec.ptr_eq(&created.object.as_deployment().unwrap().spec.template.spec), "the spec goes on being shared");
}

#[test]
fn a_kubelets_status_keeps_the_conditions_of_others() {
    let mut world = World::new();
    let created = world.create(pod("a"));
    world.object(bind("a", "n1"));
    let mut sent = created.object.as_pod().unwrap().clone();
    sent.status.phase = crate::objects::Phase::Running;
    sent.status.conditions = vec![crate::objects::Condition::new("Ready", true, "", world.now)].into();
    sent.status.qos_class = "".into();
    let status = |uid: &str| {
        let patch = Patch::Status { object: Arc::new(sent.clone().into()), uid: uid.into() };
        Verb::Patch { key: Key::pod("default", "a"), patch, part: Part::Status }
    };
    let stored = world.object(status(&created.object.meta().uid));
    let it = stored.object.as_pod().unwrap();
    let kinds: Vec<&str> = it.status.conditions.iter().map(|condition| &*condition.kind).collect();
    assert_eq!((kinds, &*it.status.qos_class, it.node.as_deref()), (vec!["PodScheduled", "Ready"], "BestEffort", Some("n1")));
    assert_eq!(world.object(status(&created.object.meta().uid)).revision, stored.revision);
    assert_eq!(world.error(status("another")).0, Reason::Conflict);
}

#[test]
fn watches_follow_and_replay_and_name_their_causes() {
    let mut world = World::new();
    world.create(pod("a"));
    let scope = Scope::on_node(&"n1".into());
    let mine = world.send(Verb::Watch { kind: Kind::Pod, scope, from: Revision::ZERO, timeout: Duration::from_secs(300) });
    let all = world.send(Verb::Watch { kind: Kind::Pod, scope: Scope::all(), from: Revision::ZERO, timeout: Duration::from_secs(300) });
    assert_eq!(world.told(all), ["added a r6"]);
    assert_eq!(world.told(mine), [""; 0]);
    world.object(bind("a", "n1"));
    assert_eq!((world.told(all), world.told(mine)), (vec!["modified a r7".to_owned()], vec!["added a r7".to_owned()]));
    world.ask(delete(&Key::pod("default", "a"), Some(0)));
    assert_eq!(world.told(mine), ["deleted a r8"]);
    let replay = |from| Verb::Watch { kind: Kind::Pod, scope: Scope::all(), from: Revision(from), timeout: Duration::from_secs(300) };
    let late = world.send(replay(6));
    assert_eq!(world.told(late), ["modified a r7", "deleted a r8"]);
    let lost = world.send(replay(0));
    assert_eq!(world.told(lost), [""; 0], "nothing is there");
    world.told(all);
    world.wake_at(world.now + Duration::from_secs(300));
    assert_eq!(world.told(all), ["end None"]);
}

#[test]
fn a_fresh_list_of_a_quiet_kind_waits_for_progress() {
    let mut world = World::new();
    let revision = world.create(pod("a")).revision;
    let Body::List { revision: cached, .. } = world.ask(Verb::List { kind: Kind::Node, scope: Scope::all(), fresh: false }) else {
        panic!("no list")
    };
    assert!(cached < revision, "nothing has told the cache of nodes about pods");
    let Body::List { revision: fresh, .. } = world.ask(Verb::List { kind: Kind::Node, scope: Scope::all(), fresh: true }) else {
        panic!("no list")
    };
    assert_eq!(fresh, revision);
}

#[test]
fn a_bookmark_a_minute_tells_a_watcher_how_far_it_is() {
    let mut world = World::new();
    let scope = Scope::on_node(&"n1".into());
    let watch = world.send(Verb::Watch { kind: Kind::Pod, scope, from: Revision::ZERO, timeout: Duration::from_secs(100) });
    let revision = world.create(pod("a")).revision;
    assert_eq!(world.told(watch), [""; 0]);
    let start = world.now;
    world.wake_at(start + Duration::from_secs(60));
    assert_eq!(world.told(watch), [format!("bookmark {revision}")]);
    world.wake_at(start + Duration::from_secs(100));
    assert_eq!(world.told(watch), ["end None"], "it knows already");
}

#[test]
fn a_write_that_etcd_leaves_without_an_answer_has_an_unknown_outcome() {
    let mut world = World::new();
    world.silent = true;
    let id = world.send(create(pod("a")));
    assert!(world.answers.is_empty());
    world.wake_at(world.now + Duration::from_secs(60));
    let (_, _, body) = world.answers.iter().find(|(answered, ..)| *answered == id).expect("an answer after the deadline");
    let Body::Error(error) = body else { panic!("expected an error, not {body:?}") };
    assert_eq!(error.reason, Reason::Timeout);
    assert!(error.reason.outcome_unknown());
}

#[test]
fn a_big_list_takes_the_machines_time() {
    let mut world = World::new();
    for number in 0..501 {
        world.create(pod(&format!("p{number:03}")));
    }
    let id = world.send(Verb::List { kind: Kind::Pod, scope: Scope::all(), fresh: false });
    assert!(world.answers.iter().all(|(answered, ..)| *answered != id), "not before the work is done");
    let (work, objects) = world.works.pop().expect("work for the machine");
    assert_eq!(objects, 501);
    world.feed(Input::Done(work), Cause::NONE);
    assert!(
        matches!(world.answers.iter().find(|(answered, ..)| *answered == id), Some((.., Body::List { items, .. })) if items.len() == 501)
    );
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let mut world = World::new();
    let watch = world.send(Verb::Watch { kind: Kind::Pod, scope: Scope::all(), from: Revision::ZERO, timeout: Duration::from_secs(300) });
    world.feed(Input::Blocked(CLIENT), Cause::NONE);
    world.wake_at(world.now + Duration::from_secs(1));
    assert_eq!(world.closed, [CLIENT]);
    world.feed(Input::Accepted(Conn(CLIENT.0 + 1), Address::Operator), Cause::NONE);
    let request = ApiRequest { id: 900, verb: create(pod("a")) };
    world.feed(Input::Data(Conn(CLIENT.0 + 1), ServerMessage::Client(Box::new(request))), Cause::NONE);
    assert_eq!(world.told(watch), [""; 0]);
}

#[test]
fn services_get_addresses_that_no_other_has() {
    let mut world = World::new();
    let service = |name: &str, ip: &str| json!({"kind": "Service", "metadata": {"namespace": "default", "name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let ip = |stored: &Stored| stored.object.as_service().unwrap().spec.cluster_ip.clone();
    let first = world.create(service("a", ""));
    assert!(ip(&first).starts_with("10.96."));
    let second = world.create(service("b", ""));
    assert_ne!(ip(&first), ip(&second));
    let (reason, message) = world.error(create(service("c", &ip(&first))));
    assert_eq!(reason, Reason::Invalid);
    assert!(message.ends_with("provided IP is already allocated"), "{message}");
    world.ask(delete(&first.object.key(), None));
    world.create(service("c", &ip(&first)));
}

#[test]
fn a_lost_history_makes_watchers_watch_again() {
    let mut world = World::new();
    let watch = world.send(Verb::Watch { kind: Kind::Node, scope: Scope::all(), from: Revision(1), timeout: Duration::from_secs(300) });
    let (conn, id, _) =
        world.store.watches.iter().find(|(.., keys)| keys.contains("/registry/nodes/x")).cloned().expect("a watch of nodes");
    world.store.revision = 50;
    let result = Ok(Answer::WatchCanceled { compact_revision: Revision(40) });
    let response = etcd::Response { id, member: Member(1), revision: Revision(50), term: Term(1), result };
    world.feed(Input::Data(conn, ServerMessage::Etcd(Box::new(response))), Cause::NONE);
    assert_eq!(world.told(watch).last().map(String::as_str), Some("end None"));
    let again = world.send(Verb::Watch { kind: Kind::Node, scope: Scope::all(), from: Revision(5), timeout: Duration::from_secs(300) });
    assert_eq!(world.told(again), ["end Some(Expired)"]);
}

/// The recorded answers of a real server to bad requests (`tests/api/errors`): same words.
#[test]
fn bad_objects_are_refused_in_the_words_of_a_real_server() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/errors");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("recorded errors").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 16);
    for file in files {
        let recorded: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
        let mut world = World::new();
        world.create(json!({"kind": "Namespace", "metadata": {"name": "demo"}}));
        let body = recorded["body"].clone();
        let path = recorded["path"].as_str().expect("a path");
        let verb = if recorded["method"] == "POST" {
            let mut manifest = body;
            if !path.ends_with("/namespaces") {
                manifest["metadata"]["namespace"] = json!("demo");
            }
            create(manifest)
        } else {
            // The object that the patch is about, as far as the case needs it.
            let mut there = match path.rsplit('/').nth(1) {
                Some("services") => json!({"kind": "Service", "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}),
                Some("pods") => pod(""),
                _ => deployment(""),
            };
            let name = path.rsplit('/').next().expect("a name");
            there["metadata"] = json!({"namespace": "demo", "name": name});
            if there["kind"] == "Deployment" {
                there["spec"]["selector"]["matchLabels"]["app"] = json!(name);
                there["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
            }
            let key = world.create(there).object.key();
            Verb::Patch { key, patch: Patch::Strategic(body), part: Part::Main }
        };
        let (reason, message) = world.error(verb);
        assert_eq!(reason, Reason::Invalid, "{}", file.display());
        // Behind the first line stands a dump of the server's own structures.
        let wanted = recorded["message"].as_str().expect("a message").lines().next().expect("a line");
        assert_eq!(message, wanted, "{}", file.display());
    }
}
