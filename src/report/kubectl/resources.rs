//! The kinds that kubectl knows, in the order of the API's discovery documents, which is that of `get all`.

use serde_json::Value;

use super::World;
use super::columns::{batch, cluster, event, network, node, pod, policy, storage, workload};
use super::describe::{self, Page};

/// A kind, its names and its printers.
pub struct Resource {
    pub kind: &'static str,
    /// Empty for the core group.
    pub group: &'static str,
    /// As in a REST path.
    pub plural: &'static str,
    pub short: &'static [&'static str],
    pub namespaced: bool,
    /// Whether `get all` shows it.
    pub in_all: bool,
    /// A leading `+` marks a column that only `-o wide` shows.
    pub columns: &'static [&'static str],
    /// All cells, those of wide columns too.
    pub cells: fn(&Value, &World) -> Vec<String>,
    pub describe: fn(&Value, &World, &mut Page),
}

impl Resource {
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }
    /// What stands before the slash where objects of several kinds are named: `deployment.apps`.
    pub fn prefix(&self) -> String {
        if self.group.is_empty() { self.singular() } else { format!("{}.{}", self.singular(), self.group) }
    }
    /// As errors of the server name it: `deployments.apps`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
    pub fn is_of(&self, object: &Value) -> bool {
        let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        object.get("kind").and_then(Value::as_str) == Some(self.kind) && group == self.group
    }
    fn answers_to(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').map_or((word, None), |(name, group)| (name, Some(group)));
        let named = name == self.plural || name == self.singular() || self.short.contains(&name);
        // `deployments.apps` and `deployments.v1.apps` are the same.
        let of_group = |group: &str| group == self.group || group.split_once('.').is_some_and(|(_, group)| group == self.group);
        named && group.is_none_or(of_group)
    }
}

/// The resource that a word on the command line names: plural, singular or short name, in any case, with or without its group.
pub fn find(word: &str) -> Option<&'static Resource> {
    let word = word.to_lowercase();
    RESOURCES.iter().find(|resource| resource.answers_to(&word))
}

/// The resource of an object.
pub fn of(object: &Value) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.is_of(object))
}

const CORE: &str = "";
const APPS: &str = "apps";
const BATCH: &str = "batch";
const NETWORKING: &str = "networking.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Declares the table: kind, group, plural, short names, scope, in `get all`, columns, cells, description.
macro_rules! resources {
    ($($kind:literal $group:ident $plural:literal $short:tt $scope:ident $all:literal $columns:expr, $cells:expr, $describe:expr;)*) => {
        pub static RESOURCES: &[Resource] = &[$(Resource {
            kind: $kind,
            group: $group,
            plural: $plural,
            short: &$short,
            namespaced: resources!(@$scope),
            in_all: $all,
            columns: $columns,
            cells: $cells,
            describe: $describe,
        }),*];
    };
    (@namespaced) => { true };
    (@cluster) => { false };
}

const DISCOVERY: &str = "discovery.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const AUTOSCALING: &str = "autoscaling";
const POLICY: &str = "policy";
const EXTENSIONS: &str = "apiextensions.k8s.io";

