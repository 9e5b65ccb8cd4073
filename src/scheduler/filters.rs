//! The filters of one cycle: what PreFilter found, and the verdict on a node, with the pods that are nominated to it (upstream
//! `framework/runtime/framework.go`, RunPreFilterPlugins and RunFilterPluginsWithNominatedPods).

use super::nodes::{NodeInfo, Slot};
use super::plugins::{Code, Cycle, Filter, PluginId, PreFilter, Verdict};
use super::pods::PodInfo;
use super::profile::Profile;
use super::tables::Table;
use crate::objects::Text;

/// Why a node will not do: what the first plugin says that rejects it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    pub plugin: PluginId,
    pub code: Code,
    pub reasons: Vec<Text>,
    /// The node was never a candidate: the plugin had named others.
    pub in_pre_filter: bool,
}

/// The filters that have something to say about the pod, and the nodes that are candidates.
pub struct Filters<'a> {
    pub cycle: Cycle<'a>,
    active: Vec<Active<'a>>,
    /// `None`: all nodes.
    narrowed: Option<Vec<Slot>>,
    /// The nodes, in order, with nominated pods that count against this one.
    nominated: Vec<Slot>,
}

struct Active<'a> {
    plugin: PluginId,
    is_of_node: bool,
    filter: Box<dyn Filter + 'a>,
}

impl<'a> Filters<'a> {
    /// `Err`: a plugin rejects the pod for all nodes.
    pub fn of(profile: &Profile, cycle: Cycle<'a>) -> Result<Filters<'a>, Rejection> {
        let mut filters = Filters { cycle, active: Vec::new(), narrowed: None, nominated: Vec::new() };
        for plugin in profile.filters() {
            let active = |filter| Active { plugin: plugin.id(), is_of_node: plugin.is_of_node(), filter };
            match plugin.pre_filter(cycle) {
                PreFilter::Skip => {}
                PreFilter::Run(filter) => filters.active.push(active(filter)),
                PreFilter::Narrow(nodes, filter) => {
                    // Names that do not exist are simply dropped: an empty set rejects every node, not the pod.
                    filters.narrowed = Some(match filters.narrowed {
                        None => nodes,
                        Some(others) => others.into_iter().filter(|slot| nodes.contains(slot)).collect(),
                    });
                    filters.active.push(active(filter));
                }
                PreFilter::Reject(reason) => {
                    let code = Code::UnschedulableAndUnresolvable;
                    return Err(Rejection { plugin: plugin.id(), code, reasons: vec![reason], in_pre_filter: true });
                }
            }
        }
        filters.nominated = cycle.snapshot.nominated_nodes(|pod| counts_against(pod, cycle.pod));
        Ok(filters)
    }

    /// The nodes that are looked at, in order.
    pub fn candidates(&self) -> &[Slot] {
        self.narrowed.as_deref().unwrap_or(self.cycle.snapshot.nodes().order())
    }
    pub fn is_narrowed(&self) -> bool {
        self.narrowed.is_some()
    }

    /// The filters whose answers a [`Table`] keeps.
    pub fn of_node(&self) -> impl Iterator<Item = &(dyn Filter + 'a)> + Clone {
        self.active.iter().filter(|active| active.is_of_node).map(|active| &*active.filter)
    }

    /// Clears `fit[i]` where `nodes[i]` is rejected.
    pub fn filter_all(&mut self, nodes: &[Slot], known: Option<&Table>, fit: &mut [bool]) {
        let table = self.cycle.snapshot.nodes();
        if let Some(known) = known {
            for (slot, fit) in nodes.iter().zip(fit.iter_mut()) {
                *fit &= known.fits(*slot);
            }
        }
        for active in self.active.iter().filter(|active| known.is_none() || !active.is_of_node) {
            active.filter.filter_all(nodes, table, fit);
        }
        if !self.nominated.is_empty() {
            for (slot, fit) in nodes.iter().zip(fit) {
                *fit = *fit && (self.nominated.binary_search(slot).is_err() || self.rejects(table.info(*slot)).is_none());
            }
        }
    }

    /// The first rejection of a node of the cluster.
    pub fn verdict(&mut self, slot: Slot) -> Option<Rejection> {
        if self.narrowed.as_ref().is_some_and(|nodes| !nodes.contains(&slot)) {
            let (plugin, code) = (PluginId::NodeAffinity, Code::UnschedulableAndUnresolvable);
            let reasons = vec!["node(s) didn't satisfy plugin(s) [NodeAffinity]".into()];
            return Some(Rejection { plugin, code, reasons, in_pre_filter: true });
        }
        self.rejects(self.cycle.snapshot.nodes().info(slot))
    }

    /// The first rejection of a node that may differ from the cluster's, by what [`Filters::change`] was told. It is asked with the pods
    /// that are nominated to it, if they count, and then without: both must pass.
    pub fn rejects(&mut self, node: &NodeInfo) -> Option<Rejection> {
        if self.nominated.binary_search(&node.slot).is_ok() {
            let cycle = self.cycle;
            let pods: Vec<&PodInfo> = cycle.snapshot.nominated_to(&node.name).iter().filter(|pod| counts_against(pod, cycle.pod)).collect();
            let mut with_them = node.clone();
            for pod in &pods {
                with_them.add_pod(pod);
                self.change(pod, &with_them, 1);
            }
            let rejection = self.first(&with_them);
            for pod in &pods {
                self.change(pod, &with_them, -1);
            }
            if rejection.is_some() {
                return rejection;
            }
        }
        self.first(node)
    }

    fn first(&self, node: &NodeInfo) -> Option<Rejection> {
        self.active.iter().find_map(|Active { plugin, filter, .. }| match filter.verdict(node) {
            Verdict::Fits => None,
            Verdict::Rejected { code, reasons } => Some(Rejection { plugin: *plugin, code, reasons, in_pre_filter: false }),
        })
    }

    /// A pod comes to a node, or goes from it, within the cycle. Plugins that have skipped themselves stay out (a peculiarity of v1.34:
    /// they decided without it).
    pub fn change(&mut self, pod: &PodInfo, node: &NodeInfo, times: i64) {
        for active in &mut self.active {
            active.filter.change(pod, node, times);
        }
    }
}

/// Whether a nominated pod is given room: those of at least the same priority, and not the pod itself.
fn counts_against(nominated: &PodInfo, pod: &PodInfo) -> bool {
    nominated.shape.priority >= pod.shape.priority && nominated.key != pod.key
}
