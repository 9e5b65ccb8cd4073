//! A kubelet driven by hand: a fake API server that keeps objects and tells its watchers, and the engine model beneath.

mod kubelet_world;

use std::collections::BTreeMap;
use std::sync::Arc;

use clustersim::base::random::Seed;
use clustersim::base::{Cause, Duration, Incarnation, Name, Queue, Revision, Time};
use clustersim::kubelet::{Config, Kubelet, NodeShape};
use clustersim::models::distribution::Distribution;
use clustersim::models::images::ImageCatalog;
use clustersim::models::workload::Behaviour;
use clustersim::objects::pod::{PodIp, SleepAction};
use clustersim::objects::{
    Conditions, Container, ContainerState, Key, Kind, Meta, Object, Phase, Pod, PodSpec, Probe, Quantity, Shared, Stored,
};
use clustersim::wire::actor::Boot;
use clustersim::wire::api::{ApiResponse, Body, Patch, Reason, Verb, WatchEvent};
use clustersim::wire::container::ContainerEvent;
use clustersim::wire::{Actor, Address, ApiError, ClientMessage, Conn, Effect, Input, MachineId, Message, NetOp, NodeId, Outbox};
use kubelet_world::{Containers, fixed_times};

enum Event {
    Input(u32, Input<ClientMessage>),
}

/// One node, one API server, nothing between them but 1 ms.
struct World {
    now: Time,
    kubelet: Kubelet,
    incarnation: u32,
    out: Outbox,
    engine: Containers,
    objects: BTreeMap<Key, Stored>,
    revision: Revision,
    conn: Conn,
    watches: Vec<(u64, Kind)>,
    queue: Queue<Event>,
    log: Vec<String>,
    requests: usize,
    steps: usize,
}

const DELAY: Duration = Duration::from_millis(1);

fn shape() -> NodeShape {
    let resources = || BTreeMap::from([("cpu".into(), Quantity::from_units(4)), ("pods".into(), Quantity::from_units(110))]);
    NodeShape { name: "worker-1".into(), capacity: resources(), allocatable: resources(), ..NodeShape::default() }
}

fn kubelet(incarnation: u32) -> Kubelet {
    let stream = Seed(1).stream(&format!("kubelet {incarnation}"));
    Kubelet::new(Config::default(), NodeId(0), Arc::new(shape()), Address::ApiBalancer, stream)
}

