//! A pod's status as its kubelet reports it: phase, conditions, container statuses (k/k `pkg/kubelet/kubelet_pods.go`, getPhase).

use super::pod::{LOST, Record, Sandbox, Seen, Stage, Waiting, Worker};
use crate::base::{Name, Time};
use crate::objects::pod::RestartPolicy;
use crate::objects::{Condition, Conditions, ContainerState, ContainerStatus, Phase, PodStatus};
use crate::wire::container::Exit;

/// What decides the phase about one container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shown {
    pub role: Role,
    pub state: ShownState,
    /// Exit code of the attempt before.
    pub last: Option<i32>,
    pub started: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Init,
    Sidecar,
    App,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShownState {
    Waiting,
    Running,
    Terminated(i32),
}

/// The phase (`kubelet_pods.go`, getPhase). `ended`: the pod is being deleted or was ended, and all its containers have stopped.
pub(super) fn phase(policy: RestartPolicy, containers: &[Shown], ended: bool) -> Phase {
    let of = |role: Role| containers.iter().filter(move |container| container.role == role);
    let finished = |container: &Shown| match container.state {
        ShownState::Terminated(code) => Some(code),
        ShownState::Waiting => container.last,
        ShownState::Running => None,
    };
    if policy == RestartPolicy::Never && of(Role::Init).any(|init| finished(init).is_some_and(|code| code != 0)) {
        return Phase::Failed;
    }
    let app_ever_started = of(Role::App).any(|app| app.state != ShownState::Waiting || app.last.is_some());
    let pending = of(Role::Init).any(|init| init.state != ShownState::Terminated(0))
        || (!app_ever_started && of(Role::Sidecar).any(|sidecar| !sidecar.started))
        || of(Role::App).any(|app| app.state == ShownState::Waiting && app.last.is_none());
    if pending {
        return Phase::Pending;
    }
    if of(Role::App).any(|app| app.state == ShownState::Running) {
        return Phase::Running;
    }
    let Some(failed) = of(Role::App).filter_map(finished).map(|code| code != 0).reduce(|one, other| one || other) else {
        return Phase::Pending;
    };
    match (ended, policy, failed) {
        (true, _, true) => Phase::Failed,
        (true, _, false) => Phase::Succeeded,
        (false, RestartPolicy::Always, _) => Phase::Running,
        (false, _, false) => Phase::Succeeded,
        (false, RestartPolicy::Never, true) => Phase::Failed,
        (false, RestartPolicy::OnFailure, true) => Phase::Running,
    }
}

