//! Which pods of a ReplicaSet go first when it shrinks (k/k `pkg/controller/controller_utils.go`,
//! `ActivePodsWithRanks`).

use std::cmp::Ordering;

use crate::base::{Map, Name, Time};
use crate::objects::{Conditions, Key, Pod};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What the rules look at, looked up once a pod.
struct Candidate<'a> {
    key: &'a Key,
    pod: &'a Pod,
    cost: i32,
    /// Active pods on the same node of any set with the same owner, counted before the first deletion.
    rank: usize,
    ready_since: Option<Time>,
    restarts: (u32, u32),
}

/// The pods of a set, first to be deleted first.
pub(super) fn order<'a>(active: &[(&'a Key, &'a Pod)], related: &[&Pod], now: Time) -> Vec<&'a Key> {
    let mut on_node: Map<Name, usize> = Map::default();
    for node in related.iter().filter(|pod| pod.is_active()).filter_map(|pod| pod.node.as_ref()) {
        *on_node.entry(node.clone()).or_default() += 1;
    }
    let candidates = active.iter().map(|(key, pod)| Candidate {
        key,
        pod,
        cost: pod.meta.annotation(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        rank: pod.node.as_ref().and_then(|node| on_node.get(node)).copied().unwrap_or(0),
        ready_since: pod.status.conditions.get("Ready").filter(|_| pod.is_ready()).and_then(|ready| ready.last_transition_time),
        restarts: max_restarts(pod),
    });
    merge_sort(candidates.collect(), &|a, b| compare(a, b, now)).into_iter().map(|candidate| candidate.key).collect()
}

/// `Less`: `a` goes before `b`.
fn compare(a: &Candidate, b: &Candidate, now: Time) -> Ordering {
    let unassigned_first = a.pod.node.is_some().cmp(&b.pod.node.is_some());
    let not_ready_first = a.pod.is_ready().cmp(&b.pod.is_ready());
    unassigned_first
        .then(a.pod.status.phase.cmp(&b.pod.status.phase))
        .then(not_ready_first)
        .then(a.cost.cmp(&b.cost))
        .then(b.rank.cmp(&a.rank))
        .then_with(|| match (a.pod.is_ready(), b.pod.is_ready()) {
            (true, true) => younger_first(a.ready_since, b.ready_since, a, b, now),
            _ => Ordering::Equal,
        })
        .then(b.restarts.cmp(&a.restarts))
        .then_with(|| younger_first(a.pod.meta.creation_timestamp, b.pod.meta.creation_timestamp, a, b, now))
}

/// Ages are compared by the integer part of their binary logarithm, so that which of several old pods goes depends on the UID, not on
/// a second more or less. Equal instants decide nothing.
fn younger_first(a_since: Option<Time>, b_since: Option<Time>, a: &Candidate, b: &Candidate, now: Time) -> Ordering {
    if a_since == b_since {
        return Ordering::Equal;
    }
    let (Some(a_since), Some(b_since)) = (a_since, b_since) else {
        // No time at all is younger than any.
        return a_since.is_some().cmp(&b_since.is_some());
    };
    let magnitude = |since: Time| now.since(since).nanos().checked_ilog2().map_or(-1, i64::from);
    magnitude(a_since).cmp(&magnitude(b_since)).then_with(|| a.pod.meta.uid.cmp(&b.pod.meta.uid))
}

/// The highest restart count among regular containers and among sidecars.
fn max_restarts(pod: &Pod) -> (u32, u32) {
    let regular = pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0);
    let sidecar = pod.spec.init_containers.iter().filter(|container| container.is_sidecar()).filter_map(|container| {
        pod.status.init_container_statuses.iter().find(|status| status.name == container.name).map(|status| status.restart_count)
    });
    (regular, sidecar.max().unwrap_or(0))
}

/// A stable sort that bears an inconsistent order: upstream's rules are none (equal instants go on to the next rule, instants in one
/// bucket go by UID), and the library's sort may panic on such.
fn merge_sort<T>(mut items: Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let right = merge_sort(items.split_off(items.len() / 2), compare);
    let left = merge_sort(items, compare);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if compare(a, b) != Ordering::Greater => left.next(),
            (None, _) | (Some(_), Some(_)) => right.next(),
            (Some(_), None) => left.next(),
        };
        match next {
            Some(item) => merged.push(item),
            None => return merged,
        }
    }
}
