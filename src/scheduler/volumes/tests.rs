//! What the plugins of volumes say of a pod, node by node: a table of clusters. Each node stands in a zone of its name.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::Name;
use crate::base::random::Seed;
use crate::objects::{Key, Object};
use crate::scheduler::plugins::{Code, PluginId};
use crate::scheduler::queue::ClusterEvent;
use crate::scheduler::{Explanation, FILTERS, PodInfo, Profile, ProfileConfig, Snapshot, explain, plugins};

fn object(kind: &str, name: &str, mut value: Value) -> Arc<Object> {
    value["kind"] = Value::from(kind);
    value["metadata"]["name"] = Value::from(name);
    Arc::new(Object::from_json(value).expect("a valid object"))
}

fn node(name: &str) -> Arc<Object> {
    let labels = json!({"topology.kubernetes.io/zone": name, "kubernetes.io/hostname": name});
    object("Node", name, json!({"metadata": {"labels": labels}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}))
}

fn pod(name: &str, claims: &[&str]) -> Value {
    let volumes: Vec<Value> = claims.iter().map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}})).collect();
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "app"}], "volumes": volumes}})
}

fn bound_pod(name: &str, node: &str, claims: &[&str]) -> Arc<Object> {
    let mut pod = pod(name, claims);
    pod["spec"]["nodeName"] = Value::from(node);
    object("Pod", name, pod)
}

fn class(name: &str, provisioner: &str, mode: &str, more: Value) -> Arc<Object> {
    let mut class = json!({"provisioner": provisioner, "volumeBindingMode": mode});
    for (key, value) in more.as_object().expect("fields") {
        class[key] = value.clone();
    }
    object("StorageClass", name, class)
}

/// Of class `later` and 5 GiB.
fn claim(name: &str, more: Value) -> Arc<Object> {
    let mut claim = json!({"metadata": {"namespace": "default", "uid": name, "annotations": {}}, "status": {"phase": "Pending"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "later", "resources": {"requests": {"storage": "5Gi"}}}});
    for (key, value) in more.as_object().expect("fields of the spec") {
        match key.as_str() {
            "annotations" => claim["metadata"]["annotations"] = value.clone(),
            "phase" => claim["status"]["phase"] = value.clone(),
            _ => claim["spec"][key] = value.clone(),
        }
    }
    object("PersistentVolumeClaim", name, claim)
}

fn bound_claim(name: &str, volume: &str) -> Arc<Object> {
    claim(name, json!({"volumeName": volume, "phase": "Bound", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}))
}

/// Of class `later` and 10 GiB, reachable from a zone if one is given.
fn volume(name: &str, zone: Option<&str>, more: Value) -> Arc<Object> {
    let mut volume = json!({"status": {"phase": "Available"}, "metadata": {"labels": {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "later", "capacity": {"storage": "10Gi"}}});
    if let Some(zone) = zone {
        let expression = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]});
        volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}});
    }
    for (key, value) in more.as_object().expect("fields of the spec") {
        match key.as_str() {
            "labels" => volume["metadata"]["labels"] = value.clone(),
            _ => volume["spec"][key] = value.clone(),
        }
    }
    object("PersistentVolume", name, volume)
}

fn csi(handle: &str) -> Value {
    json!({"csi": {"driver": "disks", "volumeHandle": handle}})
}

fn limits(node: &str, count: u32) -> Arc<Object> {
    object("CSINode", node, json!({"spec": {"drivers": [{"name": "disks", "nodeID": node, "allocatable": {"count": count}}]}}))
}

/// Nodes a and b, and these.
fn snapshot(objects: &[Arc<Object>]) -> Snapshot {
    Snapshot::from_objects(&[node("a"), node("b")], &[], objects)
}

fn explained(objects: &[Arc<Object>], pod: Value) -> Explanation {
    let mut snapshot = snapshot(objects);
    let info = snapshot.pod_info(&object("Pod", "web", pod));
    explain(&Profile::default(), &info, &snapshot, &mut Seed(1).stream("ties"))
}

/// `a: plugin: reason`, nodes in order; a rejection for all is `*`.
fn told(explained: &Explanation) -> Vec<String> {
    let at_once = explained.rejected_at_once.iter().map(|rejection| ("*".to_owned(), rejection));
    let by_node = explained.rejected.iter().map(|(node, rejection)| (node.to_string(), rejection));
    at_once.chain(by_node).map(|(node, rejection)| format!("{node}: {}: {}", rejection.plugin, rejection.reasons.join(" + "))).collect()
}

