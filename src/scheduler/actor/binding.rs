//! Binding a pod's volumes before the pod itself (upstream `plugins/volumebinding`, PreBind: BindPodVolumes).
//!
//! One write after the other: volumes get their claims, claims the node for which a volume is to be made. The volume controller and the
//! provisioners do the rest; each second it is looked whether they have. What goes wrong, or takes longer than `bindTimeoutSeconds` of
//! VolumeBindingArgs, sends the pod back to the queue. What has been written by then stays: there is no roll-back in the API.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{CLIENT, QueuedPod, Scheduler, Token};
use crate::base::{Cause, Duration, Name, Revision, Time};
use crate::client::Reply;
use crate::objects::{Key, Object, PersistentVolume, Stored, Uid};
use crate::scheduler::volumes::PodVolumes;
use crate::wire::api::{Part, Verb};
use crate::wire::{ApiError, Outbox};

/// How often it is looked whether all is bound.
const POLL: Duration = Duration::from_secs(1);

/// The volumes of an assumed pod.
#[derive(Debug)]
pub struct VolumesBinding {
    /// Of the pod.
    uid: Uid,
    node: Name,
    /// All that was assumed.
    volumes: PodVolumes,
    /// With the version that each was decided on: whoever is faster has changed what the decision was made of.
    to_write: VecDeque<(Arc<Object>, Option<Revision>)>,
    /// What has been written, and at which revision.
    written: Vec<(Key, Revision)>,
    /// When it is looked next; `NEVER` while something is being written.
    poll_at: Time,
    give_up_at: Time,
    /// Once all is written.
    may_take: Duration,
    cause: Cause,
}

impl Scheduler {
    /// Begins with the first write.
    pub(super) fn bind_volumes(
        &mut self,
        now: Time,
        pod: &QueuedPod,
        (node, volumes): (Name, PodVolumes),
        may_take: Duration,
        out: &mut Outbox,
    ) {
        let revision = |key: &Key| self.session.cache().get(key).map(|stored| stored.revision);
        let to_write = volumes.objects().map(|object| (object.clone(), revision(&object.key()))).collect();
        let (uid, cause) = (pod.info.pod().meta.uid.clone(), pod.cause);
        let (poll_at, give_up_at) = (Time::NEVER, Time::NEVER);
        let binding = VolumesBinding { uid, node, volumes, to_write, written: Vec::new(), poll_at, give_up_at, may_take, cause };
        self.volumes.insert(pod.info.key.clone(), binding);
        self.write_volumes(now, &pod.info.key, out);
    }

    fn write_volumes(&mut self, now: Time, pod: &Key, out: &mut Outbox) {
        let Some(binding) = self.volumes.get_mut(pod) else { return };
        match binding.to_write.pop_front() {
            Some((object, revision)) => {
                let verb = Verb::Update { object, part: Part::Main, revision };
                self.session.send(now, CLIENT, verb, Token::Volumes(pod.clone(), binding.uid.clone()), out);
            }
            None => (binding.poll_at, binding.give_up_at) = (now + POLL, now + binding.may_take),
        }
    }

    pub(super) fn volumes_answered(
        &mut self,
        now: Time,
        (pod, uid): (&Key, &Uid),
        result: Result<Reply, ApiError>,
        cause: Cause,
        out: &mut Outbox,
    ) {
        let Some(binding) = self.volumes.get_mut(pod).filter(|binding| binding.uid == *uid) else { return };
        match result {
            Ok(reply) => {
                if let Reply::Object(stored) = reply {
                    binding.written.push((stored.key.clone(), stored.revision));
                }
                out.because(binding.cause);
                self.write_volumes(now, pod, out);
            }
            Err(error) => self.binding_failed(now, pod, &in_pre_bind(&error.to_string()), cause, out),
        }
    }

    pub(super) fn volumes_deadline(&self) -> Time {
        self.volumes.values().map(|binding| binding.poll_at).min().unwrap_or(Time::NEVER)
    }

