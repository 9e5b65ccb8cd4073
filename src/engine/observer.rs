//! The observer: turns committed revisions into facts about objects.
//!
//! It sees what every etcd member applies. The first member to apply a revision makes it true; the others must agree with it to the
//! letter ([`crate::engine::checks`]). From each change it tells what a person would want to know: created, bound, ready, evicted, gone.
//! Writes that change nothing of that kind (heartbeats, lease renewals) make no fact.
//!
//! It also keeps the newest version of each object (the *truth*), from which expectations and samples are counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::recorder::Recorder;
use crate::base::{Cause, Map, Name, Revision, Time};
use crate::objects::{Conditions, Key, Kind, Meta, Node, Object, Pod, Stored, Taint};
use crate::wire::Outbox;
use crate::wire::etcd::{Applied, WatchEvent};
use crate::wire::fact::{Fact, Subject, What};

/// What a workload's pods amount to, as the API shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub wanted: u64,
    /// Active pods: neither terminal nor marked for deletion.
    pub current: u64,
    pub ready: u64,
    /// Ready for minReadySeconds, as the workload's own status counts them when that is not 0.
    pub available: u64,
}

/// See the module.
#[derive(Default)]
pub struct Observer {
    truth: BTreeMap<Key, Stored>,
    /// By the top-level workload's key: its pods.
    pods_of: Map<Key, BTreeMap<Key, ()>>,
    tallies: BTreeMap<Key, Tally>,
    /// (active, ready) pods of each workload, kept up to date by every change of a pod.
    active: Map<Key, (u64, u64)>,
    violations: Vec<String>,
    /// (pods, cpu in milli-CPU, memory in bytes) requested on each node, by node name.
    requested: Map<Name, (u32, i64, i64)>,
    /// `requested` changed since it was last asked.
    requests_changed: bool,
    revision: Revision,
}

/// A workload whose pods were touched by a revision: expectations look at it again.
pub type Touched = Vec<Key>;

impl Observer {
    /// The store's contents at the start of an `"initial": "running"` run: what has been there is told as
    /// created at the start, owners before what they own. Leases tell nothing, as ever.
    pub fn preload(&mut self, at: Time, objects: &[Stored], recorder: &mut Recorder, out: &mut Outbox) {
        for stored in objects {
            let key = stored.key.clone();
            if key.kind() == Kind::Lease {
                continue;
            }
            self.revision = self.revision.max(stored.revision);
            self.change(at, &key, None, Some(stored), stored.revision, Cause::NONE, recorder, out);
        }
        let workloads: Vec<Key> = self.pods_of.keys().cloned().chain(self.workload_keys()).collect();
        let mut workloads = workloads;
        workloads.sort();
        workloads.dedup();
        self.retally(at, &workloads, Cause::NONE, self.revision, recorder, out);
    }

    fn workload_keys(&self) -> Vec<Key> {
        self.truth.keys().filter(|key| key.kind() == Kind::Deployment).cloned().collect()
    }

