//! A pod worker: sync, terminating, terminated (k/k `pkg/kubelet`, `pod_workers.go`, `kuberuntime_manager.go`).

use std::sync::Arc;

use super::admission::Rejection;
use super::backoff::{first_sync_after, sync_retry};
use super::images::Ensure;
use super::pod::{Operation, Record, Sandbox, Seen, Stage, State, Stop, Waiting, Worker, ends_sync};
use super::pods::{Deferred, Shared};
use super::probes::{ProbeWorker, initial_delay, timeout};
use super::{Env, Token, pod_key};
use crate::base::{Duration, Time};
use crate::objects::pod::PodIp;
use crate::objects::{Pod, Stored};
use crate::wire::ApiError;
use crate::wire::api::{DeleteOptions, Part, Patch, Verb};
use crate::wire::container::{ContainerId, ContainerOp, Exit, ProbeKind, RuntimeError};
use crate::wire::fact::{Fact, Subject, What};

/// The least that a container is given between SIGTERM and SIGKILL (`kuberuntime_container.go`, minimumGracePeriodInSeconds).
pub(super) const GRACE_MIN: Duration = Duration::from_secs(2);
/// The status manager's full pass repeats what failed.
const STATUS_PASS: Duration = Duration::from_secs(10);

impl Worker {
    /// Level-triggered: does the next thing for this pod, and reports what has changed.
    pub fn sync(&mut self, shared: &mut Shared, env: &mut Env) {
        // Left to the sync loop while that stands.
        if self.stage == Stage::Sync && !env.runtime.loop_stands(env.now) {
            if ends_sync(self.phase()) {
                self.terminate(self.spec_grace(), shared, env);
            } else {
                self.next_action(shared, env);
            }
        }
        if self.stage == Stage::Terminating {
            self.go_on_terminating(shared, env);
        }
        self.report(env);
    }
    /// Nothing is left to do, and nobody to tell.
    pub fn is_done(&self) -> bool {
        self.removed && self.stage == Stage::Terminated
    }
    /// What is due by the clock: the relist, probes, hooks, deadlines. Held containers and reports are the sync's.
    pub fn wake(&mut self, shared: &mut Shared, env: &mut Env) {
        let stands = env.runtime.loop_stands(env.now);
        if self.relist_at <= env.now {
            self.relist_at = Time::NEVER;
            // Nothing is listed, or nobody listens: what there is to see is seen when that is over.
            if !stands && !env.runtime.is_silent() {
                self.see(shared, false, env);
            }
        }
        if self.retry_at <= env.now {
            self.retry_at = Time::NEVER;
        }
        if let Some(mounts) = &mut self.mounts {
            mounts.wake(env.now);
        }
        if self.report_at <= env.now {
            self.report_at = Time::NEVER;
        }
        let active = self.pod().spec.active_deadline_seconds.map(|seconds| self.started_at + Duration::from_secs(seconds));
        if self.stage == Stage::Sync && !stands && active.is_some_and(|until| until <= env.now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.verdict = Some(Arc::new(Rejection { reason: "DeadlineExceeded".to_owned(), message }));
            self.terminate(self.spec_grace(), shared, env);
        }
        let silent = env.runtime.is_silent().then_some(env.config.runtime_request_timeout);
        for index in self.indexes() {
            let id = self.id(index);
            let grace = self.grace_until.since(env.now).max(GRACE_MIN);
            let record = &mut self.containers[usize::from(index)];
            if matches!(record.stop, Stop::Hook(until) if until <= env.now) {
                record.stop = Stop::Sent;
                if record.state == State::Running {
                    env.out.container(ContainerOp::Stop { container: id.clone(), grace });
                }
            }
            if record.state == State::Running && record.stop == Stop::No {
                let due: Vec<ProbeKind> = record.probes.iter().filter(|probe| probe.next <= env.now).map(|probe| probe.kind).collect();
                let timed_out: Vec<ProbeKind> =
                    record.probes.iter().filter(|probe| probe.times_out <= env.now).map(|probe| probe.kind).collect();
                for kind in due {
                    if self.record(index).probe(kind).expect("it is due").asked(env.now, silent) {
                        self.ask_probe(index, kind, env);
                    }
                }
                for kind in timed_out {
                    self.probed(&id, kind, false, Time::ZERO, shared, env);
                }
            }
        }
    }

