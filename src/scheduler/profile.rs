//! Which plugins a scheduler runs, with what weights and arguments (upstream `pkg/scheduler/apis/config`, KubeSchedulerProfile): as data
//! ([`ProfileConfig`]), and as it runs ([`Profile`]).

use std::sync::Arc;

use super::placement::PlacementPolicy;
use super::plugins::{self, Ignored, Plugin, PluginId, Strategy, WeightedResource};
use super::preemption::CandidateLimits;
use crate::base::{Duration, Name};
use crate::objects::PodSpec;
use crate::objects::scheduling::{NodeAffinity, TopologySpreadConstraint};

/// The name of the profile that takes pods which name no scheduler (`v1.DefaultSchedulerName`).
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// A profile as data. The default is that of v1.34 (upstream `apis/config/v1/default_plugins.go`, `defaults.go`).
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileConfig {
    pub scheduler_name: Name,
    /// `None`: the scheduler's.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// In the order of Filter.
    pub filters: Vec<PluginId>,
    /// In the order of Score, with weights.
    pub scores: Vec<(PluginId, i64)>,
    /// `None`: DefaultPreemption is disabled.
    pub preemption: Option<CandidateLimits>,
    pub arguments: Arguments,
}

/// What plugins are told by `pluginConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    pub scoring: Strategy,
    pub scored_resources: Vec<WeightedResource>,
    pub balanced_resources: Vec<Name>,
    pub ignored_resources: Ignored,
    /// What every node must match beside what the pod asks.
    pub added_affinity: Option<NodeAffinity>,
    /// For pods without constraints of their own; `None`: the system's.
    pub default_constraints: Option<Vec<TopologySpreadConstraint>>,
    pub hard_pod_affinity_weight: i64,
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// How long a pod's volumes may take to be bound once that is written.
    pub volume_bind_timeout: Duration,
}

impl Default for Arguments {
    fn default() -> Arguments {
        let names = ["cpu", "memory"].map(Name::new);
        Arguments {
            scoring: Strategy::LeastAllocated,
            scored_resources: names.iter().map(|name| WeightedResource { name: name.clone(), weight: 1 }).collect(),
            balanced_resources: names.to_vec(),
            ignored_resources: Ignored::default(),
            added_affinity: None,
            default_constraints: None,
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
            // `defaultBindTimeoutSeconds` (v1.34, `apis/config/v1/defaults.go`)
            volume_bind_timeout: Duration::from_secs(600),
        }
    }
}

/// The default filters, in order. Every plugin that a configuration can name is one of these or of [`SCORES`].
pub const FILTERS: [PluginId; 12] = [
    PluginId::NodeUnschedulable,
    PluginId::NodeName,
    PluginId::TaintToleration,
    PluginId::NodeAffinity,
    PluginId::NodePorts,
    PluginId::NodeResourcesFit,
    PluginId::VolumeRestrictions,
    PluginId::NodeVolumeLimits,
    PluginId::VolumeBinding,
    PluginId::VolumeZone,
    PluginId::PodTopologySpread,
    PluginId::InterPodAffinity,
];

/// The default scores, in order, with weights.
pub const SCORES: [(PluginId, i64); 7] = [
    (PluginId::TaintToleration, 3),
    (PluginId::NodeAffinity, 2),
    (PluginId::NodeResourcesFit, 1),
    (PluginId::PodTopologySpread, 2),
    (PluginId::InterPodAffinity, 2),
    (PluginId::NodeResourcesBalancedAllocation, 1),
    (PluginId::ImageLocality, 1),
];

impl Default for ProfileConfig {
    fn default() -> ProfileConfig {
        ProfileConfig {
            scheduler_name: Name::new(DEFAULT_SCHEDULER),
            percentage_of_nodes_to_score: None,
            filters: FILTERS.to_vec(),
            scores: SCORES.to_vec(),
            preemption: Some(CandidateLimits::default()),
            arguments: Arguments::default(),
        }
    }
}

