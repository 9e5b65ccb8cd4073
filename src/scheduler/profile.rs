//! Which plugins a scheduler runs, and with what weights (upstream `pkg/scheduler/apis/config`, KubeSchedulerProfile).

use std::sync::Arc;

use super::placement::PlacementPolicy;
use super::plugins::{self, Plugin};
use super::preemption::CandidateLimits;
use crate::base::Name;
use crate::objects::PodSpec;

/// The name of the profile that takes pods which name no scheduler (`v1.DefaultSchedulerName`).
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The profiles of one scheduler, each for the pods that name it in `spec.schedulerName`.
pub struct Profiles(Vec<(Name, Profile)>);

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles(vec![(Name::new(DEFAULT_SCHEDULER), Profile::default())])
    }
}

impl Profiles {
    /// The same profiles, each with the scenario's policy in place of its scores, if there is one.
    pub fn with_policy(self, policy: Option<&PlacementPolicy>) -> Profiles {
        match policy {
            None => self,
            Some(policy) => Profiles(self.0.into_iter().map(|(name, profile)| (name, profile.with_policy(policy))).collect()),
        }
    }
    /// The profile for a pod; `None`: it is another scheduler's.
    pub fn of(&self, spec: &PodSpec) -> Option<&Profile> {
        let wanted = if spec.scheduler_name.is_empty() { DEFAULT_SCHEDULER } else { &spec.scheduler_name };
        self.0.iter().find(|(name, _)| *name == *wanted).map(|(_, profile)| profile)
    }
}

/// A profile as it runs. The default is that of v1.34 (upstream `apis/config/v1/default_plugins.go`).
pub struct Profile {
    /// Tells the profiles of one scheduler apart.
    number: u32,
    filters: Vec<Arc<dyn Plugin>>,
    scores: Vec<(Arc<dyn Plugin>, i64)>,
    /// `None`: DefaultPreemption is disabled.
    preemption: Option<CandidateLimits>,
}

impl Default for Profile {
    fn default() -> Profile {
        let scores = plugins::default_scores().into_iter().map(|plugin| {
            let weight = plugin.weight();
            (plugin, weight)
        });
        Profile { number: 0, filters: plugins::default_filters(), scores: scores.collect(), preemption: Some(CandidateLimits::default()) }
    }
}

impl Profile {
    pub fn number(&self) -> u32 {
        self.number
    }
    /// In the order of Filter.
    pub fn filters(&self) -> &[Arc<dyn Plugin>] {
        &self.filters
    }
    /// In the order of Score, with weights.
    pub fn scores(&self) -> &[(Arc<dyn Plugin>, i64)] {
        &self.scores
    }
    pub fn preemption(&self) -> Option<CandidateLimits> {
        self.preemption
    }
    /// The same profile with the policy's scores instead of its own, and its filter after the others.
    pub fn with_policy(self, policy: &PlacementPolicy) -> Profile {
        let known = |id| self.scores.iter().map(|(plugin, _)| plugin).find(|plugin| plugin.id() == id).cloned();
        let scores = policy.scores(known);
        let filters = self.filters.into_iter().chain([policy.filter()]).collect();
        Profile { filters, scores, ..self }
    }
    /// The same profile with other limits for preemption.
    pub fn with_preemption(self, preemption: Option<CandidateLimits>) -> Profile {
        Profile { preemption, ..self }
    }
}
