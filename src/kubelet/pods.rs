//! All pod workers of a node: what comes from the API, the engine and the clock finds its worker here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::admission::Admitted;
use super::images::{Images, PullRequest};
use super::pod::{Operation, Sandbox, Seen, Stage, State, Worker};
use super::{Env, pod_key};
use crate::base::{Cause, Duration, Map, Stream, Time};
use crate::client::Change;
use crate::objects::node::NodeImage;
use crate::objects::{Key, Kind, Pod, Stored, Uid};
use crate::wire::container::{ContainerEvent, ContainerId, ContainerInfo, ContainerOp, ProbeKind, RuntimeError, SandboxInfo};
use crate::wire::{ApiError, Outbox, fact};

/// What the workers of a node share.
pub(super) struct Shared {
    pub images: Images,
    pub admitted: Admitted,
    /// Relists are at this instant and every second after it.
    pub relist_origin: Time,
    /// This is the machine's first kubelet: what it finds running was ready before the run.
    pub first_life: bool,
    /// What has come for the sync loop while that stands.
    pub deferred: Vec<Deferred>,
}

/// Something that the sync loop takes up in its order.
pub(super) enum Deferred {
    Change(Change),
    /// A probe's verdict has changed.
    Verdict(ContainerId, ProbeKind, bool),
}

/// See the module.
pub(super) struct Pods {
    shared: Shared,
    workers: BTreeMap<Uid, Worker>,
    by_key: Map<Key, Uid>,
    /// Sandboxes without an API object: their containers that still run.
    orphans: BTreeMap<Uid, BTreeSet<ContainerId>>,
    /// What each worker waits for.
    timers: BTreeSet<(Time, Uid)>,
    deadline: Time,
    found: Option<(Vec<SandboxInfo>, Vec<ContainerInfo>)>,
    synced: bool,
    registered: bool,
    begun: bool,
    booted: Time,
    /// When pods are first looked at, once that is known.
    begin_at: Time,
    /// When the sync loop goes on that stands.
    goes_on_at: Time,
}