    fn ask_probe(&self, index: u16, kind: ProbeKind, env: &mut Env) {
        let timeout = timeout(self.probe_spec(index, kind).expect("a probe worker has a probe"));
        env.out.container(ContainerOp::Probe { container: self.id(index), probe: kind, timeout });
    }
    /// The runtime answers nothing: what it promised of probes is off.
    pub fn runtime_fell_silent(&mut self, now: Time) {
        self.containers.iter_mut().flat_map(|record| &mut record.probes).for_each(|probe| probe.promise_is_off(now));
    }
    /// It answers again: probes that have not timed out are answered, and relists are made.
    pub fn runtime_answers_again(&mut self, shared: &Shared, env: &mut Env) {
        if self.stage == Stage::Terminated {
            self.settle(shared, env);
        }
        for index in self.indexes() {
            let waiting = self.record(index).probes.iter_mut().filter_map(|probe| probe.may_be_asked().then_some(probe.kind));
            for kind in waiting.collect::<Vec<_>>() {
                self.ask_probe(index, kind, env);
            }
        }
    }
    /// The sync loop goes on after it stood: a relist sees what has happened, and an end is heard of that the API asked for.
    pub fn catch_up(&mut self, shared: &mut Shared, env: &mut Env) {
        self.relist_soon(shared, env);
        if self.pod().meta.is_deleting() {
            self.hear_of_deletion(shared, env);
        }
    }

