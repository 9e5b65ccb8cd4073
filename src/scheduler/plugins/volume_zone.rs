//! A volume that is labelled with a zone or region can be used there only (upstream `plugins/volumezone`).

use std::collections::BTreeSet;

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::base::Name;
use crate::objects::node::labels::{REGION, ZONE};
use crate::objects::{Object, PersistentVolume};
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::queue::ClusterEvent;

pub struct VolumeZone;

/// A label that must be one of these on the node.
type Topology = (&'static str, BTreeSet<Name>);

struct State(Vec<Topology>);

const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const OLD_REGION: &str = "failure-domain.beta.kubernetes.io/region";
const LABELS: [&str; 4] = [OLD_ZONE, OLD_REGION, ZONE, REGION];

/// Zones are joined by `__` (`volumehelpers.LabelZonesToSet`); a label with an empty zone among them is ignored.
fn topologies(volume: &PersistentVolume) -> Vec<Topology> {
    let of = |label: &'static str| {
        let zones: BTreeSet<Name> = volume.meta.label(label)?.split("__").map(|zone| Name::new(zone.trim())).collect();
        (!zones.iter().any(|zone| zone.is_empty())).then_some((label, zones))
    };
    LABELS.into_iter().filter_map(of).collect()
}

impl Plugin for VolumeZone {
    fn id(&self) -> PluginId {
        PluginId::VolumeZone
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        if !cycle.pod.shape.uses_claims {
            return PreFilter::Skip;
        }
        let volumes = cycle.snapshot.volumes();
        let mut found = Vec::new();
        // What it says of claims that are not there or not bound it says only where VolumeBinding, which comes first, is switched off.
        for used in cycle.pod.claims().filter(|used| !used.ephemeral) {
            let Some(claim) = volumes.claim(cycle.pod.namespace(), &used.name) else {
                return PreFilter::Reject(format!("persistentvolumeclaim \"{}\" not found", used.name).into());
            };
            let volume = &claim.spec.volume_name;
            if volume.is_empty() {
                let class = claim.class();
                match volumes.class(&class) {
                    _ if class.is_empty() => {
                        return PreFilter::Reject("PersistentVolumeClaim had no pv name and storageClass name".into());
                    }
                    None => return PreFilter::Reject(format!("storageclass.storage.k8s.io \"{class}\" not found").into()),
                    Some(class) if class.waits_for_consumer() => continue,
                    Some(_) => return PreFilter::Reject("PersistentVolume had no name".into()),
                }
            }
            match volumes.volume(volume) {
                None => return PreFilter::Reject(format!("persistentvolume \"{volume}\" not found").into()),
                Some(volume) => found.extend(topologies(volume)),
            }
        }
        if found.is_empty() { PreFilter::Skip } else { PreFilter::Run(Box::new(State(found))) }
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged { old, new } => old.meta.labels != new.meta.labels,
            ClusterEvent::StorageAdded(Object::StorageClass(class)) => class.waits_for_consumer(),
            ClusterEvent::StorageAdded(Object::PersistentVolume(_)) => true,
            ClusterEvent::StorageAdded(Object::PersistentVolumeClaim(claim))
            | ClusterEvent::StorageChanged { new: Object::PersistentVolumeClaim(claim), .. } => cycle.pod.uses_claim(claim),
            ClusterEvent::StorageChanged { old: Object::PersistentVolume(old), new: Object::PersistentVolume(new) } => {
                topologies(old) != topologies(new)
            }
            _ => false,
        }
    }
}

impl Filter for State {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        let labels = node.labels();
        // A cluster of one zone may label nothing.
        if !LABELS.iter().any(|label| labels.contains_key(*label)) {
            return Verdict::Fits;
        }
        let present = |label: &'static str| match label {
            OLD_ZONE => ZONE,
            OLD_REGION => REGION,
            other => other,
        };
        let holds = |(label, values): &Topology| {
            labels.get(*label).or_else(|| labels.get(present(label))).is_some_and(|value| values.contains(value))
        };
        if self.0.iter().all(holds) { Verdict::Fits } else { Verdict::unresolvable("node(s) had no available volume zone") }
    }
}