impl Pods {
    pub fn new(now: Time, first_life: bool, stream: &mut Stream, out: &mut Outbox) -> Pods {
        out.container(ContainerOp::List);
        // A phase of its own: the kubelets of a run boot at the same instant.
        let relist_origin = stream.instant(now, Duration::from_secs(1));
        Pods {
            shared: Shared { images: Images::new(), admitted: Admitted::default(), relist_origin, first_life, deferred: Vec::new() },
            workers: BTreeMap::new(),
            by_key: Map::default(),
            orphans: BTreeMap::new(),
            timers: BTreeSet::new(),
            deadline: Time::NEVER,
            found: None,
            synced: false,
            registered: false,
            begun: false,
            booted: now,
            begin_at: Time::NEVER,
            goes_on_at: Time::NEVER,
        }
    }
    pub fn relist_origin(&self) -> Time {
        self.shared.relist_origin
    }
    pub fn admitted(&self) -> impl Iterator<Item = &Pod> {
        self.workers.values().filter(|worker| worker.admitted && worker.stage != Stage::Terminated).map(Worker::pod)
    }
    pub fn deadline(&self) -> Time {
        self.deadline.min(self.begin_at).min(self.goes_on_at)
    }
    pub fn images(&self) -> Vec<NodeImage> {
        self.shared.images.listed()
    }
    pub fn synced(&mut self, env: &mut Env) {
        self.synced = true;
        self.begin(env);
    }
    pub fn registered(&mut self, env: &mut Env) {
        self.registered = true;
        self.begin(env);
    }
    /// Pods are looked at when the engine has been listed, the node is registered and the API has said which pods are here: first all
    /// of them in order of creation, since admission counts. A kubelet that comes back looks each `node_sync_period` from its start whether
    /// it knows its node, and first asks for its pods then.
    fn begin(&mut self, env: &mut Env) {
        if self.begun || !self.synced || !self.registered || self.found.is_none() {
            return;
        }
        if !self.shared.first_life {
            let period = env.config.node_sync_period;
            self.begin_at = self.begin_at.min(env.now.next_tick(self.booted + period, period));
            if env.now < self.begin_at {
                return;
            }
        }
        self.begun = true;
        self.begin_at = Time::NEVER;
        let (sandboxes, containers) = self.found.take().expect("just checked");
        let mut pods: Vec<Stored> = env.session.cache().list(Kind::Pod).map(|(_, stored)| stored.clone()).collect();
        pods.sort_by_key(|stored| (stored.object.meta().creation_timestamp, stored.key.clone()));
        for stored in pods {
            let uid = stored.object.meta().uid.clone();
            let sandbox = sandboxes.iter().find(|sandbox| sandbox.pod == uid);
            let own: Vec<&ContainerInfo> = containers.iter().filter(|info| info.container.pod == uid).collect();
            self.add(stored, sandbox, &own, env);
        }
        for sandbox in &sandboxes {
            if self.workers.contains_key(&sandbox.pod) {
                continue;
            }
            self.kill_orphan(&sandbox.pod, &containers, env);
        }
    }
    fn add(&mut self, stored: Stored, sandbox: Option<&SandboxInfo>, containers: &[&ContainerInfo], env: &mut Env) {
        let uid = stored.object.meta().uid.clone();
        let mut worker = Worker::new(stored, env.now);
        env.out.because(worker.cause);
        worker.adopt(sandbox, containers);
        let (nothing_runs, deleting) = (worker.sandbox == Sandbox::None, worker.pod().meta.is_deleting());
        if worker.is_api_terminal() || (nothing_runs && deleting) {
            worker.stage = if nothing_runs && !deleting { Stage::Terminated } else { Stage::Terminating };
            worker.grace_until = env.now;
        } else {
            match self.shared.admitted.admit(worker.pod(), env.shape, &env.shape.labels) {
                Ok(()) => worker.admitted = true,
                Err(rejection) => {
                    worker.verdict = Some(Arc::new(rejection));
                    worker.stage = if worker.sandbox == Sandbox::None { Stage::Terminated } else { Stage::Terminating };
                }
            }
        }
        self.by_key.insert(pod_key(&worker.stored), uid.clone());
        worker.see(&self.shared, true, env);
        if worker.stage == Stage::Sync && worker.pod().meta.is_deleting() {
            worker.terminate_as_deleted(&mut self.shared, env);
        }
        self.workers.insert(uid.clone(), worker);
        self.sync(&uid, env);
    }
    fn kill_orphan(&mut self, pod: &Uid, containers: &[ContainerInfo], env: &mut Env) {
        let runs = |info: &&ContainerInfo| info.container.pod == *pod && info.started_at.is_some() && info.exit.is_none();
        let running: BTreeSet<ContainerId> = containers.iter().filter(runs).map(|info| info.container.clone()).collect();
        for container in &running {
            // 1 s: what `pod_workers.go` gives to a pod that only the runtime knows.
            env.out.container(ContainerOp::Stop { container: container.clone(), grace: Duration::from_secs(1) });
        }
        if running.is_empty() {
            env.out.container(ContainerOp::StopSandbox { pod: pod.clone() });
        } else {
            self.orphans.insert(pod.clone(), running);
        }
    }

    /// A pod of this node changed in the API.
    pub fn changed(&mut self, change: Change, env: &mut Env) {
        if !self.begun {
            return;
        }
        if env.runtime.loop_stands(env.now) {
            return self.shared.deferred.push(Deferred::Change(change));
        }
        let known = self.by_key.get(&change.key).cloned();
        match change.new {
            Some(stored) => {
                let uid = &stored.object.meta().uid;
                if let Some(known) = known.filter(|known| known != uid) {
                    self.gone(&known, change.cause, env);
                }
                match self.workers.get_mut(uid) {
                    None => self.add(stored, None, &[], env),
                    Some(worker) => {
                        let uid = uid.clone();
                        worker.updated(stored, &mut self.shared, env);
                        self.sync(&uid, env);
                    }
                }
            }
            None => {
                if let Some(known) = known {
                    self.gone(&known, change.cause, env);
                }
            }
        }
    }
    /// The API object is gone: what still runs is ended, and nobody is told.
    fn gone(&mut self, uid: &Uid, cause: Cause, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.removed = true;
        if worker.stage != Stage::Terminated {
            worker.cause = cause;
            env.out.because(cause);
            // What a forced deletion leaves: the least that a container is given (k/k `pkg/kubelet/kuberuntime/kuberuntime_container.go`).
            worker.terminate(super::workers::GRACE_MIN, &mut self.shared, env);
        }
        let key = pod_key(&worker.stored);
        if self.by_key.get(&key) == Some(uid) {
            self.by_key.remove(&key);
        }
        self.sync(uid, env);
    }
    pub fn reported(&mut self, uid: &Uid, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.reported(result, &mut self.shared, env);
        self.sync(uid, env);
    }
    pub fn deleted(&mut self, uid: &Uid, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.deleted(&result, env);
        self.sync(uid, env);
    }

