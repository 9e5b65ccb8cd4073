//! The scenarios that the program brings along.

/// A shipped scenario.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal: $about:literal,)*) => {
        const SHIPPED: &[Shipped] = &[$(
            Shipped { name: $name, about: $about, text: include_str!(concat!("../../scenarios/", $name, ".json")) },
        )*];
    };
}
shipped! {
    "node-failure": "a node loses power: detection after a minute, replacement after six",
    "node-failure-fast": "the same with tolerations of 30 seconds: what faster eviction buys",
    "rolling-update": "a new image rolls out under traffic, without an outage",
    "zone-outage": "one of three zones goes dark, its etcd member and machines with it",
    "zonal-volumes": "a zone is dark: pods with volumes of that zone stay Pending, the others move",
    "stuck-volume": "a node is lost with a volume attached: who waits for it, and how it comes free",
    "etcd-leader-loss": "the etcd leader dies: how long nothing can be written",
    "control-plane-loss": "an API server and the leading manager die: the data plane goes on",
    "zone-partition": "a zone is cut from the control plane while its containers run on",
    "rack-failure": "a rack loses power: what spreading over racks is worth",
    "no-anti-affinity": "all replicas on one bad host, beside a workload that is spread by rule",
    "drain": "two nodes are drained at once under a PodDisruptionBudget",
    "preemption": "a workload of high priority displaces others; a PodDisruptionBudget spares some",
    "bad-rollout": "a new image that does not exist: the roll-out stops itself, a person rolls it back",
    "registry-outage": "the image registry is down while a workload grows: who has the image starts",
    "crash-loop": "a container that crashes after twelve seconds: back-off from 10 s to 5 min",
    "slow-node": "a gray failure: a node with a slow and lossy network, which stays Ready",
    "node-flapping": "a node that comes and goes around the grace period: noticed, never emptied",
    "runtime-hang": "a node's container runtime hangs for five minutes: what still runs, and who is told when",
    "random-failures": "a week of a small cluster whose parts fail at random",
    "etcd-chaos": "the store alone under random faults of all kinds, clients reading and writing throughout",
    "etcd-membership-churn": "members join, learn, are promoted, leave and are replaced while clients write",
    "etcd-slow-disk": "a slow disk under a follower is not felt, one under the leader is",
    "etcd-quorum-loss": "two of three members are lost for good: restore from a snapshot",
    "etcd-clock-drift": "clocks 5 % fast and slow: leases and elections feel it, safety does not",
    "etcd-quota": "a store outgrows its space quota, and is given room again",
    "etcd-compaction": "watchers and followers that lag behind a history that is compacted",
    "openb-random": "the scheduler alone on a trace of GPU pods: any node that fits",
    "openb-dot-product": "the scheduler alone on a trace of GPU pods: the least aligned node",
    "openb-gpu-clustering": "the scheduler alone on a trace of GPU pods: like with like",
    "openb-gpu-packing": "the scheduler alone on a trace of GPU pods: GPUs in use first",
    "openb-best-fit": "the scheduler alone on a trace of GPU pods: the fullest node",
    "openb-fgd": "the scheduler alone on a trace of GPU pods: fragmentation gradient descent",
    "openb-timed": "the last days of a trace of GPU pods, an hour a minute, through a whole cluster",
    "validate-smoke": "for sim validate: a small cluster comes up",
    "validate-node-crash": "for sim validate: a node loses power, with fast timings",
    "validate-etcd-leader": "for sim validate: the etcd leader is killed",
    "validate-rolling-update": "for sim validate: a new image rolls out under traffic",
    "validate-freeze": "for sim validate: a node stands still for eight seconds",
    "bench-cluster": "a large cluster for measuring: nodes and pods by --set",
    "bench-etcd": "a store under a thousand writers, for measuring",
}

/// Files of shipped traces, by the name that scenarios call them (Apache-2.0, see scenarios/openb/README.md).
const DATA: [(&str, &[u8]); 2] = [
    ("openb/openb_node_list_gpu_node.csv.gz", include_bytes!("../../scenarios/openb/openb_node_list_gpu_node.csv.gz")),
    ("openb/openb_pod_list_default.csv.gz", include_bytes!("../../scenarios/openb/openb_pod_list_default.csv.gz")),
];

pub fn data(name: &str) -> Option<&'static [u8]> {
    DATA.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// All of them, the main one first.
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
