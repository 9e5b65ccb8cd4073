//! What a kubelet remembers of a pod and of each of its containers.

use std::sync::Arc;

use super::admission::Rejection;
use super::backoff::Backoff;
use super::mounts::Mounts;
use super::probes::ProbeWorker;
use crate::base::{Cause, Duration, Name, Revision, Time};
use crate::objects::pod::{PodIp, RestartPolicy};
use crate::objects::{Container, ContainerState, Object, Phase, Pod, Stored, Uid};
use crate::wire::container::{ContainerId, Exit, PodIdentity, ProbeKind};

/// A pod worker: it goes from sync to terminating to terminated and never back (k/k `pkg/kubelet/pod_workers.go`).
#[derive(Debug)]
pub(super) struct Worker {
    /// The newest version of the API.
    pub stored: Stored,
    /// The API object is gone: nobody is told any more.
    pub removed: bool,
    pub admitted: bool,
    /// Why what the worker does next is done.
    pub cause: Cause,
    pub stage: Stage,
    /// A phase that the kubelet itself decided: rejection, deadline.
    pub verdict: Option<Arc<Rejection>>,
    pub started_at: Time,
    pub sandbox: Sandbox,
    /// What is left to be seen of its volumes; `None`: they are there, or it has none.
    pub mounts: Option<Box<Mounts>>,
    /// Init containers first, then app containers, as `ContainerId::index` counts.
    pub containers: Box<[Record]>,
    /// One sync does one thing after the other.
    pub operation: Operation,
    /// When a failed sandbox is tried again.
    pub retry_at: Time,
    /// The tick of the relist that will see what has happened; `NEVER`: nothing has.
    pub relist_at: Time,
    /// Terminating: when the grace period is over.
    pub grace_until: Time,
    /// Terminated: the relist that sees that nothing is left of the pod. Before it, its object stays.
    pub settles_at: Time,
    /// A status patch or the final delete is with the server.
    pub reporting: bool,
    /// The version that the last report was about.
    pub reported_on: Revision,
    /// When a report that failed is repeated.
    pub report_at: Time,
    /// What stands in the kubelet's timers for this pod.
    pub wake_at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Sync,
    Terminating,
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sandbox {
    None,
    Running(PodIp),
    Stopping,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    None,
    Sandbox,
    Pull(u16),
    Create(u16),
    Start(u16),
}

/// A container over all its attempts.
#[derive(Debug)]
pub(super) struct Record {
    pub attempt: u32,
    pub state: State,
    /// What the last relist saw, and so what the status says.
    pub seen: Seen,
    pub started_at: Option<Time>,
    pub exit: Option<Exit>,
    /// The attempt before.
    pub last: Option<(Option<Time>, Exit)>,
    pub waiting: Waiting,
    /// Not to be tried before.
    pub hold_until: Time,
    pub backoff: Backoff,
    pub started: bool,
    pub ready: bool,
    pub stop: Stop,
    pub probes: Vec<ProbeWorker>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Never made, or to be made anew.
    Absent,
    /// Being made or started.
    Starting,
    Running,
    Exited,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Waiting,
    Running,
    Exited,
    /// A new attempt that no relist has seen running: the status still shows the end of the last.
    Restarting,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    Creating,
    ErrImagePull,
    ImagePullBackOff,
    ErrImageNeverPull,
    CreateContainerError,
    RunContainerError,
    CrashLoopBackOff,
}

impl Waiting {
    pub const fn reason(self, inits_pending: bool) -> &'static str {
        match self {
            Waiting::Creating if inits_pending => "PodInitializing",
            Waiting::Creating => "ContainerCreating",
            Waiting::ErrImagePull => "ErrImagePull",
            Waiting::ImagePullBackOff => "ImagePullBackOff",
            Waiting::ErrImageNeverPull => "ErrImageNeverPull",
            Waiting::CreateContainerError => "CreateContainerError",
            Waiting::RunContainerError => "RunContainerError",
            Waiting::CrashLoopBackOff => "CrashLoopBackOff",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    No,
    /// The preStop hook sleeps until then.
    Hook(Time),
    Sent,
}

/// The exit of a container that was running when the engine lost it (`ContainerStatusUnknown`, 137).
pub(super) const LOST: i32 = 137;

impl Record {
    fn new() -> Record {
        Record {
            attempt: 0,
            state: State::Absent,
            seen: Seen::Waiting,
            started_at: None,
            exit: None,
            last: None,
            waiting: Waiting::Creating,
            hold_until: Time::ZERO,
            backoff: Backoff::default(),
            started: false,
            ready: false,
            stop: Stop::No,
            probes: Vec::new(),
        }
    }
    /// What is known of a container that the engine does not know: the API's status of it.
    fn remembered(state: &ContainerState, restarts: u32, now: Time) -> Record {
        let mut record = Record { attempt: restarts, ..Record::new() };
        let exit = match state {
            ContainerState::Waiting { .. } => return record,
            ContainerState::Running { started_at } => {
                record.started_at = Some(*started_at);
                Exit { code: LOST, oom_killed: false, at: now }
            }
            ContainerState::Terminated { exit_code, finished_at, started_at, .. } => {
                record.started_at = *started_at;
                Exit { code: *exit_code, oom_killed: false, at: finished_at.unwrap_or(now) }
            }
        };
        Record { state: State::Exited, seen: Seen::Exited, exit: Some(exit), ..record }
    }
    /// Leaves the ended attempt behind and counts a new one.
    pub fn begin_attempt(&mut self) {
        if self.state == State::Exited {
            let exit = self.exit.take().expect("what has exited has an exit");
            self.last = Some((self.started_at.take(), exit));
            self.attempt += 1;
            self.seen = Seen::Restarting;
        }
        self.state = State::Starting;
        self.stop = Stop::No;
        self.started = false;
        self.ready = false;
        self.probes.clear();
    }
    pub fn probe(&mut self, kind: ProbeKind) -> Option<&mut ProbeWorker> {
        self.probes.iter_mut().find(|probe| probe.kind == kind)
    }
    /// The earliest instant at which this container wants something.
    pub fn deadline(&self, now: Time) -> Time {
        let hold = if self.hold_until > now { self.hold_until } else { Time::NEVER };
        let hook = if let Stop::Hook(until) = self.stop { until } else { Time::NEVER };
        let probe = self.probes.iter().map(ProbeWorker::deadline).min().unwrap_or(Time::NEVER);
        hold.min(hook).min(if self.stop == Stop::No { probe } else { Time::NEVER })
    }
}

impl Worker {
    pub fn new(stored: Stored, now: Time) -> Worker {
        let pod = stored.object.as_pod().expect("a worker is for a pod");
        let inits = pod.spec.init_containers.iter().zip(0..).map(|(container, _): (_, u16)| (container, true));
        let apps = pod.spec.containers.iter().map(|container| (container, false));
        let containers = inits.chain(apps).map(|(container, init)| {
            let statuses = if init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
            match statuses.iter().find(|status| status.name == container.name) {
                None => Record::new(),
                Some(status) => {
                    let mut record = Record::remembered(&status.state, status.restart_count, now);
                    if let Some(ContainerState::Terminated { exit_code, finished_at, started_at, .. }) = &status.last_state {
                        let exit = Exit { code: *exit_code, oom_killed: false, at: finished_at.unwrap_or(now) };
                        if record.state == State::Absent {
                            // It waits for its next attempt.
                            record =
                                Record { state: State::Exited, seen: Seen::Exited, exit: Some(exit), started_at: *started_at, ..record };
                        } else {
                            record.last = Some((*started_at, exit));
                        }
                    }
                    record
                }
            }
        });
        let containers = containers.collect();
        Worker {
            removed: false,
            admitted: false,
            cause: stored.because(),
            stage: Stage::Sync,
            verdict: None,
            started_at: pod.status.start_time.unwrap_or(now),
            sandbox: Sandbox::None,
            mounts: Mounts::of(pod).map(Box::new),
            containers,
            operation: Operation::None,
            retry_at: Time::NEVER,
            relist_at: Time::NEVER,
            grace_until: Time::NEVER,
            settles_at: Time::ZERO,
            reporting: false,
            reported_on: Revision::ZERO,
            report_at: Time::NEVER,
            wake_at: Time::NEVER,
            stored,
        }
    }
    pub fn pod(&self) -> &Pod {
        pod_of(&self.stored.object)
    }
    pub fn uid(&self) -> &Uid {
        &self.pod().meta.uid
    }
    /// The spec of a container by its index, and whether it is an init container.
    pub fn spec(&self, index: u16) -> (&Container, bool) {
        let spec = &self.pod().spec;
        let (index, inits) = (usize::from(index), spec.init_containers.len());
        if index < inits { (&spec.init_containers[index], true) } else { (&spec.containers[index - inits], false) }
    }
    pub fn id(&self, index: u16) -> ContainerId {
        ContainerId { pod: self.uid().clone(), index, attempt: self.containers[usize::from(index)].attempt }
    }
    pub fn record(&mut self, index: u16) -> &mut Record {
        &mut self.containers[usize::from(index)]
    }
    pub fn indexes(&self) -> std::ops::Range<u16> {
        0..self.containers.len() as u16
    }
    /// An init container that runs to completion.
    pub fn is_regular_init(&self, index: u16) -> bool {
        let (container, init) = self.spec(index);
        init && !container.is_sidecar()
    }
    pub fn is_sidecar(&self, index: u16) -> bool {
        let (container, init) = self.spec(index);
        init && container.is_sidecar()
    }
    /// How a container is restarted: sidecars always, regular init containers until they succeed.
    pub fn restart_policy(&self, index: u16) -> RestartPolicy {
        match (self.spec(index), self.pod().spec.restart_policy()) {
            ((container, true), _) if container.is_sidecar() => RestartPolicy::Always,
            ((_, true), RestartPolicy::Always) => RestartPolicy::OnFailure,
            (_, policy) => policy,
        }
    }
    pub fn is_restarted(&self, index: u16) -> bool {
        let code = self.containers[usize::from(index)].exit.map_or(0, |exit| exit.code);
        match self.restart_policy(index) {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        }
    }
    pub fn runs(&self, index: u16) -> bool {
        self.containers[usize::from(index)].state == State::Running
    }
    pub fn is_api_terminal(&self) -> bool {
        self.pod().status.phase.is_terminal()
    }
    /// `stands`: what the sync loop would do it does when that goes on.
    pub fn deadline(&self, now: Time, stands: bool) -> Time {
        let containers = match self.stage {
            Stage::Terminated => Time::NEVER,
            _ => self.containers.iter().map(|record| record.deadline(now)).min().unwrap_or(Time::NEVER),
        };
        let active = match (self.stage, self.pod().spec.active_deadline_seconds) {
            (Stage::Sync, Some(seconds)) if !stands => self.started_at + Duration::from_secs(seconds),
            _ => Time::NEVER,
        };
        let settles = if self.settles_at > now { self.settles_at } else { Time::NEVER };
        let mounts = self.mounts.as_ref().filter(|_| self.stage == Stage::Sync).map_or(Time::NEVER, |mounts| mounts.deadline());
        containers.min(mounts).min(self.retry_at).min(self.relist_at).min(self.report_at).min(settles).min(active)
    }
    /// Whose behaviour the pod's containers have: the deployment's, the owner's, or its own.
    pub fn identity(&self) -> PodIdentity {
        let meta = &self.pod().meta;
        let workload = match meta.controller() {
            None => meta.name.clone(),
            Some(owner) => {
                let hash = meta.label("pod-template-hash").filter(|_| *owner.kind == *"ReplicaSet");
                let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
                deployment.map_or_else(|| owner.name.clone(), Name::new)
            }
        };
        PodIdentity { namespace: meta.namespace.clone(), pod: meta.name.clone(), workload }
    }
}

pub(super) fn pod_of(object: &Object) -> &Pod {
    object.as_pod().expect("a worker's object is a pod")
}

/// A phase that can end a worker's sync.
pub(super) fn ends_sync(phase: Phase) -> bool {
    phase.is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_one_container_takes_less_than_a_kilobyte() {
        assert!(size_of::<Worker>() + size_of::<Record>() <= 1024, "{} + {}", size_of::<Worker>(), size_of::<Record>());
    }
}