    /// What the API says of a volume of a pod.
    pub fn volume_answered(&mut self, uid: &Uid, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.volume_answered(result, env);
        self.sync(uid, env);
    }

    /// An event of the engine. True if the node's images have changed.
    pub fn container_event(&mut self, event: ContainerEvent, env: &mut Env) -> bool {
        let cause = env.out.cause();
        match event {
            ContainerEvent::Listed { sandboxes, containers, images } => {
                self.shared.images.found(images);
                self.found = Some((sandboxes, containers));
                self.begin(env);
                return true;
            }
            ContainerEvent::Pulled { image, result } => {
                let new = result.is_ok() && !self.shared.images.is_present(&image);
                for request in self.shared.images.pulled(&image, result.ok()) {
                    env.out.because(cause);
                    self.pull_ended(&request, result.err().map(pull_error), env);
                }
                return new;
            }
            ContainerEvent::Exited { container, exit } => {
                // Its pod is not looked at yet: what was found running is not any more.
                let found = self.found.iter_mut().flat_map(|(_, containers)| containers);
                for info in found.filter(|info| info.container == container) {
                    info.exit = Some(exit);
                }
                if let Some(running) = self.orphans.get_mut(&container.pod) {
                    running.remove(&container);
                    if running.is_empty() {
                        self.orphans.remove(&container.pod);
                        env.out.container(ContainerOp::StopSandbox { pod: container.pod });
                    }
                    return false;
                }
                self.with(&container.pod, env, |worker, shared, env| worker.exited(&container, exit, shared, env));
            }
            ContainerEvent::SandboxRunning { pod, result } => {
                self.with(&pod, env, |worker, shared, env| worker.sandbox_running(result, shared, env));
            }
            ContainerEvent::Created { container, result } => {
                self.with(&container.pod, env, |worker, _, env| worker.created(&container, result, env));
            }
            ContainerEvent::Started { container, result } => {
                self.with(&container.pod, env, |worker, shared, env| worker.started(&container, result, shared, env));
            }
            ContainerEvent::SandboxStopped { pod } => {
                self.with(&pod, env, |worker, _, _| worker.sandbox = Sandbox::None);
            }
            ContainerEvent::Probed { container, probe, success, holds_until } => {
                self.with(&container.pod, env, |worker, shared, env| worker.probed(&container, probe, success, holds_until, shared, env));
            }
            // The runtime's silence is told to all parts at once.
            ContainerEvent::Removed { .. } | ContainerEvent::FellSilent | ContainerEvent::AnswersAgain => {}
        }
        false
    }
    fn with(&mut self, uid: &Uid, env: &mut Env, act: impl FnOnce(&mut Worker, &mut Shared, &mut Env)) {
        if let Some(worker) = self.workers.get_mut(uid) {
            act(worker, &mut self.shared, env);
            self.sync(uid, env);
        }
    }
    /// A pull has ended; the container that waited for it goes on, or is held.
    fn pull_ended(&mut self, request: &PullRequest, error: Option<&'static str>, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(&request.pod) else { return };
        let subject = fact::Subject::Object(pod_key(&worker.stored));
        let image = request.image.clone();
        let what = match error {
            None => fact::What::Pulled { image },
            Some(error) => fact::What::PullFailed { image, error: error.into() },
        };
        worker.cause = env.out.record(fact::Fact { subject, what });
        match error {
            None => self.shared.images.succeeded(&request.pod, &request.image),
            Some(_) => self.shared.images.failed(env.now, &request.pod, &request.image, env.config),
        }
        if worker.operation == Operation::Pull(request.index) {
            worker.pulled(request.index, error.is_none(), env);
        }
        self.sync(&request.pod, env);
    }
    /// Asks the engine for what waits to be pulled.
    fn pump_pulls(&mut self, env: &mut Env) {
        while let Some(next) = self.shared.images.next(env.now, env.config) {
            match next {
                Ok(request) => {
                    env.out.because(request.cause);
                    env.out.container(ContainerOp::Pull { image: request.image });
                }
                Err(request) => {
                    env.out.because(request.cause);
                    self.pull_ended(&request, Some("pull QPS exceeded"), env);
                }
            }
        }
    }