resources! {
    "ConfigMap" CORE "configmaps" ["cm"] namespaced false cluster::CONFIG_MAP, cluster::config_map, describe::cluster::config_map;
    "Endpoints" CORE "endpoints" ["ep"] namespaced false network::ENDPOINTS, network::endpoints, describe::network::endpoints;
    "Event" CORE "events" ["ev"] namespaced false event::COLUMNS, event::cells, describe::generic::any;
    "LimitRange" CORE "limitranges" ["limits"] namespaced false cluster::CREATED, cluster::created, describe::policy::limit_range;
    "Namespace" CORE "namespaces" ["ns"] cluster false cluster::NAMESPACE, cluster::namespace, describe::cluster::namespace;
    "Node" CORE "nodes" ["no"] cluster false node::COLUMNS, node::cells, describe::node::node;
    "PersistentVolumeClaim" CORE "persistentvolumeclaims" ["pvc"] namespaced false
        storage::CLAIM, storage::claim, describe::storage::claim;
    "PersistentVolume" CORE "persistentvolumes" ["pv"] cluster false storage::VOLUME, storage::volume, describe::storage::volume;
    "Pod" CORE "pods" ["po"] namespaced true pod::COLUMNS, pod::cells, describe::pod::pod;
    "PodTemplate" CORE "podtemplates" [] namespaced false workload::POD_TEMPLATE, workload::pod_template, describe::generic::any;
    "ReplicationController" CORE "replicationcontrollers" ["rc"] namespaced true
        workload::REPLICAS, workload::replication_controller, describe::workload::replication_controller;
    "ResourceQuota" CORE "resourcequotas" ["quota"] namespaced false policy::QUOTA, policy::quota, describe::policy::quota;
    "Secret" CORE "secrets" [] namespaced false cluster::SECRET, cluster::secret, describe::cluster::secret;
    "ServiceAccount" CORE "serviceaccounts" ["sa"] namespaced false cluster::PLAIN, cluster::plain, describe::cluster::service_account;
    "Service" CORE "services" ["svc"] namespaced true network::SERVICE, network::service, describe::network::service;
    "ControllerRevision" APPS "controllerrevisions" [] namespaced false
        workload::REVISION, workload::controller_revision, describe::generic::any;
    "DaemonSet" APPS "daemonsets" ["ds"] namespaced true workload::DAEMON_SET, workload::daemon_set, describe::workload::daemon_set;
    "Deployment" APPS "deployments" ["deploy"] namespaced true workload::DEPLOYMENT, workload::deployment, describe::deployment::deployment;
    "ReplicaSet" APPS "replicasets" ["rs"] namespaced true workload::REPLICAS, workload::replica_set, describe::workload::replica_set;
    "StatefulSet" APPS "statefulsets" ["sts"] namespaced true
        workload::STATEFUL_SET, workload::stateful_set, describe::workload::stateful_set;
    "HorizontalPodAutoscaler" AUTOSCALING "horizontalpodautoscalers" ["hpa"] namespaced true
        policy::AUTOSCALER, policy::autoscaler, describe::autoscaler::autoscaler;
    "CronJob" BATCH "cronjobs" ["cj"] namespaced true batch::CRON_JOB, batch::cron_job, describe::batch::cron_job;
    "Job" BATCH "jobs" [] namespaced true batch::JOB, batch::job, describe::batch::job;
    "IngressClass" NETWORKING "ingressclasses" [] cluster false network::INGRESS_CLASS, network::ingress_class, describe::generic::any;
    "Ingress" NETWORKING "ingresses" ["ing"] namespaced false network::INGRESS, network::ingress, describe::network::ingress;
    "NetworkPolicy" NETWORKING "networkpolicies" ["netpol"] namespaced false
        network::NETWORK_POLICY, network::network_policy, describe::network_policy::network_policy;
    "PodDisruptionBudget" POLICY "poddisruptionbudgets" ["pdb"] namespaced false policy::BUDGET, policy::budget, describe::policy::budget;
    "ClusterRoleBinding" RBAC "clusterrolebindings" [] cluster false cluster::BINDING, cluster::binding, describe::cluster::binding;
    "ClusterRole" RBAC "clusterroles" [] cluster false cluster::CREATED, cluster::created, describe::cluster::role;
    "RoleBinding" RBAC "rolebindings" [] namespaced false cluster::BINDING, cluster::binding, describe::cluster::binding;
    "Role" RBAC "roles" [] namespaced false cluster::CREATED, cluster::created, describe::cluster::role;
    "StorageClass" STORAGE "storageclasses" ["sc"] cluster false storage::STORAGE_CLASS, storage::storage_class, describe::storage::class;
    "CSINode" STORAGE "csinodes" [] cluster false storage::CSI_NODE, storage::csi_node, describe::generic::any;
    "CSIDriver" STORAGE "csidrivers" [] cluster false storage::CSI_DRIVER, storage::csi_driver, describe::generic::any;
    "VolumeAttachment" STORAGE "volumeattachments" [] cluster false storage::ATTACHMENT, storage::attachment, describe::generic::any;
    "CustomResourceDefinition" EXTENSIONS "customresourcedefinitions" ["crd", "crds"] cluster false
        cluster::CREATED, cluster::created, describe::generic::any;
    "PriorityClass" SCHEDULING "priorityclasses" ["pc"] cluster false
        policy::PRIORITY_CLASS, policy::priority_class, describe::policy::priority_class;
    "Lease" COORDINATION "leases" [] namespaced false cluster::LEASE, cluster::lease, describe::generic::any;
    "EndpointSlice" DISCOVERY "endpointslices" [] namespaced false
        network::ENDPOINT_SLICE, network::endpoint_slice, describe::endpoint_slice::endpoint_slice;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_answer_to_plural_singular_and_short_names_with_and_without_their_group() {
        for (word, kind) in [
            ("po", "Pod"),
            ("pods", "Pod"),
            ("Pod", "Pod"),
            ("deploy", "Deployment"),
            ("deployments.apps", "Deployment"),
            ("deployment.v1.apps", "Deployment"),
            ("pdb", "PodDisruptionBudget"),
            ("no", "Node"),
            ("ep", "Endpoints"),
        ] {
            assert_eq!(find(word).map(|resource| resource.kind), Some(kind), "{word}");
        }
        assert!(find("nosuchkind").is_none());
        assert!(find("pods.apps").is_none());
    }

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let world = World::new(Vec::new(), super::super::Instant::parse("2026-11-23T18:14:54Z").unwrap());
        for resource in RESOURCES {
            assert_eq!((resource.cells)(&Value::Null, &world).len(), resource.columns.len(), "{}", resource.kind);
        }
    }
}
