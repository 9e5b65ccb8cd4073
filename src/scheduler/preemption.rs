//! Making room by evicting pods of lower priority (upstream `framework/preemption/preemption.go`, `plugins/defaultpreemption`).
//!
//! On each node that removing pods might help, all pods of lower priority are taken away in a dry run, and then given back one by one, the
//! most important first, as long as the pod still fits: the rest are the victims. Of the nodes on which that works the one is chosen where
//! it costs least. Disruption budgets are a preference, never a veto. What the dry run changes it takes back: the filters are as before.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::decide::failure_message;
use super::filters::{Filters, Rejection};
use super::nodes::{NodeInfo, Slot};
use super::plugins::Code;
use super::pods::PodInfo;
use crate::base::{Name, Stream, Time};
use crate::objects::condition::ConditionStatus;
use crate::objects::scheduling::PreemptionPolicy;
use crate::objects::{Condition, Conditions, Pod, PodDisruptionBudget, Text};

/// How many candidate nodes are enough (`DefaultPreemptionArgs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CandidateLimits {
    /// Of the nodes that preemption may help: 10.
    pub percentage: u32,
    /// But at least so many: 100.
    pub absolute: u32,
}

impl Default for CandidateLimits {
    fn default() -> CandidateLimits {
        CandidateLimits { percentage: 10, absolute: 100 }
    }
}

impl CandidateLimits {
    /// Every node that preemption may help.
    pub const ALL: CandidateLimits = CandidateLimits { percentage: 100, absolute: 100 };

    fn enough(self, nodes: usize) -> usize {
        (nodes * self.percentage as usize / 100).max(self.absolute as usize).min(nodes)
    }
}

/// A node that has room for the pod once the victims are gone.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub slot: Slot,
    /// The most important first.
    pub victims: Vec<PodInfo>,
    /// How many of them a disruption budget would have spared.
    pub violations: usize,
}

/// What PostFilter came to.
#[derive(Clone, Debug, Default)]
pub struct Preemption {
    /// The pod may preempt at all.
    pub eligible: bool,
    /// In the order in which nodes are looked at.
    pub candidates: Vec<Candidate>,
    /// The candidates that none is better than, by index; the choice among them is arbitrary.
    pub best: Vec<usize>,
    /// Its text in the event; empty on success.
    pub message: String,
}

/// The pods that a choice displaces.
#[derive(Clone, Debug)]
pub struct Nomination {
    pub node: Name,
    pub victims: Vec<PodInfo>,
    /// Pods of lower priority that lose their nomination to the node.
    pub cleared: Vec<PodInfo>,
}

impl Preemption {
    /// The outcome of choosing a candidate.
    pub fn nomination(&self, candidate: usize, filters: &Filters<'_>) -> Nomination {
        let Candidate { slot, victims, .. } = &self.candidates[candidate];
        let snapshot = filters.cycle.snapshot;
        let node = snapshot.nodes().info(*slot).name.clone();
        let priority = filters.cycle.pod.shape.priority;
        let cleared = snapshot.nominated_to(&node).iter().filter(|pod| pod.shape.priority < priority).cloned().collect();
        Nomination { node, victims: victims.clone(), cleared }
    }
}

/// Tries preemption for a pod that no node takes. `rejections` are those of all nodes in the order of the table; `offsets` says where the
/// search begins if not all nodes are looked at.
pub fn preempt(limits: CandidateLimits, filters: &mut Filters<'_>, rejections: &[(Slot, Rejection)], offsets: &mut Stream) -> Preemption {
    if let Err(why) = eligible(filters, rejections) {
        return Preemption { message: why.to_owned(), ..Preemption::default() };
    }
    let helped: Vec<Slot> =
        rejections.iter().filter(|(_, rejection)| rejection.code == Code::Unschedulable).map(|(slot, _)| *slot).collect();
    let enough = limits.enough(helped.len());
    let start = if enough < helped.len() { offsets.index(helped.len()) } else { 0 };
    let snapshot = filters.cycle.snapshot;
    let mut reasons: BTreeMap<Text, u64> = BTreeMap::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut examined = 0;
    let nobody_is_less_important = snapshot.lowest_priority().is_none_or(|lowest| lowest >= filters.cycle.pod.shape.priority);
    for slot in helped.iter().cycle().skip(start).take(helped.len()) {
        if candidates.len() >= enough && candidates.iter().any(|candidate| candidate.violations == 0) {
            break;
        }
        examined += 1;
        let found = if nobody_is_less_important { Err(vec![NO_VICTIMS.into()]) } else { dry_run(filters, snapshot.nodes().info(*slot)) };
        match found {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => why.into_iter().for_each(|reason| *reasons.entry(reason).or_insert(0) += 1),
        }
    }
    let nodes = snapshot.nodes().len();
    if candidates.is_empty() {
        if examined < nodes {
            *reasons.entry("Preemption is not helpful for scheduling".into()).or_insert(0) += (nodes - examined) as u64;
        }
        let message = failure_message(nodes, &reasons);
        return Preemption { eligible: true, message, ..Preemption::default() };
    }
    let least = candidates.iter().map(cost).min().expect("there are candidates");
    let best = (0..candidates.len()).filter(|at| cost(&candidates[*at]) == least).collect();
    Preemption { eligible: true, candidates, best, message: String::new() }
}

