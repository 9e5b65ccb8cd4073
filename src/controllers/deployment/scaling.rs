//! How many replicas each ReplicaSet of a Deployment is to have (k/k
//! `pkg/controller/deployment/{sync,rolling,recreate}.go`). Results are (index in the view, replicas), for those that change.

use super::super::ownership::annotation_number;
use super::View;
use super::revision::{age, find_new};
use crate::client::Cache;
use crate::objects::workload::StrategyKind;
use crate::objects::{Deployment, IntOrPercent, Kind, Meta, ReplicaSet, Shared};

pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

pub(super) fn wanted(deployment: &Deployment) -> u64 {
    deployment.spec.replicas.unwrap_or(1)
}
pub(super) fn spec_replicas(set: &ReplicaSet) -> u64 {
    set.spec.replicas.unwrap_or(1)
}

/// (maxSurge rounded up, maxUnavailable rounded down); never both 0 (`ResolveFenceposts`). 0 and 0 for Recreate.
pub(super) fn fenceposts(deployment: &Deployment) -> (u64, u64) {
    if deployment.spec.strategy.kind == StrategyKind::Recreate {
        return (0, 0);
    }
    let total = wanted(deployment);
    let quarter = IntOrPercent::String("25%".into());
    let rolling = deployment.spec.strategy.rolling_update.as_ref();
    let of = |value: Option<&IntOrPercent>, up| value.unwrap_or(&quarter).of(total, up).unwrap_or(0);
    let surge = of(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
    let unavailable = of(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// How many pods may be missing; at most all.
pub(super) fn max_unavailable(deployment: &Deployment) -> u64 {
    fenceposts(deployment).1.min(wanted(deployment))
}

/// Notes on a set how many replicas it was sized for: what tells a scaling event, and proportions.
pub(super) fn annotate(meta: &mut Meta, deployment: &Deployment) {
    let desired = wanted(deployment);
    let most = desired + fenceposts(deployment).0;
    if annotation_number(meta, DESIRED_REPLICAS) == Some(desired) && annotation_number(meta, MAX_REPLICAS) == Some(most) {
        return;
    }
    let mut annotations = (*meta.annotations).clone();
    annotations.insert(DESIRED_REPLICAS.into(), desired.to_string().into());
    annotations.insert(MAX_REPLICAS.into(), most.to_string().into());
    meta.annotations = Shared::new(annotations);
}

/// Whether the wanted replicas have changed since the active sets were sized.
pub(super) fn is_scaling_event(view: &View) -> bool {
    let desired = wanted(view.deployment());
    let other = |set: &ReplicaSet| annotation_number(&set.meta, DESIRED_REPLICAS).is_some_and(|noted| noted != desired);
    view.sets().any(|set| spec_replicas(set) > 0 && other(set))
}

/// The size of a new set that does not exist yet.
pub(super) fn initial_size(view: &View) -> u64 {
    new_size(view, 0)
}

/// The size of the new set now: up to what the surge allows (`NewRSNewReplicas`).
fn new_size(view: &View, current: u64) -> u64 {
    let deployment = view.deployment();
    let desired = wanted(deployment);
    if deployment.spec.strategy.kind == StrategyKind::Recreate || current > desired {
        return desired;
    }
    let total: u64 = view.sets().map(spec_replicas).sum();
    let most = desired + fenceposts(deployment).0;
    current + most.saturating_sub(total).min(desired - current)
}

/// One action: the new set up, or else the old ones down.
pub(super) fn rolling(view: &View) -> Vec<(usize, u64)> {
    let Some(new) = find_new(view) else { return Vec::new() };
    let current = spec_replicas(set(view, new));
    let size = new_size(view, current);
    if size != current { vec![(new, size)] } else { shrink_old(view, new) }
}

/// First replicas of old sets that are not available, then others as far as availability allows; oldest set first
/// (`reconcileOldReplicaSets`).
///
/// A set that shows more available replicas than it wants has a status from before its last scale-down: its surplus is gone already. While
/// one does, nothing is scaled (upstream's "invalid request to scale down" in `cleanupUnhealthyReplicas`, whose error is dropped): else
/// the same pods would be counted twice, and too few be left.
fn shrink_old(view: &View, new: usize) -> Vec<(usize, u64)> {
    let deployment = view.deployment();
    let mut old: Vec<usize> = (0..view.sets.len()).filter(|at| *at != new && spec_replicas(set(view, *at)) > 0).collect();
    old.sort_by_key(|at| age(&set(view, *at).meta));
    let mut sizes: Vec<(usize, u64)> = old.iter().map(|at| (*at, spec_replicas(set(view, *at)))).collect();
    let newest = set(view, new);
    let total = sizes.iter().map(|(_, size)| size).sum::<u64>() + spec_replicas(newest);
    let min_available = wanted(deployment) - max_unavailable(deployment);
    let new_unavailable = spec_replicas(newest).saturating_sub(newest.status.available_replicas);
    let mut unhealthy = total.saturating_sub(min_available + new_unavailable);
    if unhealthy == 0 {
        return Vec::new();
    }
    let mut outdated = false;
    for (at, size) in &mut sizes {
        let available = set(view, *at).status.available_replicas;
        outdated |= unhealthy > 0 && available > *size;
        if outdated {
            break;
        }
        let gone = (*size - available).min(unhealthy);
        *size -= gone;
        unhealthy -= gone;
    }
    let available: u64 =
        sizes.iter().map(|(at, _)| set(view, *at).status.available_replicas).sum::<u64>() + newest.status.available_replicas;
    let mut surplus = if outdated { 0 } else { available.saturating_sub(min_available) };
    for (_, size) in &mut sizes {
        let gone = surplus.min(*size);
        *size -= gone;
        surplus -= gone;
    }
    sizes.retain(|(at, size)| spec_replicas(set(view, *at)) != *size);
    sizes
}

/// All old sets to 0; the new one to full size once no old pod is left.
pub(super) fn recreate(view: &View, cache: &Cache) -> Vec<(usize, u64)> {
    let new = find_new(view);
    let old = (0..view.sets.len()).filter(|at| Some(*at) != new && spec_replicas(set(view, *at)) > 0);
    let down: Vec<(usize, u64)> = old.map(|at| (at, 0)).collect();
    if !down.is_empty() || old_pods_remain(view, cache) {
        return down;
    }
    let desired = wanted(view.deployment());
    new.filter(|new| spec_replicas(set(view, *new)) != desired).map(|new| (new, desired)).into_iter().collect()
}

/// Whether an old set counts pods, or has one that is not terminal: a terminating pod runs (`oldPodsRunning`).
pub(super) fn old_pods_remain(view: &View, cache: &Cache) -> bool {
    let new = find_new(view);
    view.sets().enumerate().filter(|(at, _)| Some(*at) != new).any(|(_, set)| {
        let mut pods = cache.controlled_by(&set.meta.uid, Kind::Pod).filter_map(|(_, stored)| stored.object.as_pod());
        spec_replicas(set) > 0 || set.status.replicas > 0 || pods.any(|pod| !pod.status.phase.is_terminal())
    })
}

/// To the wanted replicas without a rollout: proportionally when several sets have pods (`scale`).
pub(super) fn to_size(view: &View) -> Vec<(usize, u64)> {
    let deployment = view.deployment();
    let desired = wanted(deployment);
    let new = find_new(view);
    let active: Vec<usize> = (0..view.sets.len()).filter(|at| spec_replicas(set(view, *at)) > 0).collect();
    let old = |at: &usize| Some(*at) != new;
    let only = match active.as_slice() {
        [] => new.or_else(|| (0..view.sets.len()).max_by_key(|at| age(&set(view, *at).meta))),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(only) = only {
        return if spec_replicas(set(view, only)) == desired { Vec::new() } else { vec![(only, desired)] };
    }
    if active.is_empty() {
        return Vec::new();
    }
    if new.is_some_and(|new| is_saturated(set(view, new), desired)) {
        return active.into_iter().filter(old).map(|at| (at, 0)).collect();
    }
    if deployment.spec.strategy.kind == StrategyKind::Recreate {
        return Vec::new();
    }
    proportional(view, active)
}

fn is_saturated(new: &ReplicaSet, desired: u64) -> bool {
    annotation_number(&new.meta, DESIRED_REPLICAS) == Some(desired)
        && spec_replicas(new) == desired
        && new.status.available_replicas == desired
}

/// Each active set by its share, largest first; what is left over goes to the first.
fn proportional(view: &View, mut active: Vec<usize>) -> Vec<(usize, u64)> {
    let deployment = view.deployment();
    let desired = wanted(deployment) as i64;
    let most = desired + fenceposts(deployment).0 as i64;
    let size = |at: usize| spec_replicas(set(view, at)) as i64;
    let allowed = if desired > 0 { most } else { 0 };
    let change = allowed - active.iter().map(|at| size(*at)).sum::<i64>();
    active.sort_by(|a, b| {
        let (age_a, age_b) = (age(&set(view, *a).meta), age(&set(view, *b).meta));
        size(*b).cmp(&size(*a)).then_with(|| if change > 0 { age_b.cmp(&age_a) } else { age_a.cmp(&age_b) })
    });
    let mut done = 0;
    let mut sizes: Vec<(usize, i64)> = Vec::new();
    for at in active {
        let left = change - done;
        let share = match () {
            () if left == 0 => 0,
            () if desired == 0 => -size(at),
            () => {
                let noted = annotation_number(&set(view, at).meta, MAX_REPLICAS).unwrap_or(deployment.status.replicas) as i64;
                rounded(size(at) * most, noted.max(1)) - size(at)
            }
        };
        let share = match change.signum() {
            1 => share.min(left),
            -1 => share.max(left),
            _ => 0,
        };
        done += share;
        sizes.push((at, size(at) + share));
    }
    if let Some((_, first)) = sizes.first_mut() {
        *first = (*first + change - done).max(0);
    }
    sizes.into_iter().map(|(at, size)| (at, size.max(0) as u64)).collect()
}

/// The quotient of non-negative numbers, halves rounded up.
fn rounded(numerator: i64, denominator: i64) -> i64 {
    (2 * numerator + denominator) / (2 * denominator)
}

fn set(view: &View, at: usize) -> &ReplicaSet {
    view.sets[at].object.as_replica_set().expect("sets of a Deployment")
}
