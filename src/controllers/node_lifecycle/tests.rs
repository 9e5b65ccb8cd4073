use super::zones::{ZoneState, judge, rate_milli};
use super::*;
use crate::controllers::adapter::Adapter;
use crate::controllers::taint_eviction::TaintEvictionController;
use crate::controllers::testing::World;
use crate::objects::node::taints::UNREACHABLE;
use crate::objects::scheduling::TolerationOperator;
use crate::objects::{Condition, Key, Lease, LeaseSpec, Meta, Object, Pod, PodSpec, Shared, Toleration};

fn world() -> World {
    World::new(vec![
        Adapter::boxed(NodeLifecycleController::new(Arc::new(Config::default()))),
        Adapter::boxed(NodeTaintController::default()),
        Adapter::boxed(TaintEvictionController::default()),
    ])
}

fn add_node(world: &mut World, name: &str, zone: &str) {
    let mut node = Node { meta: Meta::named("", name), ..Node::default() };
    node.meta.labels.update(|all| drop(all.insert(labels::ZONE.into(), zone.into())));
    node.status.conditions.set(Condition::new("Ready", true, "KubeletReady", world.now));
    world.create(Object::Node(node)).unwrap();
    renew(world, name);
}

fn renew(world: &mut World, node: &str) {
    let spec = LeaseSpec { holder_identity: node.into(), renew_time: Some(world.now), ..LeaseSpec::default() };
    let lease = Lease { meta: Meta::named(NODE_LEASES, node), spec };
    world.store(&Key::new(Kind::Lease, NODE_LEASES, node), Some(Object::Lease(lease)));
}

/// A ready pod that tolerates NoExecute taints for so long.
fn add_pod(world: &mut World, name: &str, node: &str, seconds: i64) -> Key {
    let toleration = Toleration { operator: Some(TolerationOperator::Exists), toleration_seconds: Some(seconds), ..Toleration::default() };
    let spec = Shared::new(PodSpec { tolerations: vec![toleration], ..PodSpec::default() });
    let pod = Pod { meta: Meta::named("default", name), spec, node: Some(node.into()), ..Pod::default() };
    let key = world.create(Object::Pod(pod)).unwrap().object.key();
    world.set_ready(&key, true);
    key
}

/// Runs on with these nodes renewing their leases every 10 s, until the test holds or the time is over.
fn run_while(world: &mut World, alive: &[&str], span: Duration, mut until: impl FnMut(&World) -> bool) -> bool {
    let end = world.now + span;
    let mut next = world.now;
    while world.now < end {
        if world.now >= next {
            alive.iter().for_each(|node| renew(world, node));
            next = world.now + Duration::from_secs(10);
        }
        world.run_for(Duration::from_millis(100));
        if until(world) {
            return true;
        }
    }
    false
}

fn tainted(world: &World, effect: TaintEffect) -> Vec<String> {
    let nodes = world.cache.list(Kind::Node).filter_map(|(_, stored)| stored.object.as_node());
    nodes.filter(|node| node.taint(UNREACHABLE, effect).is_some()).map(|node| node.meta.name.to_string()).collect()
}

#[test]
fn a_silent_node_is_unknown_50_to_56_s_after_its_last_renewal() {
    // The last renewal at each phase of the pass.
    for phase in [0u64, 1_300, 2_600, 3_900, 4_900] {
        let mut world = world();
        add_node(&mut world, "a", "z1");
        add_node(&mut world, "b", "z1");
        let pod = add_pod(&mut world, "web", "a", 300);
        run_while(&mut world, &["a", "b"], Duration::from_millis(30_000 + phase), |_| false);
        renew(&mut world, "a");
        let silent_since = world.now;
        let unknown = |world: &World| ready_status(world.cache.node("a").unwrap()) == Some(ConditionStatus::Unknown);
        assert!(run_while(&mut world, &["b"], Duration::from_secs(70), unknown));
        let after = world.now - silent_since;
        assert!(after > Duration::from_millis(50_000) && after < Duration::from_millis(56_500), "phase {phase}: {after}");
        // At once: the NoSchedule taint, the pod not ready, and the silence in the record.
        assert_eq!(tainted(&world, TaintEffect::NoSchedule), ["a"]);
        assert!(!world.cache.pod(&pod).unwrap().is_ready());
        assert_eq!(world.facts.len(), 1);
        // At the next tick of the queue: the NoExecute taint; and 300 s later the pod is deleted.
        run_while(&mut world, &["b"], Duration::from_millis(200), |_| false);
        assert_eq!(tainted(&world, TaintEffect::NoExecute), ["a"]);
        let tainted_at = world.now;
        assert!(run_while(&mut world, &["b"], Duration::from_secs(310), |world| world.cache.pod(&pod).unwrap().meta.is_deleting()));
        let stayed = world.now - tainted_at;
        assert!(stayed > Duration::from_secs(299) && stayed < Duration::from_secs(301), "{stayed}");
        assert_eq!(world.cache.pod(&pod).unwrap().status.conditions.get("DisruptionTarget").unwrap().reason, "DeletionByTaintManager");
    }
}

