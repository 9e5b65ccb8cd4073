//! Attaches volumes to the nodes of their pods and detaches them (k/k `pkg/controller/volume/attachdetach`), and the attacher of their driver,
//! a process of its own in a cluster, which does it (external-attacher).
//!
//! A volume of ReadWriteOnce is attached to one node at a time: who needs it elsewhere waits until it is detached. It is detached when no
//! pod there needs it and the node has unmounted it. A pod that ended in order has; of one that went while it still ran, on a node that
//! is not healthy, nobody knows: after 6 min the volume is taken by force, or at once if the node is tainted as out of service. A pod
//! that is being deleted needs its volumes until its containers have ended, so on a dead node until it is removed.
//!
//! Left out: `status.volumesInUse` and `volumesAttached` of nodes. On a healthy node a volume counts as unmounted 10 s after it is needed
//! no more, unless its pod ended in order: by then the kubelet has ended what ran and said so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Answers, Controller, Items, Outcome, Requests, decided};
use super::Busy;
use crate::base::{Duration, Map, Name, Set, Time};
use crate::client::{Cache, Change};
use crate::objects::node::taints::OUT_OF_SERVICE;
use crate::objects::volume::{AccessMode, CsiSource, VolumeAttachmentSource, VolumeAttachmentSpec};
use crate::objects::{
    ContainerState, ContainerStatus, CsiDriver, Key, Kind, Meta, Node, Object, PersistentVolume, Pod, Stored, VolumeAttachment,
};
use crate::wire::api::{DeleteOptions, Part, Reason, Verb};
use crate::wire::fact::Subject;

/// `reconcilerMaxWaitForUnmountDuration`
const FORCE_DETACH: Duration = Duration::from_secs(360);
/// The period of a kubelet's node status, which tells what it has mounted.
const CLEANED_UP: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    /// Where a volume, by name, is to be attached.
    Volume(Name),
    /// The driver's work on an attachment.
    Attachment(Key),
}

/// A volume and a node, by name.
type Place = (Name, Name);

/// See the module.
pub struct AttachDetach {
    attaching_takes: Duration,
    detaching_takes: Duration,
    /// The driver's work, by attachment and whether it goes.
    busy: Busy<(Key, bool)>,
    /// Pods by the claims that they use.
    users: Map<Key, BTreeSet<Key>>,
    /// Where a volume is needed no more, and since when.
    unneeded: Map<Place, Time>,
    /// Where the last pod ended in order, and nothing else may have the volume mounted.
    unmounted: Set<Place>,
    /// Pods that were told that they wait.
    told: Set<(Key, Name)>,
}

impl AttachDetach {
    pub fn new(attaching_takes: Duration, detaching_takes: Duration) -> AttachDetach {
        AttachDetach {
            attaching_takes,
            detaching_takes,
            busy: Busy::default(),
            users: Map::default(),
            unneeded: Map::default(),
            unmounted: Set::default(),
            told: Set::default(),
        }
    }

    /// The nodes that need a volume, with the pods there.
    fn needed(&self, volume: &PersistentVolume, cache: &Cache) -> BTreeMap<Name, Vec<Key>> {
        let mut needed: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
        let Some(reference) = &volume.spec.claim_ref else { return needed };
        let key = reference.key();
        // A released volume still names its claim; pods of a new claim of that name need the new claim's volume.
        let claim = cache.get(&key).and_then(|stored| stored.object.as_persistent_volume_claim());
        if claim.is_none_or(|claim| claim.meta.uid != reference.uid || claim.spec.volume_name != volume.meta.name) {
            return needed;
        }
        for key in self.users.get(&key).into_iter().flatten() {
            if let Some((pod, node)) = cache.pod(key).and_then(|pod| Some((pod, pod.node.as_ref()?)))
                && !has_ended(pod)
            {
                needed.entry(node.clone()).or_default().push(key.clone());
            }
        }
        needed
    }

