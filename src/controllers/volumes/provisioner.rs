//! Makes volumes for claims whose class has a provisioner, and deletes them when they are released (external-provisioner of the CSI
//! sidecars, `lib/controller`): one stands for all drivers.
//!
//! A volume is reachable from where the selected node is, by the topology keys that the driver has on that node (CSINode), or else by the
//! keys of the class's allowed topologies, or else by the zone. A claim that waits for no node gets one of the allowed places by its uid.
//! A selected node that is gone gives the claim back to the scheduler.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::ownership::rewrite;
use super::super::{Answers, Controller, Items, Outcome, Requests};
use super::Busy;
use super::binder::{class_of, deletes};
use crate::base::{Duration, Name, Time, stable_hash};
use crate::client::{Cache, Change};
use crate::objects::node::labels::ZONE;
use crate::objects::scheduling::{NodeSelector, NodeSelectorTerm};
use crate::objects::selector::Operator;
use crate::objects::volume::annotations::{PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER};
use crate::objects::volume::{ClaimReference, CsiSource, PersistentVolumeSpec, VolumeNodeAffinity, VolumePhase};
use crate::objects::{Key, Kind, Labels, Meta, Object, PersistentVolume, PersistentVolumeClaim, Requirement, StorageClass, Stored};
use crate::wire::api::{DeleteOptions, Reason, Verb};

/// See the module.
pub struct Provisioner {
    making_takes: Duration,
    deleting_takes: Duration,
    /// By the key of the claim or volume.
    busy: Busy<Key>,
}

impl Provisioner {
    pub fn new(making_takes: Duration, deleting_takes: Duration) -> Provisioner {
        Provisioner { making_takes, deleting_takes, busy: Busy::default() }
    }
}

/// The class of a claim that a volume is to be made for. Of one with a selector none is made (external-provisioner: "claim Selector is not
/// supported").
pub(super) fn wanted<'a>(claim: &PersistentVolumeClaim, cache: &'a Cache) -> Option<&'a StorageClass> {
    let class = class_of(claim, cache)?;
    let asked = claim.meta.annotation(STORAGE_PROVISIONER) == Some(&class.provisioner) && class.provisions();
    let knows_where = !class.waits_for_consumer() || claim.selected_node().is_some();
    let may_have_one = claim.spec.volume_name.is_empty() && claim.spec.selector.is_none() && !claim.meta.is_deleting();
    (asked && knows_where && may_have_one).then_some(class)
}

fn volume_name(claim: &PersistentVolumeClaim) -> Name {
    Name::from(format!("pvc-{}", claim.meta.uid))
}

/// Whether nobody needs the volume any more, and whoever made it is to delete it.
fn is_to_go(volume: &PersistentVolume) -> bool {
    volume.status.phase == Some(VolumePhase::Released)
        && deletes(volume)
        && volume.meta.annotation(PROVISIONED_BY).is_some()
        && !volume.meta.is_deleting()
}

/// Such a volume is deleted when it is detached (external-provisioner: "persistentvolume %s is still attached to node %s").
fn is_attached(volume: &PersistentVolume, cache: &Cache) -> bool {
    let attachments = cache.list(Kind::VolumeAttachment).filter_map(|(_, stored)| stored.object.as_volume_attachment());
    attachments.into_iter().any(|attachment| attachment.volume() == Some(&volume.meta.name))
}

/// Where a new volume can be reached from: labels with their values. `None`: the selected node is gone.
pub(super) fn place(claim: &PersistentVolumeClaim, class: &StorageClass, cache: &Cache) -> Option<Vec<(Name, Name)>> {
    let keys_of_class: BTreeSet<Name> =
        class.allowed_topologies.iter().flat_map(|term| &term.match_label_expressions).map(|requirement| requirement.key.clone()).collect();
    let Some(selected) = claim.selected_node() else {
        return Some(any_place(claim, class, cache));
    };
    let labels = &cache.node(selected)?.meta.labels;
    let csi_node = cache.get(&Key::new(Kind::CsiNode, "", selected)).and_then(|stored| stored.object.as_csi_node());
    let of_driver = csi_node.and_then(|node| node.spec.drivers.iter().find(|driver| driver.name == class.provisioner));
    let keys: BTreeSet<Name> = match of_driver {
        Some(driver) => driver.topology_keys.iter().cloned().collect(),
        None if !keys_of_class.is_empty() => keys_of_class,
        None => BTreeSet::from([Name::new(ZONE)]),
    };
    Some(keys.into_iter().filter_map(|key| labels.get(&key).map(|value| (key.clone(), value.clone()))).collect())
}

