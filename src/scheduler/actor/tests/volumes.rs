//! What is written before a pod with claims is bound, and when it is.

use super::*;
use crate::objects::volume::annotations::{BIND_COMPLETED, SELECTED_NODE};
use crate::scheduler::ProfileConfig;

/// A node, a class, the claim `data`, and a pod that uses it; the pod comes at one second.
fn world(provisioner: &str) -> World {
    world_of(provisioner, Config::default())
}

fn world_of(provisioner: &str, config: Config) -> World {
    let mut world = World::of(Config { volumes: true, ..config });
    world.add_node("node", "4");
    let class = json!({"metadata": {"name": "later"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
    world.add("StorageClass", class);
    let claim = json!({"metadata": {"name": "data", "namespace": "default", "uid": "c"}, "status": {"phase": "Pending"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "later", "resources": {"requests": {"storage": "1Gi"}}}});
    world.add("PersistentVolumeClaim", claim);
    let volume = json!({"metadata": {"name": "pv"}, "status": {"phase": "Available"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "later", "capacity": {"storage": "1Gi"}}});
    if provisioner.ends_with("no-provisioner") {
        world.add("PersistentVolume", volume);
    }
    world.run_until(Time::from_secs(1));
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    let spec = json!({"containers": [{"name": "c", "image": "app"}], "volumes": volumes});
    world.add("Pod", json!({"metadata": {"name": "web", "namespace": "default", "uid": "web"}, "spec": spec}));
    world
}

fn change_claim(world: &mut World, change: impl FnOnce(&mut crate::objects::PersistentVolumeClaim)) {
    let key = Key::new(Kind::PersistentVolumeClaim, "default", "data");
    let mut claim = world.objects[&key].object.as_persistent_volume_claim().expect("a claim").clone();
    change(&mut claim);
    world.store(Arc::new(claim.into()));
}

/// As the volume controller does.
fn bind_claim(world: &mut World) {
    change_claim(world, |claim| {
        claim.spec.volume_name = "pv".into();
        claim.meta.annotations.update(|annotations| drop(annotations.insert(BIND_COMPLETED.into(), "yes".into())));
    });
}

#[test]
fn a_pod_is_bound_once_its_volume_is_bound_to_its_claim() {
    let mut world = world("kubernetes.io/no-provisioner");
    world.run_until(Time::from_secs(4));
    assert_eq!(world.texts(), ["scheduler-1 leading", "write PersistentVolume pv"], "nobody has completed the binding");
    let volume = world.objects[&Key::new(Kind::PersistentVolume, "", "pv")].object.clone();
    let reference = volume.as_persistent_volume().and_then(|volume| volume.spec.claim_ref.as_ref()).expect("it has its claim");
    assert_eq!((&*reference.name, &*reference.uid), ("data", "c"));
    bind_claim(&mut world);
    world.run_until(Time::from_secs(6));
    assert_eq!(world.texts()[2..], ["bind web to node"]);
    let (at, _) = world.find("bind");
    let (written, _) = world.find("write");
    assert!(at > Time::from_secs(4) && (at - written).nanos() % 1_000_000_000 < 10_000_000, "looked at each second: {at}");
}

#[test]
fn a_claim_whose_node_is_taken_back_sends_its_pod_back_to_the_queue() {
    let mut world = world("disks.example.com");
    world.run_until(Time::from_secs(2));
    assert_eq!(world.texts()[1..], ["write PersistentVolumeClaim default/data"]);
    change_claim(&mut world, |claim| {
        assert_eq!(claim.selected_node().map(Name::as_str), Some("node"));
        claim.meta.annotations.update(|annotations| drop(annotations.remove(SELECTED_NODE)));
    });
    world.run_until(Time::from_secs(3));
    let why = "running PreBind plugin \"VolumeBinding\": binding volumes: selectedNode annotation reset for PVC \"data\"";
    assert_eq!(world.texts()[2..4], [format!("Pod default/web {why}"), format!("patch web SchedulerError {why}")][..]);
    // It is tried again after its back-off, and the claim gets its node again.
    world.run_until(Time::from_secs(8));
    assert_eq!(world.texts().iter().filter(|text| text.starts_with("write PersistentVolumeClaim")).count(), 2, "{:#?}", world.log);
}

#[test]
fn a_pod_that_goes_is_not_waited_for() {
    let mut world = world("kubernetes.io/no-provisioner");
    world.run_until(Time::from_secs(2));
    assert_eq!(world.scheduler.waiting(), 0);
    world.delete(&Key::pod("default", "web"));
    world.run_until(Time::from_secs(3));
    assert!(world.scheduler.volumes.is_empty(), "nobody waits for its volumes any more");
    world.run_until(Time::from_secs(700));
    assert_eq!(world.texts(), ["scheduler-1 leading", "write PersistentVolume pv"]);
}

#[test]
fn binding_is_given_up_after_ten_minutes() {
    let mut world = world("kubernetes.io/no-provisioner");
    world.run_until(Time::from_secs(590));
    assert_eq!(world.texts().len(), 2);
    world.run_until(Time::from_secs(610));
    let (at, _) = world.find("Pod default/web running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded");
    assert!((600..=602).contains(&at.nanos().div_euclid(1_000_000_000)), "{at}");
}

#[test]
fn binding_is_given_up_when_the_profile_says() {
    let mut profile = ProfileConfig::default();
    profile.arguments.volume_bind_timeout = Duration::from_secs(30);
    assert!(profile.chooses_as_default());
    let mut world = world_of("kubernetes.io/no-provisioner", Config { profiles: vec![profile], ..Config::default() });
    world.run_until(Time::from_secs(40));
    let (at, _) = world.find("Pod default/web running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded");
    assert!((30..=33).contains(&at.nanos().div_euclid(1_000_000_000)), "{at}");
}