impl ProfileConfig {
    /// Whether it chooses the same nodes as the default profile, unless it looks at another share of them.
    pub fn chooses_as_default(&self) -> bool {
        let default = ProfileConfig::default();
        // It comes after the choice.
        let volume_bind_timeout = default.arguments.volume_bind_timeout;
        let arguments = Arguments { volume_bind_timeout, ..self.arguments.clone() };
        (&self.filters, &self.scores, &arguments) == (&default.filters, &default.scores, &default.arguments)
    }
}

/// The profiles of one scheduler, each for the pods that name it in `spec.schedulerName`.
pub struct Profiles(Vec<Profile>);

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles::new(&[ProfileConfig::default()])
    }
}

impl Profiles {
    pub fn new(configs: &[ProfileConfig]) -> Profiles {
        Profiles(configs.iter().zip(0..).map(|(config, number)| Profile::new(config, number)).collect())
    }
    /// The same profiles, each with the scenario's policy in place of its scores, if there is one.
    pub fn with_policy(self, policy: Option<&PlacementPolicy>) -> Profiles {
        match policy {
            None => self,
            Some(policy) => Profiles(self.0.into_iter().map(|profile| profile.with_policy(policy)).collect()),
        }
    }
    /// The profile for a pod; `None`: it is another scheduler's.
    pub fn of(&self, spec: &PodSpec) -> Option<&Profile> {
        let wanted = if spec.scheduler_name.is_empty() { DEFAULT_SCHEDULER } else { &spec.scheduler_name };
        self.0.iter().find(|profile| profile.name == *wanted)
    }
}

/// A profile as it runs.
pub struct Profile {
    /// Tells the profiles of one scheduler apart.
    number: u32,
    name: Name,
    percentage_of_nodes_to_score: Option<u32>,
    filters: Vec<Arc<dyn Plugin>>,
    scores: Vec<(Arc<dyn Plugin>, i64)>,
    preemption: Option<CandidateLimits>,
    arguments: Arguments,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::new(&ProfileConfig::default(), 0)
    }
}

impl Profile {
    pub fn new(config: &ProfileConfig, number: u32) -> Profile {
        let plugin = |id: PluginId| plugins::plugin(id, &config.arguments);
        Profile {
            number,
            name: config.scheduler_name.clone(),
            percentage_of_nodes_to_score: config.percentage_of_nodes_to_score,
            filters: config.filters.iter().map(|id| plugin(*id)).collect(),
            scores: config.scores.iter().map(|(id, weight)| (plugin(*id), *weight)).collect(),
            preemption: config.preemption,
            arguments: config.arguments.clone(),
        }
    }
    pub fn number(&self) -> u32 {
        self.number
    }
    pub fn name(&self) -> &Name {
        &self.name
    }
    pub fn percentage_of_nodes_to_score(&self) -> Option<u32> {
        self.percentage_of_nodes_to_score
    }
    /// In the order of Filter.
    pub fn filters(&self) -> &[Arc<dyn Plugin>] {
        &self.filters
    }
    /// Whether the profile binds volumes.
    pub fn binds_volumes(&self) -> bool {
        self.filters.iter().any(|plugin| plugin.id() == PluginId::VolumeBinding)
    }
    pub fn volume_bind_timeout(&self) -> Duration {
        self.arguments.volume_bind_timeout
    }
    /// In the order of Score, with weights.
    pub fn scores(&self) -> &[(Arc<dyn Plugin>, i64)] {
        &self.scores
    }
    /// `None`: DefaultPreemption is disabled.
    pub fn preemption(&self) -> Option<CandidateLimits> {
        self.preemption
    }
    /// The same profile with the policy's scores instead of its own, and its filter after the others.
    pub fn with_policy(self, policy: &PlacementPolicy) -> Profile {
        let scores = policy.scores(|id| plugins::plugin(id, &self.arguments));
        let filters = self.filters.into_iter().chain([policy.filter()]).collect();
        Profile { filters, scores, ..self }
    }
    /// The same profile with other limits for preemption.
    pub fn with_preemption(self, preemption: Option<CandidateLimits>) -> Profile {
        Profile { preemption, ..self }
    }
}
