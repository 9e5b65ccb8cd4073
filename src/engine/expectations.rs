//! Expectations: judged on the observer's state while a run goes on.

use std::collections::BTreeMap;

use super::observer::Observer;
use super::plan::{Expectation, Plan, PodState, Predicate, When};
use super::record::Verdict;
use super::recorder::Recorder;
use crate::base::{Map, Name, Time};
use crate::objects::{Key, Kind};
use crate::wire::Member;

/// One expectation and what has been seen of it.
struct Tracker {
    expectation: Expectation,
    /// When it is looked at, beyond changes: an instant, or the ends of an interval.
    from: Time,
    until: Time,
    verdict: Option<(bool, String)>,
}

/// How long a workload lacked pods: the integral of max(0, wanted - available), in pod-nanoseconds.
#[derive(Clone, Copy, Default)]
struct Lack {
    since: Time,
    missing: u64,
    total: u128,
}

/// All expectations of a run.
pub struct Expectations {
    trackers: Vec<Tracker>,
    lacks: BTreeMap<Key, Lack>,
    nodes: Vec<Key>,
    /// The clients of the n-th traffic source of the plan.
    clients: Vec<std::ops::Range<u32>>,
    start: Time,
}

impl Expectations {
    pub fn new(plan: &Plan, clients: Vec<std::ops::Range<u32>>) -> Expectations {
        let end = plan.start + plan.duration;
        let tracker = |expectation: &Expectation| {
            let (from, until) = match expectation.when {
                When::By(at) => (at, at),
                When::Within { fault, limit } => {
                    let at = plan.faults.get(fault).map_or(end, |fault| fault.at + limit);
                    (at, at)
                }
                When::Always { from, until } | When::Never { from, until } => (from, until),
                When::Eventually => (plan.start, end),
                When::AtEnd => (end, end),
            };
            Tracker { expectation: expectation.clone(), from, until: until.min(end), verdict: None }
        };
        Expectations {
            trackers: plan.expectations.iter().map(tracker).collect(),
            lacks: BTreeMap::new(),
            nodes: plan.nodes.iter().map(|node| Key::node(&node.shape.name)).collect(),
            clients,
            start: plan.start,
        }
    }

    /// Judges what is due before `now`, on the state as it was until now.
    pub fn advance(&mut self, now: Time, observer: &Observer, recorder: &Recorder) {
        self.judge(|tracker| tracker.until < now, now, observer, recorder);
    }
    /// The state changed at `now`.
    pub fn changed(&mut self, now: Time, touched: &[Key], observer: &Observer, recorder: &Recorder) {
        for workload in touched {
            let tally = observer.tally(workload);
            let lack = self.lacks.entry(workload.clone()).or_default();
            lack.total += u128::from(now.since(lack.since).nanos()) * u128::from(lack.missing);
            lack.since = now;
            lack.missing = tally.wanted.saturating_sub(tally.available);
        }
        self.judge(|_| false, now, observer, recorder);
    }
    /// The run is over.
    pub fn finish(mut self, end: Time, observer: &Observer, recorder: &Recorder) -> Vec<Verdict> {
        let due = |tracker: &Tracker| {
            // What must hold always is judged on the part that was played.
            let lasts = matches!(tracker.expectation.when, When::Always { .. } | When::Never { .. });
            tracker.until <= end || (lasts && tracker.from <= end)
        };
        self.judge(due, end, observer, recorder);
        let verdict = |tracker: Tracker| {
            let reached = tracker.verdict.is_some();
            let (held, seen) = tracker.verdict.unwrap_or((false, "the run ended before".to_owned()));
            Verdict { description: tracker.expectation.description, held, reached, seen: seen.into() }
        };
        self.trackers.into_iter().map(verdict).collect()
    }

    fn judge(&mut self, due: impl Fn(&Tracker) -> bool, now: Time, observer: &Observer, recorder: &Recorder) {
        for number in 0..self.trackers.len() {
            let tracker = &self.trackers[number];
            let due = due(tracker);
            let inside = tracker.from <= now && now <= tracker.until;
            if tracker.verdict.is_some() || !(due || inside) {
                continue;
            }
            // A judgement that is due speaks of the instant that passed, whose state still stands.
            let at = if due { now.min(tracker.until) } else { now };
            let (holds, seen) = self.evaluate(&self.trackers[number].expectation.predicate, at, observer, recorder);
            let seen = format!("{seen} at {:.3} s", at.since(self.start).as_secs_f64());
            let tracker = &mut self.trackers[number];
            tracker.verdict = match tracker.expectation.when {
                When::By(_) | When::Within { .. } | When::AtEnd => due.then_some((holds, seen)),
                When::Always { .. } if !holds => Some((false, seen)),
                When::Never { .. } if holds => Some((false, seen)),
                When::Eventually if holds => Some((true, seen)),
                When::Always { .. } | When::Never { .. } => due.then_some((true, seen)),
                When::Eventually => due.then_some((false, seen)),
            };
        }
    }

