//! `cluster.timings`: every setting of every component, all optional, grouped as their processes are. Names are those of the component's
//! own configuration.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::{Percent, Rate, Span};
use crate::base::Duration;
use crate::engine::plan;
use crate::{apiserver, controllers, etcd, kubelet, proxy, scheduler};

/// What a written value means inside.
trait Lower<T> {
    fn lower(&self) -> T;
}
impl Lower<Duration> for Span {
    fn lower(&self) -> Duration {
        self.0
    }
}
impl Lower<u64> for Rate {
    fn lower(&self) -> u64 {
        self.0
    }
}
impl Lower<u64> for Percent {
    fn lower(&self) -> u64 {
        self.0
    }
}
macro_rules! lower_to_itself {
    ($($type:ty)*) => { $(impl Lower<$type> for $type { fn lower(&self) -> $type { *self } })* };
}
lower_to_itself!(u64 i64 bool);
impl Lower<usize> for u64 {
    fn lower(&self) -> usize {
        usize::try_from(*self).unwrap_or(usize::MAX)
    }
}
impl Lower<u32> for u64 {
    fn lower(&self) -> u32 {
        u32::try_from(*self).unwrap_or(u32::MAX)
    }
}

/// Declares the optional overrides of one component's configuration.
macro_rules! overrides {
    ($(#[$doc:meta])* $name:ident for $config:ty { $($(#[$field_doc:meta])* $field:ident: $type:ty => $($target:ident).+,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: Option<$type>,)* }
        impl $name {
            pub fn apply(&self, config: &mut $config) {
                $(if let Some(value) = &self.$field { config.$($target).+ = value.lower(); })*
            }
        }
    };
}

/// Overrides of components' settings; what is not given has the component's own default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timings {
    /// etcd members.
    pub etcd: EtcdTimings,
    /// API servers.
    pub api_server: ApiServerTimings,
    /// The controller managers.
    pub controller_manager: ControllerManagerTimings,
    /// The schedulers.
    pub scheduler: SchedulerTimings,
    /// The kubelets.
    pub kubelet: KubeletTimings,
    /// kube-proxy.
    pub kube_proxy: KubeProxyTimings,
    /// A mistake that is planted in etcd, its Raft or its client, to see that a check finds it.
    #[cfg(feature = "planted-bugs")]
    pub planted_bug: Option<crate::base::planted::Bug>,
}

impl Timings {
    pub fn lower(&self) -> plan::Timings {
        let mut timings = plan::Timings::default();
        self.etcd.apply(&mut timings.etcd);
        self.api_server.apply(&mut timings.apiserver);
        self.controller_manager.apply(&mut timings.controllers);
        self.scheduler.apply(&mut timings.scheduler);
        self.kubelet.apply(&mut timings.kubelet);
        self.kube_proxy.apply(&mut timings.proxy);
        #[cfg(feature = "planted-bugs")]
        {
            timings.etcd.planted.bug = self.planted_bug;
        }
        timings
    }
}

