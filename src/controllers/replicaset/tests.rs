use super::*;
use crate::controllers::adapter::Adapter;
use crate::controllers::testing::World;
use crate::objects::workload::ReplicaSetSpec;
use crate::objects::{LabelSelector, Labels, Phase};

fn labels() -> Labels {
    [("app".into(), "web".into())].into_iter().collect()
}

fn world(replicas: u64) -> (World, Key) {
    let mut set = ReplicaSet { meta: Meta::named("default", "web"), ..ReplicaSet::default() };
    set.spec = ReplicaSetSpec { replicas: Some(replicas), selector: Shared::new(LabelSelector::of(labels())), ..set.spec };
    set.spec.template.meta.labels = Shared::new(labels());
    let mut world = World::new(vec![Adapter::boxed(ReplicaSetController::new(5))]);
    let key = world.create(Object::ReplicaSet(set)).unwrap().object.key();
    world.settle();
    (world, key)
}

fn scale(world: &mut World, key: &Key, replicas: u64) {
    world.change(key, |object| match object {
        Object::ReplicaSet(set) => set.spec.replicas = Some(replicas),
        other => panic!("{} is no ReplicaSet", other.key()),
    });
    world.settle();
}

#[test]
fn pods_are_created_in_batches_of_1_2_4_8() {
    let (world, key) = world(10);
    assert_eq!(world.pods().len(), 10);
    let mut controller = ReplicaSetController::new(5);
    let mut cache = Cache::default();
    cache.apply(&key, world.cache.get(&key).cloned(), world.revision);
    let mut out = Requests::default();
    let mut outcome = controller.reconcile(world.now, &key, &cache, &mut out);
    let mut batches = Vec::new();
    while let Outcome::Await(progress @ Progress::Creating { .. }) = outcome {
        batches.push(out.sent());
        let results = (0..out.sent()).map(|_| Ok(crate::client::Reply::Done)).collect();
        out = Requests::default();
        outcome = controller.resume(world.now, &key, progress, &Answers { results }, &cache, &mut out);
    }
    assert_eq!(batches, [1, 2, 4, 3]);
    // The cache shows none of them: nothing more is created until it does, or for five minutes.
    let mut again = Requests::default();
    controller.reconcile(world.now, &key, &cache, &mut again);
    assert!(!again.asks.iter().any(|ask| matches!(ask, super::super::Ask::Request(Verb::Create { .. }, _))));
}

#[test]
fn scale_down_takes_unassigned_unready_crowded_and_young_pods_first() {
    let now = Time::from_secs(10_000);
    let pod = |name: &str, node: Option<&str>, ready_since: Option<u64>| {
        let mut pod = Pod { meta: Meta::named("default", name), node: node.map(Into::into), ..Pod::default() };
        pod.meta.uid = name.into();
        pod.meta.creation_timestamp = Some(Time::from_secs(100));
        pod.status.phase = Phase::Running;
        if let Some(since) = ready_since {
            pod.status.conditions.set(Condition::new("Ready", true, "", Time::from_secs(since)));
        }
        (Key::pod("default", name), pod)
    };
    let pods = [
        pod("old", Some("n1"), Some(1_000)),
        pod("young", Some("n2"), Some(9_999)),
        pod("crowded-1", Some("n3"), Some(1_000)),
        pod("crowded-2", Some("n3"), Some(1_001)),
        pod("unready", Some("n4"), None),
        pod("unassigned", None, None),
    ];
    let mut cheap = pod("cheap", Some("n5"), Some(1_000));
    cheap.1.meta.annotations.update(|all| drop(all.insert("controller.kubernetes.io/pod-deletion-cost".into(), "-5".into())));
    let all: Vec<(&Key, &Pod)> = pods.iter().chain([&cheap]).map(|(key, pod)| (key, pod)).collect();
    let related: Vec<&Pod> = all.iter().map(|(_, pod)| *pod).collect();
    let order: Vec<&str> = deletion_order::order(&all, &related, now).into_iter().map(Key::name).collect();
    assert_eq!(order, ["unassigned", "unready", "cheap", "crowded-1", "crowded-2", "young", "old"]);
}

#[test]
fn a_pod_without_owner_is_adopted_and_one_that_no_longer_matches_is_released() {
    let (mut world, key) = world(1);
    let uid = world.cache.get(&key).unwrap().object.meta().uid.clone();
    let mut stray = Pod { meta: Meta::named("default", "stray"), ..Pod::default() };
    stray.meta.labels = Shared::new(labels());
    world.create(Object::Pod(stray)).unwrap();
    world.settle();
    // One too many now: one of the two goes.
    assert_eq!(world.pods().len(), 1);
    scale(&mut world, &key, 2);
    assert!(world.pods().iter().all(|(_, pod)| pod.meta.controller().is_some_and(|owner| owner.uid == uid)));
    let (first, _) = world.pods()[0].clone();
    world.change_pod(&first, |pod| pod.meta.labels = Shared::default());
    world.settle();
    assert!(world.cache.pod(&first).unwrap().meta.controller().is_none());
    assert_eq!(world.pods().len(), 3);
}

#[test]
fn a_pod_counts_as_available_after_min_ready_seconds_from_a_whole_second() {
    let (mut world, key) = world(1);
    world.change(&key, |object| match object {
        Object::ReplicaSet(set) => set.spec.min_ready_seconds = 5,
        other => panic!("{} is no ReplicaSet", other.key()),
    });
    world.now = Time::from_millis(1_000_900);
    let (pod, _) = world.pods()[0].clone();
    world.set_ready(&pod, true);
    world.settle();
    let available = |world: &World| world.cache.replica_set(&key).unwrap().status.available_replicas;
    world.run_until(Time::from_millis(1_004_900));
    assert_eq!(available(&world), 0);
    world.run_until(Time::from_millis(1_007_000));
    assert_eq!(available(&world), 1);
}

#[test]
fn terminating_pods_are_replaced_at_once() {
    let (mut world, _) = world(2);
    for (pod, _) in world.pods() {
        world.change_pod(&pod, |pod| pod.node = Some("node-1".into()));
    }
    let (pod, _) = world.pods()[0].clone();
    let now = world.now;
    world.change_pod(&pod, |pod| pod.meta.deletion_timestamp = Some(now));
    world.settle();
    assert_eq!(world.pods().len(), 3);
}