impl Worker {
    /// What the phase is made of.
    fn shown(&self) -> Vec<Shown> {
        let shown = |index: u16| {
            let (container, init) = self.spec(index);
            let role = match (init, container.is_sidecar()) {
                (true, true) => Role::Sidecar,
                (true, false) => Role::Init,
                (false, _) => Role::App,
            };
            let record = &self.containers[usize::from(index)];
            let code = |exit: &Exit| exit.code;
            let (state, last) = match (record.seen, &record.exit, &record.last) {
                (Seen::Exited, Some(exit), _) if record.waiting == Waiting::CrashLoopBackOff => (ShownState::Waiting, Some(exit.code)),
                (Seen::Exited, Some(exit), last) => (ShownState::Terminated(exit.code), last.as_ref().map(|(_, exit)| code(exit))),
                (Seen::Restarting, _, Some((_, exit))) => (ShownState::Terminated(exit.code), None),
                (Seen::Running, _, last) => (ShownState::Running, last.as_ref().map(|(_, exit)| code(exit))),
                (_, _, last) => (ShownState::Waiting, last.as_ref().map(|(_, exit)| code(exit))),
            };
            let state = match state {
                ShownState::Waiting if self.stage == Stage::Terminated => ShownState::Terminated(LOST),
                state => state,
            };
            Shown { role, state, last, started: record.started }
        };
        self.indexes().map(shown).collect()
    }
    /// The phase by what was last seen.
    pub(super) fn phase(&self) -> Phase {
        let known = self.pod().status.phase;
        if known.is_terminal() {
            return known;
        }
        if self.verdict.is_some() && self.stage == Stage::Terminated {
            return Phase::Failed;
        }
        let phase = phase(self.pod().spec.restart_policy(), &self.shown(), self.stage == Stage::Terminated);
        // A worker that has terminated leaves no pod behind that could go on.
        if self.stage == Stage::Terminated && !phase.is_terminal() { Phase::Failed } else { phase }
    }
    /// The status to report now.
    pub(super) fn status(&self, now: Time) -> PodStatus {
        let known = &self.pod().status;
        let mut status = known.clone();
        // What was admitted is not reported to have ended while it holds anything of the node: whoever reads it gives the room away (k/k
        // `pkg/kubelet/status/status_manager.go`, mergePodStatus).
        let holds = self.admitted && self.stage != Stage::Terminated;
        let phase = self.phase();
        if !(holds && phase.is_terminal()) {
            status.phase = phase;
        }
        if let (Some(verdict), false, false) = (&self.verdict, known.phase.is_terminal(), holds) {
            status.reason = verdict.reason.clone().into();
            status.message = verdict.message.clone().into();
        }
        if self.verdict.is_some() && !self.admitted {
            // Rejected: nothing was ever made.
            status.start_time.get_or_insert(now.truncate_to_second());
            return status;
        }
        status.start_time.get_or_insert(self.started_at.truncate_to_second());
        if let Sandbox::Running(ip) = self.sandbox {
            status.pod_ip = Some(ip);
        }
        let initialized =
            self.indexes().filter(|index| self.is_regular_init(*index)).all(|index| {
                let record = &self.containers[usize::from(index)];
                record.seen == Seen::Exited && record.exit.is_some_and(|exit| exit.code == 0)
            }) && self.indexes().filter(|index| self.is_sidecar(*index)).all(|index| self.containers[usize::from(index)].started);
        let inits = self.pod().spec.init_containers.len();
        let statuses: Vec<ContainerStatus> = self.indexes().map(|index| self.container_status(index, inits > 0 && !initialized)).collect();
        let counted = |index: &u16| !self.is_regular_init(*index);
        let all_ready = self.indexes().filter(counted).all(|index| statuses[usize::from(index)].ready);
        let mut statuses = statuses.into_iter();
        status.init_container_statuses = statuses.by_ref().take(inits).collect();
        status.container_statuses = statuses.collect();

        let completed = status.phase == Phase::Succeeded;
        let ready = all_ready && !status.phase.is_terminal();
        let reason = |holds: bool, otherwise: &'static str| match (holds, completed) {
            (true, _) => "",
            (false, true) => "PodCompleted",
            (false, false) => otherwise,
        };
        let conditions = &mut status.conditions;
        let network = matches!(self.sandbox, Sandbox::Running(_));
        conditions.set(Condition::new("PodReadyToStartContainers", network, "", now));
        let initialized = initialized || completed;
        conditions.set(Condition::new("Initialized", initialized, reason(initialized, "ContainersNotInitialized"), now));
        conditions.set(Condition::new("Ready", ready, reason(ready, "ContainersNotReady"), now));
        conditions.set(Condition::new("ContainersReady", ready, reason(ready, "ContainersNotReady"), now));
        // Last, as the kubelet lists what is its own (k/k `pkg/kubelet/kubelet_pods.go`, generateAPIPodStatus).
        match conditions.iter().position(|condition| condition.kind == "PodScheduled") {
            None => conditions.push(Condition::new("PodScheduled", true, "", now)),
            Some(at) if at + 1 < conditions.len() => conditions[at..].rotate_left(1),
            // Not touched: it stays the list that the stored status has.
            Some(_) => {}
        }
        // Kept for as long as the pod lives, for every pod.
        conditions.shrink_to_fit();
        status
    }
    fn container_status(&self, index: u16, initializing: bool) -> ContainerStatus {
        let (container, _) = self.spec(index);
        let record = &self.containers[usize::from(index)];
        let (state, last_state) = self.states(record, initializing);
        let succeeded = matches!(state, ContainerState::Terminated { exit_code: 0, .. });
        let running = record.seen == Seen::Running;
        // The attempt that is shown: a new one counts when a relist has seen it.
        let shown_attempt = match record.seen {
            Seen::Waiting | Seen::Restarting if record.last.is_some() => record.attempt.saturating_sub(1),
            _ => record.attempt,
        };
        let made = running || record.exit.is_some() || record.last.is_some();
        let id = || Name::from(format!("containerd://{}-{index}-{shown_attempt}", self.uid()));
        ContainerStatus {
            name: container.name.clone(),
            state,
            last_state,
            ready: if self.is_regular_init(index) { succeeded } else { running && record.ready },
            started: Some(running && record.started),
            restart_count: shown_attempt,
            image: container.image.clone(),
            image_id: if made { container.image.clone() } else { Name::default() },
            container_id: if made { id() } else { Name::default() },
            ..ContainerStatus::default()
        }
    }
    /// `state` and `lastState`.
    fn states(&self, record: &Record, initializing: bool) -> (ContainerState, Option<ContainerState>) {
        let last = || record.last.as_ref().map(|(started_at, exit)| terminated(*started_at, exit));
        let (state, last) = match (record.seen, &record.exit, &record.last) {
            (Seen::Running, ..) => {
                let started_at = record.started_at.expect("what runs was started").truncate_to_second();
                (ContainerState::Running { started_at }, last())
            }
            (Seen::Exited, Some(exit), _) if record.waiting == Waiting::CrashLoopBackOff && self.stage != Stage::Terminated => {
                let waiting = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: "".into() };
                (waiting, Some(terminated(record.started_at, exit)))
            }
            (Seen::Exited, Some(exit), _) => (terminated(record.started_at, exit), last()),
            (Seen::Restarting, _, Some((started_at, exit))) => (terminated(*started_at, exit), None),
            _ => (ContainerState::Waiting { reason: record.waiting.reason(initializing).into(), message: "".into() }, last()),
        };
        match state {
            // A container that the worker leaves without an end gets one (`status_manager.go`, TerminatePod).
            ContainerState::Waiting { .. } if self.stage == Stage::Terminated => {
                let reason = "ContainerStatusUnknown".into();
                (ContainerState::Terminated { exit_code: LOST, signal: None, reason, started_at: None, finished_at: None }, last)
            }
            state => (state, last),
        }
    }
}

