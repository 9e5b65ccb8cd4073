//! Binds claims to volumes (k/k `pkg/controller/volume/persistentvolume/{pv_controller,index}.go`).
//!
//! A binding is four writes: the volume gets its claim and then its phase, the claim its volume and then its phase. Each sync looks again,
//! does the next write that is due, and goes on with its answer until nothing is due: so a binding that was cut off anywhere is completed.
//! What it wrote itself it knows before its cache does.
//!
//! Claims that found no volume are looked at again every 15 s, not when a volume comes (upstream, syncUnboundClaim).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Map, Name, Time};
use crate::client::{Cache, Change};
use crate::objects::volume::annotations::{BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, STORAGE_PROVISIONER};
use crate::objects::volume::{ClaimPhase, ReclaimPolicy, Seeker, VolumePhase, find_matching};
use crate::objects::{Key, Kind, PersistentVolume, PersistentVolumeClaim, StorageClass, Stored};
use crate::wire::api::{Part, Verb};

/// `PVClaimBinderSyncPeriod`
const RESYNC: Duration = Duration::from_secs(15);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    Claim(Key),
    Volume(Key),
    /// Everything that is not bound.
    All,
}

/// See the module.
#[derive(Default)]
pub struct Binder {
    /// What it wrote and its cache has not shown yet.
    own: Map<Key, Stored>,
}

impl Binder {
    fn newest<'a>(&'a self, cache: &'a Cache, key: &Key) -> Option<&'a Stored> {
        let cached = cache.get(key)?;
        Some(self.own.get(key).filter(|own| own.revision > cached.revision).unwrap_or(cached))
    }
    fn claim<'a>(&'a self, cache: &'a Cache, key: &Key) -> Option<(&'a Stored, &'a PersistentVolumeClaim)> {
        let stored = self.newest(cache, key)?;
        Some((stored, stored.object.as_persistent_volume_claim()?))
    }
    fn volume<'a>(&'a self, cache: &'a Cache, name: &str) -> Option<(&'a Stored, &'a PersistentVolume)> {
        let stored = self.newest(cache, &Key::new(Kind::PersistentVolume, "", name))?;
        Some((stored, stored.object.as_persistent_volume()?))
    }

    /// The write that an item needs next.
    fn next(&self, cache: &Cache, item: &Item) -> Option<Verb> {
        match item {
            Item::Claim(key) => {
                let (stored, claim) = self.claim(cache, key)?;
                if claim.meta.annotation(BIND_COMPLETED).is_some() {
                    self.keep_bound(cache, stored, claim)
                } else {
                    self.find_volume(cache, stored, claim)
                }
            }
            Item::Volume(key) => {
                let stored = self.newest(cache, key)?;
                self.settle(cache, stored, stored.object.as_persistent_volume()?)
            }
            Item::All => None,
        }
    }

    /// `syncUnboundClaim`
    fn find_volume(&self, cache: &Cache, stored: &Stored, claim: &PersistentVolumeClaim) -> Option<Verb> {
        if !claim.spec.volume_name.is_empty() {
            // Somebody named the volume; it may come later, and it may be another's.
            let Some((volume_stored, volume)) = self.volume(cache, &claim.spec.volume_name) else { return pending(stored, claim) };
            return if will_do(volume, claim) { bind((volume_stored, volume), (stored, claim)) } else { pending(stored, claim) };
        }
        let class = class_of(claim, cache);
        let delayed = is_delayed(claim, class);
        if claim.meta.is_deleting() {
            return None;
        }
        if let Some(volume) = self.best_match(cache, claim, delayed) {
            return bind(volume, (stored, claim));
        }
        let provisioner = class.filter(|class| !delayed && class.provisions()).map(|class| &class.provisioner);
        match provisioner {
            Some(provisioner) if claim.meta.annotation(STORAGE_PROVISIONER) != Some(provisioner) => {
                Some(update(stored, claim.asked_of(provisioner).into(), Part::Main))
            }
            _ => pending(stored, claim),
        }
    }

    /// The volumes with the fewest access modes first (`findByClaim`), by name among them.
    pub(super) fn best_match<'a>(
        &'a self,
        cache: &'a Cache,
        claim: &PersistentVolumeClaim,
        delayed: bool,
    ) -> Option<(&'a Stored, &'a PersistentVolume)> {
        let mut by_modes: BTreeMap<usize, Vec<&PersistentVolume>> = BTreeMap::new();
        for (key, _) in cache.list(Kind::PersistentVolume) {
            if let Some((_, volume)) = self.volume(cache, key.name()).filter(|(_, volume)| volume.has_all_modes_of(claim)) {
                by_modes.entry(volume.spec.access_modes.len()).or_default().push(volume);
            }
        }
        let none = BTreeSet::new();
        let seeker = Seeker::Controller { delayed };
        let found = by_modes.into_values().find_map(|volumes| find_matching(claim, volumes, seeker, &none))?;
        self.volume(cache, &found.meta.name)
    }

    /// `syncBoundClaim`
    fn keep_bound(&self, cache: &Cache, stored: &Stored, claim: &PersistentVolumeClaim) -> Option<Verb> {
        let volume = self.volume(cache, &claim.spec.volume_name).filter(|_| !claim.spec.volume_name.is_empty());
        match volume {
            Some((volume_stored, volume)) if volume.spec.claim_ref.is_none() || volume.is_for(claim) => {
                bind((volume_stored, volume), (stored, claim))
            }
            _ => phase(stored, claim, ClaimPhase::Lost),
        }
    }

    /// `syncVolume`
    fn settle(&self, cache: &Cache, stored: &Stored, volume: &PersistentVolume) -> Option<Verb> {
        let Some(reference) = volume.spec.claim_ref.as_ref().filter(|reference| !reference.uid.is_empty()) else {
            return volume_phase(stored, volume, VolumePhase::Available);
        };
        let claim = self.claim(cache, &reference.key()).map(|(_, claim)| claim).filter(|claim| claim.meta.uid == reference.uid);
        match claim {
            // What becomes of it then is the policy's: kept, or deleted by whoever made it.
            None if volume.status.phase == Some(VolumePhase::Failed) => None,
            None => volume_phase(stored, volume, VolumePhase::Released),
            Some(claim) if claim.spec.volume_name.is_empty() => None,
            Some(claim) if claim.spec.volume_name == volume.meta.name => volume_phase(stored, volume, VolumePhase::Bound),
            // The claim has another volume by now.
            Some(_) if volume.meta.annotation(PROVISIONED_BY).is_some() && deletes(volume) => {
                volume_phase(stored, volume, VolumePhase::Released)
            }
            Some(_) => {
                let mut free = volume.clone();
                if volume.meta.annotation(BOUND_BY_CONTROLLER).is_some() {
                    free.spec.claim_ref = None;
                    free.meta.annotations.update(|annotations| drop(annotations.remove(BOUND_BY_CONTROLLER)));
                } else if let Some(reference) = &mut free.spec.claim_ref {
                    reference.uid = Name::default();
                }
                Some(update(stored, free.into(), Part::Main))
            }
        }
    }

    fn go_on(&mut self, cache: &Cache, item: &Item, out: &mut Requests<Item>) -> Outcome<()> {
        self.own.retain(|key, own| cache.get(key).is_some_and(|cached| cached.revision < own.revision));
        match self.next(cache, item) {
            None => Outcome::Done,
            Some(verb) => {
                out.send(verb);
                Outcome::Await(())
            }
        }
    }
}