    /// The next thing that a sync does: sandbox, init containers in order, then app containers in order.
    fn next_action(&mut self, shared: &mut Shared, env: &mut Env) {
        if self.operation != Operation::None {
            return;
        }
        match self.sandbox {
            Sandbox::Stopping => return,
            Sandbox::None if self.mounts.is_some() => return self.look_at_volumes(env),
            Sandbox::None => {
                if self.retry_at == Time::NEVER {
                    self.run_sandbox(env);
                }
                return;
            }
            Sandbox::Running(_) => {}
        }
        let apps_began = self.indexes().any(|index| !self.spec(index).1 && self.containers[usize::from(index)].state != State::Absent);
        for index in self.indexes() {
            let record = &self.containers[usize::from(index)];
            let startable = match record.state {
                State::Absent => record.hold_until <= env.now,
                State::Exited => record.seen == Seen::Exited && record.hold_until <= env.now && self.is_restarted(index),
                State::Starting | State::Running => false,
            };
            if self.is_regular_init(index) {
                if record.exit.is_some_and(|exit| exit.code == 0) || (apps_began && record.state != State::Running) {
                    continue;
                }
                if startable {
                    self.start(index, shared, env);
                }
                return;
            }
            if startable {
                self.start(index, shared, env);
                if self.operation != Operation::None {
                    return;
                }
            }
            if self.is_sidecar(index) && !self.containers[usize::from(index)].started && !apps_began {
                return;
            }
        }
    }
    fn run_sandbox(&mut self, env: &mut Env) {
        // A new sandbox runs its init containers again, and everything else that was to be restarted.
        for index in self.indexes().filter(|index| self.is_regular_init(*index)).collect::<Vec<_>>() {
            let record = self.record(index);
            if record.state == State::Exited {
                record.begin_attempt();
                record.state = State::Absent;
                record.seen = Seen::Waiting;
            }
        }
        for index in self.indexes().filter(|index| !self.is_regular_init(*index)).collect::<Vec<_>>() {
            let restarted = self.is_restarted(index);
            let record = self.record(index);
            if record.state == State::Exited && restarted {
                record.begin_attempt();
                record.state = State::Absent;
            }
        }
        self.operation = Operation::Sandbox;
        env.out.container(ContainerOp::RunSandbox { pod: self.uid().clone(), identity: self.identity() });
    }
    pub fn sandbox_running(&mut self, result: Result<PodIp, RuntimeError>, shared: &Shared, env: &mut Env) {
        self.operation = Operation::None;
        match result {
            Ok(ip) => {
                self.sandbox = Sandbox::Running(ip);
                self.relist_soon(shared, env);
            }
            Err(_) => self.retry_at = sync_retry(env.now, env.stream),
        }
    }
    fn start(&mut self, index: u16, shared: &mut Shared, env: &mut Env) {
        let now = env.now;
        let record = self.record(index);
        if let (State::Exited, Some(exit)) = (record.state, record.exit) {
            env.config.crash_backoff(&mut record.backoff, now, exit.at);
        }
        record.begin_attempt();
        record.waiting = Waiting::Creating;
        let (container, _) = self.spec(index);
        match shared.images.ensure(self.uid(), index, container, self.cause, env) {
            Ensure::Present => self.create(index, env),
            Ensure::Queued => self.operation = Operation::Pull(index),
            Ensure::Held(waiting, until) => self.hold(index, waiting, until),
        }
    }
    /// The container is not made now.
    fn hold(&mut self, index: u16, waiting: Waiting, until: Time) {
        let record = self.record(index);
        record.state = State::Absent;
        record.seen = Seen::Waiting;
        record.waiting = waiting;
        record.hold_until = until;
    }
    pub fn pulled(&mut self, index: u16, present: bool, env: &mut Env) {
        self.operation = Operation::None;
        if self.stage != Stage::Sync {
            return;
        }
        if present {
            self.create(index, env);
        } else {
            self.hold(index, Waiting::ErrImagePull, sync_retry(env.now, env.stream));
        }
    }
    fn create(&mut self, index: u16, env: &mut Env) {
        self.operation = Operation::Create(index);
        let (image, init) = (self.spec(index).0.image.clone(), self.is_regular_init(index));
        env.out.container(ContainerOp::Create { container: self.id(index), image, init });
    }
    pub fn created(&mut self, id: &ContainerId, result: Result<(), RuntimeError>, env: &mut Env) {
        if self.operation != Operation::Create(id.index) {
            return;
        }
        self.operation = Operation::None;
        match result {
            _ if self.stage != Stage::Sync => self.record(id.index).state = State::Absent,
            Ok(()) => {
                self.operation = Operation::Start(id.index);
                env.out.container(ContainerOp::Start { container: id.clone() });
            }
            Err(_) => {
                let until = sync_retry(env.now, env.stream);
                self.hold(id.index, Waiting::CreateContainerError, until);
            }
        }
    }
    pub fn started(&mut self, id: &ContainerId, result: Result<(), RuntimeError>, shared: &Shared, env: &mut Env) {
        if self.operation != Operation::Start(id.index) {
            return;
        }
        self.operation = Operation::None;
        if result.is_err() {
            let until = sync_retry(env.now, env.stream);
            self.hold(id.index, Waiting::RunContainerError, until);
            return;
        }
        let record = self.record(id.index);
        record.state = State::Running;
        record.started_at = Some(env.now);
        let container = self.spec(id.index).0.name.clone();
        self.record_fact(What::ContainerStarted { container, attempt: id.attempt }, env);
        self.relist_soon(shared, env);
        if self.stage == Stage::Terminating && !self.is_sidecar(id.index) {
            self.stop(id.index, env);
        }
    }
    pub fn exited(&mut self, id: &ContainerId, exit: Exit, shared: &Shared, env: &mut Env) {
        let running = self.operation == Operation::Start(id.index);
        let known = self.containers.get_mut(usize::from(id.index)).filter(|record| record.attempt == id.attempt);
        let Some(record) = known.filter(|record| record.state == State::Running || running) else { return };
        record.state = State::Exited;
        record.exit = Some(exit);
        record.started = false;
        record.ready = false;
        record.probes.clear();
        if running {
            self.operation = Operation::None;
        }
        let container = self.spec(id.index).0.name.clone();
        self.record_fact(What::ContainerExited { container, code: exit.code }, env);
        self.relist_soon(shared, env);
    }
    /// The next relist will see it.
    fn relist_soon(&mut self, shared: &Shared, env: &Env) {
        self.relist_at = self.relist_at.min(env.now.next_tick(shared.relist_origin, env.config.pleg_relist_period));
    }
    /// A relist: what has happened is seen, and answered with probes or back-off. `adopted`: it was there before this kubelet.
    pub fn see(&mut self, shared: &Shared, adopted: bool, env: &mut Env) {
        for index in self.indexes() {
            let record = self.record(index);
            match (record.state, record.seen) {
                (State::Running, Seen::Running) | (State::Exited, Seen::Exited) => {}
                (State::Running, _) => {
                    record.seen = Seen::Running;
                    self.begin_probes(index, adopted, shared.first_life, env);
                }
                (State::Exited, _) => {
                    record.seen = Seen::Exited;
                    let exit = record.exit.expect("what has exited has an exit");
                    let until = record.backoff.until(exit.at, env.config.crash_loop_max_backoff);
                    if self.stage == Stage::Sync && self.is_restarted(index) && until > env.now {
                        let until = first_sync_after(env.now, until, env.stream);
                        let record = self.record(index);
                        record.waiting = Waiting::CrashLoopBackOff;
                        record.hold_until = until;
                    }
                }
                (State::Absent | State::Starting, _) => {}
            }
        }
    }