    /// Looks after those whose time it is.
    pub(super) fn check_volumes(&mut self, now: Time, out: &mut Outbox) {
        let due: Vec<Key> = self.volumes.iter().filter(|(_, binding)| binding.poll_at <= now).map(|(pod, _)| pod.clone()).collect();
        for pod in due {
            let binding = &self.volumes[&pod];
            let cause = binding.cause;
            out.because(cause);
            match self.are_bound(binding) {
                Ok(Some(because)) => {
                    let binding = self.volumes.remove(&pod).expect("just seen");
                    let verb = Verb::Bind { pod: pod.clone(), uid: binding.uid, node: binding.node };
                    out.because(because);
                    self.session.send(now, CLIENT, verb, Token::Bind(pod), out);
                }
                Ok(None) if now >= binding.give_up_at => {
                    self.binding_failed(now, &pod, &in_pre_bind("binding volumes: context deadline exceeded"), cause, out);
                }
                Ok(None) => self.volumes.get_mut(&pod).expect("just seen").poll_at = now + POLL,
                Err(why) => self.binding_failed(now, &pod, &in_pre_bind(&format!("binding volumes: {why}")), cause, out),
            }
        }
    }

    /// Whether all that was written has led to bound claims, by the API's own word (`checkBindings`): then why. `Err`: it never will.
    fn are_bound(&self, binding: &VolumesBinding) -> Result<Option<Cause>, String> {
        let cache = self.session.cache();
        let node = cache.node(&binding.node).ok_or_else(|| format!("failed to get node \"{0}\": node \"{0}\" not found", binding.node))?;
        let is_behind = |stored: &Stored| binding.written.iter().any(|(key, revision)| *key == stored.key && stored.revision < *revision);
        let unreachable = |volume: &PersistentVolume| {
            (!volume.is_reachable_from(&node.meta.labels)).then(|| {
                format!("pv \"{}\" node affinity doesn't match node \"{}\": no matching NodeSelectorTerms", volume.meta.name, binding.node)
            })
        };
        let mut because = binding.cause;
        for (volume, claim) in &binding.volumes.bindings {
            let key = volume.key();
            let missing = |key: &Key| format!("failed to check binding: could not find v1.{} \"{}\"", key.kind(), key.name());
            let stored = cache.get(&key).ok_or_else(|| missing(&key))?;
            let claim = cache.get(claim).ok_or_else(|| missing(claim))?;
            if is_behind(stored) {
                return Ok(None);
            }
            let volume = stored.object.as_persistent_volume().expect("of its kind");
            if let Some(why) = unreachable(volume) {
                return Err(why);
            }
            if volume.spec.claim_ref.as_ref().is_none_or(|reference| reference.uid.is_empty()) {
                return Err(format!("ClaimRef got reset for pv \"{}\"", volume.meta.name));
            }
            if !claim.object.as_persistent_volume_claim().is_some_and(|claim| claim.is_fully_bound()) {
                return Ok(None);
            }
            because = claim.because();
        }
        for claim in &binding.volumes.provisions {
            let key = claim.key();
            let missing = || format!("failed to check provisioning pvc: could not find v1.PersistentVolumeClaim \"{}\"", key.name());
            let stored = cache.get(&key).ok_or_else(missing)?;
            if is_behind(stored) {
                return Ok(None);
            }
            let claim = stored.object.as_persistent_volume_claim().expect("of its kind");
            match claim.selected_node() {
                None => return Err(format!("selectedNode annotation reset for PVC \"{}\"", claim.meta.name)),
                Some(node) if *node != binding.node => return Err(format!("provisioning failed for PVC \"{}\"", claim.meta.name)),
                Some(_) => {}
            }
            if !claim.spec.volume_name.is_empty() {
                // A volume that is not seen yet will be.
                let Some(volume) = cache.get(&Key::new(crate::objects::Kind::PersistentVolume, "", &claim.spec.volume_name)) else {
                    return Ok(None);
                };
                if let Some(why) = volume.object.as_persistent_volume().and_then(unreachable) {
                    return Err(why);
                }
            }
            if !claim.is_fully_bound() {
                return Ok(None);
            }
            because = stored.because();
        }
        Ok(Some(because))
    }

    /// The pod goes nowhere: what was assumed for it is given back.
    pub(super) fn leave_volumes(&mut self, pod: &Key) {
        if let Some(binding) = self.volumes.remove(pod) {
            self.snapshot.unreserve(&binding.volumes);
        }
    }
}

fn in_pre_bind(why: &str) -> String {
    format!("running PreBind plugin \"VolumeBinding\": {why}")
}