pub(super) fn class_of<'a>(claim: &PersistentVolumeClaim, cache: &'a Cache) -> Option<&'a StorageClass> {
    cache.get(&Key::new(Kind::StorageClass, "", &claim.class()))?.object.as_storage_class()
}

/// Whether its volume is found when a pod that uses it is placed (`IsDelayBindingMode`, and no node is selected yet).
pub(super) fn is_delayed(claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> bool {
    claim.selected_node().is_none() && class.is_some_and(StorageClass::waits_for_consumer)
}

/// Whether a volume that was named will do: it may be another's, or not be enough.
pub(super) fn will_do(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.is_for(claim) || (volume.spec.claim_ref.is_none() && satisfies(volume, claim))
}

/// Whether a volume that was named will do (`checkVolumeSatisfyClaim`).
fn satisfies(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.capacity() >= claim.request()
        && *volume.class() == claim.class()
        && volume.spec.volume_mode.unwrap_or_default() == claim.spec.volume_mode.unwrap_or_default()
        && volume.has_all_modes_of(claim)
}

/// Whether the volume goes with its claim.
pub(super) fn deletes(volume: &PersistentVolume) -> bool {
    volume.spec.persistent_volume_reclaim_policy == Some(ReclaimPolicy::Delete)
}

fn update(stored: &Stored, object: crate::objects::Object, part: Part) -> Verb {
    Verb::Update { object: Arc::new(object), part, revision: Some(stored.revision) }
}

/// The write of a binding that is due next.
fn bind((volume_stored, volume): (&Stored, &PersistentVolume), (stored, claim): (&Stored, &PersistentVolumeClaim)) -> Option<Verb> {
    let (of_volume, of_claim) = (bound_volume(volume, claim), bound_claim(volume, claim));
    if of_volume.spec != volume.spec || of_volume.meta != volume.meta {
        return Some(update(volume_stored, of_volume.into(), Part::Main));
    }
    if of_volume != *volume {
        return Some(update(volume_stored, of_volume.into(), Part::Status));
    }
    if of_claim.spec != claim.spec || of_claim.meta != claim.meta {
        return Some(update(stored, of_claim.into(), Part::Main));
    }
    (of_claim != *claim).then(|| update(stored, of_claim.into(), Part::Status))
}

fn bound_volume(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut bound = volume.bound_to(claim);
    bound.status.phase = Some(VolumePhase::Bound);
    bound
}

fn bound_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let mut bound = claim.clone();
    bound.meta.annotations.update(|annotations| {
        if claim.spec.volume_name.is_empty() {
            annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
        }
        annotations.insert(BIND_COMPLETED.into(), "yes".into());
    });
    bound.spec.volume_name.clone_from(&volume.meta.name);
    bound.status.phase = Some(ClaimPhase::Bound);
    bound.status.access_modes.clone_from(&volume.spec.access_modes);
    bound.status.capacity.clone_from(&volume.spec.capacity);
    bound
}

