//! What only one pod can use: disks that are named in the pod itself, and claims of the mode ReadWriteOncePod (upstream
//! `plugins/volumerestrictions`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Cycle, Filter, Plugin, PluginId, PreFilter, Verdict};
use crate::base::Name;
use crate::objects::pod::Volume;
use crate::objects::volume::AccessMode;
use crate::objects::{Object, PodSpec};
use crate::scheduler::nodes::NodeInfo;
use crate::scheduler::pods::PodInfo;
use crate::scheduler::queue::ClusterEvent;

pub struct VolumeRestrictions;

struct State<'a> {
    spec: &'a PodSpec,
    /// The pod's claims of ReadWriteOncePod.
    exclusive: BTreeSet<Name>,
    /// How often pods that are there refer to them.
    conflicts: i64,
}

const DISKS: [&str; 4] = ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"];

fn names_disk(spec: &PodSpec) -> bool {
    spec.volumes.iter().any(|volume| DISKS.iter().any(|disk| volume.rest.get(disk).is_some()))
}

/// Whether two volumes are one disk that both cannot have (`isVolumeConflict`).
fn is_same_disk(one: &Volume, other: &Volume) -> bool {
    let both = |disk: &str| one.rest.get(disk).zip(other.rest.get(disk));
    let same = |(one, other): (&Value, &Value), field: &str| one[field] == other[field];
    let read_only = |(one, other): (&Value, &Value)| one["readOnly"] == true && other["readOnly"] == true;
    let or = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    both("gcePersistentDisk").is_some_and(|disks| same(disks, "pdName") && !read_only(disks))
        || both("awsElasticBlockStore").is_some_and(|disks| same(disks, "volumeID"))
        || both("iscsi").is_some_and(|disks| same(disks, "iqn") && !read_only(disks))
        || both("rbd").is_some_and(|disks| {
            let monitors = |disk: &Value| disk["monitors"].as_array().cloned().unwrap_or_default();
            let (one, other) = disks;
            monitors(one).iter().any(|monitor| monitors(other).contains(monitor))
                && or(&one["pool"], "rbd") == or(&other["pool"], "rbd")
                && same(disks, "image")
                && !read_only(disks)
        })
}

fn share_disk(one: &PodSpec, other: &PodSpec) -> bool {
    one.volumes.iter().any(|volume| other.volumes.iter().any(|theirs| is_same_disk(volume, theirs)))
}

impl Plugin for VolumeRestrictions {
    fn id(&self) -> PluginId {
        PluginId::VolumeRestrictions
    }
    fn pre_filter<'a>(&self, cycle: Cycle<'a>) -> PreFilter<'a> {
        let spec = cycle.pod.spec();
        if spec.volumes.is_empty() {
            return PreFilter::Skip;
        }
        let volumes = cycle.snapshot.volumes();
        let mut exclusive = BTreeSet::new();
        for used in cycle.pod.claims().filter(|used| !used.ephemeral) {
            let Some(claim) = volumes.claim(cycle.pod.namespace(), &used.name) else {
                return PreFilter::Reject(format!("persistentvolumeclaim \"{}\" not found", used.name).into());
            };
            if claim.spec.access_modes.contains(&AccessMode::ReadWriteOncePod) {
                exclusive.insert(used.name);
            }
        }
        let conflicts = exclusive.iter().filter(|claim| volumes.is_used(&cycle.pod.pod().claim_key(claim))).count() as i64;
        if conflicts == 0 && !names_disk(spec) {
            return PreFilter::Skip;
        }
        PreFilter::Run(Box::new(State { spec, exclusive, conflicts }))
    }
    fn hint(&self, event: &ClusterEvent, cycle: Cycle<'_>) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodRemoved(gone) => {
                let claims: BTreeSet<Name> = gone.claims().filter(|used| !used.ephemeral).map(|used| used.name).collect();
                gone.namespace() == cycle.pod.namespace()
                    && (share_disk(cycle.pod.spec(), gone.spec()) || cycle.pod.claims().any(|used| claims.contains(&used.name)))
            }
            ClusterEvent::StorageAdded(Object::PersistentVolumeClaim(claim)) => cycle.pod.uses_claim(claim),
            _ => false,
        }
    }
}

impl Filter for State<'_> {
    fn verdict(&self, node: &NodeInfo) -> Verdict {
        if names_disk(self.spec) && node.pods.iter().any(|pod| share_disk(self.spec, pod.spec())) {
            return Verdict::unschedulable("node(s) had no available disk");
        }
        if self.conflicts > 0 {
            // v1.34's words (k/k PR 129145).
            let why = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
            return Verdict::unschedulable(why);
        }
        Verdict::Fits
    }
    /// As upstream, whose count does not look at the other pod's namespace.
    fn change(&mut self, pod: &PodInfo, _node: &NodeInfo, times: i64) {
        let shared = pod.claims().filter(|used| !used.ephemeral && self.exclusive.contains(&used.name)).count();
        self.conflicts += times * shared as i64;
    }
}
