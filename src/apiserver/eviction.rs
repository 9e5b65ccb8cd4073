//! `pods/X/eviction`: a delete that asks the pod's disruption budget first (upstream `registry/core/pod/storage/eviction.go`).
//!
//! Up to three writes, one after the other: the budget counts the pod as disrupted, the pod is told why it ends (`DisruptionTarget`), and
//! it is deleted. Pure functions; who reads and writes is `transaction.rs`. Left out: dry runs. A lost race is tried again at once, where
//! upstream waits 500 ms.

use std::sync::Arc;

use super::write::{self, Outcome};
use crate::base::{Duration, Time};
use crate::objects::disruption::UnhealthyPodEvictionPolicy;
use crate::objects::{Condition, Key, Object, Phase, Pod, PodDisruptionBudget, Stored};
use crate::wire::ApiError;
use crate::wire::api::{DeleteOptions, Reason};

/// `MaxDisruptedPodSize`
const MAX_DISRUPTED_PODS: usize = 2000;
/// What a refused client is told to wait where the budget's status is behind its spec.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// `EvictionsRetry`: how often the budget is tried on ever newer versions.
pub(super) const BUDGET_TRIES: u32 = 20;
const FORBIDDEN_FOR_NOW: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// Where an eviction stands: what its next write is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Stage {
    /// Nothing is decided.
    #[default]
    Look,
    /// The budget counts the pod.
    Budget,
    /// The pod is told.
    Mark,
    Delete,
}

/// Whom to ask before a pod is evicted.
#[derive(Debug, PartialEq)]
pub(super) enum Permission {
    /// Nobody: it goes at once.
    Free,
    /// This budget must count it.
    Ask(Key),
}

/// `budgets`: those of the pod's namespace.
pub(super) fn permission<'a>(pod: &Pod, budgets: impl Iterator<Item = &'a PodDisruptionBudget>) -> Result<Permission, ApiError> {
    // It serves nobody, or it goes anyway.
    if pod.status.phase.is_terminal() || pod.status.phase == Phase::Pending || pod.meta.is_deleting() {
        return Ok(Permission::Free);
    }
    let mut matching = budgets.filter(|budget| budget.meta.namespace == pod.meta.namespace && budget.selects(&pod.meta.labels));
    let Some(budget) = matching.next() else { return Ok(Permission::Free) };
    if matching.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(ApiError::new(Reason::InternalError, why));
    }
    if !pod.is_ready() {
        let status = &budget.status;
        let enough = status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
        let always = budget.spec.unhealthy_pod_eviction_policy == Some(UnhealthyPodEvictionPolicy::AlwaysAllow);
        if enough || always {
            return Ok(Permission::Free);
        }
    }
    Ok(Permission::Ask(Key::new(crate::objects::Kind::PodDisruptionBudget, &budget.meta.namespace, &budget.meta.name)))
}

/// The budget after it has allowed the pod's eviction; 429 if it does not (`checkAndDecrement`).
pub(super) fn counted(now: Time, pod: &Key, current: &Stored) -> Result<Outcome, ApiError> {
    let mut budget = current.object.as_pod_disruption_budget().expect("a budget is asked").clone();
    let name = budget.meta.name.clone();
    let status = &mut budget.status;
    if status.observed_generation < budget.meta.generation {
        return Err(ApiError { retry_after: Some(RETRY_AFTER), ..ApiError::new(Reason::TooManyRequests, FORBIDDEN_FOR_NOW) });
    }
    if status.disrupted_pods.len() > MAX_DISRUPTED_PODS {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        let message = format!("poddisruptionbudgets.policy \"{name}\" is forbidden: {why}");
        return Err(ApiError::new(Reason::Forbidden, message));
    }
    if status.disruptions_allowed == 0 {
        return Err(ApiError::new(Reason::TooManyRequests, FORBIDDEN_FOR_NOW));
    }
    status.disruptions_allowed -= 1;
    if status.disruptions_allowed == 0 {
        status.tell_condition(now);
    }
    status.disrupted_pods.insert(pod.name().into(), now.truncate_to_second());
    Ok(Outcome::Put(Arc::new(Object::from(budget))))
}

