use serde_json::{Value, json};

use super::super::adapter::Adapter;
use super::super::testing::World;
use super::*;
use crate::base::{Duration, Name};
use crate::controllers::garbage_collector::GarbageCollector;
use crate::objects::volume::{ClaimPhase, VolumePhase};
use crate::objects::{Key, Kind, Object, PersistentVolume, PersistentVolumeClaim};
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
