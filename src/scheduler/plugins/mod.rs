//! The scheduler's plugins: what may run where, and where best.
//!
//! Each plugin has a plain form, a node at a time ([`Filter::verdict`], [`Score::score`]): the reference, used where reasons are asked
//! for; hot ones add a form for the whole cluster over [`Columns`](super::columns::Columns) ([`Filter::filter_all`],
//! [`Score::score_all`]). A test holds both equal. `dyn` costs a call a pod, not a node.
//!
//! Status codes are those of v1.34 (upstream `pkg/scheduler/framework/plugins`); which plugins run, in what order and with what weights, a
//! profile says ([`ProfileConfig`](super::ProfileConfig)). DynamicResources skips itself for pods without resource claims, which are all that
//! is modelled; so does the score of VolumeBinding, whose gate (StorageCapacityScoring) is off by default.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
pub mod policy;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use std::fmt;
use std::sync::Arc;

use super::nodes::{NodeInfo, NodeTable, Slot};
use super::pods::PodInfo;
use super::profile::Arguments;
use super::queue::ClusterEvent;
use super::snapshot::Snapshot;
use crate::objects::Text;

pub use node_affinity::required_matches;
pub use node_resources::{Ignored, Strategy, WeightedResource};

/// The largest normalised score of a plugin, before its weight (`framework.MaxNodeScore`).
pub const MAX_SCORE: i64 = 100;

/// A plugin's name; the order is that of Filter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PluginId {
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    GpuDevices,
    Policy,
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of plugins: who rejected a pod.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PluginSet(u32);

impl PluginSet {
    pub fn insert(&mut self, plugin: PluginId) {
        self.0 |= 1 << plugin as u8;
    }
    pub fn contains(self, plugin: PluginId) -> bool {
        self.0 & (1 << plugin as u8) != 0
    }
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a plugin says of a pod on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Fits,
    Rejected { code: Code, reasons: Vec<Text> },
}

/// How a rejection is meant: whether evicting pods from the node might help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    Unschedulable,
    UnschedulableAndUnresolvable,
}

impl Verdict {
    pub fn fits(&self) -> bool {
        *self == Verdict::Fits
    }
    pub(super) fn unschedulable(reason: impl Into<Text>) -> Verdict {
        Verdict::Rejected { code: Code::Unschedulable, reasons: vec![reason.into()] }
    }
    pub(super) fn unresolvable(reason: impl Into<Text>) -> Verdict {
        Verdict::Rejected { code: Code::UnschedulableAndUnresolvable, reasons: vec![reason.into()] }
    }
}

/// The pod of a cycle and what it is placed into.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    pub pod: &'a PodInfo,
    pub snapshot: &'a Snapshot,
}

/// What PreFilter finds.
pub enum PreFilter<'a> {
    /// The plugin has nothing to say about this pod.
    Skip,
    Run(Box<dyn Filter + 'a>),
    /// The same, and only these nodes are candidates.
    Narrow(Vec<Slot>, Box<dyn Filter + 'a>),
    /// No node will do, for this reason.
    Reject(Text),
}

/// A plugin's filter for one pod.
pub trait Filter {
    fn verdict(&self, node: &NodeInfo) -> Verdict;
    /// The same without the reasons.
    fn fits(&self, node: &NodeInfo) -> bool {
        self.verdict(node).fits()
    }
    /// Within the cycle a pod comes to a node (`times` 1) or goes from it (-1): a nominated one, a victim of a dry run. What the filter reads
    /// of the [`NodeInfo`] itself the caller changes (upstream PreFilterExtensions, AddPod and RemovePod).
    fn change(&mut self, _pod: &PodInfo, _node: &NodeInfo, _times: i64) {}
    /// Clears `fit[i]` where `nodes[i]` is rejected.
    fn filter_all(&self, nodes: &[Slot], table: &NodeTable, fit: &mut [bool]) {
        for (slot, fit) in nodes.iter().zip(fit) {
            *fit = *fit && self.fits(table.info(*slot));
        }
    }
}

/// A plugin's score for one pod.
pub trait Score {
    /// The raw score.
    fn score(&self, node: &NodeInfo) -> i64;
    /// Sets `scores[i]` to the raw score of `nodes[i]`.
    fn score_all(&self, nodes: &[Slot], table: &NodeTable, scores: &mut [i64]) {
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.score(table.info(*slot));
        }
    }
    /// Whether [`Score::normalize`] does anything. Where all raw scores are 0 it must make all equal.
    fn is_normalized(&self) -> bool {
        false
    }
    /// Brings raw scores of the feasible nodes into `0..=MAX_SCORE`.
    fn normalize(&self, _nodes: &[Slot], _scores: &mut [i64]) {}
}

