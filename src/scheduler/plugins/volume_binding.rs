//! Volumes that are bound must be reachable, and for those that are not there must be one, or room to make one (upstream
//! `plugins/volumebinding`). What it decides for the chosen node the scheduler assumes, and carries out before it binds the pod.

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::objects::{Object, Text};
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::pods::PodInfo;
use crate::scheduler::queue::ClusterEvent;
use crate::scheduler::volumes::{PodClaims, Volumes};

pub struct VolumeBinding;

struct State<'a> {
    volumes: &'a Volumes,
    claims: PodClaims<'a>,
}

impl Plugin for VolumeBinding {
    fn id(&self) -> PluginId {
        PluginId::VolumeBinding
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        if !cycle.pod.shape.uses_claims {
            return PreFilter::Skip;
        }
        let volumes = cycle.snapshot.volumes();
        match volumes.claims_of(cycle.pod) {
            Err(why) => PreFilter::Reject(why.into()),
            // They come back once the volume controller has bound them.
            Ok(claims) if !claims.immediate.is_empty() => PreFilter::Reject("pod has unbound immediate PersistentVolumeClaims".into()),
            Ok(claims) => PreFilter::Run(Box::new(State { volumes, claims })),
        }
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged { old, new } => old.meta.labels != new.meta.labels,
            ClusterEvent::StorageAdded(object) => match object {
                Object::PersistentVolumeClaim(claim) => cycle.pod.uses_claim(claim),
                Object::PersistentVolume(_) | Object::StorageClass(_) | Object::CsiNode(_) | Object::CsiStorageCapacity(_) => true,
                _ => false,
            },
            ClusterEvent::StorageChanged { old, new } => match (old, new) {
                (_, Object::PersistentVolumeClaim(claim)) => cycle.pod.uses_claim(claim),
                (_, Object::PersistentVolume(_)) => true,
                (Object::StorageClass(old), Object::StorageClass(new)) => old.allowed_topologies != new.allowed_topologies,
                (Object::CsiStorageCapacity(old), Object::CsiStorageCapacity(new)) => {
                    new.limit().is_some_and(|new| old.limit().is_none_or(|old| new > old))
                }
                // Upstream asks for the driver of the pod's inline volumes only, not for that of its claims
                // (isSchedulableAfterCSIDriverChange): a pod that lacks room for a claim waits for something else.
                (Object::CsiDriver(old), Object::CsiDriver(new)) => {
                    old.has_storage_capacity() && !new.has_storage_capacity() && has_inline_volume_of(cycle.pod, &new.meta.name)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

fn has_inline_volume_of(pod: &PodInfo, driver: &str) -> bool {
    let named = |volume: &crate::objects::pod::Volume| volume.rest.get("csi").is_some_and(|csi| csi["driver"].as_str() == Some(driver));
    pod.spec().volumes.iter().any(named)
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        let (conflicts, _) = self.volumes.find(&self.claims, node.node());
        let reasons: Vec<Text> = [
            // v1.34's words (k/k PR 129887); before it was "had volume node affinity conflict".
            (conflicts.of_affinity, "node(s) didn't match PersistentVolume's node affinity"),
            (conflicts.nothing_to_bind, "node(s) didn't find available persistent volumes to bind"),
            (conflicts.too_little_space, "node(s) did not have enough free storage"),
            (conflicts.no_such_volume, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ]
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, reason)| reason.into())
        .collect();
        if conflicts.any() { Verdict::Rejected { code: super::Code::UnschedulableAndUnresolvable, reasons } } else { Verdict::Fits }
    }
    fn fits(&self, node: &NodeInfo) -> bool {
        !self.volumes.find(&self.claims, node.node()).0.any()
    }
}