fn terminated(started_at: Option<Time>, exit: &Exit) -> ContainerState {
    let reason = match (exit.oom_killed, exit.code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    ContainerState::Terminated {
        exit_code: exit.code,
        signal: None,
        reason: reason.into(),
        started_at: started_at.map(Time::truncate_to_second),
        finished_at: Some(exit.at.truncate_to_second()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RestartPolicy::{Always, Never, OnFailure};
    use ShownState::{Running, Terminated, Waiting};

    fn shown(role: Role, state: ShownState) -> Shown {
        Shown { role, state, last: None, started: state == Running }
    }

    #[test]
    fn the_phase_follows_the_table() {
        let app = |state| shown(Role::App, state);
        let init = |state| shown(Role::Init, state);
        let sidecar = |state| shown(Role::Sidecar, state);
        let crash_loop = Shown { last: Some(1), ..app(Waiting) };
        for (policy, containers, ended, wanted) in [
            (Always, vec![app(Waiting)], false, Phase::Pending),
            (Always, vec![app(Running), app(Waiting)], false, Phase::Pending),
            (Always, vec![app(Running), crash_loop], false, Phase::Running),
            (Always, vec![crash_loop], false, Phase::Running),
            (Always, vec![app(Terminated(0))], false, Phase::Running),
            (Always, vec![app(Terminated(0))], true, Phase::Succeeded),
            (Always, vec![app(Terminated(0)), app(Terminated(137))], true, Phase::Failed),
            (OnFailure, vec![app(Terminated(0))], false, Phase::Succeeded),
            (OnFailure, vec![app(Terminated(0)), app(Terminated(1))], false, Phase::Running),
            (Never, vec![app(Terminated(1)), app(Running)], false, Phase::Running),
            (Never, vec![app(Terminated(1)), app(Terminated(0))], false, Phase::Failed),
            (Never, vec![init(Terminated(1)), app(Waiting)], false, Phase::Failed),
            (OnFailure, vec![init(Terminated(1)), app(Waiting)], false, Phase::Pending),
            (Always, vec![init(Running), app(Waiting)], false, Phase::Pending),
            (Always, vec![init(Terminated(0)), app(Running)], false, Phase::Running),
            (Always, vec![sidecar(Waiting), app(Waiting)], false, Phase::Pending),
            (Never, vec![sidecar(Running), app(Terminated(0))], false, Phase::Succeeded),
        ] {
            assert_eq!(phase(policy, &containers, ended), wanted, "{policy:?} {containers:?} {ended}");
        }
    }
}