impl World {
    fn new(behaviour: Behaviour) -> World {
        let catalog = ImageCatalog {
            registry_bandwidth: 100_000_000,
            registry_latency: Distribution::Constant(Duration::from_millis(100)),
            unpack_rate: u64::MAX,
            sizes: BTreeMap::new(),
            default_size: 100_000_000,
            missing: vec!["gone:1".into()],
            preloaded: vec!["web:1".into()],
        };
        let behaviours = BTreeMap::from([(Name::new("web"), behaviour)]);
        let engine = Containers::new(Seed(1), vec![MachineId(0)], vec![u64::MAX], &fixed_times(), catalog, behaviours);
        let mut world = World {
            now: Time::ZERO,
            kubelet: kubelet(1),
            incarnation: 1,
            out: Outbox::new(),
            engine,
            objects: BTreeMap::new(),
            revision: Revision(1),
            conn: Conn(0),
            watches: Vec::new(),
            queue: Queue::new(),
            log: Vec::new(),
            requests: 0,
            steps: 0,
        };
        world.boot();
        world
    }
    fn boot(&mut self) {
        let boot = Boot { incarnation: Incarnation(self.incarnation), machine_boot: Incarnation(1), ..Boot::default() };
        self.step(Input::Boot(Box::new(boot)));
    }
    /// The kubelet's process dies and is started again.
    fn restart(&mut self) {
        self.incarnation += 1;
        self.watches.clear();
        self.kubelet = kubelet(self.incarnation);
        self.boot();
    }
    /// The container runtime's daemon stands still.
    fn pause(&mut self) {
        self.engine.pause(self.now, NodeId(0));
        self.step(Input::Container(Box::new(ContainerEvent::FellSilent)));
    }
    fn resume(&mut self) {
        self.step(Input::Container(Box::new(ContainerEvent::AnswersAgain)));
        for answer in self.engine.resume(self.now, NodeId(0), Incarnation(self.incarnation)) {
            self.step(Input::Container(Box::new(answer.event)));
        }
    }
    /// Goes on, with a runtime that hangs from one second to another.
    fn hang(&mut self, from: u64, until: u64) {
        self.run(Time::from_secs(from));
        self.pause();
        self.run(Time::from_secs(until));
        self.resume();
    }
    /// What the node says of itself: whether it is ready, why not, and since which second.
    fn node(&self) -> (bool, String, u64) {
        let Object::Node(node) = &*self.objects[&Key::node("worker-1")].object else { panic!("a node") };
        let ready = node.status.conditions.get("Ready").expect("it has said so");
        let since = ready.last_transition_time.expect("it has become so").since(Time::ZERO).as_secs();
        (node.is_ready(), ready.message.to_string(), since)
    }
    fn renewed(&self) -> Time {
        let lease = self.objects.values().find_map(|stored| stored.object.as_lease()).expect("it has a Lease");
        lease.spec.renew_time.expect("it was renewed")
    }
    fn run(&mut self, until: Time) {
        loop {
            let at = [self.queue.next_time().unwrap_or(Time::NEVER), self.kubelet.deadline(), self.engine.deadline()].into_iter().min();
            let at = at.expect("three").max(self.now);
            if at > until {
                break;
            }
            self.now = at;
            if self.queue.next_time().is_some_and(|next| next <= at) {
                match self.queue.pop().expect("peeked").1 {
                    Event::Input(incarnation, input) if incarnation == self.incarnation => self.step(input),
                    Event::Input(..) => {}
                }
            } else if self.engine.deadline() <= at {
                let mut answers = Vec::new();
                self.engine.wake(at, &mut answers);
                for (_, answer) in answers {
                    if answer.asked.is_none_or(|asked| asked.0 == self.incarnation) {
                        self.step(Input::Container(Box::new(answer.event)));
                    }
                }
            } else {
                self.step(Input::Wake);
            }
        }
        self.now = until;
    }
    fn step(&mut self, input: Input<ClientMessage>) {
        self.steps += 1;
        assert!(self.steps < 20_000, "it never rests: {:?} at {}", self.log, self.now);
        self.out.begin(Cause::NONE);
        self.kubelet.step(self.now, input, &mut self.out);
        let effects: Vec<(Cause, Effect)> = self.out.drain().collect();
        for (cause, effect) in effects {
            match effect {
                Effect::Net(NetOp::Dial(conn, ..)) => {
                    self.conn = conn;
                    self.answer(Input::Opened(conn));
                }
                Effect::Net(NetOp::Write(_, Message::ApiRequest(request))) => self.serve(request.id, request.verb),
                Effect::Container(op) => {
                    self.engine.request(self.now, NodeId(0), Incarnation(self.incarnation), cause, *op);
                }
                Effect::Record(_, fact) => self.log.push(format!("{} {}", self.now, fact.what)),
                _ => {}
            }
        }
    }
    fn answer(&mut self, input: Input<ClientMessage>) {
        self.queue.push(self.now + DELAY, Event::Input(self.incarnation, input));
    }
    fn reply(&mut self, id: u64, body: Body) {
        let conn = self.conn;
        self.answer(Input::Data(conn, Box::new(ApiResponse { id, body })));
    }
    fn serve(&mut self, id: u64, verb: Verb) {
        self.requests += 1;
        let not_found = |key: &Key| Body::Error(ApiError::not_found(key));
        let body = match verb {
            Verb::List { kind, .. } => {
                let items = self.objects.values().filter(|stored| stored.object.kind() == kind).cloned().collect();
                Body::List { revision: self.revision, items }
            }
            Verb::Watch { kind, .. } => {
                self.watches.push((id, kind));
                return;
            }
            Verb::CancelWatch { .. } => return,
            Verb::Get { key, .. } => self.objects.get(&key).cloned().map_or_else(|| not_found(&key), Body::Object),
            Verb::Create { object } if self.objects.contains_key(&object.key()) => {
                Body::Error(ApiError::new(Reason::AlreadyExists, "it exists"))
            }
            Verb::Create { object } => Body::Object(self.put((*object).clone())),
            Verb::Update { object, .. } => Body::Object(self.put((*object).clone())),
            Verb::Patch { key, patch: Patch::Status { object, .. }, .. } => match self.objects.contains_key(&key) {
                true => {
                    let mut patched = (*object).clone();
                    *patched.meta_mut() = self.objects[&key].object.meta().clone();
                    Body::Object(self.put(patched))
                }
                false => not_found(&key),
            },
            Verb::Delete { key, .. } if !self.objects.contains_key(&key) => not_found(&key),
            Verb::Delete { key, .. } => {
                self.remove(&key);
                Body::Done
            }
            other => panic!("a kubelet does not ask for {other:?}"),
        };
        self.reply(id, body);
    }
    fn put(&mut self, mut object: Object) -> Stored {
        let key = object.key();
        self.revision = self.revision.next();
        if object.meta().uid.is_empty() {
            object.meta_mut().uid = Name::from(format!("uid-{}", self.revision));
        }
        let stored = Stored::new(self.revision, Cause::NONE, Arc::new(object));
        if let (Some(new), old) = (stored.object.as_pod(), self.objects.get(&key).and_then(|old| old.object.as_pod())) {
            let say = |pod: &Pod| format!("{}{}", pod.status.phase.name(), if pod.is_ready() { " ready" } else { "" });
            if old.is_none_or(|old| say(old) != say(new)) {
                self.log.push(format!("{} {} is {}", self.now, new.meta.name, say(new)));
            }
        }
        let event = match self.objects.insert(key.clone(), stored.clone()) {
            None => WatchEvent::Added(stored.clone()),
            Some(_) => WatchEvent::Modified(stored.clone()),
        };
        self.tell(key.kind(), event);
        stored
    }
    fn remove(&mut self, key: &Key) {
        let mut last = self.objects.remove(key).expect("what is removed exists");
        self.revision = self.revision.next();
        last.revision = self.revision;
        self.log.push(format!("{} {} is gone", self.now, key.name()));
        self.tell(key.kind(), WatchEvent::Deleted(last));
    }
    fn tell(&mut self, kind: Kind, event: WatchEvent) {
        for (id, _) in self.watches.clone().into_iter().filter(|(_, watched)| *watched == kind) {
            self.reply(id, Body::Watch(event.clone()));
        }
    }
    fn delete(&mut self, name: &str) {
        self.delete_within(name, self.pod(name).spec.grace_period_seconds());
    }
    fn delete_within(&mut self, name: &str, seconds: u64) {
        let mut pod = self.pod(name).clone();
        pod.meta.deletion_timestamp = Some(self.now);
        pod.meta.deletion_grace_period_seconds = Some(seconds);
        self.put(pod.into());
    }
    fn pod(&self, name: &str) -> &Pod {
        self.objects[&Key::pod("default", name)].object.as_pod().unwrap()
    }
    fn has(&self, name: &str) -> bool {
        self.objects.contains_key(&Key::pod("default", name))
    }
    /// Seconds at which the log says this, rounded down.
    fn seconds(&self, what: &str) -> Vec<u64> {
        let at = |line: &String| line.split('.').next().unwrap().parse().unwrap();
        self.log.iter().filter(|line| line.contains(what)).map(at).collect()
    }
}