overrides! {
    /// etcd members.
    EtcdTimings for etcd::Config {
        /// How often a leader sends heartbeats. Default 100ms.
        heartbeat_interval: Span => heartbeat_interval,
        /// How long a follower waits for a leader before it stands for election; drawn from 1 to 2 times of it. Default 1s.
        election_timeout: Span => election_timeout,
        /// Messages in flight to one follower. Default 512.
        max_inflight: u64 => max_inflight,
        /// Bytes of one append message. Default 1 MiB.
        max_message_bytes: u64 => max_message_bytes,
        /// Bytes of one client request. Default 1.5 MiB.
        max_request_bytes: u64 => max_request_bytes,
        /// After so many applied entries the log is released up to the last of them. Default 10000.
        snapshot_count: u64 => snapshot_count,
        /// So many released entries stay in memory for slow followers. Default 5000.
        snapshot_catchup_entries: u64 => snapshot_catchup_entries,
        /// Linearizable reads trust a lease on the lead instead of asking a quorum: unsafe where clocks drift, and no option of etcd's.
        /// Default false.
        lease_reads: bool => lease_reads,
        /// Bytes of a member's database beyond which nothing is put any more (NOSPACE alarm). Default 2 GiB.
        quota_backend_bytes: u64 => quota_backend_bytes,
        /// Whether leaders note what is left of long leases, for the next leader. Default false.
        lease_checkpoint: bool => lease_checkpoint,
        /// How often they do. Default 5m.
        lease_checkpoint_interval: Span => lease_checkpoint_interval,
    }
}
overrides! {
    /// API servers.
    ApiServerTimings for apiserver::Config {
        /// After this a request is answered 504, outcome unknown. Default 60s.
        request_timeout: Span => request_timeout,
        /// How often older history is compacted away in etcd. Default 5m.
        compaction_interval: Span => compaction_interval,
        /// Seconds that pods without a toleration of their own stay on a node that is not ready. Default 300.
        default_not_ready_toleration_seconds: i64 => default_not_ready_toleration_seconds,
        /// Seconds that pods without a toleration of their own stay on a node that cannot be reached. Default 300.
        default_unreachable_toleration_seconds: i64 => default_unreachable_toleration_seconds,
        /// A watch is ended after 1 to 2 times of it. Default 30m.
        min_request_timeout: Span => min_request_timeout,
        /// How often idle watches get a bookmark. Default 1m.
        bookmark_period: Span => bookmark_period,
    }
}
overrides! {
    /// The controller manager.
    ControllerManagerTimings for controllers::Config {
        /// Requests a second of each controller's client. Default 20.
        client_qps: Rate => client_qps_milli,
        /// Burst of each controller's client. Default 30.
        client_burst: u64 => client_burst,
        /// How long a leader's claim holds. Default 15s.
        lease_duration: Span => leader.lease_duration,
        /// A leader that cannot renew for so long exits. Default 10s.
        renew_deadline: Span => leader.renew_deadline,
        /// How often candidates try. Default 2s.
        retry_period: Span => leader.retry_period,
        /// Pause between two passes of the node monitor. Default 5s.
        node_monitor_period: Span => node_monitor_period,
        /// Silence after which a node's conditions become Unknown. Default 50s (40s before Kubernetes 1.32).
        node_monitor_grace_period: Span => node_monitor_grace_period,
        /// The same for a node that never reported. Default 60s.
        node_startup_grace_period: Span => node_startup_grace_period,
        /// Nodes a second and zone that get the NoExecute taint. Default 0.1.
        node_eviction_rate: Rate => node_eviction_rate_milli,
        /// The same in a large zone in partial disruption. Default 0.01.
        secondary_node_eviction_rate: Rate => secondary_node_eviction_rate_milli,
        /// Nodes of a zone above which it is large. Default 50.
        large_cluster_size_threshold: u64 => large_cluster_size_threshold,
        /// Share of nodes not ready from which a zone is in partial disruption. Default 55%.
        unhealthy_zone_threshold: Percent => unhealthy_zone_threshold_per_mille,
        /// How often the pod garbage collector looks. Default 20s.
        pod_gc_period: Span => pod_gc_period,
        /// Terminated pods above which the oldest are deleted. Default 12500.
        terminated_pod_gc_threshold: u64 => terminated_pod_gc_threshold,
        /// Concurrent syncs of the deployment, replicaset and endpointslice controllers. Default 5.
        workers: u64 => workers,
        /// Concurrent syncs of the garbage collector. Default 20.
        gc_workers: u64 => gc_workers,
        /// How long a driver takes to make a volume. Default 3s.
        volume_provision_time: Span => volume_provision_time,
        /// How long a driver takes to delete a volume. Default 1s.
        volume_delete_time: Span => volume_delete_time,
        /// How long a driver takes to attach a volume to a node. Default 3s.
        volume_attach_time: Span => volume_attach_time,
        /// How long a driver takes to detach a volume. Default 3s.
        volume_detach_time: Span => volume_detach_time,
    }
}
overrides! {
    /// The scheduler.
    SchedulerTimings for scheduler::Config {
        /// Requests a second. Default 50.
        client_qps: Rate => client_qps_milli,
        /// Burst. Default 100.
        client_burst: u64 => client_burst,
        /// How long a leader's claim holds. Default 15s.
        lease_duration: Span => leader.lease_duration,
        /// A leader that cannot renew for so long exits. Default 10s.
        renew_deadline: Span => leader.renew_deadline,
        /// How often candidates try. Default 2s.
        retry_period: Span => leader.retry_period,
        /// Share of feasible nodes that are scored, in percent; 0 adapts to the cluster's size. Default 0.
        percentage_of_nodes_to_score: u64 => percentage_of_nodes_to_score,
        /// First wait of a pod that did not fit. Default 1s.
        pod_initial_backoff: Span => pod_initial_backoff,
        /// Longest such wait. Default 10s.
        pod_max_backoff: Span => pod_max_backoff,
    }
}
overrides! {
    /// Kubelets.
    KubeletTimings for kubelet::Config {
        /// Requests a second. Default 50.
        client_qps: Rate => client_qps_milli,
        /// Burst. Default 100.
        client_burst: u64 => client_burst,
        /// How long a node's Lease holds; it is renewed every quarter of it. Default 40s.
        node_lease_duration: Span => node_lease_duration,
        /// How often the node's status is computed. Default 10s.
        node_status_update_frequency: Span => node_status_update_frequency,
        /// How often it is sent when nothing changed. Default 5m.
        node_status_report_frequency: Span => node_status_report_frequency,
        /// How often each pod is synced without a reason. Default 1m.
        sync_frequency: Span => sync_frequency,
        /// How often the kubelet looks at its containers. Default 1s.
        pleg_relist_period: Span => pleg_relist_period,
        /// How long it waits for an answer of the container runtime, and so for what its node's status needs of it. Default 2m.
        runtime_request_timeout: Span => runtime_request_timeout,
        /// First wait before a crashed container is started again. Default 10s.
        crash_loop_initial_backoff: Span => crash_loop_initial_backoff,
        /// Longest such wait. Default 5m.
        crash_loop_max_backoff: Span => crash_loop_max_backoff,
        /// First wait before a failed image pull is tried again. Default 10s.
        image_pull_initial_backoff: Span => image_pull_initial_backoff,
        /// Longest such wait. Default 5m.
        image_pull_max_backoff: Span => image_pull_max_backoff,
        /// One image pull at a time on a node. Default true.
        serialize_image_pulls: bool => serialize_image_pulls,
        /// How long a kubelet's process takes until it is at work when its node or it comes back. Default 1s.
        start_up_time: Span => start_up_time,
        /// How often a kubelet that comes back looks whether it knows its node and may ask for its pods. Default 1s.
        node_sync_period: Span => node_sync_period,
    }
}
overrides! {
    /// kube-proxy.
    KubeProxyTimings for proxy::Config {
        /// Changes are programmed at most this often. Default 1s.
        min_sync_period: Span => min_sync_period,
    }
}