const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// A pod may have forbidden it, or have made room already and wait for its victims' end.
fn eligible(filters: &Filters<'_>, rejections: &[(Slot, Rejection)]) -> Result<(), &'static str> {
    let (pod, snapshot) = (filters.cycle.pod, filters.cycle.snapshot);
    if pod.spec().preemption_policy == Some(PreemptionPolicy::Never) {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    let Some(slot) = snapshot.nodes().slot(&pod.pod().status.nominated_node_name) else { return Ok(()) };
    let hopeless = |(at, rejection): &(Slot, Rejection)| *at == slot && rejection.code == Code::UnschedulableAndUnresolvable;
    if rejections.iter().any(hopeless) {
        return Ok(());
    }
    let goes_for_it = |other: &PodInfo| other.shape.priority < pod.shape.priority && is_being_preempted(other.pod());
    match snapshot.nodes().info(slot).pods.iter().any(goes_for_it) {
        true => Err("not eligible due to a terminating pod on the nominated node."),
        false => Ok(()),
    }
}

/// The reason of `DisruptionTarget` on a victim (`v1.PodReasonPreemptionByScheduler`).
pub const PREEMPTION_REASON: &str = "PreemptionByScheduler";

fn is_being_preempted(pod: &Pod) -> bool {
    let preempted = |condition: &Condition| condition.status == ConditionStatus::True && condition.reason == *PREEMPTION_REASON;
    pod.meta.is_deleting() && pod.status.conditions.get("DisruptionTarget").is_some_and(preempted)
}

/// The victims on one node (`SelectVictimsOnNode`), or why evicting does not help.
fn dry_run(filters: &mut Filters<'_>, node: &NodeInfo) -> Result<Candidate, Vec<Text>> {
    let cycle = filters.cycle;
    let mut lesser: Vec<PodInfo> = node.pods.iter().filter(|other| other.shape.priority < cycle.pod.shape.priority).cloned().collect();
    if lesser.is_empty() {
        return Err(vec![NO_VICTIMS.into()]);
    }
    let mut copy = node.clone();
    for pod in &lesser {
        take(filters, &mut copy, pod);
    }
    let outcome = match filters.rejects(&copy) {
        Some(rejection) => Err(rejection.reasons),
        None => {
            lesser.sort_by_key(importance);
            let (violating, others) = split_by_budget(&lesser, cycle.snapshot.budgets());
            let mut reprieve = |pods: Vec<PodInfo>| -> Vec<PodInfo> {
                let victim = |pod: &PodInfo| {
                    give_back(filters, &mut copy, pod);
                    let fits = filters.rejects(&copy).is_none();
                    if !fits {
                        take(filters, &mut copy, pod);
                    }
                    !fits
                };
                pods.into_iter().filter(victim).collect()
            };
            let mut victims = reprieve(violating);
            let violations = victims.len();
            victims.extend(reprieve(others));
            victims.sort_by_key(importance);
            Ok(Candidate { slot: node.slot, victims, violations })
        }
    };
    let still_away: Vec<&PodInfo> = match &outcome {
        Ok(candidate) => candidate.victims.iter().collect(),
        Err(_) => lesser.iter().collect(),
    };
    for pod in still_away {
        give_back(filters, &mut copy, pod);
    }
    match outcome {
        // Such a node would have been feasible: upstream makes an error of it, not a candidate.
        Ok(candidate) if candidate.victims.is_empty() => {
            Err(vec![format!("expected at least one victim pod on node {:?}", node.name.as_str()).into()])
        }
        other => other,
    }
}

fn take(filters: &mut Filters<'_>, node: &mut NodeInfo, pod: &PodInfo) {
    let was_there = node.remove_pod(pod);
    assert!(was_there, "{} is not on node {}", pod.key, node.name);
    filters.change(pod, node, -1);
}

fn give_back(filters: &mut Filters<'_>, node: &mut NodeInfo, pod: &PodInfo) {
    node.add_pod(pod);
    filters.change(pod, node, 1);
}

/// Sorts the most important first: higher priority, then longer running (`MoreImportantPod`); one that has not started is the youngest.
fn importance(pod: &PodInfo) -> (Reverse<i64>, Time) {
    (Reverse(pod.shape.priority), started(pod))
}

fn started(pod: &PodInfo) -> Time {
    pod.pod().status.start_time.unwrap_or(Time::NEVER)
}

/// Those whose eviction, one after the other in this order, would go beyond a budget, and the others. All budgets that select a pod are
/// charged (`filterPodsWithPDBViolation`).
fn split_by_budget<'b>(pods: &[PodInfo], budgets: impl Iterator<Item = &'b PodDisruptionBudget>) -> (Vec<PodInfo>, Vec<PodInfo>) {
    let mut budgets: Vec<(&PodDisruptionBudget, i64)> =
        budgets.map(|budget| (budget, budget.status.disruptions_allowed.try_into().unwrap_or(i64::MAX))).collect();
    let mut violates = |pod: &PodInfo| {
        let mut violates = false;
        for (budget, left) in &mut budgets {
            let counts = *pod.namespace() == budget.meta.namespace
                && !pod.labels().is_empty()
                && budget.spec.selector.as_ref().is_some_and(|selector| !selector.is_empty() && selector.matches(pod.labels()))
                && !budget.status.disrupted_pods.contains_key(pod.key.name());
            if counts {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    };
    pods.iter().cloned().partition(|pod| violates(pod))
}

/// What choosing a node costs, the criteria in their order (`pickOneNodeForPreemption`): budgets broken, the first victim's priority, the
/// sum of priorities, each raised by 2^31 so that more victims cost more, their number, and how long those of the highest priority ran.
fn cost(candidate: &Candidate) -> (usize, i64, i64, usize, Reverse<Time>) {
    let victims = &candidate.victims;
    let highest = victims[0].shape.priority;
    let sum = victims.iter().map(|victim| victim.shape.priority + (1 << 31)).sum();
    let oldest = victims.iter().filter(|victim| victim.shape.priority == highest).map(started).min().expect("the first is one");
    (candidate.violations, highest, sum, victims.len(), Reverse(oldest))
}