fn web(change: impl FnOnce(&mut PodSpec)) -> Object {
    let container = Container { name: "app".into(), image: "web:1".into(), ..Container::default() };
    let mut spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    change(&mut spec);
    let meta = Meta { uid: "uid-web".into(), creation_timestamp: Some(Time::ZERO), ..Meta::named("default", "web") };
    Pod { meta, spec: Shared::new(spec), node: Some("worker-1".into()), ..Pod::default() }.into()
}

/// Takes longer to end than anybody waits.
fn stubborn(behaviour: Behaviour) -> Behaviour {
    Behaviour { stops_after: Distribution::Constant(Duration::from_secs(1_000)), ..behaviour }
}

fn runs_for(seconds: u64, exit_code: i32) -> Behaviour {
    Behaviour { exits_after: Some(Distribution::Constant(Duration::from_secs(seconds))), exit_code, ..Behaviour::default() }
}

#[test]
fn a_node_registers_becomes_ready_at_once_and_then_costs_its_lease_only() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(5));
    assert!(world.objects[&Key::node("worker-1")].object.as_node().unwrap().is_ready());
    assert_eq!((world.pod("web").status.phase, world.pod("web").is_ready()), (Phase::Running, true));
    let (requests, steps) = (world.requests, world.steps);
    world.run(Time::from_secs(205));
    // 10 s to 10.4 s a renewal: 19 or 20 of them, each with its answer and its wake.
    let (requests, steps) = (world.requests - requests, world.steps - steps);
    assert!((19..=20).contains(&requests) && steps <= 60, "{requests} requests, {steps} steps");
}

