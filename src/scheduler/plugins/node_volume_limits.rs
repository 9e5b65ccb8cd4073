//! How many volumes of a CSI driver a node can have (upstream `plugins/nodevolumelimits/csi.go`).
//!
//! A volume counts once a node, whoever uses it; one that is still attached without a pod counts too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::base::Name;
use crate::objects::{CsiNode, Object, PersistentVolumeClaim};
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::pods::PodInfo;
use crate::scheduler::queue::ClusterEvent;
use crate::scheduler::volumes::Volumes;

pub struct NodeVolumeLimits;

/// A volume of a driver: the driver's name, and the volume's handle.
type Handle = (Name, Name);

struct State<'a> {
    volumes: &'a Volumes,
    /// What the pod would bring.
    wanted: BTreeSet<Handle>,
    /// What is attached to each node.
    attached: BTreeMap<&'a Name, BTreeSet<Handle>>,
    /// A claim of the pod that does not exist.
    missing: Option<Name>,
}

/// The driver and handle behind a claim; `None`: not of CSI, or bound elsewhere before it can be scheduled (`getCSIDriverInfo`).
fn handle(volumes: &Volumes, claim: &PersistentVolumeClaim) -> Option<Handle> {
    match volumes.volume(&claim.spec.volume_name) {
        Some(volume) => {
            let csi = volume.spec.csi.as_ref()?;
            (!csi.driver.is_empty() && !csi.volume_handle.is_empty()).then(|| (csi.driver.clone(), csi.volume_handle.clone()))
        }
        // Its volume will be made, under a handle that nobody knows yet.
        None => {
            let class = volumes.class(&claim.class())?;
            let handle = format!("\u{0}{}/{}", claim.meta.namespace, claim.meta.name);
            (!class.provisioner.is_empty()).then(|| (class.provisioner.clone(), Name::from(handle)))
        }
    }
}

fn handles_of<'v>(volumes: &'v Volumes, pod: &'v PodInfo) -> impl Iterator<Item = Handle> + 'v {
    pod.claims().filter_map(|used| handle(volumes, volumes.claim(pod.namespace(), &used.name)?))
}

impl Plugin for NodeVolumeLimits {
    fn id(&self) -> PluginId {
        PluginId::NodeVolumeLimits
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        if !cycle.pod.shape.uses_claims {
            return PreFilter::Skip;
        }
        let volumes = cycle.snapshot.volumes();
        let missing = cycle.pod.claims().find(|used| volumes.claim(cycle.pod.namespace(), &used.name).is_none()).map(|used| used.name);
        let mut attached: BTreeMap<&Name, BTreeSet<Handle>> = BTreeMap::new();
        for attachment in volumes.attachments() {
            let volume = attachment.volume().and_then(|name| volumes.volume(name));
            if let Some(csi) = volume.and_then(|volume| volume.spec.csi.as_ref()) {
                attached.entry(&attachment.spec.node_name).or_default().insert((csi.driver.clone(), csi.volume_handle.clone()));
            }
        }
        PreFilter::Run(Box::new(State { volumes, wanted: handles_of(volumes, cycle.pod).collect(), attached, missing }))
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        match event {
            ClusterEvent::PodRemoved(gone) => gone.shape.uses_claims,
            ClusterEvent::StorageAdded(Object::CsiNode(_)) => true,
            ClusterEvent::StorageChanged { old: Object::CsiNode(old), new: Object::CsiNode(new) } => has_more_room(old, new),
            ClusterEvent::StorageAdded(Object::PersistentVolumeClaim(claim)) => cycle.pod.uses_claim(claim),
            ClusterEvent::StorageRemoved(Object::VolumeAttachment(attachment)) => {
                let volumes = cycle.snapshot.volumes();
                let gone = attachment.volume();
                let names_it = |claim: &PersistentVolumeClaim| Some(&claim.spec.volume_name) == gone;
                cycle.pod.claims().any(|used| volumes.claim(cycle.pod.namespace(), &used.name).is_some_and(names_it))
            }
            _ => false,
        }
    }
}

/// Whether some driver's limit was raised or taken away.
fn has_more_room(old: &CsiNode, new: &CsiNode) -> bool {
    old.spec.drivers.iter().any(|driver| match (old.limit(&driver.name), new.limit(&driver.name)) {
        (Some(old), Some(new)) => new > old,
        (Some(_), None) => true,
        (None, _) => false,
    })
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if let Some(claim) = &self.missing {
            return Verdict::unresolvable(format!("persistentvolumeclaim \"{claim}\" not found"));
        }
        let Some(limits) = self.volumes.csi_node(&node.name).filter(|_| !self.wanted.is_empty()) else { return Verdict::Fits };
        if limits.spec.drivers.iter().all(|driver| limits.limit(&driver.name).is_none()) {
            return Verdict::Fits;
        }
        let mut there: BTreeSet<Handle> = node.pods.iter().flat_map(|pod| handles_of(self.volumes, pod)).collect();
        there.extend(self.attached.get(&node.name).into_iter().flatten().cloned());
        let mut new: BTreeMap<&Name, u32> = BTreeMap::new();
        for (driver, _) in self.wanted.difference(&there) {
            *new.entry(driver).or_insert(0) += 1;
        }
        let attached = |driver: &Name| there.iter().filter(|(of, _)| of == driver).count() as u32;
        let too_many = |(driver, count): (&&Name, &u32)| limits.limit(driver).is_some_and(|limit| attached(driver) + count > limit);
        if new.iter().any(too_many) { Verdict::unschedulable("node(s) exceed max volume count") } else { Verdict::Fits }
    }
}
