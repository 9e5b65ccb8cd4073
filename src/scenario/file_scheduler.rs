//! `cluster.scheduler`: what upstream reads from a KubeSchedulerConfiguration (`kubescheduler.config.k8s.io/v1`), as far as it is modelled.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;

/// The schedulers' configuration, inline or in a file; upstream's defaults without it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SchedulerSettings {
    /// A KubeSchedulerConfiguration.
    pub config: Option<KubeSchedulerConfiguration>,
    /// The same in a file beside the scenario, YAML or JSON.
    pub config_file: Option<String>,
}

/// A KubeSchedulerConfiguration. What belongs to a process or a file of a real scheduler has no effect.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubeSchedulerConfiguration {
    /// The version of the format.
    pub api_version: Option<ApiVersion>,
    /// What it is.
    pub kind: Option<ConfigKind>,
    /// How many workers look at nodes. Has no effect on decisions.
    #[schemars(range(min = 1))]
    pub parallelism: Option<u64>,
    /// Share of nodes that are scored, in percent; 0 adapts to the cluster's size. Default 0.
    #[schemars(range(min = 0, max = 100))]
    pub percentage_of_nodes_to_score: Option<u32>,
    /// First wait of a pod that did not fit. Default 1.
    #[schemars(range(min = 1, max = 86_400))]
    pub pod_initial_backoff_seconds: Option<u64>,
    /// Longest such wait. Default 10.
    #[schemars(range(min = 1, max = 86_400))]
    pub pod_max_backoff_seconds: Option<u64>,
    /// How leaders are elected. That they are is not up to it.
    pub leader_election: Option<LeaderElection>,
    /// Limits of the client.
    pub client_connection: Option<ClientConnection>,
    /// Has no effect.
    pub enable_profiling: Option<bool>,
    /// Has no effect.
    pub enable_contention_profiling: Option<bool>,
    /// Profiles, each for the pods that name it. Default: one, default-scheduler.
    pub profiles: Vec<KubeSchedulerProfile>,
}

/// Leader election by a Lease.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// Has no effect: schedulers always elect.
    pub leader_elect: Option<bool>,
    /// How long a leader's claim holds. Default 15s.
    pub lease_duration: Option<Span>,
    /// A leader that cannot renew for so long exits. Default 10s.
    pub renew_deadline: Option<Span>,
    /// How often candidates try. Default 2s.
    pub retry_period: Option<Span>,
    /// Has no effect.
    pub resource_lock: Option<String>,
    /// Has no effect.
    pub resource_name: Option<String>,
    /// Has no effect.
    pub resource_namespace: Option<String>,
}

/// The scheduler's connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientConnection {
    /// Has no effect.
    pub kubeconfig: Option<String>,
    /// Has no effect.
    pub content_type: Option<String>,
    /// Has no effect.
    pub accept_content_types: Option<String>,
    /// Requests a second. Default 50.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub qps: Option<f64>,
    /// Burst. Default 100.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub burst: Option<u64>,
}

/// The version.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[serde(rename = "kubescheduler.config.k8s.io/v1")]
    V1,
}

/// The kind.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum ConfigKind {
    KubeSchedulerConfiguration,
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubeSchedulerProfile {
    /// What pods call it in `spec.schedulerName`. Default default-scheduler.
    pub scheduler_name: Option<String>,
    /// Overrides the scheduler's.
    #[schemars(range(min = 0, max = 100))]
    pub percentage_of_nodes_to_score: Option<u32>,
    /// Plugins beside or instead of the defaults.
    pub plugins: Plugins,
    /// Arguments of plugins.
    pub plugin_config: Vec<PluginConfig>,
}

/// Plugins by extension point.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Plugins {
    /// At all points where the plugin has something to do.
    pub multi_point: PluginSet,
    /// What may run where, and what that needs to know.
    pub filter: PluginSet,
    /// What is done when no node will do: DefaultPreemption.
    pub post_filter: PluginSet,
    /// What runs where best, with weights.
    pub score: PluginSet,
}