#[test]
fn a_pod_starts_in_the_order_of_the_runtime_and_shows_at_the_next_relist() {
    let mut world = World::new(Behaviour::default());
    world.run(Time::from_secs(10));
    world.put(web(|spec| spec.containers[0].image = "web:2".into()));
    world.run(Time::from_secs(20));
    // 1 ms watch, 200 ms sandbox, 1.1 s pull, 100 ms create, 100 ms start.
    let facts: Vec<&String> = world.log.iter().filter(|line| line.contains("pulled") || line.contains("started")).collect();
    assert_eq!(facts, ["11.301s pulled web:2", "11.501s container app started"]);
    assert_eq!(world.pod("web").status.pod_ip, Some(PodIp((10 << 24) + 1)));
    let ready = world.seconds("Running ready");
    assert!(ready == [11] || ready == [12], "{:?}", world.log);
}

#[test]
fn a_crashing_container_is_restarted_at_once_and_then_after_10_20_and_40_seconds() {
    let mut world = World::new(runs_for(1, 1));
    world.put(web(|_| {}));
    world.run(Time::from_secs(200));
    let starts = world.seconds("container app started");
    let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // 1 s of life, up to 1 s to the relist, the window, up to 15 s to the sync that looks.
    for (gap, window) in gaps.iter().zip([0, 10, 20, 40]) {
        assert!((window + 1..=window + 18).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 4);
    assert_eq!(world.pod("web").status.phase, Phase::Running, "a pod that waits in a crash loop is Running");
    let status = &world.pod("web").status.container_statuses[0];
    assert_eq!(status.restart_count as usize, starts.len() - 1);
}

#[test]
fn a_pod_that_is_never_restarted_ends_with_its_container() {
    for (code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
        let mut world = World::new(runs_for(5, code));
        world.put(web(|spec| spec.restart_policy = Some(clustersim::objects::pod::RestartPolicy::Never)));
        world.run(Time::from_secs(30));
        assert_eq!(world.pod("web").status.phase, phase, "{:?}", world.log);
    }
}

#[test]
fn a_deleted_pod_sleeps_in_its_hook_gets_its_grace_is_killed_and_removed() {
    let deaf = Behaviour { stops_after: Distribution::Constant(Duration::from_secs(999)), ..Behaviour::default() };
    let mut world = World::new(deaf);
    world.put(web(|spec| {
        spec.termination_grace_period_seconds = Some(10);
        let hook = clustersim::objects::pod::Hook { sleep: Some(SleepAction { seconds: 4 }), ..Default::default() };
        spec.containers[0].lifecycle = Some(clustersim::objects::pod::Lifecycle { pre_stop: Some(hook), ..Default::default() });
    }));
    world.run(Time::from_secs(20));
    world.delete("web");
    world.run(Time::from_secs(60));
    assert!(!world.has("web"));
    assert_eq!((world.seconds("exited with 137"), world.seconds("web is gone")), (vec![30], vec![30]), "{:?}", world.log);
    assert!(world.engine.engine(NodeId(0)).running("default", "web").next().is_none());
}

#[test]
fn a_pull_that_fails_backs_off_and_the_status_says_so() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|spec| spec.containers[0].image = "gone:1".into()));
    world.run(Time::from_secs(100));
    let failures = world.seconds("could not pull gone:1");
    let gaps: Vec<u64> = failures.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, window) in gaps.iter().zip([10, 20, 40]) {
        assert!((window..=window + 16).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 2);
    assert_eq!(world.pod("web").status.phase, Phase::Pending);
}

