use serde_json::{Value, json};

use super::super::adapter::Adapter;
use super::super::testing::World;
use super::*;
use crate::base::{Duration, Name};
use crate::controllers::garbage_collector::GarbageCollector;
use crate::objects::volume::{ClaimPhase, VolumePhase};
use crate::objects::{Condition, Conditions, Key, Kind, Object, PersistentVolume, PersistentVolumeClaim};
use crate::wire::api::Verb;

fn object(kind: &str, mut value: Value) -> Object {
    value["kind"] = Value::from(kind);
    Object::from_json(value).expect("a valid object")
}

fn world() -> World {
    let config = Config { volumes: true, ..Config::default() };
    let mut controllers = registry(&config);
    controllers.push(Adapter::boxed(GarbageCollector::new(20, true)));
    World::new(controllers)
}

fn class(world: &mut World, name: &str, provisioner: &str, mode: &str) {
    let class = json!({"metadata": {"name": name}, "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": mode});
    world.create(object("StorageClass", class)).unwrap();
}

fn claim(world: &mut World, name: &str, class: &str, size: &str) -> Key {
    let claim = json!({"metadata": {"name": name, "namespace": "default", "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": size}}}});
    world.create(object("PersistentVolumeClaim", claim)).unwrap();
    Key::new(Kind::PersistentVolumeClaim, "default", name)
}

fn volume(world: &mut World, name: &str, size: &str, policy: &str) -> Key {
    let volume = json!({"metadata": {"name": name, "finalizers": ["kubernetes.io/pv-protection"]},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "capacity": {"storage": size},
            "persistentVolumeReclaimPolicy": policy, "nfs": {"server": "s", "path": "/"}}});
    world.create(object("PersistentVolume", volume)).unwrap();
    Key::new(Kind::PersistentVolume, "", name)
}

fn get_claim<'w>(world: &'w World, key: &Key) -> &'w PersistentVolumeClaim {
    world.cache.get(key).expect("the claim is there").object.as_persistent_volume_claim().unwrap()
}

fn get_volume<'w>(world: &'w World, key: &Key) -> &'w PersistentVolume {
    world.cache.get(key).expect("the volume is there").object.as_persistent_volume().unwrap()
}