    fn pod_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Item>) {
        let last = change.old.as_ref().and_then(|old| old.object.as_pod());
        let new = change.new.as_ref().and_then(|new| new.object.as_pod());
        let Some(pod) = new.or(last).filter(|pod| pod.spec.uses_claims()) else { return };
        let state = |pod: &Pod| (pod.node.clone(), has_ended(pod), holds_nothing(pod));
        if last.zip(new).is_some_and(|(last, new)| state(last) == state(new)) {
            return;
        }
        if new.is_none() {
            self.told.retain(|(waiting, _)| *waiting != change.key);
        }
        for used in pod.claims() {
            let claim = pod.claim_key(&used.name);
            let users = self.users.entry(claim.clone()).or_default();
            if new.is_some() {
                users.insert(change.key.clone())
            } else {
                users.remove(&change.key)
            };
            let volume = cache.get(&claim).and_then(|stored| stored.object.as_persistent_volume_claim());
            let Some(volume) = volume.map(|claim| &claim.spec.volume_name).filter(|name| !name.is_empty()) else { continue };
            if let Some(node) = &pod.node {
                let place = (volume.clone(), node.clone());
                if !holds_nothing(pod) {
                    self.unmounted.remove(&place);
                } else if (new.is_none() || has_ended(pod)) && !self.is_held_by_others(&claim, node, &change.key, cache) {
                    self.unmounted.insert(place);
                }
            }
            items.add(Item::Volume(volume.clone()));
        }
    }

    /// Whether another pod on the node may have the claim's volume mounted.
    fn is_held_by_others(&self, claim: &Key, node: &Name, but: &Key, cache: &Cache) -> bool {
        let others = self.users.get(claim).into_iter().flatten().filter(|key| *key != but).filter_map(|key| cache.pod(key));
        others.into_iter().any(|pod| pod.node.as_ref() == Some(node) && !(has_ended(pod) && holds_nothing(pod)))
    }

    /// When a volume that is needed no more may be detached.
    fn may_go_at(&self, place: &Place, since: Time, cache: &Cache) -> Time {
        if self.unmounted.contains(place) {
            return since;
        }
        match cache.node(&place.1) {
            Some(node) if is_out_of_service(node) => since,
            Some(node) if node.is_ready() => since + CLEANED_UP,
            _ => since + FORCE_DETACH,
        }
    }

    fn settle(&mut self, now: Time, name: &Name, cache: &Cache, out: &mut Requests<Item>) {
        let stored = cache.get(&Key::new(Kind::PersistentVolume, "", name));
        let volume = stored.and_then(|stored| stored.object.as_persistent_volume());
        let needed = volume.map(|volume| self.needed(volume, cache)).unwrap_or_default();
        let attachments: Vec<(&Stored, &VolumeAttachment)> = attachments(cache).filter(|(_, it)| it.volume() == Some(name)).collect();
        for (stored, attachment) in &attachments {
            let place = (name.clone(), attachment.spec.node_name.clone());
            if needed.contains_key(&place.1) {
                self.unneeded.remove(&place);
                continue;
            }
            if attachment.meta.is_deleting() {
                continue;
            }
            let since = *self.unneeded.entry(place.clone()).or_insert(now);
            let at = self.may_go_at(&place, since, cache);
            if at > now {
                out.enqueue_after(Item::Volume(name.clone()), at - now);
            } else {
                if at == since + FORCE_DETACH {
                    let subject = Subject::Object(Key::new(Kind::PersistentVolume, "", name));
                    out.record(decided(subject, format!("detached by force from {}: not unmounted for 6m", place.1)));
                }
                out.send(Verb::Delete { key: stored.key.clone(), options: DeleteOptions::default() });
            }
        }
        let Some((volume, csi)) = volume.and_then(|volume| Some((volume, volume.spec.csi.as_ref()?))) else { return };
        if !is_attached_by(csi, cache) {
            return;
        }
        let is_shared = is_shared(volume);
        let mut taken = !is_shared && !attachments.is_empty();
        for (node, pods) in needed {
            if attachments.iter().any(|(_, attachment)| attachment.spec.node_name == node) {
                continue;
            }
            if taken {
                let elsewhere = attachments.first().map_or("", |(_, attachment)| &attachment.spec.node_name);
                for pod in pods.into_iter().filter(|pod| self.told.insert((pod.clone(), name.clone()))) {
                    let text = format!("Multi-Attach error for volume \"{name}\": it is already exclusively attached to {elsewhere}");
                    out.record(decided(Subject::Object(pod), text));
                }
                continue;
            }
            taken = !is_shared;
            self.unmounted.remove(&(name.clone(), node.clone()));
            out.send(Verb::Create { object: Arc::new(new_attachment(name, csi, node).into()) });
        }
    }

    /// The driver attaches what is wanted and detaches what goes.
    fn work(&mut self, now: Time, key: &Key, cache: &Cache, out: &mut Requests<Item>) {
        let Some(stored) = cache.get(key) else {
            self.busy.forget(&(key.clone(), true));
            return self.busy.forget(&(key.clone(), false));
        };
        let Some(attachment) = stored.object.as_volume_attachment() else { return };
        let mut done = attachment.clone();
        let goes = attachment.meta.is_deleting();
        let (takes, part) = if goes {
            self.busy.forget(&(key.clone(), false));
            done.meta.finalizers.clear();
            (self.detaching_takes, Part::Main)
        } else {
            done.status.attached = true;
            (self.attaching_takes, Part::Status)
        };
        let item = Item::Attachment(key.clone());
        if done != *attachment && self.busy.is_done(now, &(key.clone(), goes), takes, item, out) {
            out.send(Verb::Update { object: Arc::new(done.into()), part, revision: Some(stored.revision) });
        }
    }
}

pub(super) fn new_attachment(volume: &Name, csi: &CsiSource, node: Name) -> VolumeAttachment {
    let finalizer = Name::from(format!("external-attacher/{}", csi.driver.replace('.', "-")));
    let meta = Meta { finalizers: vec![finalizer].into(), ..Meta::named("", &VolumeAttachment::name(csi, &node)) };
    let source = VolumeAttachmentSource { persistent_volume_name: Some(volume.clone()), ..VolumeAttachmentSource::default() };
    let spec = VolumeAttachmentSpec { attacher: csi.driver.clone(), node_name: node, source };
    VolumeAttachment { meta, spec, ..VolumeAttachment::default() }
}