/// The pod with the condition that tells why it ends.
pub(super) fn marked(now: Time, pod: &Key, current: &Stored) -> Result<Outcome, ApiError> {
    let message = "Eviction API: evicting".into();
    let condition = Condition { message, ..Condition::new("DisruptionTarget", true, "EvictionByEvictionAPI", now) };
    write::patch_condition(now, pod, &current.object, &condition, None)
}

/// The last of the writes.
pub(super) fn deleted(now: Time, pod: &Key, options: &DeleteOptions, current: &Stored) -> Result<Outcome, ApiError> {
    write::delete(now, pod, options, current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Cause, Revision};
    use crate::objects::{LabelSelector, Labels, Meta, Shared};

    fn budget(name: &str, allowed: u64) -> PodDisruptionBudget {
        let mut budget = PodDisruptionBudget { meta: Meta::named("default", name), ..PodDisruptionBudget::default() };
        let labels = Labels::from([("app".into(), "web".into())]);
        budget.spec.selector = Some(Shared::new(LabelSelector::of(labels)));
        (budget.meta.generation, budget.status.observed_generation) = (1, 1);
        (budget.status.disruptions_allowed, budget.status.desired_healthy, budget.status.current_healthy) = (allowed, 2, 2 + allowed);
        budget
    }
    fn pod(ready: bool) -> Pod {
        let mut pod = Pod { meta: Meta::named("default", "web-1"), ..Pod::default() };
        pod.meta.labels = Shared::new(Labels::from([("app".into(), "web".into())]));
        pod.status.phase = Phase::Running;
        pod.status.conditions = vec![Condition::new("Ready", ready, "", Time::ZERO)].into();
        pod
    }
    fn ask(name: &str) -> Permission {
        Permission::Ask(Key::new(crate::objects::Kind::PodDisruptionBudget, "default", name))
    }

    #[test]
    fn a_ready_pod_asks_its_one_budget() {
        assert_eq!(permission(&pod(true), [].iter()), Ok(Permission::Free));
        assert_eq!(permission(&pod(true), [budget("a", 1)].iter()), Ok(ask("a")));
        let two = permission(&pod(true), [budget("a", 1), budget("b", 1)].iter()).unwrap_err();
        assert_eq!(two.reason.code(), 500);
        let mut pending = pod(true);
        pending.status.phase = Phase::Pending;
        assert_eq!(permission(&pending, [budget("a", 0)].iter()), Ok(Permission::Free));
    }

    #[test]
    fn a_pod_that_is_not_ready_goes_if_enough_others_are_or_if_it_always_may() {
        assert_eq!(permission(&pod(false), [budget("a", 0)].iter()), Ok(Permission::Free));
        let mut short = budget("a", 0);
        short.status.current_healthy = 1;
        assert_eq!(permission(&pod(false), [short.clone()].iter()), Ok(ask("a")));
        short.spec.unhealthy_pod_eviction_policy = Some(UnhealthyPodEvictionPolicy::AlwaysAllow);
        assert_eq!(permission(&pod(false), [short.clone()].iter()), Ok(Permission::Free));
        assert_eq!(permission(&pod(true), [short].iter()), Ok(ask("a")));
    }

    #[test]
    fn a_budget_counts_down_and_then_says_429() {
        let now = Time::from_secs(9);
        let stored = |budget: PodDisruptionBudget| Stored::new(Revision(3), Cause::NONE, Arc::new(budget.into()));
        let Ok(Outcome::Put(after)) = counted(now, &Key::pod("default", "web-1"), &stored(budget("a", 1))) else {
            panic!("one disruption was allowed")
        };
        let after = after.as_pod_disruption_budget().unwrap().clone();
        assert_eq!((after.status.disruptions_allowed, after.status.disrupted_pods.get("web-1")), (0, Some(&now)));
        let refused = counted(now, &Key::pod("default", "web-2"), &stored(after)).err().unwrap();
        assert_eq!((refused.reason.code(), refused.retry_after), (429, None));
        assert_eq!(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
        let mut unobserved = budget("a", 1);
        unobserved.meta.generation = 2;
        let refused = counted(now, &Key::pod("default", "web-2"), &stored(unobserved)).err().unwrap();
        assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
    }
}