#[test]
fn a_claim_gets_the_smallest_volume_and_its_end_releases_it() {
    let mut world = world();
    let (large, fitting) = (volume(&mut world, "large", "20Gi", "Retain"), volume(&mut world, "fitting", "10Gi", "Retain"));
    world.settle();
    assert_eq!(get_volume(&world, &fitting).status.phase, Some(VolumePhase::Available));
    let key = claim(&mut world, "data", "manual", "5Gi");
    world.settle();
    let bound = get_claim(&world, &key);
    assert_eq!((&*bound.spec.volume_name, bound.status.phase), ("fitting", Some(ClaimPhase::Bound)));
    assert!(bound.is_fully_bound() && bound.status.capacity["storage"].value() == 10 << 30);
    assert!(get_volume(&world, &fitting).is_for(bound));
    assert_eq!(get_volume(&world, &fitting).status.phase, Some(VolumePhase::Bound));
    assert_eq!(get_volume(&world, &large).status.phase, Some(VolumePhase::Available));

    world.change(&key, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.settle();
    assert!(world.cache.get(&key).is_none(), "nobody uses it");
    assert_eq!(get_volume(&world, &fitting).status.phase, Some(VolumePhase::Released), "kept, and not given to anybody else");
    let other = claim(&mut world, "other", "manual", "5Gi");
    world.settle();
    assert_eq!(&*get_claim(&world, &other).spec.volume_name, "large");
}

#[test]
fn a_claim_without_a_volume_waits_for_the_next_look() {
    let mut world = world();
    let key = claim(&mut world, "data", "manual", "5Gi");
    world.settle();
    assert_eq!(get_claim(&world, &key).status.phase, Some(ClaimPhase::Pending));
    world.run_for(Duration::from_secs(7));
    volume(&mut world, "late", "5Gi", "Retain");
    world.settle();
    assert!(!get_claim(&world, &key).is_fully_bound(), "upstream looks again only when it is time");
    world.run_for(Duration::from_secs(8));
    assert!(get_claim(&world, &key).is_fully_bound());
}

#[test]
fn a_volume_is_made_at_once_or_where_the_scheduler_says_and_goes_with_its_claim() {
    let mut world = world();
    for zone in ["a", "b"] {
        let name = format!("node-{zone}");
        let node = json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}});
        world.create(object("Node", node)).unwrap();
    }
    class(&mut world, "now", "disks.example.com", "Immediate");
    class(&mut world, "later", "disks.example.com", "WaitForFirstConsumer");
    let (now, later) = (claim(&mut world, "now", "now", "1Gi"), claim(&mut world, "later", "later", "1Gi"));
    world.run_for(Duration::from_secs(2));
    assert!(!get_claim(&world, &now).is_fully_bound(), "the driver takes 3 s");
    world.run_for(Duration::from_secs(2));
    assert!(get_claim(&world, &now).is_fully_bound());
    assert!(!get_claim(&world, &later).is_fully_bound());
    world.change(&later, |object| match object {
        Object::PersistentVolumeClaim(claim) => *claim = claim.selected_for(&"node-b".into()),
        other => panic!("{other:?}"),
    });
    world.run_for(Duration::from_secs(4));
    let claim = get_claim(&world, &later).clone();
    assert!(claim.is_fully_bound());
    let key = Key::new(Kind::PersistentVolume, "", &claim.spec.volume_name);
    let made = get_volume(&world, &key);
    let zone = |zone: &str| [(Name::new("topology.kubernetes.io/zone"), Name::new(zone))].into();
    assert!(made.is_reachable_from(&zone("b")) && !made.is_reachable_from(&zone("a")));
    assert_eq!(made.spec.csi.as_ref().map(|csi| &*csi.driver), Some("disks.example.com"));

    world.change(&later, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.settle();
    assert_eq!(get_volume(&world, &key).status.phase, Some(VolumePhase::Released));
    world.run_for(Duration::from_secs(2));
    assert!(world.cache.get(&key).is_none(), "its class says Delete");
}

#[test]
fn a_selected_node_that_is_gone_gives_the_claim_back() {
    let mut world = world();
    class(&mut world, "later", "disks.example.com", "WaitForFirstConsumer");
    let key = claim(&mut world, "data", "later", "1Gi");
    world.change(&key, |object| match object {
        Object::PersistentVolumeClaim(claim) => *claim = claim.selected_for(&"gone".into()),
        other => panic!("{other:?}"),
    });
    world.run_for(Duration::from_secs(5));
    assert_eq!(get_claim(&world, &key).selected_node(), None);
    assert!(!world.requests.iter().any(|(_, verb)| matches!(verb, Verb::Create { .. })));
}

#[test]
fn a_claim_whose_volume_vanishes_is_lost_and_one_that_is_used_stays() {
    let mut world = world();
    let volume = volume(&mut world, "only", "10Gi", "Retain");
    let key = claim(&mut world, "data", "manual", "5Gi");
    let pod = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"nodeName": "node-a", "containers": [],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    let pod = world.create(object("Pod", pod)).unwrap().key;
    world.settle();
    world.change(&key, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.settle();
    assert!(get_claim(&world, &key).meta.is_deleting(), "a pod uses it");
    world.store(&volume, None);
    world.settle();
    assert_eq!(get_claim(&world, &key).status.phase, Some(ClaimPhase::Lost));
    world.store(&pod, None);
    world.settle();
    assert!(world.cache.get(&key).is_none());
}

#[test]
fn the_claim_of_an_ephemeral_volume_comes_and_goes_with_its_pod() {
    let mut world = world();
    class(&mut world, "now", "disks.example.com", "Immediate");
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "now",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let pod = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [],
        "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]}});
    let pod = world.create(object("Pod", pod)).unwrap().key;
    world.run_for(Duration::from_secs(4));
    let key = Key::new(Kind::PersistentVolumeClaim, "default", "web-scratch");
    assert!(get_claim(&world, &key).is_fully_bound());
    assert_eq!(get_claim(&world, &key).meta.label("app").map(Name::as_str), Some("web"));
    world.store(&pod, None);
    world.settle();
    assert!(world.cache.get(&key).is_none());
}

/// A volume of a driver, free, of the class `manual`.
fn disk(world: &mut World, name: &str) -> Key {
    let volume = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
        "capacity": {"storage": "5Gi"}, "csi": {"driver": "disks.example.com", "volumeHandle": name}}});
    world.create(object("PersistentVolume", volume)).unwrap();
    Key::new(Kind::PersistentVolume, "", name)
}