    fn probe_spec(&self, index: u16, kind: ProbeKind) -> Option<&crate::objects::Probe> {
        let (container, _) = self.spec(index);
        match kind {
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
            ProbeKind::Startup => container.startup_probe.as_ref(),
        }
    }
    /// The container is seen running. What the machine's first kubelet finds running was ready before the run began; a later one knows
    /// nothing of the results of the one before it.
    fn begin_probes(&mut self, index: u16, adopted: bool, first_life: bool, env: &mut Env) {
        if self.is_regular_init(index) {
            return;
        }
        let was_ready = adopted && first_life;
        let mut probes = Vec::new();
        for kind in [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness] {
            if let Some(probe) = self.probe_spec(index, kind) {
                // Workers begin with the pod's first sync and tick from there; after a restart each has its own phase.
                let period = Duration::from_secs(probe.period_seconds.unwrap_or(10));
                let origin = if adopted { env.stream.instant(env.now, period) } else { self.started_at };
                probes.push(ProbeWorker::new(kind, probe, origin));
            }
        }
        let startup_delay = self.probe_spec(index, ProbeKind::Startup).map(initial_delay);
        let record = self.record(index);
        record.probes = probes;
        match startup_delay.filter(|_| !was_ready) {
            Some(delay) => {
                let earliest = record.started_at.expect("it runs") + delay;
                record.probe(ProbeKind::Startup).expect("just made").begin(env.now, earliest);
            }
            None => self.startup_passed(index, adopted, was_ready, env),
        }
    }
    fn startup_passed(&mut self, index: u16, adopted: bool, was_ready: bool, env: &mut Env) {
        let delay = |kind| self.probe_spec(index, kind).map(initial_delay);
        let (liveness, readiness) = (delay(ProbeKind::Liveness), delay(ProbeKind::Readiness));
        let record = self.record(index);
        record.started = true;
        record.ready = readiness.is_none() || was_ready;
        let started_at = record.started_at.expect("it runs");
        if let (Some(delay), Some(probe)) = (liveness, record.probe(ProbeKind::Liveness)) {
            probe.begin(env.now, started_at + delay);
        }
        if let (Some(delay), Some(probe)) = (readiness, record.probe(ProbeKind::Readiness)) {
            if was_ready {
                probe.verdict = Some(true);
            }
            if adopted {
                probe.begin(env.now, started_at + delay);
            } else {
                probe.trigger(env.now, started_at + delay);
            }
        }
    }
    pub fn probed(&mut self, id: &ContainerId, kind: ProbeKind, success: bool, holds_until: Time, shared: &mut Shared, env: &mut Env) {
        let Some(record) = self.probed_record(id) else { return };
        let holds_until = if env.runtime.is_silent() { Time::ZERO } else { holds_until };
        let Some(changed) = record.probe(kind).map(|probe| probe.answered(env.now, success, holds_until)) else { return };
        if !changed {
            return;
        }
        if !success {
            let probe = match kind {
                ProbeKind::Liveness => "liveness",
                ProbeKind::Readiness => "readiness",
                ProbeKind::Startup => "startup",
            };
            let container = self.spec(id.index).0.name.clone();
            self.record_fact(What::ProbeFailed { container, probe: probe.into() }, env);
        }
        if env.runtime.loop_stands(env.now) {
            shared.deferred.push(Deferred::Verdict(id.clone(), kind, success));
        } else {
            self.judged(id, kind, success, env);
        }
    }
    fn probed_record(&mut self, id: &ContainerId) -> Option<&mut Record> {
        let known = self.containers.get_mut(usize::from(id.index)).filter(|record| record.attempt == id.attempt);
        known.filter(|record| record.state == State::Running && record.stop == Stop::No)
    }
    /// The verdict of a probe has changed.
    pub fn judged(&mut self, id: &ContainerId, kind: ProbeKind, success: bool, env: &mut Env) {
        let Some(record) = self.probed_record(id) else { return };
        match (kind, success) {
            (ProbeKind::Readiness, _) => record.ready = success,
            (ProbeKind::Startup, true) => self.startup_passed(id.index, false, false, env),
            (ProbeKind::Liveness | ProbeKind::Startup, false) => {
                let own = self.probe_spec(id.index, kind).and_then(|probe| probe.termination_grace_period_seconds);
                let grace = own.map_or_else(|| self.spec_grace(), Duration::from_secs);
                self.grace_until = env.now + grace;
                self.stop(id.index, env);
            }
            (ProbeKind::Liveness, true) => {}
        }
    }

