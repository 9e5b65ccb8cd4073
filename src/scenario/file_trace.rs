//! The part of the file that is about traces, and about the policy that places pods.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::{Percent, Rate, Span};

/// A trace: lists of nodes and of pods, as CSV, plain or compressed with gzip. In a scenario with a cluster it is workload, played in time;
/// without one its pods are placed one after the other by the scheduler alone. A file is looked for beside the scenario; one that is named
/// by `--set`, in the working directory; `openb/openb_pod_list_default.csv.gz` and `openb/openb_node_list_gpu_node.csv.gz` are shipped.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trace {
    /// What the files look like. Default openb.
    #[serde(default)]
    pub format: TraceFormat,
    /// The file with the pods.
    pub pods: String,
    /// The file with the nodes. In a cluster they stand beside those of its groups.
    #[serde(default)]
    pub nodes: Option<String>,
    /// Without a cluster: a file with the order of pods and nodes by seed, in columns seed, kind (pod or node), name. Default: drawn from
    /// the seed as the study of the openb trace draws it.
    #[serde(default)]
    pub order: Option<String>,
    /// Of an order that is drawn: pods are left out or come twice until they ask for this share of all GPUs. Default 130%.
    #[serde(default)]
    pub load: Option<Percent>,
    /// With a cluster: the part of the trace that is played begins here, in the trace's own time. Default 0s.
    #[serde(default)]
    pub from: Option<Span>,
    /// With a cluster: the trace's time goes so many times as fast: times and durations are divided by it. Default 1.
    #[serde(default)]
    pub speed: Option<u64>,
    /// With a cluster: only this share of the nodes, chosen by the seed, one at least. Default 100%.
    #[serde(default)]
    pub node_share: Option<Percent>,
    /// With a cluster: instead of at the trace's times pods arrive at this rate, as a Poisson stream, in the order that is drawn from the
    /// seed, left out or coming twice until they ask for `load`.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// With a cluster: the image of the pods' container. Default trace:1.
    #[serde(default)]
    pub image: Option<String>,
    /// In which columns a csv file has what is to be known of a pod. Default: the names that are given here.
    #[serde(default)]
    pub pod_columns: Option<PodColumns>,
    /// In which columns a csv file has what is to be known of a node. Default: the names that are given here.
    #[serde(default)]
    pub node_columns: Option<NodeColumns>,
    /// Files by name, with what is in them: they are taken instead of files of that name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// What the files of a trace look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TraceFormat {
    /// Alibaba's trace of GPU clusters (openb), in its own columns and units.
    #[default]
    Openb,
    /// Any other: CPU and memory as quantities ("500m", "8Gi"), times as spans ("5m30s") or seconds.
    Csv,
}

/// Columns of the pods.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodColumns {
    /// The pod's name. Default name.
    pub name: String,
    /// CPU that it asks for. Default cpu.
    pub cpu: String,
    /// Memory that it asks for. Default memory.
    pub memory: String,
    /// How many GPUs it asks for; none if there is no such column. Default gpus.
    pub gpus: String,
    /// Thousandths of the GPU, for a pod that asks for one; 1000 if there is no such column. Default gpu_milli.
    pub gpu_milli: String,
    /// GPU models that it accepts, with "|" between them; all if empty. Default gpu_models.
    pub gpu_models: String,
    /// When it is created. Default arrival.
    pub arrival: String,
    /// How long it runs; to the end if empty. Default duration.
    pub duration: String,
}

impl Default for PodColumns {
    fn default() -> PodColumns {
        let [name, cpu, memory, gpus, gpu_milli, gpu_models, arrival, duration] =
            ["name", "cpu", "memory", "gpus", "gpu_milli", "gpu_models", "arrival", "duration"].map(str::to_owned);
        PodColumns { name, cpu, memory, gpus, gpu_milli, gpu_models, arrival, duration }
    }
}

/// Columns of the nodes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeColumns {
    /// The node's name. Default name.
    pub name: String,
    /// Its CPUs. Default cpu.
    pub cpu: String,
    /// Its memory. Default memory.
    pub memory: String,
    /// How many GPUs it has; none if there is no such column. Default gpus.
    pub gpus: String,
    /// Their model. Default gpu_model.
    pub gpu_model: String,
}

impl Default for NodeColumns {
    fn default() -> NodeColumns {
        let [name, cpu, memory, gpus, gpu_model] = ["name", "cpu", "memory", "gpus", "gpu_model"].map(str::to_owned);
        NodeColumns { name, cpu, memory, gpus, gpu_model }
    }
}

/// How the best node for a pod is found.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Policy {
    /// Any node that the pod fits, any GPU.
    Random,
    /// The node whose free CPU and GPUs are least like what the pod asks for.
    DotProduct,
    /// Pods that ask for GPUs in the same way go together.
    GpuClustering,
    /// GPUs in use first, then nodes in use, then others.
    GpuPacking,
    /// The node that has the least CPU and GPU left afterwards.
    BestFit,
    /// Fragmentation gradient descent: where the free GPUs stay most useful for the pods to be expected.
    Fgd,
    /// The node with the largest share of its resources in use.
    BinPacking,
    /// The node that has the most CPU and GPU left afterwards.
    WorstFit,
    /// Several together, each with its weight from 1 to 100: policies, and in a cluster the default scheduler's score plugins too, by their
    /// names ("fgd": 2, "NodeResourcesBalancedAllocation": 1).
    Weights(BTreeMap<String, u64>),
}

/// Allocation of GPUs that a study must reach.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuAllocation {
    /// When so much was asked for, as a share of all GPUs: a whole per cent. Default: at the end.
    #[serde(default)]
    pub arrived: Option<Percent>,
    /// The least share of all GPUs that is in use.
    #[serde(default)]
    pub at_least: Option<Percent>,
    /// The most.
    #[serde(default)]
    pub at_most: Option<Percent>,
}