#[test]
fn a_node_that_returns_loses_its_taints_and_its_pods_stay() {
    let mut world = world();
    add_node(&mut world, "a", "z1");
    add_node(&mut world, "b", "z1");
    let pod = add_pod(&mut world, "web", "a", 300);
    assert!(run_while(&mut world, &["b"], Duration::from_secs(80), |world| !tainted(world, TaintEffect::NoExecute).is_empty()));
    let now = world.now;
    world.change(&Key::node("a"), |object| match object {
        Object::Node(node) => node.status.conditions.set(Condition::new("Ready", true, "KubeletReady", now)),
        _ => false,
    });
    world.settle();
    assert!(tainted(&world, TaintEffect::NoSchedule).is_empty(), "NoSchedule goes at once");
    run_while(&mut world, &["a", "b"], Duration::from_millis(5_500), |_| false);
    assert!(tainted(&world, TaintEffect::NoExecute).is_empty(), "NoExecute goes with the next pass");
    run_while(&mut world, &["a", "b"], Duration::from_secs(400), |_| false);
    assert!(!world.cache.pod(&pod).unwrap().meta.is_deleting());
}

#[test]
fn zone_states_and_their_rates() {
    use ZoneState::{Full, Normal, Partial};
    let config = Config::default();
    // Ready, not ready; state; thousandths of a node per second.
    let cases = [
        (3, 0, Normal, 100),
        (1, 2, Normal, 100),
        (2, 3, Partial, 0),
        (4, 4, Normal, 100),
        (9, 11, Partial, 0),
        (20, 40, Partial, 10),
        (0, 1, Full, 100),
        (0, 60, Full, 100),
    ];
    for (ready, not_ready, state, rate) in cases {
        assert_eq!(judge(ready, not_ready, &config), state, "{ready} ready, {not_ready} not");
        assert_eq!(rate_milli(state, ready + not_ready, &config), rate, "{ready} ready, {not_ready} not");
    }
}

#[test]
fn a_lost_zone_gets_one_no_execute_taint_per_10_s() {
    let mut world = world();
    let lost = ["a1", "a2", "a3"];
    lost.iter().for_each(|node| add_node(&mut world, node, "z1"));
    add_node(&mut world, "b1", "z2");
    let mut seen: Vec<Time> = Vec::new();
    run_while(&mut world, &["b1"], Duration::from_secs(100), |world| {
        if tainted(world, TaintEffect::NoExecute).len() > seen.len() {
            seen.push(world.now);
        }
        false
    });
    assert_eq!(seen.len(), 3);
    for pair in seen.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= Duration::from_millis(9_900) && gap <= Duration::from_millis(15_100), "{gap}");
    }
}

#[test]
fn when_every_zone_is_down_nobody_is_evicted() {
    let mut world = world();
    let all = ["a1", "a2", "b1", "b2"];
    all.iter().for_each(|node| add_node(&mut world, node, &node[..1]));
    run_while(&mut world, &[], Duration::from_secs(200), |_| false);
    assert_eq!(tainted(&world, TaintEffect::NoSchedule), all);
    assert!(tainted(&world, TaintEffect::NoExecute).is_empty());
}

#[test]
fn a_node_that_never_posted_a_status_is_unknown_after_60_s() {
    let config = Config::default();
    let created = Time::from_secs(100);
    let mut node = Node { meta: Meta::named("", "a"), ..Node::default() };
    node.meta.creation_timestamp = Some(created);
    let at = |seconds| health::examine(None, &node, None, created + Duration::from_secs(seconds), &config).write;
    assert_eq!(at(60), None);
    let status = at(61).unwrap();
    assert_eq!(status.conditions.len(), 4);
    assert!(status.conditions.iter().all(|condition| condition.reason == "NodeStatusNeverUpdated"));
}