    pub fn updated(&mut self, stored: Stored, shared: &mut Shared, env: &mut Env) {
        if stored.revision <= self.stored.revision {
            return;
        }
        self.stored = stored;
        // The answer to a report is not for the sync loop, which has yet to hear of this.
        if self.pod().meta.is_deleting() && !env.runtime.loop_stands(env.now) {
            self.hear_of_deletion(shared, env);
        }
    }
    /// The sync loop takes up that the object is to go, or to go sooner.
    fn hear_of_deletion(&mut self, shared: &mut Shared, env: &mut Env) {
        match self.stage {
            Stage::Sync => self.terminate_as_deleted(shared, env),
            Stage::Terminating => {
                let grace = self.deletion_grace();
                if env.now + grace < self.grace_until {
                    // Grace can only become shorter.
                    self.cause = self.stored.because();
                    env.out.because(self.cause);
                    self.grace_until = env.now + grace;
                    for index in self.indexes().filter(|index| self.runs(*index)).collect::<Vec<_>>() {
                        if self.record(index).stop == Stop::Sent {
                            env.out.container(ContainerOp::Stop { container: self.id(index), grace: grace.max(GRACE_MIN) });
                        }
                    }
                }
            }
            Stage::Terminated => {}
        }
    }
    pub fn terminate_as_deleted(&mut self, shared: &mut Shared, env: &mut Env) {
        self.cause = self.stored.because();
        env.out.because(self.cause);
        self.terminate(self.deletion_grace(), shared, env);
    }
    fn deletion_grace(&self) -> Duration {
        self.pod().meta.deletion_grace_period_seconds.map_or_else(|| self.spec_grace(), Duration::from_secs)
    }
    fn spec_grace(&self) -> Duration {
        Duration::from_secs(self.pod().spec.grace_period_seconds())
    }
    /// From here there is no way back: all containers but the sidecars are asked to end, in parallel.
    pub fn terminate(&mut self, grace: Duration, shared: &mut Shared, env: &mut Env) {
        if self.stage == Stage::Terminated {
            return;
        }
        let until = env.now + grace;
        self.grace_until = if self.stage == Stage::Terminating { self.grace_until.min(until) } else { until };
        self.stage = Stage::Terminating;
        self.retry_at = Time::NEVER;
        shared.images.forget(self.uid());
        if matches!(self.operation, Operation::Pull(_)) {
            self.operation = Operation::None;
        }
        for index in self.indexes().filter(|index| self.runs(*index) && !self.is_sidecar(*index)).collect::<Vec<_>>() {
            self.stop(index, env);
        }
    }
    /// Asks a container to end by `grace_until`: its preStop hook first, which consumes grace.
    fn stop(&mut self, index: u16, env: &mut Env) {
        let hook = self.spec(index).0.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()?.sleep.as_ref());
        let sleep = hook.map(|sleep| Duration::from_secs(sleep.seconds));
        let (id, left) = (self.id(index), self.grace_until.since(env.now));
        let record = self.record(index);
        match (record.stop, sleep) {
            (Stop::No, Some(sleep)) => record.stop = Stop::Hook(env.now + sleep.min(left)),
            (Stop::Hook(until), _) => record.stop = Stop::Hook(until.min(env.now + left)),
            (Stop::No | Stop::Sent, _) => {
                record.stop = Stop::Sent;
                env.out.container(ContainerOp::Stop { container: id, grace: left.max(GRACE_MIN) });
            }
        }
    }
    /// Sidecars end after all others, the last first; then the sandbox; then the worker has terminated.
    fn go_on_terminating(&mut self, shared: &mut Shared, env: &mut Env) {
        if self.operation != Operation::None || self.indexes().any(|index| self.runs(index) && !self.is_sidecar(index)) {
            return;
        }
        if let Some(last) = self.indexes().rev().find(|index| self.runs(*index)) {
            if self.record(last).stop == Stop::No {
                self.stop(last, env);
            }
            return;
        }
        match self.sandbox {
            Sandbox::Stopping => {}
            Sandbox::Running(_) => {
                self.sandbox = Sandbox::Stopping;
                env.out.container(ContainerOp::StopSandbox { pod: self.uid().clone() });
            }
            Sandbox::None => {
                self.see(shared, false, env);
                self.stage = Stage::Terminated;
                self.relist_at = Time::NEVER;
                self.settle(shared, env);
                if self.admitted {
                    shared.admitted.release(self.pod());
                    // The verdict of one who was admitted stays in the status.
                }
            }
        }
    }

    /// The worker's last sync waits for a relist that began after the one before it ended (`pod_workers.go`, GetNewerThan).
    fn settle(&mut self, shared: &Shared, env: &Env) {
        self.settles_at = (env.now + Duration::from_nanos(1)).next_tick(shared.relist_origin, env.config.pleg_relist_period);
    }
    /// Tells the API what has changed, and removes the object when all is over.
    fn report(&mut self, env: &mut Env) {
        if self.removed || self.reporting || self.report_at != Time::NEVER {
            return;
        }
        let pod = self.pod();
        let status = self.status(env.now);
        let key = pod_key(&self.stored);
        let uid = self.uid().clone();
        if status != pod.status {
            let object = Pod { meta: pod.meta.clone(), spec: pod.spec.clone(), node: pod.node.clone(), status };
            let patch = Patch::Status { object: Arc::new(object.into()), uid: uid.clone() };
            self.reporting = true;
            self.reported_on = self.stored.revision;
            env.send(0, Verb::Patch { key, patch, part: Part::Status }, Token::PodStatus(uid));
        } else if self.stage == Stage::Terminated && pod.meta.is_deleting() && self.settles_at <= env.now && !env.runtime.is_silent() {
            let options = DeleteOptions { grace_period_seconds: Some(0), uid: Some(uid.clone()), ..DeleteOptions::default() };
            self.reporting = true;
            env.send(0, Verb::Delete { key, options }, Token::PodDelete(uid));
        }
    }
    /// The answer to a status patch.
    pub fn reported(&mut self, result: Result<Option<Stored>, ApiError>, shared: &mut Shared, env: &mut Env) {
        self.reporting = false;
        match result {
            Ok(Some(stored)) if stored.object.meta().uid == *self.uid() => {
                if stored.revision == self.reported_on {
                    // The patch changed nothing: the server keeps something that this kubelet says otherwise. No more often than each pass.
                    self.report_at = (env.now + Duration::from_nanos(1)).next_tick(self.started_at, STATUS_PASS);
                }
                self.updated(stored, shared, env);
            }
            Ok(_) => {}
            Err(error) => self.report_failed(&error, env),
        }
    }
    /// The answer to the final delete.
    pub fn deleted(&mut self, result: &Result<Option<Stored>, ApiError>, env: &mut Env) {
        self.reporting = false;
        match result {
            // The watch will say that it is gone; finalizers may keep it.
            Ok(_) => self.report_at = env.now + STATUS_PASS,
            Err(error) => self.report_failed(error, env),
        }
    }
    fn report_failed(&mut self, _error: &ApiError, env: &Env) {
        self.report_at = (env.now + Duration::from_nanos(1)).next_tick(self.started_at, STATUS_PASS);
    }
    fn record_fact(&mut self, what: What, env: &mut Env) {
        self.cause = env.out.record(Fact { subject: Subject::Object(pod_key(&self.stored)), what });
    }
}
