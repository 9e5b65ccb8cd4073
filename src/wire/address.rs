//! Who is who: numbers given by the plan, equal in every process.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::objects::pod::PodIp;

/// Declares a small number that is printed with a prefix.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!($prefix, "-{}"), self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    };
}
number! {
    /// An etcd member, numbered from 1. Raft calls its peers members too.
    Member(u16), "etcd"
}
number! {
    /// An API server, numbered from 1.
    Server(u16), "apiserver"
}
number! {
    /// An instance of the controller manager or of the scheduler, numbered from 1.
    Replica(u16), "replica"
}
number! {
    /// A worker node of the plan. Its name is the plan's; the API object is found by that name.
    NodeId(u32), "node"
}
number! {
    /// A machine: what has power, cores, disks, a clock and a place in the network.
    MachineId(u32), "machine"
}

/// An actor, or a name that a dial resolves to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    Etcd(Member),
    Api(Server),
    Manager(Replica),
    Scheduler(Replica),
    Kubelet(NodeId),
    /// The watcher whose log of endpoint changes is every node's proxy.
    Proxy,
    /// Who applies the scenario's steps: what kubectl does.
    Operator,
    /// A load generator, numbered from 0 in the plan's order.
    Traffic(u32),
    /// The balancer before the API servers: resolved at `Dial` to a healthy one; existing connections stay.
    ApiBalancer,
    /// A cluster IP: resolved at `Dial` by the dialling machine's proxy to a pod, or refused.
    Service(PodIp),
    /// A pod's process, reached by its address.
    Pod(PodIp),
    /// A client of etcd that generates load, numbered from 0 in the plan's order.
    EtcdClient(u32),
    /// Who applies the scenario's steps on etcd: what etcdctl does.
    Etcdctl,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Etcd(member) => member.fmt(f),
            Address::Api(server) => server.fmt(f),
            Address::Manager(Replica(n)) => write!(f, "controller-manager-{n}"),
            Address::Scheduler(Replica(n)) => write!(f, "scheduler-{n}"),
            Address::Kubelet(NodeId(n)) => write!(f, "kubelet-{n}"),
            Address::Proxy => f.write_str("kube-proxy"),
            Address::Operator => f.write_str("operator"),
            Address::Traffic(n) => write!(f, "traffic-{n}"),
            Address::ApiBalancer => f.write_str("apiserver-balancer"),
            Address::Service(ip) => write!(f, "service {ip}"),
            Address::Pod(ip) => write!(f, "pod {ip}"),
            Address::EtcdClient(n) => write!(f, "etcd-client-{n}"),
            Address::Etcdctl => f.write_str("etcdctl"),
        }
    }
}
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