    /// The first member to apply a revision. Returns the workloads that it touched.
    pub fn committed(&mut self, at: Time, applied: &Applied, recorder: &mut Recorder, out: &mut Outbox) -> Touched {
        self.revision = applied.revision;
        let mut touched = Vec::new();
        for event in &applied.events {
            let Some(key) = Key::from_path(&event.kv.key) else { continue };
            if key.kind() == Kind::Lease {
                continue;
            }
            let new = stored(event);
            let old = self.truth.get(&key).cloned();
            if let Some(workload) = self.change(at, &key, old.as_ref(), new.as_ref(), applied.revision, applied.cause, recorder, out) {
                touched.push(workload);
            }
        }
        touched.sort();
        touched.dedup();
        self.retally(at, &touched, Cause::revision(applied.revision), applied.revision, recorder, out);
        touched
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.truth.get(key)
    }
    pub fn tally(&self, workload: &Key) -> Tally {
        match self.bare_pod(workload) {
            None => self.tallies.get(workload).copied().unwrap_or_default(),
            Some(pod) => {
                let (current, ready) = (u64::from(pod.is_active()), u64::from(pod.is_active() && pod.is_ready()));
                Tally { wanted: 0, current, ready, available: ready }
            }
        }
    }
    /// A pod that nobody controls, which an expectation may name as if it were a workload.
    fn bare_pod(&self, workload: &Key) -> Option<&Pod> {
        (workload.kind() == Kind::Pod).then(|| self.truth.get(workload)?.object.as_pod()).flatten()
    }
    pub fn requested(&self, node: &Name) -> (u32, i64, i64) {
        self.requested.get(node).copied().unwrap_or_default()
    }
    /// Whether what is requested on some node may have changed since this was last asked.
    pub fn take_requests_changed(&mut self) -> bool {
        std::mem::take(&mut self.requests_changed)
    }
    /// The pods of a top-level workload, in key order; a pod is its own.
    pub fn pods<'a>(&'a self, workload: &Key) -> impl Iterator<Item = &'a Pod> {
        let keys = self.pods_of.get(workload).into_iter().flat_map(|keys| keys.keys());
        keys.filter_map(|key| self.truth.get(key)?.object.as_pod()).chain(self.bare_pod(workload))
    }
    pub fn objects(&self) -> &BTreeMap<Key, Stored> {
        &self.truth
    }

    /// One object's change: facts, indexes, the truth. Returns the workload that it touches.
    #[expect(clippy::too_many_arguments, reason = "one call in two places; a struct would only rename them")]
    fn change(
        &mut self,
        at: Time,
        key: &Key,
        old: Option<&Stored>,
        new: Option<&Stored>,
        revision: Revision,
        cause: Cause,
        recorder: &mut Recorder,
        out: &mut Outbox,
    ) -> Option<Key> {
        let mut told = Vec::new();
        let workload = self.workload_of(key, new.or(old));
        describe(old.map(|old| &*old.object), new.map(|new| &*new.object), revision, workload.as_ref(), &mut told);
        let subject = Subject::Object(key.clone());
        for (number, what) in told.into_iter().enumerate() {
            let id = out.next_fact_id();
            recorder.record(at, id, cause, Fact { subject: subject.clone(), what });
            if number == 0 {
                recorder.stands_for(revision, id);
            }
        }
        // A write that tells nothing still passes its cause on.
        if recorder.resolve(Cause::revision(revision)).is_none()
            && let Some(behind) = recorder.resolve(cause)
        {
            recorder.stands_for(revision, behind);
        }
        if key.kind() == Kind::Pod {
            self.check_bound_once(key, old, new, revision);
            for (version, sign) in [(old, -1), (new, 1)] {
                if let Some(pod) = version.and_then(|stored| stored.object.as_pod()) {
                    self.count(pod, sign);
                }
            }
            if let Some(workload) = &workload {
                let counts = self.active.entry(workload.clone()).or_default();
                for (version, comes) in [(old, false), (new, true)] {
                    let Some(pod) = version.and_then(|stored| stored.object.as_pod()).filter(|pod| pod.is_active()) else { continue };
                    let ready = u64::from(pod.is_ready());
                    *counts = if comes { (counts.0 + 1, counts.1 + ready) } else { (counts.0 - 1, counts.1 - ready) };
                }
                let pods = self.pods_of.entry(workload.clone()).or_default();
                if new.is_some() {
                    pods.insert(key.clone(), ());
                } else {
                    pods.remove(key);
                }
            }
        }
        match new {
            Some(stored) => self.truth.insert(key.clone(), stored.clone()),
            None => self.truth.remove(key),
        };
        workload
    }

    /// Invariant: a pod is bound once.
    fn check_bound_once(&mut self, key: &Key, old: Option<&Stored>, new: Option<&Stored>, revision: Revision) {
        if let (Some(old), Some(new)) = (old.and_then(|old| old.object.as_pod()), new.and_then(|new| new.object.as_pod()))
            && old.meta.uid == new.meta.uid
            && old.node.is_some()
            && old.node != new.node
        {
            self.violations.push(format!("{key} was bound to {:?} and at revision {revision} to {:?}", old.node, new.node));
        }
    }
    /// Broken invariants since the last call.
    pub fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// Adds a bound pod's requests to its node, or takes them away.
    fn count(&mut self, pod: &Pod, sign: i64) {
        let Some(node) = pod.node.as_ref().filter(|_| !pod.status.phase.is_terminal()) else { return };
        let requests = pod.spec.requests();
        self.requests_changed = true;
        let entry = self.requested.entry(node.clone()).or_default();
        entry.0 = entry.0.wrapping_add_signed(sign as i32);
        entry.1 += sign * requests.get("cpu").map_or(0, |amount| amount.milli_value());
        entry.2 += sign * requests.get("memory").map_or(0, |amount| amount.value());
    }

    /// The top-level workload of an object: a Deployment for its ReplicaSets and their pods; itself for a Deployment.
    fn workload_of(&self, key: &Key, stored: Option<&Stored>) -> Option<Key> {
        let object = &stored?.object;
        match key.kind() {
            Kind::Deployment => Some(key.clone()),
            Kind::ReplicaSet | Kind::Pod => {
                let Some(owner) = object.meta().controller().and_then(|owner| owner.key(key.namespace())) else {
                    return (key.kind() == Kind::ReplicaSet).then(|| key.clone());
                };
                let above = self.truth.get(&owner).and_then(|stored| stored.object.meta().controller()?.key(key.namespace()));
                Some(above.unwrap_or(owner))
            }
            _ => None,
        }
    }

    /// Counts touched workloads again and tells where a count changed.
    fn retally(&mut self, at: Time, workloads: &[Key], cause: Cause, revision: Revision, recorder: &mut Recorder, out: &mut Outbox) {
        for workload in workloads {
            let tally = self.count_workload(workload);
            if self.tallies.get(workload) == Some(&tally) {
                continue;
            }
            self.tallies.insert(workload.clone(), tally);
            let Tally { wanted, current, ready, available } = tally;
            let id = out.next_fact_id();
            let what = What::Replicas { revision, wanted, current, ready, available };
            recorder.record(at, id, cause, Fact { subject: Subject::Object(workload.clone()), what });
        }
    }

    fn count_workload(&self, workload: &Key) -> Tally {
        let object = self.truth.get(workload).map(|stored| &*stored.object);
        let (wanted, min_ready, status_available) = match object {
            Some(Object::Deployment(deployment)) => {
                let spec = &deployment.spec;
                (spec.replicas.unwrap_or(1), spec.min_ready_seconds, deployment.status.available_replicas)
            }
            Some(Object::ReplicaSet(set)) => (set.spec.replicas.unwrap_or(1), set.spec.min_ready_seconds, set.status.available_replicas),
            _ => (0, 0, 0),
        };
        let (current, ready) = self.active.get(workload).copied().unwrap_or_default();
        let mut tally = Tally { wanted, current, ready, available: 0 };
        tally.available = if min_ready == 0 { tally.ready } else { status_available.min(tally.ready) };
        tally
    }
}

