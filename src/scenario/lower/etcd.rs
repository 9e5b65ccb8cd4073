//! Clients of etcd, and what etcdctl does.

use super::{Lowering, at, short};
use crate::base::{Duration, Time};
use crate::engine::plan::etcdctl::{Action, Step};
use crate::engine::plan::{EtcdLoad, Mix, Pace, Predicate};
use crate::scenario::file;
use crate::scenario::units::format_duration;
use crate::wire::address::Member;

/// Clients in all.
const MAX_CLIENTS: u64 = 10_000;
/// Leased keys begin there.
const MAX_KEYS: u64 = crate::wire::history::Key::LEASED as u64;
/// etcd's default limit of a request (`--max-request-bytes`) leaves room for two values in a transaction.
const MAX_VALUE: u64 = 700_000;
/// Compactions that a step with `every` may stand for.
const MAX_REPEATS: u64 = 100_000;

impl Lowering<'_> {
    pub fn etcd_clients(&mut self, written: &[file::EtcdClients]) -> Vec<EtcdLoad> {
        self.etcd_clients_recorded = written.iter().map(|group| group.record).collect();
        let total = written.iter().fold(0u64, |sum, group| sum.saturating_add(group.count));
        if total > MAX_CLIENTS {
            self.error("etcdClients", format!("{total} clients are beyond the limit"), |error| {
                error.expecting(format!("{MAX_CLIENTS} or less"))
            });
            return Vec::new();
        }
        written.iter().enumerate().filter_map(|(index, group)| self.etcd_load(group, &format!("etcdClients[{index}]"))).collect()
    }
    fn etcd_load(&mut self, written: &file::EtcdClients, path: &str) -> Option<EtcdLoad> {
        self.in_range("clients", written.count, 1, MAX_CLIENTS, &at(path, "count"));
        self.in_range("keys", written.keys, 1, MAX_KEYS, &at(path, "keys"));
        let value_size = written.value_size.map_or(32, |bytes| bytes.0);
        self.in_range("bytes", value_size, 1, MAX_VALUE, &at(path, "valueSize"));
        let pace = self.pace(written, path)?;
        let mix = written.mix.map_or_else(Mix::default, |mix| Mix {
            get: mix.get,
            range: mix.range,
            serializable_get: mix.serializable_get,
            put: mix.put,
            delete: mix.delete,
            txn: mix.txn,
        });
        if mix.total() == 0 {
            let message = "no operation ever comes".to_owned();
            self.error(&at(path, "mix"), message, |error| error.expecting("a weight above 0"));
        }
        let timeout = written.timeout.map_or(Duration::from_secs(2), |span| span.0);
        if timeout == Duration::ZERO {
            self.error(&at(path, "timeout"), "no operation is done in no time".to_owned(), |error| error.expecting("more than 0s"));
        }
        if let Some(lease) = written.leases
            && lease.0 < Duration::from_secs(1)
        {
            let message = format!("a lease of {}", format_duration(lease.0));
            self.error(&at(path, "leases"), message, |error| error.expecting("1s or more"));
        }
        let start = written.start.map_or(self.start, |span| self.instant(span, &at(path, "start")));
        let until = written.until.map_or(self.start + self.duration, |span| self.instant(span, &at(path, "until")));
        if until < start {
            self.error(&at(path, "until"), "they end before they begin".to_owned(), |error| error.expecting("\"until\" after \"start\""));
        }
        let from = match &written.from {
            Some(places) => self.places(places, &at(path, "from")),
            None => vec![self.client_machine()],
        };
        if from.is_empty() {
            return None;
        }
        Some(EtcdLoad {
            count: written.count as u32,
            pace,
            mix,
            keys: written.keys.min(MAX_KEYS) as u32,
            value_size: value_size.min(MAX_VALUE) as u32,
            timeout,
            start,
            until,
            lease: written.leases.map(|lease| lease.0),
            watch: written.watch,
            records: written.record,
            one_endpoint: written.endpoints == file::EtcdEndpoints::One,
            from,
        })
    }
    fn pace(&mut self, written: &file::EtcdClients, path: &str) -> Option<Pace> {
        let given = [("rate", written.rate.is_some()), ("interval", written.interval.is_some()), ("pipeline", written.pipeline.is_some())];
        if written.think_time.is_some() && written.pipeline.is_none() {
            let message = "only a pipeline waits for its answers".to_owned();
            self.error(&at(path, "thinkTime"), message, |error| error.expecting("a \"pipeline\" beside it"));
        }
        if !self.exactly_one(&given, "clients begin operations by", path) {
            return None;
        }
        if let Some(rate) = written.rate {
            if !(1..=1_000_000_000).contains(&rate.0) {
                let message = format!("{}.{:03} operations a second", rate.0 / 1000, rate.0 % 1000);
                self.error(&at(path, "rate"), message, |error| error.expecting("0.001/s to 1000000/s"));
            }
            return Some(Pace::Random { rate_milli: rate.0 });
        }
        if let Some(interval) = written.interval {
            if interval.0 < Duration::from_micros(1) {
                let message = format!("an operation each {}", format_duration(interval.0));
                self.error(&at(path, "interval"), message, |error| error.expecting("1us or more"));
            }
            return Some(Pace::Every(interval.0));
        }
        let operations = written.pipeline?;
        self.in_range("operations at a time", operations, 1, 100_000, &at(path, "pipeline"));
        Some(Pace::Pipeline { operations: operations.min(100_000) as u32, think: written.think_time.map_or(Duration::ZERO, |span| span.0) })
    }
    fn in_range(&mut self, what: &str, count: u64, least: u64, most: u64, path: &str) {
        if !(least..=most).contains(&count) {
            self.error(path, format!("{count} {what}"), |error| error.expecting(format!("{least} to {most}")));
        }
    }

    /// The fields of a step that are etcdctl's.
    pub fn etcd_fields(step: &file::Step) -> [(&'static str, bool); 10] {
        [
            ("etcdMemberAdd", step.etcd_member_add.is_some()),
            ("etcdMemberPromote", step.etcd_member_promote.is_some()),
            ("etcdMemberRemove", step.etcd_member_remove.is_some()),
            ("etcdMemberReplace", step.etcd_member_replace.is_some()),
            ("etcdMoveLeader", step.etcd_move_leader.is_some()),
            ("etcdCompact", step.etcd_compact.is_some()),
            ("etcdDefrag", step.etcd_defrag.is_some()),
            ("etcdAlarmDisarm", step.etcd_alarm_disarm.is_some()),
            ("etcdSnapshotSave", step.etcd_snapshot_save.is_some()),
            ("etcdSnapshotRestore", step.etcd_snapshot_restore.is_some()),
        ]
    }
    /// A step on etcd, as often as it comes.
    pub fn etcd_step(&mut self, written: &file::Step, when: Time, path: &str) {
        // A minute (ours): a script that waits for a cluster to settle.
        let timeout = written.etcd_timeout.map_or(Duration::from_secs(60), |span| span.0);
        let Some((description, action)) = self.etcd_action(written, path) else { return };
        let end = self.start + self.duration;
        let every = written.etcd_compact.as_ref().and_then(|compact| compact.every);
        if let Some(every) = every
            && (every.0 == Duration::ZERO || end.since(when).nanos() / every.0.nanos() > MAX_REPEATS)
        {
            let message = format!("a compaction each {} is too many", format_duration(every.0));
            let expected = format!("{MAX_REPEATS} in the run or less");
            return self.error(&at(&at(path, "etcdCompact"), "every"), message, |error| error.expecting(expected));
        }
        let mut next = when;
        while next <= end {
            self.etcd_steps.push(Step { at: next, description: description.as_str().into(), action: action.clone(), timeout });
            let Some(every) = every else { break };
            next += every.0;
        }
    }
    fn etcd_action(&mut self, step: &file::Step, path: &str) -> Option<(String, Action)> {
        if let Some(add) = &step.etcd_member_add {
            let member = self.etcd_member(&add.member, &at(&at(path, "etcdMemberAdd"), "member"))?;
            let how = if add.learner { " as a learner" } else { "" };
            return Some((format!("add {member} to etcd{how}"), Action::MemberAdd { member, learner: add.learner }));
        }
        if let Some(name) = &step.etcd_member_promote {
            let member = self.etcd_member(name, &at(path, "etcdMemberPromote"))?;
            return Some((format!("promote {member}"), Action::MemberPromote(member)));
        }
        if let Some(name) = &step.etcd_member_remove {
            let member = self.etcd_member(name, &at(path, "etcdMemberRemove"))?;
            return Some((format!("remove {member} from etcd"), Action::MemberRemove(member)));
        }
        if let Some(replace) = &step.etcd_member_replace {
            let path = at(path, "etcdMemberReplace");
            let leaves = self.etcd_member(&replace.leaves, &at(&path, "leaves"))?;
            let joins = self.etcd_member(&replace.joins, &at(&path, "joins"))?;
            if leaves == joins {
                self.error(&path, format!("{leaves} takes its own place"), |error| error.expecting("two members"));
            }
            return Some((format!("replace {leaves} by {joins} in etcd"), Action::MemberReplace { leaves, joins }));
        }
        if let Some(name) = &step.etcd_move_leader {
            let member = self.etcd_member(name, &at(path, "etcdMoveLeader"))?;
            return Some((format!("move etcd's lead to {member}"), Action::MoveLeader(member)));
        }
        if let Some(compact) = &step.etcd_compact {
            let text = match compact.keep {
                0 => "compact etcd".to_owned(),
                keep => format!("compact etcd but for {keep} revisions"),
            };
            return Some((text, Action::Compact { keep: compact.keep }));
        }
        let flags = [
            ("etcdDefrag", step.etcd_defrag, "defragment etcd", Action::Defrag),
            ("etcdAlarmDisarm", step.etcd_alarm_disarm, "take back etcd's alarms", Action::AlarmDisarm),
            ("etcdSnapshotSave", step.etcd_snapshot_save, "save a snapshot of etcd", Action::SnapshotSave),
        ];
        for (field, flag, text, action) in flags {
            let Some(flag) = flag else { continue };
            if !flag {
                self.error(&at(path, field), "false says nothing".to_owned(), |error| error.expecting("true"));
            }
            return Some((text.to_owned(), action));
        }
        let restore = step.etcd_snapshot_restore.as_ref()?;
        let path = at(path, "etcdSnapshotRestore");
        let mut members = Vec::new();
        for (index, name) in restore.members.iter().enumerate() {
            let path = format!("{path}.members[{index}]");
            let Some(member) = self.etcd_member(name, &path) else { continue };
            if members.contains(&member) {
                self.error(&path, format!("{member} is named twice"), |error| error);
            }
            members.push(member);
        }
        if members.is_empty() {
            self.error(&at(&path, "members"), "a cluster of nobody".to_owned(), |error| error.expecting("one member or more"));
            return None;
        }
        let names: Vec<String> = members.iter().map(ToString::to_string).collect();
        let text = format!("restore etcd from the snapshot on {}", names.join(", "));
        Some((text, Action::SnapshotRestore { members, bump_revision: restore.bump_revision.min(1 << 40) }))
    }
    fn etcd_member(&mut self, name: &str, path: &str) -> Option<Member> {
        let all = self.topology.etcd.len() as u16;
        let number = name.strip_prefix("etcd-").and_then(|number| number.parse::<u16>().ok());
        let found = number.filter(|number| (1..=all).contains(number)).map(Member).filter(|member| member.to_string() == name);
        if found.is_none() {
            let known: Vec<String> = (1..=all).map(|number| Member(number).to_string()).collect();
            self.unknown("etcd member", short(name).as_ref(), path, &known);
        }
        found
    }
    /// What an expectation of etcd and its clients observes.
    pub fn etcd_predicate(&mut self, written: &file::Expectation, path: &str) -> Option<(Predicate, String)> {
        if let Some(leader) = &written.etcd_leader {
            let text = if leader.present { "etcd has a leader" } else { "etcd has no leader" };
            return Some((Predicate::EtcdLeader { present: leader.present }, text.to_owned()));
        }
        if let Some(members) = &written.etcd_members {
            let path = at(path, "etcdMembers");
            let mut named = |names: &[String], field: &str| {
                let places = (0..).map(|index| format!("{path}.{field}[{index}]"));
                let mut found: Vec<Member> = names.iter().zip(places).filter_map(|(name, path)| self.etcd_member(name, &path)).collect();
                found.sort_unstable();
                found
            };
            let (voters, learners) = (named(&members.voters, "voters"), named(&members.learners, "learners"));
            let text = format!("etcd's voters are {}", members.voters.join(", "));
            return Some((Predicate::EtcdMembers { voters, learners }, text));
        }
        if let Some(operations) = &written.client_operations {
            let path = at(path, "clientOperations");
            let mut parts = Vec::new();
            if let Some(most) = operations.at_most_failed {
                parts.push(format!("at most {}.{}% of the operations failed", most.0 / 10, most.0 % 10));
            }
            if let Some(least) = operations.at_least_ok {
                parts.push(format!("at least {least} operations were answered"));
            }
            if parts.is_empty() {
                let message = "without a bound this always holds".to_owned();
                self.error(&path, message, |error| error.expecting("atMostFailed, atLeastOk or both"));
            }
            self.with_clients(false, &path);
            let (at_most_failed, at_least_ok) = (operations.at_most_failed.map(|most| most.0), operations.at_least_ok);
            return Some((Predicate::ClientOperations { at_most_failed, at_least_ok }, parts.join(" and ")));
        }
        let gap = written.longest_write_gap.as_ref()?;
        let path = at(path, "longestWriteGap");
        let text = match (gap.at_least, gap.at_most) {
            (None, None) => {
                let message = "without a bound this always holds".to_owned();
                self.error(&path, message, |error| error.expecting("atLeast, atMost or both"));
                String::new()
            }
            (Some(least), None) => format!("no write was acknowledged for at least {}", format_duration(least.0)),
            (None, Some(most)) => format!("no write was acknowledged for at most {}", format_duration(most.0)),
            (Some(least), Some(most)) => {
                format!("no write was acknowledged for {} to {}", format_duration(least.0), format_duration(most.0))
            }
        };
        self.with_clients(true, &path);
        let (at_most, at_least) = (gap.at_most.map(|most| most.0), gap.at_least.map(|least| least.0));
        Some((Predicate::LongestWriteGap { at_most, at_least }, text))
    }
    fn with_clients(&mut self, recorded: bool, path: &str) {
        if !self.etcd_clients_recorded.iter().any(|records| *records || !recorded) {
            let message = "there are no such clients".to_owned();
            let expected = if recorded { "\"etcdClients\" whose history is kept" } else { "\"etcdClients\"" };
            self.error(path, message, |error| error.expecting(expected));
        }
    }
    /// What needs an API server is refused where there is none.
    pub fn nothing_for_kubernetes(&mut self, scenario: &file::Scenario) {
        let needs = [
            ("workload", !scenario.workload.is_empty()),
            ("trace", scenario.trace.is_some()),
            ("policy", scenario.policy.is_some()),
            ("workloadAt", scenario.workload_at.is_some()),
            ("traffic", !scenario.traffic.is_empty()),
            ("initial", scenario.initial == file::Initial::Running),
        ];
        for (field, _) in needs.into_iter().filter(|(_, given)| *given) {
            self.no_api(field);
        }
        for (index, step) in scenario.steps.iter().enumerate() {
            let of_kubectl = Lowering::kubectl_fields(step).into_iter().find(|(_, given)| *given);
            if let Some((field, _)) = of_kubectl {
                self.no_api(&format!("steps[{index}].{field}"));
            }
        }
    }
    fn no_api(&mut self, path: &str) {
        let message = "a cluster of etcd alone has no API server".to_owned();
        self.error(path, message, |error| {
            error.expecting("\"controlPlane\" with apiServers, controllerManagers and schedulers, and nodes")
        });
    }
}