fn node(world: &mut World, name: &str, ready: bool) -> Key {
    let key = world.create(object("Node", json!({"metadata": {"name": name}}))).unwrap().key;
    set_node_ready(world, &key, ready);
    key
}

fn set_node_ready(world: &mut World, key: &Key, ready: bool) {
    let now = world.now;
    world.change(key, |object| match object {
        Object::Node(node) => node.status.conditions.set(Condition::new("Ready", ready, "", now)),
        other => panic!("{other:?}"),
    });
}

/// Uses the claim `data`; `state` is that of its container.
fn user(world: &mut World, name: &str, node: &str, state: Value, restarts: u32) -> Key {
    let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": node, "containers": [{"name": "c"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": state, "restartCount": restarts}]}});
    world.create(object("Pod", pod)).unwrap().key
}

fn attached(world: &World) -> Vec<String> {
    let attachments = world.cache.list(Kind::VolumeAttachment).filter_map(|(_, stored)| stored.object.as_volume_attachment());
    let mut places: Vec<String> = attachments.map(|it| format!("{} to {}", it.volume().expect("of a volume"), it.spec.node_name)).collect();
    places.sort();
    places
}

#[test]
fn a_pod_needs_the_volume_of_its_claim_not_that_of_a_namesake() {
    let mut world = world();
    node(&mut world, "node-a", true);
    let first = disk(&mut world, "first");
    let key = claim(&mut world, "data", "manual", "5Gi");
    world.settle();
    assert!(get_claim(&world, &key).is_fully_bound());
    world.change(&key, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.settle();
    assert_eq!(get_volume(&world, &first).status.phase, Some(VolumePhase::Released));
    disk(&mut world, "second");
    claim(&mut world, "data", "manual", "5Gi");
    user(&mut world, "web", "node-a", json!({"waiting": {}}), 0);
    world.run_for(Duration::from_secs(20));
    assert_eq!(attached(&world), ["second to node-a"]);
}

#[test]
fn a_volume_is_kept_for_6_min_where_nobody_knows_that_it_is_unmounted() {
    let running = || json!({"running": {"startedAt": "2026-01-01T00:16:40Z"}});
    let waiting = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let ended = || json!({"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:16:40Z", "finishedAt": "2026-01-01T00:16:41Z"}});
    // The pods on the node, which go in this order, and whether the volume is detached at once.
    for (title, pods, at_once) in [
        ("its only pod ended in order", vec![(ended(), 0)], true),
        ("its only pod never began", vec![(json!({"waiting": {}}), 0)], true),
        ("its pod waited to be started again", vec![(waiting(), 3)], false),
        ("its pod ran", vec![(running(), 0)], false),
        ("one that never began speaks not for one that ran", vec![(json!({"waiting": {}}), 0), (running(), 0)], false),
        ("and not after it", vec![(running(), 0), (json!({"waiting": {}}), 0)], true),
    ] {
        let mut world = world();
        let node = node(&mut world, "node-a", true);
        disk(&mut world, "disk");
        claim(&mut world, "data", "manual", "5Gi");
        world.settle();
        let pods: Vec<Key> = pods
            .into_iter()
            .enumerate()
            .map(|(number, (state, restarts))| user(&mut world, &format!("web-{number}"), "node-a", state, restarts))
            .collect();
        world.run_for(Duration::from_secs(20));
        assert_eq!(attached(&world), ["disk to node-a"], "{title}");
        set_node_ready(&mut world, &node, false);
        for pod in pods {
            world.store(&pod, None);
        }
        world.run_for(Duration::from_secs(60));
        assert_eq!(attached(&world).is_empty(), at_once, "{title}");
        world.run_for(Duration::from_secs(360));
        assert!(attached(&world).is_empty(), "{title}");
    }
}