#[test]
fn readiness_waits_for_the_program_and_a_failing_liveness_probe_restarts_it() {
    let slow = Behaviour { ready_after: Distribution::Constant(Duration::from_secs(25)), ..Behaviour::default() };
    let mut world = World::new(slow.clone());
    world.put(web(|spec| spec.containers[0].readiness_probe = Some(Probe::default())));
    world.run(Time::from_secs(60));
    let ready = world.seconds("Running ready");
    // Ready after 25 s, looked at each 10 s from the relist that saw it running.
    assert!(matches!(ready[..], [at] if (30..=33).contains(&at)), "{:?}", world.log);
    let mut world = World::new(slow);
    world.put(web(|spec| spec.containers[0].liveness_probe = Some(Probe { period_seconds: Some(5), ..Probe::default() })));
    world.run(Time::from_secs(60));
    assert!(!world.seconds("liveness probe of container app failed").is_empty() && world.seconds("container app started").len() >= 2);
}

#[test]
fn a_restarted_kubelet_takes_over_what_runs() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(20));
    let before = world.log.len();
    world.restart();
    world.run(Time::from_secs(40));
    assert_eq!(world.log.len(), before, "{:?}", world.log);
    world.delete("web");
    world.run(Time::from_secs(60));
    assert!(!world.has("web"));
}

#[test]
fn after_a_power_loss_the_pod_gets_a_new_sandbox_and_its_containers_count_a_restart() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(20));
    world.engine.power_loss(world.now, NodeId(0));
    world.restart();
    world.run(Time::from_secs(40));
    let status = &world.pod("web").status;
    assert_eq!((status.phase, status.container_statuses[0].restart_count), (Phase::Running, 1), "{:?}", world.log);
    assert!(world.pod("web").is_ready());
}

#[test]
fn a_kubelet_that_comes_back_starts_up_gets_to_know_its_node_and_only_then_ends_pods() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(20));
    world.engine.power_loss(world.now, NodeId(0));
    world.delete("web");
    let before = world.requests;
    world.restart();
    world.run(Time::from_millis(20_999));
    assert_eq!(world.requests, before, "its process starts up for a second");
    world.run(Time::from_millis(21_999));
    assert!(world.requests > before && world.has("web"), "it looks for its pods a second after that");
    world.run(Time::from_millis(23_100));
    assert!(!world.has("web"), "the relist after that sees that nothing is left: {:?}", world.log);
    assert!(matches!(world.seconds("web is gone")[..], [22 | 23]), "{:?}", world.log);
}

#[test]
fn a_pod_that_is_removed_by_force_is_killed_locally() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(20));
    world.remove(&Key::pod("default", "web"));
    world.run(Time::from_secs(25));
    assert!(world.engine.engine(NodeId(0)).running("default", "web").next().is_none(), "{:?}", world.log);
}