fn stored(event: &WatchEvent) -> Option<Stored> {
    let object = event.kv.value.as_object().filter(|_| !event.deleted)?;
    let key = Key::from_path(&event.kv.key)?;
    Some(Stored { key, revision: event.kv.mod_revision, cause: event.kv.cause, object: Arc::clone(object) })
}

/// What a person would want to know of a change, the most telling first.
fn describe(old: Option<&Object>, new: Option<&Object>, revision: Revision, workload: Option<&Key>, told: &mut Vec<What>) {
    let (Some(new), old) = (new, old) else {
        told.push(What::Removed { revision });
        return;
    };
    let Some(old) = old else {
        let owner = workload.filter(|workload| **workload != new.key()).cloned();
        told.push(What::Created { revision, uid: new.meta().uid.clone(), owner });
        if let Object::Pod(pod) = new {
            describe_pod(&Pod::default(), pod, revision, told);
        }
        if let Object::Node(node) = new {
            describe_node(&Node::default(), node, revision, told);
        }
        return;
    };
    describe_meta(old.meta(), new.meta(), revision, told);
    match (old, new) {
        (Object::Pod(old), Object::Pod(new)) => describe_pod(old, new, revision, told),
        (Object::Node(old), Object::Node(new)) => describe_node(old, new, revision, told),
        (Object::EndpointSlice(old), Object::EndpointSlice(new)) if old.endpoints != new.endpoints => {
            let ready = new.endpoints.iter().filter(|endpoint| endpoint.conditions.ready).count() as u32;
            told.push(What::Endpoints { revision, ready, total: new.endpoints.len() as u32 });
        }
        (Object::Deployment(old), Object::Deployment(new)) => {
            if old.spec.replicas != new.spec.replicas {
                told.push(changed(revision, format!("scaled to {}", new.spec.replicas.unwrap_or(1))));
            }
            if old.spec.template != new.spec.template {
                told.push(changed(revision, "template changed".to_owned()));
            }
            let reason = |deployment: &crate::objects::Deployment| {
                deployment.status.conditions.get("Progressing").map(|condition| condition.reason.to_string())
            };
            if reason(old) != reason(new)
                && let Some(reason) = reason(new)
            {
                told.push(changed(revision, format!("progress: {reason}")));
            }
        }
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) if old.status.phase != new.status.phase => {
            if let Some(phase) = new.status.phase {
                told.push(changed(revision, format!("{phase:?} {}", new.spec.volume_name).trim_end().to_owned()));
            }
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) if old.status.phase != new.status.phase => {
            if let Some(phase) = new.status.phase {
                told.push(changed(revision, format!("{phase:?}")));
            }
        }
        (Object::VolumeAttachment(old), Object::VolumeAttachment(new)) if new.status.attached && !old.status.attached => {
            let volume = new.volume().map_or("", Name::as_str);
            told.push(changed(revision, format!("{volume} is attached to {}", new.spec.node_name)));
        }
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) if old.spec.replicas != new.spec.replicas => {
            told.push(changed(revision, format!("scaled to {}", new.spec.replicas.unwrap_or(1))));
        }
        _ => {}
    }
}