/// A volume and a claim that are bound to each other, as all the writes of a binding leave them.
pub(super) fn bound(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> (PersistentVolume, PersistentVolumeClaim) {
    (bound_volume(volume, claim), bound_claim(volume, claim))
}

fn pending(stored: &Stored, claim: &PersistentVolumeClaim) -> Option<Verb> {
    phase(stored, claim, ClaimPhase::Pending)
}

fn phase(stored: &Stored, claim: &PersistentVolumeClaim, phase: ClaimPhase) -> Option<Verb> {
    let mut told = claim.clone();
    told.status.phase = Some(phase);
    (claim.status.phase != Some(phase)).then(|| update(stored, told.into(), Part::Status))
}

fn volume_phase(stored: &Stored, volume: &PersistentVolume, phase: VolumePhase) -> Option<Verb> {
    let mut told = volume.clone();
    told.status.phase = Some(phase);
    (volume.status.phase != Some(phase)).then(|| update(stored, told.into(), Part::Status))
}

impl Controller for Binder {
    type Item = Item;
    type Progress = ();

    fn name(&self) -> &'static str {
        "persistent-volume-binder"
    }
    /// Upstream has one for claims and one for volumes, under one lock a pair; one keeps their order.
    fn workers(&self) -> usize {
        1
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume, Kind::PersistentVolumeClaim, Kind::StorageClass]
    }
    fn start(&mut self, _now: Time, _cache: &Cache, items: &mut Items<Item>) {
        items.add(Item::All);
    }
    fn items_for(&mut self, _now: Time, change: &Change, _cache: &Cache, items: &mut Items<Item>) {
        match change.object() {
            crate::objects::Object::PersistentVolumeClaim(claim) => {
                items.add(Item::Claim(change.key.clone()));
                // A claim that goes releases its volume.
                if change.new.is_none() && !claim.spec.volume_name.is_empty() {
                    items.add(Item::Volume(Key::new(Kind::PersistentVolume, "", &claim.spec.volume_name)));
                }
            }
            crate::objects::Object::PersistentVolume(volume) => {
                items.add(Item::Volume(change.key.clone()));
                // One that is kept for a claim, or gone from one, is that claim's affair.
                if let Some(reference) = &volume.spec.claim_ref {
                    items.add(Item::Claim(reference.key()));
                }
            }
            _ => {}
        }
    }
    fn reconcile(&mut self, _now: Time, item: &Item, cache: &Cache, out: &mut Requests<Item>) -> Outcome<()> {
        if *item == Item::All {
            let waiting = |stored: &Stored| stored.object.as_persistent_volume_claim().is_some_and(|claim| !claim.is_fully_bound());
            for (key, stored) in cache.list(Kind::PersistentVolumeClaim).filter(|(_, stored)| waiting(stored)) {
                out.items.add_because(Item::Claim(key.clone()), Duration::ZERO, stored.because());
            }
            out.enqueue_after(Item::All, RESYNC);
            return Outcome::Done;
        }
        self.go_on(cache, item, out)
    }
    fn resume(&mut self, _now: Time, item: &Item, (): (), answers: &Answers, cache: &Cache, out: &mut Requests<Item>) -> Outcome<()> {
        match answers.object(0) {
            Some(stored) => {
                self.own.insert(stored.key.clone(), stored.clone());
                self.go_on(cache, item, out)
            }
            None => answers.last(),
        }
    }
}