/// One of the places that the class allows, or one of the zones of the cluster.
fn any_place(claim: &PersistentVolumeClaim, class: &StorageClass, cache: &Cache) -> Vec<(Name, Name)> {
    let number = stable_hash(&*claim.meta.uid) as usize;
    if let Some(term) = class.allowed_topologies.get(number % class.allowed_topologies.len().max(1)) {
        let chosen = |values: &[Name]| values.get(number % values.len().max(1)).cloned();
        return term.match_label_expressions.iter().filter_map(|one| Some((one.key.clone(), chosen(&one.values)?))).collect();
    }
    let zone = |stored: &Stored| stored.object.meta().label(ZONE).cloned();
    let zones: Vec<Name> = cache.list(Kind::Node).filter_map(|(_, stored)| zone(stored)).collect::<BTreeSet<_>>().into_iter().collect();
    zones.get(number % zones.len().max(1)).map(|zone| vec![(Name::new(ZONE), zone.clone())]).unwrap_or_default()
}

pub(super) fn new_volume(claim: &PersistentVolumeClaim, class: &StorageClass, place: Vec<(Name, Name)>) -> PersistentVolume {
    let name = volume_name(claim);
    let expressions = place.into_iter().map(|(key, value)| Requirement { key, operator: Operator::In, values: vec![value] });
    let term = NodeSelectorTerm { match_expressions: expressions.collect(), match_fields: Vec::new() };
    let affinity = (!term.match_expressions.is_empty())
        .then(|| VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) });
    let mut meta = Meta::named("", &name);
    meta.annotations.update(|annotations: &mut Labels| drop(annotations.insert(PROVISIONED_BY.into(), class.provisioner.clone())));
    let spec = PersistentVolumeSpec {
        access_modes: claim.spec.access_modes.clone(),
        capacity: [("storage".into(), claim.request())].into(),
        claim_ref: Some(Box::new(ClaimReference::to(claim))),
        csi: Some(CsiSource { driver: class.provisioner.clone(), volume_handle: name, ..CsiSource::default() }),
        node_affinity: affinity,
        persistent_volume_reclaim_policy: class.reclaim_policy,
        storage_class_name: class.meta.name.clone(),
        volume_mode: claim.spec.volume_mode,
        ..PersistentVolumeSpec::default()
    };
    PersistentVolume { meta, spec, ..PersistentVolume::default() }
}

impl Controller for Provisioner {
    type Item = Key;
    type Progress = ();

    fn name(&self) -> &'static str {
        "external-provisioner"
    }
    /// As many volumes are made at a time (external-provisioner, `--worker-threads`).
    fn workers(&self) -> usize {
        100
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume, Kind::PersistentVolumeClaim, Kind::StorageClass, Kind::CsiNode, Kind::Node, Kind::VolumeAttachment]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        if let (None, Object::VolumeAttachment(attachment)) = (&change.new, change.object())
            && let Some(volume) = attachment.volume()
        {
            // Its volume may have waited for this.
            let key = Key::new(Kind::PersistentVolume, "", volume);
            if cache.get(&key).and_then(|stored| stored.object.as_persistent_volume()).is_some_and(is_to_go) {
                items.add(key);
            }
        }
        let due = match change.new.as_ref().map(|stored| &*stored.object) {
            Some(Object::PersistentVolumeClaim(claim)) => wanted(claim, cache).is_some(),
            Some(Object::PersistentVolume(volume)) => is_to_go(volume),
            _ => false,
        };
        if due {
            items.add(change.key.clone());
        }
    }
    fn reconcile(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<()> {
        let Some(stored) = cache.get(key) else {
            self.busy.forget(key);
            return Outcome::Done;
        };
        match &*stored.object {
            Object::PersistentVolumeClaim(claim) => {
                let Some(class) = wanted(claim, cache) else {
                    self.busy.forget(key);
                    return Outcome::Done;
                };
                if cache.get(&Key::new(Kind::PersistentVolume, "", &volume_name(claim))).is_some() {
                    return Outcome::Done;
                }
                let Some(place) = place(claim, class, cache) else {
                    out.send(rewrite(stored, |meta| meta.annotations.update(|annotations| drop(annotations.remove(SELECTED_NODE)))));
                    return Outcome::Await(());
                };
                if !self.busy.is_done(now, key, self.making_takes, key.clone(), out) {
                    return Outcome::Done;
                }
                out.send(Verb::Create { object: Arc::new(new_volume(claim, class, place).into()) });
            }
            Object::PersistentVolume(volume) if is_to_go(volume) && !is_attached(volume, cache) => {
                if !self.busy.is_done(now, key, self.deleting_takes, key.clone(), out) {
                    return Outcome::Done;
                }
                out.send(Verb::Delete { key: key.clone(), options: DeleteOptions::default() });
            }
            _ => return Outcome::Done,
        }
        Outcome::Await(())
    }
    fn resume(&mut self, _now: Time, _key: &Key, (): (), answers: &Answers, _cache: &Cache, _out: &mut Requests<Key>) -> Outcome<()> {
        if answers.failed_with(0, Reason::AlreadyExists) { Outcome::Done } else { answers.last() }
    }
}