/// Changes to the plugins of a point.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PluginSet {
    /// Added, or given another weight.
    pub enabled: Vec<PluginReference>,
    /// Taken away; `*` is all defaults.
    pub disabled: Vec<PluginReference>,
}

impl PluginSet {
    pub fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|plugin| plugin.name == name || plugin.name == "*")
    }
    pub fn enables(&self, name: &str) -> bool {
        self.enabled.iter().any(|plugin| plugin.name == name)
    }
}

/// A plugin by its name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginReference {
    /// As upstream names it.
    pub name: String,
    /// What multiplies its score. Default 1.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<i64>,
}

impl PluginReference {
    /// 0 is upstream's "the default".
    pub fn weight(&self) -> i64 {
        self.weight.filter(|weight| *weight != 0).unwrap_or(1)
    }
}

/// Arguments of one plugin.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its arguments: upstream's NodeResourcesFitArgs, NodeResourcesBalancedAllocationArgs, NodeAffinityArgs, VolumeBindingArgs,
    /// PodTopologySpreadArgs, InterPodAffinityArgs or DefaultPreemptionArgs.
    pub args: serde_json::Map<String, serde_json::Value>,
}

/// The arguments of NodeResourcesFit. As with the other arguments, version and kind are taken off and checked before they are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeResourcesFitArgs {
    pub scoring_strategy: Option<ScoringStrategy>,
    /// Extended resources that no node needs to have.
    pub ignored_resources: Vec<String>,
    /// The same for all whose name begins so, before the slash.
    pub ignored_resource_groups: Vec<String>,
}

/// How nodes are scored by their resources.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoringStrategy {
    #[serde(rename = "type")]
    pub kind: ScoringStrategyType,
    #[serde(default)]
    pub resources: Vec<ResourceSpec>,
    #[serde(default)]
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatio>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum ScoringStrategyType {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceSpec {
    pub name: String,
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestedToCapacityRatio {
    pub shape: Vec<UtilizationShapePoint>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UtilizationShapePoint {
    #[schemars(range(min = 0, max = 100))]
    pub utilization: i64,
    #[schemars(range(min = 0, max = 10))]
    pub score: i64,
}

/// The arguments of NodeResourcesBalancedAllocation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeResourcesBalancedAllocationArgs {
    pub resources: Vec<ResourceSpec>,
}

/// The arguments of NodeAffinity.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeAffinityArgs {
    /// Read as a part of a pod is.
    pub added_affinity: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The arguments of VolumeBinding. Upstream refuses `shape` too, as long as the feature StorageCapacityScoring is off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VolumeBindingArgs {
    /// How long a pod's volumes may take to be bound. Default 600.
    #[schemars(range(min = 0, max = 86_400))]
    pub bind_timeout_seconds: Option<u64>,
}

/// The arguments of PodTopologySpread.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodTopologySpreadArgs {
    pub default_constraints: Vec<DefaultConstraint>,
    pub defaulting_type: Option<DefaultingType>,
}

/// A constraint for pods that have none; its selector is that of what owns the pod.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefaultConstraint {
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_skew: i64,
    pub topology_key: String,
    pub when_unsatisfiable: WhenUnsatisfiable,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    DoNotSchedule,
    ScheduleAnyway,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
pub enum DefaultingType {
    System,
    List,
}

/// The arguments of InterPodAffinity.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InterPodAffinityArgs {
    #[schemars(range(min = 0, max = 100))]
    pub hard_pod_affinity_weight: Option<i64>,
    pub ignore_preferred_terms_of_existing_pods: Option<bool>,
}

/// The arguments of DefaultPreemption.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefaultPreemptionArgs {
    #[schemars(range(min = 0, max = 100))]
    pub min_candidate_nodes_percentage: Option<u32>,
    #[schemars(range(min = 0))]
    pub min_candidate_nodes_absolute: Option<u32>,
}
