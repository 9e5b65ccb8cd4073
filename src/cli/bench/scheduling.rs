//! Scheduling decisions alone: a cluster in which two small pods run on each node, and pods of fifty groups placed one after another, every
//! node looked at. The setting is that in which the real scheduler was measured (kube-scheduler v1.34.1, its `SchedulePod` and assume, one
//! thread, CPU time, on another machine of the same class; good to a factor of 1.5).

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::measure;
use crate::base::random::Seed;
use crate::objects::Object;
use crate::scheduler::{Decision, Profile, Sampling, Snapshot, decide};

/// What the pods ask of their places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Requests,
    AntiAffinity,
    ZoneHard,
    ZoneHardHostnameSoft,
}

pub const ASKS: [Ask; 4] = [Ask::Requests, Ask::AntiAffinity, Ask::ZoneHard, Ask::ZoneHardHostnameSoft];
pub const SIZES: [u32; 4] = [100, 1_000, 5_000, 15_000];

impl Ask {
    const fn name(self) -> &'static str {
        match self {
            Ask::Requests => "requests only",
            Ask::AntiAffinity => "required anti-affinity, hostname",
            Ask::ZoneHard => "spread: zone hard",
            Ask::ZoneHardHostnameSoft => "spread: zone hard, hostname soft",
        }
    }
    /// Pods a CPU second of the real scheduler at 100, 1,000 and 5,000 nodes; at 15,000 it was not measured.
    fn recorded(self, nodes: u32) -> Option<f64> {
        let at = [100, 1_000, 5_000].iter().position(|size| *size == nodes)?;
        Some(match self {
            Ask::Requests => [3367.0, 385.0, 79.0][at],
            Ask::AntiAffinity => [1980.0, 178.0, 43.0][at],
            Ask::ZoneHard => [2915.0, 273.0, 49.0][at],
            Ask::ZoneHardHostnameSoft => [2457.0, 223.0, 35.0][at],
        })
    }
    fn constrain(self, group: &Value, spec: &mut Value) {
        let selector = json!({"matchLabels": group});
        let spread =
            |key: &str, when: &str| json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector});
        let zone = || spread("topology.kubernetes.io/zone", "DoNotSchedule");
        match self {
            Ask::Requests => {}
            Ask::AntiAffinity => {
                let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector});
                spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
            }
            Ask::ZoneHard => spec["topologySpreadConstraints"] = json!([zone()]),
            Ask::ZoneHardHostnameSoft => {
                spec["topologySpreadConstraints"] = json!([zone(), spread("kubernetes.io/hostname", "ScheduleAnyway")]);
            }
        }
    }
}

/// One row of the table.
#[derive(Serialize)]
pub struct Rate {
    pub nodes: u32,
    pub pods: &'static str,
    /// Pods placed a CPU second; best of five.
    pub rate: f64,
    /// The real scheduler's.
    pub recorded: Option<f64>,
}

fn object(kind: &str, mut value: Value) -> Arc<Object> {
    value["kind"] = Value::from(kind);
    Arc::new(Object::from_json(value).expect("an object of the benchmark is valid"))
}

fn pod(name: &str, labels: &Value, cpu: &str, memory: &str) -> Value {
    let container = json!({"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu, "memory": memory}}});
    json!({"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": {"containers": [container]}})
}

fn cluster(nodes: u32) -> Snapshot {
    let node = |number: u32| {
        let name = format!("node-{number}");
        let zone = ["a", "b", "c"][number as usize % 3];
        object(
            "Node",
            json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
                "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}}
            }),
        )
    };
    let all: Vec<Arc<Object>> = (0..nodes).map(node).collect();
    let bound = |number: u32| {
        let mut bound = pod(&format!("bound-{number}"), &json!({"app": "bound"}), "100m", "128Mi");
        bound["spec"]["nodeName"] = Value::from(format!("node-{}", number / 2));
        object("Pod", bound)
    };
    let pods: Vec<Arc<Object>> = (0..2 * nodes).map(bound).collect();
    Snapshot::from_objects(&all, &pods, &[])
}

/// Measures one row.
pub fn measure(nodes: u32, ask: Ask, quick: bool) -> Rate {
    const GROUPS: u32 = 50;
    // As many as in the recorded measurement.
    let count = if nodes >= 5_000 { 300 } else { 1_000 };
    let waiting = |number: u32| {
        let group = json!({"app": format!("group-{}", number % GROUPS)});
        let mut pod = pod(&format!("pod-{number}"), &group, "100m", "256Mi");
        ask.constrain(&group, &mut pod["spec"]);
        object("Pod", pod)
    };
    let pods: Vec<Arc<Object>> = (0..count).map(waiting).collect();
    let profile = Profile::default();
    let mut best = f64::INFINITY;
    for _ in 0..if quick { 1 } else { 5 } {
        let mut snapshot = cluster(nodes);
        let mut ties = Seed(1).stream("ties");
        let seconds = measure::time(|| {
            for pod in &pods {
                let info = snapshot.pod_info(pod);
                match decide(&profile, &info, &snapshot, &mut Sampling::ALL.clone(), &mut ties) {
                    Decision::Node(slot) => {
                        let node = snapshot.nodes().info(slot).name.clone();
                        snapshot.place(info, &node);
                    }
                    Decision::Unschedulable(failure) => panic!("the benchmark has room for all: {}", failure.message),
                }
            }
        });
        best = best.min(seconds);
    }
    Rate { nodes, pods: ask.name(), rate: f64::from(count) / best, recorded: ask.recorded(nodes) }
}