#[test]
fn a_pod_that_does_not_fit_is_rejected_for_good() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|spec| {
        spec.containers[0].resources.requests.insert("cpu".into(), Quantity::from_units(5));
    }));
    world.run(Time::from_secs(20));
    let status = &world.pod("web").status;
    assert_eq!((status.phase, &*status.reason), (Phase::Failed, "OutOfcpu"));
}

#[test]
fn a_node_whose_runtime_hangs_says_so_after_two_minutes_and_renews_its_lease_throughout() {
    let mut world = World::new(Behaviour::default());
    world.run(Time::from_secs(102));
    world.pause();
    // The pass of 110 s waits for two minutes.
    world.run(Time::from_secs(230) - DELAY);
    assert!(world.node().0, "{:?}", world.node());
    world.run(Time::from_secs(231));
    assert_eq!(world.node(), (false, "container runtime is down".to_owned(), 230));
    // As does the one of 240 s, by when no relist has been for three.
    world.run(Time::from_secs(361));
    let (ready, why, since) = world.node();
    assert!(
        !ready && since == 230 && why.starts_with("[container runtime is down, PLEG is not healthy: pleg was last seen active 4m1"),
        "{why}"
    );
    assert!(world.renewed() > Time::from_secs(349), "{}", world.renewed());
    world.run(Time::from_secs(400));
    world.resume();
    world.run(Time::from_secs(401));
    assert_eq!(world.node(), (true, String::new(), 400), "the pass that waited goes on");
}

#[test]
fn a_runtime_that_hangs_for_two_seconds_is_not_noticed() {
    let story = |paused: bool| {
        let mut world = World::new(runs_for(50, 1));
        world.put(web(|spec| spec.containers[0].liveness_probe = Some(Probe { period_seconds: Some(5), ..Probe::default() })));
        // Between an exit that was seen and the restart.
        world.run(Time::from_secs(105));
        if paused {
            world.pause();
        }
        world.run(Time::from_secs(107));
        if paused {
            world.resume();
        }
        world.run(Time::from_secs(600));
        (world.log.clone(), world.node(), world.requests)
    };
    assert_eq!(story(true), story(false));
}

#[test]
fn pods_that_come_or_go_while_the_runtime_hangs_wait_for_its_end() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(102));
    world.pause();
    world.run(Time::from_secs(150));
    world.delete("web");
    let Object::Pod(mut other) = web(|_| {}) else { panic!("a pod") };
    other.meta = Meta { uid: "uid-other".into(), creation_timestamp: Some(Time::ZERO), ..Meta::named("default", "other") };
    world.put(other.into());
    let before = world.log.len();
    world.run(Time::from_secs(400));
    assert_eq!(world.log.len(), before, "{:?}", world.log);
    world.resume();
    world.run(Time::from_secs(410));
    assert!(!world.has("web") && world.pod("other").is_ready(), "{:?}", world.log);
    // The sync loop has given up its listing, and looks each 5 s whether the runtime is up.
    assert!((400..=406).contains(&world.seconds("web is gone")[0]), "{:?}", world.log);
}

#[test]
fn a_container_that_exits_while_the_runtime_hangs_is_heard_of_and_restarted_at_its_end() {
    let mut world = World::new(runs_for(120, 1));
    world.put(web(|_| {}));
    world.run(Time::from_secs(102));
    world.pause();
    world.run(Time::from_secs(200));
    assert!(world.seconds("exited").is_empty() && world.pod("web").is_ready(), "{:?}", world.log);
    world.resume();
    world.run(Time::from_secs(210));
    assert_eq!(world.seconds("exited"), [200], "{:?}", world.log);
    let status = &world.pod("web").status.container_statuses[0];
    assert_eq!(status.restart_count, 1, "{:?}", world.log);
    let Some(ContainerState::Terminated { finished_at, .. }) = &status.last_state else { panic!("{status:?}") };
    assert_eq!(*finished_at, Some(Time::from_secs(120)), "it ended when it did");
}