    /// Does it hold now, and what is there?
    fn evaluate(&self, predicate: &Predicate, now: Time, observer: &Observer, recorder: &Recorder) -> (bool, String) {
        let within = |count: u64, at_least: &Option<u64>, at_most: &Option<u64>| {
            at_least.is_none_or(|least| count >= least) && at_most.is_none_or(|most| count <= most)
        };
        match predicate {
            Predicate::Pods { workload, state, at_least, at_most } => {
                let tally = observer.tally(workload);
                let (count, word) = match state {
                    PodState::Exists => (tally.current, "exist"),
                    PodState::Ready => (tally.ready, "ready"),
                    PodState::Available => (tally.available, "available"),
                    PodState::Phase(phase) => {
                        (observer.pods(workload).filter(|pod| pod.status.phase == *phase).count() as u64, phase.name())
                    }
                };
                (within(count, at_least, at_most), format!("{count} {word}"))
            }
            Predicate::Spread { workload, topology_key, max_skew } => {
                let skew = skew(observer, workload, topology_key);
                (skew <= *max_skew, format!("skew {skew}"))
            }
            Predicate::UnavailablePodMillis { workload, at_most } => {
                let lack = self.lacks.get(workload).copied().unwrap_or_default();
                let total = lack.total + u128::from(now.since(lack.since).nanos()) * u128::from(lack.missing);
                let millis = (total / 1_000_000) as u64;
                (millis <= *at_most, format!("{}.{:03} pod-seconds", millis / 1000, millis % 1000))
            }
            Predicate::NodeReady { node, ready } => {
                let key = &self.nodes[node.0 as usize];
                let is = observer.get(key).and_then(|stored| stored.object.as_node()).is_some_and(|node| node.is_ready());
                (is == *ready, if is { "Ready" } else { "not Ready" }.to_owned())
            }
            Predicate::EtcdLeaderChanges { at_least, at_most } => {
                let changes = recorder.etcd_elections.saturating_sub(1);
                (within(changes, at_least, at_most), format!("{changes} leader changes"))
            }
            Predicate::FailedRequestsPerMille { traffic, at_most } => {
                let clients = self.clients.get(*traffic).cloned().unwrap_or(0..0);
                let (mut sent, mut failed) = (0, 0);
                for client in clients {
                    let (more, lost) = recorder.traffic.get(&client).copied().unwrap_or_default();
                    sent += more;
                    failed += lost;
                }
                (failed * 1000 <= at_most * sent, format!("{failed} of {sent} requests failed"))
            }
            Predicate::EtcdLeader { present } => {
                let seen = recorder.etcd_leader.map_or("no leader".to_owned(), |leader| format!("{leader} leads"));
                (recorder.etcd_leader.is_some() == *present, seen)
            }
            Predicate::EtcdMembers { voters, learners } => {
                let seen = &recorder.etcd_members;
                let names = |members: &[Member]| members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let mut text = format!("voters {}", names(&seen.voters));
                if !seen.learners.is_empty() {
                    text.push_str(&format!(", learners {}", names(&seen.learners)));
                }
                (!seen.is_joint() && seen.voters == *voters && seen.learners == *learners, text)
            }
            Predicate::ClientOperations { at_most_failed, at_least_ok } => {
                let clients = &recorder.clients;
                let held = at_most_failed.is_none_or(|most| clients.lost * 1000 <= most * clients.sent)
                    && at_least_ok.is_none_or(|least| clients.ok >= least);
                (held, format!("{} of {} operations answered, {} failed or unknown", clients.ok, clients.sent, clients.lost))
            }
            Predicate::LongestWriteGap { at_most, at_least } => {
                let gap = recorder.clients.gap_until(now);
                let held = at_most.is_none_or(|most| gap <= most) && at_least.is_none_or(|least| gap >= least);
                (held, format!("{} without an acknowledged write", crate::base::Duration::from_millis(gap.as_millis())))
            }
            // Judged by `super::study`; a plan with a cluster has none.
            Predicate::GpuAllocation { .. } => (false, "there is no study".to_owned()),
        }
    }
}

/// Active, bound pods in the fullest domain minus those in the emptiest, over the domains of ready nodes.
fn skew(observer: &Observer, workload: &Key, topology_key: &str) -> u64 {
    let mut counts: BTreeMap<Name, u64> = BTreeMap::new();
    let mut domain_of: Map<Name, Name> = Map::default();
    for (key, stored) in observer.objects().range(Key::node("")..).take_while(|(key, _)| key.kind() == Kind::Node) {
        let Some(node) = stored.object.as_node() else { continue };
        if let Some(domain) = node.meta.label(topology_key) {
            domain_of.insert(Name::new(key.name()), domain.clone());
            if node.is_ready() {
                counts.entry(domain.clone()).or_default();
            }
        }
    }
    for pod in observer.pods(workload).filter(|pod| pod.is_active()) {
        if let Some(count) = pod.node.as_ref().and_then(|node| domain_of.get(node)).and_then(|domain| counts.get_mut(domain)) {
            *count += 1;
        }
    }
    counts.values().max().copied().unwrap_or(0) - counts.values().min().copied().unwrap_or(0)
}
