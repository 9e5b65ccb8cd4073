//! What a Deployment says of itself: counts, and the conditions Available, Progressing and ReplicaFailure (k/k
//! `pkg/controller/deployment/{sync,progress}.go`).

use super::revision::find_new;
use super::scaling::{max_unavailable, spec_replicas, wanted};
use super::{View, set_condition};
use crate::base::{Duration, Time};
use crate::objects::workload::DeploymentStatus;
use crate::objects::{Condition, ConditionStatus, Conditions, Deployment};

const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The greatest 32-bit number means that there is no deadline.
pub(super) fn has_progress_deadline(deployment: &Deployment) -> bool {
    deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX as u64)
}

pub(super) fn progressing(holds: impl Into<ConditionStatus>, reason: &'static str, now: Time) -> Condition {
    updated(Condition::new("Progressing", holds, reason, now), now)
}
fn updated(condition: Condition, now: Time) -> Condition {
    Condition { last_update_time: Some(now.truncate_to_second()), ..condition }
}

/// Pausing and resuming are noted in the Progressing condition, which keeps the deadline from counting the pause.
pub(super) fn pause_or_resume(deployment: &Deployment, now: Time) -> Option<DeploymentStatus> {
    if !has_progress_deadline(deployment) || deployment.meta.is_deleting() {
        return None;
    }
    let reason = deployment.status.conditions.get("Progressing").map(|condition| condition.reason.as_ref());
    let noted = match (deployment.spec.paused, reason) {
        (_, Some(TIMED_OUT)) => return None,
        (true, reason) if reason != Some("DeploymentPaused") => "DeploymentPaused",
        (false, Some("DeploymentPaused")) => "DeploymentResumed",
        _ => return None,
    };
    let mut status = deployment.status.clone();
    set_condition(&mut status.conditions, progressing(ConditionStatus::Unknown, noted, now));
    Some(status)
}

/// The counts and the Available condition.
pub(super) fn calculate(view: &View, now: Time) -> DeploymentStatus {
    let deployment = view.deployment();
    let new = find_new(view);
    let available: u64 = view.sets().map(|set| set.status.available_replicas).sum();
    let total: u64 = view.sets().map(spec_replicas).sum();
    let mut conditions = deployment.status.conditions.clone();
    let enough = available >= wanted(deployment) - max_unavailable(deployment);
    let reason = if enough { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
    set_condition(&mut conditions, updated(Condition::new("Available", enough, reason, now), now));
    DeploymentStatus {
        observed_generation: deployment.meta.generation,
        replicas: view.sets().map(|set| set.status.replicas).sum(),
        updated_replicas: new.and_then(|at| view.sets().nth(at)).map_or(0, |set| set.status.replicas),
        ready_replicas: view.sets().map(|set| set.status.ready_replicas).sum(),
        available_replicas: available,
        unavailable_replicas: total.saturating_sub(available),
        terminating_replicas: 0,
        collision_count: deployment.status.collision_count,
        conditions,
    }
}

/// The Progressing and ReplicaFailure conditions of a rollout (`syncRolloutStatus`).
pub(super) fn judge_progress(view: &View, status: &mut DeploymentStatus, now: Time) {
    let deployment = view.deployment();
    let current = deployment.status.conditions.get("Progressing");
    if !has_progress_deadline(deployment) {
        status.conditions.retain(|condition| condition.kind != "Progressing");
    } else if !(status.replicas == status.updated_replicas && current.is_some_and(|condition| condition.reason == COMPLETE)) {
        if is_complete(deployment, status) {
            set_condition(&mut status.conditions, progressing(true, COMPLETE, now));
        } else if has_progressed(deployment, status) {
            // Refreshed even if status and reason stay: the deadline counts from the last progress.
            status.conditions.set(progressing(true, "ReplicaSetUpdated", now));
        } else if is_timed_out(deployment, status, now) {
            set_condition(&mut status.conditions, progressing(false, TIMED_OUT, now));
        }
    }
    let failure = |at: Option<usize>| view.sets().nth(at?)?.status.conditions.get("ReplicaFailure").cloned();
    let failure = failure(find_new(view)).or_else(|| view.sets().find_map(|set| set.status.conditions.get("ReplicaFailure").cloned()));
    match failure {
        Some(failure) => set_condition(&mut status.conditions, updated(failure, now)),
        None => status.conditions.retain(|condition| condition.kind != "ReplicaFailure"),
    }
}

pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let desired = wanted(deployment);
    status.updated_replicas == desired
        && status.replicas == desired
        && status.available_replicas == desired
        && status.observed_generation >= deployment.meta.generation
}

fn has_progressed(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let before = &deployment.status;
    let old = |status: &DeploymentStatus| status.replicas.saturating_sub(status.updated_replicas);
    status.updated_replicas > before.updated_replicas
        || old(status) < old(before)
        || status.ready_replicas > before.ready_replicas
        || status.available_replicas > before.available_replicas
}

fn is_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Time) -> bool {
    let Some(condition) = status.conditions.get("Progressing") else { return false };
    match condition.reason.as_ref() {
        COMPLETE => false,
        TIMED_OUT => true,
        _ => deadline(deployment, condition).is_some_and(|deadline| deadline < now),
    }
}

fn deadline(deployment: &Deployment, progressing: &Condition) -> Option<Time> {
    Some(progressing.last_update_time? + Duration::from_secs(deployment.spec.progress_deadline_seconds?))
}

/// How long until the deadline of a rollout that neither is complete nor has timed out (`requeueStuckDeployment`).
pub(super) fn check_again_after(deployment: &Deployment, status: &DeploymentStatus, now: Time) -> Option<Duration> {
    let condition = deployment.status.conditions.get("Progressing")?;
    if !has_progress_deadline(deployment) || is_complete(deployment, status) || condition.reason == TIMED_OUT {
        return None;
    }
    deadline(deployment, condition).map(|deadline| deadline.since(now))
}

/// The status after the new set could not be created.
pub(super) fn failed_to_create(deployment: &Deployment, message: String, now: Time) -> DeploymentStatus {
    let mut status = deployment.status.clone();
    if has_progress_deadline(deployment) {
        let condition = progressing(false, "ReplicaSetCreateError", now);
        set_condition(&mut status.conditions, Condition { message: message.into(), ..condition });
    }
    status
}
