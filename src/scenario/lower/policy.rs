//! How pods are placed: one policy, or several score functions with weights.

use std::sync::Arc;

use super::{Lowering, at};
use crate::base::Name;
use crate::objects::Quantity;
use crate::scenario::file;
use crate::scheduler::plugins::PluginId;
use crate::scheduler::policies::{
    self, Choice, Demand, GPU_MODEL_LABEL, GPU_RESOURCE, Largest, MOST_GPUS, MOST_MODELS, Prospect, WHOLE_GPU,
};
use crate::scheduler::{Part, PlacementPolicy, SCORES, demand_of_spec};

/// Pods of which a policy is told at most: beyond, their kinds have been seen.
const MOST_EXPECTED: usize = 100_000;

impl Lowering<'_> {
    /// For the scheduler alone.
    pub fn study_policy(&mut self, written: Option<&file::Policy>) -> Choice {
        let Some(written) = written else {
            self.error("policy", "a trace without a cluster is placed by a policy".to_owned(), |error| {
                error.expecting("\"policy\": \"fgd\", say, or a \"cluster\" in which the trace is played")
            });
            return Choice(vec![(&policies::POLICIES[0], 1)]);
        };
        let mut parts = Vec::new();
        for (part, weight) in self.parts(written, &[]) {
            if let Part::Policy(policy) = part {
                parts.push((policy, weight));
            }
        }
        if parts.is_empty() {
            parts.push((&policies::POLICIES[0], 1));
        }
        Choice(parts)
    }
    /// For the schedulers of a cluster, with what its policies may know before the first pod.
    pub fn placement_policy(&mut self, written: &file::Policy, cluster: &file::Cluster) -> Arc<PlacementPolicy> {
        let parts = self.parts(written, &SCORES.map(|(plugin, _)| plugin));
        self.not_too_many_gpus(cluster);
        let models = self.models();
        let nodes = self.topology.nodes.iter().map(|node| &node.shape);
        let most = |name: &str, milli: bool| {
            let amount = |quantity: &Quantity| if milli { quantity.milli_value() } else { quantity.value() };
            nodes.clone().filter_map(|node| node.allocatable.get(name).map(amount)).max().unwrap_or(0)
        };
        let largest = Largest { cpu: most("cpu", true), gpu: most(GPU_RESOURCE, false), memory: most("memory", false) };
        let mut pods: Vec<Demand> = Vec::new();
        for object in self.objects.values() {
            let Some(spec) = object.pod_spec() else { continue };
            let room = MOST_EXPECTED - pods.len();
            pods.extend(std::iter::repeat_n(demand_of_spec(spec, &models), usize::try_from(object.pods()).unwrap_or(room).min(room)));
        }
        Arc::new(PlacementPolicy { parts, prospect: Prospect { pods, largest }, models })
    }
    /// A policy looks at single GPUs, and knows so many of a node. Those of a trace have no more.
    fn not_too_many_gpus(&mut self, cluster: &file::Cluster) {
        let most = Quantity::from_units(MOST_GPUS as i64 * WHOLE_GPU);
        for (index, group) in cluster.nodes.iter().enumerate() {
            if let Some(amount) = group.capacity.extended.get(GPU_RESOURCE).filter(|amount| amount.0 > most) {
                let path = at(&format!("cluster.nodes[{index}].capacity.extended"), GPU_RESOURCE);
                let message = format!("{} are more GPUs than a policy knows of a node", amount.0);
                self.error(&path, message, |error| error.expecting(format!("{most} or less: {MOST_GPUS} GPUs")));
            }
        }
    }
    /// Of all nodes, sorted: the empty name, which is that of nodes without a model, and those that nodes are labelled with.
    fn models(&mut self) -> Vec<Name> {
        let labels = self.topology.nodes.iter().filter_map(|node| node.shape.labels.get(GPU_MODEL_LABEL).cloned());
        let mut models: Vec<Name> = labels.chain([Name::new("")]).collect();
        models.sort_unstable();
        models.dedup();
        if models.len() > MOST_MODELS {
            let message = format!("the nodes have {} models of GPUs ({GPU_MODEL_LABEL})", models.len() - 1);
            self.error("policy", message, |error| error.expecting(format!("{} or less for a policy", MOST_MODELS - 1)));
            models.truncate(MOST_MODELS);
        }
        models
    }
    /// The score functions that are named, policies and these plugins.
    fn parts(&mut self, written: &file::Policy, plugins: &[PluginId]) -> Vec<(Part, i64)> {
        let one = match written {
            file::Policy::Random => "random",
            file::Policy::DotProduct => "dot-product",
            file::Policy::GpuClustering => "gpu-clustering",
            file::Policy::GpuPacking => "gpu-packing",
            file::Policy::BestFit => "best-fit",
            file::Policy::Fgd => "fgd",
            file::Policy::BinPacking => "bin-packing",
            file::Policy::WorstFit => "worst-fit",
            file::Policy::Weights(weights) => return self.weighted(weights, plugins),
        };
        vec![(Part::Policy(policies::named(one).expect("a policy of the format has its code")), 1)]
    }
    fn weighted(&mut self, weights: &std::collections::BTreeMap<String, u64>, plugins: &[PluginId]) -> Vec<(Part, i64)> {
        if weights.is_empty() {
            self.error("policy.weights", "nothing would tell one node from another".to_owned(), |error| {
                error.expecting("a weight or more, { \"fgd\": 1 } say")
            });
        }
        let mut parts = Vec::new();
        for (name, weight) in weights {
            let path = at("policy.weights", name);
            if !(1..=100).contains(weight) {
                self.error(&path, format!("the weight {weight}"), |error| error.expecting("1 to 100"));
            }
            let plugin = plugins.iter().find(|plugin| plugin.to_string() == *name).map(|plugin| Part::Plugin(*plugin));
            match policies::named(name).map(Part::Policy).or(plugin) {
                Some(part) => parts.push((part, (*weight).clamp(1, 100) as i64)),
                None => {
                    let own = policies::POLICIES.iter().map(|policy| policy.name.to_owned());
                    let known: Vec<String> = own.chain(plugins.iter().map(ToString::to_string)).collect();
                    self.unknown("policy", name, &path, &known);
                }
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_can_be_written_and_every_written_one_has_its_code() {
        let schema = schemars::schema_for!(file::Policy).to_value();
        let written: Vec<&str> = schema["oneOf"].as_array().unwrap().iter().filter_map(|form| form["const"].as_str()).collect();
        let known: Vec<&str> = policies::POLICIES.iter().map(|policy| policy.name).collect();
        assert_eq!(written, known);
    }
}
