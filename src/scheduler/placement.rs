//! What a scenario says of placement in place of the default scores: one policy, or several score functions with weights.

use std::sync::Arc;

use super::gpus::demand_of;
use super::plugins::policy::{GpuDevices, PolicyScore};
use super::plugins::{Plugin, PluginId};
use super::pods::Amounts;
use super::policies::{Demand, GPU_MODEL_LABEL, Models, Prospect, Registered};
use crate::base::Name;
use crate::objects::PodSpec;
use crate::objects::selector::Operator;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct PlacementPolicy {
    pub parts: Vec<(Part, i64)>,
    /// What the policies may know before the first pod.
    pub prospect: Prospect,
    /// Models of GPUs, sorted: their places are their numbers. The first is that of nodes that name none.
    pub models: Vec<Name>,
}

/// A score function.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Part {
    Policy(&'static Registered),
    /// One of the default profile's.
    Plugin(PluginId),
}

impl PlacementPolicy {
    /// The filter that comes after those of the profile.
    pub fn filter(&self) -> Arc<dyn Plugin> {
        Arc::new(GpuDevices)
    }
    /// The scores that stand for those of the profile, with weights. `plugin` makes one as the profile has it, or would have it: what is
    /// weighted here counts, even if the profile has it switched off.
    pub fn scores(&self, plugin: impl Fn(PluginId) -> Arc<dyn Plugin>) -> Vec<(Arc<dyn Plugin>, i64)> {
        let models: Arc<[Name]> = self.models.clone().into();
        let score = |(part, weight): &(Part, i64)| {
            let score: Arc<dyn Plugin> = match part {
                Part::Policy(policy) => Arc::new(PolicyScore::new(policy.make(&self.prospect).into(), models.clone())),
                Part::Plugin(id) => plugin(*id),
            };
            (score, *weight)
        };
        self.parts.iter().map(score).collect()
    }
}

/// What a pod of this spec asks for; `models` are the known ones, sorted.
pub fn demand_of_spec(spec: &PodSpec, models: &[Name]) -> Demand {
    let terms = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()?.required.as_ref());
    let expressions = terms.into_iter().flat_map(|selector| &selector.node_selector_terms).flat_map(|term| &term.match_expressions);
    let wanted = expressions.filter(|expression| expression.key == *GPU_MODEL_LABEL && expression.operator == Operator::In);
    let accepted = wanted.flat_map(|expression| &expression.values).fold(None, |all: Option<u64>, name| {
        let bit = models.binary_search(name).map_or(0, |model| 1 << model.min(63));
        Some(all.unwrap_or(0) | bit)
    });
    let models = accepted.map_or(Models::ANY, |accepted| Models { rank: 1, accepted });
    Demand { models, ..demand_of(&Amounts::of(&spec.requests())) }
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, ProfileConfig};
    use super::*;
    use crate::scheduler::policies::Largest;

    #[test]
    fn a_weighted_plugin_counts_though_the_profile_has_it_switched_off() {
        let bare = Profile::new(&ProfileConfig { scores: Vec::new(), ..ProfileConfig::default() }, 0);
        let parts = vec![(Part::Plugin(PluginId::NodeResourcesFit), 2)];
        let policy = PlacementPolicy { parts, prospect: Prospect { pods: Vec::new(), largest: Largest::STUDY }, models: Vec::new() };
        let profile = bare.with_policy(&policy);
        let scores: Vec<(PluginId, i64)> = profile.scores().iter().map(|(plugin, weight)| (plugin.id(), *weight)).collect();
        assert_eq!(scores, [(PluginId::NodeResourcesFit, 2)]);
    }
}