/// Whether it is attached before it is mounted.
pub(super) fn is_attached_by(csi: &CsiSource, cache: &Cache) -> bool {
    let driver = cache.get(&Key::new(Kind::CsiDriver, "", &csi.driver)).and_then(|stored| stored.object.as_csi_driver());
    driver.is_none_or(CsiDriver::attaches)
}

/// Whether it may be attached to several nodes (k/k `pkg/volume/util`, IsMultiAttachAllowed).
pub(super) fn is_shared(volume: &PersistentVolume) -> bool {
    volume.spec.access_modes.iter().any(|mode| matches!(mode, AccessMode::ReadOnlyMany | AccessMode::ReadWriteMany))
}

fn attachments(cache: &Cache) -> impl Iterator<Item = (&Stored, &VolumeAttachment)> {
    cache.list(Kind::VolumeAttachment).filter_map(|(_, stored)| Some((stored, stored.object.as_volume_attachment()?)))
}

fn is_out_of_service(node: &Node) -> bool {
    node.spec.taints.iter().any(|taint| taint.key == *OUT_OF_SERVICE)
}

/// Its volumes are needed no more (k/k `pkg/volume/util`, IsPodTerminated): it is terminal, or is deleted and nothing of it runs.
fn has_ended(pod: &Pod) -> bool {
    pod.status.phase.is_terminal() || (pod.meta.is_deleting() && !says_it_runs(pod))
}

/// Whether its volumes count as unmounted once it is needed no more: all of its containers have ended, or none ever began. A container
/// that waits to be started again says neither.
fn holds_nothing(pod: &Pod) -> bool {
    let mut statuses = pod.status.container_statuses.iter().chain(pod.status.init_container_statuses.iter());
    let has_ended = |status: &ContainerStatus| matches!(status.state, ContainerState::Terminated { .. });
    let never_began = |status: &ContainerStatus| {
        matches!(status.state, ContainerState::Waiting { .. }) && status.restart_count == 0 && status.last_state.is_none()
    };
    statuses.clone().all(has_ended) || statuses.all(never_began)
}

/// By its kubelet's last word, whatever others say of the pod since.
fn says_it_runs(pod: &Pod) -> bool {
    let runs = |state: &ContainerState| matches!(state, ContainerState::Running { .. });
    let statuses = pod.status.container_statuses.iter().chain(pod.status.init_container_statuses.iter());
    statuses.into_iter().any(|status| runs(&status.state))
}

impl Controller for AttachDetach {
    type Item = Item;
    type Progress = ();

    fn name(&self) -> &'static str {
        "attachdetach-controller"
    }
    /// One loop decides; drivers work beside it.
    fn workers(&self) -> usize {
        1
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::Node, Kind::CsiDriver, Kind::PersistentVolume, Kind::PersistentVolumeClaim, Kind::VolumeAttachment]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Item>) {
        match change.object() {
            Object::Pod(_) => self.pod_changed(change, cache, items),
            Object::PersistentVolume(volume) => items.add(Item::Volume(volume.meta.name.clone())),
            Object::PersistentVolumeClaim(claim) if !claim.spec.volume_name.is_empty() => {
                items.add(Item::Volume(claim.spec.volume_name.clone()));
            }
            Object::VolumeAttachment(attachment) => {
                items.add(Item::Attachment(change.key.clone()));
                if let Some(volume) = attachment.volume() {
                    if change.new.is_none() {
                        let place = (volume.clone(), attachment.spec.node_name.clone());
                        self.unneeded.remove(&place);
                        self.unmounted.remove(&place);
                    }
                    items.add(Item::Volume(volume.clone()));
                }
            }
            Object::Node(node) => {
                let state = |stored: &Option<Stored>| {
                    stored.as_ref().and_then(|stored| stored.object.as_node()).map(|node| (node.is_ready(), is_out_of_service(node)))
                };
                if state(&change.old) != state(&change.new) {
                    let here = attachments(cache).filter(|(_, attachment)| attachment.spec.node_name == node.meta.name);
                    here.filter_map(|(_, attachment)| attachment.volume()).for_each(|volume| items.add(Item::Volume(volume.clone())));
                }
            }
            _ => {}
        }
    }
    fn reconcile(&mut self, now: Time, item: &Item, cache: &Cache, out: &mut Requests<Item>) -> Outcome<()> {
        match item {
            Item::Volume(name) => self.settle(now, name, cache, out),
            Item::Attachment(key) => self.work(now, key, cache, out),
        }
        if out.sent() == 0 { Outcome::Done } else { Outcome::Await(()) }
    }
    fn resume(&mut self, _now: Time, _item: &Item, (): (), answers: &Answers, _cache: &Cache, _out: &mut Requests<Item>) -> Outcome<()> {
        if answers.all_ok_or(&[Reason::AlreadyExists, Reason::NotFound]) { Outcome::Done } else { Outcome::Retry }
    }
}
