//! What must hold.

use super::workload::WORKLOADS;
use super::{Lowering, at};
use crate::base::{Name, Time};
use crate::engine::plan::{Expectation, PodState, Predicate, Traffic, When};
use crate::objects::{Kind, Phase};
use crate::scenario::file;
use crate::scenario::units::format_duration;

impl Lowering<'_> {
    /// `first`: the number in the plan of each written fault.
    pub fn expectations(&mut self, written: &[file::Expectation], first: &[usize], traffic: &[Traffic]) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (index, expectation) in written.iter().enumerate() {
            let path = format!("expectations[{index}]");
            let when = self.when(expectation, first, &path);
            let what = self.predicate(expectation, traffic, &path);
            if let (Some((when, when_text)), Some((predicate, text))) = (when, what) {
                let description = expectation.description.as_deref().map_or_else(|| Name::from(format!("{when_text}: {text}")), Name::new);
                expectations.push(Expectation { description, when, predicate });
            }
        }
        expectations
    }
    /// It says of exactly one time that it holds then.
    pub fn one_time(&mut self, written: &file::Expectation, path: &str) -> bool {
        let given = [
            ("by", written.by.is_some()),
            ("within", written.within.is_some()),
            ("always", written.always.is_some()),
            ("never", written.never.is_some()),
            ("eventually", written.eventually.is_some()),
            ("atEnd", written.at_end.is_some()),
        ];
        self.exactly_one(&given, "an expectation holds at", path)
    }
    fn when(&mut self, written: &file::Expectation, first: &[usize], path: &str) -> Option<(When, String)> {
        if !self.one_time(written, path) {
            return None;
        }
        if let Some(by) = written.by {
            return Some((When::By(self.instant(by, &at(path, "by"))), format!("by {}", format_duration(by.0))));
        }
        if let Some(within) = &written.within {
            let path = at(path, "within");
            let Some(fault) = usize::try_from(within.fault).ok().and_then(|index| first.get(index)).copied() else {
                let message = format!("there is no fault number {}", within.fault);
                let expected = if first.is_empty() { "a scenario with faults".to_owned() } else { format!("0 to {}", first.len() - 1) };
                self.error(&at(&path, "fault"), message, |error| error.expecting(expected));
                return None;
            };
            let text = format!("within {} of the fault", format_duration(within.limit.0));
            return Some((When::Within { fault, limit: within.limit.0 }, text));
        }
        for (field, interval) in [("always", &written.always), ("never", &written.never)] {
            if let Some(interval) = interval {
                let (from, until) = self.interval(interval, &at(path, field));
                let text = match (interval.from, interval.until) {
                    (None, None) => field.to_owned(),
                    _ => {
                        format!("{field} from {} to {}", format_duration(from.since(self.start)), format_duration(until.since(self.start)))
                    }
                };
                return Some((if field == "always" { When::Always { from, until } } else { When::Never { from, until } }, text));
            }
        }
        for (field, flag, when) in [("eventually", written.eventually, When::Eventually), ("atEnd", written.at_end, When::AtEnd)] {
            if let Some(flag) = flag {
                if !flag {
                    self.error(&at(path, field), "false says nothing".to_owned(), |error| error.expecting("true"));
                }
                return Some((when, if field == "atEnd" { "at the end".to_owned() } else { field.to_owned() }));
            }
        }
        None
    }
    fn interval(&mut self, interval: &file::Interval, path: &str) -> (Time, Time) {
        let from = interval.from.map_or(self.start, |span| self.instant(span, &at(path, "from")));
        let until = interval.until.map_or(self.start + self.duration, |span| self.instant(span, &at(path, "until")));
        if until < from {
            self.error(path, "the interval ends before it begins".to_owned(), |error| error.expecting("\"until\" after \"from\""));
        }
        (from, until)
    }
    /// It observes exactly one thing.
    pub fn one_observation(&mut self, written: &file::Expectation, path: &str) -> bool {
        let given = [
            ("pods", written.pods.is_some()),
            ("spread", written.spread.is_some()),
            ("unavailable", written.unavailable.is_some()),
            ("nodeReady", written.node_ready.is_some()),
            ("etcdLeaderChanges", written.etcd_leader_changes.is_some()),
            ("failedRequests", written.failed_requests.is_some()),
            ("etcdLeader", written.etcd_leader.is_some()),
            ("etcdMembers", written.etcd_members.is_some()),
            ("clientOperations", written.client_operations.is_some()),
            ("longestWriteGap", written.longest_write_gap.is_some()),
            ("gpuAllocation", written.gpu_allocation.is_some()),
        ];
        self.exactly_one(&given, "an expectation observes", path)
    }
    fn predicate(&mut self, written: &file::Expectation, traffic: &[Traffic], path: &str) -> Option<(Predicate, String)> {
        if !self.one_observation(written, path) {
            return None;
        }
        if let Some(pods) = &written.pods {
            let path = at(path, "pods");
            self.bounds(pods.at_least, pods.at_most, &path);
            let workload = self.workload_key(&pods.workload, &pods.namespace, &at(&path, "workload"), &WORKLOADS)?;
            let (state, name) = match pods.state {
                file::PodState::Exists => (PodState::Exists, "existing"),
                file::PodState::Ready => (PodState::Ready, "ready"),
                file::PodState::Available => (PodState::Available, "available"),
                file::PodState::Pending => (PodState::Phase(Phase::Pending), "pending"),
                file::PodState::Running => (PodState::Phase(Phase::Running), "running"),
                file::PodState::Succeeded => (PodState::Phase(Phase::Succeeded), "succeeded"),
                file::PodState::Failed => (PodState::Phase(Phase::Failed), "failed"),
            };
            let text = format!("{}{name} pods of {}", counted(pods.at_least, pods.at_most), pods.workload);
            return Some((Predicate::Pods { workload, state, at_least: pods.at_least, at_most: pods.at_most }, text));
        }
        if let Some(spread) = &written.spread {
            let kinds = [Kind::Deployment, Kind::ReplicaSet];
            let workload = self.workload_key(&spread.workload, &spread.namespace, &format!("{path}.spread.workload"), &kinds)?;
            let topology_key = Name::new(spread.topology_key.as_deref().unwrap_or(crate::objects::node::labels::ZONE));
            let labels: std::collections::BTreeSet<String> =
                self.topology.nodes.iter().flat_map(|node| node.shape.labels.keys()).map(ToString::to_string).collect();
            if !labels.contains(topology_key.as_str()) {
                let known: Vec<String> = labels.into_iter().collect();
                self.unknown("node label", &topology_key, &format!("{path}.spread.topologyKey"), &known);
            }
            let text = format!("pods of {} differ by at most {} over {topology_key}", spread.workload, spread.max_skew);
            return Some((Predicate::Spread { workload, topology_key, max_skew: spread.max_skew }, text));
        }
        if let Some(lack) = &written.unavailable {
            let kinds = [Kind::Deployment, Kind::ReplicaSet];
            let workload = self.workload_key(&lack.workload, &lack.namespace, &format!("{path}.unavailable.workload"), &kinds)?;
            let at_most = lack.at_most_pod_seconds.saturating_mul(1000);
            let text = format!("{} lacked at most {} pod-seconds", lack.workload, lack.at_most_pod_seconds);
            return Some((Predicate::UnavailablePodMillis { workload, at_most }, text));
        }
        if let Some(ready) = &written.node_ready {
            let node = self.node(&ready.node, &format!("{path}.nodeReady.node"))?;
            let text = format!("{} is {}ready", ready.node, if ready.ready { "" } else { "not " });
            return Some((Predicate::NodeReady { node, ready: ready.ready }, text));
        }
        if let Some(bounds) = &written.etcd_leader_changes {
            self.bounds(bounds.at_least, bounds.at_most, &at(path, "etcdLeaderChanges"));
            let text = format!("{}changes of etcd's leader", counted(bounds.at_least, bounds.at_most));
            return Some((Predicate::EtcdLeaderChanges { at_least: bounds.at_least, at_most: bounds.at_most }, text));
        }
        if written.etcd_leader.is_some()
            || written.etcd_members.is_some()
            || written.client_operations.is_some()
            || written.longest_write_gap.is_some()
        {
            return self.etcd_predicate(written, path);
        }
        if written.gpu_allocation.is_some() {
            let message = "GPUs are counted where the scheduler places a trace alone".to_owned();
            self.error(&at(path, "gpuAllocation"), message, |error| error.expecting("a scenario without a \"cluster\""));
            return None;
        }
        let failed = written.failed_requests.as_ref()?;
        let path = at(path, "failedRequests");
        let Some(source) = usize::try_from(failed.traffic).ok().and_then(|index| traffic.get(index)) else {
            let expected = if traffic.is_empty() { "a scenario with traffic".to_owned() } else { format!("0 to {}", traffic.len() - 1) };
            self.error(&at(&path, "traffic"), format!("there is no traffic number {}", failed.traffic), |error| error.expecting(expected));
            return None;
        };
        let share = format!("{}.{}%", failed.at_most.0 / 10, failed.at_most.0 % 10);
        let text = format!("at most {share} of the requests to {} failed", source.service.name());
        Some((Predicate::FailedRequestsPerMille { traffic: failed.traffic as usize, at_most: failed.at_most.0 }, text))
    }
    pub fn bounds(&mut self, at_least: Option<u64>, at_most: Option<u64>, path: &str) {
        match (at_least, at_most) {
            (None, None) => {
                self.error(path, "without a bound this always holds".to_owned(), |error| error.expecting("atLeast, atMost or both"))
            }
            (Some(least), Some(most)) if least > most => {
                self.error(path, format!("no count is at least {least} and at most {most}"), |error| error);
            }
            _ => {}
        }
    }
}

/// `at least 10 `, `8 to 10 `, `exactly 3 `.
fn counted(at_least: Option<u64>, at_most: Option<u64>) -> String {
    match (at_least, at_most) {
        (Some(least), Some(most)) if least == most => format!("exactly {least} "),
        (Some(least), Some(most)) => format!("{least} to {most} "),
        (Some(least), None) => format!("at least {least} "),
        (None, Some(most)) => format!("at most {most} "),
        (None, None) => String::new(),
    }
}