fn changed(revision: Revision, text: String) -> What {
    What::Changed { revision, text: text.into() }
}

fn describe_meta(old: &Meta, new: &Meta, revision: Revision, told: &mut Vec<What>) {
    if new.is_deleting() && !old.is_deleting() {
        told.push(What::DeletionMarked { revision, grace_seconds: new.deletion_grace_period_seconds.unwrap_or(0) });
    }
}

fn describe_pod(old: &Pod, new: &Pod, revision: Revision, told: &mut Vec<What>) {
    if let Some(node) = new.node.as_ref().filter(|_| old.node.is_none()) {
        told.push(What::PodBound { revision, node: node.clone() });
    }
    if old.status.phase != new.status.phase {
        told.push(What::PodPhase { revision, phase: new.status.phase, reason: Name::new(&new.status.reason) });
    }
    if old.is_ready() != new.is_ready() {
        let reason = new.status.conditions.get("Ready").map_or("", |condition| &condition.reason);
        told.push(What::PodReady { revision, ready: new.is_ready(), reason: Name::new(reason) });
    }
}

fn describe_node(old: &Node, new: &Node, revision: Revision, told: &mut Vec<What>) {
    let ready = |node: &Node| node.status.conditions.get("Ready").map(|condition| (condition.status, condition.reason.clone()));
    if let Some((status, reason)) = ready(new).filter(|now| ready(old).is_none_or(|before| before.0 != now.0)) {
        told.push(What::NodeReady { revision, status: format!("{status:?}").into(), reason: Name::new(&reason) });
    }
    let has = |node: &Node, taint: &Taint| node.taint(&taint.key, taint.effect).is_some();
    let text = |taint: &Taint| Name::from(format!("{}:{:?}", taint.key, taint.effect));
    for taint in new.spec.taints.iter().filter(|taint| !has(old, taint)) {
        told.push(What::Tainted { revision, taint: text(taint) });
    }
    for taint in old.spec.taints.iter().filter(|taint| !has(new, taint)) {
        told.push(What::Untainted { revision, taint: text(taint) });
    }
    if old.spec.unschedulable != new.spec.unschedulable {
        told.push(changed(revision, if new.spec.unschedulable { "cordoned" } else { "uncordoned" }.to_owned()));
    }
}