#[test]
fn a_liveness_probe_by_exec_fails_while_the_runtime_hangs_long_and_one_over_http_does_not() {
    // A request is given up after 121 s, and the next is made at once: the third failure of one that began at 110 s comes at 473 s.
    for (exec, until, fails) in [(true, 480, true), (true, 470, false), (false, 480, false)] {
        let handler =
            |probe: &mut Probe| if exec { probe.exec = Some(Default::default()) } else { probe.http_get = Some(Default::default()) };
        let mut world = World::new(Behaviour::default());
        world.put(web(|spec| {
            let mut probe = Probe { period_seconds: Some(10), ..Probe::default() };
            handler(&mut probe);
            spec.containers[0].liveness_probe = Some(probe);
        }));
        world.run(Time::from_secs(102));
        world.pause();
        world.run(Time::from_secs(until));
        // The third failure in a row; the sync loop stands that would end the container.
        assert_eq!(world.seconds("liveness probe of container app failed").len(), usize::from(fails), "{:?}", world.log);
        assert!(world.seconds("exited").is_empty());
        world.resume();
        world.run(Time::from_secs(until + 30));
        assert_eq!(world.seconds("exited").len(), usize::from(fails), "{:?}", world.log);
        assert_eq!(world.seconds("container app started").len(), 1 + usize::from(fails), "{:?}", world.log);
    }
}

#[test]
fn nobody_kills_what_outlives_its_grace_while_the_runtime_hangs() {
    let mut world = World::new(stubborn(Behaviour::default()));
    world.put(web(|_| {}));
    world.run(Time::from_secs(100));
    world.delete("web");
    world.hang(110, 200);
    world.run(Time::from_secs(210));
    assert_eq!(world.seconds("exited with 137"), [200], "the grace was over at 130 s: {:?}", world.log);
}

#[test]
fn what_ends_by_itself_while_nobody_can_kill_it_ends_as_it_would_have() {
    let mut world = World::new(stubborn(runs_for(100, 1)));
    world.put(web(|_| {}));
    world.run(Time::from_secs(50));
    world.delete("web");
    world.hang(70, 200);
    world.run(Time::from_secs(210));
    assert_eq!(world.seconds("exited with 1").len(), 1, "the grace was over at 80 s: {:?}", world.log);
    assert!(world.seconds("exited with 137").is_empty() && !world.has("web"), "{:?}", world.log);
}

#[test]
fn a_grace_that_was_made_shorter_while_the_runtime_hung_is_kept_from_its_end_on() {
    let mut world = World::new(stubborn(Behaviour::default()));
    world.put(web(|spec| spec.termination_grace_period_seconds = Some(600)));
    world.run(Time::from_secs(100));
    world.delete("web");
    world.run(Time::from_secs(105));
    world.pause();
    world.run(Time::from_secs(150));
    world.delete_within("web", 5);
    world.run(Time::from_secs(200));
    world.resume();
    world.run(Time::from_secs(230));
    assert_eq!(world.seconds("exited with 137"), [205], "{:?}", world.log);
}

#[test]
fn a_kubelet_that_is_started_while_the_runtime_hangs_starts_at_its_end_and_takes_over() {
    let mut world = World::new(Behaviour::default());
    world.put(web(|_| {}));
    world.run(Time::from_secs(20));
    world.pause();
    world.restart();
    world.step(Input::Container(Box::new(ContainerEvent::FellSilent)));
    world.run(Time::from_secs(21));
    // Its host tells it again when it asks for its list.
    world.step(Input::Container(Box::new(ContainerEvent::FellSilent)));
    let requests = world.requests;
    world.run(Time::from_secs(200));
    assert_eq!(world.requests, requests, "it does not start without its runtime");
    world.resume();
    world.run(Time::from_secs(210));
    assert!(world.node().0 && world.pod("web").is_ready(), "{:?}", world.log);
    assert_eq!(world.seconds("container app started").len(), 1, "{:?}", world.log);
}
