//! Waiting for a pod's volumes (k/k `pkg/kubelet/volumemanager`, WaitForAttachAndMount): nothing of a pod is started before each of its
//! claims is bound and, if its driver attaches volumes, its volume is attached to this node.
//!
//! The kubelet asks the API for the claim, its volume, its driver and the attachment; what is not so yet it asks again with back-off. To
//! mount what is there takes no time. Once a sandbox runs nobody looks again.

use super::pod::Worker;
use super::{Env, Token};
use crate::base::{Duration, Name, Time};
use crate::objects::{CsiDriver, Key, Kind, Object, Pod, Stored, VolumeAttachment};
use crate::wire::ApiError;
use crate::wire::api::Verb;

/// `exponentialbackoff`: 500 ms doubling to 2 min 2 s.
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(122);

/// What is left to be seen.
#[derive(Debug)]
pub(super) struct Mounts {
    /// The first is the one being looked at.
    claims: Vec<Key>,
    step: Step,
    asking: bool,
    backoff: Duration,
    retry_at: Time,
}

#[derive(Clone, Debug)]
enum Step {
    Claim,
    Volume(Name),
    /// Whether it attaches, and the attachment to look for if so.
    Driver(Name, Name),
    Attachment(Name),
}

impl Mounts {
    /// `None`: the pod uses no claims.
    pub fn of(pod: &Pod) -> Option<Mounts> {
        let claims: Vec<Key> = pod.claims().map(|used| pod.claim_key(&used.name)).collect();
        (!claims.is_empty()).then_some(Mounts { claims, step: Step::Claim, asking: false, backoff: BACKOFF, retry_at: Time::NEVER })
    }
    pub fn deadline(&self) -> Time {
        self.retry_at
    }
    pub fn wake(&mut self, now: Time) {
        if self.retry_at <= now {
            self.retry_at = Time::NEVER;
        }
    }
    fn question(&self) -> Key {
        match &self.step {
            Step::Claim => self.claims[0].clone(),
            Step::Volume(volume) => Key::new(Kind::PersistentVolume, "", volume),
            Step::Driver(driver, _) => Key::new(Kind::CsiDriver, "", driver),
            Step::Attachment(name) => Key::new(Kind::VolumeAttachment, "", name),
        }
    }
    /// Takes an answer in; false: not yet, ask again later.
    fn learn(&mut self, object: Option<&Object>, node: &Name) -> bool {
        let next = match (&self.step, object) {
            (Step::Claim, Some(Object::PersistentVolumeClaim(claim))) if claim.is_fully_bound() && !claim.meta.is_deleting() => {
                Some(Step::Volume(claim.spec.volume_name.clone()))
            }
            (Step::Volume(_), Some(Object::PersistentVolume(volume))) => {
                volume.spec.csi.as_ref().map(|csi| Step::Driver(csi.driver.clone(), VolumeAttachment::name(csi, node)))
            }
            (Step::Driver(_, attachment), object) => {
                let attaches = object.and_then(Object::as_csi_driver).is_none_or(CsiDriver::attaches);
                attaches.then(|| Step::Attachment(attachment.clone()))
            }
            (Step::Attachment(_), Some(Object::VolumeAttachment(attachment)))
                if attachment.status.attached && !attachment.meta.is_deleting() =>
            {
                None
            }
            _ => return false,
        };
        // Without a next step this volume is there.
        self.step = next.unwrap_or_else(|| {
            self.claims.remove(0);
            Step::Claim
        });
        true
    }
}

impl Worker {
    /// Asks for the next thing that is not known of its volumes.
    pub(super) fn look_at_volumes(&mut self, env: &mut Env) {
        let uid = self.uid().clone();
        let Some(mounts) = &mut self.mounts else { return };
        if !mounts.asking && mounts.retry_at == Time::NEVER {
            mounts.asking = true;
            let verb = Verb::Get { key: mounts.question(), fresh: true };
            env.send(0, verb, Token::Volume(uid));
        }
    }
    pub(super) fn volume_answered(&mut self, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        let Some(mounts) = &mut self.mounts else { return };
        mounts.asking = false;
        let missing = result.as_ref().is_err_and(|error| error.reason == crate::wire::api::Reason::NotFound);
        let stored = result.ok().flatten();
        let object = stored.as_ref().map(|stored| stored.object.clone());
        // A driver without an object of its own attaches.
        let answered = object.is_some() || missing;
        if answered && mounts.learn(object.as_deref(), &env.shape.name) {
            mounts.backoff = BACKOFF;
            // What came after the pod was bound is why it can start only now.
            if let Some(stored) = stored.filter(|stored| stored.revision > self.stored.revision) {
                self.cause = stored.because();
            }
            if mounts.claims.is_empty() {
                self.mounts = None;
            }
        } else {
            mounts.retry_at = env.now + mounts.backoff;
            mounts.backoff = (mounts.backoff * 2).min(BACKOFF_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, mut value: serde_json::Value) -> Object {
        value["kind"] = kind.into();
        Object::from_json(value).expect("a valid object")
    }

    #[test]
    fn a_volume_is_there_when_its_claim_is_bound_and_it_is_attached_here() {
        let Object::Pod(pod) = object(
            "Pod",
            json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [],
                "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}),
        ) else {
            unreachable!("a pod")
        };
        let node = Name::new("node-1");
        let mut mounts = Mounts::of(&pod).expect("it uses a claim");
        assert_eq!(mounts.question().name(), "data");
        let claim = |bound: bool| {
            let annotations = if bound { json!({"pv.kubernetes.io/bind-completed": "yes"}) } else { json!({}) };
            object("PersistentVolumeClaim", json!({"metadata": {"name": "data", "annotations": annotations}, "spec": {"volumeName": "pv"}}))
        };
        assert!(!mounts.learn(None, &node) && !mounts.learn(Some(&claim(false)), &node));
        assert!(mounts.learn(Some(&claim(true)), &node));
        let volume = object("PersistentVolume", json!({"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d", "volumeHandle": "h"}}}));
        assert!(mounts.learn(Some(&volume), &node));
        assert_eq!(mounts.question().to_string(), "CSIDriver d");
        assert!(mounts.learn(None, &node), "a driver that says nothing attaches");
        let attachment = |attached: bool| object("VolumeAttachment", json!({"metadata": {"name": "x"}, "status": {"attached": attached}}));
        assert!(!mounts.learn(Some(&attachment(false)), &node));
        assert!(mounts.learn(Some(&attachment(true)), &node));
        assert!(mounts.claims.is_empty());
    }
}