    /// The runtime answers nothing any more.
    pub fn fell_silent(&mut self, env: &mut Env) {
        self.goes_on_at = Time::NEVER;
        for uid in self.workers.keys().cloned().collect::<Vec<_>>() {
            self.with(&uid, env, |worker, _, env| worker.runtime_fell_silent(env.now));
        }
    }
    /// It answers again.
    pub fn answers_again(&mut self, env: &mut Env) {
        for uid in self.workers.keys().cloned().collect::<Vec<_>>() {
            self.with(&uid, env, |worker, shared, env| worker.runtime_answers_again(shared, env));
        }
        self.goes_on_at = env.runtime.loop_goes_on().max(env.now);
        if !env.runtime.loop_stands(env.now) {
            self.go_on(env);
        }
    }
    /// The sync loop takes up what has come while it stood.
    fn go_on(&mut self, env: &mut Env) {
        self.goes_on_at = Time::NEVER;
        for deferred in std::mem::take(&mut self.shared.deferred) {
            match deferred {
                Deferred::Change(change) => self.changed(change, env),
                Deferred::Verdict(id, kind, success) => {
                    self.with(&id.pod, env, |worker, _, env| {
                        env.out.because(worker.cause);
                        worker.judged(&id, kind, success, env);
                    });
                }
            }
        }
        for uid in self.workers.keys().cloned().collect::<Vec<_>>() {
            self.with(&uid, env, |worker, shared, env| worker.catch_up(shared, env));
        }
    }

    /// What is due by the clock.
    pub fn wake(&mut self, env: &mut Env) {
        if self.goes_on_at <= env.now {
            self.go_on(env);
        }
        if self.begin_at <= env.now {
            env.out.because(Cause::NONE);
            self.begin(env);
        }
        while let Some((_, uid)) = self.timers.first().filter(|(at, _)| *at <= env.now).cloned() {
            let worker = self.workers.get_mut(&uid).expect("a timer is a worker's");
            env.out.because(worker.cause);
            worker.wake(&mut self.shared, env);
            self.sync(&uid, env);
        }
    }
    /// Does what there is to do for a pod now, reports, and notes when it wants to be woken.
    fn sync(&mut self, uid: &Uid, env: &mut Env) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        env.out.because(worker.cause);
        worker.sync(&mut self.shared, env);
        let at = if worker.is_done() { Time::NEVER } else { worker.deadline(env.now, env.runtime.loop_stands(env.now)) };
        if worker.wake_at != at {
            self.timers.remove(&(worker.wake_at, uid.clone()));
            worker.wake_at = at;
            if at != Time::NEVER {
                self.timers.insert((at, uid.clone()));
            }
        }
        if worker.is_done() {
            let worker = self.workers.remove(uid).expect("it was just here");
            for index in worker.indexes().filter(|index| worker.containers[usize::from(*index)].state == State::Exited) {
                env.out.container(ContainerOp::Remove { container: worker.id(index) });
            }
        }
        self.deadline = self.timers.first().map_or(Time::NEVER, |(at, _)| *at);
        self.pump_pulls(env);
    }
}

fn pull_error(error: RuntimeError) -> &'static str {
    match error {
        RuntimeError::ImageNotFound => "image not found",
        RuntimeError::RegistryUnavailable => "registry unavailable",
        RuntimeError::Engine => "engine failed",
    }
}

impl Worker {
    /// Takes over what runs.
    pub(super) fn adopt(&mut self, sandbox: Option<&SandboxInfo>, containers: &[&ContainerInfo]) {
        let Some(sandbox) = sandbox else { return };
        self.sandbox = Sandbox::Running(sandbox.ip);
        self.mounts = None;
        for info in containers {
            let index = info.container.index;
            if usize::from(index) >= self.containers.len() {
                continue;
            }
            let record = self.record(index);
            record.attempt = info.container.attempt;
            record.started_at = info.started_at;
            record.exit = info.exit;
            record.state = match (info.started_at, info.exit) {
                (_, Some(_)) => State::Exited,
                (Some(_), None) => State::Running,
                (None, None) => State::Absent,
            };
            record.seen = Seen::Waiting;
        }
    }
}