#[test]
fn a_released_volume_is_deleted_once_it_is_detached() {
    let mut world = world();
    node(&mut world, "node-a", true);
    class(&mut world, "now", "disks.example.com", "Immediate");
    let key = claim(&mut world, "data", "now", "1Gi");
    world.run_for(Duration::from_secs(4));
    let volume = Key::new(Kind::PersistentVolume, "", &get_claim(&world, &key).spec.volume_name);
    let source = json!({"persistentVolumeName": volume.name()});
    let attachment = json!({"metadata": {"name": "by-hand", "finalizers": ["held"]},
        "spec": {"attacher": "disks.example.com", "nodeName": "node-a", "source": source}});
    let attachment = world.create(object("VolumeAttachment", attachment)).unwrap().key;
    world.change(&attachment, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.change(&key, |object| object.meta_mut().deletion_timestamp = Some(crate::base::Time::from_secs(1000)));
    world.settle();
    assert_eq!(get_volume(&world, &volume).status.phase, Some(VolumePhase::Released));
    assert!(!world.requests.iter().any(|(_, verb)| matches!(verb, Verb::Delete { key, .. } if *key == volume)));
    world.run_for(Duration::from_secs(60));
    assert!(world.cache.get(&attachment).is_none() && world.cache.get(&volume).is_none());
}

#[test]
fn no_volume_is_made_for_a_claim_with_a_selector() {
    let mut world = world();
    class(&mut world, "now", "disks.example.com", "Immediate");
    let claim = json!({"metadata": {"name": "data", "namespace": "default"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "now", "selector": {"matchLabels": {"tier": "fast"}}, "resources": {"requests": {"storage": "1Gi"}}}});
    world.create(object("PersistentVolumeClaim", claim)).unwrap();
    world.run_for(Duration::from_secs(10));
    assert!(!world.requests.iter().any(|(_, verb)| matches!(verb, Verb::Create { .. })));
}

#[test]
fn at_the_start_a_named_volume_must_do_and_one_of_one_node_is_attached_once() {
    let mut world = World::new(Vec::new());
    disk(&mut world, "taken");
    let taken = Key::new(Kind::PersistentVolume, "", "taken");
    world.change(&taken, |object| match object {
        Object::PersistentVolume(volume) => {
            volume.spec.claim_ref = Some(Box::new(crate::objects::volume::ClaimReference {
                namespace: "default".into(),
                name: "other".into(),
                uid: "other".into(),
                ..Default::default()
            }));
            volume.status.phase = Some(VolumePhase::Bound);
        }
        other => panic!("{other:?}"),
    });
    let key = claim(&mut world, "data", "manual", "5Gi");
    let name = |world: &mut World, volume: &str| {
        world.change(&key, |object| match object {
            Object::PersistentVolumeClaim(claim) => claim.spec.volume_name = volume.into(),
            other => panic!("{other:?}"),
        });
    };
    name(&mut world, "taken");
    assert_eq!(settle(&world.cache), []);
    disk(&mut world, "free");
    name(&mut world, "free");
    for _ in 0..2 {
        for object in settle(&world.cache) {
            world.store(&object.key(), Some(object));
        }
    }
    assert!(get_claim(&world, &key).is_fully_bound());
    for (pod, node) in [("first", "node-a"), ("second", "node-b")] {
        user(&mut world, pod, node, json!({"waiting": {}}), 0);
    }
    let pods: Vec<_> = world.pods().into_iter().map(|(_, pod)| pod).collect();
    let nodes: Vec<Name> = attachments(pods.iter(), &world.cache).map(|attachment| attachment.spec.node_name).collect();
    assert_eq!(nodes, ["node-a"]);
}