/// A plugin.
pub trait Plugin: Send + Sync {
    fn id(&self) -> PluginId;
    /// What it says of a node depends on nothing but that node, the images of the cluster, and the pod's [`Ask`](super::pods::Ask): it can be
    /// kept until the node changes.
    fn is_of_node(&self) -> bool {
        false
    }
    fn pre_filter<'a>(&self, _cycle: Cycle<'a>) -> PreFilter<'a> {
        PreFilter::Skip
    }
    /// `None`: it does not score this pod.
    fn pre_score<'a>(&self, _cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        None
    }
    /// Whether a pod that this plugin rejected may be schedulable after the event: its queueing hint (upstream `EventsToRegister`).
    fn hint(&self, _event: &ClusterEvent, _cycle: Cycle<'_>) -> bool {
        false
    }
}

/// The plugin of this name with these arguments.
pub fn plugin(id: PluginId, arguments: &Arguments) -> Arc<dyn Plugin> {
    match id {
        PluginId::NodeUnschedulable => Arc::new(node_unschedulable::NodeUnschedulable),
        PluginId::NodeName => Arc::new(node_name::NodeName),
        PluginId::TaintToleration => Arc::new(taint_toleration::TaintToleration),
        PluginId::NodeAffinity => Arc::new(node_affinity::NodeAffinity { added: arguments.added_affinity.clone() }),
        PluginId::NodePorts => Arc::new(node_ports::NodePorts),
        PluginId::NodeResourcesFit => Arc::new(node_resources::NodeResourcesFit::new(
            arguments.scoring.clone(),
            arguments.scored_resources.clone(),
            arguments.ignored_resources.clone(),
        )),
        PluginId::VolumeRestrictions => Arc::new(volume_restrictions::VolumeRestrictions),
        PluginId::NodeVolumeLimits => Arc::new(node_volume_limits::NodeVolumeLimits),
        PluginId::VolumeBinding => Arc::new(volume_binding::VolumeBinding),
        PluginId::VolumeZone => Arc::new(volume_zone::VolumeZone),
        PluginId::PodTopologySpread => Arc::new(pod_topology_spread::PodTopologySpread { defaults: arguments.default_constraints.clone() }),
        PluginId::InterPodAffinity => Arc::new(inter_pod_affinity::InterPodAffinity {
            hard_weight: arguments.hard_pod_affinity_weight,
            ignore_preferred_of_existing: arguments.ignore_preferred_terms_of_existing_pods,
        }),
        PluginId::NodeResourcesBalancedAllocation => {
            Arc::new(node_resources::NodeResourcesBalancedAllocation { resources: arguments.balanced_resources.clone() })
        }
        PluginId::ImageLocality => Arc::new(image_locality::ImageLocality),
        PluginId::GpuDevices => Arc::new(policy::GpuDevices),
        // Not among the names that a configuration can use.
        PluginId::Policy => unreachable!("a policy comes with its parameters"),
    }
}

/// `helper.DefaultNormalizeScore`: scaled so that the largest becomes 100, reversed if less is better.
fn normalize_to_largest(scores: &mut [i64], reverse: bool) {
    let largest = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        if largest != 0 {
            *score = MAX_SCORE * *score / largest;
        }
        if reverse {
            *score = MAX_SCORE - *score;
        }
    }
}
