//! The queue: who is tried when, and what brings a pod back.

use super::*;

fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}
fn because(revision: u64) -> Cause {
    Cause::revision(Revision(revision))
}

struct Bench {
    queue: SchedulingQueue,
    snapshot: Snapshot,
}

impl Bench {
    fn new(pop_from_backoff: bool) -> Bench {
        let config = Config::default();
        let delays = Delays { initial_backoff: config.pod_initial_backoff, max_backoff: config.pod_max_backoff, pop_from_backoff };
        Bench { queue: SchedulingQueue::new(delays, Time::ZERO), snapshot: Snapshot::default() }
    }
    fn add(&mut self, now: Time, value: Value) {
        let info = self.snapshot.pod_info(&object("Pod", value));
        self.queue.add(now, info, because(1));
    }
    fn pop(&mut self) -> Option<String> {
        self.queue.pop().map(|queued| queued.info.key.name().to_owned())
    }
    /// Pops the only pod and finds it unschedulable for lack of resources.
    fn fail(&mut self, now: Time) {
        let queued = self.queue.pop().expect("a pod is ready");
        let mut rejected_by = PluginSet::default();
        rejected_by.insert(PluginId::NodeResourcesFit);
        self.queue.unschedulable(now, queued, rejected_by);
    }
    fn node_added(&mut self, now: Time, node: &Arc<Object>) {
        let event = ClusterEvent::NodeAdded(node.as_node().expect("a node"));
        self.queue.on_event(now, event, &self.snapshot, &Profiles::default(), because(7));
    }
}

#[test]
fn higher_priority_first_then_first_come() {
    let mut bench = Bench::new(true);
    for (name, priority) in [("a", 0), ("b", 0), ("c", 100), ("d", -1)] {
        let mut value = pod(name, "100m");
        value["spec"]["priority"] = json!(priority);
        bench.add(at(1), value);
    }
    let order: Vec<String> = std::iter::from_fn(|| bench.pop()).collect();
    assert_eq!(order, ["c", "a", "b", "d"]);
}

#[test]
fn back_off_doubles_to_ten_seconds() {
    let mut bench = Bench::new(false);
    bench.add(at(0), pod("p", "1"));
    let big = node("big", "4", "a");
    let mut now = at(100);
    for expected in [1, 2, 4, 8, 10, 10] {
        bench.fail(now);
        bench.node_added(now, &big);
        assert_eq!(bench.queue.deadline(), now + Duration::from_secs(expected));
        bench.queue.wake(now + Duration::from_secs(expected) - Duration::from_nanos(1));
        assert_eq!(bench.queue.pop().map(|queued| queued.info.key), None, "{expected} s of back-off are not over");
        now = bench.queue.deadline();
        bench.queue.wake(now);
    }
}

#[test]
fn an_idle_scheduler_takes_a_pod_before_its_back_off_is_over() {
    let mut bench = Bench::new(true);
    bench.add(at(0), pod("p", "1"));
    bench.fail(at(100));
    assert_eq!(bench.pop(), None, "nothing has changed");
    bench.add(at(100), pod("other", "1"));
    bench.node_added(at(100), &node("big", "4", "a"));
    assert_eq!(bench.pop().as_deref(), Some("other"), "active pods go first");
    let queued = bench.queue.pop().expect("taken from the back-off queue");
    assert_eq!((queued.info.key.name(), queued.cause), ("p", because(7)));
}

#[test]
fn an_error_backs_off_to_its_end() {
    let mut bench = Bench::new(true);
    bench.add(at(0), pod("p", "1"));
    let queued = bench.queue.pop().expect("new pods are active");
    bench.queue.failed(at(100), queued);
    assert_eq!(bench.pop(), None);
    assert_eq!(bench.queue.deadline(), at(101));
    bench.queue.wake(at(101));
    assert_eq!(bench.pop().as_deref(), Some("p"));
}

#[test]
fn only_events_that_may_help_move_a_pod() {
    let mut bench = Bench::new(true);
    bench.add(at(0), pod("p", "2"));
    bench.fail(at(100));
    bench.node_added(at(200), &node("small", "1", "a"));
    let (old, new) = (node("small", "1", "a"), node("small", "1", "b"));
    let event = ClusterEvent::NodeChanged { old: old.as_node().expect("a node"), new: new.as_node().expect("a node") };
    bench.queue.on_event(at(201), event, &bench.snapshot, &Profiles::default(), because(8));
    assert_eq!(bench.pop(), None, "neither a node that is too small nor a label helps a pod that lacks CPU");
    let (old, new) = (node("small", "1", "a"), node("small", "3", "a"));
    let event = ClusterEvent::NodeChanged { old: old.as_node().expect("a node"), new: new.as_node().expect("a node") };
    bench.queue.on_event(at(202), event, &bench.snapshot, &Profiles::default(), because(9));
    assert_eq!(bench.queue.pop().expect("more CPU helps").cause, because(9));
}

#[test]
fn leftovers_are_tried_again_after_five_minutes() {
    let mut bench = Bench::new(true);
    bench.add(at(0), pod("p", "2"));
    bench.fail(at(10));
    // The flush looks every 30 s; at 310 s the pod has been there for exactly five minutes, at 330 s for more.
    assert_eq!(bench.queue.deadline(), at(330));
    bench.queue.wake(at(329));
    assert_eq!(bench.pop(), None);
    bench.queue.wake(at(330));
    assert_eq!(bench.pop().as_deref(), Some("p"));
}

#[test]
fn a_gated_pod_waits_for_its_gates_and_nothing_else() {
    let mut bench = Bench::new(true);
    let mut gated = pod("p", "1");
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/quota"}]);
    bench.add(at(0), gated);
    bench.node_added(at(1), &node("big", "4", "a"));
    assert_eq!((bench.pop(), bench.queue.deadline()), (None, Time::NEVER));
    let open = bench.snapshot.pod_info(&object("Pod", pod("p", "1")));
    bench.queue.update(at(2), open, because(5));
    let queued = bench.queue.pop().expect("the gate is gone");
    assert_eq!((queued.info.key, queued.cause), (Key::pod("default", "p"), because(5)));
}

#[test]
fn a_change_of_status_does_not_wake_a_pod() {
    let mut bench = Bench::new(true);
    bench.add(at(0), pod("p", "1"));
    bench.fail(at(10));
    let mut changed = pod("p", "1");
    changed["status"] = json!({"conditions": [{"type": "PodScheduled", "status": "False"}]});
    let info = bench.snapshot.pod_info(&object("Pod", changed.clone()));
    bench.queue.update(at(20), info, because(5));
    assert_eq!(bench.pop(), None);
    changed["metadata"]["labels"]["tier"] = json!("gold");
    let info = bench.snapshot.pod_info(&object("Pod", changed));
    bench.queue.update(at(21), info, because(6));
    assert_eq!(bench.queue.pop().expect("labels matter").cause, because(6));
}