/// Title, objects beside the nodes, the pod, and what is told of it.
type Case = (&'static str, Vec<Arc<Object>>, Value, Vec<String>);

const LATER: &str = "WaitForFirstConsumer";

#[test]
fn what_the_plugins_say() {
    let of_affinity = "node(s) didn't match PersistentVolume's node affinity";
    let nothing = "node(s) didn't find available persistent volumes to bind";
    let by_hand = || class("later", "kubernetes.io/no-provisioner", LATER, json!({}));
    let made = || class("later", "disks", LATER, json!({}));
    let of_zone = |zone: &str| json!([{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": [zone]}]}]);
    let rwop = json!({"accessModes": ["ReadWriteOncePod"], "volumeName": "pv", "phase": "Bound",
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}});
    let in_use = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
    let data = || pod("web", &["data"]);
    let cases: Vec<Case> = vec![
        ("no claims", vec![], pod("web", &[]), vec![]),
        ("no such claim", vec![], data(), vec!["*: VolumeRestrictions: persistentvolumeclaim \"data\" not found".into()]),
        (
            "an immediate claim that is not bound",
            vec![class("later", "disks", "Immediate", json!({})), claim("data", json!({}))],
            data(),
            vec!["*: VolumeBinding: pod has unbound immediate PersistentVolumeClaims".into()],
        ),
        (
            "a claim that names its volume is not the scheduler's to bind",
            vec![by_hand(), claim("data", json!({"volumeName": "pv"})), volume("pv", None, json!({}))],
            data(),
            vec!["*: VolumeBinding: pod has unbound immediate PersistentVolumeClaims".into()],
        ),
        (
            "a lost claim",
            vec![claim("data", json!({"volumeName": "pv", "phase": "Lost"}))],
            data(),
            vec!["*: VolumeBinding: persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"pv\"".into()],
        ),
        ("a volume that is everywhere", vec![bound_claim("data", "pv"), volume("pv", None, json!({}))], data(), vec![]),
        (
            "a volume in zone a",
            vec![bound_claim("data", "pv"), volume("pv", Some("a"), json!({}))],
            data(),
            vec![format!("b: VolumeBinding: {of_affinity}")],
        ),
        (
            "a volume that is labelled with zone a",
            vec![bound_claim("data", "pv"), volume("pv", None, json!({"labels": {"failure-domain.beta.kubernetes.io/zone": "a__c"}}))],
            data(),
            vec!["b: VolumeZone: node(s) had no available volume zone".into()],
        ),
        (
            "a claim bound to a volume that is gone",
            vec![bound_claim("data", "pv")],
            data(),
            vec!["*: VolumeZone: persistentvolume \"pv\" not found".into()],
        ),
        (
            "nothing to bind in zone b",
            vec![by_hand(), claim("data", json!({})), volume("pv", Some("a"), json!({}))],
            data(),
            vec![format!("b: VolumeBinding: {nothing}")],
        ),
        (
            "one volume, and two claims",
            vec![by_hand(), claim("data", json!({})), claim("log", json!({})), volume("pv", None, json!({}))],
            pod("web", &["data", "log"]),
            vec![format!("a: VolumeBinding: {nothing}"), format!("b: VolumeBinding: {nothing}")],
        ),
        (
            "the smaller claim leaves the larger volume to the larger claim",
            vec![
                by_hand(),
                claim("data", json!({"resources": {"requests": {"storage": "50Gi"}}})),
                claim("log", json!({})),
                volume("large", None, json!({"capacity": {"storage": "50Gi"}})),
                volume("small", None, json!({})),
            ],
            pod("web", &["data", "log"]),
            vec![],
        ),
        ("a volume will be made", vec![made(), claim("data", json!({}))], data(), vec![]),
        (
            "and can be made in zone a only",
            vec![class("later", "disks", LATER, json!({"allowedTopologies": of_zone("a")})), claim("data", json!({}))],
            data(),
            vec![format!("b: VolumeBinding: {nothing}")],
        ),
        (
            "a node was selected",
            vec![made(), claim("data", json!({"annotations": {"volume.kubernetes.io/selected-node": "b"}}))],
            data(),
            vec![format!("a: VolumeBinding: {nothing}")],
        ),
        (
            "one volume elsewhere, and nothing for the other claim",
            vec![
                by_hand(),
                bound_claim("data", "pv"),
                volume("pv", Some("a"), json!({"claimRef": {"namespace": "default", "name": "data", "uid": "data"}})),
                claim("log", json!({})),
            ],
            pod("web", &["data", "log"]),
            vec![format!("a: VolumeBinding: {nothing}"), format!("b: VolumeBinding: {of_affinity} + {nothing}")],
        ),
        (
            "room for it where zone b is",
            vec![
                made(),
                claim("data", json!({})),
                object("CSIDriver", "disks", json!({"spec": {"storageCapacity": true}})),
                object(
                    "CSIStorageCapacity",
                    "in-b",
                    json!({"metadata": {"namespace": "kube-system"}, "storageClassName": "later", "capacity": "100Gi",
                        "nodeTopology": {"matchLabels": {"topology.kubernetes.io/zone": "b"}}}),
                ),
            ],
            data(),
            vec!["a: VolumeBinding: node(s) did not have enough free storage".into()],
        ),
        (
            "node a is full",
            vec![
                limits("a", 1),
                limits("b", 2),
                bound_pod("other-a", "a", &["log"]),
                bound_pod("other-b", "b", &["more"]),
                bound_claim("log", "pv-1"),
                volume("pv-1", None, csi("1")),
                bound_claim("more", "pv-2"),
                volume("pv-2", None, csi("2")),
                bound_claim("data", "pv"),
                volume("pv", None, csi("3")),
            ],
            data(),
            vec!["a: NodeVolumeLimits: node(s) exceed max volume count".into()],
        ),
        (
            "a volume that is there already does not count again",
            vec![limits("a", 1), bound_pod("other", "a", &["data"]), bound_claim("data", "pv"), volume("pv", None, csi("3"))],
            data(),
            vec![],
        ),
        (
            "one that is still attached counts",
            vec![
                limits("b", 1),
                volume("old", None, csi("9")),
                object(
                    "VolumeAttachment",
                    "csi-1",
                    json!({"spec": {"attacher": "disks", "nodeName": "b", "source": {"persistentVolumeName": "old"}}}),
                ),
                bound_claim("data", "pv"),
                volume("pv", None, csi("3")),
            ],
            data(),
            vec!["b: NodeVolumeLimits: node(s) exceed max volume count".into()],
        ),
        (
            "a claim of one pod only, in use",
            vec![claim("data", rwop.clone()), volume("pv", None, json!({})), bound_pod("other", "a", &["data"])],
            data(),
            vec![format!("a: VolumeRestrictions: {in_use}"), format!("b: VolumeRestrictions: {in_use}")],
        ),
        ("and free", vec![claim("data", rwop), volume("pv", None, json!({}))], data(), vec![]),
        (
            "the claim of an ephemeral volume is not made yet",
            vec![],
            json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [],
                "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}}),
            vec!["*: VolumeBinding: waiting for ephemeral volume controller to create the persistentvolumeclaim \"web-scratch\"".into()],
        ),
        (
            "a disk that two pods name",
            vec![object(
                "Pod",
                "other",
                json!({"metadata": {"namespace": "default"}, "spec": {"nodeName": "a", "containers": [],
                    "volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "disk-1"}}]}}),
            )],
            json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [],
                "volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "disk-1", "readOnly": true}}]}}),
            vec!["a: VolumeRestrictions: node(s) had no available disk".into()],
        ),
    ];
    for (title, objects, pod, expected) in cases {
        assert_eq!(told(&explained(&objects, pod)), expected, "{title}");
    }
}

#[test]
fn only_what_pods_take_can_be_had_by_preemption() {
    let rwop = json!({"accessModes": ["ReadWriteOncePod"], "volumeName": "pv", "phase": "Bound",
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}});
    let objects = [claim("data", rwop), volume("pv", None, json!({})), bound_pod("other", "a", &["data"])];
    let mut pod = pod("web", &["data"]);
    pod["spec"]["priority"] = json!(10);
    let explained = explained(&objects, pod);
    assert_eq!(explained.rejected["a"].code, Code::Unschedulable);
    let victims: Vec<&Key> = explained.nominations.iter().flat_map(|nomination| &nomination.victims).map(|victim| &victim.key).collect();
    assert_eq!(victims, [&Key::pod("default", "other")]);
    assert_eq!(explained.nominations[0].node, Name::new("a"));

    let objects = [bound_claim("data", "pv"), volume("pv", Some("elsewhere"), json!({}))];
    let explained = self::explained(&objects, self::pod("web", &["data"]));
    assert_eq!(explained.rejected["a"].code, Code::UnschedulableAndUnresolvable);
    let message = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. no new claims to deallocate, \
                   preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    assert_eq!(explained.message, message);
}

#[test]
fn what_one_pod_takes_the_next_does_not_get() {
    let objects = [
        class("later", "kubernetes.io/no-provisioner", LATER, json!({})),
        claim("data", json!({})),
        claim("log", json!({})),
        volume("pv", None, json!({})),
    ];
    let mut snapshot = snapshot(&objects);
    let mut info = |name: &str, claim: &str| -> PodInfo { snapshot.pod_info(&object("Pod", name, pod(name, &[claim]))) };
    let (first, second) = (info("first", "data"), info("second", "log"));
    let feasible = |pod: &PodInfo, snapshot: &Snapshot| explain(&Profile::default(), pod, snapshot, &mut Seed(1).stream("ties")).feasible;
    assert_eq!((feasible(&first, &snapshot), feasible(&second, &snapshot)), (2, 2));
    let slot = snapshot.nodes().slot("a").expect("it exists");
    let reserved = snapshot.reserve(&Profile::default(), &first, slot);
    assert_eq!(reserved.bindings.len(), 1);
    assert_eq!((feasible(&first, &snapshot), feasible(&second, &snapshot)), (2, 0));
    snapshot.unreserve(&reserved);
    assert_eq!(feasible(&second, &snapshot), 2);
    // A profile without VolumeBinding takes nothing.
    let filters = FILTERS.into_iter().filter(|id| *id != PluginId::VolumeBinding).collect();
    let without = Profile::new(&ProfileConfig { filters, ..ProfileConfig::default() }, 0);
    assert!(snapshot.reserve(&without, &first, slot).is_empty());
    assert_eq!(feasible(&second, &snapshot), 2);
    // What the API says later takes the place of what was assumed.
    snapshot.reserve(&Profile::default(), &first, slot);
    snapshot.set(&volume("pv", None, json!({})));
    assert_eq!(feasible(&second, &snapshot), 2);
}

#[test]
fn a_rejected_pod_comes_back_when_its_volumes_change() {
    let mut snapshot = snapshot(&[]);
    let info = snapshot.pod_info(&object("Pod", "web", pod("web", &["data"])));
    let cycle = plugins::Cycle { pod: &info, snapshot: &snapshot };
    let hints = |event: ClusterEvent<'_>| -> Vec<PluginId> {
        let ids = [PluginId::VolumeRestrictions, PluginId::NodeVolumeLimits, PluginId::VolumeBinding, PluginId::VolumeZone];
        ids.into_iter().filter(|id| plugins::plugin(*id, &Default::default()).hint(&event, cycle)).collect()
    };
    use PluginId::*;
    let (own, others) = (claim("data", json!({})), claim("other", json!({})));
    let free = volume("pv", Some("a"), json!({}));
    let labelled = volume("pv", Some("a"), json!({"labels": {"topology.kubernetes.io/zone": "a"}}));
    let (narrow, wide) = (limits("a", 1), limits("a", 2));
    for (event, expected) in [
        (ClusterEvent::StorageAdded(&own), vec![VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone]),
        (ClusterEvent::StorageAdded(&others), vec![]),
        (ClusterEvent::StorageChanged { old: &own, new: &own }, vec![VolumeBinding, VolumeZone]),
        (ClusterEvent::StorageAdded(&free), vec![VolumeBinding, VolumeZone]),
        (ClusterEvent::StorageChanged { old: &free, new: &free }, vec![VolumeBinding]),
        (ClusterEvent::StorageChanged { old: &free, new: &labelled }, vec![VolumeBinding, VolumeZone]),
        (ClusterEvent::StorageAdded(&narrow), vec![NodeVolumeLimits, VolumeBinding]),
        (ClusterEvent::StorageChanged { old: &narrow, new: &wide }, vec![NodeVolumeLimits]),
        (ClusterEvent::StorageChanged { old: &wide, new: &narrow }, vec![]),
        (ClusterEvent::NodeAdded(node("c").as_node().expect("a node")), vec![VolumeRestrictions, VolumeBinding, VolumeZone]),
    ] {
        assert_eq!(hints(event), expected);
    }
    // Upstream looks at inline volumes of the driver only.
    let driver = |says: bool| object("CSIDriver", "disks", json!({"spec": {"storageCapacity": says}}));
    let (says, says_not) = (driver(true), driver(false));
    let mut inline = pod("inline", &["data"]);
    inline["spec"]["volumes"].as_array_mut().expect("a list").push(json!({"name": "scratch", "csi": {"driver": "disks"}}));
    let inline = snapshot.pod_info(&object("Pod", "inline", inline));
    for (pod, old, new, expected) in
        [(&inline, &says, &says_not, true), (&inline, &says_not, &says, false), (&info, &says, &says_not, false)]
    {
        let cycle = plugins::Cycle { pod, snapshot: &snapshot };
        let event = ClusterEvent::StorageChanged { old, new };
        assert_eq!(plugins::plugin(VolumeBinding, &Default::default()).hint(&event, cycle), expected, "{}", pod.key);
    }
    let user = snapshot.pod_info(&bound_pod("user", "a", &["data"]));
    let hints = |event: ClusterEvent<'_>| -> bool {
        let cycle = plugins::Cycle { pod: &info, snapshot: &snapshot };
        plugins::plugin(VolumeRestrictions, &Default::default()).hint(&event, cycle)
    };
    assert!(hints(ClusterEvent::PodRemoved(&user)));
}
